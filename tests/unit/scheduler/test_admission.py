"""The concurrency limit that throttles and successes of requests teach."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrenlite.scheduler.admission import (
    ConcurrencyLimit,
    after_success,
    after_throttle,
    grown,
    opens_at,
    seconds_to_grow,
)


def throttled(state, **given):
    given = {
        "concurrency": True,
        "waits_without_limit": True,
        "sent": 1.0,
        "now": 2.0,
        "in_flight": 0,
        **given,
    }
    return after_throttle(state, backoff_s=0.1, jitter=0.5, **given)


def test_a_limit_of_ten_is_learnt_from_one_round_trip_of_a_thousand_requests():
    state = ConcurrencyLimit(1000.0)
    for in_flight in range(999, 9, -1):
        state = throttled(state, in_flight=in_flight, now=2.0 + (999 - in_flight) * 1e-4)
    assert (state.limit, state.throttles_in_a_row) == (10.0, 1)


def test_after_a_throttle_the_limit_grows_by_what_aws_adds():
    state = throttled(ConcurrencyLimit(5000.0), in_flight=1000, now=0.0)
    assert state.at(0.0) == 1000.0, "what was taken is not given up"
    assert state.at(state.resumes_at + 1) == pytest.approx(1107, abs=1)
    assert after_success(state, 5000).limit == 1000.0, "successes say nothing of the limit"


def test_the_growth_is_learnt_from_what_was_taken():
    state = throttled(ConcurrencyLimit(5000.0), in_flight=1000, now=0.0)
    state = throttled(state, in_flight=1040, sent=1.9, now=2.0)
    assert state.ramp == pytest.approx(0.95 * 40 / 2)
    for trip in range(3):  # nothing more is taken
        state = throttled(state, in_flight=1040, sent=9.9 + trip, now=10.0 + trip)
    assert (state.limit, state.ramp, state.throttles_in_a_row) == (1040.0, 1.0, 4)
    since = state.resumes_at
    assert opens_at(state, 1040) == pytest.approx(since + 0.63, abs=0.01), "one is tried"
    assert state.at(since + 6) == pytest.approx(1040 + 2954, abs=1), "and if these are taken, many more"


@given(st.floats(1, 1000), st.floats(0, 100))
def test_a_limit_grows_by_one_request_at_the_time_that_is_told(ramp, requests):
    assert grown(ramp, seconds_to_grow(ramp, requests)) == pytest.approx(requests)


def test_throttles_for_the_request_rate_leave_one_request_at_a_time():
    state = ConcurrencyLimit(100.0)
    for in_flight in range(99, -1, -1):
        state = throttled(state, concurrency=False, in_flight=in_flight)
    assert state.limit == 1.0
    for _ in range(3):
        state = after_success(state, 100)
    assert state.limit == 4.0


@given(st.floats(0, 1))
def test_pauses_double_with_full_jitter_up_to_a_bound(jitter):
    state, now = ConcurrencyLimit(8.0), 0.0
    for trip in range(12):
        now += 100.0
        state = after_throttle(
            state,
            concurrency=True,
            waits_without_limit=True,
            sent=now - 1,
            now=now,
            in_flight=0,
            backoff_s=0.1,
            jitter=jitter,
        )
        assert state.resumes_at - now == pytest.approx(jitter * min(10.0, 0.1 * 2**trip))
    assert state.down_since == math.inf, "throttles are waited out, however long"


def test_the_start_of_an_outage_is_recorded_and_one_success_ends_it():
    state = ConcurrencyLimit(8.0)
    for trip in range(9):
        state = throttled(
            state, concurrency=False, waits_without_limit=False, sent=2.0 * trip, now=2.0 * trip + 1
        )
    assert state.down_since == 1.0
    state = after_success(state, 8)
    assert (state.down_since, state.throttles_in_a_row, state.resumes_at) == (math.inf, 0, -math.inf)


def test_more_requests_are_tried_while_one_in_flight_takes_long():
    state = throttled(
        ConcurrencyLimit(8.0), concurrency=False, waits_without_limit=False, in_flight=1, sent=1.0, now=2.0
    )
    assert opens_at(state, 0) == state.resumes_at
    assert state.resumes_at < opens_at(state, 1) < opens_at(state, 2) < state.resumes_at + 2
    assert opens_at(after_success(state, 8), 1) == -math.inf
