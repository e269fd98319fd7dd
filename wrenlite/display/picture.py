"""Pictures of a job: a pixel a task, and how many ran at once. Small PNGs, which every notebook shows.

They are written by hand, in some lines: palettes, no library. An ``<svg>`` of 10,000 tasks is 3,000 times as
large, and gone in a notebook that is not trusted.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence

CELLS = 10_000
"""Tasks that get a pixel of their own; of more, several share one."""
COLOURS = ("#9aa0a666", "#2f9e62", "#3b82f6", "#b7791f", "#d6336c", "#00000000")
"""By a task's mark (see ``task_table.STATES``); the last one: nothing. They are told apart in either theme."""
_NOTHING = len(COLOURS) - 1
_ASPECT = 12
"""Width of the grid by its height."""
_LINE = (320, 28)
"""Columns and rows of the line of concurrency."""


def grid(marks: bytes) -> str:
    """The address of a picture with a pixel a task; of several tasks in one the most noteworthy counts.

    Args:
        marks: of the tasks, in input order: places in ``task_table.STATES``.
    """
    share = max(1, math.ceil(len(marks) / CELLS))
    cells = marks if share == 1 else bytes(max(marks[at : at + share]) for at in range(0, len(marks), share))
    columns = max(1, min(len(cells), math.ceil(math.sqrt(len(cells) * _ASPECT))))
    rows = [cells[at : at + columns] for at in range(0, len(cells), columns)] or [b"\0"]
    rows[-1] = rows[-1].ljust(columns, bytes([_NOTHING]))
    return _address(rows)


def line(samples: Sequence[tuple[float, int]]) -> str:
    """The address of a picture of how many tasks ran at once.

    Args:
        samples: seconds since ``map``, in order, and how many ran then.
    """
    columns, rows = _LINE
    end, peak = max(samples[-1][0], 1e-9), max(1, *(count for _, count in samples))
    heights, place = [], 0
    for column in range(columns):
        while place + 1 < len(samples) and samples[place + 1][0] <= end * (column + 1) / columns:
            place += 1
        heights.append(math.ceil(samples[place][1] / peak * rows))
    return _address(
        [bytes(2 if height >= rows - row else _NOTHING for height in heights) for row in range(rows)]
    )


def _address(rows: Sequence[bytes]) -> str:
    return "data:image/png;base64," + base64.b64encode(_png(rows)).decode()


def _png(rows: Sequence[bytes]) -> bytes:
    """A PNG with one byte a pixel, its place in ``COLOURS`` (PNG specification, colour type 3)."""
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    palette = b"".join(bytes.fromhex(colour[1:7]) for colour in COLOURS)
    alpha = bytes(int(colour[7:] or "ff", 16) for colour in COLOURS)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 6)
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"tRNS", alpha), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
