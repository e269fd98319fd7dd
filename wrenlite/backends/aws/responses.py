"""Interpret the responses of Lambda: which outcomes and which end a request has. Pure.

Sources: the API reference of ``Invoke``, and "Retry behavior" and "Error handling" in the Lambda developer
guide.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from wrenlite.backends.aws import errors, payload
from wrenlite.backends.aws.http1 import Response
from wrenlite.errors import (
    BackendError,
    CredentialsExpired,
    FunctionBroken,
    OutOfMemory,
    ServiceUnavailable,
    TaskTimeout,
    WorkerDied,
)
from wrenlite.protocol import Cause, Died, Ended, Outcome, Refused, Request, Throttled, Usage

REDEPLOY = "wrenlite-setup deploys it again"
"""What to do about a function that cannot run requests."""

_RATE_REASONS = frozenset(
    {
        "FunctionInvocationRateLimitExceeded",
        "ReservedFunctionInvocationRateLimitExceeded",
        "CallerRateLimitExceeded",
    }
)
"""Reasons of a response 429 that mean too many requests per second. All others mean too many at once."""

_RESERVATION_USED = "ReservedFunctionConcurrentInvocationLimitExceeded"
_RESERVE_MORE = "wrenlite-setup --reserved-concurrency N reserves more"

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
"""Prefixes of the error types which mean that the function cannot start."""

_REPORT = re.compile(
    r"REPORT RequestId:.*?Billed Duration: (\d+(?:\.\d+)?) ms\s+Memory Size: (\d+) MB"
    r"\s+Max Memory Used: (\d+) MB(?:\s+Init Duration: ([\d.]+) ms)?"
)


class Report(NamedTuple):
    """The figures of one invocation in Lambda's log."""

    billed_s: float
    memory_mb: int
    peak_mb: int
    init_s: float | None
    """How long the sandbox took to start; None: it was there."""


class Target(NamedTuple):
    """The Lambda function that requests are sent to."""

    function: str
    """Its name or ARN, as configured."""
    qualified: str
    """Its name or ARN, with the published version that runs the requests, if there is one."""
    region: str
    arn: str
    memory_mb: int
    limit_s: float
    """Its time limit."""


def interpret_response(
    response: Response, request: Request, target: Target, elapsed_s: float
) -> tuple[Sequence[Outcome], Ended]:
    """Return the outcomes and the end of a request from Lambda's response.

    Args:
        response: the response.
        request: the request.
        target: the function that it was sent to.
        elapsed_s: seconds between sending the request and the response.

    Raises:
        CredentialsExpired: AWS did not accept the request's credentials, which were good once.
    """
    if response.status != 200:
        return (), Ended(_interpret_not_run(response, target), Usage(), request.tasks)
    usage = _usage(response, target, elapsed_s)
    try:
        if response.headers.get("x-amz-function-error"):
            return (), Ended(_interpret_function_error(response, target), usage, ())
        outcomes, ended = payload.decode_reply(request, response.body)
    except BackendError as error:
        return (), Ended(Refused(error), usage, request.tasks)
    except ValueError as error:
        return (), Ended(Refused(malformed(target, error)), usage, ())
    # The worker's own figures, completed by those that only Lambda knows.
    complete = ended.usage._replace(
        peak_bytes=ended.usage.peak_bytes or usage.peak_bytes,
        tasks=ended.usage.tasks if ended.usage.peak_bytes else 0,  # Lambda's is that of all before, too
        cold=usage.cold or ended.usage.cold,
        requests=usage.requests,
        gb_s=usage.gb_s,
        request_id=usage.request_id,
        used_bytes=usage.used_bytes,
        init_s=usage.init_s,
    )
    return outcomes, ended._replace(usage=complete)


def malformed(target: Target, error: ValueError) -> FunctionBroken:
    """Return the error for a reply that wrenlite's handler cannot have made.

    Args:
        target: the function that it came from.
        error: what is wrong with it.
    """
    return FunctionBroken(
        f"the response of the Lambda function {target.function} is no reply of wrenlite's: {error}. "
        f"{REDEPLOY}"
    )


def parse_report(response: Response) -> Report | None:
    """Return the figures of the REPORT line in the response's log tail; None where there is no such line."""
    try:
        log = base64.b64decode(response.headers.get("x-amz-log-result", "")).decode("utf-8", "replace")
    except ValueError:
        return None
    found = _REPORT.search(log)
    if found is None:
        return None
    init_s = float(found[4]) / 1000 if found[4] else None
    return Report(float(found[1]) / 1000, int(found[2]), int(found[3]), init_s)


def _usage(response: Response, target: Target, elapsed_s: float) -> Usage:
    report, request_id = parse_report(response), response.headers.get("x-amzn-requestid")
    if report is None:  # no log in the response: the invocation took no longer than the response did
        gb_s = target.memory_mb / 1024 * min(elapsed_s, target.limit_s)
        return Usage(requests=1, gb_s=gb_s, request_id=request_id)
    return Usage(
        peak_bytes=report.peak_mb * 2**20,
        used_bytes=report.peak_mb * 2**20,
        init_s=report.init_s or 0.0,
        cold=report.init_s is not None,
        requests=1,
        gb_s=report.billed_s * report.memory_mb / 1024,
        request_id=request_id,
    )


def _interpret_function_error(response: Response, target: Target) -> Cause:
    """Return the cause of an end where the whole sandbox failed: it could not start, or it was ended."""
    kind, message = _error_type_and_message(response)
    function = f"the Lambda function {target.function}"
    report = parse_report(response)
    if kind.startswith(_INIT_ERRORS):
        return Refused(FunctionBroken(f"{function} cannot start: {kind}: {message}. {REDEPLOY}"))
    if kind == "Sandbox.Timedout" and "Task timed out after" not in message:
        return Died(WorkerDied(f"{function} did not start in time: {message}"))
    if kind == "Sandbox.Timedout" or "Task timed out after" in message:
        return Died(
            TaskTimeout(
                f"{function} was stopped at its time limit of {target.limit_s:g} s. Make the tasks smaller, "
                f"or the limit longer: {payload.LAMBDA_HINTS.time}"
            )
        )
    is_full = report is not None and report.peak_mb >= report.memory_mb
    if kind == "Runtime.OutOfMemory" or (is_full and "signal: killed" in message):
        memory_mb = report.memory_mb if report else target.memory_mb
        return Died(
            OutOfMemory(
                f"{function} has {memory_mb:,} MB, and the task needed more. {payload.LAMBDA_HINTS.memory}"
            )
        )
    if kind.startswith(("Runtime.", "Function.")):
        return Died(WorkerDied(f"the sandbox of {function} ended: {kind}: {message}"))
    return Refused(FunctionBroken(f"{function} raised {kind}: {message}. {REDEPLOY}"))


def _error_type_and_message(response: Response) -> tuple[str, str]:
    body = _json_object(response)
    if not body:
        return "Unknown", _beginning(response)
    return str(body.get("errorType", "Unknown")), str(body.get("errorMessage", "without a message"))


def _interpret_not_run(response: Response, target: Target) -> Cause:
    """Return the cause of an end where Lambda did not run the function."""
    code = response.headers.get("x-amzn-errortype", "").partition(":")[0]
    body = _json_object(response)
    message = str(body.get("message") or body.get("Message") or _beginning(response))
    if response.status == 429:
        reason = str(body.get("Reason") or code or "TooManyRequests")
        text = f"Lambda takes no more requests for {target.function} at the moment ({reason})"
        if reason == _RESERVATION_USED:
            text += f": its reserved concurrency is in use, or is 0. {_RESERVE_MORE}"
        return Throttled(ServiceUnavailable(text), concurrency=reason not in _RATE_REASONS)
    if response.status >= 500 or response.status in (408, 409) or "Throttl" in code:
        text = f"Lambda does not run {target.function} at the moment: {response.status} {code}: {message}"
        return Throttled(ServiceUnavailable(text), waits_without_limit=False)
    error = errors.translate_error(
        code, message, response.status, action="lambda:InvokeFunction", resource=target.arn
    )
    if isinstance(error, CredentialsExpired):
        raise error
    return Refused(error)


def nothing_reserved(function: str) -> str:
    """Return the message for a function whose reserved concurrency is 0."""
    return f"nothing can run on {function}, since its reserved concurrency is 0. {_RESERVE_MORE}"


def _json_object(response: Response) -> dict[str, Any]:
    """Return the JSON object in the body of a response; an empty one where the body is something else."""
    try:
        body = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _beginning(response: Response) -> str:
    return response.body[:200].decode("utf-8", "replace")
