"""A progress line on the terminal."""

from __future__ import annotations

import sys
import threading

from wrenlite.futures import Snapshot
from wrenlite.job import Job

_APPEARS_S = 0.5
"""A job that is over before this draws nothing."""
_REFRESH_S = 0.1


def watch(job: Job, asked: bool) -> None:
    """Draw a job's progress from a thread of its own, while it runs.

    Args:
        job: the job.
        asked: draw even where stderr is no terminal.
    """
    if sys.stderr is not None and (asked or sys.stderr.isatty()):
        threading.Thread(target=_draw, args=(job,), name="wrenlite-progress", daemon=True).start()


def _draw(job: Job) -> None:
    if job.wait(_APPEARS_S):
        return
    from tqdm import tqdm

    class Line(tqdm):  # type: ignore[type-arg]
        monitor_interval = 0  # no thread of its own

    now = job.snapshot()
    with Line(total=now.total, desc=f"{now.name} on {now.backend}", unit="task", dynamic_ncols=True) as line:
        ended = False
        while not ended:
            ended = job.wait(_REFRESH_S)
            now = job.snapshot()
            line.update(now.finished - line.n)
            line.set_postfix_str(_words(now), refresh=False)


def _words(now: Snapshot) -> str:
    counts = {"running": now.dispatched, "failed": now.failed, "cancelled": now.cancelled}
    words = [f"{count:,} {word}" for word, count in counts.items() if count]
    if now.dollars is not None:
        words.append(f"${now.dollars:.4f}")
    if now.note:
        words.append(now.note)
    return ", ".join(words)
