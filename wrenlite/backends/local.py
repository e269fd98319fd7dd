"""The backends on this machine: worker processes, or the calling thread."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wrenlite.backends.base import Backend, BatchingPolicy, Invocation
from wrenlite.backends.memory_watch import MemoryWatch, Workers
from wrenlite.errors import BackendError, ConfigError, OutOfMemory, WorkerDied
from wrenlite.memory import MemoryReader, memory_bytes
from wrenlite.protocol import LOCAL_HINTS, Died, Emit, Ended, Outcome, Packed, Refused, Request, Usage
from wrenlite.serialize.initializers import Initializer
from wrenlite.serialize.modules import worker_path
from wrenlite.storage.local import LocalStore, TemporaryStore
from wrenlite.texts import counted
from wrenlite.threads import OneThread
from wrenlite.worker.initializing import Initialization
from wrenlite.worker.runner import NotRun, Runner

if TYPE_CHECKING:
    from wrenlite.worker.handle import WorkerProcess

IDLE_S = 60.0
"""Seconds after which a worker without a request ends. The next request starts a new one."""
_IDLE_CHECK_S = 0.5
"""Seconds between two looks at an idle worker."""

_LEAST_MEMORY_BYTES = 32 << 20
"""The least memory that workers can be limited to. With less some cannot even import cloudpickle."""

_MOST_WORKERS = 1_000
"""The most workers that can be asked for. Each is a process with threads, pipes and memory of its own."""

BATCHING = BatchingPolicy(target_s=0.02, least_s=0.002, batch_bytes=64 * 2**20)

_THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Environment variables from which numeric libraries read how many threads to start."""


def cpu_count() -> int:
    """Count the cores that this process may use: its affinity, and its container's share (cgroup v2)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("utf-8").split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def connect(
    *,
    workers: int | None = None,
    memory_limit: int | None = None,
    max_tasks_per_worker: int | None = None,
    initializer: Initializer | None = None,
    store: LocalStore | None = None,
) -> Backend:
    """Make the backend of worker processes on this machine. The first job starts them.

    Args:
        workers: how many; default: one per core.
        memory_limit: bytes of memory that each worker may hold (enforced on Linux); None: no limit.
        max_tasks_per_worker: tasks that a worker runs before it is replaced; None: any number.
        initializer: what each worker calls before its first task; None: nothing.
        store: of large values; None: a temporary folder.

    Raises:
        ConfigError: the number of workers is below 1 or too large, or the memory too small for any worker.
        BackendError: this system cannot run worker processes.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers={workers}: must be at least 1")
    if workers is not None and workers > _MOST_WORKERS:
        raise ConfigError(
            f"workers={workers}: must be at most {_MOST_WORKERS:,}, since each worker is a process on this "
            f"machine, which has {counted(cpu_count(), 'core')}. One worker per core is the default, and can "
            "run any number of tasks; Executor.aws() runs more tasks at the same time"
        )
    if memory_limit is not None and memory_limit < _LEAST_MEMORY_BYTES:
        least = f"{_LEAST_MEMORY_BYTES >> 20} MB"
        raise ConfigError(f"memory_limit={memory_limit}, in bytes: a worker itself needs up to {least}")
    slots = workers or cpu_count()
    memory = memory_limit or memory_bytes() // slots
    store = store or TemporaryStore()
    invoker = ProcessInvoker(slots, store, memory_limit, max_tasks_per_worker, initializer)
    return Backend(
        name=f"{counted(slots, 'local worker')}",
        store=store,
        invoker=invoker,
        memory=invoker.memory,
        environment=invoker.environment,
        batching=replace(BATCHING, batch_bytes=min(BATCHING.batch_bytes, memory // 8)),
        memory_bytes=memory,
        class_table=initializer.table if initializer else None,
        shares_files=True,
    )


def connect_inline(initializer: Initializer | None = None) -> Backend:
    """Make the backend that runs tasks in the calling thread, for the debugger.

    Args:
        initializer: what is called before the first task; None: nothing.
    """
    store = TemporaryStore()
    return Backend(
        name="the calling thread",
        store=store,
        invoker=InlineInvoker(store, initializer),
        batching=BATCHING,
        class_table=initializer.table if initializer else None,
        runs_in_caller=True,
        memory_bytes=memory_bytes(),
        shares_files=True,
    )


def _environment(slots: int) -> Mapping[str, str]:
    """Return the environment variables of the workers."""
    env = {**os.environ, "WRENLITE_BACKEND": "inline", "WRENLITE_JOURNAL": "off"}  # for a map in a task
    for setting in _THREAD_SETTINGS:  # otherwise N workers with N threads each compete for the cores
        env.setdefault(setting, str(max(1, cpu_count() // slots)))
    return env


def _worker_class() -> type[WorkerProcess]:
    """Import the class of worker processes, which needs modules that only POSIX systems have."""
    try:
        from wrenlite.worker.handle import WorkerProcess
    except ImportError as error:
        raise BackendError(
            f"local workers need a POSIX system such as Linux, and this one has no module {error.name!r}. "
            "Executor.aws() works here, and so does Executor.inline(), which runs tasks one after the other "
            "in this process; on Windows local workers run in WSL"
        ) from error
    return WorkerProcess


class ProcessInvoker:
    """Runs each request in one of a few worker processes, which stay for the next requests."""

    def __init__(
        self,
        slots: int,
        store: LocalStore,
        memory_limit: int | None = None,
        max_tasks: int | None = None,
        initializer: Initializer | None = None,
    ) -> None:
        """Make an invoker. The first requests start its workers.

        Args:
            slots: worker processes.
            store: where they find code and large values. It is removed when the invoker is closed.
            memory_limit: bytes of memory that each worker may hold; None: no limit.
            max_tasks: tasks that a worker runs before it is replaced; None: any number.
            initializer: what each worker calls before its first task; None: nothing.

        Raises:
            BackendError: this system cannot run worker processes.
        """
        make_worker = _worker_class()
        self.slots = slots
        self._store = store
        store.outlive_exit()
        self._closed = False
        self.environment = _environment(slots)
        """The environment variables of the workers."""
        folder = None
        with contextlib.suppress(FileNotFoundError):  # the folder was removed
            folder = os.getcwd()

        def start_worker() -> WorkerProcess:
            return make_worker(
                store,
                worker_path,
                memory_limit,
                self.environment,
                folder,
                max_tasks=max_tasks,
                initializer=initializer,
            )

        self.memory = MemoryWatch(slots, self._workers, MemoryReader().read)
        """Watches the memory of this machine."""
        names = [f"wrenlite-slot-{number}" for number in reversed(range(slots))]
        self._all = [_Slot(name, start_worker, self.memory) for name in names]
        # The slot that was used last is taken first: its worker runs already. There is no lock, since a
        # signal handler may interrupt ``open`` and wait for a task.
        self._free = [*self._all]

    def open(self, tasks: int = 1) -> None:
        """Start the threads of the slots, which wait for requests. The first one starts a slot's worker."""
        if not self._closed:
            for slot in self._all:
                slot.open()

    def start(self, request: Request, emit: Emit) -> Invocation:
        """Hand a request to a free slot: the one that was used last, since its worker runs already."""
        slot = self._free.pop()
        invocation = _ProcessInvocation(request, emit, release=partial(self._free.append, slot))
        slot.requests.put(invocation)
        return invocation

    def _workers(self) -> Workers:
        """Return the slots, those that run requests in the order in which these started."""
        idle = [*reversed(self._free)]
        running = [slot for slot in self._all if slot.started_at is not None and slot not in idle]
        running.sort(key=lambda slot: slot.started_at or 0.0)
        return Workers(running, idle)

    def close(self) -> None:
        """End the workers, which run their exit handlers, and wait until they are gone."""
        self._closed = True
        for slot in self._all:
            slot.close()
        for slot in self._all:
            slot.join()
        self._store.remove()


class _ProcessInvocation:
    """A request in a slot. Its lock makes sure that a cancel never kills the request after it."""

    def __init__(self, request: Request, emit: Emit, release: Callable[[], None]) -> None:
        self.request = request
        self.emit = emit
        self.release = release
        self._lock = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._cancelled = False
        self.gave_way = False
        """Whether its worker was killed so that others get its memory."""

    def stop(self) -> bool:
        """Kill the worker, so that others get its memory: the tasks that have not ended are given back."""
        with self._lock:
            if self._worker is None or self._cancelled or self.gave_way:
                return False
            self.gave_way = True
            self._worker.kill()
        return True

    def cancel(self) -> bool:
        """Kill the worker if it runs this request; never start the request otherwise."""
        with self._lock:
            self._cancelled = True
            if self._worker is not None:
                self._worker.kill()
        return True

    def abandon(self, tasks: frozenset[int]) -> None:
        """Do nothing: ``cancel`` stops the request at once."""

    def running(self) -> Sequence[int]:
        """Return the task that runs now; none while the worker starts, or loads the function."""
        with self._lock:
            return () if self._worker is None else self._worker.running()

    def output(self) -> tuple[int, str] | None:
        """Return the task that runs now, and what it has written so far."""
        with self._lock:
            return None if self._worker is None else self._worker.output()

    def run(self, worker: WorkerProcess) -> tuple[list[Outcome], Ended]:
        """Run the request, unless it was cancelled before. Return the last outcomes and its end."""
        with self._lock:
            if self._cancelled:
                return [], Ended(None, Usage(), self.request.tasks)
            self._worker = worker
        try:
            outcomes, ended = worker.run(self.request, self.emit)
        finally:
            with self._lock:
                self._worker = None
            # The kill may have come a moment after the request was done: the next request needs another
            # worker.
            if self._cancelled or self.gave_way:
                worker.close()
        return outcomes, ended._replace(cause=None) if self.gave_way else ended


class _Slot:
    """A thread that holds at most one worker."""

    def __init__(self, name: str, start_worker: Callable[[], WorkerProcess], memory: MemoryWatch) -> None:
        self.started_at: float | None = None
        """When the request began that runs; None: none does."""
        self._memory = memory
        self.requests: queue.SimpleQueue[_ProcessInvocation | None] = queue.SimpleQueue()
        self._start_worker = start_worker
        self._worker: WorkerProcess | None = None
        self._invocation: _ProcessInvocation | None = None
        self._closing = False
        self._one = OneThread(name)
        self._ended = threading.Event()

    def open(self) -> None:
        """Start the thread, unless that was done before."""
        self._one.start(self._loop)

    def close(self) -> None:
        """Cancel the request that runs, and let the worker and the thread end."""
        self._closing = True
        invocation = self._invocation
        if invocation is not None:
            invocation.cancel()
        self.requests.put(None)

    def held_bytes(self) -> int:
        """Return the memory that the worker holds now; 0: none, or unknown."""
        worker = self._worker
        return 0 if worker is None else worker.held_bytes()

    def stop(self) -> bool:
        """Stop the request that runs. Return whether that was possible."""
        invocation = self._invocation
        return invocation is not None and invocation.stop()

    def join(self) -> None:
        """Wait for the end of the worker."""
        if self._one.started:
            self._ended.wait()

    def _loop(self) -> None:
        try:
            self._serve()
        finally:
            self._ended.set()

    def _serve(self) -> None:
        while True:
            invocation = self._next_invocation()
            if invocation is None:
                self._end_worker()
                return
            self._invocation, self.started_at = invocation, time.monotonic()
            if self._closing:  # close() may have found no invocation to cancel
                invocation.cancel()
            last, ended = self._run(invocation)
            self._invocation = self.started_at = None
            if not invocation.gave_way:
                self._memory.learn(ended.usage.peak_bytes)
            invocation.release()  # before the report: whoever receives it may start the next request
            invocation.emit(last, ended)
            del invocation, last, ended  # they hold the items, and the next request may come much later

    def _next_invocation(self) -> _ProcessInvocation | None:
        """Wait for the next request, and return it; None: the thread is to end.

        Meanwhile the worker is given up if it has died, has been idle for long or others lack its memory, or
        if a process that a task has left behind fills the disk with output.
        """
        idle_s = 0.0
        while (worker := self._worker) is not None:
            wait_s = min(_IDLE_CHECK_S, IDLE_S)
            try:
                return self.requests.get(timeout=wait_s)
            except queue.Empty:
                idle_s += wait_s
                is_unneeded = idle_s >= IDLE_S or self._memory.is_limited
                if is_unneeded or not worker.alive or not worker.drop_output():
                    self._end_worker()
        return self.requests.get()

    def _run(self, invocation: _ProcessInvocation) -> tuple[list[Outcome], Ended]:
        tasks = invocation.request.tasks
        try:
            outcomes, ended = invocation.run(self._worker_for(invocation.request))
            return outcomes, self._explained(ended)
        except BackendError as error:
            return [], Ended(Refused(error), Usage(), tasks)
        except Exception as error:  # a defect of wrenlite: the tasks must not wait for ever
            self._end_worker(orderly=False)
            text = f"an internal error of wrenlite lost the worker: {error!r}. Please report it"
            return [], Ended(Died(WorkerDied(text)), Usage(), tasks[1:])

    def _explained(self, ended: Ended) -> Ended:
        """Return the end of a request; of one whose worker the kernel has killed, what follows from that.

        While other workers ran, each of them may have used the memory up: the tasks are given back.
        """
        killed = isinstance(ended.cause, Died) and type(ended.cause.error) is WorkerDied
        if not (killed and self._memory.has_lost()):
            return ended
        if self._memory.runs_others(self):
            return ended._replace(cause=None)
        text = "the system killed its worker, since memory had run out, and no other worker ran"
        return ended._replace(cause=Died(OutOfMemory(f"{text}: {LOCAL_HINTS.memory}")))

    def _worker_for(self, request: Request) -> WorkerProcess:
        """Return the slot's worker: a new one where it is dead, worn out, or has other modules."""
        worker = self._worker
        if worker is not None:
            alive = worker.alive
            same_modules = request.modules is None or worker.modules in (None, request.modules)
            if alive and same_modules and not worker.worn_out:
                return worker
            worker.close(orderly=alive)
        if self._closing:
            raise BackendError("the executor was shut down")
        self._worker = self._start_worker()
        return self._worker

    def _end_worker(self, *, orderly: bool = True) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close(orderly=orderly)


class _Here(threading.local):
    """What the current thread does."""

    requests = 0
    """The requests that it runs, one inside the other."""


_here = _Here()


def in_inline_task() -> bool:
    """Return whether this thread runs a task of an inline executor."""
    return _here.requests > 0


class InlineInvoker:
    """Runs each request inside ``start``, in the calling thread."""

    slots = 1

    def __init__(self, store: TemporaryStore, initializer: Initializer | None = None) -> None:
        """Make an invoker.

        Args:
            store: where code and large values are. It is removed when the invoker is closed.
            initializer: what is called before the first task; None: nothing.
        """
        self._store = store
        first = Initialization(initializer.name, initializer.blob) if initializer else None
        self._runner = Runner(store, inline=True, initialization=first)

    def open(self, tasks: int = 1) -> None:
        """Do nothing: there is nothing to get ready."""

    def start(self, request: Request, emit: Emit) -> Invocation:
        """Run a request. A KeyboardInterrupt goes through to the caller."""
        copies = [
            item._replace(buffers=tuple(map(bytearray, item.buffers))) if isinstance(item, Packed) else item
            for item in request.items
        ]
        done = 0
        busy_s = cpu_s = 0.0
        cause = None
        _here.requests += 1
        try:
            for outcome in self._runner.run(request._replace(items=copies)):
                done += 1
                busy_s += outcome.seconds
                cpu_s += outcome.cpu_s
                emit((outcome,))
        except NotRun as error:
            cause = error.cause
        finally:
            _here.requests -= 1
        worker, load_s = str(os.getpid()), self._runner.load_s
        usage = Usage(busy_s=busy_s, worker=worker, load_s=load_s, cpu_s=cpu_s)
        emit((), Ended(cause, usage, request.tasks[done:]))
        return _FinishedInvocation()

    def close(self) -> None:
        """Remove the store."""
        self._store.remove()


class _FinishedInvocation:
    """A request that was over before anybody could cancel it."""

    def cancel(self) -> bool:
        """Do nothing: it is too late."""
        return False

    def abandon(self, tasks: frozenset[int]) -> None:
        """Do nothing: it is too late."""

    def running(self) -> Sequence[int]:
        """Return no task: none runs any more."""
        return ()

    def output(self) -> tuple[int, str] | None:
        """Return None: no task runs any more."""
        return None
