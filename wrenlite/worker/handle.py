"""The parent's side of a worker: starts it, sends requests, enforces time limits, and explains its end.

Every slot of the local backend has a worker, and so has the handler in a cloud sandbox. A ``WorkerProcess``
runs one request at a time, in whichever thread calls ``run``. Only ``kill`` may be called from another thread
meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
from wrenlite.memory import resident_bytes
from wrenlite.protocol import (
    LOCAL_HINTS,
    PROTOCOL,
    Died,
    Ended,
    Hints,
    Outcome,
    Refused,
    Request,
    Usage,
    size_of,
)
from wrenlite.serialize import framing, replies
from wrenlite.serialize.initializers import Initializer, as_sent
from wrenlite.storage.base import Store
from wrenlite.texts import printable
from wrenlite.worker.authkey import KeyOnWorker
from wrenlite.worker.clock import AttentiveClock
from wrenlite.worker.main import BEGIN, END, NO_ROOM, OUTCOME, OUTCOMES, READY, STORING, Hello
from wrenlite.worker.notes import item_too_large
from wrenlite.worker.outbox import GATHER_S, OutboxReader
from wrenlite.worker.output import OutputFile, RecordsFile
from wrenlite.worker.peak_memory import peak_bytes
from wrenlite.worker.process import (
    NO_START_ADVICE,
    exit_error,
    initializer_error,
    not_started_error,
    open_pipe_ends,
    open_standard_descriptors,
    signal_name,
    start_error,
    start_process,
    wait_for_exit,
)

if TYPE_CHECKING:
    from wrenlite.storage.archives import ArchivesPlace

_START_S = 60.0
"""Seconds that a worker may take to start, to load a function before ``timeout=`` counts, to store values."""
_CHECK_INTERVAL_S = 0.1
"""Seconds between checks of a worker from which nothing comes: it may have been stopped (SIGSTOP), or fill
the disk with its output."""
_FLOOD_INTERVAL_S = 0.01
"""Seconds until the next check where it does fill the disk."""
_MOST_IDLE_OUTPUT_BYTES = 16 << 20
"""The most that processes which outlived their tasks may write between two checks of an idle worker."""
_MOST_OLD_OUTPUTS = 16
"""The most files for output that are left to processes which outlived their tasks."""
_HAS_PROC = os.path.isdir("/proc/self/fd")
"""Whether a worker can open a file of this process that has no name."""
_EXIT_S = 1.0
"""Seconds that a worker whose pipe has closed gets to exit by itself, so that its exit code is its own."""
_GRACE_S = 2.0
"""Seconds that a worker which is not needed any more gets for its exit handlers."""

_TIMEOUT_ADVICE = "Set a longer timeout=, or make the task smaller"
_SLOW_START_ADVICE = "Is this machine overloaded, or is its Python environment on a slow disk?"
_NOT_READ_ADVICE = "Does a task hold its process in C code, or is the machine overloaded?"
_NO_REPLY_ADVICE = "Does the task, or a library that it uses, write to file descriptors that it did not open?"

_PIPE_BYTES = 1 << 20
"""Capacity of the pipe of replies. A large value then takes fewer switches between worker and parent."""


class _WorkerEnded(Exception):
    """The worker has ended or must be killed.

    Holds the error for the task that was running, or None where the exit status of the worker tells it.
    """

    def __init__(self, error: TaskError | BackendError | None = None) -> None:
        self.error = error


class _AnyTask(_WorkerEnded):
    """Any task that has no outcome may be the reason why the worker has ended: each runs again alone."""


class _BatchTimeout(_WorkerEnded):
    """The worker must be killed because the whole batch took too long."""


class WorkerProcess:
    """A worker process, seen from its parent."""

    def __init__(
        self,
        store: Store,
        path: Callable[[], Sequence[str]],
        memory_limit: int | None,
        env: Mapping[str, str],
        folder: str | None = None,
        *,
        max_tasks: int | None = None,
        initializer: Initializer | None = None,
        hints: Hints = LOCAL_HINTS,
        archives: ArchivesPlace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the process.

        Args:
            store: holds the code of jobs.
            path: returns its ``sys.path``. It may take a while: it is called while the process starts.
            memory_limit: the most bytes of memory that it may hold (Linux).
            env: its environment variables.
            folder: its working folder.
            max_tasks: tasks that it runs before it is replaced; None: any number.
            initializer: what it calls before its first task; None: nothing.
            hints: what messages advise when memory, time or a package is missing.
            archives: where it finds packages that are in archives; None: there are none.
            clock: seconds. They are only compared with each other.

        Raises:
            WorkerStartError: the operating system cannot start it.
        """
        self.modules: str | None = None
        """The digest of the local modules that it has installed."""
        self.worn_out = False
        """Whether it has reported that it must be replaced before anything else runs."""
        self._ready, self._cold, self._reaped = False, True, False
        self._lock = threading.Lock()  # held to signal or reap the process, and to use or close its files
        self._peak_bytes = self._inherited_bytes = self._finished = 0
        self._old_outputs: list[OutputFile] = []  # processes that outlived their tasks write to them
        self._leaves_writers, self._key = False, KeyOnWorker()
        self._tasks: Sequence[int] = ()
        self._clock, self._attentive_clock = clock, AttentiveClock(clock)
        self._time_limit_s = self._deadline = float("inf")
        shared = self._start(env, folder)
        self._reader = framing.Reader(self._replies)
        first = as_sent(initializer)
        hello = Hello(list(path()), store, memory_limit, *shared, max_tasks, first, hints, archives)
        self._hello_frame = framing.frame(hello)
        self._memory_limit, self._initializer, self._hints = memory_limit, initializer, hints

    def _start(self, env: Mapping[str, str], folder: str | None) -> tuple[int, int, int]:
        """Start the process with its pipes, the file of its output, and what it shares with this process.

        Returns:
            The worker's file descriptors of the life pipe, the file of log records, and the outbox.
        """
        with contextlib.ExitStack() as if_it_fails:
            try:
                open_standard_descriptors()
                self._output = OutputFile()
                if_it_fails.callback(self._output.close)
                self._records = RecordsFile()
                if_it_fails.callback(self._records.close)
                self._outbox = OutboxReader()
                if_it_fails.callback(self._outbox.close)
                life, self._life = os.pipe()
                if_it_fails.callback(os.close, self._life)
                open_pipe_ends.add(self._life)
                if_it_fails.callback(open_pipe_ends.discard, self._life)
                try:
                    inherited = life, self._records.fileno(), self._outbox.fileno()
                    self._process = start_process(self._output.fileno(), inherited, env, folder)
                finally:
                    os.close(life)
            except OSError as error:
                raise start_error(error) from error
            if_it_fails.pop_all()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin.fileno(), self._process.stdout.fileno()
        open_pipe_ends.update((self._requests, self._replies))
        os.set_blocking(self._requests, False)
        with contextlib.suppress(OSError, AttributeError):  # not Linux, or this user has many such pipes
            fcntl.fcntl(self._replies, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return inherited

    @property
    def alive(self) -> bool:
        """Whether the worker can run another request.

        False also if it was killed while it was idle, or if there is something to read while no request runs:
        a thread that a task left behind has written it.
        """
        if self._reaped:
            return False
        try:
            self._check_alive()
        except _WorkerEnded:
            return False
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        return not (self._ready and poll.poll(0))

    def wait_until_ready(self) -> None:
        """Wait until the worker has started and prepared its store. ``run`` reports an error of the start."""
        try:
            framing.write(self._requests, self._hello_frame, self._wait_for_room)
            self._hello_frame = []
            while not self._ready:
                deadline = self._attentive_clock() + _START_S
                messages = self._wait_for_messages(deadline, None, gathers=False)
                try:
                    for _, *content in messages:
                        self._check_versions(*content)
                except TypeError:
                    raise self._not_a_reply(messages[0]) from None
        except _WorkerEnded as ended:
            self._clean_up(ended.error)

    def run(
        self, request: Request, emit: Callable[[list[Outcome]], None], time_limit_s: float | None = None
    ) -> tuple[list[Outcome], Ended]:
        """Run a request, and emit outcomes as they come.

        A worker that dies, exceeds a time limit, cannot start or runs another version of wrenlite has ended
        afterwards (``alive`` is false), and the result has the reason.

        Args:
            request: the batch.
            emit: called with outcomes.
            time_limit_s: seconds for the whole batch. The task that is running when they are over loses an
                attempt only if it is the first of the batch and so had all of the time; otherwise it counts
                as not started.

        Returns:
            The outcomes that came with the end, which are not emitted, and how the request ended.
        """
        self._outbox.expect_request()
        self._tasks, self._finished = request.tasks, 0
        self._time_limit_s = float("inf") if time_limit_s is None else time_limit_s
        self._deadline = self._clock() + self._time_limit_s

        def count(outcomes: list[Outcome]) -> None:
            if outcomes:
                self._finished += len(outcomes)
                emit(outcomes)

        self.modules = request.modules or self.modules
        try:
            self._send(request)
            last = self._receive(request, count)
        except _WorkerEnded as death:
            return [], self._end_of_broken(request, death, count)
        finally:
            self._tasks = ()
        self._cold = False
        return last

    def _end_of_broken(
        self, request: Request, ended: _WorkerEnded, emit: Callable[[list[Outcome]], None]
    ) -> Ended:
        """Clean up after the worker, and return the end of a request during which it has ended."""
        error, output, records = self._clean_up(ended.error)
        if not isinstance(ended, _AnyTask):
            outcomes, _ = self._decode(self._gathered(), request, self._finished)
            emit(outcomes)
        left = request.tasks[self._finished :]
        usage = Usage(peak_bytes=self._peak_bytes, worker=str(self._process.pid), cold=self._cold)
        usage = usage._replace(tasks=self._finished + bool(left))
        if isinstance(error, BackendError):
            return Ended(Refused(error), usage, left)
        if self._initializer and not self._outbox.initialized and not isinstance(ended, _AnyTask):
            return Ended(
                Refused(initializer_error(self._initializer.name, error)), usage, left, output, records
            )
        if isinstance(ended, _BatchTimeout) and self._finished:
            return Ended(None, usage, left, output)
        if isinstance(ended, _AnyTask):
            return Ended(Died(error), usage, ())
        return Ended(Died(error), usage, left[1:], output, records)

    def running(self) -> Sequence[int]:
        """Return the number of the task that runs now; nothing where none does. Any thread may call this."""
        position = None if self._reaped else self._outbox.running()
        return () if position is None else self._tasks[position : position + 1]

    def output(self) -> tuple[int, str] | None:
        """Return the number of the task that runs now, and what it has written so far; None: unknown.

        Any thread may call this. Python writes whole lines, so the beginning of a line is not seen yet.
        """
        with self._lock:
            running = self.running()
            text = self._output.read() if running else ""
            # Where a task has ended meanwhile, the text is of the next one.
            return (running[0], text) if running and running == self.running() else None

    def held_bytes(self) -> int:
        """Return the memory that the worker holds now; 0 where that is unknown. Any thread may call this."""
        return 0 if self._reaped else resident_bytes(self._process.pid)

    def drop_output(self) -> bool:
        """Drop what processes that outlived their tasks have written while no task runs.

        Returns:
            Whether it was little. Otherwise it would fill the disk.
        """
        dropped = self._output.empty()
        self._leaves_writers = self._leaves_writers or dropped > 0
        dropped += sum(file.empty() for file in self._old_outputs)
        return dropped <= _MOST_IDLE_OUTPUT_BYTES

    def _renew_output(self) -> list[memoryview]:
        """Use another file for output where processes that outlived their tasks write to the present one.

        Returns:
            The message to the worker with the new file; nothing where there is none.
        """
        if not self._leaves_writers or len(self._old_outputs) >= _MOST_OLD_OUTPUTS or not _HAS_PROC:
            return []
        self._leaves_writers = False
        try:
            output = OutputFile()
        except OSError:  # no descriptor is free, or no disk: then output is mixed
            return []
        with self._lock:
            self._old_outputs.append(self._output)
            self._output = output
        return framing.frame(f"/proc/{os.getpid()}/fd/{output.fileno()}")

    def kill(self) -> None:
        """Kill the worker and the processes that it started. ``run`` then reports that it died."""
        with self._lock:
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def close(self, *, orderly: bool = False) -> None:
        """End the worker, and wait until it has ended.

        Args:
            orderly: let it run its exit handlers, for ``_GRACE_S`` seconds at most. Otherwise it is killed.
        """
        if self._reaped:
            return
        if orderly:
            open_pipe_ends.discard(self._requests)
            assert self._process.stdin is not None
            self._process.stdin.close()  # a worker ends when its pipe of requests does
            wait_for_exit(self._process.pid, _GRACE_S)
        self.kill()
        self._reap()
        self._close_files()

    def _send(self, request: Request) -> None:
        first = *self._hello_frame, *self._renew_output(), *self._key.renew()
        parts = [*first, *framing.frame(framing.request_to_wire(request))]
        self._hello_frame = []
        with contextlib.suppress(BrokenPipeError):  # what the worker wrote before it ended is read next
            framing.write(self._requests, parts, self._wait_for_room)

    def _receive(
        self, request: Request, emit: Callable[[list[Outcome]], None]
    ) -> tuple[list[Outcome], Ended]:
        """Receive the outcomes of a request, and emit them. Return the last ones together with its end."""
        timeout_s, left = request.limits.task_timeout_s, len(request.tasks)
        now = self._attentive_clock()
        deadline = now + _START_S if not self._ready else now + _START_S + timeout_s if timeout_s else None
        while True:
            messages = self._wait_for_messages(deadline, timeout_s, gathers=left > 1)
            outcomes, end = self._decode(messages, request, len(request.tasks) - left)
            if end is None and outcomes and len(outcomes) == left:  # a large value: its end comes next
                _, end = self._decode(self._reader.read_soon(), request, len(request.tasks))
            if isinstance(end, Ended):
                return outcomes, end
            emit(outcomes)
            if end is not None:
                raise end
            if messages and timeout_s:
                task_runs = messages[-1][0] in (BEGIN, OUTCOME, OUTCOMES)
                deadline = self._attentive_clock() + (timeout_s if task_runs else _START_S + timeout_s)
            elif timeout_s and deadline is not None:  # part of a value has come, so its task has ended
                deadline = max(deadline, self._attentive_clock() + timeout_s)
            elif self._ready and not timeout_s:
                deadline = None
            left -= len(outcomes)

    def _decode(
        self, messages: list[Any], request: Request, finished: int
    ) -> tuple[list[Outcome], Ended | _WorkerEnded | None]:
        """Return the outcomes in messages of the worker, and its end where it is among them.

        Args:
            messages: the messages.
            request: the request that the worker runs.
            finished: the number of its tasks that have an outcome.

        Returns:
            The outcomes, and the end of the request, or why the worker must be killed.
        """
        outcomes: list[Outcome] = []
        end: Ended | None = None
        try:
            for message in messages:
                if end is not None or isinstance(message, Exception):
                    raise ValueError(f"{message!r:.200}")
                kind, *content = message
                done = finished + len(outcomes)
                if kind == OUTCOME:
                    outcomes.append(replies.outcome_from_wire(request, done, content))
                elif kind == OUTCOMES:
                    outcomes += replies.outcomes_from_columns(request, done, *content)
                elif kind == END:
                    usage, cause, worn_out, leaves_writers = content
                    self.worn_out, self._leaves_writers = bool(worn_out), bool(leaves_writers)
                    end = replies.ended_from_wire(request, done, cause, usage, request.tasks[done:])
                    end = end._replace(usage=end.usage._replace(cold=self._cold))
                elif kind == READY and not self._ready:
                    self._check_versions(*content)
                elif kind == NO_ROOM:
                    size = sum(map(size_of, request.items))
                    text = item_too_large(size, self._memory_limit, self._hints)
                    return outcomes, _AnyTask(OutOfMemory(text))
                elif kind not in (BEGIN, STORING):
                    raise ValueError(f"a message of the kind {kind!r:.80}")
        except (ValueError, TypeError) as error:
            return outcomes, self._not_a_reply(error)
        return outcomes, end

    def _gathered(self) -> list[Any]:
        """Return what the worker has gathered as the message that it would send; nothing if that was read."""
        columns = self._outbox.read() if self._outbox.finished() > self._finished else None
        if columns is None or columns.first > self._finished:  # those before it are in the pipe meanwhile
            return []
        return [(OUTCOMES, *columns)]

    def _not_a_reply(self, what: object) -> _WorkerEnded:
        if not self._ready:
            text = f"a worker could not start: something in its Python writes to stdout: {what}"
            return _WorkerEnded(WorkerStartError(f"{text}. {NO_START_ADVICE}"))
        text = f"its worker sent something that is no reply, and was replaced: {what}. {_NO_REPLY_ADVICE}"
        return _AnyTask(WorkerDied(text))

    def _read(self) -> list[Any]:
        try:
            return self._reader.read()
        except EOFError:
            raise _WorkerEnded from None

    def _check_versions(self, protocol: int, version: str, inherited_bytes: int) -> None:
        self._inherited_bytes = inherited_bytes
        if (protocol, version) != (PROTOCOL, wrenlite.__version__):
            text = (
                f"this process runs wrenlite {wrenlite.__version__}, but a new worker finds {version} "
                "installed: it was upgraded meanwhile. Restart this process (in Jupyter: the kernel)"
            )
            raise _WorkerEnded(IncompatibleRuntime(text))
        self._ready = True

    def _wait_for_messages(
        self, deadline: float | None, timeout_s: float | None, *, gathers: bool
    ) -> list[Any]:
        """Wait until the worker has written messages or gathered outcomes, and return them.

        A worker soon sends what it has gathered, unless its next task takes long. So the parent looks into
        the outbox after a short wait, and then at every interval: a busy machine may have delayed the worker.

        Args:
            deadline: when the worker must be killed; None: never.
            timeout_s: the time limit of a task, for the message.
            gathers: whether the worker gathers outcomes.
        """
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        interval_s = GATHER_S if gathers else _CHECK_INTERVAL_S
        while True:
            left = min(interval_s, self._deadline - self._clock())
            if deadline is not None:
                left = min(left, deadline - self._attentive_clock())
            if poll.poll(max(0.0, left * 1000)):
                return self._read()
            if gathers and (messages := self._gathered()):
                return messages
            interval_s = _FLOOD_INTERVAL_S if self._output.free_disk() else _CHECK_INTERVAL_S
            for file in self._old_outputs:
                file.empty()
            self._check_alive()
            self._check_batch_time()
            if deadline is not None and self._attentive_clock() >= deadline:
                if not self._ready:
                    text = f"a worker did not start within {_START_S:.0f} s. {_SLOW_START_ADVICE}"
                    raise _WorkerEnded(WorkerStartError(text))
                text = f"it ran longer than timeout={timeout_s:g} s, and its worker was killed"
                raise _WorkerEnded(TaskTimeout(f"{text}. {_TIMEOUT_ADVICE}"))

    def _wait_for_room(self) -> None:
        """Wait until the pipe of requests has room."""
        poll = select.poll()
        poll.register(self._requests, select.POLLOUT)
        end = self._attentive_clock() + _START_S
        while not poll.poll(_CHECK_INTERVAL_S * 1000):
            self._check_alive()
            self._check_batch_time()
            if self._attentive_clock() >= end:
                kind = WorkerDied if self._ready else WorkerStartError
                raise _WorkerEnded(
                    kind(f"a worker did not read its request within {_START_S:.0f} s. {_NOT_READ_ADVICE}")
                )

    def _check_batch_time(self) -> None:
        if self._clock() >= self._deadline:
            text = f"it was stopped at the time limit of its batch, {self._time_limit_s:.1f} s"
            raise _BatchTimeout(TaskTimeout(f"{text}: {self._hints.time}"))

    def _check_alive(self) -> None:
        """Raise _WorkerEnded if the worker was stopped, or has exited although its pipe is open."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return
        try:
            what = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT
            state = os.waitid(os.P_PID, self._process.pid, what)
        except ChildProcessError:
            raise _WorkerEnded from None
        if state is None:
            return
        if state.si_code == os.CLD_STOPPED:
            raise _WorkerEnded(
                WorkerDied(f"its worker was stopped by {signal_name(state.si_status)}, and was replaced")
            )
        raise _WorkerEnded

    def _clean_up(
        self, error: TaskError | BackendError | None
    ) -> tuple[TaskError | BackendError, str, bytes]:
        """Kill and reap the worker. Return the error for the running task, its output and its log records.

        The message of the error has the end of that, except where the task was healthy.

        Args:
            error: why the worker must be killed; None: it has ended by itself, and its exit status tells why.
        """
        if error is not None:
            self.kill()
        code = self._reap()
        if error is None:
            error = exit_error(code, self._peak_bytes, self._memory_limit, self._hints)
            error = error if self._ready else not_started_error(code)
        output, records = self._output.read(), self._records.records()
        self._close_files()
        last_output = printable(output).strip()
        if not last_output or isinstance(error, TaskTimeout):
            return error, output, records
        text = str(error)
        stop = "" if text.endswith("?") else "."
        return type(error)(f"{text}{stop} Its last output:\n{last_output[-2000:]}"), output, records

    def _reap(self) -> int | None:
        """Wait for the end of the worker, and kill it if necessary. Return its exit code; None: unknown."""
        wait_for_exit(self._process.pid, _EXIT_S)
        self.kill()
        code = None
        with self._lock:
            self._reaped = True
            # Other code in this process may have reaped it: by os.wait(), or because SIGCHLD is ignored.
            with contextlib.suppress(ChildProcessError):
                _, status, usage = os.wait4(self._process.pid, 0)
                code = os.waitstatus_to_exitcode(status)
                self._peak_bytes = peak_bytes(usage, self._inherited_bytes)
        self._process.returncode = -1 if code is None else code  # so that Popen does not wait for it again
        return code

    def _close_files(self) -> None:
        """Close the pipes to the worker and the file of its output."""
        with self._lock:
            self._outbox.close()
            for file in (self._output, self._records, *self._old_outputs):
                file.close()
        open_pipe_ends.difference_update((self._requests, self._replies, self._life))
        os.close(self._life)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
