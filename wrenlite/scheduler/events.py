"""What is put into the dispatcher's inbox."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, NamedTuple, TypeAlias

from wrenlite.errors import WrenliteError
from wrenlite.job import Job
from wrenlite.protocol import Ended, Outcome
from wrenlite.scheduler.pending import PendingJob
from wrenlite.storage.uploads import JobCode


class JobSubmitted(NamedTuple):
    """A job was submitted."""

    pending: PendingJob


class TasksAdded(NamedTuple):
    """Tasks were submitted to an open job, or it was closed."""

    pending: PendingJob


class CodeAdded(NamedTuple):
    """The next tasks of an open job need other code: the same function, with more modules."""

    pending: PendingJob
    code: JobCode


class InvocationReport(NamedTuple):
    """An invoker reports outcomes of a request, or its end."""

    invocation: str
    outcomes: Sequence[Outcome]
    ended: Ended | None


class CodeStored(NamedTuple):
    """An upload of the code of a job has ended."""

    pending: PendingJob
    error: WrenliteError | None
    """Why the code could not be stored; None: it was."""


class CancelTasks(NamedTuple):
    """Tasks are to be cancelled."""

    job: Job[Any] | None
    """Their job; None: every job."""
    indexes: Sequence[int]
    reply: queue.SimpleQueue[int]
    """Takes the number of tasks that had not ended."""


class ListJobs(NamedTuple):
    """The jobs that have not ended are asked for."""

    reply: queue.SimpleQueue[list[Job[Any]]]
    """Takes the jobs."""


class AskRunning(NamedTuple):
    """Whether a task runs now is asked for."""

    job: Job[Any]
    task: int
    reply: queue.SimpleQueue[bool]
    """Takes the answer."""


class ReadOutput(NamedTuple):
    """What the running tasks of a job have written is to be recorded."""

    job: Job[Any]
    reply: queue.SimpleQueue[None]
    """Takes None when that is done."""


class Hold(Enum):
    """What becomes of a job that another process is to run."""

    HOLD = auto()
    """No more of its tasks are handed out. Those that run go on to their end."""
    FORGET = auto()
    """The other process runs it."""
    GO_ON = auto()
    """It goes on here after all."""


class HoldJob(NamedTuple):
    """A job is to be run by another process."""

    job: Job[Any]
    how: Hold
    reply: queue.SimpleQueue[PendingJob | None]
    """Takes its queue; None: it has ended."""


class Served(NamedTuple):
    """Tasks of a job of another executor may come from now on, or none do any more."""

    job: Job[Any]
    begins: bool


class Close(NamedTuple):
    """No more jobs will be submitted."""


Question: TypeAlias = CancelTasks | ListJobs | AskRunning | ReadOutput | HoldJob
"""An event that is answered."""
Event: TypeAlias = (
    JobSubmitted | TasksAdded | CodeAdded | InvocationReport | CodeStored | Question | Served | Close
)
