"""``Pool`` and ``LambdaPool``: the interface of ``multiprocessing.pool.Pool``, on every backend."""

import contextlib
import copy
import gc
import itertools
import logging
import multiprocessing
import operator
import os
import queue
import threading
import time
import weakref
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

import wrenlite


def double(x):
    if x == 3:
        raise ValueError(x)
    return 2 * x


def with_keyword(x, *, y):
    return x - y


def set_model(value):
    global MODEL
    MODEL = value


def model(_):
    return MODEL


@pytest.fixture
def calls(executor):
    """A pool on each backend."""
    return wrenlite.Pool(executor=executor)


@pytest.fixture
def gate(tmp_path):
    """A pipe that tasks read from, until somebody writes."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


def test_calls_and_maps(calls):
    assert calls.apply(with_keyword, (5,), {"y": 2}) == 3
    assert calls.map(operator.neg, range(4)) == [0, -1, -2, -3]
    assert calls.starmap(operator.sub, [(5, 2), (1, 1)], chunksize=1) == [3, 0]
    assert calls.apply_async(pow, (2, 5)).get(timeout=60) == 32
    assert calls.map_async(abs, [-1, -2]).get() == [1, 2]
    assert calls.starmap_async(divmod, [(5, 2)]).get() == [(2, 1)]
    assert list(calls.imap(abs, [-3, -1, -2])) == [3, 1, 2]
    assert sorted(calls.imap_unordered(abs, [-3, -1, -2])) == [1, 2, 3]
    assert calls.map(abs, []) == list(calls.imap(abs, [])) == []


def test_a_function_may_be_given_by_its_dotted_name(calls):
    assert calls.map("math.factorial", [0, 4]) == [1, 24]
    assert calls.apply("os.path.join", ("a", "b")) == "a/b"
    assert list(calls.imap(f"{__name__}.double", [1])) == [2]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("math.factoril", "module 'math' has no attribute 'factoril'"),
        ("no_such_module.f", "No module named 'no_such_module'"),
        ("math.pi", "no function, but 3.14"),
        ("math.", "invalid format"),
    ],
)
def test_a_name_without_a_function_is_refused_before_anything_is_sent(pool, name, reason):
    calls = wrenlite.Pool(executor=pool)
    for method in (calls.map, calls.imap, calls.map_async):
        with pytest.raises(wrenlite.ConfigError, match=reason):
            method(name, [1])
    with pytest.raises(wrenlite.ConfigError, match=reason):
        calls.apply(name)


def test_results_that_come_later(pool, gate):
    calls = wrenlite.Pool(executor=pool)
    ways = (
        lambda: calls.apply_async(Path.read_text, (gate,)),
        lambda: calls.map_async(Path.read_text, [gate]),
    )
    for make in ways:
        result = make()
        assert not result.ready()
        with pytest.raises(ValueError, match="has not ended"):
            result.successful()
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(timeout=0)
        result.wait(0)
        gate.write_text("open")
        assert result.get() in ("open", ["open"])
        assert result.ready()
        assert result.successful()


def test_a_failed_call(calls):
    for result in (calls.apply_async(double, (3,)), calls.map_async(double, range(5))):
        result.wait()
        assert result.ready()
        assert not result.successful()
        with pytest.raises(ValueError, match="3"):
            result.get()


def test_callbacks_have_returned_when_the_result_is_ready(calls):
    values, errors = [], []
    both = {"callback": values.append, "error_callback": errors.append}
    calls.apply_async(abs, (-1,), **both).wait()
    calls.map_async(double, [1, 2], **both).wait()
    calls.starmap_async(pow, [], **both).wait()
    assert values == [1, [2, 4], []]
    calls.apply_async(double, (3,), **both).wait()
    calls.map_async(double, range(5), **both).wait()
    assert [str(error) for error in errors] == ["3", "3"]
    assert len(values) == 3


def test_a_callback_that_raises_is_logged_and_may_use_the_pool(pool, caplog):
    calls = wrenlite.Pool(executor=pool)
    got = queue.SimpleQueue()

    def fail(value):
        got.put(calls.apply(abs, (-value,)))
        raise KeyError("logged")

    calls.apply_async(abs, (-7,), callback=fail).wait()
    assert got.get() == 7
    assert "exception calling callback" in caplog.text


def test_a_callback_that_waits_for_itself_is_told_so(pool, caplog):
    calls, made = wrenlite.Pool(executor=pool), queue.SimpleQueue()

    def wait_for_itself(_):
        made.get().wait()

    def join(_):
        calls.close()
        calls.join()

    result = calls.apply_async(abs, (1,), callback=wait_for_itself)
    made.put(result)
    result.wait(60)
    calls.apply_async(abs, (1,), callback=join).wait(60)
    assert caplog.text.count("a callback cannot wait for itself") == 2
    calls.join()


def test_threads_may_share_an_iterator(pool):
    values, got = wrenlite.Pool(executor=pool).imap(time.sleep, [0.02] * 20), []

    def read():
        got.extend(values)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    with contextlib.suppress(multiprocessing.TimeoutError, StopIteration):
        got.append(values.next(timeout=0.001))
    for thread in threads:
        thread.join(60)
    assert got == [None] * 20


def test_join_waits_for_callbacks_of_results_that_nobody_holds(pool):
    calls, got = wrenlite.Pool(executor=pool), []

    def slow(value):
        time.sleep(0.1)
        got.append(value)

    for x in range(3):
        calls.apply_async(abs, (x,), callback=slow)
    gc.collect()
    calls.close()
    calls.join()
    assert sorted(got) == [0, 1, 2]


def test_iterators_go_on_behind_an_exception(calls):
    values = calls.imap(double, range(6))
    got = []
    for _ in range(6):
        try:
            got.append(next(values))
        except ValueError as error:
            got.append(repr(error))
    assert got == [0, 2, 4, "ValueError(3)", 8, 10]
    with pytest.raises(StopIteration):
        values.next(timeout=60)


def test_iterators_read_endless_data(pool):
    calls = wrenlite.Pool(executor=pool)
    values = calls.imap(operator.neg, itertools.count())
    assert list(itertools.islice(values, 3000)) == list(range(0, -3000, -1))
    unordered = calls.imap_unordered(operator.neg, itertools.count(), chunksize=7)
    assert len(set(itertools.islice(unordered, 3000))) == 3000
    assert unordered._values.job._tasks.forgotten > 0
    calls.terminate()
    calls.join()


def test_an_exception_in_the_data_comes_behind_the_values_before_it(pool):
    calls = wrenlite.Pool(executor=pool)

    def data(n):
        yield from range(n)
        raise KeyError("no more")

    for n in (0, 2):
        values = calls.imap(abs, data(n))
        assert [next(values) for _ in range(n)] == list(range(n))
        with pytest.raises(KeyError, match="no more"):
            next(values)


def test_values_come_unordered_and_a_timeout_loses_none(pool, gate):
    calls = wrenlite.Pool(executor=pool)
    values = calls.imap_unordered(Path.read_text, [gate, Path(os.devnull)])
    assert next(values) == ""
    with pytest.raises(multiprocessing.TimeoutError):
        values.next(timeout=0.01)
    gate.write_text("open")
    assert values.next(timeout=60) == "open"


def test_close_and_join_leave_iterators_and_results_readable():
    calls = wrenlite.Pool(2)
    read = []

    def data():
        for x in range(3000):
            read.append(x)
            yield -x

    values, result = calls.imap(abs, data()), calls.apply_async(bytes, (10_000_000,))
    assert len(read) < 3000
    with pytest.raises(ValueError, match="still runs"):
        calls.join()
    calls.close()
    assert next(values) == 0
    calls.join()
    assert len(read) == 3000
    assert list(values) == list(range(1, 3000))
    assert len(result.get()) == 10_000_000
    for use in (calls.__enter__, lambda: calls.apply(abs, (1,)), lambda: calls.imap(abs, [])):
        with pytest.raises(ValueError, match="was closed"):
            use()


def test_leaving_a_with_block_cancels_only_calls_of_the_pool(pool, gate):
    other = pool.map(operator.neg, range(3))
    with wrenlite.Pool(executor=pool) as calls:
        results = [calls.apply_async(Path.read_text, (gate,)), calls.map_async(Path.read_text, [gate] * 3)]
        values = calls.imap(Path.read_text, [gate] * 3)
    calls.join()
    for result in results:
        with pytest.raises(CancelledError):
            result.get()
    with pytest.raises((CancelledError, StopIteration)):
        next(values)
    assert other.results() == [0, -1, -2]
    assert pool.submit(abs, -1).result() == 1


def test_workers_are_initialized_and_replaced():
    with wrenlite.Pool(1, set_model, (5,), maxtasksperchild=1) as calls:
        assert calls.map(model, range(2)) == [5, 5]
        assert len({calls.apply(os.getpid) for _ in range(2)}) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"processes": 0},
        {"processes": -1},
        {"processes": 1.5},
        {"maxtasksperchild": "12"},
        {"maxtasksperchild": 0},
        {"initargs": (1,)},
        {"initializer": 3},
    ],
)
def test_arguments_that_cannot_be_used_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        wrenlite.Pool(**wrong)


def test_an_executor_brings_its_workers(pool):
    with pytest.raises(ValueError, match="executor= has its workers"):
        wrenlite.Pool(2, executor=pool)
    with pytest.raises(ValueError, match="chunksize=0"):
        wrenlite.Pool(executor=pool).imap(abs, [1], chunksize=0)


def test_a_pool_in_a_task_runs_inline(pool):
    def inner(n):
        with wrenlite.Pool(4) as calls:
            return calls.map(abs, range(-n, 0)), repr(calls)

    assert pool.submit(inner, 2).result() == ([2, 1], "<Pool on the calling thread>")
    with wrenlite.Executor.inline() as inline:
        assert inline.submit(inner, 2).result() == ([2, 1], "<Pool on the calling thread>")


def test_done_callbacks_of_jobs(executor, caplog):
    called = queue.SimpleQueue()
    job = executor.map(abs, [-1, -2])
    job.add_done_callback(called.put)
    assert called.get(timeout=60) is job
    here = []
    job.add_done_callback(lambda _: here.append(threading.current_thread()))
    assert here == [threading.current_thread()]
    job.add_done_callback(lambda _: 1 / 0)
    assert "ZeroDivisionError" in caplog.text
    with executor.stream(abs) as calls:
        calls.add_done_callback(called.put)
        calls.submit(1).result()
        assert called.empty()
    assert called.get(timeout=60) is calls


class TestLambdaPool:
    def test_it_runs_on_a_function_with_keys_that_are_given(self, bed, monkeypatch, caplog):
        access, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        region, name = os.environ["AWS_DEFAULT_REGION"], os.environ.get("WRENLITE_FUNCTION", "wrenlite")
        for each in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(each, raising=False)
        caplog.set_level(logging.DEBUG, "wrenlite")
        with wrenlite.LambdaPool(
            2, name, access, secret, region, initializer=set_model, initargs=(5,)
        ) as calls:
            assert calls._executor.workers == 2
            assert calls.map("math.factorial", [3, 4]) == [6, 24]
            assert calls.map(model, range(4)) == [5] * 4
            assert calls.apply(lambda: (calls.map(abs, [-1]), repr(calls))) == (
                [1],
                "<Pool on the calling thread>",
            )
            with pytest.raises(wrenlite.ConfigError, match="no other process can take over a job"):
                calls._executor.map(abs, [1], detach=True)
            texts = [repr(calls), repr(vars(calls)), repr(calls._executor.backend), caplog.text]
            texts += (path.read_text("utf-8", "replace") for path in _files(os.environ["WRENLITE_JOURNAL"]))
        assert not any(secret in text or access in text for text in texts)

    def test_wrong_keys_are_named_and_not_shown(self):
        with pytest.raises(wrenlite.ConfigError, match="give both") as caught:
            wrenlite.LambdaPool(aws_access_key_id="AKIA-given")
        assert "AKIA-given" not in str(caught.value)
        with pytest.raises(wrenlite.ConfigError, match="Lambda replaces its workers"):
            wrenlite.LambdaPool(maxtasksperchild=3)
        with pytest.raises(wrenlite.ConfigError, match="workers=0"):
            wrenlite.LambdaPool(0)


def _files(folder):
    return [path for path in Path(folder).rglob("*") if path.is_file()]


class Large:
    """A value that can be referred to weakly."""


def test_values_are_freed_with_their_job_without_the_garbage_collector(pool):
    calls, end = wrenlite.Pool(executor=pool), time.monotonic() + 30
    gc.disable()
    try:
        value = weakref.ref(calls.map(copy.copy, [Large()])[0])
        while value() is not None and time.monotonic() < end:  # threads hold the job for a moment
            time.sleep(0.01)
    finally:
        gc.enable()
    assert value() is None
