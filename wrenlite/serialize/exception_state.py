"""How exceptions are pickled: by their state, so that unpickling calls no code of their classes.

Plain pickle rebuilds an exception by calling its class with ``args``. Most classes of exceptions that people
write take other arguments than that, so that the call fails, or gives the message twice, as
``super().__init__(f"bad {n}")`` does.
"""

from __future__ import annotations

import copyreg
from types import MemberDescriptorType
from typing import Any, NamedTuple

_HEAP_TYPE = 1 << 9
"""Set in ``__flags__`` of every class that is written in Python (``Py_TPFLAGS_HEAPTYPE``)."""

_PICKLE_METHODS = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__")


class ExceptionState(NamedTuple):
    """The state of an exception."""

    kind: type[BaseException]
    arguments: tuple[Any, ...]
    """Its ``args``; of a group: the message, its members, and further arguments."""
    fields: dict[str, object]
    """Attributes that are not in its ``__dict__``, such as ``filename`` of an OSError, or ``__slots__``."""
    attributes: dict[str, object]
    """Its ``__dict__``."""


def state_of(error: BaseException) -> ExceptionState:
    """Return the state of an exception."""
    arguments: tuple[Any, ...] = error.args
    if isinstance(error, BaseExceptionGroup):
        arguments = (error.message, list(error.exceptions), *arguments[2:])
    attributes = dict(vars(error))
    if not isinstance(notes := attributes.get("__notes__", []), list):  # a list is what add_note needs
        attributes["__notes__"] = [*notes] if isinstance(notes, tuple) else []
    return ExceptionState(type(error), arguments, _fields(error), attributes)


def reduce_exception(error: BaseException) -> Any:
    """Return how to pickle an exception; NotImplemented: as its class says, or as pickle does."""
    kind = type(error)
    own = [base for base in kind.__mro__ if base.__flags__ & _HEAP_TYPE]
    if kind in copyreg.dispatch_table or any(name in vars(base) for base in own for name in _PICKLE_METHODS):
        return NotImplemented
    state = state_of(error)
    if not (own or state.fields or state.attributes or len(state.arguments) != len(error.args)):
        return NotImplemented
    return make_exception, (kind, state.arguments), state[2:], None, None, fill_exception


def make_exception(kind: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    """Make an exception by what is written in C of its class.

    Args:
        kind: its class.
        arguments: see ``ExceptionState``.
    """
    base: Any = kind
    while base.__flags__ & _HEAP_TYPE:
        base = base.__base__
    used = arguments[:2] if issubclass(kind, BaseExceptionGroup) else arguments
    error: BaseException = base.__new__(kind, *used)
    base.__init__(error, *used)
    if len(used) < len(arguments):
        error.args = arguments
    return error


def fill_exception(error: BaseException, state: tuple[dict[str, object], dict[str, object]]) -> None:
    """Set the fields and attributes of an exception, past a ``__setattr__`` of its class."""
    fields, attributes = state
    for name, value in fields.items():
        object.__setattr__(error, name, value)
    error.__dict__.update(attributes)


def _fields(error: BaseException) -> dict[str, object]:
    found = {}
    for base in type(error).__mro__:
        for name, member in vars(base).items() if base is not BaseExceptionGroup else ():
            # The object that an AttributeError is about may be anything; Python does not pickle it either.
            if isinstance(member, MemberDescriptorType) and not name.startswith("__") and name != "obj":
                value = getattr(error, name, None)
                if value is not None:
                    found[name] = value
    return found
