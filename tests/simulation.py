"""Jobs in simulated time: the real scheduler on a simulated Lambda, which is a heap of future events."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Container, Sequence
from typing import Any, NamedTuple

from wrenlite.backends.aws.connect import batching_policy
from wrenlite.backends.base import Backend
from wrenlite.errors import ConnectionLost, ServiceUnavailable
from wrenlite.job import Job
from wrenlite.protocol import Ended, Lost, Outcome, Packed, Request, Throttled, Usage
from wrenlite.scheduler.options import JobOptions
from wrenlite.scheduler.pending import PendingJob
from wrenlite.scheduler.retry import RetryRule
from wrenlite.scheduler.state import Scheduler
from wrenlite.storage.uploads import JobCode

ROUND_TRIP_S = 0.075
COLD_START_S = 0.4
"""Time that a new sandbox needs before it runs its first task."""
REFUSED_S = 0.01
OFFLINE_S = 5.0
"""Seconds without a network around a sleep."""
PACKED_NONE = Packed(b"N.")


class Case(NamedTuple):
    """A job and the account that it runs in."""

    name: str
    durations_s: Sequence[float]
    """Duration of each task."""
    concurrency: int
    """Invocations that the account allows at a time."""
    burst: int = 1000
    """Sandboxes that may be started at once."""
    ramp_per_s: float = 100.0
    """Sandboxes that may be started per second after the burst (AWS: 1,000 per 10 s and function)."""
    step_s: float = 0.0
    """Seconds between two additions of sandboxes to those that may be started; 0: they come one by one."""
    client_slots: int | None = None
    """The concurrency that the client assumes. None: it knows the real one."""
    asleep_at: float = math.inf
    """When the client's machine falls asleep. It has no network in the last seconds before, nor in the first
    ones after it has woken up, and its connections are broken by then."""
    asleep_s: float = 3600.0
    """Seconds for which it sleeps, which its clock counts."""
    rule: RetryRule = RetryRule(0)
    """How often tasks that fail run again, and how soon."""
    clients: Container[int] = frozenset()
    """The tasks that call a server, which answers 503 at first. Then they fail within ``REFUSED_S``."""
    server_is_back_at: float = 0.0
    """When the server answers."""


class Run(NamedTuple):
    """The result of a simulated job."""

    makespan_s: float
    """Time from the submission of the job to its last outcome."""
    lower_bound_s: float
    """No schedule is shorter than this: see ``lower_bound_s``."""
    requests: int
    throttled: int
    full_s: float
    """When as many invocations ran at once as ever did."""
    calls: Sequence[tuple[float, int]]
    """When each task that calls the server began to, in the order of time."""
    attempts: Sequence[int]
    """Of each task, as the job counts them."""


class SimulatedLambda:
    """An invoker whose requests take simulated time."""

    def __init__(self, case: Case) -> None:
        """Create an account without sandboxes.

        Args:
            case: the limits of the account, and the durations of the tasks.
        """
        self.slots = case.client_slots or case.concurrency
        self.now = 0.0
        self.requests = self.throttled = self.most_running = 0
        self.full_s = 0.0
        self.calls: list[tuple[float, int]] = []
        self._case = case
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._event_numbers = itertools.count()
        self._running = 0
        self._warm = 0
        self.slept = False
        self._start_tokens, self._refilled_at = float(case.burst), 0.0

    def open(self, tasks: int = 1) -> None:
        """Do nothing: a simulated account needs no preparation."""

    def close(self) -> None:
        """Do nothing: a simulated account holds no resources."""

    def start(self, request: Request, emit: Any) -> Any:
        """Send a request, which arrives half a round trip later."""
        self.requests += 1
        self._schedule(self.now + ROUND_TRIP_S / 2, lambda: self._arrive(request, emit))
        return None

    def step(self, wait_s: float | None) -> bool:
        """Advance the time to the next event.

        Args:
            wait_s: how long to wait for an event. None: without a limit.

        Returns:
            False if there is no event left to wait for.
        """
        until = math.inf if wait_s is None else self.now + wait_s
        if self._events and self._events[0][0] <= until:
            due, _, action = heapq.heappop(self._events)
            self.now = max(self.now, due)  # what was due while the machine slept happens when it wakes up
            action()
        elif wait_s is None:
            return False
        else:
            self.now = until
        if not self.slept and self.now >= self._case.asleep_at:
            self.slept = True
            self.now += self._case.asleep_s
        return True

    @property
    def _is_offline(self) -> bool:
        woken_up = self._case.asleep_at + self._case.asleep_s
        return self._case.asleep_at - OFFLINE_S <= self.now <= woken_up + OFFLINE_S

    def _arrive(self, request: Request, emit: Any) -> None:
        if self._is_offline:
            cause = Throttled(ServiceUnavailable("is this machine online?"), waits_without_limit=False)
            ended = Ended(cause, Usage(), request.tasks)
            self._schedule(self.now + ROUND_TRIP_S / 2, lambda: emit((), ended))
            return
        cold = not self._warm
        if self._running >= self._case.concurrency or (cold and not self._may_start()):
            self.throttled += 1
            cause = Throttled(ServiceUnavailable("too many"), concurrency=True)
            ended = Ended(cause, Usage(), request.tasks)
            self._schedule(self.now + ROUND_TRIP_S / 2, lambda: emit((), ended))
            return
        self._running += 1
        if self._running > self.most_running:
            self.most_running, self.full_s = self._running, self.now
        if not cold:
            self._warm -= 1
        outcomes, busy_s = [], 0.0
        for task in request.tasks:
            if request.limits.stop_after_s is not None and busy_s >= request.limits.stop_after_s:
                break
            outcome = self._outcome(task, self.now + busy_s)
            outcomes.append(outcome)
            busy_s += outcome.seconds
        end = self.now + busy_s + (COLD_START_S if cold else 0.0)
        ended = Ended(None, Usage(busy_s, requests=1), request.tasks[len(outcomes) :])
        sent_before = not self.slept
        self._schedule(end, lambda: self._finish(outcomes, ended, emit, sent_before))

    def _outcome(self, task: int, now: float) -> Outcome:
        """Return the outcome of a task that starts at a time."""
        if task in self._case.clients:
            self.calls.append((now, task))
            if now < self._case.server_is_back_at:
                return Outcome.failed(task, started=now)._replace(seconds=REFUSED_S)
        duration_s = self._case.durations_s[task]
        return Outcome(
            task,
            ok=True,
            packed=PACKED_NONE,
            started=now,
            seconds=duration_s,
            cpu_s=duration_s,
            output="",
        )

    def _finish(self, outcomes: list[Outcome], ended: Ended, emit: Any, sent_before: bool) -> None:
        self._running -= 1
        self._warm += 1
        if self._is_offline or (sent_before and self.slept):
            outcomes, ended = [], Ended(Lost(ConnectionLost("broken")), Usage(requests=1), ())
        self._schedule(self.now + ROUND_TRIP_S / 2, lambda: emit(outcomes, ended))

    def _may_start(self) -> bool:
        """Return whether a sandbox may be started now; a token bucket limits the rate."""
        case = self._case
        until = self.now // case.step_s * case.step_s if case.step_s else self.now
        self._start_tokens = min(
            case.burst, self._start_tokens + (until - self._refilled_at) * case.ramp_per_s
        )
        self._refilled_at = until
        if self._start_tokens < 1:
            return False
        self._start_tokens -= 1
        return True

    def _schedule(self, time_s: float, action: Callable[[], None]) -> None:
        """Add an event; events of the same time happen in the order in which they were added."""
        heapq.heappush(self._events, (time_s, next(self._event_numbers), action))


def simulate(case: Case, seed: int = 1) -> Run:
    """Run one job in simulated time, from its submission to its last outcome.

    Raises:
        AssertionError: the job has not ended, and nothing is left that could happen.
    """
    account = SimulatedLambda(case)
    backend = Backend("simulation", None, account, batching_policy(account.slots))  # type: ignore[arg-type]
    scheduler = Scheduler(
        backend,
        lambda *news: scheduler.on_report(*news),
        lambda pending, _: scheduler.on_stored(pending, None),
        lambda: account.now,
        jitter=random.Random(seed).random,
    )
    count = len(case.durations_s)
    job = Job("job", "job", backend, count, (), None)  # type: ignore[arg-type]
    pending = PendingJob(job, [PACKED_NONE] * count, JobOptions(JobCode("code"), {}, None, case.rule, None))
    scheduler.add(pending)
    while scheduler.jobs:
        while scheduler.start_one():
            pass
        if not account.step(scheduler.wait_s) and scheduler.jobs:
            raise AssertionError(f"{case.name}: the job has not ended, and there are no more events")
    assert not job._tasks.failed, job._outcomes.made_error(job._tasks.failed[0])
    counts = account.requests, account.throttled, account.full_s
    return Run(account.now, lower_bound_s(case), *counts, sorted(account.calls), [*job._tasks.attempts])


def lower_bound_s(case: Case) -> float:
    """Return a lower bound of the makespan of any schedule.

    It is the larger of two times, the total work at full capacity and the longest task, plus one round trip
    and one cold start.
    """
    total, longest = sum(case.durations_s), max(case.durations_s)
    if case.burst >= case.concurrency:
        work_s = total / case.concurrency
    else:  # capacity grows along the ramp until it reaches the concurrency
        ramp_s = (case.concurrency - case.burst) / case.ramp_per_s
        done_on_ramp = ramp_s * (case.burst + case.concurrency) / 2
        if total >= done_on_ramp:
            work_s = ramp_s + (total - done_on_ramp) / case.concurrency
        else:
            work_s = (math.sqrt(case.burst**2 + 2 * case.ramp_per_s * total) - case.burst) / case.ramp_per_s
    return max(work_s, longest) + ROUND_TRIP_S + COLD_START_S


def best_makespan_s(case: Case) -> float:
    """Return the makespan of greedy list scheduling, without any cost of requests, that knows the ramp.

    Whenever a slot is free, or new, it takes the next task. This is the standard for a scheduler that does
    not know the durations in advance.
    """
    extra = range(1, case.concurrency - case.burst + 1)
    waits = [number / case.ramp_per_s for number in extra]
    if case.step_s:
        waits = [math.ceil(wait_s / case.step_s) * case.step_s for wait_s in waits]
    free_at = [0.0] * min(case.burst, case.concurrency) + waits
    ends = [
        heapq.heapreplace(free_at, free_at[0] + duration_s) + duration_s for duration_s in case.durations_s
    ]
    return max(ends) + ROUND_TRIP_S + COLD_START_S


def cases() -> list[Case]:
    """Return the jobs that tests and benchmarks simulate."""
    rng = random.Random(7)
    log_uniform = [math.exp(rng.uniform(math.log(0.001), math.log(60))) for _ in range(10_000)]
    few_long = [60.0 if rng.random() < 0.01 else 0.001 for _ in range(10_000)]
    return [
        Case("10,000 x 1 s", [1.0] * 10_000, 1000),
        Case("10,000 x 1 s, ramp from 100", [1.0] * 10_000, 1000, burst=100),
        Case("1,000 x 1 s, limit 10 unknown to the client", [1.0] * 1_000, 10, client_slots=1000),
        Case("10,000 x 1 ms to 60 s, log-uniform", log_uniform, 1000),
        Case("10,000 x 1 ms to 60 s, log-uniform, on 100", log_uniform, 100),
        Case("10,000: 1 % of 60 s, the rest 1 ms, on 10", few_long, 10),
        Case("10,000 x 1 ms", [0.001] * 10_000, 1000),
        Case("100 x 5 min", [300.0] * 100, 1000),
        Case("5,000 x 15 min, ramp from 1,000", [900.0] * 5_000, 5_000),
        Case("5,000 x 15 min, steps of 1,000", [900.0] * 5_000, 5_000, step_s=10.0),
        Case("50,000 x 10 s, ramp from 1,000", [10.0] * 50_000, 5_000),
        Case("50,000 x 10 s, steps of 1,000", [10.0] * 50_000, 5_000, step_s=10.0),
    ]
