"""Draws jobs while they run, fed by ``Job.snapshot()``: a panel in notebooks, a line on terminals."""

from __future__ import annotations

from collections.abc import Callable

from wrenlite.job import Job
from wrenlite.notebook import terminal


def watch(job: Job, asked: bool) -> Callable[[], None]:
    """Draw a job while it runs, as the place where this runs shows it.

    Args:
        job: the job.
        asked: a line where stderr is no terminal too, at once.

    Returns what waits until the job's end is drawn.
    """
    from wrenlite.notebook import panel

    return panel.watch(job) if panel.in_notebook() else terminal.watch(job, asked)
