"""Decisions about batches and their pace, as pure functions: values and times in, values out.

Small tasks travel together, since a round trip costs more than they do; large ones travel alone.
How large a job's tasks are is learnt from the first ones. How many requests a backend takes at once is
learnt from its refusals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from wrenlite.invoker import Pace

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

_BACKOFF_TIMES = 100.0
"""The longest pause after a refusal, in terms of the first."""
_PROBE = 0.2
"""Where refusals began, so much more is tried first, as a share; twice as much with every generation of
successes that brings none."""
_TRY_AFTER_S = 1.0
"""Seconds after a refusal in which nothing has ended, after which one more request is tried."""
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
    pace: Pace,
    *,
    queued: int,
    slots: int,
    known: Estimate | None,
    first_wave_over: bool,
    chunksize: int | None,
) -> Batch:
    """The next batch of a job; of no task only where none is queued.

    Until a task's time is known batches hold a few, and give back what they have not started. Where the
    first ones do not return in ``pace.patience_s`` they hold one. Then they hold ``pace.target_s`` of work,
    and less towards the end of the job, so that no slot idles while another holds a long batch.
    """
    if chunksize is not None:
        return Batch(min(queued, chunksize), pace.batch_bytes, None)
    fair = math.ceil(queued / (slots * _SHARES))
    if known is None:
        size = min(queued, 1) if first_wave_over else min(fair, _FIRST)
        return Batch(size, min(pace.batch_bytes, _FIRST_BYTES), pace.target_s)
    full = max(1, round(known.fit_into(pace.target_s)))
    worthwhile = math.ceil(known.fit_into(pace.least_s))
    size = min(queued, full, max(fair, worthwhile))
    return Batch(size, pace.batch_bytes, pace.target_s * _PATIENCE)


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


class Flow(NamedTuple):
    """How many requests a backend takes at once, learnt from its answers."""

    limit: float
    """Requests in flight at most."""
    calm: float = math.inf
    """Successes since requests were last refused as too many at once, in terms of the limit."""
    resumes: float = -math.inf
    """When requests may be sent again."""
    struck: float = -math.inf
    """When the last refusal counted: those of requests that were sent before tell the same again."""
    strikes: int = 0
    """Round trips that brought refusals, since the last success."""
    down_since: float = math.inf
    """Since when the service has answered nothing but errors, or not at all."""


def after_success(flow: Flow, slots: int) -> Flow:
    """A request was taken and answered: more may be in flight, but carefully where refusals began."""
    if flow.limit >= slots and not flow.strikes and flow.down_since == math.inf:
        return flow
    # What is free again may be used at once.
    step = min(1.0, max(1 / flow.limit, _PROBE * 2.0 ** min(flow.calm, 30)))
    calm = flow.calm + 1 / flow.limit
    return flow._replace(
        limit=min(float(slots), flow.limit + step),
        calm=calm,
        resumes=-math.inf,
        strikes=0,
        down_since=math.inf,
    )


def after_refusal(
    flow: Flow,
    *,
    concurrency: bool,
    patient: bool,
    sent: float,
    now: float,
    in_flight: int,
    backoff_s: float,
    jitter: float,
) -> Flow:
    """A request was not taken.

    Args:
        flow: what was known.
        concurrency: because too many ran. What is in flight when the last of the refusals has come is
            what was taken, and the new limit (halving it would leave slots idle that there are).
        patient: it may well last.
        sent: when the request was sent.
        now: when it came back.
        in_flight: requests that are still in flight.
        backoff_s: the longest pause after a first refusal.
        jitter: a random number from 0 to 1 (full jitter, so that many clients do not return together).
    """
    # When all have come back, one goes out to see how things are.
    flow = flow._replace(limit=min(flow.limit, float(max(1, in_flight))))
    if concurrency:
        flow = flow._replace(calm=0.0)
    if sent <= flow.struck:
        return flow
    longest = backoff_s * min(_BACKOFF_TIMES, 2.0 ** min(flow.strikes, 20))
    return flow._replace(
        resumes=now + longest * jitter,
        struck=now,
        strikes=flow.strikes + 1,
        down_since=math.inf if patient else min(flow.down_since, now),
    )


def opens_at(flow: Flow, in_flight: int) -> float:
    """When another request may be sent beside those in flight; infinite: when one of them has ended.

    After refusals, as long as nothing ends, one more than the limit is tried now and then: what is in flight
    may run for minutes, and what was in the way may be gone in a second.
    """
    if in_flight < int(flow.limit):
        return flow.resumes
    if flow.strikes and in_flight == int(flow.limit):
        return max(flow.resumes, flow.struck + _TRY_AFTER_S)
    return math.inf
