"""``Retry(then=…)``: tasks that need more memory or time run on another executor."""

import os
import random
import time

import pytest

import wrenlite
from wrenlite import Executor, Retry
from wrenlite.durable.records import find_job


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))


@pytest.fixture
def executors():
    """Local executors whose workers may hold 200 MB, and 600 MB."""
    with (
        Executor.local(2, memory_limit="200MB", progress=False) as small,
        Executor.local(1, memory_limit="600MB", progress=False) as large,
    ):
        yield small, large
        small.shutdown(cancel_futures=True)


class Held:
    def __init__(self, number, megabytes):
        self.number = number
        self.megabytes = megabytes


def hold(number, megabytes, path, rng: random.Random):
    with open(path, "a") as file:
        file.write(f"{number}\n")
    print(f"holds {megabytes} MB")
    return Held(number, len(b"x" * (megabytes << 20)) >> 20), rng.random()


def check_one_culprit(small, large, runs, count, usual_mb, culprit_mb):
    culprit = count // 3
    megabytes = [culprit_mb if number == culprit else usual_mb for number in range(count)]
    options = {"args": (runs.path,), "seed": 7, "progress": False}
    job = small.starmap(hold, enumerate(megabytes), retries=Retry(2, then=large), **options)
    values = job.results(timeout=1200)
    assert [(value.number, value.megabytes) for value, _ in values] == list(enumerate(megabytes))
    assert all(type(value) is Held for value, _ in values)
    assert len({drawn for _, drawn in values}) == count
    assert {number: runs()[str(number)] for number in range(count)} == {
        number: 1 + (number == culprit) for number in range(count)
    }, "one rerun"
    stats = job.stats()
    assert [each.attempts for each in stats] == [1 + (number == culprit) for number in range(count)]
    assert {each.task: each.moved_to for each in stats if each.moved_to} == {culprit: large.backend.name}
    assert job.logs(culprit) == f"holds {culprit_mb} MB\n"
    events = [event for event in find_job(job.id).events() if event.tasks == ((culprit, culprit + 1),)]
    [moved] = [event.text for event in events if event.kind == "again"]
    assert moved.startswith(f"is tried again on {large.backend.name}, after it failed with")
    assert "failed with OutOfMemory: " in moved
    assert [each.id for each in wrenlite.jobs()] == [job.id], "a moved task is no job of its own"
    paid_here_and_there = small.cost.with_cost(large.cost)
    assert tuple(job.cost) == pytest.approx(tuple(paid_here_and_there))
    alone = large.starmap(hold, enumerate([1] * (culprit + 1)), **options).results()
    assert values[culprit][1] == alone[culprit][1], "the generator is that of its number"


def test_one_task_of_many_needs_more_memory(executors, runs):
    check_one_culprit(*executors, runs, 24, 20, 300)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_one_of_280_tasks_needs_three_times_the_memory(runs):
    with (
        Executor.local(2, memory_limit="512MB", progress=False) as small,
        Executor.local(1, memory_limit="2GB", progress=False) as large,
    ):
        check_one_culprit(small, large, runs, 280, 250, 1536)


@pytest.mark.parametrize(
    ("memory", "count", "sizes"),
    [
        ((192, 768), 12, (20, 250)),
        pytest.param((512, 2048), 280, (250, 1536), marks=[pytest.mark.full, pytest.mark.timeout(1800)]),
    ],
)
def test_one_task_of_many_needs_a_larger_function(connected, deploy, runs, memory, count, sizes):
    small = connected(function=deploy("small", memory=memory[0]), max_concurrency=2)
    large = connected(function=deploy("large", memory=memory[1]), max_concurrency=1)
    check_one_culprit(small, large, runs, count, *sizes)


def linger(path):
    with open(path, "a") as file:
        file.write("x\n")
    time.sleep(600)


def test_a_task_that_takes_too_long_on_both_says_so(executors, runs):
    small, large = executors
    job = small.map(linger, [runs.path], timeout=1, retries=Retry(0, then=large))
    job.wait()
    error = job[0].exception()
    assert isinstance(error, wrenlite.TaskTimeout)
    assert str(error).startswith(f"task 0 of {job.id}: ")
    note = "\n".join(error.__notes__)
    assert f"then= has run it on {large.backend.name}, after it had failed here with TaskTimeout" in note
    assert runs()["x"] == job[0].stats().attempts == 2


def test_cancelling_the_job_cancels_what_runs_elsewhere(executors, runs):
    small, large = executors
    job = small.map(linger, [runs.path], timeout=2, retries=Retry(0, then=large))
    while job[0].stats().moved_to is None:
        time.sleep(0.01)
    assert job.cancel() == 1
    assert large.map(os.path.basename, ["a/b"]).results(timeout=60) == ["b"], "its worker is free"
    with pytest.raises(wrenlite.ConfigError, match="ends with this program"):
        small.map(linger, [runs.path], retries=Retry(0, then=large)).detach()


def grow(megabytes):
    return len(b"x" * (megabytes << 20))


def test_an_executor_stays_open_for_the_jobs_that_name_it():
    small = Executor.local(1, memory_limit="200MB", progress=False)
    large = Executor.local(1, memory_limit="600MB", progress=False)
    job = small.map(grow, [300], retries=Retry(0, then=large))
    large.shutdown()
    assert job.results() == [300 << 20]
    failed = small.map(grow, [300])
    failed.wait()
    for run in (
        lambda retry: small.map(grow, [1], retries=retry),
        lambda retry: failed.retry_failed(retries=retry),
    ):
        with pytest.raises(wrenlite.ExecutorClosed, match=r"then=.*it was shut down"):
            run(Retry(0, then=large))
    small.shutdown()


def test_an_executor_that_is_shut_down_at_once_fails_what_would_go_there():
    large = Executor.local(1, memory_limit="600MB", progress=False)
    with Executor.local(1, memory_limit="200MB", progress=False) as small:
        job = small.map(grow, [300], retries=Retry(0, then=large))
        large.shutdown(cancel_futures=True)
        job.wait()
        error = job[0].exception()
    assert "1 local worker" in str(error)


def test_other_ways_to_run_tasks_move_them_too(executors):
    small, large = executors
    retry = Retry(0, then=large)
    assert small.submit(grow, 300, retries=retry).result() == 300 << 20
    assert list(small.map(grow, [1, 300], buffersize=2, retries=retry)) == [1 << 20, 300 << 20]
    assert small.map_reduce(grow, [1, 300], sum, retries=retry).result() == 301 << 20
    failed = small.map(grow, [1, 300])
    failed.wait()
    assert failed.retry_failed(retries=retry).results() == [1 << 20, 300 << 20]


def large_value(number):
    return bytes(100_000)


def reduce_in_much_memory(values):
    return len(list(values)) + grow(300)


def test_a_reduction_of_stored_values_stays_and_says_why(executors):
    small, large = executors
    future = small.map_reduce(large_value, range(3), reduce_in_much_memory, retries=Retry(0, then=large))
    assert isinstance(future.exception(), wrenlite.OutOfMemory)
    [given_up] = [each for each in find_job(future.job.id).events() if each.kind == "given up"]
    assert "it has had 1 attempt, and cannot move" in given_up.text


def test_what_cannot_run_elsewhere_is_refused(executors):
    small, large = executors
    retry = Retry(2, then=large)
    ref = small.put([1])
    first = small.map(abs, [1])
    cases = [
        (lambda: small.map(abs, [1], retries=Retry(1, then=small)), "it is the executor that runs the job"),
        (lambda: Executor.inline().map(abs, [1], retries=retry), "have no limit of memory or time"),
        (lambda: small.map(abs, [1], retries=retry, detach=True), "a detached job does not"),
        (lambda: small.map(len, [ref], retries=retry), "a Ref is in the store"),
        (lambda: small.map(abs, [first[0]], retries=retry), "takes values of other tasks"),
        (
            lambda: Executor.local(1, initializer=abs, initargs=[1]).map(abs, [1], retries=retry),
            "initializer",
        ),
    ]
    for call, text in cases:
        with pytest.raises(wrenlite.ConfigError, match=text):
            call()
