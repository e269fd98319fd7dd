"""``Queue``: how many starts of a published job run at once on AWS, and which one is next.

::

    starts/<name>.queue/<time>-<start>    one object for each start that is not over, the oldest first

The first ones of the list run, and the others wait without a driver. A driver whose start is over deletes its
object, and has the next ones begun. So what comes while all places are taken waits in the store, and not in
drivers that hold places which their own tasks need.
"""

from __future__ import annotations

from itertools import islice

from wrenlite.serving.starts import PREFIX, Record
from wrenlite.storage.base import Store


class Queue:
    """The starts of one published job that are not over."""

    def __init__(self, store: Store, name: str, at_once: int) -> None:
        """Create it. This reads nothing yet.

        Args:
            store: of the deployment.
            name: of the published job.
            at_once: how many starts may run at once; 0: any number, and there is no queue.
        """
        self._store = store
        self._prefix = f"{PREFIX}/{name}.queue/"
        self._at_once = at_once

    def first(self) -> list[str]:
        """Return the ids of the starts that may run, the oldest first.

        Raises:
            StoreError: the store cannot be read.
        """
        entries = islice(self._store.list(self._prefix), self._at_once) if self._at_once else ()
        return [entry.key.removeprefix(self._prefix).partition("-")[2] for entry in entries]

    def enter(self, record: Record) -> bool:
        """Take a place in the list, unless the start has one. Return whether it may run.

        Raises:
            StoreError: the store cannot be used.
        """
        if not self._at_once:
            return True
        self._store.put(self._key(record), b"")
        return record.id in self.first()

    def leave(self, record: Record) -> None:
        """Leave the list.

        Raises:
            StoreError: the store cannot be used.
        """
        if self._at_once:
            self._store.delete([self._key(record)])

    def _key(self, record: Record) -> str:
        return f"{self._prefix}{record.at:017.6f}-{record.id}"
