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
    error = kind("what happened, and the mend")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == "what happened, and the mend"


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = set(re.findall(r"[├└]── (\w+)|^\s+(WrenliteError)$", errors.__doc__, re.MULTILINE))
    assert {name or root for name, root in drawn} == {kind.__name__ for kind in CLASSES}


def test_familiar_bases():
    assert issubclass(errors.TaskTimeout, TimeoutError)
    assert issubclass(errors.OutOfMemory, MemoryError)
    assert issubclass(errors.NotPicklable, TypeError)
    assert issubclass(errors.ConfigError, ValueError)
