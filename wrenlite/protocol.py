"""What the two sides say to each other: plain immutable records, no behaviour.

Records are named tuples rather than frozen dataclasses: one is made for every task, and a
tuple is made in C (0.3 µs against 1.5 µs), travels as itself, and spares each worker the
import of ``dataclasses`` (5 ms).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol, TypeAlias

from wrenlite.errors import BackendError, TaskError

PROTOCOL = 1
"""Raised whenever a record below changes its meaning; both sides must agree on it."""

Buffer: TypeAlias = bytes | bytearray | memoryview


class Packed(NamedTuple):
    """A pickled object: the stream, and the large buffers that travel beside it (pickle protocol 5)."""

    data: bytes
    buffers: tuple[Buffer, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that travel."""
        return len(self.data) + sum(memoryview(buffer).nbytes for buffer in self.buffers)


class Style(IntEnum):
    """How a task's item becomes arguments."""

    ITEM = 0
    """``fn(item, *args, **kwargs)``: map. A tuple is one argument."""
    STAR = 1
    """``fn(*item, *args, **kwargs)``: starmap."""
    CALL = 2
    """``fn(*item[0], **item[1])``: submit."""


class Limits(NamedTuple):
    """What a worker must keep to while it runs one request. None: no limit."""

    stop_after_s: float | None = None
    """Seconds past which no further task of the batch starts; they come back as not started."""
    task_timeout_s: float | None = None
    """Seconds one task may take; whoever holds the worker kills it then."""


class Request(NamedTuple):
    """One batch of tasks for one worker."""

    job: str
    invocation: str
    code: str
    """SHA-256 of the pickled function, which is at ``code_key(code)`` in the store."""
    modules: str | None
    """SHA-256 of the zip of the user's local modules, at ``code_key(modules)``; None where there are none."""
    tasks: Sequence[int]
    """Their numbers in the job."""
    items: Sequence[Packed]
    env: Mapping[str, str]
    limits: Limits


class Outcome(NamedTuple):
    """What became of one task that ran to its end."""

    task: int
    ok: bool
    packed: Packed
    """The value, or (``ok`` false) a ``codec.RemoteFailure``."""
    started: float
    """Seconds since the epoch, by the worker's clock."""
    seconds: float
    """Wall time of the task, unpickling of the item and pickling of the value included."""
    cpu_s: float
    """Processor time of the thread that ran it."""
    output: str
    """What the task wrote to stdout and stderr, bounded."""


class Usage(NamedTuple):
    """What one request took: the base of pacing and of cost."""

    busy_s: float = 0.0
    """Seconds between the start of the first task and the end of the last."""
    peak_bytes: int = 0
    """The most memory the worker ever held; 0 where it cannot be told."""
    worker: str = ""
    """Which worker ran it: its process id, or its Lambda log stream."""
    cold: bool = False
    """The worker was started for this request."""


class Died(NamedTuple):
    """The worker ended before the batch did. The one task that was running loses an attempt."""

    error: TaskError


class Refused(NamedTuple):
    """Nothing can run there: fails the job, not its tasks one by one."""

    error: BackendError


Cause: TypeAlias = Died | Refused


class Ended(NamedTuple):
    """The last word on a request, exactly one a request."""

    cause: Cause | None
    usage: Usage
    not_started: Sequence[int]
    """Tasks that certainly did not start: they run again elsewhere, free of charge."""


class TaskStats(NamedTuple):
    """When and where one task ran. Times are seconds since the epoch; None for what has not happened."""

    task: int
    state: str
    """One of queued, dispatched, done, failed and cancelled."""
    attempts: int
    """Runs that used up an attempt, the last one included."""
    queued: float
    dispatched: float | None
    """When its batch was handed out."""
    started: float | None
    """When it really began, by the worker's clock."""
    seconds: float | None
    """Wall time on the worker."""
    cpu_s: float | None
    finished: float | None
    """When its outcome reached the client."""
    worker: str | None
    cold: bool
    """Its worker was started for its batch."""


class Emit(Protocol):
    """Where an invoker reports to. Callable from any thread."""

    def __call__(self, outcomes: Sequence[Outcome], ended: Ended | None = None) -> None:
        """Report outcomes as they come, in the order of the request, and with the last call how it ended."""


def code_key(digest: str) -> str:
    """Where the blob with this SHA-256 (hexadecimal) lies: pickled functions and zips of modules."""
    return f"code/{digest}"
