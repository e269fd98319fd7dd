"""``Retry``: after which errors tasks run again, and how soon, on every backend."""

import os
import threading
import time
from concurrent.futures import CancelledError

import pytest

import wrenlite
from wrenlite import Retry
from wrenlite.durable.records import find_job


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))


class Busy(ConnectionError):
    pass


def failing():
    """Return a function, and a class of errors, that exist only by value."""

    class Limited(Exception):
        pass

    class VeryLimited(Limited):
        pass

    def fail(way, path):
        with open(path, "a") as file:
            file.write(f"{way}\n")
        kinds = {"busy": Busy, "limited": VeryLimited, "gone": wrenlite.NotFound, "exit": SystemExit}
        kinds |= {"missing": FileNotFoundError, "value": ValueError, "denied": wrenlite.AccessDenied}
        raise kinds[way](way)

    return fail, Limited


def test_classes_say_after_which_errors_a_task_runs_again(executor, runs):
    fail, limited = failing()
    on = (OSError, limited, wrenlite.NotFound, SystemExit)
    retry = Retry(2, on=on, not_on=FileNotFoundError, delay_s=0.01)
    ways = ["busy", "limited", "gone", "exit", "missing", "value", "denied"]
    job = executor.map(fail, ways, args=(runs.path,), retries=retry)
    job.wait()
    assert [runs()[way] for way in ways] == [3, 3, 3, 3, 1, 1, 1]
    assert [stats.attempts for stats in job.stats()] == [3, 3, 3, 3, 1, 1, 1]
    events = find_job(job.id).events()
    again = [event for event in events if event.kind == "again" and event.tasks == ((0, 1),)]
    assert len(again) == 2
    assert all("is tried again in" in each.text and "Busy: busy" in each.text for each in again)
    given_up = {event.tasks[0][0]: event.text for event in events if event.kind == "given up"}
    assert sorted(given_up) == list(range(7))
    assert "it has had 3 attempts" in given_up[0]
    assert "not_on= names FileNotFoundError" in given_up[4]
    assert "on= names neither ValueError" in given_up[5]
    assert "AccessDenied is permanent" in given_up[6]


def recover(n, path, after):
    with open(path, "a") as file:
        file.write(f"{n}\n")
    with open(path) as file:
        if file.read().split().count(str(n)) <= after:
            raise OSError("503")
    return n


def test_every_way_to_run_tasks_takes_a_retry(executor, runs):
    retry = Retry(2, delay_s=0.01)
    assert executor.starmap(recover, [(1, runs.path, 1)], retries=retry).results() == [1]
    assert executor.submit(recover, 2, runs.path, 2, retries=retry).result() == 2
    assert list(executor.map(recover, [3], args=(runs.path, 1), retries=retry, buffersize=2)) == [3]
    assert executor.map_reduce(recover, [4], sum, args=(runs.path, 1), retries=retry).result() == 4
    job = executor.map(recover, [5, 6], args=(runs.path, 2))
    job.wait()
    assert job.retry_failed(retries=retry).results() == [5, 6]
    assert [runs()[str(n)] for n in range(1, 7)] == [2, 3, 2, 2, 3, 3]


def test_a_task_that_waits_ends_at_once_when_it_is_cancelled(runs):
    with wrenlite.Executor.local(1) as executor:
        job = executor.map(recover, [1, 2], args=(runs.path, 9), retries=Retry(3, delay_s=600))
        while "2 failed tasks wait to be tried again" not in job.snapshot().note:
            time.sleep(0.01)
        assert executor.map(os.path.basename, ["a/b"]).results() == ["b"], "the worker is free"
        assert job[0].cancel()
        assert "1 failed task waits" in job.snapshot().note
        assert job.cancel() == 1
        assert job.snapshot().note == ""
        with pytest.raises(CancelledError):
            job.results()
        assert [stats.attempts for stats in job.stats()] == [1, 1]


def test_a_caller_that_sleeps_until_a_task_is_tried_again_wakes_up_when_it_is_cancelled(runs):
    executor = wrenlite.Executor.inline()
    retry = Retry(3, delay_s=600)
    caller = threading.Thread(target=lambda: executor.map(recover, [1], args=(runs.path, 9), retries=retry))
    caller.start()
    while not runs()["1"]:
        time.sleep(0.01)
    executor.shutdown(cancel_futures=True)
    caller.join(60)
    assert not caller.is_alive()


def fail_twice(path):
    with open(path, "a") as file:
        file.write(f"{time.time()}\n")
    with open(path) as file:
        times = file.read().split()
    if len(times) < 3:
        raise OSError("503")
    return list(map(float, times))


@pytest.mark.e2e
def test_a_detached_job_keeps_to_its_retry(runs):
    with wrenlite.Executor.local(1) as executor:
        retry = Retry(3, on=OSError, delay_s=0.3, jitter=0)
        [times] = executor.map(fail_twice, [runs.path], retries=retry, detach=True).results(timeout=60)
    assert times[1] - times[0] >= 0.3
    assert times[2] - times[1] >= 0.6
