"""How long a job will still take, as a range, or nothing while that is not known (pure).

The estimate counts what is in progress. There are two kinds, because batches of short tasks report many
ends at once, and long tasks few:

- ``from_durations`` is for tasks that travel alone. It takes how long tasks have taken, and for how long
  those in progress have run, and lets the waiting ones follow in the slots. Tasks in progress count as
  lasting at least as long as they have run (the estimator of Kaplan and Meier); otherwise the first tasks to
  end, which are the short ones, would make the estimate too small.
- ``from_pace`` is for batches: how many tasks have ended lately.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

Range: TypeAlias = tuple[float, float]
"""The least and the most seconds."""

MOST_ENDED = 1000
"""Tasks that have ended of which an estimate needs the times: the last ones."""
MOST_IN_PROGRESS = 2000
"""Tasks in progress of which it needs the times; with more, it goes by the pace."""

_LEAST_DURATIONS = 2
"""Fewer durations say nothing of how much tasks differ."""
_LARGE_RANGE = 1.3
"""A range whose end is less than this times its beginning is told as one figure."""
_WIDEST = 4.0
"""A range whose end is more than this times its beginning says nothing."""
_SHORT_S = 2.0
"""Below this, a range may be as wide as it wants."""
_ERRORS = 2.0
"""Standard errors of the mean duration that a range spans on each side."""
_LEAST_ENDS = 8
"""Fewer ends in a part of the time say nothing of the pace."""
_OVERLAP = 1.2
"""Tasks that took more than this share of the time of all slots were dispatched together."""
_PACE_ERROR = 0.1
"""The share by which the pace may change, at least."""


class Progress(NamedTuple):
    """What is known of a job's tasks at one moment. Times are seconds by one clock."""

    now: float
    ended: Sequence[tuple[float, float]]
    """When each of the last tasks to end was dispatched and received, in the order of the ends."""
    in_progress: Sequence[float]
    """When each task in progress was dispatched; empty where there are too many."""
    left: int
    """Tasks that have not ended."""
    slots: int
    """How many batches are in progress: each of them runs one task at a time."""
    peak: int
    """The most batches that have been in progress at a time."""


def time_left(progress: Progress) -> Range | None:
    """Return the seconds that a job will still take; None: that is not known."""
    now, ended, in_progress, left, slots, peak = progress
    if not ended or not left or not slots:
        return None
    durations = [received - dispatched for dispatched, received in ended]
    ages = [now - dispatched for dispatched in in_progress]
    # Tasks of one batch are dispatched together, and so seem to take more time than the slots had.
    slot_s = max(peak, slots) * (now - min(dispatched for dispatched, _ in ended))
    if ages and len(ages) <= slots and sum(durations) + sum(ages) <= _OVERLAP * slot_s:
        return from_durations(durations, ages, left - len(ages), slots)
    received = [at for _, at in ended]
    half_s = (now - received[0]) / 2
    lately = len(received) - bisect_right(received, now - half_s)
    return from_pace(len(received), lately, half_s, left)


def from_durations(ended: Sequence[float], ages: Sequence[float], waiting: int, slots: int) -> Range | None:
    """Return the seconds that a job will still take; None: that is not known.

    Args:
        ended: seconds that each of some tasks took.
        ages: seconds for which each task in progress has run.
        waiting: the number of tasks that have not begun.
        slots: how many tasks run at a time.
    """
    if len(ended) < max(_LEAST_DURATIONS, min(slots, len(ages)) / 2):
        return None
    longest = max(ended)
    survival = _survival(ended, ages)
    mean = sum(seconds * share for seconds, share in survival)
    unknown = survival[-1][1] if ages and max(ages) > longest else 0.0
    error = _ERRORS * _deviation(ended) / math.sqrt(len(ended))
    # The first tasks waited until their workers had started: that is no trend, and the others are quicker.
    warm = ended[slots:] or ended
    later = mean + _trend(warm) * (len(ended) + waiting) / 2
    shortest = [_still(survival, age) for age in ages]
    most = [longest - age if age < longest else age for age in ages]  # or as long again
    least_mean = max(0.0, min(sum(warm) / len(warm) - error, sum(ended) / len(ended) - error, later))
    most_mean = max(mean + error + unknown * max(ages, default=0.0), later)
    busy = max(1, slots)
    least = max(0.0, *shortest, (sum(shortest) + waiting * least_mean) / busy)
    rounds = sorted([*most, *[0.0] * (busy - len(most))])
    last = longest - most_mean if waiting and longest > most_mean else 0.0
    full, rest = divmod(waiting, busy)
    greatest = max(free + most_mean * (full + (at < rest)) for at, free in enumerate(rounds)) + last
    return _told(least, max(least, greatest))


def _deviation(ended: Sequence[float]) -> float:
    return math.sqrt(sum((each - sum(ended) / len(ended)) ** 2 for each in ended) / max(1, len(ended) - 1))


def _trend(ended: Sequence[float]) -> float:
    """Return by how many seconds each task takes longer than the one before; 0 where that may be chance."""
    half = len(ended) // 2
    first, second = ended[:half], ended[half:]
    if half < _LEAST_DURATIONS:
        return 0.0
    change = sum(second) / len(second) - sum(first) / half
    chance = _ERRORS * math.hypot(_deviation(first), _deviation(second)) / math.sqrt(half)
    return change / half if abs(change) > chance else 0.0


def _survival(ended: Sequence[float], ages: Sequence[float]) -> list[tuple[float, float]]:
    """Return pieces of time, and the share of tasks that last through each: the Kaplan-Meier estimator."""
    events = sorted([*((seconds, True) for seconds in ended), *((age, False) for age in ages)])
    at_risk, share, before = len(events), 1.0, 0.0
    pieces = []
    for seconds, group in itertools.groupby(events, key=lambda event: event[0]):
        members = [is_end for _, is_end in group]
        pieces.append((seconds - before, share))
        share *= 1 - sum(members) / at_risk
        at_risk -= len(members)
        before = seconds
    return pieces if share == 0 else [*pieces, (0.0, share)]


def _still(survival: Sequence[tuple[float, float]], age: float) -> float:
    """Return the seconds that a task of this age will still take, on average."""
    area, place, share_then = 0.0, 0.0, 0.0
    for seconds, share in survival:
        beyond = min(seconds, place + seconds - age)
        place += seconds
        if beyond > 0:
            share_then = share_then or share
            area += beyond * share
    return area / share_then if share_then else 0.0


def from_pace(ended: int, ended_lately: int, lately_s: float, left: int) -> Range | None:
    """Return the seconds that a job will still take at its pace of late; None: that pace is not steady.

    Args:
        ended: tasks that ended in the time ``2 * lately_s`` before now.
        ended_lately: those of them that ended in its second half.
        lately_s: the length of that half, in seconds.
        left: tasks that have not ended.
    """
    halves = (ended - ended_lately, ended_lately)
    if min(halves) < _LEAST_ENDS:
        return None
    least, most = (left * lately_s / half for half in (max(halves), min(halves)))
    return _told(least * (1 - _PACE_ERROR), most * (1 + _PACE_ERROR))


def _told(least: float, most: float) -> Range | None:
    """Return a range, if it is worth telling."""
    return (least, most) if most <= max(_WIDEST * least, _SHORT_S) else None


def in_words(left_s: Range) -> str:
    """Return in words how long a job will still take, such as ``about 5 s left`` or ``20 to 30 s left``."""
    least, most = left_s
    if most < 1:
        return "less than 1 s left"
    if most <= max(_LARGE_RANGE * least, least + 1):
        return f"about {_rough((least + most) / 2)} left"
    first, last = _rough(least), _rough(most)
    if first == last:
        return f"about {first} left"
    (figure, *unit), (_, *other) = first.split(), last.split()
    return f"{figure if unit == other else first} to {last} left"


def _rough(seconds: float) -> str:
    """Return a time span in words, in one unit."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}" if seconds >= 10 * size else f"{seconds / size:.2g} {unit}"
    return f"{max(1, round(seconds))} s"
