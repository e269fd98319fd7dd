"""Runs the program of a start, and looks after it: its lease, its time limit, its end."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from enum import Enum

from wrenlite.durable.lease import Holder
from wrenlite.serving.program import OVER, Order
from wrenlite.worker.process import interpreter_flags, signal_name

_PROGRAM = (
    "import pickle, sys; sys.path[:], message = pickle.load(sys.stdin.buffer); "
    "from wrenlite.serving.program import main; main(message)"
)
_LOOK_S = 0.5
"""Seconds between two looks at lease and time."""
_STOP_S = 6.0
"""Seconds that a process has to end by itself."""


class End(Enum):
    """How the process of a start has ended."""

    OVER = "over"
    """The start is over, and its status says how."""
    DIED = "died"
    """The process ended before: another attempt may go on."""
    LATE = "late"
    """It was ended, since its time is up."""
    LOST = "lost"
    """It was ended, since another process runs the start."""


class StartProcess:
    """A process that runs a start."""

    def __init__(
        self, order: Order, holder: Holder, env: Mapping[str, str] | None = None, folder: str | None = None
    ) -> None:
        """Start it.

        Args:
            order: what it is to do.
            holder: holds the lease of the start.
            env: its environment variables; None: those of this process.
            folder: its working folder; None: that of this process.

        Raises:
            OSError: the operating system cannot start it.
        """
        self._holder = holder
        self._process = subprocess.Popen(
            [sys.executable, *interpreter_flags(), "-P", "-u", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            env=env,
            cwd=folder,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(pickle.dumps((sys.path, pickle.dumps(order))))
            self._process.stdin.flush()  # it stays open: the program ends when this process does

    def wait(self, until: float = float("inf")) -> End:
        """Wait for its end, and renew the lease meanwhile.

        Args:
            until: when to end it, by ``time.monotonic``.

        Raises:
            StoreError: the lease cannot be renewed.
        """
        try:
            while self._process.poll() is None:
                if time.monotonic() >= until:
                    return End.LATE
                if why := self._holder.lost_because():
                    print(why)
                    return End.LOST
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(max(0.0, min(_LOOK_S, until - time.monotonic())))
        finally:
            self.kill()
        return End.OVER if self._process.returncode == OVER else End.DIED

    def stop(self) -> None:
        """End it: it may first remove what it has in temporary folders."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        self.kill()

    def kill(self) -> None:
        """End it, and what it has started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def why_it_died(self) -> str:
        """Return how it has ended, in words."""
        code = self._process.returncode
        if code >= 0:
            return f"its process exited with code {code}; its log says more"
        memory = ", perhaps by the system because memory ran out" if code == -signal.SIGKILL else ""
        return f"its process was killed by {signal_name(-code)}{memory}"
