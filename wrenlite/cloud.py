"""cloudpickle with the class table. A module of its own, since importing cloudpickle costs a worker 20 ms."""

from __future__ import annotations

import io
import types
from typing import Any

import cloudpickle

from wrenlite.names import Names, goes_by_name, imports_in


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
        elif isinstance(obj, types.BuiltinFunctionType) and isinstance(obj.__module__, str):
            self._names.modules.add(obj.__module__)
        return super().reducer_override(obj)

    def _owned(self, obj: Any) -> Any:
        """By name where that works; otherwise by value, and into the table where it is a class."""
        if goes_by_name(obj):
            return self._names.place(obj)
        if isinstance(obj, type):
            self._names.enter(obj)
        return None
