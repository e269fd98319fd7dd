"""The output of tasks: what they write to stdout and stderr, from Python and C, limited in length.

It goes to a file that both sides have open. The worker reads it after each task, and empties it. The parent
process (``OutputFile``) reads what a task has written so far: while it runs, and when its worker is dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from typing import Any

from wrenlite.texts import counted

OUTPUT_BYTES = 64 * 1024
"""How much of a task's output is kept: the first quarter and the last three quarters of this."""

_DISK_BYTES = 16 << 20
"""How much of the disk the file may take before its middle is freed."""
_KEPT_BYTES = 1 << 20
"""How much is not freed at the beginning and at the end of the file, at least."""
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
"""Modes of Linux's fallocate()."""


class OutputFile:
    """The parent's side of the file: the worker inherits its descriptor as stderr."""

    def __init__(self) -> None:
        """Make the file. It has no name, so nothing is left of it in the end.

        Raises:
            OSError: it cannot be made.
        """
        import tempfile

        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # stays open as long as the worker lives
        # Each write goes to the end of the file, also after the worker has emptied it.
        fcntl.fcntl(self._file, fcntl.F_SETFL, os.O_APPEND)

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._file.fileno()

    def read(self) -> str:
        """Return what has been written since the file was emptied, shortened to ``OUTPUT_BYTES``."""
        return read_shortened(self.fileno(), os.fstat(self.fileno()).st_size)

    def free_disk(self) -> bool:
        """Free the disk below the middle of the file where it is large.

        Its size stays as it is. Where a file cannot have holes, all but its beginning is dropped.

        Returns:
            Whether it was large.
        """
        state = os.fstat(self.fileno())
        if state.st_blocks * 512 <= _DISK_BYTES:
            return False
        if not _punch_hole(self.fileno(), _KEPT_BYTES, state.st_size - 2 * _KEPT_BYTES):
            os.ftruncate(self.fileno(), _KEPT_BYTES)
        return True

    def empty(self) -> int:
        """Empty the file, and return how many bytes it had. Only while no task runs."""
        size = os.fstat(self.fileno()).st_size
        if size:
            os.ftruncate(self.fileno(), 0)
        return size

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class RecordsFile(OutputFile):
    """The parent's side of the file of what the running task has logged: a line for each record.

    The worker empties it after each task.
    """

    def records(self) -> bytes:
        """Return the records, as in an outcome; empty where there are none."""
        *lines, _ = os.pread(self.fileno(), os.fstat(self.fileno()).st_size, 0).split(b"\n")
        return b"[" + b",".join(lines) + b"]" if lines else b""


def _punch_hole(fd: int, start: int, length: int) -> bool:
    """Free the disk below a part of a file, which then reads as zeros. Return whether it is free."""
    import ctypes

    fallocate = getattr(ctypes.CDLL(None), "fallocate", None)
    if fallocate is None:  # not Linux
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, start, length) == 0)


class OutputCapture:
    """The file for what tasks write to stdout and stderr, from Python and from C.

    The parent process opened the file and can still read the last output when the worker is dead.
    """

    def __init__(self) -> None:
        """Redirect stdout and stderr of this process to the file, which is file descriptor 2."""
        self._file = os.dup(2)
        self._stream: Any = None
        self._redirect()

    def read_new(self) -> str:
        """Return what was written since the last call, shortened to ``OUTPUT_BYTES``."""
        try:
            self._stream.flush()
            size = os.lseek(1, 0, os.SEEK_END)
            intact = sys.stdout is self._stream and sys.stderr is self._stream
        except (OSError, ValueError):  # a task closed or replaced one of them
            size, intact = os.lseek(self._file, 0, os.SEEK_END), False
        if not intact:
            self._redirect()
            size = os.lseek(self._file, 0, os.SEEK_END)
        if not size:
            return ""
        text = read_shortened(self._file, size)
        os.ftruncate(self._file, 0)
        return text

    def move_to(self, path: str) -> None:
        """Let further output go to another file. Processes that tasks have left behind keep the old one."""
        with contextlib.suppress(OSError, ValueError):  # no descriptor is free: then output is mixed
            self._stream.flush()
            other = os.open(path, os.O_RDWR | os.O_APPEND)
            os.dup2(other, self._file, inheritable=False)
            os.close(other)
            self._redirect()

    def _redirect(self) -> None:
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)
        self._stream = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.stdout = sys.stderr = self._stream


def read_shortened(fd: int, size: int) -> str:
    """Return the content of a file; of a long one only the beginning and the end.

    Args:
        fd: the file descriptor.
        size: the size of the file in bytes.
    """
    if size <= OUTPUT_BYTES:
        data = os.pread(fd, size, 0)
    else:
        head, tail = OUTPUT_BYTES // 4, OUTPUT_BYTES * 3 // 4
        gap = f"\n[… {counted(size - OUTPUT_BYTES, 'byte')} left out …]\n".encode()
        data = os.pread(fd, head, 0) + gap + os.pread(fd, tail, size - tail)
    return data.decode("utf-8", "replace")
