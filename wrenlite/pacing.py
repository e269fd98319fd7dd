"""Decisions about batches, as pure functions: values and times in, values out.

Small tasks travel together, since a round trip costs more than they do; large ones travel alone.
How large a job's tasks are is learnt from the first ones.
"""

from __future__ import annotations

import math

_SETTLE = 0.5
"""Weight of the newest measurement in the running estimate."""
_FIRST = 16
"""Tasks of a batch at most, while nothing is known of their time."""
_FIRST_BYTES = 1 << 20
"""Bytes of such a batch at most, since part of it may come back untouched."""
_SHARES = 2
"""No batch takes more than one of so many shares of what every slot would still get."""
_LEAST_S = 0.001
"""Seconds. Below this much work a batch is not made smaller to even out the end of a job."""
_PATIENCE = 5
"""A batch stops starting tasks at so many times its target, for the estimate was wrong then."""


def estimate(before: float | None, busy_s: float, tasks: int) -> float | None:
    """Seconds that one task of a job takes, after another batch of it.

    Args:
        before: the estimate so far.
        busy_s: seconds the batch took on its worker.
        tasks: how many of its tasks ran.
    """
    if not tasks:
        return before
    now = busy_s / tasks
    return now if before is None else before + _SETTLE * (now - before)


def batch_size(
    *, queued: int, slots: int, seconds_per_task: float | None, target_s: float, chunksize: int | None = None
) -> int:
    """How many tasks the next batch takes; 0 only where none is queued.

    Until a task's time is known batches hold a few, and give back what they have not started after
    ``stop_after_s``. Then they hold ``target_s`` of work, and less towards the end of the job, so that no
    slot idles while another holds a long batch.
    """
    if chunksize is not None:
        return min(queued, chunksize)
    fair = math.ceil(queued / (slots * _SHARES))
    if seconds_per_task is None:
        return min(fair, _FIRST)
    seconds = max(seconds_per_task, 1e-9)
    full = max(1, int(target_s / seconds))
    worthwhile = math.ceil(_LEAST_S / seconds)
    return min(queued, full, max(fair, worthwhile))


def batch_bytes(*, seconds_per_task: float | None, most: int) -> int:
    """Bytes of items that the next batch may hold, unless a single item is larger."""
    return min(most, _FIRST_BYTES) if seconds_per_task is None else most


def stop_after_s(*, target_s: float, seconds_per_task: float | None, chunksize: int | None) -> float | None:
    """Seconds past which a batch starts no further task; the rest of it is shared out again."""
    if chunksize is not None:
        return None
    return target_s if seconds_per_task is None else target_s * _PATIENCE


def runs_again(*, attempts: int, retries: int) -> bool:
    """Whether a task that failed so many times has another try."""
    return attempts <= retries
