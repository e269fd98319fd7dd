"""What an executor runs on: the ``Invoker`` seam, and the record of a backend's parts, limits and prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from wrenlite.backends.memory_watch import MemoryWatch
from wrenlite.backends.packages import RemotePackages
from wrenlite.config import Config
from wrenlite.cost import Prices
from wrenlite.protocol import LOCAL_HINTS, Emit, Hints, Limits, Request
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.initializers import Initializer
from wrenlite.storage.base import Store
from wrenlite.texts import sized

NO_LIMITS = Limits()


class Invocation(Protocol):
    """A request that was handed to an invoker."""

    def cancel(self) -> bool:
        """Stop the request if it still runs. Any thread may call this at any time.

        The end of the request is reported all the same.

        Returns:
            Whether the request stops. If so, its end is no task's fault.
        """

    def abandon(self, tasks: frozenset[int]) -> None:
        """Learn that the outcomes of these tasks, of which some may be in the request, are not wanted.

        Where ``cancel`` cannot stop a request, this stops it some time after it has begun one of them. The
        tasks that did not start are reported as such.
        """

    def running(self) -> Sequence[int]:
        """Return the tasks that run now, as far as that is known. Any thread may call this.

        Returns:
            The numbers of tasks: the one that runs, or none before the worker has begun. Where it is unknown
            which one that is, all tasks of a request that was sent.
        """

    def output(self) -> tuple[int, str] | None:
        """Return the task that runs now, and what it has written so far. Any thread may call this.

        Returns:
            The number of the task, and its output, limited in length; None where that is unknown.
        """


class Invoker(Protocol):
    """Runs requests, and reports the end of each of them exactly once."""

    @property
    def slots(self) -> int:
        """Requests that can run at once."""

    def open(self, tasks: int = 1) -> None:
        """Get ready to run tasks, in the thread of the caller of ``map``. May be called again.

        Threads are started here: while the interpreter ends and waits for its jobs, Python 3.12 starts none.

        Args:
            tasks: how many are to run.
        """

    def start(self, request: Request, emit: Emit) -> Invocation:
        """Hand a request out without waiting for it (inline: run it). Errors are reported to ``emit``."""

    def close(self) -> None:
        """Stop what runs, free what is held, and return when that is done. May be called twice."""


@dataclass(frozen=True)
class BatchingPolicy:
    """A policy holds what ``scheduler.batching`` needs to know about a backend."""

    target_s: float
    """Seconds of work that one batch should hold."""
    least_s: float
    """The least work in seconds that a batch keeps when batches get smaller towards the end of a job."""
    batch_bytes: int
    """Largest size of the items of one batch, unless a single item is larger."""
    flight_bytes: int | None = None
    """Largest size of the items in flight at once, unless a single batch has more; None: no limit."""
    first_wave: int | None = None
    """The most batches of a job that are in flight while nothing is known of its tasks; None: any number."""
    first_wave_wait_s: float = 0.0
    """The longest wait in seconds for a first wave that has not returned. After it, batches of one task are
    sent."""
    gather_s: float = 0.0
    """Seconds without a further ``submit`` after which the calls that wait are sent. 0: they are sent at
    once, and only those travel together that find every slot busy."""
    outage_s: float = 120.0
    """Seconds for which a service answers nothing but errors before the jobs fail."""
    backoff_s: float = 0.1
    """Seconds of the first pause after a throttle, before jitter. Pauses double, up to 100 times this one."""


class DriverAddress(NamedTuple):
    """Where the function is that keeps detached jobs, and where it keeps them."""

    function: str
    """Its name, with an alias of a published version."""
    region: str
    bucket: str
    prefix: str
    owner: str | None
    """The account that the bucket must belong to; None: any."""


@dataclass(frozen=True, repr=False)
class Backend:
    """A store, an invoker and their limits: what an executor runs on."""

    name: str
    """For messages: ``2 local workers``."""
    store: Store
    invoker: Invoker
    batching: BatchingPolicy
    runs_in_caller: bool = False
    """Whether requests run inside ``Invoker.start``, in the thread that calls ``map``, and not beside it."""
    limits: Limits = NO_LIMITS
    """The limits of every request."""
    prices: Prices | None = None
    """What requests cost; None: nothing."""
    budget: float | None = None
    """Dollars that may be spent; None: no limit."""
    memory_bytes: int | None = None
    """Memory that one worker may hold; for local workers its share of the machine's. None: unknown."""
    longest_s: float | None = None
    """Seconds that one task may take at most; None: no limit."""
    code_bytes: int | None = None
    """Largest size of a pickled function; None: no limit."""
    carried_bytes: int | None = None
    """The most bytes of code that all requests of one job carry; None: no limit."""
    worker_keeps_modules: bool = True
    """Whether a worker keeps the modules that it has installed, and must be replaced for a job with
    others.
    """
    hints: Hints = LOCAL_HINTS
    """The advice in messages about missing memory, time or packages."""
    own_store: bool = True
    """Whether nobody else uses the store, so that objects that no open job needs can be deleted."""
    log_levels: Mapping[str, int] = field(default_factory=dict)
    """The levels on workers of loggers to which the caller gave none."""
    class_table: ClassTable | None = None
    """The class table of the initializer of the workers; None: they have none."""
    packages: RemotePackages | None = None
    """The packages that tasks find; None: those that are installed here, or unknown ones."""
    environment: Mapping[str, str] | None = None
    """The environment variables of the workers; None: those of this process, or unknown ones."""
    shares_files: bool = False
    """Whether workers find the files of this machine under the same names."""
    adopt: Callable[[Request, Emit, float], Invocation] | None = None
    """Waits for the end of a request that another process has handed out so many seconds ago, and reports it
    as the invoker does; None: requests end with the process that hands them out."""
    driver: DriverAddress | None = None
    """What keeps detached jobs; None: a process of this machine does."""
    memory: MemoryWatch | None = None
    """Watches the memory that all workers share; None: each request has memory of its own."""
    made_from: tuple[Config, Initializer | None] | None = None
    """The settings from which another process can make it, too; None: none can."""

    def __repr__(self) -> str:
        facts = [self.name]
        if self.memory_bytes is not None:
            facts.append(f"{sized(self.memory_bytes)} of memory per worker")
        if self.longest_s is not None:
            facts.append(f"tasks of up to {self.longest_s:,.0f} s")
        if self.budget is not None:
            facts.append(f"a budget of ${self.budget:,.2f}")
        return f"<Backend: {', '.join(facts)}>"
