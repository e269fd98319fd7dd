"""The tree of error classes."""

import inspect
import pickle
import re

import pytest

from wrenlite import errors

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, errors.WrenliteError)
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_survives_pickling(kind):
    error = kind("what happened, and the fix")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == "what happened, and the fix"


def test_the_docstring_draws_the_whole_tree_of_errors():
    drawn = set(re.findall(r"[├└]── (\w+)|^\s+(WrenliteError)$", errors.__doc__, re.MULTILINE))
    assert {name or root for name, root in drawn} == {kind.__name__ for kind in CLASSES}


def test_the_docstring_marks_permanent_errors_with_a_star():
    marked = set(re.findall(r"[├└]── (\w+)\*", errors.__doc__))
    assert marked == {kind.__name__ for kind in CLASSES if kind.permanent}


def test_errors_have_the_builtin_bases_that_users_expect():
    assert issubclass(errors.TaskTimeout, TimeoutError)
    assert issubclass(errors.OutOfMemory, MemoryError)
    assert issubclass(errors.NotPicklable, TypeError)
    assert issubclass(errors.ConfigError, ValueError)


def test_bad_input_keeps_the_field_and_the_line_when_it_is_pickled():
    back = pickle.loads(pickle.dumps(errors.BadInput("radius is -1", field="radius", line=3)))
    assert (str(back), back.field, back.line) == ("radius is -1", "radius", 3)
    assert isinstance(back, ValueError)
