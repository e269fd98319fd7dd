"""The progress of jobs as lines, now and then, where stderr is a file.

Few jobs have lines of their own; many that run at the same time have lines in common.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from wrenlite.display.observer import together
from wrenlite.futures import Snapshot
from wrenlite.job import Job
from wrenlite.texts import counted, printable

_APPEAR_AFTER_S = 0.5
"""A job that ends before this shows nothing."""
_INTERVAL_S = 30.0
"""Seconds between two lines."""
_ASKED_INTERVAL_S = 1.0
"""The same where the user asked for progress."""
_MOST_GROUPS = 4
"""Jobs that have lines of their own at the same time."""
_TICK_S = 0.5
"""Seconds between two looks at the jobs."""
_PATIENCE_S = 2.0
"""The longest time in seconds that a wait for a job waits for its last line."""


class _Group:
    """Jobs that have lines in common; often it is only one."""

    def __init__(self, jobs: list[Job[Any]], interval_s: float) -> None:
        self.interval_s = interval_s
        self._jobs = jobs
        self._since = min(job._tasks.queued_at for job in jobs)
        self._until = self._since
        self._ended: list[Snapshot] = []
        self._written_at = time.monotonic()
        now = self._progress()
        _write(f"{now.name} on {now.backend}: {counted(now.total, 'task')}")

    @property
    def is_common(self) -> bool:
        """Whether it is of several jobs."""
        return len(self._jobs) + len(self._ended) > 1

    def join(self, jobs: list[Job[Any]], interval_s: float) -> None:
        """Add jobs."""
        self._jobs += jobs
        self.interval_s = min(self.interval_s, interval_s)

    def write(self) -> bool:
        """Write a line if it is time, or if all jobs have ended. Return whether some go on."""
        now = self._progress()
        if not self._jobs:
            _write(f"{now.name}: {now.done:,} of {now.total:,} done in {now.seconds:.1f} s", details(now))
        elif time.monotonic() - self._written_at >= self.interval_s:
            self._written_at = time.monotonic()
            text = f"{now.name}: {now.finished:,} of {now.total:,} ended after {now.seconds:.0f} s"
            _write(text, details(now))
        return bool(self._jobs)

    def _progress(self) -> Snapshot:
        """Return the progress of all, and let go of those that have ended."""
        going, running = [], []
        for job in self._jobs:
            over = job._tasks.over
            now = job.snapshot()
            self._until = max(self._until, job._tasks.queued_at + now.seconds)
            if over:
                self._ended.append(now)
            else:
                going.append(job)
                running.append(now)
        self._jobs = going
        return together([*self._ended, *running], self._until - self._since)


class _Lines:
    """The jobs that have lines, and the thread that writes them. It runs while a job does."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may map while its thread writes
        self._fresh: list[tuple[Job[Any], float]] = []
        self._groups: list[_Group] = []
        self._is_written = False

    def add(self, job: Job[Any], interval_s: float) -> None:
        """Write lines about a job from now on."""
        with self._lock:
            self._fresh.append((job, interval_s))
            if not self._is_written:
                self._is_written = True
                threading.Thread(target=self._loop, name="wrenlite-progress", daemon=True).start()

    def write_due(self, patience_s: float = -1) -> None:
        """Write the lines that are due.

        Args:
            patience_s: the longest time in seconds to wait for another thread that writes; -1: no limit.
        """
        if self._lock.acquire(timeout=patience_s):
            try:
                self._begin()
                self._groups = [group for group in self._groups if group.write()]
            finally:
                self._lock.release()

    def _begin(self) -> None:
        """Let jobs that have run for a while have lines: of their own, or in common if they are many."""
        self._fresh = [(job, interval_s) for job, interval_s in self._fresh if not job._tasks.over]
        due = [each for each in self._fresh if time.time() - each[0]._tasks.queued_at >= _APPEAR_AFTER_S]
        if len(self._groups) + len(self._fresh) <= _MOST_GROUPS:
            self._groups += [_Group([job], interval_s) for job, interval_s in due]
            self._fresh = [each for each in self._fresh if each not in due]
        elif due:
            jobs, interval_s = [job for job, _ in self._fresh], min(interval_s for _, interval_s in due)
            self._fresh = []
            common = next((group for group in self._groups if group.is_common), None)
            if common is not None:
                common.join(jobs, interval_s)
            else:
                self._groups.append(_Group(jobs, interval_s))

    def _loop(self) -> None:
        while True:
            time.sleep(_TICK_S)
            with self._lock:
                self.write_due()
                if not (self._fresh or self._groups):
                    self._is_written = False
                    return


_lines = _Lines()


class Waiting:
    """The context of waiting for a job: when the waiting is over, the last line of the job is written."""

    def __init__(self, job: Job[Any]) -> None:
        """Create the context of a job."""
        self._tasks = job._tasks  # not the job, which holds this context and is to be freed without gc
        self._is_written = False

    def __call__(self, _: bool) -> Waiting:
        """Return the context, which is the same for every wait."""
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._tasks.over and not self._is_written:
            self._is_written = True
            _lines.write_due(_PATIENCE_S)


def watch(job: Job[Any], asked: bool) -> Waiting:
    """Write lines about a job while it runs.

    Args:
        job: the job.
        asked: whether the user asked for progress: then there is a line every second.

    Returns:
        What makes the contexts in which the job is waited for.
    """
    _lines.add(job, _ASKED_INTERVAL_S if asked else _INTERVAL_S)
    return Waiting(job)


def details(now: Snapshot) -> str:
    """Return the counts of tasks, such as those that run, the dollars, and why nothing is sent."""
    counts = {"cached": now.cached, "running": now.running, "failed": now.failed, "cancelled": now.cancelled}
    texts = [f"{count:,} {state}" for state, count in counts.items() if count]
    if now.dollars is not None:
        texts.append(f"${now.dollars:.4f}")
    if now.note:
        texts.append(now.note)
    return ", ".join(texts)


def _write(*parts: str) -> None:
    print(printable(f"wrenlite: {'; '.join(filter(None, parts))}"), file=sys.stderr, flush=True)


def _forget_lines() -> None:
    """After a fork, leave the lines to the parent: the child lacks the thread, and may have a locked lock."""
    global _lines
    _lines = _Lines()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lines)
