"""Values that did not fit into a reply: the client fetches them from the store when they are needed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, MutableSequence, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from wrenlite.errors import IntegrityError, NotFound, WrenliteError
from wrenlite.protocol import Outcome, Packed, Plain, Stored, size_of
from wrenlite.serialize import framing
from wrenlite.storage.base import Store, get_verified
from wrenlite.threads import Changes, OneThread, check_timeout

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_T = TypeVar("_T")

_THREADS = 16
PREFETCH_VALUES = 2 * _THREADS
"""The most values that are fetched before they are needed: they take memory beside the values in use."""
_PREFETCH_BYTES = 64 << 20
"""The most bytes of such values; a single larger one is fetched too."""


def fetch_value(store: Store, packed: Packed | Stored | Plain, task: str) -> Packed | Plain:
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
    if not isinstance(packed, Stored):
        return packed
    try:
        blob = get_verified(store, packed.key, packed.digest)
    except NotFound as error:
        raise NotFound(f"{error}: the value of {task} has expired; run it again") from None
    except IntegrityError as error:
        raise IntegrityError(f"the value of {task}: {error}") from None
    return framing.from_blob(blob, writable=True)


def fetch_values(
    store: Store, values: Iterable[Packed | Stored | Plain], name: Callable[[int], str]
) -> Generator[Packed | Plain | WrenliteError, None, None]:
    """Yield pickled values in their order. Several of those that the store holds are fetched at a time.

    Args:
        store: holds the values that did not fit into a reply.
        values: the values of outcomes.
        name: returns the name of the task whose value has this position, for messages.

    Yields:
        Each value, or the error of its fetching.
    """
    ahead = _ReadAhead(store)
    try:
        for position, value in enumerate(values):
            size = value.size if isinstance(value, Stored) else 0
            while not ahead.has_room(size):
                yield ahead.pop()
            if isinstance(value, Stored) or ahead.entries:
                ahead.add(value, size, name(position))
            else:
                yield value
        while ahead.entries:
            yield ahead.pop()
    finally:
        ahead.close()


class _ReadAhead:
    """The next values of an iteration, in their order. Those that the store holds are being fetched."""

    def __init__(self, store: Store) -> None:
        self.entries: deque[tuple[Callable[[], Packed | Plain | WrenliteError], int]] = deque()
        """For each value, what returns it once it is there, and the bytes that are fetched."""
        self._store = store
        self._bytes = 0
        self._threads: ThreadPoolExecutor | None = None
        self._has_threads = True

    def has_room(self, size: int) -> bool:
        """Return whether another value of this size can be added. There is always room for one."""
        few = len(self.entries) < PREFETCH_VALUES and self._bytes + size <= _PREFETCH_BYTES
        return few or not self.entries

    def add(self, value: Packed | Stored | Plain, size: int, name: str) -> None:
        """Add a value, and begin to fetch it if it is stored."""
        get: Callable[[], Packed | Plain | WrenliteError] = partial(self._fetch, value, name)
        if isinstance(value, Stored) and self._has_threads:
            if self._threads is None:
                from concurrent.futures import ThreadPoolExecutor

                self._threads = ThreadPoolExecutor(_THREADS, "wrenlite-fetch")
            try:
                get = self._threads.submit(get).result
            except RuntimeError:  # there is no memory for a thread: from now on, ``pop`` fetches
                self._has_threads = False
                self._threads.shutdown(wait=False)
        self.entries.append((get, size))
        self._bytes += size

    def pop(self) -> Packed | Plain | WrenliteError:
        """Remove the first value and return it once it is there, or the error of its fetching."""
        get, size = self.entries.popleft()
        self._bytes -= size
        return get()

    def close(self) -> None:
        """Fetch nothing more."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, value: Packed | Stored | Plain, name: str) -> Packed | Plain | WrenliteError:
        try:
            return fetch_value(self._store, value, name)
        except WrenliteError as error:
            return error


class StoredValues:
    """The values of one job, some of which the store holds.

    Each is fetched by a thread of its own, so that who waits for it may give up: the thread goes on, and who
    asks next finds what it has fetched.
    """

    def __init__(
        self,
        store: Store,
        outcomes: MutableSequence[Outcome | None],
        name: Callable[[int], str],
        on_get: Callable[[], None],
    ) -> None:
        """Create the values of a job.

        Args:
            store: holds the values that did not fit into a reply.
            outcomes: the outcomes of all tasks, by task number. A fetched value replaces its place there.
            name: returns the name of a task for messages.
            on_get: called, in any thread, before each request to the store.
        """
        self._store = store
        self._outcomes = outcomes
        self._name = name
        self._on_get = on_get
        self._fetches: dict[int, _Fetch] = {}
        self.places: dict[int, Stored] = {}
        """Where values are stored that were fetched."""
        self.readers: Mapping[int, Callable[[Callable[[], object]], Packed | Plain]] = {}
        """How values are read that an earlier job has left. Each takes what is called before a request to the
        store. No place of theirs is given to other tasks."""

    def get(self, task: int, end: float | None) -> Packed | Plain:
        """Return the pickled value of a task that has ended, or its pickled exception.

        Args:
            task: the number of the task.
            end: the time, by ``deadline``, until which it is waited for; None: without limit.

        Raises:
            TimeoutError: it was not fetched in time.
            NotFound: it is not in the store.
            IntegrityError: it has another digest.
            StoreError: the store cannot be read.
        """
        outcome = self._outcomes[task]
        assert outcome is not None
        if not isinstance(outcome.packed, Stored):
            return outcome.packed
        if end is None and task not in self._fetches:  # nobody will give up, so no thread is needed
            return self._fetch_now(task, outcome)
        fetch = self._fetch(task, outcome)
        self._wait(task, fetch, end)
        if fetch.error is not None:
            raise fetch.error
        assert fetch.packed is not None
        return fetch.packed

    def fetched(self, task: int) -> Packed | Plain | None:
        """Return the pickled value of a task if the store need not be asked for it; None otherwise."""
        outcome = self._outcomes[task]
        return None if outcome is None or isinstance(outcome.packed, Stored) else outcome.packed

    def ahead(
        self, order: Iterable[int], upcoming: Callable[[int], Sequence[int]], end: float | None
    ) -> Iterator[int]:
        """Yield tasks once their values are fetched. Meanwhile the values of the next tasks are fetched.

        A value that cannot be fetched stays in the store: ``get`` says why.

        Args:
            order: the tasks, in the order in which they are needed; each has ended when it is given.
            upcoming: returns the tasks that follow a position of ``order``, whether they have ended or not.
            end: the time, by ``deadline``, until which values are waited for; None: without limit.

        Raises:
            TimeoutError: the next value was not fetched in time.
        """
        any_stored = False
        for position, task in enumerate(order):
            outcome = self._outcomes[task]
            stored = outcome is not None and isinstance(outcome.packed, Stored)
            any_stored = any_stored or stored
            if any_stored:
                fetch = self._fetch(task, outcome) if outcome is not None and stored else None
                self._fetch_some(upcoming(position))
                if fetch is not None:
                    self._wait(task, fetch, end)
            yield task

    def note_place(self, task: int, place: Stored) -> None:
        """Note where a value is stored that is about to be replaced by what was fetched."""
        if task not in self.readers:
            self.places[task] = place

    def _fetch_some(self, tasks: Sequence[int]) -> None:
        """Begin to fetch the values of the first of these tasks, as long as there are threads and memory."""
        room = _PREFETCH_BYTES
        for task in tasks:
            outcome = self._outcomes[task]
            if outcome is None:
                continue
            room -= size_of(outcome.packed)
            if room < 0 or len(self._fetches) >= _THREADS:
                return
            if isinstance(outcome.packed, Stored):
                self._fetch(task, outcome)

    def _fetch(self, task: int, outcome: Outcome) -> _Fetch:
        """Return the fetch of a stored value, which begins here unless it goes on already."""
        fetch = self._fetches.setdefault(task, _Fetch())
        fetch.thread.start(partial(self._run, task, outcome, fetch))
        return fetch

    def _fetch_now(self, task: int, outcome: Outcome) -> Packed | Plain:
        if (read := self.readers.get(task)) is not None:
            return read(self._on_get)
        self._on_get()
        return fetch_value(self._store, outcome.packed, self._name(task))

    def _run(self, task: int, outcome: Outcome, fetch: _Fetch) -> None:
        try:
            fetch.packed = self._fetch_now(task, outcome)
            if self._outcomes[task] is outcome and isinstance(outcome.packed, Stored):
                self.note_place(task, outcome.packed)
                self._outcomes[task] = outcome._replace(packed=fetch.packed)
        except BaseException as error:  # whoever waits for the value gets it
            fetch.error = error
        finally:
            self._fetches.pop(task, None)
            fetch.ended = True
            fetch.changes.notify()

    def _wait(self, task: int, fetch: _Fetch, end: float | None) -> None:
        if not fetch.changes.wait_for(lambda: fetch.ended, seconds_until(end)):
            raise TimeoutError(
                f"{self._name(task)} has ended, but what it returned was not fetched from the store in time; "
                "that goes on. Give a longer timeout="
            )


class _Fetch:
    """The fetching of one value."""

    def __init__(self) -> None:
        self.thread = OneThread("wrenlite-fetch")
        self.changes = Changes()
        self.ended = False
        self.packed: Packed | Plain | None = None
        self.error: BaseException | None = None


def deadline(timeout: float | None) -> float | None:
    """Return the time at which a timeout that begins now has passed; None: never.

    Raises:
        ConfigError: the timeout is no number of seconds.
    """
    check_timeout(timeout)
    return None if timeout is None else time.monotonic() + timeout


def seconds_until(end: float | None) -> float | None:
    """Return the seconds until a ``deadline``; None: without limit."""
    return None if end is None else end - time.monotonic()


async def call_without_blocking(call: Callable[[], _T], outcomes: Iterable[Outcome | None]) -> _T:
    """Call a function that unpickles values. It is called in a thread if it fetches some from the store.

    Otherwise the fetching would block the event loop.

    Args:
        call: the function.
        outcomes: the outcomes whose values it unpickles.
    """
    if not any(outcome is not None and isinstance(outcome.packed, Stored) for outcome in outcomes):
        return _call_converting(call)
    import asyncio

    return await asyncio.to_thread(_call_converting, call)


def _call_converting(call: Callable[[], _T]) -> _T:
    """Call a function. What would end an iteration becomes the cause of a RuntimeError.

    Python does the same where a StopIteration leaves a coroutine, or a StopAsyncIteration an asynchronous
    generator; an asyncio future, which brings the value back from a thread, cannot hold a StopIteration.
    """
    try:
        return call()
    except (StopIteration, StopAsyncIteration) as error:
        raise RuntimeError(f"a task raised {type(error).__name__}") from error
