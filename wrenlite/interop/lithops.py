"""Lithops' ``FunctionExecutor``, futures and functions, on top of an executor.

``from wrenlite.interop.lithops import FunctionExecutor`` is the one line that a script changes. What differs
is listed in ``docs/coming-from-lithops.md``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from wrenlite.arguments import check_size
from wrenlite.backends.local import in_inline_task
from wrenlite.config import Config
from wrenlite.errors import ArgumentError, ConfigError
from wrenlite.executor import Executor
from wrenlite.interop.lithops_calls import OBJECT, Call, Task, bind, elements, parameters
from wrenlite.interop.lithops_futures import (
    ALL_COMPLETED,
    ALWAYS,
    ANY_COMPLETED,
    Futures,
    FuturesList,
    ResponseFuture,
    get_result,
    listed,
    wait,
)
from wrenlite.interop.lithops_objects import objects
from wrenlite.interop.lithops_storage import LOCAL, S3, CloudObject, Storage, StorageNoSuchKeyError
from wrenlite.retry import Retry
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

_AWS_LAMBDA = "aws_lambda"
_MODES = {None: None, "localhost": LOCAL, "serverless": _AWS_LAMBDA}
_UNUSED = ("runtime", "runtime_memory", "worker_processes", "monitoring", "log_level")
"""Options of Lithops without a meaning here: ``wrenlite-setup`` sets what the function has."""

_OF_BOTH = ("extra_env", "timeout", "retries", "include_modules")
"""Options of ``map_reduce`` for the map and for the reduction."""

_log = logging.getLogger("wrenlite")


@public
class FunctionExecutor(ByReference):
    """Lithops' executor. ``executor`` is the wrenlite executor below it, and ``storage`` its storage.

    In what is mapped it becomes the executor of the task, as an ``Executor`` does.
    """

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
        _check_options(config, config_file, executor, unused)
        config = dict(config or {})
        chosen = config.get("lithops") or {}
        backend = backend or _backend_of(mode) or chosen.get("backend") or _backend_of(chosen.get("mode"))
        section = config.get(backend or "") or {}
        check_size("max_workers", max_workers)
        self.executor = executor or _connect(backend, max_workers or section.get("max_workers"), config)
        self.config = config
        self.backend = _AWS_LAMBDA if self._bucket else LOCAL
        self.storage = self._storage(storage or chosen.get("storage"), config)
        self.executor_id = f"{os.getpid():x}-{id(self):x}"
        self.futures: list[ResponseFuture] = []
        """All futures so far."""
        self.last_call = ""
        self._timeout = runtime_timeout or section.get("runtime_timeout")

    def _refer(self, references: References) -> Any:
        return _of_task, (self.executor, self.storage)

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
        [future] = self._map(func, [data], is_one=True, **options)[0]
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
        extra_args_reduce: Sequence[Any] | None = None,
        obj_reduce_by_key: bool = False,
        spawn_reducer: int = 20,
        **options: Any,
    ) -> FuturesList:
        """Run a function for each element of the data, and another one for the list of the values.

        Args:
            map_function: as for ``map``.
            map_iterdata: as for ``map``.
            reduce_function: takes the list of values as its first argument.
            extra_args_reduce: further arguments of it: a tuple.
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
        reduced = self._start(reduce_function, calls, kept, reduces=True)
        for future in mapped:
            future._produce_output = False
        self.last_call = "map_reduce"
        return FuturesList([*mapped, *reduced], self)

    # Waiting

    def wait(
        self, fs: Futures | None = None, throw_except: bool = True, **options: Any
    ) -> tuple[FuturesList, FuturesList]:
        """Wait for futures, as the function ``wait``. None: all of this executor that were not read yet."""
        found = self._unread() if fs is None else listed(fs)
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
        futures = self._unread() if fs is None else listed(fs)
        whole = futures if fs is None else []
        for future in whole:
            future._read = True
        try:
            values = get_result(futures, throw_except, timeout)
        except TimeoutError:  # of the wait, or of a task
            is_of_task = throw_except and any(each.error for each in whole)
            for future in whole:
                future._read = is_of_task
            raise
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

        futures = self.futures if fs is None else listed(fs)
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
        is_one: bool = False,
        **options: Any,
    ) -> tuple[FuturesList, list[int]]:
        """Start the calls of a map. Return their futures, and how many of them each object has."""
        _check_parts(obj_chunk_size, obj_chunk_number, obj_newline)
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
        sizes = [len(each) for each in groups]
        if is_one and sum(sizes) != 1:
            raise ArgumentError(
                f"obj={data[0]!r:.80}: call_async takes one object, and not {sum(sizes)}: use map"
            )
        return self._start(function, list(chain(*groups)), options), sizes

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
        reduces: bool = False,
    ) -> FuturesList:
        task = Task(function, self.storage, chained=chained, reduces=reduces)
        job = self.executor.map(task, list(enumerate(calls)), **_map_options(options, self._timeout))
        futures = FuturesList((ResponseFuture(each, self) for each in job), self)
        self.futures.extend(futures)
        return futures


def _check_parts(size: Any, number: Any, newline: Any) -> None:
    """Check how objects are to be divided.

    Raises:
        ConfigError: a value cannot be used.
    """
    check_size("obj_chunk_size", size or None)
    check_size("obj_chunk_number", number or None)
    if newline is not None and not (isinstance(newline, str) and len(newline.encode()) <= 1):
        raise ArgumentError(
            f"obj_newline={newline!r:.40}: must be one character of ASCII, or None. Lines that end with "
            r"'\r\n' end with '\n', which is the default"
        )


def _of_task(executor: Executor, storage: Storage) -> FunctionExecutor:
    """Return what an executor becomes in a task that it was sent to."""
    made = FunctionExecutor(executor=executor)
    made.storage = storage
    return made


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


def _check_options(
    config: object, config_file: str | None, executor: object, unused: Mapping[str, Any]
) -> None:
    if not isinstance(config, Mapping | None):
        raise ConfigError(f"config={config!r:.80}: must be a dict of Lithops' form")
    if not isinstance(executor, Executor | None):
        raise ConfigError(f"executor={executor!r:.80}: must be an Executor of wrenlite")
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
    if configured == "inline" or in_inline_task():
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
        retries: int | Retry | None = None,
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
