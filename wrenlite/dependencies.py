"""Values of tasks in items of other tasks: how they are sent, and how a worker puts them in place.

Values come from the client, pickled as they came from the workers of the other tasks, or, where they are
stored, as places in the store. So none is unpickled on the way.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from typing import Any

from wrenlite.errors import RemoteError
from wrenlite.protocol import Packed, Plain, Stored
from wrenlite.serialize import framing
from wrenlite.serialize.by_reference import ByReference, References
from wrenlite.serialize.diagnosis import error_text
from wrenlite.serialize.pickling import unpack
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.unpickling_context import context, unpickling_with
from wrenlite.storage.refs import current_objects, current_store
from wrenlite.storage.results import fetch_value


class _ItemWithValues:
    def __init__(self, parts: tuple[Any, list[Any]]) -> None:
        self._parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpack_item, self._parts


def pack_with_values(item: Packed, values: Iterable[Packed | Stored | Plain]) -> Packed:
    """Return an item that has the values with it that it refers to. No value is copied or unpickled.

    Args:
        item: the pickled item, which refers to values by their places.
        values: the value of each place, or where it is stored.
    """
    parts = framing.to_wire(item), list(map(framing.to_wire, values))
    data, buffers = framing.pickled(_ItemWithValues(parts))
    return Packed(data, tuple(buffers))


def _unpack_item(item: Any, values: Sequence[Any]) -> Any:
    packed = framing.from_wire(item)
    assert isinstance(packed, Packed)
    with unpickling_with(values=values):
        return pickle.loads(packed.data, buffers=packed.buffers)


def value_at(place: int, definitions: Sequence[object] | None, task: str) -> Any:
    """Return a value that the item refers to. Only unpickling an item calls this, on a worker.

    Args:
        place: its place among the values of the item.
        definitions: the classes and functions that its pickle refers to by number; None: those of this job.
        task: the name of its task, for messages.

    Raises:
        StoreError: it cannot be fetched, has expired, or was changed.
        RemoteError: it cannot be unpickled here.
    """
    packed = fetch_value(current_store(), framing.from_wire(context.values[place]), task)
    try:
        return unpack(packed, context.table if definitions is None else definitions)
    except Exception as error:  # of the value's own code
        raise_if_interrupting(error)
        if isinstance(error, MemoryError):
            raise
        raise RemoteError(f"the value of {task} cannot be unpickled: {error_text(error)}") from error


def shared_value_at(place: int, definitions: Sequence[object] | None, task: str) -> Any:
    """Return a value as ``value_at`` does, or one object to all tasks of a worker if the store holds it."""
    sent = framing.from_wire(context.values[place])
    if not isinstance(sent, Stored):
        return value_at(place, definitions, task)
    return current_objects().get(sent, tuple(context.table if definitions is None else definitions))


class Shared(ByReference):
    """A future in an item whose value many tasks take: they share the object, and must not change it."""

    def __init__(self, future: ByReference) -> None:
        """Wrap a future."""
        self._future = future

    def _refer(self, references: References) -> Any:
        function, arguments = self._future._refer(references)
        return (shared_value_at if function is value_at else function), arguments


def itself(value: Any) -> Any:
    """Return a value that was pickled in place of a future. Only unpickling an item calls this."""
    return value
