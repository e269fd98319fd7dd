"""The concurrency limit that throttles and successes of requests teach."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrenlite.scheduler.admission import ConcurrencyLimit, after_success, after_throttle, opens_at


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


def test_after_throttles_the_limit_grows_slowly_and_then_fast():
    state = throttled(ConcurrencyLimit(1000.0), in_flight=100)
    assert state.limit == 100.0, "what was taken is not given up"
    generations = []
    for _ in range(6):
        for _ in range(int(state.limit)):
            state = after_success(state, 1000)
        generations.append(state.limit)
    assert generations[0] == pytest.approx(130, abs=10)
    assert generations[-1] == 1000.0
    assert throttled(state, in_flight=700, sent=3.0, now=4.0).limit == 700.0
    small = after_success(throttled(ConcurrencyLimit(10.0), in_flight=2), 10)
    assert small.limit == 2.5, "a small limit grows by one in a generation at least"


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


def test_one_more_request_is_tried_while_one_in_flight_takes_long():
    state = throttled(
        ConcurrencyLimit(8.0), concurrency=False, waits_without_limit=False, in_flight=1, sent=1.0, now=2.0
    )
    assert opens_at(state, 0) == state.resumes_at
    assert opens_at(state, 1) == 3.0
    assert opens_at(state, 2) == math.inf
    assert opens_at(after_success(state, 8), 2) == math.inf
    assert opens_at(after_success(state, 8), 1) == -math.inf
