"""Functions and constants with the names that users of PyWren and ``concurrent.futures`` know."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterable, Iterator
from typing import Any

from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.futures import Future, T, end_loop, waiting_for
from wrenlite.job import Job
from wrenlite.serialize.traceback_stubs import WithoutOwnFrames, without_own_frames
from wrenlite.threads import check_timeout
from wrenlite.wrong_calls import explain_wrong_calls

ALL_COMPLETED = concurrent.futures.ALL_COMPLETED
FIRST_COMPLETED = concurrent.futures.FIRST_COMPLETED
FIRST_EXCEPTION = concurrent.futures.FIRST_EXCEPTION
ANY_COMPLETED = FIRST_COMPLETED
"""PyWren's name for ``FIRST_COMPLETED``."""
ALWAYS = "ALWAYS"
"""PyWren's constant for a ``wait`` that returns at once."""


@without_own_frames
@explain_wrong_calls
def default_executor() -> Executor:
    """Return ``Executor()``, under PyWren's name."""
    return Executor()


@without_own_frames
def wait(
    fs: Iterable[Future[Any] | Job[Any]],
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
    *,
    cancel_on_interrupt: bool = True,
) -> tuple[list[Future[Any]], list[Future[Any]]]:
    """Wait for futures of one job or of several jobs.

    Args:
        fs: futures, a job, or jobs.
        timeout: seconds.
        return_when: ``ALL_COMPLETED``, ``ANY_COMPLETED`` (``FIRST_COMPLETED``), ``FIRST_EXCEPTION``, or
            ``ALWAYS`` (return at once).
        cancel_on_interrupt: cancel the jobs of these futures when Ctrl-C ends the wait.

    Returns:
        The futures that have ended and the futures that have not, both in the order of ``fs``.
    """
    check_timeout(timeout)
    futures = _futures(fs)
    if return_when == ALWAYS:
        timeout, return_when = 0, ALL_COMPLETED
    with waiting_for(_jobs(futures), cancel_on_interrupt):
        concurrent.futures.wait(futures, timeout, return_when)
    ended = {future for future in futures if future.done()}
    return [f for f in futures if f in ended], [f for f in futures if f not in ended]


@without_own_frames
def as_completed(fs: Iterable[Future[T] | Job[T]], timeout: float | None = None) -> Iterator[Future[T]]:
    """Return an iterator of the futures in the order in which they end.

    Args:
        fs: futures, a job, or jobs.
        timeout: seconds from now for all futures together.

    Raises:
        TimeoutError: from the iterator, when the timeout has passed.
    """
    check_timeout(timeout)
    futures = _futures(fs)
    return WithoutOwnFrames(_in_order_of_ending(futures, concurrent.futures.as_completed(futures, timeout)))


def _in_order_of_ending(futures: list[Future[T]], ended: Iterator[Any]) -> Iterator[Future[T]]:
    jobs = _jobs(futures)
    try:
        while True:
            with waiting_for(jobs, in_loop=True):
                future = next(ended, None)
            if future is None:
                return
            yield future
    finally:
        end_loop(jobs)


@without_own_frames
def get_all_results(fs: Iterable[Future[T] | Job[T]]) -> list[T]:
    """Return the values of futures, of a job or of jobs, in the order given, under PyWren's name."""
    values = []
    for future in _futures(fs):  # a StopIteration of a task would end list(map(Future.result, fs))
        values.append(future.result())
    return values


def _jobs(futures: list[Future[T]]) -> list[Job[Any]]:
    """Return the jobs of those of these futures that are wrenlite's."""
    return list({id(future.job): future.job for future in futures if isinstance(future, Future)}.values())


def _futures(fs: Iterable[Future[T] | Job[T]] | Future[T]) -> list[Future[T]]:
    """Return the futures among futures and jobs, in order.

    Raises:
        ConfigError: something is neither a future nor a job.
    """
    futures: list[Future[T]] = []
    for entry in (fs,) if isinstance(fs, Future) or not isinstance(fs, Iterable) else fs:
        if isinstance(entry, concurrent.futures.Future):
            futures.append(entry)
        elif isinstance(entry, Job):
            futures.extend(entry)
        else:
            raise ConfigError(f"{entry!r:.80} is neither a future nor a job: pass futures, a job, or jobs")
    return futures
