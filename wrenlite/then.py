"""``then=``: single tasks of a job run on another executor, which has more memory or time.

The scheduler of the job hands over one request for each such task, as it does to an invoker. Here it becomes
a job of the other executor: of all tasks, in which only this one has not ended, so that its number, and with
it its random generator, is the same. Whatever comes of it is reported as the end of the request.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from wrenlite.backends.base import Backend
from wrenlite.cost import FREE, Cost
from wrenlite.dependencies import pack_with_values
from wrenlite.errors import ConfigError, TaskError, WrenliteError
from wrenlite.job import Job
from wrenlite.map_reduce import pack_values
from wrenlite.protocol import (
    CANCELLED,
    Died,
    Emit,
    Ended,
    Outcome,
    Packed,
    Plain,
    Request,
    Stored,
    Usage,
    ref_key,
    result_key,
    size_of,
    values_prefix,
)
from wrenlite.scheduler.pending import PendingJob
from wrenlite.serialize import framing
from wrenlite.serialize.by_reference import Dependent, References
from wrenlite.storage.base import Store, place_of
from wrenlite.storage.refs import Ref
from wrenlite.storage.results import fetch_value
from wrenlite.storage.uploads import Upload

if TYPE_CHECKING:
    from wrenlite.executor import Executor
    from wrenlite.submission import Submission

_REFERRING = tuple(each.__module__.encode() for each in (Ref, pack_with_values, pack_values))
_STORED = (ref_key("").encode(), values_prefix("").encode().strip(b"/"))
"""What is in each pickle that refers to the store: one of each."""


class Then:
    """The executor of ``then=``, as the scheduler of one job sees it."""

    def __init__(
        self,
        there: Submission,
        job: Job[Any],
        pending: PendingJob,
        blobs: Callable[[], tuple[bytes, bytes | None]],
        store: Store,
    ) -> None:
        """Prepare for tasks of a job.

        Args:
            there: what makes jobs of the other executor.
            job: the job.
            pending: its queue.
            blobs: returns its pickled function and the zip of local modules.
            store: where the values of its tasks are.
        """
        self.name = there.dispatcher.backend.name
        """What tasks run on there."""
        self.there = there.dispatcher.backend.store
        self.here = store
        self._submission = there
        self._job = job
        self._pending = pending
        self._blobs = blobs

    def takes(self, item: Packed | Plain) -> bool:
        """Return whether a task can run there: it finds what its item refers to."""
        if _share_a_store(self.here, self.there):
            return True
        pickles = [self._blobs()[0], *([item.data] if isinstance(item, Packed) else [])]
        return not any(
            all(any(mark in data for mark in marks) for marks in (_REFERRING, _STORED)) for data in pickles
        )

    def start(self, request: Request, emit: Emit) -> RunThere:
        """Hand over a request with one task, without waiting for it."""
        run = RunThere(self, request, emit)
        Upload(run.begin).start()  # in a thread: the code may have to be written to a folder
        return run

    def make_job(self, task: int) -> JobThere:
        """Make the job that runs a task there."""
        there, job = self._submission, self._job
        total = max(len(job), task + 1)
        table, control = job._outcomes.class_table, there.dispatcher
        made = JobThere(f"{job.id}-{task}", job.name, control.backend, total, table, control)
        made._tasks.keep_only(task)
        return made

    def run(self, job: JobThere, request: Request) -> None:
        """Run a job that ``make_job`` has made.

        Args:
            job: the job.
            request: has its task, and the item of that.
        """
        [task], [item] = request.tasks, request.items
        options = self._pending.options
        errors = options.retries.errors
        rule = options.retries._replace(errors=errors and errors._replace(elsewhere=()))
        options = options._replace(retries=rule, then=None, chunksize=1)
        options = options._replace(reduces=False, forgets=False, closes_itself=False, keeps=False)
        options = options._replace(code=self._submission._uploads.acquire(*self._blobs()))
        items = [item if index == task else None for index in range(len(job))]
        self._submission._start(job, items, options, progress=False, is_served=True)


class JobThere(Job[Any]):
    """The job of the other executor that runs one task."""

    on_over: Callable[[], None] | None = None
    """Called when it is over, in the thread that schedules there: callbacks of users may hold others up."""

    def _settle_futures(self, ended: Sequence[int]) -> None:
        super()._settle_futures(ended)
        if self.on_over is not None and self._tasks.over:
            self.on_over()


class RunThere:
    """A request that runs as a job of the other executor."""

    def __init__(self, then: Then, request: Request, emit: Emit) -> None:
        """Prepare to run a request.

        Args:
            then: the other executor.
            request: has one task.
            emit: takes its end.
        """
        self._then = then
        self._request = request
        self._emit = emit
        self._job: JobThere | None = None
        self._unreported = [True]  # ``pop`` is atomic: the end is reported once
        self._is_cancelled = False
        [self._task] = request.tasks

    def begin(self) -> None:
        """Make the job, and hand it to the other executor."""
        try:
            self._job = job = self._then.make_job(self._task)
            self._then.run(job, self._request)
            job.on_over = self._end
            if job._tasks.over:
                self._end()
            elif self._is_cancelled:
                job.cancel_tasks([self._task], wait=False)
        except Exception as error:
            self._report_error(error)

    # As the scheduler sees it

    @property
    def attempts(self) -> int:
        """How often the task has run there."""
        return 0 if self._job is None else self._job._tasks.attempts[self._task]

    @property
    def cost(self) -> Cost:
        """What that has cost there."""
        return FREE if self._job is None else self._job.cost

    def cancel(self) -> bool:
        """Cancel the task there. Its end is reported all the same."""
        self._is_cancelled = True
        if self._job is not None:
            self._job.cancel_tasks([self._task], wait=False)
        return True

    def abandon(self, tasks: frozenset[int]) -> None:
        """Do nothing: ``cancel`` stops it."""

    def running(self) -> Sequence[int]:
        """Return the task once it was handed out there."""
        is_running = self._job is not None and self._job.state(self._task) == "dispatched"
        return (self._task,) if is_running else ()

    def output(self) -> tuple[int, str] | None:
        """Return the task, and what it was last seen to have written."""
        return None if self._job is None else (self._task, self._job._tasks.output(self._task))

    # The end

    def _end(self) -> None:
        """Report the end of the job, unless that was done: a value may have to be fetched, in a thread."""
        with contextlib.suppress(IndexError):
            self._unreported.pop()
            outcome = self._outcome_there()
            is_here = not isinstance(outcome.packed, Stored) and size_of(outcome.packed) <= self._most_bytes
            if is_here or not outcome.ok:
                self._report()
            else:
                Upload(self._report).start()

    @property
    def _most_bytes(self) -> float:
        """The largest value that is not stored, because another task takes it."""
        most = self._request.limits.value_bytes
        return math.inf if most is None else most

    def _outcome_there(self) -> Outcome:
        assert self._job is not None
        outcome = self._job._tasks.outcomes[self._task]
        assert outcome is not None
        return outcome

    def _report(self) -> None:
        job = self._job
        assert job is not None
        try:
            usage = job._tasks.last_usage(self._task) or Usage()
            # What all runs have cost is told apart: the prices there may be others.
            usage = usage._replace(requests=0, gb_s=0.0, unanswered=0, uncertain_gb_s=0.0)
            usage = usage._replace(store_puts=0, store_gets=0)
            self._emit(*self._outcome(job, usage))
        except Exception as error:
            self._report_error(error)

    def _outcome(self, job: Job[Any], usage: Usage) -> tuple[Sequence[Outcome], Ended]:
        outcome = self._outcome_there()
        if outcome is CANCELLED:
            text = f"it was cancelled on {self._then.name}, where then= has run it"
            return (), Ended(Died(TaskError(text)), usage, ())
        made = job._outcomes.made_error(self._task)
        if made is not None:
            text = str(made).removeprefix(f"{job._task(self._task)}: ")
            return (), Ended(Died(type(made)(text)), usage, ())  # type: ignore[arg-type]
        name = job._task(self._task)
        packed = fetch_value(self._then.there, outcome.packed, name) if outcome.ok else outcome.packed
        if outcome.ok and size_of(packed) > self._most_bytes:
            key = result_key(self._request.job, self._request.invocation, self._task)
            blob = framing.blob_of(packed)  # type: ignore[arg-type]
            self._then.here.put(key, blob)
            packed = place_of(blob, key)
        return (outcome._replace(packed=packed, records=b""),), Ended(None, usage, ())

    def _report_error(self, error: Exception) -> None:
        text = f"it cannot run on {self._then.name}, which then= names: {error}"
        known = error if isinstance(error, TaskError) else TaskError(text)
        known.__cause__ = None if known is error or isinstance(error, WrenliteError) else error
        self._emit((), Ended(Died(known), Usage(), ()))


def check_then(then: Executor, backend: Backend, *, is_same: bool, detach: bool) -> None:
    """Check that tasks of a job can run on the executor of ``then=``.

    Args:
        then: that executor.
        backend: what the job runs on.
        is_same: whether ``then`` is the executor of the job.
        detach: whether the job is to outlive this program.

    Raises:
        ConfigError: they cannot run there.
    """
    why = ""
    if is_same:
        why = "it is the executor that runs the job. Name another one, with more memory or time"
    elif backend.runs_in_caller:
        why = "tasks of Executor.inline() have no limit of memory or time. Leave out then="
    elif detach:
        why = "it ends with this program, and a detached job does not. Leave out then= or detach=True"
    elif _initializer(backend) != _initializer(then.backend):
        why = "its workers have another initializer. Make both executors with the same initializer="
    if why:
        raise ConfigError(f"then={then!r}: {why}")


def check_items(
    backend: Backend, then: Executor, references: References | None, items: Iterable[object]
) -> None:
    """Check that no task of a job needs what only its own executor has stored.

    Args:
        backend: what the job runs on.
        then: the executor of ``then=``.
        references: what the function and the items refer to.
        items: its items.

    Raises:
        ConfigError: one does.
    """
    if _share_a_store(backend.store, then.backend.store):
        return
    why = ""
    if references is not None and references.uses_store:
        why = "a Ref is in the store of the executor that has made it. Pass the object itself"
    elif any(isinstance(item, Dependent) and item.sources for item in items):
        why = "an item takes values of other tasks, which may be stored where they ran. Pass results()"
    if why:
        raise ConfigError(f"then={then!r}: {why}, or leave out then=")


def _initializer(backend: Backend) -> tuple[str, bytes] | None:
    first = backend.made_from[1] if backend.made_from is not None else None
    return (first.name, first.blob) if first is not None else None


def _share_a_store(one: Store, other: Store) -> bool:
    """Return whether what is put into one store is found in the other."""
    return repr(one) == repr(other)
