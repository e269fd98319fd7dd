"""Texts that every room writes: counted things, times, and foreign text in a message or on a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Few programs need these, and every worker imports this module: they are compiled when they are first used.
_TERMINAL_CODE = (
    r"(?s:(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # such as a colour, or a move of the cursor
    r"|\x1b[]PX^_].*?(?:\x07|\x1b\\)"  # such as the title of the window
    r"|\x1b[ -/]*[0-~])"
)
_INVISIBLE = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
"""Control characters other than tab and newline, and those that change the direction of writing."""


_UNITS = (("GB", 30), ("MB", 20), ("KB", 10))
"""Units of memory, and the powers of two that they stand for."""


def counted(number: float, thing: str) -> str:
    """Return a number with the name of what is counted: ``1 task``, ``2,000 tasks``, ``0.5 days``.

    Args:
        number: how many there are.
        thing: name of one of them, whose plural ends in s.
    """
    digits = f"{number:,}" if isinstance(number, int) else f"{number:,.3g}"
    return f"{digits} {thing}{'' if digits == '1' else 's'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names in one line: ``a, b and 3 more``.

    Args:
        names: the names.
        most: the most names.
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def duration(seconds: float) -> str:
    """Return a time span in words, such as ``2 min 5 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def sized(size_bytes: int) -> str:
    """Return a size in words: ``24 bytes``, ``1.5 KB``, ``23.5 GB``."""
    if size_bytes < 1024:
        return counted(size_bytes, "byte")
    unit, scale = next((unit, 1 << bits) for unit, bits in _UNITS if size_bytes >= 1 << bits)
    return f"{size_bytes / scale:,.1f} {unit}"


def not_utf8(error: UnicodeDecodeError, data: bytes, source: str) -> tuple[str, int]:
    """Return what to say of a file that is not UTF-8, and the line of its first wrong byte.

    Args:
        error: why it cannot be decoded.
        data: the file.
        source: its name or address.
    """
    place = error.start + len(data) - len(error.object)  # the byte order mark counts, too
    line = data.count(b"\n", 0, place) + 1
    wrong = f"byte {place}, in line {line}, is 0x{data[place]:02x}"
    return f"{source} is not UTF-8: {wrong}; save it as UTF-8", line


def timed(seconds: float) -> str:
    """Return a duration in words: ``12 µs``, ``3.4 ms``, ``2.5 s``, ``1,200 s``."""
    for unit, scale in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 99.5 else f"{seconds:,.0f} s"


def printable(text: str) -> str:
    """Return foreign text so that it can be shown in a message, on a terminal or in HTML.

    Codes for terminals, such as colours, are removed. Of other control characters only tab and newline stay:
    a carriage return becomes a newline, and the rest are written as escapes, as Python does.
    """
    text = re.sub(_TERMINAL_CODE, "", text).replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(_INVISIBLE, lambda match: ascii(match[0])[1:-1], text)


def is_terminal(stream: object) -> bool:
    """Return whether a stream is a terminal. What stands in the place of stderr may only have ``write``."""
    return bool(getattr(stream, "isatty", bool)())
