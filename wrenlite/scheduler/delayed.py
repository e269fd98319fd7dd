"""The tasks that have failed, and wait until they are tried again."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence

from wrenlite.errors import ELSEWHERE, TaskError, why_final
from wrenlite.protocol import Outcome
from wrenlite.scheduler.pending import PendingJob
from wrenlite.scheduler.retry import Decision, decide

_LONGEST_S = 86_400.0
"""The longest wait without a look at the clock: threads cannot wait for any time."""


class Delayed:
    """A heap of tasks, by the time at which they are tried again. A task in it has no worker, and no slot."""

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float]) -> None:
        """Create a heap of no tasks.

        Args:
            clock: seconds. They are only compared with each other.
            jitter: gives a random number from 0 to 1.
        """
        self._clock = clock
        self._jitter = jitter
        self._heap: list[tuple[float, int, PendingJob, int]] = []
        self._numbers = itertools.count()  # tasks of the same time keep their order

    def take_failed(
        self, pending: PendingJob, failed: Mapping[int, Outcome | TaskError]
    ) -> Mapping[int, Decision]:
        """Decide which tasks run again, and have those of them wait that do not run at once.

        Args:
            pending: their job.
            failed: the tasks, and how each has failed.

        Returns:
            The decision for each task that runs again. Those without a delay are the caller's to start.
        """
        rule, table, decisions = pending.options.retries, pending.tasks, []
        for task, failure in failed.items():
            if not table.has_ended(task):  # cancelled meanwhile
                final = failure.final if isinstance(failure, Outcome) else why_final(rule.errors, failure)
                decisions.append(
                    decide(
                        rule,
                        task,
                        attempts=table.attempts[task],
                        final=final,
                        random=self._jitter(),
                        where=pending.next_place(task) if final == ELSEWHERE else "",
                    )
                )
        pending.tell(decisions, failed)
        again = {each.task: each for each in decisions if each.delay_s is not None}
        pending.failures.update((task, failed[task]) for task in again)
        now, waiting = self._clock(), {task: each.delay_s for task, each in again.items() if each.delay_s}
        table.mark_queued([*waiting])
        table.count_delayed(len(waiting))
        for task, delay_s in waiting.items():
            heapq.heappush(self._heap, (now + delay_s, next(self._numbers), pending, task))
        for task in (each.task for each in again.values() if each.where):
            table.moved[task] = again[task].where, failed[task]
        return again

    def take_due(self) -> Mapping[PendingJob, Sequence[int]]:
        """Return the tasks whose time has come, by job. They wait no longer."""
        due: dict[PendingJob, list[int]] = {}
        while self._heap and self._heap[0][0] <= self._clock():
            _, _, pending, task = heapq.heappop(self._heap)
            due.setdefault(pending, []).append(task)
        for pending, tasks in due.items():
            pending.tasks.count_delayed(-len(tasks))
        return due

    def discard(self, pending: PendingJob, ended: Collection[int]) -> None:
        """Forget those of these tasks that wait: they have ended, or another process has the job."""
        if pending.tasks.delayed:
            left = [each for each in self._heap if each[2] is not pending or each[3] not in ended]
            pending.tasks.count_delayed(len(left) - len(self._heap))
            self._heap = left
            heapq.heapify(left)

    def wait_s(self) -> float | None:
        """Return the seconds until the next task is tried again, a day at most; None: none waits."""
        return min(max(0.0, self._heap[0][0] - self._clock()), _LONGEST_S) if self._heap else None

    def jobs(self) -> Collection[PendingJob]:
        """Return the jobs of the tasks that wait."""
        return {pending for _, _, pending, _ in self._heap}
