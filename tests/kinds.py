"""What people define in notebooks and scripts: one object of each kind, with a check of what it can do.

The tests run this file as ``__main__``, so that nothing here can be imported by a worker.
"""

# People write what these rules advise against, and it travels all the same.
# ruff: noqa: B008, B019, PIE796, RUF015, UP017, UP042, UP044

import abc
import array
import collections
import contextvars
import copy
import copyreg
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import itertools
import multiprocessing
import operator
import pathlib
import pickle
import re
import sys
import threading
import types
import typing
import uuid
import weakref
import xml.dom.minidom

import numpy as np

RATE = 3


class Plain:
    """A class."""

    counter = 0

    def __init__(self, x):
        self.x = x

    def price(self):
        return self.x * RATE

    def __eq__(self, other):
        return type(other) is type(self) and other.x == self.x

    __hash__ = None


class Child(Plain):
    def price(self):
        return super().price() + 1


class Slots:
    __slots__ = ("__hidden", "x")

    def __init__(self, x):
        self.x = x
        self.__hidden = -x

    def hidden(self):
        return self.__hidden


class SlotsChild(Slots):
    __slots__ = ("y",)


class OneSlot:
    __slots__ = "only"


class WeakSlots:
    __slots__ = ("__dict__", "__weakref__", "x")


@dataclasses.dataclass
class Data:
    x: int
    tags: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class SlottedData:
    x: int
    y: float = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlottedData:
    x: int


@dataclasses.dataclass(order=True, kw_only=True)
class OrderedData:
    x: int


class Colour(enum.Enum):
    RED = 1
    GREEN = 2
    CRIMSON = 1


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()
    BOTH = READ | WRITE


class Number(enum.IntEnum):
    ONE = 1
    UNO = 1


class Word(str, enum.Enum):
    A = "a"

    def shout(self):
        return self.value.upper()


class Planet(enum.Enum):
    EARTH = (5.97, 6.37)
    MARS = (0.64, 3.39)

    def __init__(self, mass, radius):
        self.mass = mass
        self._radius = radius

    @property
    def density(self):
        return self.mass / self._radius**3


class Length(bytes, enum.Enum):
    METRE = (0, "m")
    MILE = (1, "mi")

    def __new__(cls, value, label):
        made = bytes.__new__(cls, [value])
        made._value_ = value
        made.label = label
        return made


class Pause(datetime.timedelta, enum.Enum):
    SHORT = 1
    LONG = 60

    def __new__(cls, minutes):
        made = datetime.timedelta.__new__(cls, minutes=minutes)
        made._value_ = f"{minutes} min"
        return made


class Days(datetime.timedelta, enum.Enum):
    WEEK = 7


class Mode(enum.IntFlag):
    READ = 4
    WRITE = 2


class Copied:
    """What only the function that is registered for it can pickle."""

    def __init__(self, number):
        self.number = number
        self.lock = threading.Lock()


copyreg.pickle(Copied, lambda obj: (Copied, (obj.number,)))


class CopiedError(Exception):
    def __init__(self, number):
        super().__init__(f"number {number}")
        self.lock = threading.Lock()


copyreg.pickle(CopiedError, lambda obj: (CopiedError, (int(obj.args[0].split()[1]),)))


class Labelled(enum.Enum):
    A = (1, "first")

    def __new__(cls, value, label):
        made = object.__new__(cls)
        made._value_ = value
        made.label = label
        return made


class Pair(typing.NamedTuple):
    a: int
    b: str = "b"

    def total(self):
        return self.a


OldPair = collections.namedtuple("OldPair", "a b")


class Settings(typing.TypedDict):
    x: int


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...


class Square(Shape):
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side**2


class Quacks(typing.Protocol):
    def quack(self) -> str: ...


@typing.runtime_checkable
class HasSide(typing.Protocol):
    side: int


T = typing.TypeVar("T")
B = typing.TypeVar("B", bound=Plain)
P = typing.ParamSpec("P")
Ts = typing.TypeVarTuple("Ts")
UserId = typing.NewType("UserId", int)
Deep = typing.NewType("Deep", UserId)


class Box(typing.Generic[T]):
    def __init__(self, content: T):
        self.content = content


def annotated(user: UserId, box: Box[T], deep: Deep | None = None) -> T:
    return box.content if user else deep


def keeps_parameters(function: typing.Callable[P, T]) -> typing.Callable[P, T]:
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    return wrapper


def variadic(*values: typing.Unpack[Ts]) -> tuple[typing.Unpack[Ts]]:
    return values


class Lazy:
    def __init__(self):
        self.calls = 0

    @functools.cached_property
    def value(self):
        self.calls += 1
        return 42


@functools.cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@functools.lru_cache(maxsize=2)
def squared(n):
    """Return the square."""
    return n * n


class CachedMethods:
    @functools.cache
    def double(self, n):
        return 2 * n

    @staticmethod
    @functools.cache
    def triple(n):
        return 3 * n


@functools.singledispatch
def describe(obj):
    return "object"


@describe.register
def _(obj: int):
    return "int"


@describe.register
def _(obj: Plain):
    return f"Plain {obj.x}"


@describe.register(list)
def _(obj):
    return [describe(each) for each in obj]


class Formatter:
    @functools.singledispatchmethod
    def format(self, obj):
        return "object"

    @format.register
    def _(self, obj: int):
        return "int"


class Descriptor:
    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        return self.name


class Described:
    field = Descriptor()

    @property
    def doubled(self):
        return 2

    @classmethod
    def make(cls):
        return cls()

    @staticmethod
    def three():
        return 3


class Meta(type):
    def __call__(cls, *args):
        made = super().__call__(*args)
        made.tagged = True
        return made


class WithMeta(metaclass=Meta):
    pass


class Registry:
    kinds: typing.ClassVar[dict] = {}

    def __init_subclass__(cls, /, **options):
        super().__init_subclass__(**options)
        Registry.kinds[cls.__name__] = cls


class Registered(Registry):
    pass


class Outer:
    class Inner:
        def __init__(self, x):
            self.x = x


class State:
    def __init__(self, x):
        self.x = x
        self.lock = threading.Lock()

    def __getstate__(self):
        return {"x": self.x}

    def __setstate__(self, state):
        self.x = state["x"]
        self.lock = threading.Lock()


class Reduces:
    def __init__(self, x):
        self.x = x

    def __reduce__(self):
        return Reduces, (self.x,)


class Point(collections.UserDict):
    pass


class Numbers(list):
    pass


class Words(dict):
    pass


class Array(np.ndarray):
    pass


class Failure(Exception):
    def __init__(self, message, code):
        super().__init__(message)
        self.code = code

    def __reduce__(self):
        return Failure, (self.args[0], self.code)


def helper(n):
    return n + RATE


def uses_helper(n):
    return helper(n) * 2


def with_defaults(a, b=RATE, *, c=Plain(2)):
    return a + b + c.x


def counter():
    count = 0

    def add():
        nonlocal count
        count += 1
        return count

    return add


def recursive(n):
    return 1 if n == 0 else n * recursive(n - 1)


def defines_a_class(n):
    class Local(Plain):
        rate = RATE

        class Deeper:
            square = squared(RATE)

    return Local(n).rate + Local.Deeper.square


class Origin(typing.NamedTuple):
    x: int


Origin.ZERO = Origin(0)


@dataclasses.dataclass(frozen=True, slots=True)
class Unit:
    name: str


Unit.METRE = Unit("m")
Unit.ALL = {"m": Unit.METRE}


class HasState:
    def __init__(self, x):
        self.x = x

    def __getstate__(self):
        return self.x

    def __setstate__(self, state):
        self.x = state


HasState.FIRST = HasState(1)


class Hashable:
    def __init__(self, key):
        self.key = key

    def __eq__(self, other):
        return self.key == other.key

    def __hash__(self):
        return hash(self.key)


Hashable.TABLE = {Hashable("a"): 1}


class Keyword:
    registry: typing.ClassVar[dict] = {}

    def __init_subclass__(cls, *, key, **options):
        super().__init_subclass__(**options)
        cls.key = key
        Keyword.registry[key] = cls


class WithKeyword(Keyword, key="one"):
    pass


class KeywordMeta(type):
    made: typing.ClassVar[list] = []

    def __new__(cls, name, bases, namespace, *, table):
        cls.made.append(name)
        return super().__new__(cls, name, bases, {**namespace, "table": table})

    def __init__(cls, name, bases, namespace, *, table):
        super().__init__(name, bases, namespace)


class WithMetaKeyword(metaclass=KeywordMeta, table="t"):
    pass


class Operation(enum.Enum):
    ADD = enum.member(lambda a, b: a + b)
    MEAN = enum.member(np.mean)


class Kernel(enum.Enum):
    GAUSS = "gauss", lambda x: x * 2
    NAN = "nan", float("nan")

    def __init__(self, label, function):
        self.label, self.function = label, function


class Arrays(enum.Enum):
    ONE = np.array([1, 2])


class OwnEnumMeta(enum.EnumMeta):
    def names(cls):
        return list(cls.__members__)


class OwnEnum(enum.Enum, metaclass=OwnEnumMeta):
    A = 1


class Doubled(Exception):
    def __init__(self, n):
        super().__init__(f"bad {n}")
        self.n = n


class Wraps(Exception):
    def __init__(self, message, original):
        super().__init__(message)
        self.original = original


class SlottedError(Exception):
    __slots__ = ("n",)

    def __init__(self, n):
        super().__init__("slotted")
        self.n = n


def plots(sizes):
    return [xml.dom.minidom.parseString(f"<a>{size}</a>").toxml() for size in sizes]


def multiprocesses(values):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.map(recursive, values)


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) + 100

    wrapper.mark = "mark"
    return wrapper


@decorated
def wrapped(n):
    return n


def generator(n):
    yield from range(n)


async def coroutine(n):
    return n + 1


class Callable:
    def __call__(self, n):
        return n + 5


class WithSelf:
    def __init__(self):
        self.me = self
        self.children = [self]


variable = contextvars.ContextVar("variable", default=7)
unset = contextvars.ContextVar("unset")
set_one = contextvars.ContextVar("set_one", default=1)
set_one.set(2)
local = threading.local()
local.x = 5


class Local(threading.local):
    pass


own_local = Local()
own_local.y = 6


class CheckedModule(types.ModuleType):
    """A module may have a class of its own: ``sys.modules[__name__].__class__ = ...``."""


xml.dom.minidom.__class__ = CheckedModule
module = types.ModuleType("made_up")
module.x = 4

one_slot = OneSlot()
one_slot.only = 8
weak_slots = WeakSlots()
weak_slots.x, weak_slots.other = 1, 2
slots_child = SlotsChild(3)
slots_child.y = 4
a_plain = Plain(9)


def is_picklable(obj):
    """Return whether plain pickle, which joblib.hash and shelve use, takes an object within a task."""
    return type(pickle.loads(pickle.dumps(obj))) is type(obj)


KINDS = {
    "plain": (Plain(2), lambda o: o.price() == 6 and type(o) is Plain and is_picklable(o)),
    "child": (Child(2), lambda o: o.price() == 7 and isinstance(o, Plain) and is_picklable(o)),
    "class": (Plain, lambda o: o is Plain and o(3).price() == 9),
    "slots": (Slots(1), lambda o: (o.x, o.hidden()) == (1, -1) and not hasattr(o, "__dict__")),
    "slots of a child": (slots_child, lambda o: (o.x, o.y, o.hidden()) == (3, 4, -3) and is_picklable(o)),
    "one slot": (one_slot, lambda o: o.only == 8),
    "slots with a dict": (weak_slots, lambda o: (o.x, o.other) == (1, 2) and weakref.ref(o)() is o),
    "dataclass": (Data(1, ["a"]), lambda o: o == Data(1, ["a"]) and dataclasses.asdict(o)["tags"] == ["a"]),
    "slotted dataclass": (
        SlottedData(1),
        lambda o: o == SlottedData(1) and dataclasses.astuple(o) == (1, 0.5),
    ),
    "frozen slotted dataclass": (FrozenSlottedData(1), lambda o: o == FrozenSlottedData(1) and hash(o) != 0),
    "ordered dataclass": (OrderedData(x=1), lambda o: o < OrderedData(x=2)),
    "enum": (Colour.GREEN, lambda o: o is Colour.GREEN),
    "enum alias": (Colour.RED, lambda o: o is Colour.CRIMSON is Colour["CRIMSON"] and list(Colour)[0] is o),
    "enum class": (Colour, lambda o: o is Colour and list(o.__members__) == ["RED", "GREEN", "CRIMSON"]),
    "flag": (Access.READ, lambda o: o in Access.BOTH and Access.BOTH.name == "BOTH"),
    "flag combination": (Access.BOTH, lambda o: o is Access.READ | Access.WRITE and o is Access.BOTH),
    "unnamed flag": (~Access.READ, lambda o: o is Access.WRITE),
    "int enum": (Number.ONE, lambda o: o is Number.UNO and o + 1 == 2),
    "str enum": (Word.A, lambda o: o is Word.A and o.shout() == "A" and o == "a"),
    "enum with __init__": (Planet.EARTH, lambda o: o.mass == 5.97 and round(o.density, 3) == 0.023),
    "enum of bytes with __new__": (
        Length.MILE,
        lambda o: (o.label, bytes(o), o.value) == ("mi", b"\1", 1) and o is Length(1) and o is Length["MILE"],
    ),
    "enum of another type with __new__": (
        Pause.LONG,
        lambda o: o.total_seconds() == 3600 and o.value == "60 min" and o is Pause("60 min"),
    ),
    "enum of another type": (Days.WEEK, lambda o: o.days == 7 and o is Days(datetime.timedelta(7))),
    "int flag": (Mode.READ, lambda o: (o | Mode.WRITE) == 6 and Mode(6) is Mode.READ | Mode.WRITE),
    "registered with copyreg": (Copied(3), lambda o: o.number == 3 and not o.lock.locked()),
    "exception registered with copyreg": (
        CopiedError(3),
        lambda o: str(o) == "number 3" and bool(o.lock),
    ),
    "enum with __new__": (Labelled.A, lambda o: o.label == "first" and o is Labelled(1)),
    "NamedTuple": (Pair(1), lambda o: o == (1, "b") and type(o) is Pair and o.total() == 1),
    "namedtuple": (OldPair(1, 2), lambda o: o._replace(a=2) == OldPair(2, 2)),
    "TypedDict": (Settings, lambda o: o is Settings and o(x=1) == {"x": 1}),
    "abstract class": (Square(3), lambda o: o.area() == 9 and isinstance(o, Shape)),
    "protocol": (Square(3), lambda o: isinstance(o, HasSide) and Quacks is not None),
    "type variable": (T, lambda o: o is T),
    "bound type variable": (B, lambda o: o is B and o.__bound__ is Plain),
    "parameter specification": (P, lambda o: o is P),
    "variadic type variable": (Ts, lambda o: o is Ts),
    "new type": (UserId, lambda o: o is UserId and o(3) == 3),
    "new type of a new type": (Deep, lambda o: o.__supertype__ is UserId),
    "generic": (Box(1), lambda o: o.content == 1 and Box[int].__origin__ is type(o)),
    "generic alias": (Box[int], lambda o: o.__origin__ is Box),
    "annotated function": (annotated, lambda o: o(1, Box(2)) == 2 and o.__annotations__["user"] is UserId),
    "parameter-keeping decorator": (keeps_parameters(len), lambda o: o("abc") == 3),
    "variadic function": (variadic, lambda o: o(1, 2) == (1, 2)),
    "cached property": (Lazy(), lambda o: o.value == o.value == 42 and o.calls == 1),
    "cached function": (fibonacci, lambda o: o(30) == 832040 and o.cache_info().hits > 0),
    "lru_cache": (
        squared,
        lambda o: o(3) == 9 and o.cache_parameters()["maxsize"] == 2 and o.__doc__ == "Return the square.",
    ),
    "cached methods": (CachedMethods(), lambda o: o.double(2) == 4 and o.triple(2) == 6),
    "single dispatch": (describe, lambda o: o([1, Plain(2), "x"]) == ["int", "Plain 2", "object"]),
    "single dispatch method": (Formatter(), lambda o: (o.format(1), o.format("")) == ("int", "object")),
    "class that holds an instance of itself": (Origin.ZERO, lambda o: Origin.ZERO == o == (0,)),
    "slotted class that holds instances": (Unit.METRE, lambda o: Unit.METRE == o == Unit.ALL["m"]),
    "class with a state that holds an instance": (HasState(2), lambda o: (o.x, HasState.FIRST.x) == (2, 1)),
    "class that holds a table of its instances": (Hashable("a"), lambda o: Hashable.TABLE[o] == 1),
    "subclass with a keyword": (
        WithKeyword(),
        lambda o: o.key == "one" and len(Keyword.registry) == 1,
    ),
    "metaclass with a keyword": (WithMetaKeyword(), lambda o: o.table == "t" and len(KeywordMeta.made) == 1),
    "enum of functions": (Operation.ADD, lambda o: o is Operation.ADD and o.value(1, 2) == 3),
    "enum of a builtin function": (Operation.MEAN, lambda o: o is Operation["MEAN"] and o.value([1, 3]) == 2),
    "enum of pairs with a function": (Kernel.GAUSS, lambda o: o.function(2) == 4 and o is Kernel.GAUSS),
    "enum of not-a-number": (Kernel.NAN, lambda o: o is Kernel.NAN and o.label == "nan"),
    "enum of arrays": (Arrays.ONE, lambda o: o is Arrays.ONE and o.value.sum() == 3),
    "enum with a metaclass": (OwnEnum.A, lambda o: OwnEnum.names() == ["A"] and o is OwnEnum.A),
    "exception with its own message": (
        Doubled(3),
        lambda o: (str(o), o.n, o.args) == ("bad 3", 3, ("bad 3",)),
    ),
    "exception that holds another": (Wraps("a", Doubled(3)), lambda o: str(o.original) == "bad 3"),
    "exception with slots": (SlottedError(3), lambda o: (str(o), o.n) == ("slotted", 3)),
    "submodule in a comprehension": (plots, lambda o: "<a>2</a>" in o([2])[0]),
    "multiprocessing in a task": (multiprocesses, lambda o: o([3]) == [6]),
    "name of a nested class": (Outer.Inner, lambda o: o.__qualname__ == "Outer.Inner" and o is Outer.Inner),
    "descriptor": (Described(), lambda o: (o.field, o.doubled, o.three()) == ("field", 2, 3) and o.make()),
    "metaclass": (WithMeta(), lambda o: o.tagged and WithMeta().tagged),
    "subclass registry": (
        Registered(),
        lambda o: isinstance(o, Registry) and list(Registry.kinds) == ["Registered"],
    ),
    "nested class": (Outer.Inner(1), lambda o: o.x == 1 and type(o) is Outer.Inner and is_picklable(o)),
    "own state": (State(1), lambda o: o.x == 1 and o.lock.acquire(False) and o.lock.release() is None),
    "own __reduce__": (Reduces(1), lambda o: o.x == 1 and is_picklable(o)),
    "user dict": (Point(a=1), lambda o: o["a"] == 1),
    "list subclass": (Numbers([1, 2]), lambda o: o == [1, 2] and type(o) is Numbers),
    "dict subclass": (Words(a=1), lambda o: o["a"] == 1 and type(o) is Words),
    "array subclass": (np.arange(3).view(Array), lambda o: o.sum() == 3 and type(o) is Array),
    "exception": (Failure("no", 5), lambda o: (str(o), o.code) == ("no", 5) and type(o) is Failure),
    "function": (uses_helper, lambda o: o(1) == 8),
    "function with defaults": (with_defaults, lambda o: o(1) == 6),
    "closure": (counter(), lambda o: o() == 1 or o() > 1),
    "recursive function": (recursive, lambda o: o(4) == 24),
    "function that defines a class": (defines_a_class, lambda o: o(1) == 12),
    "decorated function": (wrapped, lambda o: o(1) == 101 and o.mark == "mark" and o.__name__ == "wrapped"),
    "lambda": (lambda n: n + RATE, lambda o: o(1) == 4),
    "partial": (functools.partial(uses_helper, 1), lambda o: o() == 8),
    "bound method": (Plain(2).price, lambda o: o() == 6 and type(o.__self__) is Plain),
    "class method": (Described.make, lambda o: type(o()) is Described),
    "unbound method": (Plain.price, lambda o: o(Plain(1)) == 3),
    "builtin method": ("abc".upper, lambda o: o() == "ABC"),
    "generator function": (generator, lambda o: list(o(3)) == [0, 1, 2]),
    "coroutine function": (coroutine, lambda o: o.__code__.co_flags & 0x80),
    "callable object": (Callable(), lambda o: o(1) == 6),
    "cycle": (WithSelf(), lambda o: o.me is o is o.children[0]),
    "context variable": (variable, lambda o: o is variable and o.get() == 7),
    "set context variable": (set_one, lambda o: o.get() == 2),
    "unset context variable": (unset, lambda o: o.get("none") == "none"),
    "thread-local": (local, lambda o: o.x == 5),
    "thread-local class": (own_local, lambda o: o.y == 6 and type(o) is Local),
    "made-up module": (module, lambda o: o.x == 4),
    "module with its own class": (
        xml.dom.minidom,
        lambda o: o.parseString("<a/>").documentElement.tagName == "a",
    ),
    "module": (itertools, lambda o: o is itertools),
    "several of one class": (
        [a_plain, a_plain, Plain],
        lambda o: o[0] is o[1] and o[0] == a_plain and o[2] is Plain,
    ),
    "regular expression": (re.compile("a+"), lambda o: o.match("aa")),
    "item getter": (operator.itemgetter(1), lambda o: o("ab") == "b"),
    "standard types": (
        (
            decimal.Decimal("1.1"),
            fractions.Fraction(1, 3),
            uuid.UUID(int=1),
            pathlib.Path("a"),
            array.array("i", [1]),
        ),
        lambda o: copy.copy(o) == o,
    ),
    "date": (datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), lambda o: o.year == 2026),
    "counter": (collections.Counter("aab"), lambda o: o["a"] == 2),
    "default dict": (collections.defaultdict(Plain, a=1), lambda o: o.default_factory is Plain),
    "chain map": (collections.ChainMap({"a": Plain(1)}), lambda o: o["a"] == Plain(1)),
    "dict views": ({"a": 1}.keys(), lambda o: list(o) == ["a"]),
    "builtin types": ((type(None), types.FunctionType, type(...)), lambda o: o[0] is type(None)),
    "mapping proxy": (types.MappingProxyType({"a": 1}), lambda o: o["a"] == 1),
    "simple namespace": (types.SimpleNamespace(a=Plain(1)), lambda o: o.a == Plain(1)),
    "property": (Described.__dict__["doubled"], lambda o: o.fget(None) == 2),
    "weak set": (weakref.WeakSet(), lambda o: len(o) == 0),
    "structured array": (np.zeros(2, [("a", "i4")]), lambda o: o["a"].sum() == 0),
    "object array": (np.array([Plain(1)], dtype=object), lambda o: o[0] == Plain(1)),
    "ufunc": (np.sin, lambda o: o(0) == 0),
    "vectorized": (np.vectorize(helper), lambda o: o([1, 2]).tolist() == [4, 5]),
    "random generator": (np.random.default_rng(1), lambda o: o.random() < 1),
    "frozen set": (frozenset({UserId(1)}), lambda o: o == {1}),
    "ellipsis": ((..., NotImplemented), lambda o: o == (..., NotImplemented)),
    "range and slice": ((range(3), slice(1, 2)), lambda o: o[0][-1] == 2),
}

if sys.version_info >= (3, 12):
    exec("type Alias[X] = list[X]\ndef first[X](values: Alias[X]) -> X: return values[0]")
    KINDS["type alias"] = (Alias, lambda o: o is Alias and o.__value__.__origin__ is list)  # noqa: F821
    KINDS["generic function"] = (first, lambda o: o([1]) == 1)  # noqa: F821
