"""Handling the log records of tasks, in a thread of its own.

Handlers are the user's code. One may wait for a task of the same executor, or need a lock that a thread holds
which waits for one. So the thread that schedules waits for it for a short time only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from wrenlite.protocol import Outcome
from wrenlite.scheduler.settling import Lane
from wrenlite.task_logging import handle_records

_WAIT_S = 1.0
"""The longest time in seconds that outcomes wait until their records are handled."""
_HELD_UP_S = 5.0
"""Seconds after which the end of the executor does not wait any longer for the records of one task."""


class _Entry(NamedTuple):
    outcome: Outcome
    job: str
    handled: threading.Event


class RecordHandling:
    """Lets the loggers of this process handle the records of tasks, in their order."""

    def __init__(self) -> None:
        """Create it without its thread, which starts with the first record."""
        self._lane: Lane[_Entry] = Lane("wrenlite-logging", self._take, at_end=lambda: None)
        self._last = threading.Event()
        """Whether the records that came last are handled."""
        self._last.set()
        self._since = time.monotonic()
        """When the handling of those began that are handled now."""

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, once it runs."""
        return self._lane.thread

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for: every record is handled, or a handler does not return."""
        return self._last.is_set() or time.monotonic() - self._since > _HELD_UP_S

    def handle(self, outcomes: Sequence[Outcome], job: str) -> Sequence[Outcome]:
        """Have the records in outcomes handled, and return the outcomes without them.

        This returns once they are handled, or after a while where that takes long.

        Args:
            outcomes: the outcomes.
            job: the id of their job.
        """
        entries = [_Entry(outcome, job, threading.Event()) for outcome in outcomes if outcome.records]
        if not entries:
            return outcomes
        try:
            self._lane.start()
        except RuntimeError:  # the interpreter is ending, or this user has too many threads
            return handle_records(outcomes, job)
        caught_up, self._last = self._last.is_set(), entries[-1].handled
        if caught_up:
            self._since = time.monotonic()
        for entry in entries:
            self._lane.put(entry)
        if caught_up:  # a handler that is slow, or waits, does not hold up one outcome after the other
            self._last.wait(_WAIT_S)
        return [outcome._replace(records=b"") for outcome in outcomes]

    def close(self) -> None:
        """Let the thread end once it has handled what came before."""
        self._lane.close()

    def _take(self, entry: _Entry) -> None:
        self._since = time.monotonic()
        try:
            handle_records([entry.outcome], entry.job)
        finally:
            entry.handled.set()
