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
import weakref

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
        # The stack of a thread that has ended may stay until the thread is joined or forgotten.
        self._started: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        start = threading.Thread.start

        @functools.wraps(start)
        def start_with_room(thread: threading.Thread) -> None:
            self._has_room = True
            self._started.add(thread)
            self._set(_KEPT_STACKS_BYTES)
            start(thread)

        threading.Thread.start = start_with_room  # type: ignore[assignment, method-assign]
        self._set(0)

    def restore(self) -> None:
        """Take back the room for stacks of threads that have ended. Takes 30 ns where none was started."""
        if self._has_room:
            self._has_room = len(self._started) > 0
            self._set(_KEPT_STACKS_BYTES)

    def _set(self, kept: int) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = self._limit + (len(self._started) + _other_threads()) * _stack_bytes() + kept
        resource.setrlimit(
            resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
        )


def _stack_bytes() -> int:
    """Return the bytes that a thread reserves for its stack."""
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return threading.stack_size() or (_USUAL_STACK_BYTES if soft == resource.RLIM_INFINITY else soft)


def _other_threads() -> int:
    """Return the threads that Python has not started, and those that a library may start. Takes 20 µs."""
    blas = os.cpu_count() or 1  # a library such as BLAS starts one per processor by itself
    try:
        return blas + max(1, len(os.listdir("/proc/self/task")) - threading.active_count() + 1)
    except OSError:  # not Linux
        return blas + 1
