"""The future of one task, and the ways of waiting that jobs and futures share."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, Protocol, TypeAlias, TypeVar, cast

from wrenlite import other_names
from wrenlite.errors import WrenliteError
from wrenlite.protocol import CANCELLED, Outcome, Packed, Plain, Stored, TaskStats, Usage
from wrenlite.serialize.by_reference import ByReference, References
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.traceback_stubs import hide_own_frames, public
from wrenlite.storage.results import call_without_blocking, deadline
from wrenlite.threads import Changes, no_interrupts

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from wrenlite.job import Job

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
"""What a task returns."""

_log = logging.getLogger("concurrent.futures")
"""The standard library reports there what is wrong with a callback."""

_SETTLED_S = 0.1
"""The longest time in seconds that ``result()`` waits until the standard library knows of the end, too."""
_LOOP_HEARTBEAT_S = 0.2
"""Seconds between two moments in which an event loop that awaits futures is awake."""


def show_as_one_line(error: BaseException, text: str) -> None:
    """Make IPython show an error as one line: who pressed Stop or Cancel does not want a traceback."""
    # IPython's protocol: a function that returns lines, and one that can be pickled.
    error._render_traceback_ = partial(list, (text,))  # type: ignore[attr-defined]


async def wait_in_loop(
    is_reached: Callable[[], bool], cancel: Callable[[], object], describe: Callable[[], str]
) -> None:
    """Wait in an event loop, which stays able to react to an interrupt.

    Args:
        is_reached: what is waited for.
        cancel: called when the waiting itself is cancelled.
        describe: describes what is waited for.
    """
    import asyncio  # it takes 25 ms to import, which most programs need not spend

    pause = 0.001
    try:
        while not is_reached():
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)
    except asyncio.CancelledError as error:
        cancel()
        show_as_one_line(error, f"{describe()}, cancelled while it was awaited")
        raise


async def next_in_loop(
    iterator: Iterator[T], job: Job[Any], ready: Callable[[], Sequence[Outcome | None] | None]
) -> T:
    """Return the next item of an iterator over a job, without blocking the event loop.

    Args:
        iterator: gives the item.
        job: is cancelled when the waiting is.
        ready: returns the outcome that the item is made of, no outcome where the iterator needs none, and
            None while the iterator would have to wait.

    Raises:
        StopAsyncIteration: there are no more items.
    """
    import asyncio

    with hide_own_frames:
        await asyncio.sleep(0)  # a loop over values that are there lets others run, too
        with job._drawn(True):
            await wait_in_loop(lambda: ready() is not None, job._stop_waiting, job.__repr__)
        no_more = object()
        item = await call_without_blocking(partial(next, iterator, no_more), ready() or ())
        if item is no_more:
            raise StopAsyncIteration
        return cast(T, item)


Drawing: TypeAlias = Callable[[bool], AbstractContextManager[object]]
"""Returns the context in which a drawn job is waited for. The argument: whether that is one of several waits
in a loop, so that what is shown of the end of the job comes after the loop (``end_loop``)."""


def undrawn(_: bool) -> AbstractContextManager[object]:
    """Return the context in which a job that nobody draws is waited for."""
    return contextlib.nullcontext()


@contextlib.contextmanager
def waiting_for(jobs: Iterable[Job[Any]], cancel: bool = True, in_loop: bool = False) -> Iterator[None]:
    """Draw jobs, and let an interrupt cancel them, while this thread waits in the ``with`` block.

    Args:
        jobs: the jobs.
        cancel: whether an interrupt cancels them; otherwise it only ends the waiting.
        in_loop: this is one of several waits in a loop, after which comes ``end_loop``.
    """
    with contextlib.ExitStack() as undisturbed, contextlib.ExitStack() as drawn:
        for job in jobs:
            drawn.enter_context(job._drawn(in_loop))
        try:
            yield
        except (KeyboardInterrupt, SystemExit) as error:  # the latter from a signal handler of the program
            undisturbed.enter_context(no_interrupts())
            if cancel:
                for job in jobs:
                    job._stop_waiting()
            text = ", ".join(map(repr, jobs))
            goes_on = not cancel or all(job._is_detached for job in jobs)
            show_as_one_line(error, f"{text}, interrupted{'; it goes on' if goes_on else ''}")
            raise


@public
class JobIterator(Iterator[T_co], AsyncIterator[T_co]):
    """Iterates over the values or futures of a job, by ``for`` or by ``async for``.

    An exception of a task is raised in its turn, and the items behind it come all the same.
    """

    def __init__(
        self,
        job: Job[Any],
        tasks: Iterator[int],
        give: Callable[[int], T_co],
        ready: Callable[[int], Sequence[Outcome | None] | None],
    ) -> None:
        """Create an iterator over a job. Jobs do this.

        Args:
            job: the job.
            tasks: waits for tasks, and gives each once its item can be made.
            give: makes the item of a task.
            ready: the outcome at a position of ``tasks``; None: it has to be waited for, as in
                ``next_in_loop``.
        """
        self._job = job
        self._tasks = tasks
        self._give = give
        self._ready = ready
        self._place = 0
        self._is_over = False

    def __next__(self) -> T_co:
        try:
            task = next(self._tasks)
        except BaseException:
            self._is_over = True
            raise
        self._place += 1
        return self._give(task)

    async def __anext__(self) -> T_co:
        return await next_in_loop(self, self._job, lambda: () if self._is_over else self._ready(self._place))


def end_loop(jobs: Iterable[Job[Any]]) -> None:
    """Show the end of those of these jobs that have ended: a loop that waits for their tasks is over."""
    for job in jobs:
        with job._drawn(False):
            pass


_awaiting: dict[AbstractEventLoop, int] = {}
"""The number of futures that are awaited in each event loop."""


def _keep_awake(loop: AbstractEventLoop) -> None:
    """Wake a loop regularly while it awaits futures: only a loop that is awake reacts to a signal."""
    if _awaiting.get(loop):
        loop.call_later(_LOOP_HEARTBEAT_S, _keep_awake, loop)
    else:
        _awaiting.pop(loop, None)


class Snapshot(NamedTuple):
    """The progress of a job at one moment."""

    name: str
    backend: str
    total: int
    queued: int
    dispatched: int
    """Tasks in batches that have been handed out."""
    running: int
    """Batches that have been handed out: each of them runs one task at a time."""
    done: int
    failed: int
    cancelled: int
    seconds: float
    """Seconds since ``map``, until now or until the last task ended."""
    dollars: float | None = None
    """Estimate of what the job cost so far; None where nothing is charged."""
    note: str = ""
    """Why nothing is sent at the moment; empty where requests are sent."""
    peak_bytes: int = 0
    """The most memory that a worker held while it ran tasks of the job; 0: unknown."""
    cached: int = 0
    """Those that are done without a run: an earlier job has left their values (``cache=True``)."""

    @property
    def finished(self) -> int:
        """Tasks that are done, failed or cancelled."""
        return self.done + self.failed + self.cancelled


class Control(Protocol):
    """Whatever runs the tasks of a job, and so can cancel them."""

    @property
    def blocked_reason(self) -> str:
        """Why nothing is sent at the moment; empty where requests are sent."""

    def cancel(self, job: Job[Any], indexes: Iterable[int], wait: bool = True) -> int:
        """Cancel those of these tasks that have not ended; return their number, or 0 without waiting."""

    def is_running(self, job: Job[Any], index: int) -> bool:
        """Return whether a task runs now, as far as that is known."""

    def read_output(self, job: Job[Any]) -> None:
        """Record in the job's task table what those of its tasks that run now have written so far."""

    def charge(self, usage: Usage) -> None:
        """Add requests of this process to the cost of all jobs, in any thread."""

    def settle(self, futures: Sequence[HasCallbacks]) -> None:
        """Settle futures whose tasks have ended, and jobs, soon, and call their done-callbacks."""


class HasCallbacks(Protocol):
    """A future, or a job, that has ended."""

    def _settle(self) -> None:
        """Let the standard library know of the end."""

    def _call_back(self) -> None:
        """Call the done-callbacks."""


def call_back(function: Callable[[T], object], ended: T) -> None:
    """Call a done-callback, and log what it raises: it is no fault of other tasks."""
    try:
        function(ended)
    except BaseException:
        _log.exception("exception calling callback for %r", ended)


@public
class Future(concurrent.futures.Future[T], ByReference, Generic[T]):
    """The promise of one task's value. It works wherever a ``concurrent.futures.Future`` does.

    An interrupt while it is waited for (Ctrl-C, the notebook's stop button) cancels its whole job; of a call
    of ``submit``, which may share its job with others, only this task.

    Done-callbacks run soon after the end, one after the other, in a thread of the executor that does nothing
    else: they may wait for other tasks, submit, cancel and shut down. What they raise is logged.
    """

    def __init__(self, job: Job[T], index: int) -> None:
        """Create the future of a task. Jobs do this.

        Args:
            job: the job of the task.
            index: number of the task in the job.
        """
        super().__init__()
        self.job = job
        self.index = index
        self._changes = Changes()
        self._settled = False

    def __repr__(self) -> str:
        return f"<Future {self.job.name}[{self.index}] {self.job.state(self.index)}>"

    def _repr_html_(self) -> str:
        from wrenlite.display.reprs import future_html  # upwards, see pyproject.toml

        return future_html(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a future cannot be sent to another process, except as an argument: as an item of map or in one, "
            "in args= of map (alone, or in a list, tuple or dict) or in submit(…); pass its result()"
        )

    def _refer(self, references: References) -> Any:
        return self.job._outcomes.refer_to(self, references)

    @property
    def _is_read(self) -> bool:
        """Whether the task has a value that was unpickled here, and is not kept as it came."""
        outcome = self.job._tasks.outcome(self.index)
        return outcome is not None and outcome.ok and self.job._outcomes.packed(self.index) is None

    @property
    def _packed(self) -> Packed | Stored | Plain:
        """The value of the task, which has one, as it came from its worker."""
        packed = self.job._outcomes.packed(self.index)
        assert packed is not None
        return packed

    if not TYPE_CHECKING:  # to type checkers, an unknown name stays an error

        def __getattr__(self, name: str) -> NoReturn:
            raise other_names.missing_attribute(self, name, other_names.FUTURE)

    def __await__(self) -> Generator[Any, None, T]:
        return self._await().__await__()

    async def _await(self) -> T:
        import asyncio

        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(woken.set)

        self.add_done_callback(wake)
        if loop not in _awaiting:
            loop.call_later(_LOOP_HEARTBEAT_S, _keep_awake, loop)
        _awaiting[loop] = _awaiting.get(loop, 0) + 1
        try:
            with self.job._drawn(False):
                await woken.wait()
        except asyncio.CancelledError as error:
            if not self.job._is_detached:
                self.job.cancel_tasks((self.index,), wait=False)  # thousands of futures may do this in turn
            show_as_one_line(error, f"{self!r}, cancelled while it was awaited")
            raise
        finally:
            _awaiting[loop] -= 1
        with hide_own_frames:
            return await call_without_blocking(
                partial(self.job.value, self.index), [self.job._tasks.outcomes[self.index]]
            )

    def result(self, timeout: float | None = None, throw_except: bool = True) -> T:
        """Wait for the task and return its value, or raise its exception.

        Args:
            timeout: seconds to wait at most, as for ``Job.results``; None: without limit.
            throw_except: False, as in PyWren: return None in place of raising the task's exception.

        Raises:
            TimeoutError: the task has not ended in time, or its value was not fetched from the store in time.
                A later call gets it.
            concurrent.futures.CancelledError: it was cancelled.
        """
        end = deadline(timeout)
        self._wait(timeout)
        if not throw_except and not self.succeeded():
            return cast(T, None)
        return self.job._outcomes.get(self.index, end)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the task and return its exception, or None where it has a value. Raises as ``result``."""
        end = deadline(timeout)
        self._wait(timeout)
        return self.job._outcomes.exception(self.index, end)

    def _wait(self, timeout: float | None) -> None:
        try:
            self._wait_in_job(timeout)
        except (KeyboardInterrupt, SystemExit):
            if self.job._is_shared:
                with no_interrupts():
                    self.cancel()
            raise

    def _wait_in_job(self, timeout: float | None) -> None:
        with self.job._interruptible(not self.job._is_shared, in_loop=True):
            if not self._changes.wait_for(self.done, timeout):
                text = f"has not ended within timeout={float(timeout or 0):g} s; it goes on"
                raise TimeoutError(f"{self.job._task(self.index)} {text}")
            self._changes.wait_for(lambda: self._settled, _SETTLED_S)

    def done(self) -> bool:
        """Return whether the task has ended: with a value, with an exception, or cancelled."""
        return self.job._tasks.has_ended(self.index)

    def succeeded(self) -> bool:
        """Return whether the task has ended with a value."""
        return self.job.state(self.index) == "done"

    def errored(self) -> bool:
        """Return whether the task has failed. One that was cancelled has not."""
        return self.job.state(self.index) == "failed"

    def running(self) -> bool:
        """Return whether the task runs now.

        On Lambda: whether a request with it is under way, since only the reply tells which of its tasks have
        run.
        """
        return self.job._is_running(self.index)

    def cancelled(self) -> bool:
        """Return whether the task was cancelled."""
        return self.job._tasks.outcome(self.index) is CANCELLED

    def cancel(self) -> bool:
        """Cancel the task. A local worker that runs it is killed.

        Returns:
            Whether the task is cancelled; False where it had ended before.
        """
        self.job.cancel_tasks((self.index,))
        return self.cancelled()

    def stats(self) -> TaskStats:
        """Return when and where the task ran."""
        return self.job._tasks.stats(self.index)

    def logs(self) -> str:
        """Return what the task wrote to stdout and stderr, limited in length: see ``Job.logs``."""
        return self.job.logs(self.index)

    def set_result(self, result: T) -> None:
        """Refuse: only the executor ends a task."""
        self._refuse("set_result")

    def set_exception(self, exception: BaseException | None) -> None:
        """Refuse: only the executor ends a task."""
        self._refuse("set_exception")

    def set_running_or_notify_cancel(self) -> bool:
        """Refuse: only the executor starts a task."""
        self._refuse("set_running_or_notify_cancel")

    def _refuse(self, method: str) -> NoReturn:
        raise concurrent.futures.InvalidStateError(
            f"{method}() is for executors: the state of {self.job._task(self.index)} is not yours to set. "
            "cancel() ends the task, and a concurrent.futures.Future of your own takes any result"
        )

    def _settle(self) -> None:
        """Let the standard library know of the end, and so those who wait with its functions."""
        try:
            if self.cancelled():
                super().cancel()
                super().set_running_or_notify_cancel()
            elif self.job.state(self.index) == "failed":  # it only asks whether: the job knows the exception
                super().set_exception(WrenliteError("see Future.exception()"))
            else:
                super().set_result(None)  # type: ignore[arg-type]  # the job knows the value
        except BaseException as error:
            raise_if_interrupting(error)
            _log.exception("%r cannot be settled", self)  # somebody has changed its state behind its back
        self._settled = True
        self._changes.notify()

    def _invoke_callbacks(self) -> None:
        """Leave the callbacks to ``_call_back``: the methods of the standard library call this."""

    def _call_back(self) -> None:
        """Call the done-callbacks."""
        for callback in tuple(self._done_callbacks):  # type: ignore[attr-defined]  # no public attribute
            call_back(callback, self)
