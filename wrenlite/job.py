"""Jobs: sequences of futures, with their values, waiting, cancelling and stats.

A job makes a ``Future`` only when somebody asks for one: a stock future with its condition costs 1.6 KB
and 6 µs, an outcome in the ledger a fraction of that. Values stay pickled until they are asked for, so
that unpickling, which runs the user's code, happens in the user's thread.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    InvalidStateError,
)
from typing import TYPE_CHECKING, Any, NoReturn, overload

from wrenlite.backends.base import Backend
from wrenlite.cost import FREE, Cost
from wrenlite.errors import ExecutorClosed, PackageMissing, RemoteError, ValueReleased, WrenliteError
from wrenlite.futures import Control, Future, Snapshot, one_line, until
from wrenlite.protocol import CANCELLED, NOTHING, Outcome, TaskStats
from wrenlite.serialize.context import unpickling_with
from wrenlite.serialize.exceptions import unpack_failure
from wrenlite.serialize.traceback_stubs import hide_own_frames, raise_task_error
from wrenlite.storage.results import (
    PREFETCH_VALUES,
    call_without_blocking,
    fetch_value,
    fetch_values,
    prefetch_values,
)
from wrenlite.task_table import TaskTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


class Job(Sequence[Future]):
    """One ``map`` or ``submit``: a sequence of futures in input order, with the job's own conveniences.

    True even when empty; a slice of it is a list.
    """

    def __init__(
        self, job_id: str, name: str, backend: Backend, total: int, table: Sequence[object], control: Control
    ) -> None:
        self.id = job_id
        self.name = name
        self.backend = backend.name
        self.secret = os.urandom(32)
        """Key of the HMAC over replies that are left in the store."""
        self._tasks = TaskTable(total)
        self.drawn: Callable[[], object] = int
        """Waits until who draws the job has drawn its end."""
        self._prices = backend.prices
        self._store = backend.store
        self._table = table
        self._control = control
        self._owner = os.getpid()
        self._awaited: dict[int, Future] = {}
        # A future holds its job; the job holds it only until it has ended, or neither would ever go.
        self._ended: weakref.WeakValueDictionary[int, Future] = weakref.WeakValueDictionary()
        self._values: dict[int, Any] = {}
        self._exceptions: dict[int, BaseException] = {}
        self._released: set[int] = set()

    # A sequence of futures

    def __len__(self) -> int:
        return self._tasks.total

    def __bool__(self) -> bool:
        return True

    @overload
    def __getitem__(self, index: int) -> Future: ...
    @overload
    def __getitem__(self, index: slice) -> list[Future]: ...
    def __getitem__(self, index: int | slice) -> Future | list[Future]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"task {index} of a job of {len(self)}")
        with self._tasks.lock:
            future = self._awaited.get(place) or self._ended.get(place)
            if future is None:
                future = Future(self, place)
                if self._tasks.outcomes[place] is None:
                    self._awaited[place] = future
                else:
                    self._ended[place] = future
                    future.settle(self.state(place))
        return future

    def __repr__(self) -> str:
        now = self.snapshot()
        cancelled = f", {now.cancelled} cancelled" if now.cancelled else ""
        return f"<Job {self.id}: {now.finished} of {now.total} finished, {now.failed} failed{cancelled}>"

    def _repr_html_(self) -> str:
        from wrenlite.display.reprs import job_html  # upwards, see pyproject.toml

        return job_html(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a job cannot travel; pass its results()")

    # Waiting

    def wait(
        self,
        timeout: float | None = None,
        return_when: str = ALL_COMPLETED,
        *,
        cancel_on_interrupt: bool = True,
    ) -> bool:
        """Wait for the job's tasks.

        Args:
            timeout: seconds.
            return_when: ``ALL_COMPLETED``, ``FIRST_COMPLETED`` or ``FIRST_EXCEPTION``
                of ``concurrent.futures``.
            cancel_on_interrupt: Ctrl-C cancels the job and keeps what is finished; False: it only ends
                the waiting.

        Returns whether what was waited for has come.
        """
        if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
            raise ValueError(f"return_when={return_when!r}: see concurrent.futures.wait")
        ledger = self._tasks

        def come() -> bool:
            some = {FIRST_COMPLETED: ledger.finished, FIRST_EXCEPTION: ledger.failed}
            return ledger.over or bool(some.get(return_when))

        with self.interruptible(cancel_on_interrupt):
            has_come = ledger.wait_until(come, timeout, each=return_when == FIRST_COMPLETED)
            if ledger.over:
                self.drawn()
            return has_come

    def results(self, return_exceptions: bool = False, timeout: float | None = None) -> list[Any]:
        """All values in input order.

        Raises the exception of the first task that failed, as soon as it failed: the others go on and keep
        their values. With ``return_exceptions`` exceptions stand in the list in place of values. Raises
        TimeoutError after ``timeout`` seconds.
        """
        if not self.wait(timeout, ALL_COMPLETED if return_exceptions else FIRST_EXCEPTION):
            raise TimeoutError(f"{self!r} after {timeout:g} s")
        with hide_own_frames:
            return self._results(return_exceptions)

    def _results(self, return_exceptions: bool = False) -> list[Any]:
        if self._tasks.failed and not return_exceptions:
            self.value(self._tasks.failed[0])
        with self.interruptible():
            self._unpack_values(range(len(self)))
            values = self._values
            return [
                values[index] if index in values else self._result(index, return_exceptions)
                for index in range(len(self))
            ]

    def values(self, ordered: bool = True, timeout: float | None = None) -> Iterator[Any]:
        """Stream the values, and let go of each once it is handed out.

        Args:
            ordered: in input order; otherwise as they come.
            timeout: seconds from now for all of them; raises TimeoutError past it.

        Raises a failed task's exception when its turn comes.
        """
        end = None if timeout is None else time.monotonic() + timeout
        ledger = self._tasks

        def upcoming(place: int) -> Sequence[int]:
            tasks: Sequence[int] = range(len(self)) if ordered else ledger.finished
            return tasks[place + 1 : place + 1 + PREFETCH_VALUES]

        order = self._in_order(end) if ordered else self._in_time(end)
        ready = prefetch_values(self._store, ledger.outcomes, order, upcoming, self._task)
        return map(self._hand_out_value, ready)

    def as_completed(self, timeout: float | None = None) -> Iterator[Future]:
        """The futures in the order in which they end. Raises TimeoutError ``timeout`` seconds from now."""
        end = None if timeout is None else time.monotonic() + timeout
        return map(self.__getitem__, self._in_time(end))

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self._await().__await__()

    async def _await(self) -> list[Any]:
        await until(lambda: self.wait(0, FIRST_EXCEPTION), self.cancel, self.__repr__)
        with hide_own_frames:
            return await call_without_blocking(self._results, self._tasks.outcomes)

    @contextlib.contextmanager
    def interruptible(self, cancel: bool = True) -> Iterator[None]:
        """A stretch of waiting: an interrupt cancels the job. Raises ExecutorClosed in a forked child."""
        if os.getpid() != self._owner and not self._tasks.over:
            raise ExecutorClosed(f"{self.id} runs in process {self._owner}; this one was forked from it")
        try:
            yield
        except KeyboardInterrupt as error:
            if cancel:
                self.cancel()
            one_line(error, f"{self!r}, interrupted{'' if cancel else '; it goes on'}")
            raise

    def _in_order(self, end: float | None) -> Iterator[int]:
        for index in range(len(self)):
            self._until(lambda: self._tasks.outcomes[index] is not None, end)  # noqa: B023  # called at once
            yield index

    def _in_time(self, end: float | None) -> Iterator[int]:
        for place in range(len(self)):
            self._until(lambda: len(self._tasks.finished) > place, end)  # noqa: B023  # called at once
            yield self._tasks.finished[place]

    def _until(self, come: Callable[[], bool], end: float | None) -> None:
        with self.interruptible():
            if not self._tasks.wait_until(come, None if end is None else end - time.monotonic(), each=True):
                raise TimeoutError(f"{self!r} took too long")

    # Cancelling

    def cancel(self) -> int:
        """Cancel every task that has not ended; returns how many there were."""
        return self.cancel_tasks(range(len(self)))

    def cancel_tasks(self, indexes: Iterable[int], wait: bool = True) -> int:
        """Cancel those of these tasks that have not ended; returns how many there were, or 0 at once."""
        return self._control.cancel(self, indexes, wait)

    # What became of it

    def state(self, index: int) -> str:
        """One of queued, dispatched, done, failed and cancelled."""
        return self._tasks.state(index)

    def value(self, index: int) -> Any:
        """The value of a task that has ended, or its exception raised."""
        if index not in self._values:
            error = self.exception(index)
            if error is not None:
                raise_task_error(error)
        try:
            return self._values[index]
        except KeyError:
            text = f"the value of {self._task(index)} was handed out by values(); results() keeps values"
            raise ValueReleased(text) from None

    def exception(self, index: int) -> BaseException | None:
        """The exception of a task that has ended; raises CancelledError where it was cancelled."""
        outcome = self._tasks.outcomes[index]
        if outcome is None:
            raise InvalidStateError(f"{self._task(index)} has not ended")
        if outcome is CANCELLED:
            raise CancelledError(f"{self._task(index)} was cancelled")
        if outcome.task != index:  # a reduction that could not run, as this one failed
            return self.exception(outcome.task)
        if index not in self._values and index not in self._exceptions and index not in self._released:
            if outcome.ok:
                self._unpack_values((index,))
            else:
                packed = fetch_value(self._store, outcome.packed, self._task(index))
                error, process = unpack_failure(packed, self._table)
                run = self._tasks.run(index, process)
                error.add_note(f"wrenlite: {self._task(index)}, {run}; its output: job.logs({index})")
                self._exceptions.setdefault(index, error)
        return self._exceptions.get(index)

    def errors(self) -> dict[int, BaseException]:
        """The exceptions of the tasks that have failed so far, by task; cancelled ones left out."""
        failed = [index for index in self._tasks.failed if self.state(index) == "failed"]
        return {index: error for index in failed if (error := self.exception(index)) is not None}

    def logs(self, index: int | None = None) -> str:
        """What a task wrote to stdout and stderr, bounded; of all tasks in input order without an index."""
        if index is not None:
            outcome = self._tasks.outcomes[index]
            return outcome.output if outcome else ""
        texts = ((place, self.logs(place)) for place in range(len(self)))
        return "".join(f"[task {place}]\n{text.rstrip()}\n" for place, text in texts if text)

    def stats(self) -> list[TaskStats]:
        """When and where each task ran."""
        return [self._tasks.stats(index) for index in range(len(self))]

    def to_pandas(self) -> DataFrame:
        """``stats()`` as a DataFrame, a row a task, times in UTC. Raises PackageMissing without pandas."""
        return frame(self.stats())

    def plot(self) -> Figure:
        """The tasks over time, and how many ran at once. Raises PackageMissing without matplotlib."""
        from wrenlite.display.timeline import timeline  # upwards: the exception that pyproject.toml lists

        return timeline(self.stats(), f"map {self.name} × {len(self):,} on {self.backend}", time.time())

    @property
    def cost(self) -> Cost:
        """What the job cost so far, on AWS; an estimate. Zero dollars on local cores.

        What is in flight is not in it yet. What was lost is charged at the function's time limit, and so is
        what was cancelled in flight once the executor is shut down: nobody hears any more how long it took.
        """
        return FREE.plus(self._tasks.requests, self._tasks.gb_s, self._prices)

    def snapshot(self) -> Snapshot:
        """How far the job is."""
        now = self._tasks.snapshot(self.name, self.backend)
        return now._replace(dollars=self.cost.dollars if self._prices else None, note=self._control.trouble)

    def settle(self, outcomes: Sequence[Outcome], errors: dict[int, WrenliteError] | None = None) -> None:
        """Take outcomes that are final. For the dispatcher only.

        Args:
            outcomes: what became of tasks; those of tasks that have ended already are dropped.
            errors: for those of them that no worker has an exception for.
        """
        with self._tasks.lock:
            for index, error in (errors or {}).items():
                if self._tasks.outcomes[index] is None:
                    self._exceptions[index] = made = type(error)(f"{self._task(index)}: {error}")
                    if self._tasks.stats(index).request_id:
                        made.add_note(f"wrenlite: {self._tasks.run(index)}")
            fresh = self._tasks.settle(outcomes)
        self._tell(fresh)

    def settle_cancelled(self, indexes: Iterable[int]) -> list[int]:
        """Cancel those of these tasks that have not ended, and return them. For the dispatcher only."""
        fresh = self._tasks.cancel(indexes)
        self._tell(fresh)
        return fresh

    def settle_like(self, index: int, other: int) -> None:
        """End a task that cannot run as another one has ended. For the dispatcher only."""
        self._tell(self._tasks.end_like(index, other))

    def _tell(self, ended: Sequence[int]) -> None:
        """Settle the futures of these tasks that somebody has asked for, who alone keeps them from now on."""
        if not self._awaited:
            return
        with self._tasks.lock:
            made = [self._awaited.pop(index) for index in ended if index in self._awaited]
            self._ended.update((future.index, future) for future in made)
        for future in made:
            future.settle(self.state(future.index))

    def _result(self, index: int, return_exceptions: bool) -> Any:
        try:
            with hide_own_frames:
                return self.value(index)
        except (Exception, CancelledError) as error:
            if not return_exceptions:
                raise
            return error

    def _hand_out_value(self, index: int) -> Any:
        with hide_own_frames:
            value = self.value(index)
        self._released.add(index)
        self._values.pop(index, None)
        return value

    def _unpack_values(self, indexes: Iterable[int]) -> None:
        """Unpickle those of these tasks' values that have not been yet."""
        outcomes = self._tasks.outcomes
        wanted = [
            (index, outcome)
            for index in indexes
            if (outcome := outcomes[index]) is not None
            and outcome.ok
            and index not in self._values
            and index not in self._released
        ]
        packs = [outcome.packed for _, outcome in wanted]
        fetched = fetch_values(self._store, packs, lambda place: self._task(wanted[place][0]))
        with unpickling_with(self._table), contextlib.closing(fetched):
            for (index, outcome), packed in zip(wanted, fetched, strict=True):
                if isinstance(packed, WrenliteError):  # it may be there the next time
                    if len(wanted) == 1:
                        raise packed
                    continue
                try:
                    value = pickle.loads(packed.data, buffers=packed.buffers)
                except Exception as error:
                    what = f"cannot be unpickled here: {type(error).__name__}: {error}"
                    failure = RemoteError(f"the value of {self._task(index)} {what}")
                    failure.__cause__ = error
                    self._exceptions.setdefault(index, failure)
                    continue
                self._values.setdefault(index, value)  # atomic: all get the one that was first
                outcomes[index] = outcome._replace(packed=NOTHING)

    def _task(self, index: int) -> str:
        return f"task {index} of {self.id}"


_TIMES = ("queued", "dispatched", "started", "finished")
_FLOATS = ("seconds", "cpu_s")
_TEXTS = ("state", "worker", "request_id")


def frame(stats: Sequence[TaskStats]) -> DataFrame:
    """One row a task, columns as in ``TaskStats``: times as ``datetime64[ns, UTC]``, durations in seconds."""
    try:
        import pandas
    except ImportError as error:
        raise PackageMissing(f"to_pandas() needs {error.name}: pip install pandas") from error
    table = pandas.DataFrame(stats, columns=list(TaskStats._fields))
    for name in _TIMES:
        # Also where there is nothing to tell the type by: an empty job, or a column of None.
        seconds = table[name].astype("float64")
        table[name] = pandas.to_datetime(seconds, unit="s", utc=True).astype("datetime64[ns, UTC]")
    types = {"task": "int64", "attempts": "int64", "cold": "bool"}
    types["peak_bytes"] = "Int64"
    types |= dict.fromkeys(_FLOATS, "float64") | dict.fromkeys(_TEXTS, "string")
    return table.astype(types)
