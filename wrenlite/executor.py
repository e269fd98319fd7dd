"""``Executor``: what users hold. Checks and pickles a job, and hands it to the dispatcher."""

from __future__ import annotations

import logging
import os
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from numbers import Real
from operator import index
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

from wrenlite.backends import local
from wrenlite.backends.base import Backend
from wrenlite.backends.factory import connect
from wrenlite.config import Config, Progress
from wrenlite.cost import Cost
from wrenlite.errors import ConfigError, ExecutorClosed, FunctionNotPicklable
from wrenlite.futures import Future
from wrenlite.job import Job
from wrenlite.map_reduce import MapThenReduce
from wrenlite.protocol import Packed, Style
from wrenlite.scheduler.dispatcher import Dispatcher
from wrenlite.scheduler.pending import JobOptions, PendingJob
from wrenlite.serialize import modules
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.pickling import (
    Call,
    function_name,
    largest_parts,
    pack_call,
    pack_items,
)
from wrenlite.storage import refs
from wrenlite.storage.refs import Ref
from wrenlite.storage.uploads import Uploads

if TYPE_CHECKING:
    from wrenlite.interop.concurrent import Pool

_log = logging.getLogger("wrenlite")
_log.addHandler(logging.NullHandler())  # quiet unless the program or WRENLITE_LOGLEVEL says otherwise


class Executor:
    """Maps functions over data, on this machine's cores.

    ::

        executor = wrenlite.Executor()
        job = executor.map(fn, data)      # returns at once
        job.results()                     # values in input order; or job[3].result()

    Delivery is at-least-once: a task whose worker was lost may have run before.
    """

    def __init__(self, backend: Backend | None = None, *, progress: Progress | None = None) -> None:
        """Args:
        backend: what to run on; default: what the configuration says, else ``Executor.local()``.
        progress: a progress line: ``"auto"`` (on a terminal), True or False.
        """
        if backend is not None and not isinstance(backend, Backend):
            raise ConfigError(
                f"Executor({backend!r}): not a backend. Executor.local(4) takes workers, Executor.aws() runs "
                "on Lambda, and Executor() where the configuration says"
            )
        config = Config.load(progress=progress)
        config.log_to_stderr()
        self.backend = backend or connect(config)
        self._progress = config.progress
        self._uploads = Uploads(self.backend.store, own=self.backend.own_store)
        self._dispatcher = Dispatcher(self.backend)
        self._owner = os.getpid()
        self._closed = False
        self._announced = False
        self._module_names: frozenset[str] = frozenset()
        self._finalizer = weakref.finalize(self, _close, self._dispatcher, self._owner)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an executor cannot travel; Executor() inside the task runs there, in that task")

    @classmethod
    def local(
        cls,
        workers: int | None = None,
        *,
        memory_limit: int | str | None = None,
        progress: Progress | None = None,
    ) -> Executor:
        """Worker processes on this machine.

        Args:
            workers: how many; default: one a core.
            memory_limit: what each may hold, in bytes or as ``"2GB"`` (enforced on Linux).
            progress: as for ``Executor``.
        """
        config = Config.load(backend="local", workers=workers, memory_limit=memory_limit)
        return cls(connect(config), progress=progress)

    @classmethod
    def inline(cls) -> Executor:
        """The calling thread, for the debugger: ``map`` returns when everything has run.

        Output goes where it always goes, and ``timeout=`` cannot be enforced.
        """
        return cls(local.connect_inline(), progress=False)

    @classmethod
    def aws(
        cls,
        *,
        profile: str | None = None,
        region: str | None = None,
        bucket: str | None = None,
        bucket_owner: str | None = None,
        prefix: str | None = None,
        function: str | None = None,
        endpoint_url: str | None = None,
        max_concurrency: int | None = None,
        budget: float | None = None,
        progress: Progress | None = None,
    ) -> Executor:
        """AWS Lambda. What is not given comes from the configuration.

        Args:
            profile: of the AWS configuration files; default: boto3's own chain.
            region: such as ``eu-west-1``; default: the profile's.
            bucket: where functions and large values go.
            bucket_owner: the account that the bucket must belong to; default: the function's.
            prefix: what keys in the bucket begin with.
            function: the Lambda function's name; default: ``wrenlite``.
            endpoint_url: of servers that speak AWS's protocols in place of AWS.
            max_concurrency: invocations at once; default: what the account allows.
            budget: dollars. Nothing more is sent once they are spent: tasks that have not run fail with
                BudgetExceeded. An estimate: what is in flight then is finished, and of tasks about which
                nothing is known as many are sent as could all run into the function's time limit, or one.
            progress: as for ``Executor``.

        Raises:
            ConfigError: a setting is missing or cannot be.
            BackendError: nothing can run there; the message has the mend. A bucket that is not there is
                noticed by the first ``map``, which raises StoreError.
        """
        config = Config.load(
            backend="aws",
            profile=profile,
            region=region,
            bucket=bucket,
            bucket_owner=bucket_owner,
            prefix=prefix,
            function=function,
            endpoint_url=endpoint_url,
            max_concurrency=max_concurrency,
            budget=budget,
        )
        return cls(connect(config), progress=progress)

    def __repr__(self) -> str:
        return f"<Executor on {self.backend.name}{', shut down' if self._closed else ''}>"

    def _repr_html_(self) -> str:
        from wrenlite.display.reprs import executor_html  # upwards, see pyproject.toml

        return executor_html(self)

    def map(
        self,
        fn: Callable[..., Any],
        data: Iterable[Any],
        *,
        chunksize: int | None = None,
        retries: int = 0,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Job:
        """Run ``fn(item, *args, **kwargs)`` for each item of ``data``. Returns at once.

        Args:
            fn: any callable; it is pickled now, with what it closes over.
            data: any iterable; it is exhausted and pickled now. A tuple is one argument.
            chunksize: tasks a batch; default: learnt from how long they take.
            retries: further attempts for a task that fails.
            timeout: seconds that one task may take.
            args: further positional arguments of every call.
            kwargs: keyword arguments of every call.
            env: environment variables of the tasks.
            progress: as for ``Executor``.

        Raises:
            FunctionNotPicklable, ItemNotPicklable, LocalExtension: it cannot travel.
            ConfigError: an argument that cannot be.
            ExecutorClosed: after ``shutdown``.
        """
        call = Call(fn, tuple(args), dict(kwargs or {}), Style.ITEM)
        return self._run(call, data, chunksize, retries, timeout, env, progress)

    def starmap(
        self,
        fn: Callable[..., Any],
        data: Iterable[Iterable[Any]],
        *,
        chunksize: int | None = None,
        retries: int = 0,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Job:
        """Run ``fn(*item, *args, **kwargs)`` for each item of ``data``; otherwise as ``map``."""
        call = Call(fn, tuple(args), dict(kwargs or {}), Style.STAR)
        return self._run(call, data, chunksize, retries, timeout, env, progress)

    def map_reduce(
        self,
        map_fn: Callable[..., Any],
        data: Iterable[Any],
        reduce_fn: Callable[[Iterator[Any]], Any],
        *,
        chunksize: int | None = None,
        retries: int = 0,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Future:
        """Run ``map_fn`` as ``map`` does, and then ``reduce_fn(values)`` once, on a worker.

        The values go from worker to worker through the store, never through this process: each is one object,
        written and read. So where values are a few numbers, ``map`` and reducing here is faster and cheaper.

        Args:
            map_fn: as ``fn`` of ``map``.
            data: as for ``map``.
            reduce_fn: takes an iterator of the values in input order, which fetches them as it goes on and
                holds few at a time. Of no items it takes an empty one.
            chunksize: as for ``map``.
            retries: as for ``map``, and for the reduction too.
            timeout: as for ``map``, and for the reduction too.
            args: further positional arguments of ``map_fn``.
            kwargs: keyword arguments of ``map_fn``.
            env: environment variables of all tasks.
            progress: as for ``Executor``.

        Returns:
            The future of the reduction, the last task of one job, ``future.job``. Once a task has failed
            the future has its exception; the other tasks go on and keep their values. To cancel the future
            leaves the tasks running; ``future.job.cancel()`` cancels all.

        Raises what ``map`` raises.
        """
        check_callable("map_fn", map_fn)
        check_callable("reduce_fn", reduce_fn)
        call = Call(MapThenReduce(map_fn, reduce_fn), tuple(args), dict(kwargs or {}), Style.ITEM)
        return self._run(call, data, chunksize, retries, timeout, env, progress)[-1]

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Run ``fn(*args, **kwargs)`` once."""
        return self._run(Call(fn, (), {}, Style.CALL), [(args, kwargs)])[0]

    def call_async(
        self, func: Callable[..., Any], data: Any, extra_env: Mapping[str, str] | None = None
    ) -> Future:
        """PyWren's name for one task: ``func(data)``."""
        return self.map(func, [data], env=extra_env)[0]

    def put(self, obj: Any) -> Ref:
        """Upload an object once, to be passed to many tasks.

        Pass the ``Ref`` in place of the object, inside any argument or closed over: tasks get the object,
        which is fetched once a worker. Tasks must not change it, since those of a worker share it.

        Raises:
            ItemNotPicklable: it cannot travel.
            StoreError: it could not be stored.
        """
        self._check_open()
        parcel = refs.pack(obj)
        self._uploads.upload_object(parcel)
        self._module_names |= parcel.modules
        return parcel.ref

    @property
    def cost(self) -> Cost:
        """What all jobs of this executor cost so far, on AWS; an estimate. Zero dollars on local cores."""
        return self._dispatcher.cost

    def as_concurrent(self) -> Pool:
        """This executor as a ``concurrent.futures.Executor``, for libraries that take one."""
        from wrenlite.interop.concurrent import Pool  # upwards, see pyproject.toml

        return Pool(self)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work and release the workers once everything has ended.

        Args:
            wait: come back only then.
            cancel_futures: cancel what has not ended, also what runs.
        """
        self._closed = True
        if cancel_futures:
            self._dispatcher.cancel_all()
        self._finalizer()
        if wait:
            self._dispatcher.join()

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        self.shutdown(cancel_futures=interrupted)

    def _run(
        self,
        call: Call,
        data: Iterable[Any],
        chunksize: int | None = None,
        retries: int = 0,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Job:
        self._check_open()
        self._uploads.delete_unreachable_values()
        check_callable("fn", call.function)
        check_options(chunksize, retries, timeout, env)
        longest = self.backend.longest_s
        if timeout is not None and longest is not None and timeout > longest:
            raise ConfigError(f"timeout={timeout:g}: the Lambda function's limit leaves a task {longest:g} s")
        names = ClassTable(grows=True)
        items = pack_items(data, names)
        reduces = isinstance(call.function, MapThenReduce)
        code, shipped = self._put_code(call, names) if items or reduces else ("", None)
        options = JobOptions(code, shipped, dict(env or {}), chunksize, retries, timeout, reduces)
        return self._submit(function_name(call.function), items, names, options, progress)

    def _put_code(self, call: Call, names: ClassTable) -> tuple[str, str | None]:
        blob = pack_call(call, names)
        most = self.backend.code_bytes
        if most is not None and len(blob) > most:
            raise FunctionNotPicklable(
                f"the function {function_name(call.function)} is {len(blob) / 2**20:,.1f} MB pickled, and "
                f"{most / 2**20:,.0f} MB travel at most. In it: {largest_parts(call)}. executor.put(...) "
                "uploads a large object once; use what it returns in its place"
            )
        # Modules of earlier jobs go along, so that jobs that take turns share one zip and its workers.
        bundle = modules.collect(names.modules | self._module_names)
        if bundle is not None:
            self._module_names = bundle.names
        return self._uploads.acquire(blob), self._uploads.acquire(bundle.blob) if bundle else None

    def _submit(
        self,
        name: str,
        items: list[Packed],
        names: ClassTable,
        options: JobOptions,
        progress: Progress | None,
    ) -> Job:
        word = re.sub(r"\W+", "-", name).strip("-") or "job"
        job = Job(
            f"{word}-{os.urandom(3).hex()}",
            name,
            self.backend,
            len(items) + options.reduces,
            names.entries,
            self._dispatcher,
        )
        if not len(job):
            return job
        if options.reduces:
            self._uploads.delete_values_after(job, job.id)
        if not self._announced:
            self._announced = True
            _log.info("running on %s", self.backend.name)
        try:
            held = [name for name in (options.code, options.modules) if name]
            release, restore = partial(self._uploads.release, held), partial(self._uploads.upload_again, held)
            self._dispatcher.submit(PendingJob(job, items, options, release, restore))
            wanted = self._progress if progress is None else progress
            if wanted is not False:
                job.drawn = _show(job, asked=wanted is True)
        except BaseException:
            job.cancel()  # nobody else has it
            raise
        return job

    def _check_open(self) -> None:
        if self._closed:
            raise ExecutorClosed("this executor was shut down; make a new one")
        if os.getpid() != self._owner:
            raise ExecutorClosed(
                f"this executor belongs to process {self._owner}, which forked this one; make a new one"
            )


def _show(job: Job, *, asked: bool) -> Callable[[], None]:
    """Draw a job while it runs: a panel in a notebook, otherwise lines on stderr.

    Args:
        job: the job to draw.
        asked: whether the user asked for it. Then stderr gets the moving line even where it is no terminal.

    Returns:
        A function that waits until the end of the job is drawn.
    """
    from wrenlite.display import panel, terminal  # upwards, see pyproject.toml

    return panel.watch(job) if panel.in_notebook() else terminal.watch(job, asked)


def _close(dispatcher: Dispatcher, owner: int) -> None:
    if os.getpid() == owner:
        dispatcher.close()


def check_callable(name: str, value: object) -> None:
    """Raises ConfigError for an argument of that name that cannot be called."""
    if not callable(value):
        raise ConfigError(f"{name}={value!r}: must be callable")


def check_options(
    chunksize: int | None, retries: int, timeout: float | None, env: Mapping[str, str] | None
) -> None:
    """Raises ConfigError for an option of ``map`` that cannot be."""
    if chunksize is not None and (not isinstance(chunksize, SupportsIndex) or index(chunksize) < 1):
        raise ConfigError(f"chunksize={chunksize!r}: must be a whole number from 1, or None")
    if not isinstance(retries, SupportsIndex) or index(retries) < 0:
        raise ConfigError(f"retries={retries!r}: must be a whole number from 0")
    if timeout is not None and not (isinstance(timeout, Real) and timeout > 0):
        raise ConfigError(f"timeout={timeout!r}: must be seconds above 0, or None")
    for key, value in (env or {}).items():
        texts = isinstance(key, str) and isinstance(value, str)
        if not texts or not key or "=" in key or "\0" in key + value:
            raise ConfigError(f"env[{key!r}]: names and values of environment variables are text without NUL")
