# ruff: noqa: E501
"""Programs of which an edit changes what they compute in a way that is hard to see.

Each is a main.py with a function f, and modules, before and after the edit: files that the second does not
name are those of the first.
"""

GEO = "def area(x):\n    return x\n\n\ndef other(x):\n    return x + 1\n\n\nSCALE = 2\nHIDDEN = 3\n"
IMPORT = "import geo\n\n\n"


def code(before, after, head=""):
    """Return two programs whose functions have these bodies."""
    return tuple({"main.py": f"{head}\n\ndef f(x):\n    {text}\n"} for text in (before, after))


def value(before, after, head=""):
    """Return two programs with a global variable of these values."""
    return tuple(
        {"main.py": f"{head}\n\nVALUE = {text}\n\n\ndef f(x):\n    return VALUE\n"}
        for text in (before, after)
    )


def geo(body, before, after, text=GEO):
    """Return two programs whose function has this body, and uses a module that differs."""
    main = f"import geo\n\n\ndef f(x):\n    {body}\n"
    return {"main.py": main, "geo.py": text}, {"geo.py": text.replace(before, after)}


def script(text, before, after):
    """Return two programs that are one file."""
    assert before in text, before
    return {"main.py": text}, {"main.py": text.replace(before, after)}


SHAPE = """
import abc, enum, functools, typing

class Meta(type):
    def made(cls):
        return 1

class Attribute:
    def __get__(self, obj, kind):
        return 2

class Shape(abc.ABC):
    attribute = Attribute()

    @abc.abstractmethod
    def area(self):
        return 3

class Square(Shape, metaclass=type("M", (abc.ABCMeta,), {"extra": 4})):
    class Inner:
        SIDE = 5

    def area(self):
        return super().area() + 6

    @functools.cached_property
    def size(self):
        return 7

    doubled = functools.partialmethod(lambda self, by: by, 8)

    def __add__(self, other):
        return 9

class Registered:
    pass

Shape.register(Registered)

class Level(enum.Enum):
    LOW = 10

    def up(self):
        return 11

class Coded(bytes, enum.Enum):
    def __new__(cls, number, label):
        made = bytes.__new__(cls, [number])
        made._value_ = 12
        made.label = label
        return made

    ONE = 13, "one"

class Pair(typing.NamedTuple):
    left: int = 14
    right: int = 15

@functools.singledispatch
def shown(x):
    return 16

@shown.register
def _(x: int):
    return 17

class Plain(metaclass=Meta):
    pass

SQUARE = Square()
run = SQUARE.doubled

def f(x):
    hints = typing.get_type_hints(Pair)
    return Square, Level.LOW.up(), Coded.ONE, Pair(), shown(x), Plain.made(), isinstance(x, Shape), run, hints
"""

PLUGINS = {
    "main.py": "import base\nimport plugin\n\n\ndef f(x):\n    return plugin and base.run(x)\n",
    "base.py": (
        "KNOWN = {}\n\n\nclass Base:\n    def __init_subclass__(cls):\n        KNOWN[cls.__name__] = cls\n\n\n"
        "def register(fn):\n    KNOWN[fn.__name__] = fn\n    return fn\n\n\n"
        "def run(x):\n    return [each(x) for each in KNOWN.values()]\n"
    ),
    "plugin.py": (
        "import base\n\n\nclass Sub(base.Base):\n    def __init__(self, x):\n        self.x = x + 1\n\n\n"
        "@base.register\ndef called(x):\n    return x + 2\n"
    ),
}


def plugins(before, after):
    """Return two programs whose plugins register themselves."""
    return PLUGINS, {"plugin.py": PLUGINS["plugin.py"].replace(before, after)}


STAR = {
    "main.py": "import geo\n\n\ndef f(x):\n    return geo.run(x)\n",
    "geo.py": "from one import *\nfrom two import *\n\n\ndef run(x):\n    return step(x)\n",
    "one.py": "def step(x):\n    return 1\n",
    "two.py": "__all__ = []\n\n\ndef step(x):\n    return 2\n",
}


def data(head, body, module="pack/__init__.py", file="pack/d.txt", text=""):
    """Return two programs that read a file beside a module, which differs."""
    main = f"{head}\n\n\ndef f(x):\n    return {body}\n"
    return {"main.py": main, module: text, file: "1"}, {file: "2"}


ENEMIES = {
    # What code is
    "operator": code("return x // 2", "return x / 2"),
    "comparison": code("return x < 2", "return x <= 2"),
    "identity": code("return x is None", "return x is not None"),
    "membership": code("return x in (1, 2)", "return x not in (1, 2)"),
    "negative zero in code": code("return 0.0", "return -0.0"),
    "bool and int in code": code("return 1", "return True"),
    "int and float in a tuple": code("return (1, 2)", "return (1, 2.0)"),
    "text and bytes": code("return 'a'", "return b'a'"),
    "keyword of a call": code("return dict(a=x)", "return dict(b=x)"),
    "handled exception": code(
        "try:\n        return 1 / x\n    except ValueError:\n        return 0",
        "try:\n        return 1 / x\n    except ZeroDivisionError:\n        return 0",
    ),
    "extent of try": code(
        "try:\n        x = 1 / x\n    except Exception:\n        x = 0\n    return x",
        "x = 1 / x\n    try:\n        pass\n    except Exception:\n        x = 0\n    return x",
    ),
    "generator": code("return x", "yield x"),
    "format": code("return f'{x:.2f}'", "return f'{x:.3f}'"),
    "pattern": code(
        "match x:\n        case {'a': 1}:\n            return 2",
        "match x:\n        case {'a': 2}:\n            return 2",
    ),
    "inner default": code("return (lambda y=1: y)()", "return (lambda y=2: y)()"),
    "inner class": code("class A:\n        B = 1\n    return A", "class A:\n        B = 2\n    return A"),
    "inner docstring that is a value": code(
        "class A:\n        a = 'b'\n    return A", "class A:\n        a = 'c'\n    return A"
    ),
    "constant that is also the docstring": script('def f(x):\n    "a"\n    return "a"\n', '"a"', '"b"'),
    "keyword only": script("def f(x, y=1):\n    return y\n", "x, y", "x, *, y"),
    "argument order": script("def f(x, y=1, z=2):\n    return y\n", "y=1, z=2", "z=1, y=2"),
    "long code": code(
        "return [" + ", ".join(f"x + {n}.5" for n in range(300)) + "]",
        "return [" + ", ".join(f"x + {n}.5" for n in range(299)) + ", x + 1.5]",
    ),
    # What code says of itself
    "docstring that is read": script(
        'def g():\n    "a"\n\n\ndef f(x):\n    return g.__doc__\n', '"a"', '"b"'
    ),
    "own docstring": script('def f(x):\n    "a"\n    return f.__doc__\n', '"a"', '"b"'),
    "docstring of a class": script(
        'class A:\n    "a"\n\n\ndef f(x):\n    return A().__doc__\n', '"a"', '"b"'
    ),
    "docstring of a module": geo("return geo.__doc__", '"a"', '"b"', text='"a"\n'),
    "line": script("import sys\n\n\ndef f(x):\n    return sys._getframe().f_lineno\n", "import", "\nimport"),
    "traceback": script(
        "import traceback\n\n\ndef f(x):\n    return traceback.format_stack()\n", "\n\n\n", "\n\n\n\n"
    ),
    "name": script("def g():\n    pass\n\n\ndef f(x):\n    return g.__name__\n", "g", "h"),
    # Values
    "array, one element": value("numpy.zeros(3)", "numpy.array([0, 0, 1e-300])", "import numpy"),
    "array, sign of zero": value("numpy.zeros(3)", "-numpy.zeros(3)", "import numpy"),
    "array, dtype": value("numpy.zeros(3)", "numpy.zeros(3, '>f8')", "import numpy"),
    "array, same bytes": value("numpy.zeros(2)", "numpy.zeros(2, 'i8')", "import numpy"),
    "array, shape": value("numpy.zeros((2, 3))", "numpy.zeros((3, 2))", "import numpy"),
    "array, layout": value("numpy.ones((2, 3))", "numpy.ones((2, 3), order='F')", "import numpy"),
    "array, unit of time": value("numpy.zeros(2, 'M8[s]')", "numpy.zeros(2, 'M8[ms]')", "import numpy"),
    "array, names of fields": value(
        "numpy.zeros(2, 'i4,i4')", "numpy.zeros(2, [('a', 'i4'), ('b', 'i4')])", "import numpy"
    ),
    "array of objects": value("numpy.array([1, None])", "numpy.array([True, None])", "import numpy"),
    "array of texts": value(
        "numpy.array(['a' * 40, 'b'], numpy.dtypes.StringDType())",
        "numpy.array(['a' * 40, 'c'], numpy.dtypes.StringDType())",
        "import numpy",
    ),
    "masked array": value(
        "numpy.ma.array([1, 2], mask=[0, 1])", "numpy.ma.array([1, 2], mask=[1, 0])", "import numpy"
    ),
    "record array": value(
        "numpy.zeros(2, 'i4,i4')", "numpy.zeros(2, 'i4,i4').view(numpy.recarray)", "import numpy"
    ),
    "large array": value(
        "numpy.zeros(10**6, 'u1')", "numpy.r_[numpy.zeros(10**6 - 1, 'u1'), numpy.uint8(1)]", "import numpy"
    ),
    "scalar": value("numpy.float32(1)", "numpy.float64(1)", "import numpy"),
    "number and scalar": value("1.0", "numpy.float64(1)", "import numpy"),
    "data frame, value": value(
        "pandas.DataFrame({'a': [1, 2]})", "pandas.DataFrame({'a': [1, 3]})", "import pandas"
    ),
    "data frame, order": value(
        "pandas.DataFrame({'a': [1], 'b': [1]})", "pandas.DataFrame({'b': [1], 'a': [1]})", "import pandas"
    ),
    "data frame, index": value(
        "pandas.Series([1, 2])", "pandas.Series([1, 2], index=[1, 0])", "import pandas"
    ),
    "data frame, categories": value(
        "pandas.Categorical(['a'], ['a', 'b'])", "pandas.Categorical(['a'], ['b', 'a'])", "import pandas"
    ),
    "data frame, name": value(
        "pandas.Series([1], name='a')", "pandas.Series([1], name='b')", "import pandas"
    ),
    "expression": value("re.compile('a')", "re.compile('a', re.I)", "import re"),
    "time": value(
        "datetime.datetime(2020, 1, 1)", "datetime.datetime(2020, 1, 1, fold=1)", "import datetime"
    ),
    "decimal": value("decimal.Decimal('1.0')", "decimal.Decimal('1.00')", "import decimal"),
    "large numbers": value("0x" + "f" * 5000, "0x" + "f" * 4999 + "e"),
    "order of a dict": value("{1: 2, 3: 4}", "{3: 4, 1: 2}"),
    "set and frozenset": value("{1, 2}", "frozenset({1, 2})"),
    "set of one and true": value("{1}", "{True}"),
    "list once and twice": value("[[]] * 2", "[[], []]"),
    "list in itself": value("(lambda a: a.append(a) or a)([])", "(lambda a: a.append([a]) or a)([])"),
    "surrogates": value("'\\ud800'", "'\\ud801'"),
    "nan": value(
        "struct.unpack('<d', struct.pack('<q', 0x7FF8 << 48))[0]",
        "struct.unpack('<d', struct.pack('<q', 0x7FF8 << 48 | 1))[0]",
        "import struct",
    ),
    "function in a dict": value("{'a': lambda x: 1}", "{'a': lambda x: 2}"),
    "two functions, exchanged": value("[lambda x: 1, lambda x: 2]", "[lambda x: 2, lambda x: 1]"),
    "two closures, exchanged": value(
        "[make(1), make(2)]", "[make(2), make(1)]", "def make(n):\n    return lambda: n\n"
    ),
    "builtin": value("max", "min"),
    "function in C": value("operator.add", "operator.mul", "import operator"),
    "method in C": value("[1].append", "[2].append"),
    "method of a type": value("str.upper", "str.lower"),
    "bound method": value(
        "A(1).run",
        "A(2).run",
        "class A:\n    def __init__(self, a):\n        self.a = a\n\n    def run(self):\n        pass\n",
    ),
    "slots": value(
        "A(1)", "A(2)", "class A:\n    __slots__ = 'a'\n\n    def __init__(self, a):\n        self.a = a\n"
    ),
    "exception": value("ValueError('a')", "ValueError('b')"),
    "exception, attribute": value(
        "A(1)", "A(2)", "class A(Exception):\n    def __init__(self, a):\n        self.a = a\n"
    ),
    "named tuple": value(
        "collections.namedtuple('A', 'b c')(1, 2)",
        "collections.namedtuple('A', 'c b')(1, 2)",
        "import collections",
    ),
    "ordered dict": value(
        "collections.OrderedDict(a=1, b=2)", "collections.OrderedDict(b=2, a=1)", "import collections"
    ),
    "default dict": value(
        "collections.defaultdict(int)", "collections.defaultdict(list)", "import collections"
    ),
    "subclass of dict": value("A(a=1)", "A(a=2)", "class A(dict):\n    pass\n"),
    "subclass of list": value("A([1])", "A([2])", "class A(list):\n    pass\n"),
    "subclass of int": value("A(1)", "A(2)", "class A(int):\n    pass\n"),
    "int and its subclass": value("1", "A(1)", "class A(int):\n    pass\n"),
    "type variable": value(
        "typing.TypeVar('T', bound=int)", "typing.TypeVar('T', bound=str)", "import typing"
    ),
    "context variable": value(
        "contextvars.ContextVar('a', default=1)",
        "contextvars.ContextVar('a', default=2)",
        "import contextvars",
    ),
    "generic alias": value("list[int]", "list[str]"),
    "module": value("os.path", "os", "import os"),
    "random generator": value("random.Random(1)", "random.Random(2)", "import random"),
    "range": value("range(1, 5, 2)", "range(1, 6, 2)"),
    "path": value("pathlib.Path('a')", "pathlib.Path('b')", "import pathlib"),
    # Live objects of the program
    "attribute of a function": script("def f(x):\n    return f.a\n\n\nf.a = 1\n", "= 1", "= 2"),
    "mutable default": script("def f(x, a={'b': 1}):\n    return a\n", "1", "2"),
    "changed default": script("def f(x, a=[]):\n    return a\n\n\nf.__defaults__[0].append(1)\n", "1", "2"),
    "list that was appended to": script(
        "A = []\n\n\ndef f(x):\n    return A\n\n\nA.append(1)\n", "(1)", "(2)"
    ),
    "attribute of a class": script(
        "class A:\n    b = 1\n\n\ndef f(x):\n    return A.b\n\n\nA.b = 2\n", "A.b = 2", "A.b = 3"
    ),
    "replaced method": script(
        "class A:\n    def b(self):\n        pass\n\n\ndef f(x):\n    return A.b\n\n\nA.b = lambda self: 2\n",
        "2",
        "3",
    ),
    "variable of a closure": script(
        "def make():\n    n = 0\n\n    def f(x):\n        return n\n\n    def more():\n        nonlocal n\n        n += 1\n\n    more()\n    return f\n\n\nf = make()\n",
        "n += 1",
        "n += 2",
    ),
    "name of a builtin": script(
        "def f(x):\n    return len(x)\n", "def f", "def len(x):\n    return 1\n\n\ndef f"
    ),
    "list in an argument and outside": script(
        "A = [1]\nB = [1]\n\n\ndef f(x, a=A):\n    a.append(x)\n    return A\n", "a=A", "a=B"
    ),
    **{
        f"class, {before}": script(SHAPE, before, after)
        for before, after in {
            "return 1\n": "return -1\n",
            "return 2\n": "return -2\n",
            "return 3": "return -3",
            '"extra": 4': '"extra": -4',
            "SIDE = 5": "SIDE = -5",
            "+ 6": "- 6",
            "return 7": "return -7",
            "by, 8": "by, -8",
            "return 9": "return -9",
            "Shape.register(Registered)": "",
            "LOW = 10": "LOW = -10",
            "return 11": "return -11",
            "= 12": "= -12",
            "ONE = 13": "ONE = 33",
            "left: int = 14": "left: int = -14",
            "right: int": "right: float",
            "return 16": "return -16",
            "return 17": "return -17",
            "x: int": "x: str",
            "@abc.abstractmethod\n": "\n",
            "@functools.cached_property": "@property",
        }.items()
    },
    # Local modules
    "computed attribute": geo("return getattr(geo, 'ot' + 'her')(x)", "x + 1", "x + 2"),
    "attribute by a text": geo("return __import__('operator').attrgetter('other')(geo)(x)", "x + 1", "x + 2"),
    "variables of a module": geo("return vars(geo)['ot' + 'her'](x)", "x + 1", "x + 2"),
    "dict of a module": geo("return geo.__dict__['ot' + 'her'](x)", "x + 1", "x + 2"),
    "evaluated text": geo("return geo and eval('geo.other(x)')", "x + 1", "x + 2"),
    "constant of a module": geo("return geo.HIDDEN", "HIDDEN = 3", "HIDDEN = 4"),
    "constant that a function assigns": geo(
        "return geo.area(x)",
        "B = 1",
        "B = 2",
        text="B = 1\n\n\ndef area(x):\n    global B\n    B += x\n    return B\n",
    ),
    "assigned before and after": geo(
        "return geo.Y",
        "X = 2\nY = abs(X)",
        "Y = abs(X)\nX = 2",
        text="from math import pi as X\nX = 2\nY = abs(X)\n",
    ),
    "defined twice": geo(
        "return geo.a", "def a(): pass\na = 1", "a = 1\ndef a(): pass", text="def a(): pass\na = 1\n"
    ),
    "unknown attribute of a module": geo(
        "return geo.b",
        "1",
        "2",
        text="def __getattr__(name):\n    return hidden()\n\n\ndef hidden():\n    return 1\n",
    ),
    "if at the top": geo("return geo.a", "if True", "if False", text="a = 1\nif True:\n    a = 2\n"),
    "loop at the top": geo(
        "return geo.A",
        "x + 1",
        "x + 2",
        text="def b(x):\n    return x + 1\n\n\nA = []\nfor each in range(3):\n    A.append(b(each))\n",
    ),
    "globals of a module": geo(
        "return geo.area(x)",
        "x + 1",
        "x + 2",
        text="def area(x):\n    return globals()['hid' + 'den'](x)\n\n\ndef hidden(x):\n    return x + 1\n",
    ),
    "object of a module": geo(
        "return geo.A.b()", "1", "2", text="class B:\n    def b(self):\n        return 1\n\n\nA = B()\n"
    ),
    "text annotation": geo(
        "return typing_hints(geo.A)", "C = int", "C = str", text="class A:\n    b: 'C'\n\n\nC = int\n"
    ),
    "default from a module": (
        {
            "main.py": "import geo\n\n\ndef f(x):\n    return geo.a()\n",
            "geo.py": "import conf\n\n\ndef a(k=conf.K):\n    return k\n",
            "conf.py": "K = 1\n",
        },
        {"conf.py": "K = 2\n"},
    ),
    "module that changes another": (
        {
            "main.py": "import geo\n\n\ndef f(x):\n    return geo.area(x)\n",
            "geo.py": "import patch\n\n\ndef area(x):\n    return patch.a.b\n",
            "patch.py": "import a\n\na.b = 1\n",
            "a.py": "",
        },
        {"patch.py": "import a\n\na.b = 2\n"},
    ),
    "registered class": plugins("x + 1", "x + 3"),
    "registered function": plugins("x + 2", "x + 3"),
    "names of a star import": (STAR, {"two.py": STAR["two.py"].replace("[]", "['step']")}),
    "order of star imports": (
        STAR | {"two.py": "def step(x):\n    return 2\n"},
        {
            "geo.py": STAR["geo.py"].replace(
                "from one import *\nfrom two import *", "from two import *\nfrom one import *"
            )
        },
    ),
    "module that appears": (
        {
            "main.py": "def f(x):\n    try:\n        import fast\n    except ImportError:\n        return 1\n    return fast.a\n"
        },
        {"fast.py": "a = 1\n"},
    ),
    "module for a package": (
        {
            "main.py": "import pack.a\n\n\ndef f(x):\n    return pack.a.b\n",
            "pack/__init__.py": "",
            "pack/a.py": "b = 1\n",
        },
        {"pack/__init__.py": "class a:\n    b = 2\n"},
    ),
    "import inside a function of a module": (
        {
            "main.py": "import geo\n\n\ndef f(x):\n    return geo.a()\n",
            "geo.py": "def a():\n    from late import b\n\n    return b\n",
            "late.py": "b = 1\n",
        },
        {"late.py": "b = 2\n"},
    ),
    "import by a text": (
        {
            "main.py": "import geo, late\n\n\ndef f(x):\n    return geo.a(late)\n",
            "geo.py": "import importlib\n\n\ndef a(x):\n    return importlib.import_module('la' + 'te').hidden()\n",
            "late.py": "def hidden():\n    return 1\n",
        },
        {"late.py": "def hidden():\n    return 2\n"},
    ),
    "submodule as an attribute": (
        {
            "main.py": "import pack\nimport pack.sub\n\n\ndef f(x):\n    return pack.sub.a\n",
            "pack/__init__.py": "",
            "pack/sub.py": "a = 1\n",
        },
        {"pack/sub.py": "a = 2\n"},
    ),
    "package above": (
        {
            "main.py": "import pack.sub.a\n\n\ndef f(x):\n    return pack.sub.a.b()\n",
            "pack/__init__.py": "C = 1\n",
            "pack/sub/__init__.py": "",
            "pack/sub/a.py": "from .. import C\n\n\ndef b():\n    return C\n",
        },
        {"pack/__init__.py": "C = 2\n"},
    ),
    "data file": (
        {
            "main.py": "import pack\n\n\ndef f(x):\n    return pack.a()\n",
            "pack/__init__.py": "from pathlib import Path\n\n\ndef a():\n    return (Path(__file__).parent / 'b' / 'c.txt').read_text()\n",
            "pack/b/c.txt": "1",
        },
        {"pack/b/c.txt": "2"},
    ),
    "data file of a subpackage": (
        {
            "main.py": "import pack\n\n\ndef f(x):\n    return pack.a()\n",
            "pack/__init__.py": "import pkgutil\n\n\ndef a():\n    return pkgutil.get_data('pack.sub', 'c.txt')\n",
            "pack/sub/__init__.py": "",
            "pack/sub/c.txt": "1",
        },
        {"pack/sub/c.txt": "2"},
    ),
    "data file of a module": (
        {
            "main.py": "import geo\n\n\ndef f(x):\n    return geo.a()\n",
            "geo.py": "import os\n\n\ndef a():\n    return open(os.path.join(os.path.dirname(__file__), 'c.txt')).read()\n",
            "c.txt": "1",
        },
        {"c.txt": "2"},
    ),
    "data file of the program": (
        {
            "main.py": "import os\n\n\ndef f(x):\n    return open(os.path.join(os.path.dirname(__file__), 'c.txt')).read()\n",
            "c.txt": "1",
        },
        {"c.txt": "2"},
    ),
    "data file, by a function": data(
        "from importlib.resources import files\nimport pack", "files(pack).joinpath('d.txt').read_text()"
    ),
    "data file, by another name of a module": data(
        "import importlib.resources as r\nimport pack", "r.files(pack).joinpath('d.txt').read_text()"
    ),
    "data file, beside the source": data(
        "import inspect, pack\nfrom pathlib import Path",
        "(Path(inspect.getsourcefile(pack)).parent / 'd.txt').read_text()",
    ),
    "data file, beside the spec": data(
        "import pack\nfrom importlib.util import find_spec as fs\nfrom pathlib import Path",
        "(Path(fs('pack').origin).parent / 'd.txt').read_text()",
    ),
    "data file, in a path of imports": data(
        "import pack, sys", "pack and open(sys.path[0] + '/pack/d.txt').read()"
    ),
    "data file that is a source": data(
        "import pack\nfrom importlib.resources import files",
        "files(pack).joinpath('d.py').read_text()",
        file="pack/d.py",
    ),
    "hidden data file": data("import pack", "pack.a()", file="pack/.d"),
    "data file that an alias in a package reads": data(
        "import pack",
        "pack.read()",
        text="from importlib.resources import files as _f\n\n\ndef read():\n    return _f(__package__)\n",
    ),
    **{
        f"data file beside a module, by {name}": data(head, body, module="geo.py", file="d.txt")
        for name, (head, body) in {
            "its source": (
                "import geo\nfrom inspect import getsourcefile as g",
                "open(g(geo)[:-6] + 'd.txt').read()",
            ),
            "its resources": ("import geo\nimport importlib.resources as r", "r.files(geo)"),
            "pkgutil": ("import geo\nimport pkgutil as p", "p.get_loader('geo').path"),
            "the source of f": (
                "import geo\nfrom inspect import getfile as g",
                "open(g(f)[:-7] + 'd.txt').read()",
            ),
        }.items()
    },
    "instance of a class of a module": (
        {
            "main.py": "import geo\n\nA = geo.A()\n\n\ndef f(x):\n    return A.b()\n",
            "geo.py": "class A:\n    def b(self):\n        return c()\n\n\ndef c():\n    return 1\n",
        },
        {"geo.py": "class A:\n    def b(self):\n        return c()\n\n\ndef c():\n    return 2\n"},
    ),
    "closure of a module": (
        {
            "main.py": "import geo\n\nf = geo.make(1)\n",
            "geo.py": "import late\n\n\ndef make(n):\n    return lambda x: late.a + n\n",
            "late.py": "a = 1\n",
        },
        {"late.py": "a = 2\n"},
    ),
    "enum member of a module": (
        {
            "main.py": "from geo import A\n\nB = A.C\n\n\ndef f(x):\n    return B.value\n",
            "geo.py": "from enum import Enum\n\n\nclass A(Enum):\n    C = 1\n",
        },
        {"geo.py": "from enum import Enum\n\n\nclass A(Enum):\n    C = 2\n"},
    ),
    "class by a text in a setting": (
        {
            "main.py": "import geo\nfrom json import loads as find\n\nSETTING = {'_target_': 'geo.other'}\n\n\ndef f(x):\n    return geo and find(SETTING['_target_'])\n",
            "geo.py": GEO,
        },
        {"geo.py": GEO.replace("x + 1", "x + 2")},
    ),
    "docstring that a decorator may read": geo(
        "return geo.a",
        "text 1",
        "text 2",
        text="def prompt(text):\n    return lambda fn: fn\n\n\n@prompt('m')\ndef a(x):\n    'text 1'\n",
    ),
    "docstring of a derived class": geo(
        "return geo.A",
        "text 1",
        "text 2",
        text="from json import JSONDecoder as Base\n\n\nclass A(Base):\n    'text 1'\n",
    ),
    "module that is preferred": (
        {
            "main.py": "import geo\n\n\ndef f(x):\n    return geo.a\n",
            "geo.py": "try:\n    from fast import a\nexcept ImportError:\n    from slow import a\n",
            "slow.py": "a = 1\n",
        },
        {"fast.py": "a = 2\n"},
    ),
    "star import into the program": (
        {"main.py": "from geo import *\n\n\ndef f(x):\n    return area(x)\n", "geo.py": GEO},
        {"geo.py": GEO.replace("return x\n", "return -x\n")},
    ),
    "base class in a module": (
        {
            "main.py": "import geo\n\n\nclass A(geo.B):\n    pass\n\n\ndef f(x):\n    return A().c()\n",
            "geo.py": "class B:\n    def c(self):\n        return 1\n",
        },
        {"geo.py": "class B:\n    def c(self):\n        return 2\n"},
    ),
    "method of a class of a module": (
        {
            "main.py": "import geo\n\nf = geo.B.c\n",
            "geo.py": "class B:\n    def c(self):\n        return 1\n",
        },
        {"geo.py": "class B:\n    def c(self):\n        return 2\n"},
    ),
    "factory of a field": script(
        "from dataclasses import dataclass, field\n\n\n@dataclass\nclass A:\n    b: list = field(default_factory=lambda: [1])\n\n\ndef f(x):\n    return A()\n",
        "[1]",
        "[2]",
    ),
    "metadata of a field": script(
        "from dataclasses import dataclass, field\n\n\n@dataclass\nclass A:\n    b: int = field(metadata={'c': 1})\n\n\ndef f(x):\n    return A\n",
        "1}",
        "2}",
    ),
    "annotation": script(
        "import typing\n\n\ndef f(x: typing.Annotated[int, 1]):\n    return f.__annotations__\n", "1]", "2]"
    ),
    "universal function": value("numpy.add", "numpy.multiply", "import numpy"),
    "class of a property": script(
        "class P(property):\n    def __get__(self, obj, kind=None):\n        return 1\n\n\nclass A:\n    b = P(len)\n\n\ndef f(x):\n    return A.b\n",
        "return 1",
        "return 2",
    ),
    "attribute of a property": script(
        "class P(property):\n    pass\n\n\nclass A:\n    b = P(len)\n\n\nA.__dict__['b'].c = 1\n\n\ndef f(x):\n    return A\n",
        "c = 1",
        "c = 2",
    ),
    "own namespace": geo(
        "return geo.a",
        "x = 1",
        "x = 2",
        text="import sys\n\nx = 1\nsys.modules[__name__].__dict__.update(a=locals()['x'])\n",
    ),
}

READERS = {
    "literal": "import os\n\n\ndef f(x):\n    return os.environ['MODE_OF_TEST']\n",
    "constant": "import os\n\nV = 'MODE_OF_TEST'\n\n\ndef f(x):\n    return os.getenv(V)\n",
    "computed": "import os\n\nP = 'MODE_OF'\n\n\ndef f(x):\n    return os.environ[f'{P}_TEST']\n",
    "item": "import os\n\n\ndef f(x):\n    return os.getenv(x)\n",
    "other names": "from os import getenv as g, environ as e\n\n\ndef f(x):\n    return g(x) or e\n",
    "method": "import os\n\nget = os.environ.get\n\n\ndef f(x):\n    return get(x)\n",
    "module": "import geo\n\n\ndef f(x):\n    return geo.a(x)\n",
    "in a path": "from os.path import expandvars as e\n\n\ndef f(x):\n    return e('$' + x)\n",
    "program": "from subprocess import run as r\n\n\ndef f(x):\n    return r(['printenv', x])\n",
    "file": "def f(x):\n    return open('/proc/self/environ').read()\n",
    "computed attribute": "import os\n\n\ndef f(x):\n    return getattr(os, x)\n",
}
"""Programs that read the environment variable MODE_OF_TEST."""
READER = "import os as _o\n\n\ndef a(x):\n    return _o.environ[x]\n"
