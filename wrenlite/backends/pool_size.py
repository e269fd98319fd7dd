"""Decide how many local workers may run tasks at once, from the memory of the machine. Pure.

See docs/decisions/0042-memory-of-the-machine.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from wrenlite.memory import Memory

_NEAR_SHARE, _NEAR_BYTES = 0.1, 4 << 30
_CRITICAL_SHARE, _CRITICAL_BYTES = 0.04, 1 << 30
_MODEST_SHARE = 0.5
"""All tasks may run if they need no more than this of what is available above the critical mark."""
_LEAST_TASK_BYTES = 16 << 20
"""What a task counts as at least that is about to start."""
_ENOUGH_PEAKS = 4
"""From so many requests on, one of them may be an outlier."""
_RAISE_AFTER_S = 1.0
"""Seconds since the last change after which more tasks may run, by half of them at most."""
_STOP_AFTER_S = 0.5
"""Seconds between two tasks that are stopped: the memory of the first one is free only then."""
_WELL_ABOVE = 3.0
"""Memory is looked at seldom while so many times as much is available as where fewer tasks run."""
_SELDOM_S, _OFTEN_S = 1.0, 0.1


class Marks(NamedTuple):
    """Bytes of available memory below which something is done."""

    near: int
    """Fewer tasks run, unless all of them need little."""
    critical: int
    """A task is stopped."""


def marks(total_bytes: int) -> Marks:
    """Return the marks for a machine with so much memory: 10 % of it, and 4 %, with an upper limit."""
    return Marks(
        int(min(_NEAR_SHARE * total_bytes, _NEAR_BYTES)),
        int(min(_CRITICAL_SHARE * total_bytes, _CRITICAL_BYTES)),
    )


class Seen(NamedTuple):
    """What is known of the machine and its workers at one moment."""

    now: float
    memory: Memory
    running: Sequence[int] = ()
    """Bytes that each worker holds that runs tasks, in the order in which these started; 0: unknown."""
    idle: Sequence[int] = ()
    """Bytes that each of the others holds. The first one gets the next task."""
    task_bytes: int = 0
    """What the next ones may hold, from what those before them did; 0: unknown."""


class PoolSize(NamedTuple):
    """How many tasks may run at once."""

    slots: int
    """As many as there are workers: the most."""
    allowed: int
    """As many as the memory has room for, as far as is known. At least 1."""
    changed_at: float = -math.inf
    """When that last became fewer or more."""
    stopped_at: float = -math.inf
    """When a task was last stopped for the sake of the others."""
    waits_for_end: bool = False
    """Whether it stays until a task has ended, since one was stopped: only then more is known."""

    @property
    def is_limited(self) -> bool:
        """Whether fewer tasks may run than there are workers."""
        return self.allowed < self.slots


def next_size(size: PoolSize, seen: Seen) -> PoolSize:
    """Return how many tasks may run at once from now on.

    They become fewer at once, and more step by step, but at once where none runs.
    """
    fitting = _fitting(size.slots, seen)
    if fitting < size.allowed:
        return size._replace(allowed=fitting, changed_at=seen.now)
    if fitting == size.allowed or (size.waits_for_end and seen.running):
        return size
    if seen.running and seen.now < size.changed_at + _RAISE_AFTER_S:
        return size
    step = max(1, size.allowed // 2) if seen.running else size.slots
    return size._replace(allowed=min(fitting, size.allowed + step), changed_at=seen.now, waits_for_end=False)


def likely_bytes(peaks: Sequence[int]) -> int:
    """Return the memory that the next tasks may need: the most of the last ones, but for one outlier.

    Args:
        peaks: bytes that the last requests have held.
    """
    return sorted(peaks)[-2 if len(peaks) >= _ENOUGH_PEAKS else -1] if peaks else 0


def has_room_for_all(slots: int, seen: Seen) -> bool:
    """Return whether all slots could run such tasks far from the marks, whatever their workers hold now."""
    room = seen.memory.available_bytes - marks(seen.memory.total_bytes).near
    return room >= slots * max(seen.task_bytes, _LEAST_TASK_BYTES)


def _fitting(slots: int, seen: Seen) -> int:
    """Return how many tasks the memory has room for: those that run, and those that can start now.

    All of them, where that takes little of what is left: others may use most of the memory, and small tasks
    do no harm then. Otherwise as many as leave enough, and fewer than run now if those may need too much.
    """
    available, (near, critical) = seen.memory.available_bytes, marks(seen.memory.total_bytes)
    growing, starting = _growth(slots, seen)
    if growing + sum(starting) <= _MODEST_SHARE * (available - critical):
        return slots
    fitting, room = len(seen.running), available - near - growing
    for held in reversed(seen.running):
        if room >= 0:
            break
        room += max(seen.task_bytes, held)
        fitting -= 1
    for needed in starting if fitting == len(seen.running) else ():
        room -= needed
        if room < 0:
            break
        fitting += 1
    return max(1, fitting)


def _growth(slots: int, seen: Seen) -> tuple[int, list[int]]:
    """Return how much more memory the tasks may need that run, and each of those that could start.

    A task that runs may still grow to what others have held lately. Of one that starts, what its worker holds
    already is no further memory.
    """
    growing = sum(max(0, seen.task_bytes - held) for held in seen.running)
    most = max(seen.task_bytes, *seen.running, 0)
    idle = [*seen.idle, *(0,) * slots][: slots - len(seen.running)]
    return growing, [max(_LEAST_TASK_BYTES, most - held) for held in idle]


def whom_to_stop(size: PoolSize, seen: Seen) -> int | None:
    """Return the place in ``seen.running`` of the worker that must be stopped; None: none.

    It is the newest one of those that hold much. The oldest one always goes on, so the tasks make progress.
    Where the workers hold little, others use the memory up, and stopping tasks would not help.
    """
    needed = marks(seen.memory.total_bytes)
    is_short = seen.memory.available_bytes < needed.critical and sum(seen.running) >= needed.critical
    if not is_short or len(seen.running) < 2 or seen.now < size.stopped_at + _STOP_AFTER_S:
        return None
    mean = sum(seen.running) / len(seen.running)
    return max((place for place, held in enumerate(seen.running) if place and held >= mean / 2), default=None)


def after_stop(size: PoolSize, running: int, now: float) -> PoolSize:
    """Return how many tasks may run at once, since one was stopped for the sake of the others.

    Args:
        size: as many as were allowed.
        running: tasks that still run.
        now: the time.
    """
    allowed = max(1, min(size.allowed, running))
    return size._replace(allowed=allowed, changed_at=now, stopped_at=now, waits_for_end=True)


def look_again_s(memory: Memory) -> float:
    """Return the seconds after which to look at the memory again: fewer where little is available."""
    is_far = memory.available_bytes > _WELL_ABOVE * marks(memory.total_bytes).near
    return _SELDOM_S if is_far else _OFTEN_S


def in_words(size: PoolSize, memory: Memory) -> str:
    """Return the state of the pool for people: ``3 of 8 workers run, since 1.2 of 16.0 GB are free``."""
    if size.is_limited:
        return f"{size.allowed:,} of {size.slots:,} workers run, since {_free(memory)} are free"
    return f"all {size.slots:,} workers run again, since {_free(memory)} are free"


def stopped_in_words(memory: Memory) -> str:
    """Return for people that a task was stopped."""
    return f"the newest task was stopped, and runs again later, since only {_free(memory)} were free"


def killed_in_words() -> str:
    """Return for people that the kernel has killed a worker."""
    return "the system killed a worker, whose tasks run again later, since memory had run out"


def _free(memory: Memory) -> str:
    unit, scale = ("GB", 2**30) if memory.total_bytes >= 2**30 else ("MB", 2**20)
    return f"{memory.available_bytes / scale:,.1f} of {memory.total_bytes / scale:,.1f} {unit}"
