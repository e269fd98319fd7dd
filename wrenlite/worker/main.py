"""The worker program: a process that runs batches, one at a time, locally and inside Lambda.

It reads a request from a pipe, lets ``runner`` run it, and writes each outcome back at once, so that
whoever holds it (``holder.Worker``) always knows what is finished: tasks run in order, so the first
one without an outcome is the one that was running when the worker died.

::

    holder                                   worker (a process in a session of its own)
    Worker.run(request) ── requests ───────▶ fd 0, moved out of the tasks' way
                        ◀── replies ──────── fd 1, moved out of the tasks' way
                        ◀── output file ──── fd 1 and 2 of the tasks, read by either side
                           life ───────────▶ closes when the holder dies: the kernel kills the group

Nothing of the holder's outlives it: the read end of ``life`` has O_ASYNC, F_SETOWN (the process
group) and F_SETSIG (SIGKILL) set, so Linux itself kills the worker and what it started the moment the
holder's end closes, by whatever death, even while the worker is deep in C code. (PDEATHSIG would
depend on the thread that started the worker, and would spare the worker's children.) Elsewhere a
thread waits for the same end.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from wrenlite import __version__
from wrenlite.protocol import PROTOCOL, Cause, Outcome, Packed, Request, Usage
from wrenlite.serialize import framing
from wrenlite.serialize.pickling import OUT_OF_BAND
from wrenlite.storage.base import Store
from wrenlite.worker.runner import NotRun, Runner

READY, BEGIN, OUTCOME, END = range(4)
"""The kinds of message that a worker writes."""

OUTPUT_BYTES = 64 * 1024
"""How much of a task's output is kept: its first quarter and its last three."""


class Hello(NamedTuple):
    """The first message to a worker."""

    path: list[str]
    store: Store
    memory_limit: int | None
    life: int
    """The file descriptor that closes when the holder dies."""


def main() -> None:
    """The program. Ends when its requests do."""
    requests, replies = os.dup(0), os.dup(1)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.close(devnull)
    output = Output()
    surroundings = Surroundings()
    reader = framing.Reader(requests)
    hello, *waiting = _first_messages(reader)
    _prepare(hello)
    hello.store.open()
    inherited = peak_bytes(resource.getrusage(resource.RUSAGE_SELF), 0)
    framing.write(replies, framing.frame((READY, PROTOCOL, __version__, inherited)))
    runner = Runner(hello.store, take_output=output.take, memory_limit=hello.memory_limit)
    while True:
        while waiting:  # and nothing here holds the items of a request that is over
            _serve(framing.received_request(waiting.pop(0)), runner, replies, surroundings, inherited)
        try:
            waiting = reader.read()
        except EOFError:
            return


def _first_messages(reader: framing.Reader) -> list[Any]:
    while not (messages := reader.read()):
        pass
    return messages


def _prepare(hello: Hello) -> None:
    sys.path[:] = hello.path
    sys.argv[:] = ["wrenlite-worker"]
    _die_with_holder(hello.life)
    if hello.memory_limit is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (hello.memory_limit, hello.memory_limit))
    import faulthandler

    faulthandler.enable()  # a crash says where, in the output


def _die_with_holder(life: int) -> None:
    import fcntl
    import select

    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([life], [], [], 0)[0]:  # it died before this
            os._exit(1)
    else:
        import threading

        def wait() -> None:
            os.read(life, 1)
            os.killpg(0, signal.SIGKILL)

        threading.Thread(target=wait, daemon=True).start()


def _serve(
    request: Request, runner: Runner, replies: int, surroundings: Surroundings, inherited: int
) -> None:
    pid = os.getpid()
    begun = time.perf_counter()

    def begin() -> None:
        nonlocal begun
        begun = time.perf_counter()
        if request.limits.task_timeout_s is not None:  # from now on the holder counts
            os.write(replies, framing.small_frame((BEGIN,)))

    last = request.tasks[-1]
    cause, end = None, b""
    try:
        for outcome in runner.run(request, begin):
            if os.getpid() != pid:  # a task forked, and this is the child, back from the task
                os._exit(0)
            end = _end(begun, inherited) if outcome.task == last else b""
            _reply(replies, outcome, end)
            del outcome  # a large value must not live until the next one is made
            surroundings.restore()
    except NotRun as error:
        cause = error.cause
    if not end:
        framing.write(replies, [memoryview(_end(begun, inherited, cause))])


def peak_bytes(usage: resource.struct_rusage, inherited: int) -> int:
    """The most memory that a process held; 0 where it cannot be told.

    On Linux the figure of a new process begins with what its parent held when it started it.
    """
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak if peak > inherited else 0


def _end(begun: float, inherited: int, cause: Cause | None = None) -> bytes:
    peak = peak_bytes(resource.getrusage(resource.RUSAGE_SELF), inherited)
    usage = Usage(time.perf_counter() - begun, peak, str(os.getpid()))
    return framing.small_frame((END, tuple(usage), cause))


def _reply(replies: int, outcome: Outcome, end: bytes) -> None:
    """Write an outcome, and with the last one the end, so that the holder wakes up once for both."""
    task, ok, packed, *rest = outcome
    if isinstance(packed, Packed) and (packed.buffers or len(packed.data) >= OUT_OF_BAND):
        framing.write(
            replies, [*framing.frame((OUTCOME, task, ok, framing.portable(packed), *rest)), memoryview(end)]
        )
        return
    data = framing.small_frame((OUTCOME, task, ok, tuple(packed), *rest)) + end
    written = os.write(replies, data)
    if written < len(data):  # a signal came in between
        framing.write(replies, [memoryview(data)[written:]])


class Surroundings:
    """What a task may change of its process and the next one must not see: folder and signal handlers."""

    def __init__(self) -> None:
        self._folder = os.getcwd()
        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._signals_changed = False
        # To ask for 64 handlers and the alarm after each task would cost more than a short task does.
        for name in ("signal", "alarm", "setitimer"):
            setattr(signal, name, self._watched(getattr(signal, name)))

    def restore(self) -> None:
        """Put it back. Costs a fraction of a microsecond where nothing was changed."""
        try:
            changed = os.getcwd() != self._folder
        except FileNotFoundError:  # the task removed the folder it was in
            changed = True
        if changed:
            with contextlib.suppress(FileNotFoundError):  # the caller removed it
                os.chdir(self._folder)
        if self._signals_changed:
            for number, handler in self._handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
            signal.alarm(0)
            self._signals_changed = False

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*args: Any) -> Any:
            self._signals_changed = True
            return function(*args)

        return watched


class Output:
    """What tasks write to stdout and stderr, Python's and C's alike: a file that the holder opened.

    The holder still has it when the worker is gone, and so its last words.
    """

    def __init__(self) -> None:
        self._file = os.dup(2)
        self._stream: Any = None
        self._redirect()

    def take(self) -> str:
        """What was written since the last call, bounded."""
        try:
            self._stream.flush()
            size = os.lseek(1, 0, os.SEEK_END)
            intact = sys.stdout is self._stream and sys.stderr is self._stream
        except (OSError, ValueError):  # a task closed or replaced one of them
            size, intact = os.lseek(self._file, 0, os.SEEK_END), False
        if not intact:
            self._redirect()
            size = os.lseek(self._file, 0, os.SEEK_END)
        if not size:
            return ""
        text = read_bounded(self._file, size)
        os.ftruncate(self._file, 0)
        return text

    def _redirect(self) -> None:
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)
        self._stream = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.stdout = sys.stderr = self._stream


def read_bounded(fd: int, size: int) -> str:
    """The beginning and the end of a file of so many bytes."""
    if size <= OUTPUT_BYTES:
        data = os.pread(fd, size, 0)
    else:
        head, tail = OUTPUT_BYTES // 4, OUTPUT_BYTES * 3 // 4
        gap = f"\n[… {size - OUTPUT_BYTES:,} bytes left out …]\n".encode()
        data = os.pread(fd, head, 0) + gap + os.pread(fd, tail, size - tail)
    return data.decode("utf-8", "replace")
