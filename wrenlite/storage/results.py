"""Values that did not fit into a reply: the client fetches them from the store when they are needed."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, MutableSequence, Sequence
from typing import TYPE_CHECKING, TypeVar

from wrenlite.errors import NotFound, WrenliteError
from wrenlite.protocol import Outcome, Packed, Stored
from wrenlite.serialize import framing
from wrenlite.storage.base import Store, get_verified

if TYPE_CHECKING:
    from concurrent.futures import Future

_T = TypeVar("_T")

_THREADS = 16
PREFETCH_VALUES = 2 * _THREADS
"""The most values that are fetched before they are needed: they take memory beside the values in use."""
_PREFETCH_BYTES = 64 << 20
"""The most bytes of such values; a single larger one is fetched too."""


def fetch_value(store: Store, packed: Packed | Stored, task: str) -> Packed:
    """Return a pickled value, which is fetched where the store holds it.

    Args:
        store: holds the values that did not fit into a reply.
        packed: the value of an outcome.
        task: the name of the task for messages.

    Raises:
        NotFound: the value is not in the store.
        IntegrityError: the stored value has another digest.
        StoreError: the store cannot be read.
    """
    if isinstance(packed, Packed):
        return packed
    try:
        blob = get_verified(store, packed.key, packed.digest)
    except NotFound as error:
        raise NotFound(f"{error}: the value of {task} has expired; run it again") from None
    data, buffers = framing.parse(blob, writable=True)
    return Packed(data, buffers)


def fetch_values(
    store: Store, values: Sequence[Packed | Stored], name: Callable[[int], str]
) -> Generator[Packed | WrenliteError, None, None]:
    """Yield values in their order. Several are fetched at a time.

    Args:
        store: holds the values that did not fit into a reply.
        values: the values of outcomes.
        name: returns the name of the task whose value has this position, for messages.

    Yields:
        Each value, or the error of its fetching.
    """

    def fetch(position: int) -> Packed | WrenliteError:
        try:
            return fetch_value(store, values[position], name(position))
        except WrenliteError as error:
            return error

    if sum(isinstance(value, Stored) for value in values) < 2:
        yield from map(fetch, range(len(values)))
        return
    from concurrent.futures import ThreadPoolExecutor

    threads = ThreadPoolExecutor(_THREADS, "wrenlite-fetch")
    try:
        pending: deque[tuple[Future[Packed | WrenliteError], int]] = deque()
        pending_bytes = 0
        for position, value in enumerate(values):
            size = value.size
            while pending and (len(pending) >= PREFETCH_VALUES or pending_bytes + size > _PREFETCH_BYTES):
                future, fetched_bytes = pending.popleft()
                pending_bytes -= fetched_bytes
                yield future.result()
                del future
            pending.append((threads.submit(fetch, position), size))
            pending_bytes += size
        while pending:
            yield pending.popleft()[0].result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def prefetch_values(
    store: Store,
    outcomes: MutableSequence[Outcome | None],
    order: Iterator[int],
    upcoming: Callable[[int], Sequence[int]],
    name: Callable[[int], str],
) -> Iterator[int]:
    """Yield tasks once their values are fetched. Meanwhile the values of the next tasks are fetched.

    Args:
        store: holds the values that did not fit into a reply.
        outcomes: the outcomes of all tasks, by task number. A fetched value takes its place in its outcome.
        order: the tasks, in the order in which they are needed; each has ended when it is given.
        upcoming: returns the tasks that follow a position of ``order``, whether they have ended or not.
        name: returns the name of a task for messages.
    """
    from concurrent.futures import ThreadPoolExecutor

    def fetch(outcome: Outcome) -> None:
        with contextlib.suppress(WrenliteError):  # whoever needs the value fetches again and gets the error
            packed = fetch_value(store, outcome.packed, name(outcome.task))
            outcomes[outcome.task] = outcome._replace(packed=packed)

    threads = ThreadPoolExecutor(_THREADS, "wrenlite-fetch")  # starts no thread before the first submit
    started: dict[int, Future[None]] = {}
    try:
        for position, task in enumerate(order):
            outcome = outcomes[task]
            if task in started or (outcome is not None and isinstance(outcome.packed, Stored)):
                for near in (task, *upcoming(position)):
                    outcome = outcomes[near]
                    if outcome is not None and isinstance(outcome.packed, Stored) and near not in started:
                        started[near] = threads.submit(fetch, outcome)
                started[task].result()
            yield task
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


async def call_without_blocking(call: Callable[[], _T], outcomes: Iterable[Outcome | None]) -> _T:
    """Call a function that unpickles values. It is called in a thread if it fetches some from the store.

    Otherwise the fetching would block the event loop.

    Args:
        call: the function.
        outcomes: the outcomes whose values it unpickles.
    """
    if not any(outcome is not None and isinstance(outcome.packed, Stored) for outcome in outcomes):
        return call()
    import asyncio

    return await asyncio.to_thread(_convert_stop_iteration, call)


def _convert_stop_iteration(call: Callable[[], _T]) -> _T:
    """Call a function. Its StopIteration becomes a RuntimeError: an asyncio future cannot hold one."""
    try:
        return call()
    except StopIteration as error:
        raise RuntimeError("a task raised StopIteration") from error
