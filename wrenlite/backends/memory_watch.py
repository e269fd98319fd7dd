"""Watches the memory of this machine while local workers run tasks, and says how many may run at once.

The dispatcher's thread has it look: about once a second while tasks run, more often where little memory is
left, and never otherwise. The decisions are those of ``pool_size``.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from wrenlite.backends import pool_size
from wrenlite.backends.pool_size import PoolSize, Seen
from wrenlite.memory import Memory, memory_kills

_RECENT = 16
"""Requests whose memory is what the next ones may need."""
_KILLED_LATELY_S = 2.0
"""Seconds after which a worker that the kernel has killed is known to have died, at the latest."""

_log = logging.getLogger("wrenlite")


class Worker(Protocol):
    """A slot with its worker, as far as memory is concerned."""

    def held_bytes(self) -> int:
        """Return the memory that the worker holds now; 0: none, or unknown."""

    def stop(self) -> bool:
        """Stop its request, whose tasks are given back. Return whether that was possible."""


class Workers(NamedTuple):
    """All slots of a pool."""

    running: Sequence[Worker]
    """Those that run a request, in the order in which these started."""
    idle: Sequence[Worker]
    """The others. The first one gets the next request."""


class MemoryWatch:
    """Decides how many requests may run at once on the workers of one executor."""

    def __init__(
        self,
        slots: int,
        workers: Callable[[], Workers],
        read: Callable[[], Memory | None],
        kills: Callable[[], int] = memory_kills,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow all slots, until memory was looked at.

        Args:
            slots: workers of the executor.
            workers: returns them.
            read: returns how much memory there is; None: the system does not tell.
            kills: returns how many processes the kernel has killed for lack of memory.
            clock: seconds. They are only compared with each other.
        """
        self.note = ""
        """Why fewer requests may run than there are workers; empty: all may."""
        self.listeners: list[Callable[[str], None]] = []
        """What is called with each change, in words."""
        self._size = PoolSize(slots, slots)
        self._workers, self._read, self._count_kills, self._clock = workers, read, kills, clock
        self._kills: deque[int] = deque([kills()], maxlen=2)
        self._counted_at = clock()
        self._was_killed = False
        self._peaks: deque[int] = deque(maxlen=_RECENT)
        self._has_learnt = False
        self._look_at = -math.inf
        self._least = slots

    @property
    def allowed(self) -> int:
        """Requests that may run at once."""
        return self._size.allowed

    @property
    def is_limited(self) -> bool:
        """Whether these are fewer than there are workers."""
        return self._size.is_limited

    @property
    def look_again_s(self) -> float | None:
        """Seconds until memory is to be looked at again; None: the system does not tell anything."""
        return max(0.0, self._look_at - self._clock()) if self._look_at < math.inf else None

    def learn(self, peak_bytes: int) -> None:
        """Learn that a request has ended, whose tasks have held so much memory. Any thread may call this."""
        if peak_bytes:
            self._peaks.append(peak_bytes)
        self._has_learnt = True

    def has_lost(self) -> bool:
        """Return whether the kernel has killed a process lately, because memory had run out.

        The worker of a request has died, and its slot asks, in any thread. Fewer requests run from now on.
        """
        if self._count_kills() <= self._kills[0]:
            return False
        self._was_killed, self._look_at = True, -math.inf
        return True

    def runs_others(self, worker: Worker) -> bool:
        """Return whether other workers run requests now. Any thread may call this."""
        return any(each is not worker for each in self._workers().running)

    def look(self) -> None:
        """Look how much memory there is, if it is time, and stop a request where there is too little."""
        now = self._clock()
        if now < self._look_at:
            return
        memory = self._read()
        if memory is None:
            self._look_at = math.inf
            return
        self._look_at = now + pool_size.look_again_s(memory)
        if now >= self._counted_at + _KILLED_LATELY_S:
            self._counted_at = now
            self._kills.append(self._count_kills())
        size, seen = self._size, Seen(now, memory, task_bytes=pool_size.likely_bytes([*self._peaks]))
        workers, was_killed = Workers((), ()), self._was_killed
        if was_killed or size.is_limited or not pool_size.has_room_for_all(size.slots, seen):
            workers = self._workers()
            running, idle = ([each.held_bytes() for each in group] for group in workers)
            seen = seen._replace(running=running, idle=idle)
        if self._has_learnt:
            self._has_learnt, size = False, size._replace(waits_for_end=False)
        if was_killed:
            self._was_killed, size = False, pool_size.after_stop(size, len(workers.running), now)
            self._tell(pool_size.killed_in_words())
        size = pool_size.next_size(size, seen)
        place = pool_size.whom_to_stop(size, seen)
        if place is not None and workers.running[place].stop():
            size = pool_size.after_stop(size, len(workers.running) - 1, now)
            self._tell(pool_size.stopped_in_words(memory))
        self._change(size, memory)

    def _change(self, size: PoolSize, memory: Memory) -> None:
        was_limited, self._size = self._size.is_limited, size
        words = pool_size.in_words(size, memory)
        self.note = words if size.is_limited else ""
        if size.allowed < self._least or (was_limited and not size.is_limited):
            self._tell(words)
            self._least = size.allowed

    def _tell(self, words: str) -> None:
        _log.info(words)
        for listener in self.listeners:
            listener(words)
