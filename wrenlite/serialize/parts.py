"""The parts of an object, as pickling follows them, and the texts that lead to them in a message.

The parts are those of the object's own reduction (``__reduce_ex__``). So what is found is what pickling
meets, and neither properties nor iterators are touched that pickling leaves alone.
"""

from __future__ import annotations

import collections
import functools
import io
import reprlib
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, count, islice, repeat
from pickle import PickleBuffer
from typing import Any, NamedTuple, TypeAlias

from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.functions import closure_of
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.sizes import is_picklable

ATOMIC_TYPES = frozenset({int, float, str, bytes, bytearray, bool, complex, type(None), PickleBuffer})
"""Instances of these types have no parts, and can be pickled."""

_BATCH = 1_000
"""Where a container has as many elements, they are tried together, before one after the other."""
_TEXT_CHARACTERS = 40
"""The length to which keys and elements are cut in a message."""


class Parts(dict[str, object]):
    """Several objects as one, by the text that leads to each in a message."""


_Write: TypeAlias = Callable[[Any, Any, Any], str]
"""Returns the text that leads from an object (first), by a key, to a part of it (last)."""


class Step(NamedTuple):
    """The way from an object to one of its parts. Its text is only made where a message needs it."""

    write: _Write
    key: Any
    """What distinguishes the part from others."""
    part: object


class NoReductionError(Exception):
    """Only pickling itself can tell whether an object can be pickled."""


class Reducer:
    """Returns the parts of objects."""

    def __init__(self, deadline: float) -> None:
        """Create a reducer.

        Args:
            deadline: the time, by ``time.monotonic``, from which it yields no more elements of containers.
        """
        from wrenlite.serialize.by_value import CloudPickler

        self._deadline = deadline
        self._pickler = CloudPickler(io.BytesIO(), ClassTable(grows=False), lambda _: False)

    def parts_of(self, obj: Any) -> Iterator[Step]:
        """Return the parts of an object; of a container only those that may not be picklable.

        Whatever the object's own code raises goes through.

        Raises:
            NoReductionError: its pickle is only a name, or it has no usable reduction.
        """
        kind = type(obj)
        if kind in ATOMIC_TYPES:
            return iter(())
        if isinstance(obj, Parts):
            return (Step(_write_text, name, value) for name, value in obj.items())
        if kind is dict:
            return chain(self._keys(iter(obj)), self._many(_write_index, iter(obj), iter(obj.values())))
        if kind is list or kind is tuple:
            return self._many(_write_index, count(), iter(obj))
        if kind is set or kind is frozenset:
            return self._many(_write_element, repeat(None), iter(obj))
        reduction = self._reduction(obj)
        if reduction is None:
            return iter(())
        if (
            not isinstance(reduction, tuple)
            or not 2 <= len(reduction) <= 6
            or type(reduction[1]) is not tuple
        ):
            raise NoReductionError
        reduction = (*reduction, *(None,) * (6 - len(reduction)))
        if isinstance(obj, types.FunctionType) and isinstance(reduction[2], tuple):
            return _of_function(obj, *reduction[2])
        if isinstance(obj, type):
            return _of_class(obj, reduction[1:3])
        return self._of_object(obj, reduction)

    def _reduction(self, obj: Any) -> Any:
        """Return the reduction of an object; None: it is a class or function that is pickled by name."""
        reduction = self._pickler.reducer_override(obj)
        if reduction is not NotImplemented:
            return reduction
        reduce = self._pickler.dispatch_table.get(type(obj))
        if reduce is not None:
            return reduce(obj)
        return None if isinstance(obj, type | types.FunctionType) else obj.__reduce_ex__(5)

    def _of_object(self, obj: Any, reduction: tuple[Any, ...]) -> Iterator[Step]:
        function, args, state, elements, items, setter = reduction
        classes = [each for each in (function, *args) if isinstance(each, type)]
        yield from self._of_table(obj)
        if _is_array(obj):  # the list of all elements in its reduction would only be searched again
            return
        yield from self._of_arguments(obj, args)
        yield from self._many(_write_index, count(), iter(elements or ()))
        items = iter(items or ())
        while batch := list(islice(items, _BATCH)):
            yield from self._keys(iter([key for key, _ in batch]))
            yield from self._many(
                _write_index, iter([key for key, _ in batch]), iter([each for _, each in batch])
            )
        yield from _of_state(obj, state)
        for each in (function, setter):
            if each is not None and not isinstance(each, type):
                yield Step(_write_function, None, each)
        yield from (Step(_write_class, None, each) for each in classes)

    def _of_arguments(self, obj: Any, args: tuple[Any, ...]) -> Iterator[Step]:
        names = getattr(type(obj), "_fields", ())
        if isinstance(obj, tuple) and names and len(args) == 1 + len(names):  # a named tuple
            yield from (
                Step(_write_attribute, name, each) for name, each in zip(names, args[1:], strict=True)
            )
        elif isinstance(obj, set | frozenset) and args and type(args[0]) is list:
            yield from self._many(_write_element, repeat(None), iter(args[0]))
        else:
            for place, each in enumerate(args):
                if not isinstance(each, type):
                    yield Step(_write_argument, place, each)

    def _of_table(self, obj: Any) -> Iterator[Step]:
        """Yield the elements of an array, a series or a data frame of Python objects."""
        pandas = sys.modules.get("pandas")
        if _is_array(obj):
            yield from self._many(_write_array_index, count(), iter(obj.flat))
        elif pandas is None:
            return
        elif isinstance(obj, pandas.Series) and obj.dtype == object:
            yield from self._many(_write_row, count(), iter(obj.array))
        elif isinstance(obj, pandas.DataFrame):
            for name, column in obj.items():
                if column.dtype == object:
                    write = functools.partial(_write_cell, name)
                    yield from self._many(write, count(), iter(column.array))

    def _keys(self, keys: Iterator[object]) -> Iterator[Step]:
        return self._many(_write_dict_key, repeat(None), keys)

    def _many(self, write: _Write, keys: Iterator[Any], parts: Iterator[object]) -> Iterator[Step]:
        """Yield those of many parts that may not be picklable. C finds out quickly about many at a time.

        Args:
            write: writes the text of each.
            keys: the key of each.
            parts: the parts.
        """
        while time.monotonic() < self._deadline and (batch := list(islice(parts, _BATCH))):
            its_keys = islice(keys, len(batch))
            if len(batch) == _BATCH and is_picklable(batch):
                collections.deque(its_keys, 0)
                continue
            for key, part in zip(its_keys, batch, strict=True):
                if type(part) not in ATOMIC_TYPES:
                    yield Step(write, key, part)


def path_text(steps: Iterable[tuple[object, Step]]) -> str:
    """Return the text of a path.

    Args:
        steps: each with the object that it starts from.
    """
    words = [step.write(obj, step.key, step.part) for obj, step in steps]
    words = [word for word in words if word.strip()]
    # A word such as "[0]" or ".name" continues the one before it; others begin with a space.
    text = "".join(f" →{word}" if word.startswith(" ") else word for word in words).removeprefix(" → ")
    if text.startswith("."):
        text = f"attribute {text[1:]}"
    return text if len(text) <= 300 else f"{text[:150]} … {text[-100:]}"


def class_name(cls: type) -> str:
    """Return the name of a class for a message. No code of its metaclass is called."""
    name: str = type.__dict__["__qualname__"].__get__(cls)
    return name.rpartition("<locals>.")[2]


class _ShortRepr(reprlib.Repr):
    """The repr of an object, cut to a length. Where the object is not plain data it may be its type."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _TEXT_CHARACTERS
        self.maxlevel = 3

    def repr_instance(self, x: object, level: int) -> str:
        """Return the repr of an object of any other type."""
        try:
            text = repr(x)
        except BaseException as error:  # of the object's own code
            raise_if_interrupting(error)
            text = "<"
        return f"<{class_name(type(x))}>" if text.startswith("<") else _cut(text)


def short_repr(obj: object) -> str:
    """Return the repr of an object on one line, cut to a length; its type where the repr says no more."""
    try:
        text = _ShortRepr().repr(obj)
    except BaseException as error:  # of the object's own code
        raise_if_interrupting(error)
        text = f"<{class_name(type(obj))}>"
    return _cut(text)


def _cut(text: str) -> str:
    text = " ".join(text[:1_000].split())
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[: _TEXT_CHARACTERS - 12]}...{text[-9:]}"


# The parts of each kind of object


def _of_function(
    function: types.FunctionType, attributes: dict[str, Any], slots: dict[str, Any]
) -> Iterator[Step]:
    """Yield the parts of a function.

    Args:
        function: the function.
        attributes: its own attributes.
        slots: what else cloudpickle writes of it.
    """
    yield from _named("closure variable", closure_of(function))
    yield from _named("global variable", slots["__globals__"])
    code, defaults = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    yield from _named("default of parameter", dict(zip(names, defaults, strict=False)))
    yield from _named("default of parameter", function.__kwdefaults__ or {})
    yield from _named("attribute", attributes)
    done = {"__globals__", "__closure__", "__defaults__", "__kwdefaults__"}
    yield from _named("attribute", {name: value for name, value in slots.items() if name not in done})


def _of_class(cls: type, written: object) -> Iterator[Step]:
    """Yield the parts of a class.

    Args:
        cls: the class.
        written: what is written of it: dicts of attributes, bases and others, in any depth of tuples.
    """
    from wrenlite.serialize.by_value import CallStep

    classes, attributes = [], {}
    todo = [written]
    for each in todo:  # the list grows during the loop
        if isinstance(each, tuple):
            todo.extend(each)
        elif isinstance(each, CallStep):
            todo.append(each.arguments)
        elif isinstance(each, dict):
            attributes.update(each)
        elif isinstance(each, type) and each is not cls:
            classes.append(each)
    for each in classes:
        role = "metaclass" if each is type(cls) else "base class"
        yield Step(_write_text, f"{role} {class_name(each)}", each)
    # Methods come last, since they often refer to the class.
    yield from _named("attribute", dict(sorted(attributes.items(), key=lambda each: callable(each[1]))))


def _named(role: str, values: Mapping[Any, object]) -> Iterator[Step]:
    return (Step(_write_text, f"{role} {short_repr(name)}", value) for name, value in values.items())


def _of_state(obj: Any, state: Any) -> Iterator[Step]:
    pair = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    if all(isinstance(each, dict | None) for each in pair):
        for each in pair:
            yield from (Step(_write_attribute, name, value) for name, value in (each or {}).items())
    elif type(state) not in (list, tuple):
        yield Step(_write_state, None, state)
    else:
        yield from (Step(_write_state, place, each) for place, each in enumerate(state))


def _is_array(obj: Any) -> bool:
    """Return whether this is an array of Python objects, and of no class of its own."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(obj) is numpy.ndarray and obj.dtype == object


# The texts


def _write_text(obj: object, key: str, part: object) -> str:
    return f" {key}"


def _write_index(obj: object, key: object, part: object) -> str:
    return f"[{short_repr(key)}]"


def _write_array_index(obj: Any, key: int, part: object) -> str:
    places: list[str] = []
    for length in reversed(obj.shape):
        key, place = divmod(key, length)
        places.insert(0, str(place))
    return f"[{', '.join(places)}]"


def _write_row(obj: object, key: int, part: object) -> str:
    return f" row {key}"


def _write_cell(column: object, obj: object, key: int, part: object) -> str:
    return f" column {short_repr(column)} row {key}"


def _write_dict_key(obj: object, key: object, part: object) -> str:
    return f" key {short_repr(part)}"


def _write_element(obj: object, key: object, part: object) -> str:
    return f" element {short_repr(part)}"


def _write_attribute(obj: object, key: object, part: object) -> str:
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f" attribute {short_repr(key)}"


def _write_function(obj: object, key: object, part: object) -> str:
    return " the function that rebuilds it"


def _write_class(obj: object, key: object, part: type) -> str:
    return f" class {class_name(part)}"


def _write_argument(obj: object, key: int, part: object) -> str:
    if isinstance(obj, BaseException):
        return ".args" if isinstance(part, tuple) else f".args[{key}]"
    if type(part) in (dict, tuple, list) and isinstance(obj, type(part)):  # what a subclass of it holds
        return ""
    name = _attribute_that_is(obj, part)
    return f" argument {key} of its __reduce__" if name is None else name


def _write_state(obj: object, key: int | None, part: object) -> str:
    state = "its state" if key is None else f"element {key} of its state"
    name = _attribute_that_is(obj, part)
    return f" {state}" if name is None else name


def _attribute_that_is(obj: object, part: object) -> str | None:
    """Return the text of the attribute that holds a part of an object; None where there is none."""
    for name, value in _attributes_of(obj):
        if value is part:
            return _NAMES.get(name, f".{name}")
    return None


_NAMES = {"__self__": " self", "__func__": "", "__wrapped__": ""}
"""Attributes of methods and decorated functions, which messages name otherwise, or leave out."""


def _attributes_of(obj: object) -> Iterator[tuple[str, object]]:
    """Yield the attributes that an object has stored, without a call of its properties."""
    for cls in type(obj).__mro__:
        for name, member in vars(cls).items():
            stored = isinstance(member, types.MemberDescriptorType)
            if stored or (
                isinstance(member, types.GetSetDescriptorType) and name in ("__self__", "__dict__")
            ):
                try:
                    value = member.__get__(obj)
                except AttributeError:  # it is not set
                    continue
                if name == "__dict__" and isinstance(value, dict):
                    yield from value.items()
                else:
                    yield name, value
