"""``map_reduce`` on every backend: the reduction takes the values of the other tasks, as a sequence."""

import asyncio
import collections.abc
import concurrent.futures
import copy
import functools
import gc
import itertools
import os
import random
import statistics
import time
import weakref

import numpy as np
import pytest

import wrenlite
from tests.machine import wait_for_uploads
from wrenlite.errors import (
    ConfigError,
    FunctionNotPicklable,
    IntegrityError,
    NotFound,
    RemoteError,
    ResultNotPicklable,
)

LARGE = 100_000
"""Bytes of a value that goes through the store."""
SIZES = pytest.mark.parametrize("size", [8, LARGE], ids=["small", "large"])


def padded(item):
    """Return a number in a value of so many bytes."""
    number, size = item
    return np.full(size // 8, number)


def numbers(count, size):
    return [(number, size) for number in range(count)]


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


def test_without_items_the_reduction_takes_an_empty_sequence(executor):
    def reduce(values):
        return len(values), list(values), list(values[:3]), bool(values)

    assert executor.map_reduce(abs, [], reduce).result(timeout=60) == (0, [], [], False)


def test_the_values_may_be_used_any_number_of_times(executor):
    def reduce(values):
        return sum(values), sum(values), max(values) - min(values), [*zip(values, values, strict=True)][-1]

    assert executor.map_reduce(abs, [1, 2, 3], reduce).result(timeout=60) == (6, 6, 2, (3, 3))


@SIZES
def test_the_values_are_a_sequence(executor, size):
    def reduce(values):
        def firsts(arrays):
            return [int(array[0]) for array in arrays]

        assert isinstance(values, collections.abc.Sequence)
        assert (len(values), len(values[2:]), bool(values)) == (5, 3, True)
        assert firsts(values) == firsts(values) == [0, 1, 2, 3, 4]
        assert firsts(values[n] for n in (3, np.int64(0), -1, -5)) == [3, 0, 4, 0]
        assert firsts(reversed(values)) == [4, 3, 2, 1, 0]
        slices = values[1:4], values[::-2], values[1:][1:][-1:], values[9:]
        assert [firsts(part) for part in slices] == [[1, 2, 3], [4, 2, 0], [4], []]
        assert [(int(a[0]), int(b[0])) for a in values[:2] for b in values[3:]] == [
            (0, 3),
            (0, 4),
            (1, 3),
            (1, 4),
        ]
        assert [int(a[0] + b[0]) for a, b in itertools.pairwise(values)] == [1, 3, 5, 7]
        assert repr(values) == "<5 values of map_reduce>"
        assert repr(values[:1]) == "<1 value of map_reduce>"
        for wrong in (5, -6):
            with pytest.raises(IndexError, match=f"5 values, and none with the index {wrong}"):
                values[wrong]
        with pytest.raises(TypeError):
            values["a"]
        with pytest.raises(TypeError):
            values[0] = 1
        match values:
            case [first, *_, last]:
                return int(first[0]), int(last[0])

    assert executor.map_reduce(padded, numbers(5, size), reduce).result(timeout=60) == (0, 4)


def test_small_and_large_values_come_in_the_order_of_the_items(executor):
    sizes = [LARGE if n in (3, 4, 40, 99) else 8 for n in range(100)]

    def reduce(arrays):
        return [[int(array[-1]) for array in part] for part in (arrays, reversed(arrays), arrays[3:41:37])]

    forwards, backwards, part = executor.map_reduce(
        padded, zip(range(100), sizes, strict=True), reduce
    ).result(60)
    assert forwards == backwards[::-1] == list(range(100))
    assert part == [3, 40]


def test_functions_that_take_sequences_take_the_values(executor):
    def reduce(values):
        assert 3 in values
        assert 9 not in values
        assert (values.index(2), values.count(1)) == (3, 1)
        assert sorted(values) == [1, 2, 3, 5]
        assert statistics.median(values) == 2.5
        assert functools.reduce(lambda a, b: a * b, values) == 30
        assert random.Random(1).choice(values) in (3, 1, 5, 2)
        assert np.array(values).tolist() == np.asarray(values[:]).tolist() == [3, 1, 5, 2]
        assert list(map(max, values, values[1:])) == [3, 5, 5]
        return True

    assert executor.map_reduce(abs, [3, -1, 5, -2], reduce).result(timeout=60)


@SIZES
def test_libraries_take_the_values(executor, size):
    def reduce(arrays):
        return np.stack(arrays).shape, np.concatenate(arrays).sum(), np.mean(arrays, axis=0)[0]

    shape, total, mean = executor.map_reduce(padded, numbers(3, size), reduce).result(timeout=60)
    assert (shape, total, mean) == ((3, size // 8), 3 * (size // 8), 1)


def test_pandas_takes_the_values(pool):
    def reduce(rows):
        import pandas as pd

        frames = [pd.DataFrame(rows), pd.concat(pd.DataFrame([row]) for row in rows)]
        return [frame["n"].tolist() for frame in frames], pd.Series(rows).map(len).tolist()

    future = pool.map_reduce(lambda n: {"n": n, "square": n * n}, range(3), reduce)
    assert future.result(timeout=60) == ([[0, 1, 2]] * 2, [2, 2, 2])


@SIZES
def test_a_sequence_that_is_returned_is_a_list_of_its_values(executor, size):
    for reduce in (lambda values: values, copy.copy, lambda values: {"in": values[:]}["in"]):
        values = executor.map_reduce(padded, numbers(3, size), reduce).result(timeout=60)
        assert type(values) is list
        assert [int(value[0]) for value in values] == [0, 1, 2]


@SIZES
def test_a_value_is_made_anew_whenever_it_is_asked_for(executor, size):
    def reduce(values):
        first = values[0]
        first[0] = 7
        held = weakref.ref(first)
        del first
        assert held() is None
        return int(values[0][0]), int(next(iter(values))[0])

    assert executor.map_reduce(padded, numbers(2, size), reduce).result(timeout=60) == (0, 0)


@pytest.mark.e2e
def test_values_may_be_larger_than_the_memory_of_a_worker():
    def reduce(values):
        total = sum(int(value[0]) for value in values)
        for value in values:
            total += int(value[-1])
        return total + sum(int(values[n][0]) for n in range(len(values)))

    with wrenlite.Executor.local(1, memory_limit="500MB", progress=False) as executor:
        future = executor.map_reduce(padded, numbers(80, 8 << 20), reduce)
        assert future.result(timeout=60) == 3 * sum(range(80))


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
def test_values_may_be_read_before_the_reduction_takes_them(executor, shared_path, access):
    def waits(n):
        while n == 3 and access != "none" and not (shared_path / "go").exists() and not alone:
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
    (shared_path / "go").touch()
    assert future.result(timeout=60) == [0, 1, 2, 3]


@SIZES
def test_other_threads_may_use_the_values(executor, size):
    class Box:
        def __init__(self, item):
            self.array = padded(item)

    def sums_in_threads(boxes):
        def by_index(number):
            return boxes[number].array[0]

        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            sums = [threads.submit(lambda: sum(box.array[0] for box in boxes)) for _ in range(4)]
            return [int(each.result()) for each in sums], sum(threads.map(by_index, range(len(boxes))))

    assert executor.map_reduce(Box, numbers(5, size), sums_in_threads).result(timeout=60) == ([10] * 4, 10)


@SIZES
def test_classes_of_the_caller_are_the_workers_own(executor, size):
    class Box:
        def __init__(self, item):
            self.array = padded(item)

    def reduce(boxes):
        assert all(type(box) is Box for box in [*boxes, boxes[1]])
        return boxes[1]

    box = executor.map_reduce(Box, numbers(2, size), reduce).result(timeout=60)
    assert type(box) is Box


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
    future = executor.map_reduce(abs, [1], lambda values: values[0] / 0)
    with pytest.raises(ZeroDivisionError):
        future.result(timeout=60)
    assert future.job[0].result() == 1


def test_a_retried_reduction_takes_all_values_again(executor, shared_path):
    def flaky(values):
        found = list(values)
        if not (shared_path / "been here").exists():
            (shared_path / "been here").touch()
            raise OSError("the first time")
        return found

    future = executor.map_reduce(abs, [1, 2], flaky, retries=1)
    assert future.result(timeout=60) == [1, 2]
    assert [stats.attempts for stats in future.job.stats()] == [1, 1, 2]


def test_a_cancelled_task_cancels_the_reduction(executor, shared_path):
    if executor.backend.runs_in_caller:
        pytest.skip("every task has run when map_reduce returns")

    def wait_for_go(n):
        while n and not (shared_path / "go").exists():
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


def test_large_values_do_not_pass_through_the_client(bed):
    with wrenlite.Executor.aws(max_concurrency=4) as aws:
        future = aws.map_reduce(lambda n: b"x" * n, [3_000_000] * 4, lambda values: sum(map(len, values)))
        assert future.result(timeout=60) == 12_000_000
    counts = bed.counts()
    assert counts["PutObject"] == 1 + 4, "the function, and each value"
    assert counts["GetObject"] == 4, "each value by the reduction; the function came along"


def test_small_values_go_into_the_request_of_the_reduction(bed):
    with wrenlite.Executor.aws(max_concurrency=4) as aws:
        aws.map_reduce(abs, range(100), sum).result(timeout=60)  # uploads the function
        wait_for_uploads()
        bed.reset()
        assert aws.map_reduce(abs, range(100), sum).result(timeout=60) == 4950
    assert set(bed.counts()) == {"Invoke"}


def test_small_values_that_do_not_fit_into_a_request_go_into_one_object(bed):
    with wrenlite.Executor.aws(max_concurrency=4) as aws:
        future = aws.map_reduce(bytes, [16_000] * 400, lambda values: sum(map(len, values)), chunksize=100)
        assert future.result(timeout=60) == 400 * 16_000
        (items,) = aws.backend.store.list(f"args/{future.job.id}/")
        assert 400 * 16_000 < items.size < 401 * 16_384
        assert not list(aws.backend.store.list(f"results/{future.job.id}/"))


def test_where_there_are_many_tasks_values_that_are_smaller_go_through_the_store():
    with wrenlite.Executor.local(1, memory_limit="100MB", progress=False) as executor:
        future = executor.map_reduce(bytes, [10_000] * 2_000, lambda values: sum(map(len, values)))
        assert future.result(timeout=60) == 20_000_000
        stored = sum(1 for _ in executor.backend.store.list("results/"))
        assert stored == 2_000


def test_on_local_cores_the_values_are_removed_after_the_job():
    with wrenlite.Executor.local(1) as executor:
        future = executor.map_reduce(padded, numbers(3, LARGE), len)
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


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (
            lambda store, key: store.delete([key]),
            NotFound,
            r"the value of task 1 has expired; run it again",
        ),
        (
            lambda store, key: store.put(key, b"other"),
            IntegrityError,
            r"^the value of task 1: .* was changed or damaged: its digest is",
        ),
    ],
    ids=["expired", "changed"],
)
def test_a_stored_value_that_is_gone_or_changed_is_named(executor, shared_path, spoil, error, words):
    root = getattr(executor.backend.store, "root", None)
    alone = executor.backend.runs_in_caller

    def spoil_one(store):
        for key in [entry.key for entry in store.list("results/") if entry.key.endswith("/1")]:
            spoil(store, key)

    def value(n):
        if n == 3 and alone:
            spoil_one(wrenlite.open_store(root))
        while n == 3 and not alone and not (shared_path / "go").exists():
            time.sleep(0.01)
        return bytes(LARGE)

    def reduce(values):
        assert len(values[0]) == len(values[-1]) == LARGE
        errors = []
        for take in (list, lambda values: values[1]):
            try:
                take(values)
            except wrenlite.WrenliteError as error:
                errors.append(str(error))
        assert len(set(errors)) == 1
        return sum(map(len, values))

    future = executor.map_reduce(value, range(4), reduce, chunksize=1)
    if not alone:
        concurrent.futures.wait(list(future.job)[:3], timeout=60)
        spoil_one(executor.backend.store)
        (shared_path / "go").touch()
    with pytest.raises(error, match=words):
        future.result(timeout=60)


def test_a_value_that_cannot_be_unpickled_where_it_is_reduced_is_named(executor):
    class Fragile:
        def __init__(self, n):
            self.n = n

        def __setstate__(self, state):
            if state["n"] == 2:
                raise LookupError("not here")
            self.__dict__.update(state)

    def reduce(values):
        assert [value.n for value in values[:2]] == [0, 1]
        assert values[-1].n == 3
        return values[2]

    with pytest.raises(RemoteError, match="value of task 2 cannot be unpickled where it is reduced: Lookup"):
        executor.map_reduce(Fragile, range(4), reduce).result(timeout=60)


def test_functions_may_have_any_name(executor):
    for name in ("n" * 300, "名" * 100, "<>", "", "\ud800", "a/../b\0c"):

        def double(x):
            return 2 * x

        double.__qualname__ = name
        future = executor.map_reduce(double, [1, 2], sum)
        assert future.result() == 6
        assert len(future.job.id.encode()) <= 70
