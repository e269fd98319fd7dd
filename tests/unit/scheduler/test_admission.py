"""Whether another request may be sent: what refusals and successes teach."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrenlite.scheduler.admission import ConcurrencyLimit, after_refusal, after_success, opens_at


def refused(flow, **given):
    given = {"concurrency": True, "patient": True, "sent": 1.0, "now": 2.0, "in_flight": 0, **given}
    return after_refusal(flow, backoff_s=0.1, jitter=0.5, **given)


def test_an_account_of_ten_is_learnt_from_one_round_trip_of_a_thousand():
    flow = ConcurrencyLimit(1000.0)
    for in_flight in range(999, 9, -1):
        flow = refused(flow, in_flight=in_flight, now=2.0 + (999 - in_flight) * 1e-4)
    assert (flow.limit, flow.refusals_in_a_row) == (10.0, 1)


def test_after_refusals_more_is_tried_carefully_and_then_boldly():
    flow = refused(ConcurrencyLimit(1000.0), in_flight=100)
    assert flow.limit == 100.0, "what was taken is not given up"
    generations = []
    for _ in range(6):
        for _ in range(int(flow.limit)):
            flow = after_success(flow, 1000)
        generations.append(flow.limit)
    assert generations[0] == pytest.approx(130, abs=10)
    assert generations[-1] == 1000.0
    assert refused(flow, in_flight=700, sent=3.0, now=4.0).limit == 700.0
    small = after_success(refused(ConcurrencyLimit(10.0), in_flight=2), 10)
    assert small.limit == 2.5, "a small limit grows by one in a generation at least"


def test_refusals_of_rate_and_of_a_service_that_is_down_leave_one_request_to_try():
    flow = ConcurrencyLimit(100.0)
    for in_flight in range(99, -1, -1):
        flow = refused(flow, concurrency=False, in_flight=in_flight)
    assert flow.limit == 1.0
    for _ in range(3):
        flow = after_success(flow, 100)
    assert flow.limit == 4.0


@given(st.floats(0, 1))
def test_pauses_double_with_full_jitter_and_stay_bounded(jitter):
    flow, now = ConcurrencyLimit(8.0), 0.0
    for strike in range(12):
        now += 100.0
        flow = after_refusal(
            flow,
            concurrency=True,
            patient=True,
            sent=now - 1,
            now=now,
            in_flight=0,
            backoff_s=0.1,
            jitter=jitter,
        )
        assert flow.resumes_at - now == pytest.approx(jitter * min(10.0, 0.1 * 2**strike))
    assert flow.down_since == math.inf, "throttles are waited out, however long"


def test_since_when_a_service_is_down_and_one_success_forgives_all():
    flow = ConcurrencyLimit(8.0)
    for trip in range(9):
        flow = refused(flow, concurrency=False, patient=False, sent=2.0 * trip, now=2.0 * trip + 1)
    assert flow.down_since == 1.0
    flow = after_success(flow, 8)
    assert (flow.down_since, flow.refusals_in_a_row, flow.resumes_at) == (math.inf, 0, -math.inf)


def test_while_what_is_in_flight_takes_long_one_more_is_tried_now_and_then():
    flow = refused(ConcurrencyLimit(8.0), concurrency=False, patient=False, in_flight=1, sent=1.0, now=2.0)
    assert opens_at(flow, 0) == flow.resumes_at
    assert opens_at(flow, 1) == 3.0
    assert opens_at(flow, 2) == math.inf
    assert opens_at(after_success(flow, 8), 2) == math.inf
    assert opens_at(after_success(flow, 8), 1) == -math.inf
