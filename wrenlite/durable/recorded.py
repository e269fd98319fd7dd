"""``RecordedJob``: a job whose task table is written down as it changes; and jobs that follow that.

The scheduler changes a task table by a few methods. Here each call of one of them is written down, so that
another process has the same table once it has read that.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

from wrenlite import errors as wrenlite_errors
from wrenlite.durable.place import Writer
from wrenlite.durable.remote_journal import CALL
from wrenlite.errors import WrenliteError
from wrenlite.job import Job
from wrenlite.protocol import NOTHING, Outcome, Usage
from wrenlite.scheduler.pending import Sent
from wrenlite.serialize import framing
from wrenlite.task_table import TaskTable

_EXPORTED_AT_ONCE = 256
"""Outcomes in one message of those that were there before a keeper."""


class HandedOut:
    """The requests that keepers of a job have handed out, and whose ends are not recorded."""

    def __init__(self) -> None:
        """Begin with none."""
        self.seen: set[str] = set()
        """The ids of all invocations."""
        self.last_at = 0.0
        """When the last call was written, in seconds since the epoch."""
        self._sent: dict[int, Sent] = {}  # by the first task: no task is in two requests at once

    def observe(self, call: tuple[Any, ...]) -> None:
        """Take notice of a call that ``Follower.calls`` gave."""
        name, self.last_at, *arguments = call
        if name == "mark_dispatched":
            tasks, at, invocation = arguments
            self.seen.add(invocation)
            self._sent[tasks[0]] = Sent(invocation, tasks, at)
        elif name == "end_batch":
            self._sent.pop(arguments[0][0], None)
        elif name == "resumed":
            going_on = [tasks[0] for tasks in arguments[0]]
            self._sent = {first: self._sent[first] for first in going_on if first in self._sent}

    @property
    def sent(self) -> list[Sent]:
        """The requests, in the order in which they were handed out."""
        return list(self._sent.values())


class RecordedTable(TaskTable):
    """A task table that writes down how it changes."""

    writer: Writer

    def mark_dispatched(self, indexes: Sequence[int], now: float, invocation: str) -> None:
        """The table writes down that a batch was handed out."""
        self.writer.write("mark_dispatched", indexes, now, invocation)
        super().mark_dispatched(indexes, now, invocation)

    def mark_queued(self, indexes: Sequence[int]) -> None:
        """The table writes down that tasks wait again."""
        if indexes:
            self.writer.write("mark_queued", indexes)
        super().mark_queued(indexes)

    def count_attempts(self, indexes: Sequence[int]) -> None:
        """The table writes down that tasks used up an attempt."""
        self.writer.write("count_attempts", indexes)
        super().count_attempts(indexes)

    def end_batch(self, indexes: Sequence[int], usage: Usage) -> None:
        """The table writes down that a batch has ended."""
        self.writer.write("end_batch", indexes, tuple(usage))
        super().end_batch(indexes, usage)

    def keep_output(self, index: int, text: str) -> None:
        """The table writes down what a task has written."""
        self.writer.write("keep_output", index, text)
        super().keep_output(index, text)


class RecordedJob(Job[Any]):
    """A job that writes down what happens to its tasks, and keeps no values in memory."""

    _table_type = RecordedTable

    def record(self, writer: Writer, sent: Sequence[Sent] = ()) -> None:
        """Write from now on. What an earlier keeper had handed out is queued again.

        Args:
            writer: writes it.
            sent: the requests of the earlier keeper that go on without it.
        """
        table, going_on = self._tasks, [each.tasks for each in sent]
        assert isinstance(table, RecordedTable)
        table.writer = self._writer = writer
        writer.write("resumed", going_on)
        _forget_running(table, going_on)
        table.now = time.time

    def charge(self, usage: Usage) -> None:
        """Add what the keeper itself has used to the cost of the job."""
        if any(usage):
            self._writer.write("charge", usage)
            self._tasks.charge(usage)

    def _end(self, outcomes: Sequence[Outcome], errors: Mapping[int, WrenliteError]) -> None:
        texts = {task: (type(error).__name__, str(error)) for task, error in errors.items()}
        self._writer.write("end", list(map(framing.outcome_to_wire, outcomes)), texts)
        super()._end([outcome.without_value() for outcome in outcomes], errors)

    def _end_cancelled(self, indexes: Sequence[int]) -> None:
        self._writer.write("cancel", indexes)
        super()._end_cancelled(indexes)

    def _end_like(self, index: int, other: int) -> None:
        self._writer.write("end_like", index, other)
        super()._end_like(index, other)


def export(job: Job[Any], writer: Writer) -> None:
    """Write what has happened to the tasks of a job of this process.

    Args:
        job: the job, of which no task runs.
        writer: writes it.
    """
    table, own = job._tasks, job._tasks.same_error_as
    ended = [task for task in table.finished if task not in own]
    cancelled = [task for task in ended if table.state(task) == "cancelled"]
    reported = sorted(set(ended) - set(cancelled))
    for first in range(0, len(reported), _EXPORTED_AT_ONCE):
        outcomes = [job._outcomes.as_sent(task) for task in reported[first : first + _EXPORTED_AT_ONCE]]
        unreported = [each.task for each in outcomes if not each.ok and each.packed is NOTHING]
        errors = {task: job._outcomes.made_error(task) for task in unreported}
        texts = {task: (type(error).__name__, _bare(job, task, error)) for task, error in errors.items()}
        writer.write("end", list(map(framing.outcome_to_wire, outcomes)), texts)
    writer.write("cancel", cancelled)
    for task, other in own.items():
        writer.write("end_like", task, other)
    writer.write("restore", table.columns())


def _bare(job: Job[Any], task: int, error: BaseException | None) -> str:
    """Return the text of an error without the name of the task, which ``Job._end`` writes before it."""
    return str(error).removeprefix(f"{job._task(task)}: ")


def repeat(job: Job[Any], call: tuple[Any, ...], *, keeps_values: bool = True) -> Sequence[Outcome]:
    """Repeat on a job what was written of another one.

    Args:
        job: the job.
        call: what ``Follower.calls`` gave.
        keeps_values: whether the job has the values afterwards.

    Returns:
        The outcomes that tasks ended with.
    """
    name, at, *arguments = call
    table = job._tasks
    table.now = lambda: at
    if name == "end":
        wire, texts = arguments
        outcomes = [Outcome(task, ok, framing.from_wire(packed), *rest) for task, ok, packed, *rest in wire]
        fresh = [outcome for outcome in outcomes if not table.has_ended(outcome.task)]
        kept = fresh if keeps_values else [outcome.without_value() for outcome in fresh]
        Job._end(job, kept, {task: _error(*text) for task, text in texts.items()})
        return fresh
    if name == "cancel":
        Job._end_cancelled(job, [task for task in arguments[0] if not table.has_ended(task)])
    elif name == "end_like":
        if not table.has_ended(arguments[0]):
            Job._end_like(job, *arguments)
    elif name == "end_batch":
        TaskTable.end_batch(table, arguments[0], Usage(*arguments[1]))
    elif name == "restore":
        table.restore(arguments[0])
    elif name == "resumed":
        _forget_running(table, arguments[0])
    elif name == "run_again":
        TaskTable.run_again(table, *arguments)
        job._outcomes.forget_errors(*arguments)
    elif name != CALL:  # the journal is read elsewhere
        getattr(TaskTable, name)(table, *arguments)
    return ()


def _forget_running(table: TaskTable, going_on: Sequence[Sequence[int]]) -> None:
    """Queue again what an earlier keeper had handed out, except the batches that go on without it."""
    left = set(itertools.chain.from_iterable(going_on))
    lost = [task for task in range(table.total) if table.state(task) == "dispatched" and task not in left]
    TaskTable.mark_queued(table, lost)
    table.running = len(going_on)


def _error(kind: str, text: str) -> WrenliteError:
    made = getattr(wrenlite_errors, kind, WrenliteError)
    error: WrenliteError = made(text)
    return error
