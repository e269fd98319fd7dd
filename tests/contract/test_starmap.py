"""How ``starmap`` makes arguments of an item."""

from collections import OrderedDict

import pytest

import wrenlite


def add(x, y, z=0, *, label=""):
    return f"{x + y + z}{label}"


def as_dict(x):
    return {"x": x, "y": 1}


def test_the_parts_of_a_dict_are_passed_by_name(executor):
    data = [{"x": 1, "y": 2}, OrderedDict(y=3, x=4), (5, 6), [7, 8], {"x": 1, "y": 1, "label": "!"}]
    assert executor.starmap(add, data).results() == ["3", "7", "11", "15", "2!"]
    assert list(executor.starmap(add, iter(data[:3]), buffersize=2)) == ["3", "7", "11"]
    named = executor.starmap(add, [{"y": 1, "z": 2}], args=(10,), kwargs={"label": "?"})
    assert named.results() == ["13?"]


def test_a_dict_that_another_task_returns(executor):
    source = executor.map(as_dict, [1, 2])
    assert executor.starmap(add, source).results() == ["2", "3"]
    label = executor.submit(str, "!")
    assert executor.starmap(add, [{"x": 1, "y": 2}], kwargs={"label": label}).results() == ["3!"]


def test_names_that_do_not_fit_fail_their_task(pool):
    job = pool.starmap(add, [{"x": 1, "y": 2, "w": 3}, {"x": 1, "y": 2}, {"x": 1, "y": 2, "label": "!"}])
    assert job[1].result() == "3"
    with pytest.raises(TypeError, match="unexpected keyword argument 'w'"):
        job[0].result()
    twice = pool.starmap(add, [{"x": 1, "y": 2, "label": "!"}], kwargs={"label": "?"})
    with pytest.raises(TypeError, match="multiple values for keyword argument 'label'"):
        twice.results()


@pytest.mark.parametrize("item", [{1, 2}, frozenset({1, 2}), {"x": 1, "y": 2}.keys()])
def test_a_set_has_no_order_and_is_refused(pool, item):
    with pytest.raises(wrenlite.ArgumentError, match=r"data\[1\]=.*the parts of a set have no order"):
        pool.starmap(add, [(1, 2), item])
    values = pool.starmap(add, iter([(1, 2), item]), buffersize=2)
    assert next(values) == "3"
    with pytest.raises(wrenlite.ArgumentError, match=r"data\[1\]"):
        next(values)
