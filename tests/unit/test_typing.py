"""What editors and mypy know of the public interface."""

import concurrent.futures
import subprocess
import sys

import pytest

import wrenlite

PROGRAM = """
import asyncio
from collections.abc import Sequence
from typing import assert_type

import wrenlite
from wrenlite import Executor, Future, Job, OpenJob


def half(n: int) -> float:
    return n / 2


def total(values: Sequence[float]) -> str:
    return str(sum(values))


with Executor() as executor:
    job = executor.map(half, [1, 2, 3], retries=1)
    assert_type(job, Job[float])
    assert_type(job[0], Future[float])
    assert_type(job[:2], list[Future[float]])
    assert_type(job.results(), list[float])
    assert_type(job.results(return_exceptions=True), list[float | BaseException])
    assert_type(list(job.values()), list[float])
    assert_type(list(job.as_completed()), list[Future[float]])
    assert_type(job[0].result(), float)
    assert_type(executor.starmap(half, [(1,)]), Job[float])
    assert_type(executor.submit(half, 1), Future[float])
    assert_type(executor.submit(half, n=1).result(), float)
    assert_type(executor.submit(half, 1, retries=2, progress=False), Future[float])
    assert_type(executor.map(half, [1], retries=wrenlite.Retry(3, on=OSError, delay_s=2)), Job[float])
    assert_type(executor.submit(half, 1, retries=wrenlite.Retry(3, on=(OSError, KeyError))), Future[float])
    with executor.stream(half) as calls:
        assert_type(calls, OpenJob[float])
        assert_type(calls.submit(1), Future[float])
    assert_type(executor.map(half, [1], cache=True).cached, int)
    assert_type(executor.submit(half, 1, cache=True), Future[float])
    assert_type(executor.map_reduce(half, [1], total), Future[str])
    assert_type(executor.map_reduce(half, [1], sorted), Future[list[float]])
    assert_type(executor.call_async(half, 1), Future[float])
    assert_type(wrenlite.get_all_results([job[0]]), list[float])
    executor.submit(half, "1")  # error: an argument of another type
    executor.map(half, [1], retry=1)  # error: an option of another name


async def main() -> None:
    assert_type(await executor.map(half, [1]), list[float])
    assert_type(await executor.submit(half, 1), float)
    assert_type([value async for value in executor.map(half, [1]).values()], list[float])
    assert_type([value async for value in executor.map(half, [1], buffersize=2)], list[float])


asyncio.run(main())
"""


@pytest.mark.e2e
def test_mypy_knows_the_types_of_jobs_futures_and_values(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    errors = (line for line in done.stdout.splitlines() if ": error:" in line)
    wrong = list(dict.fromkeys(int(line.split(":")[1]) for line in errors))
    expected = [number for number, line in enumerate(PROGRAM.splitlines(), 1) if "# error:" in line]
    assert wrong == expected, done.stdout
    assert len(expected) == 2


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def test_completion_offers_only_what_is_for_users():
    assert public(wrenlite) == set(wrenlite.__all__)
    with wrenlite.Executor.inline() as executor:
        job = executor.map(abs, [-1])
        assert public(job) - {"count", "index"} == {  # these two are every sequence's
            *("id", "name", "backend", "wait", "results", "values", "as_completed", "cancel", "cancel_tasks"),
            *(
                "state",
                "value",
                "exception",
                "errors",
                "logs",
                "stats",
                "cached",
                "to_pandas",
                "plot",
                "report",
                "cost",
                "snapshot",
                "advice",
                "refs",
                "detach",
                "retry_failed",
                "token",
                "add_done_callback",
            ),
        }
        with executor.stream(abs) as calls:
            assert public(calls) == public(job) | {"submit", "close"}
        own = {"job", "index", "stats", "logs", "succeeded", "errored"}
        assert public(job[0]) == public(concurrent.futures.Future()) | own
        assert public(executor) == {
            *(
                "backend",
                "publish",
                "workers",
                "map",
                "starmap",
                "map_reduce",
                "estimate",
                "warm",
                "submit",
                "stream",
                "call_async",
                "put",
                "cost",
                "as_concurrent",
            ),
            *("local", "inline", "aws", "shutdown"),
        }
