"""Fewer local workers run while the machine has little memory. Its figures come from files of the test."""

import os
import time

import pytest

import wrenlite

MB = 2**20


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that sets how many megabytes of a machine's memory are available, and in all."""
    root = tmp_path / "system"
    (root / "proc").mkdir(parents=True)
    monkeypatch.setenv("WRENLITE_SYSTEM_ROOT", str(root))
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))

    def set_available(available, total=8000):
        new = root / "new"
        new.write_text(f"MemTotal: {total * 1024} kB\nMemAvailable: {available * 1024} kB\n")
        os.replace(new, root / "proc/meminfo")

    set_available(7000)
    return set_available


def wait_for(path):
    while not path.exists():
        time.sleep(0.01)


def work(n, folder):
    (folder / f"begun-{n}-{os.getpid()}").touch()
    wait_for(folder / f"go-{n}")
    return n


def until(condition):
    while not condition():
        time.sleep(0.01)


def test_fewer_tasks_run_while_memory_is_short_and_then_all_again(machine, tmp_path):
    def begun():
        return {int(path.name.split("-")[1]) for path in tmp_path.glob("begun-*")}

    def end(*tasks):
        for task in tasks:
            (tmp_path / f"go-{task}").touch()

    with wrenlite.Executor.local(4) as executor:
        job = executor.map(work, range(20), args=(tmp_path,), chunksize=1)
        until(lambda: len(begun()) == 4)
        machine(300)
        until(lambda: job.snapshot().note == "1 of 4 workers run, since 0.3 of 7.8 GB are free")
        end(0, 1, 2)
        until(lambda: job.snapshot().done == 3)
        end(3)
        for task in (4, 5, 6):  # one after the other
            until(lambda task=task: task in begun())
            assert begun() == set(range(task + 1))
            end(task)
        machine(7000)
        until(lambda: len(begun()) == 7 + 4)
        assert job.snapshot().note == ""
        end(*range(20))
        assert job.results() == list(range(20))
        assert job.snapshot().note == ""
    assert {stats.attempts for stats in job.stats()} == {1}
    (record,) = wrenlite.jobs()
    said = [event.text for event in record.events() if event.kind == "workers"]
    assert said == [
        "1 of 4 workers run, since 0.3 of 7.8 GB are free",
        "all 4 workers run again, since 6.8 of 7.8 GB are free",
    ]


def test_all_workers_run_where_the_system_does_not_tell(machine, tmp_path):
    (tmp_path / "system/proc/meminfo").unlink()
    with wrenlite.Executor.local(2) as executor:
        assert executor.map(abs, range(-4, 0)).results() == [4, 3, 2, 1]
        assert executor.submit(time.sleep, 0.2).result() is None


def hold(n, folder):
    held = b"x" * (40 * MB)
    work(n, folder)
    return len(held)


def test_where_memory_runs_out_the_newest_task_is_stopped_and_runs_again(machine, tmp_path):
    machine(700, total=1000)
    with wrenlite.Executor.local(2) as executor:
        job = executor.map(hold, range(2), args=(tmp_path,), chunksize=1)
        until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
        machine(30, total=1000)
        until(lambda: [future.running() for future in job].count(True) == 1)
        until(lambda: "1 of 2" in job.snapshot().note)
        for task in range(2):
            (tmp_path / f"go-{task}").touch()
        assert job.results() == [40 * MB] * 2
    assert [stats.attempts for stats in job.stats()] == [1, 1]
    assert len(list(tmp_path.glob("begun-*"))) == 3
    (record,) = wrenlite.jobs()
    assert any("the newest task was stopped" in event.text for event in record.events())
