"""Settling the futures of ended tasks, and calling their done-callbacks, each in a thread of its own.

Users can hold up both. A signal handler may interrupt the standard library where it holds the lock of a
future, and then wait for another task; a callback may wait for another task too, or never return. So the
thread that schedules does neither. It only leaves the futures here.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from wrenlite.futures import HasCallbacks
from wrenlite.threads import Changes, OneThread

_HELD_UP_S = 0.2
"""A future's lock is held for microseconds. A thread that waits for it for longer waits for a thread that
was interrupted."""

Futures = Sequence[HasCallbacks]
Entry = TypeVar("Entry")
"""What a lane takes."""


class Lane(Generic[Entry]):
    """A thread that takes entries in their order."""

    def __init__(self, name: str, take: Callable[[Entry], object], at_end: Callable[[], object]) -> None:
        """Create a lane without a thread.

        Args:
            name: the name of the thread.
            take: handles an entry.
            at_end: called after the last entry.
        """
        self.ended = False
        """Whether the thread has ended after ``close``."""
        self._one = OneThread(name)
        self._take = take
        self._at_end = at_end
        self._entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, once it runs."""
        return self._one.thread

    def start(self) -> None:
        """Start the thread, unless that was done before."""
        self._one.start(self._loop)

    def put(self, entry: Entry) -> None:
        """Leave an entry. It is handled here if the thread has ended."""
        self._entries.put(entry)
        if self.ended:
            self._take_rest()

    def close(self) -> None:
        """Let the thread end once it has taken what was left before."""
        self._entries.put(None)

    def _loop(self) -> None:
        while (entry := self._entries.get()) is not None:
            self._take(entry)
            del entry  # futures hold their job, and the next entry may come much later
        self.ended = True
        self._take_rest()
        self._at_end()

    def _take_rest(self) -> None:
        while not self._entries.empty():
            try:
                entry = self._entries.get_nowait()
            except queue.Empty:  # another thread was faster
                return
            if entry is not None:
                self._take(entry)


class Settler:
    """Settles futures in one thread, and calls their done-callbacks in another."""

    def __init__(self, changes: Changes, at_end: Callable[[], object]) -> None:
        """Create a settler, whose threads have not started.

        Args:
            changes: notified at the end.
            at_end: called after the last callback, before that.
        """
        self._changes = changes
        self._at_end = at_end
        self._since: float | None = None
        """When the thread began to settle the future that it settles now."""
        self._callbacks = Lane("wrenlite-callbacks", self._call_back, self._finish)
        self._states = Lane("wrenlite-futures", self._settle, self._callbacks.close)

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for after ``close``.

        Either every future is settled and its callbacks have returned. Or the settling is held up by a lock,
        which only the thread that asks can hold: this is a signal handler that has interrupted it.
        """
        since = self._since
        return self._callbacks.ended or (since is not None and time.monotonic() - since > _HELD_UP_S)

    def calls_from(self, thread: threading.Thread) -> bool:
        """Return whether this thread is one of the settler's: a callback must not wait for its own end."""
        return thread in (self._states.thread, self._callbacks.thread)

    def start(self) -> None:
        """Start the threads."""
        self._states.start()
        self._callbacks.start()

    def settle(self, futures: Futures) -> None:
        """Settle futures whose tasks have ended, soon, and call their callbacks."""
        self._states.put(futures)

    def settle_here(self, futures: Futures) -> None:
        """Settle futures in this thread, and call their callbacks."""
        for future in futures:
            future._settle()
        self._call_back(futures)

    def close(self) -> None:
        """Let the threads end once they have done what was left before."""
        self._states.close()

    def _settle(self, futures: Futures) -> None:
        for future in futures:
            self._since = time.monotonic()
            future._settle()
        self._since = None
        self._callbacks.put(futures)

    def _call_back(self, futures: Futures) -> None:
        for future in futures:
            future._call_back()

    def _finish(self) -> None:
        self._at_end()
        self._changes.notify()
