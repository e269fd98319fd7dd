"""``Job.advice`` on every backend: which setting would have been cheapest, and which fastest."""

import json
import time

import pytest

import wrenlite


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))


def nap(n):
    time.sleep(0.05)
    return n


def test_the_advice_of_a_job_has_its_own_setting_beside_others(executor):
    job = executor.map(nap, range(6))
    job.results()
    advice = job.advice()
    present = advice.present
    assert present in advice.settings
    assert present.seconds == job.snapshot().seconds
    assert advice.computing < 0.5, "the tasks wait most of their time"
    assert advice.fastest.seconds <= present.seconds
    assert repr(advice).startswith(f"map nap × 6 on {executor.backend.name}: 6 tasks in ")
    assert advice._repr_html_().count("<tr>") == len(advice.settings) + 1
    if executor.backend.prices is None:
        assert (present.dollars, present.memory_mb) == (None, None)
        assert all(each.workers for each in advice.settings)
    else:
        assert present.dollars == job.cost.dollars
        assert present.memory_mb == executor.backend.prices.memory_mb
        assert advice.cheapest.memory_mb < present.memory_mb, "waiting needs no processor"
        assert advice.cheapest.dollars < present.dollars


def test_the_journal_advises_as_the_job_does(executor):
    from click.testing import CliRunner

    from wrenlite.cli import main  # which no worker has

    job = executor.map(nap, range(6))
    job.results()
    advice = job.advice()
    executor.shutdown()
    (record,) = wrenlite.jobs()
    found = record.advice()
    assert [each.name for each in found.settings] == [each.name for each in advice.settings]
    assert [each.seconds for each in found.settings] == pytest.approx(
        [each.seconds for each in advice.settings], rel=0.05, abs=0.05
    ), "the journal has its own time of receiving, and six digits"
    ran = CliRunner().invoke(main, ["advice", job.id, "--json"])
    document = json.loads(ran.output)
    assert document["job"] == job.id
    assert [each["workers"] for each in document["settings"]] == [each.workers for each in found.settings]
    assert "present" in CliRunner().invoke(main, ["advice", job.id[:5]]).output


def test_a_job_without_tasks_has_no_advice(executor):
    job = executor.map(nap, [])
    with pytest.raises(wrenlite.ConfigError, match=r"map nap × 0 on .*: the job has no tasks"):
        job.advice()


def fail_but_0(n):
    if n:
        raise ValueError(n)
    time.sleep(0.01)


def test_the_runs_of_tasks_that_ran_again_count_but_the_tasks_only_once(pool):
    job = pool.map(fail_but_0, range(3), retries=wrenlite.Retry(1, delay_s=0.0), chunksize=1)
    job.wait()
    advice = job.advice()
    pool.shutdown()
    assert "3 tasks in 5 batches, " in advice.title
    assert any(
        note.startswith("Tasks ran again after they had failed: 2 further runs.") for note in advice.notes
    )
    (record,) = wrenlite.jobs()
    assert (record.advice().title, record.advice().notes) == (advice.title, advice.notes)


def use_memory(n):
    return len(bytearray(n << 20))


def test_what_has_run_on_another_executor_is_left_out():
    with (
        wrenlite.Executor.local(1, memory_limit="400MB") as there,
        wrenlite.Executor.local(1, memory_limit="150MB") as here,
    ):
        job = here.map(use_memory, [1, 250, 1], retries=wrenlite.Retry(0, then=there), chunksize=1)
        job.results()
        advice = job.advice()
    assert ": 3 tasks in 3 batches, 1 at once" in advice.title
    assert advice.notes[0] == (
        "1 task moved to another executor: what ran there is left out, and not advised on."
    )
    (record,) = [each for each in wrenlite.jobs() if each.id == job.id]
    assert record.advice().notes == advice.notes
