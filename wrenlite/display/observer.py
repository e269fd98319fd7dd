"""The state of jobs as drawings need it: a record of one moment, and the observer that gathers it."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from heapq import nsmallest
from typing import Any, NamedTuple

from wrenlite.display.remaining import MOST_ENDED, MOST_IN_PROGRESS, Progress, Range, time_left
from wrenlite.futures import Snapshot
from wrenlite.job import Job
from wrenlite.protocol import Stored
from wrenlite.texts import counted, printable

_MOST_INSPECTED = 100
"""Failures that are unpickled to learn their type and message; later ones are only counted."""
_EXAMPLES = 3
"""Failures of each type that are shown: those with the lowest numbers."""
_OUTPUT_LINES = 12
"""Lines of output that are shown."""
_LINES_OF_A_RUNNING_TASK = 3
"""Those of them that a task that runs has at most."""
_LINE_LETTERS = 300
"""Letters of a line that are shown."""
_RECENT_TASKS = 50
"""Tasks whose output is read in one observation: the last ones that ended."""
_READ_OUTPUT_EVERY_S = 0.5
"""Seconds between two readings of what running tasks have written."""
_MOST_SAMPLES = 1000
"""Samples of the number of running tasks that are kept."""
_MOST_STATES = 10_000
"""States of tasks that are kept of several jobs together: the last ones."""

MOST_LINES = 4
"""The largest number of jobs that have a line each; more of them are shown as one."""


class Failure(NamedTuple):
    """The failure of one task."""

    task: int
    message: str
    """The first line of the exception's message."""


class View(NamedTuple):
    """The state of a job, or of several, at one moment."""

    snapshot: Snapshot
    since: float
    """When the job was submitted, in seconds since the epoch."""
    states: bytes
    """The state of each task: its index in ``task_table.STATES``."""
    samples: Sequence[tuple[float, int]]
    """Pairs of seconds since ``map`` and the number of tasks that ran then."""
    failure_counts: dict[str, int]
    """Number of failures by the name of their exception type."""
    failure_examples: dict[str, list[Failure]]
    """Of each type the failures of the lowest numbers."""
    uninspected: int
    """Failures whose type is not known, because they were not unpickled."""
    output_tail: Sequence[str]
    """The last lines that tasks printed, of those that run too."""
    output_hint: str = ""
    """When the output of running tasks is seen; empty where that is at once."""
    left_s: Range | None = None
    """The least and the most seconds that the job will still take; None: not known."""
    jobs: int = 1
    """Number of jobs."""
    open: bool = False
    """Whether more tasks may come."""

    @property
    def ended(self) -> bool:
        """Whether every task has ended, and no more may come."""
        return not self.open and self.snapshot.finished == self.snapshot.total

    @property
    def peak_running(self) -> int:
        """The largest number of running tasks in the samples."""
        return max((count for _, count in self.samples), default=0)


class Samples(list[tuple[float, int]]):
    """The number of running tasks over time. When there are many, every second one is dropped."""

    def add(self, seconds: float, running: int) -> None:
        """Add a sample."""
        self.append((seconds, running))
        if len(self) > _MOST_SAMPLES:
            self[:] = self[::2]  # half the resolution leaves room for twice the time


def left(job: Job[Any], now: Snapshot, peak: int = 0) -> Range | None:
    """Return the least and the most seconds that a job will still take; None: not known.

    Args:
        job: the job.
        now: its progress.
        peak: the most batches that have been in progress at a time, as far as is known.
    """
    table = job._tasks
    if table.over or (table.open and not job._is_shared):  # nobody knows how many tasks will come
        return None
    return time_left(
        Progress(
            now=time.time(),
            ended=table.ended_times(MOST_ENDED),
            in_progress=table.dispatched_times(MOST_IN_PROGRESS),
            left=now.total - now.finished,
            slots=now.running,
            peak=max(peak, now.running),
        )
    )


class Observer:
    """Observes a job repeatedly, and reads each failure and each output only once."""

    def __init__(self, job: Job[Any]) -> None:
        """Create an observer of a job."""
        self._job = job
        self._samples = Samples([(0.0, 0)])
        self._peak = 0
        self._failures: dict[int, tuple[str, str]] = {}
        self._failures_read = 0
        self._ends_read = 0
        self._output_tail: deque[str] = deque(maxlen=_OUTPUT_LINES)
        self._output_read_at = 0.0

    def observe(self) -> View:
        """Return the state of the job now. Fetches nothing from the store."""
        table = self._job._tasks
        is_open = table.open
        now = self._job.snapshot()
        self._samples.add(now.seconds, now.running)
        self._peak = max(self._peak, now.running)
        self._inspect_failures()
        kinds = Counter(kind for kind, _ in self._failures.values())
        return View(
            snapshot=now,
            since=table.queued_at,
            states=bytes(table.marks),
            samples=tuple(self._samples),
            failure_counts=dict(kinds),
            failure_examples={kind: self._examples(kind) for kind in kinds},
            uninspected=now.failed - len(self._failures),
            output_tail=self._read_output(),
            output_hint=self._job._output_hint,
            left_s=left(self._job, now, self._peak),
            open=is_open,
        )

    def _read_output(self) -> tuple[str, ...]:
        table = self._job._tasks
        finished = table.finished
        for task in finished[max(self._ends_read, len(finished) - _RECENT_TASKS) :]:
            self._output_tail.extend(_lines(task, table.output(task))[-_OUTPUT_LINES:])
        self._ends_read = len(finished)
        if not table.over and time.monotonic() - self._output_read_at >= _READ_OUTPUT_EVERY_S:
            self._output_read_at = time.monotonic()
            self._job._control.read_output(self._job)
        running = sorted(table.unfinished_output().items())[-_OUTPUT_LINES:]
        live = [line for each in running for line in _lines(*each)[-_LINES_OF_A_RUNNING_TASK:]]
        return (*self._output_tail, *live)[-_OUTPUT_LINES:]

    def _inspect_failures(self) -> None:
        table = self._job._tasks
        if len(table.failed) == self._failures_read:
            return
        fresh = sorted(table.failed[self._failures_read :])
        self._failures_read += len(fresh)
        for task in fresh[: max(0, _MOST_INSPECTED - len(self._failures))]:
            self._inspect(task)
        for task in nsmallest(_EXAMPLES, table.failed):
            self._inspect(task)

    def _inspect(self, task: int) -> None:
        outcome = self._job._tasks.outcomes[task]
        is_stored = outcome is not None and isinstance(outcome.packed, Stored)
        if task in self._failures or self._job.state(task) != "failed" or is_stored:
            return
        error = self._job.exception(task)
        message = (printable(str(error)).splitlines() or [""])[0][:200]
        self._failures[task] = (type(error).__name__, message)

    def _examples(self, kind: str) -> list[Failure]:
        tasks = nsmallest(_EXAMPLES, (task for task, (each, _) in self._failures.items() if each == kind))
        return [Failure(task, self._failures[task][1]) for task in tasks]


def _lines(task: int, text: str) -> list[str]:
    """Return the last lines of a task's output, each with the task's number."""
    lines = printable(text[-_OUTPUT_LINES * _LINE_LETTERS :]).splitlines()
    return [f"[{task}] {line[:_LINE_LETTERS]}" for line in lines[-_OUTPUT_LINES:]]


def together(snapshots: Sequence[Snapshot], seconds: float | None = None) -> Snapshot:
    """Return the progress of several jobs as one.

    Args:
        snapshots: of the jobs, which run at the same time.
        seconds: seconds since the first one was submitted; None: as the one that has run for the longest.
    """
    if len(snapshots) == 1:
        return snapshots[0]
    backends = dict.fromkeys(now.backend for now in snapshots)
    dollars = [now.dollars for now in snapshots if now.dollars is not None]
    counts = ("total", "queued", "dispatched", "running", "done", "failed", "cancelled", "cached")
    return Snapshot(
        name=counted(len(snapshots), "job"),
        backend=" and ".join(backends),
        seconds=max(now.seconds for now in snapshots) if seconds is None else seconds,
        dollars=sum(dollars) if dollars else None,
        note=next((now.note for now in snapshots if now.note), ""),
        peak_bytes=max(now.peak_bytes for now in snapshots),
        **{field: sum(getattr(now, field) for now in snapshots) for field in counts},
    )


def _named(view: View) -> Sequence[str]:
    """Return a job's lines of output with its name; those of several jobs have names already."""
    return view.output_tail if view.jobs > 1 else [view.snapshot.name + line for line in view.output_tail]


def merge(views: Sequence[View], samples: Sequence[tuple[float, int]] = ()) -> View:
    """Return the state of several jobs together.

    Args:
        views: of the jobs, in the order of their start.
        samples: their running tasks together.
    """
    since = min(view.since for view in views)
    jobs = sum(view.jobs for view in views)
    seconds = max(view.since + view.snapshot.seconds for view in views) - since
    kinds = Counter[str]()
    examples: dict[str, list[Failure]] = {}
    for view in views:
        kinds.update(view.failure_counts)
        for kind, failures in view.failure_examples.items():
            examples[kind] = [*examples.get(kind, []), *failures][:_EXAMPLES]
    return View(
        snapshot=together([view.snapshot for view in views], seconds)._replace(name=counted(jobs, "job")),
        since=since,
        states=b"".join(view.states for view in views)[-_MOST_STATES:],
        samples=samples,
        failure_counts=dict(kinds),
        failure_examples=examples,
        uninspected=sum(view.uninspected for view in views),
        output_tail=[line for view in views for line in _named(view)][-_OUTPUT_LINES:],
        output_hint=next((view.output_hint for view in views if view.output_hint), ""),
        jobs=jobs,
        open=any(view.open for view in views),
    )
