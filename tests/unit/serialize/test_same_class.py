"""Which classes of ``__main__`` stand for those that were pickled by value in an earlier program."""

import sys
import textwrap

import pytest

from wrenlite.protocol import Style
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.pickling import Call, PickledCall, unpack_call
from wrenlite.serialize.same_class import current

PLAIN = """
class Made:
    table = {"a": [1, 2.0, None], "b": {1, 2}}
    def __init__(self, x):
        self.x = x
    def both(self, y=3, *, z=(1, "q")):
        return [each for each in (self.x, y, z)], super().__repr__()
    @property
    def twice(self):
        return 2 * self.x
    @staticmethod
    def one():
        return 1
    @classmethod
    def made(cls):
        return cls(1)
    class Inner:
        pass
"""
DATACLASS = """
import dataclasses
@dataclasses.dataclass
class Made:
    x: int
    y: list = dataclasses.field(default_factory=list)
"""
SLOTS = """
class Made:
    __slots__ = ("a", "b")
"""
ENUM = """
import enum
class Made(enum.Enum):
    RED = 1
    GREEN = "g"
"""
NAMED = """
from typing import NamedTuple
class Made(NamedTuple):
    a: int
    b: str = "x"
"""
ABSTRACT = """
import abc
class Base(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
class Made(Base):
    def f(self):
        return super().f()
"""
ITSELF = """
class Made:
    def __init__(self, text):
        self.text = text
Made.last = Made("of itself")
"""
FROZEN = """
import dataclasses
@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    x: int = 4
"""


def define(source, file="cell-1"):
    """Run a cell in ``__main__``, and return the class that it makes."""
    exec(compile(textwrap.dedent(source), file, "exec"), vars(sys.modules["__main__"]))
    return sys.modules["__main__"].Made


def as_sent(cls):
    """Return a class as another process gets it."""
    table = ClassTable(grows=True)
    table.add(cls)
    call = PickledCall(Call(len, (), {}, Style.ITEM, None), table)
    return unpack_call(call.blob).table[0]


@pytest.fixture(autouse=True)
def main(monkeypatch):
    for name in ("Made", "Base"):
        monkeypatch.setattr(sys.modules["__main__"], name, None, raising=False)
    monkeypatch.setitem(vars(sys.modules["__main__"]), "__name__", "__main__")


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        (PLAIN, "return cls(1)", "return cls(2)"),
        (PLAIN, "y=3", "y=4"),
        (PLAIN, "2.0", "2"),
        (PLAIN, "class Inner", "class Other"),
        (DATACLASS, "default_factory=list", "default_factory=dict"),
        (DATACLASS, "x: int", "x: float"),
        (SLOTS, '"b"', '"c"'),
        (ENUM, '"g"', '"h"'),
        (NAMED, '"x"', '"y"'),
        (ABSTRACT, "return super().f()", "return None"),
        (ABSTRACT, "def f(self): ...", "def f(self): return 1"),
        (ITSELF, "of itself", "of another"),
        (FROZEN, "4", "5"),
    ],
)
def test_a_class_is_the_same_while_its_definition_is(source, old, new):
    sent = as_sent(define(source))
    again = define(f"# moved by a comment\n{source}", "cell-2")
    assert current(sent) is again
    define(source.replace(old, new), "cell-3")
    assert current(sent) is sent


def test_other_objects_and_missing_classes_stay_as_they_are():
    sent = as_sent(define(PLAIN))
    sys.modules["__main__"].Made = None
    assert current(sent) is sent
    assert current(len) is len
    assert current(ValueError) is ValueError
