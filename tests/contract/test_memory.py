"""The memory that tasks held: which figure belongs to which task."""

import subprocess
import sys
import time

import pytest

import wrenlite
from wrenlite.durable.records import find_job

MB = 2**20


def hold(megabytes, seconds=0.0):
    held = b"x" * (megabytes * MB)
    time.sleep(seconds)  # a task of 10 ms or more is measured by itself
    return len(held)


def start_holder(megabytes):
    subprocess.run([sys.executable, "-c", f"b'x' * ({megabytes} << 20)"], check=True)


def peaks(job):
    job.results()
    return [(stats.peak_bytes, stats.peak_tasks) for stats in job.stats()]


@pytest.fixture
def runs_in_caller(executor):
    return executor.backend.runs_in_caller


def test_the_memory_of_a_batch_is_told_with_its_number_of_tasks(executor, runs_in_caller):
    first = peaks(executor.map(hold, [0, 60, 0], chunksize=3))
    second = peaks(executor.map(hold, [0, 5, 0], chunksize=3))
    if runs_in_caller:  # that memory is the program's own
        assert {*first, *second} == {(None, None)}
        return
    large = max(held for held, _ in first)
    assert large > 60 * MB
    assert set(first) <= {(large, 3), *((held, 1) for held, _ in first)}, "1: it was held up for 10 ms"
    assert first[1][0] == large
    assert max(held for held, _ in second) < large - 40 * MB, "it is not that of an earlier batch"


def test_long_tasks_of_a_batch_have_figures_of_their_own(executor, runs_in_caller):
    job = executor.map(hold, [60, 1, 30], kwargs={"seconds": 0.02}, chunksize=3)
    found = peaks(job)
    if runs_in_caller:
        return
    assert [tasks for _, tasks in found] == [1, 1, 1]
    large, small, middle = (held for held, _ in found)
    assert large > 60 * MB
    assert small < large - 40 * MB
    assert small + 20 * MB < middle < large - 20 * MB
    assert job.snapshot().peak_bytes == large


def make(size):
    return b"x" * size


def test_the_memory_of_a_large_value_is_known_as_soon_as_the_value_is(pool):
    sizes = [1 << 18, 1 << 20, 1 << 22] * 3
    assert all(held for size in sizes for held, _ in peaks(pool.map(make, [size])))


def test_a_process_that_a_task_has_waited_for_counts_if_it_held_more(pool):
    (held, tasks), _ = peaks(pool.map(start_holder, [80, 1], chunksize=1))
    assert held > 80 * MB
    assert tasks == 1


def test_the_journal_keeps_what_was_held(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path))
    with wrenlite.Executor.local(1) as executor:
        jobs = executor.map(hold, [40, 1], chunksize=2), executor.map(hold, [40], chunksize=1)
        assert all(map(wrenlite.Job.wait, jobs))
    together, alone = map(find_job, [job.id for job in jobs])
    assert alone.peak_bytes > 40 * MB
    (text,) = {event.text for event in together.events() if event.kind == "received"}
    assert text.startswith("held at most ")
    assert text.endswith(" MB, in a batch of 2")
    (text,) = [event.text for event in alone.events() if event.kind == "received"]
    assert text.startswith("held up to ")
