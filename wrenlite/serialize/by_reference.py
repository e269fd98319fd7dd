"""Futures, jobs and refs inside an item: they travel by reference, and the task gets the values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from wrenlite.protocol import Packed, Plain, Stored


class Source(NamedTuple):
    """A task whose value an item takes."""

    future: Any
    """Its future."""
    packed: Packed | Stored | Plain | None
    """The value, where it was there when the item was pickled: another thread may unpickle it meanwhile."""


class Dependent(NamedTuple):
    """An item with values of other tasks in it. It can be sent once these have ended."""

    packed: Packed
    """The item, in which each of the values is referred to by its place in ``sources``."""
    sources: tuple[Source, ...]
    """The tasks whose values it takes."""
    holders: tuple[object, ...]
    """What must not be freed before the task has ended: see ``Ref``."""


class References:
    """What an item that is being pickled refers to."""

    def __init__(
        self,
        control: object = None,
        on_source: Callable[[Any], object] = lambda _: None,
        job: object = None,
        *,
        waits: bool = False,
        stand_in: Callable[[Any], ByReference | None] | None = None,
    ) -> None:
        """Create an empty record.

        Args:
            control: what runs the job. It must run the tasks too whose values an item takes. None: there is
                no job, and no future can be referred to.
            on_source: called with each job whose values items take.
            job: the job that the items are of, where others of its tasks may be referred to; None: it is new.
            waits: wait for these tasks when they are referred to, because they run in the caller's thread.
            stand_in: returns what travels by reference in place of an object; None: itself.
        """
        self.control = control
        self.on_source = on_source
        self.job = job
        self.waits = waits
        self.stand_in = stand_in
        self.in_item = control is not None
        """Whether an item is being pickled, and no function."""
        self.sources: list[Source] = []
        """The tasks whose values the item takes, so far."""
        self.holders: list[object] = []
        """What must not be freed before the task has ended."""
        self.uses_store = False
        """Whether any item, or the function, refers to an object in the store."""

    def of_job(self, job: object) -> References:
        """Return an empty record for an item of this job."""
        return References(self.control, self.on_source, job, waits=self.waits, stand_in=self.stand_in)

    def reduction_of(self, obj: object) -> Any:
        """Return how to pickle an object that travels by reference, in the terms of ``reducer_override``.

        Returns:
            None where it does not.
        """
        if isinstance(obj, ByReference):
            return obj._refer(self)
        stand_in = None if self.stand_in is None else self.stand_in(obj)
        return None if stand_in is None else stand_in._refer(self)

    def clear(self) -> None:
        """Begin with another item."""
        self.sources.clear()
        self.holders.clear()

    def complete(self, packed: Packed) -> Packed | Dependent:
        """Return the item that was pickled, with what it refers to, and begin with another one."""
        if not self.sources and not self.holders:
            return packed
        item = Dependent(packed, tuple(self.sources), tuple(self.holders))
        self.clear()
        return item


class ByReference:
    """An object that travels by reference where it is in an item, or is one."""

    def _refer(self, references: References) -> Any:
        """Return how to pickle this object, in the terms of ``reducer_override``, and record what it needs.

        Args:
            references: takes what the item refers to.
        """
        raise NotImplementedError
