"""asyncio around executors: ``async with``, task groups and ``run_in_executor``, on every backend."""

import asyncio
import os
from pathlib import Path

import pytest

import wrenlite


def double(x):
    if x < 0:
        raise ValueError(x)
    return 2 * x


async def value_of(future):
    return await future


@pytest.fixture
def gate(tmp_path):
    """A pipe that tasks read from, until somebody writes."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


def test_an_executor_is_an_asynchronous_context_manager(executor):
    async def main():
        async with executor as entered:
            assert entered is executor
            future = executor.submit(double, 2)
            job = executor.map(double, range(3))
            values = [value async for value in executor.map(double, range(2)).values()]
            return values, {await each async for each in job.as_completed()}, await future

    assert asyncio.run(main()) == ([0, 2], {0, 2, 4}, 4)
    with pytest.raises(wrenlite.ExecutorClosed):
        executor.map(double, [1])


def test_leaving_waits_for_tasks_and_the_loop_goes_on(gate):
    async def main():
        async def leave():
            async with wrenlite.Executor.local(1, progress=False) as executor:
                futures.append(executor.submit(Path.read_text, gate))

        futures = []
        leaving = asyncio.create_task(leave())
        await asyncio.to_thread(gate.write_text, "open")  # blocks until the task has opened it
        await leaving
        return futures[0].result()

    assert asyncio.run(main()) == "open"


def test_cancelling_while_leaving_cancels_the_tasks(gate):
    futures = []

    async def main():
        async with asyncio.timeout(0.2), wrenlite.Executor.local(1, progress=False) as executor:
            futures.append(executor.submit(Path.read_text, gate))

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert futures[0].cancelled()


def test_an_error_inside_is_raised_and_the_tasks_end(executor):
    async def main():
        async with executor:
            job = executor.map(double, range(3))
            raise KeyError("mine")
        return job

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(main())


def test_futures_in_a_task_group(executor):
    async def main():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(value_of(future)) for future in executor.map(double, range(5))]
        return [task.result() for task in tasks]

    assert asyncio.run(main()) == [0, 2, 4, 6, 8]


def test_a_failure_cancels_the_other_futures_of_the_group(pool, gate):
    slow = pool.submit(Path.read_text, gate)

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(value_of(slow))
            group.create_task(value_of(pool.submit(double, -1)))

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert [type(error) for error in caught.value.exceptions] == [ValueError]
    assert slow.exception is not None
    assert pool.submit(abs, -1).result() == 1
    assert slow.cancelled()


def test_run_in_executor(executor):
    standard = executor.as_concurrent()

    async def main():
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(standard, double, x) for x in range(3)]
        with pytest.raises(ValueError, match="-1"):
            await loop.run_in_executor(standard, double, -1)
        return await asyncio.gather(*calls)

    assert asyncio.run(main()) == [0, 2, 4]


def test_waiting_with_asyncio(executor):
    async def main():
        futures = list(executor.map(double, range(3)))
        done, _ = await asyncio.wait([asyncio.ensure_future(future) for future in futures])
        async with asyncio.timeout(60):
            return sorted(task.result() for task in done), await asyncio.wait_for(futures[0], 60)

    assert asyncio.run(main()) == ([0, 2, 4], 0)
