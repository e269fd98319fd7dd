"""What unpickling calls to rebuild objects that were pickled by value, which ``by_value`` refers to.

An object that may refer to itself is made first and filled afterwards.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any


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


def single_dispatch(default: Callable[..., Any]) -> Any:
    """Rebuild a function under ``functools.singledispatch``, with its implementation for ``object`` only."""
    return functools.singledispatch(default)


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


def context_variable(name: str, *values: object) -> contextvars.ContextVar[Any]:
    """Rebuild a context variable. Its default is the value that it had where it was pickled.

    Args:
        name: its name.
        values: that value; empty: it had none.
    """
    if values:
        return contextvars.ContextVar(name, default=values[0])
    return contextvars.ContextVar(name)
