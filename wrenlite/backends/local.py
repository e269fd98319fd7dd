"""The backends on this machine: worker processes, or the calling thread."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from wrenlite.backends.base import (
    Backend,
    BatchingPolicy,
    Invocation,
)
from wrenlite.errors import BackendError, ConfigError, WorkerDied
from wrenlite.protocol import Died, Emit, Ended, Refused, Request, Usage
from wrenlite.serialize.modules import worker_path
from wrenlite.storage.local import TemporaryStore
from wrenlite.worker.handle import WorkerProcess
from wrenlite.worker.runner import NotRun, Runner

IDLE_S = 60.0
"""Seconds after which a worker with nothing to do leaves; the next request starts a new one."""

BATCHING = BatchingPolicy(target_s=0.02, least_s=0.001, batch_bytes=64 * 2**20)

_THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""What the numeric libraries read to choose how many threads they start."""


def cpu_count() -> int:
    """Cores that this process may use: its affinity, and its container's share (cgroup v2)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def memory_bytes() -> int:
    """The memory that this process may use: the machine's, or its container's share (cgroup v2)."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no container; "max" where it has no limit
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory


def connect(*, workers: int | None = None, memory_limit: int | None = None) -> Backend:
    """WorkerProcess processes on this machine. None is started before there is something to run.

    Args:
        workers: how many; default: one a core.
        memory_limit: bytes that each may hold (enforced on Linux).
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers={workers}: must be at least 1")
    slots = workers or cpu_count()
    memory = memory_limit or memory_bytes() // slots
    store = TemporaryStore()
    name = f"{slots} local worker{'s' if slots > 1 else ''}"
    return Backend(name, store, ProcessInvoker(slots, store, memory_limit), BATCHING, memory_bytes=memory)


def connect_inline() -> Backend:
    """The calling thread, for the debugger: ``map`` returns when everything has run."""
    store = TemporaryStore()
    return Backend(
        "the calling thread",
        store,
        InlineInvoker(store),
        BATCHING,
        in_caller=True,
        memory_bytes=memory_bytes(),
    )


class ProcessInvoker:
    """Runs each request in one of a few worker processes, which stay for the next ones."""

    def __init__(self, slots: int, store: TemporaryStore, memory_limit: int | None = None) -> None:
        self.slots = slots
        self._store = store
        store.outlive_exit()
        self._lock = threading.Lock()
        self._closed = False
        self._all: list[_Slot] = []
        self._free: list[_Slot] = []  # the one used last is taken first: it is warm
        env = {**os.environ, "WRENLITE_BACKEND": "inline"}  # a map inside a task runs in that task
        for setting in _THREAD_SETTINGS:  # N workers with N threads each would fight over the cores
            env.setdefault(setting, str(max(1, cpu_count() // slots)))
        folder = os.getcwd()

        def start_worker() -> WorkerProcess:
            return WorkerProcess(store, worker_path(), memory_limit, env, folder)

        self._start_worker = start_worker

    def open(self, tasks: int = 1) -> None:
        """Make the slots: threads that wait for requests. A worker is started with a slot's first one."""
        with self._lock:
            if not self._all and not self._closed:
                names = [f"wrenlite-slot-{number}" for number in reversed(range(self.slots))]
                self._all = [_Slot(name, self._start_worker, self._release) for name in names]
                self._free = [*self._all]

    def start(self, request: Request, emit: Emit) -> Invocation:
        """Hand a request to a free slot; the one used last first, since its worker is there."""
        with self._lock:
            slot = self._free.pop()
        flight = _ProcessInvocation(request, emit)
        slot.requests.put(flight)
        return flight

    def close(self) -> None:
        """Kill the workers and wait until they are gone."""
        with self._lock:
            slots, self._all = self._all, []
            self._free = []
            self._closed = True
        for slot in slots:
            slot.close()
        for slot in slots:
            slot.join()
        self._store.remove()

    def _release(self, slot: _Slot) -> None:
        with self._lock:
            if not self._closed:
                self._free.append(slot)


class _ProcessInvocation:
    """A request in a slot. Its lock makes sure that a cancel never hits the request after it."""

    def __init__(self, request: Request, emit: Emit) -> None:
        self.request = request
        self.emit = emit
        self._lock = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._cancelled = False

    def cancel(self) -> bool:
        """Kill the worker if it is at this request; never start it otherwise."""
        with self._lock:
            self._cancelled = True
            if self._worker is not None:
                self._worker.kill()
        return True

    def run(self, worker: WorkerProcess) -> Ended:
        """Run it, unless it was cancelled before."""
        with self._lock:
            if self._cancelled:
                return Ended(None, Usage(), self.request.tasks)
            self._worker = worker
        try:
            return worker.run(self.request, self.emit)
        finally:
            with self._lock:
                self._worker = None
            # Perhaps it was killed a moment after it was done: the next request must not meet the dying.
            if self._cancelled:
                worker.close()


class _Slot:
    """A thread that holds at most one worker."""

    def __init__(
        self, name: str, start_worker: Callable[[], WorkerProcess], release: Callable[[_Slot], None]
    ) -> None:
        self.requests: queue.SimpleQueue[_ProcessInvocation | None] = queue.SimpleQueue()
        self._start_worker = start_worker
        self._release = release
        self._worker: WorkerProcess | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Kill the worker; the thread ends."""
        self._closing = True
        worker = self._worker
        if worker is not None:
            worker.kill()
        self.requests.put(None)

    def join(self) -> None:
        """Wait for the thread's end."""
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _loop(self) -> None:
        while True:
            try:
                flight = self.requests.get(timeout=IDLE_S if self._worker else None)
            except queue.Empty:
                self._leave()
                continue
            if flight is None:
                self._leave()
                return
            ended = self._run(flight)
            self._release(self)  # before the news: whoever hears it may start the next request
            flight.emit((), ended)
            del flight, ended  # they hold the items, and the next request may be long in coming

    def _run(self, flight: _ProcessInvocation) -> Ended:
        try:
            return flight.run(self._worker_for(flight.request))
        except BackendError as error:
            return Ended(Refused(error), Usage(), flight.request.tasks)
        except Exception as error:  # a defect of wrenlite's own: it must not leave the task waiting
            self._leave()
            indexes = flight.request.tasks
            return Ended(Died(WorkerDied(f"wrenlite lost its worker: {error!r}")), Usage(), indexes[1:])

    def _worker_for(self, request: Request) -> WorkerProcess:
        """The slot's worker, replaced where it is dead or holds other versions of the user's modules."""
        worker = self._worker
        if worker is not None:
            if worker.alive and (request.modules is None or worker.modules in (None, request.modules)):
                return worker
            worker.close()
        if self._closing:
            raise BackendError("the executor was shut down")
        worker = self._worker = self._start_worker()
        if self._closing:  # close() may have looked before there was a worker
            worker.kill()
        return worker

    def _leave(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()


class InlineInvoker:
    """Runs each request inside ``start``, in the calling thread."""

    slots = 1

    def __init__(self, store: TemporaryStore) -> None:
        self._store = store
        self._runner = Runner(store, inline=True)

    def open(self, tasks: int = 1) -> None:
        """Nothing to get ready."""

    def start(self, request: Request, emit: Emit) -> Invocation:
        """Run it. A KeyboardInterrupt goes through to the caller."""
        copies = [item._replace(buffers=tuple(map(bytearray, item.buffers))) for item in request.items]
        done = 0
        busy_s = 0.0
        cause = None
        try:
            for outcome in self._runner.run(request._replace(items=copies)):
                done += 1
                busy_s += outcome.seconds
                emit((outcome,))
        except NotRun as error:
            cause = error.cause
        emit((), Ended(cause, Usage(busy_s, worker=str(os.getpid())), request.tasks[done:]))
        return _FinishedInvocation()

    def close(self) -> None:
        """Remove the store."""
        self._store.remove()


class _FinishedInvocation:
    """A flight that was over before anybody could cancel it."""

    def cancel(self) -> bool:
        """Too late."""
        return False
