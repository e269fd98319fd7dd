"""``map_reduce`` on every backend: values go from worker to worker through the store, not the client."""

import asyncio
import concurrent.futures
import gc
import os
import time
import weakref

import numpy as np
import pytest

import wrenlite
from wrenlite.errors import ConfigError, FunctionNotPicklable, ResultNotPicklable


def test_the_reduction_takes_all_values_in_input_order(executor):
    future = executor.map_reduce(lambda x: x * x, range(50), list)
    assert future.result(timeout=60) == [x * x for x in range(50)]


def test_map_reduce_is_one_job_whose_last_task_is_the_reduction(executor):
    def total(values):
        print("summing up")
        return sum(values)

    future = executor.map_reduce(abs, [1, -2, 3], total)
    assert future.result(timeout=60) == 6
    assert len(future.job) == 4
    assert future.job.results() == [1, 2, 3, 6]
    assert [stats.state for stats in future.job.stats()] == ["done"] * 4
    assert future.logs() == "summing up\n" or executor.backend.runs_in_caller
    assert future.job.name == "abs → total"


def test_without_items_the_reduction_takes_an_empty_iterator(executor):
    assert executor.map_reduce(abs, [], list).result(timeout=60) == []


def test_the_reduction_takes_values_one_by_one(executor):
    def first(values):
        assert iter(values) is values
        return next(values)

    assert executor.map_reduce(lambda n: n + 1, range(9), first).result(timeout=60) == 1


def test_the_reduction_takes_large_values_and_classes_of_the_caller(executor):
    class Field:
        def __init__(self, n):
            self.pixels = np.full(100_000, n)

    def stack(fields):
        found = list(fields)
        assert all(type(field) is Field for field in found)
        whole = Field(0)
        whole.pixels = sum(field.pixels for field in found)
        return whole

    whole = executor.map_reduce(Field, range(5), stack).result(timeout=60)
    assert isinstance(whole, Field)
    assert (whole.pixels == 10).all()


def test_further_arguments_are_passed_to_the_map_function(executor):
    def scale(x, by, *, plus):
        return x * by + plus

    assert executor.map_reduce(scale, [1, 2], sum, args=(10,), kwargs={"plus": 1}).result(timeout=60) == 32


def test_a_task_that_fails_fails_the_reduction_with_its_own_exception(executor):
    def picky(x):
        if x == 2:
            raise LookupError("two")
        return x

    future = executor.map_reduce(picky, range(4), sum)
    with pytest.raises(LookupError, match="two") as caught:
        future.result(timeout=60)
    assert any("task 2 of" in note for note in caught.value.__notes__)
    future.job.wait(60)
    assert [each.result() for each in (future.job[0], future.job[3])] == [0, 3]
    assert list(future.job.errors()) == [2, 4], "the reduction, too"
    assert isinstance(future.exception(), LookupError)
    assert future.stats().started is None


@pytest.mark.parametrize("access", ["result", "values", "as_completed", "await"])
def test_values_may_be_read_before_the_reduction_takes_them(executor, tmp_path, access):
    def waits(n):
        while n == 3 and access != "none" and not (tmp_path / "go").exists() and not alone:
            time.sleep(0.01)
        return n

    async def awaited(future):
        return await future

    alone = executor.backend.runs_in_caller
    future = executor.map_reduce(waits, range(4), list)
    accesses = {
        "result": lambda: future.job[0].result(timeout=60),
        "values": lambda: next(future.job.values()),
        "as_completed": lambda: next(future.job.as_completed()).result(),
        "await": lambda: asyncio.run(awaited(future.job[1])),
    }
    accesses[access]()
    (tmp_path / "go").touch()
    assert future.result(timeout=60) == [0, 1, 2, 3]


def test_the_iterator_may_be_used_in_another_thread(executor):
    class Box:
        def __init__(self, n):
            self.n = n

    def sum_in_a_thread(boxes):
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            return threads.submit(lambda: sum(box.n for box in boxes)).result()

    assert executor.map_reduce(Box, range(5), sum_in_a_thread).result(timeout=60) == 10


def test_an_error_about_a_value_names_the_function_that_returned_it(executor):
    future = executor.map_reduce(lambda n: (n for _ in "ab"), [1], list)
    with pytest.raises(ResultNotPicklable, match=r"<lambda> returned a generator"):
        future.result(timeout=60)


def test_a_forked_process_does_not_remove_the_values(pool):
    future = pool.map_reduce(abs, range(3), sum)
    assert future.result() == 3
    child = os.fork()
    if not child:
        del future
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert future.job.results() == [0, 1, 2, 3]


def test_a_failed_reduction_raises_its_exception(executor):
    future = executor.map_reduce(abs, [1], lambda values: next(values) / 0)
    with pytest.raises(ZeroDivisionError):
        future.result(timeout=60)
    assert future.job[0].result() == 1


def test_a_retried_reduction_takes_all_values_again(executor, tmp_path):
    def flaky(values):
        found = list(values)
        if not (tmp_path / "been here").exists():
            (tmp_path / "been here").touch()
            raise OSError("the first time")
        return found

    future = executor.map_reduce(abs, [1, 2], flaky, retries=1)
    assert future.result(timeout=60) == [1, 2]
    assert [stats.attempts for stats in future.job.stats()] == [1, 1, 2]


def test_a_cancelled_task_cancels_the_reduction(executor, tmp_path):
    if executor.backend.runs_in_caller:
        pytest.skip("every task has run when map_reduce returns")

    def wait_for_go(n):
        while n and not (tmp_path / "go").exists():
            time.sleep(0.01)
        return n

    future = executor.map_reduce(wait_for_go, [1, 0], list)
    assert future.job[0].cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(timeout=60)
    assert future.job[1].result(timeout=60) == 0


def test_functions_that_cannot_be_called_or_pickled_are_refused_before_anything_runs(executor, tmp_path):
    with pytest.raises(ConfigError, match="reduce_fn=3"):
        executor.map_reduce(abs, [1], 3)
    with pytest.raises(ConfigError, match="map_fn=None"):
        executor.map_reduce(None, [1], sum)
    with open(tmp_path / "file", "w") as file, pytest.raises(FunctionNotPicklable, match="file"):
        executor.map_reduce(abs, [1], lambda values: file)


def test_the_values_do_not_pass_through_the_client(bed):
    with wrenlite.Executor.aws(max_concurrency=4) as aws:
        future = aws.map_reduce(lambda n: b"x" * n, [3_000_000] * 4, lambda values: sum(map(len, values)))
        assert future.result(timeout=60) == 12_000_000
    counts = bed.counts()
    assert counts["PutObject"] == 1 + 4, "the function, and each value"
    assert counts["GetObject"] == 4, "each value by the reduction; the function came along"


def test_on_local_cores_the_values_are_removed_after_the_job():
    with wrenlite.Executor.local(1) as executor:
        future = executor.map_reduce(abs, range(3), sum)
        assert future.result() == 3
        root = executor.backend.store.root
        assert len(list(executor.backend.store.list("results/"))) == 3
        job_ref = weakref.ref(future.job)
        del future
        deadline = time.monotonic() + 10
        while job_ref() is not None and time.monotonic() < deadline:
            gc.collect()  # the dispatcher's thread drops the job a moment after its end
        executor.submit(abs, 1).result()
        assert not list(executor.backend.store.list("results/")), "the next job sweeps"
    assert not os.path.exists(root)


def test_functions_may_have_any_name(executor):
    for name in ("n" * 300, "名" * 100, "<>", "", "\ud800", "a/../b\0c"):

        def double(x):
            return 2 * x

        double.__qualname__ = name
        future = executor.map_reduce(double, [1, 2], sum)
        assert future.result() == 6
        assert len(future.job.id.encode()) <= 70
