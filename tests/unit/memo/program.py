"""A program whose digest is taken: the files, edits that change what it computes, and edits that do not."""

import contextlib
import importlib
import runpy
import sys
from pathlib import Path

from wrenlite.memo.digest import digest_of_call

FILES = {
    "main.py": '''
"""The program."""
import functools
import math
from dataclasses import dataclass
from enum import Enum

import geo
import tools.deep
from geo import project as projected

SCALE = 3
TABLE = {"a": 1, "b": [2.0, -0.0]}
NAMES = frozenset({"x", "y", "zed"})
UNUSED = "nobody reads this"


def inner(x, power=2, *, shift=1):
    """Return a power."""
    if x in {"left", "right", "up"}:
        return 0
    return x**power + shift


def middle(x):
    # a comment
    return inner(x) * 2


def outer(x):
    return middle(x) + 1


def make(n):
    def closure(x):
        return x + n

    return closure


add_four = make(4)


def decorate(times):
    def wrap(fn):
        @functools.wraps(fn)
        def inside(x):
            return fn(x) * times

        return inside

    return wrap


@decorate(5)
def decorated(x):
    return x - 1


@functools.lru_cache(maxsize=8)
def cached(x):
    return x * 7


class Base:
    OFFSET = 10

    def base(self):
        return self.OFFSET


class Other(Base):
    pass


class Model(Base):
    """A model."""

    RATE = 0.5

    def run(self, x):
        return x * self.RATE + self.base()

    @property
    def size(self):
        return 11

    @staticmethod
    def fixed(x):
        return x + 12

    @classmethod
    def made(cls):
        return 13


@dataclass
class Point:
    x: int = 1
    y: float = 2.0


class Colour(Enum):
    RED = 1
    BLUE = 2


scaled = functools.partial(inner, power=6)


def unused():
    return UNUSED


def f(x, point=Point()):
    """Return all of it."""
    import late

    class Local:
        WIDTH = 20

    def local(y):
        return y + 21

    total = outer(x) * SCALE + TABLE["a"] + len(NAMES) + add_four(x) + decorated(x) + cached(x)
    total += Model().run(x) + point.x + Colour.RED.value + scaled(x) + Local.WIDTH + local(x)
    total += sum(y + 22 for y in (1, 2, 3)) + (lambda y: y - 23)(x)
    return total + geo.area(x) + projected(x) + tools.deep.sink(x) + late.value() + math.floor(x)
''',
    "geo.py": '''
"""Geometry."""
from shapes import corner

RADIUS = 30
UNUSED = 31


def area(x):
    """Return an area."""
    return _square(x) * RADIUS


def _square(x):
    # a comment
    return x * x + 32


def project(x, by=33):
    return corner(x) - by


def unused():
    return UNUSED + 34


class Unused:
    def method(self):
        return 35


if __name__ == "__main__":
    print("36")
''',
    "shapes.py": """
import functools

FACTORS = [40, 41]
FACTORS.append(42)


def corner(x):
    return Corner(x).turn() + sum(FACTORS)


class Corner:
    SIDES = 43

    def __init__(self, x):
        self.x = x

    def turn(self):
        return self.x + self.SIDES


@functools.cache
def decorated():
    return 44
""",
    "tools/__init__.py": "LEVEL = 50\nSETTINGS = dict(a=51)\n",
    "tools/deep.py": """
from . import LEVEL
from .table import TABLE


def sink(x):
    from .helpers import helped

    return x + LEVEL + len(TABLE) + helped(x)
""",
    "tools/table.py": """
from importlib import resources

TABLE = (resources.files(__package__) / "table.csv").read_text()
""",
    "tools/table.csv": "60,61\n",
    "tools/helpers.py": "def helped(x):\n    return x - 62\n\n\ndef other(x):\n    return x - 63\n",
    "late.py": "def value():\n    return 70\n",
}

CHANGES = [
    ("main.py", "SCALE = 3", "SCALE = 4"),
    ("main.py", "SCALE = 3", "SCALE = 3.0"),
    ("main.py", "SCALE = 3", "SCALE = '3'"),
    ("main.py", '"a": 1', '"a": True'),
    ("main.py", "-0.0", "0.0"),
    ("main.py", "[2.0, -0.0]", "(2.0, -0.0)"),
    ("main.py", '"x", "y", "zed"', '"x", "y", "Zed"'),
    ("main.py", "frozenset({", "set({"),
    ("main.py", "power=2", "power=3"),
    ("main.py", "shift=1", "shift=-1"),
    ("main.py", '"left", "right"', '"left", "Right"'),
    ("main.py", "x**power + shift", "x**power - shift"),
    ("main.py", "inner(x) * 2", "inner(x) * 2.0"),
    ("main.py", "middle(x) + 1", "middle(x) + 1j"),
    ("main.py", "return middle(x) + 1", "return inner(x) + 1"),
    ("main.py", "make(4)", "make(5)"),
    ("main.py", "return x + n", "return n + x"),
    ("main.py", "decorate(5)", "decorate(6)"),
    ("main.py", "fn(x) * times", "fn(x) + times"),
    ("main.py", "return x - 1\n", "return x - 2\n"),
    ("main.py", "maxsize=8", "maxsize=9"),
    ("main.py", "return x * 7", "return x * 8"),
    ("main.py", "OFFSET = 10", "OFFSET = 11"),
    ("main.py", "return self.OFFSET", "return -self.OFFSET"),
    ("main.py", "class Model(Base)", "class Model(Other)"),
    ("main.py", "RATE = 0.5", "RATE = 0.25"),
    ("main.py", "x * self.RATE + self.base()", "self.base() + x * self.RATE"),
    ("main.py", "return 11", "return 12"),
    ("main.py", "@property", "@functools.cached_property"),
    ("main.py", "x + 12", "x + 13"),
    ("main.py", "@classmethod", "@staticmethod"),
    ("main.py", "x: int = 1", "x: int = 2"),
    ("main.py", "x: int = 1\n    y: float = 2.0", "y: float = 2.0\n    x: int = 1"),
    ("main.py", "y: float", "y: int"),
    ("main.py", "@dataclass\n", "@dataclass(frozen=True)\n"),
    ("main.py", "RED = 1\n    BLUE = 2", "RED = 2\n    BLUE = 1"),
    ("main.py", "BLUE = 2", "BLUE = 1"),
    ("main.py", "class Model(Base):", "class Model(Base):\n    __slots__ = ('a',)\n"),
    ("main.py", "power=6", "power=7"),
    ("main.py", "partial(inner", "partial(inner, 1"),
    ("main.py", "point=Point()", "point=Point(3)"),
    ("main.py", "WIDTH = 20", "WIDTH = 21"),
    ("main.py", "y + 21", "y + 22"),
    ("main.py", "y + 22 for", "y + 23 for"),
    ("main.py", "(1, 2, 3)", "(1, 2, 3.0)"),
    ("main.py", "lambda y: y - 23", "lambda y: y - 24"),
    ("main.py", "math.floor", "math.ceil"),
    ("main.py", "from geo import project as projected", "from geo import area as projected"),
    ("main.py", "import geo\n", "import shapes as geo\ngeo.area = geo.corner\n"),
    ("main.py", "def unused():\n", "def len(x):\n    return 5\n\n\ndef unused():\n"),
    ("geo.py", "RADIUS = 30", "RADIUS = 31"),
    ("geo.py", "x * x + 32", "x * x + 33"),
    ("geo.py", "by=33", "by=34"),
    ("geo.py", "corner(x) - by", "by - corner(x)"),
    ("geo.py", "def unused():", "def corner(x):\n    return 5\n\n\ndef unused():"),
    ("geo.py", "UNUSED = 31", "print('at import')\nUNUSED = 31"),
    ("geo.py", "UNUSED = 31", "import late\nlate.value = max"),
    ("shapes.py", "40", "45"),
    ("shapes.py", "append(42)", "append(43)"),
    ("shapes.py", "SIDES = 43", "SIDES = 44"),
    ("shapes.py", "self.x + self.SIDES", "self.x - self.SIDES"),
    ("shapes.py", "self.x = x", "self.x = -x"),
    ("shapes.py", "return 44", "return 45"),
    ("shapes.py", "FACTORS.append(42)\n", ""),
    ("tools/__init__.py", "LEVEL = 50", "LEVEL = 51"),
    ("tools/__init__.py", "a=51", "a=52"),
    ("tools/deep.py", "x + LEVEL", "x - LEVEL"),
    ("tools/deep.py", "from .helpers import helped", "from .helpers import other as helped"),
    ("tools/table.csv", "61", "62"),
    ("tools/helpers.py", "x - 62", "x - 63"),
    ("late.py", "return 70", "return 71"),
]

SAME = [
    ("main.py", '"""The program."""', '"""The best program."""\n\n\n'),
    ("main.py", '"""Return a power."""', '"""Return a\n\n    power."""'),
    ("main.py", '    """Return all of it."""\n', ""),
    ("main.py", "    # a comment", "    # another comment\n\n    # in two lines"),
    ("main.py", '"""A model."""', '"""The model."""'),
    ("main.py", "def middle(x):\n", 'def middle(x):\n    """Return the double."""\n'),
    ("main.py", '"nobody reads this"', '"really nobody"'),
    ("main.py", "return UNUSED", "return UNUSED, 1"),
    ("main.py", 'frozenset({"x", "y", "zed"})', 'frozenset(["zed", "x", "y"])'),
    ("main.py", '{"left", "right", "up"}', '{"up", "left", "right"}'),
    ("main.py", "\n\n\ndef outer", "\ndef outer"),
    ("geo.py", '"""Geometry."""', '"""Geometry, in a plane."""'),
    ("geo.py", '    """Return an area."""\n', ""),
    ("geo.py", "    # a comment\n", "\n\n    # no comment\n"),
    ("geo.py", "UNUSED = 31", "UNUSED = 32\nANOTHER = [1, 2]"),
    ("geo.py", "UNUSED + 34", "UNUSED - 34"),
    ("geo.py", "return 35", "return 36"),
    ("geo.py", 'print("36")', "print(area(37))"),
    ("tools/helpers.py", "x - 63", "x - 64"),
]


def write(folder, *edits, files=FILES):
    """Write a program into a folder, with edits."""
    texts = dict(files)
    for name, before, after in edits:
        assert before in texts[name], (name, before)
        texts[name] = texts[name].replace(before, after)
    for name, text in texts.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@contextlib.contextmanager
def running(folder):
    """Run the program in a folder, and give its variables. Its modules are found in the ``with`` block."""
    folder = Path(folder).resolve()
    before = set(sys.modules)
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield runpy.run_path(str(folder / "main.py"), run_name="__main__")
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def digest(folder, **options):
    """Return the digest of the call of f in the program in a folder."""
    with running(folder) as variables:
        return digest_of_call(variables["f"], python="3", **options)


def digests(folder, all_edits):
    """Return the digests of the program after each of some edits."""
    found = []
    for number, edits in enumerate(all_edits):
        place = Path(folder, str(number))
        write(place, *edits)
        found.append(digest(place))
    return found
