"""What is drawn of a job: a record of this moment, and who gathers it."""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

from wrenlite.futures import Snapshot
from wrenlite.job import Job
from wrenlite.protocol import Stored

_LOOKED_AT = 100
"""Failures that are unpickled to see what they are."""
_SHOWN = 3
"""Of each kind of failure."""
_TAIL = 12
"""Lines of output."""
_RECENT = 50
"""Tasks whose output is looked at, of those that ended since the last time."""
_SAMPLES = 1000


class Failure(NamedTuple):
    """One task's failure."""

    task: int
    text: str
    """First line of its message."""


class View(NamedTuple):
    """A job at one moment."""

    now: Snapshot
    marks: bytes
    """State of each task: its place in ``table.STATES``."""
    samples: list[tuple[float, int]]
    """Seconds since ``map``, and how many tasks ran then."""
    kinds: dict[str, int]
    """Failures by the name of their type."""
    failures: dict[str, list[Failure]]
    """The first few of each kind."""
    unseen: int
    """Failures that were not looked at."""
    tail: list[str]
    """The last lines that tasks printed."""

    @property
    def over(self) -> bool:
        """Whether every task has ended."""
        return self.now.finished == self.now.total

    @property
    def peak(self) -> int:
        """Tasks that ran at once, at most, as far as was seen."""
        return max(count for _, count in self.samples)

    @property
    def left_s(self) -> float | None:
        """Seconds that it will still take, if the rest is as what has ended; None: too early to say."""
        now = self.now
        return None if not now.finished else now.seconds / now.finished * (now.total - now.finished)


class Observer:
    """Looks at a job again and again; what was seen is not looked at twice."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._samples: list[tuple[float, int]] = [(0.0, 0)]
        self._kinds = Counter[str]()
        self._failures: dict[str, list[Failure]] = {}
        self._failed = 0
        self._looked_at = 0
        self._finished = 0
        self._tail: deque[str] = deque(maxlen=_TAIL)

    def look(self) -> View:
        """The job as it is now. Fetches nothing from the store."""
        now, table = self._job.snapshot(), self._job._tasks
        self._samples.append((now.seconds, now.running))
        if len(self._samples) > _SAMPLES:  # every other one: half the detail, twice the time
            self._samples = self._samples[::2]
        self._look_at_failures()
        for index in table.finished[max(self._finished, len(table.finished) - _RECENT) :]:
            self._tail.extend(f"[{index}] {line}" for line in self._job.logs(index).splitlines()[-_TAIL:])
        self._finished = len(table.finished)
        unseen = now.failed - self._looked_at
        tail = list(self._tail)
        samples = list(self._samples)
        return View(now, bytes(table.marks), samples, dict(self._kinds), self._failures, unseen, tail)

    def _look_at_failures(self) -> None:
        table = self._job._tasks
        fresh = table.failed[self._failed :]
        self._failed += len(fresh)
        for index in fresh:
            if self._looked_at >= _LOOKED_AT:
                return
            outcome = table.outcomes[index]
            if self._job.state(index) != "failed" or (outcome and isinstance(outcome.packed, Stored)):
                continue
            error = self._job.exception(index)
            self._looked_at += 1
            kind = type(error).__name__
            self._kinds[kind] += 1
            shown = self._failures.setdefault(kind, [])
            if len(shown) < _SHOWN:
                shown.append(Failure(index, (str(error).splitlines() or [""])[0][:200]))
