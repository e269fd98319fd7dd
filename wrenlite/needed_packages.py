"""Refuse a job that imports a package which is missing where tasks run, before anything is sent."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from wrenlite.backends.packages import RemotePackages
from wrenlite.errors import PackageMissing
from wrenlite.serialize import modules
from wrenlite.serialize.class_table import ClassTable, modules_surely_imported_by
from wrenlite.serialize.pickling import JoinedFunctions, function_name


def check(
    packages: RemotePackages, function: Callable[..., Any], table: ClassTable, local: frozenset[str]
) -> None:
    """Check that tasks find the packages that they import in any case.

    An import that may not run, or whose failure may be caught, is passed over: it is in a branch, in ``try``,
    or in a function that the job's own function may or may not call.

    Args:
        packages: the packages that are there.
        function: the function of the job.
        table: its class table, after function and items were pickled.
        local: names of the local modules, which are sent.

    Raises:
        PackageMissing: a package is not there; the message has the command that adds it.
    """
    roots = set(table.required)
    for each in _functions_in(function):
        roots |= modules_surely_imported_by(each.__code__, each.__globals__.get("__package__"))
    imported = modules.surely_imported(roots - {"__main__"}, local)
    own = {name.partition(".")[0] for name in local}
    missing = packages.missing({name.partition(".")[0] for name in imported} - own)
    if not missing:
        return
    names = sorted(set(missing.values()))
    raise PackageMissing(
        f"{function_name(function)} imports {', '.join(sorted(missing))}, which tasks would not find where "
        f"they run. Nothing was sent. This command adds it, and keeps the packages that are there:\n"
        f"  {packages.with_packages(names)}"
    )


def _functions_in(function: Any) -> Iterator[types.FunctionType]:
    """Yield the Python functions that a call of a function certainly calls."""
    if isinstance(function, JoinedFunctions):
        for each in function.named().values():
            yield from _functions_in(each)
    elif isinstance(function, functools.partial):
        yield from _functions_in(function.func)
    elif isinstance(function, types.MethodType):
        yield from _functions_in(function.__func__)
    elif isinstance(function, types.FunctionType):
        yield function
