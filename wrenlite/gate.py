"""Whether another request may be handed out now: slots, refusals, bytes in flight and dollars."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable

from wrenlite import pacing
from wrenlite.cost import FREE
from wrenlite.errors import BudgetExceeded
from wrenlite.invoker import Backend
from wrenlite.pacing import Flow
from wrenlite.protocol import Ended, Lost, Missing, Refused, Throttled, Usage
from wrenlite.work import InFlight


class Gate:
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
        self._flow = Flow(float(backend.invoker.slots))
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
        return self._clock() - self._flow.down_since >= self._backend.pace.outage_s

    def start_anew(self) -> None:
        """Nobody waits any more: the next job tries as if nothing had happened."""
        self._flow = Flow(float(self._backend.invoker.slots))
        self.trouble = ""

    def shut_for(self) -> float:
        """Seconds until another request may be sent; infinite: when one that is in flight has ended."""
        if self._backend.in_caller:  # a request has a slot of its own: it may come from a task of another one
            return 0.0
        most = self._backend.pace.flight_bytes
        if self._in_flight >= self._backend.invoker.slots or (most is not None and self._bytes >= most):
            return math.inf
        return max(0.0, pacing.opens_at(self._flow, self._in_flight) - self._clock())

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
            self.spent.dollars + sum(map(prices.of_seconds, running)) + prices.of_seconds(expected) <= budget
        )

    def broke(self, seconds: float) -> BudgetExceeded:
        """What to say when it does not."""
        prices, budget = self._backend.prices, self._backend.budget or 0.0
        needed = prices.of_seconds(seconds) if prices else 0.0
        return BudgetExceeded(
            f"about ${self.spent.dollars:.2g} of budget=${budget:g} are spent, and the next one, of about "
            f"${needed:.2g}, does not fit: this task did not run. Executor.aws(budget=...) sets another one"
        )

    def first_wave(self) -> int | None:
        """Batches of a job in flight while nothing is known of its tasks; None: any number.

        With a budget no more than could all run into the time limit, and one at least.
        """
        prices, budget, wave = self._backend.prices, self._backend.budget, self._backend.pace.first_wave
        if prices is None or budget is None or wave is None:
            return wave
        return max(1, min(wave, int((budget - self.spent.dollars) / prices.of_seconds(prices.limit_s))))

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
            self._flow = pacing.after_refusal(
                self._flow,
                concurrency=ended.cause.concurrency,
                patient=ended.cause.patient,
                sent=in_flight.sent,
                now=self._clock(),
                in_flight=self._in_flight,
                backoff_s=self._backend.pace.backoff_s,
                jitter=self._jitter(),
            )
        elif not isinstance(ended.cause, Lost | Refused | Missing):
            self.trouble = ""
            self._flow = pacing.after_success(self._flow, self._backend.invoker.slots)

    def charge(self, usage: Usage) -> None:
        """What a request took."""
        self.spent = self.spent.plus(usage.requests, usage.gb_s, self._backend.prices)

    def at_worst(self) -> Usage:
        """What is charged for a request of which nobody knows how long it ran: the time limit."""
        prices = self._backend.prices
        return Usage(requests=1, gb_s=prices.memory_gb * prices.limit_s) if prices else Usage()
