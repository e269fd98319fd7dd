"""``Queue``: how many starts of a deployment run at once on AWS, and which one is next.

::

    starts/queue/<time>-<start>    one object for each start that is not over, the oldest first

The first ones of the list run, and the others wait without a driver. A driver whose start is over deletes its
object, and has the next ones begun. So what comes while all places are taken waits in the store, and not in
drivers that hold places which their own tasks need.

Two events may be listed in another order than they came in. Then a start that runs is behind one that comes
later, which has to wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from wrenlite.serving.starts import PREFIX, Record
from wrenlite.storage.base import Store

_PREFIX = f"{PREFIX}/queue/"
_BEHIND = 8
"""How many starts behind the first ones are asked whether they run: those that came within one moment."""


class Waiting(NamedTuple):
    """A start that runs, or may run now."""

    key: str
    """Of its object."""
    start: str
    """Its id."""


class Queue:
    """The starts of all published jobs of a deployment that are not over."""

    def __init__(self, store: Store, at_once: int, runs: Callable[[str], bool]) -> None:
        """Create it. This reads nothing yet.

        Args:
            store: of the deployment.
            at_once: how many starts may run at once, of whichever job; 0: any number, and there is no queue.
            runs: says whether a start of this id runs.
        """
        self._store = store
        self._at_once = at_once
        self._runs = runs

    def first(self) -> list[Waiting]:
        """Return the starts that may run, the oldest first.

        Raises:
            StoreError: the store cannot be read.
        """
        if not self._at_once:
            return []
        keys = [entry.key for entry in islice(self._store.list(_PREFIX), self._at_once + _BEHIND)]
        waiting = [Waiting(key, key.removeprefix(_PREFIX).partition("-")[2]) for key in keys]
        front, behind = waiting[: self._at_once], waiting[self._at_once :]
        taken = sum(self._runs(each.start) for each in behind)
        if not taken:
            return front
        running = {each.start for each in front if self._runs(each.start)}
        free = max(0, self._at_once - taken - len(running))
        begin = [each.start for each in front if each.start not in running][:free]
        return [each for each in front if each.start in running or each.start in begin]

    def enter(self, record: Record) -> bool:
        """Take a place in the list, unless the start has one. Return whether it may run.

        Raises:
            StoreError: the store cannot be used.
        """
        if not self._at_once:
            return True
        self._store.put(_key(record), b"")
        return record.id in [each.start for each in self.first()]

    def leave(self, record: Record) -> None:
        """Leave the list.

        Raises:
            StoreError: the store cannot be used.
        """
        if self._at_once:
            self._store.delete([_key(record)])

    def drop(self, waiting: Waiting) -> None:
        """Take a start off the list that nobody can run any more.

        Raises:
            StoreError: the store cannot be used.
        """
        self._store.delete([waiting.key])


def _key(record: Record) -> str:
    return f"{_PREFIX}{record.at:017.6f}-{record.id}"
