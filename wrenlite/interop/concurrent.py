"""An executor with the interface of ``concurrent.futures.Executor``, for libraries that take one."""

from __future__ import annotations

import concurrent.futures
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from wrenlite.arguments import iterate
from wrenlite.errors import ExecutorClosed
from wrenlite.futures import Future, waiting_for
from wrenlite.job import Job
from wrenlite.open_job import OpenJob
from wrenlite.serialize.by_reference import ByReference, References
from wrenlite.serialize.traceback_stubs import hide_own_frames, public
from wrenlite.storage.results import deadline
from wrenlite.threads import check_timeout

if TYPE_CHECKING:
    from wrenlite.executor import Executor

T = TypeVar("T")

_CALLS_PER_WORKER = 8


@public
class ConcurrentExecutor(concurrent.futures.Executor, ByReference):
    """A ``concurrent.futures.Executor`` that runs its calls on a wrenlite executor.

    ``Executor.as_concurrent()`` makes it. Its ``shutdown`` waits for the calls that were submitted through
    it; the wrenlite executor stays open.
    """

    def __init__(self, executor: Executor) -> None:
        """Create an executor on top of a wrenlite executor. In a task it becomes one on that of the task."""
        self._executor = executor
        # There is no lock, since a signal handler may interrupt ``submit`` and call ``shutdown``.
        self._jobs: weakref.WeakValueDictionary[int, Job[Any]] = weakref.WeakValueDictionary()
        self._futures: weakref.WeakValueDictionary[int, Future[Any]] = weakref.WeakValueDictionary()
        """Those of ``submit``, whose jobs may have tasks of others."""
        self._closed = False

    def _refer(self, references: References) -> Any:
        return ConcurrentExecutor, (self._executor,)

    @property
    def _max_workers(self) -> int:
        """How many calls to submit before one has ended. dask reads this attribute of a pool.

        They are more than run at once, so that calls travel together.
        """
        return self._executor.workers * (1 if self._executor.backend.runs_in_caller else _CALLS_PER_WORKER)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn(*args, **kwargs)``.

        Raises:
            ExecutorClosed: ``shutdown`` was called. It is a RuntimeError.
        """
        self._check_open()
        future = self._executor.submit(fn, *args, **kwargs)
        self._futures[id(future)] = future
        if self._closed:  # meanwhile
            future.cancel()
            self._check_open()
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 0,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """Return an iterator of the values of ``fn`` over the iterables, in order.

        When the iterator is closed or raises, the tasks that have not ended are cancelled.

        Args:
            fn: the function.
            iterables: one iterable per argument of the function; the shortest one sets the number of calls.
            timeout: seconds from now for all values together.
            chunksize: tasks per batch; 0: chosen from how long the tasks take.
            buffersize: the most items that are read ahead of the values, as in Python 3.14; None: the
                iterables are read to their end now.

        Raises:
            ExecutorClosed: ``shutdown`` was called.
            ConfigError: the timeout is no number of seconds. ArgumentError: something cannot be iterated
                over.
            TimeoutError: from the iterator, when the timeout has passed.
        """
        self._check_open()
        check_timeout(timeout)
        several = len(iterables) > 1
        named = (
            (f"iterables[{place}]" if several else "iterable", each) for place, each in enumerate(iterables)
        )
        items = zip(*(iterate(each, name) for name, each in named), strict=False)
        if buffersize is not None:
            values = self._executor.starmap(fn, items, buffersize=buffersize, chunksize=chunksize or None)
            self._add(values.job)
            values._wait_until(deadline(timeout))
            return values
        job = self._executor.starmap(fn, items, chunksize=chunksize or None)
        self._add(job)
        return _stream_values(job, job.values(timeout=timeout))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further calls.

        Args:
            wait: return only after all submitted calls have ended.
            cancel_futures: cancel the calls that were not sent to a worker yet.
        """
        self._closed = not self._executor._is_of_task
        jobs = held(self._jobs)
        for job in jobs:
            if isinstance(job, OpenJob):  # nothing more is read for it
                job.close()
        futures = [future for future in held(self._futures) if not future.done()]
        if cancel_futures:
            for future in futures:
                if not future.running():
                    future.cancel()
            for job in jobs:
                job.cancel_tasks(index for index in range(len(job)) if job.state(index) == "queued")
        if wait:
            with waiting_for([*jobs, *{future.job: None for future in futures}]):
                for job in jobs:
                    job.wait()
                concurrent.futures.wait(futures)

    def _add(self, job: Job[Any]) -> None:
        """Add a job for which ``shutdown`` waits, unless it was called while the job was submitted."""
        self._jobs[id(job)] = job
        if self._closed:
            job.cancel()
            self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise ExecutorClosed("this executor was shut down; make a new one")


def held(things: weakref.WeakValueDictionary[int, T]) -> list[T]:
    """Return those of these objects that somebody still holds."""
    return [thing for reference in things.valuerefs() if (thing := reference()) is not None]


def _stream_values(job: Job[Any], values: Iterator[Any]) -> Iterator[Any]:
    try:
        with hide_own_frames:
            yield from values
    finally:
        job.cancel()
