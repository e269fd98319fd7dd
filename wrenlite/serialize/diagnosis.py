"""Why something cannot be pickled, or is large: the part of it that is the reason, as text for messages.

The search tries to pickle one part after the other. Only an error, or the warning about a large function,
pays for that.
"""

from __future__ import annotations

import functools
import time
import types
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from wrenlite.serialize.by_reference import ByReference
from wrenlite.serialize.functions import closure_of, globals_in
from wrenlite.serialize.parts import (
    NoReductionError,
    Reducer,
    Step,
    class_name,
    path_text,
)
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.sizes import is_picklable, pickling_error, size_of

_ADVICE = "Make it inside the function, or pass what it is made from."
_GENERATOR_ADVICE = "A generator stays in its process. Use list(...) of it."
_ITERATOR_ADVICE = "Use list(...) of this iterator."
_RECURSION_ADVICE = "It is nested too deeply. Pass it in a flat form, such as one list or table."
_LARGE_PART_BYTES = 1 << 20
"""A part below this size is not worth naming beside larger ones, nor worth looking into."""
_SEARCH_OBJECTS = 200_000
_SEARCH_S = 5.0
"""A search that has seen more objects, or takes longer, finds nothing."""
_SEARCH_WIDTH = 1_000
"""Parts, of each object and in all, among which a certain part is looked for."""
_TEXT_CHARACTERS = 1_000
"""The length to which the text of an exception is cut."""

_OF_ONE_PROCESS = frozenset(
    {"asyncio", "concurrent", "multiprocessing", "queue", "socket", "subprocess", "threading"}
)
"""Packages whose objects stand for something that only one process has, so that their parts, such as the lock
of a future, say nothing to a user."""


def not_picklable_message(
    what: str,
    obj: object,
    error: BaseException,
    advice: str = _ADVICE,
    owner: str = "",
    *,
    in_item: bool = False,
) -> str:
    """Return a message that says why an object cannot be pickled and what to do.

    Args:
        what: the name of the object for the message.
        obj: the object.
        error: the exception of its pickling. It is raised again where it has nothing to do with pickling.
        advice: what to do.
        owner: what the object belongs to. The message then begins with the part and this, in place of
            ``what``.
        in_item: it is an item, where futures are not at fault.
    """
    raise_if_interrupting(error)
    path, found = _find_unpicklable_part(obj, in_item)
    where = f" (type {class_name(type(found[0]))})" if found else ""
    if owner:
        what, where = f"{path or what}{where} of {owner}", ""
    elif path:
        where = f" at {path}{where}"
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        advice = _RECURSION_ADVICE
    elif found:
        # Another part may have failed first: the text must be about the part that is named.
        error = pickling_error(found[0]) or error
        advice = _advice_for(found[0], error, advice)
    return f"{what} cannot be pickled{where}: {error_text(error)}. {advice}".rstrip()


def _advice_for(part: object, error: BaseException, advice: str) -> str:
    """Return what to do about a part that cannot be pickled; empty where its error says that already.

    Args:
        part: the part.
        error: the exception of its pickling.
        advice: what to do with most parts.
    """
    if issubclass(type(part), types.GeneratorType | types.AsyncGeneratorType):
        return _GENERATOR_ADVICE
    if _is_iterator(part):
        return _ITERATOR_ADVICE
    is_own = type(part).__module__.startswith("wrenlite.")
    return "" if is_own and "cannot be sent to another process" in f"{error}" else advice


def _is_iterator(obj: object) -> bool:
    """Return whether this is an iterator that reads others while it goes on."""
    return type(obj) in (map, filter, zip, enumerate) or type(obj).__module__ == "itertools"


def _find_unpicklable_part(obj: object, in_item: bool) -> tuple[str, tuple[object, ...]]:
    """Return the text of the path to the part that cannot be pickled, and the part.

    The text is for example ``closure variable 'db'.lock``, and empty for the object itself. Without a part,
    nothing was found.
    """
    try:
        steps = _Search(in_item).run(obj)
        if steps is None:
            return "", ()
        return path_text(steps), (steps[-1][1].part if steps else obj,)
    except BaseException as error:  # of the object's own code
        raise_if_interrupting(error)
        return "", ()


def error_text(error: BaseException) -> str:
    """Return the type and the text of an exception, also of one that fails to tell it."""
    try:
        text = str(error)
    except BaseException as problem:  # of its own code
        raise_if_interrupting(problem)
        text = "its text cannot be shown, since its __str__ fails"
    text = text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS]} …"
    return f"{class_name(type(error))}: {text}".rstrip(".")


class _Search:
    """The search for the first part that itself refuses to be pickled."""

    def __init__(self, in_item: bool) -> None:
        self._in_item = in_item
        self._seen: dict[int, object] = {}  # the objects are kept alive, since an id is valid only as long
        self._deadline = time.monotonic() + _SEARCH_S
        self._reducer = Reducer(self._deadline)

    def run(self, root: object) -> list[tuple[object, Step]] | None:
        """Return the steps to that part, each with the object that it starts from; None: nothing is found."""
        parts = self._parts_of(root)
        if parts is None:
            return []
        path: list[tuple[object, Iterator[Step], Step | None]] = [(root, parts, None)]
        while path and len(self._seen) < _SEARCH_OBJECTS and time.monotonic() < self._deadline:
            obj, parts, _ = path[-1]
            try:
                step = next(parts, None)
            except BaseException as error:  # of an iterator in its reduction
                raise_if_interrupting(error)
                if not is_picklable(obj):
                    return _steps(path)
                step = None
            if step is None:
                path.pop()
                continue
            inner = self._parts_of(step.part)
            if inner is None:
                return [*_steps(path), (obj, step)]
            path.append((step.part, inner, step))
        return None

    def _parts_of(self, obj: object) -> Iterator[Step] | None:
        """Return the parts of an object that were not seen before; None: it refuses to be pickled."""
        if id(obj) in self._seen:
            return iter(())
        self._seen[id(obj)] = obj
        if self._in_item and issubclass(type(obj), ByReference):
            return iter(())
        try:
            if f"{type(obj).__module__}".partition(".")[0] in _OF_ONE_PROCESS or _is_iterator(obj):
                raise NoReductionError
            return self._reducer.parts_of(obj)
        except BaseException as error:  # it has no parts, or of the object's own code
            raise_if_interrupting(error)
            return iter(()) if is_picklable(obj) else None


def _steps(path: list[tuple[object, Iterator[Step], Step | None]]) -> list[tuple[object, Step]]:
    """Return the steps of a path to the object that it has reached."""
    return [(path[place - 1][0], step) for place, (_, _, step) in enumerate(path) if step is not None]


def find_part(obj: object, wanted: object) -> str:
    """Return the path from an object to a part of it, or to a method of that part, as text for a message.

    Args:
        obj: the object.
        wanted: the part.

    Returns:
        For example ``global variable 'rng'``; empty where the part is not found.
    """
    reducer = Reducer(time.monotonic() + _SEARCH_S)
    todo: list[tuple[list[tuple[object, Step]], object]] = [([], obj)]
    seen = {id(obj): obj}
    for path, each in todo:  # the list grows during the loop
        for step in _some_parts(reducer, each):
            steps, part = [*path, (each, step)], step.part
            if part is wanted or getattr(part, "__self__", None) is wanted:
                return path_text(steps)
            if id(part) not in seen and len(todo) < _SEARCH_WIDTH:
                seen[id(part)] = part
                todo.append((steps, part))
    return ""


def _some_parts(reducer: Reducer, obj: object) -> list[Step]:
    try:
        return list(islice(reducer.parts_of(obj), _SEARCH_WIDTH))
    except Exception as error:  # it has none, or of the object's own code
        raise_if_interrupting(error)
        return []


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
