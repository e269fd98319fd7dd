"""``advise``: the advice for a job, from what its batches have used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from wrenlite.advice import on_lambda, on_machine
from wrenlite.advice.on_machine import Machine
from wrenlite.advice.value import Advice
from wrenlite.advice.work import Run, Work, open_questions
from wrenlite.cost import Prices, processors
from wrenlite.errors import ConfigError
from wrenlite.texts import counted


class Judged(NamedTuple):
    """A job that is judged, as a whole."""

    title: str
    """The job in words."""
    seconds: float
    """From its submission to its last outcome."""
    prices: Prices | None
    """Of the Lambda function that it ran on; None: it ran on this machine."""
    dollars: float | None
    """What it has cost; None: unknown."""
    over: bool
    failed: int
    """The number of its tasks that have failed."""
    ran_out: bool
    """Whether one of them needed more memory than there was."""
    tasks: int
    """The number of its tasks."""
    moved: int = 0
    """How many of them have moved to another executor."""


def advise(job: Judged, runs: Iterable[Run], machine: Machine) -> Advice:
    """Return the advice for a job.

    Args:
        job: the job.
        runs: what its batches have used.
        machine: this machine.

    Raises:
        ConfigError: there are no runs.
    """
    if job.over and not job.tasks:
        raise ConfigError(f"{job.title}: the job has no tasks, so there is nothing to advise from")
    work = Work(runs, job.seconds, processors(job.prices.memory_mb) if job.prices else machine.cores)
    if not work.busy_s:
        raise ConfigError(
            f"{job.title}: no batch of it is known to have ended on a worker, so there is nothing to advise "
            f"from{'' if job.over else '. Ask again when tasks have ended'}"
        )
    questions = open_questions(work, over=job.over, failed=job.failed)
    if job.moved:
        moved = counted(job.moved, "task")
        questions.append(
            f"{moved} moved to another executor: what ran there is left out, and not advised on."
        )
    if job.prices is None:
        return on_machine.advise(job.title, work, machine, open_questions=questions)
    return on_lambda.advise(
        job.title, work, job.prices, job.dollars, ran_out=job.ran_out, open_questions=questions
    )
