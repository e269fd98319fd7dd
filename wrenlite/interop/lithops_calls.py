"""How Lithops passes data to functions: its rules for tuples, dicts and reserved names.

In Lithops a tuple is spread over the parameters, a dict over their names, and anything else is the first
argument. Parameters of some names are filled in where the task runs: ``id`` with the number of the task, and
``storage`` with a ``Storage``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from wrenlite.errors import ArgumentError
from wrenlite.serialize.pickling import function_name

INJECTED = ("id", "storage")
"""Names of parameters that the task fills in, unless the data has a value for them."""
OBJECT = "obj"
"""A function with a parameter of this name gets an object of a store, or a part of it."""


class Call(NamedTuple):
    """The arguments of one call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def parameters(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of a function; None for a builtin that has none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def elements(data: Iterable[Any], extra: Sequence[Any] | Mapping[str, Any] | None) -> list[Any]:
    """Return the elements of the data, each with the extra arguments.

    Args:
        data: anything that can be iterated over.
        extra: a tuple, which is appended to each element, or a dict, which is merged into each dict.

    Raises:
        ArgumentError: the data cannot be iterated over, or ``extra`` does not fit an element.
    """
    if isinstance(data, str | bytes) or not isinstance(data, Iterable):
        raise ArgumentError(f"map_iterdata={data!r:.80}: must be a list with an element for each call")
    found = list(data)
    by_name = isinstance(extra, Mapping)
    if extra is not None and not by_name:
        if isinstance(extra, str | bytes) or not isinstance(extra, Iterable):
            raise ArgumentError(f"extra_args={extra!r:.80}: must be a tuple of arguments, or a dict")
        extra = tuple(extra)
    if not extra:
        return found
    joined: list[Any] = []
    for place, element in enumerate(found):
        if isinstance(element, dict) != by_name:
            kind = "a dict" if isinstance(element, dict) else "a tuple"
            raise ArgumentError(f"extra_args: must be {kind}, as element {place} of the data needs it")
        if by_name:
            joined.append({**element, **dict(extra)})
        else:
            joined.append((*(element if isinstance(element, tuple) else (element,)), *extra))
    return joined


def bind(function: Callable[..., Any], element: Any, place: int) -> Call:
    """Return the arguments that Lithops calls a function with for one element of the data.

    Args:
        function: the function.
        element: a tuple, a dict, or the first argument.
        place: number of the element, for messages.

    Raises:
        ArgumentError: the function does not take these arguments.
    """
    signature = parameters(function)
    call = _spread(element, signature)
    if signature is None:
        return call
    free = signature.replace(parameters=[p for p in signature.parameters.values() if p.name not in INJECTED])
    wrong = _misfit(free, call)
    if not wrong:
        return _named(free, call) if len(free.parameters) < len(signature.parameters) else call
    if not _misfit(signature, call):
        return call
    hint = ""
    if isinstance(element, dict):
        hint = ". A dict is spread over the names of the parameters; ({...},) passes it as one argument"
    elif isinstance(element, tuple):
        hint = ". A tuple is spread over the parameters; [...] passes it as one argument"
    raise ArgumentError(
        f"element {place} of the data, {element!r:.80}, does not fit "
        f"{function_name(function)}{free}: {wrong}{hint}"
    )


def _misfit(signature: inspect.Signature, call: Call) -> str:
    """Return why a call does not fit a signature; empty where it does."""
    try:
        signature.bind(*call.args, **call.kwargs)
    except TypeError as error:
        return str(error)
    return ""


def _named(signature: inspect.Signature, call: Call) -> Call:
    """Return the call with names for its arguments, because parameters between them are filled in later."""
    kinds = [each.kind for each in signature.parameters.values()]
    if inspect.Parameter.POSITIONAL_ONLY in kinds or inspect.Parameter.VAR_POSITIONAL in kinds:
        return call
    named = dict(signature.bind(*call.args, **call.kwargs).arguments)
    for each in signature.parameters.values():
        if each.kind is each.VAR_KEYWORD:
            named |= named.pop(each.name, {})
    return Call((), named)


def _spread(element: Any, signature: inspect.Signature | None) -> Call:
    """Return the arguments in an element. A dict may have those of ``*args`` and ``**kwargs`` by name."""
    if isinstance(element, tuple):
        return Call(element, {})
    if not isinstance(element, dict):
        return Call((element,), {})
    named, args = dict(element), ()
    for each in signature.parameters.values() if signature else ():
        if each.kind is each.VAR_POSITIONAL:
            args = tuple(named.pop(each.name, None) or ())
        elif each.kind is each.VAR_KEYWORD:
            named = {**(named.pop(each.name, None) or {}), **named}
    return Call(args, named)


class Returned(NamedTuple):
    """The outcomes of the futures that a task has returned: Lithops gives these in place of its value."""

    outcomes: list[tuple[bool, Any]]
    """For each future whether it has a value, and that value or its exception."""
    is_list: bool
    """Whether the task returned a list of futures, and not one."""

    def values(self, throw_except: bool = True) -> list[Any]:
        """Return the values. Raise the first exception, or without ``throw_except`` have None for it."""
        for succeeded, outcome in self.outcomes:
            if throw_except and not succeeded:
                raise outcome
        return [outcome if succeeded else None for succeeded, outcome in self.outcomes]

    def value(self, throw_except: bool = True) -> Any:
        """Return the list of the values, or the one value, as the task returned futures."""
        values = self.values(throw_except)
        return values if self.is_list else values[0]


def _passed_on(value: Any) -> Any:
    """Return what another task gets for a value: for ``Returned`` the values, or raise the exception."""
    return value.value() if isinstance(value, Returned) else value


class Task:
    """The function of a job: it is called in the task as Lithops would call the user's function."""

    def __init__(
        self, function: Callable[..., Any], storage: Any, *, chained: bool = False, reduces: bool = False
    ) -> None:
        """Create the function of a job.

        Args:
            function: the user's.
            storage: what ``storage`` is filled in with.
            chained: items have the value of another task, and not arguments.
            reduces: the first argument is a list of values of other tasks.
        """
        self.__qualname__ = function_name(function)  # the name of the job
        self._function = function
        self._chained = chained
        self._reduces = reduces
        signature = parameters(function)
        wanted = signature.parameters if signature else {}
        self._storage = storage if "storage" in wanted or OBJECT in wanted else None
        self._injected = [name for name in INJECTED if name in wanted]

    def __call__(self, item: tuple[int, Any]) -> Any:
        """Call the function for one item: the number of the task, and a ``Call`` or the value of a task."""
        place, given = item
        call = bind(self._function, _passed_on(given), place) if self._chained else self._passed_on(given)
        filled_in = {"id": place, "storage": self._storage}
        signature = parameters(self._function) if self._injected else None
        taken = signature.bind_partial(*call.args, **call.kwargs).arguments if signature else {}
        injected = {name: filled_in[name] for name in self._injected if name not in taken}
        return resolved(self._function(*call.args, **call.kwargs, **injected))

    def _passed_on(self, call: Call) -> Call:
        """Return a call with the values of the futures that other tasks have returned."""
        args = tuple(map(_passed_on, call.args))
        kwargs = {name: _passed_on(each) for name, each in call.kwargs.items()}
        if not self._reduces:
            return Call(args, kwargs)
        if args:
            return Call((list(map(_passed_on, args[0])), *args[1:]), kwargs)
        name = next(iter(kwargs))  # a function with a parameter that the task fills in
        return Call((), {**kwargs, name: list(map(_passed_on, kwargs[name]))})


def resolved(value: Any) -> Any:
    """Return a value, or the outcomes of futures where it is futures of Lithops' kind."""
    made = sys.modules.get("wrenlite.interop.lithops_futures")  # most tasks make none, and need not import it
    if made is None:
        return value
    if isinstance(value, made.ResponseFuture):
        succeeded, inner = value._outcome()
        is_nested = succeeded and isinstance(inner, Returned)
        return inner if is_nested else Returned([(succeeded, inner)], is_list=False)
    if isinstance(value, list) and value and all(isinstance(each, made.ResponseFuture) for each in value):
        inner = [resolved(each).outcomes for each in value]
        return Returned(list(chain.from_iterable(inner)), is_list=True)
    return value
