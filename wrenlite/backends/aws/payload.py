"""Encode requests and replies as Lambda takes them: JSON, with one field of base64. Both sides use it. Pure.

The base64 holds one frame, as in the pipes to local workers (``serialize.framing``). The receiver unpickles
the frame. That is safe: only users whom IAM allows to invoke the function can send a request, and the reply
comes back on the same connection. A reply that is left in the store carries an HMAC, whose key only the
request held. The versions of both sides are outside the frame, and are compared before anything is unpickled.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from wrenlite import __version__, keys
from wrenlite.errors import IncompatibleRuntime
from wrenlite.protocol import PROTOCOL, Ended, Hints, Outcome, Request
from wrenlite.serialize import framing, replies

PAYLOAD_BYTES = 6 * 2**20
"""The most bytes of a request that Lambda accepts. A reply may have 100 bytes more."""
FRAME_BYTES = (PAYLOAD_BYTES - 4096) // 4 * 3
"""The most bytes that a frame may have, so that its base64 and the rest of the JSON fit."""
REPLY_BYTES = FRAME_BYTES - 64 * 1024
"""The most bytes that the outcomes in a reply may have. The rest is for the usage and the tasks that were not
started."""

LAMBDA_HINTS = Hints(
    memory="wrenlite-setup --memory gives the function more memory",
    time="wrenlite-setup --timeout gives the function more time",
    package="wrenlite-setup --package NAME, with all others that tasks import, puts it into the function's "
    "layer",
    no_shared_memory="Lambda has no /dev/shm",
    output="output comes when a request ends",
)
"""What to do where memory, time or a package is missing on Lambda."""

LAMBDA_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Lambda's Python runtimes on which wrenlite runs, as of November 2026."""

_LONGEST_MARGIN_S = 2.0
_MARGIN_SHARE = 0.1


class StoreLocation(NamedTuple):
    """A location says where in S3 the blobs of a request are stored."""

    bucket: str
    prefix: str
    owner: str | None
    """The account that the bucket must belong to; None: any."""


def reply_margin_s(remaining_s: float) -> float:
    """Return the seconds before the function's time limit at which the worker is stopped, to reply in time.

    Args:
        remaining_s: seconds that are left until the time limit. A tenth of them is kept, 2 s at most.
    """
    return min(_LONGEST_MARGIN_S, _MARGIN_SHARE * remaining_s)


@cache
def versions() -> dict[str, Any]:
    """Return the versions of this process in which both sides must agree."""
    return {
        "protocol": PROTOCOL,
        "wrenlite": __version__,
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "cloudpickle": _cloudpickle_version().partition(".")[0],
    }


def _cloudpickle_version() -> str:
    """Return the version of cloudpickle.

    It is read from the name of the folder of its metadata. Importing ``importlib.metadata`` takes 24 ms, and
    cloudpickle itself 9 ms, of the start of each sandbox.
    """
    from importlib.util import find_spec

    spec = find_spec("cloudpickle")
    places = [os.path.dirname(place) for place in (spec.submodule_search_locations if spec else None) or ()]
    for name in (name for place in places for name in os.listdir(place)):
        if name.startswith("cloudpickle-") and name.endswith(".dist-info"):
            return name.removeprefix("cloudpickle-")
    import cloudpickle

    return str(cloudpickle.__version__)


def encode_request(request: Request, location: StoreLocation) -> bytes:
    """Encode a request as JSON. It is longer than ``PAYLOAD_BYTES`` where the items do not fit.

    Args:
        request: the batch.
        location: where the function finds the blobs that the request refers to.
    """
    message = request._replace(
        items=framing.items_to_wire(request.items),
        tasks=list(request.tasks),
        env=dict(request.env),
        limits=tuple(request.limits),  # type: ignore[arg-type]  # records travel as plain tuples
    )
    body = base64.b64encode(framing.join(framing.frame(tuple(message))))
    beginning = json.dumps({**versions(), "place": location}).removesuffix("}").encode()
    return b'%s, "body": "%s"}' % (beginning, body)  # base64 needs no escapes in JSON


def encode_items(request: Request) -> bytes:
    """Encode the items of a request as one blob, for the store."""
    return framing.join(framing.frame(framing.items_to_wire(request.items)))


def version_mismatch(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the reply to a request whose sender runs other versions; None where the versions agree."""
    own = versions()
    agrees = all(event.get(name) == version for name, version in own.items())
    return None if agrees else {"versions": own}


def decode_request(event: Mapping[str, Any]) -> tuple[Request, StoreLocation]:
    """Return the request in an event of Lambda, and where its blobs are stored."""
    request = framing.request_from_wire(framing.parse(base64.b64decode(event["body"]), writable=True))
    return request, StoreLocation(*event["place"])


def encode_body(outcomes: Sequence[Outcome], ended: Ended) -> bytes:
    """Encode the outcomes and the end of a request as a frame."""
    sent = list(map(framing.outcome_to_wire, outcomes))
    end = ended.cause, tuple(ended.usage), list(ended.not_started), ended.output, ended.records
    return framing.join(framing.frame((sent, *end)))


def encode_reply(body: bytes) -> dict[str, Any]:
    """Encode a body as the reply that the function's handler returns."""
    return {"body": base64.b64encode(body).decode()}


def decode_reply(request: Request, payload: bytes) -> tuple[list[Outcome], Ended]:
    """Decode a reply of the function.

    Args:
        request: the request that the reply must be for.
        payload: the body of Lambda's response.

    Raises:
        IncompatibleRuntime: the function runs other versions.
        ValueError: this is no reply of wrenlite's to that request.
    """
    try:
        reply = json.loads(payload)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    if not isinstance(reply, dict):
        raise ValueError("it is no JSON object")
    if isinstance(theirs := reply.get("versions"), dict) and version_mismatch(theirs):
        raise IncompatibleRuntime(_differences(theirs))
    if not isinstance(body := reply.get("body"), str):
        raise ValueError("it has neither a body nor other versions")
    return decode_body(request, base64.b64decode(body))


def decode_body(request: Request, body: bytes) -> tuple[list[Outcome], Ended]:
    """Decode the outcomes and the end of a request from a frame.

    Args:
        request: the request.
        body: the frame.

    Raises:
        ValueError: the frame holds something else than a reply to that request.
    """
    try:
        sent, cause, usage, not_started, output, records = framing.parse(body, writable=True)
    except Exception as error:  # unpickling raises errors of any kind
        raise ValueError(f"its body is no message: {error}") from error
    if not isinstance(sent, list):
        raise ValueError("its body has no outcomes")
    outcomes = [replies.outcome_from_wire(request, position, each) for position, each in enumerate(sent)]
    end = cause, usage, not_started, output, records
    return outcomes, replies.ended_from_wire(request, len(outcomes), *end)


def add_mac(request: Request, body: bytes) -> bytes:
    """Return the body of a reply with its HMAC before it, to be left in the store."""
    return keys.signed(request.secret, body, *_reply(request.job, request.invocation))


def verify_mac(request: Request, blob: bytes) -> bytes:
    """Return the body of a reply that was left in the store, once its HMAC is checked.

    Args:
        request: the request that the reply must be for.
        blob: what ``add_mac`` returned.

    Raises:
        IntegrityError: the reply was not made for this request.
    """
    return keys.verified(request.secret, blob, *_reply(request.job, request.invocation))


def tasks_of_reply(secret: bytes, job: str, invocation: str, blob: bytes) -> list[int]:
    """Return the tasks that a reply in the store tells of; none of a batch that has only begun.

    Args:
        secret: the key of the request.
        job: id of the job.
        invocation: id of the request.
        blob: what ``add_mac`` returned.

    Raises:
        IntegrityError: the reply was not made for this request.
    """
    body = keys.verified(secret, blob, *_reply(job, invocation))
    if not body:
        return []
    outcomes, _, _, not_started, *_ = framing.parse(body)
    return [*(outcome[0] for outcome in outcomes), *not_started]


def _reply(job: str, invocation: str) -> tuple[str, ...]:
    return "reply", job, invocation


def encode_cancel(unwanted: Iterable[tuple[Request, Sequence[int]]]) -> bytes:
    """Encode a cancel, for the store: JSON, with one signed entry for each invocation.

    Args:
        unwanted: requests, and which of their tasks nobody wants the outcomes of any more.
    """
    entries = {}
    for request, tasks in unwanted:
        entry = keys.signed(request.secret, json.dumps(list(tasks)).encode(), *_cancel(request))
        entries[request.invocation] = base64.b64encode(entry).decode()
    return json.dumps(entries).encode()


def decode_cancel(request: Request, blob: bytes) -> Sequence[int]:
    """Return the tasks of a request that are cancelled.

    Args:
        request: the request.
        blob: what ``encode_cancel`` returned.

    Raises:
        IntegrityError: the sender of the request has not written its entry.
        ValueError: this is no cancel.
    """
    entries = json.loads(blob)
    if not isinstance(entries, dict) or not isinstance(entry := entries.get(request.invocation, ""), str):
        raise ValueError("the object that cancels tasks has another form")
    if not entry:
        return ()
    body = keys.verified(request.secret, base64.b64decode(entry), *_cancel(request))
    tasks: Sequence[int] = json.loads(body)
    return tasks


def _cancel(request: Request) -> tuple[str, ...]:
    return "cancel", request.job, request.invocation


def _differences(theirs: Mapping[str, Any]) -> str:
    own = versions()
    names = {"protocol": "the protocol", "python": "Python"}
    differing = [
        f"{names.get(name, name)} {theirs.get(name)} there and {own[name]} here"
        for name in own
        if theirs.get(name) != own[name]
    ]
    python = str(theirs.get("python"))
    fix = (
        "wrenlite-setup deploys the function again with the versions of this process, for all new executors; "
        "wrenlite status lists the version from before, which function='NAME:d-…' chooses"
        if python == own["python"]
        else python_advice(python, own["python"])
    )
    return f"the Lambda function and this process differ: {', '.join(differing)}. {fix}"


def python_advice(theirs: str, own: str) -> str:
    """Return what to do where the function runs another Python than this process.

    Args:
        theirs: the minor version of the function's Python, such as ``3.11``.
        own: that of this process.
    """
    if own not in LAMBDA_PYTHONS:
        return f"Use Python {theirs} here: Lambda has no Python {own} ({', '.join(LAMBDA_PYTHONS)})"
    return (
        f"Use Python {theirs} here, or run wrenlite-setup with this Python: it deploys the function again "
        f"with Python {own}, which all its users then need"
    )
