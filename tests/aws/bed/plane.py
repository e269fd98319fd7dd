"""Lambda's data plane: answers ``Invoke`` by running the deployed zip and layers."""

import base64
import hashlib
import io
import json
import math
import os
import shutil
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID

from tests.aws.bed.corrections import write_log
from tests.aws.bed.disk import Disks
from tests.aws.bed.events import Event, Events
from tests.aws.bed.pythons import BOOTSTRAP, RUNTIME_MODULES, Links, Python, examine, runtime_packages
from tests.aws.bed.recursion import next_trace
from tests.aws.bed.sandbox import Invocation, Sandbox
from tests.aws.bed.versions import layer_version


class Reply(NamedTuple):
    """An HTTP response."""

    status: int
    body: bytes
    headers: dict[str, str]


class Plane:
    """The sandboxes of all functions, and the limits on them."""

    def __init__(
        self, extra: tuple[str, ...] = (), pythons: tuple[str, ...] = (), shared: tuple[str, ...] = ()
    ) -> None:
        """Create a data plane without sandboxes.

        Args:
            extra: installed packages that every function can import, as if they were in its layer.
            pythons: interpreters for functions of other versions than this Python's.
            shared: folders of this machine that functions see, and may write to.
        """
        self.url = ""
        self.closing = threading.Event()
        # Few starts at once, so that each stays within the time limit of the init phase.
        self._starting = threading.Semaphore(2 * (os.cpu_count() or 1))
        self._folder = Path(tempfile.mkdtemp(prefix="wl-bed-"))
        self._lock = threading.Lock()
        self._slot_freed = threading.Condition(self._lock)
        self._idle: dict[str, list[Sandbox]] = {}
        self._all: dict[Sandbox, str] = {}
        """The sandboxes, and the name of the function of each."""
        self._running = 0
        self._pythons: dict[str, Python] = {}
        for executable in (*pythons, sys.executable):
            python = examine(executable, (*RUNTIME_MODULES, *extra))
            self._pythons[python.version] = own = python
        self.disks = Disks(self._folder, own, shared)
        self._links = Links(self._folder, isolated=not self.disks.refusal)
        for version, python in self._pythons.items():
            self._links.make(f"runtime-{version}", runtime_packages(python, own))
            layer = [place for name in extra for place in python.packages.get(name, ())]
            self._links.make(f"layer-{version}", layer)
        self._logs = self._folder / "logs"
        self._logs.mkdir()
        self.events = Events(self, self._run_event)
        self.reset()

    def reset(self) -> None:
        """Set the limits to those of a new account."""
        self.concurrency = 1000
        self.burst: float = 1000
        """The number of sandboxes of one function that may be started at once."""
        self.ramp: float = 100
        """The number of sandboxes of one function that may be started per second after ``burst``."""
        self.init_limit_s: float = 10
        """The most seconds that the init phase may take."""
        self.event_pause_s: float = 0.2
        """The pause before the first retry of an asynchronous invocation; the second one is twice as long. On
        AWS it is a minute."""
        self.event_delay_s: float = 0
        """The time that each of them waits in the queue at first."""
        self.event_copies = 1
        """How often each is delivered: AWS may do so more than once."""
        self.event_age_s: float = 6 * 3600
        """The age at which one is dropped that did not run, or failed, unless its function has another."""
        self.notification_copies = 1
        """How often S3 sends each of its events: none is lost on AWS as a rule, and one may come twice."""
        self.shares_processor = False
        """Whether new sandboxes have the share of the processors that their memory gives them on Lambda:
        ``processor.is_available``. Otherwise they have all that there is."""
        self.events.clear()
        self.enforce_policies = False
        """Whether whoever signs with the name of a role may do only what the policies of that role allow."""
        self.denials: list[str] = []
        self.peak_concurrency = 0
        self.set_limits()

    def set_limits(self, **limits: float) -> None:
        """Set some of the limits. Each function may start ``burst`` sandboxes at once again."""
        for name, limit in limits.items():
            getattr(self, name)
            setattr(self, name, limit)
        with self._lock:
            self._start_tokens: dict[str, tuple[float, float]] = {}

    def invoke(self, name: str, region: str, payload: bytes, *, tail: bool, trace: str = "") -> Reply:
        """Run one synchronous invocation of a function, or of the version or alias that follows its name."""
        function, refusal = self._find(name, region, payload, 6 * 2**20)
        if refusal is not None:
            return refusal
        own_trace = _next_trace(function, trace)
        if own_trace is None:
            text = f"The invocation of {name} was stopped: it is part of a loop of functions"
            return error(400, "RecursiveInvocationException", text)
        if not self._acquire_slot(function, wait=False):
            kind = "" if _reserved(function) is None else "ReservedFunction"
            return throttled(f"{kind}ConcurrentInvocationLimitExceeded")
        try:
            return self._run(function, payload, str(uuid.uuid4()), tail=tail, trace=own_trace)
        finally:
            self._release_slot()

    def invoke_async(self, name: str, region: str, payload: bytes, trace: str = "") -> Reply:
        """Queue one asynchronous invocation, which runs as soon as the limits allow it.

        Its value or error is dropped. After an error of the function it runs again, twice at most.
        """
        function, refusal = self._find(name, region, payload, 2**20)
        if refusal is not None:
            return refusal
        request_id = self.events.put(function, payload, _next_trace(function, trace))
        return Reply(202, b"", {"x-amzn-RequestId": request_id})

    def _run_event(self, event: Event) -> str:
        self._acquire_slot(event.function, wait=True)
        try:
            reply = self._run(event.function, event.payload, event.request_id, trace=event.trace or "")
        finally:
            self._release_slot()
        if reply.status == 429:  # no sandbox may be started yet
            return "throttled"
        return "failed" if "X-Amz-Function-Error" in reply.headers else "done"

    def kill_sandboxes(self, function: str | None = None) -> None:
        """Kill every sandbox, or those of a function: its next invocations are cold."""
        with self._lock:
            killed = [sandbox for sandbox, name in self._all.items() if function in (None, name)]
            for sandbox in killed:
                del self._all[sandbox]
            for idle in self._idle.values():
                idle[:] = [sandbox for sandbox in idle if sandbox in self._all]
        alive = [sandbox for sandbox in killed if sandbox.alive]
        if alive:
            with ThreadPoolExecutor(len(alive)) as pool:  # each takes a while
                list(pool.map(Sandbox.close, alive))

    def close(self) -> None:
        """Kill all sandboxes, and remove the unpacked code."""
        self.closing.set()
        self.kill_sandboxes()
        shutil.rmtree(self._folder, ignore_errors=True)

    def unreserved(self, region: str) -> int:
        """Return the account's concurrency without what functions have reserved."""
        functions = get_backend("lambda")[DEFAULT_ACCOUNT_ID][region].list_functions()
        return self.concurrency - sum(int(each.reserved_concurrency or 0) for each in functions)

    def _find(self, name: str, region: str, payload: bytes, max_bytes: int) -> tuple[Any, Reply | None]:
        """Return the function and None, or None and the reply that refuses the request."""
        from moto.awslambda.exceptions import UnknownFunctionException

        try:
            function = get_backend("lambda")[DEFAULT_ACCOUNT_ID][region].get_function(name)
        except UnknownFunctionException:
            return None, error(404, "ResourceNotFoundException", f"Function not found: {name}")
        if len(payload) > max_bytes:
            return None, error(413, "RequestTooLargeException", f"{len(payload)} byte payload is too large")
        return function, None

    def recursion_config(self, name: str, region: str, setting: str | None) -> Reply:
        """Set whether loops of a function are allowed, where that is given, and return what is set."""
        function, refusal = self._find(name, region, b"", 0)
        if refusal is not None:
            return refusal
        function.recursive_loop = setting or _recursive_loop(function)
        body = json.dumps({"RecursiveLoop": function.recursive_loop}).encode()
        return Reply(200, body, {"Content-Type": "application/json"})

    def _acquire_slot(self, function, *, wait: bool) -> bool:
        """Take a slot for one more invocation; return False if none is free and ``wait`` is false."""
        with self._slot_freed:
            reserved = _reserved(function)
            reserved_limit = 10**9 if reserved is None else reserved
            while self._running >= min(self.concurrency, reserved_limit):
                if not wait:
                    return False
                self._slot_freed.wait(1.0)  # the limits may also change while no slot is released
            self._running += 1
            self.peak_concurrency = max(self.peak_concurrency, self._running)
            return True

    def _release_slot(self) -> None:
        with self._slot_freed:
            self._running -= 1
            self._slot_freed.notify_all()

    def _run(self, function, payload: bytes, request_id: str, *, trace: str, tail: bool = False) -> Reply:
        key = json.dumps(
            [function.get_configuration(), function.environment_vars], sort_keys=True, default=str
        )
        with self._lock:
            idle = self._idle.setdefault(key, [])
            sandbox = idle.pop() if idle else None
        init_s = None
        if sandbox is None:
            python = self._pythons.get(function.run_time.removeprefix("python"))
            if python is None:
                text = f"this bed has no {function.run_time}: start it with --python and its path"
                body = json.dumps({"errorType": "Runtime.InvalidRuntime", "errorMessage": text}).encode()
                return Reply(200, body, {"X-Amz-Function-Error": "Unhandled"})
            if not self._take_start_token(function.function_name):
                return throttled("ConcurrentInvocationLimitExceeded")
            sandbox = self._start(function, python)
            init_s = sandbox.init_s
        deadline = time.time() + int(function.timeout)
        result = sandbox.invoke(Invocation(request_id, payload, deadline, function.function_arn, trace))
        headers = {"X-Amz-Executed-Version": str(function.version), "x-amzn-RequestId": request_id}
        if result.error is not None:
            headers["X-Amz-Function-Error"] = "Unhandled"
        billed = math.ceil((result.duration_s + (init_s or 0)) * 1000)
        failed_init = sandbox.init_report if init_s is not None else ""
        init = f"Init Duration: {init_s * 1000:.2f} ms\t" if init_s is not None and not failed_init else ""
        report = (
            f"REPORT RequestId: {request_id}\tDuration: {result.duration_s * 1000:.2f} ms\t"
            f"Billed Duration: {billed} ms\tMemory Size: {function.memory_size} MB\t"
            f"Max Memory Used: {result.peak_mb} MB\t{init}\n"
        )
        log = sandbox.tail()[-3000:] + report.encode()
        lines = [
            *filter(None, [failed_init]),
            f"START RequestId: {request_id} Version: {function.version}",
            *log.decode(errors="replace").splitlines(),
        ]
        log_group = f"/aws/lambda/{function.function_name}"
        write_log(log_group, function.region, "bed", lines, int(time.time() * 1000))
        if tail:
            headers["X-Amz-Log-Result"] = base64.b64encode(log[-4096:]).decode()
        with self._lock:
            if sandbox.alive and sandbox in self._all:
                self._idle.setdefault(key, []).append(sandbox)
        return Reply(200, result.payload, headers)

    def _take_start_token(self, function: str) -> bool:
        with self._lock:
            now = time.monotonic()
            tokens, since = self._start_tokens.get(function, (self.burst, now))
            tokens = min(self.burst, tokens + (now - since) * self.ramp)
            allowed = tokens >= 1
            self._start_tokens[function] = tokens - allowed, now
            return allowed

    def _start(self, function, python: Python) -> Sandbox:
        region = function.region
        task = self._unpack([(function.code_bytes, function.code_sha_256)])
        layers = self._layers(function, region)
        folders = {
            "/var/task": task,
            **({"/opt": self._unpack(layers)} if layers else {}),
            "/var/bed-layer": self._folder / f"layer-{python.version}",
            "/var/runtime": self._folder / f"runtime-{python.version}",
        }
        seen = {place: self.disks.seen(place, folder) for place, folder in folders.items()}
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": function.role.rpartition("/")[2],  # each role has keys of its own
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SESSION_TOKEN": "testing",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_FUNCTION_VERSION": str(function.version),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.function_name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"2026/01/01/[{function.version}]{uuid.uuid4().hex}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": seen["/var/task"],
            "PYTHONDONTWRITEBYTECODE": "1",  # only matters where functions see this machine's disk
            **function.environment_vars,
        }
        path = [f"{folder}/python" if place == "/opt" else folder for place, folder in seen.items()]
        first = f"{seen['/var/runtime']}/{BOOTSTRAP}"
        program = [python.executable, "-S", "-P", first, function.handler, *path]
        visible = {**{place: str(folder) for place, folder in folders.items()}, **self._links.places}
        command = self.disks.command(visible, python, function.ephemeral_storage, program)
        with self._starting:
            sandbox = Sandbox(
                command,
                env,
                self._logs,
                int(function.memory_size),
                self.init_limit_s,
                shares_processor=bool(self.shares_processor),
            )
        with self._lock:
            self._all[sandbox] = function.function_name
        return sandbox

    def _layers(self, function, region: str) -> list[tuple[bytes, str]]:
        found = [layer_version(layer["Arn"], region) for layer in function.layers]
        return [(layer.code_bytes, layer.code_sha_256) for layer in found]

    def _unpack(self, zips: list[tuple[bytes, str]]) -> Path:
        """Unpack zips into one folder, a later one over those before it."""
        digests = "".join(digest for _, digest in zips)
        folder = self._folder / hashlib.sha256(digests.encode()).hexdigest()
        with self._lock:
            if not folder.exists():
                for code, _ in zips:
                    with zipfile.ZipFile(io.BytesIO(code)) as archive:
                        archive.extractall(folder)
        return folder


def _latest(function):
    """Return a function itself, of which this may be a published version."""
    return get_backend("lambda")[DEFAULT_ACCOUNT_ID][function.region].get_function(function.function_name)


def _recursive_loop(latest) -> str:
    return getattr(latest, "recursive_loop", "Terminate")  # moto does not know it


def _next_trace(function, trace: str) -> str | None:
    """Return the trace header of an invocation; None where it is part of a loop that is not allowed."""
    latest = _latest(function)
    return next_trace(latest.function_arn, trace, allowed=_recursive_loop(latest) == "Allow")


def _reserved(function) -> int | None:
    """Return the concurrency that is reserved for all versions of a function together; None for none."""
    reserved = _latest(function).reserved_concurrency
    return None if reserved is None else int(reserved)


def error(status: int, kind: str, message: str, **more: str) -> Reply:
    """Return a reply that is an error of Lambda."""
    body = json.dumps({"Type": "User", "message": message, **more}).encode()
    return Reply(status, body, {"x-amzn-ErrorType": kind, "Content-Type": "application/json"})


def throttled(reason: str) -> Reply:
    """Return the reply to one request too many."""
    return error(429, "TooManyRequestsException", "Rate Exceeded.", Reason=reason)
