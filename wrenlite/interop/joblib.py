"""joblib's backend ``wrenlite``: what uses joblib, such as scikit-learn, runs its tasks on an executor.

::

    import joblib
    import wrenlite.interop.joblib          # makes the name known to joblib

    with joblib.parallel_config("wrenlite", executor=executor):
        search.fit(X, y)
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import sys
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

from joblib.parallel import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
    register_parallel_backend,
)

from wrenlite.errors import ArgumentError, ConfigError
from wrenlite.executor import Executor
from wrenlite.futures import Future
from wrenlite.interop.kept_executor import kept_executor
from wrenlite.open_job import OpenJob
from wrenlite.serialize.by_reference import ByReference, References
from wrenlite.serialize.traceback_stubs import public
from wrenlite.storage.refs import Ref

_STREAM_OPTIONS = frozenset({"retries", "env", "modules", "progress", "logging"})
_OF_EXECUTORS = ", which is one of executors: executor=wrenlite.Executor.local(…)"
_JOBLIB_OPTIONS = frozenset({"context", "prefer", "require", "temp_folder", "verbose"})
"""What joblib passes to every backend, and this one has no use for."""


@public
class WrenliteBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """Runs the tasks of ``joblib.Parallel`` on a wrenlite executor, as one job per call.

    Arrays of ``max_nbytes`` or more (joblib's option, 1 MB) are put into the store once, however many tasks
    take them, and are deleted when no task needs them any more. Tasks get them read-only.

    A call of ``Parallel`` inside a task runs in threads of its worker, and one inside that in sequence.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1

    def __init__(
        self, executor: Executor | None = None, *, nesting_level: int | None = None, **options: Any
    ) -> None:
        """Create a backend. ``joblib.parallel_config("wrenlite", …)`` does this.

        Args:
            executor: runs the tasks; default: one ``Executor()`` for this process.
            nesting_level: how many calls of ``Parallel`` this one is inside; joblib sets it.
            options: ``retries``, ``env``, ``modules``, ``progress`` and ``logging`` of ``Executor.map``. A
                task of this backend is a batch of joblib's tasks.

        Raises:
            ArgumentError: there is no such option. ConfigError: ``executor`` is something else.
        """
        super().__init__(nesting_level=nesting_level)
        self._workers: _Call | None = None
        self._choose(executor, options)

    def _choose(self, executor: Executor | None, options: dict[str, Any]) -> None:
        unknown = sorted(options.keys() - _STREAM_OPTIONS)
        if unknown:
            known = ", ".join(["executor", *sorted(_STREAM_OPTIONS)])
            hint = _OF_EXECUTORS if unknown[0] in ("initializer", "initargs", "workers") else ""
            text = f"joblib's backend wrenlite has no option {unknown[0]!r}{hint}; it has {known}"
            raise ArgumentError(text)
        if executor is not None and not isinstance(executor, Executor):
            raise ConfigError(f"executor={executor!r:.60}: must be an Executor of wrenlite")
        self._executor = executor or kept_executor()
        self._options = options

    def __reduce__(self) -> tuple[Any, ...]:
        return WrenliteBackend, ()  # in a task: its own thread

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once.

        Args:
            n_jobs: as for ``Parallel``: 1 or None: joblib runs the tasks here, one after the other; -1: as
                many tasks as the executor can run, -2: one fewer, and so on.

        Raises:
            ValueError: it is 0.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None or self._executor.backend.runs_in_caller:
            return 1
        if n_jobs == -1:  # joblib would not even send a single task at a time
            return max(self._executor.workers, 2)
        return n_jobs if n_jobs > 0 else max(self._executor.workers + 1 + n_jobs, 1)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        max_nbytes: int | None = 1 << 20,
        mmap_mode: str | None = "r",
        **options: Any,
    ) -> int:
        """Prepare for calls of a ``Parallel``, and return how many tasks will run at once.

        Args:
            n_jobs: as for ``effective_n_jobs``.
            parallel: the ``Parallel``.
            max_nbytes: arrays of so many bytes go through the store; None: none do.
            mmap_mode: ``"r"``: these arrays are read-only; ``"c"`` or None: none go through the store, and
                each task has its own copy of each array.
            options: those of the constructor, and others of ``Parallel``.

        Raises:
            ArgumentError: there is no such option. ConfigError: an option cannot be used.
        """
        options = {name: value for name, value in options.items() if name not in _JOBLIB_OPTIONS}
        if options:
            executor = options.pop("executor", None)
            self._choose(executor or self._executor, {**self._options, **options})
        if mmap_mode not in ("r", "c", None):
            text = "workers cannot write into arrays of this process. Return what is new, or pass 'c'"
            raise ConfigError(f"mmap_mode={mmap_mode!r}: {text}")
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        plan = _Plan(
            self._executor,
            self._options,
            n_jobs,
            shared_bytes=max_nbytes if mmap_mode == "r" else None,
            # joblib sends few batches at a time, and large ones; but small ones where it sends all at once.
            chunksize=None if getattr(parallel, "pre_dispatch", None) == "all" else 1,
            inner_threads=self.inner_max_num_threads,
        )
        self._workers = _Call(plan)
        return n_jobs

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> None:
        """Run a batch of joblib's, and call ``callback`` with its future when it has ended."""
        assert self._workers is not None
        self._workers.submit(func, callback or (lambda future: None))

    def retrieve_result_callback(self, future: concurrent.futures.Future[Any]) -> Any:
        """Return the values of a batch, or raise its exception."""
        if not isinstance(future, Future):
            return future.result()
        error = future.exception()
        if error is None:
            return future.job._outcomes.hand_out(future.index, None)  # joblib keeps the values
        error.__cause__ = RemoteTraceback("".join(traceback.format_exception(error)))
        raise error

    def stop_call(self) -> None:
        """End the job of a call, and free its arrays."""
        if self._workers is not None:
            self._workers.end()

    def terminate(self) -> None:
        """End the job, and free its arrays. The executor goes on."""
        self.stop_call()
        self._workers = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel all tasks of the call, those that run too.

        Args:
            ensure_ready: whether there will be more calls.
        """
        if self._workers is not None:
            self._workers.cancel()
            self._workers = self._workers.anew() if ensure_ready else None


class RemoteTraceback(Exception):
    """Shows the traceback of a task, as the cause of its exception: joblib drops the true one."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class _Plan(NamedTuple):
    """How the calls of a ``Parallel`` run."""

    executor: Executor
    options: dict[str, Any]
    """Of their jobs."""
    n_jobs: int
    """The most tasks that run at once."""
    shared_bytes: int | None
    """The size from which an array is put into the store; None: no array is."""
    chunksize: int | None
    """How many batches of joblib's travel together; None: as many as the executor finds to be good."""
    inner_threads: int | None
    """The most threads of a numeric library inside a task; None: as many as there would be."""

    def open(self, function: Any) -> OpenJob[Any]:
        """Open the job of a call.

        Args:
            function: the user's, after which the job is named.
        """
        options = dict(self.options)
        if self.inner_threads is not None:
            limits = dict.fromkeys(ParallelBackendBase.MAX_NUM_THREADS_VARS, str(self.inner_threads))
            options["env"] = {**limits, **(options.get("env") or {})}
        run = _Run(function, self.inner_threads)
        return self.executor.stream(run, chunksize=self.chunksize, **options)


class _Call:
    """The job of one call of a ``Parallel``, which is opened by its first task."""

    def __init__(self, plan: _Plan) -> None:
        """Prepare a call."""
        self._plan = plan
        self._arrays = None if plan.shared_bytes is None else _Arrays(plan.executor, plan.shared_bytes)
        # The executor itself sees to it that no more tasks run than it has workers.
        self._free = plan.n_jobs if plan.n_jobs < plan.executor.workers else sys.maxsize
        self._waiting: deque[tuple[Any, Callable[[Any], object]]] = deque()
        self._lock = threading.RLock()
        self._job: OpenJob[Any] | None = None

    def anew(self) -> _Call:
        """Return one for the next call."""
        return _Call(self._plan)

    def submit(self, batch: Any, tell: Callable[[Any], object]) -> None:
        """Run a batch as soon as fewer than ``n_jobs`` run.

        Args:
            batch: joblib's ``BatchedCalls``.
            tell: is called with its future when it has ended.
        """
        with self._lock:
            if not self._free:
                self._waiting.append((batch, tell))
                return
            self._free -= 1
        self._send(batch, tell)

    def _send(self, batch: Any, tell: Callable[[Any], object]) -> None:
        try:
            with contextlib.nullcontext() if self._arrays is None else self._arrays.of(batch):
                future: concurrent.futures.Future[Any] = self._opened(batch).submit(batch)
        except Exception as error:  # joblib expects it from the future: some calls come from callbacks
            future = concurrent.futures.Future()
            future.set_exception(error)
        future.add_done_callback(partial(self._ended, tell))

    def _opened(self, batch: Any) -> OpenJob[Any]:
        with self._lock:
            if self._job is None:
                self._job = self._plan.open(batch.items[0][0])
                if self._arrays is not None:
                    self._job._stand_in(self._arrays.stand_in)
            return self._job

    def _ended(self, tell: Callable[[Any], object], future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            following = self._waiting.popleft() if self._waiting else None
            self._free += following is None
        if following is not None:
            self._send(*following)
        tell(future)

    def cancel(self) -> None:
        """Cancel all tasks that have not ended."""
        with self._lock:
            self._waiting.clear()
            job = self._job
        if job is not None:
            job.cancel()
        self.end()

    def end(self) -> None:
        """Close the job, and have the arrays deleted that no task needs."""
        with self._lock:
            job, self._job = self._job, None
        if job is not None:
            job.close()
        if self._arrays is not None:
            self._arrays.free()


class _Run:
    """The function of a job: it runs a batch."""

    def __init__(self, function: Any, inner_threads: int | None) -> None:
        """Create it.

        Args:
            function: the user's, after which jobs are named.
            inner_threads: as for ``_Plan``.
        """
        self.__qualname__ = getattr(function, "__qualname__", type(function).__qualname__)
        self._inner_threads = inner_threads

    def __call__(self, batch: Callable[[], Any]) -> Any:
        with self._limited():
            return batch()

    def _limited(self) -> AbstractContextManager[object]:
        """Return the context in which the libraries that are loaded already have so few threads, too."""
        if self._inner_threads is None:
            return contextlib.nullcontext()
        try:
            from threadpoolctl import threadpool_limits  # scikit-learn brings it
        except ImportError:
            return contextlib.nullcontext()
        return threadpool_limits(self._inner_threads)  # type: ignore[no-any-return]


class _Held:
    """A large array that a call has met."""

    def __init__(self, array: Any, batch: object, forget: Callable[[object], object]) -> None:
        """Create the record of an array.

        Args:
            array: the array.
            batch: the first batch that takes it.
            forget: called when nobody holds the array any more.
        """
        self.batch = weakref.ref(batch)
        self.ref: Ref | None = None
        self._array = weakref.ref(array, forget)


class _Arrays:
    """The large arrays of a call: each is put into the store once, when a task takes it.

    Where the store is a folder of this process, that is when a second batch takes it: the way through a file
    takes longer than that to a worker, and many arrays are for one task alone.
    """

    def __init__(self, executor: Executor, least_bytes: int) -> None:
        """Create a record of no arrays.

        Args:
            executor: has the store.
            least_bytes: the size of the smallest array that is put there.
        """
        self._submission = executor._submission
        self._least_bytes = least_bytes
        self._first_directly = executor.backend.own_store
        self._held: dict[int, _Held] = {}
        """By the id of the array, as long as the array lives."""
        self._pickling = threading.local()

    @contextlib.contextmanager
    def of(self, batch: object) -> Iterator[None]:
        """Pickle a batch in the ``with`` block."""
        self._pickling.batch = batch
        try:
            yield
        finally:
            self._pickling.batch = None

    def stand_in(self, obj: Any) -> ByReference | None:
        """Return what travels in place of an array that is large; None for anything else."""
        numpy = sys.modules.get("numpy")
        if numpy is None or type(obj) not in (numpy.ndarray, numpy.memmap):
            return None
        if obj.nbytes < self._least_bytes or obj.dtype.hasobject:
            return None
        batch = self._pickling.batch
        held = self._held.get(id(obj))
        if held is None:
            held = self._held[id(obj)] = _Held(obj, batch, partial(self._forget, id(obj)))
        if held.ref is None:
            if self._first_directly and held.batch() is batch:
                return _ReadOnly(_plain(numpy, obj))
            self._submission.delete_unreachable_values(wait=False)  # those of the last tasks
            held.ref = self._submission.put(_plain(numpy, obj), temporary=True)
        return held.ref

    def free(self) -> None:
        """Have the arrays deleted from the store that no task needs any more."""
        self._held.clear()
        self._submission.delete_unreachable_values(wait=False)

    def _forget(self, key: int, _: object) -> None:
        self._held.pop(key, None)


class _ReadOnly(ByReference):
    """An array that travels with its task, and is read-only there as one from the store is."""

    def __init__(self, array: Any) -> None:
        """Wrap an array."""
        self._array = array

    def _refer(self, references: References) -> Any:
        rebuild, arguments = self._array.__reduce_ex__(5)
        return _read_only, (rebuild, arguments)


def _plain(numpy: Any, array: Any) -> Any:
    """Return an array that is pickled as one buffer, and not as a file of this machine."""
    return (array if array.flags.forc else array.copy()).view(numpy.ndarray)


def _read_only(rebuild: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    array = rebuild(*arguments)
    array.flags.writeable = False
    return array


register_parallel_backend("wrenlite", WrenliteBackend)
