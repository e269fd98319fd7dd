"""Requests and replies as Lambda takes them: JSON with one field of base64. Pure functions, for both sides.

What is inside of it is one frame, as in the pipes (``serialize.framing``). It is unpickled by whoever
receives it: a request may only be sent by whom IAM lets invoke the function, and a reply comes over the same
connection. A reply that is left in the store carries an HMAC with a key that only the request held.
The versions stand outside, and are compared before anything is unpickled.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib.metadata
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from wrenlite import __version__
from wrenlite.errors import IncompatibleRuntime, IntegrityError
from wrenlite.protocol import PROTOCOL, Ended, Hints, Outcome, Request, Usage
from wrenlite.serialize import framing

PAYLOAD_BYTES = 6 * 2**20
"""What Lambda takes, and nearly what it gives (100 bytes more)."""
FRAME_BYTES = (PAYLOAD_BYTES - 4096) // 4 * 3
"""What a frame may have, so that base64 and the rest of the JSON fit."""
REPLY_BYTES = FRAME_BYTES - 64 * 1024
"""What outcomes may have of a reply, beside what is said of its end."""
LAMBDA_HINTS = Hints(
    memory="wrenlite-setup --memory gives the function more memory",
    time="wrenlite-setup --timeout gives the function more time",
    package="wrenlite-setup --package NAME adds it to the function's layer",
)
"""What messages of workers on Lambda advise when memory, time or a package is missing."""


class Place(NamedTuple):
    """Where the blobs of a request are."""

    bucket: str
    prefix: str
    owner: str | None


@cache
def versions() -> dict[str, Any]:
    """What this side runs, as far as both sides must agree on it."""
    return {
        "protocol": PROTOCOL,
        "wrenlite": __version__,
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "cloudpickle": importlib.metadata.version("cloudpickle").partition(".")[0],
    }


def encode_request(request: Request, place: Place) -> bytes:
    """The JSON of a request; longer than ``PAYLOAD_BYTES`` where its items do not fit into one."""
    message = request._replace(
        items=[framing.to_wire(item) for item in request.items],
        tasks=list(request.tasks),
        env=dict(request.env),
        limits=tuple(request.limits),  # type: ignore[arg-type]  # records travel as plain tuples
    )
    return json.dumps({**versions(), "place": place, "body": _text(framing.frame(tuple(message)))}).encode()


def encode_items(request: Request) -> bytes:
    """The items of a request as one blob, for the store."""
    return framing.join(framing.frame([framing.to_wire(item) for item in request.items]))


def refusal(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The reply to a request of other versions; None where they agree. For the side of Lambda."""
    own = versions()
    agrees = all(event.get(name) == version for name, version in own.items())
    return None if agrees else {"versions": own}


def decode_request(event: Mapping[str, Any]) -> tuple[Request, Place]:
    """The request in an event of Lambda, and where its blobs are."""
    request = framing.request_from_wire(framing.parse(base64.b64decode(event["body"]), writable=True))
    return request, Place(*event["place"])


def encode_body(outcomes: Sequence[Outcome], ended: Ended) -> bytes:
    """What a reply says, as a frame."""
    sent = [(*outcome[:2], framing.to_wire(outcome.packed), *outcome[3:]) for outcome in outcomes]
    return framing.join(framing.frame((sent, ended.cause, tuple(ended.usage), list(ended.not_started))))


def encode_reply(body: bytes) -> dict[str, Any]:
    """A reply, as the handler returns it."""
    return {"body": base64.b64encode(body).decode()}


def decode_reply(payload: bytes) -> tuple[list[Outcome], Ended]:
    """What a reply says. Raises IncompatibleRuntime, and ValueError where this is none of ours."""
    reply = json.loads(payload)
    if not isinstance(reply, dict) or not {"body", "versions"} & set(reply):
        raise ValueError("not a reply of wrenlite's")
    if "versions" in reply:
        raise IncompatibleRuntime(_differences(reply["versions"]))
    return decode_body(base64.b64decode(reply["body"]))


def decode_body(body: bytes) -> tuple[list[Outcome], Ended]:
    """The outcomes and the end of a request."""
    sent, cause, usage, not_started = framing.parse(body, writable=True)
    outcomes = [Outcome(task, ok, framing.from_wire(packed), *rest) for task, ok, packed, *rest in sent]
    return outcomes, Ended(cause, Usage(*usage), not_started)


def seal(request: Request, body: bytes) -> bytes:
    """A reply's body as it is left in the store: HMAC-SHA256 (RFC 2104), then the body."""
    return _mac(request, body) + body


def unseal(request: Request, sealed: bytes) -> bytes:
    """The body of a reply that was left in the store. Raises IntegrityError where it is not for this one."""
    mac, body = sealed[:32], sealed[32:]
    if not hmac.compare_digest(mac, _mac(request, body)):
        raise IntegrityError("the reply that lies in the store was not made for this request")
    return body


def _mac(request: Request, body: bytes) -> bytes:
    about = json.dumps([PROTOCOL, request.job, request.invocation, list(request.tasks)]).encode()
    return hmac.new(request.secret, about + b"\0" + body, hashlib.sha256).digest()


def _text(frame: Sequence[memoryview]) -> str:
    return base64.b64encode(framing.join(frame)).decode()


def _differences(theirs: Mapping[str, Any]) -> str:
    own = versions()
    names = {"protocol": "the protocol", "python": "Python"}
    differing = [
        f"{names.get(name, name)} {theirs.get(name)} there and {own[name]} here"
        for name in own
        if theirs.get(name) != own[name]
    ]
    return (
        f"the Lambda function and this process differ: {', '.join(differing)}. wrenlite-setup deploys the "
        "function again with the versions of this process"
    )
