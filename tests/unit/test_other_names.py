"""Names of other libraries: what the errors say to write."""

import copy
import inspect
import pickle
import re

import pytest

import wrenlite
from wrenlite import other_names


@pytest.fixture
def objects():
    with wrenlite.Executor.inline() as executor:
        job = executor.map(abs, [-1])
        yield {
            "executor": executor,
            "job": job,
            "future": job[0],
            "ref": executor.put([1]),
            "wrenlite": wrenlite,
        }


TABLES = {
    "executor": other_names.EXECUTOR,
    "job": other_names.JOB,
    "future": other_names.FUTURE,
    "ref": other_names.REF,
    "wrenlite": other_names.PACKAGE,
}


def test_no_name_of_another_library_is_a_name_of_ours(objects):
    for owner, table in TABLES.items():
        for name, hint in table.items():
            assert not hasattr(objects[owner], name)
            with pytest.raises(AttributeError, match=rf"has no attribute '{name}': {re.escape(hint)}$"):
                getattr(objects[owner], name)


def test_what_a_hint_says_to_write_exists(objects):
    known = {name for thing in objects.values() for name in dir(thing)} | {"list", "repr"}
    for table in TABLES.values():
        for hint in table.values():
            called = set(re.findall(r"(\w+)\(", hint))
            assert called <= known, hint
            assert called, hint


def test_a_name_of_nobody_is_no_attribute_and_similar_ones_are_suggested(objects):
    for owner in ("executor", "job", "future"):
        thing = objects[owner]
        assert not hasattr(thing, "nonsense")
        assert not hasattr(thing, "__array__")
        assert getattr(thing, "_ipython_display_", None) is None
        with pytest.raises(AttributeError) as caught:
            thing.nonsense  # noqa: B018
        assert str(caught.value) == f"{type(thing).__name__!r} object has no attribute 'nonsense'"
        assert (caught.value.name, caught.value.obj) == ("nonsense", thing)
        with pytest.raises(TypeError, match="cannot be sent to another process"):
            pickle.dumps(thing)
        with pytest.raises(TypeError, match="cannot be sent to another process"):
            copy.copy(thing)


def test_jobs_and_futures_have_methods_of_the_same_names(objects):
    job, future = objects["job"], objects["future"]
    assert (future.logs(), future.stats()) == (job.logs(0), job.stats()[0])
    for name in set(dir(job)) & set(dir(future)):
        if not name.startswith("_"):
            assert inspect.ismethod(getattr(job, name)) == inspect.ismethod(getattr(future, name)) or (
                name == "index"  # a sequence's method, and the number of a task
            )


def test_completion_offers_each_name_once(objects):
    for thing in (*objects.values(), wrenlite.Executor, wrenlite.Job, wrenlite.Future):
        names = dir(thing)
        assert len(names) == len(set(names))
