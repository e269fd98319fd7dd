"""The output of tasks: what they write to stdout and stderr, from Python and C, limited in length."""

from __future__ import annotations

import os
import sys
from typing import Any

from wrenlite.texts import counted

OUTPUT_BYTES = 64 * 1024
"""How much of a task's output is kept: the first quarter and the last three quarters of this."""


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
