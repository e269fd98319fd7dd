"""The worker program: a process that runs batches of tasks, one batch at a time, on every backend.

The worker reads a request from a pipe, lets ``runner`` run it, and writes each outcome back, those of short
tasks many at a time. Its parent process (``handle.WorkerProcess``) knows which tasks have ended: what is not
written yet is in the outbox. Tasks run in order, so when the worker dies, the first task without an outcome
is the one that was running.

::

    parent process                             worker (a process in a session of its own)
    WorkerProcess.run(request) ── requests ──▶ its fd 0, moved to a number that tasks do not use
                               ◀── replies ─── its fd 1, moved likewise
                               ◀─── outbox ─── memory for outcomes of short tasks
                               ◀─ output file─ fd 1 and 2 of the tasks; both processes read it
                                  life pipe ─▶ closes when the parent dies: the kernel kills the worker

No worker outlives its parent. The read end of the life pipe has O_ASYNC, F_SETOWN (the process group) and
F_SETSIG (SIGKILL) set. So Linux itself kills the worker and all processes that it started as soon as the
parent's end closes, however the parent died, and even while the worker runs C code. (PR_SET_PDEATHSIG would
depend on the thread that started the worker, and would not kill the worker's children.) On other systems a
thread waits for the same end of the pipe.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from wrenlite import __version__
from wrenlite.protocol import LOCAL_HINTS, PROTOCOL, Cause, Hints, Outcome, Packed, Request, Usage
from wrenlite.serialize import framing
from wrenlite.serialize.pickling import OUT_OF_BAND_BYTES
from wrenlite.storage.base import Store
from wrenlite.worker.health import Health
from wrenlite.worker.initializing import Initialization
from wrenlite.worker.memory_limit import MemoryLimit
from wrenlite.worker.outbox import GATHER_S, Outbox
from wrenlite.worker.output import OutputCapture
from wrenlite.worker.peak_memory import LONG_S, PeakMemory, peak_bytes
from wrenlite.worker.processor_time import processor_time
from wrenlite.worker.pyplot import PyplotFinder
from wrenlite.worker.runner import NotRun, Runner

if TYPE_CHECKING:
    from wrenlite.storage.archives import ArchivesPlace
    from wrenlite.worker.archives import ArchiveFinder

READY, BEGIN, OUTCOME, END, STORING, NO_ROOM, OUTCOMES = range(7)
"""The kinds of message that a worker writes. NO_ROOM: a request does not fit into its memory, and it ends."""


_KILLED_FIRST = "500"
"""Where memory runs out, the kernel kills a worker rather than the program whose tasks it runs, though that
may hold more, by up to half of the memory (man 5 proc_pid_oom_score_adj)."""


class Hello(NamedTuple):
    """The first message to a worker."""

    path: list[str]
    """Its ``sys.path``."""
    store: Store
    memory_limit: int | None
    """Bytes; None: no limit."""
    life: int
    """The file descriptor of the life pipe, which closes when the parent process dies."""
    records: int
    """The file descriptor of the file for log records."""
    outbox: int
    """The file descriptor of the memory for outcomes of short tasks."""
    max_tasks: int | None
    """Tasks that it runs before it is replaced; None: any number."""
    initializer: tuple[str, Any] = ("", b"")
    """The name of the initializer, and its pickle, which is empty where there is none."""
    hints: Hints = LOCAL_HINTS
    """What messages advise when memory, time or a package is missing."""
    archives: ArchivesPlace | None = None
    """Where it finds the packages that are in archives; None: there are none."""


def main() -> None:
    """Serve requests until the pipe of requests closes. Then run exit handlers, and end."""
    requests, replies = os.dup(0), os.dup(1)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.close(devnull)
    output = OutputCapture()
    process_state = ProcessState()
    reader = framing.Reader(requests)
    hello, *waiting = _first_messages(reader)
    archives = _prepare(hello)
    if hello.memory_limit is not None:
        process_state.limit_memory(hello.memory_limit)
    inherited_bytes = peak_bytes(resource.getrusage(resource.RUSAGE_SELF), 0)
    memory = PeakMemory(inherited_bytes)
    framing.write(replies, framing.frame((READY, PROTOCOL, __version__, inherited_bytes)))
    outbox = Outbox(hello.outbox)

    def report_initialized() -> None:
        outbox.mark_initialized()
        process_state.keep()

    runner = Runner(
        hello.store,
        read_output=output.read_new,
        records_file=hello.records,
        memory_limit=hello.memory_limit,
        hints=hello.hints,
        health=Health(hello.memory_limit),
        max_tasks=hello.max_tasks,
        initialization=Initialization(*hello.initializer, report_end=report_initialized),
    )
    runner.archives = archives
    sender = Sender(replies, outbox)
    del hello  # the initializer may have large arguments
    while True:
        while waiting:
            if isinstance(waiting[0], MemoryError):
                os.write(replies, framing.small_frame((NO_ROOM,)))
                return
            if isinstance(waiting[0], str | bytes):
                _change(waiting.pop(0), output)
                continue
            # No variable holds the request here: its items would stay in memory until the next one comes.
            _serve(framing.request_from_wire(waiting.pop(0)), runner, sender, process_state, memory)
        try:
            waiting = reader.read()
        except EOFError:
            _exit()


def _change(message: str | bytes, output: OutputCapture) -> None:
    """Change something of this process before the next request.

    Args:
        message: the file that output goes to from now on, or the key of ``multiprocessing``.
        output: what captures the output.
    """
    if isinstance(message, str):
        output.move_to(message)
        return
    from wrenlite.worker.authkey import use_key  # most programs need no key

    use_key(message)


def _first_messages(reader: framing.Reader) -> list[Any]:
    while not (messages := reader.read()):
        pass
    return messages


def _exit() -> NoReturn:
    """Run exit handlers, among them the finalizers of ``multiprocessing``, and end this process.

    Threads are not waited for, and modules are not cleared: that takes 150 ms where pandas was imported, and
    the program that shuts workers down would wait for it.
    """
    atexit._run_exitfuncs()
    os._exit(0)


def _prepare(hello: Hello) -> ArchiveFinder | None:
    sys.path[:] = hello.path
    sys.argv[:] = ["wrenlite-worker"]
    sys.meta_path.insert(0, PyplotFinder())
    _end_with_parent(hello.life)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(_KILLED_FIRST)
    import faulthandler

    faulthandler.enable()  # after a crash the output says where it happened
    if hello.archives is None:
        return None
    from wrenlite.worker.archives import install  # most workers have none

    return install(hello.archives)


def _end_with_parent(life: int) -> None:
    """Make sure that this process and its children are killed when the life pipe closes."""
    import fcntl
    import select

    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([life], [], [], 0)[0]:  # the parent died before this
            os._exit(1)
    else:
        import threading

        def wait() -> None:
            os.read(life, 1)
            os.killpg(0, signal.SIGKILL)

        threading.Thread(target=wait, daemon=True).start()


def _serve(
    request: Request, runner: Runner, sender: Sender, process_state: ProcessState, memory: PeakMemory
) -> None:
    """Run a request and write its outcomes and its end.

    Args:
        request: the batch.
        runner: runs it.
        sender: sends the outcomes.
        process_state: is restored after every task.
        memory: measures how much memory the tasks hold.
    """
    limit, requests = _TimeLimit(sender, request.limits.task_timeout_s is not None), runner.store.requests
    if runner.archives is not None:
        runner.archives.report = limit.fetching

    def end_frame(tasks: int, cause: Cause | None = None) -> bytes:
        puts, gets = runner.store.requests.since(requests)
        usage = Usage(
            busy_s=time.perf_counter() - limit.begun,
            peak_bytes=memory.of_batch(),
            worker=str(os.getpid()),
            load_s=runner.load_s,
            tasks=tasks,
            **processor_time().since(limit.used)._asdict(),
        )
        usage = usage._replace(store_puts=puts, store_gets=gets)
        left = process_state.has_new_children()
        return framing.small_frame((END, tuple(usage), cause, runner.worn_out, left))

    last = request.tasks[-1]
    ran, cause, end = 0, None, b""
    sender.begin(len(request.tasks))
    memory.begin()
    try:
        for outcome in runner.run(request, limit.begin, limit.storing):
            if process_state.is_forked:  # this is a child of the task, and has returned from it
                os._exit(0)
            ran += 1
            if outcome.seconds >= LONG_S and len(request.tasks) > 1:
                outcome = memory.of_task(outcome, ran)
            end = end_frame(ran) if outcome.task == last or runner.worn_out else b""
            sender.send(outcome, end)
            del outcome  # a large value must not stay in memory while the next one is made
            process_state.restore()
    except NotRun as error:
        cause = error.cause
    process_state.restore_all()
    if not end:
        sender.flush(end_frame(ran, cause))


class _TimeLimit:
    """Tells the parent which seconds of a request are those of tasks, where these have a time limit."""

    def __init__(self, sender: Sender, is_limited: bool) -> None:
        self.begun = time.perf_counter()
        """When the first task began."""
        self.used = processor_time()
        """What this process had computed before that."""
        self._sender = sender
        self._is_limited = is_limited
        self._task_runs = False

    def begin(self) -> None:
        """Report that the first task begins: the parent counts its seconds from now on."""
        self.begun, self._task_runs = time.perf_counter(), True
        self.used = processor_time()
        self._sender.begin_tasks()
        self._report(BEGIN)

    def storing(self) -> None:
        """Report that a value is stored. The task has ended: its seconds are over."""
        self._report(STORING)

    def fetching(self, goes_on: bool) -> None:
        """Report that a package is being fetched, or that it is there: a running task then has all its time.

        Args:
            goes_on: whether it is being fetched.
        """
        if goes_on or self._task_runs:
            self._report(STORING if goes_on else BEGIN)

    def _report(self, kind: int) -> None:
        if self._is_limited:
            self._sender.write(framing.small_frame((kind,)))


class Sender:
    """Sends the outcomes of requests: those of short tasks many at a time."""

    def __init__(self, replies: int, outbox: Outbox) -> None:
        """Create a sender.

        Args:
            replies: the file descriptor of the pipe.
            outbox: gathers the outcomes of short tasks.
        """
        self._replies = replies
        self._outbox = outbox
        self._ended = 0  # tasks of the request
        self._gathers = False
        self._sent_at = 0.0

    def begin(self, tasks: int) -> None:
        """Begin with a new request of so many tasks.

        The outcome of a task that is alone is sent at once: whatever else has come through the pipe, this
        task has written it.
        """
        self._gathers = tasks > 1
        self._ended = 0
        self._outbox.begin_request()
        self._sent_at = time.perf_counter()

    def begin_tasks(self) -> None:
        """Record that the first task of the request begins to run."""
        self._outbox.begin_tasks()

    def send(self, outcome: Outcome, end: bytes) -> None:
        """Send an outcome now or, if its task and those before it were short, soon.

        Args:
            outcome: the outcome.
            end: the frame of the end of the request, to be sent with the last outcome, so that the parent
                wakes up once for both.
        """
        gathered = self._gathers and self._outbox.put(outcome)
        self._ended += 1
        if gathered:
            now = time.perf_counter()
            if end or now - self._sent_at >= GATHER_S:
                self.flush(end)
            return
        task, ok, packed, *rest = outcome
        message = OUTCOME, task, ok, framing.to_wire(packed), *rest
        if isinstance(packed, Packed) and (packed.buffers or len(packed.data) >= OUT_OF_BAND_BYTES):
            self.flush()
            framing.write(self._replies, [*framing.frame(message), memoryview(end)])
        else:
            self.flush(framing.small_frame(message) + end)

    def flush(self, more: bytes = b"") -> None:
        """Send the outcomes that are gathered, and after them further frames."""
        columns = self._outbox.columns()
        self.write(more if columns is None else framing.small_frame((OUTCOMES, *columns)) + more)
        self._outbox.begin(self._ended)
        self._sent_at = time.perf_counter()

    def write(self, data: bytes) -> None:
        """Write frames to the pipe."""
        written = os.write(self._replies, data) if data else 0
        if written < len(data):  # a signal interrupted the write
            framing.write(self._replies, [memoryview(data)[written:]])


def _working_folder() -> str | None:
    """Return the path of the working folder; None where somebody has removed the folder."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


class ProcessState:
    """What is restored of the process after each task: folder, signal handlers, memory limit, own modules."""

    def __init__(self) -> None:
        """Record the current state."""
        self.is_forked = False
        """Whether this process is a child that a task has forked."""
        os.register_at_fork(after_in_child=self._mark_forked)
        self.keep()
        self._memory: MemoryLimit | None = None
        self._children: set[str] = set()
        own = [name for name in sys.modules if name.partition(".")[0] == "wrenlite"]
        self._own_modules = {name: sys.modules[name] for name in own}
        self._modules_count = len(sys.modules)
        # Reading 64 handlers, the alarm and the folder after each task would take longer than a short task.
        for module, names in ((signal, ("signal", "alarm", "setitimer")), (os, ("chdir", "fchdir"))):
            for name in names:
                setattr(module, name, self._recording(getattr(module, name)))

    def _mark_forked(self) -> None:
        self.is_forked = True

    def limit_memory(self, limit: int) -> None:
        """Limit the memory that this process may hold, in bytes."""
        self._memory = MemoryLimit(limit)

    def keep(self) -> None:
        """Record the working folder and the signal handlers as they are now, as an initializer left them."""
        self._folder = _working_folder()
        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._changed = False

    def restore(self) -> None:
        """Restore the recorded state. Takes a fraction of a microsecond where nothing was changed."""
        if self._changed:
            self._restore_folder()
            for number, handler in self._handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
            signal.alarm(0)
            self._changed = False
        if self._memory is not None:
            self._memory.restore()
        if len(sys.modules) < self._modules_count:
            self.restore_modules()

    def restore_all(self) -> None:
        """Restore the recorded state after a batch, also where code that is not Python has changed it."""
        self._restore_folder()
        self.restore_modules()

    def _restore_folder(self) -> None:
        if self._folder is not None and _working_folder() != self._folder:
            with contextlib.suppress(FileNotFoundError):  # the caller removed it
                os.chdir(self._folder)

    def restore_modules(self) -> None:
        """Put those modules of wrenlite back into ``sys.modules`` that a task has removed or replaced.

        Otherwise they would be imported once more, with other classes than those of the modules in use.
        """
        sys.modules.update(self._own_modules)
        self._modules_count = len(sys.modules)

    def has_new_children(self) -> bool:
        """Return whether tasks have left child processes behind since the last call. Takes 1 µs if none."""
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except (ChildProcessError, AttributeError):  # there is no child, or this is macOS
            return False
        before, self._children = self._children, set()
        with contextlib.suppress(OSError):  # not Linux, or a thread has ended meanwhile
            for thread in os.listdir("/proc/self/task"):
                with open(f"/proc/self/task/{thread}/children") as file:
                    self._children.update(file.read().split())
        return not self._children <= before

    def _recording(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function of ``signal`` or ``os`` so that its calls are noticed."""

        @functools.wraps(function)
        def recording(*args: Any) -> Any:
            self._changed = True
            return function(*args)

        return recording
