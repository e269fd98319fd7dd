"""What users are told of items, functions and values that cannot be pickled."""

import collections
import dataclasses
import functools
import threading
import traceback
import types

import numpy as np
import pytest

import wrenlite

LOCK = threading.Lock()
SETTINGS = {"rate": 3}
NO_STR = "its text cannot be shown, since its __str__ fails"


@dataclasses.dataclass
class Config:
    name: str
    db: object


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    name: str
    db: object


Point = collections.namedtuple("Point", "x y")


class Holds:
    def __init__(self, lock):
        self.lock = lock

    @property
    def never_read(self):
        raise SystemExit("a property was read")

    def method(self, x):
        return x


class HasNoText(Exception):
    def __str__(self):
        raise ValueError("no text")


class RefusesReduce:
    def __reduce__(self):
        raise HasNoText


class RefusesState:
    def __getstate__(self):
        raise HasNoText


class HasNoRepr:
    def __repr__(self):
        raise ValueError("no repr")


class ReducesTo:
    def __init__(self, reduction):
        self.reduction = reduction

    def __reduce__(self):
        return self.reduction


class RefusesToTellItsClass:
    @property
    def __class__(self):
        raise RuntimeError("no class")


class SubSet(set):
    pass


class Node:
    def __init__(self, parent):
        self.parent, self.children = parent, []


def tree():
    root = Node(None)
    root.children = [Node(root) for _ in range(3)]
    root.lock = LOCK
    return root


def closure_in_closure(lock):
    def inner():
        return lock

    return lambda x: inner()


def ring():
    made = []
    made += [made, {"a": [LOCK]}]
    return made


def with_default(x, y=1, z=LOCK):
    return x


def with_keyword(x, *, z=LOCK):
    return x


def data_frame():
    import pandas as pd  # Lambda's workers, which import this module, have none

    return pd.DataFrame({"n": [1, 2], "db": [1, LOCK]})


def series():
    import pandas as pd

    return pd.Series([1, [LOCK]])


def generate():
    yield 1


def first_of(item, *args, **kwargs):
    return item


@pytest.fixture(scope="module")
def here():
    with wrenlite.Executor.inline() as executor:
        yield executor


ITEMS = {
    "list in itself": (ring, "[1]['a'][0] (type lock)"),
    "children know parents": (tree, "attribute lock (type lock)"),
    "deque": (lambda: collections.deque([1, LOCK]), "[1] (type lock)"),
    "array": (lambda: np.array([[1, None], [LOCK, 2]], object), "[1, 0] (type lock)"),
    "argument of an exception": (lambda: ValueError("bad", LOCK), "attribute args[1] (type lock)"),
    "attribute of an exception": (lambda: OSError(2, "bad", LOCK), "attribute filename (type lock)"),
    "key": (lambda: {(1, LOCK): 2}, "key (1, <lock>)[1] (type lock)"),
    "OrderedDict": (lambda: collections.OrderedDict(a=1, b=LOCK), "['b'] (type lock)"),
    "defaultdict": (lambda: collections.defaultdict(list, a=[LOCK]), "['a'][0] (type lock)"),
    "Counter": (lambda: collections.Counter(a=LOCK), "['a'] (type lock)"),
    "default_factory": (
        lambda: collections.defaultdict(closure_in_closure(LOCK)),
        "attribute default_factory → closure variable 'inner' → closure variable 'lock' (type lock)",
    ),
    "dataclass": (lambda: Config("a", {"x": LOCK}), "attribute db['x'] (type lock)"),
    "frozen dataclass": (lambda: Frozen("a", [LOCK]), "attribute db[0] (type lock)"),
    "named tuple": (lambda: Point(1, {"z": LOCK}), "attribute y['z'] (type lock)"),
    "namespace": (lambda: types.SimpleNamespace(a=LOCK), "attribute a (type lock)"),
    "partial": (lambda: functools.partial(first_of, LOCK), "attribute args[0] (type lock)"),
    "keyword of partial": (
        lambda: functools.partial(first_of, y=LOCK),
        "attribute keywords['y'] (type lock)",
    ),
    "bound method": (lambda: Holds(LOCK).method, "self.lock (type lock)"),
    "builtin bound method": (lambda: [LOCK.acquire], "[0] → self (type lock)"),
    "generator": (lambda: {"a": generate()}, "['a'] (type generator)"),
    "column": (data_frame, "column 'db' row 1 (type lock)"),
    "series": (series, "row 1[0] (type lock)"),
    "set": (lambda: {1, LOCK}, "element <lock> (type lock)"),
    "in a set": (lambda: SubSet({(1, LOCK)}), "element (1, <lock>)[1] (type lock)"),
    "key without repr": (lambda: {HasNoRepr(): LOCK}, "[<HasNoRepr>] (type lock)"),
    "a property beside it": (lambda: [Holds(LOCK)], "[0].lock (type lock)"),
    "argument of a reduction": (
        lambda: ReducesTo((first_of, ([1, LOCK],))),
        "argument 0 of its __reduce__[1] (type lock)",
    ),
}


@pytest.mark.parametrize(("make", "path"), ITEMS.values(), ids=ITEMS)
def test_the_part_of_an_item_is_named(here, make, path):
    with pytest.raises(wrenlite.ItemNotPicklable) as caught:
        here.map(first_of, [0, make()])
    assert f"item 1 cannot be pickled at {path}: TypeError: cannot pickle" in str(caught.value)


def function_with_attribute():
    def function(x):
        return x, SETTINGS

    function.lock = threading.Lock()
    return function


FUNCTIONS = {
    "attribute": (function_with_attribute, "attribute 'lock'"),
    "closure": (lambda: closure_in_closure(LOCK), "closure variable 'inner' → closure variable 'lock'"),
    "default": (lambda: with_default, "default of parameter 'z'"),
    "default of a keyword": (lambda: with_keyword, "default of parameter 'z'"),
    "method": (lambda: Holds(LOCK).method, "self.lock"),
    "partial": (lambda: functools.partial(first_of, y=[LOCK]), "attribute keywords['y'][0]"),
    "global": (lambda: lambda x: LOCK, "global variable 'LOCK'"),
    "cached": (lambda: functools.lru_cache(lambda x: LOCK), "global variable 'LOCK'"),
}


@pytest.fixture
def by_value():
    """Functions of this module travel as those of a notebook do."""
    import sys

    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize(("make", "path"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_part_of_a_function_is_named(here, by_value, make, path):
    with pytest.raises(wrenlite.FunctionNotPicklable) as caught:
        here.map(make(), [1])
    assert f"cannot be pickled at {path} (type lock): TypeError" in str(caught.value)


ARGS = " of map(first_of, …) cannot be pickled"

CALLS = {
    "args": (lambda ex: ex.map(first_of, [1], args=(1, [LOCK])), ARGS, "args[1][0]"),
    "kwargs": (
        lambda ex: ex.map(first_of, [1], kwargs={"y": Config("a", LOCK)}),
        ARGS,
        "kwargs['y'].db",
    ),
    "submit": (lambda ex: ex.submit(first_of, 1, [LOCK]), "the call of submit", "argument 1[0]"),
    "keyword": (
        lambda ex: ex.submit(first_of, 1, y=Config("a", LOCK)),
        "the call of submit",
        "argument 'y'.db",
    ),
    "starmap": (lambda ex: ex.starmap(first_of, [(1,), (2, [LOCK])]), "item 1", "argument 1[0]"),
    "map_fn": (
        lambda ex: ex.map_reduce(closure_in_closure(LOCK), [1], sum),
        "map_fn=<lambda>",
        "closure variable 'inner' → closure variable 'lock'",
    ),
    "reduce_fn": (
        lambda ex: ex.map_reduce(first_of, [1], closure_in_closure(LOCK)),
        "reduce_fn=<lambda>",
        "closure variable 'inner' → closure variable 'lock'",
    ),
    "item of map_reduce": (lambda ex: ex.map_reduce(first_of, [[LOCK]], sum), "item 0", "[0]"),
    "put": (lambda ex: ex.put({"a": Config("a", LOCK)}), "this dict", "['a'].db"),
    "class of what is put": (
        lambda ex: ex.put([type("Model", (), {"lock": LOCK})()]),
        "this list",
        "[0] → class Model → attribute 'lock'",
    ),
}


@pytest.mark.parametrize(("call", "what", "path"), CALLS.values(), ids=CALLS)
def test_every_way_to_pass_an_object_names_it(here, call, what, path):
    with pytest.raises(wrenlite.NotPicklable) as caught:
        call(here)
    begins = (
        f"{path} (type lock){ARGS}" if what == ARGS else f"{what} cannot be pickled at {path} (type lock)"
    )
    assert str(caught.value).startswith(f"{begins}: TypeError: cannot pickle")


VALUES = {
    "deque": (lambda lock: {"a": collections.deque([1, lock])}, "['a'][1] (type lock)"),
    "array": (lambda lock: np.array([1, lock], object), "[1] (type lock)"),
    "exception": (lambda lock: [ValueError(lock)], "[0].args[0] (type lock)"),
    "set": (lambda lock: {1, lock}, "element <lock> (type lock)"),
}


@pytest.mark.parametrize(("make", "path"), VALUES.values(), ids=VALUES)
def test_the_part_of_a_value_is_named(executor, make, path):
    def value(x):
        import threading

        return make(threading.Lock())

    with pytest.raises(wrenlite.ResultNotPicklable) as caught:
        executor.map(value, [1]).results()
    assert f"the value that value returned cannot be pickled at {path}: TypeError" in str(caught.value)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (RefusesReduce(), f"(type RefusesReduce): HasNoText: {NO_STR}"),
        ([RefusesState()], f"at [0] (type RefusesState): HasNoText: {NO_STR}"),
        ([RefusesToTellItsClass()], "at [0] (type RefusesToTellItsClass): RuntimeError: no class"),
        ([ReducesTo(5)], "at [0] (type ReducesTo): PicklingError"),
        ([ReducesTo((list, 5))], "at [0] (type ReducesTo): PicklingError"),
        ([ReducesTo("no name")], "at [0] (type ReducesTo): PicklingError"),
    ],
)
def test_objects_that_fail_in_their_own_code_are_named(here, item, words):
    with pytest.raises(wrenlite.ItemNotPicklable) as caught:
        here.map(first_of, [0, item])
    assert f"item 1 cannot be pickled {words}" in str(caught.value)


def test_messages_are_short(here):
    long_error = RuntimeError("e" * 100_000)

    class Refuses:
        def __reduce__(self):
            raise long_error

    deep = functools.reduce(lambda held, _: {"k" * 30: held}, range(50), LOCK)
    for item in ({"k" * 10_000: LOCK}, {HasNoRepr(): {("k" * 10_000, 10**5_000): LOCK}}, deep, Refuses()):
        with pytest.raises(wrenlite.ItemNotPicklable) as caught:
            here.map(first_of, [item])
        assert len(str(caught.value)) < 1_300


def test_what_is_nested_too_deeply_is_refused_with_advice(here):
    deep = functools.reduce(lambda held, _: [held], range(100_000), 1)
    with pytest.raises(wrenlite.ItemNotPicklable, match=r"item 0 cannot be .*It is nested too deeply"):
        here.map(first_of, [deep])


def test_a_generator_gets_advice_and_is_not_moved_on(here):
    generator = generate()
    with pytest.raises(wrenlite.ItemNotPicklable, match=r"\(type generator\).* Use list\(\.\.\.\) of it"):
        here.map(first_of, [[generator, iter([1])]])
    assert list(generator) == [1]


def test_the_last_element_of_large_containers_is_found(here):
    size = 100_000
    pairs = [(number, number) for number in range(size)]
    array = np.zeros(size, object)
    array[-1] = LOCK
    large = {
        "[100000]": [*pairs, LOCK],
        "['last']": {**dict(pairs), "last": LOCK},
        "[99999]": array,
    }
    for path, item in large.items():
        with pytest.raises(wrenlite.ItemNotPicklable) as caught:
            here.map(first_of, [item])
        assert f"item 0 cannot be pickled at {path} (type lock)" in str(caught.value)


class FailsOnArrival:
    def __init__(self, where):
        self.where = where

    def __setstate__(self, state):
        raise HasNoText


def returns(obj):
    return lambda item: obj


CODE_FAILS = "the function of this job, what it refers to, or args= or kwargs= cannot be unpickled on the wor"


ARRIVALS = {
    "item": (lambda ex: ex.map(first_of, [FailsOnArrival("there")])[0], "item 0 cannot be unpickled"),
    "args": (lambda ex: ex.map(first_of, [1], args=(FailsOnArrival("there"),))[0], CODE_FAILS),
    "kwargs": (lambda ex: ex.map(first_of, [1], kwargs={"y": FailsOnArrival("there")})[0], CODE_FAILS),
    "closure": (lambda ex: ex.map(returns(FailsOnArrival("there")), [1])[0], CODE_FAILS),
    "put": (lambda ex: ex.map(first_of, [1], args=(ex.put(FailsOnArrival("there")),))[0], CODE_FAILS),
    "submit": (
        lambda ex: ex.submit(first_of, 1, y=FailsOnArrival("there")),
        "arguments of submit cannot be",
    ),
    "value": (lambda ex: ex.map(lambda _: FailsOnArrival("here"), [1])[0], "cannot be unpickled here"),
    "reduced value": (
        lambda ex: ex.map_reduce(lambda _: FailsOnArrival("there"), [1], list),
        "value of task 0 cannot be",
    ),
}


def test_an_object_that_fails_where_it_arrives_is_named(executor):
    for place, (run, words) in ARRIVALS.items():
        with pytest.raises(wrenlite.RemoteError) as caught:
            run(executor).result()
        assert words in str(caught.value), place
        assert f"HasNoText: {NO_STR}" in str(caught.value), place


def test_the_traceback_of_what_fails_on_arrival_is_the_users(executor):
    for args in ((FailsOnArrival("there"),), (executor.put(FailsOnArrival("there")),)):
        cause = executor.map(first_of, [1], args=args)[0].exception().__cause__
        assert type(cause) is HasNoText
        assert [frame.name for frame in traceback.extract_tb(cause.__traceback__)] == ["__setstate__"]


class NoCopies:
    def __reduce__(self):
        raise RuntimeError("one connection only")


class Scene:
    def __init__(self, db):
        self.c = db

    def check(self):
        return LOCK.locked()


def test_the_text_is_about_the_part_that_is_named(here, by_value):
    for held, words in (
        (
            Scene(NoCopies()),
            "args[0].c (type NoCopies) of map(first_of, …) cannot be pickled: RuntimeError: one",
        ),
        (Scene(1), "attribute 'check' → global variable 'LOCK' (type lock) of map(first_of, …) cannot be"),
    ):
        with pytest.raises(wrenlite.FunctionNotPicklable) as caught:
            here.map(first_of, [1], args=(held,))
        assert words in str(caught.value)
    with pytest.raises(
        wrenlite.ItemNotPicklable, match=r"at \[0\]\.c \(type NoCopies\): RuntimeError: one con"
    ):
        here.map(first_of, [[Scene(NoCopies()), LOCK]])


def test_an_iterator_is_named_itself_and_its_list_is_advised(here):
    for make in (map, filter):
        with pytest.raises(wrenlite.ItemNotPicklable) as caught:
            here.map(first_of, [[make(lambda each: LOCK, [1])]])
        assert f"item 0 cannot be pickled at [0] (type {make.__name__}): TypeError" in str(caught.value)
        assert str(caught.value).endswith("Use list(...) of this iterator.")


def test_an_object_with_advice_of_its_own_gets_no_other(here):
    future = here.map(first_of, [1])[0]
    with pytest.raises(wrenlite.FunctionNotPicklable) as caught:
        here.map(lambda _: future, [1])
    assert str(caught.value).endswith("pass its result().")
