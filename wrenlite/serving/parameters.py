"""Arguments of a function from JSON or from texts, checked and converted by its annotations.

The same rules hold for the fields of a request, of which each has a JSON type, and for the cells of a CSV
file, which are texts. What does not fit is ``BadInput``, which names the field.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, Union, get_args, get_origin

from wrenlite.errors import BadInput, ConfigError

_INTEGER = re.compile(r"([+-]?[0-9]+)(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_MAX_SHOWN = 40
"""Characters of a wrong value that a message shows."""
_LEADING_WORDS = 3
"""Words at the beginning of a message among which the name of the field at fault is looked for."""
_ANYTHING: tuple[Any, ...] = (inspect.Parameter.empty, Any, object)
_LISTS: tuple[Any, ...] = (list, Sequence, Collection, Iterable)
_OBJECTS: tuple[Any, ...] = (dict, Mapping)
_NAMED = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
_UNIONS: tuple[Any, ...] = (Union, types.UnionType)
_VARIADIC = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


class _Wrong(Exception):
    """A value does not fit. The message says what it must be."""


def signature(target: Callable[..., Any]) -> inspect.Signature:
    """Return the parameters of a function or a class, each with its annotation as a type.

    Args:
        target: a function, a dataclass, a named tuple, or anything else that can be called.

    Raises:
        ConfigError: there are no arguments for such a parameter in JSON.
    """
    try:
        return _cached(target)
    except TypeError:  # it has no hash
        return _checked(target, set())


@functools.lru_cache(maxsize=64)  # a file has many rows
def _cached(target: Callable[..., Any]) -> inspect.Signature:
    return _checked(target, set())


def _checked(target: Callable[..., Any], seen: set[Any]) -> inspect.Signature:
    """Return the parameters, once their types were checked.

    Args:
        target: has the parameters.
        seen: dataclasses that were looked at already, since one may contain itself.
    """
    name = getattr(target, "__name__", type(target).__name__)
    try:
        found = inspect.signature(target)
        hints = _hints(target)
    except (NameError, TypeError, ValueError) as error:
        raise ConfigError(f"the parameters of {name} cannot be read: {error}") from error
    parameters = []
    for each in found.parameters.values():
        if each.kind is each.POSITIONAL_ONLY:
            raise ConfigError(
                f"{name} takes {each.name} by position only, and values come by name: leave out the /"
            )
        kind = hints.get(each.name, each.empty)
        kind = kind.type if isinstance(kind, dataclasses.InitVar) else kind
        if each.kind not in _VARIADIC:
            _check_kind(kind, f"{each.name} of {name}", seen)
        parameters.append(each.replace(annotation=kind))
    return found.replace(parameters=parameters)


def _hints(target: Any) -> dict[str, Any]:
    """Return the types of annotations, also of those that are written as texts."""
    while isinstance(target, functools.partial):
        target = target.func
    if _is_record(target):
        return typing.get_type_hints(target)
    if isinstance(target, type):
        target = target.__init__  # type: ignore[misc]
    elif not hasattr(target, "__annotations__"):
        target = type(target).__call__
    annotations = getattr(target, "__annotations__", {})  # those of C have none
    kinds = {name: kind for name, kind in annotations.items() if name != "return"}
    bare = types.SimpleNamespace(__annotations__=kinds)
    return typing.get_type_hints(bare, getattr(inspect.unwrap(target), "__globals__", {}))


def bind(
    target: Callable[..., Any], values: Mapping[str, Any], *, texts: bool = False
) -> inspect.BoundArguments:
    """Convert and check the arguments of a call.

    A function of one parameter that has no annotation, or ``dict``, is given all values at once. One whose
    only parameter is a dataclass or a named tuple is given that, made of all values. For any other function,
    the values are its parameters.

    Args:
        target: what is going to be called.
        values: by the names of parameters, as JSON has them.
        texts: the values are texts, which are converted. An empty text counts as a value that is not given.

    Returns:
        The arguments: ``target(*bound.args, **bound.kwargs)``.

    Raises:
        BadInput: a value is missing, unknown, or none for its parameter.
        ConfigError: as for ``signature``.
    """
    found = signature(target)
    whole = _whole(target, found)
    if whole is not None:
        return found.bind(_convert(dict(values), whole.annotation, "", texts))
    return _bind(found, values, "", texts)


def build(target: Callable[..., Any], values: Mapping[str, Any], *, texts: bool = False) -> Any:
    """Call a class or function with converted arguments, and return what it returns.

    Args:
        target: what is called: a dataclass, a named tuple, or a function with annotations.
        values: as for ``bind``, by the names of its parameters.
        texts: as for ``bind``.

    Raises:
        BadInput: as for ``bind``; or the call raised a ConfigError, ValueError, TypeError or ArithmeticError.
    """
    return _build(target, values, "", texts)


def example(function: Callable[..., Any]) -> dict[str, Any]:
    """Return fields that a function can be called with: those that it needs, or else its first one."""
    found = signature(function)
    whole = _whole(function, found)
    if whole is not None:
        return example(whole.annotation) if _is_record(whole.annotation) else {}
    named = [each for each in found.parameters.values() if each.kind in _NAMED]
    needed = {each.name: _example_of(each.annotation) for each in named if each.default is each.empty}
    simple = {each.name: each.default for each in named if isinstance(each.default, str | int | float)}
    return needed or dict([*simple.items()][:1])


def _example_of(kind: Any) -> Any:
    origin = get_origin(kind) or kind
    if origin is Literal:
        return get_args(kind)[0]
    if origin in _UNIONS:
        return _example_of(get_args(kind)[0])
    if _is_record(kind):
        return example(kind)
    if origin in _LISTS or origin is tuple:
        return []
    return _EXAMPLES.get(origin, {} if origin in _OBJECTS else None)


def _whole(target: Callable[..., Any], found: inspect.Signature) -> inspect.Parameter | None:
    """Return the only parameter of a function where it takes all the values at once."""
    parameters = list(found.parameters.values())
    if isinstance(target, type) or len(parameters) != 1 or parameters[0].kind not in _NAMED:
        return None
    only = parameters[0]
    if only.kind is only.KEYWORD_ONLY:
        return None
    kind = only.annotation
    untyped = kind in _ANYTHING and only.default is only.empty
    return only if untyped or (get_origin(kind) or kind) in _OBJECTS or _is_record(kind) else None


def _bind(
    found: inspect.Signature, values: Mapping[str, Any], above: str, texts: bool
) -> inspect.BoundArguments:
    if texts:
        values = {name: text for name, text in values.items() if not isinstance(text, str) or text.strip()}
    check_names(found, values, above)
    converted = {}
    for name, value in values.items():
        parameter = found.parameters.get(name)
        kind = Any if parameter is None or parameter.kind in _VARIADIC else parameter.annotation
        converted[name] = _convert(value, kind, _path(above, name), texts)
    for name, parameter in found.parameters.items():
        if name in converted or parameter.default is not parameter.empty or parameter.kind not in _NAMED:
            continue
        if texts and not is_needed(parameter):
            converted[name] = None
        else:
            raise BadInput(f"{_path(above, name)} is missing", field=_path(above, name))
    return found.bind(**converted)


def check_names(found: inspect.Signature, names: Iterable[str], above: str = "") -> None:
    """Refuse names that are none of the parameters.

    Args:
        found: the parameters.
        names: the names to check.
        above: path of the field that has these names as its own fields.

    Raises:
        BadInput: a name is unknown.
    """
    parameters = found.parameters.values()
    known = [each.name for each in parameters if each.kind in _NAMED]
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return
    for name in names:
        if name not in known:
            similar = difflib.get_close_matches(name[:_MAX_SHOWN], known, 1)
            hint = f"did you mean {similar[0]}?" if similar else f"there are {', '.join(known) or 'none'}"
            shown = _path(above, name[:_MAX_SHOWN])
            raise BadInput(f"there is no parameter {shown!r}: {hint}", field=_path(above, name))


def _build(target: Callable[..., Any], values: Mapping[str, Any], above: str, texts: bool) -> Any:
    bound = _bind(signature(target), values, above, texts)
    try:
        return target(*bound.args, **bound.kwargs)
    except BadInput as error:
        if error.field is None:
            raise BadInput(str(error), field=above or None, line=error.line) from error
        raise BadInput(str(error), field=_path(above, error.field), line=error.line) from error
    except (ConfigError, ValueError, TypeError, ArithmeticError) as error:
        text = str(error) or type(error).__name__
        words = [re.split(r"\W", word)[0] for word in text.split()[:_LEADING_WORDS]]
        named = next((word for word in words if word in bound.signature.parameters), None)
        raise BadInput(text, field=_path(above, named) if named else above or None) from error


def _path(above: str, name: str) -> str:
    return f"{above}.{name}" if above else name


def _convert(value: Any, kind: Any, field: str, texts: bool) -> Any:
    """Return a value as one of a type.

    Raises:
        BadInput: it is none.
    """
    try:
        return _converted(value, kind, field, texts)
    except _Wrong as wrong:
        text = f"{field or 'the input'} must be {wrong}, not {_shown(value)}"
        raise BadInput(text, field=field or None) from None


def _converted(value: Any, kind: Any, field: str, texts: bool) -> Any:
    origin = get_origin(kind) or kind
    if kind in _ANYTHING:
        return value
    if origin in _UNIONS:
        return _one_of(value, get_args(kind), field, texts)
    if origin is Literal:
        return _literal(value, get_args(kind), texts and isinstance(value, str))
    if origin in _SIMPLE:
        return _SIMPLE[origin](value, texts and isinstance(value, str))
    if texts and isinstance(value, str):
        value, texts = _json(value), False
    if origin in _LISTS or origin is tuple:
        return _items(value, kind, field)
    if not isinstance(value, Mapping):
        raise _Wrong(_words(kind))
    if origin in _OBJECTS:
        of = (*get_args(kind), Any, Any)[1]
        return {name: _convert(each, of, _path(field, name), texts) for name, each in value.items()}
    return _build(kind, value, field, texts)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _Wrong("JSON") from None


def _one_of(value: Any, kinds: tuple[Any, ...], field: str, texts: bool) -> Any:
    """Return a value as one of several types: one that it has already, else the first that fits."""
    others = [kind for kind in kinds if kind is not types.NoneType]
    if value is None and len(others) < len(kinds):
        return None
    if len(others) == 1:
        return _converted(value, others[0], field, texts)
    for kind in others if texts else sorted(others, key=lambda kind: kind is not type(value)):
        try:
            return _converted(value, kind, field, texts)
        except (_Wrong, BadInput):
            continue
    raise _Wrong(" or ".join(_words(kind) for kind in others))


def _literal(value: Any, options: tuple[Any, ...], texts: bool) -> Any:
    for option in options:
        if type(option) is type(value) and option == value:
            return option
        if texts and not isinstance(option, str) and value.strip() == json.dumps(option):
            return option
    raise _Wrong(_words(Literal[options]))


def _items(value: Any, kind: Any, field: str) -> Any:
    """Return a list, or a tuple, with all items converted."""
    of = get_args(kind)
    if not isinstance(value, list):
        raise _Wrong(_words(kind))
    if get_origin(kind) is tuple and of[-1] is not ...:
        if len(of) != len(value):
            raise _Wrong(_words(kind))
        kinds: Iterable[Any] = of
    else:
        kinds = [of[0] if of else Any] * len(value)
    items = [
        _convert(each, one, f"{field}[{place}]", False)
        for place, (each, one) in enumerate(zip(value, kinds, strict=True))
    ]
    return tuple(items) if (get_origin(kind) or kind) is tuple else items


def _integer(value: Any, texts: bool) -> int:
    if texts:
        match = _INTEGER.fullmatch(value.strip())
        try:
            return int(match[1])  # type: ignore[index]
        except (TypeError, ValueError):  # no such text, or more digits than Python converts
            raise _Wrong(_words(int)) from None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Wrong(_words(int))
    return value


def _number(value: Any, texts: bool) -> float:
    if not texts and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _Wrong(_words(float))
    if texts and not _NUMBER.fullmatch(value.strip()):
        raise _Wrong("a number such as 0.5")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Wrong("a number below 1.8e308")
    return number


def _text(value: Any, _: bool) -> str:
    if not isinstance(value, str):
        raise _Wrong(_words(str))
    return value


def _truth(value: Any, texts: bool) -> bool:
    if texts:
        value = _TRUTHS.get(value.strip().lower())
    if not isinstance(value, bool):
        raise _Wrong(_words(bool))
    return value


def _none(value: Any, texts: bool) -> None:
    if not (value is None or (texts and value.strip() in ("", "null"))):
        raise _Wrong(_words(types.NoneType))


def _moment_of(kind: type[date], value: Any, _: bool) -> date:
    try:
        return kind.fromisoformat(value.strip())
    except (AttributeError, ValueError):  # it is no text, or another one
        raise _Wrong(_words(kind)) from None


_SIMPLE: dict[Any, Callable[[Any, bool], Any]] = {
    int: _integer,
    float: _number,
    str: _text,
    bool: _truth,
    types.NoneType: _none,
    None: _none,  # as in list[None]
    date: functools.partial(_moment_of, date),
    datetime: functools.partial(_moment_of, datetime),
}
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    types.NoneType: "null",
    date: "a day such as 2021-12-31",
    datetime: "a time such as 2021-12-31T23:59:00Z",
}


_EXAMPLES: dict[Any, Any] = {
    int: 1,
    float: 0.5,
    str: "text",
    bool: True,
    date: "2021-12-31",
    datetime: "2021-12-31T23:59:00Z",
}


def _words(kind: Any) -> str:
    """Return what a value of a type is called in messages."""
    origin = get_origin(kind) or kind
    if origin is Literal:
        return f"one of {', '.join(json.dumps(option) for option in get_args(kind))}"
    if origin in _UNIONS:
        return " or ".join(_words(each) for each in get_args(kind))
    if origin is tuple and get_args(kind)[-1:] != (...,):
        return f"a list of {len(get_args(kind))}"
    if origin in _LISTS or origin is tuple:
        return "a list"
    return _WORDS.get(origin, "an object")


def _shown(value: Any) -> str:
    """Return a wrong value for a message, or what it is where it is long."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def is_needed(parameter: inspect.Parameter) -> bool:
    """Return whether a text must be given for a parameter: it has no default, and cannot be None."""
    kind = parameter.annotation
    takes_none = kind is types.NoneType or (get_origin(kind) in _UNIONS and types.NoneType in get_args(kind))
    return parameter.default is parameter.empty and parameter.kind in _NAMED and not takes_none


def _is_record(kind: Any) -> bool:
    """Return whether a type is a dataclass or a named tuple, which an object in JSON can become."""
    named = isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")
    return named or (isinstance(kind, type) and dataclasses.is_dataclass(kind))


def _check_kind(kind: Any, what: str, seen: set[Any]) -> None:
    """Refuse a type that no value of JSON can become.

    Args:
        kind: the type.
        what: has this annotation, for the message.
        seen: as for ``_checked``.

    Raises:
        ConfigError: there is no way from JSON to that type.
    """
    origin = get_origin(kind) or kind
    if kind in _ANYTHING or origin in _SIMPLE:
        return
    if origin is Literal:
        inner: Iterable[Any] = [type(option) for option in get_args(kind)]
    elif _is_record(origin):
        if origin not in seen:
            seen.add(origin)
            try:
                _checked(origin, seen)
            except ConfigError as error:
                raise ConfigError(f"{what} is annotated {_name(kind)}, and {error}") from error
        return
    else:
        inner = [each for each in get_args(kind) if each is not ...]
    if origin in _OBJECTS and inner and next(iter(inner)) is not str:
        raise ConfigError(
            f"{what} is annotated {_name(kind)}, and keys of objects in JSON are texts: dict[str, …]"
        )
    known = origin in (*_UNIONS, *_LISTS, *_OBJECTS, Literal, tuple)
    if not known:
        raise ConfigError(
            f"{what} is annotated {_name(kind)}, which no value of JSON can become: use int, float, str, "
            f"bool, date, datetime, Literal, X | None, list, dict, a dataclass or a named tuple"
        )
    for each in inner:
        _check_kind(each, what, seen)


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)
