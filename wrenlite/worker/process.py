"""The operating system's side of a worker: how its process is started, and what its exit code means."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

import wrenlite
from wrenlite.errors import (
    InitializerFailed,
    OutOfMemory,
    TaskError,
    TaskTimeout,
    WorkerDied,
    WorkerStartError,
)
from wrenlite.protocol import LOCAL_HINTS, Hints
from wrenlite.storage.local import descriptor_advice

_BOOT = """
import gc, sys
gc.disable()
sys.path.insert(0, sys.argv[1])
import wrenlite.worker.main
del sys.path[0]
gc.enable()
wrenlite.worker.main.main()
"""
"""The program of a worker. Imports leave no garbage behind, and looking for it would take 1.5 ms."""
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(wrenlite.__file__)))

_MALLOC_ENV = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
"""The values that glibc sets by itself as soon as a process has freed an array of 32 MB. With them, arrays
below that size reuse freed memory. With glibc's initial values such arrays are mapped and cleared anew each
time, which takes a tenth of the time of numeric tasks."""


def start_process(
    output: int, others: Sequence[int], env: Mapping[str, str], folder: str | None
) -> subprocess.Popen[bytes]:
    """Start a worker process, in a session of its own.

    Args:
        output: the file that its stderr goes to.
        others: further file descriptors that it inherits.
        env: its environment variables.
        folder: its working folder; this process's where it is None, or was removed.

    Raises:
        OSError: the operating system cannot start it.
    """
    return subprocess.Popen(
        [sys.executable or "python3", *interpreter_flags(), "-P", "-c", _BOOT, _ROOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=output,
        bufsize=0,
        pass_fds=others,
        start_new_session=True,
        env={**_MALLOC_ENV, **env},
        cwd=folder if folder is not None and os.path.isdir(folder) else None,
    )


def interpreter_flags() -> list[str]:
    """Return the flags that this interpreter was started with, such as ``-O``, ``-I`` and ``-X utf8``.

    ``multiprocessing`` hands flags on by the same function, which leaves out some of the options of ``-X``.
    """
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    options = [name if value is True else f"{name}={value}" for name, value in sys._xoptions.items()]
    return flags + [part for option in options if option not in flags for part in ("-X", option)]


def open_standard_descriptors() -> None:
    """Open the null device where one of the file descriptors 0 to 2 is closed.

    A program that was started without them would otherwise get pipes to workers under these numbers, and
    whatever writes to its stdout or stderr would write into a pipe.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        pass
    os.close(descriptor)


def start_error(error: OSError) -> WorkerStartError:
    """Return the error for a worker that the operating system cannot start."""
    advice = descriptor_advice(error)
    if advice is not None:
        return WorkerStartError(f"cannot start a worker: {advice}")
    return WorkerStartError(f"cannot start {sys.executable!r}: {error}")


NO_START_ADVICE = "Does this Python start from a shell, and can it import cloudpickle?"


def not_started_error(code: int | None) -> WorkerStartError:
    """Return the error for a worker that ended before it could run anything.

    Args:
        code: its exit code; None if unknown.
    """
    return WorkerStartError(
        f"a worker could not start: {sys.executable} exited with code {code}. {NO_START_ADVICE}"
    )


_PARENT_BYTES = 64 * 2**20
"""Memory of the parent process where it shares the memory limit with the worker, as in a cloud sandbox."""


def exit_error(
    code: int | None, peak_bytes: int, memory_limit: int | None, hints: Hints = LOCAL_HINTS
) -> TaskError:
    """Return the error for the task that was running when its worker ended.

    Args:
        code: the exit code of the worker, negative for a signal; None if unknown.
        peak_bytes: the most memory that it has held; 0 if unknown.
        memory_limit: the most bytes that it may hold.
        hints: what the message advises when memory is missing.
    """
    if code is None:
        return WorkerDied("its worker ended, and other code in this process took its exit code")
    if code >= 0:
        return WorkerDied(
            f"its worker exited with code {code}: the task, or a library that it uses, ended the process"
        )
    name, peak = signal_name(-code), f"{peak_bytes / 2**20:,.0f} MB"
    if memory_limit and peak_bytes >= min(0.9 * memory_limit, memory_limit - _PARENT_BYTES):
        limit = f"{memory_limit / 2**20:,.0f} MB"
        text = f"its worker was killed by {name} holding {peak} of the {limit} that it may hold"
        return OutOfMemory(f"{text}: {hints.memory}")
    doubt = ""
    if code == -signal.SIGKILL:
        held = f" (it had held up to {peak})" if peak_bytes else ""
        doubt = f", perhaps by the system because memory ran out{held}. If so: {hints.memory}"
    return WorkerDied(f"its worker was killed by {name}{doubt}")


def initializer_error(name: str, error: TaskError) -> InitializerFailed:
    """Return the error for tasks whose worker ended while it ran its initializer.

    Args:
        name: of the initializer.
        error: what it would be if a task had run.
    """
    if isinstance(error, TaskTimeout):
        why = "it may take a minute longer than timeout=. Set a longer timeout=, or find out why it hangs"
    else:
        why = str(error).replace("the task", "the initializer", 1)
    return InitializerFailed(f"the initializer {name} did not return, so no task can run: {why}")


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def is_readable(fd: int, timeout_s: float = 0.0) -> bool:
    """Return whether there is something to read from a pipe, or it has ended.

    Args:
        fd: the file descriptor.
        timeout_s: seconds to wait for that.
    """
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def wait_for_exit(pid: int, longest_s: float) -> None:
    """Give a child process some seconds to exit by itself."""
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, AttributeError):  # it has been reaped, or the system does not know this call
        return
    try:
        is_readable(pidfd, longest_s)
    finally:
        os.close(pidfd)


open_pipe_ends: set[int] = set()
"""The ends of the pipes to all workers in this process. A forked child must close its copies of them;
otherwise the workers would outlive this process."""


def _close_in_child() -> None:
    for fd in open_pipe_ends:
        with contextlib.suppress(OSError):
            os.close(fd)
    open_pipe_ends.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
