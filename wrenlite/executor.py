"""``Executor``: the object that users hold. It checks and pickles a job, and hands it to the dispatcher."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, overload

from wrenlite import arguments, other_names
from wrenlite.arguments import MapOptions
from wrenlite.backends import local
from wrenlite.config import Progress
from wrenlite.cost import Cost
from wrenlite.estimate import Estimate
from wrenlite.futures import Future
from wrenlite.job import Job
from wrenlite.lazy_map import LazyValues
from wrenlite.lifetime import Lifetime
from wrenlite.map_reduce import MapThenReduce
from wrenlite.open_job import OpenJob
from wrenlite.protocol import Style
from wrenlite.retry import Retry
from wrenlite.serialize.by_reference import ByReference, References
from wrenlite.serialize.traceback_stubs import public
from wrenlite.storage.refs import Ref
from wrenlite.warming import Warmed, warm
from wrenlite.wrong_calls import explain_wrong_calls

if TYPE_CHECKING:
    from wrenlite.deploy.published import Published
    from wrenlite.interop.concurrent import ConcurrentExecutor

P = ParamSpec("P")
T = TypeVar("T")
"""What a task returns."""
V = TypeVar("V")
"""What a task of a ``map_reduce`` returns, for the reduction to take."""

logging.getLogger("wrenlite").addHandler(logging.NullHandler())  # quiet unless the program says otherwise


@public
class Executor(Lifetime, ByReference):
    """Maps functions over data: on this machine's cores, or on AWS Lambda.

    ::

        executor = wrenlite.Executor()
        job = executor.map(fn, data)      # returns at once
        job.results()                     # values in input order; or job[3].result()

    A task runs at least once: one whose worker was lost may have run before.
    """

    def __repr__(self) -> str:
        return f"<Executor on {self.backend.name}{', shut down' if self._submission.is_shut_down else ''}>"

    def _repr_html_(self) -> str:
        from wrenlite.display.reprs import executor_html  # upwards, see pyproject.toml

        return executor_html(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an executor cannot be sent to another process, except in the function or the items of a job, "
            "where it becomes the executor of the task. Executor() inside a task runs in that task, too"
        )

    def _refer(self, references: References) -> Any:
        return executor_of_task, ()

    if not TYPE_CHECKING:  # to type checkers, an unknown name stays an error

        def __getattr__(self, name: str) -> NoReturn:
            raise other_names.missing_attribute(self, name, other_names.EXECUTOR)

    # Running tasks

    @overload
    def map(
        self,
        fn: Callable[..., T],
        data: Iterable[Any],
        *,
        chunksize: int | None = None,
        buffersize: None = None,
        retries: int | Retry = 0,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        seed: int | None = None,
        modules: Iterable[str | ModuleType] = (),
        keep: bool = False,
        detach: bool = False,
        cache: bool = False,
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> Job[T]: ...
    @overload
    def map(
        self,
        fn: Callable[..., T],
        data: Iterable[Any],
        *,
        chunksize: int | None = None,
        buffersize: int,
        retries: int | Retry = 0,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        seed: int | None = None,
        modules: Iterable[str | ModuleType] = (),
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> LazyValues[T]: ...
    @explain_wrong_calls
    def map(
        self,
        fn: Callable[..., T],
        data: Iterable[Any],
        *,
        chunksize: int | None = None,
        buffersize: int | None = None,
        retries: int | Retry = 0,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        seed: int | None = None,
        modules: Iterable[str | ModuleType] = (),
        keep: bool = False,
        detach: bool = False,
        cache: bool = False,
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> Job[T] | LazyValues[T]:
        """Run ``fn(item, *args, **kwargs)`` for each item of ``data``. Returns at once.

        A future or a job of this executor in an item or an argument stands for its values: the task waits.

        Args:
            fn: any callable. It is pickled now, with what it closes over.
            data: any iterable, or a job. It is read and pickled now. ``starmap`` passes the parts of a tuple.
            chunksize: tasks per batch; default: learned from how long they take.
            buffersize: read endless data, so many items ahead at most. Returns an iterator of the values.
            retries: further attempts for a task that fails, or a ``Retry``; none after a permanent error.
            timeout: seconds that one task may take.
            args: further positional arguments of every call.
            kwargs: keyword arguments of every call.
            env: environment variables of the tasks.
            seed: give each task a random generator of its own, as ``rng=``: number ``n`` of numpy's
                ``SeedSequence(seed).spawn``; where ``rng`` is annotated so, or without numpy, a ``Random``.
            modules: local modules that only pickled bytes or computed names mention. Others are found.
            keep: leave large values in the store, for further maps: see ``Job.refs``.
            detach: the job goes on when this program ends: see ``Job.detach`` and ``wrenlite.attach``.
            cache: keep values, and run only what is new or was changed, also in other programs.
            progress: as for ``Executor``.
            logging: as for ``Executor``; default: as for this executor.

        Raises:
            NotPicklable: something cannot be pickled. LocalExtension: a compiled module is not installed.
            ConfigError: an argument cannot be used. ExecutorClosed: the executor was shut down.
        """
        options = MapOptions(chunksize, retries, timeout, args, kwargs, env, progress, seed, logging, modules)
        options = options._replace(keep=keep, detach=detach, cache=cache)
        return self._submission.run_or_read(fn, Style.ITEM, data, options, buffersize)

    @overload
    def starmap(
        self,
        fn: Callable[..., T],
        data: Iterable[Iterable[Any]],
        *,
        chunksize: int | None = None,
        buffersize: None = None,
        retries: int | Retry = 0,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        seed: int | None = None,
        modules: Iterable[str | ModuleType] = (),
        keep: bool = False,
        detach: bool = False,
        cache: bool = False,
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> Job[T]: ...
    @overload
    def starmap(
        self,
        fn: Callable[..., T],
        data: Iterable[Iterable[Any]],
        *,
        chunksize: int | None = None,
        buffersize: int,
        retries: int | Retry = 0,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        seed: int | None = None,
        modules: Iterable[str | ModuleType] = (),
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> LazyValues[T]: ...
    @explain_wrong_calls
    def starmap(
        self,
        fn: Callable[..., T],
        data: Iterable[Iterable[Any]],
        *,
        chunksize: int | None = None,
        buffersize: int | None = None,
        retries: int | Retry = 0,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        seed: int | None = None,
        modules: Iterable[str | ModuleType] = (),
        keep: bool = False,
        detach: bool = False,
        cache: bool = False,
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> Job[T] | LazyValues[T]:
        """Run ``fn(*item, *args, **kwargs)`` for each item of ``data``; otherwise as ``map``.

        The parts of an item that is a dict are passed by name: ``fn(*args, **item, **kwargs)``.
        """
        options = MapOptions(chunksize, retries, timeout, args, kwargs, env, progress, seed, logging, modules)
        options = options._replace(keep=keep, detach=detach, cache=cache)
        return self._submission.run_or_read(fn, Style.STAR, data, options, buffersize)

    @explain_wrong_calls
    def map_reduce(
        self,
        map_fn: Callable[..., V],
        data: Iterable[Any],
        reduce_fn: Callable[[Sequence[V]], T],
        *,
        chunksize: int | None = None,
        retries: int | Retry = 0,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        seed: int | None = None,
        modules: Iterable[str | ModuleType] = (),
        detach: bool = False,
        cache: bool = False,
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> Future[T]:
        """Run ``map_fn`` as ``map`` does, and then ``reduce_fn(values)`` once, on a worker.

        Args:
            map_fn: as ``fn`` of ``map``.
            data: as for ``map``.
            reduce_fn: takes a sequence of the values in input order, which may be more than fit into memory:
                it fetches and unpickles a value each time that it is asked for; those of more than 16 KB come
                from the store. Where ``reduce_fn`` returns the sequence, the result is a list of the values.
            chunksize: as for ``map``.
            retries: as for ``map``, and for the reduction too.
            timeout: as for ``map``, and for the reduction too.
            args: further positional arguments of ``map_fn``.
            kwargs: keyword arguments of ``map_fn``.
            env: environment variables of all tasks.
            seed: as for ``map``; ``map_fn`` gets the generators.
            modules: as for ``map``.
            detach: as for ``map``.
            cache: as for ``map``: the values of ``map_fn``. The reduction runs each time.
            progress: as for ``Executor``.
            logging: as for ``map``.

        Returns:
            The future of the reduction, the last task of one job, ``future.job``. Once a task has failed it
            has its exception; the other tasks go on. ``future.job.cancel()`` cancels all of them.

        Raises:
            WrenliteError: as for ``map``.
        """
        options = MapOptions(chunksize, retries, timeout, args, kwargs, env, progress, seed, logging, modules)
        function, options = MapThenReduce(map_fn, reduce_fn), options._replace(detach=detach, cache=cache)
        return self._submission.run(function, Style.ITEM, data, options)[-1]

    @explain_wrong_calls
    def estimate(
        self,
        fn: Callable[..., Any],
        data: Iterable[Any],
        sample: int = 10,
        *,
        retries: int | Retry = 0,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        seed: int | None = None,
        modules: Iterable[str | ModuleType] = (),
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> Estimate:
        """Run a few tasks of a map, and estimate how long all of it would take, and what it would cost.

        The tasks are spread over the sizes of the items, and over the values of items that are numbers. Time
        and dollars are intervals: in nine cases of ten the true figure lies within. They are wide where the
        tasks of the sample differ much for no visible reason; a larger sample narrows them. What a worker
        does once, such as importing, counts with the task that it does it for.

        Args:
            fn: as for ``map``.
            data: as for ``map``. All of it is read and pickled, so that items which cannot be sent are found;
                an iterator is used up.
            sample: the number of tasks that are run, from 3. They cost what they cost: see ``sample.cost``.
            retries: as for ``map``.
            timeout: as for ``map``.
            args: as for ``map``.
            kwargs: as for ``map``.
            env: as for ``map``.
            seed: as for ``map``.
            modules: as for ``map``.
            progress: as for ``Executor``.
            logging: as for ``map``.

        Returns:
            The estimate. Printed, it has a line for each of some concurrencies; ``at`` takes any other one.

        Raises:
            WrenliteError: as for ``map``. What a task of the sample raises is raised.
        """
        options = MapOptions(1, retries, timeout, args, kwargs, env, progress, seed, logging, modules)
        return self._submission.estimate(fn, data, sample, options)

    @explain_wrong_calls
    def stream(
        self,
        fn: Callable[..., T],
        *,
        chunksize: int | None = None,
        retries: int | Retry = 0,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        seed: int | None = None,
        modules: Iterable[str | ModuleType] = (),
        keep: bool = False,
        progress: Progress | None = None,
        logging: bool | None = None,
    ) -> OpenJob[T]:
        """Open a job whose tasks are submitted one by one, as they come up.

        ``job.submit(*args, **kwargs)`` runs ``fn`` with these arguments and returns a future. Calls that wait
        travel in batches, as those of ``map`` do. ``job.close()`` ends the job, as does leaving a ``with``
        block.

        Args:
            fn: any callable. It is pickled now, once.
            chunksize: as for ``map``.
            retries: as for ``map``.
            timeout: as for ``map``.
            env: as for ``map``.
            seed: as for ``map``.
            modules: as for ``map``.
            keep: as for ``map``.
            progress: as for ``Executor``.
            logging: as for ``map``.

        Raises:
            WrenliteError: as for ``map``.
        """
        options = MapOptions(
            chunksize, retries, timeout, (), None, env, progress, seed, logging, modules, keep
        )
        return self._submission.open(fn, options)

    @overload
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    @overload
    def submit(  # type: ignore[overload-cannot-match]  # the option matches
        self, fn: Callable[..., T], /, *args: Any, retries: int | Retry, **kwargs: Any
    ) -> Future[T]: ...
    @overload
    def submit(  # type: ignore[overload-cannot-match]  # the option matches
        self, fn: Callable[..., T], /, *args: Any, timeout: float | None, **kwargs: Any
    ) -> Future[T]: ...
    @overload
    def submit(  # type: ignore[overload-cannot-match]  # the option matches
        self, fn: Callable[..., T], /, *args: Any, env: Mapping[str, str] | None, **kwargs: Any
    ) -> Future[T]: ...
    @overload
    def submit(  # type: ignore[overload-cannot-match]  # the option matches
        self, fn: Callable[..., T], /, *args: Any, seed: int | None, **kwargs: Any
    ) -> Future[T]: ...
    @overload
    def submit(  # type: ignore[overload-cannot-match]  # the option matches
        self, fn: Callable[..., T], /, *args: Any, modules: Iterable[str | ModuleType], **kwargs: Any
    ) -> Future[T]: ...
    @overload
    def submit(  # type: ignore[overload-cannot-match]  # the option matches
        self, fn: Callable[..., T], /, *args: Any, keep: bool, **kwargs: Any
    ) -> Future[T]: ...
    @overload
    def submit(  # type: ignore[overload-cannot-match]  # the option matches
        self, fn: Callable[..., T], /, *args: Any, cache: bool, **kwargs: Any
    ) -> Future[T]: ...
    @overload
    def submit(  # type: ignore[overload-cannot-match]  # the option matches
        self, fn: Callable[..., T], /, *args: Any, progress: Progress | None, **kwargs: Any
    ) -> Future[T]: ...
    @overload
    def submit(  # type: ignore[overload-cannot-match]  # the option matches
        self, fn: Callable[..., T], /, *args: Any, logging: bool | None, **kwargs: Any
    ) -> Future[T]: ...
    @explain_wrong_calls
    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` once.

        It takes the options ``retries``, ``timeout``, ``env``, ``seed``, ``modules``, ``keep``, ``cache``,
        ``progress`` and ``logging`` of ``map`` too. An argument of such a name that ``fn`` takes is passed to
        ``fn``.

        Calls of the same function that are submitted while others of it wait or run are tasks of one job,
        with one panel and one cost, and travel together. ``stream`` opens such a job explicitly. A call with
        ``cache=True`` is a job of its own.

        Raises:
            WrenliteError: as for ``map``.
        """
        given, kwargs = arguments.split_options(fn, kwargs)
        return self._submission.submit(fn, (args, kwargs), MapOptions(**given))

    def call_async(
        self, func: Callable[[Any], T], data: Any, extra_env: Mapping[str, str] | None = None
    ) -> Future[T]:
        """Run ``func(data)`` once, as ``submit`` does. This is PyWren's name for it."""
        return self._submission.submit(func, ((data,), {}), MapOptions(env=extra_env))

    def put(self, obj: Any) -> Ref:
        """Upload an object once, to be passed to many tasks.

        Pass the ``Ref`` in place of the object, inside any argument or closed over: tasks get the object,
        which each worker fetches once. Tasks must not change it, since those of a worker share it. If the
        store holds the object already it is not uploaded again, unless it was changed or damaged there.

        Raises:
            ItemNotPicklable: the object cannot be pickled.
            StoreError: it could not be stored.
        """
        return self._submission.put(obj)

    def warm(self, n: int) -> Warmed:
        """Start ``n`` workers, and wait until they run, so that the next map has no cold starts.

        On Lambda that is a request of about 1.5 s to each, and is paid for. Lambda keeps idle sandboxes for
        some minutes, and promises nothing. Where a cold start takes longer than that, fewer may run.

        Args:
            n: workers, from 1 to the number of tasks that can run at once.

        Returns:
            How many workers run, how many were started, and what that has cost.

        Raises:
            ConfigError: so many tasks cannot run at once here.
        """
        return warm(self._submission, n)

    def publish(
        self,
        fn: Callable[..., Any],
        on: Any,
        *,
        name: str | None = None,
        to: str | None = None,
        at_once: int | None = None,
        public: bool = False,
        yes: bool = False,
    ) -> Published:
        """Let an upload, a request or a schedule start ``fn`` on AWS, without this program. Experimental.

        It becomes a Lambda function of its own, in which ``Executor()`` is this deployment. The plan is
        printed with its price, and nothing is made before you agree. Publish again after a change.

        Args:
            fn: what is called with the event, with the fields of the request, or with nothing.
            on: ``"s3://BUCKET/PREFIX*.csv"`` for new objects; ``"http"``; or a schedule: ``"1 day"``,
                ``"cron(0 3 * * ? *)"``.
            name: of 24 letters at most; default: the function's.
            to: ``s3://BUCKET/PREFIX`` for outputs; default: in the deployment's bucket.
            at_once: starts that run at the same time, 1 to 100; default: a fifth of the concurrency that the
                account has. Others wait.
            public: with ``"http"``: anybody may send requests, and you pay.
            yes: do not ask.

        Returns:
            An object with ``name``, ``url``, ``outputs`` and ``unpublish()``.

        Raises:
            ConfigError: it cannot be published so, or the answer was no. NotPicklable, PackageMissing: as
                for ``map``.
        """
        from wrenlite.deploy.published import publish  # upwards, see pyproject.toml

        return publish(self.backend, fn, on, name=name, to=to, at_once=at_once, public=public, yes=yes)

    @property
    def workers(self) -> int:
        """How many tasks can run at once now: the local workers, or the requests that Lambda takes now."""
        return self._submission.dispatcher.admission.slots

    @property
    def cost(self) -> Cost:
        """An estimate of what all jobs of this executor cost so far, on AWS. Zero dollars on local cores."""
        return self._submission.dispatcher.admission.spent

    def as_concurrent(self) -> ConcurrentExecutor:
        """Return this executor as a ``concurrent.futures.Executor``, for libraries that take one."""
        from wrenlite.interop.concurrent import ConcurrentExecutor  # upwards, see pyproject.toml

        return ConcurrentExecutor(self)


class _ExecutorOfTask(Executor):
    """What an executor becomes in a task: it runs tasks in the thread of that task."""

    _is_of_task = True

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: the next task of the job on this worker has the same executor."""


def executor_of_task() -> Executor:
    """Return the executor of the task that runs here."""
    return _ExecutorOfTask(local.connect_inline(), progress=False)
