"""What became of each task of a job: plain lists behind one lock, with the conditions to wait on."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterable, Sequence

from wrenlite.futures import Snapshot, wait_for
from wrenlite.protocol import CANCELLED, Outcome, TaskStats, Usage

STATES = ("queued", "done", "dispatched", "cancelled", "failed")
"""Of a task, by its mark: of several tasks in one spot of a picture the highest is the one to show."""
_QUEUED, _DONE, _DISPATCHED, _CANCELLED, _FAILED = range(5)


class TaskTable:
    """The record of a job's tasks. A task's outcome is written once; later ones are dropped."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.outcomes: list[Outcome | None] = [None] * total
        self.finished: list[int] = []
        """Tasks in the order in which they ended."""
        self.failed: list[int] = []
        """Of these, in the same order, those that failed or were cancelled."""
        self.marks = bytearray(total)
        """The state of each task: its place in ``STATES``."""
        self.attempts = array("I", bytes(4 * total))
        self.lock = threading.RLock()
        self._queued_at = self._ended_at = time.time()
        self._dispatched = array("d", bytes(8 * total))
        self._received = array("d", bytes(8 * total))
        self._usages: list[Usage | None] = [None] * total
        self.running = 0
        """Batches that are handed out: each runs one of its tasks."""
        self.requests = 0
        """Requests that are paid for."""
        self.gb_s = 0.0
        """GiB-seconds that are billed."""
        self._one_more = threading.Condition(self.lock)
        self._all_or_failure = threading.Condition(self.lock)

    @property
    def over(self) -> bool:
        """Whether every task has ended."""
        return len(self.finished) == self.total

    def state(self, index: int) -> str:
        """One of queued, dispatched, done, failed and cancelled."""
        return STATES[self.marks[index]]

    def wait_until(self, come: Callable[[], bool], timeout: float | None, *, each: bool) -> bool:
        """Wait for something to come true of this ledger; False after so many seconds.

        Args:
            come: what is waited for.
            timeout: seconds.
            each: any task's end may bring it; otherwise the first failure or the end of all.
        """
        return come() or wait_for(self._one_more if each else self._all_or_failure, come, timeout)

    def hand_out(self, indexes: Iterable[int], now: float) -> None:
        """These tasks are in a batch that is handed out; ``now`` 0: they are queued again."""
        with self.lock:
            self.running += bool(now)
            for index in indexes:
                if self.outcomes[index] is None:
                    self.marks[index] = _DISPATCHED if now else _QUEUED
                self._dispatched[index] = now

    def lose_attempt(self, index: int) -> int:
        """A run of this task counts; returns how many did."""
        self.attempts[index] += 1
        return self.attempts[index]

    def used(self, indexes: Iterable[int], usage: Usage) -> None:
        """The batch of these tasks has ended, and took this."""
        self.running -= 1
        self.requests += usage.requests
        self.gb_s += usage.gb_s
        for index in indexes:
            self._usages[index] = usage

    def settle(self, outcomes: Iterable[Outcome]) -> list[int]:
        """Write outcomes down; returns the tasks that had none before."""
        with self.lock:
            fresh = [outcome for outcome in outcomes if self.outcomes[outcome.task] is None]
            return self._record([outcome.task for outcome in fresh], fresh)

    def cancel(self, indexes: Iterable[int]) -> list[int]:
        """Cancel those of these tasks that have not ended, and return them."""
        with self.lock:
            fresh = [index for index in indexes if self.outcomes[index] is None]
            return self._record(fresh, [CANCELLED] * len(fresh))

    def end_like(self, index: int, other: int) -> list[int]:
        """Give a task that cannot run the outcome of another one; returns it, unless it had one before.

        The outcome says whose it is: its ``task`` is the other one.
        """
        with self.lock:
            outcome = self.outcomes[other]
            assert outcome is not None
            return self._record([index], [outcome]) if self.outcomes[index] is None else []

    def stats(self, index: int) -> TaskStats:
        """When and where a task ran."""
        outcome, usage = self.outcomes[index], self._usages[index]
        ran = outcome if outcome is not None and outcome.started and outcome.task == index else None
        return TaskStats(
            task=index,
            state=self.state(index),
            attempts=self.attempts[index],
            queued=self._queued_at,
            dispatched=self._dispatched[index] or None,
            started=ran.started if ran else None,
            seconds=ran.seconds if ran else None,
            cpu_s=ran.cpu_s if ran else None,
            finished=self._received[index] or None,
            worker=usage.worker if usage else None,
            cold=bool(usage and usage.cold),
            request_id=usage.request_id if usage else None,
            peak_bytes=(usage.peak_bytes or None) if usage else None,
        )

    def run(self, index: int, process: int | None = None) -> str:
        """Which run of a task this was and where, for messages.

        Args:
            index: the task.
            process: in which it ran; how its batch ended may not have been heard yet.
        """
        stats = self.stats(index)
        places = {"worker": stats.worker or process, "Lambda's request": stats.request_id}
        known = [f"{what} {place}" for what, place in places.items() if place]
        return ", ".join((f"attempt {stats.attempts}", *known))

    def snapshot(self, name: str, backend: str) -> Snapshot:
        """How far the job of that name on that backend is."""
        with self.lock:
            return Snapshot(
                name=name,
                backend=backend,
                total=self.total,
                queued=self.marks.count(_QUEUED),
                dispatched=self.marks.count(_DISPATCHED),
                running=0 if self.over else self.running,
                done=self.marks.count(_DONE),
                failed=self.marks.count(_FAILED),
                cancelled=self.marks.count(_CANCELLED),
                seconds=(self._ended_at if self.over else time.time()) - self._queued_at,
            )

    def _record(self, indexes: list[int], outcomes: Sequence[Outcome]) -> list[int]:
        now = time.time()
        for index, outcome in zip(indexes, outcomes, strict=True):
            self.outcomes[index] = outcome
            self._received[index] = now
            if outcome.ok:
                self.marks[index] = _DONE
            else:
                self.marks[index] = _CANCELLED if outcome is CANCELLED else _FAILED
                self.failed.append(index)
        self.finished.extend(indexes)
        self._ended_at = now
        if indexes:
            self._one_more.notify_all()
            if self.failed or self.over:
                self._all_or_failure.notify_all()
        return indexes
