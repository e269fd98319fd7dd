"""cloudpickle, extended by the class table, and by kinds of objects that it cannot pickle.

This is a module of its own because importing cloudpickle takes 20 ms: a worker does so only when it must.
"""

from __future__ import annotations

import contextvars
import copyreg
import enum
import functools
import inspect
import io
import threading
import types
import typing
from typing import Any

import cloudpickle

from wrenlite.serialize import rebuild
from wrenlite.serialize.class_table import (
    DEFINITIONS,
    ClassTable,
    LruCacheWrapper,
    is_importable,
    modules_imported_by,
    travels_by_value,
)

_SINGLE_DISPATCH_CODE = functools.singledispatch(print).__code__  # type: ignore[attr-defined]
"""The code that all functions share that ``functools.singledispatch`` returns."""


class CloudPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle that writes classes and functions by the number that they have in a class table.

    Where a class is written by value, unpickling makes a new one. cloudpickle itself would look for a living
    class with the same tracker id, and overwrite its attributes: in the caller's process, or where tasks run
    inline, that is the caller's own class.
    """

    def __init__(
        self, file: io.BytesIO, classes: ClassTable, buffer_callback: Any, *, defines_entries: bool = False
    ) -> None:
        """Create a pickler.

        Args:
            file: the pickle is written to this file.
            classes: the class table to refer to.
            buffer_callback: as for ``pickle.Pickler``.
            defines_entries: this pickle holds the entries of the class table themselves. So it writes them by
                value, and a class that it meets becomes an entry.
        """
        super().__init__(file, 5, buffer_callback)
        self._classes = classes
        self._defines_entries = defines_entries

    def reducer_override(self, obj: Any) -> Any:
        """Return how to pickle an object; NotImplemented: as cloudpickle does."""
        if isinstance(obj, DEFINITIONS):
            reduction = self._define(obj) if self._defines_entries else self._classes.reduction_of(obj)
            return self._by_value(obj) if reduction is None else reduction
        name = obj.__name__ if isinstance(obj, types.ModuleType) else getattr(obj, "__module__", None)
        if isinstance(name, str) and not travels_by_value(name):  # builtins, ufuncs: pickled by name
            self._classes.modules.add(name)
        if isinstance(obj, types.CodeType):
            arguments = self.dispatch_table[types.CodeType](obj)
            return rebuild.code_with_file_name, (obj.co_filename, *arguments)
        if isinstance(obj, functools.cached_property):
            # Python 3.11 has a lock in it.
            state = {name: value for name, value in vars(obj).items() if name != "lock"}
            return type(obj), (obj.func,), state
        if isinstance(obj, functools.singledispatchmethod):
            # Python 3.13 has a cache of weak references in it.
            return type(obj), (obj.func,), {"dispatcher": obj.dispatcher}
        if isinstance(obj, threading.local):
            return copyreg.__newobj__, (type(obj),), vars(obj)  # type: ignore[attr-defined]
        return super().reducer_override(obj)

    def _define(self, obj: Any) -> Any:
        """Return the reduction by name, or None if there is none. Then the object becomes an entry.

        A function does not: whoever gets one calls it, and does not ask which one it is.
        """
        if is_importable(obj):
            return self._classes.reduction_of(obj)
        if not isinstance(obj, types.FunctionType):
            self._classes.add(obj)
        return None

    def _by_value(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType):
            package = obj.__globals__.get("__package__")
            self._classes.modules |= modules_imported_by(obj.__code__, package)
            if obj.__code__ is _SINGLE_DISPATCH_CODE:
                return _reduce_single_dispatch(obj)
            reduction = super().reducer_override(obj)
            _, slots = reduction[2]
            names = sorted(_names_in_class_bodies(obj.__code__) & obj.__globals__.keys())
            slots["__globals__"].update({name: obj.__globals__[name] for name in names})
            return reduction
        if isinstance(obj, type):
            return _reduce_class(obj, super().reducer_override(obj))
        if isinstance(obj, LruCacheWrapper):
            return _reduce_cached(obj)
        if isinstance(obj, contextvars.ContextVar):
            return rebuild.context_variable, (obj.name, *_values_of(obj))
        return _reduce_typing_object(obj)


def _names_in_class_bodies(code: types.CodeType) -> set[str]:
    """Return the names that the class statements in a function use, which cloudpickle does not look for."""
    names: set[str] = set()
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            if not inner.co_flags & inspect.CO_OPTIMIZED:  # the body of a class
                names.update(inner.co_names)
            names |= _names_in_class_bodies(inner)
    return names


def _reduce_class(cls: type, reduction: Any) -> Any:
    """Return cloudpickle's reduction of a class without the tracker id, and with what cloudpickle leaves out.

    Args:
        cls: the class.
        reduction: cloudpickle's reduction of it: a function that makes an empty class, its arguments (the
            last but one of which is the tracker id), the attributes, and a function that sets them.
    """
    if reduction is NotImplemented or len(reduction) == 2:  # a builtin type
        return reduction
    make, (*arguments, _, extra), (attributes, slots), *_, fill = reduction
    if isinstance(cls, enum.EnumMeta):
        members: Any = cls.__members__  # with aliases and named combinations of flags, which iteration omits
        arguments[3] = {name: member.value for name, member in members.items()}
        attributes = {name: value for name, value in attributes.items() if name not in members}
        own = {name: vars(member) for name, member in members.items()}  # what its __init__ has set
        state = fill, (attributes, slots), own
        return make, (*arguments, None, extra), state, None, None, rebuild.fill_enum
    if made_by_slots := _attributes_made_by_slots(cls):
        arguments[3] = {**arguments[3], "__slots__": attributes["__slots__"]}
        left_out = {"__slots__", *made_by_slots}
        attributes = {name: value for name, value in attributes.items() if name not in left_out}
    return make, (*arguments, None, extra), (attributes, slots), None, None, fill


def _attributes_made_by_slots(cls: type) -> list[str]:
    """Return the names of a class's attributes that ``__slots__`` makes."""
    return [name for name, value in vars(cls).items() if isinstance(value, types.MemberDescriptorType)]


def _reduce_cached(function: Any) -> Any:
    # Its dict has what functools.wraps copied, and cache_parameters, which the new one has anyway.
    state = {name: value for name, value in vars(function).items() if name != "cache_parameters"}
    return rebuild.cached_function, (function.cache_parameters(), function.__wrapped__), state


def _reduce_single_dispatch(function: Any) -> Any:
    default = function.__wrapped__
    implementations = [(kind, each) for kind, each in function.registry.items() if kind is not object]
    return rebuild.single_dispatch, (default,), implementations, None, None, rebuild.register_implementations


def _reduce_typing_object(obj: Any) -> Any:
    kind, options = type(obj), {}
    positional: tuple[object, ...] = ()
    if kind in (typing.TypeVar, typing.ParamSpec):
        names = ["bound", "covariant", "contravariant", "infer_variance"]
        options = {name: found for name in names if (found := getattr(obj, f"__{name}__", None))}
        positional = getattr(obj, "__constraints__", ())
    elif kind is typing.NewType:
        positional = (obj.__supertype__,)
    elif kind is not typing.TypeVarTuple:
        positional = (obj.__value__,)
        options = {"type_params": obj.__type_params__}
    if kind is not typing.NewType and getattr(obj, "has_default", bool)():  # Python 3.13
        options["default"] = obj.__default__
    name = getattr(obj, "__qualname__", obj.__name__)
    return rebuild.typing_object, (kind, name, positional, options, obj.__module__)


def _values_of(variable: contextvars.ContextVar[Any]) -> tuple[object, ...]:
    """Return the value of a context variable here and now, as a tuple; empty where it has none."""
    try:
        return (variable.get(),)
    except LookupError:
        return ()
