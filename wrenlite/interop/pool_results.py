"""What a pool returns: results that come later, and iterators over values."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from wrenlite.futures import Future, call_back
from wrenlite.job import Job
from wrenlite.lazy_map import LazyValues
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.traceback_stubs import public
from wrenlite.storage.results import deadline, seconds_until
from wrenlite.threads import Changes, check_timeout

Callback = Callable[[Any], object] | None


@public
class AsyncResult:
    """The value of a call of a pool, or the list of values of a map, with ``ApplyResult``'s interface."""

    def __init__(
        self, made: Job[Any] | Future[Any], callback: Callback = None, error_callback: Callback = None
    ) -> None:
        """Create the result of a job, or of one task. Pools do this.

        Args:
            made: the job or the future.
            callback: takes the value once it is there.
            error_callback: takes the exception, if there is one.
        """
        self._made = made
        self._called = not (callback or error_callback)
        self._caller: int | None = None
        self._changes = Changes()
        if not self._called:
            made.add_done_callback(partial(self._call_back, callback, error_callback))

    def ready(self) -> bool:
        """Return whether all calls have ended, and the callback has returned."""
        over = self._made._tasks.over if isinstance(self._made, Job) else self._made.done()
        return over and self._called

    def successful(self) -> bool:
        """Return whether no call has raised an exception.

        Raises:
            ValueError: a call has not ended.
        """
        if not self.ready():
            raise ValueError(f"{self._made!r} has not ended: wait() for it")
        return self._outcome()[1] is None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result is ready, at most ``timeout`` seconds. Ctrl-C meanwhile cancels the calls.

        Raises:
            RuntimeError: its own callback waits for it.
        """
        self._check_thread()
        end = deadline(timeout)
        if isinstance(self._made, Job):
            self._made.wait(timeout)
        else:
            with contextlib.suppress(TimeoutError):
                self._made._wait(timeout)
        self._changes.wait_for(lambda: self._called, seconds_until(end))

    def get(self, timeout: float | None = None) -> Any:
        """Wait, and return the value or the list of values, or raise the exception of the call that failed.

        Args:
            timeout: seconds to wait at most; None: without limit.

        Raises:
            multiprocessing.TimeoutError: it is not ready in time. A later call gets it.
            concurrent.futures.CancelledError: it was cancelled, such as by ``terminate``.
        """
        check_timeout(timeout)
        if not self.ready():
            self.wait(timeout)
        if not self.ready():
            raise multiprocessing.TimeoutError(f"{self._made!r} has not ended within timeout={timeout} s")
        return self._value()

    def _check_thread(self) -> None:
        if not self._called and self._caller == threading.get_ident():
            raise RuntimeError("a callback cannot wait for itself: it is part of what is waited for")

    def _value(self) -> Any:
        """Return the value, or raise the exception, once the calls have ended."""
        made = self._made
        return made.results() if isinstance(made, Job) else made.job.value(made.index)

    def _outcome(self) -> tuple[Any, BaseException | None]:
        try:
            return self._value(), None
        except BaseException as error:
            raise_if_interrupting(error)
            return None, error

    def _call_back(self, callback: Callback, error_callback: Callback, _: object) -> None:
        self._caller = threading.get_ident()
        try:
            value, error = self._outcome()
            if error is None and callback:
                call_back(callback, value)
            elif error is not None and error_callback:
                call_back(error_callback, error)
        finally:
            self._called = True
            self._changes.notify()


@public
class PoolIterator(Iterator[Any]):
    """The values of ``imap`` or ``imap_unordered``. It goes on after the exception of a call.

    Several threads may share one. Each value goes to one of them.
    """

    def __init__(self, values: LazyValues[Any]) -> None:
        """Create an iterator. Pools do this.

        Args:
            values: the values.
        """
        self._values = values
        self._lock = threading.RLock()  # a signal handler may interrupt a call and ask for the next value

    def __next__(self) -> Any:
        with self._lock:
            return next(self._values)

    def next(self, timeout: float | None = None) -> Any:
        """Return the next value.

        Args:
            timeout: seconds to wait at most; None: without limit.

        Raises:
            multiprocessing.TimeoutError: it is not there in time. A later call gets it.
            StopIteration: there are no more values.
        """
        check_timeout(timeout)
        if timeout is None:
            return next(self)
        end = time.monotonic() + timeout
        if self._lock.acquire(timeout=min(max(timeout, 0), threading.TIMEOUT_MAX)):
            try:
                if self._values._wait_for_next(end - time.monotonic()):
                    return next(self._values)
            finally:
                self._lock.release()
        raise multiprocessing.TimeoutError(f"the next value is not there within timeout={timeout} s")
