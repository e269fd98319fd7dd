"""A bed in a separate process, and its remote control for tests."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]


_LAMBDA_KINDS = (
    *("Invoke", "GetFunctionConfiguration", "GetFunctionConcurrency", "GetAccountSettings", "PublishVersion"),
    *("GetFunctionRecursionConfig", "PutFunctionRecursionConfig"),
    *("GetPolicy", "AddPermission", "RemovePermission", "InvokeFunctionUrl"),
    *(
        "GetFunctionUrlConfig",
        "CreateFunctionUrlConfig",
        "UpdateFunctionUrlConfig",
        "DeleteFunctionUrlConfig",
    ),
    *("CreateAlias", "UpdateAlias", "ListAliases", "DeleteAlias", "ListVersionsByFunction"),
)


class RemoteBed:
    """A bed that runs until ``close``, or until this process ends."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.aws.bed", "--json", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the bed did not start"
        self.pid = self._process.pid
        self.env: dict[str, str] = json.loads(line)
        self.url = self.env["AWS_ENDPOINT_URL"]
        self.code = {"S3Bucket": self.env.get("WRENLITE_BUCKET", ""), "S3Key": "function.zip"}
        """The ``Code`` of ``CreateFunction`` that is the function's zip; not on an empty bed."""

    def close(self) -> None:
        """End the bed and all its sandboxes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def counts(self) -> dict[str, int]:
        """Return the number of requests since the last ``reset``, by operation."""
        return self._control("counts")

    def sent(self) -> int:
        """Return the bytes in responses of S3 and the control planes since the last ``reset``."""
        return self._control("sent")

    def reset(self) -> None:
        """Reset counts, faults and settings."""
        self._control("reset")

    def kill_sandboxes(self, function: str | None = None) -> None:
        """Kill all sandboxes, or those of one function: its next invocations are cold."""
        self._control("kill_sandboxes", function)

    def denials(self) -> list[str]:
        """Return what was refused since the last ``reset`` with the setting ``enforce_policies``."""
        return self._control("denials")

    def events(self) -> list[dict[str, Any]]:
        """Return the asynchronous invocations since the last ``reset``, in the order in which they came.

        Each has ``function``, ``request_id``, ``attempts`` and ``state``: waiting, running, done, failed (its
        last attempt), or dropped (it is too old, or part of a loop of functions).
        """
        return self._control("events")

    def wait_for_events(self, timeout_s: float = 30.0) -> list[dict[str, Any]]:
        """Wait until no asynchronous invocation waits or runs, and return all of them."""
        assert self._control("wait_for_events", timeout_s), f"they did not end: {self.events()}"
        return self.events()

    def fire(self, rule: str, **more: str) -> int:
        """Let the time of a rule of EventBridge come; return how many functions were invoked."""
        return self._control("fire", {"rule": rule, **more})

    def peak_concurrency(self) -> int:
        """Return the largest number of invocations that ran at once."""
        return self._control("peak_concurrency")

    def refusal(self) -> str:
        """Return why functions see this machine's disk; an empty text where they have disks of their own."""
        return self._control("refusal")

    def fault(self, kind: str, action: str, **more: Any) -> None:
        """Add a fault to the next ``count`` requests of a kind, by default one, after ``skip`` others.

        Actions: answer (status, body, headers), delay (seconds, or until ``reset``), reset-before,
        reset-after, hang, reset-early, twice, drop-log.
        """
        self._control("fault", {"kind": kind, "action": action, **more})

    def error(self, kind: str, status: int, code: str, message: str = "said the bed", **more: Any) -> None:
        """Answer the next request of a kind with an error in the format of its service."""
        reason = {"Reason": more.pop("reason")} if "reason" in more else {}
        if "Lambda" in kind or kind in _LAMBDA_KINDS:
            body = json.dumps({"message": message, **reason})
            headers = {"x-amzn-ErrorType": code, "Content-Type": "application/json"}
        else:
            body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            if "Role" in kind or kind == "GetCallerIdentity":
                body = f"<ErrorResponse>{body}</ErrorResponse>"
            headers = {"Content-Type": "application/xml"}
        self.fault(kind, "answer", status=status, body=body, headers=headers, **more)

    def settings(self, **settings: float) -> None:
        """Set ``latency_s`` of every request, or limits of Lambda: see ``Plane.reset``."""
        self._control("settings", settings)

    def _control(self, verb: str, argument: Any = None) -> Any:
        request = urllib.request.Request(f"{self.url}/_bed/{verb}", json.dumps(argument).encode())
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())
