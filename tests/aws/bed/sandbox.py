"""One sandbox: a process under AWS's runtime client, and the Runtime API that it talks to."""

import contextlib
import json
import math
import os
import queue
import re
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from tests.aws.bed.processor import AllProcessors, ProcessorShare

_POLL_S = 0.02
_LOG_TAIL = 4096
_MEMORY = re.compile(r"^(VmHWM|RssAnon|RssFile|RssShmem):\s+(\d+) kB", re.MULTILINE)


class Invocation(NamedTuple):
    """One event for the process to handle."""

    request_id: str
    payload: bytes
    deadline: float
    arn: str
    trace: str
    """The trace header, which the SDKs in the process pass on."""


class Result(NamedTuple):
    """The outcome of an invocation."""

    payload: bytes
    error: str | None
    """The type of the function error, or None without an error."""
    duration_s: float
    peak_mb: int


class InitError(Exception):
    """The process ended in its init phase, or reported that it cannot start."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Sandbox:
    """A process that serves one invocation at a time."""

    def __init__(
        self,
        command: list[str],
        env: dict[str, str],
        logs: Path,
        memory_mb: int,
        init_limit_s: float,
        *,
        shares_processor: bool,
    ) -> None:
        """Start the process, and wait for the end of its init phase.

        Where it fails or takes too long, Lambda starts the process again within the first invocation.

        Args:
            command: the program under the runtime client.
            env: its environment variables.
            logs: a folder for its output.
            memory_mb: the most memory that it may hold.
            init_limit_s: the most seconds that the init phase may take.
            shares_processor: whether it has after that no more of a processor than its memory gives it.
        """
        self._shares_processor = shares_processor
        self.memory_mb = memory_mb
        self._command = command
        self._env = env
        self._log = open(logs / f"{os.urandom(6).hex()}.log", "w+b")  # noqa: SIM115
        self._peak_mb = 0
        self._ran_out = False  # whether this invocation needed more memory than there is
        self.init_report = ""
        """What Lambda logs about an init phase that has failed; empty where it has not."""
        started = time.monotonic()
        self._start()
        try:
            self._wait_for_init(started + init_limit_s)
        except InitError as failure:
            timed_out = failure.kind == "Sandbox.Timedout"
            status = "timeout" if timed_out else f"error\tError Type: {failure.kind}"
            duration_ms = (time.monotonic() - started) * 1000
            self.init_report = (
                f"INIT_REPORT Init Duration: {duration_ms:.2f} ms\tPhase: init\tStatus: {status}"
            )
        self.init_s = time.monotonic() - started

    def _start(self) -> None:
        self._events: queue.SimpleQueue[Invocation] = queue.SimpleQueue()
        self._messages: queue.SimpleQueue[tuple[str, str, bytes]] = queue.SimpleQueue()
        self._api = _runtime_api(self._events, self._messages)
        threading.Thread(target=self._api.serve_forever, args=(0.05,), daemon=True).start()
        host, port = self._api.server_address[:2]
        self.alive = True
        self._process = subprocess.Popen(
            self._command,
            env={**self._env, "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        kind = ProcessorShare if self._shares_processor else AllProcessors
        self._share = kind(self._process.pid, self.memory_mb)

    def invoke(self, invocation: Invocation) -> Result:
        """Run an invocation within its deadline and the memory limit."""
        started_at = time.monotonic()
        self._log.seek(0)
        self._log.truncate()
        self._ran_out = False
        if not self.alive:  # the init phase has failed
            self._start()
            try:
                self._wait_for_init(started_at + invocation.deadline - time.time())
            except InitError as failure:
                text = str(failure)
                if failure.kind == "Sandbox.Timedout":
                    text = self._timed_out(invocation, started_at)
                return self._failed(failure.kind, text, started_at)
        self._share.limit()
        self._events.put(invocation)
        while True:
            with contextlib.suppress(queue.Empty):
                kind, error, body = self._messages.get(timeout=_POLL_S)
                if kind == "response" and len(body) > 6 * 2**20 + 100:
                    text = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
                    return self._failed("Function.ResponseSizeTooLarge", text, started_at)
                if kind in ("response", "error"):
                    self._observe(_processes(self._process.pid))
                    peak_mb = min(self._peak_mb, self.memory_mb)
                    return Result(body, error or None, time.monotonic() - started_at, peak_mb)
            processes = _processes(self._process.pid)
            self._observe(processes)
            if held_mb(processes) > self.memory_mb:
                self._ran_out = True
                self._kill_largest(processes)
            if self._process.poll() is not None:
                return self._process_exited(started_at)
            if time.time() >= invocation.deadline:
                self.close()
                return self._failed("Sandbox.Timedout", self._timed_out(invocation, started_at), started_at)

    def _timed_out(self, invocation: Invocation, started_at: float) -> str:
        duration_s = time.monotonic() - started_at
        return f"RequestId: {invocation.request_id} Error: Task timed out after {duration_s:.2f} seconds"

    def tail(self) -> bytes:
        """Return the end of the output of the process during this invocation."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), _LOG_TAIL, max(0, size - _LOG_TAIL))

    def close(self) -> None:
        """Kill the process, and end its Runtime API."""
        self.alive = False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._share.close()
        self._api.shutdown()
        self._api.server_close()

    def _wait_for_init(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                kind, error, body = self._messages.get(timeout=_POLL_S)
                if kind == "ready":
                    return
                self.close()
                raise InitError(error or "Runtime.Unknown", body.decode())
            if self._process.poll() is not None:
                text = self.tail().decode("utf-8", "replace")
                self.close()
                raise InitError("Runtime.ExitError", text)
        self.close()
        raise InitError("Sandbox.Timedout", "the init phase took too long")

    def _observe(self, processes: "list[Memory]") -> None:
        """Take the memory that is held now, or was held since the last look, into the maximum.

        The maximum is that of all invocations of the sandbox, as on Lambda.
        """
        before_mb = max((each.peak_mb - each.own_mb - each.shared_mb for each in processes), default=0.0)
        self._peak_mb = max(self._peak_mb, held_mb(processes) + math.ceil(max(0.0, before_mb)))

    def _kill_largest(self, processes: "list[Memory]") -> None:
        """Kill the process that holds the most memory, as the kernel does."""
        largest = max(processes, key=lambda each: each.own_mb + each.shared_mb)
        with contextlib.suppress(ProcessLookupError):
            os.kill(largest.pid, signal.SIGKILL)

    def _process_exited(self, started_at: float) -> Result:
        code = self._process.returncode
        how = f"signal: {signal.Signals(-code).name[3:].lower()}" if code < 0 else f"exit status {code}"
        if code == -signal.SIGKILL:
            how = "signal: killed"
        kind = "Runtime.OutOfMemory" if self._ran_out else "Runtime.ExitError"
        self.close()
        return self._failed(kind, f"RequestId: x Error: Runtime exited with error: {how}", started_at)

    def _failed(self, kind: str, text: str, started_at: float) -> Result:
        body = json.dumps({"errorType": kind, "errorMessage": text}).encode()
        return Result(body, kind, time.monotonic() - started_at, min(self._peak_mb, self.memory_mb))


class Memory(NamedTuple):
    """The memory of a process, in MB."""

    pid: int
    own_mb: float
    """What it holds alone."""
    shared_mb: float
    """What it holds of files and shared memory."""
    peak_mb: float
    """The most that it has ever held of both."""


def held_mb(processes: list[Memory]) -> int:
    """Return the memory that processes hold together: files, which they have in common, count once."""
    own_mb = sum(each.own_mb for each in processes)
    return math.ceil(own_mb + max((each.shared_mb for each in processes), default=0))


def _processes(pid: int) -> list[Memory]:
    """Return the memory of a process and of all that it has started."""
    found, unvisited = [], [pid]
    while unvisited:
        pid = unvisited.pop()
        with contextlib.suppress(OSError, KeyError):  # it has ended, or has no memory any more
            status = Path(f"/proc/{pid}/status").read_text()
            kilobytes = {name: int(value) for name, value in _MEMORY.findall(status)}
            shared = kilobytes["RssFile"] + kilobytes["RssShmem"]
            sizes = (kilobytes["RssAnon"], shared, kilobytes["VmHWM"])
            found.append(Memory(pid, *(size / 1024 for size in sizes)))
            unvisited += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return found


def _runtime_api(events: queue.SimpleQueue, messages: queue.SimpleQueue) -> ThreadingHTTPServer:
    """Return a server for the Runtime API, version 2018-06-01.

    Args:
        events: the invocations to hand to the process.
        messages: takes what the process reports: a kind, the type of an error, and a body.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        first = True

        def do_GET(self) -> None:
            if Handler.first:
                Handler.first = False
                messages.put(("ready", "", b""))
            event = events.get()
            self._answer(
                200,
                event.payload,
                {
                    "Lambda-Runtime-Aws-Request-Id": event.request_id,
                    "Lambda-Runtime-Deadline-Ms": str(int(event.deadline * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": event.arn,
                    "Lambda-Runtime-Trace-Id": event.trace,
                    "Content-Type": "application/json",
                },
            )

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.path.rpartition("/")[2]
            error = self.headers.get("Lambda-Runtime-Function-Error-Type", "")
            if kind == "error":
                import json

                error = (
                    json.loads(body).get("errorType", error) if not error.startswith("Runtime.") else error
                )
            messages.put(("init-error" if "/init/" in self.path else kind, error, body))
            self._answer(202, b"{}", {})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server
