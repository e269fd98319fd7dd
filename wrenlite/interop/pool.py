"""``Pool`` and ``LambdaPool``: the interface of ``multiprocessing.pool.Pool``, on top of an executor."""

from __future__ import annotations

import pkgutil
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial, wraps
from types import TracebackType
from typing import Any, NoReturn, Self

from wrenlite.arguments import MapOptions, check_size, packed_initializer
from wrenlite.backends.factory import connect
from wrenlite.backends.local import in_inline_task
from wrenlite.config import Config
from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.futures import Future
from wrenlite.interop.concurrent import held
from wrenlite.interop.pool_results import AsyncResult, Callback, PoolIterator
from wrenlite.job import Job
from wrenlite.lazy_map import LazyValues
from wrenlite.serialize.by_reference import ByReference, References
from wrenlite.serialize.traceback_stubs import public

_AHEAD = 1024
"""Items that ``imap`` reads ahead of the values, at least."""
Function = Callable[..., Any] | str
Initializer = Callable[..., object] | None


@public
class Pool(ByReference):
    """A pool with the interface of ``multiprocessing.pool.Pool``, on local workers or where it is configured.

    Functions may be given by dotted names, too, such as ``"math.factorial"``.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Initializer = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: object = None,
        *,
        executor: Executor | None = None,
    ) -> None:
        """Create a pool.

        Args:
            processes: calls that run at once; default: as many as ``Executor()`` runs.
            initializer: each worker calls it once; on Lambda before the first call of each function.
            initargs: the arguments of the initializer.
            maxtasksperchild: calls that a worker runs before a new one takes its place; not on Lambda.
            context: has no effect: workers are new processes on every system.
            executor: runs the calls, and stays open; default: a new one.

        Raises:
            ConfigError: an argument cannot be used. It is a ValueError. BackendError: nothing can run there.
        """
        if executor is not None and (processes or initializer or maxtasksperchild):
            raise ConfigError("executor= has its workers: give only that, or what the pool makes workers of")
        check_size("processes", processes)
        config = Config.load(workers=processes, max_concurrency=processes)
        config = replace(config, backend="inline") if in_inline_task() else config  # as Executor() does
        self._begin(config, initializer, initargs, maxtasksperchild, executor)

    def _begin(
        self,
        config: Config,
        initializer: Initializer,
        initargs: Iterable[Any],
        maxtasksperchild: int | None,
        executor: Executor | None = None,
        keys: tuple[str | None, ...] = (),
    ) -> None:
        check_size("maxtasksperchild", maxtasksperchild)
        initargs = tuple(initargs) if isinstance(initargs, Iterator) else initargs
        first = packed_initializer(initializer, initargs)
        is_remote = config.backend == "aws"
        if is_remote and maxtasksperchild is not None:
            raise ConfigError(f"maxtasksperchild={maxtasksperchild}: Lambda replaces its workers by itself")
        config = replace(config, max_tasks_per_worker=maxtasksperchild or config.max_tasks_per_worker)
        self._prepare: Callable[[Any], Any] = lambda function: function
        if is_remote and initializer is not None:
            self._prepare, first = partial(_initialized_by, initializer, tuple(initargs)), None
        self._is_running, self._is_own = True, executor is None
        self._executor = executor or Executor(connect(config, first, keys=keys))
        # There is no lock, since a signal handler may interrupt a call and end the pool.
        self._made: weakref.WeakValueDictionary[int, Job[Any] | Future[Any]] = weakref.WeakValueDictionary()
        self._results: weakref.WeakValueDictionary[int, AsyncResult] = weakref.WeakValueDictionary()
        self._iterated: dict[int, LazyValues[Any]] = {}

    def __repr__(self) -> str:
        state = "" if self._is_running else ", closed"
        return f"<{type(self).__name__} on {self._executor.backend.name}{state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a pool cannot be sent to another process, except in the function or the items of a job"
        )

    def _refer(self, references: References) -> Any:
        return partial(Pool, executor=self._executor), ()

    def apply(self, func: Function, args: Iterable[Any] = (), kwds: Mapping[str, Any] | None = None) -> Any:
        """Call a function on a worker, wait, and return its value."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Function,
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> AsyncResult:
        """Have a worker call a function. Returns at once.

        Args:
            func: the function, or its dotted name.
            args: positional arguments.
            kwds: keyword arguments.
            callback: is called here with the value.
            error_callback: is called here with the exception, if there is one.

        Raises:
            ValueError: the pool was closed. WrenliteError: as for ``Executor.map``.
        """
        call = (tuple(args), dict(kwds or {}))
        future = self._executor._submission.submit(self._function(func), call, MapOptions())
        return self._result(future, callback, error_callback)

    def map(self, func: Function, iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        """Call a function with each item, wait, and return the values in order."""
        return list(self.map_async(func, iterable, chunksize).get())

    def map_async(
        self,
        func: Function,
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> AsyncResult:
        """Have workers call a function with each item. Returns at once. Arguments as of ``apply_async``."""
        job = self._executor.map(self._function(func), iterable, chunksize=chunksize)
        return self._result(job, callback, error_callback)

    def starmap(
        self, func: Function, iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[Any]:
        """Call a function with the parts of each item, wait, and return the values in order."""
        return list(self.starmap_async(func, iterable, chunksize).get())

    def starmap_async(
        self,
        func: Function,
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> AsyncResult:
        """Have workers call a function with the parts of each item. Returns at once."""
        job = self._executor.starmap(self._function(func), iterable, chunksize=chunksize)
        return self._result(job, callback, error_callback)

    def imap(self, func: Function, iterable: Iterable[Any], chunksize: int = 1) -> PoolIterator:
        """Iterate over the values in order. Items are read while values are, about 1,000 ahead.

        Args:
            func: the function, or its dotted name.
            iterable: the items, which may be endless.
            chunksize: calls that travel together; 1: learned from how long they take.
        """
        return self._iterate(func, iterable, chunksize, ordered=True)

    def imap_unordered(self, func: Function, iterable: Iterable[Any], chunksize: int = 1) -> PoolIterator:
        """Iterate over the values in the order in which calls end; otherwise as ``imap``."""
        return self._iterate(func, iterable, chunksize, ordered=False)

    def close(self) -> None:
        """Take no more calls. Those that were made go on, as do the iterators of ``imap``."""
        self._is_running = self._executor._is_of_task

    def terminate(self) -> None:
        """Take no more calls, and cancel those that have not ended."""
        self._is_running = self._executor._is_of_task
        for values in list(self._iterated.values()):
            values.close()
        unfinished: dict[Job[Any], list[int]] = {}
        for made in held(self._made):
            if isinstance(made, Job):
                made.cancel()
            else:
                unfinished.setdefault(made.job, []).append(made.index)
        for job, tasks in unfinished.items():
            job.cancel_tasks(tasks)
        if self._is_own:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def join(self) -> None:
        """Wait for all calls, and their callbacks. What ``imap`` has not read yet is read.

        Raises:
            ValueError: the pool was neither closed nor terminated.
            RuntimeError: a callback of the pool calls this.
        """
        if self._is_running and not self._executor._is_of_task:
            raise ValueError("the pool still runs: close() or terminate() it before join()")
        for result in held(self._results):
            result._check_thread()
        for values in list(self._iterated.values()):
            values._read_all()
            values.job.wait()
        for result in [*map(AsyncResult, held(self._made)), *held(self._results)]:
            result.wait()
        if self._is_own:
            self._executor.shutdown()

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()

    def _check_running(self) -> None:
        if not self._is_running:
            raise ValueError("the pool was closed, and takes no more calls; make a new one")

    def _function(self, func: Function) -> Callable[..., Any]:
        self._check_running()
        function: Callable[..., Any] = self._prepare(resolved(func))
        return function

    def _result(
        self, made: Job[Any] | Future[Any], callback: Callback, error_callback: Callback
    ) -> AsyncResult:
        result = AsyncResult(made, callback, error_callback)
        self._made[id(made)] = made
        if callback or error_callback:
            self._results[id(result)] = result
        return result

    def _iterate(self, func: Function, iterable: Iterable[Any], size: int, *, ordered: bool) -> PoolIterator:
        check_size("chunksize", size)
        function, chunksize = self._function(func), None if size == 1 else size
        ahead = max(_AHEAD, 2 * self._executor.workers * size)
        values = self._executor.map(function, iterable, chunksize=chunksize, buffersize=ahead)
        values._go_on_after_errors(ordered=ordered)
        self._iterated[id(values)] = values
        values.job.add_done_callback(lambda _: self._iterated.pop(id(values), None))
        return PoolIterator(values)


@public
class LambdaPool(Pool):
    """A pool with the interface of ``multiprocessing.pool.Pool``, on AWS Lambda."""

    def __init__(
        self,
        workers: int = 10,
        lambda_entrypoint: str | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_region_name: str | None = None,
        *,
        aws_session_token: str | None = None,
        initializer: Initializer = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
    ) -> None:
        """Create a pool on a function that ``wrenlite-setup`` has deployed.

        Args:
            workers: invocations at once.
            lambda_entrypoint: name or ARN of the Lambda function; default: the configured one.
            aws_access_key_id: signs requests, and is kept nowhere else; default: boto3 finds credentials.
            aws_secret_access_key: belongs to it.
            aws_region_name: such as ``eu-west-1``; default: the configured one.
            aws_session_token: belongs to temporary keys.
            initializer: called on each worker before the first call of each function.
            initargs: the arguments of the initializer.
            maxtasksperchild: refused: Lambda replaces workers by itself.

        Raises:
            ConfigError: an argument cannot be used. It is a ValueError. BackendError: nothing can run there.
        """
        check_size("workers", workers)
        keys = aws_access_key_id, aws_secret_access_key, aws_session_token
        if bool(keys[0]) != bool(keys[1]) or (keys[2] and not keys[0]):
            raise ConfigError("aws_access_key_id= and aws_secret_access_key= belong together: give both")
        config = Config.load(
            backend="aws", function=lambda_entrypoint, region=aws_region_name, max_concurrency=workers
        )
        self._begin(config, initializer, initargs, maxtasksperchild, keys=keys)


def resolved(func: Function) -> Callable[..., Any]:
    """Return a function that was given as it is, or by its dotted name.

    Raises:
        ConfigError: this program has no function of that name.
    """
    if not isinstance(func, str):
        return func
    try:
        found = pkgutil.resolve_name(func)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"func={func!r}: {error}. Give the function itself, or a name that this program can import: "
            "'package.module.function'"
        ) from error
    if not callable(found):
        raise ConfigError(f"func={func!r}: that is no function, but {found!r:.80}")
    function: Callable[..., Any] = found
    return function


def _initialized_by(
    initializer: Callable[..., object], initargs: tuple[Any, ...], function: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a function that calls the initializer before its first call in each process."""
    is_first = True

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal is_first
        if is_first:
            initializer(*initargs)
            is_first = False
        return function(*args, **kwargs)

    return call
