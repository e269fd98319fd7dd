"""Functions, items and values: pickled for a worker and unpickled."""

import collections
import concurrent.futures
import dataclasses
import enum
import functools
import inspect
import math
import operator
import pickle
import queue
import threading
import types

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrenlite.errors import FunctionNotPicklable, ItemNotPicklable
from wrenlite.protocol import Style
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.pickling import (
    Call,
    Packer,
    PickledCall,
    function_name,
    pack_call,
    pack_items,
    unpack,
    unpack_call,
)
from wrenlite.storage.base import digest

plain_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


def round_trip(obj):
    """Send an object to a worker as an item and back as the value of an identity function; return it."""
    class_table = ClassTable(grows=True)
    (item,) = pack_items([obj], class_table)
    received = unpack_call(pack_call(Call(operator.pos, (), {}, Style.ITEM), class_table))
    value = unpack(item, received.table)
    returned = Packer(ClassTable(received.table, grows=False), snapshot=False).pack(value)
    return unpack(returned, class_table.entries)


def call_after_round_trip(function, *args):
    """Send a function to a worker, and return the value of a call there."""
    return unpack_call(pack_call(Call(function, (), {}, Style.ITEM), ClassTable(grows=True))).function(*args)


@given(plain_data)
def test_plain_data_survives_a_round_trip(obj):
    assert round_trip(obj) == obj


@given(st.sampled_from(["u1", "i4", "f8", "c16"]), st.lists(st.integers(0, 40), max_size=3))
def test_arrays_survive_a_round_trip(dtype, shape):
    array = np.arange(math.prod(shape)).astype(dtype).reshape(shape)
    returned = round_trip(array)
    assert returned.dtype == array.dtype
    assert returned.shape == array.shape
    assert (returned == array).all()


def test_large_buffers_stay_outside_the_stream():
    class_table = ClassTable(grows=True)
    (packed,) = pack_items([np.ones((1000, 1000))], class_table)
    assert len(packed.data) < 1000
    assert packed.size > 8_000_000
    assert unpack(packed, ()).sum() == 1e6


def test_an_item_is_a_snapshot():
    array = np.zeros(100_000)
    (packed,) = pack_items([array], ClassTable(grows=True))
    array += 1
    assert unpack(packed, ()).sum() == 0


def test_an_unpacked_item_can_be_written_to():
    (packed,) = pack_items([np.zeros(100_000)], ClassTable(grows=True))
    unpack(packed, ())[0] = 1


@pytest.mark.parametrize(
    "array",
    [np.asfortranarray(np.ones((300, 400))), np.ones((600, 400))[::2], np.ones((300, 400)).T],
    ids=["fortran", "strided", "transposed"],
)
def test_arrays_of_any_memory_layout_survive(array):
    assert (round_trip(array) == array).all()


def dynamic_class():
    @dataclasses.dataclass
    class Point:
        x: int
        y: float

    return Point


def test_a_dynamic_class_keeps_its_identity_in_a_round_trip():
    point = dynamic_class()
    assert type(round_trip(point(1, 2.0))) is point
    assert round_trip([point(1, 2.0), {"a": point(3, 4.0)}]) == [point(1, 2.0), {"a": point(3, 4.0)}]


def test_items_of_a_dynamic_class_are_small():
    point = dynamic_class()
    items = pack_items([point(n, 0.5) for n in range(100)], ClassTable(grows=True))
    mean = sum(item.size for item in items) / 100
    assert mean < 200
    assert mean < len(cloudpickle.dumps(point(1, 0.5))) / 10


def test_a_class_that_the_function_uses_is_the_class_of_its_values():
    point = dynamic_class()
    class_table = ClassTable(grows=True)
    blob = pack_call(Call(lambda n: point(n, 0.0), (), {}, Style.ITEM), class_table)
    received = unpack_call(blob)
    value = received.function(5)
    returned = Packer(ClassTable(received.table, grows=False), snapshot=False).pack(value)
    assert len(returned.data) < 200
    assert unpack(returned, class_table.entries) == point(5, 0.0)


def test_dynamic_enums_keep_their_members():
    class Colour(enum.Enum):
        RED = 1

    assert round_trip([Colour.RED, Colour.RED])[0] is Colour.RED


def test_objects_that_only_cloudpickle_can_pickle():
    assert round_trip(lambda x: x + 1)(1) == 2
    assert [f(2) for f in round_trip([functools.partial(operator.mul, 3), lambda x: x**2])] == [6, 4]
    pair = collections.namedtuple("pair", "a b")  # a dynamic class on purpose
    assert round_trip(pair(1, 2)) == pair(1, 2)


def make_recursive():
    def factorial(n):
        return 1 if n < 2 else n * factorial(n - 1)

    return factorial


class Scale:
    def __init__(self, by):
        self.by = by

    def apply(self, x):
        return x * self.by

    def __call__(self, x):
        return x + self.by


@pytest.mark.parametrize(
    ("function", "argument", "value"),
    [
        (lambda x: x + 1, 1, 2),
        (make_recursive(), 5, 120),
        (abs, -3, 3),
        (np.negative, 3, -3),
        (functools.partial(pow, 2), 3, 8),
        (Scale(3).apply, 2, 6),
        (Scale(3), 2, 5),
        (str.upper, "a", "A"),
        (operator.itemgetter(1), [1, 2], 2),
    ],
    ids=["lambda", "recursive", "builtin", "ufunc", "partial", "method", "callable", "descriptor", "getter"],
)
def test_functions_of_every_kind_can_be_called_after_a_round_trip(function, argument, value):
    assert call_after_round_trip(function, argument) == value


def test_the_function_that_cannot_be_pickled_is_named_with_the_path():
    lock = threading.Lock()

    def locked(x):
        return lock, x

    with pytest.raises(FunctionNotPicklable, match=r"locked .* at closure variable 'lock' \(type lock\)"):
        pack_call(Call(locked, (), {}, Style.ITEM), ClassTable(grows=True))


class Refuses:
    """Like an executor: its pickling is refused, although its attributes include a lock."""

    def __init__(self):
        self.backend = threading.Lock()

    def __reduce__(self):
        raise TypeError("cannot be sent")


class Holds:
    def __init__(self):
        self.state = {"db": threading.RLock()}


@pytest.mark.parametrize(
    ("args", "kwargs", "path"),
    [
        ((1, threading.Lock()), {}, "args[1] (type lock) of map(max, …) cannot be pickled: TypeError"),
        (
            (),
            {"guard": threading.RLock()},
            "kwargs['guard'] (type RLock) of map(max, …) cannot be pickled: TypeError",
        ),
        ((Refuses(),), {}, "pickled: TypeError: cannot be sent. Make it inside the function"),
        ((Holds(),), {}, "args[0].state['db'] (type RLock) of map(max, …) cannot be pickled: TypeError"),
    ],
)
def test_the_argument_that_cannot_be_pickled_is_named_with_the_path(args, kwargs, path):
    with pytest.raises(FunctionNotPicklable) as caught:
        pack_call(Call(max, args, kwargs, Style.ITEM), ClassTable(grows=True))
    assert path in str(caught.value)


def test_a_closure_is_named_with_the_path_although_there_are_arguments():
    held = Holds()
    with pytest.raises(
        FunctionNotPicklable, match=r"at closure variable 'held'\.state\['db'\] \(type RLock\)"
    ):
        pack_call(Call(lambda x, y: (held, x, y), (1,), {}, Style.ITEM), ClassTable(grows=True))


def test_the_item_that_cannot_be_pickled_is_named_with_the_path():
    with pytest.raises(ItemNotPicklable, match=r"item 2 .* at \['db'\]\[1\] \(type lock\)"):
        pack_items([1, 2, {"db": (1, threading.Lock())}], ClassTable(grows=True))


def with_default(value):
    def method(self, at=value):
        return at

    return method


def class_with(**attributes):
    """Make a class that cannot be imported."""
    return type("Model", (), attributes)


@pytest.mark.parametrize(
    ("item", "path"),
    [
        (class_with(lock=threading.Lock())(), "class Model → attribute 'lock' (type lock)"),
        ([class_with(lock=threading.Lock())], "class Model → attribute 'lock' (type lock)"),
        (
            class_with(price=with_default(threading.Lock()))(),
            "'price' → default of parameter 'at' (type lock)",
        ),
        (
            type("Child", (class_with(lock=threading.Lock()),), {})(),
            "base class Model → attribute 'lock' (type",
        ),
    ],
    ids=["attribute", "the class itself", "method", "base class"],
)
def test_the_item_whose_class_cannot_be_pickled_is_named_with_the_path(item, path):
    class_table = ClassTable(grows=True)
    pack_items([1, class_with()(), item], class_table)
    with pytest.raises(ItemNotPicklable, match="item 2 cannot be pickled at class") as caught:
        pack_call(Call(max, (), {}, Style.ITEM), class_table)
    assert path in str(caught.value)


def test_a_class_that_only_the_function_uses_is_named_with_the_path_from_it():
    model, class_table = class_with(lock=threading.Lock()), ClassTable(grows=True)
    pack_items([1], class_table)
    with pytest.raises(FunctionNotPicklable, match="closure variable 'model' → attribute 'lock'"):
        pack_call(Call(lambda x: model, (), {}, Style.ITEM), class_table)


@pytest.mark.parametrize(
    "make",
    [
        concurrent.futures.Future,
        lambda: concurrent.futures.ThreadPoolExecutor(1),
        queue.Queue,
        threading.Event,
    ],
    ids=["future", "executor", "queue", "event"],
)
def test_what_only_one_process_has_is_named_and_not_its_parts(make):
    held = make()
    with pytest.raises(ItemNotPicklable) as caught:
        pack_items([{"held": held}], ClassTable(grows=True))
    assert f"item 0 cannot be pickled at ['held'] (type {type(held).__name__}): " in str(caught.value)


def test_a_stop_iteration_of_a_function_is_not_taken_for_the_end_of_the_data():
    def stop_at_1(n, *_):
        if n == 1:
            raise StopIteration
        return n

    lazy = map(stop_at_1, range(3)), filter(stop_at_1, range(3)), enumerate(map(stop_at_1, range(3)))
    for data in lazy:
        with pytest.raises(RuntimeError, match=r"data ended early: .*stop_at_1 raised StopIter") as caught:
            pack_items(data, ClassTable(grows=True))
        assert isinstance(caught.value.__cause__, StopIteration)


def test_an_iterator_ends_as_it_likes():
    class Countdown:
        def __init__(self):
            self.left = 3

        def __iter__(self):
            return self

        def __next__(self):
            self.left -= 1
            return self.left if self.left else self.stop()

        def stop(self):
            raise StopIteration

    iterables = [Countdown(), enumerate(Countdown()), (n for n in Countdown())]
    assert [len(pack_items(data, ClassTable(grows=True))) for data in iterables] == [2] * 3


def test_modules_that_a_job_needs_are_recorded():
    class_table = ClassTable(grows=True)

    def uses():
        import json.decoder

        return json.decoder, pickle

    pack_items([collections.OrderedDict()], class_table)
    pack_call(Call(uses, (), {}, Style.ITEM), class_table)
    assert {"json.decoder", "pickle", "collections"} <= class_table.modules


def test_equal_blobs_have_equal_digests():
    assert digest(b"a") == digest(b"a") != digest(b"b")


def test_functions_have_names_for_messages():
    assert function_name(make_recursive()) == "factorial"
    assert function_name(functools.partial(Scale(1).apply)) == "partial(Scale.apply)"
    assert function_name(Scale(1)) == "Scale"


def test_all_code_of_a_function_keeps_the_file_that_its_source_is_in():
    class Scaled:
        factor = property(lambda self: 2)

        def times(self, x):
            return [self.factor * each for each in range(x)]

    def outer(x):
        def inner(y):
            return (lambda z: Scaled().times(z))(y)

        return inner(x)

    def with_nested(code):
        nested = [each for each in code.co_consts if isinstance(each, types.CodeType)]
        return [code, *(each for inner in nested for each in with_nested(inner))]

    function = unpack_call(pack_call(Call(outer, (), {}, Style.ITEM), ClassTable(grows=True))).function
    received = inspect.getclosurevars(function).nonlocals["Scaled"]
    assert function(3) == [0, 2, 4]
    codes = [function.__code__, received.times.__code__, received.factor.fget.__code__]
    found = [each for code in codes for each in with_nested(code)]
    assert {"outer", "inner", "times", "<lambda>"} <= {code.co_name for code in found}
    assert {code.co_filename for code in found} == {__file__}


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (Call(max, (threading.Lock(),), {}, Style.ITEM), "args[0] (type lock)"),
        (Call(max, (), {"key": [threading.Lock()]}, Style.ITEM), "kwargs['key'][0] (type lock)"),
    ],
)
def test_the_argument_that_cannot_be_pickled_is_named_as_the_user_wrote_it(call, path):
    with pytest.raises(FunctionNotPicklable) as caught:
        pack_call(call, ClassTable(grows=True))
    assert path in str(caught.value)


def test_an_object_that_refuses_to_be_pickled_is_named_and_not_its_parts():
    class Refuses:
        def __init__(self):
            self.lock = threading.Lock()

        def __reduce__(self):
            raise TypeError("it stays here")

    with pytest.raises(FunctionNotPicklable) as caught:
        pack_call(Call(max, (Refuses(),), {}, Style.ITEM), ClassTable(grows=True))
    assert "args[0] (type " in str(caught.value)
    assert "lock" not in str(caught.value)
    assert "it stays here" in str(caught.value)


def test_a_function_that_is_pickled_by_name_gets_the_entries_that_come_later():
    class Point:
        pass

    classes = ClassTable(grows=True)
    pickled = PickledCall(Call(math.sqrt, (), {}, Style.ITEM), classes)
    call = unpack_call(pickled.blob)
    assert (call.function, call.style, list(call.table)) == (math.sqrt, Style.ITEM, [])
    assert classes.modules == {"math"}
    Packer(classes, snapshot=True).pack(Point())
    call = unpack_call(pickled.extended(classes))
    assert (call.function, [entry.__name__ for entry in call.table]) == (math.sqrt, ["Point"])
