"""Tracebacks rebuilt from the frames that a worker sent, without wrenlite's own frames.

A traceback needs frames, and a frame needs code. So for each level there is a stub: code that does nothing,
but has the file name, the lines and the names of the worker's code. Every tool that shows tracebacks (Python,
IPython, pytest, pdb) reads the source lines from the caller's files and cells. No code of the user runs for
this.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import CodeType, FunctionType, TracebackType
from typing import Any, NamedTuple, NoReturn, TypeVar

T = TypeVar("T")


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


@lru_cache(512)
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
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is not _GLOBALS:
        trace = trace.tb_next
    try:
        raise error.with_traceback(trace)
    finally:
        del error, trace  # otherwise the traceback would hold this frame, which would hold the traceback


class _HideOwnFrames:
    """A context manager that removes wrenlite's frames from the traceback of a task's exception.

    The same is done with an interrupt, or a cancellation in an event loop, that ends the waiting for a task:
    where in the waiting it came tells nothing. Frames of other code behind them stay, such as those of the
    user's code that unpickles a value, or of a signal handler.

    The functions that users call raise such exceptions inside of it. When ``__exit__`` returns, Python raises
    the exception again, which adds no entry for the function that contains the ``with`` statement. So in the
    traceback the caller's line is followed by the task's lines.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or trace is None:
            return
        if trace.tb_next is None or trace.tb_next.tb_frame.f_globals is _GLOBALS:  # an inner one did the work
            error.__traceback__ = trace.tb_next
            return
        step: TracebackType | None = trace
        while step is not None:
            if step.tb_frame.f_code is raise_task_error.__code__:
                error.__traceback__ = step.tb_next
                return
            step = step.tb_next
        if not isinstance(error, Exception):
            step = trace
            while step is not None and _package(step) in _WAITING:
                step = step.tb_next
            error.__traceback__ = step


_WAITING = ("wrenlite", "asyncio", "concurrent", "contextlib", "threading")
"""The packages whose code runs while a thread waits for a task."""


def _package(step: TracebackType) -> str:
    return str(step.tb_frame.f_globals.get("__name__")).partition(".")[0]


hide_own_frames = _HideOwnFrames()
"""The only instance: it has no state."""


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
