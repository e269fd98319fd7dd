"""``RecordedJob``: a job whose task table is written down as it changes; and jobs that follow that.

The scheduler changes a task table by a few methods. Here each call of one of them is written down, so that
another process has the same table once it has read that.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from wrenlite import errors as wrenlite_errors
from wrenlite.advice.work import Ran
from wrenlite.durable.place import Follower, Writer
from wrenlite.durable.remote_journal import CALL
from wrenlite.errors import RemoteError, WrenliteError
from wrenlite.job import Job
from wrenlite.protocol import NOTHING, Outcome, Usage
from wrenlite.scheduler.pending import Sent
from wrenlite.serialize import framing
from wrenlite.serialize.diagnosis import error_text
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
        self.interrupted: Counter[int] = Counter()
        """How often each task was in flight when a keeper ended, and was not followed any further. Of those
        that have an outcome it says nothing."""
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
            self.end_keeper(arguments[0])
        elif name == "run_again":
            for task in arguments[0]:
                self.interrupted.pop(task, None)

    def end_keeper(self, going_on: Sequence[Sequence[int]]) -> None:
        """Forget the requests of a keeper that has ended.

        Args:
            going_on: the tasks of those that the next keeper follows.
        """
        followed = {tasks[0] for tasks in going_on}
        for first in [first for first in self._sent if first not in followed]:
            self.interrupted.update(self._sent.pop(first).tasks)

    @property
    def sent(self) -> list[Sent]:
        """The requests, in the order in which they were handed out."""
        return list(self._sent.values())


_TOGETHER = "together"


def calls_of(follower: Follower) -> Iterator[tuple[Any, ...]]:
    """Yield the calls that are new, also those that were written together. Raises as ``calls``."""
    for call in follower.calls():
        if call[0] == _TOGETHER:
            yield from ((name, call[1], *arguments) for name, *arguments in call[2])
        else:
            yield call


class RecordedTable(TaskTable):
    """A task table that writes down how it changes."""

    writer: Writer
    _unit: list[tuple[object, ...]] | None = None
    """The calls so far of a block whose changes belong together."""

    def write(self, name: str, *arguments: object) -> None:
        """Write one call of a method of the table or its job."""
        if self._unit is None:
            self.writer.write(name, *arguments)
        else:
            self._unit.append((name, *arguments))

    @contextmanager
    def together(self) -> Iterator[None]:
        """The table writes down what changes in this block as one message."""
        self._unit = []
        try:
            yield
        finally:
            unit, self._unit = self._unit, None
            if unit:
                self.writer.write(_TOGETHER, unit)

    def mark_dispatched(self, indexes: Sequence[int], now: float, invocation: str) -> None:
        """The table writes down that a batch was handed out."""
        self.write("mark_dispatched", indexes, now, invocation)
        super().mark_dispatched(indexes, now, invocation)

    def mark_queued(self, indexes: Sequence[int]) -> None:
        """The table writes down that tasks wait again."""
        if indexes:
            self.write("mark_queued", indexes)
        super().mark_queued(indexes)

    def count_delayed(self, more: int) -> None:
        """The table writes down how many more tasks wait until they are tried again."""
        if more:
            self.write("count_delayed", more)
        super().count_delayed(more)

    def add_note(self, index: int, text: str) -> None:
        """The table writes down what is to be said of a task that fails."""
        self.write("add_note", index, text)
        super().add_note(index, text)

    def count_attempts(self, indexes: Sequence[int]) -> None:
        """The table writes down that tasks used up an attempt."""
        self.write("count_attempts", indexes)
        super().count_attempts(indexes)

    def end_batch(self, indexes: Sequence[int], usage: Usage, ran: Ran | None = None) -> None:
        """The table writes down that a batch has ended."""
        self.write("end_batch", indexes, tuple(usage), ran and tuple(ran))
        super().end_batch(indexes, usage, ran)

    def keep_output(self, index: int, text: str) -> None:
        """The table writes down what a task has written."""
        self.write("keep_output", index, text)
        super().keep_output(index, text)


class RecordedJob(Job[Any]):
    """A job that writes down what happens to its tasks, and keeps no values in memory."""

    _table_type = RecordedTable

    _tasks: RecordedTable

    def record(self, writer: Writer, sent: Sequence[Sent] = (), found: Sequence[Sent] = ()) -> None:
        """Write from now on. What an earlier keeper had handed out is queued again.

        Args:
            writer: writes it.
            sent: the requests of earlier keepers that go on without them.
            found: further ones, which no keeper has written down.
        """
        table, going_on = self._tasks, [each.tasks for each in sent]
        table.writer = writer
        writer.write("resumed", going_on)
        _forget_running(table, going_on)
        for each in found:
            table.mark_dispatched(each.tasks, each.at, each.invocation)
        table.now = time.time

    def charge(self, usage: Usage) -> None:
        """Add what the keeper itself has used to the cost of the job."""
        if any(usage):
            self._tasks.writer.write("charge", usage)  # it comes from another thread
            self._tasks.charge(usage)

    def _end(self, outcomes: Sequence[Outcome], errors: Mapping[int, WrenliteError]) -> None:
        texts = {task: _as_text(str(error), error) for task, error in errors.items()}
        self._tasks.write("end", list(map(framing.outcome_to_wire, outcomes)), texts)
        super()._end([outcome.without_value() for outcome in outcomes], errors)

    def _end_cancelled(self, indexes: Sequence[int]) -> None:
        self._tasks.write("cancel", indexes)
        super()._end_cancelled(indexes)

    def _end_like(self, index: int, other: int) -> None:
        self._tasks.write("end_like", index, other)
        super()._end_like(index, other)


def export(job: Job[Any], writer: Writer, going_on: Sequence[Sent] = ()) -> None:
    """Write what has happened to the tasks of a job of this process.

    Args:
        job: the job.
        writer: writes it.
        going_on: its requests in flight. Those that end meanwhile are written as ended, or are found.
    """
    table, own = job._tasks, job._tasks.same_error_as
    ended = [task for task in table.finished if task not in own]
    cancelled = [task for task in ended if table.state(task) == "cancelled"]
    reported = sorted(set(ended) - set(cancelled))
    for first in range(0, len(reported), _EXPORTED_AT_ONCE):
        outcomes = [job._outcomes.as_sent(task) for task in reported[first : first + _EXPORTED_AT_ONCE]]
        unreported = [each.task for each in outcomes if not each.ok and each.packed is NOTHING]
        errors = {task: error for task in unreported if (error := job._outcomes.exception(task)) is not None}
        texts = {task: _as_text(_bare(job, task, error), error) for task, error in errors.items()}
        writer.write("end", list(map(framing.outcome_to_wire, outcomes)), texts)
    writer.write("cancel", cancelled)
    for task, other in own.items():
        writer.write("end_like", task, other)
    writer.write("restore", table.columns())
    there = set(ended)
    for sent in going_on:
        if not there.issuperset(sent.tasks):
            writer.write("mark_dispatched", sent.tasks, sent.at, sent.invocation)


def _as_text(text: str, error: BaseException) -> tuple[str, str, list[str], str]:
    """Return an error as text: its type, its message, its notes, and its cause; empty: it has none."""
    cause = "" if error.__cause__ is None else error_text(error.__cause__)
    return type(error).__name__, text, list(getattr(error, "__notes__", ())), cause


def _bare(job: Job[Any], task: int, error: BaseException) -> str:
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
        _end(job, kept, texts)
        return fresh
    if name == "cancel":
        Job._end_cancelled(job, [task for task in arguments[0] if not table.has_ended(task)])
    elif name == "end_like":
        if not table.has_ended(arguments[0]):
            Job._end_like(job, *arguments)
    elif name == "end_batch":
        indexes, usage, ran = arguments
        TaskTable.end_batch(table, indexes, Usage(*usage), ran and Ran(*ran))
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
    table.running, table.delayed = len(going_on), 0


def _end(job: Job[Any], outcomes: Sequence[Outcome], texts: Mapping[int, tuple[Any, ...]]) -> None:
    """End tasks of a job, some of them with errors that ``_as_text`` has made texts of."""
    Job._end(job, outcomes, {task: _error(kind, text) for task, (kind, text, *_) in texts.items()})
    for task, (_, _, notes, cause) in texts.items():
        _complete(job._outcomes.made_error(task), notes, cause)


def _complete(error: BaseException | None, notes: Sequence[str], cause: str) -> None:
    """Give an error the notes and the cause that it had where it was made, unless it has them."""
    if error is None or error.__cause__ is not None:
        return
    for note in notes:
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    if cause:
        error.__cause__ = RemoteError(cause)


def _error(kind: str, text: str) -> WrenliteError:
    made = getattr(wrenlite_errors, kind, WrenliteError)
    error: WrenliteError = made(text)
    return error
