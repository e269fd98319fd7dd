"""Jobs whose tasks arrive over time, on every backend: ``stream``, and the jobs that ``submit`` shares."""

import concurrent.futures
import dataclasses
import gc
import threading
import time
import weakref

import pytest

import wrenlite


def square(x):
    return x * x


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


def test_a_stream_takes_calls_until_it_is_closed(executor):
    with executor.stream(pow) as calls:
        futures = [calls.submit(2, power) for power in range(5)]
        assert len(calls) == 5
        assert calls[2] is futures[2]
        assert futures[3].result() == 8
        late = calls.submit(10, exp=2)
    assert calls.results() == [1, 2, 4, 8, 16, 100]
    assert [future.index for future in futures] == [0, 1, 2, 3, 4]
    assert {future.job for future in (*futures, late)} == {calls}
    assert [stats.state for stats in calls.stats()] == ["done"] * 6
    now = calls.snapshot()
    assert (now.total, now.done, now.name) == (6, 6, "pow")
    with pytest.raises(wrenlite.JobClosed) as caught:
        calls.submit(2, 2)
    assert str(caught.value) == f"the job {calls.id} was closed, and takes no more tasks; open another one"


def test_a_stream_without_a_task_ends(executor):
    with executor.stream(square) as calls:
        assert not calls.wait(0)
    assert calls.results() == []
    calls.close()


def test_values_of_a_stream_come_as_they_end_until_it_is_closed(executor):
    calls = executor.stream(square)
    values = calls.values()
    for number in range(3):
        calls.submit(number)
    assert [next(values), next(values)] == [0, 1]
    ended = calls.as_completed()
    assert {next(ended).index for _ in range(3)} == {0, 1, 2}
    calls.close()
    assert list(values) == [4]
    assert list(ended) == []


def test_another_thread_reads_what_this_one_submits(executor):
    calls = executor.stream(square)
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        total = reader.submit(lambda: sum(calls.values()))
        for number in range(200):
            calls.submit(number)
        calls.close()
        assert total.result() == sum(number * number for number in range(200))


def test_threads_submit_to_one_stream(executor):
    each = 50
    with executor.stream(square) as calls, concurrent.futures.ThreadPoolExecutor(4) as threads:
        numbers = range(4 * each)
        futures = list(threads.map(calls.submit, numbers))
    assert [future.result() for future in futures] == [square(number) for number in numbers]
    assert sorted(future.index for future in futures) == list(numbers)
    assert [calls.value(future.index) for future in futures] == [square(number) for number in numbers]


def test_a_failed_call_fails_alone_and_retries_apply(executor):
    with executor.stream(lambda x: 1 // x, retries=1) as calls:
        bad, good = calls.submit(0), calls.submit(1)
    with pytest.raises(ZeroDivisionError):
        bad.result()
    assert good.result() == 1
    assert [stats.attempts for stats in calls.stats()] == [2, 1]


def test_an_exception_in_the_block_cancels_the_rest(executor):
    def fail(calls):
        with calls:
            calls.submit(1)
            raise KeyError

    calls = executor.stream(square)
    with pytest.raises(KeyError):
        fail(calls)
    assert calls.wait(10)
    assert calls.state(0) in ("done", "cancelled")
    with pytest.raises(wrenlite.JobClosed):
        calls.submit(2)


def test_instances_come_back_as_instances_of_the_callers_class(executor):
    with executor.stream(lambda point: point) as calls:
        futures = [calls.submit(Point(number)) for number in range(3)]
    assert [type(future.result()) for future in futures] == [Point] * 3
    assert calls.results() == [Point(0), Point(1), Point(2)]


def test_a_call_that_cannot_be_pickled_is_refused_and_the_stream_goes_on(executor):
    with executor.stream(lambda x: x) as calls:
        first = calls.submit(1)
        with pytest.raises(wrenlite.ItemNotPicklable, match="argument 0"):
            calls.submit(threading.Lock())
        second = calls.submit(2)
    assert (first.result(), second.result()) == (1, 2)
    assert len(calls) == 2


def test_a_seed_gives_each_call_its_numbers(executor):
    def draw(x, rng):
        return x, rng.integers(1 << 60)

    with executor.stream(draw, seed=7) as calls:
        for number in range(3):
            calls.submit(number)
    assert calls.results() == executor.map(draw, range(3), seed=7).results()


def test_shutdown_closes_open_jobs(executor):
    calls = executor.stream(square)
    future = calls.submit(3)
    executor.shutdown()
    assert future.result() == 9
    assert calls.results() == [9]
    with pytest.raises(wrenlite.JobClosed):
        calls.submit(4)
    with pytest.raises(wrenlite.ExecutorClosed):
        executor.submit(square, 4)
    calls.close()


def test_calls_that_come_together_are_tasks_of_one_job(executor):
    futures = [executor.submit(square, number) for number in range(30)]
    assert [future.result() for future in futures] == [number * number for number in range(30)]
    if not executor.backend.runs_in_caller:  # there each call has ended before the next one comes
        assert len({future.job for future in futures}) < 15
    for future in futures:
        assert future.job.wait(10)
        assert future.job[future.index] is future


def test_a_call_that_comes_later_is_a_job_of_its_own(executor):
    first = executor.submit(square, 2)
    assert first.job.results() == [4]
    second = executor.submit(square, 3)
    assert second.job.results() == [9]
    assert first.job is not second.job


RATE = 1


def test_each_call_sees_the_function_as_it_is_at_that_moment(executor):
    global RATE  # as people do in a notebook
    box, functions = [0], []
    for number in range(10):
        functions.append(executor.submit(lambda x, n=number: x + n, 100))
    assert [future.result() for future in functions] == [100 + number for number in range(10)]
    changed = []
    for number in range(10):
        box[0] = number
        changed.append(executor.submit(lambda: box[0]))
    assert [future.result() for future in changed] == list(range(10))
    by_global = []
    scaled = _by_value(lambda x: x * RATE)
    for number in range(10):
        RATE = number
        by_global.append(executor.submit(scaled, 2))
    RATE = 1
    assert [future.result() for future in by_global] == [2 * number for number in range(10)]


def _by_value(function):
    """Return a function as a notebook has it: its module cannot be imported, so that it travels by value."""
    function.__module__ = "__main__"
    return function


def test_options_of_submit(executor):
    attempts = executor.submit(lambda: 1 // 0, retries=2)
    assert isinstance(attempts.exception(), ZeroDivisionError)
    assert attempts.stats().attempts == 3
    assert executor.submit(_variable, "COLOUR", env={"COLOUR": "red"}).result() == "red"
    assert executor.submit(lambda timeout: timeout, timeout="mine").result() == "mine"
    assert executor.submit(dict, retries=5).result() == {"retries": 5}
    draws = [executor.submit(lambda rng: rng.random(), seed=3).result() for _ in range(2)]
    assert draws[0] == draws[1]
    with pytest.raises(wrenlite.ConfigError, match="retries=-1"):
        executor.submit(abs, -1).job and executor.submit(lambda: 0, retries=-1)


def _variable(name):
    import os

    return os.environ[name]


def test_jobs_of_submit_are_freed(executor):
    future = executor.submit(square, 3)
    assert future.result() == 9
    job = weakref.ref(future.job)
    future.job.wait()
    del future
    executor.map(square, range(8), chunksize=1).results()  # so that threads drop their last references
    deadline = time.monotonic() + 30
    while job() is not None:  # the thread of the journal drops its own a moment later
        assert time.monotonic() < deadline, f"held by {gc.get_referrers(job())}"
        gc.collect()


class Left:
    side = "left"


class Right:
    side = "right"


def test_classes_that_come_later_are_the_callers_own(executor):
    made = [type(f"Made{number}", (), {"number": number}) for number in range(4)]
    for each in (*made, Left, Right):
        each.__module__ = "__main__"
    with executor.stream(lambda thing: (thing, type(thing).__name__)) as calls:
        futures = [calls.submit(each()) for each in (*made, Left, Right, *reversed(made))]
    for future, each in zip(futures, (*made, Left, Right, *reversed(made)), strict=True):
        value, name = future.result()
        assert (type(value), name) == (each, each.__name__)
    values = executor.map(lambda thing: thing, (each() for each in made), buffersize=2)
    assert [type(value) for value in values] == made


def test_a_class_that_cannot_be_pickled_leaves_the_stream_as_it_was(executor):
    bad = type("Bad", (), {"lock": threading.Lock()})
    good = type("Good", (), {"number": 3})
    bad.__module__ = good.__module__ = "__main__"
    with executor.stream(lambda thing: type(thing).__name__) as calls:
        assert calls.submit(1).result() == "int"
        with pytest.raises(wrenlite.ItemNotPicklable):
            calls.submit(bad())
        assert calls.submit(2).result() == "int"
        assert calls.submit(good()).result() == "Good"


DEBUG, VERBOSE, FAST = False, True, False


def test_a_call_sees_every_change_though_another_one_runs(executor, shared_path):
    global FAST, DEBUG

    def until(gate, read, argument):
        import os
        import time

        while not os.path.exists(gate):
            time.sleep(0.01)
        return read(argument)

    (shared_path / "open").touch()
    gate = str(shared_path / ("open" if executor.backend.runs_in_caller else "gate"))
    flags = _by_value(lambda _: (DEBUG, VERBOSE, FAST))
    kind = type("Kind", (), {"x": 1})
    kind.__module__ = "__main__"
    read = _by_value(lambda thing: thing.x)
    env = {"Q": "1"}
    held = [executor.submit(until, gate, flags, 0), executor.submit(until, gate, read, kind())]
    variables = [executor.submit(_variable, "Q", env=env)]
    first = executor.submit(flags, 0)
    FAST = True
    second = executor.submit(flags, 0)
    FAST, DEBUG = False, True
    third = executor.submit(flags, 0)
    DEBUG = False
    kind.x = 2
    changed = executor.submit(until, gate, read, kind())
    env["Q"] = "2"
    variables.append(executor.submit(_variable, "Q", env=env))
    (shared_path / "gate").touch()
    assert [each.result() for each in (first, second, third)] == [
        (False, True, False),
        (False, True, True),
        (True, True, False),
    ]
    assert [each.result() for each in (*held, changed)] == [(False, True, False), 1, 2]
    assert [each.result() for each in variables] == ["1", "2"]


def test_a_stream_refuses_wrong_arguments_before_they_are_sent(executor):
    with executor.stream(square) as calls, pytest.raises(wrenlite.ArgumentError, match=r"square\(1, 2\)"):
        calls.submit(1, 2)
    assert len(calls) == 0
