"""The executor that a program uses where it names none: libraries ask for one again and again."""

from __future__ import annotations

import os

from wrenlite.backends.local import in_inline_task
from wrenlite.executor import Executor

_executors: dict[int, Executor] = {}
"""By process id: a process that was forked makes one of its own."""


def kept_executor() -> Executor:
    """Return the one ``Executor()`` of this process; in a task that runs in this thread, that of the task."""
    if in_inline_task():
        return Executor()
    kept = _executors.get(os.getpid())
    if kept is None or kept._submission.is_shut_down:
        kept = _executors[os.getpid()] = Executor()
    return kept
