"""Real tracebacks made from frames that travelled, and none of wrenlite's own frames before them.

A traceback needs frames, and a frame needs code: for each level there is a stub that has the file, the
lines and the names of the worker's code and does nothing. Whatever draws tracebacks (Python, IPython, pytest,
pdb) takes the source lines of it from the caller's files and cells. No code of the user's runs.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import CodeType, FunctionType, TracebackType
from typing import Any, NamedTuple, NoReturn


class Frame(NamedTuple):
    """One level of a traceback."""

    file: str
    function: str
    qualified: str
    """Its name with the names of what it is defined in."""
    first: int
    """Line on which the function begins; what shows the whole function needs it."""
    line: int
    end_line: int
    column: int
    """Where on the line the failed expression begins; -1 where that is not known."""
    end_column: int
    source: str
    """The line, indented; empty where the worker could not read it."""


_GLOBALS: dict[str, Any] = {"__name__": "wrenlite.worker.main"}
"""Of all stubs: their mark."""


def rebuild(frames: Sequence[Frame]) -> TracebackType | None:
    """The traceback with these levels, outermost first."""
    trace = None
    for frame in reversed(frames):
        code = _stub(_honest(frame)._replace(source=""))
        # A generator's frame hangs below no other: that of a call would keep the caller's variables alive.
        stub = FunctionType(code, _GLOBALS)().gi_frame
        trace = TracebackType(trace, stub, 0, frame.line)
    return trace


def _honest(frame: Frame) -> Frame:
    """The frame, under another file name where the caller's file does not have the line that failed."""
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
    linecache.cache[name] = (sum(map(len, lines)), None, lines, name)  # None: looked up in no file
    if frame.end_line == frame.line:
        return frame._replace(file=name)
    return frame._replace(file=name, end_line=frame.line, column=-1, end_column=-1)  # the rest is not known


def _waits() -> Iterator[None]:
    yield


@lru_cache(512)
def _stub(frame: Frame) -> CodeType:
    """Code that stands for a frame's: of a generator that is not started, all at the failed expression."""
    return _waits.__code__.replace(
        co_filename=frame.file,
        co_name=frame.function,
        co_qualname=frame.qualified,
        co_firstlineno=frame.first,
        co_linetable=_locations(frame, len(_waits.__code__.co_code) // 2),
    )


def _locations(frame: Frame, units: int) -> bytes:
    """Locations of so many code units, in CPython's own form (``Objects/locations.md`` of its 3.11)."""
    table, before = bytearray(), frame.first
    for start in range(0, units, 8):  # an entry holds 8 of them
        delta, before = frame.line - before, frame.line
        form = 13 if frame.column < 0 else 14  # without columns, and with
        table.append(0x80 | form << 3 | min(8, units - start) - 1)
        table.extend(_varint(abs(delta) << 1 | (delta < 0)))
        if form == 14:
            for number in (frame.end_line - frame.line, frame.column + 1, frame.end_column + 1):
                table.extend(_varint(number))
    return bytes(table)


def _varint(number: int) -> Iterator[int]:
    """Six bits a byte, the lowest first; the seventh says that more come."""
    while number > 0x3F:
        yield 0x40 | number & 0x3F
        number >>= 6
    yield number


def throw(error: BaseException) -> NoReturn:
    """Raise a task's exception, with the frames of the task alone however often it was raised before."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is not _GLOBALS:
        trace = trace.tb_next
    try:
        raise error.with_traceback(trace)
    finally:
        del error, trace  # or the traceback would hold this frame, which holds it


class _Unseen:
    """Around what a user calls: where a task's exception passes, wrenlite's frames leave its traceback.

    Raising again, which Python does when this returns, adds no entry for the function that it happens in: so
    the caller's line is followed by the task's.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or trace is None:
            return
        if trace.tb_next is None or trace.tb_next.tb_frame.f_globals is _GLOBALS:  # another one was inside
            error.__traceback__ = trace.tb_next
        step: TracebackType | None = trace
        while step is not None:
            if step.tb_frame.f_code is throw.__code__:
                error.__traceback__ = step.tb_next
                return
            step = step.tb_next


hide_own_frames = _Unseen()
