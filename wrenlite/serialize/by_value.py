"""cloudpickle with the class table. A module of its own, since importing cloudpickle costs a worker 20 ms."""

from __future__ import annotations

import functools
import io
import types
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle

from wrenlite.serialize.class_table import (
    Cached,
    Names,
    imports_in,
    is_importable,
)

_CachedFunction = type(functools.lru_cache(print))


def code_with_source_place(file: str, make: Callable[..., types.CodeType], arguments: Sequence[Any]) -> Any:
    """Rebuild a code object under the file name that it has on the caller's machine.

    cloudpickle 3.1.3 and later write ``<dynamic-code>`` in place of the file name, so that no traceback,
    debugger or warning would find the source.

    Args:
        file: the ``co_filename`` of the code object.
        make: what cloudpickle rebuilds the code object with.
        arguments: the arguments of ``make``.
    """
    return make(*arguments).replace(co_filename=file)


class CloudPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle with the class table; the owner writes by value what others refer to."""

    def __init__(self, file: io.BytesIO, names: Names, keep: Any, *, owner: bool = False) -> None:
        super().__init__(file, 5, keep)
        self._names = names
        self._owner = owner

    def reducer_override(self, obj: Any) -> Any:
        """How an object is written; NotImplemented: as usual."""
        if isinstance(obj, type | types.FunctionType):
            place = self._owned(obj) if self._owner else self._names.place(obj)
            if place is not None:
                return place
            if isinstance(obj, types.FunctionType):
                package = obj.__globals__.get("__package__")
                self._names.modules |= imports_in(obj.__code__, package)
        elif isinstance(obj, types.ModuleType):
            self._names.modules.add(obj.__name__)
        elif isinstance(obj, _CachedFunction):
            return self._cached(obj)
        elif isinstance(obj, types.CodeType):
            return code_with_source_place, (obj.co_filename, *self.dispatch_table[types.CodeType](obj))
        elif isinstance(name := getattr(obj, "__module__", None), str):  # what goes by name: builtins, ufuncs
            self._names.modules.add(name)
        return super().reducer_override(obj)

    def _cached(self, obj: Any) -> Any:
        if is_importable(obj):
            self._names.modules.add(obj.__module__)
            return NotImplemented
        return Cached, (obj.cache_parameters(),), obj.__wrapped__

    def _owned(self, obj: Any) -> Any:
        """By name where that works; otherwise by value, and into the table where it is a class."""
        if is_importable(obj):
            return self._names.place(obj)
        if isinstance(obj, type):
            self._names.enter(obj)
        return None
