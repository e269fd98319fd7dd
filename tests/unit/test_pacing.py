from hypothesis import given
from hypothesis import strategies as st

from wrenlite import pacing

counts = st.integers(1, 200_000)
slots = st.integers(1, 2_000)
seconds = st.floats(1e-9, 1e4)


@given(counts, slots, st.none() | seconds, st.none() | st.integers(1, 10_000))
def test_a_batch_is_never_empty_and_never_more_than_is_queued(queued, slots, task_s, chunksize):
    size = pacing.batch_size(
        queued=queued, slots=slots, seconds_per_task=task_s, target_s=0.02, chunksize=chunksize
    )
    assert 1 <= size <= queued


def test_nothing_queued_makes_no_batch():
    assert pacing.batch_size(queued=0, slots=2, seconds_per_task=None, target_s=0.02) == 0
    assert pacing.batch_size(queued=0, slots=2, seconds_per_task=1.0, target_s=0.02) == 0


@given(counts, slots)
def test_chunksize_decides_alone(queued, slots):
    size = pacing.batch_size(queued=queued, slots=slots, seconds_per_task=1e-6, target_s=0.02, chunksize=3)
    assert size == min(queued, 3)
    assert pacing.stop_after_s(target_s=0.02, seconds_per_task=1e-6, chunksize=3) is None


@given(counts, slots, st.floats(0.02, 1e4))
def test_long_tasks_travel_alone(queued, slots, task_s):
    assert pacing.batch_size(queued=queued, slots=slots, seconds_per_task=task_s, target_s=0.02) == 1


@given(slots, st.floats(1e-7, 1e-3))
def test_a_batch_of_short_tasks_holds_about_the_target(slots, task_s):
    size = pacing.batch_size(queued=10**9, slots=slots, seconds_per_task=task_s, target_s=0.02)
    assert 0.02 - task_s <= size * task_s <= 0.02 + task_s


@given(st.integers(1, 10_000), st.integers(1, 64), st.floats(1e-3, 1e-2))
def test_towards_the_end_no_slot_takes_more_than_its_share(queued, slots, task_s):
    size = pacing.batch_size(queued=queued, slots=slots, seconds_per_task=task_s, target_s=0.02)
    assert size <= -(-queued // (2 * slots)) or size == 1


@given(st.lists(st.tuples(seconds, st.integers(1, 1_000)), min_size=1))
def test_the_estimate_stays_within_what_was_measured(batches):
    estimate = None
    for busy_s, tasks in batches:
        estimate = pacing.estimate(estimate, busy_s, tasks)
    each = [busy_s / tasks for busy_s, tasks in batches]
    assert estimate is not None
    assert min(each) * 0.999 <= estimate <= max(each) * 1.001  # rounding of the running mean


def test_a_batch_that_ran_nothing_teaches_nothing():
    assert pacing.estimate(0.5, 0.0, 0) == 0.5
    assert pacing.estimate(None, 0.0, 0) is None


@given(st.integers(0, 100))
def test_a_task_has_one_run_and_its_retries(retries):
    runs = 1
    while pacing.runs_again(attempts=runs, retries=retries):
        runs += 1
    assert runs == retries + 1


def test_large_items_are_not_sent_on_a_guess():
    assert pacing.batch_bytes(seconds_per_task=None, most=2**26) < pacing.batch_bytes(
        seconds_per_task=0.1, most=2**26
    )
