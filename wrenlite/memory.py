"""How much memory this machine has, and how much of it is free, or of the container that this process is in.

The limits of containers and of services are those of control groups, version 2 or 1: of the group of this
process, and of each group around it.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_MEMINFO = "proc/meminfo"
_GROUPS = "sys/fs/cgroup"


class Memory(NamedTuple):
    """The memory that this process can use, together with others."""

    total_bytes: int
    """Of the machine, or of the container if that may use less."""
    available_bytes: int
    """What can still be used without swapping: what is free, and files that the kernel can drop."""


class _Group(NamedTuple):
    """The files of a control group, and the name of the bytes of files that the kernel drops first."""

    limit: Path
    used: Path
    stat: Path
    droppable: str


class MemoryReader:
    """Reads how much memory there is now. That takes 0.1 ms, and more in a control group with a limit."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Find the control groups of this process.

        Args:
            environ: the environment variables. ``WRENLITE_SYSTEM_ROOT`` is the folder that has ``proc`` and
                ``sys`` of the system whose memory counts; default: ``/``.
        """
        root = Path(environ.get("WRENLITE_SYSTEM_ROOT") or "/")
        self._meminfo = root / _MEMINFO
        self._groups = list(_control_groups(root))

    def read(self) -> Memory | None:
        """Return how much memory there is; None where the system does not tell, as on macOS."""
        try:
            fields = self._meminfo.read_text("utf-8")
            total, available = (_field(fields, name) * 1024 for name in ("MemTotal:", "MemAvailable:"))
        except (OSError, ValueError):
            return None
        for group in self._groups:
            with contextlib.suppress(OSError, ValueError):  # "max": without a limit
                limit = int(group.limit.read_text("utf-8"))
                if limit >= total:  # none of its own; the next files take longer to read
                    continue
                unused = limit - int(group.used.read_text("utf-8"))
                unused += _field(group.stat.read_text("utf-8"), group.droppable)
                total, available = limit, min(available, unused)
        return Memory(total, max(0, available))


def memory_bytes() -> int:
    """Return the memory that this process may use: the machine's, or its container's share.

    Returns:
        Bytes; the largest number where the system does not tell.
    """
    if (memory := MemoryReader().read()) is not None:
        return memory.total_bytes
    if not hasattr(os, "sysconf"):  # Windows
        return sys.maxsize
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_bytes() -> int:
    """Return the memory that can still be used without swapping, in bytes.

    Returns:
        Bytes; the largest number where the system does not tell.
    """
    memory = MemoryReader().read()
    return sys.maxsize if memory is None else memory.available_bytes


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds now, without files that it shares; 0 where that is unknown."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, shared, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def memory_kills() -> int:
    """Return how many processes the kernel has killed so far because memory had run out; 0: unknown.

    Takes 50 µs.
    """
    try:
        return _field(Path("/proc/vmstat").read_text("utf-8"), "oom_kill")
    except (OSError, ValueError):
        return 0


def _control_groups(root: Path) -> Iterator[_Group]:
    """Yield the control groups of this process that count memory: its own, and those around it."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            mount, names = root / _GROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            mount = root / _GROUPS / "memory"
        else:
            continue
        limit, used, droppable = names
        own = mount / path.strip("/")
        # A container may see only its own group, at the place of the outermost one.
        inside = own if own.is_dir() else mount
        for folder in (inside, *inside.parents):
            if (folder / limit).exists():
                yield _Group(folder / limit, folder / used, folder / "memory.stat", droppable)
            if folder == mount:
                break


def _field(text: str, name: str) -> int:
    """Return a number of a file of the kernel.

    Raises:
        ValueError: the file does not have it.
    """
    found = re.search(rf"^{name}\s+(\d+)", text, re.MULTILINE)
    if found is None:
        raise ValueError(name)
    return int(found[1])
