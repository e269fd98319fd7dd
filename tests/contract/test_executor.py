"""The behaviour of an executor on every backend."""

import asyncio
import concurrent.futures
import functools
import gc
import operator
import os
import shutil
import threading
import time
import traceback
import weakref

import numpy as np
import pytest

import wrenlite


def square(x):
    return x * x


def test_values_come_in_input_order(executor):
    assert executor.map(lambda x: x * x, range(100)).results() == [x * x for x in range(100)]


def test_a_job_is_a_sequence_of_futures(executor):
    job = executor.map(lambda x: x + 1, [10, 20, 30])
    assert len(job) == 3
    assert job
    assert job[0] is job[0]
    assert job[-1].result() == 31
    assert [future.result() for future in job] == [11, 21, 31]
    assert [future.result() for future in job[1:]] == [21, 31]
    assert isinstance(job[0], concurrent.futures.Future)
    for read in (job.__getitem__, job.state, job.value, job.exception, job.logs):
        for index in (3, -4):
            with pytest.raises(IndexError) as caught:
                read(index)
            text = f"there is no task {index}: {job.id} has 3 tasks, numbered from 0"
            assert str(caught.value) == text
    assert (job.state(-1), job.value(-1), job.exception(-1), job.logs(-1)) == ("done", 31, None, "")


def test_no_items_make_an_empty_job_at_once(executor):
    job = executor.map(lambda x: x, [])
    assert job.results() == []
    assert len(job) == 0
    assert bool(job)
    assert list(job.as_completed()) == []
    assert job.wait()


def test_any_iterable_can_be_mapped(executor):
    identity = lambda x: x  # noqa: E731  # as a user writes it
    assert executor.map(identity, (n for n in range(3))).results() == [0, 1, 2]
    assert executor.map(identity, {"a": 1, "b": 2}).results() == ["a", "b"]
    assert executor.map(identity, [(1, 2), None, {"k": [3]}]).results() == [(1, 2), None, {"k": [3]}]
    assert executor.map(identity, "ab").results() == ["a", "b"]


@pytest.mark.parametrize(
    "value",
    [None, ValueError("a value"), [], float("inf"), lambda: 5],
    ids=lambda value: type(value).__name__,
)
def test_a_task_may_return_any_value(executor, value):
    (back,) = executor.map(lambda _: value, [0]).results()
    if callable(value):
        assert back() == 5
    else:
        assert (type(back), repr(back)) == (type(value), repr(value))


def test_functions_of_many_kinds(executor):
    class Adder:
        def __init__(self, by):
            self.by = by

        def add(self, x):
            return x + self.by

        def __call__(self, x):
            return x - self.by

    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    async def later(x):
        await asyncio.sleep(0)
        return x + 1

    def has_id(id, futures=2):
        return id * futures

    offset = 7
    cases = [
        (lambda x: x + offset, 8),
        (fibonacci, 1),
        (Adder(5).add, 6),
        (Adder(5), -4),
        (Adder, None),
        (functools.partial(pow, 3), 3),
        (abs, 1),
        (np.negative, -1),
        (later, 2),
        (has_id, 2),
        (square, 1),
    ]
    for function, expected in cases:
        (value,) = executor.map(function, [1]).results()
        if function is Adder:
            assert isinstance(value, Adder)
            assert value.by == 1
        else:
            assert value == expected, function


def test_further_arguments_are_passed_to_every_task(executor):
    def show(*args, **kwargs):
        return args, kwargs

    job = executor.map(show, [(1, 2)], args=("a",), kwargs={"id": 3})
    assert job.results() == [(((1, 2), "a"), {"id": 3})]
    assert executor.starmap(show, [(1, 2)], args=("a",)).results() == [((1, 2, "a"), {})]
    assert executor.submit(show, 1, 2, fn=3).result() == ((1, 2), {"fn": 3})
    assert executor.call_async(show, (1, 2)).result() == (((1, 2),), {})


def test_an_exception_comes_back_with_its_type_and_the_line_that_raised_it(executor):
    class Mine(Exception):
        def __init__(self, code):
            super().__init__(code)
            self.code = code

    def fails(x):
        if x == 1:
            raise Mine(42)  # this very line
        return x

    job = executor.map(fails, range(3))
    with pytest.raises(Mine) as caught:
        job.results()
    assert caught.value.code == 42
    shown = "".join(traceback.format_exception(caught.value))
    assert "raise Mine(42)  # this very line" in shown
    assert os.path.dirname(wrenlite.__file__) not in shown
    assert any("task 1" in note for note in caught.value.__notes__)
    assert job[0].result() == 0
    assert job[2].result() == 2
    assert isinstance(job[1].exception(), Mine)
    assert list(job.errors()) == [1]
    values = job.results(return_exceptions=True)
    assert (values[0], type(values[1]), values[2]) == (0, Mine, 2)


def test_a_chain_of_exceptions_survives(executor):
    def chained(_):
        try:
            {}["missing"]
        except KeyError as error:
            raise ValueError("outer") from error

    error = executor.map(chained, [0])[0].exception()
    assert isinstance(error, ValueError)
    assert isinstance(error.__cause__, KeyError)
    assert "direct cause" in "".join(traceback.format_exception(error))


def test_retries_are_counted(executor, shared_path):
    def fails_twice(folder):
        import os

        runs = len(os.listdir(folder))
        with open(os.path.join(folder, str(runs)), "w"):
            pass
        if runs < 2:
            raise OSError("not yet")
        return runs

    job = executor.map(fails_twice, [str(shared_path)], retries=2)
    assert job.results() == [2]
    assert job.stats()[0].attempts == 3
    assert len(os.listdir(shared_path)) == 3


def test_retries_run_out(executor, shared_path):
    def fails(file):
        with open(file, "a") as stream:
            stream.write("x")
        raise OSError("never")

    job = executor.map(fails, [str(shared_path / "runs")], retries=3)
    with pytest.raises(OSError, match="never"):
        job.results()
    assert (shared_path / "runs").read_text() == "xxxx"
    assert job.stats()[0].attempts == 4


def permanent_failures():
    """Return a function that fails once for each line of a file, in one of several ways."""

    class NoSuchScene(wrenlite.NotFound):
        pass

    class NotYetThere(wrenlite.NotFound):
        permanent = False

    class BadRow(wrenlite.WrenliteError):
        permanent = True

    class Odd(wrenlite.WrenliteError):
        permanent = property(lambda self: 1 / 0)

    def fails(way, folder):
        import os

        with open(os.path.join(folder, way), "a") as stream:
            stream.write("x")
        if way == "wrapped":
            try:
                raise wrenlite.NotFound(way)
            except wrenlite.NotFound as error:
                raise OSError(way) from error
        if way == "value":
            return (each for each in way)
        if way == "none":
            return way
        raise {
            "not found": wrenlite.NotFound,
            "denied": wrenlite.AccessDenied,
            "setting": wrenlite.ConfigError,
            "inherited": NoSuchScene,
            "set": BadRow,
            "unset": NotYetThere,
            "odd": Odd,
            "store": wrenlite.StoreError,
        }[way](way)

    return fails


def test_permanent_errors_are_not_tried_again(executor, shared_path):
    once = ["not found", "denied", "setting", "inherited", "set", "value", "none"]
    thrice = ["unset", "odd", "wrapped", "store"]
    job = executor.map(
        permanent_failures(), [*once, *thrice], args=(str(shared_path),), retries=2, chunksize=4
    )
    job.wait()
    assert {way: len((shared_path / way).read_text()) for way in once + thrice} == {
        **dict.fromkeys(once, 1),
        **dict.fromkeys(thrice, 3),
    }
    assert [stats.attempts for stats in job.stats()] == [1] * len(once) + [3] * len(thrice)
    assert sorted(job.errors()) == [task for task in range(len(once + thrice)) if task != once.index("none")]
    error = job[0].exception()
    assert type(error) is wrenlite.NotFound
    assert "attempt 1" in "".join(error.__notes__)
    assert "attempt 3" in "".join(job[len(once)].exception().__notes__)


def test_a_single_call_with_a_permanent_error_is_not_tried_again(executor, shared_path):
    future = executor.submit(permanent_failures(), "setting", str(shared_path), retries=2)
    with pytest.raises(wrenlite.ConfigError, match="setting"):
        future.result()
    assert (shared_path / "setting").read_text() == "x"


def test_generators_are_refused_as_values(executor):
    def generate(n):
        yield n

    with pytest.raises(wrenlite.ResultNotPicklable, match=r"generate returned a generator.*list"):
        executor.map(generate, [1]).results()


def test_a_value_that_cannot_be_pickled_is_named(executor):
    def locked(n):
        import threading

        return {"state": [n, threading.Lock()]}

    with pytest.raises(
        wrenlite.ResultNotPicklable, match=r"locked returned .* \['state'\]\[1\] \(type lock\)"
    ) as caught:
        executor.map(locked, [1]).results()
    assert "Return what it is made from, or write it to a file" in str(caught.value)
    assert "inside the function" not in str(caught.value)


def test_what_cannot_be_pickled_is_refused_before_anything_runs(executor):
    lock = threading.Lock()
    with pytest.raises(wrenlite.FunctionNotPicklable, match="'lock'"):
        executor.map(lambda x: lock, [1])
    with pytest.raises(wrenlite.ItemNotPicklable, match="item 1"):
        executor.map(abs, [1, lock])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chunksize": 0}, "chunksize=0"),
        ({"retries": -1}, "retries=-1"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": "5"}, "timeout='5'"),
        ({"env": {"A": 1}}, r"^env\['A'\]: name and value must be str"),
        ({"env": {"A": "\0"}}, "NUL"),
        ({"env": {"A=B": "1"}}, r"env\['A=B'\]: .* must not be empty or contain '='"),
        ({"env": {"": "1"}}, r"env\[''\]: .* must not be empty"),
        ({"env": {"A": "\ud83d"}}, r"^env\['A'\]: .* must not contain a surrogate"),
        ({"env": {"\udfff": ""}}, r"^env\['\\udfff'\]: .* must not contain a surrogate"),
        ({"env": ["A=1"]}, r"^env=\['A=1'\]: must map names of environment variables to text$"),
        ({"args": 3}, r"^args=3: must be a tuple of positional arguments: args=\(3,\)$"),
        ({"args": "ab"}, r"^args='ab': must be a tuple of positional arguments: args=\('ab',\)$"),
        ({"kwargs": ["z"]}, r"^kwargs=\['z'\]: must map names of arguments to values$"),
        ({"kwargs": {1: 2}}, r"^kwargs=\{1: 2\}: must map names of arguments to values$"),
        ({"data": 3}, "^data=3: must be an iterable of items, such as a list: "),
    ],
)
def test_invalid_options_are_refused(options, words):
    executor = wrenlite.Executor.inline()  # they are checked before any backend is asked
    lock = threading.Lock()  # pickling it would fail
    for run in (executor.map, executor.starmap, functools.partial(executor.map_reduce, reduce_fn=list)):
        with pytest.raises(wrenlite.ConfigError, match=words):
            run(lambda x: lock, **{"data": [lock], **options})
    with pytest.raises(wrenlite.ConfigError, match="callable"):
        executor.map(5, [1])
    with pytest.raises(wrenlite.ConfigError, match="data=3: must be an iterable"):
        executor.map(abs, 3)
    with pytest.raises(
        wrenlite.ConfigError, match="must be ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION"
    ):
        executor.map(abs, [1]).wait(return_when="ALL")


def test_env_sets_environment_variables_for_one_job(executor):
    def read(_):
        import os

        return os.environ.get("WL_JOB")

    bytes_no_text = b"caf\xe9".decode(errors="surrogateescape")  # as os.environ has them
    for text in ("mine", bytes_no_text):
        assert executor.map(read, [0], env={"WL_JOB": text}).results() == [text]
    assert executor.map(read, [0]).results() == [None]
    assert "WL_JOB" not in os.environ


def test_any_chunksize_gives_the_same_values(executor):
    for chunksize in (1, 3, 1000):
        assert executor.map(square, range(10), chunksize=chunksize).results() == [x * x for x in range(10)]


@pytest.mark.parametrize("timeout", ["1", True, [1], float("nan")])
def test_a_timeout_that_is_no_number_of_seconds_is_refused_everywhere(timeout):
    with wrenlite.Executor.inline() as executor:
        job = executor.map(square, [3])
        standard = executor.as_concurrent()
        for wait in (
            job.wait,
            lambda timeout: job.results(timeout=timeout),
            lambda timeout: job.values(timeout=timeout),
            job.as_completed,
            job[0].result,
            job[0].exception,
            lambda timeout: wrenlite.wait(job, timeout),
            lambda timeout: wrenlite.as_completed(job, timeout),
            lambda timeout: standard.map(square, [3], timeout=timeout),
        ):
            with pytest.raises(wrenlite.ConfigError, match=r"timeout=.*: must be a number of seconds"):
                wait(timeout)
            wait(-1)
            wait(np.float32(60))
        assert job.results(timeout=float("inf")) == [9]


def test_as_completed_gives_each_future_once(executor):
    job = executor.map(square, range(50))
    assert sorted(future.result() for future in job.as_completed()) == [x * x for x in range(50)]


def test_values_stream_and_are_released(executor):
    job = executor.map(square, range(20))
    assert list(job.values()) == [x * x for x in range(20)]
    with pytest.raises(wrenlite.ValueReleased, match="values"):
        job[3].result()
    job = executor.map(square, range(20))
    assert sorted(job.values(ordered=False)) == [x * x for x in range(20)]


def test_a_result_is_the_same_object_every_time(executor):
    job = executor.map(lambda n: [n], [1])
    assert job[0].result() is job.results()[0]


def test_every_way_to_wait(executor):
    job = executor.map(lambda x: 1 // x, [1, 0, 2])
    assert job.wait()
    assert job.wait(timeout=0)
    assert job.wait(return_when=concurrent.futures.FIRST_COMPLETED)
    assert job.wait(return_when=concurrent.futures.FIRST_EXCEPTION)
    words = "return_when='SOME': must be ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION"
    with pytest.raises(wrenlite.ConfigError, match=words):
        job.wait(return_when="SOME")
    done, pending = wrenlite.wait(job)
    assert (done, pending) == (list(job), [])
    assert wrenlite.wait(job, return_when=wrenlite.ALWAYS) == (list(job), [])
    assert wrenlite.wait(job[:1], return_when=wrenlite.ANY_COMPLETED) == ([job[0]], [])
    assert set(wrenlite.as_completed(job)) == set(job)
    assert wrenlite.get_all_results([job[0], job[2]]) == [1, 0]


def test_the_standard_library_accepts_these_futures(executor):
    job = executor.map(lambda x: 1 // x, [1, 0])
    done = concurrent.futures.wait(job, return_when=concurrent.futures.ALL_COMPLETED).done
    assert done == set(job)
    assert set(concurrent.futures.as_completed(job)) == set(job)
    called = []
    job[0].add_done_callback(called.append)
    assert called == [job[0]]

    async def gather():
        return await asyncio.gather(*job, return_exceptions=True)

    one, error = asyncio.run(gather())
    assert one == 1
    assert isinstance(error, ZeroDivisionError)


def test_a_job_can_be_awaited(executor):
    async def main():
        return await executor.map(square, range(3)), await executor.submit(square, 4)

    assert asyncio.run(main()) == ([0, 1, 4], 16)


def test_every_task_has_stats(executor):
    job = executor.map(square, range(5))
    job.results()
    for number, stats in enumerate(job.stats()):
        assert stats.task == number
        assert stats.state == "done"
        assert stats.attempts == 1
        assert stats.queued <= stats.dispatched <= stats.started <= stats.finished
        assert stats.seconds >= 0
        assert stats.worker
    assert job[2].stats() == job.stats()[2]


def test_a_snapshot_counts_every_task(executor):
    job = executor.map(lambda x: 1 // x, [0, 1, 2])
    job.wait()
    now = job.snapshot()
    assert (now.total, now.queued, now.dispatched, now.done, now.failed, now.cancelled) == (3, 0, 0, 2, 1, 0)
    assert now.finished == 3
    assert now.seconds > 0
    assert job.snapshot().seconds == now.seconds


def test_cancelling_an_ended_job_changes_nothing(executor):
    job = executor.map(square, [3])
    assert job.results() == [9]
    assert job.cancel() == 0
    assert job[0].cancel() is False
    assert job[0].result() == 9


def test_a_map_after_shutdown_is_refused(executor):
    executor.shutdown()
    executor.shutdown()
    with pytest.raises(wrenlite.ExecutorClosed, match="make a new one"):
        executor.map(abs, [1])


def test_two_jobs_run_on_one_executor(executor):
    first, second = executor.map(square, range(30)), executor.map(operator.neg, range(30))
    assert second.results() == [-x for x in range(30)]
    assert first.results() == [x * x for x in range(30)]


def test_instances_of_the_callers_own_classes_come_back(executor):
    class Point:
        def __init__(self, x):
            self.x = x

    points = executor.map(lambda p: Point(p.x + 1), [Point(1), Point(2)]).results()
    assert [type(p) for p in points] == [Point, Point]
    assert [p.x for p in points] == [2, 3]


def test_cached_functions_travel_with_an_empty_cache(executor):
    @functools.cache
    def fibonacci(n):
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert executor.map(fibonacci, [30, 31]).results() == [832040, 1346269]
    assert executor.map(lambda n: (fibonacci(n), fibonacci.cache_info().maxsize), [5]).results() == [
        (5, None)
    ]


def test_state_that_tasks_change_is_not_seen_by_the_next_job(executor):
    def remember(x, seen=[]):  # noqa: B006  # what is tested
        seen.append(x)
        return len(seen)

    first = executor.map(remember, range(8), chunksize=8).results()
    assert executor.map(remember, range(8), chunksize=8).results() == first == list(range(1, 9))


def test_a_value_does_not_share_memory_with_an_array_that_the_task_keeps(executor):
    buffer = np.zeros(50_000)

    def fill(n):
        buffer[:] = n
        return buffer

    assert [value[0] for value in executor.map(fill, range(3), chunksize=3).results()] == [0, 1, 2]


def test_an_exception_that_is_its_own_cause_comes_back(executor):
    def fails(_):
        error = ValueError("its own cause")
        raise error from error

    assert isinstance(executor.map(fails, [0])[0].exception(), ValueError)


def test_raising_an_exception_again_does_not_grow_its_traceback(executor):
    job = executor.map(lambda x: 1 // x, [0])
    lengths = set()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError) as caught:
            job[0].result()
        lengths.add(len(caught.traceback))
    assert len(lengths) == 1


def test_wait_takes_several_jobs(executor):
    jobs = [executor.map(square, range(3)) for _ in range(2)]
    done, pending = wrenlite.wait(jobs)
    assert (len(done), pending) == (6, [])


def test_a_timeout_of_await_cancels_the_job(pool, tmp_path):
    def wait_for_flag(folder):
        import os
        import time

        while not os.path.exists(folder):
            time.sleep(0.01)

    job = pool.map(wait_for_flag, [str(tmp_path / "flag")] * 4)

    async def main():
        await asyncio.wait_for(job, 0.2)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert job.wait(5)
    assert job.snapshot().cancelled == 4


def test_a_job_is_freed_with_its_ended_futures(executor):
    gc.collect()
    gc.disable()
    try:
        future = executor.submit(square, 3)
        assert future.result() == 9
        future.job.wait()  # for the thread that draws the job too, which holds it
        job_ref = weakref.ref(future.job)
        del future
        executor.submit(square, 4).result()  # so that the scheduling thread drops its last references
        end = time.monotonic() + 30
        while job_ref() is not None and time.monotonic() < end:  # the thread of callbacks drops its own soon
            time.sleep(0.005)
        assert job_ref() is None
    finally:
        gc.enable()


def test_representations_name_the_object_and_its_state(executor):
    job = executor.map(square, [1])
    job.wait()
    assert repr(job).startswith("<Job square-")
    assert "1 of 1 finished" in repr(job)
    assert repr(job[0]) == "<Future square[0] done>"
    assert "Executor on" in repr(executor)


def test_a_map_inside_an_inline_task_of_the_same_executor():
    with wrenlite.Executor.inline() as executor:
        # Through sys.modules, since an executor does not travel in a closure.
        import sys

        sys.modules["wl_shared"] = type(sys)("wl_shared")
        sys.modules["wl_shared"].executor = executor
        try:
            job = executor.map(
                lambda n: __import__("wl_shared").executor.map(lambda m: m * n, range(3)).results(), [1, 2]
            )
            assert job.results() == [[0, 1, 2], [0, 2, 4]]
        finally:
            del sys.modules["wl_shared"]


def test_an_executor_of_something_else_than_a_backend_is_refused():
    with pytest.raises(wrenlite.ConfigError, match=r"Executor\.local\(4\)"):
        wrenlite.Executor(4)


class Mine(Exception):
    """An exception that pickle alone cannot rebuild: its ``__init__`` does not take ``args``."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def test_an_exception_that_pickle_cannot_rebuild_comes_back_with_its_type(executor):
    def fails(_):
        raise Mine(7, "boom")

    error = executor.map(fails, [1])[0].exception()
    assert type(error) is Mine
    assert (error.code, str(error)) == (7, "boom")
    assert 'raise Mine(7, "boom")' in "".join(traceback.format_exception(error))


def test_arrays_in_a_ref_are_read_only_whatever_their_size(executor):
    ref = executor.put({"small": np.zeros(3), "large": np.zeros(100_000)})
    job = executor.map(lambda held: [array.flags.writeable for array in held.values()], [ref])
    assert job.results() == [[False, False]]


def test_the_representation_of_a_cancelled_job_says_so(executor):
    job = executor.map(square, range(3))
    job.cancel()
    job.wait()
    assert ("cancelled" in repr(job)) == (job.snapshot().cancelled > 0)


def test_an_executor_inside_a_task_runs_in_that_task(executor):
    def nested(_):
        import os

        with wrenlite.Executor(progress=False) as inner:
            return inner.backend.name, inner.submit(os.getpid).result() == os.getpid()

    assert executor.submit(nested, 0).result() == ("the calling thread", True)
    with wrenlite.Executor.inline() as inline:
        inline.submit(nested, 0).result()
    with wrenlite.Executor(progress=False) as outer:
        assert "local worker" in outer.backend.name


def test_less_memory_than_a_worker_itself_needs_is_refused():
    for size in ("1MB", 2):
        with pytest.raises(
            wrenlite.ConfigError, match=r"^memory_limit=.*: a worker itself needs up to 32 MB"
        ):
            wrenlite.Executor.local(1, memory_limit=size)


def test_a_file_in_place_of_the_store_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with wrenlite.Executor.inline() as executor:
        (store,) = tmp_path.iterdir()
        shutil.rmtree(store)
        store.touch()
        with pytest.raises(wrenlite.StoreError, match="Another program has put a file where") as caught:
            executor.put([1])
        assert "TMPDIR" not in str(caught.value)
