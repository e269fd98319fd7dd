"""``Executor.warm`` on every backend."""

import pytest

import wrenlite


def test_the_next_map_has_no_cold_start(executor, request):
    if executor.backend.prices is not None:
        request.getfixturevalue("bed").kill_sandboxes()
    slots = executor.workers
    warmed = executor.warm(slots)
    assert warmed.workers == slots
    if not executor.backend.runs_in_caller:
        assert warmed.started == slots
    job = executor.map(abs, range(slots), chunksize=1)
    job.results()
    assert not any(stats.cold for stats in job.stats())
    assert executor.warm(1).started == 0
    assert (warmed.cost.dollars > 0) == (executor.backend.prices is not None)
    assert str(warmed).startswith(f"{slots} worker")


def test_what_cannot_be_warmed_is_refused(executor):
    for wrong in (0, -1, 2.5, "a", None, True):
        with pytest.raises(wrenlite.ConfigError, match=r"warm\(.*whole number from 1"):
            executor.warm(wrong)
    with pytest.raises(wrenlite.ConfigError, match=r"warm\(100000\): .* at most"):
        executor.warm(100_000)
