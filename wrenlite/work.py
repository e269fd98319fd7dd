"""A job's tasks that have not ended, and its requests on their way, as the dispatcher sees them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from wrenlite.invoker import Flight
from wrenlite.job import Job
from wrenlite.protocol import Packed


class Options(NamedTuple):
    """How a job is to be run."""

    code: str
    modules: str | None
    env: Mapping[str, str]
    chunksize: int | None
    retries: int
    timeout: float | None


class Work:
    """A job's tasks that have not ended, as the dispatcher sees them."""

    def __init__(
        self, job: Job, items: list[Packed], options: Options, release: Callable[[], None] = lambda: None
    ) -> None:
        """Args:
        job: the job.
        items: the items of its tasks.
        options: how it is to be run.
        release: called once, when the last task has ended.
        """
        self.job = job
        self._release = release
        self.options = options
        self.items: list[Packed | None] = [*items]
        self.seconds_per_task: float | None = None
        self.unsettled = len(items)
        self._fresh = 0  # from here on, no task has been in a batch
        self._again: deque[int] = deque()

    @property
    def queued(self) -> int:
        """Tasks that wait, cancelled ones included."""
        return len(self.items) - self._fresh + len(self._again)

    def put_back(self, indexes: Sequence[int]) -> None:
        """Queue these tasks again, before the others."""
        self.job.ledger.hand_out(indexes, 0.0)
        self._again.extendleft(reversed(indexes))

    def take(self, count: int, most_bytes: int) -> list[int]:
        """The next tasks, at least one unless there is none."""
        taken: list[int] = []
        size = 0
        while len(taken) < count and self.queued:
            index = self._again[0] if self._again else self._fresh
            item = self.items[index]
            size += item.size if item else 0
            if taken and size > most_bytes:
                break
            if self._again:
                self._again.popleft()
            else:
                self._fresh += 1
            if item is not None:
                taken.append(index)
        return taken

    def forget(self, indexes: Sequence[int]) -> None:
        """These tasks have ended: let go of their items."""
        for index in indexes:
            if self.items[index] is not None:
                self.items[index] = None
                self.unsettled -= 1
                if not self.unsettled:
                    self._release()


class InFlight:
    """A request on its way."""

    def __init__(self, work: Work, indexes: Sequence[int]) -> None:
        self.work = work
        self.indexes = indexes
        self.finished = 0
        self.flight: Flight | None = None
        self.cancelled = False

    def cancel_if_pointless(self) -> None:
        """Stop it when the task it is at has been cancelled; its other tasks run elsewhere."""
        if self.cancelled or self.flight is None or self.finished == len(self.indexes):
            return
        if self.work.items[self.indexes[self.finished]] is None:
            self.cancelled = True
            self.flight.cancel()
