"""``map_reduce``: the last task of a job takes the values of the other tasks, as a sequence.

Small values come back in replies, and go on in the request of that task, pickled as they are. Large values
are stored: only their places and digests pass through the client, and the worker that reduces fetches each
value when it is asked for.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import index as whole_number
from typing import Any, TypeVar, overload

from wrenlite.errors import RemoteError, WrenliteError
from wrenlite.protocol import Packed, Plain, Stored
from wrenlite.serialize import framing
from wrenlite.serialize.diagnosis import error_text
from wrenlite.serialize.pickling import JoinedFunctions, function_name, unpack
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.unpickling_context import context
from wrenlite.storage.base import Store
from wrenlite.storage.refs import current_store
from wrenlite.storage.results import fetch_value, fetch_values
from wrenlite.texts import counted

V = TypeVar("V")


class MapThenReduce(JoinedFunctions):
    """The function of a ``map_reduce`` job: the item of its last task is a ``_PackedValues``."""

    method = "map_reduce"

    def __init__(self, mapper: Callable[..., Any], reducer: Callable[[Sequence[Any]], Any]) -> None:
        """Join two functions into one.

        Args:
            mapper: takes an item.
            reducer: takes the sequence of all values.
        """
        self.mapper = mapper
        self.reducer = reducer
        self.__qualname__ = f"{function_name(mapper)} → {function_name(reducer)}"

    def __call__(self, item: Any, *args: Any, **kwargs: Any) -> Any:
        """Run one task: the mapper on an item, or the reduction."""
        if isinstance(item, _PackedValues):
            tasks = range(len(item.values))
            return self.reducer(MappedValues(item.values, tasks, current_store(), context.table))
        return self.mapper(item, *args, **kwargs)

    def named(self) -> dict[str, Callable[..., Any]]:
        """Return the functions by the names of the parameters that take them."""
        return {"map_fn": self.mapper, "reduce_fn": self.reducer}

    def function_for(self, item: Any) -> Callable[..., Any]:
        """Return the one of the two functions that takes this item."""
        return self.reducer if isinstance(item, _PackedValues) else self.mapper


class _PackedValues:
    """The item of a reduction."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = values
        """The pickled value of each task, or its place in the store, as parts of a message."""


def pack_values(values: Iterable[Packed | Stored | Plain]) -> Packed:
    """Return the item of a reduction. The values stay pickled: none of them is unpickled here.

    Args:
        values: the value of each task, or its place in the store.
    """
    return Packed(pickle.dumps(_PackedValues(list(map(framing.to_wire, values))), 5))


class MappedValues(Sequence[V]):
    """The values of a job's tasks, in the order of the items. ``reduce_fn`` takes this sequence.

    A value is unpickled, and fetched where it is stored, each time that it is asked for: by its index, or
    when an iteration comes to it. The sequence keeps none of them. So they may be more than fit into memory.
    Any thread may use it, and any number of iterations may go on at a time. A slice is such a sequence too.
    Pickled, as where ``reduce_fn`` returns it, it is a list of all its values.
    """

    def __init__(self, sent: Sequence[Any], tasks: range, store: Store, table: Sequence[object]) -> None:
        """Create the sequence, on a worker.

        Args:
            sent: the pickled value of each task of the job, or its place in the store, as it was sent.
            tasks: the tasks whose values are in the sequence.
            store: where the others are stored.
            table: the class table of the job. Store and table are arguments because the reduction may use the
                values in another thread, which has no unpickling context.
        """
        self._sent = sent
        self._tasks = tasks
        self._store = store
        self._table = table

    def __len__(self) -> int:
        return len(self._tasks)

    @overload
    def __getitem__(self, index: int) -> V: ...

    @overload
    def __getitem__(self, index: slice) -> MappedValues[V]: ...

    def __getitem__(self, index: int | slice) -> V | MappedValues[V]:
        """Return a value, or a part of the sequence without any value.

        Raises:
            IndexError: there is no such value.
            NotFound: the value has expired.
            IntegrityError: it was changed.
            StoreError: it cannot be fetched.
            RemoteError: it cannot be unpickled here.
        """
        if isinstance(index, slice):
            return MappedValues(self._sent, self._tasks[index], self._store, self._table)
        try:
            task = self._tasks[whole_number(index)]
        except IndexError:
            raise IndexError(f"{counted(len(self), 'value')}, and none with the index {index}") from None
        return self._unpacked(task, fetch_value(self._store, self._packed(task), _name(task)))

    def __iter__(self) -> Iterator[V]:
        """Iterate over the values. Those that are stored are fetched a little ahead.

        Raises as access by index does.
        """
        fetched = fetch_values(
            self._store, map(self._packed, self._tasks), lambda position: _name(self._tasks[position])
        )
        for task in self._tasks:
            value = self._unpacked(task, next(fetched))
            yield value
            del value  # while the next one is fetched

    def __reversed__(self) -> Iterator[V]:
        return iter(self[::-1])

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (), None, iter(self)

    def __repr__(self) -> str:
        return f"<{counted(len(self), 'value')} of map_reduce>"

    def _packed(self, task: int) -> Packed | Stored | Plain:
        return framing.from_wire(self._sent[task])

    def _unpacked(self, task: int, packed: Packed | Plain | WrenliteError) -> V:
        if isinstance(packed, WrenliteError):
            raise packed
        try:
            value: V = unpack(packed, self._table)
        except BaseException as error:  # of the value's own code
            raise_if_interrupting(error)
            text = f"the value of task {task} cannot be unpickled where it is reduced"
            raise RemoteError(f"{text}: {error_text(error)}") from error
        return value


def _name(task: int) -> str:
    return f"task {task}"
