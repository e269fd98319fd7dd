"""Starting threads and waiting, so that a signal handler may interrupt either at any moment and do anything.

A handler runs in the main thread, between two instructions of what it interrupts. If that holds a lock, then
the handler waits for ever where it needs the lock itself, or waits for a thread that needs it. So nothing
here holds one.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from numbers import Real
from typing import TypeGuard

from wrenlite.errors import ConfigError

HEARTBEAT_S = 0.5
"""Seconds that a thread waits at most before it looks again: Python may miss a signal that comes right before
it blocks."""


def is_seconds(value: object) -> TypeGuard[float]:
    """Return whether a value is a number of seconds, infinitely many among them."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return not math.isnan(float(value))
    except OverflowError:  # 10**400, for example
        return False


def check_timeout(timeout: object) -> None:
    """Check for how long somebody wants to wait. As everywhere in Python, 0 or less only looks.

    Raises:
        ConfigError: it is no number of seconds.
    """
    if timeout is not None and not is_seconds(timeout):
        raise ConfigError(f"timeout={timeout!r:.80}: must be a number of seconds, or None for no limit")


@contextlib.contextmanager
def no_interrupts() -> Iterator[None]:
    """Let Ctrl-C have no effect in the ``with`` block: an interrupt has come, and is being dealt with."""
    before = signal.getsignal(signal.SIGINT)
    here = threading.current_thread() is threading.main_thread()
    if not here or before is None:  # only the main thread is interrupted; None: no handler of Python's
        yield
        return
    signal.signal(signal.SIGINT, _do_nothing)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _do_nothing(*_: object) -> None:
    pass


class Changes:
    """Wakes threads that wait until something is true."""

    def __init__(self) -> None:
        """Create changes for which nobody waits."""
        self._bells: list[threading.Lock] = []  # each is held until it rings

    def notify(self) -> None:
        """Let those who wait look again. Any thread may call this, after it has changed something."""
        for bell in tuple(self._bells):
            with contextlib.suppress(RuntimeError):  # it rings already
                bell.release()

    def wait_for(self, is_reached: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until something is true.

        Args:
            is_reached: what is waited for. It is asked again after each ``notify``.
            timeout: seconds to wait at most; None: without limit.

        Returns:
            Whether it became true in time.
        """
        if is_reached():
            return True
        end = None if timeout is None else time.monotonic() + timeout
        bell = threading.Lock()
        bell.acquire()
        self._bells.append(bell)
        try:
            while not is_reached():
                left = HEARTBEAT_S if end is None else min(HEARTBEAT_S, end - time.monotonic())
                if left <= 0:
                    return False
                # A queue would raise at the timeout, and an interrupt at that moment would show its error.
                bell.acquire(timeout=left)
            return True
        finally:
            self._bells.remove(bell)


class OneThread:
    """A thread that starts when it is first needed.

    Whoever needs it first starts it, even a signal handler that interrupts the start: of several threads that
    were started all but the first end at once.
    """

    def __init__(self, name: str) -> None:
        """Create the record of a thread that has not started.

        Args:
            name: the name of the thread.
        """
        self.started = False
        """Whether a thread was started."""
        self.thread: threading.Thread | None = None
        """The thread, once it runs."""
        self._name = name
        self._token = threading.Lock()  # taken by the first thread, and never given back

    def start(self, target: Callable[[], object]) -> None:
        """Start the thread, unless that was done before.

        Args:
            target: what the thread calls.

        Raises:
            RuntimeError: there are too many threads, or the interpreter is ending.
        """
        if not self.started:
            threading.Thread(target=self._run, args=(target,), name=self._name, daemon=True).start()
            self.started = True

    def _run(self, target: Callable[[], object]) -> None:
        if self._token.acquire(blocking=False):
            self.thread = threading.current_thread()
            target()
