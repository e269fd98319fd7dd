"""The advice of a job on recorded jobs, whose other settings are known, and on figures that are made up."""

import json
from pathlib import Path

import pytest

from wrenlite import cost
from wrenlite.advice.judging import Judged, advise
from wrenlite.advice.on_machine import Machine
from wrenlite.advice.work import Run

SWEEP = json.loads(Path(__file__).parents[1].joinpath("sweep.json").read_text())
"""What jobs have used at each memory size: see ``benchmarks/advice.py``."""
MACHINE = Machine(4, 16 << 30)


def prices_of(memory_mb):
    return cost.prices("us-east-1", "x86_64", memory_mb=memory_mb, limit_s=900)


def recorded(name, memory_mb):
    job = SWEEP[name][str(memory_mb)]
    prices = prices_of(memory_mb)
    seconds, dollars = job["seconds"], job["dollars"]
    judged = Judged("map f", seconds, prices, dollars, over=True, failed=0, ran_out=False, tasks=8)
    return advise(judged, [Run(**run) for run in job["runs"]], MACHINE)


@pytest.mark.parametrize("name", ["computes", "waits", "mixed"])
def test_each_job_of_a_sweep_tells_within_a_tenth_what_the_others_took_and_cost(name):
    sizes = sorted(map(int, SWEEP[name]))
    compared = 0
    for memory_mb in sizes:
        advice = recorded(name, memory_mb)
        client_s = 0.05 * len(SWEEP[name][str(memory_mb)]["runs"])  # a batch; the machine had a load of 15
        for setting in advice.settings:
            if setting.memory_mb in sizes and setting.chunksize is None:
                there = SWEEP[name][str(setting.memory_mb)]
                assert setting.seconds == pytest.approx(there["seconds"], rel=0.1, abs=client_s), memory_mb
                assert setting.dollars == pytest.approx(there["dollars"], rel=0.1), memory_mb
                compared += 1
    assert compared >= len(sizes) ** 2 - 4, "below what was in use, sizes are left out"


def test_what_computes_is_as_cheap_with_a_processor_and_faster_and_what_waits_needs_none():
    assert recorded("computes", 512).fastest.memory_mb == 1769
    assert recorded("waits", 1769).cheapest.memory_mb <= 192
    assert recorded("waits", 1769).cheapest.dollars < recorded("waits", 1769).present.dollars / 5


def test_of_several_threads_it_says_what_is_not_known():
    below, above = recorded("threads", 1024), recorded("threads", 3538)
    assert any("several threads or processes" in note for note in below.notes)
    assert above.computing > 1.5


def made_up(*, tasks=8, wait_s=0.0, cpu_s=0.0, batch=1, at_once=2, **more):
    """Runs of equal batches on so many workers, one after the other."""
    busy_s = batch * (wait_s + cpu_s)
    runs = []
    for number in range(tasks // batch):
        begun = 1000.0 + number // at_once * busy_s
        run = Run(begun, begun + busy_s, batch, busy_s, batch * cpu_s, batch * cpu_s, wait_s + cpu_s)
        runs.append(run._replace(**more))
    return runs


def local(runs, **more):
    seconds = max(run.received for run in runs) - min(run.sent for run in runs)
    judged = Judged("map f", seconds, None, None, over=True, failed=0, ran_out=False, tasks=8)
    return advise(judged._replace(**more), runs, MACHINE)


def on_lambda(runs, memory_mb=1769, **more):
    runs = [run._replace(billed_s=run.busy_s + 0.002) for run in runs]
    prices = prices_of(memory_mb)
    dollars = prices.dollars(len(runs), sum(run.billed_s for run in runs) * prices.memory_gb)
    seconds = max(run.received for run in runs) - min(run.sent for run in runs)
    judged = Judged("map f", seconds, prices, dollars, over=True, failed=0, ran_out=False, tasks=8)
    return advise(judged._replace(**more), runs, MACHINE)


def test_tasks_that_wait_are_advised_more_local_workers_than_cores():
    advice = local(made_up(wait_s=1.0, cpu_s=0.01, tasks=64, at_once=4, peak_bytes=100 << 20))
    assert advice.fastest.workers == 32
    assert advice.fastest.seconds == pytest.approx(2.02)
    assert {each.workers: each.seconds for each in advice.settings}[8] == pytest.approx(8 * 1.01)


def test_memory_limits_the_workers_and_none_is_added_where_it_is_unknown():
    wait = {"wait_s": 1.0, "tasks": 64, "at_once": 4}
    assert local(made_up(**wait, peak_bytes=2 << 30)).fastest.workers == 6
    assert local(made_up(**wait)).fastest.workers == 4
    full = local(made_up(**wait, peak_bytes=5 << 30))
    assert full.fastest.workers == 2
    assert any("4 workers of that size need more than 80% of this machine's 16.0 GB" in n for n in full.notes)


@pytest.mark.parametrize(("cpu_s", "ready_s", "said"), [(1.0, 0.0, "used all"), (0.5, 0.5, "other programs")])
def test_where_the_cores_are_in_use_no_more_workers_are_advised(cpu_s, ready_s, said):
    advice = local(made_up(wait_s=1.0 - cpu_s, cpu_s=cpu_s, at_once=4, ready_s=ready_s, peak_bytes=1 << 20))
    assert advice.fastest is advice.present
    assert any(said in note for note in advice.notes)


def test_sizes_that_hold_too_little_memory_are_left_out_and_said():
    unknown = on_lambda(made_up(wait_s=1.0))
    assert min(each.memory_mb for each in unknown.settings) == 1769
    assert any("not known how much memory" in note for note in unknown.notes)
    known = on_lambda(made_up(wait_s=1.0, used_bytes=400 << 20))
    assert known.cheapest.memory_mb == 512
    assert any(
        "Sizes below 512 MB are left out: they leave too little beside what was in use." in note
        for note in known.notes
    )
    full = on_lambda(made_up(wait_s=1.0, used_bytes=1700 << 20))
    assert any("2,176 MB would leave a quarter of that free" in note for note in full.notes)
    died = on_lambda(made_up(wait_s=1.0, used_bytes=1700 << 20), ran_out=True, failed=1)
    assert died.cheapest.memory_mb > 1769
    assert "A task needed more than 1,769 MB: how much more is not known." in died.notes


def test_sizes_that_are_too_slow_for_the_time_limit_are_left_out():
    advice = on_lambda(made_up(cpu_s=200.0, used_bytes=100 << 20))
    assert min(each.memory_mb for each in advice.settings) == 512
    assert any("exceed the function's limit of 900 s" in note for note in advice.notes)


def test_small_tasks_that_travel_alone_are_advised_to_travel_together():
    apart = on_lambda(made_up(wait_s=0.001, tasks=1000, at_once=4, used_bytes=100 << 20))
    assert apart.cheapest.chunksize == 1000
    assert apart.cheapest.dollars < apart.present.dollars / 2
    together = on_lambda(made_up(wait_s=0.01, tasks=1000, batch=100, used_bytes=100 << 20))
    assert not any(each.chunksize for each in together.settings)


def test_more_processor_time_than_there_was_is_not_believed():
    half = 1769 // 2
    advice = on_lambda(made_up(cpu_s=1.0, used_bytes=100 << 20), memory_mb=half)
    assert {each.memory_mb: each.seconds for each in advice.settings}[1769] == pytest.approx(2.0, rel=0.02)


def test_starts_of_sandboxes_take_as_long_with_any_memory():
    runs = made_up(wait_s=1.0, used_bytes=100 << 20, init_s=0.5)
    runs = [run._replace(busy_s=0.5, received=run.sent + 1.0) for run in runs]
    advice = on_lambda(runs)
    assert any("8 cold starts took" in note for note in advice.notes)


def test_few_tasks_failures_and_a_job_that_runs_are_said():
    advice = local(made_up(tasks=2, wait_s=1.0), over=False, failed=3)
    assert [note.split(":")[0] for note in advice.notes[:3]] == [
        "This is judged by 2 tasks",
        "The job still runs",
        "3 tasks failed",
    ]
