"""When a panel appears, what it shows, and that it lets go of jobs; ``tests/browser`` has notebooks."""

import gc
import logging
import time
import weakref

import pytest

import wrenlite
from wrenlite.display.panel import Panel


class Recorder:
    """A surface that keeps what it is told to show."""

    takes_more = True

    def __init__(self):
        self.shown, self.ends, self.cancel, self.places = [], [], None, 0

    def reserve(self):
        self.places += 1

    def show(self, bundle):
        self.shown.append(bundle)

    def offer(self, cancel):
        self.cancel = cancel

    def end(self, bundle):
        self.ends.append(bundle)


@pytest.fixture
def executor():
    with wrenlite.Executor.local(2, progress=False) as executor:
        executor.map(abs, range(2)).wait()  # the workers have started
        yield executor


@pytest.fixture(autouse=True)
def without_gc():
    gc.disable()
    yield
    gc.enable()


def put(panel, job):
    """Put a job on a panel, as ``map`` does."""
    job._drawn = panel.add(job)
    return job


def until(reached):
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_short_job_shows_nothing_and_is_let_go_without_gc(executor):
    recorder = Recorder()
    panel = Panel(lambda: recorder, in_cell=True)
    job = put(panel, executor.map(abs, range(3)))
    job.wait()
    seen = weakref.ref(job)
    del job
    until(lambda: seen() is None)
    panel.end_cell()
    assert (recorder.shown, recorder.ends, recorder.places) == ([], [], 0)


def test_a_job_that_nobody_waits_for_is_let_go(executor):
    panel = Panel(Recorder, in_cell=False)
    seen = weakref.ref(put(panel, executor.map(time.sleep, [0.05] * 2)))
    until(lambda: seen() is None)


def test_the_end_is_shown_when_the_wait_is_over_and_without_a_button(executor):
    recorder = Recorder()
    panel = Panel(lambda: recorder, in_cell=True)
    job = put(panel, executor.map(time.sleep, [0.4] * 6))
    job.wait()
    assert "wrenlite-now" in recorder.shown[0]["text/html"]
    assert "6 done" in recorder.ends[-1]["text/html"]
    assert "wrenlite-now" not in recorder.ends[-1]["text/html"]
    assert recorder.cancel is not None


def test_the_button_cancels_all_jobs_of_the_panel(executor):
    recorder = Recorder()
    panel = Panel(lambda: recorder, in_cell=True)
    jobs = [put(panel, executor.map(time.sleep, [600] * 2)) for _ in range(2)]
    until(lambda: recorder.cancel is not None)
    recorder.cancel()
    assert [job.wait(timeout=20) for job in jobs] == [True, True]
    assert recorder.ends[-1]["text/plain"].count("2 cancelled") == 2


def test_a_cell_that_ends_keeps_a_place_for_jobs_that_go_on(executor):
    recorder = Recorder()
    panel = Panel(lambda: recorder, in_cell=True)
    job = put(panel, executor.map(time.sleep, [0.5] * 2))
    panel.end_cell()
    assert (recorder.places, recorder.shown) == (1, [])
    job.wait()
    assert "2 done" in recorder.ends[-1]["text/html"]
    assert panel.over


def test_output_is_folded_when_the_cell_has_ended(executor):
    def talk(n):
        time.sleep(0.4)
        print("said", n)

    recorder = Recorder()
    panel = Panel(lambda: recorder, in_cell=True)
    put(panel, executor.map(talk, range(2))).wait()
    assert "<details" not in recorder.ends[-1]["text/html"], "another job of the cell may come"
    panel.end_cell()
    assert "<details" in recorder.ends[-1]["text/html"]


def test_many_short_jobs_are_counted_and_only_their_sum_is_kept(executor):
    recorder = Recorder()
    panel = Panel(lambda: recorder, in_cell=True)
    for _ in range(100):
        put(panel, executor.map(time.sleep, [0.01])).wait()
    panel.end_cell()
    assert recorder.ends[-1]["text/plain"].startswith("100 jobs with 100 tasks on 2 local workers · done")
    assert len(panel._entries) == 1


def test_a_job_goes_on_and_is_let_go_where_its_panel_fails(executor, caplog):
    def fail():
        raise RuntimeError("no place")

    panel = Panel(fail, in_cell=True)
    with caplog.at_level(logging.ERROR, "wrenlite"):
        job = put(panel, executor.map(time.sleep, [0.5] * 2))
        assert job.results() == [None, None]
        until(lambda: "the job panel cannot be drawn" in caplog.text)
        later = put(panel, executor.map(abs, [-1]))
        assert later.results() == [1]
    seen = weakref.ref(job)
    del job
    until(lambda: seen() is None)


def test_an_open_job_is_not_done_before_it_is_closed(executor):
    recorder = Recorder()
    panel = Panel(lambda: recorder, in_cell=True)
    with executor.stream(abs) as calls:
        put(panel, calls)
        calls.submit(-1).result()
        until(lambda: recorder.shown and "1 of 1 ended" in recorder.shown[-1]["text/plain"])
        assert recorder.ends == []
    until(lambda: recorder.ends)
    assert "done" in recorder.ends[-1]["text/plain"]
