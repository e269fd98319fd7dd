"""Decisions about batches, as pure functions of values and times.

Small tasks travel together, since a round trip costs more than they do. Large tasks travel alone. How large
the tasks of a job are is learned from the first ones.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

from wrenlite.backends.base import BatchingPolicy

_NEWEST_WEIGHT = 0.5
"""Weight of the newest measurement in the running estimate."""
_FIRST_TASKS = 16
"""Largest number of tasks in a batch while nothing is known of their duration."""
_FIRST_BYTES = 1 << 20
"""Largest size of the items of a batch while nothing is known of the tasks: the batch may give part of them
back."""
_SHARES = 2
"""A batch takes at most 1/_SHARES of the tasks that a slot would get if the queue were divided equally among
all slots."""
_STOP_AFTER_TARGETS = 5
"""A batch starts no further task once it has run this many times its target duration: the estimate was
wrong."""
_MOST_GATHERING = 10
"""A task that was submitted is sent after this many times ``gather_s``, even if more tasks still come."""
_VALUE_BYTES = 16 << 10
"""Largest size of a value that travels to a reduction through the client. To store it would cost more."""
MAX_LOST_REPLIES = 3
"""A task is given up after this many lost replies: something about it breaks connections."""


class Estimate(NamedTuple):
    """How long the tasks of a job take."""

    mean_s: float
    """Mean duration of a task, including what the worker adds to it."""
    mean_square: float
    """Mean square of the tasks' own durations, in seconds squared."""
    is_high: bool = False
    """Whether all of these tasks were the first of their workers, which also took what a worker does once."""

    def tasks_within(self, seconds: float) -> float:
        """Estimate how many tasks can run one after the other in this time.

        There is a reserve of two standard deviations of their total duration.

        The equation n * mean + 2 * sqrt(n) * deviation = seconds is solved for n. Where durations differ
        widely the result is small, since a batch does not suit such tasks.
        """
        deviation = math.sqrt(max(0.0, self.mean_square - self.mean_s**2))
        mean = max(self.mean_s, 1e-9)
        root = (math.sqrt(deviation**2 + mean * seconds) - deviation) / mean
        return root * root


def updated_estimate(
    before: Estimate | None, busy_s: float, task_seconds: Sequence[float], *, first_on_worker: bool = False
) -> Estimate | None:
    """Update the estimate for a job after another batch.

    Args:
        before: the estimate so far; None: nothing is known.
        busy_s: seconds that the batch took on its worker.
        task_seconds: seconds that each task took that ran, in their order.
        first_on_worker: whether the first of them also took what a worker does once for a job, such as
            importing. Then it only counts while there are no others.

    Returns:
        The new estimate; None where still nothing is known.
    """
    if not task_seconds or not busy_s:
        return before
    is_high = first_on_worker and len(task_seconds) == 1
    if is_high and before is not None and not before.is_high:
        return before
    if first_on_worker and not is_high:
        task_seconds = task_seconds[1:]
        busy_s = min(busy_s, sum(task_seconds))
    mean = busy_s / len(task_seconds)
    square = sum(map(operator.mul, task_seconds, task_seconds)) / len(task_seconds)
    if before is None or (before.is_high and not is_high):
        return Estimate(mean, square, is_high)
    return Estimate(
        before.mean_s + _NEWEST_WEIGHT * (mean - before.mean_s),
        before.mean_square + _NEWEST_WEIGHT * (square - before.mean_square),
        is_high,
    )


class Batch(NamedTuple):
    """A batch is the size limit of the next request."""

    tasks: int
    bytes: int
    """Largest size of its items, unless a single item is larger."""
    stop_after_s: float | None
    """Seconds after which it starts no further task; the rest of it is distributed again."""


def next_batch(
    policy: BatchingPolicy,
    *,
    queued: int,
    slots: int,
    estimate: Estimate | None,
    sent: int,
    chunksize: int | None,
) -> Batch:
    """Size the next batch of a job.

    While the duration of the tasks is unknown, the free slots share a few tasks equally, and batches give
    back those that they have not started. If the first batches do not return within
    ``policy.first_wave_wait_s``, the next ones hold one task. Once the duration is known, a batch holds
    ``policy.target_s`` of work, and less towards the end of the job, so that no slot is idle while another
    one has a long batch.

    Args:
        policy: the backend's policy for batches.
        queued: tasks of the job that wait.
        slots: requests that may be in flight.
        estimate: duration of the tasks; None: unknown.
        sent: batches of the job that are in flight.
        chunksize: tasks per batch that the user asked for; None: the choice is free.

    Returns:
        The batch. It has no task only where none is queued.
    """
    if chunksize is not None:
        return Batch(min(queued, chunksize), policy.batch_bytes, None)
    if estimate is None:
        is_first_wave_sent = policy.first_wave is not None and sent >= policy.first_wave
        share = math.ceil(queued / max(1, slots - sent))
        size = min(queued, 1) if is_first_wave_sent else min(share, _FIRST_TASKS)
        return Batch(size, min(policy.batch_bytes, _FIRST_BYTES), policy.target_s)
    full = max(1, round(estimate.tasks_within(policy.target_s)))
    fair = math.ceil(queued / (slots * _SHARES))
    parts = math.ceil(queued / max(1, math.ceil(estimate.tasks_within(policy.least_s))))
    size = min(queued, full, max(fair, math.ceil(queued / max(1, parts))))
    return Batch(size, policy.batch_bytes, policy.target_s * _STOP_AFTER_TARGETS)


def first_wave_wait_s(
    first_wave: int | None,
    *,
    longest_s: float,
    queued: int,
    slots: int,
    sent: int,
    sent_at: float,
    now: float,
) -> float | None:
    """Return how long a job whose tasks' duration is unknown still waits for its first batches.

    The more of the slots the queued tasks would fill, the longer it waits: the tasks may be so short that few
    batches are enough.

    Args:
        first_wave: batches that are sent before it waits; None: any number.
        longest_s: seconds that it waits at most.
        queued: tasks of the job that wait.
        slots: requests that may be in flight.
        sent: batches of the job that are in flight.
        sent_at: when the last batch of the first wave was handed out.
        now: the time.

    Returns:
        Seconds; None: it need not wait.
    """
    if first_wave is None or sent < first_wave:
        return None
    left = sent_at + longest_s * min(1.0, queued / slots) - now
    return left if left > 0 else None


def gathering_wait_s(gather_s: float, *, first: float, last: float, now: float) -> float | None:
    """Return how long an open job still waits for more tasks before it sends those that it has.

    It waits until nothing has come for ``gather_s``, and at most ``_MOST_GATHERING`` times as long in all.

    Args:
        gather_s: the backend's time for gathering, in seconds.
        first: when the first task came of those that wait.
        last: when the newest of them came.
        now: the time.

    Returns:
        Seconds; None: it need not wait.
    """
    left = min(last + gather_s, first + _MOST_GATHERING * gather_s) - now
    return left if left > 0 else None


def largest_value(policy: BatchingPolicy, tasks: int) -> int:
    """Return the size of the largest value that travels to a reduction through the client, in its request.

    All of them together fit into one batch, so that neither the client nor the worker holds more than that.

    Args:
        policy: the backend's policy for batches.
        tasks: number of the values.
    """
    return min(_VALUE_BYTES, policy.batch_bytes // max(1, tasks))
