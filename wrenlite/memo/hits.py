"""The values of a new job that earlier jobs have left, and how they are read.

A value may refer by number to classes and functions of the job that has made it. They are looked for among
those of the new job, by name and digest, and in ``__main__``: so a value becomes an instance of the class
that the caller has now. Where one of them is not found, the value is computed again.
"""

from __future__ import annotations

import operator
import sys
import threading
import types
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from wrenlite.errors import ExecutorClosed, IntegrityError, NotDigestible, NotFound, StoreError
from wrenlite.memo.found import Hits
from wrenlite.memo.index import IN_FILE, Entry
from wrenlite.protocol import Packed, Plain, Stored

if TYPE_CHECKING:
    from wrenlite.memo.blobs import Blobs
    from wrenlite.memo.cache import Cache
    from wrenlite.memo.digest import Items

Compute = Callable[[Sequence[int]], Callable[[int], Packed | Plain]]
"""Runs tasks again, whose kept values are gone, and returns what waits for the value of one of them."""


class Definitions:
    """The classes and functions that values of a job refer to by number."""

    def __init__(self, table: Sequence[object], items: Items) -> None:
        """Compute the digest of each.

        Args:
            table: the class table of the job.
            items: computes digests for this job.
        """
        self.table = table
        """The class table of the job."""
        self._items = items
        pairs = [(_name(each), self._digest(each)) for each in table]
        self._found = dict(zip(pairs, table, strict=True))
        import json  # not at the import of wrenlite

        self.text = json.dumps(pairs)
        """Names and digests in the order of the numbers, as the index has them."""
        self.are_known = all(digest for _, digest in pairs)
        """Whether each of them has a digest."""

    def table_for(self, text: str | None) -> Sequence[object] | None:
        """Return what the numbers mean in a value of another job; None: that is not known here.

        Args:
            text: names and digests that its job had.
        """
        if text is None or text == self.text:
            return None if text is None else self.table
        import json

        try:
            found = [self._find(name, digest) for name, digest in json.loads(text)]
        except (LookupError, ValueError):
            return None
        return found

    def _find(self, name: str, digest: str) -> object:
        """Return the class or function of this program with a name and a digest.

        Raises:
            LookupError: there is none.
        """
        found = self._found.get((name, digest)) if digest else None
        if found is None and digest and name.startswith("__main__:"):
            found = sys.modules.get("__main__")
            for part in name.partition(":")[2].split("."):
                found = getattr(found, part, None)
            found = found if found is not None and self._digest(found) == digest else None
        if found is None and digest == _BUILTIN:
            found = _BUILTIN_TYPES.get(name)
        if found is None:
            raise LookupError(name)
        return found

    def _digest(self, definition: object) -> str:
        if _BUILTIN_TYPES.get(_name(definition)) is definition:
            return _BUILTIN
        try:
            return self._items.digest_of(definition)
        except NotDigestible:
            return ""


_BUILTIN_TYPES = {
    f"builtins:{each.__qualname__}": each for each in vars(types).values() if isinstance(each, type)
}
"""Types such as that of functions, which cannot be imported by the names that they have."""
_BUILTIN = "of Python"
"""Stands for the digest of these: the version of Python is part of each call."""


def _name(definition: object) -> str:
    name = getattr(definition, "__qualname__", None) or getattr(definition, "__name__", "")
    return f"{getattr(definition, '__module__', '')}:{name}"


class Finder:
    """Finds the kept values of a job."""

    def __init__(self, cache: Cache, blobs: Blobs, definitions: Definitions) -> None:
        """Create it.

        Args:
            cache: has the values.
            blobs: reads them.
            definitions: what the numbers in values of the new job mean.
        """
        self.compute: Compute | None = None
        """Runs tasks again."""
        self._cache = cache
        self._blobs = blobs
        self._definitions = definitions
        self._tables: dict[bytes, Sequence[object] | None] = {}
        self._stored: dict[int, tuple[Entry, Stored]] = {}
        self._were_read: set[int] = set()
        self._again: dict[int, Callable[[int], Packed | Plain]] = {}
        self._lock = threading.RLock()  # a signal handler may ask for values while its thread holds it

    def find(self, keys: Sequence[bytes | None]) -> Hits:
        """Return the values that there are of these calls.

        Raises:
            StoreError: the index cannot be used.
        """
        entries = self._cache.index.look_up({key for key in keys if key is not None})
        unusable = [key for key, entry in entries.items() if not self._is_usable(entry)]
        for unwanted in unusable:
            del entries[unwanted]
        if unusable:
            self._cache.forget(unusable)
        values: dict[int, Packed | Stored | Plain] = {}
        tables: dict[int, Sequence[object]] = {}
        for task, key in enumerate(keys):
            if key is None or (entry := entries.get(key)) is None:
                continue
            values[task] = value = self._blobs.value_of(entry)
            if isinstance(value, Stored):
                self._stored[task] = entry, value
            if (table := self._table(entry.definitions)) is not self._definitions.table:
                assert table is not None  # or else it were not usable
                tables[task] = table
        if entries:
            self._cache.use(entries)
        return Hits(values, tables, {task: partial(self._read, task) for task in self._stored})

    def value(self, key: bytes) -> Packed | Plain | None:
        """Return the value that there is of one call, read and checked; None: there is none that can be used.

        Raises:
            StoreError: the index, or the bucket, cannot be used.
        """
        entry = self._cache.index.look_up((key,)).get(key)
        if entry is None:
            return None
        if self._is_usable(entry) and self._means_the_same(entry.definitions):
            value = self._blobs.value_of(entry)
            try:
                return self._blobs.read(key, value) if isinstance(value, Stored) else value
            except (NotFound, IntegrityError):
                pass
        self._cache.forget((key,))
        return None

    def _means_the_same(self, name: bytes | None) -> bool:
        """Return whether all numbers of a value mean the same in the job, whose table may grow."""
        table, own = self._table(name) or (), self._definitions.table
        return len(table) <= len(own) and all(map(operator.is_, table, own))

    def _is_usable(self, entry: Entry) -> bool:
        return self._blobs.seems_there(entry) and self._table(entry.definitions) is not None

    def _table(self, name: bytes | None) -> Sequence[object] | None:
        if name is None:
            return self._definitions.table
        if name not in self._tables:
            self._tables[name] = self._definitions.table_for(self._cache.index.definitions(name))
        return self._tables[name]

    def _read(self, task: int, on_get: Callable[[], object]) -> Packed | Plain:
        """Return a value from its file or from the bucket. One that is gone is computed again."""
        entry, stored = self._stored[task]
        if task not in self._again:
            if entry.place != IN_FILE:
                on_get()
            try:
                value = self._blobs.read(entry.key, stored)
            except (NotFound, IntegrityError) as error:
                self._run_again(task, error)
            else:
                self._were_read.add(task)
                return value
        return self._again[task](task)

    def _run_again(self, task: int, error: StoreError) -> None:
        """Begin to compute a value again, and with it all others that are gone and were not read."""
        with self._lock:
            if task in self._again:  # another thread was faster
                return
            unread = [each for each in self._stored if not (each in self._were_read or each in self._again)]
            gone = self._blobs.gone([self._stored[each][0] for each in unread])
            tasks = [each for each in unread if each == task or self._stored[each][0].key in gone]
            self._cache.forget([self._stored[each][0].key for each in tasks])
            assert self.compute is not None
            try:
                value = self.compute(tasks)
            except ExecutorClosed as closed:
                text = f"{error}. It is computed again when its item is mapped again: {closed}"
                raise type(error)(text) from None
            self._again.update(dict.fromkeys(tasks, value))
