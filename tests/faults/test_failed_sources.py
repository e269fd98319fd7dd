"""Tasks that take values of others: when they run, what they wait for, and what is lost with a source."""

import gc
import threading
import time
from collections import Counter

import numpy as np
import pytest

import wrenlite
from tests.faults.test_lambda_store import client_and_keys


def when(path, value):
    """Return a value once there is a file. A test that fails before it makes the file does not hang."""
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    return value


@pytest.fixture
def three():
    """Three worker processes: one is free while two wait."""
    with wrenlite.Executor.local(3, progress=False) as executor:
        yield executor


def test_each_task_runs_as_soon_as_its_own_values_are_there(three, tmp_path):
    made = three.map(lambda n: when(tmp_path / str(n), n), range(2), chunksize=1)
    taken = three.map(lambda n: n + 10, [made[0], 5, made[1]])
    assert taken[1].result() == 15, "a task that needs no value runs at once"
    (tmp_path / "1").touch()
    assert taken[2].result() == 11
    assert taken.state(0) == "queued"
    assert taken.stats()[0].attempts == 0
    (tmp_path / "0").touch()
    assert taken.results() == [10, 15, 11]


def test_tasks_that_wait_do_not_hold_slots(pool, tmp_path):
    blocked = pool.submit(when, tmp_path / "go", 1)
    waiting = [pool.submit(abs, blocked) for _ in range(20)]
    assert pool.map(abs, range(100)).results() == list(range(100))
    (tmp_path / "go").touch()
    assert [each.result() for each in waiting] == [1] * 20


def test_a_source_is_tried_again_before_those_that_take_its_value_fail(pool, tmp_path):
    def second_time(path):
        if not path.exists():
            path.touch()
            raise OSError("the first time")
        return 7

    made = pool.map(second_time, [tmp_path / "tried"], retries=1)
    taken = pool.map(abs, made)
    assert taken.results() == [7]
    assert made.stats()[0].attempts == 2


def test_cancelling_a_source_ends_what_waits_for_it(pool, tmp_path):
    made = pool.map(lambda n: when(tmp_path / "never", n), range(2), chunksize=1)
    taken, total = pool.map(abs, made), pool.submit(sum, made)
    made.cancel_tasks([1])
    error = taken[1].exception()
    assert isinstance(error, wrenlite.DependencyFailed)
    assert str(error).endswith(f"it takes the value of task 1 of {made.id}, which was cancelled")
    assert isinstance(total.exception(), wrenlite.DependencyFailed), "at once, while task 0 still runs"
    assert taken.state(0) == "queued"
    assert taken.cancel() == 1
    assert made.cancel() == 1


def test_tasks_may_reach_the_scheduler_before_their_sources(pool):
    with pool.stream(lambda n: n) as calls:
        taken = []
        for number in range(300):
            calls.submit(0)
            taken.append(calls.submit(pool.map(abs, [-number])[0]))
    assert [each.result() for each in taken] == list(range(300))


def test_cancelling_everything_fails_nothing(tmp_path):
    with wrenlite.Executor.local(1, progress=False) as executor:
        made = executor.submit(when, tmp_path / "never", 1)
        waiting = executor.map(abs, [made] * 3)
        executor.shutdown(cancel_futures=True)
        assert made.cancelled()
        assert [waiting.state(index) for index in range(3)] == ["cancelled"] * 3


def test_a_long_chain_of_reductions_fails_as_a_whole(pool, tmp_path):
    def fails_later(path):
        when(path, 1)
        raise OSError("late")

    last = first = pool.submit(fails_later, tmp_path / "go")
    for _ in range(700):
        last = pool.map_reduce(abs, [last], sum)
    (tmp_path / "go").touch()
    last.exception()
    assert pool.submit(abs, last).exception().__cause__ is first.exception()
    assert pool.submit(abs, -1).result() == 1


def test_a_task_that_waits_can_be_cancelled(pool, tmp_path):
    made = pool.submit(when, tmp_path / "go", 1)
    first, second = pool.submit(abs, made), pool.submit(abs, made)
    assert first.cancel()
    (tmp_path / "go").touch()
    assert second.result() == 1
    assert first.cancelled()
    assert first.stats().attempts == 0


def test_a_worker_that_dies_fails_what_waits_for_its_task(pool):
    import os

    made = pool.submit(os._exit, 3)
    taken = pool.submit(abs, made)
    with pytest.raises(wrenlite.DependencyFailed, match=r"WorkerDied: .*exited with code 3"):
        taken.result()
    assert isinstance(taken.exception().__cause__, wrenlite.WorkerDied)


def test_a_reduction_over_a_failed_source_fails_with_it(pool):
    made = pool.map(lambda n: 1 / n, [1, 0])
    with pytest.raises(wrenlite.DependencyFailed, match="ZeroDivisionError"):
        pool.map_reduce(abs, made, sum).result()


def test_shutdown_waits_for_tasks_that_wait(tmp_path):
    with wrenlite.Executor.local(1, progress=False) as executor:
        last = executor.submit(when, tmp_path / "go", 1)
        for _ in range(5):
            last = executor.submit(lambda n: n + 1, last)
        threading.Timer(0.2, (tmp_path / "go").touch).start()
    assert last.result() == 6


def test_sources_live_as_long_as_a_task_needs_their_values(pool, tmp_path):
    kept = pool.map(lambda n: np.full(20_000, n), [4, 5], keep=True)
    kept.wait()
    name = kept.id

    def first(array, path):
        return when(path, int(array[0]))

    taken = pool.starmap(first, [(kept[0], tmp_path / "a"), (kept[1], tmp_path / "b")])
    del kept
    gc.collect()
    (tmp_path / "a").touch()
    assert taken[0].result() == 4
    (tmp_path / "b").touch()
    assert taken[1].result() == 5
    gc.collect()
    pool.map(abs, [1]).results()
    assert not list(pool.backend.store.list(f"results/{name}/"))


def test_a_stored_value_that_was_changed_is_not_unpickled(pool):
    kept = pool.map(lambda n: np.full(20_000, n), [4], keep=True)
    refs = kept.refs()
    [entry] = pool.backend.store.list(f"results/{kept.id}/")
    pool.backend.store.put(entry.key, b"something else")
    for data in (kept, refs):
        job = pool.map(lambda array: array, data)
        job.wait()
        error = job.exception(0)
        assert isinstance(error, wrenlite.RemoteError)
        assert "was changed or damaged" in str(error)


def test_submits_that_take_values_of_one_job_share_a_job(pool, tmp_path):
    made = pool.map(lambda n: when(tmp_path / "go", n), range(40))
    taken = [pool.submit(lambda n: n, each) for each in made]
    work = [pool.submit(double, each) for each in made]
    (tmp_path / "go").touch()
    assert [each.result() for each in taken] == [each.result() // 2 for each in work] == list(range(40))
    assert len({each.job for each in work}) == 1


def double(n):
    return 2 * n


def test_on_lambda_kept_values_go_from_worker_to_worker(aws, bed):
    kept = aws.map(lambda n: np.full(100_000, n), range(4), chunksize=1, keep=True)
    kept.wait()
    aws.map(abs, [0]).results(timeout=30)
    bed.reset()
    taken = aws.map(lambda array: int(array.sum()), kept, chunksize=1)
    assert taken.results(timeout=30) == [0, 100_000, 200_000, 300_000]
    counts = bed.counts()
    assert (counts["Invoke"], counts["GetObject"]) == (4, 4), "the workers read each value once"
    assert Counter(stats.attempts for stats in taken.stats()) == {1: 4}


def test_on_lambda_a_value_that_is_gone_fails_the_task_by_name(aws, bed):
    kept = aws.map(lambda n: np.full(100_000, n), [1], keep=True)
    kept.wait()
    client, keys = client_and_keys(bed, "results/")
    for key in keys:
        client.delete_object(Bucket="wrenlite-bed", Key=key)
    job = aws.map(lambda array: array, kept)
    job.wait(30)
    error = job.exception(0)
    assert isinstance(error, wrenlite.RemoteError)
    assert f"the value of task 0 of {kept.id} has expired; run it again" in str(error)
