"""Which tasks wait for the values of which others."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from wrenlite.futures import Future
from wrenlite.job import Job
from wrenlite.scheduler.pending import PendingJob

Task = tuple[PendingJob, int]


class Dependents:
    """The tasks that wait for values of other tasks, and those that need not wait any more."""

    def __init__(self) -> None:
        """Create a record of no tasks."""
        self._waiting: dict[Job[Any], dict[int, list[Task]]] = {}
        """The tasks that wait for each task of each job."""
        self._missing: dict[Task, int] = {}
        """For how many tasks each of them waits."""
        self._ready: deque[Task] = deque()
        self._is_taking = False

    def add(self, pending: PendingJob, index: int, sources: Sequence[Future[Any]]) -> None:
        """Have a task wait.

        Args:
            pending: its job.
            index: the task.
            sources: the tasks that it waits for, none of which has ended; empty: it need not wait.
        """
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
        """Record that tasks have ended. A task that waits for several is ready with the first that failed."""
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

    def take_ready(self) -> Iterator[Task]:
        """Yield the tasks that need not wait any more, also those that become ready meanwhile.

        Nothing is yielded while another iteration goes on, which yields them: a chain of tasks that end each
        other may be long.
        """
        if self._is_taking:
            return
        with self.held():
            while self._ready:
                yield self._ready.popleft()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Take no ready task within the ``with`` block."""
        before, self._is_taking = self._is_taking, True
        try:
            yield
        finally:
            self._is_taking = before
