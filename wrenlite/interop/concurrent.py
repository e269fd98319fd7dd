"""An executor as ``concurrent.futures`` knows it, for libraries that take one."""

from __future__ import annotations

import concurrent.futures
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from wrenlite.errors import ExecutorClosed
from wrenlite.futures import Future
from wrenlite.job import Job
from wrenlite.serialize.traceback_stubs import hide_own_frames


class Submits(Protocol):
    """What of an executor is used here."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Run a call."""

    def starmap(
        self, fn: Callable[..., Any], data: Iterable[Iterable[Any]], *, chunksize: int | None = None
    ) -> Job:
        """Run a call for each item."""


class Pool(concurrent.futures.Executor):
    """A ``concurrent.futures.Executor`` over an executor of ours. Made by ``Executor.as_concurrent()``.

    Shutting it down ends it, and waits for what was submitted through it; the executor below stays open.
    """

    def __init__(self, executor: Submits) -> None:
        self._executor = executor
        self._jobs: weakref.WeakSet[Job] = weakref.WeakSet()
        self._closed = False
        self._lock = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Run ``fn(*args, **kwargs)``. Raises ExecutorClosed, a RuntimeError, after ``shutdown``."""
        with self._lock:
            self._check_open()
            future = self._executor.submit(fn, *args, **kwargs)
            self._jobs.add(future.job)
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 0,
    ) -> Iterator[Any]:
        """The values of ``fn`` over the iterables, in order; what is left is cancelled when the reading ends.

        Args:
            fn: the function.
            iterables: one for each of its arguments; the shortest decides.
            timeout: seconds from now for all of it; raises TimeoutError past it.
            chunksize: tasks a batch; default: learnt from how long they take.
        """
        with self._lock:
            self._check_open()
            job = self._executor.starmap(fn, zip(*iterables, strict=False), chunksize=chunksize or None)
            self._jobs.add(job)
        return _values(job, job.values(timeout=timeout))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait: come back only when those that were taken have ended.
            cancel_futures: cancel those that no worker has yet.
        """
        with self._lock:
            self._closed = True
        for job in list(self._jobs):
            if cancel_futures:
                job.cancel_tasks(index for index in range(len(job)) if job.state(index) == "queued")
        for job in list(self._jobs):
            if wait:
                job.wait()

    def _check_open(self) -> None:
        if self._closed:
            raise ExecutorClosed("this executor was shut down; make a new one")


def _values(job: Job, values: Iterator[Any]) -> Iterator[Any]:
    try:
        with hide_own_frames:
            yield from values
    finally:
        job.cancel()
