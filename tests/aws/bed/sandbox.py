"""One sandbox: a process under AWS's runtime client, and the Runtime API that it talks to."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

_RUNTIME = Path(__file__).with_name("runtime.py")
_INIT_TIMEOUT_S = 10.0
_POLL_S = 0.02
_LOG_TAIL = 4096


class Invocation(NamedTuple):
    """One event for the process to handle."""

    request_id: str
    payload: bytes
    deadline: float
    arn: str


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

    def __init__(self, folders: list[str], handler: str, env: dict[str, str], memory_mb: int) -> None:
        self.memory_mb = memory_mb
        self._events: queue.SimpleQueue[Invocation] = queue.SimpleQueue()
        self._messages: queue.SimpleQueue[tuple[str, str, bytes]] = queue.SimpleQueue()
        self._api = _runtime_api(self._events, self._messages)
        threading.Thread(target=self._api.serve_forever, args=(0.05,), daemon=True).start()
        self._log = open(os.path.join(env["WL_BED_LOGS"], f"{os.urandom(6).hex()}.log"), "w+b")  # noqa: SIM115
        self.alive = True
        started = time.monotonic()
        host, port = self._api.server_address[:2]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-P", str(_RUNTIME), handler, *folders],
            env={**env, "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}"},
            cwd=folders[0],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._wait_for_init(started + _INIT_TIMEOUT_S)
        self.init_s = time.monotonic() - started

    def invoke(self, invocation: Invocation) -> Result:
        """Run an invocation within its deadline and the memory limit."""
        started_at = time.monotonic()
        self._log.seek(0)
        self._log.truncate()
        self._events.put(invocation)
        peak = 0
        while True:
            with contextlib.suppress(queue.Empty):
                kind, error, body = self._messages.get(timeout=_POLL_S)
                if kind == "response" and len(body) > 6 * 2**20 + 100:
                    text = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
                    return self._failed("Function.ResponseSizeTooLarge", text, started_at, peak)
                if kind in ("response", "error"):
                    peak = max(peak, sum(self._memory().values()))
                    return Result(body, error or None, time.monotonic() - started_at, peak)
            memory = self._memory()
            peak = max(peak, sum(memory.values()))
            if sum(memory.values()) > self.memory_mb:
                self._kill_largest(memory)
            if self._process.poll() is not None:
                return self._process_exited(started_at, peak)
            if time.time() >= invocation.deadline:
                duration_s = time.monotonic() - started_at
                self.close()
                text = f"Task timed out after {duration_s:.2f} seconds"
                return self._failed(
                    "Sandbox.Timedout", f"RequestId: {invocation.request_id} Error: {text}", started_at, peak
                )

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

    def _memory(self) -> dict[int, int]:
        """Return the resident memory of each process of the sandbox, in MB, by process id."""
        found, unvisited = {}, [self._process.pid]
        while unvisited:
            pid = unvisited.pop()
            with contextlib.suppress(OSError, IndexError, ValueError):
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                found[pid] = pages * os.sysconf("SC_PAGE_SIZE") // 2**20
                unvisited += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def _kill_largest(self, memory: dict[int, int]) -> None:
        """Kill the process that holds the most memory, as the kernel does."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(max(memory, key=memory.__getitem__), signal.SIGKILL)

    def _process_exited(self, started_at: float, peak: int) -> Result:
        code = self._process.returncode
        how = f"signal: {signal.Signals(-code).name[3:].lower()}" if code < 0 else f"exit status {code}"
        if code == -signal.SIGKILL:
            how = "signal: killed"
        kind = "Runtime.OutOfMemory" if peak > self.memory_mb else "Runtime.ExitError"
        self.close()
        return self._failed(kind, f"RequestId: x Error: Runtime exited with error: {how}", started_at, peak)

    def _failed(self, kind: str, text: str, started_at: float, peak: int) -> Result:
        body = json.dumps({"errorType": kind, "errorMessage": text}).encode()
        return Result(body, kind, time.monotonic() - started_at, min(peak, self.memory_mb))


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
