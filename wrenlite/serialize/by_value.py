"""cloudpickle, extended by the class table.

This is a module of its own because importing cloudpickle takes 20 ms: a worker does so only when it must.
"""

from __future__ import annotations

import functools
import io
import types
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle

from wrenlite.serialize.class_table import (
    CachedFunction,
    ClassTable,
    is_importable,
    is_random_generator,
    modules_imported_by,
)

_LruCacheWrapper = type(functools.lru_cache(print))


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


class CloudPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle that writes classes and functions by the number that they have in a class table."""

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
        if isinstance(obj, type | types.FunctionType):
            reduction = self._define(obj) if self._defines_entries else self._classes.reduction_of(obj)
            if reduction is not None:
                return reduction
            if isinstance(obj, types.FunctionType):
                package = obj.__globals__.get("__package__")
                self._classes.modules |= modules_imported_by(obj.__code__, package)
        elif isinstance(obj, types.ModuleType):
            self._classes.modules.add(obj.__name__)
        elif isinstance(obj, _LruCacheWrapper):
            return self._reduce_cached(obj)
        elif isinstance(obj, types.CodeType):
            return code_with_file_name, (obj.co_filename, *self.dispatch_table[types.CodeType](obj))
        elif is_random_generator(obj):
            return self._classes.reduction_of_generator(obj)
        elif isinstance(name := getattr(obj, "__module__", None), str):  # builtins, ufuncs: pickled by name
            self._classes.modules.add(name)
        return super().reducer_override(obj)

    def _reduce_cached(self, obj: Any) -> Any:
        if is_importable(obj):
            self._classes.modules.add(obj.__module__)
            return NotImplemented
        return CachedFunction, (obj.cache_parameters(),), obj.__wrapped__

    def _define(self, obj: Any) -> Any:
        """Return the reduction by name, or None if there is none. In that case a class becomes an entry."""
        if is_importable(obj):
            return self._classes.reduction_of(obj)
        if isinstance(obj, type):
            self._classes.add(obj)
        return None
