"""cloudpickle, extended by the class table, and by kinds of objects that it cannot pickle.

This is a module of its own because importing cloudpickle takes 20 ms: a worker does so only when it must.
"""

from __future__ import annotations

import contextvars
import copyreg
import enum
import functools
import io
import sys
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
    attributes_made_by_slots,
    is_importable,
    is_local_function,
    is_random_generator,
    modules_imported_by,
    travels_by_value,
)
from wrenlite.serialize.exception_state import reduce_exception
from wrenlite.serialize.functions import closure_of, globals_in, names_in

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
        if is_random_generator(obj):
            return self._classes.reduction_of_generator(obj)
        references = self._classes.references
        if references is not None and (reduction := references.reduction_of(obj)) is not None:
            return reduction
        name = obj.__name__ if isinstance(obj, types.ModuleType) else getattr(obj, "__module__", None)
        if isinstance(name, str) and not travels_by_value(name):  # builtins, ufuncs: pickled by name
            self._classes.modules.add(name)
        if isinstance(obj, types.ModuleType):  # also one whose class was replaced
            if not travels_by_value(obj.__name__):
                self._classes.required.add(obj.__name__)
            return self.dispatch_table[types.ModuleType](obj)
        if isinstance(obj, types.CodeType):
            arguments = self.dispatch_table[types.CodeType](obj)
            return rebuild.code_with_file_name, (obj.co_filename, *arguments)
        reduction = _reduce_kind(obj)
        return super().reducer_override(obj) if reduction is None else reduction

    def _define(self, obj: Any) -> Any:
        """Return the reduction by name or, where the worker has the object already, by its number.

        Otherwise it is None, and the object becomes an entry.
        """
        if is_importable(obj) or self._classes.is_inherited(obj):
            return self._classes.reduction_of(obj)
        if not is_local_function(obj):
            self._classes.add(obj)
        return None

    def _by_value(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType):
            package = obj.__globals__.get("__package__")
            self._classes.modules |= modules_imported_by(obj.__code__, package)
            if obj.__code__ is _SINGLE_DISPATCH_CODE:
                return _reduce_single_dispatch(obj)
            reduction, share = _complete(super().reducer_override(obj), obj), self._classes.share_globals
            return reduction if share is None else share(reduction, obj)
        if isinstance(obj, type):
            return _with_registration(obj, _reduce_class(obj, super().reducer_override(obj)))
        if isinstance(obj, LruCacheWrapper):
            return _reduce_cached(obj)
        if isinstance(obj, contextvars.ContextVar):
            return rebuild.context_variable, (obj.name, *_values_of(obj))
        return _reduce_typing_object(obj)


def _reduce_kind(obj: Any) -> Any:
    """Return how to pickle an object of a kind that cloudpickle does not do well; None: of another."""
    if isinstance(obj, functools.cached_property):
        # Python 3.11 has a lock in it.
        state = {name: value for name, value in vars(obj).items() if name != "lock"}
        return type(obj), (obj.func,), state
    if isinstance(obj, functools.singledispatchmethod):
        # Python 3.13 has a cache of weak references in it.
        return type(obj), (obj.func,), {"dispatcher": obj.dispatcher}
    if type(obj) in copyreg.dispatch_table:
        return None
    if isinstance(obj, enum.Enum):
        return rebuild.reduce_enum_member(obj)
    if isinstance(obj, BaseException):
        return reduce_exception(obj)
    if isinstance(obj, threading.local):
        return copyreg.__newobj__, (type(obj),), vars(obj)  # type: ignore[attr-defined]
    return None


def _complete(reduction: Any, function: types.FunctionType) -> Any:
    """Add what cloudpickle does not look for to its reduction of a function.

    These are the global variables that class statements in the function read, and the imported submodules
    that only inner functions use, such as ``PIL.Image`` in a comprehension.
    """
    code = function.__code__
    if any(isinstance(constant, types.CodeType) for constant in code.co_consts):
        _, slots = reduction[2]
        used = slots["__globals__"]
        names = sorted(globals_in(code) & function.__globals__.keys())
        used.update({name: function.__globals__[name] for name in names})
        for held in (*used.values(), *closure_of(function).values()):
            if isinstance(held, types.ModuleType):
                slots["_cloudpickle_submodules"] += _submodules(held.__name__, names_in(code))
    return reduction


def _submodules(package: str, names: frozenset[str]) -> list[types.ModuleType]:
    """Return the imported modules of a package that code with these names can refer to."""
    start = f"{package}."
    inside = [name for name in sorted(sys.modules) if name.startswith(start)]
    return [sys.modules[name] for name in inside if names >= set(name.removeprefix(start).split("."))]


class CallStep:
    """A call during unpickling, in its place among what is unpickled."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.function = function
        self.arguments = arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def _reduce_class(cls: type, reduction: Any) -> Any:
    """Return how to pickle a class by value.

    Args:
        cls: the class.
        reduction: cloudpickle's reduction of it: a function that makes an empty class, its arguments (type,
            name, bases, part of the namespace, tracker id), the attributes, and a function that sets them.
    """
    if reduction is NotImplemented or len(reduction) == 2:  # a builtin type
        return reduction
    _, (metaclass, name, bases, namespace, *_), (attributes, slots), *_, fill = reduction
    if isinstance(cls, enum.EnumMeta):
        return _reduce_enum(cls, attributes, fill)
    namespace = {**namespace, "__qualname__": cls.__qualname__}
    if made_by_slots := attributes_made_by_slots(cls):
        namespace["__slots__"] = attributes["__slots__"]
        left_out = {"__slots__", *made_by_slots}
        attributes = {key: value for key, value in attributes.items() if key not in left_out}
    made_of = metaclass, name, bases, namespace
    own = {key: value for key, value in attributes.items() if _holds_instance(value, cls)}
    if not own:
        return rebuild.empty_class, made_of, (attributes, slots), None, None, fill
    # Instances cannot be made before the class has its methods.
    others = {key: value for key, value in attributes.items() if key not in own}
    state = (CallStep(fill, cls, (others, slots)), own)
    return rebuild.empty_class, made_of, state, None, None, rebuild.set_attributes


def _reduce_enum(cls: Any, attributes: dict[str, object], fill: Any) -> Any:
    """Return how to pickle an enum by value: with aliases, named combinations of flags, and its members' own
    attributes, which cloudpickle leaves out.
    """
    members = cls.__members__
    values = {name: (member.value, _arguments_of_new(member)) for name, member in members.items()}
    own = {name: vars(member) for name, member in members.items()}  # what its __init__ has set
    others = {name: value for name, value in attributes.items() if name not in members}
    namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    made_of = type(cls), cls.__name__, cls.__bases__, namespace, values
    return rebuild.empty_enum, made_of, (fill, (others, {}), own), None, None, rebuild.fill_enum


def _arguments_of_new(member: Any) -> tuple[object, ...] | None:
    """Return what ``__new__`` of the type that an enum mixes in takes to make this member.

    The enum's own ``__new__`` may make it from something else than the member's value.

    Returns:
        The arguments; None: they are what Python itself takes, made from the value.
    """
    mixed_in = type(member)._member_type_
    if mixed_in is object:
        return None
    try:
        reduction: Any = object.__reduce_ex__(member, 2)  # the enum's own names the member
    except TypeError:
        return None
    make, arguments, *_ = reduction
    if make is copyreg.__newobj__:  # type: ignore[attr-defined]
        return tuple(arguments[1:]) or None
    return tuple(arguments) if make is type(member) else None


def _with_registration(cls: type, reduction: Any) -> Any:
    """Add what the user has registered for instances of a class by ``copyreg.pickle`` to its reduction."""
    reducer = copyreg.dispatch_table.get(cls)
    if reducer is None or reduction is NotImplemented or len(reduction) == 2:
        return reduction
    make, made_of, state, *_, fill = reduction
    return make, made_of, (fill, state, reducer), None, None, rebuild.fill_and_register


def _holds_instance(value: object, cls: type) -> bool:
    """Return whether a value is an instance of a class, or a container with one in it."""
    held: tuple[object, ...] = (value,)
    if isinstance(value, list | tuple | set | frozenset | dict):
        held = (value, *value, *(value.values() if isinstance(value, dict) else ()))
    return any(cls in type(each).__mro__ for each in held)


def _reduce_cached(function: Any) -> Any:
    # Its dict has what functools.wraps copied, and cache_parameters, which the new one has anyway.
    state = {name: value for name, value in vars(function).items() if name != "cache_parameters"}
    return rebuild.cached_function, (function.cache_parameters(), function.__wrapped__), state


def _reduce_single_dispatch(function: Any) -> Any:
    default = function.__wrapped__
    implementations = [(kind, each) for kind, each in function.registry.items() if kind is not object]
    return functools.singledispatch, (default,), implementations, None, None, rebuild.register_implementations


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
