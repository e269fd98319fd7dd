"""The records that client and workers exchange: plain and immutable, without behaviour.

Records are named tuples rather than frozen dataclasses: one is made for every task, and a tuple is made in C
(0.3 µs against 1.5 µs), is sent as it is, and spares each worker the import of ``dataclasses`` (5 ms).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

from wrenlite.errors import BackendError, ConnectionLost, RetriedErrors, StoreError, TaskError
from wrenlite.texts import sized, timed

PROTOCOL = 14
"""Version of the records below and of the module names in pickles. Both sides must have the same one."""

Buffer: TypeAlias = bytes | bytearray | memoryview


class Packed(NamedTuple):
    """A pickled object: the stream, and the large buffers that are sent beside it (pickle protocol 5)."""

    data: bytes
    buffers: tuple[Buffer, ...] = ()

    @property
    def size(self) -> int:
        """Number of bytes that are sent."""
        return len(self.data) + sum(memoryview(buffer).nbytes for buffer in self.buffers)


Plain: TypeAlias = int | float | complex | str | bytes
"""A small value that is sent as it is, in place of a ``Packed``: immutable, and it refers to nothing else."""

PLAIN_TYPES = frozenset({int, float, bool, complex, str, bytes})
"""The exact types of ``Plain``."""

NOTHING = Packed(b"")
"""A placeholder for a pickled object that was never made or is not needed any more."""


class Stored(NamedTuple):
    """A reference to a blob in the store, in place of an object that does not fit into a record."""

    key: str
    digest: str
    """SHA-256, hexadecimal. Whoever fetches the blob checks it before unpickling."""
    size: int
    """Bytes."""


NUMBERS = frozenset({int, float})
NUMBER_BYTES = 8
"""What a number counts as."""


def size_of(value: Packed | Stored | Plain) -> int:
    """Return the number of bytes that a value takes in a message, about."""
    kind = type(value)
    if kind in NUMBERS:
        return NUMBER_BYTES
    if kind is str or kind is bytes:
        return len(value)  # type: ignore[arg-type]
    return value.size if isinstance(value, Packed | Stored) else 16


class Style(IntEnum):
    """A style says how the item of a task becomes the arguments of the function."""

    ITEM = 0
    """``fn(item, *args, **kwargs)``: map. A tuple is one argument."""
    STAR = 1
    """``fn(*item, *args, **kwargs)``: starmap."""
    CALL = 2
    """``fn(*item[0], **item[1])``: submit."""
    FILLED = 3
    """As ``ITEM`` or ``STAR``, but items bring some of the fixed arguments: ``arguments.fill_by_items``."""


class Limits(NamedTuple):
    """The limits of a worker while it runs one request. None: no limit."""

    stop_after_s: float | None = None
    """Seconds after which no further task of the batch starts. Those left are reported as not started."""
    task_timeout_s: float | None = None
    """Seconds that one task may take. Then the worker is killed."""
    reply_bytes: int | None = None
    """Size of the whole reply. A value that does not fit into the rest of it goes into the store."""
    persist_after_s: float | None = None
    """Seconds after which a batch says in the store that it runs, and later leaves its reply there, for a
    client that lost it."""
    keeps_reply: bool = False
    """Whether a batch leaves its reply in the store however short it was: its client may end before it."""
    value_bytes: int | None = None
    """Size of one value. A larger one goes into the store, from which another task will take it."""
    cancel_interval_s: float | None = None
    """Seconds between two looks into the store whether the batch is cancelled; None: it never looks."""
    retried: RetriedErrors | None = None
    """After which errors tasks run again; None: after all that are not permanent."""


class Request(NamedTuple):
    """One batch of tasks for one worker."""

    job: str
    """Id of the job."""
    invocation: str
    """Id of this request."""
    code: str
    """SHA-256 of the pickled function, which is in ``carried``, or stored at ``code_key(code)``."""
    modules: str | None
    """SHA-256 of the zip of the user's local modules, which is found likewise; None: no zip."""
    tasks: Sequence[int]
    """Numbers of the tasks in the job."""
    items: Sequence[Packed | Plain]
    """The item of each task, in the same order."""
    env: Mapping[str, str]
    """Environment variables of the tasks."""
    limits: Limits
    args: Stored | None = None
    """Where the items are stored, in order, if they do not fit into a request. Then ``items`` is empty."""
    secret: bytes = b""
    """Key of the HMAC over the reply that is left in the store, and over a cancel. It is derived from the key
    of the job (``keys``), and belongs to this request alone."""
    log_levels: Mapping[str, int] | None = None
    """The levels of the caller's loggers, by name; None: log records of tasks are not sent back."""
    carried: Sequence[bytes] = ()
    """Function and zip where they travel along, compressed. A worker knows them by their digests alone."""


class Outcome(NamedTuple):
    """An outcome is the end of one task: its value or its exception."""

    task: int
    """Number of the task in its job."""
    ok: bool
    """Whether it has a value."""
    packed: Packed | Stored | Plain
    """The value, or, where ``ok`` is false, a ``serialize.exceptions.RemoteFailure``."""
    started: float
    """Seconds since the epoch, by the worker's clock."""
    seconds: float
    """Wall time of the task, including unpickling the item and pickling the value."""
    cpu_s: float
    """Processor time of the thread that ran it."""
    output: str
    """What the task wrote to stdout and stderr, limited in length."""
    records: bytes = b""
    """What the task logged, as ``task_logging`` sends it; empty where it was handed on, or not asked for."""
    final: str = ""
    """Why the task is not run again, as ``errors.why_final`` says; empty: nothing speaks against it. The
    worker decides that: only it has the exception itself."""
    peak_bytes: int = 0
    """The most memory that the worker held while the task ran, where that was measured for this task alone; 0
    for short tasks, and for those that are alone in their batch: then the usage of the batch has it."""

    @classmethod
    def failed(cls, task: int, packed: Packed = NOTHING, *, started: float = 0.0, final: str = "") -> Outcome:
        """Return the outcome of a task that failed without having run to its end.

        Args:
            task: number of the task in its job.
            packed: the failure. ``NOTHING`` where no worker reported one: then the job knows the error.
            started: seconds since the epoch; 0: the task never started.
            final: why the task is not run again; empty: nothing speaks against it.
        """
        return cls(task, False, packed, started, 0.0, 0.0, "", final=final)

    def without_value(self) -> Outcome:
        """Return this outcome without its pickled value, which somebody has unpickled."""
        task, ok, _, started, seconds, cpu_s, output, _, _, peak_bytes = self  # thrice as fast as _replace
        return Outcome(task, ok, NOTHING, started, seconds, cpu_s, output, peak_bytes=peak_bytes)


outcome_of: Callable[[Iterable[object]], Outcome] = partial(tuple.__new__, Outcome)
"""Makes an outcome of all its fields, three times as fast as ``Outcome(…)``."""
CANCELLED = Outcome.failed(-1)
"""The outcome of every task that was cancelled."""


class Usage(NamedTuple):
    """What one request used. Batch sizes and costs are derived from it."""

    busy_s: float = 0.0
    """Seconds between the start of the first task and the end of the last one."""
    peak_bytes: int = 0
    """The most memory that the worker held while it ran the batch; 0: unknown."""
    worker: str = ""
    """The worker that ran it: its process id, or its Lambda log stream."""
    cold: bool = False
    """Whether the worker was started for this request."""
    requests: int = 0
    """Requests that are paid for: invocations, including those whose results were lost."""
    gb_s: float = 0.0
    """Billed memory times billed time, in GiB-seconds."""
    request_id: str | None = None
    """Lambda's id of the request, by which it is found in Lambda's log."""
    unanswered: int = 0
    """Those of the requests that have no answer: it is unknown whether and how long they ran."""
    uncertain_gb_s: float = 0.0
    """GiB-seconds that those may be billed for, at most."""
    store_puts: int = 0
    """Requests to the store that wrote or listed, which cost about ten times as much as those that read.
    Those of a worker that died are unknown, and not counted."""
    store_gets: int = 0
    """Requests to the store that read."""
    load_s: float = 0.0
    """Seconds in which the worker got and unpickled the job's code, before the first task; 0: it had it."""
    cpu_s: float = 0.0
    """Processor time in ``busy_s`` of all threads of the worker, and of the processes that tasks have started
    and waited for. It is more than ``busy_s`` where several compute at once."""
    used_bytes: int = 0
    """The most memory that Lambda has seen in use by the worker and its supervisor together; 0: unknown."""
    tasks: int = 0
    """Tasks that ran, and so may have held the memory; 0: unknown, since it may have been held before."""
    init_s: float = 0.0
    """Seconds in which Lambda started the sandbox for this request, which it bills."""
    ready_s: float = 0.0
    """Seconds of ``busy_s`` in which the worker was ready to compute, and had no processor; 0: unknown."""
    turns: int = 0
    """How often the worker began to wait in ``busy_s``: it computed in so many turns."""


class Died(NamedTuple):
    """The worker ended before the batch did. The one task that was running loses an attempt.

    If it is not known which task that was, because several have no outcome and may have started, each of them
    runs again alone, without losing an attempt.
    """

    error: TaskError


class Refused(NamedTuple):
    """Nothing can run there: the whole job fails, not its tasks one by one."""

    error: BackendError | StoreError
    whole_job: bool = True
    """Otherwise only the tasks of the request fail: it is their items that cannot be stored."""
    failure: Packed | None = None
    """The error with its cause, a ``serialize.exceptions.RemoteFailure``, where a worker has reported it."""


class Throttled(NamedTuple):
    """The request did not run, and may run later. No attempt is used up."""

    error: BackendError
    """The error of the tasks if it never runs."""
    concurrency: bool = False
    """Whether too many requests ran at once: fewer would have been taken. Otherwise only time helps."""
    waits_without_limit: bool = True
    """Whether jobs wait without limit. Otherwise they fail once this has lasted for ``outage_s``."""


class Missing(NamedTuple):
    """The code or the items are not in the store as they were put there. Once they are put there again, the
    tasks can run.
    """

    key: str
    damaged: bool = False
    """Whether there is another blob at that key, with another digest; otherwise there is none."""


class Lost(NamedTuple):
    """The connection broke: it is unknown whether the request ran."""

    error: ConnectionLost


Cause: TypeAlias = Died | Refused | Throttled | Missing | Lost


class Ended(NamedTuple):
    """The end of a request. There is exactly one for each request."""

    cause: Cause | None
    """What went wrong; None: nothing. A batch that gives tasks back also ends without a cause."""
    usage: Usage
    not_started: Sequence[int]
    """Tasks that certainly did not start. They run again elsewhere, without losing an attempt."""
    output: str = ""
    """What the first task without an outcome had written when its worker ended, limited in length."""
    records: bytes = b""
    """What that task had logged, as in an outcome."""


class TaskStats(NamedTuple):
    """When and where one task ran. Times are seconds since the epoch; None: it has not happened, or is
    unknown.
    """

    task: int
    state: str
    """The state of the task: queued, dispatched, done, failed or cancelled."""
    attempts: int
    """Runs that used up an attempt, including the last one."""
    queued: float
    dispatched: float | None = None
    """When its batch was handed out."""
    started: float | None = None
    """When it began to run, by the worker's clock."""
    seconds: float | None = None
    """Wall time on the worker."""
    cpu_s: float | None = None
    """Processor time of the thread that ran it."""
    finished: float | None = None
    """When its outcome reached the client."""
    worker: str | None = None
    """The worker that ran it: its process id, or its Lambda log stream."""
    cold: bool = False
    """Whether its worker was started for its batch."""
    request_id: str | None = None
    """Lambda's id of the request that its batch travelled in."""
    peak_bytes: int | None = None
    """The most memory that its worker held while it ran, or while any task of its batch did (``peak_tasks``).
    What earlier tasks have left there is included. Processes that it has started and waited for are not
    added: if one of them held more than the worker, it is the memory of that process alone."""
    peak_tasks: int | None = None
    """How many tasks ran while that was measured: 1: this task alone. With more, this task held that much at
    most. None: it is unknown which tasks did."""
    moved_to: str | None = None
    """The backend that it ran on last, where it has moved to the executor of ``Retry(then=…)``."""

    @property
    def cached(self) -> bool:
        """Whether it did not run, since an earlier job has left its value."""
        return self.state == "done" and not self.attempts

    def __repr__(self) -> str:
        facts = [f"task {self.task}: {self.state}"]
        if self.seconds is not None:
            facts.append(f"ran for {timed(self.seconds)}")
        if self.cached:
            facts.append("its value was kept by an earlier job")
        elif self.started is None and self.finished is None:
            facts.append("has not run yet")
        facts += [f"on worker {self.worker}"] if self.worker is not None else []
        facts += [f"of {self.moved_to}"] if self.moved_to else []
        facts += [f"attempt {self.attempts}"] if self.attempts > 1 else []
        facts += ["cold start"] if self.cold else []
        facts += [held] if (held := held_in_words(self.peak_bytes, self.peak_tasks)) else []
        return f"<TaskStats of {', '.join(facts)}>"


def held_in_words(peak_bytes: int | None, tasks: int | None) -> str:
    """Return in words how much memory a task held; nothing where that is unknown.

    Args:
        peak_bytes: see ``TaskStats``.
        tasks: see ``TaskStats.peak_tasks``.
    """
    if not peak_bytes:
        return ""
    if tasks == 1:
        return f"held up to {sized(peak_bytes)}"
    batch = f", in a batch of {tasks:,}" if tasks else ""
    return f"held at most {sized(peak_bytes)}{batch}"


class Hints(NamedTuple):
    """A backend's own words for messages: what a user can do about a limit. They are sent to the workers."""

    memory: str = (
        "use fewer workers=, so that each has more of the machine's memory, or make the tasks smaller; if "
        "memory_limit= is set, set it higher"
    )
    """How to get more memory."""
    time: str = "timeout= gives a task more"
    """How to get more time."""
    package: str = "install it in the Python environment that your program runs in"
    """How to get a package that is missing where tasks run."""
    no_shared_memory: str = "this machine has no /dev/shm that can be written to"
    """What to say where there is no shared memory."""
    output: str = ""
    """When the output of a running task is seen; empty where that is at once."""


LOCAL_HINTS = Hints()
"""The hints for local workers."""


class Emit(Protocol):
    """Takes an invoker's reports about one request. Any thread may call it."""

    def __call__(self, outcomes: Sequence[Outcome], ended: Ended | None = None) -> None:
        """Report outcomes as they come, in the order of the request; the last call says how it ended."""


def code_key(digest: str) -> str:
    """Return the key of a pickled function or a zip of modules.

    Args:
        digest: its SHA-256, hexadecimal.
    """
    return f"code/{digest}"


def args_key(job: str, invocation: str) -> str:
    """Return the key of the items of an invocation that do not fit into it."""
    return f"args/{job}/{invocation}"


def cancel_key(job: str) -> str:
    """Return the key of the object that says which invocations of a job are cancelled."""
    return f"args/{job}/cancel"


def result_key(job: str, invocation: str, task: int) -> str:
    """Return the key of a task's value that does not fit into the reply, or that another task takes."""
    return f"results/{job}/{invocation}/{task}"


def values_prefix(job: str) -> str:
    """Return what the keys of all values of a job begin with."""
    return f"results/{job}/"


def reply_key(job: str, invocation: str) -> str:
    """Return the key of the whole reply of an invocation that took long."""
    return f"results/{job}/{invocation}/reply"


EXPIRE_DAYS = 7
"""Days after which the lifecycle rules of a deployment's bucket delete values and other temporary objects."""


def ref_key(digest: str) -> str:
    """Return the key of an object that was uploaded to be referred to.

    Args:
        digest: SHA-256 of its blob, hexadecimal.
    """
    return f"refs/{digest}"
