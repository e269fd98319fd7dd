"""``Executor.estimate`` on every backend: time and dollars of a map, from a few of its tasks."""

import itertools
import re
import time

import pytest

import wrenlite


def nap(hundredths):
    time.sleep(hundredths / 100)
    return hundredths


def test_an_estimate_is_of_all_tasks(executor):
    data = [1 + n % 5 for n in range(60)]
    naps_s = sum(data) / 100  # tasks of a busy machine take longer, never shorter
    estimate = executor.estimate(nap, iter(data))
    assert estimate.tasks == 60
    assert estimate.sample.results() == [data[place] for place in estimate.places]
    assert len(estimate.places) == 10
    low, high = estimate.work.total_s
    assert 0 < low < high
    assert high > naps_s
    slots = executor.workers
    assert estimate.at(slots).seconds.high > naps_s / slots
    assert estimate.at(10**6) == estimate.at(60)
    forecasts = estimate.forecasts()
    assert forecasts[-1].concurrency == slots
    shown = repr(estimate).splitlines()
    assert re.fullmatch(r"60 tasks, judged by 10 of them: .* to .* of work", shown[0])
    assert re.fullmatch(rf"  {slots} at once: .* to .*", shown[-1])
    if executor.backend.prices is None:
        assert all(each.dollars is None for each in forecasts)
    else:
        assert forecasts[-1].dollars.high > executor.backend.prices.request_dollars(naps_s)
        assert re.search(r", \$0\.\d+ to \$0\.\d+$|, \$\d.*e-\d+ to \$\d.*$", shown[-1])


def test_what_cannot_be_estimated_is_refused_before_anything_runs(executor):
    with pytest.raises(wrenlite.ConfigError, match=r"sample=2: must be a whole number from 3"):
        executor.estimate(nap, [1], sample=2)
    with pytest.raises(wrenlite.ConfigError, match="data is empty"):
        executor.estimate(nap, [])
    with pytest.raises(wrenlite.ItemNotPicklable, match="item 17"):
        executor.estimate(nap, itertools.chain(range(17), [(each for each in ())]))
    with pytest.raises(wrenlite.ConfigError, match="data has futures in it"):
        executor.estimate(nap, executor.map(nap, [0]))
    estimate = executor.estimate(nap, [0, 0])
    for wrong in (0, -1, 2.5, "a", None, True):
        with pytest.raises(wrenlite.ConfigError, match="concurrency="):
            estimate.at(wrong)
    with pytest.raises(wrenlite.ConfigError, match=r"chunksize"):
        executor.estimate(nap, [1], chunksize=3)


def test_a_task_of_the_sample_that_fails_names_its_item(executor):
    with pytest.raises(ZeroDivisionError) as caught:
        executor.estimate(lambda n: 1 // n, [5, 0, 3])
    assert "wrenlite: task 1 of the sample is data[1] of estimate" in caught.value.__notes__
