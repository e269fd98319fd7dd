"""The initializer of an executor: a function that each worker calls once, before its first task.

cloudpickle gives the functions of one pickle the same global variables, and those of the next pickle others.
So no task would see what the initializer sets by ``global MODEL; MODEL = load()``. Here the functions of a
job begin with a copy of the variables that the initializer has left on the worker:

- A variable that the initializer, or a function that it refers to, assigns is never sent with a job.
- Another variable is not sent either if its value is the object that the initializer refers to: the worker
  has it already, and the initializer may have changed it, as in ``CACHE["model"] = load()``.
- Functions are sent with each job, so that an edited one has its effect.

The copy belongs to the job, as all global variables of its functions do: another job does not see what they
assign. The class table of the initializer is the beginning of that of each job. So what the initializer has
made of a class of ``__main__`` is, to tasks and to the caller, an instance of their own class.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

from wrenlite.errors import FunctionNotPicklable
from wrenlite.protocol import Style
from wrenlite.serialize import rebuild
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.diagnosis import not_picklable_message
from wrenlite.serialize.functions import globals_set_in
from wrenlite.serialize.parts import Parts
from wrenlite.serialize.pickling import Call, function_name, pack_call
from wrenlite.serialize.sizes import is_picklable


class Initializer(NamedTuple):
    """An initializer as it is sent to workers."""

    name: str
    """For messages."""
    blob: bytes
    """Its ``Call``, pickled."""
    table: ClassTable
    """The class table that those of all jobs begin with."""


def as_sent(initializer: Initializer | None) -> tuple[str, Any]:
    """Return name and pickle as part of a message. The pickle, which may be large, is not copied."""
    return (initializer.name, pickle.PickleBuffer(initializer.blob)) if initializer else ("", b"")


def pack_initializer(function: Callable[..., object], args: tuple[Any, ...]) -> Initializer:
    """Pickle an initializer with its arguments and what it refers to.

    Raises:
        FunctionNotPicklable: it cannot be pickled; the message names the part that is the reason.
    """
    shared = _SharedGlobals()
    table = ClassTable(grows=True)
    table.share_globals = shared.collect
    name = function_name(function)
    try:
        blob = pack_call(Call(function, args, {}, Style.CALL), table)
    except FunctionNotPicklable as error:
        if is_picklable(args):
            raise
        text = not_picklable_message(
            "initargs=", Parts({"initargs": args}), error, owner=f"the initializer {name}"
        )
        raise FunctionNotPicklable(text) from error
    table.share_globals = shared.leave_out
    table.initializer = function, args, blob
    return Initializer(name, blob, table)


def is_as_sent(table: ClassTable) -> bool:
    """Return whether an initializer would be pickled now as it was: it, and what it refers to, is the same.

    Args:
        table: its class table.
    """
    if table.initializer is None:
        return False
    function, args, blob = table.initializer
    return pack_initializer(function, args).blob == blob


class _Variables:
    """The global variables of a module, or of ``__main__``, that the initializer refers to."""

    def __init__(self, number: int, own: dict[str, Any], base: dict[str, Any]) -> None:
        self.number = number
        self.own = own  # kept alive: an id is a valid key only while its object lives
        self.base = base
        self.sent: dict[str, object] = {}
        self.assigned: set[str] = set()

    def __reduce__(self) -> Any:
        return rebuild.shared_globals, (self.number, self.base)

    def is_on_worker(self, name: str, value: object) -> bool:
        """Return whether the functions of a job take a variable as the initializer has left it."""
        if name in self.assigned:
            return True
        return name in self.sent and self.sent[name] is value and not isinstance(value, FunctionType)


class _SharedGlobals:
    """Changes how cloudpickle pickles functions: where their global variables come from, and which."""

    def __init__(self) -> None:
        self._found: dict[int, _Variables] = {}

    def collect(self, reduction: Any, function: FunctionType) -> Any:
        """Return how to pickle a function that the initializer refers to, and remember its variables."""
        _, (_, base, *_), (_, slots), *_ = reduction
        own = function.__globals__
        variables = self._found.setdefault(id(own), _Variables(len(self._found), own, base))
        variables.sent.update(slots["__globals__"])
        variables.assigned |= globals_set_in(function.__code__)
        return _with_globals(reduction, variables, slots["__globals__"])

    def leave_out(self, reduction: Any, function: FunctionType) -> Any:
        """Return how to pickle a function of a job: without the variables that are on the workers."""
        variables = self._found.get(id(function.__globals__))
        if variables is None:
            return reduction
        _, _, (_, slots), *_ = reduction
        used = slots["__globals__"].items()
        sent = {name: value for name, value in used if not variables.is_on_worker(name, value)}
        return _with_globals(reduction, variables, sent)


def _with_globals(reduction: Any, variables: _Variables, sent: dict[str, Any]) -> Any:
    """Return cloudpickle's reduction of a function with other global variables.

    Args:
        reduction: a function that makes one, its arguments (code, what its variables begin with, and further
            ones), and its state.
        variables: what its variables begin with.
        sent: those that are sent with it.
    """
    make, (code, _, *others), (state, slots), *rest = reduction
    return make, (code, variables, *others), (state, {**slots, "__globals__": sent}), *rest
