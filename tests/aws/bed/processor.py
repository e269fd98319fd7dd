"""A sandbox's share of the processors, as its memory gives it on Lambda: by a control group of the kernel.

One processor for 1,769 MB, in proportion, and no more than six. While a sandbox starts, it is not limited, as
on Lambda. Its weight is large, so that what else runs on this machine takes little of the share.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

from wrenlite.cost import processors

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 20_000


class AllProcessors:
    """No limit."""

    def __init__(self, pid: int, memory_mb: int) -> None:
        """Do nothing, with the arguments of ``ProcessorShare``."""

    def limit(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class ProcessorShare(AllProcessors):
    """A control group of the processes of one sandbox."""

    def __init__(self, pid: int, memory_mb: int) -> None:
        """Take a process, and all that it will start, into a new group.

        Args:
            pid: the process.
            memory_mb: memory of the function.

        Raises:
            OSError: this machine has no such groups, or this is not root.
        """
        self._quota_us = int(processors(memory_mb) * _PERIOD_US)
        self._is_old = (_ROOT / "cpu").is_dir()  # version 1 of the kernel's interface
        self._folder = (_ROOT / "cpu" if self._is_old else _ROOT) / f"wrenlite-bed-{pid}"
        self._folder.mkdir()
        try:
            self._write("cpu.shares" if self._is_old else "cpu.weight", 100_000 if self._is_old else 10_000)
            self._write("cgroup.procs", pid)
        except OSError:
            self._folder.rmdir()
            raise

    def limit(self) -> None:
        """Give the processes their share from now on."""
        if self._is_old:
            self._write("cpu.cfs_period_us", _PERIOD_US)
            self._write("cpu.cfs_quota_us", self._quota_us)
        else:
            self._write("cpu.max", f"{self._quota_us} {_PERIOD_US}")

    def close(self) -> None:
        """End what is left of its processes, and remove the group."""
        deadline = time.monotonic() + 5.0
        while self._folder.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                for pid in map(int, (self._folder / "cgroup.procs").read_text().split()):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):  # one of them is not quite gone
                self._folder.rmdir()
                return
            time.sleep(0.01)

    def _write(self, name: str, value: object) -> None:
        (self._folder / name).write_text(str(value))


def is_available() -> bool:
    """Return whether this process may make such groups here."""
    if (_ROOT / "cpu").is_dir():
        return os.access(_ROOT / "cpu", os.W_OK)
    with contextlib.suppress(OSError):
        controllers = (_ROOT / "cgroup.subtree_control").read_text().split()
        return "cpu" in controllers and os.access(_ROOT, os.W_OK)
    return False
