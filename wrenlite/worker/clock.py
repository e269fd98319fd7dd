"""A clock for the time limits of tasks."""

from __future__ import annotations

import time
from collections.abc import Callable

_LONGEST_STEP_S = 2.0
"""The most seconds that pass between two readings of the clock. Its user reads it several times a second."""


class AttentiveClock:
    """A clock that counts the seconds in which this process pays attention.

    A process that was stopped and continued, that was paused with its container, or that got no processor
    for a while, finds that time limits have passed meanwhile. That is no fault of the tasks. So of a longer
    pause between two readings only the first ``_LONGEST_STEP_S`` seconds count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock.

        Args:
            clock: seconds, which must not go backwards.
        """
        self._clock = clock
        self._read_at = clock()
        self._left_out_s = 0.0

    def __call__(self) -> float:
        """Return the time in seconds. Only differences between two readings mean something."""
        now = self._clock()
        self._left_out_s += max(0.0, now - self._read_at - _LONGEST_STEP_S)
        self._read_at = now
        return now - self._left_out_s
