"""The outcomes of short tasks, which a worker gathers in memory that its parent process has mapped too.

Writing an outcome to the pipe, and waking the parent up for it, takes longer than a short task does. So a
worker puts outcomes here and writes many at once. Whatever happens to the worker, none is lost: the parent
reads what is left here once the worker is dead, or when nothing has come from it for a while.

::

    number of the request | position of the first outcome | number of outcomes
    | number of the request whose tasks have begun to run | whether the initializer has returned
    | their rows | their values

Only the worker writes. An outcome is there once the number of outcomes has been raised, which is done last.
Both sides count the requests. So the parent takes nothing that is left of an earlier request: the worker may
not have begun with the new one.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
from typing import NamedTuple

from wrenlite.protocol import PLAIN_TYPES, Outcome, Packed

_ROWS = 4096
_ROW = struct.Struct("<4d")
"""When the task started, its seconds, its processor time, and where its value ends."""
_ROW_BYTES = _ROW.size
_pack_row = _ROW.pack_into
_HEAD_BYTES = 40
_REQUEST, _FIRST, _COUNT, _BEGUN, _INITIALIZED = range(5)
"""The fields of the head."""
_VALUES_AT = _HEAD_BYTES + _ROWS * _ROW_BYTES
_VALUE_BYTES = 256 * 1024
_BYTES = _VALUES_AT + _VALUE_BYTES
GATHER_S = 0.005
"""Seconds for which a worker gathers outcomes before it sends them. While a task runs it cannot send: then
the parent reads them after this time."""
_LARGEST_BYTES = 4096
"""A larger value is written to the pipe."""

# Pickle protocol 3 has no frames, so pickles can be joined to the pickle of a list: these bytes stand before
# and after its elements. Of these the last byte (stop) is left out.
_LIST_START, _LIST_END = b"\x80\x03](", b"e."
_PROTOCOL = 3


class Columns(NamedTuple):
    """Outcomes of tasks that follow each other in a batch, all of them with values and without output."""

    first: int
    """The position of the first one in the batch."""
    rows: bytes
    """``array("d")`` with four numbers for each: started, seconds, cpu_s, and where its value ends."""
    values: bytes
    """Their values as they are sent, as one pickled list."""


class Outbox:
    """The worker's side."""

    def __init__(self, fd: int) -> None:
        """Map the memory of a descriptor, and close the descriptor."""
        self._memory = memoryview(mmap.mmap(fd, _BYTES))
        os.close(fd)
        self._head = self._memory[:_HEAD_BYTES].cast("Q")
        self._values = self._memory[_VALUES_AT:]
        self._count = 0
        self._end = 0

    def begin_request(self) -> None:
        """Empty the outbox for a new request."""
        self.begin(0)
        self._head[_REQUEST] += 1

    def begin_tasks(self) -> None:
        """Record that the first task of the request begins to run."""
        self._head[_BEGUN] = self._head[_REQUEST]

    def mark_initialized(self) -> None:
        """Record that the initializer of the worker has returned."""
        self._head[_INITIALIZED] = 1

    def begin(self, first: int) -> None:
        """Empty the outbox.

        Args:
            first: the position in the batch of the next outcome that is put into it.
        """
        self._head[_COUNT] = self._count = self._end = 0
        self._head[_FIRST] = first

    def put(self, outcome: Outcome) -> bool:
        """Put an outcome into the outbox. Return False where it cannot hold it, or has no room left."""
        _, ok, packed, started, seconds, cpu_s, output, records, _, peak_bytes = outcome
        if not ok or output or records or peak_bytes:
            return False
        if type(packed) in PLAIN_TYPES:
            value = pickle.dumps(packed, _PROTOCOL)
        elif type(packed) is Packed and not packed.buffers and len(packed.data) <= _LARGEST_BYTES:
            value = pickle.dumps(tuple(packed), _PROTOCOL)
        else:
            return False
        start, count = self._end, self._count
        end = start + len(value)
        if count == _ROWS or end > _VALUE_BYTES:
            return False
        self._values[start:end] = value
        end -= 1  # the next value is written over the last byte of this one
        _pack_row(self._memory, _HEAD_BYTES + count * _ROW_BYTES, started, seconds, cpu_s, end)
        self._end = end
        self._head[_COUNT] = self._count = count + 1
        return True

    def columns(self) -> Columns | None:
        """Return the outcomes; None where there is none."""
        return _read(self._memory, self._head[_FIRST], self._count)


class OutboxReader:
    """The parent's side."""

    def __init__(self) -> None:
        """Create the memory.

        Raises:
            OSError: there is no memory, or no descriptor is free.
        """
        self._fd = _create_memory()
        self._memory = memoryview(mmap.mmap(self._fd, _BYTES))
        self._head = self._memory[:_HEAD_BYTES].cast("Q")
        self._request = 0

    def fileno(self) -> int:
        """Return the file descriptor of the memory, for the worker to inherit."""
        return self._fd

    def close(self) -> None:
        """Close the file descriptor."""
        os.close(self._fd)

    @property
    def initialized(self) -> bool:
        """Whether the initializer of the worker has returned."""
        return bool(self._head[_INITIALIZED])

    def expect_request(self) -> None:
        """Take no outcomes until the worker has begun with the request that is sent next."""
        self._request += 1

    def finished(self) -> int:
        """Return the number of tasks of the batch that have ended; 0 where no outcome is in the outbox."""
        request, first, count, *_ = self._head
        return first + count if count and request == self._request else 0

    def running(self) -> int | None:
        """Return the position in the batch of the task that runs now; None before the first one runs.

        When the last task has ended it is the number of tasks.
        """
        _, first, count, begun, _ = self._head
        return first + count if begun == self._request else None

    def read(self) -> Columns | None:
        """Return the outcomes that are in it; None where there is none, or the worker is emptying it."""
        request, first, count, *_ = self._head
        columns = _read(self._memory, first, count)
        emptied = request != self._request or self._head[_FIRST] != first
        return None if emptied else columns


def _read(memory: memoryview, first: int, count: int) -> Columns | None:
    if not count:
        return None
    rows = bytes(memory[_HEAD_BYTES : _HEAD_BYTES + count * _ROW_BYTES])
    end = int(_ROW.unpack_from(rows, len(rows) - _ROW_BYTES)[3])
    values = b"".join((_LIST_START, memory[_VALUES_AT : _VALUES_AT + end], _LIST_END))
    return Columns(first, rows, values)


def _create_memory() -> int:
    """Create the memory, and return its file descriptor.

    Raises:
        OSError: there is no memory, or no descriptor is free.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("wrenlite-outbox")
    else:  # not Linux
        import tempfile

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, _BYTES)
    return fd
