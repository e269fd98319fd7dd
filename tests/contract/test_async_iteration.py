"""``async for`` over the values and the futures of a job, on every backend."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

import wrenlite


def double(x):
    if x < 0:
        raise ValueError(x)
    return 2 * x


def large(n):
    return bytes(n)


async def all_of(iterator):
    return [each async for each in iterator]


def test_values_come_in_order(executor):
    job = executor.map(double, range(20))
    assert asyncio.run(all_of(job.values())) == [2 * x for x in range(20)]
    assert asyncio.run(all_of(executor.map(double, []).values())) == []
    later = executor.map(double, range(20)).values(ordered=False)
    assert sorted(asyncio.run(all_of(later))) == [2 * x for x in range(20)]


def test_futures_come_as_they_end(executor):
    job = executor.map(double, range(20))
    futures = asyncio.run(all_of(job.as_completed()))
    assert {future.index for future in futures} == set(range(20))
    assert all(future.done() for future in futures)


def test_one_iterator_may_be_read_in_both_ways(executor):
    values = executor.map(double, range(4)).values()
    assert next(values) == 0

    async def second():
        return await anext(values)

    assert asyncio.run(second()) == 2
    assert list(values) == [4, 6]


def test_values_of_data_that_is_read_meanwhile(executor):
    read_by = set()

    def data():
        for x in range(50):
            read_by.add(threading.current_thread())
            yield x

    values = executor.map(double, data(), buffersize=4)
    assert asyncio.run(all_of(values)) == [2 * x for x in range(50)]
    assert read_by == {threading.main_thread()}


@pytest.mark.e2e
def test_values_that_the_store_holds(bed):
    read_by = set()

    def data():
        for _ in range(6):
            read_by.add(threading.current_thread())
            yield 7_000_000

    with wrenlite.Executor.aws(max_concurrency=2, progress=False) as executor:
        assert list(map(len, asyncio.run(all_of(executor.map(large, data()).values())))) == [7_000_000] * 6
        lazy = executor.map(large, data(), buffersize=2)
        assert list(map(len, asyncio.run(all_of(lazy)))) == [7_000_000] * 6
    assert read_by == {threading.main_thread()}


def test_an_exception_is_raised_in_its_turn_and_the_rest_comes(executor):
    values = executor.map(double, [1, -1, 3]).values()

    async def read():
        assert await anext(values) == 2
        with pytest.raises(ValueError, match="-1"):
            await anext(values)
        return [value async for value in values]

    assert asyncio.run(read()) == [6]


def test_an_exception_in_the_data_is_raised_behind_the_values_before_it(executor):
    def data():
        yield 1
        raise KeyError("no more")

    got = []

    async def read():
        async for value in executor.map(double, data(), buffersize=4):
            got.append(value)

    with pytest.raises(KeyError, match="no more"):
        asyncio.run(read())
    assert got == [2]


@pytest.fixture
def gate(tmp_path):
    """A pipe that tasks read from, until somebody writes."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


@pytest.mark.parametrize("way", ["values", "as_completed", "buffersize"])
def test_the_loop_goes_on_while_tasks_run(pool, gate, way):
    if way == "buffersize":
        items = pool.map(Path.read_text, [gate], buffersize=2)
    else:
        items = getattr(pool.map(Path.read_text, [gate]), way)()

    async def open_the_gate():
        await asyncio.to_thread(gate.write_text, "open")  # blocks until the task has opened it

    async def both():
        items_read, _ = await asyncio.gather(all_of(items), open_the_gate())
        return items_read

    (item,) = asyncio.run(both())
    assert (item.result() if way == "as_completed" else item) == "open"


def test_others_run_between_values_that_are_there(executor):
    job = executor.map(double, range(10))
    job.wait()
    steps = []

    async def reader():
        async for value in job.values():
            steps.append(value)

    async def other():
        for _ in range(3):
            steps.append("other")
            await asyncio.sleep(0)

    async def both():
        await asyncio.gather(reader(), other())

    asyncio.run(both())
    assert "other" in steps[:3]


@pytest.mark.parametrize("way", ["values", "as_completed", "buffersize"])
def test_a_cancelled_loop_cancels_the_job(pool, gate, way):
    lazy = pool.map(Path.read_text, [gate] * 3, buffersize=3) if way == "buffersize" else None
    job = lazy.job if lazy is not None else pool.map(Path.read_text, [gate] * 3)
    items = lazy if lazy is not None else getattr(job, way)()

    async def read():
        async with asyncio.timeout(0.05):
            await all_of(items)

    with pytest.raises(TimeoutError):
        asyncio.run(read())
    assert job.wait(30)
    assert job.snapshot().cancelled == 3


@pytest.mark.parametrize("way", ["values", "as_completed"])
def test_a_timeout_is_for_all_items_together(pool, gate, way):
    job = pool.map(Path.read_text, [gate])
    with pytest.raises(TimeoutError, match="has not ended in time"):
        asyncio.run(all_of(getattr(job, way)(timeout=0.05)))
    assert job.cancel() == 1


def test_an_open_job_ends_when_it_is_closed(pool):
    async def produce(job):
        for x in range(5):
            job.submit(x)
            await asyncio.sleep(0)
        job.close()

    async def both(job):
        values, _ = await asyncio.gather(all_of(job.values()), produce(job))
        return values

    assert asyncio.run(both(pool.stream(double))) == [0, 2, 4, 6, 8]
