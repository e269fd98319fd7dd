"""Decisions about batches and their pace, as pure functions: values and times in, values out.

Small tasks travel together, since a round trip costs more than they do; large ones travel alone.
How large a job's tasks are is learnt from the first ones. How many requests a backend takes at once is
learnt from its refusals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from wrenlite.backends.base import BatchingPolicy

_SETTLE = 0.5
"""Weight of the newest measurement in the running estimate."""
_FIRST = 16
"""Tasks of a batch at most, while nothing is known of their time."""
_FIRST_BYTES = 1 << 20
"""Bytes of such a batch at most, since part of it may come back untouched."""
_SHARES = 2
"""No batch takes more than one of so many shares of what every slot would still get."""
_PATIENCE = 5
"""A batch stops starting tasks at so many times its target, for the estimate was wrong then."""

LOST_RUNS = 3
"""A task whose answers are lost so many times is given up: something about it breaks connections."""


class Estimate(NamedTuple):
    """How long a job's tasks take."""

    mean_s: float
    """Of one task, with what the worker adds to it."""
    square: float
    """Mean square of the tasks' own seconds."""

    def fit_into(self, seconds: float) -> float:
        """How many tasks take no longer, with two standard deviations of their sum to spare.

        n * mean + 2 * sqrt(n) * deviation = seconds, solved for n. Where tasks differ wildly that is few: a
        batch is no place for them.
        """
        deviation = math.sqrt(max(0.0, self.square - self.mean_s**2))
        mean = max(self.mean_s, 1e-9)
        root = (math.sqrt(deviation**2 + mean * seconds) - deviation) / mean
        return root * root


def estimate(before: Estimate | None, busy_s: float, seconds: Sequence[float]) -> Estimate | None:
    """What is known of a job's tasks after another batch.

    Args:
        before: the estimate so far.
        busy_s: seconds the batch took on its worker.
        seconds: of each task that ran.
    """
    if not seconds or not busy_s:
        return before
    mean, square = busy_s / len(seconds), sum(each * each for each in seconds) / len(seconds)
    if before is None:
        return Estimate(mean, square)
    return Estimate(
        before.mean_s + _SETTLE * (mean - before.mean_s), before.square + _SETTLE * (square - before.square)
    )


class Batch(NamedTuple):
    """What the next request may hold."""

    tasks: int
    bytes: int
    """Of items, unless a single item is larger."""
    stop_after_s: float | None
    """Seconds past which it starts no further task; the rest of it is shared out again."""


def next_batch(
    policy: BatchingPolicy,
    *,
    queued: int,
    slots: int,
    known: Estimate | None,
    first_wave_over: bool,
    chunksize: int | None,
) -> Batch:
    """The next batch of a job; of no task only where none is queued.

    Until a task's time is known batches hold a few, and give back what they have not started. Where the
    first ones do not return in ``policy.patience_s`` they hold one. Then they hold ``policy.target_s`` of
    work, and less towards the end of the job, so that no slot idles while another holds a long batch.
    """
    if chunksize is not None:
        return Batch(min(queued, chunksize), policy.batch_bytes, None)
    fair = math.ceil(queued / (slots * _SHARES))
    if known is None:
        size = min(queued, 1) if first_wave_over else min(fair, _FIRST)
        return Batch(size, min(policy.batch_bytes, _FIRST_BYTES), policy.target_s)
    full = max(1, round(known.fit_into(policy.target_s)))
    worthwhile = math.ceil(known.fit_into(policy.least_s))
    size = min(queued, full, max(fair, worthwhile))
    return Batch(size, policy.batch_bytes, policy.target_s * _PATIENCE)


def first_wave_waits(
    wave: int | None,
    *,
    patience_s: float,
    queued: int,
    slots: int,
    sent: int,
    sent_at: float,
    now: float,
    capped: bool,
) -> float | None:
    """Seconds that a job whose tasks' time is unknown still waits for its first batches; None: none.

    The more slots would be filled with what may be next to nothing, the longer.

    Args:
        wave: batches that are sent before; None: any number.
        patience_s: seconds at most.
        queued: tasks of the job that wait.
        slots: requests that may be in flight.
        sent: batches of the job that are in flight.
        sent_at: when the last of the first wave was handed out.
        now: the time.
        capped: there is a budget. Then nothing more is sent before something is known of what it costs.
    """
    if wave is None or sent < wave:
        return None
    if capped:
        return math.inf
    left = sent_at + patience_s * min(1.0, queued / slots) - now
    return left if left > 0 else None


def runs_again(*, attempts: int, retries: int) -> bool:
    """Whether a task that failed so many times has another try."""
    return attempts <= retries
