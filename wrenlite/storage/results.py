"""Values that did not fit into a reply, fetched from the store when somebody asks for them."""

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
AHEAD = 2 * _THREADS
"""Values that are fetched before they are taken: what is held in memory beside what was taken."""
_AHEAD_BYTES = 64 << 20
"""And so much of them, one at least."""


def fetch(store: Store, packed: Packed | Stored, task: str) -> Packed:
    """A value itself. Raises NotFound, IntegrityError, StoreError where it lies in the store.

    Args:
        store: where values lie that did not fit.
        packed: of an outcome.
        task: its name, for messages.
    """
    if isinstance(packed, Packed):
        return packed
    try:
        blob = get_verified(store, packed.key, packed.digest)
    except NotFound as error:
        raise NotFound(f"{error}: the value of {task} has expired; run it again") from None
    data, buffers = framing.parse(blob, writable=True)
    return Packed(data, buffers)


def fetch_all(
    store: Store, values: Sequence[Packed | Stored], name: Callable[[int], str]
) -> Generator[Packed | WrenliteError, None, None]:
    """These values, in their order, or why one cannot be had; several are fetched at a time.

    Args:
        store: where values lie that did not fit.
        values: of outcomes.
        name: of the task whose value stands at a place, for messages.
    """

    def one(place: int) -> Packed | WrenliteError:
        try:
            return fetch(store, values[place], name(place))
        except WrenliteError as error:
            return error

    if sum(isinstance(value, Stored) for value in values) < 2:
        yield from map(one, range(len(values)))
        return
    from concurrent.futures import ThreadPoolExecutor

    threads = ThreadPoolExecutor(_THREADS, "wrenlite-fetch")
    try:
        ahead: deque[tuple[Future[Packed | WrenliteError], int]] = deque()
        held = 0
        for place, value in enumerate(values):
            size = value.size
            while ahead and (len(ahead) >= AHEAD or held + size > _AHEAD_BYTES):
                future, gone = ahead.popleft()
                held -= gone
                yield future.result()
                del future
            ahead.append((threads.submit(one, place), size))
            held += size
        while ahead:
            yield ahead.popleft()[0].result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def read_ahead(
    store: Store,
    outcomes: MutableSequence[Outcome | None],
    order: Iterator[int],
    upcoming: Callable[[int], Sequence[int]],
    name: Callable[[int], str],
) -> Iterator[int]:
    """Pass tasks on, with their outcomes fetched; those of the ones to come are fetched meanwhile.

    Args:
        store: where values lie that did not fit.
        outcomes: of the tasks, by their numbers; what was fetched takes its place in it.
        order: tasks that have ended, in the order in which they are wanted.
        upcoming: at that place of the order, the next tasks, whether they have ended or not.
        name: of a task, for messages.
    """
    from concurrent.futures import ThreadPoolExecutor

    def bring(outcome: Outcome) -> None:
        with contextlib.suppress(WrenliteError):  # whoever asks for it will hear
            found = fetch(store, outcome.packed, name(outcome.task))
            outcomes[outcome.task] = outcome._replace(packed=found)

    threads = ThreadPoolExecutor(_THREADS, "wrenlite-fetch")  # starts none before it has something to do
    asked: dict[int, Future[None]] = {}
    try:
        for place, task in enumerate(order):
            outcome = outcomes[task]
            if task in asked or (outcome is not None and isinstance(outcome.packed, Stored)):
                for near in (task, *upcoming(place)):
                    outcome = outcomes[near]
                    if outcome is not None and isinstance(outcome.packed, Stored) and near not in asked:
                        asked[near] = threads.submit(bring, outcome)
                asked[task].result()
            yield task
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


async def beside_the_loop(call: Callable[[], _T], outcomes: Iterable[Outcome | None]) -> _T:
    """Call it, in a thread where values of these outcomes have to be fetched from the store."""
    if not any(outcome is not None and isinstance(outcome.packed, Stored) for outcome in outcomes):
        return call()
    import asyncio

    return await asyncio.to_thread(call)
