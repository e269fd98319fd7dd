"""A job's tasks that have not ended, and its requests that are in flight, as the scheduler sees them."""

from __future__ import annotations

import bisect
import itertools
import os
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, NamedTuple, cast

from wrenlite.backends.base import BatchingPolicy
from wrenlite.dependencies import pack_with_values
from wrenlite.errors import ConfigError, TaskError, WrenliteError
from wrenlite.job import Job
from wrenlite.keys import derived
from wrenlite.map_reduce import pack_values
from wrenlite.protocol import (
    NOTHING,
    NUMBER_BYTES,
    NUMBERS,
    Limits,
    Missing,
    Outcome,
    Packed,
    Plain,
    Request,
    Stored,
    size_of,
)
from wrenlite.scheduler.arrivals import Arrivals
from wrenlite.scheduler.batching import (
    MAX_LOST_REPLIES,
    Estimate,
    first_wave_wait_s,
    gathering_wait_s,
    largest_value,
)
from wrenlite.scheduler.code_in_use import CodeInUse
from wrenlite.scheduler.elsewhere import Elsewhere
from wrenlite.scheduler.failed_items import FailedItems, RunAgain
from wrenlite.scheduler.options import JobOptions
from wrenlite.scheduler.retry import Decision
from wrenlite.serialize.by_reference import Dependent, Source
from wrenlite.window import Window

Tell = Callable[[Sequence[Decision], Mapping[int, Outcome | TaskError]], None]


def tell_nobody(decisions: Sequence[Decision], failed: Mapping[int, Outcome | TaskError]) -> None:
    """Do nothing with what was decided."""


class Sent(NamedTuple):
    """A request that an earlier keeper of a job has handed out, and whose end it has not recorded."""

    invocation: str
    """Its id."""
    tasks: Sequence[int]
    """The tasks of the batch, in order."""
    at: float
    """When it was handed out, in seconds since the epoch."""


def new_invocation(now: float) -> str:
    """Return a new id of an invocation. Ids sort by time, so that a listing can begin with the latest.

    Args:
        now: seconds since the epoch.
    """
    return f"{int(1000 * now):012x}{os.urandom(4).hex()}"


class Reduction:
    """The last task of a ``map_reduce``: it waits until all other tasks have their values."""

    def __init__(self, index: int) -> None:
        """Create the reduction of a job.

        Args:
            index: number of its task, which is also the number of the tasks that it waits for.
        """
        self.index = index
        self.waits = True
        """Whether it has neither been queued nor ended."""
        self._values: list[Packed | Stored | Plain] = [NOTHING] * index

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Keep values, or their places in the store: the job forgets them once they were read."""
        for outcome in outcomes:
            self._values[outcome.task] = outcome.packed

    def end_wait(self) -> Packed:
        """Return its item: the values of all tasks, or their places, in the order of the tasks."""
        values, self._values = self._values, []
        self.waits = False
        return pack_values(values)


class PendingJob:
    """The queue of one job. Whether a task has ended is recorded in the job's task table, and only there."""

    estimate: Estimate | None = None
    """How long its tasks take; None while nothing is known."""
    in_flight = 0
    """Its requests in flight."""
    _isolated_deaths = 0
    _ready = 0
    """Tasks that may be handed out: those before this number."""
    _untouched = 0
    """Tasks from this number on have not been in a batch."""
    is_held = False
    """Whether no more of its tasks are handed out, since another process will run them."""
    is_forgotten = False
    """Whether another process runs them now."""
    going_on: Sequence[Sent] = ()
    """Its requests in flight when it was held the last time."""
    _sent: Sequence[Sent] = ()
    _one_at_a_time: Set[int] = frozenset()
    """Tasks that run while no other task of the job does. They come last."""
    _kept: Sequence[Outcome] = ()
    taken_bytes = 0
    """Bytes of the items that ``take`` took last."""
    waiting = 0
    """Its tasks that wait for values of others."""
    _ready_first_at = _ready_last_at = 0.0
    """When the first and the newest of the queued tasks had the values that they had waited for."""
    first_wave_sent_at = 0.0
    """When the last batch of the first wave was handed out."""
    tell: Tell = staticmethod(tell_nobody)
    """Takes what was decided about failed tasks, and how each of them has failed."""
    then: Elsewhere | None = None
    """Runs tasks that need more memory or time; None: nothing does."""
    is_served = False
    """Whether its task comes from another executor, for whose job the dispatcher has stayed open."""

    def __init__(
        self,
        job: Job[Any],
        items: Sequence[Packed | Plain | Dependent | None],
        options: JobOptions,
        release: Callable[[], None] = lambda: None,
        restore: Callable[[Missing], None] = lambda _: None,
        arrivals: Arrivals[Any] | None = None,
        blobs: Callable[[], tuple[bytes, bytes | None]] | None = None,
        run_again: RunAgain | None = None,
    ) -> None:
        """Queue all tasks of a job that have not ended.

        Args:
            job: the job.
            items: the item of each task; of one that has ended it may be None.
            options: how the tasks are run.
            release: called once, when the last task has ended.
            restore: puts the job's code into the store again.
            arrivals: further items of an open job; None: there will be none.
            blobs: returns the pickled function and the zip of local modules; None: nobody asks for them.
            run_again: runs the tasks again that have failed, for ``Job.retry_failed``; None: nobody can.
        """
        self.job = job
        self.tasks = job._tasks
        self.options = options
        self.restore, self.blobs = restore, blobs
        self.arrivals = arrivals
        """Further items, of an open job; None: these are all."""
        self._release = release
        self._failed = FailedItems(run_again)
        rows: list[Any] = [*items]  # an item becomes None once its task has ended: its memory is free
        self._items: list[Packed | Plain | Dependent | None] = Window(rows, None) if options.forgets else rows  # type: ignore[assignment]
        self.reduction = Reduction(len(items)) if options.reduces else None
        if self.reduction is not None:
            self._items.append(None)
            self.reduction.observe(self._values_so_far(self.reduction.index))
        self._again: deque[int] = deque()
        """Tasks that wait again, or have waited for values of others. They come before the untouched ones."""
        self.dependents: list[int] = []
        """New tasks that take values of other tasks. The scheduler finds out which of these have ended."""
        self._dependencies: dict[int, Dependent] = {}
        """What tasks need of others, until they have ended."""
        self.is_source = options.keeps
        """Whether other tasks take values of this job."""
        self.failures: dict[int, Outcome | TaskError] = {}  # how each task has failed that runs again
        self._alone: set[int] = set()
        self.code = CodeInUse(options.code)
        self._losses: Counter[tuple[str, int]] = Counter()
        self._queue_new(items)

    @property
    def queued(self) -> int:
        """Number of tasks that wait, including those that have been cancelled meanwhile."""
        return self._ready - self._untouched + len(self._again)

    @property
    def waits_its_turn(self) -> bool:
        """Whether the next task must not run beside those that are in flight."""
        return self.in_flight > 0 and bool(self._again) and self._again[0] in self._one_at_a_time

    def items_of(self, indexes: Sequence[int]) -> tuple[Sequence[int], list[Packed | Plain]]:
        """Return those of these tasks that have not ended, and their items; none of them waits for values.

        Tasks that run in the caller's thread may have ended just now: a signal handler has cancelled them.
        """
        items = [cast(Packed | Plain, item) for index in indexes if (item := self._items[index]) is not None]
        if len(items) == len(indexes):
            return indexes, items
        return self.items_of([index for index in indexes if self._items[index] is not None])

    def request(
        self, invocation: str, indexes: Sequence[int], items: Sequence[Packed | Plain], limits: Limits
    ) -> Request:
        """Return the request of a batch.

        Args:
            invocation: its id.
            indexes: its tasks, in order.
            items: the items of these; none of a request that was sent before.
            limits: of the worker that runs it.
        """
        return Request(
            job=self.job.id,
            invocation=invocation,
            code=self.code.now.function,
            modules=self.code.now.modules,
            tasks=indexes,
            items=items,
            env=self.options.env,
            limits=limits,
            secret=derived(self.job._secret, invocation),
            log_levels=self.options.log_levels,
        )

    def next_place(self, index: int) -> str:
        """Return the executor on which a task can run that needs more memory or time; empty: on none."""
        [item] = self.items_of([index])[1] or [0]
        return self.then.name if self.then is not None and self.then.takes(item) else ""

    def adopt(self, sent: Sequence[Sent], suspects: Mapping[int, int]) -> None:
        """Take tasks off the queue that an earlier keeper has handed out, before the scheduler takes the job.

        Args:
            sent: the requests that they travel in.
            suspects: other tasks, one of which may have ended a keeper, and how many keepers have ended while
                each of them ran. They run after all others, each in a batch of its own. Those that the next
                end of a keeper would fail run one at a time, so that it fails no task but the cause.
        """
        self._sent = sent
        theirs = {task for each in sent for task in each.tasks}
        if self.reduction is not None and self.reduction.index in theirs:
            self.queue_reduction()  # so that it has its item, should the reply be lost
        waiting = [task for task in range(self._untouched, self._ready) if task not in theirs]
        self._again.extend(sorted(waiting, key=lambda task: suspects.get(task, 0)))
        self._alone.update(suspects)
        self._one_at_a_time = {task for task, ends in suspects.items() if ends >= MAX_LOST_REPLIES - 1}
        self._untouched = self._ready

    def take_sent(self) -> Sequence[Sent]:
        """Return the requests to adopt, once."""
        sent, self._sent = self._sent, ()
        return sent

    def _queue_new(self, items: Sequence[Packed | Plain | Dependent | None]) -> None:
        """Queue the newest tasks, which have these items, except those that need values of other tasks."""
        first, self._ready = self._ready, self._ready + len(items)
        if Dependent not in set(map(type, items)):
            return
        new = [index for index, item in enumerate(items, first) if isinstance(item, Dependent)]
        self.dependents += new
        self.waiting += len(new)
        waiting = set(new)
        self._again.extend(index for index in range(self._untouched, self._ready) if index not in waiting)
        self._untouched = self._ready  # the queue is not a range of tasks any more

    def sources(self, index: int) -> Sequence[Source]:
        """Return the tasks whose values a task takes that has not been queued yet."""
        item = self._items[index]
        return item.sources if isinstance(item, Dependent) else ()

    def queue_dependent(self, index: int, now: float) -> bool:
        """Queue a task whose sources all have values.

        Args:
            index: the task.
            now: the time.

        Returns:
            Whether the job had no queued task before.
        """
        item, was_empty = self._items[index], not self.queued
        assert isinstance(item, Dependent)
        values = [each.future._packed if each.packed is None else each.packed for each in item.sources]
        self._dependencies[index] = item
        self._items[index] = pack_with_values(item.packed, values) if values else item.packed
        self._again.append(index)
        self._ready_last_at = now
        if was_empty:
            self._ready_first_at = now
        return was_empty

    def gathering_wait_s(self, policy: BatchingPolicy, now: float) -> float | None:
        """Return for how many seconds the job still waits for more tasks; None: it does not wait.

        It waits while tasks are being submitted, and while its own requests in flight have others of its
        tasks ready soon, if those that are queued are not worth a request.

        Args:
            policy: the backend's policy for batches.
            now: the time.
        """
        arrivals, wait_s = self.arrivals, None
        if not policy.gather_s:
            return None
        if arrivals is not None and not arrivals.ended:
            first, last = arrivals.first_at, arrivals.last_at
            wait_s = gathering_wait_s(policy.gather_s, first=first, last=last, now=now)
        if wait_s is not None or not self.waiting or not self.in_flight or self.estimate is None:
            return wait_s
        if self.queued >= self.estimate.tasks_within(policy.least_s):
            return None
        return gathering_wait_s(policy.least_s, first=self._ready_first_at, last=self._ready_last_at, now=now)

    def first_wave_wait_s(self, policy: BatchingPolicy, slots: int, now: float) -> float | None:
        """Return for how many seconds the job still waits for its first batches; None: it does not wait.

        Args:
            policy: the backend's policy for batches.
            slots: requests that may be in flight.
            now: the time.
        """
        if self.estimate is not None or self.options.chunksize is not None:
            return None
        return first_wave_wait_s(
            policy.first_wave,
            longest_s=policy.first_wave_wait_s,
            queued=self.queued,
            slots=slots,
            sent=self.in_flight,
            sent_at=self.first_wave_sent_at,
            now=now,
        )

    def largest_value(self, policy: BatchingPolicy) -> int | None:
        """Return the size from which values are stored, so that other tasks find them there; None: any."""
        if self.reduction is not None and self.reduction.waits:
            return largest_value(policy, tasks=self.reduction.index)
        return largest_value(policy, tasks=1) if self.is_source else None

    def unfinished(self) -> list[int]:
        """Return all tasks that have not ended, in order."""
        return [
            index
            for index in range(self.tasks.forgotten, len(self._items))
            if not self.tasks.has_ended(index)
        ]

    @property
    def is_closed_empty(self) -> bool:
        """Whether an open job was closed when all its tasks had ended, which is not recorded yet."""
        ended = self.arrivals is not None and self.arrivals.ended
        return ended and self.tasks.open and not self.tasks.unfinished

    def take_arrivals(self) -> int:
        """Add the tasks that were submitted since the last time, and return their number.

        If the job was closed, this is recorded too.
        """
        if self.arrivals is None or self.arrivals.ended:
            return 0
        items = self.arrivals.take()
        if self.options.forgets and self.tasks.forget():
            cast(Window, self._items).forget_before(self.tasks.forgotten)
        self._items.extend(items)
        self._queue_new(items)
        self.tasks.grow(len(items))
        if Outcome in set(map(type, items)):
            self._kept = [item for item in items if isinstance(item, Outcome)]
            self.tasks.cached += len(self._kept)
        if self.arrivals.ended and self.tasks.unfinished:
            self.tasks.open = False  # otherwise only once what the job holds is released
        return len(items)

    def take_kept(self) -> Sequence[Outcome]:
        """Return, once, the outcomes of new tasks that need not run: earlier jobs have left their values."""
        kept, self._kept = self._kept, ()
        return kept

    def take(self, count: int, max_bytes: int) -> Sequence[int]:
        """Take the next tasks off the queue.

        Args:
            count: tasks to take at most.
            max_bytes: bytes of items to take at most, unless the first item alone is larger.

        Returns:
            The tasks. The list is empty only where no queued task is left that has not ended.
        """
        if not self._again:
            return self._take_untouched(count, max_bytes)
        taken: list[int] = []
        recorded = self.tasks.outcomes
        size = 0
        while len(taken) < count and self.queued:
            index = self._again[0] if self._again else self._untouched
            item = self._items[index]
            size += 0 if item is None else size_of(cast(Packed | Plain, item))
            if taken and (size > max_bytes or index in self._alone):
                break
            if self._again:
                self._again.popleft()
            else:
                self._untouched += 1
            if recorded[index] is None:
                taken.append(index)
                self.taken_bytes = size
                if index in self._alone:
                    break
        return taken

    def _take_untouched(self, count: int, max_bytes: int) -> Sequence[int]:
        """Take the next of the tasks that have not been in a batch."""
        recorded = self.tasks.outcomes
        while self._untouched < self._ready and recorded[self._untouched] is not None:  # cancelled
            self._untouched += 1
        first = self._untouched
        end = min(self._ready, first + count)
        items = self._items[first:end]
        if NUMBERS.issuperset(map(type, items)):  # many tasks at once take no time each
            end = min(end, first + max(1, max_bytes // NUMBER_BYTES))
            self.taken_bytes = (end - first) * NUMBER_BYTES
        else:
            sizes = [0 if item is None else size_of(cast(Packed | Plain, item)) for item in items]
            if sum(sizes) > max_bytes:
                totals = list(itertools.accumulate(sizes))
                end = first + max(1, bisect.bisect_right(totals, max_bytes))
            self.taken_bytes = sum(sizes[: end - first])
        self._untouched = end
        if any(recorded[first:end]):
            return [index for index in range(first, end) if recorded[index] is None]
        return range(first, end)

    def requeue(self, indexes: Sequence[int], *, alone: bool = False) -> bool:
        """Queue tasks again, before the others, except those that have ended meanwhile.

        Args:
            indexes: the tasks.
            alone: each of them travels in a batch of its own from now on, since one of them ended the worker
                and it is not known which.

        Returns:
            Whether the job had no queued task before and has one now.
        """
        waiting = [index for index in indexes if not self.tasks.has_ended(index)]
        was_empty = not self.queued
        if alone:
            self._alone.update(waiting)
        self.tasks.mark_queued(waiting)
        self._again.extendleft(reversed(waiting))
        return was_empty and bool(waiting)

    def give_up(
        self, tasks: Sequence[int], error: WrenliteError
    ) -> tuple[Sequence[Outcome], Mapping[int, WrenliteError]]:
        """Return how tasks end that cannot run any more: those that have failed before, as they did then.

        Args:
            tasks: the tasks, none of which is in flight.
            error: why they cannot run. The errors of those that have failed get it as a note.

        Returns:
            Their outcomes, and the errors of those of which no worker has reported one.
        """
        failures = {task: self.failures[task] for task in tasks if task in self.failures}
        self.tell([Decision(task, None, str(error)) for task in failures], failures)
        for task in failures:
            self.tasks.add_note(task, f"it was not tried again: {error}")
        ends = {task: failures.get(task, error) for task in tasks}
        outcomes = [end if isinstance(end, Outcome) else Outcome.failed(task) for task, end in ends.items()]
        return outcomes, {task: end for task, end in ends.items() if not isinstance(end, Outcome)}

    def queue_reduction(self) -> None:
        """Queue the reduction. Nothing is known of its duration: it is another function than the tasks'."""
        assert self.reduction is not None
        self._items[self.reduction.index] = self.reduction.end_wait()
        self._ready += 1
        self.estimate = None

    def count_loss(self, what: str, index: int) -> int:
        """Count that something of a task was lost, and return how many times it was.

        Args:
            what: its reply, or its items in the store.
            index: the task.
        """
        self._losses[what, index] += 1
        return self._losses[what, index]

    def count_isolated_deaths(self, suspects: Sequence[int]) -> int:
        """Count a worker's death if it ran one isolated task, which an earlier death had put into a batch of
        its own.

        Args:
            suspects: the tasks that may have ended the worker.

        Returns:
            The number of such deaths in a row, without an outcome of any task between them.
        """
        self._isolated_deaths += sum(index in self._alone for index in suspects)
        return self._isolated_deaths

    def forget_isolated_deaths(self) -> None:
        """Begin to count anew: a task has an outcome, so workers do run."""
        self._isolated_deaths = 0

    def _values_so_far(self, tasks: int) -> list[Outcome]:
        """Return the outcomes of those of the first tasks that have a value from an earlier run."""
        ended = [task for task in self.tasks.finished if task < tasks and self.tasks.state(task) == "done"]
        return list(map(self.job._outcomes.as_sent, ended))

    def release(self, ending: Sequence[int], failed: Sequence[int] = ()) -> bool:
        """Release the items of tasks that are about to be recorded as ended.

        With the last task of the job, what the job holds in the store is released too: before its end is
        recorded, so that whoever waits for the job finds the store in order.

        Args:
            ending: tasks that have not ended yet.
            failed: those that fail or are cancelled. Their items are kept, since they may run again.

        Returns:
            Whether these were the last tasks of the job.
        """
        items = self._items
        if failed:
            self._failed.keep((index, self._dependencies.get(index, items[index])) for index in failed)
        for index in ending:
            items[index] = None
            if self._dependencies:
                self._dependencies.pop(index, None)
            if self.failures:
                self.failures.pop(index, None)
        if self.reduction is not None and self.reduction.index in ending:
            self.reduction.waits = False
        over = len(ending) == self.tasks.unfinished and (self.arrivals is None or self.arrivals.ended)
        if over:
            self._failed.leave_to(self.job, self.options, self.blobs)
            self._release()
            self.then = None  # it holds the job
        return over

    def remaining_items(self) -> list[Packed | Plain]:
        """Return the items of all tasks but a reduction; None in place of those that have a value.

        Raises:
            ConfigError: a task waits for values of other jobs.
        """
        items = self._items[: self.reduction.index] if self.reduction is not None else self._items
        if any(isinstance(item, Dependent) for item in items):
            raise ConfigError(
                f"{self.job.id} cannot be detached: a task waits for values of other jobs, which end with "
                "this program"
            )
        failed = [self._failed.get(index, item) for index, item in enumerate(items)]
        kept = [None if isinstance(item, Dependent) else item for item in failed]
        return cast(list[Packed | Plain], kept)

    def let_go(self) -> None:
        """Release what the job holds here: another process runs the rest of it."""
        self._release()

    def closes_after(self, ending: Sequence[int]) -> bool:
        """Return whether an open job is to be closed, because these are its last tasks for now.

        That is a job of ``submit``, which has no owner who could close it.
        """
        if self.arrivals is None or not self.options.closes_itself:
            return False
        return len(ending) == self.tasks.unfinished and not self.arrivals.closed
