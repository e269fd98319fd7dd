"""What runs a request somewhere else: the ``Invoker`` seam, and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from wrenlite.protocol import Emit, Request
from wrenlite.store import Store


class Flight(Protocol):
    """A request on its way."""

    def cancel(self) -> None:
        """Stop it if it still runs; it ends with ``Ended`` all the same. For any thread, at any time."""


class Invoker(Protocol):
    """Runs requests, each of them to exactly one ``Ended``."""

    slots: int
    """How many requests can run at once."""

    def open(self) -> None:
        """Get ready, in the thread of a caller that has something to run. May be called again.

        Threads are started here: once the interpreter ends, and waits for its jobs, Python 3.12 starts none.
        """

    def start(self, request: Request, emit: Emit) -> Flight:
        """Hand a request out, without waiting for it (inline: runs it). What goes wrong is emitted."""

    def close(self) -> None:
        """Stop what runs, release what is held, and come back when it is gone. May be called twice."""


@dataclass(frozen=True)
class Pace:
    """What ``pacing`` needs to know of a backend."""

    target_s: float
    """Seconds of work that one batch should hold."""
    batch_bytes: int
    """Bytes of items that one batch may hold, unless a single item is larger."""


@dataclass(frozen=True)
class Backend:
    """A store, an invoker and their limits: what an executor runs on."""

    name: str
    """For messages: ``2 local workers``."""
    store: Store
    invoker: Invoker
    pace: Pace
    in_caller: bool = False
    """Requests run inside ``start``, in the thread that maps: nothing runs beside the caller."""
