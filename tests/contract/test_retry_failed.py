"""``Job.retry_failed``: what has failed or was cancelled runs again, and nothing else does."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError

import numpy as np
import pytest

import wrenlite
from wrenlite.durable.records import find_job


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))


@pytest.fixture(
    params=[
        pytest.param(False, id="attached"),
        pytest.param(True, id="detached", marks=pytest.mark.e2e),
    ]
)
def detach(request, executor):
    """Whether jobs of the executor are detached, where they can be."""
    if request.param and executor.backend.runs_in_caller:
        pytest.skip("a job of the calling thread cannot be detached")
    return request.param


class Point:
    def __init__(self, x):
        self.x = x


def work(n, path, rng=None):
    """Fail at each third item until somebody has mended that."""
    with open(path, "a") as file:
        file.write(f"{n}\n")
    print(f"line of {n}")
    if n % 3 == 0 and not os.path.exists(f"{path}.mended"):
        raise ValueError(f"{n} is not mended")
    return Point(n), np.full(2_000, n), rng.random() if rng is not None else None


def mend(runs):
    open(f"{runs.path}.mended", "w").close()


def test_only_failed_tasks_run_again_and_the_values_are_complete(executor, runs, detach):
    job = executor.map(work, range(8), args=(runs.path,), seed=5, detach=detach)
    before = job.results(return_exceptions=True, timeout=60)
    assert sorted(job.errors()) == [0, 3, 6]
    mend(runs)
    again = job.retry_failed()
    values = again.results(timeout=60)
    assert [value[0].x for value in values] == list(range(8))
    assert type(values[0][0]) is Point
    assert values[4][2] == before[4][2]
    assert len({value[2] for value in values}) == 8, "each task has its own random numbers"
    assert runs() == Counter({str(n): 1 + (n % 3 == 0) for n in range(8)})
    assert sorted(job.errors()) == [0, 3, 6], "the first job stays as it was"
    assert (again.id == job.id) == detach
    assert [stats.attempts for stats in again.stats()] == [1] * 8
    assert again.logs(6) == ("" if executor.backend.runs_in_caller else "line of 6\n")
    assert again.snapshot().done == 8
    assert again.retry_failed() is again
    while (record := find_job(again.id)).state == "running":
        time.sleep(0.01)
    assert (record.state, record.counts) == ("done", (8, 8, 0, 0))
    queued = [event for event in record.events() if event.kind in ("queued", "resumed")][-1]
    assert queued.tasks == ((0, 1), (3, 4), (6, 7))
    assert record.events()[0].kind == "queued"


def test_what_fails_again_has_its_new_error_and_further_attempts(executor, runs, detach):
    job = executor.map(work, range(4), args=(runs.path,), detach=detach)
    assert job.wait(60)
    again = job.retry_failed(retries=1)
    assert again.wait(60)
    assert sorted(again.errors()) == [0, 3]
    assert f"task 3 of {again.id}, attempt 2" in "".join(again.exception(3).__notes__)
    assert runs() == Counter({"0": 3, "1": 1, "2": 1, "3": 3})
    mend(runs)
    assert len(again.retry_failed().results(timeout=60)) == 4


def test_a_reduction_runs_again_with_the_tasks_that_have_failed(executor, runs, detach):
    def total(values):
        values = list(values)
        with open(f"{runs.path}", "a") as file:
            file.write("total\n")
        if not os.path.exists(f"{runs.path}.total"):
            raise KeyError("total")
        return sum(int(value[1].sum()) for value in values)

    future = executor.map_reduce(work, range(5), total, args=(runs.path,), detach=detach)
    assert future.job.wait(60)
    assert isinstance(future.exception(), ValueError)
    mend(runs)
    second = future.job.retry_failed()
    assert isinstance(second[-1].exception(60), KeyError)
    assert second[1].result()[0].x == 1
    open(f"{runs.path}.total", "w").close()
    assert second.retry_failed()[-1].result(60) == 2_000 * 10
    assert runs() == Counter({"0": 2, "1": 1, "2": 1, "3": 2, "4": 1, "total": 2})


def test_a_reduction_that_runs_again_is_handed_over_with_the_values_in_the_store(pool, runs, shared_path):
    gate = shared_path / "gate"

    def large(n):
        while runs()["3"] and n == 3 and not os.path.exists(gate):
            time.sleep(0.01)
        return work(n, runs.path)[1].repeat(10)

    def total(values):
        return sum(int(value.sum()) for value in values)

    first = pool.map_reduce(large, range(1, 6), total).job
    first.wait(60)
    mend(runs)
    second = first.retry_failed()
    del first
    threading.Timer(0.3, gate.touch).start()
    second.detach()
    assert second[-1].result(60) == 20_000 * 15
    assert wrenlite.attach(second.id)[0].result(60).shape == (20_000,)


def test_a_reduction_needs_the_values_that_were_handed_out(pool, runs):
    job = pool.map_reduce(work, range(1, 5), len, args=(runs.path,)).job
    with pytest.raises(ValueError, match="not mended"):
        list(job.values())
    job.wait(60)
    with pytest.raises(wrenlite.ValueReleased, match=f"task 0 of {job.id} was handed out"):
        job.retry_failed()


@pytest.mark.e2e
def test_cancelled_tasks_run_again(runs, shared_path):
    gate = shared_path / "gate"

    def wait(n):
        while n and not os.path.exists(gate):
            time.sleep(0.01)
        return n

    for detach in (False, True):
        gate.unlink(missing_ok=True)
        with wrenlite.Executor.local(2, progress=False) as executor:
            job = executor.map(wait, range(4), chunksize=1, detach=detach)
            assert job[0].result(60) == 0
            with pytest.raises(wrenlite.ConfigError, match="has not ended"):
                job.retry_failed()
            assert job.cancel() == 3
            gate.touch()
            with pytest.raises(CancelledError):
                job[2].result()
            assert job.retry_failed().results(timeout=60) == [0, 1, 2, 3]


def test_a_task_that_took_too_long_gets_more_time(pool, shared_path):
    def sleep_once(n):
        first = not os.path.exists(shared_path / "ran")
        open(shared_path / "ran", "w").close()
        time.sleep(60 * first)
        return n

    job = pool.map(sleep_once, [7], timeout=0.3)
    assert isinstance(job[0].exception(60), wrenlite.TaskTimeout)
    assert job.retry_failed(timeout=30).results(timeout=60) == [7]
    with pytest.raises(wrenlite.ConfigError, match="retries=-1"):
        job.retry_failed(retries=-1)
    with pytest.raises(wrenlite.ConfigError, match="timeout=0"):
        job.retry_failed(timeout=0)


def test_values_that_other_tasks_take_are_still_there(pool, runs):
    job = pool.map(work, range(4), args=(runs.path,), keep=True)
    job.wait(60)
    mend(runs)
    again = job.retry_failed()
    doubled = pool.map(lambda value: 2 * value[0].x, again.refs())
    assert doubled.results(timeout=60) == [0, 2, 4, 6]
    failed = pool.map(lambda values: len(values), [[job[1], job[3]]])
    assert isinstance(failed[0].exception(60), wrenlite.DependencyFailed)
    assert isinstance(failed.retry_failed()[0].exception(60), wrenlite.DependencyFailed)


def test_a_job_that_was_handed_over_after_tasks_had_failed(pool, runs, shared_path):
    gate = shared_path / "gate"

    def work_or_wait(n):
        while n == 5 and not os.path.exists(gate):
            time.sleep(0.01)
        return work(n, runs.path)

    job = pool.map(work_or_wait, range(6), chunksize=1)
    for task in (0, 3):
        job[task].exception(60)
    threading.Timer(0.3, gate.touch).start()  # what runs is waited for
    job.detach()
    assert job.wait(60)
    mend(runs)
    assert [value[0].x for value in wrenlite.attach(job.id).retry_failed().results(timeout=60)] == [*range(6)]
    assert runs() == Counter({str(n): 1 + (n % 3 == 0) for n in range(6)})


def test_what_cannot_run_again_is_refused(runs):
    with wrenlite.Executor.local(1, progress=False) as executor:
        future = executor.submit(work, 0, runs.path)
        with pytest.raises(ValueError, match="not mended"):
            future.result(60)
        with pytest.raises(wrenlite.ConfigError, match=r"those of submit.* never are"):
            future.job.retry_failed()
        job = executor.map(work, [0], args=(runs.path,))
        job.wait(60)
    with pytest.raises(wrenlite.ExecutorClosed, match=f"the executor of {job.id} was shut down"):
        job.retry_failed()


@pytest.mark.e2e
def test_the_command_runs_failed_tasks_again(pool, runs):
    job = pool.map(work, range(4), args=(runs.path,), detach=True)
    job.wait(60)
    mend(runs)
    command = [sys.executable, "-m", "wrenlite", "attach", job.id, "--retry-failed", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)["done"] == 4
