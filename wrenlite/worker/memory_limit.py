"""The limit on the memory of a worker.

The kernel limits the memory that a process has reserved for data (RLIMIT_DATA), whether it has written to it
or not. Nearly all that a program reserves it soon holds, so a task that needs too much fails at the line that
asks for it. Stacks of threads are the exception: each reserves 8 MB and holds a few KB. So the limit of the
kernel has room for them. See docs/decisions/0021-room-for-stacks.md.
"""

from __future__ import annotations

import functools
import os
import resource
import threading

_USUAL_STACK_BYTES = 2 << 20
"""The stack of a thread where the system does not limit stacks: what glibc takes on most processors."""
_KEPT_STACKS_BYTES = 40 << 20
"""The stacks of ended threads that glibc keeps for the next ones."""


class MemoryLimit:
    """Limits the memory that this process may hold, its stacks apart."""

    def __init__(self, limit: int) -> None:
        """Set the limit, and let every start of a thread make room for a stack.

        Args:
            limit: bytes.
        """
        self._limit = limit
        self._has_room = False
        start = threading.Thread.start

        @functools.wraps(start)
        def start_with_room(thread: threading.Thread) -> None:
            self._has_room = True
            self._set(_stacks_bytes(1) + _KEPT_STACKS_BYTES)
            start(thread)

        threading.Thread.start = start_with_room  # type: ignore[assignment, method-assign]
        self._set(_stacks_bytes())

    def restore(self) -> None:
        """Take back the room for stacks of threads that have ended. Takes 30 ns where none was started."""
        if self._has_room:
            self._has_room = False
            self._set(_stacks_bytes() + _KEPT_STACKS_BYTES)

    def _set(self, room: int) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = self._limit + room
        resource.setrlimit(
            resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
        )


def _stacks_bytes(more: int = 0) -> int:
    """Return the bytes that stacks reserve: of the threads of this process, and of those of libraries.

    Args:
        more: threads that start now.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    usual = _USUAL_STACK_BYTES if soft == resource.RLIM_INFINITY else soft
    blas = os.cpu_count() or 1  # a library such as BLAS starts one thread per processor by itself
    return (_count_threads() + blas + more) * (threading.stack_size() or usual)


def _count_threads() -> int:
    """Return the threads of this process, those of libraries too. Takes 20 µs."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # not Linux
        return threading.active_count()
