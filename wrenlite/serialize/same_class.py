"""The class of ``__main__`` that is defined as one that was pickled by value in an earlier program.

Values of a job that outlives its kernel are instances of classes that a cell has defined. After a restart the
same cell makes another class. Where its definition is the same, values become instances of that one, so that
``isinstance`` is true of them.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

_ATOMS = (int, float, complex, str, bytes, type(None), type(Ellipsis), type(NotImplemented), range)
_LEFT_OUT = frozenset(
    {
        "__annotations_cache__",
        "__dict__",
        "__firstlineno__",
        "__slotnames__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
    }
)
"""Attributes of classes that say nothing of their definition."""
_OF_CODE = (
    *("co_name", "co_code", "co_flags", "co_names", "co_varnames", "co_cellvars", "co_freevars"),
    *("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_exceptiontable"),
)
"""What compiled code is, beside its constants. Files and lines are not part of it."""


def current(cls: Any) -> Any:
    """Return the class of ``__main__`` with the same name and definition; the given one where there is none.

    Args:
        cls: a class. Anything else is returned as it is.
    """
    if not isinstance(cls, type) or cls.__module__ != "__main__":
        return cls
    found: Any = sys.modules.get("__main__")
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and _Comparison().same(cls, found) else cls


class _Comparison:
    """Compares two objects by what they consist of. Those that refer to each other are compared once."""

    def __init__(self) -> None:
        self._assumed: dict[tuple[int, int], tuple[object, object]] = {}  # alive, so that ids stay theirs
        self._parts: tuple[tuple[Any, Callable[[Any], object]], ...] = (
            (type, self._of_class),
            (types.CodeType, lambda code: [*(getattr(code, name) for name in _OF_CODE), code.co_consts]),
            (types.FunctionType, _of_function),
            (types.CellType, lambda cell: cell.cell_contents),
            (staticmethod | classmethod, lambda method: method.__func__),
            (property, lambda made: (made.fget, made.fset, made.fdel)),
            (functools.cached_property, lambda made: made.func),
            (types.MemberDescriptorType | types.GetSetDescriptorType, lambda made: made.__name__),
            (set | frozenset, lambda members: sorted(members, key=repr)),
        )

    def same(self, one: Any, other: Any) -> bool:
        """Return whether two objects are equal in all that they consist of, as far as that can be seen."""
        key = (id(one), id(other))
        if one is other or key in self._assumed:
            return True
        self._assumed[key] = (one, other)
        if not self.same(type(one), type(other)):
            return False
        if isinstance(one, _ATOMS):
            return repr(one) == repr(other)
        if isinstance(one, list | tuple):
            return len(one) == len(other) and all(map(self.same, one, other))
        if isinstance(one, Mapping):
            return self.same([*one.items()], [*other.items()])
        for kind, parts in self._parts:
            if isinstance(one, kind):
                return self._same_parts(parts, one, other)
        return self._same_parts(lambda made: made.__reduce_ex__(2), one, other)

    def _same_parts(self, parts: Callable[[Any], object], one: Any, other: Any) -> bool:
        try:
            return self.same(parts(one), parts(other))
        except Exception:  # of the objects' own code: nothing is known of them
            return False

    def _of_class(self, cls: type) -> object:
        attributes = {name: value for name, value in vars(cls).items() if name not in _LEFT_OUT}
        return cls.__qualname__, cls.__module__, cls.__bases__, sorted(attributes), _in_order(attributes)


def _in_order(attributes: Mapping[str, Any]) -> list[Any]:
    """Return the values of attributes in the order of the names."""
    return [attributes[name] for name in sorted(attributes)]


def _of_function(function: types.FunctionType) -> object:
    """Return what a function consists of, but for the global variables that it uses."""
    defaults = function.__defaults__, function.__kwdefaults__
    return function.__code__, *defaults, function.__closure__, vars(function), function.__annotations__
