"""One task's future, how far a job is, and who cancels its tasks."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

from wrenlite.errors import WrenliteError
from wrenlite.protocol import TaskStats
from wrenlite.serialize.traceback_stubs import hide_own_frames
from wrenlite.storage.results import call_without_blocking

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from wrenlite.job import Job


_log = logging.getLogger("wrenlite")

HEARTBEAT_S = 0.5
"""Seconds of uninterrupted waiting for a lock: Python may miss a signal that comes right before it blocks."""


_BEAT_S = 0.2
"""Seconds between two moments in which an event loop that awaits futures is awake."""


def wait_for(changed: threading.Condition, come: Callable[[], bool], timeout: float | None = None) -> bool:
    """Wait until something has come; False after so many seconds."""
    end = None if timeout is None else time.monotonic() + timeout
    with changed:
        while not come():
            left = HEARTBEAT_S if end is None else min(HEARTBEAT_S, end - time.monotonic())
            if left <= 0:
                return False
            changed.wait(left)
        return True


def one_line(error: BaseException, text: str) -> None:
    """Have IPython show an error as one line: nobody who pressed Stop wants a traceback."""
    error._render_traceback_ = lambda: [text]  # type: ignore[attr-defined]  # IPython's protocol


async def until(come: Callable[[], bool], cancel: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait in an event loop, which stays able to hear an interrupt. When the waiting is cancelled, cancel.

    Args:
        come: what is waited for.
        cancel: is called where nobody waits any more.
        what: is waited for, in words.
    """
    import asyncio  # 25 ms, which most programs need not spend

    pause = 0.001
    try:
        while not come():
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)
    except asyncio.CancelledError as error:
        cancel()
        one_line(error, f"{what()}, cancelled while it was awaited")
        raise


_beating: dict[AbstractEventLoop, int] = {}
"""Event loops in which futures are awaited, and how many are."""


def _beat(loop: AbstractEventLoop) -> None:
    """Wake a loop now and then while it awaits futures: a signal is only heard by one that is awake."""
    if _beating.get(loop):
        loop.call_later(_BEAT_S, _beat, loop)
    else:
        _beating.pop(loop, None)


class Snapshot(NamedTuple):
    """How far a job is, for whoever draws it."""

    name: str
    backend: str
    total: int
    queued: int
    dispatched: int
    """In batches that were handed out."""
    running: int
    """Batches that were: so many tasks run at once."""
    done: int
    failed: int
    cancelled: int
    seconds: float
    """Since ``map``, until now or until the last task ended."""
    dollars: float | None = None
    """What it cost so far, as an estimate; None where nothing is charged."""
    note: str = ""
    """Why nothing is sent at the moment."""

    @property
    def finished(self) -> int:
        """Tasks that ended, one way or another."""
        return self.done + self.failed + self.cancelled


class Control(Protocol):
    """Who runs the job's tasks, and so cancels them."""

    @property
    def trouble(self) -> str:
        """Why nothing is sent at the moment; empty where all is well."""

    def cancel(self, job: Job, indexes: Iterable[int], wait: bool = True) -> int:
        """Cancel those of these tasks that have not ended; returns how many there were, or 0 at once."""


class Future(concurrent.futures.Future[Any]):
    """The promise of one task's value. Works wherever a ``concurrent.futures.Future`` does.

    Waiting for it in vain (Ctrl-C, the notebook's stop button) cancels its whole job.
    """

    def __init__(self, job: Job, index: int) -> None:
        super().__init__()
        self.job = job
        self.index = index

    def __repr__(self) -> str:
        return f"<Future {self.job.name}[{self.index}] {self.job.state(self.index)}>"

    def _repr_html_(self) -> str:
        from wrenlite.display.reprs import future_html  # upwards, see pyproject.toml

        return future_html(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a future cannot travel; pass its result()")

    def __await__(self) -> Generator[Any, None, Any]:
        return self._await().__await__()

    async def _await(self) -> Any:
        import asyncio

        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(woken.set)

        self.add_done_callback(wake)
        if loop not in _beating:
            loop.call_later(_BEAT_S, _beat, loop)
        _beating[loop] = _beating.get(loop, 0) + 1
        try:
            await woken.wait()
        except asyncio.CancelledError as error:
            self.job.cancel_tasks((self.index,), wait=False)  # there may be thousands, each in turn
            one_line(error, f"{self!r}, cancelled while it was awaited")
            raise
        finally:
            _beating[loop] -= 1
        with hide_own_frames:
            return await call_without_blocking(
                partial(self.job.value, self.index), [self.job._tasks.outcomes[self.index]]
            )

    def result(self, timeout: float | None = None) -> Any:
        """The value, or the task's exception raised. ``timeout`` in seconds; raises TimeoutError past it."""
        self._wait(timeout)
        with hide_own_frames:
            return self.job.value(self.index)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The task's exception, or None."""
        self._wait(timeout)
        return self.job.exception(self.index)

    def _wait(self, timeout: float | None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        with self.job.interruptible():
            while True:
                left = HEARTBEAT_S if end is None else min(HEARTBEAT_S, end - time.monotonic())
                try:
                    super().exception(max(0.0, left))
                except TimeoutError:
                    if end is not None and time.monotonic() >= end:
                        raise
                else:
                    return

    def cancel(self) -> bool:
        """Cancel the task; False where it has ended. A local worker that is at it is killed."""
        self.job.cancel_tasks((self.index,))
        return self.job.state(self.index) == "cancelled"

    @property
    def stats(self) -> TaskStats:
        """When and where it ran."""
        return self.job._tasks.stats(self.index)

    @property
    def logs(self) -> str:
        """What the task wrote to stdout and stderr, bounded; empty while it has not ended."""
        return self.job.logs(self.index)

    def settle(self, state: str) -> None:
        """Become done, failed or cancelled, and tell who waits. For the job only."""
        try:
            if state == "cancelled":
                super().cancel()
                self.set_running_or_notify_cancel()
            elif state == "failed":  # what it is, the job knows; the standard library asks only whether
                self.set_exception(WrenliteError("see Future.exception()"))
            else:
                self.set_result(None)
        except SystemExit:  # of a done-callback: it must not end the thread that runs everybody's tasks
            _log.exception("a done-callback of %r called sys.exit", self)
