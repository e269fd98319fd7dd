"""What an estimate says of a map from a few of its tasks: on recorded jobs, whose figures are known."""

import heapq
import json
import random
from pathlib import Path
from statistics import median

import pytest

from wrenlite import estimate
from wrenlite.estimate import choose, judge

RECORDED = json.loads(Path(__file__).parents[1].joinpath("durations.json").read_text())
DRAWS = 100


def samples(amounts, count=10):
    """Yield samples as ``choose`` makes them, each with other draws."""
    order = sorted(range(len(amounts)), key=lambda place: (amounts[place], place))
    for seed in range(DRAWS):
        draw = random.Random(seed).random
        yield sorted(order[int(len(order) * (part + draw()) / count)] for part in range(count))


def judged(name):
    amounts, seconds = RECORDED[name]["amounts"], RECORDED[name]["seconds"]
    return [judge(amounts, places, [seconds[place] for place in places]) for places in samples(amounts)]


def test_the_work_of_18_of_20_recorded_jobs_lies_in_nine_intervals_of_ten():
    covered, widths = {}, []
    for name, columns in RECORDED.items():
        work = sum(columns["seconds"])
        intervals = [each.total_s for each in judged(name)]
        covered[name] = sum(low <= work <= high for low, high in intervals) / DRAWS
        widths.append(median(high / low for low, high in intervals))
    print(covered, sorted(widths))
    assert len(covered) == 20
    assert sum(share >= 0.9 for share in covered.values()) >= 18
    assert median(widths) <= 2


def makespan(seconds, slots):
    ends = [0.0] * slots
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


@pytest.mark.parametrize("at_once", [4, 10])
def test_the_time_on_several_workers_lies_in_the_interval_too(at_once):
    covered = 0
    for name, columns in RECORDED.items():
        true = makespan(columns["seconds"], at_once)
        intervals = [work.makespan_s(at_once) for work in judged(name)]
        covered += sum(low <= true <= high for low, high in intervals) >= 0.9 * DRAWS
    assert covered >= 18


def test_the_longest_task_is_at_least_the_longest_of_the_sample():
    for name in RECORDED:
        for work in judged(name):
            assert 0 < work.longest_s.low <= work.longest_s.high


def test_a_sample_is_spread_over_the_amounts_and_always_the_same():
    amounts = [float(7 * place % 100) for place in range(100)]
    places = choose(amounts, 10)
    assert places == choose(amounts, 10) == sorted(places)
    assert sorted(int(amounts[place]) // 10 for place in places) == list(range(10))
    assert choose(amounts[:4], 10) == [0, 1, 2, 3]


def test_where_all_tasks_ran_nothing_is_uncertain():
    total_s, longest_s = judge([1.0, 1.0, 1.0], [0, 1, 2], [0.5, 2.0, 0.1])
    assert total_s == pytest.approx((2.6, 2.6))
    assert longest_s == pytest.approx((2.0, 2.0))


def test_one_or_two_tasks_are_known_exactly():
    assert judge([1.0], [0], [0.5]).total_s == (0.5, 0.5)
    assert judge([1.0, 2.0], [0, 1], [0.5, 0.25]) == ((0.75, 0.75), (0.5, 0.5))


def test_tasks_that_take_no_time_at_all():
    assert judge([1.0] * 10, [0, 4, 9], [0.0, 0.0, 0.0]).total_s == (0.0, 0.0)


def test_sizes_tell_more_than_the_mean_where_tasks_follow_them():
    amounts = [float(n * n) for n in range(1, 101)]
    seconds = [amount * 1e-3 for amount in amounts]
    places = choose(amounts, 10)
    low, high = judge(amounts, places, [seconds[place] for place in places]).total_s
    assert low < sum(seconds) < high < 1.5 * low
    low, high = judge([1.0] * 100, places, [seconds[place] for place in places]).total_s
    assert high > 2 * low, "without sizes, such tasks are uncertain"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1e300, 10**400, -3, True])
def test_any_number_has_an_amount(number):
    assert 0 <= estimate.amount_of(number) <= 1e18
