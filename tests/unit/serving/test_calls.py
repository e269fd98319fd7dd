"""Which functions a trigger can call: the others are refused before anything is made."""

import functools
import os
from collections.abc import Mapping

import pytest

import wrenlite
from wrenlite import ObjectEvent
from wrenlite.serving.events import check_call
from wrenlite.serving.publication import Every, Http, Objects

FILES, TIMES = Objects("bucket", "in/", ".csv"), Every("rate(1 day)")


def yields(event):
    yield event


async def yields_later(event):
    yield event


def of_event(event: ObjectEvent):
    return event


def of_event_in_text(event: "wrenlite.ObjectEvent"):
    return event


def of_event_of_unknown_name(event: "Unknown"):  # noqa: F821
    return event


def of_anything(event):
    return event


def of_list(numbers: list[int]):
    return numbers


def of_number(n: int):
    return n


def of_mapping(event: Mapping[str, str]):
    return event


def of_nothing():
    return None


def with_default(n: int = 3):
    return n


@pytest.mark.parametrize("on", [FILES, Http(), TIMES])
@pytest.mark.parametrize("function", [yields, yields_later])
def test_a_generator_is_refused(function, on):
    with pytest.raises(wrenlite.ConfigError, match="is a generator"):
        check_call(function, on)


@pytest.mark.parametrize("function", [of_event, of_event_in_text, of_event_of_unknown_name, of_anything])
def test_objects_call_what_may_take_an_event(function):
    check_call(function, FILES)


@pytest.mark.parametrize("function", [of_list, of_number, of_mapping, with_default])
def test_objects_do_not_call_what_takes_something_else(function):
    with pytest.raises(wrenlite.ConfigError, match="gives it an event: annotate ObjectEvent"):
        check_call(function, FILES)


@pytest.mark.parametrize("function", [of_nothing, of_mapping, of_anything, with_default])
def test_times_call_what_takes_nothing_or_a_dict(function):
    check_call(function, TIMES)


@pytest.mark.parametrize("function", [of_list, of_number])
def test_times_do_not_call_what_takes_something_else(function):
    with pytest.raises(wrenlite.ConfigError, match="nothing, or a dict with the time"):
        check_call(function, TIMES)


@pytest.mark.parametrize("function", [os.getpid, print, functools.partial(of_number, 3), of_list])
def test_requests_call_functions_of_c_and_partial_ones(function):
    check_call(function, Http())
