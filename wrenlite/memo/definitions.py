"""Functions, classes and other definitions that exist only by value, as those of ``__main__``, as bytes.

They consist of what cloudpickle writes of them, so of all that tasks get: a function of its code, defaults,
closure and the global variables that it names; a class of its bases and attributes.
"""

from __future__ import annotations

import abc
import contextvars
import enum
import functools
import types
from collections.abc import Iterator
from typing import Any

from wrenlite.memo.code import write_code
from wrenlite.memo.values import Encoder, is_users
from wrenlite.serialize.class_table import LruCacheWrapper
from wrenlite.serialize.functions import closure_of, globals_in, globals_set_in

_SINGLE_DISPATCH_CODE = functools.singledispatch(print).__code__  # type: ignore[attr-defined]
_LEFT_OUT = frozenset(
    {
        *("__annotations_cache__", "__dict__", "__firstlineno__", "__slotnames__", "__static_attributes__"),
        *("__weakref__", "_abc_impl", "__module__", "__qualname__", "__doc__", "__abstractmethods__"),
    }
)
"""Attributes of classes that say nothing of their definition, or are written apart."""
_LEFT_OUT_OF_ENUMS = frozenset(
    {
        *("_member_map_", "_member_names_", "_value2member_map_", "_unhashable_values_"),
        *("_hashable_values_", "_unhashable_values_map_", "_value2member_map_"),
    }
)


def kind_of(obj: Any) -> str:
    """Return what a definition is, for its user."""
    if isinstance(obj, type):
        return "class"
    return "helper" if isinstance(obj, types.FunctionType | LruCacheWrapper) else "definition"


def write_definition(encoder: Encoder, obj: Any, *, exact: bool) -> None:
    """Write a definition, but for the global variables of a function.

    Args:
        encoder: writes it.
        obj: the definition.
        exact: include docstrings, files and lines.
    """
    if isinstance(obj, types.FunctionType):
        _write_function(encoder, obj, exact=exact)
    elif isinstance(obj, type):
        _write_class(encoder, obj, exact=exact)
    elif isinstance(obj, LruCacheWrapper):
        encoder.add_parts("cached", obj.cache_parameters(), obj.__wrapped__)  # type: ignore[attr-defined]
    elif isinstance(obj, contextvars.ContextVar):
        encoder.add_parts("variable", obj.name, *_values_of(obj))
    else:
        encoder.add_parts("type", kind_name(type(obj)), *_parts_of_typing(obj))


def kind_name(kind: type[Any]) -> str:
    """Return the full name of a type."""
    return f"{kind.__module__}.{kind.__qualname__}"


def globals_of(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the global variables that a function names, and their values, without those of builtins."""
    code, variables = function.__code__, function.__globals__
    for name in sorted(globals_in(code) | globals_set_in(code)):
        if name in variables:
            yield name, variables[name]


def _write_function(encoder: Encoder, function: types.FunctionType, *, exact: bool) -> None:
    if function.__code__ is _SINGLE_DISPATCH_CODE:  # its closure has a cache of weak references
        registry = [*function.registry.items()]  # type: ignore[attr-defined]
        encoder.add_parts("single dispatch", function.__wrapped__, registry)  # type: ignore[attr-defined]
        return
    encoder.add_parts("function", function.__module__, function.__name__, function.__qualname__)
    write_code(encoder, function.__code__, exact=exact)
    encoder.add_parts("defaults", function.__defaults__, function.__kwdefaults__, function.__annotations__)
    encoder.add_parts("attributes", *sorted(vars(function).items()))
    encoder.add_parts("type parameters", getattr(function, "__type_params__", ()))
    encoder.add_parts("closure", *(function.__closure__ or ()))
    if not is_users(function):  # it may compute with the docstrings of what it wraps
        held = closure_of(function).values()
        encoder.add_parts(
            "docstrings", *(each.__doc__ for each in held if isinstance(each, types.FunctionType))
        )
    if exact:
        encoder.add(function.__doc__)


def _write_class(encoder: Encoder, cls: type, *, exact: bool) -> None:
    encoder.add_parts("class", type(cls), cls.__module__, cls.__qualname__, cls.__bases__)
    attributes = {name: value for name, value in vars(cls).items() if name not in _LEFT_OUT}
    if isinstance(cls, enum.EnumMeta):
        members: Any = cls.__members__
        left_out = _LEFT_OUT_OF_ENUMS | members.keys()
        attributes = {name: value for name, value in attributes.items() if name not in left_out}
        encoder.add_parts("members", *((name, _parts_of_member(each)) for name, each in members.items()))
    if "__abstractmethods__" in vars(cls):
        encoder.add_parts("abstract", cls.__abstractmethods__, _registered_in(cls))  # type: ignore[attr-defined]
    encoder.add_parts("attributes", *attributes.items())
    if exact or not _is_plain(cls):
        encoder.add(cls.__doc__)


def _is_plain(cls: type) -> bool:
    """Return whether nobody reads the docstring of a class unless the user's code does.

    Packages such as dspy and pydantic read those of classes that are derived from theirs.
    """
    return all(map(is_users, (type(cls), *cls.__mro__)))


def _parts_of_member(member: enum.Enum) -> tuple[Any, ...]:
    """Return value and attributes of a member, and what the type that the enum mixes in makes it from."""
    own = {
        name: value for name, value in vars(member).items() if name not in ("__objclass__", "_sort_order_")
    }
    try:
        made_from = object.__reduce_ex__(member, 2)[1][1:]
    except TypeError:
        made_from = ()
    return member._value_, own, made_from


def _registered_in(cls: type) -> Any:
    """Return the classes that were registered as virtual subclasses of an abstract one."""
    found = abc._get_dump(cls)[0]  # type: ignore[attr-defined]
    return frozenset(each for reference in found if (each := reference()) is not None)


def _values_of(variable: contextvars.ContextVar[Any]) -> tuple[Any, ...]:
    try:
        return (variable.get(),)
    except LookupError:
        return ()


_OF_TYPING = (
    *("__name__", "__module__", "__bound__", "__constraints__", "__covariant__", "__contravariant__"),
    *("__infer_variance__", "__supertype__", "__value__", "__type_params__", "__default__"),
)


def _parts_of_typing(obj: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(obj, name)) for name in _OF_TYPING if hasattr(obj, name)]
