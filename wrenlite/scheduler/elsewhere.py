"""The seam to another executor, which runs the tasks of a job that need more memory or time: ``then=``."""

from __future__ import annotations

from typing import Protocol

from wrenlite.backends.base import Invocation
from wrenlite.cost import Cost
from wrenlite.protocol import Emit, Packed, Plain, Request


class RunElsewhere(Invocation, Protocol):
    """A request with one task that was handed to another executor."""

    @property
    def attempts(self) -> int:
        """How often the task has run there."""

    @property
    def cost(self) -> Cost:
        """What that has cost. The other executor has charged for it."""


class Elsewhere(Protocol):
    """Another executor, as the scheduler of a job sees it."""

    @property
    def name(self) -> str:
        """What its tasks run on."""

    def takes(self, item: Packed | Plain) -> bool:
        """Return whether a task with this item can run there."""

    def start(self, request: Request, emit: Emit) -> RunElsewhere:
        """Hand over a request with one task, without waiting for it.

        Its end is reported once, with the outcome of the task or, as the cause, the error that the other
        executor has made for it.
        """
