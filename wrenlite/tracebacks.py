"""Real tracebacks made from frames that travelled, and none of wrenlite's own frames before them.

A traceback needs frames, and a frame needs code: for each level a stub is compiled that has the file, the
lines and the names of the worker's code and does nothing. Whatever draws tracebacks (Python, IPython, pytest,
pdb) takes the source lines of it from the caller's files and cells. No code of the user's runs.
"""

from __future__ import annotations

import linecache
from collections.abc import Sequence
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


_GLOBALS: dict[str, Any] = {"__name__": "wrenlite.worker"}
"""Of all stubs: their mark."""


def rebuild(frames: Sequence[Frame]) -> TracebackType | None:
    """The traceback with these levels, outermost first."""
    trace = None
    for frame in reversed(frames):
        code, instruction = _stub(_honest(frame)._replace(source=""))
        # A generator's frame hangs below no other: that of a call would keep the caller's variables alive. It
        # is started, or its line would be the first of the function, which IPython shows of cells.
        generator = FunctionType(code, _GLOBALS)()
        stub = generator.gi_frame
        next(generator)
        trace = TracebackType(trace, stub, instruction, frame.line)
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


@lru_cache(512)
def _stub(frame: Frame) -> tuple[CodeType, int]:
    """Code that stands for a frame's, and which of its instructions is at the failed expression."""
    import ast

    place: Any = {
        "lineno": frame.line,
        "end_lineno": frame.end_line,
        "col_offset": frame.column,
        "end_col_offset": frame.end_column,
    }
    begin: Any = {"lineno": frame.first, "end_lineno": frame.first, "col_offset": -1, "end_col_offset": -1}
    none = ast.arguments([], [], None, [], [], None, [])
    stub = ast.Expression(ast.Lambda(none, ast.Yield(None, **place), **begin))  # a generator
    module = compile(stub, frame.file, "eval")
    code = next(each for each in module.co_consts if isinstance(each, CodeType))
    column, end_column = (None if value < 0 else value for value in (frame.column, frame.end_column))
    wanted = frame.line, frame.end_line, column, end_column
    positions = list(code.co_positions())  # lines alone where this Python was told to keep no columns
    instruction = 2 * max(
        range(len(positions)), key=lambda at: (positions[at] == wanted, positions[at][0] == frame.line)
    )
    return code.replace(co_name=frame.function, co_qualname=frame.qualified), instruction


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


unseen = _Unseen()
