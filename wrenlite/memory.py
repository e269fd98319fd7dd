"""How much memory this machine has, or the container that this process runs in (cgroup v2)."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path

_CONTAINER = Path("/sys/fs/cgroup")


def memory_bytes() -> int:
    """Return the memory that this process may use: the machine's, or its container's share.

    Returns:
        Bytes; the largest number where the system does not tell.
    """
    if not hasattr(os, "sysconf"):  # Windows
        return sys.maxsize
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # no container; "max" where it has no limit
        memory = min(memory, int((_CONTAINER / "memory.max").read_text("utf-8")))
    return memory


def available_bytes() -> int:
    """Return the memory that can still be used without swapping, in bytes.

    Returns:
        Bytes; the largest number where the system does not tell.
    """
    available = sys.maxsize
    with contextlib.suppress(OSError, ValueError):  # not Linux
        available = _field(Path("/proc/meminfo"), "MemAvailable:") * 1024
    with contextlib.suppress(OSError, ValueError):
        most = int((_CONTAINER / "memory.max").read_text("utf-8"))
        used = int((_CONTAINER / "memory.current").read_text("utf-8"))
        files = _field(_CONTAINER / "memory.stat", "inactive_file")  # the kernel drops these first
        available = min(available, most - used + files)
    return available


def _field(path: Path, name: str) -> int:
    """Return a number of a file of the kernel.

    Raises:
        ValueError: the file does not have it.
    """
    found = re.search(rf"^{name}\s+(\d+)", path.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(name)
    return int(found[1])
