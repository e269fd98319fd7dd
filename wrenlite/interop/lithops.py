"""Lithops' ``FunctionExecutor``, futures and functions, on top of an executor.

``from wrenlite.interop.lithops import FunctionExecutor`` is the one line that a script changes. What differs
is listed in ``docs/coming-from-lithops.md``.
"""

from __future__ import annotations

import concurrent.futures
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from wrenlite.config import Config
from wrenlite.errors import ArgumentError, ConfigError, DependencyFailed
from wrenlite.executor import Executor
from wrenlite.futures import Future
from wrenlite.interop.lithops_calls import OBJECT, Call, Returned, Task, bind, elements, parameters
from wrenlite.interop.lithops_objects import objects
from wrenlite.interop.lithops_storage import LOCAL, S3, CloudObject, Storage, StorageNoSuchKeyError
from wrenlite.interop.pywren import as_completed
from wrenlite.serialize.by_reference import ByReference, References
from wrenlite.serialize.traceback_stubs import public

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "ALL_COMPLETED",
    "ALWAYS",
    "ANY_COMPLETED",
    "CloudObject",
    "FunctionExecutor",
    "FuturesList",
    "LocalhostExecutor",
    "ResponseFuture",
    "RetryingFunctionExecutor",
    "ServerlessExecutor",
    "Storage",
    "StorageNoSuchKeyError",
    "get_result",
    "wait",
]

ALWAYS, ANY_COMPLETED, ALL_COMPLETED = 0, -1, 100
"""Values of ``return_when=``: at once, after the first, and after all. A number is a percentage."""

_AWS_LAMBDA = "aws_lambda"
_MODES = {None: None, "localhost": LOCAL, "serverless": _AWS_LAMBDA}
_UNUSED = ("runtime", "runtime_memory", "worker_processes", "monitoring", "log_level")
"""Options of Lithops without a meaning here: ``wrenlite-setup`` sets what the function has."""

_OF_BOTH = ("extra_env", "timeout", "retries", "include_modules")
"""Options of ``map_reduce`` for the map and for the reduction."""

_log = logging.getLogger("wrenlite")


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
        values = self._values(throw_except, timeout)
        return values if self.futures and self._future.result().is_list else values[0]

    def _values(self, throw_except: bool = True, timeout: float | None = None) -> list[Any]:
        """Return the value of the call in a list, or the values of the futures that it has returned."""
        ok, value = self._outcome(timeout)
        outcomes = value.outcomes if ok and isinstance(value, Returned) else [(ok, value)]
        for succeeded, error in outcomes:
            if throw_except and not succeeded:
                raise error
        return [each if succeeded else None for succeeded, each in outcomes]

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


@public
class FunctionExecutor:
    """Lithops' executor. ``executor`` is the wrenlite executor below it, and ``storage`` its storage."""

    def __init__(
        self,
        mode: str | None = None,
        config: Mapping[str, Any] | None = None,
        config_file: str | None = None,
        backend: str | None = None,
        storage: str | None = None,
        *,
        max_workers: int | None = None,
        runtime_timeout: float | None = None,
        executor: Executor | None = None,
        **unused: Any,
    ) -> None:
        """Create an executor.

        Args:
            mode: ``localhost`` or ``serverless``.
            config: a configuration of Lithops. Its choice of backend and storage, the limit of workers, and
                the region are used.
            config_file: not supported.
            backend: ``localhost`` or ``aws_lambda``; default: what wrenlite's own configuration says. Within
                a task everything runs in that task.
            storage: ``localhost`` or ``aws_s3``; default: where the backend is.
            max_workers: calls at once.
            runtime_timeout: seconds that a call may take; default: as long as the backend allows.
            executor: the wrenlite executor to use; default: a new one.
            unused: options that have no meaning here, such as ``runtime_memory``. A log message names them.

        Raises:
            ConfigError: an option cannot be used.
        """
        _check_options(config_file, unused)
        config = dict(config or {})
        chosen = config.get("lithops") or {}
        backend = backend or _backend_of(mode) or chosen.get("backend") or _backend_of(chosen.get("mode"))
        section = config.get(backend or "") or {}
        self.executor = executor or _connect(backend, max_workers or section.get("max_workers"), config)
        self.config = config
        self.backend = _AWS_LAMBDA if self._bucket else LOCAL
        self.storage = self._storage(storage or chosen.get("storage"), config)
        self.executor_id = f"{os.getpid():x}-{id(self):x}"
        self.futures: list[ResponseFuture] = []
        """All futures so far."""
        self.last_call = ""
        self._timeout = runtime_timeout or section.get("runtime_timeout")

    def __enter__(self) -> FunctionExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.shutdown()

    @property
    def _bucket(self) -> str:
        return getattr(self.executor.backend.store, "bucket", "")

    def _storage(self, kind: str | None, config: dict[str, Any]) -> Storage:
        if self._bucket and kind in (None, S3):
            prefix = getattr(self.executor.backend.store, "prefix", "")
            return Storage(config, S3, bucket=self._bucket, prefix=prefix)
        return Storage(config, kind or None)

    # Running calls

    def call_async(self, func: Callable[..., Any], data: Any, **options: Any) -> ResponseFuture:
        """Run a function once: ``data`` is one element of what ``map`` takes, and options are those of it."""
        [future] = self._map(func, [data], **options)[0]
        self.last_call = "call_async"
        return future

    def map(
        self, map_function: Callable[..., Any], map_iterdata: Iterable[Any] | str, **options: Any
    ) -> FuturesList:
        """Run a function for each element of the data. Returns at once.

        Args:
            map_function: the function. A parameter ``id`` gets the number of the call, ``storage`` a
                ``Storage``, and ``obj`` an object that the data names.
            map_iterdata: tuples, which are spread over the parameters; dicts, over their names; or first
                arguments. Futures stand for their values. For ``obj``: addresses of objects and folders.
            options: ``chunksize``, ``extra_args``, ``extra_env``, ``timeout`` (seconds), ``retries``,
                ``include_modules``; for objects ``obj_chunk_size`` (bytes), ``obj_chunk_number`` and
                ``obj_newline``. ``runtime_memory`` and ``exclude_modules`` have no effect.

        Raises:
            ArgumentError: the function does not take an element of the data, or an option is unknown.
            WrenliteError: as for ``Executor.map``.
        """
        futures, _ = self._map(map_function, map_iterdata, **options)
        self.last_call = "map"
        return futures

    def map_reduce(
        self,
        map_function: Callable[..., Any],
        map_iterdata: Iterable[Any] | str,
        reduce_function: Callable[..., Any],
        *,
        extra_args_reduce: Sequence[Any] | Mapping[str, Any] | None = None,
        obj_reduce_by_key: bool = False,
        spawn_reducer: int = 20,
        **options: Any,
    ) -> FuturesList:
        """Run a function for each element of the data, and another one for the list of the values.

        Args:
            map_function: as for ``map``.
            map_iterdata: as for ``map``.
            reduce_function: takes the list of values as its first argument.
            extra_args_reduce: further arguments of it: a tuple, or a dict.
            obj_reduce_by_key: reduce the values of each object apart.
            spawn_reducer: not used: a reduction starts when its values are there, and waits at no cost.
            options: as for ``map``.

        Returns:
            The futures of the map, and behind them that of the reduction, or those of the reductions.
        """
        mapped, sizes = self._map(map_function, map_iterdata, **options)
        lists = _divided(mapped, sizes) if obj_reduce_by_key and sizes else [list(mapped)]
        found = elements([(each,) for each in lists], extra_args_reduce)
        calls = [bind(reduce_function, each, place) for place, each in enumerate(found)]
        kept = {name: options[name] for name in _OF_BOTH if name in options}
        reduced = self._start(reduce_function, calls, kept)
        for future in mapped:
            future._produce_output = False
        self.last_call = "map_reduce"
        return FuturesList([*mapped, *reduced], self)

    # Waiting

    def wait(
        self, fs: Futures | None = None, throw_except: bool = True, **options: Any
    ) -> tuple[FuturesList, FuturesList]:
        """Wait for futures, as the function ``wait``. None: all of this executor that were not read yet."""
        found = self._unread() if fs is None else _listed(fs)
        return wait(FuturesList(found, self), throw_except, **options)

    def get_result(
        self, fs: Futures | None = None, throw_except: bool = True, timeout: float | None = None, **_: Any
    ) -> Any:
        """Wait for futures, and return their values, in order.

        Args:
            fs: the futures; None: all of this executor whose values nobody has got by this method yet.
            throw_except: raise the exception of a call that has failed; otherwise its value is None.
            timeout: seconds to wait at most.

        Returns:
            A list; the value itself where there is one, and the last call was not ``map``.
        """
        futures = self._unread() if fs is None else _listed(fs)
        if fs is None:
            for future in futures:
                future._read = True
        values = get_result(futures, throw_except, timeout)
        return values[0] if len(values) == 1 and self.last_call != "map" else values

    def _unread(self) -> list[ResponseFuture]:
        return [each for each in self.futures if not each._read]

    # Everything else

    def plot(
        self,
        fs: Futures | None = None,
        dst: str | None = None,
        figsize: tuple[float, float] = (10, 6),
    ) -> Figure:
        """Draw when the calls waited and ran, and how many ran at once.

        Args:
            fs: the futures; None: all of this executor.
            dst: where to save the picture: the beginning of a path, to which ``_timeline.png`` is added.
            figsize: size in inches.

        Raises:
            PackageMissing: matplotlib is not installed.
        """
        from wrenlite.display.timeline import timeline

        futures = self.futures if fs is None else _listed(fs)
        stats = [each._future.stats()._replace(task=place) for place, each in enumerate(futures)]
        figure = timeline(stats, f"{len(futures):,} calls on {self.executor.backend.name}", time.time())
        figure.set_size_inches(*figsize)
        if dst is not None:
            figure.savefig(f"{os.path.expanduser(dst)}_timeline.png")
        return figure

    def clean(
        self,
        fs: object = None,
        cs: Iterable[CloudObject] | None = None,
        **_: Any,
    ) -> None:
        """Delete objects of ``put_cloudobject``. Nothing else is left behind that needs cleaning.

        Args:
            fs: not used: values are freed with their futures.
            cs: the objects.
        """
        self.storage.delete_cloudobjects(cs or ())

    # Inside

    def _map(
        self,
        function: Callable[..., Any],
        data: Any,
        *,
        extra_args: Any = None,
        obj_chunk_size: int | None = None,
        obj_chunk_number: int | None = None,
        obj_newline: str | None = "\n",
        **options: Any,
    ) -> tuple[FuturesList, list[int]]:
        """Start the calls of a map. Return their futures, and how many of them each object has."""
        signature = parameters(function)
        takes_object = bool(signature and OBJECT in signature.parameters)
        found = elements([data] if takes_object and isinstance(data, str) else data, extra_args)
        sources = [each for each in found if isinstance(each, ResponseFuture)]
        if sources:
            self._check_sources(sources, found, extra_args)
            return self._start(function, found, options, chained=True), []
        calls = [bind(function, each, place) for place, each in enumerate(found)]
        if not (signature and takes_object):
            return self._start(function, calls, options), []
        groups = []
        for call in calls:
            given = signature.bind_partial(*call.args, **call.kwargs).arguments
            for whole in objects(given[OBJECT], self.storage):
                parts = whole.divided(obj_chunk_size, obj_chunk_number, obj_newline)
                groups.append([Call((), {**given, OBJECT: part}) for part in parts])
        return self._start(function, list(chain(*groups)), options), [len(each) for each in groups]

    def _check_sources(self, sources: list[ResponseFuture], found: list[Any], extra_args: Any) -> None:
        if len(sources) < len(found):
            raise ArgumentError("the data has futures and other elements: make two maps of it")
        if extra_args:
            raise ArgumentError("extra_args: a function that takes values of other calls takes no more")
        for source in sources:
            source._produce_output = False

    def _start(
        self,
        function: Callable[..., Any],
        calls: list[Any],
        options: dict[str, Any],
        *,
        chained: bool = False,
    ) -> FuturesList:
        task = Task(function, self.storage, chained=chained)
        job = self.executor.map(task, list(enumerate(calls)), **_map_options(options, self._timeout))
        futures = FuturesList((ResponseFuture(each, self) for each in job), self)
        self.futures.extend(futures)
        return futures


def _map_options(options: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    """Return the options of ``Executor.map`` for those of Lithops.

    Raises:
        ArgumentError: an option is unknown.
    """
    given = dict(options)
    for name in ("runtime_memory", "map_runtime_memory", "reduce_runtime_memory", "exclude_modules"):
        given.pop(name, None)
    known = {
        "chunksize": given.pop("chunksize", None),
        "env": given.pop("extra_env", None),
        "timeout": given.pop("timeout", None) or timeout,
        "retries": given.pop("retries", None) or 0,
        "modules": given.pop("include_modules", None) or (),
    }
    if given:
        raise ArgumentError(
            f"unknown options: {', '.join(given)}; help(FunctionExecutor.map) lists those it takes"
        )
    return known


def _divided(futures: FuturesList, sizes: list[int]) -> list[list[ResponseFuture]]:
    """Return the futures in lists of these sizes."""
    left = iter(futures)
    return [[next(left) for _ in range(size)] for size in sizes]


def _check_options(config_file: str | None, unused: Mapping[str, Any]) -> None:
    if config_file is not None:
        raise ConfigError(
            f"config_file={config_file!r:.80}: a file of Lithops is not read. wrenlite-setup writes "
            "wrenlite's own configuration; config= takes a dict of Lithops' form"
        )
    unknown = [name for name in unused if name not in _UNUSED]
    if unknown:
        raise ConfigError(f"unknown options of FunctionExecutor: {', '.join(unknown)}")
    if unused:
        _log.info("these options of Lithops have no effect: %s", ", ".join(unused))


def _backend_of(mode: str | None) -> str | None:
    if mode not in _MODES:
        raise ConfigError(f"mode={mode!r:.80}: must be 'localhost' or 'serverless'")
    return _MODES[mode]


def _connect(backend: str | None, workers: int | None, config: Mapping[str, Any]) -> Executor:
    """Make the executor that a backend of Lithops means. Within a task it runs everything in that task."""
    configured = Config.load().backend
    if configured == "inline":
        return Executor.inline()
    kind = backend or (_AWS_LAMBDA if configured == "aws" else LOCAL)
    if kind == LOCAL:
        return Executor.local(workers)
    if kind == _AWS_LAMBDA:
        region = (config.get(_AWS_LAMBDA) or {}).get("region") or (config.get("aws") or {}).get("region")
        return Executor.aws(max_concurrency=workers, region=region)
    raise ConfigError(f"backend {kind!r:.80}: must be {LOCAL!r} or {_AWS_LAMBDA!r}")


class LocalhostExecutor(FunctionExecutor):
    """An executor on this machine's cores."""

    def __init__(self, config: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Create an executor. Options are those of ``FunctionExecutor``."""
        super().__init__(config=config, **{"backend": LOCAL, **options})


class ServerlessExecutor(FunctionExecutor):
    """An executor on AWS Lambda."""

    def __init__(self, config: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Create an executor. Options are those of ``FunctionExecutor``."""
        super().__init__(config=config, **{"backend": _AWS_LAMBDA, **options})


class RetryingFunctionExecutor:
    """Lithops' executor whose calls run again when they fail: ``retries`` is an option of ``map``."""

    def __init__(self, executor: FunctionExecutor) -> None:
        """Create one on top of an executor."""
        self.executor = executor

    def __enter__(self) -> RetryingFunctionExecutor:
        return self

    def __exit__(self, *error: object) -> None:
        self.executor.__exit__(*error)

    def map(
        self,
        map_function: Callable[..., Any],
        map_iterdata: Iterable[Any] | str,
        retries: int | None = None,
        **options: Any,
    ) -> FuturesList:
        """Run a function for each element, as ``FunctionExecutor.map``, with further attempts."""
        default = (self.executor.config.get("lithops") or {}).get("retries", 0)
        return self.executor.map(
            map_function, map_iterdata, retries=default if retries is None else retries, **options
        )

    def wait(self, *args: Any, **options: Any) -> tuple[FuturesList, FuturesList]:
        """Wait for futures, as ``FunctionExecutor.wait``."""
        return self.executor.wait(*args, **options)

    def clean(self, *args: Any, **options: Any) -> None:
        """Delete objects, as ``FunctionExecutor.clean``."""
        self.executor.clean(*args, **options)


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
    futures = _listed(fs)
    needed = 1 if return_when == ANY_COMPLETED else math.ceil(len(futures) * return_when / 100)
    by_future = {each._future: each for each in futures}
    for ended, future in enumerate(as_completed(by_future, timeout) if needed else (), start=1):
        if throw_except:
            by_future[future]._values()
        if ended >= needed:
            break
    owner = fs._executor if isinstance(fs, FuturesList) else None
    done = [each for each in futures if each.done]
    return FuturesList(done, owner), FuturesList([each for each in futures if each not in done], owner)


def get_result(fs: Futures, throw_except: bool = True, timeout: float | None = None, **_: Any) -> list[Any]:
    """Wait for futures, and return the list of their values. Arguments are those of ``wait``."""
    futures = _listed(fs)
    wait(futures, throw_except, timeout=timeout)
    return [value for each in futures if each._produce_output for value in each._values(throw_except)]


def _listed(fs: Futures) -> list[ResponseFuture]:
    return [fs] if isinstance(fs, ResponseFuture) else list(fs)
