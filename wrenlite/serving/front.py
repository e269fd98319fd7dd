"""The HTTP front of a published job: what is answered to a request, on Lambda and on this machine.

``POST /start`` begins a start and answers at once with its id; ``GET /jobs/ID`` answers with its status.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from wrenlite.errors import BadInput
from wrenlite.serving.publication import Publication
from wrenlite.texts import sized

MAX_BYTES = 200 << 10
"""The largest body of a request. It travels on in an asynchronous invocation, which takes 256 KB."""
MAX_DEPTH = 50
"""Lists and objects within each other in a body."""
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_HEADERS = {"content-type": "application/json", "cache-control": "no-store"}


class Request(NamedTuple):
    """A request."""

    method: str
    path: str
    """Without the query."""
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes


class Response(NamedTuple):
    """What is answered."""

    status: int
    body: Mapping[str, Any]
    """It is sent as JSON."""
    headers: Mapping[str, str]


class Starts(Protocol):
    """What begins and knows the starts of a publication."""

    def start(self, event: Mapping[str, Any], key: str | None) -> str:
        """Begin a start, unless one with that key was begun already. Return its id.

        Args:
            event: the fields of the request.
            key: the request's ``Idempotency-Key``.
        """

    def status(self, start: str) -> Mapping[str, Any] | None:
        """Return the status of a start; None where there is no such start."""


def answer(
    request: Request, publication: Publication, check: Callable[[Mapping[str, Any]], object], starts: Starts
) -> Response:
    """Return the answer to a request.

    Args:
        request: the request.
        publication: what is published.
        check: raises BadInput where the function cannot be called with these fields.
        starts: begins starts, and has their status.
    """
    if request.path == "/start":
        if request.method != "POST":
            return _refusal(405, "send POST to /start", allow="POST")
        try:
            return _start(request, check, starts)
        except BadInput as error:
            return _refusal(400, str(error), error.field)
    found = re.fullmatch(r"/jobs/([^/]*)", request.path)
    if found is None:
        return _refusal(404, "there are POST /start and GET /jobs/ID")
    if request.method != "GET":
        return _refusal(405, "send GET to /jobs/ID", allow="GET")
    start = found[1]
    known = starts.status(start) if publication.has_start(start) else None
    if known is None:
        return _refusal(404, f"there is no start {start[:80]!r} of {publication.name}, or not any more")
    return Response(200, known, _HEADERS)


def check_key(key: str) -> None:
    """Check an ``Idempotency-Key``.

    Raises:
        BadInput: it cannot be one.
    """
    if not _KEY.fullmatch(key):
        raise BadInput("Idempotency-Key must be 1 to 200 letters, digits or signs of ASCII, without spaces")


def decode(body: bytes) -> dict[str, Any]:
    """Return the fields of a request: those of the JSON object that its body is. No body: no fields.

    Raises:
        BadInput: the body is no JSON object, or has what later readers could not handle: two fields of one
            name, NaN, infinity, half a character, or too many objects within each other.
    """
    try:
        fields = json.loads(
            body.decode() or "{}",
            object_pairs_hook=_without_doubles,
            parse_constant=_no_number,
            parse_float=_finite,
        )
        _check_values(fields)
    except BadInput:
        raise
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise BadInput(f"the body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}") from None
    except ValueError as error:
        raise BadInput(f"the body is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadInput('the body must be a JSON object, such as {"name": 1}')
    return fields


def _start(request: Request, check: Callable[[Mapping[str, Any]], object], starts: Starts) -> Response:
    if len(request.body) > MAX_BYTES:
        return _refusal(413, f"the body has {sized(len(request.body))}, and may have {sized(MAX_BYTES)}")
    key = request.headers.get("idempotency-key")
    if key is not None:
        check_key(key)
    fields = decode(request.body)
    check(fields)
    start = starts.start(fields, key)
    return Response(202, {"id": start, "url": f"/jobs/{start}"}, _HEADERS)


def _refusal(status: int, error: str, field: str | None = None, *, allow: str = "") -> Response:
    body = {"error": error} if field is None else {"error": error, "field": field}
    return Response(status, body, {**_HEADERS, "allow": allow} if allow else _HEADERS)


def _without_doubles(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise BadInput(f"the body has the field {name[:80]!r} twice", field=name)
        fields[name] = value
    return fields


def _no_number(name: str) -> Any:
    raise BadInput(f"the body is no JSON: it has {name}, which is no number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise BadInput(f"the body has the number {digits[:40]}, which is too large")
    return number


def _check_values(value: Any) -> None:
    """Refuse half a character, and too many objects within each other."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep()
        inner: list[Any] = []
        for each in level:
            if isinstance(each, str):
                each.encode()  # a UnicodeEncodeError is a ValueError
            elif isinstance(each, dict):
                inner += [*each, *each.values()]
            elif isinstance(each, list):
                inner += each
        level = inner


def _too_deep() -> BadInput:
    return BadInput(f"the body has more than {MAX_DEPTH} lists and objects within each other")
