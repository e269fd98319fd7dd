"""Which tasks wait for the values of which others."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from wrenlite.futures import Future
from wrenlite.job import Job
from wrenlite.scheduler.pending import PendingJob

Task = tuple[PendingJob, int]


class Dependents:
    """The tasks that wait for values of other tasks, and those that need not wait any more."""

    def __init__(
        self,
        jobs: Mapping[Job[Any], PendingJob],
        queue: Callable[[PendingJob], None],
        fail: Callable[[PendingJob, int, Future[Any]], None],
        clock: Callable[[], float],
    ) -> None:
        """Create a record of no tasks.

        Args:
            jobs: the jobs that have not ended, as they change.
            queue: takes a job that has a queued task now, and had none before.
            fail: ends a task because another one, whose value it takes, has none.
            clock: seconds. They are only compared with each other.
        """
        self._jobs = jobs
        self._queue = queue
        self._fail = fail
        self._clock = clock
        self._waiting: dict[Job[Any], dict[int, list[Task]]] = {}
        """The tasks that wait for each task of each job."""
        self._missing: dict[Task, int] = {}
        """For how many tasks each of them waits."""
        self._ready: deque[Task] = deque()
        self._is_taking = False

    def wait_for_values(self, pending: PendingJob) -> None:
        """Have the new tasks of a job wait for the values that they take."""
        if not pending.dependents:
            return
        new, pending.dependents = pending.dependents, []
        for index in new:
            sources = [each.future for each in pending.sources(index) if not each.future.done()]
            for source in sources:
                if (job := self._jobs.get(source.job)) is not None:  # otherwise it comes here later
                    job.is_source = True
            self._add(pending, index, sources)
        self.queue_ready()

    def _add(self, pending: PendingJob, index: int, sources: Sequence[Future[Any]]) -> None:
        """Have a task wait for tasks none of which has ended; for none: it need not wait."""
        for source in sources:
            self._waiting.setdefault(source.job, {}).setdefault(source.index, []).append((pending, index))
        if sources:
            self._missing[pending, index] = len(sources)
        else:
            self._ready.append((pending, index))

    def any_of(self, job: Job[Any]) -> bool:
        """Return whether any task waits for one of this job."""
        return job in self._waiting

    def on_ended(self, job: Job[Any], ended: Iterable[int]) -> None:
        """Queue the tasks that have waited only for these. Fail those that take the value of a failed one."""
        waiting = self._waiting.get(job)
        if waiting is None:
            return
        for index in ended:
            for task in waiting.pop(index, ()):
                if task not in self._missing:  # it was ready before, because another one had failed
                    continue
                self._missing[task] -= 1
                if not self._missing[task] or job.state(index) != "done":
                    del self._missing[task]
                    self._ready.append(task)
        if not waiting:
            del self._waiting[job]
        self.queue_ready()

    def queue_ready(self) -> None:
        """Queue or fail the tasks that need not wait any more, also those that become ready meanwhile.

        Nothing is done while another call does it: a chain of tasks that end each other may be long.
        """
        if self._is_taking:
            return
        with self.held():
            while self._ready:
                self._queue_or_fail(*self._ready.popleft())

    def _queue_or_fail(self, pending: PendingJob, index: int) -> None:
        pending.waiting -= 1
        if pending.tasks.has_ended(index):
            return
        sources = [source.future for source in pending.sources(index)]
        failed = next((each for each in sources if each.job.state(each.index) != "done"), None)
        if failed is not None:
            self._fail(pending, index, failed)
        elif pending.queue_dependent(index, self._clock()):
            self._queue(pending)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Take no ready task within the ``with`` block."""
        before, self._is_taking = self._is_taking, True
        try:
            yield
        finally:
            self._is_taking = before
