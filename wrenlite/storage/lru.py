"""A cache of limited size that drops its least recently used entries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Default = TypeVar("Default")


class LruCache(Generic[Key, Value]):
    """Keeps values by key. The sizes of all entries together stay within a limit.

    A single entry that is larger than the limit is kept too, alone. Not for use by several threads at once.
    """

    def __init__(self, limit: int) -> None:
        """Create an empty cache.

        Args:
            limit: the most that the sizes of all entries may add up to. With the default size 1 of ``put`` it
                is the number of entries.
        """
        self._limit = limit
        self._total = 0
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def get(self, key: Key, default: Default) -> Value | Default:
        """Return the value of a key, which counts as a use of it; ``default`` where there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return default
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Key, value: Value, size: int = 1) -> None:
        """Add or replace an entry and drop others where the limit requires it."""
        _, replaced = self._entries.pop(key, (None, 0))
        self._total -= replaced
        self.make_room(size)
        self._entries[key] = value, size
        self._total += size

    def make_room(self, size: int) -> bool:
        """Drop the least recently used entries until a value of this size fits in.

        Call it before a large value is made, so that the dropped values do not take memory beside it.

        Returns:
            Whether an entry was dropped.
        """
        dropped = False
        while self._entries and self._total + size > self._limit:
            _, (_, freed) = self._entries.popitem(last=False)
            self._total -= freed
            dropped = True
        return dropped

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
        self._total = 0
