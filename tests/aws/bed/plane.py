"""Lambda's data plane: answers ``Invoke`` by running the deployed zip and layers."""

import base64
import contextlib
import io
import json
import math
import os
import shutil
import tempfile
import threading
import time
import uuid
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID

from tests.aws.bed.corrections import write_log
from tests.aws.bed.sandbox import InitError, Invocation, Sandbox

_RUNTIME_MODULES = (
    "awslambdaric",
    "runtime_client",
    "simplejson",
    "snapshot_restore_py",
    "boto3",
    "botocore",
    "s3transfer",
    "jmespath",
    "dateutil",
    "urllib3",
    "six",
)
"""The packages that AWS's own runtime for Python contains."""


class Reply(NamedTuple):
    """An HTTP response."""

    status: int
    body: bytes
    headers: dict[str, str]


class Plane:
    """The sandboxes of all functions, and the limits on them."""

    def __init__(self, extra: tuple[str, ...] = (), bytecode: bool = False) -> None:
        """Create a data plane without sandboxes.

        Args:
            extra: installed packages that every function can import, as if they were in its layer.
            bytecode: whether sandboxes keep compiled bytecode. Lambda's cannot, and start slower.
        """
        self._bytecode = bytecode
        self.url = ""
        self.concurrency = 1000
        self.burst = math.inf
        """The number of sandboxes that may be started at once."""
        self.ramp = math.inf
        """The number of sandboxes that may be started per second after ``burst``."""
        self.closing = False
        # Few starts at once, so that each stays within the time limit of the init phase.
        self._starting = threading.Semaphore(2 * (os.cpu_count() or 1))
        self._folder = Path(tempfile.mkdtemp(prefix="wl-bed-"))
        self._lock = threading.Lock()
        self._slot_freed = threading.Condition(self._lock)
        self._idle: dict[str, list[Sandbox]] = {}
        self._all: list[Sandbox] = []
        self._running = 0
        self.peak_concurrency = 0
        self._start_tokens = math.inf
        self._refilled = time.monotonic()
        self._link_packages(_RUNTIME_MODULES, "runtime")
        self._link_packages(extra, "layer")
        (self._folder / "logs").mkdir()

    def invoke(self, name: str, region: str, payload: bytes, *, tail: bool) -> Reply:
        """Run one synchronous invocation."""
        function, refusal = self._find(name, region, payload, 6 * 2**20)
        if refusal is not None:
            return refusal
        if not self._acquire_slot(function, wait=False):
            kind = "" if function.reserved_concurrency is None else "ReservedFunction"
            return throttled(f"{kind}ConcurrentInvocationLimitExceeded")
        try:
            return self._run(function, region, payload, str(uuid.uuid4()), tail=tail)
        finally:
            self._release_slot()

    def invoke_async(self, name: str, region: str, payload: bytes) -> Reply:
        """Queue one asynchronous invocation, which runs as soon as the limits allow it.

        Its value or error is dropped. Unlike Lambda, the bed does not run it again after an error.
        """
        function, refusal = self._find(name, region, payload, 2**20)
        if refusal is not None:
            return refusal
        request_id = str(uuid.uuid4())
        event = (function, region, payload, request_id)
        threading.Thread(target=self._run_async, args=event, daemon=True).start()
        return Reply(202, b"", {"x-amzn-RequestId": request_id})

    def kill_sandboxes(self) -> None:
        """Kill every sandbox: the next invocations are cold."""
        with self._lock:
            sandboxes, self._all, self._idle = self._all, [], {}
        for sandbox in sandboxes:
            if sandbox.alive:
                sandbox.close()

    def close(self) -> None:
        """Kill all sandboxes, and remove the unpacked code."""
        self.closing = True
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

    def _acquire_slot(self, function, *, wait: bool) -> bool:
        """Take a slot for one more invocation; return False if none is free and ``wait`` is false."""
        with self._slot_freed:
            reserved = function.reserved_concurrency
            reserved_limit = int(reserved) if reserved is not None else 10**9
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

    def _run_async(self, function, region: str, payload: bytes, request_id: str) -> None:
        self._acquire_slot(function, wait=True)
        try:
            while self._run(function, region, payload, request_id, tail=False).status == 429:
                time.sleep(1.0)  # no sandbox may be started yet; Lambda tries again later, too
        finally:
            self._release_slot()

    def _run(self, function, region: str, payload: bytes, request_id: str, *, tail: bool) -> Reply:
        key = json.dumps(
            [function.get_configuration(), function.environment_vars], sort_keys=True, default=str
        )
        with self._lock:
            idle = self._idle.setdefault(key, [])
            sandbox = idle.pop() if idle else None
        init_s = None
        if sandbox is None:
            if not self._take_start_token():
                return throttled("ConcurrentInvocationLimitExceeded")
            try:
                sandbox = self._start(function, region)
            except InitError as failure:
                body = json.dumps({"errorType": failure.kind, "errorMessage": str(failure)}).encode()
                return Reply(200, body, {"X-Amz-Function-Error": "Unhandled"})
            init_s = sandbox.init_s
        deadline = time.time() + int(function.timeout)
        result = sandbox.invoke(Invocation(request_id, payload, deadline, function.function_arn))
        headers = {"X-Amz-Executed-Version": "$LATEST", "x-amzn-RequestId": request_id}
        if result.error is not None:
            headers["X-Amz-Function-Error"] = "Unhandled"
        billed = math.ceil((result.duration_s + (init_s or 0)) * 1000)
        init = f"Init Duration: {init_s * 1000:.2f} ms\t" if init_s is not None else ""
        report = (
            f"REPORT RequestId: {request_id}\tDuration: {result.duration_s * 1000:.2f} ms\t"
            f"Billed Duration: {billed} ms\tMemory Size: {function.memory_size} MB\t"
            f"Max Memory Used: {result.peak_mb} MB\t{init}\n"
        )
        log = sandbox.tail()[-3000:] + report.encode()
        lines = [
            f"START RequestId: {request_id} Version: $LATEST",
            *log.decode(errors="replace").splitlines(),
        ]
        write_log(f"/aws/lambda/{function.function_name}", region, "bed", lines, int(time.time() * 1000))
        if tail:
            headers["X-Amz-Log-Result"] = base64.b64encode(log[-4096:]).decode()
        with self._lock:
            if sandbox.alive and sandbox in self._all:
                self._idle.setdefault(key, []).append(sandbox)
        return Reply(200, result.payload, headers)

    def _take_start_token(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._start_tokens = min(self.burst, self._start_tokens + (now - self._refilled) * self.ramp)
            self._refilled = now
            if self._start_tokens < 1:
                return False
            self._start_tokens -= 1
            return True

    def _start(self, function, region: str) -> Sandbox:
        task = self._unpack(function.code_bytes, function.code_sha_256)
        layers = [
            str(self._unpack(layer.code_bytes, layer.code_sha_256) / "python")
            for layer in self._layers(function, region)
        ]
        env = {
            "PATH": os.environ["PATH"],
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SESSION_TOKEN": "testing",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.function_name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"2026/01/01/[$LATEST]{uuid.uuid4().hex}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": str(task),
            **({} if self._bytecode else {"PYTHONDONTWRITEBYTECODE": "1"}),
            "WL_BED_LOGS": str(self._folder / "logs"),
            **function.environment_vars,
        }
        folders = [str(task), str(self._folder / "layer"), *layers, str(self._folder / "runtime")]
        with self._starting:
            sandbox = Sandbox(folders, function.handler, env, int(function.memory_size))
        with self._lock:
            self._all.append(sandbox)
        return sandbox

    def _layers(self, function, region: str) -> list:
        backend = get_backend("lambda")[DEFAULT_ACCOUNT_ID][region]
        return [backend.layers_versions_by_arn(layer["Arn"]) for layer in function.layers]

    def _unpack(self, code: bytes, digest: str) -> Path:
        folder = self._folder / digest.replace("/", "_").replace("=", "")
        with self._lock:
            if not folder.exists():
                with zipfile.ZipFile(io.BytesIO(code)) as archive:
                    archive.extractall(folder)
        return folder

    def _link_packages(self, modules: tuple[str, ...], folder: str) -> None:
        destination = self._folder / folder
        destination.mkdir()
        for name in modules:
            spec = find_spec(name)
            assert spec is not None, name
            assert spec.origin is not None, name
            source = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
            (destination / source.name).symlink_to(source)
            for shared_libraries in source.parent.glob(f"{name}.libs"):  # shared libraries of a wheel
                with contextlib.suppress(FileExistsError):
                    (destination / shared_libraries.name).symlink_to(shared_libraries)


def error(status: int, kind: str, message: str, **more: str) -> Reply:
    """Return a reply that is an error of Lambda."""
    body = json.dumps({"Type": "User", "message": message, **more}).encode()
    return Reply(status, body, {"x-amzn-ErrorType": kind, "Content-Type": "application/json"})


def throttled(reason: str) -> Reply:
    """Return the reply to one request too many."""
    return error(429, "TooManyRequestsException", "Rate Exceeded.", Reason=reason)
