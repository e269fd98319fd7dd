"""What notebooks hold travels: to a task and back, by every way."""

import importlib
import os
import pathlib
import sys
import types

import cloudpickle
import pytest

import wrenlite

SOURCE = pathlib.Path(__file__).parents[1] / "kinds.py"
MAIN = types.ModuleType("__main__")
exec(compile(SOURCE.read_text(), str(SOURCE), "exec"), vars(MAIN))


@pytest.fixture(scope="module", autouse=True)
def main_module():
    """The file is the module ``__main__``, as if Python had been started with it."""
    before, sys.modules["__main__"] = sys.modules["__main__"], MAIN
    yield
    sys.modules["__main__"] = before


@pytest.fixture(scope="module", params=["workers", "inline"])
def executor(request, servers):
    make = wrenlite.Executor.inline if request.param == "inline" else lambda: wrenlite.Executor.local(1)
    with make() as executor:
        if request.param == "workers":
            # The worker serves all tests of this module.
            servers.add(executor.submit(process_id).result())
        yield executor


def process_id():
    return os.getpid()


def visitor(check):
    """Return the function of the tasks. It is one of __main__ too: what it closes over travels with it."""

    def visit(obj):
        return bool(check(obj)), obj

    return visit


def nested(visit, obj):
    return wrenlite.Executor().map(visit, [obj]).results()[0]


@pytest.mark.parametrize("kind", MAIN.KINDS)
def test_it_travels_by_every_way(executor, kind):
    obj, check = MAIN.KINDS[kind]
    visit = visitor(check)
    futures = {
        "item": executor.submit(visit, obj),
        "item of a list": executor.map(lambda pair: visit(pair[1]), [(0, obj)])[0],
        "closure": executor.submit(lambda: visit(obj)),
        "args": executor.map(lambda _, obj: visit(obj), [0], args=(obj,))[0],
        "put": executor.submit(visit, executor.put(obj)),
        "nested": executor.submit(nested, visit, obj),
    }
    for way, future in futures.items():
        checked, returned = future.result()
        assert checked, f"{way}: on the worker"
        assert check(returned), f"{way}: here"


NOTEBOOK = """
RATE = 1
class Model:
    discount = 0
    def price(self):
        return RATE - self.discount
def price_of(model):
    return model.price()
def changes_the_class(model):
    type(model).discount = 1
    return model
def maps_in_a_task(model):
    import wrenlite
    return wrenlite.Executor().map(price_of, [model, model]).results() and model
"""


@pytest.fixture
def notebook():
    """The names of a notebook, whose cells are not in any file."""
    names = {"__name__": "__main__"}
    exec(NOTEBOOK, names)
    return types.SimpleNamespace(names=names, **names)


@pytest.mark.parametrize("function", ["price_of", "changes_the_class", "maps_in_a_task"])
@pytest.mark.parametrize("way", ["item", "closure", "args", "put"])
def test_nothing_that_comes_back_changes_a_class_of_the_caller(executor, notebook, function, way):
    model, function = notebook.Model(), notebook.names[function]
    attributes = dict(vars(notebook.Model))
    if way == "item":
        executor.submit(function, model).result()
    elif way == "closure":
        executor.submit(lambda: function(model)).result()
    elif way == "args":
        executor.map(lambda _, obj: function(obj), [0], args=(model,)).results()
    else:
        returned = executor.submit(function, executor.put(model)).result()
        assert returned == 1 or type(returned) is notebook.Model
    assert attributes.items() <= dict(vars(notebook.Model)).items()
    notebook.names["RATE"] = 10
    assert model.price() == 10


def test_each_job_has_the_class_that_the_caller_had_at_that_time(executor, notebook):
    """Two jobs whose tasks take turns on one worker, and refer to one object in the store."""
    ref = executor.put(notebook.Model())
    first = executor.map(lambda _, model: model.price(), range(2), args=(ref,), chunksize=1)
    notebook.names["RATE"] = 10
    second = executor.map(lambda _, model: model.price(), range(2), args=(ref,), chunksize=1)
    assert (first.results(), second.results()) == ([1, 1], [10, 10])


def test_an_object_in_the_store_refers_to_its_class(executor, notebook):
    assert executor.put(notebook.Model()).size < 200


def test_a_module_that_is_registered_with_cloudpickle_travels_by_value(tmp_path, monkeypatch, executor):
    (tmp_path / "rates.py").write_text("class Rate:\n    value = 1\ndef double(x): return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    rates = importlib.import_module("rates")
    cloudpickle.register_pickle_by_value(rates)
    try:
        rates.Rate.value = 5  # which importing the module on the worker would not bring
        assert executor.submit(lambda rate: rates.double(rate.value), rates.Rate()).result() == 10
        assert type(executor.submit(rates.Rate).result()) is rates.Rate
    finally:
        cloudpickle.unregister_pickle_by_value(rates)
