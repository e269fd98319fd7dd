"""The state of each task of a job: the only place that records that a task has ended, and how.

The scheduler writes to it, from one thread. Everybody else reads it: the job for values and stats, its
futures, the scheduler's own queue, and whatever draws the job. There is no lock, since a signal handler may
interrupt a reader and wait for the scheduler: the outcome of a task is written before anything else says that
it has ended.
"""

from __future__ import annotations

import operator
import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, cast

from wrenlite.advice.work import Ran, Run
from wrenlite.cost import FREE, Cost, Prices
from wrenlite.errors import TaskError
from wrenlite.futures import Snapshot
from wrenlite.protocol import CANCELLED, NOTHING, Outcome, Packed, Plain, Stored, TaskStats, Usage
from wrenlite.serialize.exceptions import failure_text
from wrenlite.texts import counted
from wrenlite.threads import Changes
from wrenlite.window import Window

STATES = ("queued", "done", "dispatched", "cancelled", "failed")
"""The states of a task. If one cell of a drawing stands for several tasks, it shows the state that comes last
in this tuple."""
_QUEUED, _DONE, _DISPATCHED, _CANCELLED, _FAILED = range(5)
_FORGOTTEN = Outcome(-1, True, NOTHING, 0.0, 0.0, 0.0, "")
"""Stands for the outcome of a task that is forgotten."""
_FORGET_AT_ONCE = 1024
"""Fewer tasks are not worth it: the rows of the others are copied."""
_TOGETHER = nullcontext()
_IS_OK = operator.attrgetter("ok")


def _as_slice(indexes: Sequence[int]) -> slice | None:
    """Return the slice of these tasks; None where they do not follow each other."""
    if not indexes:
        return None
    first, end = indexes[0], indexes[0] + len(indexes)
    follow = indexes == range(first, end) or list(indexes) == list(range(first, end))
    return slice(first, end) if follow else None


def _peak_of(outcome: Outcome | None, usage: Usage | None) -> tuple[int | None, int | None]:
    """Return the most memory that a task held, and how many tasks ran meanwhile. None: unknown.

    Args:
        outcome: its outcome, where a worker has reported it.
        usage: the usage of its batch.
    """
    if outcome is not None and outcome.peak_bytes:
        return outcome.peak_bytes, 1
    if usage is None or not usage.peak_bytes:
        return None, None
    return usage.peak_bytes, usage.tasks or None


def _column(forgets: bool, rows: Any, forgotten: object) -> Any:
    """Return a column of the table, whose first rows can be forgotten where that is asked for."""
    return Window(rows, forgotten) if forgets else rows


class TaskTable:
    """The record of a job's tasks. The outcome of a task is written once; later ones are dropped."""

    cached = 0
    """Tasks with values that an earlier job has left. They did not run, and have no times."""

    delayed = 0
    """Tasks that have failed, and wait until they are tried again."""
    peak_bytes = 0
    """The most memory that a worker held while it ran a batch that has ended; 0: unknown."""

    def __init__(
        self, total: int, prices: Prices | None = None, *, open: bool = False, forgets: bool = False
    ) -> None:
        """Create the table of a new job.

        Args:
            total: number of tasks. All of them are queued.
            prices: of what they run on; None: it is free.
            open: whether more tasks may come.
            forgets: whether tasks are forgotten once their values were handed out in order.
        """
        column = partial(_column, forgets)
        self.open = open
        """Whether more tasks may come."""
        self.handed_out = 0
        """The tasks before this one may be forgotten."""
        self.forgotten = 0
        """The tasks before this one are forgotten."""
        self.outcomes: list[Outcome | None] = column([None] * total, _FORGOTTEN)
        """The outcome of each task that has ended, by task number."""
        self.finished: list[int] = column([], 0)
        """Task numbers in the order in which the tasks ended."""
        self.failed: list[int] = []
        """Those of ``finished`` that failed or were cancelled, in the same order."""
        self.moved: dict[int, tuple[str, Outcome | TaskError]] = {}  # after what, and where they ran then
        self._notes: dict[int, str] = {}  # of failed tasks
        self.same_error_as: dict[int, int] = {}
        """Maps a task that could not run, because another task failed, to that other task."""
        self.marks: bytearray = column(bytearray(total), _DONE)
        """The state of each task, as its index in ``STATES``."""
        self.attempts: array[int] = column(array("I", bytes(4 * total)), 1)
        """Runs of each task that used up an attempt."""
        self.running = 0
        """Batches that have been handed out and have not ended: each of them runs one of its tasks."""
        self.cost = FREE  # what the requests so far cost
        self._prices = prices
        self._charging = threading.RLock()  # a signal handler may interrupt the block that holds it
        self.now: Callable[[], float] = time.time
        """Tells when a task has ended."""
        self.queued_at = self._ended_at = time.time()
        """When the job was submitted, in seconds since the epoch."""
        self._submitted: array[float] = column(array("d"), 0.0)  # of an open job, the time of each task
        self._dispatched: array[float] = column(array("d", bytes(8 * total)), 0.0)
        self._received: array[float] = column(array("d", bytes(8 * total)), 0.0)
        self.released: bytearray = column(bytearray(total), 1)
        """1 for each task whose value was handed out and forgotten."""
        self._unfinished_output: dict[int, str] = {}
        self.runs: list[Run] = []  # what each batch has used; where tasks are forgotten, the last ones
        self._usages: list[Usage | None] = column([None] * total, None)
        self._any_ended, self._all_ended_or_one_failed = Changes(), Changes()

    @property
    def total(self) -> int:
        """Number of tasks so far."""
        return len(self.outcomes)

    @property
    def over(self) -> bool:
        """Whether every task has ended, and no more may come."""
        return not self.open and len(self.finished) == len(self.outcomes)

    @property
    def unfinished(self) -> int:
        """Number of tasks that have not ended."""
        return self.total - len(self.finished)

    def has_ended(self, index: int) -> bool:
        """Return whether this task has its outcome."""
        return self.outcome(index) is not None

    def outcome(self, index: int) -> Outcome | None:
        """Return the outcome of a task; None: it has not ended, or was just submitted and has no row yet."""
        return self.outcomes[index] if index < len(self.outcomes) else None

    def state(self, index: int) -> str:
        """Return the state of a task: queued, dispatched, done, failed or cancelled."""
        return STATES[self.marks[index]] if index < len(self.outcomes) else STATES[_QUEUED]

    def wait_until(self, is_reached: Callable[[], bool], timeout: float | None, *, each: bool) -> bool:
        """Wait until a condition on this table is true.

        Args:
            is_reached: the condition.
            timeout: seconds to wait at most; None: without limit.
            each: the end of any task may make it true. Otherwise only the first failure or the end of all
                does.

        Returns:
            Whether it became true in time.
        """
        changed = self._any_ended if each else self._all_ended_or_one_failed
        return changed.wait_for(is_reached, timeout)

    # For the scheduler

    def together(self) -> AbstractContextManager[None]:
        """Return a block whose changes belong together: whoever writes them down writes all or none."""
        return _TOGETHER

    def grow(self, count: int) -> None:
        """Add so many queued tasks to an open job."""
        self._submitted.extend([time.time()] * count)
        self.marks.extend(bytes(count))
        self.attempts.extend(array("I", bytes(4 * count)))
        self._dispatched.extend(array("d", bytes(8 * count)))
        self._received.extend(array("d", bytes(8 * count)))
        self._usages.extend([None] * count)
        self.released.extend(bytes(count))
        self.outcomes.extend([None] * count)  # last: readers ask for its length

    def forget(self) -> bool:
        """Forget tasks whose values were handed out, if they are many. Return whether that was done."""
        if self.handed_out - self.forgotten < _FORGET_AT_ONCE:
            return False
        self.forgotten = self.handed_out
        columns = (self.outcomes, self.finished, self.marks, self.attempts, self._submitted)
        for column in (*columns, self._dispatched, self._received, self.released, self._usages):
            cast(Window, column).forget_before(self.forgotten)
        del self.runs[:-_FORGET_AT_ONCE]
        return True

    def close(self) -> None:
        """Record that no more tasks come."""
        self.open = False
        self._any_ended.notify()
        self._all_ended_or_one_failed.notify()

    def mark_dispatched(self, indexes: Sequence[int], now: float, invocation: str) -> None:
        """Record that a batch of these tasks was handed out.

        Args:
            indexes: the tasks of the batch.
            now: seconds since the epoch.
            invocation: id of the request.
        """
        self.running += 1
        self._mark(indexes, _DISPATCHED, now)

    def mark_queued(self, indexes: Sequence[int]) -> None:
        """Record that these tasks wait again."""
        self._mark(indexes, _QUEUED, 0.0)

    def count_delayed(self, more: int) -> None:
        """Record that so many more tasks wait until they are tried again, or fewer, if it is negative."""
        if more:
            self.delayed += more

    def add_note(self, index: int, text: str) -> None:
        """Record what is to be said of a task that fails, beside its error."""
        self._notes[index] = text

    def count_attempts(self, indexes: Sequence[int]) -> None:
        """Count a run of each of these tasks as an attempt."""
        attempts, places = self.attempts, _as_slice(indexes)
        if places is not None and not any(attempts[places]):
            attempts[places] = array("I", [1]) * len(indexes)
            return
        for index in indexes:
            attempts[index] += 1

    def end_batch(self, indexes: Sequence[int], usage: Usage, ran: Ran | None = None) -> None:
        """Record that a batch of these tasks has ended, and what it used.

        Args:
            indexes: the tasks.
            usage: what it used.
            ran: those tasks that have an outcome; None: unknown, or the batch ran elsewhere.
        """
        sent = min((at for each in indexes if (at := self._dispatched[each])), default=0.0)
        if ran is not None and ran.numbers and usage.busy_s and sent:
            run = Run.of(usage, ran, sent=sent, received=self.now(), prices=self._prices)
            self.runs.append(run)
        self.running -= 1
        self.charge(usage)
        self.peak_bytes = max(self.peak_bytes, usage.peak_bytes)
        places = _as_slice(indexes)
        if places is not None:
            self._usages[places] = [usage] * len(indexes)
            return
        for index in indexes:
            self._usages[index] = usage

    def end_elsewhere(self, indexes: Sequence[int], usage: Usage, attempts: int, cost: Cost) -> None:
        """Record that tasks have ended on another executor.

        Args:
            indexes: the tasks.
            usage: of their last run.
            attempts: their runs there.
            cost: of all these runs. The usage says nothing of it.
        """
        self.end_batch(indexes, usage)
        for index in indexes:
            self.attempts[index] += attempts
        with self._charging:
            self.cost = self.cost.with_cost(cost)

    def charge(self, usage: Usage) -> None:
        """Add what a request used to the cost, in any thread."""
        if self._prices is not None:
            with self._charging:
                self.cost = self.cost.plus(usage, self._prices)

    def fresh(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Return those of these outcomes whose tasks have not ended. Of the others, output is kept."""
        fresh = [outcome for outcome in outcomes if self.outcomes[outcome.task] is None]
        if len(fresh) < len(outcomes):  # some tasks could not be stopped any more when they were cancelled
            for outcome in outcomes:
                if self.outcomes[outcome.task] is CANCELLED and outcome.output:
                    self.keep_output(outcome.task, outcome.output)
        return fresh

    def end(self, indexes: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        """Record the outcomes of these tasks, which have not ended before."""
        self._record(indexes, outcomes)
        if self._unfinished_output:
            for index, outcome in zip(indexes, outcomes, strict=True):
                if outcome.started:  # it has the whole output
                    self._unfinished_output.pop(index, None)

    def cancel(self, indexes: Sequence[int]) -> None:
        """Record that these tasks, which have not ended before, are cancelled."""
        self._record(indexes, [CANCELLED] * len(indexes))

    def end_like(self, index: int, other: int) -> None:
        """End a task that cannot run because another one failed or was cancelled: it ends in the same way."""
        self.same_error_as[index] = other
        outcome = CANCELLED if self.outcomes[other] is CANCELLED else Outcome.failed(index)
        self._record([index], [outcome])

    def keep_output(self, index: int, text: str) -> None:
        """Keep what a task has written in a run that has no outcome: it goes on, or was cut short."""
        self._unfinished_output[index] = text

    def columns(self) -> dict[str, Any]:
        """Return what ``restore`` needs, beside the outcomes."""
        return {
            "attempts": self.attempts,
            "dispatched": self._dispatched,
            "received": self._received,
            "released": self.released,
            "usages": [usage and tuple(usage) for usage in self._usages],
            "runs": list(map(tuple, self.runs)),
            "cost": tuple(self.cost),
            "notes": self._notes,
        }

    def restore(self, columns: Mapping[str, Any]) -> None:
        """Take over what the table of another process has recorded, beside the outcomes.

        Args:
            columns: what ``columns`` returned there.
        """
        self.attempts[:] = columns["attempts"]
        self._dispatched[:] = columns["dispatched"]
        self._received[:] = columns["received"]
        self.released[:] = columns["released"]
        self._usages[:] = [usage and Usage(*usage) for usage in columns["usages"]]
        self.runs = [Run(*run) for run in columns["runs"]]
        self.peak_bytes = max((usage.peak_bytes for usage in self._usages if usage), default=0)
        self.cost = Cost(*columns["cost"])
        self._notes = dict(columns["notes"])

    def begin_with_values(self, values: Mapping[int, Packed | Stored | Plain]) -> None:
        """Take over values that an earlier job has left, by task. All other tasks are queued."""
        for task, value in values.items():
            self.outcomes[task] = Outcome(task, True, value, 0.0, 0.0, 0.0, "")
            self.marks[task] = _DONE
        self.finished.extend(values)
        self.cached = len(values)
        self._ended_at = self.now()

    def begin_with(self, before: TaskTable) -> None:
        """Take over the outcomes of the tasks that have a value in another table. All others are queued."""
        self.outcomes[:], self.marks[:] = before.outcomes, before.marks
        self.finished, self.failed = list(before.finished), list(before.failed)
        self.same_error_as, self.cached = dict(before.same_error_as), before.cached
        self.restore(before.columns())
        self.cost, self.runs = FREE, []  # the other job has paid, and used that
        self.run_again(before.failed)

    def keep_only(self, *indexes: int) -> None:
        """Count all other tasks as done: their values are in another job."""
        self.outcomes[:] = [_FORGOTTEN] * self.total
        self.marks[:] = bytes([_DONE]) * self.total
        self.finished = list(range(self.total))
        self.run_again(indexes)

    def run_again(self, indexes: Sequence[int]) -> None:
        """Queue tasks again that have failed or were cancelled, as if they had never run."""
        again = set(indexes)
        for task in again:
            self.outcomes[task] = self._usages[task] = None
            self.attempts[task], self._received[task] = 0, 0.0
            self.same_error_as.pop(task, None)
            self.moved.pop(task, None)
            self._notes.pop(task, None)
            self._unfinished_output.pop(task, None)
        self.finished = [task for task in self.finished if task not in again]
        self.failed = [task for task in self.failed if task not in again]
        self._mark(sorted(again), _QUEUED, 0.0)

    # For readers

    def output(self, index: int) -> str:
        """Return what a task has written in its last run, as far as that is known."""
        outcome = self.outcome(index)
        if outcome is not None and outcome.started:  # a worker has reported it
            return outcome.output
        return self._unfinished_output.get(index, "")

    def unfinished_output(self) -> dict[int, str]:
        """Return what was last seen of the output of tasks that have not ended, where there is any."""
        return {
            index: text
            for index, text in list(self._unfinished_output.items())
            if text and not self.has_ended(index)
        }

    def last_usage(self, index: int) -> Usage | None:
        """Return what the last batch of a task used; None: it has not ended."""
        return self._usages[index]

    def ended_times(self, most: int) -> list[tuple[float, float]]:
        """Return when tasks were dispatched and when they ended, in the order of the ends.

        Args:
            most: so many tasks at most: the last ones.
        """
        tasks = self.finished[max(self.forgotten, len(self.finished) - most) :]
        times = ((self._dispatched[task], self._received[task]) for task in tasks)
        return [(dispatched, received) for dispatched, received in times if dispatched]

    def dispatched_times(self, most: int) -> list[float]:
        """Return when each task in progress was dispatched; nothing where these are more than ``most``."""
        marks = bytes(self.marks)
        if not 0 < marks.count(_DISPATCHED) <= most:
            return []
        places = (place for place, mark in enumerate(marks, self.forgotten) if mark == _DISPATCHED)
        return [self._dispatched[place] for place in places]

    def stats(self, index: int) -> TaskStats:
        """Return when and where a task ran."""
        if index >= len(self.outcomes):
            return TaskStats(index, STATES[_QUEUED], attempts=0, queued=time.time())
        outcome, usage = self.outcomes[index], self._usages[index]
        ran = outcome if outcome is not None and outcome.started else None
        peak_bytes, peak_tasks = _peak_of(ran, usage)
        return TaskStats(
            task=index,
            state=self.state(index),
            attempts=self.attempts[index],
            queued=self._submitted[index] if self._submitted else self.queued_at,
            dispatched=self._dispatched[index] or None,
            started=ran.started if ran else None,
            seconds=ran.seconds if ran else None,
            cpu_s=ran.cpu_s if ran else None,
            finished=self._received[index] or None,
            worker=usage.worker if usage else None,
            cold=bool(usage and usage.cold),
            request_id=usage.request_id if usage else None,
            moved_to=self.moved[index][0] if index in self.moved else None,
            peak_bytes=peak_bytes,
            peak_tasks=peak_tasks,
        )

    def notes(self, index: int) -> Sequence[str]:
        """Return what is to be said of a failed task beside its error, such as where else it has run."""
        found = [self._notes[index]] if index in self._notes else []
        if index in self.moved:
            where, failure = self.moved[index]
            text = failure_text(failure)
            found.append(f"then= has run it on {where}, after it had failed here with {text}")
        return found

    def describe_run(self, index: int, process: int | None = None) -> str:
        """Return a description of a task's last run for a message: its attempt, its worker, its request.

        Args:
            index: the task.
            process: id of the process in which it ran. It is used where the end of its batch, which names the
                worker, has not been reported yet.
        """
        stats = self.stats(index)
        places = {"worker": stats.worker or process, "request": stats.request_id}
        known = [f"{what} {place}" for what, place in places.items() if place]
        return ", ".join((f"attempt {stats.attempts}", *known))

    def snapshot(self, name: str, backend: str) -> Snapshot:
        """Return the progress of the job: the number of its tasks in each state.

        Args:
            name: name of the job.
            backend: name of what it runs on.
        """
        marks = bytes(self.marks)
        return Snapshot(
            name=name,
            backend=backend,
            total=self.total,
            queued=marks.count(_QUEUED),
            dispatched=marks.count(_DISPATCHED),
            running=0 if self.over else self.running,
            done=marks.count(_DONE) + self.forgotten,
            failed=marks.count(_FAILED),
            cancelled=marks.count(_CANCELLED),
            cached=self.cached,
            seconds=(self._ended_at if self.over else time.time()) - self.queued_at,
            peak_bytes=self.peak_bytes,
        )

    def delayed_note(self) -> str:
        """Return how many tasks wait until they are tried again, in words; empty: none does."""
        count = 0 if self.over else self.delayed
        return (
            f"{counted(count, 'failed task')} {'waits' if count == 1 else 'wait'} to be tried again"
            if count
            else ""
        )

    def _mark(self, indexes: Sequence[int], mark: int, now: float) -> None:
        places = _as_slice(indexes)
        if places is not None and not any(self.outcomes[places]):
            self.marks[places] = bytes([mark]) * len(indexes)
            self._dispatched[places] = array("d", [now]) * len(indexes)
            return
        for index in indexes:
            if self.outcomes[index] is None:
                self.marks[index] = mark
            self._dispatched[index] = now

    def _record(self, indexes: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        now = self._ended_at = self.now()
        count = len(indexes)
        places = _as_slice(indexes)
        if places is not None and all(map(_IS_OK, outcomes)):  # many tasks at once take no time each
            self.outcomes[places] = outcomes
            self._received[places] = array("d", [now]) * count
            self.marks[places] = bytes([_DONE]) * count
        else:
            for index, outcome in zip(indexes, outcomes, strict=True):
                self.outcomes[index] = outcome
                self._received[index] = now
                if outcome.ok:
                    self.marks[index] = _DONE
                else:
                    self.marks[index] = _CANCELLED if outcome is CANCELLED else _FAILED
                    self.failed.append(index)
        self.finished.extend(indexes)
        if indexes:
            self._any_ended.notify()
            if self.failed or self.over:
                self._all_ended_or_one_failed.notify()
