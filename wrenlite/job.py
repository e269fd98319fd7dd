"""Jobs: sequences of futures, with their values, waiting, cancelling and stats.

A job makes a ``Future`` only when somebody asks for one: a standard future with its condition takes 1.6 KB
and 6 µs, an outcome in the task table a fraction of that. Values stay pickled until they are asked for, so
that unpickling, which runs the user's code, happens in the user's thread.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
)
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NoReturn, overload

from wrenlite import other_names
from wrenlite.backends.base import Backend
from wrenlite.cost import Cost
from wrenlite.errors import ArgumentError, ConfigError, ExecutorClosed, WrenliteError
from wrenlite.futures import (
    Control,
    Drawing,
    Future,
    JobIterator,
    Snapshot,
    T_co,
    call_back,
    end_loop,
    undrawn,
    wait_in_loop,
    waiting_for,
)
from wrenlite.job_durable import JobDurable
from wrenlite.job_figures import JobFigures
from wrenlite.job_values import JobValues
from wrenlite.protocol import Outcome
from wrenlite.serialize.by_reference import ByReference, References
from wrenlite.serialize.traceback_stubs import hide_own_frames, public
from wrenlite.storage.refs import Ref
from wrenlite.storage.results import (
    PREFETCH_VALUES,
    call_without_blocking,
    deadline,
    seconds_until,
)
from wrenlite.task_table import TaskTable
from wrenlite.texts import counted
from wrenlite.threads import check_timeout
from wrenlite.wrong_calls import check_switch, is_iterable, task_number


@public
class Job(JobFigures, JobDurable[T_co], Sequence[Future[T_co]], ByReference, Generic[T_co]):
    """One ``map`` or ``submit``: a sequence of futures in input order, with conveniences for the whole job.

    A job is true even when it is empty. A slice of it is a list of futures.
    """

    id: str
    """Identifies the job in messages and in the store."""
    name: str
    """Name of the function."""
    backend: str
    """Name of what it runs on."""
    _table_type: ClassVar[type[TaskTable]] = TaskTable
    _remembered: Any = None  # with cache=True, what earlier jobs have left
    _before: Job[T_co] | None = None  # the job whose values this one began with: they may be in the store

    def __init__(
        self,
        job_id: str,
        name: str,
        backend: Backend,
        total: int,
        class_table: Sequence[object],
        control: Control,
        *,
        open: bool = False,
        forgets: bool = False,
        kept: object = None,
    ) -> None:
        """Create a job. Executors do this.

        Args:
            job_id: identifies it in messages and in the store.
            name: of its function.
            backend: what it runs on.
            total: number of its tasks.
            class_table: the classes and functions that its values refer to by number.
            control: cancels its tasks.
            open: whether more tasks may come.
            forgets: whether tasks are forgotten once their values were handed out in order.
            kept: an object that lives as long as values of the job may be needed; None: they are not kept.
        """
        self.id = job_id
        self.name = name
        self.backend = backend.name
        self._secret = os.urandom(32)  # key of the HMAC over replies that are left in the store
        self._tasks = self._table_type(total, backend.prices, open=open, forgets=forgets)
        self._drawn: Drawing = undrawn  # all waiting happens in it
        self._prices = backend.prices
        self._output_hint = backend.hints.output
        self._outcomes: JobValues[T_co] = JobValues(
            self._tasks, backend, class_table, f"task {{}} of {job_id}".format, control
        )
        self._outcomes.keeps_all = kept is not None
        self._kept = kept
        self._stores_values = False  # where other tasks take them
        self._control = control
        self._is_shared = False  # with calls that know nothing of each other
        self._owner = os.getpid()
        # Every future that somebody has asked for and still holds: the same task gives the same future.
        self._futures: weakref.WeakValueDictionary[int, Future[T_co]] = weakref.WeakValueDictionary()
        # Those of them whose tasks have not ended are kept alive, since they may have callbacks. No others:
        # a future holds its job, so that neither could ever be freed.
        self._awaited: dict[int, Future[T_co]] = {}
        self._done_callbacks: deque[Callable[[Job[T_co]], object]] = deque()

    # A sequence of futures

    def __len__(self) -> int:
        return self._tasks.total

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Future[T_co]]:
        try:
            yield from map(self.__getitem__, range(len(self)))
        finally:
            end_loop((self,))

    def __add__(self, others: Iterable[Future[Any]]) -> list[Future[Any]]:
        """Return the futures of this job and of another one, or in a list."""
        return [*self, *others] if isinstance(others, Job | list) else NotImplemented

    def __radd__(self, others: list[Future[Any]]) -> list[Future[Any]]:
        return [*others, *self] if isinstance(others, list) else NotImplemented

    @overload
    def __getitem__(self, index: int) -> Future[T_co]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Future[T_co]]: ...
    def __getitem__(self, index: int | slice) -> Future[T_co] | list[Future[T_co]]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = self._task_number(index)
        future = self._futures.get(place)
        return future if future is not None else self._make_future(place)

    def _make_future(self, index: int) -> Future[T_co]:
        """Make the future of a task, unless another thread has just made it."""
        future: Future[T_co] = Future(self, index)
        if self._tasks.has_ended(index):
            future._settle()
        else:
            future = self._awaited.setdefault(index, future)  # atomic, so no lock is needed
            if self._tasks.has_ended(index):
                self._settle_futures([index])
        self._futures[index] = future
        return future

    def _task_number(self, index: int) -> int:
        """Return the number of a task from an index, which may count from the end.

        Raises:
            IndexError: there is no such task.
            ArgumentError: the index is not a whole number. It is a TypeError, too.
        """
        index = task_number(index)
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(
                f"there is no task {index}: {self.id} has {counted(len(self), 'task')}, numbered from 0"
            )
        return number

    def __repr__(self) -> str:
        now = self.snapshot()
        cached = f", {now.cached} cached" if now.cached else ""
        cancelled = f", {now.cancelled} cancelled" if now.cancelled else ""
        return (
            f"<Job {self.id}: {now.finished} of {now.total} finished{cached}, {now.failed} failed{cancelled}>"
        )

    def _repr_html_(self) -> str:
        from wrenlite.display.reprs import job_html  # upwards, see pyproject.toml

        return job_html(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a job cannot be sent to another process, except as an argument: as the data of map, in an item, "
            "in args= of map (alone, or in a list, tuple or dict) or in submit(…); pass its results()"
        )

    def _refer(self, references: References) -> Any:
        return list, (list(self),)

    def refs(self, timeout: float | None = None) -> list[Ref]:
        """Wait for all tasks, and return a ``Ref`` of each value, to be passed to further maps.

        A value of more than 16 KB is in the store, and does not go through this process. It is deleted once
        this job, the refs of its values, and the tasks that take one of them are gone. A smaller one is part
        of its ``Ref``.

        Args:
            timeout: seconds to wait at most; None: without limit.

        Raises:
            ConfigError: the job was made without ``keep=True``.
            TimeoutError: the tasks have not ended in time.
        """
        if self._is_detached:
            raise ConfigError(f"{self.id} is detached, and so keeps no values for other maps: pass results()")
        if self._kept is None:
            raise ConfigError(f"{self.id} does not keep its values in the store: write map(…, keep=True)")
        self._wait_for_end(timeout, FIRST_EXCEPTION)
        if self._tasks.failed:
            self._outcomes.get(self._tasks.failed[0])
        return self._outcomes.refs(self._kept)

    if not TYPE_CHECKING:  # to type checkers, an unknown name stays an error

        def __getattr__(self, name: str) -> NoReturn:
            raise other_names.missing_attribute(self, name, other_names.JOB)

    # Waiting

    def wait(
        self,
        timeout: float | None = None,
        return_when: str = ALL_COMPLETED,
        *,
        cancel_on_interrupt: bool = True,
    ) -> bool:
        """Wait for the tasks of the job.

        Args:
            timeout: seconds to wait at most; None: without limit.
            return_when: ``ALL_COMPLETED``, ``FIRST_COMPLETED`` or ``FIRST_EXCEPTION`` of
                ``concurrent.futures``.
            cancel_on_interrupt: Ctrl-C cancels the job and keeps the outcomes that there are. Otherwise it
                only ends the waiting.

        Returns:
            Whether that condition was met in time.

        Raises:
            ConfigError: ``return_when`` is none of the three, or ``timeout`` is no number of seconds.
        """
        if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
            raise ConfigError(
                f"return_when={return_when!r}: must be ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION"
            )
        check_timeout(timeout)
        table = self._tasks

        def is_reached() -> bool:
            some = {FIRST_COMPLETED: table.finished, FIRST_EXCEPTION: table.failed}
            return table.over or bool(some.get(return_when))

        with self._interruptible(cancel_on_interrupt):
            return table.wait_until(is_reached, timeout, each=return_when == FIRST_COMPLETED)

    @overload
    def results(
        self, return_exceptions: Literal[False] = False, timeout: float | None = None
    ) -> list[T_co]: ...
    @overload
    def results(
        self, return_exceptions: bool, timeout: float | None = None
    ) -> list[T_co | BaseException]: ...
    def results(self, return_exceptions: bool = False, timeout: float | None = None) -> Any:
        """Wait for all tasks and return their values in input order.

        Args:
            return_exceptions: put the exception of a failed task into the list, in place of its value.
                Otherwise the exception of the first task that fails is raised as soon as it has failed; the
                other tasks go on and keep their values.
            timeout: seconds to wait at most, also for values that the store holds; None: without limit.
                Unpickling the values is no waiting: it runs code of their classes, which is not cut short.

        Raises:
            TimeoutError: the tasks have not ended in time, or their values were not fetched in time.
        """
        check_switch("return_exceptions", return_exceptions)
        end = deadline(timeout)
        self._wait_for_end(timeout, ALL_COMPLETED if return_exceptions else FIRST_EXCEPTION)
        return self._results(return_exceptions, end)

    def _wait_for_end(self, timeout: float | None, return_when: str) -> None:
        """Wait as ``wait`` does, and raise TimeoutError where that takes longer."""
        if not self.wait(timeout, return_when):
            text = f"not all tasks ended within timeout={float(timeout or 0):g} s; they go on"
            raise TimeoutError(f"{self!r}: {text}")

    def _results(self, return_exceptions: bool = False, end: float | None = None) -> list[Any]:
        if self._tasks.failed and not return_exceptions:
            self._outcomes.get(self._tasks.failed[0], end)
        with self._interruptible():
            return self._outcomes.all(return_exceptions, end)

    def values(self, ordered: bool = True, timeout: float | None = None) -> JobIterator[T_co]:
        """Iterate over the values, by ``for`` or ``async for``. Each is freed once it is handed out.

        The exception of a failed task is raised when its turn comes. A StopIteration becomes the cause of a
        RuntimeError, as it does in a generator.

        Args:
            ordered: in input order; otherwise in the order in which the tasks end.
            timeout: seconds from now for all of them, as for ``results``; None: without limit.

        Raises:
            TimeoutError: the next task has not ended in time, or its value was not fetched in time.
        """
        check_switch("ordered", ordered)
        end = deadline(timeout)
        table = self._tasks

        def upcoming(place: int) -> Sequence[int]:
            tasks: Sequence[int] = range(table.total) if ordered else table.finished
            return tasks[place + 1 : place + 1 + PREFETCH_VALUES]

        ready = self._outcomes.ahead(self._in_order(end, ordered), upcoming, end)
        give = partial(self._outcomes.hand_out, end=end)
        return JobIterator(self, ready, give, partial(self._ready, end, ordered))

    def as_completed(self, timeout: float | None = None) -> JobIterator[Future[T_co]]:
        """Iterate over the futures in the order in which they end, by ``for`` or ``async for``.

        Args:
            timeout: seconds from now for all of them; None: without limit.

        Raises:
            TimeoutError: the next task has not ended in time.
        """
        end = deadline(timeout)
        tasks = self._in_order(end, ordered=False)
        return JobIterator(self, tasks, self.__getitem__, partial(self._ready, end, False))

    def __await__(self) -> Generator[Any, None, list[T_co]]:
        return self._await().__await__()

    async def _await(self) -> list[T_co]:
        with hide_own_frames:
            with self._drawn(False):
                await wait_in_loop(lambda: self.wait(0, FIRST_EXCEPTION), self._stop_waiting, self.__repr__)
            return await call_without_blocking(self._results, self._tasks.outcomes)

    def add_done_callback(self, fn: Callable[[Job[T_co]], object], /) -> None:
        """Call a function with this job soon after all its tasks have ended and no more may come.

        It is called in the thread of the done-callbacks of futures, after them. If the job is over already,
        it is called at once, in this thread. What it raises is logged.
        """
        self._done_callbacks.append(fn)
        if self._tasks.over:
            self._call_back()

    @contextlib.contextmanager
    def _interruptible(self, cancel: bool = True, in_loop: bool = False) -> Iterator[None]:
        """Let an interrupt cancel the job while this thread waits in the ``with`` block.

        Args:
            cancel: whether it does; otherwise it only ends the waiting.
            in_loop: this is one of several waits in a loop, after which comes ``end_loop``.

        Raises:
            ExecutorClosed: this process was forked from the one that runs the job.
        """
        if os.getpid() != self._owner and not self._tasks.over:
            where = f"runs in process {self._owner}, from which this process was forked: wait for it there"
            here = f"wrenlite.attach({self.id!r})" if self._is_detached else "make a new executor here"
            raise ExecutorClosed(f"the job {self.id} {where}, or {here}")
        with waiting_for((self,), cancel, in_loop):
            yield

    def _stop_waiting(self) -> None:
        """Cancel the job because who waits for it was interrupted, unless it outlives its program."""
        if not self._is_detached:
            self.cancel()

    def _in_order(self, end: float | None, ordered: bool) -> Iterator[int]:
        """Yield the tasks once they have ended: in input order, or in the order in which they end."""
        table, place = self._tasks, 0

        def is_reached() -> bool:
            return self._ready(None, ordered, place) is not None

        try:
            while table.open or place < table.total:
                self._wait_until(is_reached, end)
                if place < table.total:
                    yield place if ordered else table.finished[place]
                place += 1
        finally:
            end_loop((self,))

    def _ready(self, end: float | None, ordered: bool, place: int) -> Sequence[Outcome | None] | None:
        """Return the outcome at a place of ``_in_order``; no outcome behind the last one, or once it is late.

        Returns:
            None while it has to be waited for.
        """
        table = self._tasks
        if ordered and table.has_ended(place):
            return (table.outcomes[place],)
        if not ordered and len(table.finished) > place:
            return (table.outcomes[table.finished[place]],)
        is_last = not table.open and place >= table.total
        return () if is_last or (end is not None and time.monotonic() >= end) else None

    def _wait_until(self, is_reached: Callable[[], bool], end: float | None) -> None:
        with self._interruptible(in_loop=True):
            if not self._tasks.wait_until(is_reached, seconds_until(end), each=True):
                raise TimeoutError(
                    f"{self!r}: the next task has not ended in time; the job goes on. Give a longer timeout="
                )

    # Cancelling

    def cancel(self) -> int:
        """Cancel every task that has not ended, and return the number of these tasks."""
        return self._control.cancel(self, range(len(self)))

    def cancel_tasks(self, indexes: Iterable[int], wait: bool = True) -> int:
        """Cancel those of these tasks that have not ended.

        Args:
            indexes: the numbers of the tasks.
            wait: return once they are cancelled. Otherwise they are cancelled soon.

        Returns:
            The number of tasks that had not ended; 0 without waiting.

        Raises:
            ArgumentError: one of them is no whole number. IndexError: there is no such task.
        """
        if not is_iterable(indexes):
            raise ArgumentError(
                f"indexes={indexes!r:.60}: must be an iterable of numbers of tasks, as in [0]"
            )
        return self._control.cancel(self, list(map(self._task_number, indexes)), wait)

    # States, values and exceptions of single tasks

    def state(self, index: int) -> str:
        """Return the state of a task: queued, dispatched, done, failed or cancelled."""
        return self._tasks.state(self._task_number(index))

    def _is_running(self, index: int) -> bool:
        return self.state(index) == "dispatched" and self._control.is_running(self, index)

    def value(self, index: int) -> T_co:
        """Return the value of a task that has ended, or raise its exception.

        Raises:
            concurrent.futures.InvalidStateError: the task has not ended.
            concurrent.futures.CancelledError: it was cancelled.
            ValueReleased: ``values()`` has handed the value out.
        """
        return self._outcomes.get(self._task_number(index))

    def exception(self, index: int) -> BaseException | None:
        """Return the exception of a task that has ended; None where it has a value.

        Raises:
            concurrent.futures.InvalidStateError: the task has not ended.
            concurrent.futures.CancelledError: it was cancelled.
        """
        return self._outcomes.exception(self._task_number(index))

    def errors(self) -> dict[int, BaseException]:
        """Return the exceptions of the tasks that have failed so far, by task; without cancelled tasks."""
        failed = [index for index in self._tasks.failed if self.state(index) == "failed"]
        return {index: error for index in failed if (error := self.exception(index)) is not None}

    def logs(self, index: int | None = None) -> str:
        """Return what tasks wrote to stdout and stderr, limited in length.

        Of a task that runs: what it has written so far, in whole lines (on Lambda: nothing yet). Of a task
        that was cut short, by ``timeout=``, a cancel or the end of its worker: what it had written by then.

        Args:
            index: a task; None: all tasks, in input order.
        """
        if index is not None:
            number = self._task_number(index)
            if not self._tasks.has_ended(number):
                self._control.read_output(self)
            return self._tasks.output(number)
        if not self._tasks.over:
            self._control.read_output(self)
        texts = ((number, self._tasks.output(number)) for number in range(len(self)))
        return "".join(f"[task {number}]\n{text.rstrip()}\n" for number, text in texts if text)

    # Figures of the whole job

    @property
    def cost(self) -> Cost:
        """An estimate of what the job cost so far, on AWS. Zero dollars on local cores.

        Requests in flight are not included yet. What a request without an answer may have cost is apart, in
        ``uncertain_dollars``: its reply was lost, or it was cancelled in flight and the executor shut down.
        """
        return self._tasks.cost

    def snapshot(self) -> Snapshot:
        """Return the progress of the job."""
        now = self._tasks.snapshot(self.name, self.backend)
        return now._replace(
            dollars=self.cost.dollars if self._prices or self.cost.dollars else None,
            note=self._control.blocked_reason or self._tasks.delayed_note(),
        )

    # For the executor

    def _draw(self, asked: bool) -> None:
        """Draw the job while it runs: a panel in a notebook, otherwise rows or lines on stderr.

        Args:
            asked: whether the user asked for it. Then there are more lines where stderr is no terminal.
        """
        try:
            from wrenlite.display import panel, terminal  # upwards, see pyproject.toml
        except ModuleNotFoundError:  # in a task on Lambda, whose zip is without it
            return
        self._drawn = panel.watch(self) if panel.in_notebook() else terminal.watch(self, asked)

    # For the scheduler

    def _end(self, outcomes: Sequence[Outcome], errors: Mapping[int, WrenliteError]) -> None:
        """Record the outcomes of tasks that have not ended before.

        Args:
            outcomes: of the tasks.
            errors: the errors of those of them for which no worker has reported an exception.
        """
        for index, error in errors.items():
            if not self._tasks.has_ended(index):
                self._outcomes.set_error(index, made := type(error)(f"{self._task(index)}: {error}"))
                if self._tasks.stats(index).request_id:
                    made.add_note(f"wrenlite: {self._tasks.describe_run(index)}")
                for note in self._tasks.notes(index):
                    made.add_note(f"wrenlite: {note}")
        ended = [outcome.task for outcome in outcomes]
        self._tasks.end(ended, outcomes)
        self._settle_futures(ended)

    def _end_cancelled(self, indexes: Sequence[int]) -> None:
        """Record that these tasks, which have not ended before, are cancelled."""
        self._tasks.cancel(indexes)
        self._settle_futures(indexes)

    def _end_without(self, index: int, source: Future[Any]) -> None:
        """Fail a task that cannot run because another one, whose value it takes, has none."""
        self._outcomes.set_failed_source(index, source)
        self._end([Outcome.failed(index)], {})

    def _end_like(self, index: int, other: int) -> None:
        """End a task that cannot run because another one failed: it ends as that one did."""
        self._tasks.end_like(index, other)
        self._settle_futures([index])

    def _settle_futures(self, ended: Sequence[int]) -> None:
        """Settle those futures of these tasks that exist. The job no longer keeps them alive."""
        if self._awaited:
            popped = (self._awaited.pop(index, None) for index in ended)
            if futures := [future for future in popped if future is not None]:
                for future in futures:
                    future._changes.notify()
                self._control.settle(futures)
        if self._done_callbacks and self._tasks.over:
            self._control.settle((self,))

    def _close(self) -> None:
        """Record that no more tasks come."""
        self._tasks.close()
        self._settle_futures(())

    def _settle(self) -> None:
        """Do nothing: the standard library has no record of jobs."""

    def _call_back(self) -> None:
        """Call the done-callbacks, each once."""
        while self._done_callbacks:
            with contextlib.suppress(IndexError):  # another thread was faster
                call_back(self._done_callbacks.popleft(), self)

    def _task(self, index: int) -> str:
        return f"task {index} of {self.id}"
