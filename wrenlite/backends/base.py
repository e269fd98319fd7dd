"""What runs a request somewhere else: the ``Invoker`` seam, and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from wrenlite.cost import Prices
from wrenlite.protocol import HINTS, Emit, Hints, Limits, Request
from wrenlite.storage.base import Store

NO_LIMITS = Limits()


class Invocation(Protocol):
    """A request on its way."""

    def cancel(self) -> bool:
        """Stop it if it still runs; it ends with ``Ended`` all the same. For any thread, at any time.

        Returns whether it stops: then what it ends of is our doing, and no task's.
        """


class Invoker(Protocol):
    """Runs requests, each of them to exactly one ``Ended``."""

    slots: int
    """How many requests can run at once."""

    def open(self, tasks: int = 1) -> None:
        """Get ready, in the thread of a caller that has so many tasks to run. May be called again.

        Threads are started here: once the interpreter ends, and waits for its jobs, Python 3.12 starts none.
        """

    def start(self, request: Request, emit: Emit) -> Invocation:
        """Hand a request out, without waiting for it (inline: runs it). What goes wrong is emitted."""

    def close(self) -> None:
        """Stop what runs, release what is held, and come back when it is gone. May be called twice."""


@dataclass(frozen=True)
class BatchingPolicy:
    """What ``pacing`` needs to know of a backend."""

    target_s: float
    """Seconds of work that one batch should hold."""
    least_s: float
    """Seconds. Below this much work a batch is not made smaller to even out the end of a job."""
    batch_bytes: int
    """Bytes of items that one batch may hold, unless a single item is larger."""
    flight_bytes: int | None = None
    """Bytes of items that may be in flight at once, unless a single batch holds more."""
    first_wave: int | None = None
    """Batches of a job that are in flight at most while nothing is known of its tasks; None: any number."""
    patience_s: float = 0.0
    """Seconds at most after which a first wave that has not returned is followed by single tasks."""
    outage_s: float = 120.0
    """Seconds in which a service answers nothing but errors, after which the jobs fail."""
    backoff_s: float = 0.1
    """Seconds of the first pause after a refusal, before jitter; they double up to 100 times that."""


@dataclass(frozen=True)
class Backend:
    """A store, an invoker and their limits: what an executor runs on."""

    name: str
    """For messages: ``2 local workers``."""
    store: Store
    invoker: Invoker
    batching: BatchingPolicy
    in_caller: bool = False
    """Requests run inside ``start``, in the thread that maps: nothing runs beside the caller."""
    limits: Limits = NO_LIMITS
    """What every request must keep to."""
    prices: Prices | None = None
    """What it costs; None: nothing."""
    budget: float | None = None
    """Dollars that may be spent."""
    memory_bytes: int | None = None
    """What one worker may hold; locally its share of the machine's. None: nobody knows."""
    longest_s: float | None = None
    """Seconds that one task may take there at most."""
    code_bytes: int | None = None
    """Bytes of a pickled function at most."""
    modules_stay: bool = True
    """A worker keeps one version of the user's modules, and is replaced for another."""
    hints: Hints = HINTS
    """What to do where memory, time or a package is missing."""
    own_store: bool = True
    """Nobody else uses the store: what no open job needs can go."""
