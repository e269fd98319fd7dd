"""A task's exception, from the worker to the caller: itself, its chain, and where it was raised.

The exception is pickled with the exceptions it arose from, which pickle alone would drop. Beside them
travel their tracebacks as plain fields, since frames cannot be pickled. On the caller's side each is itself
again, with a traceback that is rebuilt from them.
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
from wrenlite.serialize.traceback_stubs import Frame, rebuild

if TYPE_CHECKING:
    from traceback import TracebackException

_CHAIN = 20
"""Exceptions of one chain that travel: more than a person reads, fewer than a runaway recursion."""


_LEVELS = 25
"""Levels at either end of a traceback that travel."""


class Trace(NamedTuple):
    """The traceback of one exception."""

    frames: tuple[Frame, ...]
    summary: str
    """Type, message and notes, as Python prints them."""
    caused: bool
    """What it arose from is its ``__cause__``; otherwise its ``__context__``."""
    origin: Trace | None
    members: tuple[Trace, ...]
    """Of an exception group."""


class Link(NamedTuple):
    """An exception with what pickle drops."""

    exception: BaseException | Plain
    cause: BaseException | None
    context: BaseException | None
    suppress_context: bool


class Plain(NamedTuple):
    """An exception whose own ``__init__`` takes other arguments than ``args`` has: made without it."""

    kind: type[BaseException]
    arguments: tuple[object, ...]
    state: dict[str, object]


class RemoteFailure(NamedTuple):
    """A failed task's exception on its way home."""

    chain: Packed | None
    """Pickled ``Link``s, the exception's own first; None where it does not survive pickling."""
    trace: Trace
    process: int
    """In which it was raised."""


def pack_failure(
    error: BaseException, packer: Packer, table: Sequence[object], hide: Container[str] = ()
) -> Packed:
    """Pickle an exception so that unpickling cannot fail.

    Args:
        error: a task's exception.
        packer: packs values of the task's function.
        table: its class table, to try the unpickling here.
        hide: the modules that call tasks, whose frames at the outer end are none of theirs.
    """
    import traceback

    seen = traceback.TracebackException.from_exception(error, limit=0, compact=True)
    failure = RemoteFailure(_pack_chain(error, packer, table), _trace(error, seen, hide, _CHAIN), os.getpid())
    return packer.pack(failure)


def unpack_failure(packed: Packed, table: Sequence[object]) -> tuple[BaseException, int]:
    """The exception that was packed, or a RemoteError with its text where it cannot be rebuilt here.

    And the process in which it was raised.
    """
    failure: RemoteFailure = unpack(packed, table)
    error: BaseException | None = None
    if failure.chain is not None:
        try:
            error = _relink(unpack(failure.chain, table))
        except Exception:  # the worker could, this process cannot: a module that is missing here
            error = None
    return _retrace(error, failure.trace), failure.process


def _retrace(error: BaseException | None, trace: Trace) -> BaseException:
    """The exception with its traceback, and those of all it arose from; what did not travel is text."""
    if error is None:
        members = (line for each in trace.members for line in _lines(each))
        error = RemoteError("".join((trace.summary, *members)).strip())
    error.__traceback__ = rebuild(trace.frames)
    if trace.origin is not None and trace.caused:
        error.__cause__ = _retrace(error.__cause__, trace.origin)
    elif trace.origin is not None:
        error.__context__ = _retrace(error.__context__, trace.origin)
    if isinstance(error, BaseExceptionGroup):
        for member, lines in zip(error.exceptions, trace.members, strict=False):  # those past the limit
            _retrace(member, lines)
    return error


def _pack_chain(error: BaseException, packer: Packer, table: Sequence[object]) -> Packed | None:
    if not isinstance(error, Exception):
        return None  # KeyboardInterrupt and its like would be taken for the caller's own
    alone = Link(error, None, None, False)
    plain = alone._replace(exception=Plain(type(error), error.args, error.__dict__))
    for links in (_links(error), (alone,), (plain,)):
        try:
            packed = packer.pack(links)
            if type(_relink(unpack(packed, table))) is type(error):
                return packed
        except Exception:
            continue
    return None


def _links(error: BaseException) -> tuple[Link, ...]:
    """The exception, those it arose from, and the members of groups: each once, circles included."""
    links, seen = [], {id(error)}
    ahead = [(error, _CHAIN)]
    for each, depth in ahead:  # grows meanwhile
        if depth == 0:
            links.append(Link(each, None, None, True))
            continue
        context = None if each.__suppress_context__ else each.__context__
        links.append(Link(each, each.__cause__, context, each.__suppress_context__))
        members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        for other in (each.__cause__, context, *members):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                ahead.append((other, depth - 1))
    return tuple(links)


def _relink(links: Sequence[Link]) -> BaseException:
    whole = [_remake(link) for link in links]
    for error, (_, cause, context, suppress_context) in zip(whole, links, strict=True):
        error.__cause__, error.__context__, error.__suppress_context__ = cause, context, suppress_context
    return whole[0]


def _remake(link: Link) -> BaseException:
    error = link.exception
    if isinstance(error, Plain):
        kind, arguments, state = error
        error = kind.__new__(kind, *arguments)
        error.__dict__.update(state)
    if not isinstance(error, BaseException):
        raise TypeError(f"unpickles into {error!r}")
    return error


def _trace(error: BaseException, seen: TracebackException, hide: Container[str], depth: int) -> Trace:
    """Args:
    error: an exception.
    seen: what Python would print of it, which has no circles.
    hide: the modules whose frames at the outer end do not count.
    depth: how much of the chain is still taken.
    """
    caused = seen.__cause__ is not None
    before, view = error.__cause__, seen.__cause__
    if not caused and not seen.__suppress_context__:
        before, view = error.__context__, seen.__context__
    origin = None
    if depth and before is not None and view is not None:
        origin = _trace(before, view, hide, depth - 1)
    members: tuple[Trace, ...] = ()
    if depth and isinstance(error, BaseExceptionGroup):
        pairs = zip(error.exceptions, seen.exceptions or (), strict=False)
        members = tuple(_trace(*pair, hide, depth - 1) for pair in pairs)
    summary = "".join(seen.format_exception_only())
    return Trace(_frames(error.__traceback__, hide), summary, caused, origin, members)


def _frames(trace: TracebackType | None, hide: Container[str]) -> tuple[Frame, ...]:
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "") in hide:
        trace = trace.tb_next
    levels = []
    while trace is not None:
        levels.append(trace)
        trace = trace.tb_next
    if len(levels) <= 2 * _LEVELS:
        return tuple(map(_frame, levels))
    text = f"({len(levels) - 2 * _LEVELS} levels left out)"  # a runaway recursion
    gap = Frame("…", text, text, 1, 1, 1, -1, -1, "")
    return (*map(_frame, levels[:_LEVELS]), gap, *map(_frame, levels[-_LEVELS:]))


def _frame(trace: TracebackType) -> Frame:
    code, line = trace.tb_frame.f_code, trace.tb_lineno or 1
    place = next(islice(code.co_positions(), trace.tb_lasti // 2, None), ()) if trace.tb_lasti >= 0 else ()
    end_line, column, end_column = line, -1, -1
    if len(place) == 4 and place[0] == line and None not in place:
        end_line, column, end_column = (int(value) for value in place[1:] if value is not None)
    linecache.lazycache(code.co_filename, trace.tb_frame.f_globals)
    linecache.checkcache(code.co_filename)
    source = linecache.getline(code.co_filename, line).rstrip()
    first = code.co_firstlineno
    return Frame(
        code.co_filename, code.co_name, code.co_qualname, first, line, end_line, column, end_column, source
    )


def _lines(trace: Trace) -> Iterator[str]:
    """The traceback of a group's member that did not travel as text, as Python prints it."""
    if trace.origin:
        yield from _lines(trace.origin)
    yield "\nTraceback (most recent call last):\n"
    for frame in trace.frames:
        yield f'  File "{frame.file}", line {frame.line}, in {frame.function}\n'
        if frame.source:
            yield f"    {frame.source.strip()}\n"
    yield trace.summary
    for member in trace.members:
        yield from _lines(member)
