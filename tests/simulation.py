"""The schedule in simulated time: the real decisions, and a Lambda that only exists on a heap of events."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wrenlite.backends.aws.connect import batching_policy
from wrenlite.backends.base import Backend
from wrenlite.errors import ServiceUnavailable
from wrenlite.job import Job
from wrenlite.protocol import Ended, Outcome, Packed, Request, Throttled, Usage
from wrenlite.scheduler.pending import JobOptions, PendingJob
from wrenlite.scheduler.state import Scheduler

ROUND_TRIP_S = 0.075
COLD_S = 0.4
"""What a new sandbox takes before it runs a first task."""
NOTHING = Packed(b"N.")


class Case(NamedTuple):
    """What is simulated."""

    name: str
    seconds: Sequence[float]
    """Of each task."""
    concurrency: int
    """What the account allows."""
    burst: int = 1000
    """Sandboxes that may be started at once, and …"""
    ramp: float = 100.0
    """… per second after that (AWS: 1,000 per 10 s and function)."""
    slots: int | None = None
    """What the client believes; None: the truth."""


class Run(NamedTuple):
    """What came of it."""

    makespan_s: float
    best_s: float
    """No schedule is shorter: the work over the capacity, and the longest task."""
    requests: int
    throttled: int


class Cloud:
    """An invoker whose requests take simulated time."""

    def __init__(self, case: Case) -> None:
        self.slots = case.slots or case.concurrency
        self.now = 0.0
        self.requests = self.throttled = 0
        self._case = case
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._running = 0
        self._warm: list[int] = []
        self._tokens, self._refilled = float(case.burst), 0.0

    def open(self, tasks: int = 1) -> None:
        """Nothing to get ready."""

    def close(self) -> None:
        """Nothing to release."""

    def start(self, request: Request, emit: Any) -> Any:
        """Send a request: it arrives half a round trip later."""
        self.requests += 1
        self._at(self.now + ROUND_TRIP_S / 2, lambda: self._arrive(request, emit))
        return None

    def step(self, wait_s: float | None) -> bool:
        """Let time pass until something happens, or so long; False where nothing ever will."""
        until = math.inf if wait_s is None else self.now + wait_s
        if self._events and self._events[0][0] <= until:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
        elif wait_s is None:
            return False
        else:
            self.now = until
        return True

    def _arrive(self, request: Request, emit: Any) -> None:
        cold = not self._warm
        if self._running >= self._case.concurrency or (cold and not self._may_start()):
            self.throttled += 1
            cause = Throttled(ServiceUnavailable("too many"), concurrency=True)
            self._at(self.now + ROUND_TRIP_S / 2, lambda: emit((), Ended(cause, Usage(), request.tasks)))
            return
        self._running += 1
        if not cold:
            self._warm.pop()
        outcomes, busy_s = [], 0.0
        for task in request.tasks:
            if request.limits.stop_after_s is not None and busy_s >= request.limits.stop_after_s:
                break
            seconds = self._case.seconds[task]
            outcomes.append(Outcome(task, True, NOTHING, self.now, seconds, seconds, ""))
            busy_s += seconds
        end = self.now + busy_s + (COLD_S if cold else 0.0)
        ended = Ended(None, Usage(busy_s, requests=1), request.tasks[len(outcomes) :])
        self._at(end, lambda: self._leave(outcomes, ended, emit))

    def _leave(self, outcomes: list[Outcome], ended: Ended, emit: Any) -> None:
        self._running -= 1
        self._warm.append(0)
        self._at(self.now + ROUND_TRIP_S / 2, lambda: emit(outcomes, ended))

    def _may_start(self) -> bool:
        case = self._case
        self._tokens = min(case.burst, self._tokens + (self.now - self._refilled) * case.ramp)
        self._refilled = self.now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))


def simulate(case: Case, seed: int = 1) -> Run:
    """One job, from its submission to its last outcome."""
    random.seed(seed)
    cloud = Cloud(case)
    backend = Backend("simulation", None, cloud, batching_policy(cloud.slots))  # type: ignore[arg-type]
    schedule = Scheduler(backend, lambda *news: schedule.on_report(*news), lambda: cloud.now)
    job = Job("job", "job", backend, len(case.seconds), (), None)  # type: ignore[arg-type]
    work = PendingJob(job, [NOTHING] * len(case.seconds), JobOptions("code", None, {}, None, 0, None))
    schedule.add(work)
    while schedule.jobs:
        while schedule.start_one():
            pass
        if not cloud.step(schedule.wait_s) and schedule.jobs:
            raise AssertionError(f"{case.name}: nothing happens any more")
    return Run(cloud.now, best(case), cloud.requests, cloud.throttled)


def best(case: Case) -> float:
    """A lower bound of any schedule's length, with one round trip and one cold start."""
    total, longest = sum(case.seconds), max(case.seconds)
    if case.burst >= case.concurrency:
        flat = total / case.concurrency
    else:  # capacity grows along the ramp until it is full
        rise_s = (case.concurrency - case.burst) / case.ramp
        risen = rise_s * (case.burst + case.concurrency) / 2
        if total >= risen:
            flat = rise_s + (total - risen) / case.concurrency
        else:
            flat = (math.sqrt(case.burst**2 + 2 * case.ramp * total) - case.burst) / case.ramp
    return max(flat, longest) + ROUND_TRIP_S + COLD_S


def cases() -> list[Case]:
    """What is measured."""
    chance = random.Random(7)
    uneven = [math.exp(chance.uniform(math.log(0.001), math.log(60))) for _ in range(10_000)]
    few_long = [60.0 if chance.random() < 0.01 else 0.001 for _ in range(10_000)]
    return [
        Case("10,000 x 1 s", [1.0] * 10_000, 1000),
        Case("10,000 x 1 s, ramp from 100", [1.0] * 10_000, 1000, burst=100),
        Case("1,000 x 1 s, limit 10 unknown to the client", [1.0] * 1_000, 10, slots=1000),
        Case("10,000 x 1 ms to 60 s, log-uniform", uneven, 1000),
        Case("10,000 x 1 ms to 60 s, log-uniform, on 100", uneven, 100),
        Case("10,000: 1 % of 60 s, the rest 1 ms, on 10", few_long, 10),
        Case("10,000 x 1 ms", [0.001] * 10_000, 1000),
        Case("100 x 5 min", [300.0] * 100, 1000),
    ]


def unknowing(case: Case) -> float:
    """The length when free slots take one task after the other, at no cost: the best without foresight."""
    free = [0.0] * case.concurrency
    for seconds in case.seconds:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free) + ROUND_TRIP_S + COLD_S
