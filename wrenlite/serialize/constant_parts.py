"""Whether a function would be pickled as it was before, without pickling it. ``submit`` asks at each call."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterable

from wrenlite.serialize.class_table import is_importable, travels_by_value

_CONSTANTS = frozenset({int, float, complex, bool, str, bytes, type(None), range, type(Ellipsis)})


def constant_parts(function: object) -> list[object] | None:
    """Return everything that a function is pickled from, if none of it can be changed in place.

    While each part is the same object, the function is pickled as it was.

    Returns:
        The parts, in a fixed order; None: something can be changed, such as a list that it closes over.
    """
    parts: list[object] = []
    return parts if _add(function, parts, set()) else None


def are_same(parts: list[object] | None, others: list[object] | None) -> bool:
    """Return whether the parts of two functions are the same objects. Unknown ones are not."""
    if parts is None or others is None or len(parts) != len(others):
        return False
    return all(part is other for part, other in zip(parts, others, strict=True))


def _add(part: object, parts: list[object], seen: set[int]) -> bool:
    """Add a part, and what it consists of. Return whether none of that can be changed in place."""
    parts.append(part)  # each time, so that every use has its place
    if id(part) in seen:
        return True
    seen.add(id(part))
    kind = type(part)
    if kind in _CONSTANTS:
        return True
    if kind is types.ModuleType:
        name = part.__name__  # type: ignore[attr-defined]
        return sys.modules.get(name) is part and name != "__main__" and not travels_by_value(name)
    if kind is tuple:
        return _add_all(part, parts, seen)  # type: ignore[arg-type]
    if kind is types.BuiltinFunctionType:
        return isinstance(part.__self__, types.ModuleType | None)  # type: ignore[attr-defined]
    if isinstance(part, type):
        return is_importable(part)
    if kind is not types.FunctionType:
        return False
    return is_importable(part) or _add_function(part, parts, seen)  # type: ignore[arg-type]


def _add_all(items: Iterable[object], parts: list[object], seen: set[int]) -> bool:
    return all(_add(item, parts, seen) for item in items)


def _add_function(function: types.FunctionType, parts: list[object], seen: set[int]) -> bool:
    """Add the parts of a function that is pickled by value."""
    if function.__dict__:
        return False
    parts.append(function.__code__)
    variables = function.__globals__
    try:
        closed_over = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # not assigned yet
        return False
    used = [variables.get(name) for name in _names(function.__code__)]
    fixed = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return _add_all([*closed_over, *used, *fixed], parts, seen)


@functools.lru_cache(256)
def _names(code: types.CodeType) -> tuple[str, ...]:
    """Return the names that code and the functions within it look up, in a fixed order."""
    inner = (name for each in code.co_consts if isinstance(each, types.CodeType) for name in _names(each))
    return tuple(dict.fromkeys((*code.co_names, *inner)))
