"""What a worker died of, from what is left of it."""

from __future__ import annotations

import signal

from wrenlite.errors import OutOfMemory, TaskError, WorkerDied

_SUPERVISOR_BYTES = 64 * 2**20
"""What else lives within the same limit: inside Lambda, the handler."""


def obituary(code: int | None, peak_bytes: int, memory_limit: int | None) -> TaskError:
    """The error for the task that was running.

    Args:
        code: exit code of the worker, negative for a signal; None where it is lost.
        peak_bytes: the most memory that it held; 0 where that is not known.
        memory_limit: bytes that it might hold.
    """
    if code is None:
        return WorkerDied("its worker ended, and something in this process took its exit code away")
    if code >= 0:
        return WorkerDied(f"its worker exited with code {code}")
    name, peak = signal_name(-code), f"{peak_bytes / 2**20:,.0f} MB"
    if memory_limit and peak_bytes >= min(0.9 * memory_limit, memory_limit - _SUPERVISOR_BYTES):
        limit = f"{memory_limit / 2**20:,.0f} MB"
        return OutOfMemory(f"its worker was killed by {name} holding {peak} of the {limit} it may")
    doubt = ""
    if code == -signal.SIGKILL:
        doubt = ", perhaps by the system for want of memory"
        doubt += f" (it had held up to {peak})" if peak_bytes else ""
    return WorkerDied(f"its worker was killed by {name}{doubt}")


def signal_name(number: int) -> str:
    """Such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
