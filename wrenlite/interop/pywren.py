"""Functions and constants with the names that users of PyWren and ``concurrent.futures`` know."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.futures import Future, T, end_loop, waiting_for
from wrenlite.job import Job
from wrenlite.serialize.traceback_stubs import WithoutOwnFrames, public, without_own_frames
from wrenlite.threads import check_timeout
from wrenlite.wrong_calls import explain_wrong_calls

_log = logging.getLogger("wrenlite")

ALL_COMPLETED = concurrent.futures.ALL_COMPLETED
"""For a ``wait`` that returns when all tasks have ended."""
FIRST_COMPLETED = concurrent.futures.FIRST_COMPLETED
"""For a ``wait`` that returns when the first task has ended."""
FIRST_EXCEPTION = concurrent.futures.FIRST_EXCEPTION
"""For a ``wait`` that returns when the first task has failed, or all have ended."""
ANY_COMPLETED = FIRST_COMPLETED
"""PyWren's name for ``FIRST_COMPLETED``."""
ALWAYS = "ALWAYS"
"""PyWren's constant for a ``wait`` that returns at once."""
_RETURN_WHEN = (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, ALWAYS)
_UNUSED = (
    "extra_meta",
    "invoke_pool_threads",
    "data_all_as_one",
    "use_cached_runtime",
    "overwrite_invoke_args",
    "exclude_modules",
)
"""Options of PyWren's ``map`` that have no meaning here."""


@public
class PyWrenExecutor(Executor):
    """An executor that takes the options of PyWren's too. ``default_executor`` makes it."""

    def map(  # type: ignore[override]  # PyWren's third argument is extra_env
        self, func: Callable[[Any], T], iterdata: Iterable[Any], extra_env: Any = None, **options: Any
    ) -> Job[T]:
        """Run ``func(item)`` for each item, as ``Executor.map``, whose options it takes.

        Args:
            func: the function.
            iterdata: any iterable.
            extra_env: environment variables of the tasks.
            options: options of ``Executor.map``. Those of PyWren's ``map`` have no effect.
        """
        given = {name: value for name, value in options.items() if name not in _UNUSED}
        given.setdefault("env", extra_env)
        job: Job[T] = super().map(func, iterdata, **given)
        return job

    def call_async(
        self, func: Callable[[Any], T], data: Any, extra_env: Any = None, extra_meta: object = None
    ) -> Future[T]:
        """Run ``func(data)`` once, with environment variables ``extra_env``. ``extra_meta`` is not used."""
        return super().call_async(func, data, extra_env)

    def reduce(
        self,
        function: Callable[[Any], T],
        list_of_futures: Iterable[Future[Any]],
        extra_env: Any = None,
        extra_meta: object = None,
    ) -> Future[T]:
        """Run ``function`` once, with the list of the values of futures of this executor.

        It runs when they are there, and takes no worker before. Raises ConfigError for what is no future.
        """
        return super().call_async(function, _futures(list_of_futures), extra_env)


@without_own_frames
@explain_wrong_calls
def default_executor(config: Mapping[str, Any] | None = None) -> PyWrenExecutor:
    """Return an executor as the configuration says: ``Executor()`` with PyWren's methods and options.

    Args:
        config: a configuration of PyWren, which is not used: it describes a deployment of PyWren's own.
            ``wrenlite-setup`` makes wrenlite's, and writes a configuration.

    Raises:
        ConfigError: it is no configuration of PyWren, or wrenlite's own cannot be used.
    """
    if config is not None:
        if not isinstance(config, Mapping):
            raise ConfigError(f"config={config!r:.80}: must be a dict, as in PyWren")
        _log.warning("config= of PyWren is not used: wrenlite has its own, which wrenlite-setup writes")
    return PyWrenExecutor()


@without_own_frames
def wait(
    fs: Iterable[Future[Any] | Job[Any]],
    timeout: float | str | None = None,
    return_when: str = ALL_COMPLETED,
    *,
    cancel_on_interrupt: bool = True,
    THREADPOOL_SIZE: int | None = None,
    WAIT_DUR_SEC: float | None = None,
) -> tuple[list[Future[Any]], list[Future[Any]]]:
    """Wait for futures of one job or of several jobs.

    Args:
        fs: futures, a job, or jobs.
        timeout: seconds. Also ``return_when``, which has this place in PyWren.
        return_when: ``ALL_COMPLETED``, ``ANY_COMPLETED`` (``FIRST_COMPLETED``), ``FIRST_EXCEPTION``, or
            ``ALWAYS`` (return at once).
        cancel_on_interrupt: cancel the jobs of these futures when Ctrl-C ends the wait.
        THREADPOOL_SIZE: an option of PyWren, which is not used: nobody asks again and again.
        WAIT_DUR_SEC: the same.

    Returns:
        The futures that have ended and the futures that have not, both in the order of ``fs``.
    """
    if timeout in _RETURN_WHEN:
        timeout, return_when = None, str(timeout)
    if return_when not in _RETURN_WHEN:
        raise ConfigError(f"return_when={return_when!r:.80}: must be one of {', '.join(_RETURN_WHEN)}")
    check_timeout(timeout)
    futures = _futures(fs)
    seconds = _of_wait(cast("float | None", timeout))
    if return_when == ALWAYS:
        seconds, return_when = 0, ALL_COMPLETED
    with waiting_for(_jobs(futures), cancel_on_interrupt):
        concurrent.futures.wait(futures, seconds, return_when)
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
    ended = concurrent.futures.as_completed(futures, _of_wait(timeout))
    return WithoutOwnFrames(_in_order_of_ending(futures, ended))


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


def _of_wait(timeout: float | None) -> float | None:
    """Return a timeout as ``concurrent.futures`` takes it: None where it is longer than a thread can wait."""
    return None if timeout is None or timeout > threading.TIMEOUT_MAX else timeout


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
