"""Whether another request may be handed out now: slots, refusals, bytes in flight and dollars."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from wrenlite.backends.base import Backend
from wrenlite.cost import FREE
from wrenlite.errors import BudgetExceeded
from wrenlite.protocol import Ended, Lost, Missing, Refused, Throttled, Usage
from wrenlite.scheduler.pending import InFlight

_BACKOFF_TIMES = 100.0
"""The longest pause after a refusal, in terms of the first."""
_PROBE = 0.2
"""Where refusals began, so much more is tried first, as a share; twice as much with every generation of
successes that brings none."""
_TRY_AFTER_S = 1.0
"""Seconds after a refusal in which nothing has ended, after which one more request is tried."""


class Admission:
    """What a dispatcher knows of its backend."""

    def __init__(
        self,
        backend: Backend,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._jitter = jitter
        self._flow = ConcurrencyLimit(float(backend.invoker.slots))
        self._bytes = 0
        self._in_flight = 0
        self.spent = FREE
        """What all requests so far have cost."""
        self.trouble = ""
        """Why nothing is sent at the moment; empty where all is well."""

    @property
    def slots(self) -> int:
        """Requests that may be in flight, as far as is known."""
        return max(1, int(min(self._flow.limit, self._backend.invoker.slots)))

    @property
    def hopeless(self) -> bool:
        """The backend has not worked for so long that waiting on makes no sense."""
        return self._clock() - self._flow.down_since >= self._backend.batching.outage_s

    def start_anew(self) -> None:
        """Nobody waits any more: the next job tries as if nothing had happened."""
        self._flow = ConcurrencyLimit(float(self._backend.invoker.slots))
        self.trouble = ""

    def shut_for(self) -> float:
        """Seconds until another request may be sent; infinite: when one that is in flight has ended."""
        if self._backend.in_caller:  # a request has a slot of its own: it may come from a task of another one
            return 0.0
        most = self._backend.batching.flight_bytes
        if self._in_flight >= self._backend.invoker.slots or (most is not None and self._bytes >= most):
            return math.inf
        return max(0.0, opens_at(self._flow, self._in_flight) - self._clock())

    def affords(self, seconds: float, in_flight: Iterable[InFlight]) -> bool:
        """Whether a request of so many seconds fits into the budget, beside what is in flight."""
        prices, budget = self._backend.prices, self._backend.budget
        if prices is None or budget is None:
            return True
        now = self._clock()
        running = [max(each.expected_s, now - each.sent) for each in in_flight]
        # Of a task about which nothing is known, the oldest that runs is the best guess.
        expected = seconds or max(running, default=0.0)
        return (
            self.spent.dollars + sum(map(prices.request_dollars, running)) + prices.request_dollars(expected)
            <= budget
        )

    def broke(self, seconds: float) -> BudgetExceeded:
        """What to say when it does not."""
        prices, budget = self._backend.prices, self._backend.budget or 0.0
        needed = prices.request_dollars(seconds) if prices else 0.0
        return BudgetExceeded(
            f"about ${self.spent.dollars:.2g} of budget=${budget:g} are spent, and the next one, of about "
            f"${needed:.2g}, does not fit: this task did not run. Executor.aws(budget=...) sets another one"
        )

    def first_wave(self) -> int | None:
        """Batches of a job in flight while nothing is known of its tasks; None: any number.

        With a budget no more than could all run into the time limit, and one at least.
        """
        prices, budget, wave = self._backend.prices, self._backend.budget, self._backend.batching.first_wave
        if prices is None or budget is None or wave is None:
            return wave
        return max(1, min(wave, int((budget - self.spent.dollars) / prices.request_dollars(prices.limit_s))))

    def passed(self, in_flight: InFlight) -> None:
        """A request was handed out."""
        self._in_flight += 1
        self._bytes += in_flight.size

    def returned(self, in_flight: InFlight, ended: Ended) -> None:
        """It has ended."""
        self._in_flight -= 1
        self._bytes -= in_flight.size
        self.charge(ended.usage)
        if isinstance(ended.cause, Throttled):
            self.trouble = str(ended.cause.error)
            self._flow = after_refusal(
                self._flow,
                concurrency=ended.cause.concurrency,
                patient=ended.cause.patient,
                sent=in_flight.sent,
                now=self._clock(),
                in_flight=self._in_flight,
                backoff_s=self._backend.batching.backoff_s,
                jitter=self._jitter(),
            )
        elif not isinstance(ended.cause, Lost | Refused | Missing):
            self.trouble = ""
            self._flow = after_success(self._flow, self._backend.invoker.slots)

    def charge(self, usage: Usage) -> None:
        """What a request took."""
        self.spent = self.spent.plus(usage.requests, usage.gb_s, self._backend.prices)

    def at_worst(self) -> Usage:
        """What is charged for a request of which nobody knows how long it ran: the time limit."""
        prices = self._backend.prices
        return Usage(requests=1, gb_s=prices.memory_gb * prices.limit_s) if prices else Usage()


class ConcurrencyLimit(NamedTuple):
    """How many requests a backend takes at once, learnt from its answers."""

    limit: float
    """Requests in flight at most."""
    growth: float = math.inf
    """Successes since requests were last refused as too many at once, in terms of the limit."""
    resumes_at: float = -math.inf
    """When requests may be sent again."""
    last_refusal_at: float = -math.inf
    """When the last refusal counted: those of requests that were sent before tell the same again."""
    refusals_in_a_row: int = 0
    """Round trips that brought refusals, since the last success."""
    down_since: float = math.inf
    """Since when the service has answered nothing but errors, or not at all."""


def after_success(flow: ConcurrencyLimit, slots: int) -> ConcurrencyLimit:
    """A request was taken and answered: more may be in flight, but carefully where refusals began."""
    if flow.limit >= slots and not flow.refusals_in_a_row and flow.down_since == math.inf:
        return flow
    # What is free again may be used at once.
    step = min(1.0, max(1 / flow.limit, _PROBE * 2.0 ** min(flow.growth, 30)))
    growth = flow.growth + 1 / flow.limit
    return flow._replace(
        limit=min(float(slots), flow.limit + step),
        growth=growth,
        resumes_at=-math.inf,
        refusals_in_a_row=0,
        down_since=math.inf,
    )


def after_refusal(
    flow: ConcurrencyLimit,
    *,
    concurrency: bool,
    patient: bool,
    sent: float,
    now: float,
    in_flight: int,
    backoff_s: float,
    jitter: float,
) -> ConcurrencyLimit:
    """A request was not taken.

    Args:
        flow: what was known.
        concurrency: because too many ran. What is in flight when the last of the refusals has come is
            what was taken, and the new limit (halving it would leave slots idle that there are).
        patient: it may well last.
        sent: when the request was sent.
        now: when it came back.
        in_flight: requests that are still in flight.
        backoff_s: the longest pause after a first refusal.
        jitter: a random number from 0 to 1 (full jitter, so that many clients do not return together).
    """
    # When all have come back, one goes out to see how things are.
    flow = flow._replace(limit=min(flow.limit, float(max(1, in_flight))))
    if concurrency:
        flow = flow._replace(growth=0.0)
    if sent <= flow.last_refusal_at:
        return flow
    longest = backoff_s * min(_BACKOFF_TIMES, 2.0 ** min(flow.refusals_in_a_row, 20))
    return flow._replace(
        resumes_at=now + longest * jitter,
        last_refusal_at=now,
        refusals_in_a_row=flow.refusals_in_a_row + 1,
        down_since=math.inf if patient else min(flow.down_since, now),
    )


def opens_at(flow: ConcurrencyLimit, in_flight: int) -> float:
    """When another request may be sent beside those in flight; infinite: when one of them has ended.

    After refusals, as long as nothing ends, one more than the limit is tried now and then: what is in flight
    may run for minutes, and what was in the way may be gone in a second.
    """
    if in_flight < int(flow.limit):
        return flow.resumes_at
    if flow.refusals_in_a_row and in_flight == int(flow.limit):
        return max(flow.resumes_at, flow.last_refusal_at + _TRY_AFTER_S)
    return math.inf
