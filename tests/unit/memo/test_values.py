"""Objects as bytes: equal for objects that tasks cannot tell apart, and for no others."""

import copy
import datetime
import pathlib
import pickle
import struct

import numpy
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wrenlite.memo.refusals import Refused
from wrenlite.memo.values import Encoder

ATOMS = st.one_of(
    st.sampled_from(
        [None, True, False, ..., NotImplemented, 0, 1, 0.0, -0.0, 1.0, 0j, -0j, "", "1", b"", b"1", "i1;"]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.binary(max_size=3),
)
HASHABLE = st.one_of(ATOMS, st.tuples(ATOMS, ATOMS), st.frozensets(ATOMS, max_size=3))
VALUES = st.recursive(
    HASHABLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.sets(HASHABLE, max_size=3),
    ),
    max_leaves=8,
)


def encoded(obj):
    encoder = Encoder(repr)
    encoder.add(obj)
    return bytes(encoder.out)


def plain(obj):
    """Return a text that is equal for two values exactly if their types, values and contents are."""
    kind = type(obj).__name__
    if isinstance(obj, float):
        return f"{kind} {struct.pack('<d', obj).hex()}"
    if isinstance(obj, complex):
        return f"{kind} {plain(obj.real)} {plain(obj.imag)}"
    if isinstance(obj, dict):
        return f"{kind} {[(plain(key), plain(value)) for key, value in obj.items()]}"
    if isinstance(obj, set | frozenset):
        return f"{kind} {sorted(map(plain, obj))}"
    if isinstance(obj, list | tuple):
        return f"{kind} {list(map(plain, obj))}"
    return f"{kind} {obj!r}"


@settings(max_examples=150)
@given(VALUES, VALUES)
def test_values_have_equal_bytes_exactly_if_they_are_equal(one, other):
    assert (encoded(one) == encoded(other)) == (plain(one) == plain(other))


@settings(max_examples=50)
@given(st.lists(VALUES, max_size=3), st.lists(VALUES, max_size=3))
def test_no_bytes_begin_others(one, other):
    start, longer = sorted((encoded(one), encoded(other)), key=len)
    assert start == longer or not longer.startswith(start)


@settings(max_examples=50)
@given(VALUES)
def test_a_copy_has_equal_bytes(value):
    assert encoded(value) == encoded(copy.deepcopy(value)) == encoded(pickle.loads(pickle.dumps(value)))


def test_equal_texts_are_equal_whether_they_are_one_object_or_two():
    text = "".join(["ab", "cd"])
    assert encoded([text, text]) == encoded([text, "".join(["abc", "d"])])
    assert encoded([(1, "a"), (1, "a")]) == encoded([pickle.loads(pickle.dumps((1, "a"))) for _ in range(2)])


def test_an_array_that_was_pickled_has_equal_bytes():
    fields = numpy.zeros(2, [("a", "i4"), ("b", "O")])
    arrays = [
        numpy.ones(3),
        numpy.ones((2, 3), order="F"),
        fields,
        numpy.zeros(2, "M8[s]"),
        numpy.array(["a"]),
    ]
    for array in (*arrays, numpy.random.default_rng(1), pandas.DataFrame({"a": [1, 2], "b": ["x", None]})):
        assert encoded(array) == encoded(pickle.loads(pickle.dumps(array)))


def test_the_order_of_a_set_does_not_matter():
    members = [f"member {number}" for number in range(50)]
    other_order = members[::-1]
    assert encoded(set(members)) == encoded(set(other_order))
    assert encoded({(1, frozenset(members))}) == encoded({(1, frozenset(other_order))})


def test_two_mutable_objects_differ_from_one_that_is_there_twice():
    one, same, other = [1], [1], bytearray(b"a")
    assert encoded([one, one]) != encoded([one, same])
    assert encoded({"a": other, "b": other}) != encoded({"a": other, "b": bytearray(b"a")})


def test_a_mutable_object_in_a_set_and_outside_is_refused():
    class Key:
        def __init__(self):
            self.inside = []

    key, path = Key(), pathlib.Path("a")
    encoded({key})
    encoded([{path, datetime.date(2020, 1, 1)}, path])
    with pytest.raises(Refused, match="is in a set, and in another place too"):
        encoded([{key}, key.inside])
    with pytest.raises(Refused, match="is in a set, and in another place too"):
        encoded([key.inside, {key}])
