"""Files that stay open between the tasks of a worker: to open one takes as long as to read a small part.

A file is used by one task at a time. Whoever borrows one that is in use gets another, and the one that comes
back last stays open.
"""

from __future__ import annotations

import atexit
import os
import resource
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

_MOST = 1024
"""The most files that ever stay open; each takes 0.1 MB and at most two descriptors."""


class Closable(Protocol):
    """Something that is open until it is closed."""

    def close(self) -> None:
        """Close it."""
        ...


Opened = TypeVar("Opened", bound=Closable)


class OpenFiles(Generic[Opened]):
    """Files that nobody uses now, by what identifies them; those that were used last."""

    def __init__(self, limit: int, age_s: float) -> None:
        """Keep no files yet.

        Args:
            limit: the most files that stay open; those that were not used for the longest time are closed.
            age_s: a file is closed when it is given back after it was open for so long.
        """
        self._limits = [limit]
        self._age_s = age_s
        self._lock = threading.Lock()
        self._idle: dict[Hashable, tuple[float, Opened]] = {}  # in the order of their last use
        self._inherited: dict[Hashable, tuple[float, Opened]] = {}
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    @contextmanager
    def borrow(self, key: Hashable, open_file: Callable[[], Opened]) -> Iterator[Opened]:
        """Lend a file that is open already, or one that is opened now. After an exception it is closed.

        Args:
            key: what identifies the file and how it is opened, in the version that the borrower expects.
            open_file: opens the file.
        """
        opened_at, file = self._take(key) or (time.monotonic(), open_file())
        try:
            yield file
        except BaseException:
            file.close()
            raise
        for surplus in self._give_back(key, opened_at, file):
            surplus.close()

    @contextmanager
    def room_for_more(self) -> Iterator[None]:
        """Keep more files open meanwhile: as many as take half of the descriptors of this process."""
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # -1 where there is no limit
        more = min(descriptors // 4, _MOST) if descriptors >= 0 else _MOST
        self._limits.append(more)
        try:
            yield
        finally:
            self._limits.remove(more)
            with self._lock:
                surplus = self._take_surplus()
            for file in surplus:
                file.close()

    def close(self) -> None:
        """Close all files that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for _, file in idle.values():
            file.close()

    def _take(self, key: Hashable) -> tuple[float, Opened] | None:
        """Return when a file was opened, and the file; None if there is none, or it is too old."""
        with self._lock:
            kept = self._idle.get(key)
            if kept is None or time.monotonic() - kept[0] >= self._age_s:
                return None
            return self._idle.pop(key)

    def _give_back(self, key: Hashable, opened_at: float, file: Opened) -> list[Opened]:
        """Keep a file as the one that was used last, and return those to close."""
        with self._lock:
            other = self._idle.pop(key, None)
            self._idle[key] = opened_at, file
            return [each for _, each in filter(None, [other])] + self._take_surplus()

    def _take_surplus(self) -> list[Opened]:
        """Return the files that are too many or too old, and keep them no longer."""
        now, surplus = time.monotonic(), len(self._idle) - max(self._limits)
        keys = [
            key
            for number, (key, (opened_at, _)) in enumerate(self._idle.items())
            if number < surplus or now - opened_at >= self._age_s
        ]
        return [self._idle.pop(key)[1] for key in keys]

    def _forget(self) -> None:
        """Use no file of the parent process: both would move the same positions in the files.

        They are not closed either, which would take locks that another thread of the parent may hold.
        """
        self._inherited, self._idle = self._idle, {}
        self._lock = threading.Lock()
