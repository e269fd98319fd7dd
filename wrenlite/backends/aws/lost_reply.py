"""Search the store for the reply of an invocation whose connection broke.

A batch that takes long says in the store that it runs, and leaves its reply there (``reply_copy``). How long
to look follows from what was seen, by pure functions.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class ReplyTimeouts(NamedTuple):
    """How long the invoker waits for responses and for replies in the store."""

    response_margin_s: float = 30.0
    """Seconds after the function's time limit at which no response can come any more."""
    begun_s: float = 30.0
    """Seconds after sending at which the store shows that a batch runs, if it does: it says so after 10 s.
    The rest is for a slow connection, a cold start, and a function with little processor time."""
    network_s: float = 15.0
    """Seconds for which a store that cannot be read is tried, at least: right after a laptop has woken up,
    the network may still be missing."""
    first_pause_s: float = 1.0
    """The shortest pause between two looks."""
    pause_share: float = 0.1
    """A pause is this share of the time since the request was sent: no reply is found much later."""
    longest_pause_s: float = 30.0
    """The longest pause between two looks."""
    propagation_s: float = 5.0
    """Seconds for which refusals are waited out once requests were taken: changed policies, credentials and
    functions reach all of AWS's servers only after a while."""


REPLY_TIMEOUTS = ReplyTimeouts()


class Seen(enum.Enum):
    """What a look into the store has shown, where it has shown no reply."""

    NOTHING = enum.auto()
    """The batch has left nothing there, or nothing that this client may read."""
    RUNS = enum.auto()
    """The batch has begun."""
    UNKNOWN = enum.auto()
    """The store could not be read."""


def first_look_s(elapsed_s: float, persist_after_s: float, timeouts: ReplyTimeouts) -> float:
    """Return the seconds until the first look: before a batch counts as long, there is nothing to see.

    Args:
        elapsed_s: seconds since the request was sent.
        persist_after_s: seconds after which a batch leaves something in the store.
        timeouts: how long to wait.
    """
    return max(0.0, min(persist_after_s, timeouts.begun_s) - elapsed_s)


def next_look_s(
    seen: Seen, elapsed_s: float, lost_s: float, limit_s: float, timeouts: ReplyTimeouts
) -> float | None:
    """Return the seconds until the next look into the store; None: the reply will not come.

    Args:
        seen: what the last look has shown.
        elapsed_s: seconds since the request was sent.
        lost_s: seconds after which its connection broke.
        limit_s: seconds that the function may run.
        timeouts: how long to wait.
    """
    end_s = max(limit_s + timeouts.response_margin_s, lost_s + timeouts.network_s)
    left_s = (timeouts.begun_s if seen is Seen.NOTHING else end_s) - elapsed_s
    if left_s <= 0:
        return None
    pause_s = min(timeouts.longest_pause_s, timeouts.pause_share * elapsed_s)
    return min(left_s, max(timeouts.first_pause_s, pause_s))


def longest_run_s(seen: Seen, limit_s: float, timeouts: ReplyTimeouts) -> float:
    """Return how many seconds a batch may have run whose reply did not come.

    Args:
        seen: what the last look has shown.
        limit_s: seconds that the function may run.
        timeouts: how long was waited.
    """
    return min(limit_s, timeouts.begun_s) if seen is Seen.NOTHING else limit_s
