"""Log records of tasks: a worker collects them, and the caller's own loggers handle them.

The caller's levels are applied on the worker, so that no record is sent that nobody wants. The records of a
task are sent with its outcome, and are handled before its value can be read. While the task runs they are in
a file too, which the parent process reads if the worker dies. Arguments are merged into the message, and an
exception into its text, on the worker.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wrenlite.errors import ConfigError
from wrenlite.protocol import Outcome

RECORDS_BYTES = 64 * 1024
"""The most bytes of the records of one task. Further ones are counted, and the last record says how many."""

_NOT_SENT = frozenset(("args", "exc_info", "msg", "message", "asctime", "relativeCreated", "taskName"))
"""Attributes of a record that are made anew, or are merged into others."""


def check_logging(asked: object) -> None:
    """Check the option ``logging=``.

    Raises:
        ConfigError: it is neither a truth value nor None.
    """
    if asked is not None and not isinstance(asked, bool):
        raise ConfigError(f"logging={asked!r}: must be True, False or None")


def wanted_levels(*asked: bool | None, unless_set: Mapping[str, int]) -> dict[str, int] | None:
    """Return the levels of this process's loggers, by name; None where no records are wanted.

    Args:
        asked: whether records are wanted; the first that is not None is valid. Where all are None, they are
            wanted if the root logger has a handler, as after ``logging.basicConfig()``.
        unless_set: levels of loggers that have none here.
    """
    root = logging.getLogger()
    if not next((each for each in asked if each is not None), root.handlers):
        return None
    loggers: dict[str, Any] = {"": root, **root.manager.loggerDict}
    levels = {name: logger.level for name, logger in loggers.items() if isinstance(logger, logging.Logger)}
    least = root.manager.disable + 1 if root.manager.disable else 0  # logging.disable(level)
    levels = {**unless_set, **{name: level for name, level in levels.items() if level or not name}}
    return {name: max(level, least) for name, level in levels.items()}


class RecordCollector(logging.Handler):
    """The handler of a worker's root logger: it keeps the records of the task that runs."""

    def __init__(self, file: int | None) -> None:
        """Create a collector that collects nothing until ``apply`` is called.

        Args:
            file: the file descriptor of the file in which records are until they are taken; None: in none.
        """
        from json import dumps  # most programs log nothing in tasks

        super().__init__()
        self._as_json = dumps
        self._file = file
        self._process = os.getpid()
        self._levels: Mapping[str, int] | None = None
        self._levels_before: dict[str, int] = {}
        self._records: list[str] = []
        self._bytes = 0
        self._dropped = 0

    def apply(self, levels: Mapping[str, int] | None) -> None:
        """Set the levels of loggers for a job, in place of those of the job before.

        Args:
            levels: by name of the logger; None: the job wants no records.
        """
        root = logging.getLogger()
        if levels != self._levels:
            for name, level in self._levels_before.items():
                logging.getLogger(name).setLevel(level)
            self._levels_before = {name: logging.getLogger(name).level for name in levels or ()}
            for name, level in (levels or {}).items():
                logging.getLogger(name).setLevel(level)
            self._levels = levels
        if levels is None:
            root.removeHandler(self)
        elif self not in root.handlers:  # also where a task has removed it
            root.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, unless the task has logged too much."""
        if os.getpid() != self._process:  # a task has forked: nobody takes what this process keeps
            if logging.lastResort is not None and record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)
            return
        try:
            line = self._as_json(_fields(record))
        except Exception:  # such as arguments that do not fit the message
            self.handleError(record)
            return
        if self._bytes + len(line) > RECORDS_BYTES:
            self._dropped += 1
        else:
            self._records.append(line)
            self._bytes += len(line) + 1
            if self._file is not None:
                with contextlib.suppress(OSError):  # the disk is full, or a task has closed the file
                    os.write(self._file, f"{line}\n".encode())

    def take(self) -> bytes:
        """Return the records since the last call, for ``handle_records``; empty where there are none."""
        if not self._records and not self._dropped:
            return b""
        self.acquire()  # threads of the task may go on logging
        try:
            if self._dropped:
                self._records.append(self._as_json(_last_record(self._dropped)))
            records, self._records = self._records, []
            self._bytes = self._dropped = 0
            if self._file is not None:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, 0)
        finally:
            self.release()
        return f"[{','.join(records)}]".encode()


def _last_record(dropped: int) -> dict[str, Any]:
    limit = f"{RECORDS_BYTES >> 10} KB of each task are sent"
    text = f"wrenlite: {dropped:,} further log records of this task were dropped: {limit}"
    return {"name": "root", "levelno": logging.WARNING, "levelname": "WARNING", "msg": text}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the attributes of a record that are sent; those of ``extra=`` too, as text if not plain."""
    fields = {name: value for name, value in record.__dict__.items() if name not in _NOT_SENT}
    if record.exc_info:
        fields["exc_text"] = record.exc_text or logging.Formatter().formatException(record.exc_info)
    for name, value in fields.items():
        if not _is_plain(value):
            fields[name] = str(value)
    fields["msg"] = record.getMessage()
    return fields


def _is_plain(value: object, depth: int = 8) -> bool:
    """Return whether JSON keeps a value as it is: text, a number, None, or lists and dicts of these."""
    if type(value) is dict:
        return depth > 0 and all(
            type(key) is str and _is_plain(each, depth - 1) for key, each in value.items()
        )
    if type(value) is list:
        return depth > 0 and all(_is_plain(each, depth - 1) for each in value)
    return value is None or isinstance(value, str | int | float)


def handle_records(outcomes: Sequence[Outcome], job: str) -> Sequence[Outcome]:
    """Let this process's loggers handle the records in outcomes. Return the outcomes without them.

    Whatever a handler raises is printed, as ``logging`` itself prints the errors of handlers.

    Args:
        outcomes: the outcomes.
        job: the id of their job.
    """
    if not any(outcome.records for outcome in outcomes):
        return outcomes
    import json

    for outcome in outcomes:
        with _errors_printed():
            for fields in json.loads(outcome.records or b"[]"):
                with _errors_printed():
                    _handle({**fields, "wrenlite_task": outcome.task, "wrenlite_job": job})
    return [outcome._replace(records=b"") for outcome in outcomes]


@contextlib.contextmanager
def _errors_printed() -> Iterator[None]:
    """Print what is raised in the ``with`` block: handlers are the user's code."""
    try:
        yield
    except BaseException:
        if logging.raiseExceptions and sys.stderr is not None:
            with contextlib.suppress(Exception):  # as logging does: stderr may be closed
                traceback.print_exc()


def _handle(fields: dict[str, Any]) -> None:
    logger = logging.getLogger(fields["name"])
    if logger.isEnabledFor(fields["levelno"]):
        record = logging.makeLogRecord(fields)
        record.levelname = logging.getLevelName(record.levelno)  # a level of the caller's own has a name here
        logger.handle(record)
