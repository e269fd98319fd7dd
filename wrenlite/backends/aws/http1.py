"""Requests and responses of HTTP/1.1 (RFC 9112), on a socket that is connected.

``http.client`` would parse the headers of each response as those of a mail, and makes two buffers for it.
That takes more processor time than all else that is done with a response.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from http.client import HTTPException
from typing import NamedTuple

_ONE_PIECE_BYTES = 1 << 14
"""The most bytes of a body that are copied behind the head, to be sent in one TLS record or two."""
_HEAD_BYTES, _BODY_BYTES = 1 << 12, 1 << 14
"""Bytes to receive at a time: few while a thread waits for the head, since a thousand threads may wait, and
then those of a TLS record."""
_LONGEST_HEAD_BYTES = 1 << 16
_STATUS_LINE = re.compile(r"HTTP/1\.(\d) (\d{3})(?: .*)?", re.ASCII)


class Response(NamedTuple):
    """A response of the service."""

    status: int
    headers: Mapping[str, str]
    """Values by name, in lower case. Of several headers with the same name it is the first."""
    body: bytes


def send_request(sock: socket.socket, path: str, headers: Mapping[str, str], data: bytes) -> None:
    """Send a POST request, a small one in one piece."""
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    head = "\r\n".join(lines).encode("ascii")
    if len(data) > _ONE_PIECE_BYTES:
        sock.sendall(head)
        sock.sendall(data)
    else:
        sock.sendall(head + data)


def read_response(sock: socket.socket) -> tuple[Response, bool]:
    """Read the response to a POST request.

    Returns:
        The response, and whether the connection can be used for another request.

    Raises:
        HTTPException: it is no response of HTTP/1.1, or it is not complete.
        OSError: the connection broke.
    """
    incoming = _Incoming(sock)
    while True:
        first, *lines = incoming.until(b"\r\n\r\n").decode("iso-8859-1").split("\r\n")
        status_line = _STATUS_LINE.fullmatch(first)
        if status_line is None:
            raise HTTPException(f"this is no response of HTTP/1.1: {first:.80}")
        status = int(status_line[2])
        if status >= 200:  # others only say that the response is still to come
            break
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), value.strip())
    body = _read_body(incoming, status, headers)
    closes = status_line[1] == "0" or "close" in headers.get("connection", "").lower()
    return Response(status, headers, body), not (closes or incoming.ended or incoming.rest)


class _Incoming:
    """The bytes that arrive on a connection, to be taken piece by piece."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.rest = b""
        """The bytes that have arrived and were not taken yet."""
        self.ended = False

    def until(self, mark: bytes) -> bytes:
        """Take the bytes before a mark, and the mark, which is not returned."""
        while mark not in self.rest:
            if len(self.rest) > _LONGEST_HEAD_BYTES:
                raise HTTPException("the head of the response does not end")
            self.rest += self._receive(_HEAD_BYTES)
        before, _, self.rest = self.rest.partition(mark)
        return before

    def exactly(self, count: int) -> bytes:
        """Take a number of bytes."""
        parts, missing = [self.rest], count - len(self.rest)
        while missing > 0:
            parts.append(self._receive(_BODY_BYTES))
            missing -= len(parts[-1])
        data = b"".join(parts)
        self.rest = data[count:]
        return data[:count]

    def all(self) -> bytes:
        """Take all bytes until the other side closes the connection."""
        parts = [self.rest]
        while part := self._sock.recv(_BODY_BYTES):
            parts.append(part)
        self.rest, self.ended = b"", True
        return b"".join(parts)

    def _receive(self, most: int) -> bytes:
        part = self._sock.recv(most)
        if not part:
            raise HTTPException("the server closed the connection before the end of its response")
        return part


def _read_body(incoming: _Incoming, status: int, headers: Mapping[str, str]) -> bytes:
    if status in (204, 304):
        return b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _read_chunks(incoming)
    length = headers.get("content-length")
    if length is None:
        return incoming.all()
    return incoming.exactly(_number(length, base=10))


def _read_chunks(incoming: _Incoming) -> bytes:
    chunks = []
    while size := _number(incoming.until(b"\r\n").partition(b";")[0].decode("iso-8859-1"), base=16):
        chunks.append(incoming.exactly(size))
        incoming.until(b"\r\n")
    while incoming.until(b"\r\n"):  # headers behind the body
        pass
    return b"".join(chunks)


def _number(text: str, base: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        number = -1
    if number < 0:
        raise HTTPException(f"the length of the response is no number: {text:.80}")
    return number
