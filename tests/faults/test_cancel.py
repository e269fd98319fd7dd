"""Cancelled tasks and jobs in every state, timeouts of waiting, and shutdowns."""

import asyncio
import concurrent.futures
import queue
import time

import pytest

import wrenlite


@pytest.fixture
def blocked(tmp_path):
    """Tasks that record that they run, and block until the file ``release_file`` exists."""

    class Blocked:
        release_file = tmp_path / "open"

        @staticmethod
        def task(n, folder=str(tmp_path)):
            import os
            import time

            with open(os.path.join(folder, f"ran-{n}"), "a") as file:
                file.write("x")
            while not os.path.exists(os.path.join(folder, "open")):
                time.sleep(0.01)
            return n

        @staticmethod
        def runs():
            return {file.name: file.read_text() for file in tmp_path.glob("ran-*")}

        def wait_until_running(self, *tasks):
            end = time.monotonic() + 30
            while not {f"ran-{n}" for n in tasks} <= {name for name, text in self.runs().items() if text}:
                assert time.monotonic() < end, f"only {self.runs()} ran"
                time.sleep(0.01)

    yield Blocked()
    Blocked.release_file.touch()  # or the tasks of a failed test would never end


async def awaited(future):
    return await future


def test_a_queued_task_never_starts(pool, blocked):
    job = pool.map(blocked.task, range(5), chunksize=1)
    blocked.wait_until_running(0, 1)
    assert job[4].cancel()
    assert job[4].cancelled()
    assert job[4].cancel()  # twice
    blocked.release_file.touch()
    assert job.wait(30)
    assert [future.cancelled() for future in job] == [False] * 4 + [True]
    for wait in (lambda: job[4].result(), lambda: job[4].exception(), lambda: asyncio.run(awaited(job[4]))):
        with pytest.raises(concurrent.futures.CancelledError, match=f"^task 4 of {job.id} was cancelled$"):
            wait()
    with pytest.raises(concurrent.futures.CancelledError):
        job.results()
    assert job.results(return_exceptions=True)[:4] == [0, 1, 2, 3]
    assert "ran-4" not in blocked.runs()
    assert job.snapshot().cancelled == 1


def test_a_cancelled_running_task_is_killed_and_the_rest_of_its_batch_runs_elsewhere(pool, blocked):
    job = pool.map(blocked.task, range(3), chunksize=3)
    blocked.wait_until_running(0)
    assert job[0].cancel()
    blocked.wait_until_running(1)  # it can only run because task 0 was killed
    blocked.release_file.touch()
    assert job.results(return_exceptions=True)[1:] == [1, 2]
    assert blocked.runs() == {"ran-0": "x", "ran-1": "x", "ran-2": "x"}
    assert [stats.attempts for stats in job.stats()] == [0, 1, 1]


def test_a_task_that_waits_in_its_batch_is_dropped(pool, blocked):
    job = pool.map(blocked.task, range(3), chunksize=3)
    blocked.wait_until_running(0)
    assert job[1].cancel()
    blocked.release_file.touch()
    assert job.wait(30)
    assert [future.cancelled() for future in job] == [False, True, False]
    assert job[2].result() == 2


def test_a_cancelled_job_keeps_its_finished_values(pool, blocked):
    blocked_task = blocked.task
    job = pool.map(lambda n: n if n < 2 else blocked_task(n), range(100), chunksize=1)
    blocked.wait_until_running(2, 3)
    assert job[0].result() == 0
    assert job.cancel() == 98
    assert job.cancel() == 0
    assert job.wait(30)
    assert job.results(return_exceptions=True)[:2] == [0, 1]
    assert pool.map(abs, [-1]).results() == [1]  # the workers were replaced


def test_futures_made_before_and_after_a_cancel_are_cancelled(pool, blocked):
    job = pool.map(blocked.task, range(4))
    early = job[3]
    called = queue.SimpleQueue()
    early.add_done_callback(called.put)
    job.cancel()
    assert early.cancelled()
    assert called.get(timeout=30) is early
    assert job[2].cancelled()
    assert concurrent.futures.wait(job, 30).not_done == set()


def test_a_cancel_of_one_job_does_not_affect_another(pool, blocked):
    first = pool.map(blocked.task, range(4), chunksize=1)
    second = pool.map(lambda n: n, range(50))
    blocked.wait_until_running(0, 1)
    first.cancel()
    assert second.results(timeout=30) == list(range(50))


def test_shutdown_can_cancel_all_jobs(blocked):
    executor = wrenlite.Executor.local(2)
    job = executor.map(blocked.task, range(10), chunksize=1)
    blocked.wait_until_running(0, 1)
    executor.shutdown(wait=False, cancel_futures=True)  # the tasks would never end by themselves
    assert job.wait(30)
    assert all(future.cancelled() for future in job)
    executor.shutdown()


def test_shutdown_waits_for_running_jobs(blocked):
    executor = wrenlite.Executor.local(2)
    job = executor.map(blocked.task, range(4), chunksize=1)
    executor.shutdown(wait=False)
    assert not job.wait(0)
    blocked.release_file.touch()
    executor.shutdown()
    assert job.results() == [0, 1, 2, 3]


def test_an_executor_without_references_finishes_its_jobs(blocked):
    job = wrenlite.Executor.local(2).map(blocked.task, range(4))
    blocked.release_file.touch()
    assert job.results(timeout=30) == [0, 1, 2, 3]


def test_every_wait_has_a_timeout(pool, blocked):
    job = pool.map(blocked.task, [0])
    with pytest.raises(TimeoutError) as caught:
        job.results(timeout=0.05)
    assert str(caught.value) == f"{job!r}: not all tasks ended within timeout=0.05 s; they go on"
    for wait in (job[0].result, job[0].exception):
        with pytest.raises(TimeoutError) as caught:
            wait(timeout=0.05)
        assert str(caught.value) == f"task 0 of {job.id} has not ended within timeout=0.05 s; it goes on"
    for iterator in (job.as_completed(timeout=0.05), job.values(timeout=0.05)):
        with pytest.raises(
            TimeoutError, match="the next task has not ended in time; the job goes on"
        ) as caught:
            next(iterator)
        assert str(caught.value).startswith(f"{job!r}: ")
    assert job.wait(0.05) is False
    assert wrenlite.wait(job, timeout=0.05) == ([], [job[0]])
    blocked.release_file.touch()
    assert job.results() == [0]


def test_a_cancel_never_hits_tasks_of_the_next_request(pool):
    for round_ in range(100):
        job = pool.map(abs, range(12), chunksize=2)
        cancelled = job[round_ % 12].cancel()
        values = job.results(return_exceptions=True)
        for number, value in enumerate(values):
            if number == round_ % 12 and cancelled:
                assert isinstance(value, concurrent.futures.CancelledError)
            else:
                assert value == number, f"in round {round_}"


@pytest.mark.parametrize("pause", [0.0, 0.005, 0.02, 0.05])
def test_a_cancel_while_the_worker_starts_does_not_affect_other_tasks(pause):
    with wrenlite.Executor.local(1, progress=False) as executor:
        job = executor.map(lambda n: n, range(5), chunksize=1)
        time.sleep(pause)  # a cancel must work at every moment of the start
        cancelled = job[0].cancel()
        values = job.results(return_exceptions=True)
    assert values[1:] == [1, 2, 3, 4]
    assert cancelled == isinstance(values[0], concurrent.futures.CancelledError)


def test_a_cancel_at_any_moment_does_not_affect_the_next_job(pool):
    def nap(n):
        import time

        time.sleep(0.002)
        return n

    for round_ in range(20):
        job = pool.map(nap, range(10))
        time.sleep(0.001 * round_)
        job.cancel()
        assert pool.map(nap, range(3)).results() == [0, 1, 2]


def test_a_shutdown_right_after_a_map_cancels_it():
    for _ in range(10):
        executor = wrenlite.Executor.local(1, progress=False)
        executor.submit(abs, 1).result()
        job = executor.map(time.sleep, [30] * 2)
        executor.shutdown(cancel_futures=True)
        assert job.snapshot().cancelled == 2


def test_a_shutdown_while_a_map_reads_its_data_refuses_the_map():
    executor = wrenlite.Executor.local(1, progress=False)

    def data():
        yield 1
        executor.shutdown()
        yield 2

    executor.submit(abs, 1).result()
    with pytest.raises(wrenlite.ExecutorClosed):
        executor.map(abs, data())


def test_a_callback_may_cancel_another_job(pool, blocked):
    job = pool.map(blocked.task, range(2), chunksize=1)
    blocked.wait_until_running(0, 1)
    first = pool.submit(abs, 1)
    first.add_done_callback(lambda _: job.cancel())
    job[0].cancel()  # frees a slot for the other job
    assert job.wait(30)
    assert first.result() == 1


def test_a_task_that_is_named_twice_is_cancelled_once(pool, tmp_path):
    def wait_for_file(path):
        import os
        import time

        while not os.path.exists(path):
            time.sleep(0.01)

    file = tmp_path / "go on"
    job = pool.map(wait_for_file, [str(file)] * 4, chunksize=1)
    assert job.cancel_tasks([3, 3]) == 1
    assert not job.wait(0), "three tasks have not ended"
    file.touch()
    assert job.wait(60)
    assert job.snapshot().cancelled == 1
