"""How long this process has computed so far, and how often and how long it has not."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from functools import cache
from typing import NamedTuple

_THREAD = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)


class ProcessorTime(NamedTuple):
    """Figures of a process, from its start or between two moments."""

    cpu_s: float
    """Processor time of all its threads, and of the children that it has waited for."""
    ready_s: float
    """Seconds in which its main thread was ready to compute while others had the processors; 0: unknown."""
    turns: int
    """How often its main thread began to wait: it computes in so many turns."""

    def since(self, before: ProcessorTime) -> ProcessorTime:
        """Return the figures between two moments."""
        return ProcessorTime(
            self.cpu_s - before.cpu_s, self.ready_s - before.ready_s, self.turns - before.turns
        )


def processor_time() -> ProcessorTime:
    """Return the figures of this process, in the main thread."""
    children, own = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(_THREAD)
    cpu_s = time.process_time() + children.ru_utime + children.ru_stime
    return ProcessorTime(cpu_s, _ready_s(), own.ru_nvcsw)


def _ready_s() -> float:
    file = _scheduling()
    if file is not None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(os.pread(file, 64, 0).split()[1]) / 1e9
    return 0.0


@cache
def _scheduling() -> int | None:
    """Return the file descriptor of the kernel's figures of this thread: opening it takes 17 µs."""
    with contextlib.suppress(OSError):
        return os.open("/proc/self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    return None
