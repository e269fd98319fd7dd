"""What the two sides say to each other: plain immutable records, no behaviour.

Records are named tuples rather than frozen dataclasses: one is made for every task, and a
tuple is made in C (0.3 µs against 1.5 µs), travels as itself, and spares each worker the
import of ``dataclasses`` (5 ms).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol, TypeAlias

from wrenlite.errors import BackendError, ConnectionLost, StoreError, TaskError

PROTOCOL = 4
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


NOTHING = Packed(b"")
"""Stands where there is no pickled object: none was made, or it was let go of."""


class Stored(NamedTuple):
    """A blob in the store that a record refers to, in place of what would not fit into it."""

    key: str
    digest: str
    """SHA-256, hexadecimal. Whoever fetches the blob checks it before unpickling."""
    size: int
    """Bytes."""


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
    reply_bytes: int | None = None
    """Bytes of the whole reply: values that do not fit into what is left of them go into the store."""
    persist_after_s: float | None = None
    """A batch that ran longer leaves its reply in the store too, where a client that lost it looks."""
    store_values: bool = False
    """Values go into the store, however small: another task is to take them."""


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
    args: Stored | None = None
    """Where the items are, in order, in place of ``items``: they do not fit into a request."""
    secret: bytes = b""
    """Key of the HMAC over a reply that is left in the store; each job has its own."""
    expected_s: float | None = None
    """Seconds that the batch is expected to take, where that is known."""


class Outcome(NamedTuple):
    """What became of one task that ran to its end."""

    task: int
    ok: bool
    packed: Packed | Stored
    """The value, or (``ok`` false) a ``exceptions.RemoteFailure``."""
    started: float
    """Seconds since the epoch, by the worker's clock."""
    seconds: float
    """Wall time of the task, unpickling of the item and pickling of the value included."""
    cpu_s: float
    """Processor time of the thread that ran it."""
    output: str
    """What the task wrote to stdout and stderr, bounded."""

    @classmethod
    def failed(cls, task: int, packed: Packed = NOTHING, *, started: float = 0.0) -> Outcome:
        """The outcome of a task that failed without having run to its end.

        Args:
            task: number of the task in its job.
            packed: the failure. ``NOTHING`` where no worker reported one: then the job knows the error.
            started: seconds since the epoch; 0 where the task never started.
        """
        return cls(task, False, packed, started, 0.0, 0.0, "")


CANCELLED = Outcome.failed(-1)
"""The outcome of every task that was cancelled."""


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
    requests: int = 0
    """Requests that are paid for: invocations, thrown away ones included."""
    gb_s: float = 0.0
    """Billed memory times time, in GiB-seconds."""
    request_id: str | None = None
    """Lambda's, by which its log and its support find it."""


class Died(NamedTuple):
    """The worker ended before the batch did. The one task that was running loses an attempt.

    Where nobody can say which one that was (more than one has no outcome and may have started), each of them
    runs again alone, free of charge.
    """

    error: TaskError


class Refused(NamedTuple):
    """Nothing can run there: fails the job, not its tasks one by one."""

    error: BackendError | StoreError


class Throttled(NamedTuple):
    """It did not run, and may later: no attempt is used up."""

    error: BackendError
    """What to say, should it never run."""
    concurrency: bool = False
    """Too many ran at once: fewer would have been taken. Otherwise time is what helps."""
    patient: bool = True
    """It may well last: never give up. Otherwise so many in a row fail the jobs."""


class Missing(NamedTuple):
    """The code or the items are not in the store any more: put there again, the tasks can run."""

    key: str


class Lost(NamedTuple):
    """The connection broke: nobody knows whether it ran."""

    error: ConnectionLost


Cause: TypeAlias = Died | Refused | Throttled | Missing | Lost


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
    request_id: str | None = None
    """Lambda's, of the invocation that its batch was."""
    peak_bytes: int | None = None
    """The most memory that its worker ever held, as of the end of its batch."""


class Hints(NamedTuple):
    """A backend's own words for messages: how a user gets more of what ran out. Travels to the workers."""

    memory: str = "memory_limit= gives a worker more, and fewer workers= leave each of them more"
    """How to get more memory."""
    time: str = "timeout= gives a task more"
    """How to get more time."""
    package: str = "install it in the environment of this process"
    """How to get a package that is missing where tasks run."""


HINTS = Hints()
"""Those of this machine."""


class Emit(Protocol):
    """Where an invoker reports to. Callable from any thread."""

    def __call__(self, outcomes: Sequence[Outcome], ended: Ended | None = None) -> None:
        """Report outcomes as they come, in the order of the request, and with the last call how it ended."""


def code_key(digest: str) -> str:
    """Where the blob with this SHA-256 (hexadecimal) lies: pickled functions and zips of modules."""
    return f"code/{digest}"


def args_key(job: str, invocation: str) -> str:
    """Where the items of an invocation lie that do not fit into it."""
    return f"args/{job}/{invocation}"


def result_key(job: str, invocation: str, task: int) -> str:
    """Where the value of a task lies that did not fit into the reply, or that another task takes."""
    return f"results/{job}/{invocation}/{task}"


def values_prefix(job: str) -> str:
    """What the keys of all values of a job begin with."""
    return f"results/{job}/"


def reply_key(job: str, invocation: str) -> str:
    """Where the whole reply of an invocation lies that took long."""
    return f"results/{job}/{invocation}/reply"


def ref_key(digest: str) -> str:
    """Where an object lies that was put there to be referred to."""
    return f"refs/{digest}"
