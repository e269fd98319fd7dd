"""``RecordedJob``: a job whose task table is written to a file as it changes; and jobs that follow the file.

The scheduler changes a task table by a few methods. Here each call of one of them is a message in the file,
so that another process has the same table once it has read the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wrenlite import errors as wrenlite_errors
from wrenlite.errors import StoreError, WrenliteError
from wrenlite.job import Job
from wrenlite.protocol import NOTHING, Outcome, Usage
from wrenlite.serialize import framing
from wrenlite.task_table import TaskTable

_TABLE = "table-{}"
_EXPORTED_AT_ONCE = 256
"""Outcomes in one message of those that were there before a keeper."""


class Writer:
    """Writes what happens to the tasks of one job."""

    def __init__(self, folder: Path, on_error: Callable[[OSError], None] | None = None) -> None:
        """Begin a new file: a keeper that was killed may have left an incomplete message in the last one.

        Args:
            folder: of the job.
            on_error: called when the file cannot be written; None: the error is raised.
        """
        self._on_error = on_error
        number = sum(1 for _ in folder.glob(_TABLE.format("*")))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._fd = os.open(folder / _TABLE.format(number), flags, 0o600)

    def write(self, name: str, *arguments: object) -> None:
        """Write one call.

        Args:
            name: of the method.
            arguments: its arguments.

        Raises:
            StoreError: the disk is full.
        """
        try:
            framing.write(self._fd, framing.frame((name, time.time(), *arguments)))
        except OSError as error:
            if self._on_error is None:
                raise StoreError(f"cannot write what a job has done so far: {error.strerror}") from error
            self._on_error(error)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Follower:
    """Reads what happens to the tasks of one job, and repeats it on a table."""

    def __init__(self, folder: Path) -> None:
        """Begin at the first line.

        Args:
            folder: of the job.
        """
        self._folder = folder
        self._number = 0
        self._reader: framing.Reader | None = None
        self._fd = -1

    def calls(self) -> Iterator[tuple[Any, ...]]:
        """Yield the calls that have been written since the last time: their names, times and arguments.

        Raises:
            StoreError: a file is damaged.
        """
        while self._reader is not None or self._open():
            assert self._reader is not None
            try:
                for call in self._reader.read():
                    if isinstance(call, Exception):
                        file = self._folder / _TABLE.format(self._number)
                        raise StoreError(f"{file} is damaged, and what comes after that is lost: {call}")
                    yield call
            except EOFError:
                if not (self._folder / _TABLE.format(self._number + 1)).exists():
                    return
                self.close()
                self._number += 1

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            os.close(self._fd)
            self._reader = None

    def _open(self) -> bool:
        try:
            self._fd = os.open(self._folder / _TABLE.format(self._number), os.O_RDONLY)
        except FileNotFoundError:
            return False
        self._reader = framing.Reader(self._fd)
        return True


class RecordedTable(TaskTable):
    """A task table that writes down how it changes."""

    writer: Writer

    def mark_dispatched(self, indexes: Sequence[int], now: float, invocation: str) -> None:
        """The table writes down that a batch was handed out."""
        self.writer.write("mark_dispatched", indexes, now, invocation)
        super().mark_dispatched(indexes, now, invocation)

    def mark_queued(self, indexes: Sequence[int]) -> None:
        """The table writes down that tasks wait again."""
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

    def record(self, writer: Writer) -> None:
        """Write from now on. What an earlier keeper had handed out is queued again."""
        table = self._tasks
        assert isinstance(table, RecordedTable)
        table.writer = self._writer = writer
        writer.write("resumed")
        _forget_running(table)
        table.now = time.time

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
        _forget_running(table)
    else:
        getattr(TaskTable, name)(table, *arguments)
    return ()


def _forget_running(table: TaskTable) -> None:
    """Queue again what a keeper had handed out that has ended."""
    running = [task for task in range(table.total) if table.state(task) == "dispatched"]
    TaskTable.mark_queued(table, running)
    table.running = 0


def _error(kind: str, text: str) -> WrenliteError:
    made = getattr(wrenlite_errors, kind, WrenliteError)
    error: WrenliteError = made(text)
    return error
