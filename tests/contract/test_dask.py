"""``wrenlite.dask_get``: dask's collections on wrenlite."""

import importlib
import operator
import os
import signal
import threading
import time
import traceback

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from dask import diagnostics

import wrenlite
from wrenlite.interop.dask import groups_of

_LAYER = (
    "numpy,pandas,dateutil,six,dask,toolz,tlz,yaml,cloudpickle,fsspec,packaging,click,partd,locket,pyarrow,"
    "importlib_metadata,lazy_importer,zipp,pytest,_pytest,pluggy,iniconfig,pygments"
)


@pytest.fixture(scope="module")
def bed_with_dask(servers):
    from tests.aws.bed.remote import RemoteBed

    made = RemoteBed("--timeout", "60", "--memory", "1024", "--with", _LAYER)
    servers.add(made.pid)
    yield made
    made.close()


@pytest.fixture
def on_pool(pool):
    with dask.config.set(scheduler=wrenlite.dask_get, pool=pool):
        yield pool


@pytest.fixture
def on_lambda(bed_with_dask, monkeypatch):
    bed_with_dask.reset()
    for name, value in bed_with_dask.env.items():
        monkeypatch.setenv(name, value)
    with (
        wrenlite.Executor.aws(max_concurrency=8, progress=False) as made,
        dask.config.set(scheduler=wrenlite.dask_get, pool=made),
    ):
        yield made


def both(collection):
    return collection.compute(), collection.compute(scheduler="synchronous")


def dataframe():
    return importlib.import_module("dask.dataframe")  # it takes a second


def array_of_many_steps():
    x = da.random.RandomState(0).random((300, 300), chunks=(100, 75))
    return (x + x.T).dot(x).rechunk((50, 300)).mean(axis=0)


@pytest.mark.e2e
def test_collections_have_the_values_of_dasks_own_scheduler(on_pool):
    np.testing.assert_allclose(*both(array_of_many_steps()))
    frame = dataframe().from_pandas(
        pd.DataFrame({"a": range(1000), "b": [n % 7 for n in range(1000)]}), npartitions=8
    )
    pd.testing.assert_series_equal(*both(frame.groupby("b").a.sum()))
    ours, dasks = both(frame.set_index("b").loc[2:3].a)  # their order is that in which partitions end
    assert sorted(ours) == sorted(dasks)
    words = importlib.import_module("dask.bag").from_sequence(
        ["the", "cat", "and", "the", "dog", "and", "the", "bird"], npartitions=3
    )
    assert dict(words.frequencies().compute()) == {"the": 3, "and": 2, "cat": 1, "dog": 1, "bird": 1}


def test_delayed_objects_of_any_kind(on_pool):
    class Point:
        def __init__(self, x):
            self.x = x

    @dask.delayed
    def double(x, plus=0):
        return 2 * x + plus

    assert dask.compute(double(1), [double(2), {"a": double(3, plus=double(1))}]) == (2, [4, {"a": 8}])
    assert type(dask.delayed(Point)(5).compute()) is Point
    many = [dask.delayed(lambda n=n: n)() for n in range(300)]  # as many functions
    assert dask.compute(*many) == tuple(range(300))
    kept = dask.persist(double(double(2)))[0]
    assert double(kept).compute() == 16


def test_graphs_of_tuples_as_in_older_programs(on_pool):
    graph = {"a": 1, "b": (operator.add, "a", 2), "c": "b", "d": ["b", "c"]}
    get = wrenlite.dask_get
    assert get(graph, [["c", "b"], "d", "a"]) == ((3, 3), [3, 3], 1)
    assert get(graph, "c") == 3
    assert get(graph, []) == ()
    assert get({"x": (sum, [(operator.add, 1, 2), 3])}, "x", optimize_graph=False) == 6
    with pytest.raises(RuntimeError, match="Cycle"):
        get({"a": "b", "b": "a"}, "a")
    with pytest.raises(KeyError, match="nope"):
        get(graph, "nope")


def test_an_exception_has_its_traceback_and_names_the_key(on_pool):
    @dask.delayed
    def divide(x):
        return 1 // x

    @dask.delayed
    def after(x):
        return x

    with pytest.raises(ZeroDivisionError) as caught:
        after(divide(0, dask_key_name="halves")).compute()
    assert "it was raised by the dask task 'halves'" in "".join(caught.value.__notes__)
    assert "return 1 // x" in "".join(traceback.format_exception(caught.value))
    with pytest.raises(wrenlite.WorkerDied) as caught:
        dask.delayed(os._exit)(3, dask_key_name="ends").compute()
    assert "dask task 'ends'" in "".join(caught.value.__notes__)
    assert on_pool.submit(abs, -1).result() == 1


@pytest.mark.e2e
def test_a_graph_that_a_task_computes_runs_in_the_task(on_pool):
    @dask.delayed
    def nested(size):
        inside = da.ones(size, chunks=2).sum().compute()
        return inside, wrenlite.dask_get({"x": (os.getpid,)}, "x") == os.getpid()

    assert nested(10).compute() == (10, True)


def test_callbacks_are_told_what_runs_and_get_the_values(on_pool):
    told = []
    watch = diagnostics.Callback(
        start=lambda graph: told.append("start"),
        start_state=lambda graph, state: told.append("state"),
        pretask=lambda key, graph, state: told.append(key),
        posttask=lambda key, value, graph, state, worker: told.append((key, value)),
        finish=lambda graph, state, failed: told.append(failed),
    )
    graph = {"x": 1, "y": (operator.add, "x", 1), "z": (operator.mul, "y", 10)}
    with watch:
        wrenlite.dask_get(graph, "z", optimize_graph=False)
    assert told == ["start", "state", "y", ("y", 2), "z", ("z", 20), False]
    told.clear()
    with watch, pytest.raises(ZeroDivisionError):
        wrenlite.dask_get({"x": (operator.floordiv, 1, 0)}, "x")
    assert told == ["start", "state", "x", True]
    with diagnostics.Profiler() as profiler, diagnostics.ProgressBar(out=None):
        wrenlite.dask_get(graph, "z", optimize_graph=False)
    assert sorted(each.key for each in profiler.results) == ["y", "z"]


@pytest.mark.full
def test_values_between_tasks_do_not_come_here_and_are_deleted(on_pool, monkeypatch):
    store = on_pool.backend.store
    x = da.ones((1000, 1000), chunks=(100, 1000))
    assert x.rechunk((1000, 100)).sum().compute() == 1e6
    total = sum(entry.size for entry in store.list("")) if hasattr(store, "list") else 0
    assert total < 100_000
    assert len(x.rechunk((1000, 500)).compute()) == 1000


def test_a_value_that_many_tasks_take_is_read_once_by_each_worker(on_pool):
    values = dask.delayed(np.arange)(100_000)
    looks = [dask.delayed(lambda array, n: (os.getpid(), id(array), n))(values, n) for n in range(40)]
    seen = dask.compute(*looks)
    workers = {process for process, _, _ in seen}
    assert len({(process, array) for process, array, _ in seen}) == len(workers) <= 2


@pytest.mark.e2e
def test_an_interrupt_cancels_the_graph(on_pool):
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        dask.compute(*(dask.delayed(time.sleep)(60 + n) for n in range(4)))
    timer.join()
    assert on_pool.submit(abs, -1).result() == 1


def test_what_is_no_executor_is_refused():
    with pytest.raises(wrenlite.ConfigError, match="is no wrenlite executor"):
        wrenlite.dask_get({"x": 1}, "x", executor=3)


def test_tasks_are_joined_where_nothing_gets_lost():
    from dask._task_spec import convert_legacy_graph

    inc = operator.neg
    graph = convert_legacy_graph(
        {
            "data": 1,
            "a": (inc, "data"),
            "b": (inc, "a"),
            "c": (inc, "b"),
            "d": (inc, "b"),
            "e": (max, "c", "d"),
        }
    )
    order = {"data": 0, "a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
    assert groups_of(graph, order, {"e"}, 1) == {"b": ["a", "b"], "c": ["c"], "d": ["d"], "e": ["e"]}
    assert groups_of(graph, order, {"e"}, 3) == {"b": ["a", "b"], "e": ["c", "d", "e"]}
    assert groups_of(graph, order, {"a", "e"}, None) == {each: [each] for each in "abcde"}
    assert list(groups_of(graph, order, {"a", "e"}, 1)) == list("abcde")


@pytest.mark.e2e
def test_a_sum_over_many_chunks_is_few_requests_on_lambda(on_lambda, bed_with_dask):
    x = da.ones((4000, 4000), chunks=(100, 100))
    assert x.sum().compute() == 16e6  # sandboxes start, and import dask
    bed_with_dask.reset()
    assert x.sum().compute() == 16e6
    counts = bed_with_dask.counts()
    assert sum(counts.values()) <= 60, counts


@pytest.mark.full
def test_collections_on_lambda(on_lambda):
    np.testing.assert_allclose(*both(array_of_many_steps()))
    frame = dataframe().from_pandas(
        pd.DataFrame({"a": range(100), "b": [n % 7 for n in range(100)]}), npartitions=4
    )
    pd.testing.assert_series_equal(*both(frame.groupby("b").a.sum()))
    x = da.ones((1000, 1000), chunks=(100, 1000)).rechunk((1000, 500))
    assert x.sum(axis=0).compute().tolist() == [1000.0] * 1000
