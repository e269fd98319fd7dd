"""``map_reduce``: the last task of a job takes the values of the others, one after the other.

The values lie in the store, however small: what travels through the client is where they lie and their
digests, and the worker that reduces fetches them while it goes on.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from wrenlite.errors import RemoteError, WrenliteError
from wrenlite.protocol import Packed, Stored
from wrenlite.serialize.context import context, unpickling_with
from wrenlite.serialize.pickling import function_name
from wrenlite.storage.base import Store
from wrenlite.storage.refs import current_store
from wrenlite.storage.results import fetch_values


class MapThenReduce:
    """The one function of such a job: its last task has ``MappedValues`` values for its item."""

    def __init__(self, mapper: Callable[..., Any], reducer: Callable[[Iterator[Any]], Any]) -> None:
        self.mapper = mapper
        self.reducer = reducer
        self.__qualname__ = f"{function_name(mapper)} → {function_name(reducer)}"

    def __call__(self, item: Any, *args: Any, **kwargs: Any) -> Any:
        """One task: of an item, or the reduction."""
        if isinstance(item, MappedValues):
            return self.reducer(item.values(current_store(), context.table))
        return self.mapper(item, *args, **kwargs)

    def part(self, item: Any) -> Callable[..., Any]:
        """The function that takes this item."""
        return self.reducer if isinstance(item, MappedValues) else self.mapper


class MappedValues:
    """Where the values of a job's tasks lie, in the order of the tasks."""

    def __init__(self, places: Sequence[Stored]) -> None:
        self._places = places

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, ([tuple(place) for place in self._places],)

    def pack(self) -> Packed:
        """This as an item."""
        return Packed(pickle.dumps(self, 5))

    def values(self, store: Store, table: Sequence[object]) -> Iterator[Any]:
        """The values, on a worker: fetched a little ahead, and let go of once they are handed out.

        Args:
            store: where they lie.
            table: the job's class table. Neither is looked up here: a reduction may use another thread.

        Raises NotFound, IntegrityError, StoreError where one cannot be fetched, and RemoteError where it
        cannot be unpickled.
        """
        for task, packed in enumerate(fetch_values(store, self._places, "task {}".format)):
            if isinstance(packed, WrenliteError):
                raise packed
            try:
                with unpickling_with(table):
                    value = pickle.loads(packed.data, buffers=packed.buffers)
            except Exception as error:
                text = f"the value of task {task} cannot be unpickled where it is reduced"
                raise RemoteError(f"{text}: {type(error).__name__}: {error}") from error
            del packed
            yield value
            del value


def _rebuild(places: Sequence[tuple[str, str, int]]) -> MappedValues:
    return MappedValues([Stored(*each) for each in places])
