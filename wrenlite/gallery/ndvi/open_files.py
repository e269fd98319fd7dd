"""Files that stay open between the tasks of a worker: to open one takes as long as to read a small part.

A file is used by one task at a time. Whoever borrows one that is in use gets another.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


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
        self._limit = limit
        self._age_s = age_s
        self._lock = threading.Lock()
        self._idle: list[tuple[Hashable, float, Opened]] = []
        self._inherited: list[tuple[Hashable, float, Opened]] = []
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

    def close(self) -> None:
        """Close all files that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, _, file in idle:
            file.close()

    def _take(self, key: Hashable) -> tuple[float, Opened] | None:
        """Return when a file was opened, and the file; None if there is none, or it is too old."""
        now = time.monotonic()
        with self._lock:
            for position, (other, opened_at, file) in enumerate(self._idle):
                if other == key and now - opened_at < self._age_s:
                    del self._idle[position]
                    return opened_at, file
        return None

    def _give_back(self, key: Hashable, opened_at: float, file: Opened) -> list[Opened]:
        """Keep a file, and return those to close: too many or too old."""
        now = time.monotonic()
        with self._lock:
            self._idle.append((key, opened_at, file))
            kept = [each for each in self._idle if now - each[1] < self._age_s][-self._limit :]
            surplus = [each[2] for each in self._idle if all(each is not other for other in kept)]
            self._idle = kept
        return surplus

    def _forget(self) -> None:
        """Use no file of the parent process: both would move the same positions in the files.

        They are not closed either, which would take locks that another thread of the parent may hold.
        """
        self._inherited, self._idle = self._idle, []
        self._lock = threading.Lock()
