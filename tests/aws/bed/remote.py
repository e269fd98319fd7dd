"""A bed in a process of its own, as tests hold it."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]


class RemoteBed:
    """Starts a bed; gone when closed, or when this process is."""

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

    def close(self) -> None:
        """End it, with all sandboxes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def counts(self) -> dict[str, int]:
        """Requests by kind since the last ``reset``."""
        return self._control("counts")

    def sent(self) -> int:
        """Bytes of what S3 and the control planes have answered since the last ``reset``."""
        return self._control("sent")

    def reset(self) -> None:
        """Forget counts, faults and settings."""
        self._control("reset")

    def forget(self) -> None:
        """Kill the warm sandboxes."""
        self._control("forget")

    def most_running(self) -> int:
        """Invocations that ran at once, at most."""
        return self._control("most_running")

    def fault(self, kind: str, action: str, **more: Any) -> None:
        """What the next request of that kind meets; ``count`` of them, after ``skip``.

        Actions: answer (status, body, headers), delay (seconds), reset-before, reset-after, hang,
        run-and-hang, twice, drop-log.
        """
        self._control("fault", {"kind": kind, "action": action, **more})

    def error(self, kind: str, status: int, code: str, message: str = "said the bed", **more: Any) -> None:
        """An error of Lambda's, S3's, IAM's or STS's in place of the answer."""
        reason = {"Reason": more.pop("reason")} if "reason" in more else {}
        if "Lambda" in kind or kind in ("Invoke", "GetFunctionConfiguration", "GetAccountSettings"):
            body = json.dumps({"message": message, **reason})
            headers = {"x-amzn-ErrorType": code, "Content-Type": "application/json"}
        else:
            body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            if "Role" in kind or kind == "GetCallerIdentity":
                body = f"<ErrorResponse>{body}</ErrorResponse>"
            headers = {"Content-Type": "application/xml"}
        self.fault(kind, "answer", status=status, body=body, headers=headers, **more)

    def settings(self, **settings: float) -> None:
        """``latency_s`` of every request; ``concurrency``, ``burst`` and ``ramp`` of sandboxes."""
        self._control("settings", settings)

    def _control(self, verb: str, what: Any = None) -> Any:
        request = urllib.request.Request(f"{self.url}/_bed/{verb}", json.dumps(what).encode())
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())
