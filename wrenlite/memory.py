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
        memory = min(memory, _container_bytes("memory.max"))
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
        unused = _container_bytes("memory.max") - _container_bytes("memory.current")
        files = _field(_CONTAINER / "memory.stat", "inactive_file")  # the kernel drops these first
        available = min(available, unused + files)
    return available


def _container_bytes(name: str) -> int:
    return int((_CONTAINER / name).read_text("utf-8"))


def _field(path: Path, name: str) -> int:
    """Return a number of a file of the kernel.

    Raises:
        ValueError: the file does not have it.
    """
    found = re.search(rf"^{name}\s+(\d+)", path.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(name)
    return int(found[1])
