"""The class table: which classes and functions travel by name, which by number, which by value."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_in_use = threading.local()


@contextlib.contextmanager
def resolving(table: Sequence[object]) -> Iterator[None]:
    """What this thread unpickles meanwhile refers to that class table."""
    before = current_table()
    _in_use.table = table
    try:
        yield
    finally:
        _in_use.table = before


def current_table() -> Sequence[object]:
    """The class table that this thread's unpickling refers to."""
    table: Sequence[object] = getattr(_in_use, "table", ())
    return table


def from_table(index: int) -> object:
    """The class or function at that place of the class table. Called by unpickling, never by hand."""
    return _in_use.table[index]


def is_importable(obj: Any) -> bool:
    """Whether a worker finds this class or function by importing its module."""
    name = getattr(obj, "__module__", None)
    if name == "__main__" or not isinstance(name, str):
        return False
    found: Any = sys.modules.get(name)
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


class Cached:
    """A function under ``functools.lru_cache`` that goes by value: its cache is empty at the other end.

    Made empty and filled by its state, so that a function may refer to itself.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters

    def __setstate__(self, wrapped: Any) -> None:
        self.cached = functools.lru_cache(**self.parameters)(wrapped)
        functools.update_wrapper(self, wrapped)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it, or take the value from the cache."""
        return self.cached(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __getattr__(self, name: str) -> Any:  # cache_info, cache_clear
        if name == "cached":
            raise AttributeError(name)
        return getattr(self.cached, name)


class Names:
    """Which classes and functions go by name, which by number in the class table, which by value.

    One for every job on the client, where the table grows as items are packed, and one for every
    function on a worker, where the table is what the client sent.
    """

    def __init__(self, table: Iterable[object] = (), *, grows: bool) -> None:
        self.table: list[object] = []
        self.modules: set[str] = set()
        self._grows = grows
        self._places: dict[int, Any] = {}
        self._kept: list[object] = []  # an id is a key only while its object lives
        for entry in table:
            self.enter(entry)

    def place(self, obj: Any) -> Any:
        """A reduce tuple for «by number», NotImplemented for «by name», None for «by value»."""
        place = self._places.get(id(obj))
        if place is None:
            if is_importable(obj):
                self.modules.add(obj.__module__)
                self._kept.append(obj)
                place = self._places[id(obj)] = NotImplemented
            elif self._grows and (isinstance(obj, type) or "<" not in obj.__qualname__):
                place = self.enter(obj)
        return place

    def enter(self, obj: object) -> Any:
        """Give a class or function its number in the table, unless it has one."""
        if id(obj) not in self._places:
            self._places[id(obj)] = (from_table, (len(self.table),))
            self.table.append(obj)
        return self._places[id(obj)]


def imports_in(code: types.CodeType, package: str | None) -> set[str]:
    """Modules that a function's body imports, its inner functions included."""
    import dis
    import importlib.util

    names: set[str] = set()
    constants: list[Any] = []
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            level, wanted = constants[-2:]  # pushed right before, in this order
            name = step.argval
            if level and package:
                name = importlib.util.resolve_name("." * level + name, package)
            names.add(name)
            names.update(f"{name}.{part}" for part in wanted or ())
        elif step.opname.startswith("LOAD_"):
            constants.append(step.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= imports_in(constant, package)
    return names
