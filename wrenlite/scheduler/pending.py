"""A job's tasks that have not ended, and its requests on their way, as the dispatcher sees them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from wrenlite.backends.base import Invocation
from wrenlite.job import Job
from wrenlite.protocol import Outcome, Packed, Stored
from wrenlite.scheduler.batching import Estimate

_NOT_YET = Packed(b"")
"""The item of a reduction whose values are not all there."""


class JobOptions(NamedTuple):
    """How a job is to be run."""

    code: str
    modules: str | None
    env: Mapping[str, str]
    chunksize: int | None
    retries: int
    timeout: float | None
    reduces: bool = False
    """One more task takes the values of the others."""


class PendingJob:
    """A job's tasks that have not ended, as the dispatcher sees them."""

    def __init__(
        self,
        job: Job,
        items: list[Packed],
        options: JobOptions,
        release: Callable[[], None] = lambda: None,
        restore: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        job: the job.
        items: the items of its tasks.
        options: how it is to be run.
        release: called once, when the last task has ended.
        restore: puts the code into the store again; raises what the store raises.
        """
        self.job = job
        self._release = release
        self.restore = restore
        self.options = options
        self.items: list[Packed | None] = [*items]
        self.reduction = len(items) if options.reduces else None
        """The task that waits for all others."""
        self.values: dict[int, Stored] = {}
        """Where the values lie that the reduction takes; the ledger lets go of them as they are asked for."""
        self._open = len(items)  # the tasks before this one may be handed out
        if options.reduces:
            self.items.append(_NOT_YET)
        self.known: Estimate | None = None
        self.unsettled = len(self.items)
        self.in_flight = 0
        self.taken_bytes = 0
        """Of the items that were taken last."""
        self.waved_at = 0.0
        """When the last batch of the first wave was handed out."""
        self.restored = 0
        """How often the code was found missing."""
        self._lost: Counter[int] = Counter()
        self._alone: set[int] = set()
        self.deaths = 0
        self._fresh = 0  # from here on, no task has been in a batch
        self._again: deque[int] = deque()

    @property
    def queued(self) -> int:
        """Tasks that wait, cancelled ones included."""
        return self._open - self._fresh + len(self._again)

    @property
    def reduction_waits(self) -> bool:
        """There is a reduction, which was not let go yet, and has not ended for another reason."""
        return self.reduction is not None and self.items[self.reduction] is _NOT_YET

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Keep for the reduction where values lie."""
        for outcome in outcomes:
            if isinstance(outcome.packed, Stored):
                self.values[outcome.task] = outcome.packed

    def reduce(self, item: Packed) -> None:
        """Queue the reduction, of which nothing is known: it is another function than the tasks'."""
        assert self.reduction is not None
        self.items[self.reduction] = item
        self._open += 1
        self.known = None

    def put_back(self, indexes: Sequence[int]) -> None:
        """Queue these tasks again, before the others."""
        self.job._tasks.hand_out(indexes, 0.0)
        self._again.extendleft(reversed(indexes))

    def put_back_alone(self, indexes: Sequence[int]) -> None:
        """Queue these tasks again; each travels alone, since one of them took the whole sandbox with it."""
        self._alone.update(indexes)
        self.put_back(indexes)

    def lose(self, index: int) -> int:
        """The answer for this task was lost; returns how often that has happened."""
        self._lost[index] += 1
        return self._lost[index]

    def dies(self, indexes: Sequence[int]) -> int:
        """These tasks died; returns how many in a row have now that travelled alone after a first death."""
        self.deaths += sum(index in self._alone for index in indexes)
        return self.deaths

    def take(self, count: int, most_bytes: int) -> list[int]:
        """The next tasks, at least one unless there is none."""
        taken: list[int] = []
        size = 0
        while len(taken) < count and self.queued:
            index = self._again[0] if self._again else self._fresh
            item = self.items[index]
            size += item.size if item else 0
            if taken and (size > most_bytes or index in self._alone):
                break
            if self._again:
                self._again.popleft()
            else:
                self._fresh += 1
            if item is not None:
                taken.append(index)
                self.taken_bytes = size
                if index in self._alone:
                    break
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

    def __init__(self, work: PendingJob, indexes: Sequence[int], sent: float) -> None:
        self.work = work
        self.indexes = indexes
        self.sent = sent
        self.size = work.taken_bytes
        """Bytes of its items."""
        self.expected_s = work.known.mean_s * len(indexes) if work.known else 0.0
        self.seconds: list[float] = []
        """Of the tasks that have finished, in their order."""
        self.flight: Invocation | None = None
        self.cancelled = False
        """It was stopped: what it ends of is no task's doing."""

    @property
    def finished(self) -> int:
        """How many of its tasks have."""
        return len(self.seconds)

    @property
    def left(self) -> Sequence[int]:
        """Its tasks that have not."""
        return self.indexes[self.finished :]

    def cancel_if_pointless(self) -> None:
        """Stop it when the task it is at has been cancelled; its other tasks run elsewhere."""
        if self.cancelled or self.flight is None or self.finished == len(self.indexes):
            return
        if self.work.items[self.indexes[self.finished]] is None:
            self.cancelled = self.flight.cancel()
