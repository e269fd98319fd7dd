"""How much memory a process has held at most: in its life, while it ran a batch, while it ran one task.

The kernel keeps the maximum since the start of a program (VmHWM, man 5 proc_pid_status). Linux lets a process
set its own back to what it holds now (man 5 proc_pid_clear_refs). So a worker does that before each batch,
and in a batch of several tasks after each one that takes long. It takes 3 µs, and reading the maximum 25 µs.

Where a process cannot do that, as on macOS, the figure of a batch is known if it has raised the maximum.
"""

from __future__ import annotations

import contextlib
import io
import sys

from wrenlite.protocol import Outcome

try:
    import resource
except ImportError:  # on Windows
    _HAS_USAGE = False
else:
    _HAS_USAGE = True

LONG_S = 0.01
"""Seconds from which a task is measured by itself. That takes 0.3 % of them at most."""


def peak_bytes(usage: resource.struct_rusage, inherited_bytes: int) -> int:
    """Return the most memory that a process has held; 0 where that cannot be determined.

    Args:
        usage: the resource usage of the process.
        inherited_bytes: what the usage reported when the process was new. On Linux the maximum of a new
            process starts with the memory of its parent at that time.
    """
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak if peak > inherited_bytes else 0


def own_peak_bytes(inherited_bytes: int = 0) -> int:
    """Return the most memory that this process has held; 0 where that cannot be determined.

    On Linux, the kernel's VmHWM is that of this program alone.

    Args:
        inherited_bytes: see ``peak_bytes``.
    """
    with contextlib.suppress(OSError, ValueError), io.FileIO("/proc/self/status") as status:
        begin = (fields := status.read()).index(b"VmHWM:") + len(b"VmHWM:")
        return int(fields[begin : fields.index(b"kB", begin)]) * 1024
    return _maximum("RUSAGE_SELF", inherited_bytes)


class PeakMemory:
    """Measures the memory of this process and, where they are larger, of processes that tasks wait for."""

    def __init__(self, inherited_bytes: int = 0) -> None:
        """Measure nothing yet.

        Args:
            inherited_bytes: see ``peak_bytes``.
        """
        self._inherited_bytes = inherited_bytes
        self._largest = self._before = self._children_before = self._measured = 0

    def begin(self) -> None:
        """Begin with a batch."""
        self._largest = self._measured = 0
        self._children_before = _children_bytes()
        self._before = 0 if _reset() else own_peak_bytes(self._inherited_bytes)

    def of_task(self, outcome: Outcome, number: int) -> Outcome:
        """Return the outcome of a long task, with its memory if that was measured for this task alone.

        That is so if the maximum was set back after the task before it, or it is the first one.

        Args:
            outcome: the outcome.
            number: how many tasks of the batch have run, with this one.
        """
        was_alone, self._measured = self._measured == number - 1, number
        peak = self._take()
        return outcome._replace(peak_bytes=peak) if was_alone and peak else outcome

    def of_batch(self) -> int:
        """Return the most memory that was held since the batch began, in bytes; 0: unknown."""
        self._take()
        return self._largest

    def _take(self) -> int:
        """Return the most memory that was held since the last call, and set the maximum back."""
        own, children = own_peak_bytes(self._inherited_bytes), _children_bytes()
        if own <= self._before:  # it cannot be set back, and is of something earlier
            own = 0
        elif not _reset():
            self._before = own
        raised = children if children > self._children_before else 0
        self._children_before = max(children, self._children_before)
        peak = max(own, raised)
        self._largest = max(self._largest, peak)
        return peak


def _children_bytes() -> int:
    """Return the most memory that one of the processes has held which have ended and were waited for."""
    return _maximum("RUSAGE_CHILDREN", 0)


def _maximum(whose: str, inherited_bytes: int) -> int:
    """Return ``peak_bytes`` of the usage of this process, or of its children."""
    return peak_bytes(resource.getrusage(getattr(resource, whose)), inherited_bytes) if _HAS_USAGE else 0


def _reset() -> bool:
    """Set the maximum of this process back to what it holds now. Return whether that is possible here."""
    with contextlib.suppress(OSError), io.FileIO("/proc/self/clear_refs", "w") as refs:
        refs.write(b"5")
        return True
    return False
