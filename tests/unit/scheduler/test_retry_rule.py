"""How often and how soon tasks run again: the rule, and true jobs in simulated time."""

from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wrenlite
from tests.simulation import PACKED_NONE, REFUSED_S, Case, SimulatedLambda, simulate
from wrenlite import Executor, Retry
from wrenlite.backends.base import Backend, BatchingPolicy
from wrenlite.cost import Prices
from wrenlite.errors import RetriedErrors, class_name, why_final
from wrenlite.job import Job
from wrenlite.scheduler.options import JobOptions
from wrenlite.scheduler.pending import PendingJob
from wrenlite.scheduler.retry import Decision, RetryRule, decide, next_delay_s, rule_of
from wrenlite.scheduler.state import Scheduler
from wrenlite.storage.uploads import JobCode

OUTAGE_S = 30.0


@given(st.integers(0, 100))
def test_a_task_has_one_run_and_its_retries(times):
    attempts = 1
    while decide(RetryRule(times), 0, attempts=attempts, final="", random=0.5).delay_s is not None:
        attempts += 1
    assert attempts == times + 1


def test_delays_double_up_to_the_longest():
    rule = rule_of(Retry(9, delay_s=2, max_delay_s=30, jitter=0))
    delays = [next_delay_s(rule, attempts, random=0.7) for attempts in range(1, 8)]
    assert delays == pytest.approx([2, 4, 8, 16, 30, 30, 30])
    assert next_delay_s(rule, 10**9, random=0.7) == 30
    assert next_delay_s(rule._replace(delay_s=5e-324, backoff=1e308), 10**9, random=0.7) == 30


@given(st.floats(0.01, 100), st.floats(1, 10), st.integers(1, 50), st.floats(0, 1), st.floats(0, 1))
def test_jitter_only_shortens_a_delay(delay_s, backoff, attempts, jitter, random):
    exact = rule_of(Retry(60, delay_s=delay_s, backoff=backoff, jitter=0))
    shaken = exact._replace(jitter=jitter)
    longest = next_delay_s(exact, attempts, random)
    assert delay_s * 0.999 <= longest <= exact.max_delay_s
    assert longest * (1 - jitter) - 1e-9 <= next_delay_s(shaken, attempts, random) <= longest


def test_a_number_asks_for_attempts_at_once():
    assert decide(rule_of(2), 7, attempts=2, final="", random=0.5) == Decision(7, 0.0)
    assert rule_of(Retry(2, delay_s=0)).delay_s == 0.0


def test_a_decision_says_why_a_task_is_not_tried_again():
    rule = rule_of(Retry(2))
    assert decide(rule, 0, attempts=3, final="", random=0.5).reason == "it has had 3 attempts"
    assert decide(rule, 0, attempts=1, final="because", random=0.5).reason == "because"
    assert decide(RetryRule(0), 0, attempts=1, final="", random=0.5).reason == "", "nobody asked for one"


def final(error, on=(), not_on=()):
    return why_final(RetriedErrors(*(tuple(map(class_name, kinds)) for kinds in (on, not_on))), error)


def test_errors_are_told_apart_by_their_classes():
    assert final(FileNotFoundError(), on=[OSError]) == ""
    assert "on= names neither" in final(ValueError(), on=[OSError])
    assert "not_on= names" in final(FileNotFoundError(), on=[OSError], not_on=[FileNotFoundError])
    assert "permanent" in final(wrenlite.NotFound(), on=[OSError])
    assert final(wrenlite.NotFound(), on=[OSError, wrenlite.NotFound]) == "", "the user has said so"
    assert "permanent" in final(wrenlite.NotFound(), on=[wrenlite.WrenliteError])
    assert final(ValueError()) == ""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"times": -1}, "times=-1: must be a whole number of further attempts, from 0"),
        ({"times": 1.5}, "times=1.5"),
        ({"times": True}, "times=True"),
        ({"on": OSError("503")}, r"is an exception\. Write its class: on=OSError"),
        ({"not_on": OSError("503")}, r"is an exception\. Write its class: not_on=OSError"),
        ({"on": "OSError"}, r"on='OSError': must be a class of exceptions"),
        ({"not_on": [int]}, r"not_on=<class 'int'>: must be a class of exceptions.*not_on=\("),
        ({"on": FileNotFoundError, "not_on": OSError}, r"on=FileNotFoundError: not_on= names it"),
        ({"delay_s": -1}, "delay_s=-1: must be seconds from 0"),
        ({"delay_s": float("nan")}, "delay_s=nan"),
        ({"delay_s": float("inf")}, "delay_s=inf"),
        ({"delay_s": "2"}, "delay_s='2'"),
        ({"delay_s": 10**400}, "delay_s=1000"),
        ({"backoff": 0.5}, "backoff=0.5: must be a number from 1"),
        ({"delay_s": 5, "max_delay_s": 2}, "max_delay_s=2: must be seconds from 5"),
        ({"jitter": 2}, "jitter=2: must be a number from 0 to 1"),
        ({"then": "aws"}, "then='aws': must be an Executor"),
        ({"then": Executor.inline()}, r"then=Executor.inline\(\).*Executor.local\(1\)"),
        ({"wait": 3}, r"Retry takes no wait=\. Write Retry\(delay_s=3\)"),
        ({"max_retries": 3}, r"Retry takes no max_retries=\. Write Retry\(times=3\)"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_write(options, text):
    with pytest.raises(wrenlite.ConfigError, match=text):
        Retry(**{"times": 3, **options})


def test_options_are_given_by_name():
    with pytest.raises(wrenlite.ConfigError, match=r"options are given by name, as in Retry\(on="):
        Retry(3, OSError)
    with pytest.raises(wrenlite.ConfigError, match=r"Write map\(retries=Retry\(3, on=OSError\)\)"):
        Executor.inline().map(abs, [1], retry=Retry(3, on=OSError))
    with pytest.raises(wrenlite.ConfigError, match=r"retries='3': must be a whole number from 0, or a"):
        Executor.inline().map(abs, [1], retries="3")


def test_a_retry_equals_another_with_the_same_fields():
    assert Retry(3, delay_s=Fraction(1, 2)) == Retry(3, delay_s=0.5)
    assert Retry(3, on=OSError) == Retry(3, on=[OSError])
    assert Retry(3) != Retry(3, delay_s=2)


@pytest.mark.parametrize("count", [400, pytest.param(5_000, marks=pytest.mark.full)])
def test_an_outage_is_outlived_without_a_herd(count):
    rule = rule_of(Retry(10, delay_s=1))
    case = Case("503", [0.1] * count, 200, rule=rule, clients=range(count), server_is_back_at=OUTAGE_S)
    run = simulate(case)
    calls = Counter(task for _, task in run.calls)
    assert [calls[task] for task in range(count)] == run.attempts
    refused = Counter(task for at, task in run.calls if at < OUTAGE_S)
    assert all(run.attempts[task] == refused[task] + 1 for task in range(count)), "no attempt in vain"
    # After so many attempts a task waits for 16 to 32 s, so that it is back that much later at most.
    assert run.makespan_s < OUTAGE_S + 32 + 3
    second = Counter(int(at) for at, _ in run.calls if at >= OUTAGE_S)
    assert max(second.values()) < count / 5, "they come back spread over time"


def test_a_delay_is_kept_by_every_task():
    rule = rule_of(Retry(10, delay_s=1, jitter=0))
    case = Case("503", [0.1] * 50, 50, rule=rule, clients=range(50), server_is_back_at=OUTAGE_S)
    run = simulate(case)
    for task in range(50):
        times = [at for at, each in run.calls if each == task]
        waits = [later - earlier for earlier, later in pairwise(times)]
        assert len(waits) == 5
        for wait_s, delay_s in zip(waits, [1, 2, 4, 8, 16], strict=True):
            assert REFUSED_S + delay_s <= wait_s < REFUSED_S + delay_s + 3  # cold starts, and the batch


def test_tasks_that_wait_hold_no_slot():
    rule = rule_of(Retry(100, delay_s=1, max_delay_s=2))
    clients = range(0, 1_000, 10)
    case = Case("503", [0.5] * 1_000, 10, rule=rule, clients=clients, server_is_back_at=OUTAGE_S)
    run = simulate(case)
    refused_s = REFUSED_S * sum(at < OUTAGE_S for at, _ in run.calls)
    assert run.makespan_s <= (1_000 * 0.5 + refused_s) / 10 * 1.15, "no slot was idle"
    assert {run.attempts[task] for task in range(1_000) if task not in clients} == {1}


def test_tasks_that_wait_fail_at_once_when_the_budget_is_spent():
    account = SimulatedLambda(Case("503", [1.0], 1, clients=[0], server_is_back_at=OUTAGE_S))
    prices = Prices(gb_s=0.0, request=1.0, memory_gb=1.0, limit_s=900.0)
    policy = BatchingPolicy(1.0, 0.1, 2**20)
    backend = Backend("simulation", None, account, policy, prices=prices, budget=1.5)
    scheduler = Scheduler(
        backend, lambda *news: scheduler.on_report(*news), lambda *_: None, lambda: account.now
    )
    job = Job("job", "job", backend, 1, (), None)
    options = JobOptions(JobCode("code"), {}, None, rule_of(Retry(3, delay_s=600)), None)
    scheduler.add(PendingJob(job, [PACKED_NONE], options))
    while scheduler.jobs:
        scheduler.start_one()
        if scheduler.jobs:
            assert account.step(scheduler.wait_s)
    assert account.now < OUTAGE_S, "it did not wait for the end of the delay"
    [note] = job._tasks.notes(0)
    assert note.startswith("it was not tried again: the budget does not allow it")
    assert scheduler.wait_s is None
