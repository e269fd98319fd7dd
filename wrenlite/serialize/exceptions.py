"""A task's exception on its way from the worker to the caller, with its chain and its tracebacks.

An exception is pickled together with its causes and contexts, which pickle alone would drop. Frames cannot be
pickled, so the tracebacks travel beside the exceptions as plain records. On the caller's side the exceptions
are linked again, and each gets a traceback that is rebuilt from its record.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Callable, Container, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from wrenlite.errors import RemoteError, TaskError
from wrenlite.protocol import NOTHING, Outcome, Packed
from wrenlite.serialize.exception_state import ExceptionState, fill_exception, make_exception, state_of
from wrenlite.serialize.pickling import Packer, unpack
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.traceback_stubs import Frame, rebuild_traceback
from wrenlite.texts import counted

if TYPE_CHECKING:
    from traceback import TracebackException

_CHAIN_LENGTH = 20
"""The most exceptions of one chain that are sent: more than a person reads, but fewer than a runaway
recursion may have."""

_LEVELS = 25
"""The most levels that are sent of either end of a traceback."""
_GAP = "…"
"""The file name of a level that stands for levels that were left out."""

_REMOTE_ERROR_NOTE = (
    "wrenlite: this RemoteError stands for the task's own exception, which cannot be rebuilt here: something "
    "in it cannot be pickled, its class cannot be imported here, or it is not an Exception"
)


class TraceRecord(NamedTuple):
    """The traceback of one exception, and those of the exceptions that it comes from."""

    frames: tuple[Frame, ...]
    summary: str
    """Type, message and notes, as Python prints them."""
    caused: bool
    """Whether ``origin`` belongs to the ``__cause__`` of the exception; otherwise to its ``__context__``."""
    origin: TraceRecord | None
    members: tuple[TraceRecord, ...]
    """The records of the members of an exception group."""


class ChainLink(NamedTuple):
    """An exception with what pickle drops of it. Other exceptions are given by their place in the chain."""

    exception: BaseException | Packed
    """The exception; or a pickle of its own, of the exception, its ``ExceptionState`` or a RemoteError."""
    cause: int | None
    context: int | None
    suppress_context: bool
    members: tuple[int, ...]
    """The members of an exception group."""


class RemoteFailure(NamedTuple):
    """The exception of a failed task, as it is sent to the caller."""

    chain: Packed
    """Pickled ``ChainLink`` records, that of the task's exception first."""
    trace: TraceRecord
    process: int
    """The id of the process that raised the exception."""


def pack_failure(
    error: BaseException, packer: Packer, table: Sequence[object], hidden_modules: Container[str] = ()
) -> Packed:
    """Pickle an exception so that its unpickling cannot fail.

    Args:
        error: the exception of a task.
        packer: the packer for values of the task's function.
        table: the class table of that function. With it the unpickling is tried out here.
        hidden_modules: modules that call tasks. Their frames at the outer end of a traceback are left out.
    """
    import traceback

    printed = traceback.TracebackException.from_exception(error, limit=0, compact=True)
    trace = _trace_record(error, printed, hidden_modules, _CHAIN_LENGTH)
    failure = RemoteFailure(_pack_chain(error, packer, table), trace, os.getpid())
    return packer.pickle(failure)


def unpack_failure(packed: Packed, table: Sequence[object]) -> tuple[BaseException, int]:
    """Unpickle the exception of a task.

    Args:
        packed: what ``pack_failure`` returned.
        table: the class table of the job.

    Returns:
        The exception, and the id of the process that raised it. If the exception cannot be rebuilt in this
        process, it is a RemoteError with its text.
    """
    failure: RemoteFailure = unpack(packed, table)
    error: BaseException | None = None
    try:
        error = _restore_chain(unpack(failure.chain, table), table)[0]
    except BaseException as problem:  # it worked on the worker: a module is missing in this process
        raise_if_interrupting(problem)
    restored = _with_traceback(error, failure.trace)
    if error is None:
        restored.add_note(_REMOTE_ERROR_NOTE)
    return restored, failure.process


def failure_text(failure: Outcome | TaskError) -> str:
    """Return the type and the message of a task's failure; empty where they cannot be read.

    Args:
        failure: what its worker has reported, or the error that was made here.
    """
    if not isinstance(failure, Outcome):
        return f"{type(failure).__name__}: {failure}"
    if failure.packed is NOTHING or not isinstance(failure.packed, Packed):
        return ""
    try:
        return failure_summary(failure.packed).removeprefix(f"{TaskError.__module__}.")
    except Exception:  # whoever asks for the exception is told why
        return ""


def failure_summary(packed: Packed) -> str:
    """Return the type, message and notes of a task's exception, without unpickling the exception itself.

    Args:
        packed: what ``pack_failure`` returned.
    """
    failure: RemoteFailure = unpack(packed, ())
    return failure.trace.summary.strip()


def _with_traceback(error: BaseException | None, trace: TraceRecord) -> BaseException:
    """Give an exception and those of its chain their tracebacks; where there is none, make a RemoteError."""
    if error is None:
        members = (line for member in trace.members for line in _printed_lines(member))
        error = RemoteError("".join((trace.summary, *members)).strip())
    error.__traceback__ = rebuild_traceback([frame for frame in trace.frames if frame.file != _GAP])
    for gap in trace.frames:
        if gap.file == _GAP:
            error.add_note(f"wrenlite: {gap.function}")
    if trace.origin is not None and trace.caused:
        error.__cause__ = _with_traceback(error.__cause__, trace.origin)
    elif trace.origin is not None:
        error.__context__ = _with_traceback(error.__context__, trace.origin)
    if isinstance(error, BaseExceptionGroup):
        # Members past the limits have no record.
        for member, record in zip(error.exceptions, trace.members, strict=False):
            _with_traceback(member, record)
    return error


def _pack_chain(error: BaseException, packer: Packer, table: Sequence[object]) -> Packed:
    """Pickle an exception with its chain: all at once where that can be unpickled, or else one by one.

    Args:
        error: the exception.
        packer: the packer for values of the task's function.
        table: the class table of that function. With it the unpickling is tried out here.

    Returns:
        Pickled ``ChainLink`` records, that of the exception first.
    """

    def looks(restored: object) -> list[object]:
        return [_look(each) for each in _restore_chain(restored, table)]

    links = _chain_links(error)
    packed = None
    if isinstance(error, Exception):
        packed = _pack_checked(links, packer, table, looks, [_look(link.exception) for link in links])
    if packed is None:
        alone = (link._replace(exception=_pack_alone(link, packer, table)) for link in links)
        packed = packer.pickle(tuple(alone))
    return packed


def _look(error: object) -> tuple[object, ...]:
    """Return what a copy of an exception must have in common with it."""
    try:
        text = str(error)
    except Exception as problem:
        raise_if_interrupting(problem)
        text = ""
    return _kind(error), text, sorted(vars(error))


def _kind(obj: object) -> tuple[str, str]:
    """Return the name of an object's class: a class that a task has made is another one in each copy."""
    return type(obj).__module__, type(obj).__qualname__


def _pack_checked(
    obj: Any, packer: Packer, table: Sequence[object], look: Callable[[Any], object], expected: object
) -> Packed | None:
    """Pickle an object; None where it cannot be pickled, or its copy does not look as expected.

    Args:
        obj: an object.
        packer: the packer for values of the task's function.
        table: the class table of that function.
        look: looks at the copy.
        expected: what ``look`` must return.
    """
    try:
        packed = packer.pickle(obj)
        if look(unpack(packed, table)) == expected:
            return packed
    except BaseException as error:  # of the object's own code
        raise_if_interrupting(error)
    return None


def _pack_alone(link: ChainLink, packer: Packer, table: Sequence[object]) -> Packed:
    """Pickle one exception of a chain: as it is, or what can be sent of its state, or its text."""
    error = link.exception
    assert isinstance(error, BaseException)
    if not isinstance(error, Exception):  # a KeyboardInterrupt would be mistaken for the caller's own
        return packer.pickle(_remote_error(error))
    state, left_out = _state_to_send(error, packer, table)

    def look(copy: object) -> tuple[object, ...]:
        return _look(copy)[:2] if left_out else _look(copy)

    def look_at_restored(copy: ExceptionState) -> tuple[str, str]:
        return _kind(_restore_state(copy, members))

    members = [ValueError()] * len(link.members)
    packed = None
    if not members:
        packed = _pack_checked(error, packer, table, look, look(error))
    if packed is None:
        packed = _pack_checked(state, packer, table, look_at_restored, _kind(error))
    return packed or packer.pickle(_remote_error(error))


def _state_to_send(
    error: BaseException, packer: Packer, table: Sequence[object]
) -> tuple[ExceptionState, list[str]]:
    """Return the state of an exception without what cannot be sent, and the names of what was left out.

    The state of a group has no members, since they are sent one by one.
    """

    def can_be_sent(part: object) -> bool:
        return _pack_checked(part, packer, table, _kind, _kind(part)) is not None

    state = state_of(error)
    arguments = state.arguments
    if isinstance(error, BaseExceptionGroup):
        arguments = (arguments[0], *arguments[2:])
    arguments = tuple(each if can_be_sent(each) else str(each) for each in arguments)
    fields = {name: value for name, value in state.fields.items() if can_be_sent(value)}
    attributes = {name: value for name, value in state.attributes.items() if can_be_sent(value)}
    left_out = [name for name in (*state.fields, *state.attributes) if name not in fields | attributes]
    if left_out:
        note = f"wrenlite: without its attributes {', '.join(left_out)}, which cannot be pickled"
        attributes["__notes__"] = [*getattr(error, "__notes__", ()), note]
    return ExceptionState(type(error), arguments, fields, attributes), left_out


def _remote_error(error: BaseException) -> RemoteError:
    """Return the error that stands for an exception of which only the text can be sent."""
    import traceback

    remote = RemoteError("".join(traceback.format_exception_only(error)).strip())
    remote.add_note(_REMOTE_ERROR_NOTE)
    return remote


def _chain_links(error: BaseException) -> tuple[ChainLink, ...]:
    """Return the exception, its causes and contexts and the members of groups, each once even in a cycle."""
    places = {id(error): 0}
    queue = [(error, _CHAIN_LENGTH)]
    links = []

    def place(other: BaseException | None, depth: int) -> int | None:
        if other is None or (depth == 0 and id(other) not in places):
            return None
        if id(other) not in places:
            places[id(other)] = len(queue)
            queue.append((other, depth - 1))
        return places[id(other)]

    for each, depth in queue:  # the queue grows during the loop
        context = None if each.__suppress_context__ else each.__context__
        cause_at, context_at = place(each.__cause__, depth), place(context, depth)
        group = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        # Members are part of a group: there is no group without them.
        members = tuple(at for member in group if (at := place(member, max(depth, 1))) is not None)
        links.append(ChainLink(each, cause_at, context_at, each.__suppress_context__, members))
    return tuple(links)


def _restore_chain(links: Any, table: Sequence[object]) -> list[BaseException]:
    """Return the exceptions of a chain, linked again."""
    restored: dict[int, BaseException] = {}

    def restore(place: int) -> BaseException:
        if place not in restored:
            error = links[place].exception
            members = [restore(member) for member in links[place].members]
            restored[place] = _restore_one(error, members, table)
        return restored[place]

    errors = [restore(place) for place in range(len(links))]
    for error, (_, cause, context, suppress_context, _) in zip(errors, links, strict=True):
        error.__cause__ = None if cause is None else errors[cause]
        error.__context__ = None if context is None else errors[context]
        error.__suppress_context__ = suppress_context
    return errors


def _restore_one(
    error: BaseException | Packed, members: Sequence[BaseException], table: Sequence[object]
) -> BaseException:
    """Return an exception from what was sent of it.

    Args:
        error: the ``exception`` of a ``ChainLink``.
        members: the members of an exception group.
        table: the class table that its pickle refers to.
    """
    obj = unpack(error, table) if isinstance(error, Packed) else error
    if isinstance(obj, ExceptionState):
        obj = _restore_state(obj, members)
    if not isinstance(obj, BaseException):
        raise TypeError(f"an exception was unpickled as {obj!r}")
    return obj


def _restore_state(state: ExceptionState, members: Sequence[BaseException]) -> BaseException:
    kind, arguments, fields, attributes = state
    if members:
        arguments = (arguments[0], list(members), *arguments[1:])
    error = make_exception(kind, arguments)
    fill_exception(error, (fields, attributes))
    return error


def _trace_record(
    error: BaseException, printed: TracebackException, hidden_modules: Container[str], depth: int
) -> TraceRecord:
    """Return the record of an exception's traceback, with those of its chain.

    Args:
        error: the exception.
        printed: what Python would print of it. Unlike the chain of exceptions, this has no cycles.
        hidden_modules: modules whose frames at the outer end are left out.
        depth: how many further exceptions of the chain are included.
    """
    caused = printed.__cause__ is not None
    origin_error, origin_printed = error.__cause__, printed.__cause__
    if not caused and not printed.__suppress_context__:
        origin_error, origin_printed = error.__context__, printed.__context__
    origin = None
    if depth and origin_error is not None and origin_printed is not None:
        origin = _trace_record(origin_error, origin_printed, hidden_modules, depth - 1)
    members: tuple[TraceRecord, ...] = ()
    if depth and isinstance(error, BaseExceptionGroup):
        pairs = zip(error.exceptions, printed.exceptions or (), strict=False)
        members = tuple(_trace_record(*pair, hidden_modules, depth - 1) for pair in pairs)
    summary = "".join(printed.format_exception_only())
    return TraceRecord(_frames(error.__traceback__, hidden_modules), summary, caused, origin, members)


def _frames(trace: TracebackType | None, hidden_modules: Container[str]) -> tuple[Frame, ...]:
    """Return the levels of a traceback; of a very long one, the first and the last that do not repeat."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "") in hidden_modules:
        trace = trace.tb_next
    levels = []
    while trace is not None:
        levels.append(trace)
        trace = trace.tb_next
    if len(levels) <= 2 * _LEVELS:
        return tuple(map(_frame, levels))
    # Of an endless recursion, each line once.
    shown = list({(level.tb_frame.f_code, level.tb_lineno): level for level in levels}.values())
    frames = [*map(_frame, shown[:_LEVELS]), *map(_frame, shown[_LEVELS:][-_LEVELS:])]
    left_out = f"{counted(len(levels) - len(frames), 'level')} left out of this traceback"
    return (*frames, Frame(_GAP, left_out, left_out, 1, 1, 1, -1, -1, ""))


def _frame(trace: TracebackType) -> Frame:
    code, line = trace.tb_frame.f_code, trace.tb_lineno or 1
    instruction = trace.tb_lasti // 2
    position = next(islice(code.co_positions(), instruction, None), ()) if trace.tb_lasti >= 0 else ()
    end_line, column, end_column = line, -1, -1
    if len(position) == 4 and position[0] == line and None not in position:
        end_line, column, end_column = (int(value) for value in position[1:] if value is not None)
    linecache.lazycache(code.co_filename, trace.tb_frame.f_globals)
    linecache.checkcache(code.co_filename)
    return Frame(
        file=code.co_filename,
        function=code.co_name,
        qualified_name=code.co_qualname,
        first_line=code.co_firstlineno,
        line=line,
        end_line=end_line,
        column=column,
        end_column=end_column,
        source=linecache.getline(code.co_filename, line).rstrip(),
    )


def _printed_lines(trace: TraceRecord) -> Iterator[str]:
    """Yield, as Python prints it, the traceback of a group's member that could not be rebuilt."""
    if trace.origin:
        yield from _printed_lines(trace.origin)
    yield "\nTraceback (most recent call last):\n"
    for frame in trace.frames:
        if frame.file == _GAP:
            yield f"  {frame.function}\n"
            continue
        yield f'  File "{frame.file}", line {frame.line}, in {frame.function}\n'
        if frame.source:
            yield f"    {frame.source.strip()}\n"
    yield trace.summary
    for member in trace.members:
        yield from _printed_lines(member)
