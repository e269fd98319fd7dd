"""The state of a job as drawings need it: a record of one moment, and the observer that gathers it."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, NamedTuple

from wrenlite.futures import Snapshot
from wrenlite.job import Job
from wrenlite.protocol import Stored
from wrenlite.texts import printable

_MOST_INSPECTED = 100
"""Failures that are unpickled to learn their type and message; later ones are only counted."""
_EXAMPLES = 3
"""Failures of each type that are shown."""
_OUTPUT_LINES = 12
"""Lines of output that are shown."""
_RECENT_TASKS = 50
"""Tasks whose output is read in one observation: the last ones that ended."""
_MOST_SAMPLES = 1000
"""Samples of the number of running tasks that are kept."""


class Failure(NamedTuple):
    """The failure of one task."""

    task: int
    message: str
    """The first line of the exception's message."""


class View(NamedTuple):
    """The state of a job at one moment."""

    snapshot: Snapshot
    states: bytes
    """The state of each task: its index in ``task_table.STATES``."""
    samples: list[tuple[float, int]]
    """Pairs of seconds since ``map`` and the number of tasks that ran then."""
    failure_counts: dict[str, int]
    """Number of failures by the name of their exception type."""
    failure_examples: dict[str, list[Failure]]
    """The first few failures of each type."""
    uninspected: int
    """Failures whose type is not known, because they were not unpickled."""
    output_tail: list[str]
    """The last lines that tasks printed."""

    @property
    def ended(self) -> bool:
        """Whether every task has ended."""
        return self.snapshot.finished == self.snapshot.total

    @property
    def peak_running(self) -> int:
        """The largest number of running tasks in the samples."""
        return max(count for _, count in self.samples)


class Observer:
    """Observes a job repeatedly, and reads each failure and each output only once."""

    def __init__(self, job: Job[Any]) -> None:
        """Create an observer of a job."""
        self._job = job
        self._samples: list[tuple[float, int]] = [(0.0, 0)]
        self._failure_counts = Counter[str]()
        self._failure_examples: dict[str, list[Failure]] = {}
        self._failures_read = 0
        self._inspected = 0
        self._ends_read = 0
        self._output_tail: deque[str] = deque(maxlen=_OUTPUT_LINES)

    def observe(self) -> View:
        """Return the state of the job now. Fetches nothing from the store."""
        now = self._job.snapshot()
        self._samples.append((now.seconds, now.running))
        if len(self._samples) > _MOST_SAMPLES:
            self._samples = self._samples[::2]  # half the resolution leaves room for twice the time
        self._inspect_failures()
        self._read_output()
        return View(
            snapshot=now,
            states=bytes(self._job._tasks.marks),
            samples=list(self._samples),
            failure_counts=dict(self._failure_counts),
            failure_examples=self._failure_examples,
            uninspected=now.failed - self._inspected,
            output_tail=list(self._output_tail),
        )

    def _read_output(self) -> None:
        finished = self._job._tasks.finished
        for task in finished[max(self._ends_read, len(finished) - _RECENT_TASKS) :]:
            lines = printable(self._job.logs(task)).splitlines()[-_OUTPUT_LINES:]
            self._output_tail.extend(f"[{task}] {line}" for line in lines)
        self._ends_read = len(finished)

    def _inspect_failures(self) -> None:
        table = self._job._tasks
        fresh = table.failed[self._failures_read :]
        self._failures_read += len(fresh)
        for task in fresh:
            if self._inspected >= _MOST_INSPECTED:
                return
            outcome = table.outcomes[task]
            if self._job.state(task) != "failed" or (outcome and isinstance(outcome.packed, Stored)):
                continue
            error = self._job.exception(task)
            self._inspected += 1
            kind = type(error).__name__
            self._failure_counts[kind] += 1
            examples = self._failure_examples.setdefault(kind, [])
            if len(examples) < _EXAMPLES:
                examples.append(Failure(task, (printable(str(error)).splitlines() or [""])[0][:200]))
