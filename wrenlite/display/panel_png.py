"""Pictures of a job as small PNGs, which every notebook shows: the state of each task, and the concurrency.

The PNGs have palettes and are written by a few lines of code here, without a library. An ``<svg>`` of
10,000 tasks would be 3,000 times as large, and notebooks that are not trusted remove it. Each picture has two
pixels for one of the page: a browser that has to enlarge a picture blurs it, and in a notebook that is not
trusted nothing can tell it not to.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

from wrenlite.display.colours import STATE_COLOURS

_COLOURS = (*STATE_COLOURS.values(), "#00000000")
"""The colour of each state, by its index in ``task_table.STATES``; the last colour is transparent."""
_TRANSPARENT = len(_COLOURS) - 1
_QUEUED, _DISPATCHED, _FAILED = 0, 2, 4
WIDTH = 640
"""Width of every picture in pixels of the page."""
CHART_HEIGHT = 26
"""Height of the concurrency chart in pixels of the page."""
_SCALE = 2
"""Pixels of a picture for one of the page."""
_SIDES = (10, 8, 5, 4, 2)
"""Sizes of a cell of the task grid, in pixels of the page. Each divides ``WIDTH``."""
_USUAL_HEIGHT = 64
"""The largest height of the task grid in pixels of the page. It decides on the size of the cells."""
MOST_CELLS = (WIDTH // _SIDES[-1]) * (_USUAL_HEIGHT // _SIDES[-1])
"""The largest number of tasks that have a cell each; with more tasks, several of them share a cell."""


def task_grid(states: bytes) -> tuple[str, int]:
    """Return the data URI of a picture with one cell per task, and its height in pixels of the page.

    A failed task differs by its shape, too: its cell is a frame that fills the gap between cells. Among the
    smallest cells, which have no gaps, it is a square that is larger than the others. Where several tasks
    share a cell, it shows the state with the highest index, such as a failure.

    Args:
        states: the tasks' states in input order: indexes in ``task_table.STATES``.
    """
    share = -(-len(states) // MOST_CELLS)
    if share > 1:
        states = bytes(max(states[at : at + share]) for at in range(0, len(states), share))
    side = next((each for each in _SIDES if _height(states, each) <= _USUAL_HEIGHT), _SIDES[-1])
    columns = WIDTH // side
    padded = states.ljust(_height(states, side) // side * columns, bytes([_TRANSPARENT]))
    rows = [padded[at : at + columns] for at in range(0, len(padded), columns)]
    draw = _draw_with_gaps if side > _SIDES[-1] else _draw_without_gaps
    return _data_uri(draw(rows, side * _SCALE)), _height(states, side)


def _height(states: bytes, side: int) -> int:
    return max(1, -(-len(states) // (WIDTH // side))) * side


def _draw_with_gaps(rows: Sequence[bytes], size: int) -> list[bytes]:
    """Return lines of pixels for rows of cells of this size. Failed tasks are frames, all others squares."""
    gap, frame = _SCALE, size // (4 * _SCALE) * _SCALE
    usual = [bytes([state]) * (size - gap) + bytes([_TRANSPARENT]) * gap for state in range(len(_COLOURS))]
    empty = [bytes([_TRANSPARENT]) * size] * len(_COLOURS)
    full = bytes([_FAILED]) * size
    hollow = full[:frame] + bytes([_TRANSPARENT]) * (size - 2 * frame) + full[:frame]
    kinds = (
        (frame, usual, full),
        (size - 2 * frame, usual, hollow),
        (frame - gap, usual, full),
        (gap, empty, full),
    )
    lines: list[bytes] = []
    for row in rows:
        for count, cells, failed in kinds:
            table = [*cells[:_FAILED], failed, cells[_TRANSPARENT]]
            lines += [b"".join([table[state] for state in row])] * count
    return lines


def _draw_without_gaps(rows: Sequence[bytes], size: int) -> list[bytes]:
    """Return lines of pixels for rows of cells of this size. A failed task takes half of the next ones."""
    cells = [bytes([state]) * size for state in range(len(_COLOURS))]
    mark = bytes([_FAILED]) * (size + size // 2)
    lines: list[bytes] = []
    above: list[int] = []
    for row in rows:
        line = bytearray().join([cells[state] for state in row])
        failed = [place * size for place, state in enumerate(row) if state == _FAILED]
        for place in failed:
            line[place : place + len(mark)] = mark[: len(line) - place]
        below_failed = bytearray(line)
        for place in above:
            below_failed[place : place + len(mark)] = mark[: len(line) - place]
        lines += [bytes(below_failed)] * (size // 2) + [bytes(line)] * (size - size // 2)
        above = failed
    return lines


def concurrency_chart(samples: Sequence[tuple[float, int]]) -> str:
    """Return the data URI of a chart of the number of running tasks over time, between two lines: 0 and peak.

    Args:
        samples: pairs of seconds since ``map`` and the number of tasks that ran then, in order of time.
    """
    columns, rows = WIDTH, CHART_HEIGHT * _SCALE
    end, peak = max(samples[-1][0], 1e-9), max(1, *(count for _, count in samples))
    heights, place = [], 0
    for column in range(columns):
        while place + 1 < len(samples) and samples[place + 1][0] <= end * (column + 1) / columns:
            place += 1
        heights.append(-(-samples[place][1] * (rows - 2 * _SCALE) // peak))
    filled, empty, line = (bytes([colour]) * _SCALE for colour in (_DISPATCHED, _TRANSPARENT, _QUEUED))
    line *= columns
    bars = [
        b"".join([(filled if height >= row else empty) for height in heights])
        for row in range(rows - 2 * _SCALE, 0, -1)
    ]
    return _data_uri([*[line] * _SCALE, *bars, *[line] * _SCALE])


def _data_uri(lines: Sequence[bytes]) -> str:
    return "data:image/png;base64," + base64.b64encode(_png(lines)).decode()


def _png(lines: Sequence[bytes]) -> bytes:
    """Return a PNG of indexes in ``_COLOURS``, one byte per pixel (PNG specification, colour type 3).

    A line that is the same as the one above is written as the difference to it, which is all zeros.
    """
    header = struct.pack(">IIBBBBB", len(lines[0]), len(lines), 8, 3, 0, 0, 0)
    palette = b"".join(bytes.fromhex(colour[1:7]) for colour in _COLOURS)
    alpha = bytes(int(colour[7:] or "ff", 16) for colour in _COLOURS)
    same = b"\2" + bytes(len(lines[0]))
    above = [b"", *lines]
    rows = [same if line == before else b"\0" + line for before, line in zip(above, lines, strict=False)]
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"tRNS", alpha),
        (b"IDAT", zlib.compress(b"".join(rows), 6)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
