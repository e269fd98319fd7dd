"""The progress of jobs on stderr: rows below the cursor of a terminal (``lines``: where it is a file).

The terminal belongs to the program, which prints there too. So four rules keep its own lines whole:

- A job has a row only while the main thread waits for it. At a prompt, in a debugger, and while the program
  runs commands that write to the terminal, there is none.
- Rows are drawn below the cursor, and the cursor stays where the program's text ended, even inside a line. So
  whatever is written next begins at its own place, and one code (erase to the end of the screen) removes all
  rows, however the terminal has wrapped them.
- Python erases them before any thread writes to stdout or stderr, since the ``write`` of these two objects is
  replaced once there is an executor. The objects stay the same, and so does everything else about them. While
  another object is in the place of stderr, there are no rows: it may print their codes, or write them to a
  file as well.
- The last row of a job, which stays, waits for the end of a line that the program has begun, and for the end
  of a loop over the job.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any
from unicodedata import east_asian_width

from wrenlite.display import lines
from wrenlite.display.observer import left, together
from wrenlite.display.remaining import Range, in_words
from wrenlite.futures import Drawing, Snapshot, undrawn
from wrenlite.job import Job
from wrenlite.serialize.traceback_stubs import hide_own_frames
from wrenlite.texts import duration, is_terminal, printable, sized

_APPEAR_AFTER_S = 0.5
"""A job that ends before this shows nothing."""
_REFRESH_S = 0.1
"""Seconds between two updates of the rows. They also stay that long after a short wait, so that they do not
flicker in a loop over values."""
_MOST_ROWS = 4
"""Jobs that have a row each; more of them have one in common."""
_USUAL_SIZE = os.terminal_size((80, 24))
"""The size of a terminal that does not tell its own."""
_TRACEBACK = "Traceback (most recent call last)"
"""What Python prints line by line, so that a row must not follow its first line."""
_BETWEEN = " | "
"""Between the parts of a row."""
_SHORTEST = 8
"""The least columns for the beginning of a note or name that does not fit."""

# Codes of ECMA-48 and of DEC's terminals, which all terminals of today know.
_ERASE = "\x1b[J"
"""Erase everything from the cursor to the end of the screen."""
_DOWN = "\x1bD"
"""Move down one row in the same column. At the bottom the screen scrolls."""
_SAVE, _RESTORE = "\x1b7\x1b[0m\x1b[?7l", "\x1b[?7h\x1b8"
"""Save the cursor and its colours, then cut rows that are too long; end cutting, and restore the cursor."""


def follow_lines() -> None:
    """Know from now on whether the cursor is inside a line, if stderr is a terminal."""
    if _knows_codes():
        _rows.guard_streams()


def watch(job: Job[Any], asked: bool) -> Drawing:
    """Show a job's progress while the job runs.

    Args:
        job: the job.
        asked: the user asked for progress: print a line every second where stderr is not a terminal.

    Returns:
        What makes the contexts in which the job is waited for.
    """
    if sys.stderr is None:
        return undrawn
    if _knows_codes():
        _rows.watch(job)
        return partial(_Waiting, weakref.ref(job))  # the job holds this, and is to be freed without gc
    return lines.watch(job, asked)


def _knows_codes() -> bool:
    return is_terminal(sys.stderr) and os.environ.get("TERM", "dumb") != "dumb"


# Rows on a terminal


def row(now: Snapshot, columns: int, left_s: Range | None = None) -> str:
    """Return the progress of a job as one row of a terminal.

    First comes what is never cut: how many tasks are done, the failures, the dollars, the cancelled tasks.
    Then follow, as far as there is room: why nothing is sent, the name, the time, the running tasks, the
    backend, and the most memory that a worker held while it ran the job's tasks.

    Args:
        now: the progress.
        columns: columns of the terminal. The last one stays empty.
        left_s: the least and the most seconds that the job will still take; None: not known.
    """
    ended = now.finished == now.total
    facts = [
        f"{now.done:,} of {now.total:,} done",
        f"{now.cached:,} cached" if now.cached else "",
        f"{now.failed:,} failed" if now.failed else "",
        f"${now.dollars:.4f}" if now.dollars is not None else "",
        f"{now.cancelled:,} cancelled" if now.cancelled else "",
    ]
    text = ", ".join(filter(None, facts))
    time_left = f", {in_words(left_s)}" if left_s else ""
    words = ["" if ended else printable(now.note), _cut(printable(now.name), columns // 3)]
    figures = [f"{duration(now.seconds)}{time_left}", f"{now.running:,} running" if now.running else ""]
    memory = f"up to {sized(now.peak_bytes)} each" if now.peak_bytes else ""
    for part in filter(None, (*words, *figures, now.backend, memory)):
        room = columns - 1 - _width(text) - len(_BETWEEN)
        if _width(part) <= room or (part in words and room >= _SHORTEST):
            text += _BETWEEN + _cut(part, room)
    return text


def _cut(text: str, columns: int) -> str:
    """Return a text, or its beginning with dots if it takes more than so many columns."""
    if _width(text) <= columns:
        return text
    while text and _width(text) > columns - 3:
        text = text[:-1]
    return f"{text}..."


def _width(text: str) -> int:
    """Return how many columns a text takes: letters of East Asian scripts take two."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


class _Waiting:
    """The context of waiting for one job: while the main thread is in it, the job has a row."""

    def __init__(self, job: weakref.ref[Job[Any]], in_loop: bool) -> None:
        self._job = job
        self._in_loop = in_loop

    def __enter__(self) -> None:
        if (job := self._job()) and threading.current_thread() is threading.main_thread():
            _rows.add(job)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (job := self._job()) and threading.current_thread() is threading.main_thread():
            _rows.remove(job, self._in_loop, split=error is not None)


class _Rows:
    """The rows of the jobs that the main thread waits for, and the thread that draws them.

    No lock of a job is taken while the lock of the rows is held: whoever holds a lock may print.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may print while its thread draws
        self._waits: dict[Job[Any], int] = {}  # how many waits for a job are inside one another
        self._without_last_row: weakref.WeakSet[Job[Any]] = weakref.WeakSet()
        self._last_rows: list[Snapshot] = []  # which wait for the start of a line
        self._in_loop = False  # these wait for the end of a loop, too
        self._at_exit = False
        self._shown: list[str] = []
        self._drawn_in_this_wait = False
        self._inside_line = False  # as far as was written since the streams are guarded
        self._left_at = 0.0
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._guarded: list[tuple[io.TextIOWrapper, Callable[[str], int], Any]] = []

    def watch(self, job: Job[Any]) -> None:
        """Prepare for the rows of a job.

        The thread sleeps while nobody waits. At exit it could not be started any more.
        """
        with self._lock:
            if not self._inside_line:
                self._write_last_rows()
            self._without_last_row.add(job)
            self.guard_streams()
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="wrenlite-progress", daemon=True)
                self._thread.start()

    def add(self, job: Job[Any]) -> None:
        """Give a job a row from now on."""
        if job._tasks.over:
            return
        with self._lock:
            if not self._waits:
                self._drawn_in_this_wait = False
            self._waits[job] = self._waits.get(job, 0) + 1
            if not self._awake.is_set():
                self._awake.set()

    def remove(self, job: Job[Any], in_loop: bool, *, split: bool) -> None:
        """End one wait for a job. Of each job that has ended a last row stays for good.

        Of a single task nothing stays, since programs submit hundreds, and nothing of a short job.

        Args:
            job: the job.
            in_loop: write its last row only after the loop.
            split: write it at once, even inside a line: a traceback follows.
        """
        ended = [each for each in (*self._waits, job) if each._tasks.over and each in self._without_last_row]
        rows = {each: each.snapshot() for each in ended}
        with self._lock:
            for each, now in rows.items():
                self._without_last_row.discard(each)
                if now.total > 1 and now.seconds >= _APPEAR_AFTER_S:
                    self._last_rows.append(now)
            waits = self._waits.pop(job, 1) - 1
            if waits:
                self._waits[job] = waits
            self._left_at = time.monotonic()
            if rows or not in_loop:
                self._in_loop = in_loop
            if split or self._at_exit or not (in_loop or self._inside_line):
                self._write_last_rows()
            if not self._waits and (job._tasks.over or self._drawn_in_this_wait):
                self.hide()
            plain = self._last_rows if _terminal() is None and not (in_loop or self._inside_line) else []
            self._last_rows = [each for each in self._last_rows if each not in plain]
        _print_rows(plain)

    def _write_last_rows(self) -> None:
        """Write the rows that stay, at the start of a line. Where that is no terminal now, they wait on."""
        if self._last_rows and _terminal():
            columns = _terminal_size().columns
            rows = "".join(f"{row(now, columns)}\x1b[K\n" for now in self._last_rows)
            self._last_rows = []
            self._erase()
            # As many spaces as columns end in the next row only if the cursor was inside a line.
            self._write(f"{' ' * columns}\r{rows}")
            self._inside_line = False

    def _loop(self) -> None:
        while True:
            self._awake.wait()
            self._update()
            time.sleep(_REFRESH_S)

    def _update(self) -> None:
        size = _terminal_size()
        most = max(1, min(_MOST_ROWS, size.lines - 3))
        waited_for = list(self._waits)
        jobs = [job for job in waited_for if not job._tasks.over]
        rows = {job: now for job in jobs[:most] if (now := job.snapshot()).seconds >= _APPEAR_AFTER_S}
        times_left = {job: left(job, now) for job, now in rows.items()}
        many = together([job.snapshot() for job in waited_for]) if len(jobs) > most and rows else None
        with self._lock:
            if self._waits:
                shown = [job for job in rows if job in self._waits]  # the others are not waited for any more
                texts = [row(rows[job], size.columns, times_left[job]) for job in shown]
                self._draw([row(many, size.columns)] if many and shown else texts)
                self._drawn_in_this_wait = True
            elif time.monotonic() - self._left_at > _REFRESH_S:
                self.hide()
                self._awake.clear()

    def _draw(self, rows: list[str]) -> None:
        if rows == self._shown:
            return
        self._erase()
        if rows and _terminal():
            self.guard_streams()
            room = f"{_DOWN * len(rows)}\x1b[{len(rows)}A"  # at the bottom the terminal scrolls
            below = "".join(f"\r\n{text}" for text in rows)
            self._write(f"{room}{_SAVE}{below}{_RESTORE}")
            self._shown = rows

    def hide(self) -> None:
        """Erase the rows. At exit, give the streams back after that."""
        with self._lock:
            self._erase()
            if self._at_exit:
                self.release_streams()

    def end(self) -> None:
        """At exit, write the last rows, and erase the rows of a short wait, which would stay longer."""
        with self._lock:
            self._at_exit = True
            self._write_last_rows()
            self._erase()
            self.release_streams()
            plain, self._last_rows = self._last_rows, []
        _print_rows(plain)

    def _erase(self) -> None:
        if self._shown:
            self._shown = []  # before anything is written, which would come here again
            self._write(_ERASE)

    def _write(self, text: str) -> None:
        inside_line = self._inside_line
        with contextlib.suppress(OSError, ValueError):  # a terminal that is gone, or closed: nobody looks
            if terminal := _terminal():
                terminal.write(text)
                terminal.flush()
        self._inside_line = inside_line

    def guard_streams(self) -> None:
        """Erase the rows before anything is written to a stream, until ``release_streams``.

        What is in the place of a stream is guarded where it is a terminal: a file is not to be kept open.
        """
        with self._lock:
            if not self._guarded:
                self._inside_line = False
            for stream in (sys.__stdout__, sys.__stderr__, _terminal(sys.stdout), _terminal()):
                known = any(stream is guarded for guarded, _, _ in self._guarded)
                # No others write to the terminal themselves.
                if isinstance(stream, io.TextIOWrapper) and not known:
                    write = self._write_after_erasing(stream.write)
                    self._guarded.append((stream, write, vars(stream).get("write")))
                    stream.write = write  # type: ignore[method-assign]

    def _write_after_erasing(self, write: Callable[[str], int]) -> Callable[[str], int]:
        def erase_and_write(text: str, /) -> int:
            with hide_own_frames, self._lock:
                self._erase()
                if _TRACEBACK in text:
                    self._write_last_rows()
                written = write(text)
                if text:
                    self._inside_line = not text.endswith("\n")
                if self._last_rows and not self._inside_line and not self._in_loop:
                    self._write_last_rows()
                    if not self._waits:
                        self.hide()
                return written

        return erase_and_write

    def release_streams(self) -> None:
        """Give the streams their own ``write`` back, except where somebody else has replaced it since."""
        while self._guarded:
            stream, write, before = self._guarded.pop()
            if vars(stream).get("write") is write:
                if before is None:
                    del stream.write
                else:
                    stream.write = before  # type: ignore[method-assign]


def _terminal(stream: object = None) -> io.TextIOWrapper | None:
    """Return a stream, or what stderr is now, if that itself is a terminal: Python's own kind of stream."""
    stream = sys.stderr if stream is None else stream
    with contextlib.suppress(ValueError):  # it is closed
        return stream if isinstance(stream, io.TextIOWrapper) and is_terminal(stream) else None
    return None


def _print_rows(rows: list[Snapshot]) -> None:
    """Print rows that stay where something else is in the place of stderr, without codes.

    No lock is held: what is printed to may have one of its own.
    """
    if rows and is_terminal(sys.stderr):
        columns = _terminal_size().columns
        with contextlib.suppress(OSError, ValueError):
            print(*(row(now, columns) for now in rows), sep="\n", file=sys.stderr, flush=True)


def _terminal_size() -> os.terminal_size:
    """Return the size of the terminal that stderr is."""
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return _USUAL_SIZE
    return size if size.columns and size.lines else _USUAL_SIZE


_rows = _Rows()


@atexit.register
def _end_rows() -> None:
    _rows.end()


def _forget_rows() -> None:
    """After a fork, leave the rows to the parent: the child lacks the thread, and may have a locked lock."""
    global _rows
    _rows.release_streams()
    _rows = _Rows()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_rows)
