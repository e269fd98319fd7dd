"""Draws jobs, fed by ``Job.snapshot()`` and ``Job.stats()``: while they run, and afterwards."""

from __future__ import annotations

from collections.abc import Callable

from wrenlite.executor import Executor
from wrenlite.futures import Future
from wrenlite.job import Job
from wrenlite.notebook import terminal
from wrenlite.notebook.reprs import executor_html, future_html, job_html


def watch(job: Job, asked: bool) -> Callable[[], None]:
    """Draw a job while it runs, as the place where this runs shows it.

    Args:
        job: the job.
        asked: a line where stderr is no terminal too, at once.

    Returns what waits until the job's end is drawn.
    """
    from wrenlite.notebook import panel

    return panel.watch(job) if panel.in_notebook() else terminal.watch(job, asked)


def attach() -> None:
    """Give executors, jobs and futures what draws them, which lies above them."""
    Executor.watch = staticmethod(watch)
    Executor._repr_html_ = executor_html
    Job._repr_html_ = job_html
    Future._repr_html_ = future_html
