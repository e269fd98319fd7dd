"""A task's exception on its way from the worker to the caller, with its chain and its tracebacks.

An exception is pickled together with its causes and contexts, which pickle alone would drop. Frames cannot be
pickled, so the tracebacks travel beside the exceptions as plain records. On the caller's side the exceptions
are linked again, and each gets a traceback that is rebuilt from its record.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Container, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from wrenlite.errors import RemoteError
from wrenlite.protocol import Packed
from wrenlite.serialize.pickling import Packer, unpack
from wrenlite.serialize.traceback_stubs import Frame, rebuild_traceback
from wrenlite.texts import counted

if TYPE_CHECKING:
    from traceback import TracebackException

_CHAIN_LENGTH = 20
"""The most exceptions of one chain that are sent: more than a person reads, but fewer than a runaway
recursion may have."""

_LEVELS = 25
"""The most levels that are sent of either end of a traceback."""

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
    """An exception with the attributes that pickle drops."""

    exception: BaseException | ExceptionState
    cause: BaseException | None
    context: BaseException | None
    suppress_context: bool


class ExceptionState(NamedTuple):
    """The state of an exception whose ``__init__`` does not accept its ``args``.

    Pickle would rebuild such an exception by ``__init__`` and fail. With this record it is rebuilt by
    ``__new__``.
    """

    kind: type[BaseException]
    arguments: tuple[object, ...]
    state: dict[str, object]


class RemoteFailure(NamedTuple):
    """The exception of a failed task, as it is sent to the caller."""

    chain: Packed | None
    """Pickled ``ChainLink`` records, that of the task's exception first; None: they cannot be pickled."""
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
    return packer.pack(failure)


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
    if failure.chain is not None:
        try:
            error = _restore_chain(unpack(failure.chain, table))
        except Exception:  # it worked on the worker: a module is missing in this process
            error = None
    restored = _with_traceback(error, failure.trace)
    if error is None:
        restored.add_note(_REMOTE_ERROR_NOTE)
    return restored, failure.process


def _with_traceback(error: BaseException | None, trace: TraceRecord) -> BaseException:
    """Give an exception and those of its chain their tracebacks; where there is none, make a RemoteError."""
    if error is None:
        members = (line for member in trace.members for line in _printed_lines(member))
        error = RemoteError("".join((trace.summary, *members)).strip())
    error.__traceback__ = rebuild_traceback(trace.frames)
    if trace.origin is not None and trace.caused:
        error.__cause__ = _with_traceback(error.__cause__, trace.origin)
    elif trace.origin is not None:
        error.__context__ = _with_traceback(error.__context__, trace.origin)
    if isinstance(error, BaseExceptionGroup):
        # Members past the limits have no record.
        for member, record in zip(error.exceptions, trace.members, strict=False):
            _with_traceback(member, record)
    return error


def _pack_chain(error: BaseException, packer: Packer, table: Sequence[object]) -> Packed | None:
    """Pickle as much of the chain as can be unpickled: all of it, the exception alone, or its bare state."""
    if not isinstance(error, Exception):
        return None  # a KeyboardInterrupt or the like would be mistaken for the caller's own
    alone = ChainLink(error, None, None, False)
    bare = alone._replace(exception=ExceptionState(type(error), error.args, error.__dict__))
    for links in (_chain_links(error), (alone,), (bare,)):
        try:
            packed = packer.pack(links)
            if type(_restore_chain(unpack(packed, table))) is type(error):
                return packed
        except Exception:
            continue
    return None


def _chain_links(error: BaseException) -> tuple[ChainLink, ...]:
    """Return the exception, its causes and contexts and the members of groups, each once even in a cycle."""
    links, seen = [], {id(error)}
    queue = [(error, _CHAIN_LENGTH)]
    for each, depth in queue:  # the queue grows during the loop
        if depth == 0:
            links.append(ChainLink(each, None, None, True))
            continue
        context = None if each.__suppress_context__ else each.__context__
        links.append(ChainLink(each, each.__cause__, context, each.__suppress_context__))
        members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        for other in (each.__cause__, context, *members):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                queue.append((other, depth - 1))
    return tuple(links)


def _restore_chain(links: Sequence[ChainLink]) -> BaseException:
    errors = [_restore_exception(link) for link in links]
    for error, (_, cause, context, suppress_context) in zip(errors, links, strict=True):
        error.__cause__, error.__context__, error.__suppress_context__ = cause, context, suppress_context
    return errors[0]


def _restore_exception(link: ChainLink) -> BaseException:
    error = link.exception
    if isinstance(error, ExceptionState):
        kind, arguments, state = error
        error = kind.__new__(kind, *arguments)
        error.__dict__.update(state)
    if not isinstance(error, BaseException):
        raise TypeError(f"an exception was unpickled as {error!r}")
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
    """Return the levels of a traceback; of a very long one only the first and the last."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "") in hidden_modules:
        trace = trace.tb_next
    levels = []
    while trace is not None:
        levels.append(trace)
        trace = trace.tb_next
    if len(levels) <= 2 * _LEVELS:
        return tuple(map(_frame, levels))
    text = f"({counted(len(levels) - 2 * _LEVELS, 'level')} left out)"  # of an endless recursion
    gap = Frame("…", text, text, 1, 1, 1, -1, -1, "")
    return (*map(_frame, levels[:_LEVELS]), gap, *map(_frame, levels[-_LEVELS:]))


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
        yield f'  File "{frame.file}", line {frame.line}, in {frame.function}\n'
        if frame.source:
            yield f"    {frame.source.strip()}\n"
    yield trace.summary
    for member in trace.members:
        yield from _printed_lines(member)
