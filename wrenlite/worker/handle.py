"""The holder's side of a worker: starts it, feeds it, watches the time, and notices its death.

A local slot holds a worker, and so does the Lambda handler. A ``WorkerProcess`` serves one request at a time,
in whichever thread calls ``run``; only ``kill`` may be called from another.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import wrenlite
from wrenlite.errors import (
    BackendError,
    IncompatibleRuntime,
    OutOfMemory,
    TaskError,
    TaskTimeout,
    WorkerDied,
    WorkerStartError,
)
from wrenlite.protocol import PROTOCOL, Cause, Died, Ended, Outcome, Refused, Request, Usage
from wrenlite.serialize import framing
from wrenlite.storage.base import Store
from wrenlite.worker.main import (
    BEGIN,
    END,
    OUTCOME,
    READY,
    Hello,
    peak_bytes,
    read_bounded,
)

_START_S = 60.0
"""Seconds that a worker may take to start, and again to load a function before ``timeout=`` counts."""
_LOOK_S = 0.5
"""Seconds between looks at a worker that says nothing: it may have been stopped (SIGSTOP)."""
_LEAVE_S = 1.0
"""Seconds that a worker whose pipe has closed may take to end by itself, so that its exit code is its own."""

_MANY = 32
_GATHER_S = 0.0005
"""With so many tasks of a batch to come, they are short: let outcomes gather, rather than wake for each."""

_PIPE_BYTES = 1 << 20
"""What the pipe of the replies holds: fewer turns between worker and holder while a large value passes."""

_BOOT = """
import sys
sys.path.insert(0, sys.argv[1])
import wrenlite.worker.main
del sys.path[0]
wrenlite.worker.main.main()
"""
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(wrenlite.__file__)))

_live_ends: set[int] = set()
"""Our ends of the pipes: a forked child must let go of them, or the workers would outlive us."""


def _close_in_child() -> None:
    for fd in _live_ends:
        with contextlib.suppress(OSError):
            os.close(fd)
    _live_ends.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


class _WorkerGone(Exception):
    """The worker ended, or was made to; holds the error for the task that was running, if known already."""

    def __init__(self, error: TaskError | BackendError | None = None) -> None:
        self.error = error


class _OutOfTime(_WorkerGone):
    """It was made to end because the batch as a whole took too long."""


_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
"""Where glibc's own adjustment ends, once a process has freed an array of 32 MB: smaller ones are made of
memory that others left. Until then they are mapped and cleared anew: a tenth of what numeric tasks take."""


class WorkerProcess:
    """A worker process and what its holder knows of it."""

    def __init__(
        self,
        store: Store,
        path: Sequence[str],
        memory_limit: int | None,
        env: Mapping[str, str],
        folder: str | None = None,
    ) -> None:
        """Start the process. Raises WorkerStartError where the system will not.

        Args:
            store: where it finds the code.
            path: its ``sys.path``.
            memory_limit: bytes of memory it may hold (Linux).
            env: its environment.
            folder: its working folder.
        """
        self.modules: str | None = None
        self._ready = False
        self._cold = True
        self._reaped = False
        self._reaping = threading.Lock()
        self._peak_bytes = 0
        self._inherited_bytes = 0
        self._within_s = self._end = float("inf")
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the worker
        fcntl.fcntl(self._output, fcntl.F_SETFL, os.O_APPEND)  # so that it can be cut while it is written
        life, self._life = os.pipe()
        _live_ends.add(self._life)
        try:
            self._process = self._start(life, env, folder)
        except OSError as error:
            _live_ends.discard(self._life)
            os.close(self._life)
            self._output.close()
            raise WorkerStartError(f"cannot start {sys.executable!r}: {error}") from error
        finally:
            os.close(life)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin.fileno(), self._process.stdout.fileno()
        _live_ends.update((self._requests, self._replies, self._life))
        os.set_blocking(self._requests, False)
        with contextlib.suppress(OSError, AttributeError):  # not Linux, or this user has many such pipes
            fcntl.fcntl(self._replies, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._reader = framing.Reader(self._replies)
        hello = Hello(list(path), store, memory_limit, life)
        self._greeting = framing.frame(hello)
        self._memory_limit = memory_limit

    def _start(self, life: int, env: Mapping[str, str], folder: str | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable or "python3", "-P", "-c", _BOOT, _ROOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            bufsize=0,
            pass_fds=[life],
            start_new_session=True,
            env={**_MALLOC, **env},
            cwd=folder,
        )

    @property
    def alive(self) -> bool:
        """Whether it can take another request: not where it was killed while it had nothing to do."""
        if self._reaped:
            return False
        try:
            self._check_alive()
        except _WorkerGone:
            return False
        return True

    def wait_until_ready(self) -> None:
        """Let it start and get its store ready. What goes wrong, ``run`` will say."""
        try:
            framing.write(self._requests, self._greeting, self._wait_for_room)
            self._greeting = []
            while not self._ready:
                self._wait_for_reply(time.monotonic() + _START_S, None)
                self._sort(self._read())
        except _WorkerGone as gone:
            self._explain_death(gone.error)

    def run(
        self, request: Request, emit: Callable[[list[Outcome]], None], within_s: float | None = None
    ) -> Ended:
        """Run a request; outcomes are emitted as they come.

        A worker that dies, hangs past the request's limits, cannot start or runs another version is
        gone afterwards (``alive`` is false), and the ``Ended`` says why.

        Args:
            request: the batch.
            emit: takes outcomes.
            within_s: seconds that there are for the whole batch. The task that they cut short loses an
                attempt only where it had them all; otherwise it is reported as not started.
        """
        finished = 0
        self._within_s = float("inf") if within_s is None else within_s
        self._end = time.monotonic() + self._within_s

        def count(outcomes: list[Outcome]) -> None:
            nonlocal finished
            finished += len(outcomes)
            emit(outcomes)

        self.modules = request.modules or self.modules
        try:
            self._send(request)
            usage, cause = self._collect(request, count)
        except _WorkerGone as gone:
            error = self._explain_death(gone.error)
            usage = Usage(peak_bytes=self._peak_bytes, worker=str(self._process.pid), cold=self._cold)
            if isinstance(error, BackendError):
                return Ended(Refused(error), usage, request.tasks[finished:])
            if isinstance(gone, _OutOfTime) and finished:
                return Ended(None, usage, request.tasks[finished:])
            return Ended(Died(error), usage, request.tasks[finished + 1 :])
        self._cold = False
        return Ended(cause, usage, request.tasks[finished:])

    def kill(self) -> None:
        """End it and what it started, at once. ``run`` then says that it died."""
        with self._reaping:
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it, and come back when it is gone."""
        if not self._reaped:
            self.kill()
            self._reap()
            self._release()

    def _send(self, request: Request) -> None:
        message = request._replace(items=[framing.portable(item) for item in request.items])
        parts = [*self._greeting, *framing.frame(tuple(message))]
        self._greeting = []
        try:
            framing.write(self._requests, parts, self._wait_for_room)
        except BrokenPipeError:
            raise _WorkerGone from None

    def _collect(self, request: Request, emit: Callable[[list[Outcome]], None]) -> tuple[Usage, Cause | None]:
        limit = request.limits.task_timeout_s
        left = len(request.tasks)
        now = time.monotonic()
        deadline = now + _START_S if not self._ready else now + _START_S + limit if limit else None
        while True:
            self._wait_for_reply(deadline, limit)
            messages = self._read()
            outcomes, end = self._sort(messages)
            if outcomes:
                emit(outcomes)
            if end is not None:
                return end
            if messages and limit:
                counts = messages[-1][0] in (BEGIN, OUTCOME)
                deadline = time.monotonic() + (limit if counts else _START_S + limit)
            elif limit and deadline is not None:  # a value is on its way, and its task is over
                deadline = max(deadline, time.monotonic() + limit)
            elif self._ready and not limit:
                deadline = None
            left -= len(outcomes)
            if left > _MANY:
                time.sleep(_GATHER_S)

    def _sort(self, messages: list[Any]) -> tuple[list[Outcome], tuple[Usage, Cause | None] | None]:
        outcomes = []
        end = None
        for kind, *content in messages:
            if kind == OUTCOME:
                task, ok, packed, *rest = content
                outcomes.append(Outcome(task, ok, framing.received(packed), *rest))
            elif kind == END:
                usage, cause = content
                end = Usage(*usage)._replace(cold=self._cold), cause
            elif kind == READY:
                self._check_versions(*content)
        return outcomes, end

    def _read(self) -> list[Any]:
        try:
            return self._reader.read()
        except EOFError:
            raise _WorkerGone from None

    def _check_versions(self, protocol: int, version: str, inherited_bytes: int) -> None:
        self._inherited_bytes = inherited_bytes
        if (protocol, version) != (PROTOCOL, wrenlite.__version__):
            text = (
                f"this process runs wrenlite {wrenlite.__version__}, but a new worker finds {version} "
                "installed: it was upgraded meanwhile. Restart this process (in Jupyter: the kernel)"
            )
            raise _WorkerGone(IncompatibleRuntime(text))
        self._ready = True

    def _wait_for_reply(self, deadline: float | None, limit: float | None) -> None:
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        while True:
            left = min(_LOOK_S, self._end - time.monotonic())
            if deadline is not None:
                left = min(left, deadline - time.monotonic())
            if poll.poll(max(0.0, left * 1000)):
                return
            self._check_alive()
            self._check_time()
            if deadline is not None and time.monotonic() >= deadline:
                if not self._ready:
                    raise _WorkerGone(WorkerStartError(f"a worker did not start within {_START_S:.0f} s"))
                raise _WorkerGone(TaskTimeout(f"it ran longer than timeout={limit:g} s"))

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self._requests, select.POLLOUT)
        end = time.monotonic() + _START_S
        while not poll.poll(_LOOK_S * 1000):
            self._check_alive()
            self._check_time()
            if time.monotonic() >= end:
                kind = WorkerDied if self._ready else WorkerStartError
                raise _WorkerGone(kind(f"a worker did not read its request within {_START_S:.0f} s"))

    def _check_time(self) -> None:
        if time.monotonic() >= self._end:
            text = f"it ran for all of the {self._within_s:.1f} s that there are"
            raise _OutOfTime(
                TaskTimeout(f"{text} (on Lambda the function's limit: wrenlite-setup --timeout)")
            )

    def _check_alive(self) -> None:
        """See whether a worker that says nothing has been stopped, or is gone though its pipe is open."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return
        try:
            what = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT
            state = os.waitid(os.P_PID, self._process.pid, what)
        except ChildProcessError:
            raise _WorkerGone from None
        if state is None:
            return
        if state.si_code == os.CLD_STOPPED:
            raise _WorkerGone(
                WorkerDied(f"its worker was stopped by {signal_name(state.si_status)}, and was replaced")
            )
        raise _WorkerGone

    def _explain_death(self, error: TaskError | BackendError | None) -> TaskError | BackendError:
        """Take the dead away; says what it died of, with its last words."""
        if error is not None:
            self.kill()
        code = self._reap()
        if error is None:
            error = self._cause(code)
        size = os.fstat(self._output.fileno()).st_size
        words = read_bounded(self._output.fileno(), size).strip()
        self._release()
        if not words or isinstance(error, TaskTimeout):
            return error
        return type(error)(f"{error}. Its last output:\n{words[-2000:]}")

    def _reap(self) -> int | None:
        """Wait for its end, which is near or will be made; returns its exit code, None where it is lost."""
        if hasattr(os, "pidfd_open"):
            self._let_leave()
        self.kill()
        code = None
        with self._reaping:
            self._reaped = True
            # Somebody else may have waited for it: os.wait(), or SIGCHLD is ignored.
            with contextlib.suppress(ChildProcessError):
                _, status, usage = os.wait4(self._process.pid, 0)
                code = os.waitstatus_to_exitcode(status)
                self._peak_bytes = peak_bytes(usage, self._inherited_bytes)
        self._process.returncode = -1 if code is None else code  # it must not wait again
        return code

    def _release(self) -> None:
        """Close what was open to it."""
        _live_ends.difference_update((self._requests, self._replies, self._life))
        os.close(self._life)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._output.close()

    def _let_leave(self) -> None:
        try:
            pidfd = os.pidfd_open(self._process.pid)
        except OSError:  # it is gone, or this system does not let us
            return
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.poll(_LEAVE_S * 1000)
        finally:
            os.close(pidfd)

    def _cause(self, code: int | None) -> TaskError | BackendError:
        if not self._ready:
            return WorkerStartError(f"a worker could not start: {sys.executable} exited with code {code}")
        return cause_of_death(code, self._peak_bytes, self._memory_limit)


_SUPERVISOR_BYTES = 64 * 2**20
"""What else lives within the same limit: inside Lambda, the handler."""


def cause_of_death(code: int | None, peak_bytes: int, memory_limit: int | None) -> TaskError:
    """The error for the task that was running.

    Args:
        code: exit code of the worker, negative for a signal; None where it is lost.
        peak_bytes: the most memory that it held; 0 where that is not known.
        memory_limit: bytes that it might hold.
    """
    if code is None:
        return WorkerDied("its worker ended, and something in this process took its exit code away")
    if code >= 0:
        return WorkerDied(f"its worker exited with code {code}")
    name, peak = signal_name(-code), f"{peak_bytes / 2**20:,.0f} MB"
    if memory_limit and peak_bytes >= min(0.9 * memory_limit, memory_limit - _SUPERVISOR_BYTES):
        limit = f"{memory_limit / 2**20:,.0f} MB"
        return OutOfMemory(f"its worker was killed by {name} holding {peak} of the {limit} it may")
    doubt = ""
    if code == -signal.SIGKILL:
        doubt = ", perhaps by the system for want of memory"
        doubt += f" (it had held up to {peak})" if peak_bytes else ""
    return WorkerDied(f"its worker was killed by {name}{doubt}")


def signal_name(number: int) -> str:
    """Such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
