"""The progress of a job on stderr: one moving line on a terminal, and a line every 30 s in a file."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from wrenlite.display.panel import ends_within
from wrenlite.futures import Snapshot
from wrenlite.job import Job

_APPEAR_AFTER_S = 0.5
"""A job that ends before this prints nothing."""
_REFRESH_S = 0.1
"""Seconds between two updates of the moving line."""
_LINE_INTERVAL_S = 30.0
"""Seconds between two lines in a file."""
_JOIN_S = 2.0
"""The longest time in seconds that ``Job.wait`` waits for the last update."""


def watch(job: Job[Any], asked: bool) -> Callable[[], None]:
    """Show a job's progress from a thread while the job runs.

    Args:
        job: the job.
        asked: the user asked for progress: draw the moving line even where stderr is not a terminal.

    Returns:
        A function that waits until the end of the job is shown.
    """
    if sys.stderr is None:
        return lambda: None
    show = _move_line if asked or sys.stderr.isatty() else _print_lines
    thread = threading.Thread(target=show, args=(job,), name="wrenlite-progress", daemon=True)
    thread.start()
    return lambda: thread.join(_JOIN_S)


def _print_lines(job: Job[Any]) -> None:
    if ends_within(job, _APPEAR_AFTER_S):
        return
    now = job.snapshot()
    _print(f"{now.name} on {now.backend}: {now.total:,} tasks")
    while not ends_within(job, _LINE_INTERVAL_S):
        now = job.snapshot()
        _print(f"{now.name}: {now.finished:,} of {now.total:,} ended after {now.seconds:.0f} s", details(now))
    now = job.snapshot()
    _print(f"{now.name}: {now.done:,} of {now.total:,} done in {now.seconds:.1f} s", details(now))


def _print(*parts: str) -> None:
    print(f"wrenlite: {'; '.join(filter(None, parts))}", file=sys.stderr, flush=True)


def _move_line(job: Job[Any]) -> None:
    if ends_within(job, _APPEAR_AFTER_S):
        return
    from tqdm import tqdm

    class Line(tqdm):  # type: ignore[type-arg]
        monitor_interval = 0  # tqdm starts no thread of its own

    now = job.snapshot()
    with Line(total=now.total, desc=f"{now.name} on {now.backend}", unit="task", dynamic_ncols=True) as line:
        ended = False
        while not ended:
            ended = ends_within(job, _REFRESH_S)
            now = job.snapshot()
            line.update(now.finished - line.n)
            line.set_postfix_str(details(now), refresh=False)


def details(now: Snapshot) -> str:
    """Return the counts of running, failed and cancelled tasks, the dollars, and why nothing is sent."""
    counts = {"running": now.running, "failed": now.failed, "cancelled": now.cancelled}
    texts = [f"{count:,} {state}" for state, count in counts.items() if count]
    if now.dollars is not None:
        texts.append(f"${now.dollars:.4f}")
    if now.note:
        texts.append(now.note)
    return ", ".join(texts)
