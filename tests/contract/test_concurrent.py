"""``as_concurrent()`` with CPython's own tests for ``concurrent.futures``, where they are installed."""

import concurrent.futures
import importlib.util
import itertools
import threading
import time
import unittest

import pytest

import wrenlite

HAS_TESTS = importlib.util.find_spec("test.test_concurrent_futures") is not None

if HAS_TESTS:  # from Python 3.12 on they are a package
    from test.test_concurrent_futures.executor import ExecutorTest
    from test.test_concurrent_futures.test_as_completed import AsCompletedTests
    from test.test_concurrent_futures.test_shutdown import ExecutorShutdownTest
    from test.test_concurrent_futures.test_wait import WaitTests
else:
    ExecutorTest, AsCompletedTests, ExecutorShutdownTest, WaitTests = (
        type("Absent", (), {}) for _ in range(4)
    )


class Mixin:
    """The attributes that CPython's mixins need in a test case."""

    worker_count = 5

    def setUp(self):
        self.wrenlite_executor = wrenlite.Executor.local(self.worker_count, progress=False)
        self.executor = self.wrenlite_executor.as_concurrent()

    def tearDown(self):
        self.executor.shutdown()
        self.wrenlite_executor.shutdown()


needs_tests = pytest.mark.skipif(not HAS_TESTS, reason="this Python was installed without CPython's tests")


@needs_tests
class TestExecutor(Mixin, ExecutorTest, unittest.TestCase):
    test_max_workers_negative = None  # the wrenlite executor has the workers


@needs_tests
class TestWait(Mixin, WaitTests, unittest.TestCase):
    pass


@needs_tests
class TestAsCompleted(Mixin, AsCompletedTests, unittest.TestCase):
    pass


@needs_tests
class TestShutdown(Mixin, ExecutorShutdownTest, unittest.TestCase):
    # These tests run programs that import the executor from concurrent.futures by its name.
    test_interpreter_shutdown = test_submit_after_interpreter_shutdown = None
    # These tests call the type of the executor, which has other arguments.
    test_cancel_futures = test_hang_gh83386 = test_hang_gh94440 = None


@pytest.fixture
def standard(pool):
    return pool.as_concurrent()


def test_its_shutdown_leaves_the_wrenlite_executor_open(pool, standard):
    assert isinstance(standard, concurrent.futures.Executor)
    with standard:
        assert standard.submit(pow, 2, 5).result() == 32
        assert list(standard.map(pow, [2, 3, 4], [3, 2])) == [8, 9]
    with pytest.raises(RuntimeError, match="shut down"):
        standard.submit(abs, 1)
    with pytest.raises(RuntimeError, match="shut down"):
        standard.map(abs, [1])
    assert pool.submit(abs, -1).result() == 1


def test_map_raises_the_exception_of_a_task_and_times_out(standard):
    values = standard.map(divmod, [5, 1, 7], [2, 0, 2])
    assert next(values) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        next(values)
    with pytest.raises(TimeoutError):
        list(standard.map(time.sleep, [0, 600], timeout=0.2))


def test_shutdown_cancels_tasks_that_were_not_sent_to_a_worker(standard, tmp_path):
    def wait_for_flag(folder):
        import os
        import time

        while not os.path.exists(folder):
            time.sleep(0.01)
        return "ran"

    futures = [standard.submit(wait_for_flag, str(tmp_path / "flag")) for _ in range(10)]
    while sum(future.running() for future in futures) < 2:
        time.sleep(0.01)
    running = [future for future in futures if future.running()]
    others = [future for future in futures if future not in running]
    closing = threading.Thread(target=standard.shutdown, kwargs={"cancel_futures": True}, daemon=True)
    closing.start()
    assert concurrent.futures.wait(others, 10).not_done == set()
    (tmp_path / "flag").touch()
    closing.join(30)
    assert [future.result() for future in running] == ["ran", "ran"]
    assert all(future.cancelled() for future in others)


def test_map_reads_ahead_at_most_buffersize_items(executor):
    standard = executor.as_concurrent()
    values = standard.map(pow, itertools.count(1), itertools.repeat(2), buffersize=3, timeout=30)
    assert list(itertools.islice(values, 4)) == [1, 4, 9, 16]
    standard.shutdown()
    rest = []
    with pytest.raises(RuntimeError, match="was closed before its data was read to the end"):
        rest.extend(values)
    assert rest == [number * number for number in range(5, 5 + len(rest))]
    assert len(rest) <= 3


def test_shutdown_cancels_only_calls_that_were_submitted_through_it(executor):
    if executor.backend.runs_in_caller:
        pytest.skip("every call has ended when submit returns")
    standard = executor.as_concurrent()
    others = [executor.submit(time.sleep, 0.05) for _ in range(20)]
    own = [standard.submit(time.sleep, 0.05) for _ in range(20)]
    standard.shutdown(cancel_futures=True)
    assert [future.result() for future in others] == [None] * 20
    assert all(future.done() for future in own)
    assert any(future.cancelled() for future in own)
