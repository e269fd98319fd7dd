"""What an answer of Lambda says became of a batch: pure functions over status, headers and body.

Sources: the API reference of ``Invoke``, and "Retry behaviour" and "Error handling" of the Lambda
developer guide.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from wrenlite.backends.aws import errors, payload
from wrenlite.backends.aws.transport import Answer
from wrenlite.errors import (
    BackendError,
    CredentialsExpired,
    FunctionBroken,
    FunctionMissing,
    OutOfMemory,
    ServiceUnavailable,
    TaskError,
    TaskTimeout,
    WorkerDied,
)
from wrenlite.protocol import Cause, Died, Ended, Outcome, Refused, Request, Throttled, Usage

REDEPLOY = "wrenlite-setup deploys it again"

_RATE_REASONS = frozenset(
    {
        "FunctionInvocationRateLimitExceeded",
        "ReservedFunctionInvocationRateLimitExceeded",
        "CallerRateLimitExceeded",
    }
)
"""Of a 429: too many requests a second. All other reasons: too many at once."""

_INIT_ERRORS = (
    "Runtime.ImportModuleError",
    "Runtime.HandlerNotFound",
    "Runtime.MalformedHandlerName",
    "Runtime.UserCodeSyntaxError",
    "Runtime.InvalidEntrypoint",
    "Runtime.InvalidWorkingDir",
    "Runtime.InvalidTaskRuntime",
    "Extension.",
)

_REPORT = re.compile(
    r"REPORT RequestId:.*?Billed Duration: ([\d.]+) ms\s+Memory Size: (\d+) MB\s+Max Memory Used: (\d+) MB"
    r"(?:\s+Init Duration: ([\d.]+) ms)?"
)


class Report(NamedTuple):
    """What Lambda's log says of an invocation."""

    billed_s: float
    memory_mb: int
    peak_mb: int
    cold: bool


class Target(NamedTuple):
    """Where requests go, for messages."""

    function: str
    region: str
    arn: str
    memory_mb: int
    limit_s: float


def understand(
    answer: Answer, request: Request, target: Target, seconds: float
) -> tuple[Sequence[Outcome], Ended]:
    """What became of a request that was answered after so many seconds. Raises CredentialsExpired."""
    if answer.status != 200:
        return (), Ended(_refusal(answer, target), Usage(), request.tasks)
    usage = _usage(answer, target, seconds)
    try:
        if answer.headers.get("X-Amz-Function-Error"):
            return (), Ended(_broken(answer, target), usage, ())
        outcomes, ended = payload.decode_reply(answer.body)
    except BackendError as error:
        return (), Ended(Refused(error), usage, request.tasks)
    except ValueError as error:
        text = f"the Lambda function {target.function} answered what is no reply of wrenlite's: {error}"
        text = f"{text}. {REDEPLOY}"
        return (), Ended(Refused(FunctionBroken(text)), usage, ())
    # The worker's figures, and those that only Lambda knows: what was billed, and the request's id.
    whole = ended.usage._replace(
        peak_bytes=ended.usage.peak_bytes or usage.peak_bytes,
        cold=usage.cold or ended.usage.cold,
        requests=usage.requests,
        gb_s=usage.gb_s,
        request_id=usage.request_id,
    )
    return outcomes, ended._replace(usage=whole)


def report(answer: Answer) -> Report | None:
    """The REPORT line of the log's tail; None where there is none."""
    try:
        log = base64.b64decode(answer.headers.get("X-Amz-Log-Result", "")).decode("utf-8", "replace")
    except ValueError:
        return None
    found = _REPORT.search(log)
    if found is None:
        return None
    return Report(float(found[1]) / 1000, int(found[2]), int(found[3]), found[4] is not None)


def _usage(answer: Answer, target: Target, seconds: float) -> Usage:
    known = report(answer)
    usage = Usage(requests=1, request_id=answer.headers.get("x-amzn-RequestId"))
    if known is None:  # the log did not come along: it cannot have been longer than the answer took
        return usage._replace(gb_s=target.memory_mb / 1024 * min(seconds, target.limit_s))
    gb_s = known.billed_s * known.memory_mb / 1024
    return usage._replace(peak_bytes=known.peak_mb * 2**20, cold=known.cold, gb_s=gb_s)


def _broken(answer: Answer, target: Target) -> Cause:
    """The sandbox as a whole failed."""
    kind, said = _said(answer)
    where = f"the Lambda function {target.function}"
    known = report(answer)
    if kind.startswith(_INIT_ERRORS):
        return Refused(FunctionBroken(f"{where} cannot start: {kind}: {said}. {REDEPLOY}"))
    if kind == "Sandbox.Timedout" and "Task timed out after" not in said:
        return Died(WorkerDied(f"{where} did not start in time: {said}"))
    if kind == "Sandbox.Timedout" or "Task timed out after" in said:
        return Died(
            TaskTimeout(
                f"{where} was stopped at its time limit of {target.limit_s:g} s. Make tasks smaller, or the "
                "limit longer: wrenlite-setup --timeout"
            )
        )
    full = known is not None and known.peak_mb >= known.memory_mb
    if kind == "Runtime.OutOfMemory" or (full and "signal: killed" in said):
        memory = known.memory_mb if known else target.memory_mb
        return Died(
            OutOfMemory(
                f"{where} has {memory:,} MB, and the task needed more. wrenlite-setup --memory gives more"
            )
        )
    if kind.startswith(("Runtime.", "Function.")):
        died: TaskError = WorkerDied(f"the sandbox of {where} ended: {kind}: {said}")
        return Died(died)
    return Refused(FunctionBroken(f"{where} raised {kind}: {said}. {REDEPLOY}"))


def _said(answer: Answer) -> tuple[str, str]:
    try:
        body = json.loads(answer.body)
        return str(body.get("errorType", "Unknown")), str(body.get("errorMessage", "nothing more"))
    except (ValueError, AttributeError):
        return "Unknown", answer.body[:200].decode("utf-8", "replace")


def _refusal(answer: Answer, target: Target) -> Cause:
    """Lambda did not run the function."""
    code = answer.headers.get("x-amzn-ErrorType", "").partition(":")[0]
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = {}
    said = str(body.get("message") or body.get("Message") or answer.body[:200].decode("utf-8", "replace"))
    if answer.status == 429:
        reason = str(body.get("Reason") or code or "TooManyRequests")
        text = f"Lambda takes no more requests for {target.function} at the moment ({reason})"
        return Throttled(ServiceUnavailable(text), concurrency=reason not in _RATE_REASONS)
    if answer.status >= 500 or answer.status == 409:
        text = f"Lambda does not run {target.function} at the moment: {answer.status} {code}: {said}"
        return Throttled(ServiceUnavailable(text), patient=False)
    error = _final(answer.status, code, said, target)
    if isinstance(error, CredentialsExpired):
        raise error
    return Refused(error)


def _final(status: int, code: str, said: str, target: Target) -> BackendError:
    """The error that fails a job."""
    wrong = errors.credentials(code, said)
    if wrong is not None:
        return wrong
    if status == 404:
        return missing(target.function, target.region)
    if status == 403:
        return errors.denied("lambda:InvokeFunction", target.arn, said)
    return BackendError(f"Lambda refuses requests for {target.function}: {status} {code}: {said}")


def missing(function: str, region: str) -> FunctionMissing:
    """What to say where there is no function."""
    return FunctionMissing(
        f"there is no Lambda function {function!r} in {region}: wrenlite-setup makes it; function= and "
        "region= name another"
    )
