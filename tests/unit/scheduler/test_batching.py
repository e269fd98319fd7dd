"""The size of the next batch, and the estimate of task times that it depends on."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrenlite.backends.base import BatchingPolicy
from wrenlite.scheduler import batching
from wrenlite.scheduler.batching import Estimate

BATCHING = BatchingPolicy(target_s=0.02, least_s=0.001, batch_bytes=2**26)
REMOTE = replace(BATCHING, target_s=2.0, least_s=0.1, first_wave=16, first_wave_wait_s=0.5)

counts = st.integers(1, 200_000)
slots = st.integers(1, 2_000)
seconds = st.floats(1e-9, 1e4)
estimates = st.builds(lambda mean, spread: Estimate(mean, mean**2 * (1 + spread)), seconds, st.floats(0, 100))


def steady(task_s):
    """Return the estimate for tasks that all take the same time."""
    return Estimate(task_s, task_s**2)


def batch(policy=BATCHING, *, queued, slots, estimate=None, sent=0, chunksize=None):
    return batching.next_batch(
        policy, queued=queued, slots=slots, estimate=estimate, sent=sent, chunksize=chunksize
    )


@given(
    st.sampled_from([BATCHING, REMOTE]),
    counts,
    slots,
    st.none() | estimates,
    st.integers(0, 2_000),
    st.none() | st.integers(1, 10_000),
)
def test_a_batch_is_never_empty_and_never_more_than_is_queued(policy, queued, slots, known, sent, chunksize):
    made = batch(policy, queued=queued, slots=slots, estimate=known, sent=sent, chunksize=chunksize)
    assert 1 <= made.tasks <= queued
    assert 1 <= made.bytes <= policy.batch_bytes


def test_nothing_queued_makes_no_batch():
    for known in (None, steady(1.0)):
        for sent in (0, 20):
            assert batch(queued=0, slots=2, estimate=known, sent=sent).tasks == 0


@given(counts, slots)
def test_a_given_chunksize_alone_decides_the_size(queued, slots):
    made = batch(queued=queued, slots=slots, estimate=steady(1e-6), chunksize=3)
    assert made.tasks == min(queued, 3)
    assert made.stop_after_s is None


@given(st.sampled_from([BATCHING, REMOTE]), counts, slots, st.floats(2.0, 1e4))
def test_long_tasks_travel_alone(policy, queued, slots, task_s):
    assert batch(policy, queued=queued, slots=slots, estimate=steady(task_s)).tasks == 1


@given(slots, st.floats(1e-7, 1e-3))
def test_a_batch_of_short_tasks_holds_about_the_target(slots, task_s):
    size = batch(queued=10**9, slots=slots, estimate=steady(task_s)).tasks
    assert 0.02 - task_s <= size * task_s <= 0.02 + task_s


@given(st.integers(1, 10_000), st.integers(1, 64), st.floats(1e-3, 1e-2))
def test_near_the_end_no_batch_is_larger_than_the_share_of_a_slot(queued, slots, task_s):
    size = batch(queued=queued, slots=slots, estimate=steady(task_s)).tasks
    assert size <= -(-queued // (2 * slots)) or size == 1


@pytest.mark.parametrize(
    ("tasks", "slots", "sizes"), [(10, 2, [5, 5]), (5, 4, [2, 1, 1, 1]), (99, 2, [16, 16])]
)
def test_the_slots_share_the_first_tasks_equally(tasks, slots, sizes):
    queued = tasks
    for sent, size in enumerate(sizes):
        assert batch(queued=queued, slots=slots, sent=sent).tasks == size
        queued -= size


def test_small_tasks_are_divided_into_equal_batches():
    # 900 tasks of 2 µs, where no batch should hold less than 1 ms: two batches rather than 500 and 400 tasks.
    assert batch(queued=900, slots=2, estimate=steady(2e-6)).tasks == 450
    assert batch(queued=450, slots=2, estimate=steady(2e-6)).tasks == 450


def test_tasks_of_very_different_times_travel_alone_though_their_mean_is_small():
    # One task in a hundred takes 60 s, the others almost no time.
    assert batch(REMOTE, queued=10_000, slots=100, estimate=Estimate(0.6, 36.0)).tasks == 1


def test_small_tasks_make_few_requests_even_where_slots_are_many():
    assert batch(REMOTE, queued=1_000, slots=1_000, estimate=steady(0.001)).tasks == 100


@given(st.lists(st.tuples(seconds, st.integers(1, 100)), min_size=1, max_size=20))
def test_the_estimate_stays_within_the_measured_times(batches):
    known = None
    for busy_s, tasks in batches:
        known = batching.updated_estimate(known, busy_s, [busy_s / tasks] * tasks)
    each = [busy_s / tasks for busy_s, tasks in batches]
    assert known is not None
    assert min(each) * 0.999 <= known.mean_s <= max(each) * 1.001  # the running mean is rounded
    assert 0 <= known.tasks_within(1.0) <= 1.001 / known.mean_s


def test_a_batch_without_ended_tasks_does_not_change_the_estimate():
    assert batching.updated_estimate(steady(0.5), 0.0, []) == steady(0.5)
    assert batching.updated_estimate(None, 0.0, []) is None


def test_batches_have_fewer_bytes_before_task_times_are_known():
    assert batch(queued=100, slots=2).bytes < batch(queued=100, slots=2, estimate=steady(0.1)).bytes


def wait_s(policy=REMOTE, **given):
    given = {
        "queued": 1000,
        "slots": 100,
        "sent": 16,
        "sent_at": 10.0,
        "now": 10.1,
        **given,
    }
    return batching.first_wave_wait_s(policy.first_wave, longest_s=policy.first_wave_wait_s, **given)


def test_the_first_wave_is_waited_for_and_then_single_tasks_follow():
    assert wait_s(sent=15) is None
    assert wait_s() == pytest.approx(0.4)
    assert wait_s(now=10.5) is None
    assert wait_s(queued=40) == pytest.approx(0.1), "few tasks open few slots"
    assert wait_s(BATCHING) is None, "a few local workers are all filled at once"
    made = batch(REMOTE, queued=10_000, slots=1_000, sent=16)
    assert (made.tasks, made.stop_after_s) == (1, 2.0)


@given(counts)
def test_the_values_that_a_reduction_is_sent_fit_into_one_batch(tasks):
    largest = batching.largest_value(BATCHING, tasks)
    assert largest <= 16_384
    assert largest * tasks <= BATCHING.batch_bytes < (largest + 1) * tasks or largest == 16_384


def test_a_reduction_of_nothing_has_a_limit_too():
    assert batching.largest_value(BATCHING, 0) == 16_384


def test_what_a_worker_does_once_does_not_count_as_the_duration_of_its_tasks():
    imported = batching.updated_estimate(None, 2.0, [2.0], first_on_worker=True)
    assert imported.mean_s == 2.0  # nothing better is known
    assert batching.updated_estimate(imported, 0.01, [0.01]).mean_s == 0.01
    assert batching.updated_estimate(imported, 3.0, [3.0], first_on_worker=True).mean_s == 2.5
    known = batching.updated_estimate(None, 2.02, [2.0, 0.01, 0.01], first_on_worker=True)
    assert known.mean_s == 0.01
    assert batching.updated_estimate(known, 2.0, [2.0], first_on_worker=True) == known
