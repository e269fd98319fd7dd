"""A request in flight, as the scheduler sees it."""

from __future__ import annotations

import operator
import time
from collections.abc import Sequence
from typing import Any

from wrenlite.advice.work import Ran, ranges
from wrenlite.backends.base import Invocation
from wrenlite.errors import IntegrityError, NotFound, StoreError
from wrenlite.job import Job
from wrenlite.protocol import Missing, Outcome, Usage
from wrenlite.scheduler.elsewhere import RunElsewhere
from wrenlite.scheduler.pending import PendingJob, Sent

_SECONDS, _CPU_S = map(operator.attrgetter, ("seconds", "cpu_s"))
MAX_RESTORES = 3
"""The most times in a row that a job's code, or the items of a task, are put into the store again and are not
found there. If they are missing once more, the job fails, or the task."""


class InFlight:
    """A request in flight."""

    elsewhere: RunElsewhere | None = None
    """It runs on another executor, which charges for it; None: here."""

    def __init__(self, pending: PendingJob, indexes: Sequence[int], sent: float) -> None:
        """Record a request that is sent.

        Args:
            pending: the job.
            indexes: the tasks of the batch, in order.
            sent: the time of sending, by the scheduler's clock.
        """
        self.pending = pending
        self.indexes = indexes
        self.sent = sent
        self.restores = pending.code.restores
        """How many times the code of the job had been put into the store again when this was sent."""
        self.size = pending.taken_bytes
        """Bytes of its items."""
        self.task_cpu_s = 0.0
        """Processor time of the tasks that have an outcome."""
        self.task_seconds: list[float] = []
        """Seconds that each task took that has an outcome, in the order of the batch."""
        self.invocation: Invocation | None = None
        self.cancelled = False
        """Whether it was cancelled: then its end is no task's fault."""

    @property
    def unfinished(self) -> Sequence[int]:
        """The tasks of the batch that have no outcome yet."""
        return self.indexes[len(self.task_seconds) :]

    def take(self, outcomes: Sequence[Outcome]) -> None:
        """Take what these outcomes of its tasks say."""
        self.task_seconds.extend(map(_SECONDS, outcomes))
        self.task_cpu_s += sum(map(_CPU_S, outcomes))

    def end_batch(self, usage: Usage) -> None:
        """Record in the job that the batch has ended."""
        ended = self.indexes[: len(self.task_seconds)]
        self.pending.tasks.end_batch(
            self.indexes, usage, Ran(ranges(ended), self.task_cpu_s, max(self.task_seconds, default=0.0))
        )

    def as_sent(self, invocation: str, now: float) -> Sent:
        """Return the request as another keeper of the job knows it.

        Args:
            invocation: its id.
            now: the time, by the scheduler's clock.
        """
        return Sent(invocation, self.indexes, time.time() - (now - self.sent))

    def most_s(self, now: float, limit_s: float) -> float:
        """Return how many seconds it may take: as expected, or longer if it already does.

        Args:
            now: the time, by the scheduler's clock.
            limit_s: the time limit, which it may take while nothing is known of the tasks of its job.
        """
        estimate = self.pending.estimate
        return max(estimate.mean_s * len(self.indexes), now - self.sent) if estimate else limit_s

    def on_cancel(self, tasks: frozenset[int]) -> None:
        """Stop the request where it runs one of these tasks, which were cancelled just now."""
        self.cancel_if_task_ended()
        if self.invocation is not None and not self.cancelled:
            self.invocation.abandon(tasks)

    def cancel_if_task_ended(self) -> None:
        """Cancel the request where the task that it runs now has ended, because it was cancelled.

        Its other tasks run elsewhere.
        """
        left = self.unfinished
        if not left or self.cancelled or self.invocation is None:
            return
        if self.pending.tasks.has_ended(left[0]):
            self.cancelled = self.invocation.cancel()


class Requests(dict[str, InFlight]):
    """The requests in flight, by their ids."""

    def of(self, job: Job[Any]) -> list[InFlight]:
        """Return the requests of a job."""
        return [each for each in self.values() if each.pending.job is job]

    def here(self) -> list[InFlight]:
        """Return the requests that run here, and are paid for by this executor."""
        return [each for each in self.values() if each.elsewhere is None]

    def as_sent(self, job: Job[Any], now: float) -> list[Sent]:
        """Return the requests of a job as another keeper of it knows them.

        Args:
            job: the job.
            now: the time, by the scheduler's clock.
        """
        return [each.as_sent(name, now) for name, each in self.items() if each.pending.job is job]

    def is_running(self, job: Job[Any], index: int) -> bool:
        """Return whether a task of a job runs now, as far as that is known."""
        return any(
            each.invocation is not None and index in each.invocation.running() for each in self.of(job)
        )

    def read_output(self, job: Job[Any]) -> None:
        """Record in the job's task table what those of its tasks that run now have written so far."""
        for each in self.of(job):
            if each.invocation is not None and (found := each.invocation.output()) is not None:
                job._tasks.keep_output(*found)


def lost_again(missing: Missing) -> StoreError:
    """Return the error for code or items that the store does not keep."""
    text = f"{missing.key} was {{}} again after {MAX_RESTORES} further uploads. Does {{}} of this store?"
    if missing.damaged:
        return IntegrityError(
            text.format("changed or damaged in the store", "another program write to the objects")
        )
    return NotFound(
        text.format("missing from the store", "a lifecycle rule, or another program, delete the objects")
    )
