"""Decide whether another request may be sent now, from slots, throttles, bytes in flight and dollars.

``ConcurrencyLimit`` and its functions are pure. They learn how many requests a backend takes at once from its
throttles: answers that a request was not taken now, and may be sent again later. ``Admission`` keeps that
limit for one executor, with what is in flight and what was spent.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from wrenlite.backends.base import Backend
from wrenlite.backoff import pause_s
from wrenlite.cost import FREE
from wrenlite.errors import BudgetExceeded
from wrenlite.protocol import Ended, Lost, Missing, Refused, Throttled, Usage
from wrenlite.scheduler.in_flight import InFlight

_RAMP = 100.0
"""Requests per second by which the limit grows after the first throttle. AWS lets a function have 1,000 more
sandboxes every 10 s (Lambda's documentation, "scaling behavior")."""
_SHARE_OF_RAMP = 0.95
"""The growth after a further throttle, as a share of the requests per second that were taken before it."""
_SLOWEST_RAMP = 1.0
"""The least growth, in requests per second."""
_SLOW_RAMP, _FASTER_IF_SLOW, _FASTER = 10.0, 4.0, 1.15
"""The growth gets faster by a factor every second: by a large one where it began slowly, since nothing is
known then, and otherwise by a small one, so that few requests are refused."""
_LONGEST_GROWTH_S = 100.0
"""Seconds after which the growth does not get faster any more: the limit is out of sight then."""

_LONGEST_GAP_S = 60.0
"""The most seconds between two errors of an outage: pauses and the limits of connecting are shorter. In a
longer gap the process was stopped, or this machine slept, and that is no outage."""


class ConcurrencyLimit(NamedTuple):
    """The limit is how many requests a backend takes at once, learned from its answers.

    After a throttle it grows with time, so long as no request is throttled again, and not with successes:
    requests may run for minutes before one of them succeeds.
    """

    limit: float
    """Largest number of requests in flight, without what it has grown by since the last throttle."""
    ramp: float = _RAMP
    """Requests per second by which it grows since the last throttle, at first."""
    taken: float = 0.0
    """Requests that were in flight after the last throttle: so many were taken."""
    was_too_many: bool = False
    """Whether the last throttle was for too many requests at once."""
    resumes_at: float = -math.inf
    """When requests may be sent again."""
    last_throttle_at: float = -math.inf
    """When a throttle last counted. Throttles of requests that were sent before that tell nothing new."""
    throttles_in_a_row: int = 0
    """Round trips that brought throttles since the last success."""
    down_since: float = math.inf
    """Since when the service has answered nothing but errors, or not at all."""

    @property
    def grows_since(self) -> float:
        """When the limit began to grow with time; infinity: it does not."""
        if self.last_throttle_at == -math.inf:
            return math.inf
        return max(self.last_throttle_at, self.resumes_at)

    def at(self, now: float) -> float:
        """Return the largest number of requests in flight at a time."""
        return self.limit + grown(self.ramp, max(0.0, now - self.grows_since))


def grown(ramp: float, seconds: float) -> float:
    """Return by how many requests a limit has grown.

    Args:
        ramp: requests per second at first.
        seconds: since the growth began.
    """
    faster = _FASTER_IF_SLOW if ramp < _SLOW_RAMP else _FASTER
    grown_by: float = ramp * (faster ** min(seconds, _LONGEST_GROWTH_S) - 1) / math.log(faster)
    return grown_by


def seconds_to_grow(ramp: float, requests: float) -> float:
    """Return the seconds in which a limit grows by a number of requests: the inverse of ``grown``."""
    faster = _FASTER_IF_SLOW if ramp < _SLOW_RAMP else _FASTER
    return math.log(1 + requests * math.log(faster) / ramp, faster)


def after_success(state: ConcurrencyLimit, slots: int) -> ConcurrencyLimit:
    """Update the limit when a request was answered: the service works, and may be sent more.

    Args:
        state: what was known.
        slots: requests that the backend takes at most.
    """
    if state.limit >= slots and not state.throttles_in_a_row and state.down_since == math.inf:
        return state
    # Where too many requests ran at once, only time adds to the limit: successes say nothing of it.
    return state._replace(
        limit=state.limit if state.was_too_many else min(float(slots), state.limit + 1.0),
        resumes_at=-math.inf,
        throttles_in_a_row=0,
        down_since=math.inf,
    )


def after_throttle(
    state: ConcurrencyLimit,
    *,
    concurrency: bool,
    waits_without_limit: bool,
    sent: float,
    now: float,
    in_flight: int,
    backoff_s: float,
    jitter: float,
) -> ConcurrencyLimit:
    """Update the limit when a request was throttled.

    Args:
        state: what was known.
        concurrency: it was throttled because too many requests ran at once. The backend takes as many as are
            still in flight after the last of these throttles, so that is the new limit. Half of the old limit
            could leave existing slots idle.
        waits_without_limit: the cause may last long, and jobs wait for its end without limit.
        sent: when the request was sent.
        now: when the throttle came.
        in_flight: requests that are still in flight.
        backoff_s: the longest pause after a first throttle.
        jitter: a random number from 0 to 1, for the pause.
    """
    # Once all requests in flight have ended, one is sent to see whether requests are taken again.
    in_flight = max(1, in_flight)
    asleep_s = max(0.0, now - state.last_throttle_at - _LONGEST_GAP_S)
    down_since = min(state.down_since + asleep_s, now) if state.down_since < math.inf else math.inf
    state = state._replace(was_too_many=concurrency, down_since=down_since)
    if sent <= state.last_throttle_at:
        least = min(state.limit, float(in_flight))
        return state._replace(limit=least, taken=least)
    limit = min(state.at(now), float(in_flight))
    ramp, row = _RAMP if concurrency else _SLOWEST_RAMP, state.throttles_in_a_row
    if state.last_throttle_at > -math.inf:
        per_second = (limit - state.taken) / max(now - state.last_throttle_at, 1e-3)
        ramp = max(_SLOWEST_RAMP, _SHARE_OF_RAMP * per_second)
        row = 0 if ramp > _SLOWEST_RAMP else row
    return state._replace(
        limit=limit,
        ramp=ramp,
        taken=limit,
        resumes_at=now + pause_s(row, backoff_s, jitter),
        last_throttle_at=now,
        throttles_in_a_row=row + 1,
        down_since=math.inf if waits_without_limit else min(down_since, now),
    )


def opens_at(state: ConcurrencyLimit, in_flight: int) -> float:
    """Return when another request may be sent.

    Args:
        state: what is known.
        in_flight: requests in flight.

    Returns:
        A time; infinity: when a request in flight has ended.
    """
    missing = in_flight + 1 - state.limit
    if missing <= 0:
        return state.resumes_at
    return state.grows_since + seconds_to_grow(state.ramp, missing)


class _Held(NamedTuple):
    """Dollars that a lost request may cost beyond what was charged for it, while it may still run."""

    until: float
    dollars: float


class Admission:
    """Admission decides for one executor whether its backend may get another request."""

    def __init__(
        self,
        backend: Backend,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Begin without any experience with the backend.

        Args:
            backend: where requests go.
            clock: seconds. They are only compared with each other.
            jitter: gives a random number from 0 to 1.
        """
        self._backend = backend
        self._clock = clock
        self._jitter = jitter
        self._limit = ConcurrencyLimit(float(backend.invoker.slots))
        self._bytes = 0
        self._in_flight = 0
        self._held: list[_Held] = []
        self._charging = threading.RLock()  # a signal handler may interrupt the block that holds it
        self._answered = FREE
        self.spent = FREE
        """What all requests so far have cost."""
        self._refusal = ""  # why the backend has refused the last request

    @property
    def blocked_reason(self) -> str:
        """Why nothing, or less than usual, is sent at the moment; empty where requests are sent."""
        memory = self._backend.memory
        return self._refusal or (memory.note if memory is not None and self._in_flight else "")

    @property
    def slots(self) -> int:
        """Requests that may be in flight, as far as is known."""
        return max(1, int(min(self._limit.at(self._clock()), self._most())))

    @property
    def look_again_s(self) -> float | None:
        """Seconds until ``closed_for_s`` is to be asked again, since it watches memory; None: it does not."""
        memory = self._backend.memory
        return memory.look_again_s if memory is not None and self._in_flight else None

    def _most(self) -> int:
        """Return the most requests that can run at once, which depends on the memory of local workers."""
        slots, memory = self._backend.invoker.slots, self._backend.memory
        return slots if memory is None else min(slots, memory.allowed)

    @property
    def outage_is_long(self) -> bool:
        """Whether the backend has answered nothing but errors for so long that jobs should fail."""
        return self._clock() - self._limit.down_since >= self._backend.batching.outage_s

    def reset(self) -> None:
        """Forget the outage: the jobs that waited have failed, and the next job begins anew."""
        self._limit = ConcurrencyLimit(float(self._backend.invoker.slots))
        self._refusal = ""

    def closed_for_s(self) -> float:
        """Return for how many seconds no request may be sent; infinity: until one in flight has ended."""
        # inline: a task may itself call map, and its request must not wait for the slot that this task
        # occupies
        if self._backend.runs_in_caller:
            return 0.0
        if self._backend.memory is not None:
            self._backend.memory.look()
        max_bytes = self._backend.batching.flight_bytes
        if self._in_flight >= self._most() or (max_bytes is not None and self._bytes >= max_bytes):
            return math.inf
        return max(0.0, opens_at(self._limit, self._in_flight) - self._clock())

    def budget_wait_s(self, seconds: float, in_flight: Collection[InFlight]) -> float | None:
        """Return how long the budget lets the next request wait.

        A request of unknown duration may run until the function's time limit, and so may a lost one, until
        that has passed. The first request is sent even if that does not fit: nothing would ever be known.
        What a request costs at the store is expected to be what those before it have cost there.

        Args:
            seconds: the expected duration of the request; 0: unknown.
            in_flight: all requests in flight.

        Returns:
            Seconds; 0: it fits; infinity: until a request in flight has ended; None: it will never fit.
        """
        prices, budget = self._backend.prices, self._backend.budget
        if prices is None or budget is None:
            return 0.0
        now = self._clock()
        self._held = [held for held in self._held if held.until > now]
        running = [each.most_s(now, prices.limit_s) for each in in_flight]
        store = self._store_dollars()
        reserved = sum(store + prices.request_dollars(most_s) for most_s in running)
        reserved += sum(held.dollars for held in self._held)
        first = not seconds and not running and not self._held
        expected_s = seconds or (0.0 if first else prices.limit_s)
        if self.spent.most_dollars + reserved + store + prices.request_dollars(expected_s) <= budget:
            return 0.0
        if running:  # they may cost less
            return math.inf
        return min(held.until for held in self._held) - now if self._held else None

    def budget_error(self, seconds: float) -> BudgetExceeded:
        """Return the error for tasks that the budget does not allow.

        Args:
            seconds: the expected duration of the request; 0: unknown.
        """
        prices, budget = self._backend.prices, self._backend.budget or 0.0
        needed = self._store_dollars() + prices.request_dollars(seconds) if prices else 0.0
        return BudgetExceeded(
            f"the budget does not allow it: about ${self.spent.most_dollars:.2g} of budget=${budget:g} was "
            f"spent, and the next request, for about ${needed:.2g}, does not fit. Set a larger budget= and "
            "map the tasks that failed again"
        )

    def _store_dollars(self) -> float:
        """Return what a request has cost at the store so far, on average. Code is not part of it."""
        return self._answered.store_dollars / max(1, self._answered.requests)

    def on_sent(self, in_flight: InFlight) -> None:
        """Count a request that was sent."""
        self._in_flight += 1
        self._bytes += in_flight.size

    def on_ended(self, in_flight: InFlight, ended: Ended) -> None:
        """Learn from how a request ended, and charge for it."""
        self._in_flight -= 1
        self._bytes -= in_flight.size
        self.charge(ended.usage)
        self._answered = self._answered.plus(ended.usage, None)
        if isinstance(ended.cause, Lost) and (prices := self._backend.prices) is not None:
            most = prices.dollars(0, prices.memory_gb * prices.limit_s - ended.usage.uncertain_gb_s)
            self._held.append(_Held(in_flight.sent + prices.limit_s, max(0.0, most)))
        if isinstance(ended.cause, Throttled):
            self._refusal = str(ended.cause.error)
            self._limit = after_throttle(
                self._limit,
                concurrency=ended.cause.concurrency,
                waits_without_limit=ended.cause.waits_without_limit,
                sent=in_flight.sent,
                now=self._clock(),
                in_flight=self._in_flight,
                backoff_s=self._backend.batching.backoff_s,
                jitter=self._jitter(),
            )
        elif not isinstance(ended.cause, Lost | Refused | Missing):
            self._refusal = ""
            self._limit = after_success(self._limit, self._backend.invoker.slots)

    def charge(self, usage: Usage) -> None:
        """Add what a request used to what was spent, in any thread."""
        if self._backend.prices is not None:
            with self._charging:
                self.spent = self.spent.plus(usage, self._backend.prices)

    def worst_case_usage(self) -> Usage:
        """Return the usage of a request of unknown duration: it may have run until the time limit."""
        prices = self._backend.prices
        if prices is None:
            return Usage()
        return Usage(requests=1, unanswered=1, uncertain_gb_s=prices.memory_gb * prices.limit_s)
