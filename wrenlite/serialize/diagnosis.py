"""Why something cannot be pickled, or is large: the part of it that is the reason, as text for messages.

The search tries to pickle one part after the other. Only an error, or the warning about a large function,
pays for that.
"""

from __future__ import annotations

import functools
import io
import types
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from wrenlite.serialize.class_table import ClassTable, attributes_made_by_slots
from wrenlite.serialize.functions import closure_of, globals_in
from wrenlite.serialize.signals import raise_if_interrupting

_ADVICE = "Make it inside the function, or pass what it is made from."
_LARGE_PART_BYTES = 1 << 20
"""A part below this size is not worth naming beside larger ones, nor worth looking into."""
_SEARCH_DEPTH = 16
_SEARCH_WIDTH = 1_000
"""Levels, and parts per level, that are searched: enough for any object that a person wrote, but not for the
elements of all data."""

_OF_ONE_PROCESS = frozenset(
    {"asyncio", "concurrent", "multiprocessing", "queue", "socket", "subprocess", "threading"}
)
"""Packages whose objects stand for something that only one process has, so that their parts, such as the lock
of a future, say nothing to a user."""


class Parts(dict[str, object]):
    """Several objects as one, by the text that leads to each in a message."""


def not_picklable_message(what: str, obj: object, error: BaseException, advice: str = _ADVICE) -> str:
    """Return a message that says why an object cannot be pickled and what to do.

    Args:
        what: the name of the object for the message.
        obj: the object.
        error: the exception of its pickling. It is raised again where it has nothing to do with pickling.
        advice: what to do.
    """
    raise_if_interrupting(error)
    where = find_unpicklable_part(obj)
    return f"{what} cannot be pickled{where}: {type(error).__name__}: {error}. {advice}"


def find_unpicklable_part(obj: object) -> str:
    """Return the path to the innermost part that cannot be pickled, as text for a message.

    For example `` at closure variable 'db'.lock (type lock)``; empty where no part is found.
    """
    path = ""
    for _ in range(_SEARCH_DEPTH):
        found = _first_unpicklable(obj)
        if found is None:
            break
        step, obj = found
        path += step
    return f" at {path.strip('. ')} (type {type(obj).__qualname__})" if path.strip() else ""


def find_part(obj: object, wanted: object) -> str:
    """Return the path from an object to a part of it, or to a method of that part, as text for a message.

    Args:
        obj: the object.
        wanted: the part.

    Returns:
        For example ``global variable 'rng'``; empty where the part is not found.
    """
    todo, seen = [("", obj)], {id(obj)}
    for path, each in todo:  # the list grows during the loop
        for step, part in islice(_parts(each), _SEARCH_WIDTH):
            if part is wanted or getattr(part, "__self__", None) is wanted:
                return (path + step).strip(". ")
            if id(part) not in seen and len(todo) < _SEARCH_WIDTH:
                seen.add(id(part))
                todo.append((path + step, part))
    return ""


def is_picklable(obj: object) -> bool:
    """Return whether an object can be pickled by value."""
    return size_of(obj) > 0


def size_of(obj: object) -> int:
    """Return how many bytes the pickle of an object has; 0 where it cannot be pickled."""
    from wrenlite.serialize.by_value import CloudPickler

    file = io.BytesIO()
    try:
        CloudPickler(file, ClassTable(grows=False), lambda _: True).dump(obj)
    except BaseException as error:  # of the object's own code
        raise_if_interrupting(error)
        return 0
    return len(file.getvalue())


def largest_parts(function: object, args: Iterable[object], kwargs: Mapping[str, object]) -> str:
    """Return the three largest parts of a function's pickle with their sizes, as text for a message.

    Args:
        function: the function.
        args: its fixed arguments.
        kwargs: its fixed keyword arguments.
    """
    sizes: dict[str, int] = {}
    seen: set[int] = set()

    def measure(parts: Mapping[str, object]) -> None:
        for name, value in parts.items():
            size = size_of(value)
            inner = _variables(value) if size >= _LARGE_PART_BYTES and id(value) not in seen else {}
            seen.add(id(value))
            if inner:
                measure(inner)
            elif size:
                sizes[name] = max(size, sizes.get(name, 0))

    measure({f"argument {number}": value for number, value in enumerate(args)})
    measure({f"{name}=": value for name, value in kwargs.items()})
    measure(_variables(function) or {"itself": function})
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    shown = [name for name in largest if sizes[name] >= _LARGE_PART_BYTES] or largest
    return ", ".join(f"{name} {sizes[name] / 2**20:,.1f} MB" for name in shown)


def _variables(function: Any) -> dict[str, object]:
    """Return what a function holds, with names for a message; nothing for what is not made of parts."""
    if isinstance(function, functools.partial):
        given = {f"argument {number} of the partial": value for number, value in enumerate(function.args)}
        named = {f"{name}= of the partial": value for name, value in function.keywords.items()}
        return {**given, **named, "its function": function.func}
    if isinstance(function, types.MethodType):
        return {**_instance_variables(function.__self__), function.__name__: function.__func__}
    if isinstance(function, types.FunctionType):
        defaults = function.__defaults__ or ()
        code = function.__code__
        held = {**_globals_of(function), **closure_of(function)}
        held.update(zip(code.co_varnames[code.co_argcount - len(defaults) :], defaults, strict=False))
        held.update(function.__kwdefaults__ or {})
        return {repr(name): value for name, value in held.items()}
    return _instance_variables(function) if callable(function) and not isinstance(function, type) else {}


def _instance_variables(obj: object) -> dict[str, object]:
    return {f"attribute {name!r}": value for name, value in getattr(obj, "__dict__", {}).items()}


def _globals_of(function: types.FunctionType) -> dict[str, object]:
    names = globals_in(function.__code__)
    return {name: value for name, value in function.__globals__.items() if name in names}


def _first_unpicklable(obj: object) -> tuple[str, object] | None:
    """Return the first part of an object that cannot be pickled, with the text that leads to it."""
    try:
        return next((each for each in islice(_parts(obj), _SEARCH_WIDTH) if not is_picklable(each[1])), None)
    except BaseException as error:  # of the object's own code, such as its __getattr__
        raise_if_interrupting(error)
        return None


def _parts(obj: Any) -> Iterator[tuple[str, object]]:
    """Yield the parts of an object, each with the text that leads to it in a path."""
    if isinstance(obj, Parts):
        yield from ((f" {name}", value) for name, value in obj.items())
    elif isinstance(obj, dict):
        yield from ((f"[{key!r}]", value) for key, value in obj.items())
        yield from ((f" key {key!r}", key) for key in obj)
    elif isinstance(obj, list | tuple | set | frozenset):
        yield from ((f"[{index}]", value) for index, value in enumerate(obj))
    elif isinstance(obj, types.FunctionType):
        yield from ((f" closure variable {name!r}", value) for name, value in closure_of(obj).items())
        yield from ((f" global variable {name!r}", value) for name, value in _globals_of(obj).items())
        yield from ((f" default argument {place}", each) for place, each in enumerate(obj.__defaults__ or ()))
        yield from ((f" default of {name}=", each) for name, each in (obj.__kwdefaults__ or {}).items())
    elif isinstance(obj, types.MethodType):
        yield " self", obj.__self__
    elif isinstance(obj, property):
        yield " getter", obj.fget
    elif isinstance(obj, type):  # cloudpickle writes a class by its attributes
        yield from ((f" base class {base.__qualname__}", base) for base in obj.__bases__)
        yield from ((f" attribute {name!r}", value) for name, value in _own_attributes(obj))
    elif _refuses_pickling(obj):
        return
    if not isinstance(obj, Parts | type | types.MethodType):
        yield from _attributes(obj)
        yield f" class {type(obj).__qualname__}", type(obj)


def _refuses_pickling(obj: object) -> bool:
    """Return whether an object itself, rather than a part of it, is the reason that pickling fails."""
    if type(obj).__module__.partition(".")[0] in _OF_ONE_PROCESS:
        return True
    try:
        obj.__reduce_ex__(5)
    except BaseException as error:  # of the object's own code
        raise_if_interrupting(error)
        return True
    return False


def _own_attributes(cls: type) -> list[tuple[str, object]]:
    """Return the attributes of a class itself, methods last, since they often refer to the class."""
    made = types.GetSetDescriptorType | types.MemberDescriptorType  # by Python, for __dict__ and __slots__
    found = [(name, value) for name, value in vars(cls).items() if not isinstance(value, made)]
    return sorted(found, key=lambda each: callable(each[1]))


def _attributes(obj: object) -> Iterator[tuple[str, object]]:
    if isinstance(obj, functools.partial):
        yield from ((".func", obj.func), (".args", obj.args), (".keywords", obj.keywords))
    for name in (*attributes_made_by_slots(type(obj)), *getattr(obj, "__dict__", ())):
        if hasattr(obj, name):
            yield f".{name}", getattr(obj, name)
