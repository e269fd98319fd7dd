"""A job on a terminal: one line that moves; and where output goes to a file, a line now and then."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from wrenlite.display.panel import over_within
from wrenlite.futures import Snapshot
from wrenlite.job import Job

_APPEARS_S = 0.5
"""A job that is over before this draws nothing."""
_REFRESH_S = 0.1
_LINE_S = 30.0
"""Seconds between two lines in a file."""
_JOIN_S = 2.0


def watch(job: Job, asked: bool) -> Callable[[], None]:
    """Draw a job's progress from a thread of its own, while it runs.

    Args:
        job: the job.
        asked: the moving line even where stderr is no terminal.

    Returns what waits until its end is drawn.
    """
    if sys.stderr is None:
        return lambda: None
    draw = _draw if asked or sys.stderr.isatty() else _print
    painter = threading.Thread(target=draw, args=(job,), name="wrenlite-progress", daemon=True)
    painter.start()
    return lambda: painter.join(_JOIN_S)


def _print(job: Job) -> None:
    if over_within(job, _APPEARS_S):
        return
    now = job.snapshot()
    _say(f"{now.name} on {now.backend}: {now.total:,} tasks")
    while not over_within(job, _LINE_S):
        now = job.snapshot()
        _say(f"{now.name}: {now.finished:,} of {now.total:,} after {now.seconds:.0f} s; {words(now)}")
    now = job.snapshot()
    ends = words(now)
    _say(f"{now.name}: {now.done:,} of {now.total:,} done in {now.seconds:.1f} s{'; ' if ends else ''}{ends}")


def _say(text: str) -> None:
    print(f"wrenlite: {text}", file=sys.stderr, flush=True)


def _draw(job: Job) -> None:
    if over_within(job, _APPEARS_S):
        return
    from tqdm import tqdm

    class Line(tqdm):  # type: ignore[type-arg]
        monitor_interval = 0  # no thread of its own

    now = job.snapshot()
    with Line(total=now.total, desc=f"{now.name} on {now.backend}", unit="task", dynamic_ncols=True) as line:
        ended = False
        while not ended:
            ended = over_within(job, _REFRESH_S)
            now = job.snapshot()
            line.update(now.finished - line.n)
            line.set_postfix_str(words(now), refresh=False)


def words(now: Snapshot) -> str:
    """Counts, dollars and trouble, in words."""
    counts = {"running": now.running, "failed": now.failed, "cancelled": now.cancelled}
    said = [f"{count:,} {word}" for word, count in counts.items() if count]
    if now.dollars is not None:
        said.append(f"${now.dollars:.4f}")
    if now.note:
        said.append(now.note)
    return ", ".join(said)
