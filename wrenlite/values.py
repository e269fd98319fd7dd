"""Values that did not fit into a reply, fetched from the store when somebody asks for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

from wrenlite import pipe
from wrenlite.errors import NotFound
from wrenlite.protocol import Outcome, Packed, Stored
from wrenlite.store import Store, get_verified

if TYPE_CHECKING:
    from concurrent.futures import Future

_THREADS = 16
_AHEAD = 2 * _THREADS
"""Values that are fetched before they are taken: what is held in memory beside what was taken."""


def fetch(store: Store, outcome: Outcome, task: str) -> Packed:
    """What an outcome holds. Raises NotFound, IntegrityError, StoreError where it lies in the store.

    Args:
        store: where values lie that did not fit.
        outcome: of a task.
        task: its name, for messages.
    """
    packed = outcome.packed
    if isinstance(packed, Packed):
        return packed
    try:
        blob = get_verified(store, packed.key, packed.digest)
    except NotFound as error:
        raise NotFound(f"{error}: the value of {task} has expired; run it again") from None
    data, buffers = pipe.parse(blob, writable=True)
    return Packed(data, buffers)


def fetch_all(
    store: Store, outcomes: Sequence[Outcome], name: Callable[[int], str]
) -> Generator[Packed, None, None]:
    """What these outcomes hold, in their order; several of those in the store are fetched at a time."""
    if sum(isinstance(outcome.packed, Stored) for outcome in outcomes) < 2:
        yield from (fetch(store, outcome, name(outcome.task)) for outcome in outcomes)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_THREADS, "wrenlite-fetch") as threads:
        ahead: deque[Future[Packed]] = deque()
        for outcome in outcomes:
            ahead.append(threads.submit(fetch, store, outcome, name(outcome.task)))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
