"""Arguments from JSON and from texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wrenlite import BadInput, ConfigError
from wrenlite.serving.parameters import bind, build, signature


@dataclass
class Point:
    x: float
    y: float = 0.0

    def __post_init__(self):
        if self.x < 0:
            raise ValueError(f"x is {self.x}: it must be 0 or more")
        if self.y < 0:
            raise ConfigError("no y is below 0")
        if self.x + self.y > 100:
            raise ArithmeticError


@dataclass
class Tree:
    name: str
    children: "list[Tree]" = field(default_factory=list)


class Pair(NamedTuple):
    first: int
    second: Literal["a", "b", 3, True] = "a"


def call(target, values, **options):
    bound = bind(target, values, **options)
    return target(*bound.args, **bound.kwargs)


def one(kind):
    """Return a function of two parameters, of which one has that annotation."""

    def function(value, other=None):
        return value

    function.__annotations__ = {"value": kind}
    return function


def refused(target, values, **options):
    with pytest.raises(BadInput) as caught:
        bind(target, values, **options)
    return caught.value.field, str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, 3, 3),
        (int, 3.0, 3),
        (int, 10**300, 10**300),
        (float, 3, 3.0),
        (float, -0.5, -0.5),
        (str, "", ""),
        (bool, False, False),
        (int | None, None, None),
        (int | None, 5, 5),
        (int | float, 2.0, 2.0),
        (float | int, 2, 2),
        (str | float, 0.5, 0.5),
        (float | str, "0.50000000000000000001", "0.50000000000000000001"),
        (Literal["a", 1], 1, 1),
        (list[int], [1, 2.0], [1, 2]),
        (Sequence[float], [1], [1.0]),
        (list, [1, "a", None], [1, "a", None]),
        (tuple[float, ...], [1, 2], (1.0, 2.0)),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (dict, {"a": [1]}, {"a": [1]}),
        (date, "2021-12-31", date(2021, 12, 31)),
        (datetime, "2021-12-31T00:00:00Z", datetime(2021, 12, 31, tzinfo=UTC)),
        (Point, {"x": 1}, Point(1.0)),
        (list[Point], [{"x": 1, "y": 2}], [Point(1.0, 2.0)]),
        (Pair, {"first": 1, "second": 3}, Pair(1, 3)),
        (Any, {"a": [None]}, {"a": [None]}),
        (Tree, {"name": "a", "children": [{"name": "b"}]}, Tree("a", [Tree("b")])),
    ],
)
def test_a_value_of_json_becomes_what_is_annotated(kind, value, expected):
    found = call(one(kind), {"value": value})
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (int, True, "value must be a whole number, not true"),
        (int, 0.5, "value must be a whole number, not 0.5"),
        (int, 1e300, "value must be a whole number, not 1e+300"),
        (int, "3", "value must be a whole number, not '3'"),
        (int, None, "value must be a whole number, not null"),
        (float, True, "value must be a number, not true"),
        (float, 10**400, f"value must be a number below 1.8e308, not 1{'0' * 39}…"),
        (float, "nan", "value must be a number, not 'nan'"),
        (str, 3, "value must be text, not 3"),
        (str, ["a"], "value must be text, not a list"),
        (bool, 1, "value must be true or false, not 1"),
        (bool, "true", "value must be true or false, not 'true'"),
        (int | None, "x", "value must be a whole number, not 'x'"),
        (int | str, {}, "value must be a whole number or text, not an object"),
        (Literal["a", 1], True, 'value must be one of "a", 1, not true'),
        (Literal["a", "b"], [], 'value must be one of "a", "b", not a list'),
        (list[int], 3, "value must be a list, not 3"),
        (list[int], "12", "value must be a list, not '12'"),
        (tuple[int, int], [1], "value must be a list of 2, not a list"),
        (dict, [], "value must be an object, not a list"),
        (Point, 3, "value must be an object, not 3"),
        (date, "yesterday", "value must be a day such as 2021-12-31, not 'yesterday'"),
        (date, 20211231, "value must be a day such as 2021-12-31, not 20211231"),
        (datetime, "12:00", "value must be a time such as 2021-12-31T23:59:00Z, not '12:00'"),
        (type(None), 0, "value must be null, not 0"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(kind, value, text):
    assert refused(one(kind), {"value": value}) == ("value", text)


@pytest.mark.parametrize(
    ("kind", "value", "where"),
    [
        (list[list[int]], [[1], [2, "x"]], "value[1][1]"),
        (dict[str, int], {"a": "x"}, "value.a"),
        (Point, {"x": "0"}, "value.x"),
        (Point, {"x": -1}, "value.x"),
        (Point, {"x": 1, "y": -1}, "value.y"),
        (Point, {"x": 1, "y": 100}, "value"),
        (Point, {}, "value.x"),
        (Point, {"x": 1, "z": 1}, "value.z"),
        (list[Point], [{"x": 1}, {"x": -1}], "value[1].x"),
        (Tree, {"name": "a", "children": [{"name": 1}]}, "value.children[0].name"),
    ],
)
def test_the_field_is_named_also_within_others(kind, value, where):
    assert refused(one(kind), {"value": value})[0] == where


def test_missing_and_unknown_parameters_are_refused():
    def function(palette: str, width: int = 3):
        pass

    assert refused(function, {}) == ("palette", "palette is missing")
    assert refused(function, {"palette": "a", "widht": 3}) == (
        "widht",
        "there is no parameter 'widht': did you mean width?",
    )
    assert refused(function, {"palette": "a", "z": 3}) == (
        "z",
        "there is no parameter 'z': there are palette, width",
    )
    assert refused(lambda: None, {"z": 3}) == ("z", "there is no parameter 'z': there are none")
    assert len(refused(function, {"x" * 100_000: 3})[1]) < 200


def test_parameters_without_annotation_take_anything_and_keywords_take_the_rest():
    def function(a, *, b: int = 1, **rest):
        return a, b, rest

    assert call(function, {"a": [None], "c": "x", "b": 2}) == ([None], 2, {"c": "x"})


def test_one_parameter_without_a_type_or_with_that_of_an_object_takes_all_values():
    values = {"x": 1, "y": 2}
    assert call(lambda event: event, values) == values

    def a_dict(event: dict):
        return event

    def floats(event: dict[str, float]):
        return event

    def point(event: Point):
        return event

    def number(x: int):
        return x

    assert call(a_dict, values) == values
    assert call(floats, values) == {"x": 1.0, "y": 2.0}
    assert call(point, values) == Point(1.0, 2.0)
    assert call(partial(point), values) == Point(1.0, 2.0)
    assert call(number, {"x": 1}) == 1
    assert call(lambda x=5: x, {}) == 5
    assert refused(floats, {"x": "a"}) == ("x", "x must be a number, not 'a'")
    assert refused(point, {"x": -1}) == ("x", "x is -1.0: it must be 0 or more")
    assert refused(point, {"x": 1, "y": 100}) == (None, "ArithmeticError")


def test_methods_callable_objects_and_classes():
    class Job:
        def __init__(self, factor: int):
            self.factor = factor

        def run(self, n: int, m: int = 0):
            return self.factor * n + m

        def __call__(self, n: int, m: int = 1):
            return self.factor * n + m

        __hash__ = None

    assert call(Job(3).run, {"n": 2}) == 6
    assert call(Job(3), {"n": 2}) == 7
    assert build(Job, {"factor": 5}).factor == 5
    assert call(partial(Job(3).run, m=5), {"n": 2}) == 11


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (int, " 42 ", 42),
        (int, "+3.0", 3),
        (float, "-.5e3", -500.0),
        (str, " as it is", " as it is"),
        (bool, "Yes", True),
        (bool, "0", False),
        (int | None, "", None),
        (int | None, "7", 7),
        (str | float, "0.500000000000000000001", "0.500000000000000000001"),
        (float | str, "0.5", 0.5),
        (Literal["a", 3, True], "3", 3),
        (Literal["a", 3, True], "true", True),
        (list[int], "[1, 2]", [1, 2]),
        (Point, '{"x": 3}', Point(3.0)),
        (date, " 2021-12-31 ", date(2021, 12, 31)),
        (Any, "text", "text"),
    ],
)
def test_a_text_is_converted(kind, text, expected):
    assert call(one(kind), {"value": text}, texts=True) == expected


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (int, "1_000", "value must be a whole number, not '1_000'"),
        (int, "٣", "value must be a whole number, not '٣'"),
        (int, "9" * 5000, f"value must be a whole number, not '{'9' * 39}…"),
        (float, "nan", "value must be a number such as 0.5, not 'nan'"),
        (float, "inf", "value must be a number such as 0.5, not 'inf'"),
        (float, "0,5", "value must be a number such as 0.5, not '0,5'"),
        (float, "1e999", "value must be a number below 1.8e308, not '1e999'"),
        (bool, "perhaps", "value must be true or false, not 'perhaps'"),
        (list[int], "1, 2", "value must be JSON, not '1, 2'"),
        (list[int], "[" * 100_000, f"value must be JSON, not '{'[' * 39}…"),
        (Literal["a", 3], "4", "value must be one of \"a\", 3, not '4'"),
        (int, " ", "value is missing"),
    ],
)
def test_a_text_that_cannot_be_converted_is_refused(kind, text, said):
    assert refused(one(kind), {"value": text}, texts=True) == ("value", said)


def test_an_empty_text_is_not_given():
    assert build(Point, {"x": "1", "y": ""}, texts=True) == Point(1.0, 0.0)


@pytest.mark.parametrize(
    "kind", [complex, bytes, set[int], dict[int, str], list[bytes], int | bytes, Literal[b"a"]]
)
def test_a_type_that_json_does_not_have_is_refused_before_there_is_a_value(kind):
    with pytest.raises(ConfigError, match="value of function is annotated"):
        signature(one(kind))


def test_parameters_that_cannot_be_read_are_refused():
    def positional(x, /):
        pass

    with pytest.raises(ConfigError, match=r"x by position only.*leave out the /"):
        signature(positional)
    with pytest.raises(ConfigError, match="the parameters of function cannot be read: name 'Nowhere'"):
        signature(one("Nowhere"))


def test_the_annotation_of_the_result_does_not_matter():
    def function(x: "int", y: int = 1) -> "Nowhere":  # noqa: F821
        return x + y

    assert call(function, {"x": 1}) == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
kinds = st.recursive(
    st.sampled_from([int, float, str, bool, None, date, Point, Pair, Tree, Literal["a", 1, True]]),
    lambda inner: (
        st.builds(lambda kind: list[kind], inner)
        | st.builds(
            lambda a, b: a | b if a is not b else a, *[st.sampled_from([int, float, str, bool, Point])] * 2
        )
    ),
    max_leaves=3,
)


def fitted(kind, value, **options):
    """Return the value, and None; or None, and why it does not fit."""
    try:
        return call(one(kind), {"value": value}, **options), None
    except BadInput as error:
        return None, error


@settings(max_examples=60)
@given(kinds, json_values)
def test_any_value_fits_or_is_bad_input_with_its_field(kind, value):
    _, error = fitted(kind, value)
    assert error is None or error.field.startswith("value")
    assert len(str(error)) < 300


@settings(max_examples=60)
@given(kinds, st.text())
def test_any_text_fits_or_is_bad_input_with_its_field(kind, text):
    found, error = fitted(kind, text, texts=True)
    assert error is None or error.field.startswith("value")
    assert not isinstance(found, float) or math.isfinite(found)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_same_from_json_and_from_its_text(number):
    found, error = fitted(float, number)
    again, still = fitted(float, repr(number), texts=True)
    assert (found, error is None) == (again, still is None)
