"""Schedules on a simulated Lambda. Its time is simulated, so the results do not depend on this machine."""

import pytest

from tests.simulation import Case, best_makespan_s, cases, simulate

CASES = {case.name: case for case in cases()}


def test_equal_tasks_take_little_longer_than_the_best_schedule():
    run = simulate(CASES["10,000 x 1 s"])
    assert run.makespan_s <= 1.15 * run.lower_bound_s
    assert run.throttled == 0


@pytest.mark.parametrize("concurrency", [100, 1000])
def test_uneven_tasks_take_little_longer_than_a_schedule_without_known_times(concurrency):
    case = CASES["10,000 x 1 ms to 60 s, log-uniform"]._replace(concurrency=concurrency)
    assert simulate(case).makespan_s <= 1.25 * best_makespan_s(case)


@pytest.mark.parametrize(
    ("name", "most_refused"),
    [
        ("10,000 x 1 s, ramp from 100", 1_000),
        ("5,000 x 15 min, ramp from 1,000", 4_500),  # 4,000 of them at once: nothing is known yet
        ("5,000 x 15 min, steps of 1,000", 5_000),
        pytest.param("50,000 x 10 s, ramp from 1,000", 4_500, marks=pytest.mark.full),
        pytest.param("50,000 x 10 s, steps of 1,000", 7_000, marks=pytest.mark.full),
    ],
)
def test_a_ramp_is_followed_also_while_no_request_ends(name, most_refused):
    run = simulate(CASES[name])
    assert run.makespan_s <= 1.1 * best_makespan_s(CASES[name])
    assert run.full_s <= 60
    assert run.throttled <= most_refused


def test_an_unknown_concurrency_limit_of_ten_is_fully_used():
    run = simulate(CASES["1,000 x 1 s, limit 10 unknown to the client"])
    assert run.makespan_s <= 1.1 * run.lower_bound_s
    assert run.throttled <= 0.25 * run.requests


def test_tasks_of_minutes_start_at_once_and_alone():
    case = CASES["100 x 5 min"]
    run = simulate(case)
    assert run.requests == 100
    assert run.makespan_s <= 302


def test_small_tasks_make_few_requests():
    run = simulate(CASES["10,000 x 1 ms"])
    assert run.requests <= 0.02 * 10_000


@pytest.mark.parametrize("count", [1, 3, 16, 17, 100])
def test_few_tasks_take_at_most_one_more_round_trip(count):
    run = simulate(Case("few", [0.5] * count, 1000))
    assert run.makespan_s <= 0.5 + 0.5 + 0.5  # the wait for the first wave, the start of a sandbox, the task
