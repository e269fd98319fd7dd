"""Timeouts of waiting, with a store that takes its time: they bound the fetching of values, too."""

import asyncio
import threading
from dataclasses import replace

import pytest

import wrenlite
from wrenlite.backends.local import connect_inline
from wrenlite.protocol import Limits


class SlowStore:
    """The store of a backend, which gives no value before the event ``opened``."""

    def __init__(self, store):
        self.store = store
        self.opened = threading.Event()
        self.gets = 0

    def __getattr__(self, name):
        return getattr(self.store, name)

    def get(self, key, span=None):
        if key.startswith("results/"):
            self.gets += 1
            assert self.opened.wait(60)
        return self.store.get(key, span)


@pytest.fixture
def slow():
    """An inline executor that leaves each value in a slow store."""
    backend = connect_inline()
    store = SlowStore(backend.store)
    with wrenlite.Executor(replace(backend, store=store, limits=Limits(reply_bytes=0))) as executor:
        executor.slow_store = store
        yield executor
        store.opened.set()


def fail(n):
    raise ValueError(n)


WAYS = {
    "results": lambda job, seconds: job.results(timeout=seconds),
    "results with exceptions": lambda job, seconds: job.results(return_exceptions=True, timeout=seconds),
    "result": lambda job, seconds: [future.result(seconds) for future in job],
    "exception": lambda job, seconds: [future.exception(seconds) or future.index for future in job],
    "values": lambda job, seconds: list(job.values(timeout=seconds)),
    "values in order of ending": lambda job, seconds: list(job.values(ordered=False, timeout=seconds)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("count", [1, 3])
def test_a_timeout_bounds_the_fetching_and_a_later_call_gets_the_values(slow, way, count):
    job = slow.map(abs, range(count))
    for _ in range(2):
        with pytest.raises(TimeoutError, match=f"task 0 of {job.id} has ended, but what it returned was not"):
            way(job, 0.05)
    assert slow.slow_store.gets <= count, "a fetch that goes on is not begun again"
    slow.slow_store.opened.set()
    assert way(job, 60) == list(range(count))


def test_a_timeout_bounds_the_fetching_of_an_exception(slow):
    job = slow.map(fail, [1, 2])
    for wait in (job.results, job[0].result, job[0].exception):
        with pytest.raises(TimeoutError, match=f"task 0 of {job.id}"):
            wait(timeout=0.05)
    slow.slow_store.opened.set()
    with pytest.raises(ValueError, match="1"):
        job.results(timeout=60)
    assert job[1].exception(60).args == (2,)


def test_the_timeout_of_a_standard_map_bounds_the_fetching(slow):
    values = slow.as_concurrent().map(abs, [-1, -2], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(values)
    slow.slow_store.opened.set()
    assert list(slow.as_concurrent().map(abs, [-1, -2], timeout=60)) == [1, 2]


def stop(_):
    raise StopIteration("enough")


def test_awaiting_a_stored_stop_iteration_ends(slow):
    async def awaited(awaitable):
        return await awaitable

    slow.slow_store.opened.set()
    job = slow.map(stop, [1])
    for awaitable in (job[0], slow.map(stop, [1])):
        with pytest.raises(RuntimeError, match="a task raised StopIteration"):
            asyncio.run(awaited(awaitable))
