"""Waiting before another attempt: pauses that double, are random, and end at a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

_T = TypeVar("_T")

_LONGEST_ATTEMPT_S = 20.0
"""The most seconds of one attempt that count: in a longer one this machine may have slept."""
_LONGEST_PAUSE = 100.0
"""The longest pause, as a multiple of the first one."""


class Patience(NamedTuple):
    """Patience says how long something that fails is tried again."""

    total_s: float
    """Seconds after which no further attempt begins."""
    first_pause_s: float = 0.05
    """The longest first pause, in seconds."""
    least_attempts: int = 3
    """The attempts that are made however long they take: one that hangs takes longer than all pauses."""


def pause_s(failures: int, first_pause_s: float, jitter: float) -> float:
    """Return how long to wait after a failure.

    Args:
        failures: the failures in a row before this one.
        first_pause_s: the longest pause after the first failure, in seconds. It doubles with each failure.
        jitter: a random number from 0 to 1 that the pause is multiplied with ("full jitter"), so that many
            clients do not return together.
    """
    return first_pause_s * min(_LONGEST_PAUSE, 2.0 ** min(failures, 20)) * jitter


def _random() -> float:
    import random  # not before: workers start without it

    return random.random()


def retry(
    call: Callable[[], _T],
    is_transient: Callable[[Exception], bool],
    patience: Patience,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = _random,
) -> _T:
    """Call a function, and call it again as long as it fails for a reason that may pass.

    Args:
        call: the function.
        is_transient: returns whether an error may pass by itself.
        patience: how long to try.
        clock: seconds. They are only compared with each other.
        sleep: waits for a number of seconds.
        jitter: gives a random number from 0 to 1.

    Raises:
        Exception: what the last call raised.
    """
    spent_s, failures = 0.0, 0
    while True:
        began = clock()
        try:
            return call()
        except Exception as error:
            spent_s += min(clock() - began, _LONGEST_ATTEMPT_S)
            left_s = patience.total_s - spent_s
            if not is_transient(error) or (left_s <= 0 and failures + 1 >= patience.least_attempts):
                raise
            import logging  # not before: workers start without it

            logging.getLogger("wrenlite").info("attempt %d failed and is made again: %s", failures + 1, error)
        pause = min(pause_s(failures, patience.first_pause_s, jitter()), max(0.0, left_s))
        sleep(pause)
        spent_s += pause
        failures += 1
