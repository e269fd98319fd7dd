"""``current_start()``: the start of a published job that this process runs. ``serving`` sets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from wrenlite.serialize.traceback_stubs import public
from wrenlite.storage.base import Store

if TYPE_CHECKING:
    from wrenlite.backends.base import Backend
    from wrenlite.job import Job


class JobIdentity(NamedTuple):
    """What a job is found by when the start is run again."""

    id: str
    key: bytes
    """See ``keys``."""
    times: tuple[float, ...]
    """How often its keeper says that it is there: see ``durable.lease.Times``."""


class Jobs(Protocol):
    """Takes notice of the jobs of a start."""

    def identity(self, backend: Backend) -> JobIdentity | None:
        """Return the identity of the next map, which is detached; None: it runs in this process.

        Args:
            backend: what it runs on.
        """

    def add(self, job: Job[Any]) -> None:
        """Take notice of a job that has begun."""


@public
class Start:
    """One run of the function of a published job."""

    def __init__(self, start: str, name: str, outputs: Store, event: object, jobs: Jobs) -> None:
        """Describe a start.

        Args:
            start: its id.
            name: of the published job.
            outputs: takes what it leaves behind.
            event: what the function is called with.
            jobs: takes notice of its jobs.
        """
        self.id = start
        """Identifies it, also in ``wrenlite published`` and in ``GET /jobs/ID``."""
        self.name = name
        """Name of the published job."""
        self.outputs = outputs
        """A store of its own, for what it leaves behind. Tasks that close over it may write to it, too."""
        self.event = event
        """What started it: an ``ObjectEvent``, the fields of a request, or a dict with the time of a
        schedule."""
        self._jobs = jobs

    def __repr__(self) -> str:
        return f"<Start {self.id}, outputs in {self.outputs!r}>"


_running: Start | None = None


def current_start() -> Start | None:
    """Return the start of a published job that this process runs; None elsewhere, as in tasks."""
    return _running


def set_current_start(start: Start) -> None:
    """Take note that this process runs a start, until it ends."""
    global _running
    _running = start
