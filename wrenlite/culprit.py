"""Finds which part of an object is what cannot be pickled. Runs only once pickling has failed."""

from __future__ import annotations

import types
from collections.abc import Iterator
from itertools import islice
from typing import Any

_DEPTH = 12
_WIDTH = 1_000
"""Parts looked at on each level: enough for any object that somebody wrote, not for all data."""


def find_culprit(obj: object) -> str:
    """The path to the innermost part that cannot be pickled: `` at closure variable 'db'.lock (a lock)``."""
    path = ""
    for _ in range(_DEPTH):
        for step, part in islice(_parts(obj), _WIDTH):
            if not _pickles(part):
                path, obj = path + step, part
                break
        else:
            break
    return f" at {path.strip('. ')} (a {type(obj).__qualname__})" if path else ""


def _pickles(obj: object) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(obj, 5)
    except Exception:
        return False
    return True


def _parts(obj: Any) -> Iterator[tuple[str, object]]:
    """What an object is made of, each with the words that lead to it."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            yield f"[{key!r}]", value
    elif isinstance(obj, list | tuple | set | frozenset):
        for index, value in enumerate(obj):
            yield f"[{index}]", value
    elif isinstance(obj, types.FunctionType):
        yield from _parts_of_function(obj)
    elif isinstance(obj, types.MethodType):
        yield " self", obj.__self__
    else:
        for name in ("func", "args", "keywords"):  # functools.partial
            if hasattr(obj, name):
                yield f".{name}", getattr(obj, name)
        for name, value in getattr(obj, "__dict__", {}).items():
            yield f".{name}", value


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f" closure variable {name!r}", cell.cell_contents
        except ValueError:  # not bound yet
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f" global variable {name!r}", function.__globals__[name]
    for index, value in enumerate(function.__defaults__ or ()):
        yield f" default argument {index}", value
