"""Values of tasks as arguments of later maps, on every backend: futures, jobs, slices of jobs, and refs."""

import concurrent.futures
import copy
import dataclasses
import gc
import threading

import numpy as np
import pytest

import wrenlite
from tests.aws.tasks import wait_until
from tests.machine import wait_for_uploads


def double(x):
    return 2 * x


def fails(x):
    raise ValueError(f"no value of {x}")


@dataclasses.dataclass
class Point:
    x: int


def test_a_task_gets_the_values_of_futures_in_its_arguments(executor):
    first = executor.submit(double, 1)
    second = executor.submit(double, first)
    total = executor.submit(lambda *args, last: (*args, last), first, [second, {"x": first}], last=second)
    assert total.result() == (2, [4, {"x": 2}], 4)
    assert (first.result(), second.result()) == (2, 4)


def test_a_job_is_data_of_a_map_and_a_slice_of_it_is_a_list_of_values(executor):
    job = executor.map(double, range(6))
    assert executor.map(double, job).results() == [0, 4, 8, 12, 16, 20]
    assert executor.map(double, job[4:]).results() == [16, 20]
    assert executor.map(sum, [job, job[:3]]).results() == [30, 6]
    assert executor.starmap(pow, [(job[1], 3), (2, job[2])]).results() == [8, 16]
    assert executor.map_reduce(double, job, sum).result() == 60


def test_fixed_arguments_may_be_futures(executor):
    base = executor.submit(double, 5)
    job = executor.map(lambda n, a, b: (n, a, b), [1, 2], args=(base,), kwargs={"b": base})
    assert job.results() == [(1, 10, 10), (2, 10, 10)]
    job = executor.starmap(lambda n, m, a: n + m + a, [(1, 2), (3, 4)], args=(base,))
    assert job.results() == [13, 17]


def test_classes_and_functions_keep_their_identity(executor):
    class Mark:
        pass

    def check(mark, other):
        return type(mark) is Mark and type(other) is Mark and Point(3)

    marks = executor.map(lambda _: Mark(), range(2))
    checked = executor.submit(check, marks[0], marks[1])
    assert executor.submit(lambda point: type(point) is Point and point, checked).result() == Point(3)
    assert type(marks[0].result()) is Mark


def test_no_object_is_shared_by_two_tasks_that_take_one_value(executor):
    value = executor.submit(lambda: [1])
    changed = executor.map(lambda each: each.append(2) or each, [value, value])
    assert changed.results() == [[1, 2], [1, 2]]
    assert value.result() == [1]


def test_one_value_in_two_places_of_an_item_is_one_object(executor):
    value = executor.submit(lambda: [1])
    assert executor.submit(lambda pair: pair[0] is pair[1], (value, value)).result() is True


def test_large_arrays_arrive_whole_and_can_be_changed(executor):
    made = executor.map(lambda n: np.full(300_000, n, float), range(3))

    def change(array):
        array += 1
        return float(array.sum())

    assert executor.map(change, made).results() == [300_000.0, 600_000.0, 900_000.0]
    assert [float(array[0]) for array in made.results()] == [0.0, 1.0, 2.0]


def test_a_value_that_was_read_is_sent_as_it_is_now(executor):
    made = executor.map(lambda n: [n], range(2))
    made.results()[0].append("changed here")
    assert executor.map(lambda each: each, made).results() == [[0, "changed here"], [1]]


def test_a_value_that_was_handed_out_is_refused_before_anything_is_sent(executor):
    made = executor.map(lambda n: [n], range(2))
    assert list(made.values()) == [[0], [1]]
    with pytest.raises(wrenlite.ValueReleased, match=f"task 0 of {made.id}"):
        executor.map(double, made)


def test_a_task_whose_source_failed_does_not_run_and_names_the_cause(executor):
    bad = executor.submit(fails, 1)
    after = executor.submit(double, bad)
    later = executor.map(lambda pair: pair, [(after, 1), 2])
    with pytest.raises(wrenlite.DependencyFailed) as caught:
        after.result()
    after_name = f"task {after.index} of {after.job.id}"
    assert str(caught.value) == (
        f"{after_name} did not run: it takes the value of task 0 of {bad.job.id}, which failed: ValueError: "
        "no value of 1"
    )
    assert caught.value.__cause__ is bad.exception()
    error = later.exception(0) if later.wait() else None
    assert isinstance(error, wrenlite.DependencyFailed)
    assert str(error).endswith(
        f"{after_name}, which did not run, because of task 0 of {bad.job.id}, which "
        "failed: ValueError: no value of 1"
    )
    assert error.__cause__ is bad.exception()
    assert later.value(1) == 2
    assert (after.stats().attempts, later.state(0)) == (0, "failed")


@pytest.mark.parametrize(
    "executor", ["inline", "process", pytest.param("aws", marks=pytest.mark.full)], indirect=True
)
def test_a_long_chain_fails_as_a_whole(executor):
    last = first = executor.submit(fails, 1)
    for _ in range(1_100):  # Python's limit of recursion is 1,000
        last = executor.submit(double, last)
    assert last.exception().__cause__ is first.exception()


def test_futures_of_another_executor_and_in_closures_are_refused(executor):
    value = executor.submit(double, 1)
    with wrenlite.Executor.inline() as other, pytest.raises(wrenlite.ConfigError) as caught:
        other.map(double, [value])
    assert str(caught.value).startswith(f"task {value.index} of {value.job.id} is of another executor")
    with pytest.raises(wrenlite.FunctionNotPicklable, match=r"a future cannot be sent .*in args= of map"):
        executor.map(lambda _: value, [1])


def test_only_fixed_arguments_with_futures_travel_with_items(executor):
    value, pair = executor.submit(double, 1), executor.submit(lambda: (1, 2))

    def fill(*args, **kwargs):
        return args, kwargs

    shared = executor.map(fill, [0], args=([1], [value], 3), kwargs={"a": {"b": value}, "c": 4})
    assert shared.results() == [((0, [1], [2], 3), {"a": {"b": 2}, "c": 4})]
    starred = executor.starmap(fill, [pair, (3, 4)], args=(value,))
    assert starred.results() == [((1, 2, 2), {}), ((3, 4, 2), {})]
    assert value.result() == 2
    assert executor.map(fill, [0], args=(pair,)).results() == [((0, (1, 2)), {})]
    seeded = executor.map(lambda n, v, rng: (n, v, rng.random() < 1), [1], args=(value,), seed=1)
    assert seeded.results() == [(1, 2, True)]


def test_what_is_at_fault_in_an_item_is_not_the_future(executor):
    value = executor.submit(double, 1)
    with pytest.raises(wrenlite.ItemNotPicklable, match=r"argument 0\[1\] \(type lock\)"):
        executor.submit(double, [value, threading.Lock()])


def test_the_cause_of_a_failed_reduction_is_the_first_failure(executor):
    bad = executor.submit(fails, 1)
    last = executor.map_reduce(double, [bad], sum)
    for _ in range(300):
        last = executor.map_reduce(double, [last], sum)
    assert executor.submit(double, last).exception().__cause__ is bad.exception()


def test_a_future_in_a_class_or_function_of_an_item_is_refused(executor):
    value = executor.submit(double, 1)

    class Holds:
        source = value

    with pytest.raises(wrenlite.ItemNotPicklable, match="a future cannot be sent"):
        executor.submit(double, Holds())


def test_a_value_that_cannot_be_unpickled_names_its_task(executor):
    class Odd:
        def __reduce__(self):
            return int, ("no number",)

    odd = executor.submit(lambda: Odd())
    error = executor.submit(double, odd).exception()
    assert isinstance(error, wrenlite.RemoteError)
    assert f"the value of task {odd.index} of {odd.job.id} cannot be unpickled: ValueError" in str(error)


def test_copies_of_a_ref_and_objects_with_refs_keep_the_values(executor):
    kept = executor.map(lambda n: np.full(20_000, n), [3], keep=True)
    [ref] = kept.refs()
    copied, uploaded = copy.deepcopy([ref]), executor.put({"ref": ref})
    del kept, ref
    gc.collect()
    assert executor.map(lambda item: int(item[0][0]), [copied]).results() == [3]
    del copied
    gc.collect()
    assert executor.map(lambda item: int(item["ref"][0]), [uploaded]).results() == [3]


def test_kept_values_that_were_handed_out_can_be_passed_on(executor):
    kept = executor.map(lambda n: [n], range(2), keep=True)
    assert list(kept.values()) == [[0], [1]]
    assert executor.map(double, kept).results() == [[0, 0], [1, 1]]


def test_streams_and_lazy_maps_take_futures(executor):
    value = executor.submit(double, 1)
    with executor.stream(double) as calls:
        first = calls.submit(value)
        calls.submit(3)
        calls.submit(first)
    assert calls.results() == [4, 6, 8]
    assert list(executor.map(double, iter([value, 5, calls[2]]), buffersize=1)) == [4, 10, 16]


def test_kept_values_are_in_the_store_until_the_last_holder_is_gone(executor):
    store = executor.backend.store

    def stored(job_id):
        executor.submit(double, 0).result()  # what nobody holds any more is deleted with the next job
        wait_for_uploads()
        return len(list(store.list(f"results/{job_id}/")))

    kept = executor.map(lambda n: np.full(20_000, n), range(3), keep=True)
    refs, name = kept.refs(), kept.id
    assert [ref.size > 160_000 for ref in refs] == [True] * 3
    assert executor.map(lambda array: int(array[0]), refs).results() == [0, 1, 2]
    assert executor.map(lambda array: int(array[0]), kept).results() == [0, 1, 2]
    total = executor.map(lambda n, arrays: n + sum(int(each[0]) for each in arrays), [1], args=(refs,))
    assert total.results() == [4]
    assert [array[0] for array in kept.results()] == [0, 1, 2]
    assert len(kept.refs()) == 3
    assert stored(name) == 3
    del kept, total
    gc.collect()
    assert stored(name) == 3
    del refs
    gc.collect()
    wait_until(lambda: stored(name) == 0)  # a thread may hold the job for a moment


def test_small_kept_values_are_part_of_their_refs(executor):
    job = executor.map(lambda n: {"n": Point(n)}, range(3), keep=True)
    refs = job.refs()
    assert not list(executor.backend.store.list(f"results/{job.id}/"))
    assert executor.map(lambda value: type(value["n"]) is Point and value["n"].x, refs).results() == [0, 1, 2]
    assert executor.map(abs, executor.map(abs, [-5, 6], keep=True).refs()).results() == [5, 6]
    assert [value["n"] for value in job.results()] == [Point(0), Point(1), Point(2)]
    assert executor.map(lambda value: value["n"].x, job).results() == [0, 1, 2]


def test_refs_of_values_that_are_not_kept_or_are_missing(executor):
    with pytest.raises(wrenlite.ConfigError, match=r"write map\(…, keep=True\)"):
        executor.map(double, [1]).refs()
    with pytest.raises(ValueError, match="no value of 1"):
        executor.map(fails, [1], keep=True).refs()
    with pytest.raises(wrenlite.ConfigError, match="keep='yes'"):
        executor.map(double, [1], keep="yes")
    with pytest.raises(wrenlite.ConfigError, match="buffersize="):
        executor.map(double, [1], keep=True, buffersize=2)


def test_threads_that_read_values_do_not_take_them_from_tasks(executor):
    for _ in range(5):
        made = executor.map(lambda n: [n], range(50))
        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            read = threads.submit(made.results)
            taken = executor.map(lambda each: each, made)
            assert read.result() == taken.results() == [[n] for n in range(50)]
