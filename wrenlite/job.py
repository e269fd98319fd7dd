"""Futures and jobs: values, waiting, cancelling, stats.

A job keeps its tasks' outcomes in plain lists, and makes a ``Future`` only when somebody asks for one:
a stock future with its condition costs 1.6 KB and 6 µs, an outcome a fraction of that. Values stay pickled
until they are asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import threading
import time
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError
from typing import Any, NoReturn, Protocol, overload

from wrenlite.errors import ExecutorClosed, RemoteError, ValueReleased, WrenliteError
from wrenlite.futures import Future, Snapshot, wait_for
from wrenlite.names import resolving
from wrenlite.protocol import Outcome, Packed, TaskStats, Usage
from wrenlite.traces import unpack_failure

_NOTHING = Packed(b"")
_CANCELLED = Outcome(-1, False, _NOTHING, 0.0, 0.0, 0.0, "")


class Control(Protocol):
    """Who runs the job's tasks, and hears that some need not run."""

    def cancelled(self, job: Job, indexes: Sequence[int]) -> None:
        """These tasks have been cancelled."""


class Job(Sequence[Future]):
    """One ``map`` or ``submit``: a sequence of futures in input order, with the job's own conveniences.

    True even when empty; a slice of it is a list.
    """

    def __init__(
        self, job_id: str, name: str, backend: str, total: int, table: Sequence[object], control: Control
    ) -> None:
        self.id = job_id
        self.name = name
        self.backend = backend
        self._table = table
        self._control = control
        self._owner = os.getpid()
        self._total = total
        self._queued_at = time.time()
        self._ended_at = self._queued_at
        self._outcomes: list[Outcome | None] = [None] * total
        self._values: dict[int, Any] = {}
        self._exceptions: dict[int, BaseException] = {}
        self._released: set[int] = set()
        self._futures: dict[int, Future] = {}
        self._finished: list[int] = []  # in the order of time
        self._failed: list[int] = []  # in the order of time; cancelled ones too
        self._cancelled = 0
        self._in_flight = 0
        self._dispatched = array("d", bytes(8 * total))
        self._received = array("d", bytes(8 * total))
        self._attempts = array("I", bytes(4 * total))
        self._usages: list[Usage | None] = [None] * total
        self._lock = threading.RLock()
        self._one_more = threading.Condition(self._lock)
        self._all_or_failure = threading.Condition(self._lock)

    # A sequence of futures

    def __len__(self) -> int:
        return self._total

    def __bool__(self) -> bool:
        return True

    @overload
    def __getitem__(self, index: int) -> Future: ...
    @overload
    def __getitem__(self, index: slice) -> list[Future]: ...
    def __getitem__(self, index: int | slice) -> Future | list[Future]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._total))]
        place = index + self._total if index < 0 else index
        if not 0 <= place < self._total:
            raise IndexError(f"task {index} of a job of {self._total}")
        with self._lock:
            future = self._futures.get(place)
            if future is None:
                future = self._futures[place] = Future(self, place)
                if self._outcomes[place] is not None:
                    future.settle(self.state(place))
        return future

    def __repr__(self) -> str:
        now = self.snapshot()
        return f"<Job {self.id}: {now.finished} of {now.total} finished, {now.failed} failed>"

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

        def come() -> bool:
            if len(self._finished) == self._total:
                return True
            if return_when == FIRST_COMPLETED:
                return bool(self._finished)
            return bool(self._failed) and return_when == FIRST_EXCEPTION

        signal = self._one_more if return_when == FIRST_COMPLETED else self._all_or_failure
        with self.interruptible(cancel_on_interrupt):
            return wait_for(signal, come, timeout)

    def results(self, return_exceptions: bool = False, timeout: float | None = None) -> list[Any]:
        """All values in input order.

        Raises the exception of the first task that failed, as soon as it failed: the others go on and keep
        their values. With ``return_exceptions`` exceptions stand in the list in place of values. Raises
        TimeoutError after ``timeout`` seconds.
        """
        if not self.wait(timeout, ALL_COMPLETED if return_exceptions else FIRST_EXCEPTION):
            raise TimeoutError(f"{self!r} after {timeout:g} s")
        if self._failed and not return_exceptions:
            self.value(self._failed[0])
        with self.interruptible():
            self._unpack_values(range(self._total))
            values = self._values
            return [
                values[index] if index in values else self._result(index, return_exceptions)
                for index in range(self._total)
            ]

    def values(self, ordered: bool = True) -> Iterator[Any]:
        """Stream the values, and let go of each once it is handed out.

        Args:
            ordered: in input order; otherwise as they come.

        Raises a failed task's exception when its turn comes.
        """
        order = range(self._total) if ordered else self._as_completed(None)
        for index in order:
            if ordered:
                with self.interruptible():
                    wait_for(self._one_more, lambda: self._outcomes[index] is not None)  # noqa: B023
            value = self.value(index)
            with self._lock:
                self._values.pop(index, None)
                self._released.add(index)
            yield value

    def as_completed(self, timeout: float | None = None) -> Iterator[Future]:
        """The futures in the order in which they end. Raises TimeoutError after ``timeout`` seconds."""
        return (self[index] for index in self._as_completed(timeout))

    def _as_completed(self, timeout: float | None) -> Iterator[int]:
        end = None if timeout is None else time.monotonic() + timeout
        seen = 0
        while seen < self._total:
            left = None if end is None else end - time.monotonic()
            with self.interruptible():
                if not wait_for(self._one_more, lambda: len(self._finished) > seen, left):  # noqa: B023
                    raise TimeoutError(f"{self!r} after {timeout:g} s")
            fresh = self._finished[seen:]
            seen += len(fresh)
            yield from fresh

    @contextlib.contextmanager
    def interruptible(self, cancel: bool = True) -> Iterator[None]:
        """A stretch of waiting: an interrupt cancels the job. Raises ExecutorClosed in a forked child."""
        if os.getpid() != self._owner and len(self._finished) < self._total:
            raise ExecutorClosed(f"{self.id} runs in process {self._owner}; this one was forked from it")
        try:
            yield
        except KeyboardInterrupt:
            if cancel:
                self.cancel()
            raise

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return asyncio.to_thread(self.results).__await__()

    # Cancelling

    def cancel(self) -> int:
        """Cancel every task that has not ended; returns how many there were."""
        return self.cancel_tasks(range(self._total))

    def cancel_tasks(self, indexes: Iterable[int]) -> int:
        """Cancel those of these tasks that have not ended; returns how many there were."""
        with self._lock:
            fresh = [index for index in indexes if self._outcomes[index] is None]
            self._cancelled += len(fresh)
            futures = self._record(fresh, [_CANCELLED] * len(fresh))
        if fresh:
            self._control.cancelled(self, fresh)
        for future in futures:
            future.settle("cancelled")
        return len(fresh)

    # What became of it

    def state(self, index: int) -> str:
        """One of queued, dispatched, done, failed and cancelled."""
        outcome = self._outcomes[index]
        if outcome is None:
            return "dispatched" if self._dispatched[index] else "queued"
        if outcome is _CANCELLED:
            return "cancelled"
        return "done" if outcome.ok else "failed"

    def value(self, index: int) -> Any:
        """The value of a task that has ended, or its exception raised."""
        if index not in self._values:
            error = self.exception(index)
            if error is not None:
                try:
                    raise error
                finally:
                    del error  # or its traceback would hold this frame, which holds it
        try:
            return self._values[index]
        except KeyError:
            text = f"the value of {self._task(index)} was handed out by values(); results() keeps values"
            raise ValueReleased(text) from None

    def exception(self, index: int) -> BaseException | None:
        """The exception of a task that has ended; raises CancelledError where it was cancelled."""
        outcome = self._outcomes[index]
        assert outcome is not None
        if outcome is _CANCELLED:
            raise CancelledError(f"{self._task(index)} was cancelled")
        if index not in self._values and index not in self._exceptions and index not in self._released:
            if outcome.ok:
                self._unpack_values((index,))
            else:
                error = unpack_failure(outcome.packed, self._table)
                error.add_note(f"wrenlite: {self._task(index)}, attempt {self._attempts[index]}")
                self._exceptions.setdefault(index, error)
        return self._exceptions.get(index)

    def errors(self) -> dict[int, BaseException]:
        """The exceptions of the tasks that have failed so far, by task."""
        failed = [index for index in self._failed if self._outcomes[index] is not _CANCELLED]
        return {index: error for index in failed if (error := self.exception(index)) is not None}

    def logs(self, index: int | None = None) -> str:
        """What a task wrote to stdout and stderr, bounded; of all tasks in input order without an index."""
        if index is not None:
            outcome = self._outcomes[index]
            return outcome.output if outcome else ""
        texts = ((place, self.logs(place)) for place in range(self._total))
        return "".join(f"[task {place}]\n{text.rstrip()}\n" for place, text in texts if text)

    def stats(self) -> list[TaskStats]:
        """When and where each task ran."""
        return [self.stats_of(index) for index in range(self._total)]

    def stats_of(self, index: int) -> TaskStats:
        """When and where one task ran."""
        outcome, usage = self._outcomes[index], self._usages[index]
        ran = outcome is not None and outcome.started > 0
        return TaskStats(
            task=index,
            state=self.state(index),
            attempts=self._attempts[index],
            queued=self._queued_at,
            dispatched=self._dispatched[index] or None,
            started=outcome.started if ran and outcome else None,
            seconds=outcome.seconds if ran and outcome else None,
            cpu_s=outcome.cpu_s if ran and outcome else None,
            finished=self._received[index] or None,
            worker=usage.worker if usage else None,
            cold=bool(usage and usage.cold),
        )

    def snapshot(self) -> Snapshot:
        """How far the job is."""
        with self._lock:
            finished, failed = len(self._finished), len(self._failed) - self._cancelled
            done = finished - failed - self._cancelled
            dispatched = self._in_flight
        until = self._ended_at if finished == self._total else time.time()
        return Snapshot(
            name=self.name,
            backend=self.backend,
            total=self._total,
            queued=self._total - finished - dispatched,
            dispatched=dispatched,
            done=done,
            failed=failed,
            cancelled=self._cancelled,
            seconds=until - self._queued_at,
        )

    def _result(self, index: int, return_exceptions: bool) -> Any:
        try:
            return self.value(index)
        except (Exception, CancelledError) as error:
            if not return_exceptions:
                raise
            return error

    def _unpack_values(self, indexes: Iterable[int]) -> None:
        """Unpickle those of these tasks' values that have not been yet."""
        with resolving(self._table):
            for index in indexes:
                outcome = self._outcomes[index]
                if outcome is None or not outcome.ok or index in self._values or index in self._released:
                    continue
                try:
                    value = pickle.loads(outcome.packed.data, buffers=outcome.packed.buffers)
                except Exception as error:
                    what = f"{type(error).__name__}: {error}"
                    failure = RemoteError(
                        f"the value of {self._task(index)} cannot be unpickled here: {what}"
                    )
                    failure.__cause__ = error
                    self._exceptions.setdefault(index, failure)
                    continue
                self._values.setdefault(index, value)  # atomic: all get the one that was first
                self._outcomes[index] = Outcome(index, True, _NOTHING, *outcome[3:])

    def _task(self, index: int) -> str:
        return f"task {index} of {self.id}"

    # For the dispatcher only

    def hand_out(self, indexes: Iterable[int], now: float) -> None:
        """These tasks are in a batch that is handed out; ``now`` 0: they are queued again."""
        for index in indexes:
            if self._outcomes[index] is None:
                self._in_flight += bool(now) - bool(self._dispatched[index])
            self._dispatched[index] = now

    def lost_attempt(self, index: int) -> int:
        """A run of this task counts; returns how many did."""
        self._attempts[index] += 1
        return self._attempts[index]

    def settle(self, outcomes: Sequence[Outcome], errors: dict[int, WrenliteError] | None = None) -> None:
        """Take outcomes that are final; those of tasks that have ended already are dropped."""
        with self._lock:
            fresh = [outcome for outcome in outcomes if self._outcomes[outcome.task] is None]
            for index, error in (errors or {}).items():
                if self._outcomes[index] is None:
                    self._exceptions[index] = type(error)(f"{self._task(index)}: {error}")
            futures = self._record([outcome.task for outcome in fresh], fresh)
        for future in futures:
            future.settle(self.state(future.index))

    def used(self, indexes: Iterable[int], usage: Usage) -> None:
        """What the batch of these tasks took."""
        for index in indexes:
            self._usages[index] = usage

    def _record(self, indexes: Sequence[int], outcomes: Sequence[Outcome]) -> list[Future]:
        """Write outcomes down; returns the futures that must hear of them once the lock is released."""
        now = time.time()
        for index, outcome in zip(indexes, outcomes, strict=True):
            self._outcomes[index] = outcome
            self._received[index] = now
            self._in_flight -= bool(self._dispatched[index])
            if not outcome.ok:
                self._failed.append(index)
        self._finished.extend(indexes)
        self._ended_at = now
        if indexes:
            self._one_more.notify_all()
            if self._failed or len(self._finished) == self._total:
                self._all_or_failure.notify_all()
        if not self._futures:
            return []
        return [self._futures[index] for index in indexes if index in self._futures]
