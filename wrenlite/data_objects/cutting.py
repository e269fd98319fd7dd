"""Which keys a pattern names, and which lines belong to a part of an object. All of it is pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from wrenlite.storage.base import Span

_WILDCARD = re.compile(r"[*?[]")
_FIRST_TAIL_BYTES = 1 << 16
_LARGEST_TAIL_BYTES = 8 << 20
"""Bytes of a read behind a part, for the end of its last line: twice as many each time."""


def literal_start(pattern: str) -> str:
    """Return what every key that matches a pattern begins with."""
    found = _WILDCARD.search(pattern)
    return pattern if found is None else pattern[: found.start()]


def has_wildcard(pattern: str) -> bool:
    """Return whether a pattern has one of ``*``, ``?`` and ``[``, and so may match several names."""
    return _WILDCARD.search(pattern) is not None


def matcher(pattern: str) -> Callable[[str], object]:
    """Return a function that tells whether a key matches a pattern.

    ``*`` is anything but ``/``, ``**`` anything, ``**/`` any folders or none, ``?`` one character, ``[ab]``
    one of these and ``[!ab]`` none of these. A pattern without one of them is the name of an object, or of a
    folder with all that is below it.
    """
    if not has_wildcard(pattern):
        name = pattern.rstrip("/")
        return re.compile(f"{re.escape(name)}(?:/.*)?" if name else ".*", re.DOTALL).fullmatch
    return re.compile("".join(_translated(pattern)), re.DOTALL).fullmatch


def _translated(pattern: str) -> Iterator[str]:
    """Yield the parts of the regular expression that a pattern stands for."""
    simple = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[!?(?:\]|[^]])[^]]*\]|.", pattern, re.DOTALL):
        is_set = len(token) > 2 and token[0] == "["
        yield _one_of(token[1:-1]) if is_set else simple.get(token) or re.escape(token)


def _one_of(chosen: str) -> str:
    """Return the regular expression for what is between ``[`` and ``]``; a range that runs down is empty."""
    negated = chosen[0] == "!" and len(chosen) > 1
    parts = [
        re.escape(first) + (f"-{re.escape(last)}" if last else "")
        for first, last in re.findall(r"(.)(?:-(.))?", chosen[negated:], re.DOTALL)
        if not last or first <= last
    ]
    if not parts:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{''.join(parts)}]"


def spans(size: int, chunk_bytes: int) -> Iterator[Span]:
    """Yield the parts of so many bytes each, the last one shorter, that an object of a size is cut into."""
    for start in range(0, size, chunk_bytes):
        yield Span(start, min(chunk_bytes, size - start))


def whole_lines(read: Callable[[Span], bytes], span: Span, size: int, newline: bytes = b"\n") -> bytes:
    r"""Return the lines that begin in a part of an object, each to its end.

    A line begins at the start of the object, or behind a ``\n``. So each line belongs to one part, whatever
    the parts are, and a part inside a long line has none.

    Args:
        read: returns a part of the object.
        span: the part.
        size: bytes of the object.
        newline: what ends a line: one byte.
    """
    end = span.start + span.length
    first = max(span.start - 1, 0)
    data = read(Span(first, end - first))
    if span.start:
        begin = data.find(newline) + 1
        if not begin or begin == len(data):
            return b""
        data = data[begin:]
    if end >= size or data.endswith(newline):
        return data
    return b"".join([data, *_until_newline(read, end, size, newline)])


def _until_newline(
    read: Callable[[Span], bytes], position: int, size: int, newline: bytes
) -> Iterator[bytes]:
    """Yield what there is from a position to the end of the line."""
    step = _FIRST_TAIL_BYTES
    while position < size:
        more = read(Span(position, min(step, size - position)))
        end = more.find(newline)
        if end >= 0:
            yield more[: end + 1]
            return
        if not more:  # the object is shorter than it was
            return
        yield more
        position += len(more)
        step = min(2 * step, _LARGEST_TAIL_BYTES)
