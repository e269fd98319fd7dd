"""``map_reduce``: the last task of a job takes the values of the others, one after the other.

The values lie in the store, however small: what travels through the client is where they lie and their
digests, and the worker that reduces fetches them while it goes on.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from wrenlite.codec import function_name
from wrenlite.errors import RemoteError, WrenliteError
from wrenlite.protocol import Outcome, Packed, Stored
from wrenlite.refs import store_in_use
from wrenlite.values import fetch_all


class MapReduce:
    """The one function of such a job: its last task has ``Mapped`` values for its item."""

    def __init__(self, mapper: Callable[..., Any], reducer: Callable[[Iterator[Any]], Any]) -> None:
        self.mapper = mapper
        self.reducer = reducer
        self.__qualname__ = f"{function_name(mapper)} → {function_name(reducer)}"

    def __call__(self, item: Any, *args: Any, **kwargs: Any) -> Any:
        """One task: of an item, or the reduction."""
        if isinstance(item, Mapped):
            return self.reducer(item.values())
        return self.mapper(item, *args, **kwargs)


class Mapped:
    """Where the values of a job's tasks lie, in the order of the tasks."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        """Args:
        outcomes: of all tasks; each holds a ``Stored``.
        """
        self._outcomes = outcomes

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, ([tuple(outcome.packed) for outcome in self._outcomes],)

    def pack(self) -> Packed:
        """This as an item."""
        return Packed(pickle.dumps(self, 5))

    def values(self) -> Iterator[Any]:
        """The values, on a worker: fetched a little ahead, and let go of once they are handed out.

        Raises NotFound, IntegrityError, StoreError where one cannot be fetched, and RemoteError where it
        cannot be unpickled.
        """
        for task, packed in enumerate(fetch_all(store_in_use(), self._outcomes, "task {}".format)):
            if isinstance(packed, WrenliteError):
                raise packed
            try:
                value = pickle.loads(packed.data, buffers=packed.buffers)
            except Exception as error:
                text = f"the value of task {task} cannot be unpickled where it is reduced"
                raise RemoteError(f"{text}: {type(error).__name__}: {error}") from error
            del packed
            yield value
            del value


def _rebuild(stored: Sequence[tuple[str, str, int]]) -> Mapped:
    places = [Stored(*each) for each in stored]
    return Mapped([Outcome(task, True, place, 0.0, 0.0, 0.0, "") for task, place in enumerate(places)])
