"""``map_reduce``: the last task of a job takes the values of the other tasks, one after the other.

The values are stored, however small they are. Only their places and digests pass through the client, and the
worker that reduces fetches the values while it goes on.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from wrenlite.errors import RemoteError, WrenliteError
from wrenlite.protocol import Packed, Stored
from wrenlite.serialize.diagnosis import error_text
from wrenlite.serialize.pickling import JoinedFunctions, function_name, unpack
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.unpickling_context import context
from wrenlite.storage.base import Store
from wrenlite.storage.refs import current_store
from wrenlite.storage.results import fetch_values


class MapThenReduce(JoinedFunctions):
    """The function of a ``map_reduce`` job: the item of its last task is a ``MappedValues``."""

    method = "map_reduce"

    def __init__(self, mapper: Callable[..., Any], reducer: Callable[[Iterator[Any]], Any]) -> None:
        """Join two functions into one.

        Args:
            mapper: takes an item.
            reducer: takes an iterator of all values.
        """
        self.mapper = mapper
        self.reducer = reducer
        self.__qualname__ = f"{function_name(mapper)} → {function_name(reducer)}"

    def __call__(self, item: Any, *args: Any, **kwargs: Any) -> Any:
        """Run one task: the mapper on an item, or the reduction."""
        if isinstance(item, MappedValues):
            return self.reducer(item.values(current_store(), context.table))
        return self.mapper(item, *args, **kwargs)

    def named(self) -> dict[str, Callable[..., Any]]:
        """Return the functions by the names of the parameters that take them."""
        return {"map_fn": self.mapper, "reduce_fn": self.reducer}

    def function_for(self, item: Any) -> Callable[..., Any]:
        """Return the one of the two functions that takes this item."""
        return self.reducer if isinstance(item, MappedValues) else self.mapper


class MappedValues:
    """The places where the values of a job's tasks are stored, in the order of the tasks."""

    def __init__(self, places: Sequence[Stored]) -> None:
        """Keep the places.

        Args:
            places: one for each task.
        """
        self._places = places

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, ([tuple(place) for place in self._places],)

    def pack(self) -> Packed:
        """Pickle this as the item of a task."""
        return Packed(pickle.dumps(self, 5))

    def values(self, store: Store, table: Sequence[object]) -> Iterator[Any]:
        """Iterate over the values, on a worker. They are fetched a little ahead, and freed once handed out.

        Args:
            store: where they are stored.
            table: the class table of the job. Store and table are arguments because the reduction may iterate
                in another thread, which has no unpickling context.

        Raises:
            NotFound: a value has expired.
            IntegrityError: a value was changed.
            StoreError: a value cannot be fetched.
            RemoteError: a value cannot be unpickled here.
        """
        for task, packed in enumerate(fetch_values(store, self._places, "task {}".format)):
            if isinstance(packed, WrenliteError):
                raise packed
            try:
                value = unpack(packed, table)
            except BaseException as error:  # of the value's own code
                raise_if_interrupting(error)
                text = f"the value of task {task} cannot be unpickled where it is reduced"
                raise RemoteError(f"{text}: {error_text(error)}") from error
            del packed
            yield value
            del value


def _rebuild(places: Sequence[tuple[str, str, int]]) -> MappedValues:
    return MappedValues([Stored(*each) for each in places])
