"""What unpickling calls to rebuild objects that were pickled by value, which ``by_value`` refers to.

An object that may refer to itself is made first and filled afterwards.
"""

from __future__ import annotations

import contextlib
import contextvars
import copyreg
import enum
import functools
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from wrenlite.serialize.class_table import is_importable
from wrenlite.serialize.unpickling_context import context


def code_with_file_name(
    file: str, rebuild: Callable[..., types.CodeType], arguments: Sequence[Any]
) -> types.CodeType:
    """Rebuild a code object under the file name that it has on the caller's machine.

    cloudpickle 3.1.3 and later write ``<dynamic-code>`` in place of the file name, so that no traceback,
    debugger or warning would find the source.

    Args:
        file: the ``co_filename`` of the code object.
        rebuild: the function by which cloudpickle rebuilds the code object.
        arguments: the arguments of ``rebuild``.
    """
    return rebuild(*arguments).replace(co_filename=file)


def cached_function(parameters: Mapping[str, Any], function: Callable[..., Any]) -> Any:
    """Rebuild a function under ``functools.lru_cache``, with an empty cache.

    Args:
        parameters: the parameters of the cache.
        function: the function that it calls.
    """
    return functools.lru_cache(**parameters)(function)


def register_implementations(
    function: Any, implementations: Iterable[tuple[type, Callable[..., Any]]]
) -> None:
    """Add the other implementations to a function under ``functools.singledispatch``.

    Args:
        function: the function.
        implementations: types, each with the implementation for it.
    """
    for kind, implementation in implementations:
        function.register(kind, implementation)


def empty_class(metaclass: Any, name: str, bases: tuple[Any, ...], namespace: Mapping[str, Any]) -> Any:
    """Make a class without its attributes.

    What classes that came by value do when a class is made from them is not done again: its effects are in
    their attributes. ``__init_subclass__`` and a metaclass may take keywords, which nobody remembers.

    Args:
        metaclass: its type.
        name: its name.
        bases: its base classes, as its class statement gives them.
        namespace: attributes that must be there when the class is made.
    """
    bases_made = types.resolve_bases(bases)
    with _without_hooks(bases_made):
        if is_importable(metaclass):
            return types.new_class(name, bases, {"metaclass": metaclass}, lambda made: made.update(namespace))
        attributes = {**namespace, **({"__orig_bases__": bases} if bases_made is not bases else {})}
        base = _importable_base(metaclass)
        cls = base.__new__(metaclass, name, bases_made, attributes)
        base.__init__(cls, name, bases_made, attributes)
        return cls


def empty_enum(
    metaclass: Any,
    name: str,
    bases: tuple[Any, ...],
    namespace: Mapping[str, Any],
    members: Mapping[str, tuple[Any, tuple[Any, ...] | None]],
) -> Any:
    """Make an enum with its members, but without its other attributes.

    Args:
        metaclass: its type.
        name: its name.
        bases: its base classes.
        namespace: attributes that must be there when it is made.
        members: the value of each member, and what ``__new__`` of the type that the enum mixes in takes to
            make it; None: what Python makes from the value.
    """
    base = _importable_base(metaclass)
    attributes = base.__prepare__(name, bases)
    if any(arguments is not None for _, arguments in members.values()):
        attributes["__new__"] = _new_member(members.values())
    for member, (value, _) in members.items():
        attributes[member] = enum.member(value)  # it may be a function
    for attribute, value in namespace.items():
        attributes[attribute] = value
    with _without_hooks(bases):
        made = base.__new__(metaclass, name, bases, attributes)
    if "__new__" in attributes:  # further members, such as combinations of flags, are made by the enum's own
        type.__delattr__(made, "__new_member__")
    return made


def _new_member(members: Iterable[tuple[Any, tuple[Any, ...] | None]]) -> Callable[..., Any]:
    """Return the ``__new__`` of an enum, which is called for its members in their order."""
    upcoming = iter(members)

    def __new__(cls: Any, *given: Any) -> Any:
        value, arguments = next(upcoming)
        member = cls._member_type_.__new__(cls, *(given if arguments is None else arguments))
        member._value_ = value
        return member

    return __new__


def _importable_base(metaclass: type) -> Any:
    return next(base for base in metaclass.__mro__ if is_importable(base))


@contextlib.contextmanager
def _without_hooks(bases: Iterable[type]) -> Iterator[None]:
    """Switch off ``__init_subclass__`` of classes that came by value."""
    hooks: dict[Any, Any] = {}
    for base in bases:
        owner = next(each for each in base.__mro__ if "__init_subclass__" in vars(each))
        if not is_importable(owner):
            hooks[owner] = vars(owner)["__init_subclass__"]
    for owner in hooks:
        owner.__init_subclass__ = classmethod(lambda cls: None)
    try:
        yield
    finally:
        for owner, hook in hooks.items():
            owner.__init_subclass__ = hook


def set_attributes(cls: type, state: tuple[object, Mapping[str, Any]]) -> None:
    """Set those attributes of a class that hold instances of it.

    Args:
        cls: the class.
        state: the step that has set its other attributes, and the attributes.
    """
    for name, value in state[1].items():
        setattr(cls, name, value)


def fill_and_register(
    cls: type, state: tuple[Callable[[Any, Any], object], object, Callable[[Any], Any]]
) -> None:
    """Fill a class, and register how its instances are pickled.

    Args:
        cls: the class.
        state: the function that fills it, what that takes, and what ``copyreg.pickle`` takes.
    """
    fill, attributes, reducer = state
    fill(cls, attributes)
    copyreg.pickle(cls, reducer)


def reduce_enum_member(member: enum.Enum) -> Any:
    """Return how to pickle a member of an enum: by its name, since its value may be anything."""
    cls, name = type(member), member.name
    if cls.__members__.get(name) is not member:  # a combination of flags that has no name
        return NotImplemented
    return enum_member, (cls, name)


def enum_member(cls: type[enum.Enum], name: str) -> enum.Enum:
    """Return the member of an enum with this name."""
    return cls.__members__[name]


def fill_enum(
    cls: Any, state: tuple[Callable[[Any, Any], object], object, Mapping[str, Mapping[str, object]]]
) -> None:
    """Fill an enum that has its members already.

    Args:
        cls: the enum.
        state: the function by which cloudpickle fills a class, what that function takes, and the attributes
            of each member.
    """
    fill, attributes, members = state
    fill(cls, attributes)
    for name, own in members.items():
        vars(cls[name]).update(own)


def typing_object(
    kind: Callable[..., Any], name: str, arguments: Sequence[Any], options: Mapping[str, Any], module: str
) -> Any:
    """Rebuild a TypeVar, a NewType or the like.

    Args:
        kind: its type.
        name: its name.
        arguments: further arguments of ``kind``.
        options: keyword arguments of ``kind``.
        module: the module that defines it.
    """
    made = kind(name, *arguments, **options)
    with contextlib.suppress(AttributeError):  # that of a TypeAliasType is read-only
        made.__module__ = module
    return made


def shared_globals(number: int, base: dict[str, Any]) -> dict[str, Any]:
    """Return the global variables that unpickled functions begin with.

    Args:
        number: of the variables that the initializer of the worker shares with all jobs.
        base: those that each function has, such as ``__name__``.

    Returns:
        To the initializer ``base`` itself, and to a job a copy with what the initializer has left.
    """
    known = context.shared_globals
    if known is None or number in known:
        return {**(known or {}).get(number, {}), **base}
    known[number] = base
    return base


def context_variable(name: str, *values: object) -> contextvars.ContextVar[Any]:
    """Rebuild a context variable. Its default is the value that it had where it was pickled.

    Args:
        name: its name.
        values: that value; empty: it had none.
    """
    if values:
        return contextvars.ContextVar(name, default=values[0])
    return contextvars.ContextVar(name)
