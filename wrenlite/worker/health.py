"""Whether a worker is still fit to run tasks, or must be replaced because of what earlier tasks did to it."""

from __future__ import annotations

import builtins
import importlib.util
import os
import resource
import sys

_CHAIN = 20
"""How many exceptions of a chain of causes are looked at."""
_LEFT_SHARE = 0.25
"""A share of a limit. If earlier tasks hold more than that, they may be why a later one runs into the limit.
The cache of objects behind refs takes as much at most."""


class Health:
    """Observes the process that it is in."""

    def __init__(self, memory_limit: int | None) -> None:
        """Observe a new worker, in which no task has run.

        Args:
            memory_limit: the most bytes that it may hold; None: no limit.
        """
        self._memory_limit = memory_limit
        library = os.path.dirname(os.__file__)
        self._library = library if library in sys.path else None
        self._import = builtins.__import__
        self._held_when_new = _held_bytes() if memory_limit is not None else 0

    def is_burdened(self) -> bool:
        """Return whether what earlier tasks have left here may be why a task fails.

        Takes 10 µs with a memory limit and 1 µs without one.
        """
        if self._memory_limit is not None:
            left = _held_bytes() - self._held_when_new
            if left > _LEFT_SHARE * self._memory_limit:
                return True
        try:
            lowest_free = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            return True
        os.close(lowest_free)
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return lowest_free > _LEFT_SHARE * most

    def is_damaged(self) -> bool:
        """Return whether a task has taken away what every other task needs. Takes 0.2 µs."""
        intact = callable(builtins.open) and sys.meta_path and "os" in sys.modules
        if builtins.__import__ is not self._import:  # libraries replace it too, with one that works
            intact = intact and _can_call_import()
        return not intact or (self._library is not None and self._library not in sys.path)

    def is_worn_out(self, error: BaseException) -> bool:
        """Return whether this process should run nothing more.

        That is so where memory has run out, no file can be opened, or nothing can be imported.

        Args:
            error: the exception of the task that has just failed here.
        """
        causes = _chain(error)
        if any(isinstance(cause, MemoryError) for cause in causes):
            return True
        if not _can_open():
            return True
        return any(isinstance(cause, ImportError) for cause in causes) and not _can_import()


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception with its causes, contexts and members."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting and len(found) < _CHAIN:
        each = waiting.pop()
        found.append(each)
        members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        others = (each.__cause__, each.__context__, *members)
        waiting += [other for other in others if other is not None and other not in found]
    return found


def _can_open() -> bool:
    """Return whether a file can be opened."""
    try:
        with open(os.devnull, "rb"):
            return True
    except Exception:  # of the system, or of what a task has put in the place of open()
        return False


def _can_call_import() -> bool:
    """Return whether what stands in the place of ``__import__`` returns a module."""
    try:
        return builtins.__import__("sys") is sys
    except Exception:  # of what a task has put there
        return False


def _can_import() -> bool:
    """Return whether a module of the standard library is found that hardly any program imports."""
    try:
        return importlib.util.find_spec("antigravity") is not None
    except Exception:  # of what a task has put into sys.meta_path or sys.path_hooks
        return False


def _held_bytes() -> int:
    """Return the bytes that count towards RLIMIT_DATA; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[5]) * resource.getpagesize()
    except OSError:
        return 0
