"""Tracebacks rebuilt from the frames that a worker sent, without wrenlite's own frames.

A traceback needs frames, and a frame needs code. So for each level there is a stub: code that does nothing,
but has the file name, the lines and the names of the worker's code. Every tool that shows tracebacks (Python,
IPython, pytest, pdb) reads the source lines from the caller's files and cells. No code of the user runs for
this.
"""

from __future__ import annotations

import functools
import linecache
import opcode
from collections.abc import Callable, Container, Iterator, Sequence
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Frame(NamedTuple):
    """One level of a traceback."""

    file: str
    function: str
    qualified_name: str
    """The name of the function, preceded by the names of the classes and functions that it is defined in."""
    first_line: int
    """The line on which the function begins. Tools that show the whole function need it."""
    line: int
    end_line: int
    column: int
    """Where on the line the failed expression begins; -1 where that is not known."""
    end_column: int
    source: str
    """The text of the line with its indentation; empty where the worker could not read it."""


_GLOBALS: dict[str, Any] = {"__name__": "wrenlite.worker.main"}
"""The globals of all stubs. A frame with these globals is recognised as a stub."""


def rebuild_traceback(frames: Sequence[Frame]) -> TracebackType | None:
    """Return a traceback with these levels, the outermost first; None where there are none."""
    trace = None
    for frame in reversed(frames):
        code = _stub_code(_with_source_as_it_ran(frame)._replace(source=""))
        # The frame of a generator has no outer frame. That of a call would keep the caller's variables alive.
        stub = FunctionType(code, _GLOBALS)().gi_frame
        trace = TracebackType(trace, stub, 0, frame.line)
    return trace


def _with_source_as_it_ran(frame: Frame) -> Frame:
    """Return the frame under another file name if the caller's file has another text on its line.

    Under that name ``linecache`` holds the line that ran on the worker.
    """
    if not frame.source:
        return frame
    linecache.checkcache(frame.file)
    if linecache.getline(frame.file, frame.line).rstrip() == frame.source:
        return frame
    name = f"{frame.file} (on the worker)"
    known = linecache.cache.get(name)
    lines = list(known[2]) if known and len(known) > 1 else []
    lines += ["\n"] * (frame.line - len(lines))
    lines[frame.line - 1] = f"{frame.source}\n"
    # The modification time is None, so that linecache does not look for a file of this name.
    linecache.cache[name] = (sum(map(len, lines)), None, lines, name)
    if frame.end_line == frame.line:
        return frame._replace(file=name)
    return frame._replace(file=name, end_line=frame.line, column=-1, end_column=-1)  # only one line is known


def _stub_generator() -> Iterator[None]:
    yield


@functools.lru_cache(512)
def _stub_code(frame: Frame) -> CodeType:
    """Return the code of a generator all of whose instructions are located at the failed expression."""
    return _stub_generator.__code__.replace(
        co_filename=frame.file,
        co_name=frame.function,
        co_qualname=frame.qualified_name,
        co_firstlineno=frame.first_line,
        co_linetable=_location_table(frame, len(_stub_generator.__code__.co_code) // 2),
    )


def _location_table(frame: Frame, units: int) -> bytes:
    """Return the location table of a stub, in CPython's format (``Objects/locations.md`` of version 3.11).

    Args:
        frame: all code units are located at its failed expression.
        units: the number of code units.
    """
    table, previous_line = bytearray(), frame.first_line
    for start in range(0, units, 8):  # one entry covers at most 8 code units
        delta, previous_line = frame.line - previous_line, frame.line
        form = 13 if frame.column < 0 else 14  # 13: no columns; 14: the long form, with columns
        table.append(0x80 | form << 3 | min(8, units - start) - 1)
        table.extend(_varint(abs(delta) << 1 | (delta < 0)))
        if form == 14:
            for number in (frame.end_line - frame.line, frame.column + 1, frame.end_column + 1):
                table.extend(_varint(number))
    return bytes(table)


def _varint(number: int) -> Iterator[int]:
    """Yield a number as bytes of six bits each, lowest bits first. The seventh bit: more bytes follow."""
    while number > 0x3F:
        yield 0x40 | number & 0x3F
        number >>= 6
    yield number


def raise_task_error(error: BaseException) -> NoReturn:
    """Raise the exception of a task, with a traceback of the task's frames only.

    Frames that were added when the same exception was raised before are removed.
    """
    try:
        raise task_error(error)
    finally:
        del error  # otherwise the traceback would hold this frame, which would hold the traceback


def task_error(error: BaseException) -> BaseException:
    """Return the exception of a task with a traceback of the task's frames only."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is not _GLOBALS:
        trace = trace.tb_next
    return error.with_traceback(trace)


class _HideOwnFrames:
    """A context manager that removes wrenlite's frames from the traceback of what is raised to the user.

    When ``__exit__`` returns, Python raises the exception again, which adds no entry for the function that
    contains the ``with`` statement. So in the traceback the caller's line is followed by the user's own code
    or, where wrenlite refuses something, by nothing. An error that nobody foresaw keeps all its frames, for
    the person who reports it.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None and trace is not None:
            _hide(error, trace)


def _hide(error: BaseException, trace: TracebackType) -> None:
    """Remove wrenlite's frames from the traceback of an exception that is about to leave wrenlite.

    Args:
        error: the exception.
        trace: its traceback, whose first level is a function of wrenlite that is still running.
    """
    caller = trace.tb_frame.f_back
    if caller is not None and _is_own(caller, ("wrenlite",)):  # a function that hides its frames, too
        return
    last, users = _split(trace)
    if users is None and isinstance(error, Exception) and not _is_intended(error, trace, last):
        return
    error.__traceback__ = users
    for _ in range(_LONGEST_CHAIN):
        origin = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if origin is None:
            return
        if origin.__traceback__ is not None:
            origin.__traceback__ = _split(origin.__traceback__)[1]
        error = origin


def _is_intended(error: BaseException, first: TracebackType, last: TracebackType) -> bool:
    """Return whether wrenlite has raised an error by intention, so that its frames tell nothing.

    Args:
        error: the error.
        first: its traceback.
        last: the last level of that. It is the first one where the call itself was wrong.
    """
    if last is first or last.tb_frame.f_code is raise_task_error.__code__:
        return True
    raised = last.tb_frame.f_code.co_code[last.tb_lasti] == opcode.opmap["RAISE_VARARGS"]
    return raised and not isinstance(error, AssertionError)


def _split(trace: TracebackType) -> tuple[TracebackType, TracebackType | None]:
    """Return the last of wrenlite's own levels at the beginning of a traceback, and the level behind it."""
    last: TracebackType = trace
    step: TracebackType | None = trace
    while step is not None and _is_own(step.tb_frame, _OWN):
        last, step = step, step.tb_next
    return last, step


_LONGEST_CHAIN = 50
"""The most exceptions of a chain whose tracebacks are looked at: a chain may be a circle."""

_OWN = ("wrenlite", "asyncio", "concurrent", "contextlib", "threading", "cloudpickle", "pickle")
"""Wrenlite, and the packages that it calls to wait and to pickle."""


def _is_own(frame: FrameType, packages: Container[str]) -> bool:
    """Return whether a frame belongs to these packages. The gallery uses wrenlite, and stubs are tasks."""
    package, _, rest = str(frame.f_globals.get("__name__")).partition(".")
    return package in packages and not rest.startswith("gallery") and frame.f_globals is not _GLOBALS


hide_own_frames = _HideOwnFrames()
"""The only instance: it has no state."""


def without_own_frames(function: F) -> F:
    """Make a function hide wrenlite's frames in what it raises, as ``hide_own_frames`` does."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            if error.__traceback__ is not None:
                _hide(error, error.__traceback__)
            raise  # which adds no entry for this function

    return cast(F, call)


_SPECIAL_METHODS = frozenset(
    ("__init__", "__getitem__", "__iter__", "__next__", "__enter__", "__exit__", "__getattr__", "__reduce__")
)
"""The special methods that raise errors for users."""


def public(owner: type[T]) -> type[T]:
    """Make all public methods of a class hide wrenlite's frames in what they raise."""
    for name, member in list(vars(owner).items()):
        if name.startswith("_") and name not in _SPECIAL_METHODS:
            continue
        if isinstance(member, FunctionType):
            setattr(owner, name, without_own_frames(member))
        elif isinstance(member, classmethod):
            setattr(owner, name, classmethod(without_own_frames(member.__func__)))
        elif isinstance(member, property) and member.fget is not None:
            setattr(owner, name, property(without_own_frames(member.fget), doc=member.__doc__))
    return owner


class WithoutOwnFrames(Iterator[T]):
    """An iterator that gives the same as another one, and hides wrenlite's frames in what that raises.

    It is not a generator, because an error would end that, and the items behind it would be lost.
    """

    def __init__(self, iterator: Iterator[T]) -> None:
        """Create an iterator on top of another one."""
        self._iterator = iterator

    def __next__(self) -> T:
        with hide_own_frames:
            return next(self._iterator)
