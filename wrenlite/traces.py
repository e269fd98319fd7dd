"""A task's exception, from the worker to the caller: itself, its chain, and where it was raised.

The exception is pickled with the exceptions it arose from, which pickle alone would drop. Beside it
travels its traceback as plain text fields, since frames cannot be pickled. On the caller's side the
exception is itself again, with a ``RemoteTraceback`` at the root of its chain of causes; source lines
that the worker could not see (a notebook's cells) are filled in there.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from wrenlite.codec import Packer, unpack
from wrenlite.errors import RemoteError
from wrenlite.protocol import Packed

if TYPE_CHECKING:
    from traceback import TracebackException

_CHAIN = 20
"""Exceptions of one chain that travel: more than a person reads, fewer than a runaway recursion."""


_LEVELS = 25
"""Levels at either end of a traceback that travel."""


class Frame(NamedTuple):
    """One level of a traceback."""

    file: str
    line: int
    function: str
    source: str
    """The line of source; empty where the worker could not read it."""


class Trace(NamedTuple):
    """The traceback of one exception."""

    frames: tuple[Frame, ...]
    summary: str
    """Type, message and notes, as Python prints them."""
    joint: str
    """The sentence between the exception it arose from and this one; empty where there is none."""
    origin: Trace | None
    members: tuple[Trace, ...]
    """Of an exception group."""


class Link(NamedTuple):
    """An exception with what pickle drops."""

    exception: BaseException | Plain
    cause: Link | None
    context: Link | None
    suppress_context: bool


class Plain(NamedTuple):
    """An exception whose own ``__init__`` takes other arguments than ``args`` has: made without it."""

    kind: type[BaseException]
    arguments: tuple[object, ...]
    state: dict[str, object]


class RemoteFailure(NamedTuple):
    """A failed task's exception on its way home."""

    chain: Packed | None
    """A pickled ``Link``; None where the exception does not survive pickling."""
    trace: Trace


class RemoteTraceback(Exception):
    """Where on the worker an exception was raised. Its text is the traceback."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def pack_failure(error: BaseException, packer: Packer, table: Sequence[object], hide: int = 0) -> Packed:
    """Pickle an exception so that unpickling cannot fail.

    Args:
        error: a task's exception.
        packer: packs values of the task's function.
        table: its class table, to try the unpickling here.
        hide: how many of the outermost frames are wrenlite's own.
    """
    import traceback

    for _ in range(hide):
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next
    trace = _trace(traceback.TracebackException.from_exception(error, compact=True), _CHAIN)
    return packer.pack(RemoteFailure(_pack_chain(error, packer, table), trace))


def unpack_failure(packed: Packed, table: Sequence[object]) -> BaseException:
    """The exception that was packed, or a RemoteError with its text where it cannot be rebuilt here."""
    failure: RemoteFailure = unpack(packed, table)
    text = "".join(_lines(failure.trace))
    error: BaseException | None = None
    if failure.chain is not None:
        try:
            error = _relink(unpack(failure.chain, table))
        except Exception:  # the worker could, this process cannot: a module that is missing here
            error = None
    if error is None:
        error = RemoteError(failure.trace.summary.strip())
    root = error
    seen = {id(root)}
    while root.__cause__ is not None and id(root.__cause__) not in seen:  # `raise e from e` is a circle
        root = root.__cause__
        seen.add(id(root))
    root.__cause__ = RemoteTraceback(text)
    return error


def _pack_chain(error: BaseException, packer: Packer, table: Sequence[object]) -> Packed | None:
    if not isinstance(error, Exception):
        return None  # KeyboardInterrupt and its like would be taken for the caller's own
    plain = Plain(type(error), error.args, error.__dict__)
    for link in (_link(error, _CHAIN), Link(error, None, None, False), Link(plain, None, None, False)):
        try:
            packed = packer.pack(link)
            if type(_relink(unpack(packed, table))) is type(error):
                return packed
        except Exception:
            continue
    return None


def _link(error: BaseException | None, depth: int) -> Link | None:
    if error is None or depth == 0:
        return None
    cause = _link(error.__cause__, depth - 1)
    context = None if error.__suppress_context__ else _link(error.__context__, depth - 1)
    return Link(error, cause, context, error.__suppress_context__)


def _relink(link: Link) -> BaseException:
    error = link.exception
    if isinstance(error, Plain):
        kind, arguments, state = error
        error = kind.__new__(kind, *arguments)
        error.__dict__.update(state)
    if not isinstance(error, BaseException):
        raise TypeError(f"unpickles into {error!r}")
    error.__cause__ = _relink(link.cause) if link.cause else None
    error.__context__ = _relink(link.context) if link.context else None
    error.__suppress_context__ = link.suppress_context
    return error


def _trace(seen: TracebackException, depth: int) -> Trace:
    joint, origin = "", None
    if seen.__cause__ is not None:
        joint, origin = "The above exception was the direct cause of the following exception", seen.__cause__
    elif seen.__context__ is not None and not seen.__suppress_context__:
        joint, origin = "During handling of the above exception, another exception occurred", seen.__context__
    frames = [Frame(f.filename, f.lineno or 0, f.name, f.line or "") for f in seen.stack]
    if len(frames) > 2 * _LEVELS:  # a runaway recursion
        gap = Frame("…", 0, f"({len(frames) - 2 * _LEVELS} levels left out)", "")
        frames = [*frames[:_LEVELS], gap, *frames[-_LEVELS:]]
    return Trace(
        tuple(frames),
        "".join(seen.format_exception_only()),
        joint,
        _trace(origin, depth - 1) if origin and depth else None,
        tuple(_trace(member, depth - 1) for member in seen.exceptions or () if depth),
    )


def _lines(trace: Trace, indent: str = "") -> Iterator[str]:
    """The traceback as Python prints it."""
    if trace.origin:
        yield from _lines(trace.origin, indent)
        yield f"\n{indent}{trace.joint}:\n\n"
    yield f"{indent}Traceback (most recent call last):\n"
    for frame in trace.frames:
        yield f'{indent}  File "{frame.file}", line {frame.line}, in {frame.function}\n'
        source = frame.source or linecache.getline(frame.file, frame.line).strip()
        if source:
            yield f"{indent}    {source}\n"
    for line in trace.summary.splitlines():
        yield f"{indent}{line}\n"
    for number, member in enumerate(trace.members, 1):
        yield f"{indent}  ---- {number} ----\n"
        yield from _lines(member, indent + "    ")
