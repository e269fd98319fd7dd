"""The time that a job will still take, on timelines of real jobs.

``timelines.json`` has, for jobs that ran on two local workers, when each task was dispatched and received, in
seconds since ``map``. The names say what the tasks did: tasks of equal length, of lengths that differ much
(log-normal), short ones in batches, ones that get longer, and two long ones among short ones.
"""

import json
from pathlib import Path

import pytest

from wrenlite.display.remaining import MOST_ENDED, Progress, from_durations, time_left

TIMELINES = json.loads(Path(__file__).with_name("timelines.json").read_text())
MOMENTS = 200


def known_at(rows, now):
    """What was known of the tasks of a timeline at a moment of the job."""
    ended = sorted((row for row in rows if row[1] <= now), key=lambda row: row[1])
    in_progress = [dispatched for dispatched, received in rows if dispatched <= now < received]
    left = len(rows) - len(ended)
    slots = min(2, len(in_progress))
    return Progress(now, [tuple(row) for row in ended[-MOST_ENDED:]], in_progress, left, slots, 2)


@pytest.mark.parametrize(
    ("name", "said_at_least", "right_at_least"),
    [
        ("equal x 4", 0.4, 1.0),
        ("equal x 15", 0.8, 1.0),
        ("mixed x 60", 0.7, 0.95),
        ("short x 1500", 0.9, 0.95),
        # The later ones are not like any that has ended: the time is too short by up to a fifth, then right.
        ("slower x 150", 0.9, 0.8),
        ("front x 40", 0.3, 0.95),
    ],
)
def test_what_is_said_of_real_jobs_is_right(name, said_at_least, right_at_least):
    rows = TIMELINES[name]
    end = max(received for _, received in rows)
    said = right = 0
    for moment in range(1, MOMENTS):
        now = end * moment / MOMENTS
        told = time_left(known_at(rows, now))
        if told is not None:
            truth = end - now
            slack = max(0.1, truth / 10)  # of the words "about 2 s"
            said += 1
            right += told[0] - slack <= truth <= told[1] + slack
    print(f"{name}: said {said / MOMENTS:.0%} of the time, right {right / said:.0%} of that")
    assert said / MOMENTS >= said_at_least
    assert right / said >= right_at_least


def test_tasks_in_progress_count():
    """Four tasks of 15 s on two workers: at 28 s, 2 s are left, not 28."""
    assert from_durations([15, 15], [13, 13], waiting=0, slots=2) == pytest.approx((2, 2))
    assert from_durations([15, 15], [1, 1], waiting=1, slots=2) == pytest.approx((21.5, 29))


def test_nothing_is_said_before_enough_has_ended():
    assert from_durations([], [5, 5], waiting=2, slots=2) is None
    assert from_durations([15], [5], waiting=2, slots=2) is None
    assert from_durations([1, 1], [1] * 80, waiting=0, slots=80) is None, "the first ones are the short ones"


def test_a_task_that_runs_longer_than_all_others_makes_the_end_unknown():
    assert from_durations([1, 1, 1], [20], waiting=0, slots=2) is None


def test_a_pace_that_changes_is_no_figure():
    steady = [(0.0, second / 10) for second in range(100)]
    assert time_left(Progress(10, steady, [], 100, 2, 2)) == pytest.approx((8.9, 11.2), rel=0.02)
    stalled = time_left(Progress(100, steady, [], 100, 2, 2))
    assert stalled is None


def test_the_start_of_the_workers_is_no_trend():
    """Each of eight workers starts for 1 s, and then runs tasks of 0.1 to 0.4 s."""
    free, rows = [0.0] * 8, []
    for task in range(365):
        worker = free.index(min(free))
        received = free[worker] + (task < 8) + 0.1 + task % 7 / 20
        rows.append((free[worker], received))
        free[worker] = received
    end = max(free)
    for share in (0.25, 0.5, 0.75):
        now = end * share
        ended = sorted((row for row in rows if row[1] <= now), key=lambda row: row[1])
        running = [dispatched for dispatched, received in rows if dispatched <= now < received]
        least, most = time_left(Progress(now, ended, running, 365 - len(ended), 8, 8))
        assert least <= end - now <= most
