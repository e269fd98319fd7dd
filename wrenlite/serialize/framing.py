"""Messages over a pipe. Large buffers follow the pickled message and are never copied into it.

A frame is ``a mark (4 bytes), number of buffers (4), length of the pickle (8), length of each buffer (8
each), the pickle, the buffers``. The mark tells a frame from other things that are written to a pipe. A
receiver reads each buffer straight into memory of its own, and arrays are then made on that memory. So a
buffer is copied twice: into the pipe and out of it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from wrenlite.protocol import PLAIN_TYPES, Buffer, Limits, Outcome, Packed, Plain, Request, Stored
from wrenlite.serialize.pickling import OUT_OF_BAND_BYTES
from wrenlite.texts import counted

_HEAD = struct.Struct("<4sIQ")
_MARK = b"wren"
_READ_BYTES = 1 << 16
"""Bytes of one read: the default capacity of a pipe. Asking for more would allocate more each time."""
_SOON_MS = 100
"""Milliseconds to wait for what is being written already."""
_PARTS_PER_CALL = 512
"""Parts of a frame in one system call; Linux takes 1,024."""


def to_wire(packed: Packed | Stored | Plain) -> Any:
    """Return a packed object as the part of a message, so that its large buffers stay outside the pickle."""
    if not isinstance(packed, Packed):
        return tuple(packed) if isinstance(packed, Stored) else packed
    large = len(packed.data) >= OUT_OF_BAND_BYTES
    data = pickle.PickleBuffer(packed.data) if large else packed.data
    return data, tuple(map(pickle.PickleBuffer, packed.buffers))


def outcome_to_wire(outcome: Outcome) -> tuple[Any, ...]:
    """Return an outcome as plain parts of a message, with its value as ``to_wire`` returns it."""
    return (*outcome[:2], to_wire(outcome.packed), *outcome[3:])


def from_wire(parts: Any) -> Packed | Stored | Plain:
    """Return the packed object that ``to_wire`` made a part of a message of."""
    if type(parts) in PLAIN_TYPES:
        return cast(Plain, parts)
    return Packed(*parts) if len(parts) == 2 else Stored(*parts)


def blob_of(packed: Packed | Plain) -> bytes:
    """Return a packed object as a blob for the store."""
    return join(frame(to_wire(packed)))


def from_blob(blob: Buffer, *, writable: bool = False) -> Packed | Plain:
    """Return the packed object that ``blob_of`` made a blob of. Raises as ``parse``.

    Args:
        blob: the blob.
        writable: as for ``parse``.
    """
    return cast(Packed | Plain, from_wire(parse(blob, writable=writable)))


def items_to_wire(items: Sequence[Packed | Plain]) -> Sequence[Any]:
    """Return the items of a request as a part of a message."""
    return items if PLAIN_TYPES.issuperset(map(type, items)) else list(map(to_wire, items))


def request_to_wire(request: Request) -> tuple[Any, ...]:
    """Return a request as plain tuples: pickling them takes a third of the time that records take."""
    plain: dict[str, Any] = {"items": items_to_wire(request.items), "limits": tuple(request.limits)}
    return tuple(request._replace(**plain))


def request_from_wire(message: Sequence[Any]) -> Request:
    """Return a request that was sent as plain tuples."""
    request = Request(*message)
    return request._replace(
        items=[Packed(*item) if isinstance(item, tuple) else item for item in request.items],
        args=Stored(*request.args) if request.args else None,
        limits=Limits(*request.limits),
    )


def small_frame(message: object) -> bytes:
    """Return the frame of a message without large buffers as one piece. Most outcomes are such messages."""
    data = pickle.dumps(message, 5)
    return _HEAD.pack(_MARK, 0, len(data)) + data


def pickled(message: object) -> tuple[bytes, list[memoryview]]:
    """Return the pickle of a message, and the large buffers in it, which stay outside the pickle."""
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> None:
        buffers.append(buffer.raw())

    return pickle.dumps(message, 5, buffer_callback=keep), buffers


def frame(message: object) -> list[memoryview]:
    """Return the parts of a message's frame, to be written one after the other."""
    data, buffers = pickled(message)
    if not buffers:
        return [memoryview(_HEAD.pack(_MARK, 0, len(data)) + data)]
    lengths = struct.pack(f"<{len(buffers)}Q", *(buffer.nbytes for buffer in buffers))
    return [memoryview(_HEAD.pack(_MARK, len(buffers), len(data)) + lengths + data), *buffers]


def join(parts: Iterable[memoryview]) -> bytes:
    """Return a frame as one piece, for stored blobs and for the bodies of HTTP requests."""
    return b"".join(parts)


def parse(blob: Buffer, *, writable: bool = False) -> Any:
    """Return the message of a frame that is one piece.

    Args:
        blob: the frame.
        writable: copy the buffers, so that they can be changed; otherwise they are views of the blob.

    Raises:
        ValueError: the frame is incomplete, or it is no frame.
    """
    view = memoryview(blob)
    if len(view) < _HEAD.size:
        raise ValueError(f"{counted(len(view), 'byte')}: not a whole message")
    count, length = _head(view, 0)
    start = _HEAD.size + 8 * count
    end = start + length
    lengths = struct.unpack_from(f"<{count}Q", view, _HEAD.size) if len(view) >= end else ()
    if len(view) != end + sum(lengths):
        raise ValueError(f"{counted(len(view), 'byte')}: not a whole message")
    buffers: list[Buffer] = []
    position = end
    for size in lengths:
        buffer = view[position : position + size]
        buffers.append(bytearray(buffer) if writable else buffer)
        position += size
    return pickle.loads(view[start:end], buffers=buffers)


def _head(view: memoryview, position: int) -> tuple[int, int]:
    """Return the number of buffers of a frame, and the length of its pickle.

    Raises:
        ValueError: no frame begins at that position.
    """
    mark, count, length = _HEAD.unpack_from(view, position)
    if mark != _MARK:
        raise ValueError(f"no message begins with {bytes(view[position : position + _HEAD.size])!r}")
    return count, length


def write(fd: int, parts: Iterable[memoryview], wait: Callable[[], None] | None = None) -> None:
    """Write a frame.

    Args:
        fd: the file descriptor to write to.
        parts: the parts of the frame.
        wait: called when a non-blocking pipe is full. It returns when there is room, or raises to give up.
    """
    rest = [part for part in parts if part.nbytes]
    while rest:
        try:
            written = os.writev(fd, rest[:_PARTS_PER_CALL])
        except BlockingIOError:
            if wait is None:
                raise
            wait()
            continue
        rest = _skip(rest, written)


def _skip(parts: list[memoryview], count: int) -> list[memoryview]:
    """Return the parts without their first ``count`` bytes."""
    for index, part in enumerate(parts):
        if count < part.nbytes:
            return [part[count:], *parts[index + 1 :]]
        count -= part.nbytes
    return []


class Reader:
    """Reads frames from a pipe and returns their messages."""

    def __init__(self, fd: int) -> None:
        """Create a reader of the pipe with this file descriptor."""
        self._fd = fd
        self._pending = bytearray()
        self._body: bytes = b""
        self._buffers: list[bytearray] = []
        self._missing: list[memoryview] = []  # the parts of the buffers that have not arrived

    def read(self) -> list[Any]:
        """Read once and return the messages that are complete now, if any. Blocks on a blocking pipe.

        Returns:
            The messages. An exception as the last one says that what followed was no message.

        Raises:
            EOFError: the pipe has ended.
        """
        if self._missing:
            count = os.readv(self._fd, self._missing[:_PARTS_PER_CALL])
            if not count:
                raise EOFError
            self._missing = _skip(self._missing, count)
            return [] if self._missing else [self._complete()]
        chunk = os.read(self._fd, _READ_BYTES)
        if not chunk:
            raise EOFError
        return self.feed(chunk)

    def read_soon(self) -> list[Any]:
        """Read as ``read`` does, but wait only shortly, and return nothing if the pipe has ended."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        with contextlib.suppress(EOFError):
            return self.read() if poll.poll(_SOON_MS) else []
        return []

    def feed(self, chunk: Buffer) -> list[Any]:
        """Take bytes that did not come from the pipe, and return the messages that are complete now.

        Args:
            chunk: the bytes. They begin where the last ones ended.
        """
        self._pending += chunk
        messages: list[Any] = []
        try:
            self._parse(messages)
        except Exception as error:  # unpickling raises errors of any kind
            self._pending.clear()
            messages.append(error)
        return messages

    def _parse(self, messages: list[Any]) -> None:
        position = 0
        with memoryview(self._pending) as view:
            while not self._missing and len(view) - position >= _HEAD.size:
                count, length = _head(view, position)
                start = position + _HEAD.size + 8 * count
                if len(view) < start + length:
                    break
                lengths = struct.unpack_from(f"<{count}Q", view, position + _HEAD.size)
                position = start + length
                with view[start:position] as body:
                    if not count:
                        messages.append(pickle.loads(body))
                        continue
                    self._body = bytes(body)
                position = self._fill(view, position, lengths)
                if not self._missing:
                    messages.append(self._complete())
        del self._pending[:position]

    def _fill(self, view: memoryview, position: int, lengths: Iterable[int]) -> int:
        """Allocate the buffers and copy into them the bytes that were read along with the pickle.

        Args:
            view: the bytes that were read.
            position: where the buffers begin in it.
            lengths: the lengths of the buffers.

        Returns:
            The position after the last byte of the buffers.
        """
        self._buffers = [bytearray(length) for length in lengths]
        for buffer in self._buffers:
            available = min(len(buffer), len(view) - position)
            buffer[:available] = view[position : position + available]
            position += available
            if available < len(buffer):
                self._missing.append(memoryview(buffer)[available:])
        return position

    def _complete(self) -> Any:
        message = pickle.loads(self._body, buffers=self._buffers)
        self._body, self._buffers = b"", []
        return message
