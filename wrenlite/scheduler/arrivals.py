"""What was submitted to an open job and has not reached the scheduler yet."""

from __future__ import annotations

import threading
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

_END: Any = object()
"""Stands behind the last item of a closed job."""


class Arrivals(Generic[Item]):
    """The items of an open job, in the order in which they were submitted.

    Any thread adds items, and one thread takes them. There is no lock, since a signal handler may interrupt
    ``add`` and submit an item itself. Adding is one ``append`` to a list, which cannot be interrupted, and
    the number of an item is its position there. Closing appends a mark; what comes behind it was not added.
    """

    def __init__(self) -> None:
        """Create arrivals without an item."""
        self.closed = False
        """Whether nothing more can be added."""
        self.ended = False
        """Whether ``take`` has met the end."""
        self.announced = False
        """Whether the scheduler was told to take what there is, and has not done so yet."""
        self.first_at = self.last_at = 0.0
        """When the scheduler took the first and the newest of those that wait, by its clock."""
        self.token = threading.Lock()
        """Held by the thread that runs the job, where that is the thread of a caller."""
        self._adding = self._taking = _Part(0)
        self._taken = 0

    def __len__(self) -> int:
        if self.ended:
            return self._taking.first + self._taken
        part = self._adding
        return part.first + part.length(self.closed)

    def add(self, item: Item) -> int | None:
        """Add an item.

        Returns:
            Its number; None where it was closed before.
        """
        part = self._adding
        entry: list[Any] = [item]  # ``take`` empties it, but leaves it in its place
        part.entries.append(entry)
        place = len(part.entries) - 1
        while part.entries[place] is not entry:  # others came meanwhile
            place -= 1
        if self.closed and place >= part.length(True):
            return None
        return part.first + place

    def close(self) -> None:
        """Take no more items."""
        if not self.closed:
            self.closed = True  # before the mark: who finds this False has added before the mark
            self._adding.entries.append(_END)

    def take(self) -> list[Item]:
        """Take the items that were added since the last time."""
        self.announced = False  # first: what comes from now on is announced again
        items: list[Item] = []
        while not self.ended:
            entries = self._taking.entries
            while self._taken < len(entries):
                entry = entries[self._taken]
                if entry is _END:
                    self.ended = True
                    break
                self._taken += 1
                items.append(entry.pop())
            later = self._taking.later
            if later is None or self.ended:
                break
            if self._taken == len(entries):
                self._taking, self._taken = later, 0
        return items

    def forget_taken(self) -> None:
        """Let what was taken be freed. Only where a single thread adds: it calls this."""
        part = self._adding
        if not self.closed:
            self._adding = part.later = _Part(part.first + len(part.entries))
            if self.closed:  # meanwhile: the mark may be in the earlier part
                self._adding.entries.append(_END)


class _Part:
    """A part of the items."""

    def __init__(self, first: int) -> None:
        self.first = first
        """The number of its first item."""
        self.entries: list[list[Any]] = []
        self.later: _Part | None = None
        """The part that follows; None: this is the last one."""

    def length(self, closed: bool) -> int:
        """Return the number of its items: those before the mark, where there may be one."""
        if closed and _END in self.entries:
            return self.entries.index(_END)
        return len(self.entries)
