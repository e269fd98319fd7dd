"""Messages over a pipe: length, pickled message, and its large buffers beside it, never copied into it.

A frame is ``length of the pickle (8 bytes), number of buffers (4), length of each buffer (8 each),
the pickle, the buffers``. A receiver reads buffers straight into memory of their own, which is then
what arrays are made on: one copy into the pipe, one out of it.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from wrenlite.protocol import Buffer, Limits, Packed, Request, Stored
from wrenlite.serialize.pickling import OUT_OF_BAND

_HEAD = struct.Struct("<QI")
_CHUNK = 1 << 16
"""Bytes of one read: what a pipe holds. Asking for more would allocate it each time."""
_PARTS = 512
"""Parts of one system call; Linux takes 1,024."""


def portable(packed: Packed | Stored) -> Any:
    """A packed object as it is put into a message, so that what is large of it stays outside the pickle."""
    if isinstance(packed, Stored):
        return tuple(packed)
    data = pickle.PickleBuffer(packed.data) if len(packed.data) >= OUT_OF_BAND else packed.data
    return data, tuple(map(pickle.PickleBuffer, packed.buffers))


def received(parts: Sequence[Any]) -> Packed | Stored:
    """What ``portable`` made parts of."""
    return Packed(*parts) if len(parts) == 2 else Stored(*parts)


def received_request(message: Sequence[Any]) -> Request:
    """A request whose parts came as plain tuples."""
    request = Request(*message)
    return request._replace(
        items=[Packed(*item) for item in request.items],
        args=Stored(*request.args) if request.args else None,
        limits=Limits(*request.limits),
    )


def small_frame(message: object) -> bytes:
    """The frame of a message that holds no large buffer, as one piece: what most outcomes are."""
    data = pickle.dumps(message, 5)
    return _HEAD.pack(len(data), 0) + data


def frame(message: object) -> list[memoryview]:
    """The parts of a message's frame, to be written one after the other."""
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> None:
        buffers.append(buffer.raw())

    data = pickle.dumps(message, 5, buffer_callback=keep)
    if not buffers:
        return [memoryview(_HEAD.pack(len(data), 0) + data)]
    lengths = struct.pack(f"<{len(buffers)}Q", *(buffer.nbytes for buffer in buffers))
    return [memoryview(_HEAD.pack(len(data), len(buffers)) + lengths + data), *buffers]


def join(parts: Iterable[memoryview]) -> bytes:
    """A frame as one piece, for where there is no pipe: stored blobs, and the bodies of HTTP requests."""
    return b"".join(parts)


def parse(blob: Buffer, *, writable: bool = False) -> Any:
    """The message of a frame in one piece; its buffers are parts of the frame, or copies that can be written.

    Raises ValueError where the frame is not whole.
    """
    view = memoryview(blob)
    if len(view) < _HEAD.size:
        raise ValueError(f"{len(view)} bytes are not a whole message")
    length, count = _HEAD.unpack_from(view)
    start = _HEAD.size + 8 * count
    end = start + length
    lengths = struct.unpack_from(f"<{count}Q", view, _HEAD.size) if len(view) >= end else ()
    if len(view) != end + sum(lengths):
        raise ValueError(f"{len(view)} bytes are not a whole message")
    buffers: list[Buffer] = []
    place = end
    for size in lengths:
        buffer = view[place : place + size]
        buffers.append(bytearray(buffer) if writable else buffer)
        place += size
    return pickle.loads(view[start:end], buffers=buffers)


def write(fd: int, parts: Iterable[memoryview], wait: Callable[[], None] | None = None) -> None:
    """Write a frame. ``wait`` is called when a non-blocking pipe is full, and may raise to give up."""
    rest = [part for part in parts if part.nbytes]
    while rest:
        try:
            written = os.writev(fd, rest[:_PARTS])
        except BlockingIOError:
            if wait is None:
                raise
            wait()
            continue
        rest = _after(rest, written)


def _after(parts: list[memoryview], count: int) -> list[memoryview]:
    """What is left of the parts once so many bytes are dealt with."""
    for index, part in enumerate(parts):
        if count < part.nbytes:
            return [part[count:], *parts[index + 1 :]]
        count -= part.nbytes
    return []


class Reader:
    """Takes frames apart as their bytes come in."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pending = bytearray()
        self._body: bytes = b""
        self._buffers: list[bytearray] = []
        self._gaps: list[memoryview] = []  # what is still missing of the buffers

    def read(self) -> list[Any]:
        """One read, which blocks where the pipe is a blocking one; the messages it completed, if any.

        Raises EOFError at the end of the pipe.
        """
        if self._gaps:
            count = os.readv(self._fd, self._gaps[:_PARTS])
            if not count:
                raise EOFError
            self._gaps = _after(self._gaps, count)
            return [] if self._gaps else [self._complete()]
        chunk = os.read(self._fd, _CHUNK)
        if not chunk:
            raise EOFError
        self._pending += chunk
        return self._parse()

    def _parse(self) -> list[Any]:
        messages = []
        place = 0
        with memoryview(self._pending) as view:
            while not self._gaps and len(view) - place >= _HEAD.size:
                length, count = _HEAD.unpack_from(view, place)
                start = place + _HEAD.size + 8 * count
                if len(view) < start + length:
                    break
                lengths = struct.unpack_from(f"<{count}Q", view, place + _HEAD.size)
                place = start + length
                with view[start:place] as body:
                    if not count:
                        messages.append(pickle.loads(body))
                        continue
                    self._body = bytes(body)
                place = self._fill(view, place, lengths)
                if not self._gaps:
                    messages.append(self._complete())
        del self._pending[:place]
        return messages

    def _fill(self, view: memoryview, place: int, lengths: Iterable[int]) -> int:
        """Make the buffers, and copy what came of them along with the pickle; returns where that ends."""
        self._buffers = [bytearray(length) for length in lengths]
        for buffer in self._buffers:
            here = min(len(buffer), len(view) - place)
            buffer[:here] = view[place : place + here]
            place += here
            if here < len(buffer):
                self._gaps.append(memoryview(buffer)[here:])
        return place

    def _complete(self) -> Any:
        message = pickle.loads(self._body, buffers=self._buffers)
        self._body, self._buffers = b"", []
        return message
