"""Lithops' futures and lists of them, and its functions that wait."""

from __future__ import annotations

import concurrent.futures
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from wrenlite.errors import ConfigError, DependencyFailed
from wrenlite.futures import Future
from wrenlite.interop.lithops_calls import Returned
from wrenlite.interop.pywren import as_completed
from wrenlite.serialize.by_reference import ByReference, References
from wrenlite.serialize.traceback_stubs import public

if TYPE_CHECKING:
    from wrenlite.interop.lithops import FunctionExecutor

ALWAYS = 0
"""For ``return_when=``: return at once."""
ANY_COMPLETED = -1
"""For ``return_when=``: return when the first call has ended."""
ALL_COMPLETED = 100
"""For ``return_when=``: return when all calls have ended. A number from 1 to 100 is a percentage of them."""


@public
class ResponseFuture(ByReference):
    """One call. As an element of the data of another map it stands for its value.

    Its state is read by properties, as in Lithops: ``done``, ``success``, ``error``, ``running``.
    """

    def __init__(self, future: Future[Any], executor: FunctionExecutor) -> None:
        """Create a future. Executors do this."""
        self._future = future
        self.executor_id = executor.executor_id
        self.job_id, self.call_id = future.job.id, f"{future.index:05d}"
        self.function_name = future.job.name
        self._produce_output = True
        """Whether ``get_result()`` gives its value: that of a step between two others is not asked for."""
        self._read = False

    def __repr__(self) -> str:
        return f"<ResponseFuture {self._future.job.name}[{self._future.index}] {self._state}>"

    def _refer(self, references: References) -> Any:
        return self._future._refer(references)

    @property
    def _state(self) -> str:
        if self._future.done():
            return "Error" if self.error else "Done"
        return "Running" if self._future.running() else "Invoked"

    @property
    def done(self) -> bool:
        """Whether the call has ended."""
        return self._future.done()

    ready = success = done

    @property
    def running(self) -> bool:
        """Whether the call runs now."""
        return self._future.running()

    @property
    def error(self) -> bool:
        """Whether the call has failed or was cancelled."""
        return self._future.done() and self._future.job.state(self._future.index) != "done"

    @property
    def futures(self) -> bool:
        """Whether the call has ended, and has returned futures."""
        return self.done and not self.error and isinstance(self._future.result(), Returned)

    @property
    def stats(self) -> dict[str, Any]:
        """When the call was submitted, started and ended, under Lithops' names; seconds since the epoch."""
        stats = self._future.stats()
        ended = None if stats.started is None or stats.seconds is None else stats.started + stats.seconds
        return {
            "host_submit_tstamp": stats.queued,
            "worker_start_tstamp": stats.started,
            "worker_end_tstamp": ended,
            "worker_exec_time": stats.seconds,
            "worker_func_exec_time": stats.seconds,
            "worker_cold_start": stats.cold,
            "worker_peak_memory_end": stats.peak_bytes,
            "host_status_done_tstamp": stats.finished,
        }

    @property
    def logs(self) -> str:
        """What the call wrote to stdout and stderr."""
        return self._future.logs()

    def cancel(self) -> bool:
        """Cancel the call, and return whether it is cancelled. Lithops cannot do this."""
        return self._future.cancel()

    def cancelled(self) -> bool:
        """Return whether the call was cancelled."""
        return self._future.cancelled()

    def status(self, throw_except: bool = True, check_only: bool = False, **_: Any) -> dict[str, Any] | None:
        """Wait for the call, and return its stats.

        Args:
            throw_except: raise the exception of a call that has failed.
            check_only: do not wait: return None while the call has not ended.
        """
        if check_only and not self.done:
            return None
        self.result(throw_except)
        return {**self.stats, "exception": self.error}

    def result(self, throw_except: bool = True, timeout: float | None = None, **_: Any) -> Any:
        """Wait for the call, and return its value; of a call that has returned futures, their values.

        Args:
            throw_except: raise the exception of a call that has failed; otherwise its value is None.
            timeout: seconds to wait at most.

        Raises:
            TimeoutError: the call has not ended in time.
        """
        return self._returned(timeout).value(throw_except)

    def _values(self, throw_except: bool = True) -> list[Any]:
        """Return the value of the call in a list, or the values of the futures that it has returned."""
        return self._returned().values(throw_except)

    def _returned(self, timeout: float | None = None) -> Returned:
        """Wait for the call, and return the outcomes of the futures that it has returned, or its own."""
        ok, value = self._outcome(timeout)
        return value if ok and isinstance(value, Returned) else Returned([(ok, value)], is_list=False)

    def _outcome(self, timeout: float | None = None) -> tuple[bool, Any]:
        """Wait for the call, and return whether it has a value, and that value or its exception.

        The exception is that of the call which failed first, where others failed for want of its value.
        """
        try:
            return True, self._future.result(timeout)
        except TimeoutError:
            if not self._future.done():
                raise
        except (Exception, concurrent.futures.CancelledError):
            pass
        error = self._future.exception() if not self._future.cancelled() else None
        while isinstance(error, DependencyFailed) and error.__cause__ is not None:
            error = error.__cause__
        return False, error or concurrent.futures.CancelledError(f"{self!r} was cancelled")


class FuturesList(list[ResponseFuture]):
    """The futures of a job. ``map`` over them starts another job that takes their values."""

    def __init__(self, futures: Iterable[ResponseFuture], executor: FunctionExecutor | None) -> None:
        """Create a list. The executor runs further maps."""
        super().__init__(futures)
        self._executor = executor

    def map(self, map_function: Callable[..., Any], sync: bool = False, **options: Any) -> FuturesList:
        """Map over the values, and become the list of the new futures. Options are those of the executor.

        Args:
            map_function: as for the executor.
            sync: wait for the values first. Without it, no worker waits for them either.
            options: as for the executor.
        """
        if sync:
            self.wait()
        self[:] = self._of().map(map_function, self, **options)
        return self

    def map_reduce(
        self,
        map_function: Callable[..., Any],
        reduce_function: Callable[..., Any],
        sync: bool = False,
        **options: Any,
    ) -> FuturesList:
        """Map over the values, reduce, and become the list of the new futures. Otherwise as ``map``."""
        if sync:
            self.wait()
        self[:] = self._of().map_reduce(map_function, self, reduce_function, **options)
        return self

    def wait(self, **options: Any) -> tuple[FuturesList, FuturesList]:
        """Wait for these futures. Options are those of the executor's ``wait``."""
        return wait(self, **options)

    def get_result(self, **options: Any) -> Any:
        """Return the values of these futures. Options are those of the executor's ``get_result``."""
        return self._of().get_result(self, **options)

    def _of(self) -> FunctionExecutor:
        if self._executor is None:
            raise ConfigError("this list of futures is empty: it belongs to no executor")
        return self._executor

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


Futures: TypeAlias = ResponseFuture | Iterable[ResponseFuture]
"""A future or several."""


def wait(
    fs: Futures,
    throw_except: bool = True,
    return_when: int = ALL_COMPLETED,
    timeout: float | None = None,
    **_: Any,
) -> tuple[FuturesList, FuturesList]:
    """Wait for futures, also of several executors.

    Args:
        fs: a future or several.
        throw_except: raise the exception of a call that has failed.
        return_when: ``ALL_COMPLETED``, ``ANY_COMPLETED``, ``ALWAYS``, or a percentage of the futures.
        timeout: seconds to wait at most.

    Returns:
        The futures that have ended and those that have not.

    Raises:
        TimeoutError: too few have ended in time.
    """
    futures = listed(fs)
    needed = 1 if return_when == ANY_COMPLETED else math.ceil(len(futures) * return_when / 100)
    by_future = {each._future: each for each in futures}
    for ended, future in enumerate(as_completed(by_future, timeout) if needed else (), start=1):
        if throw_except:
            by_future[future]._values()
        if ended >= needed:
            break
    owner = fs._executor if isinstance(fs, FuturesList) else None
    over = {each for each in futures if each.done}
    left = [each for each in futures if each not in over]
    return FuturesList([each for each in futures if each in over], owner), FuturesList(left, owner)


def get_result(fs: Futures, throw_except: bool = True, timeout: float | None = None, **_: Any) -> list[Any]:
    """Wait for futures, and return the list of their values. Arguments are those of ``wait``."""
    futures = listed(fs)
    wait(futures, throw_except, timeout=timeout)
    return [value for each in futures if each._produce_output for value in each._values(throw_except)]


def listed(fs: Futures) -> list[ResponseFuture]:
    """Return a future, or several, as a list.

    Raises:
        ConfigError: something else is given.
    """
    futures = list(fs) if isinstance(fs, Iterable) else [fs]
    for each in futures:
        if not isinstance(each, ResponseFuture):
            raise ConfigError(f"{each!r:.80} is no future of FunctionExecutor: pass one, or a list of them")
    return futures
