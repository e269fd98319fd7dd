"""Pictures of a job as small PNGs, which every notebook shows: the state of each task, and the concurrency.

The PNGs have palettes and are written by a few lines of code here, without a library. An ``<svg>`` of
10,000 tasks would be 3,000 times as large, and notebooks that are not trusted remove it.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence

MOST_PIXELS = 10_000
"""The largest number of tasks that have a pixel each; with more tasks, several of them share a pixel."""
COLOURS = ("#8a8f982f", "#33806d", "#4cb9fe", "#eca228", "#c70008", "#00000000")
"""The colour of each state, by its index in ``task_table.STATES``; the last colour is transparent.

They are told apart on light pages and on dark ones, also by people with each kind of colour-blindness: every
two differ by more than 20 (CIEDE2000).
"""
_TRANSPARENT = len(COLOURS) - 1
_DISPATCHED = 2
"""Index of the colour in which the concurrency is drawn."""
_ASPECT = 12
"""Width of the task grid divided by its height."""
_CHART_SIZE = (320, 28)
"""Columns and rows of the concurrency chart."""


def task_grid(states: bytes) -> str:
    """Return the data URI of a picture with one pixel per task.

    Where several tasks share a pixel, it shows the state with the highest index, such as a failure.

    Args:
        states: the tasks' states in input order: indexes in ``task_table.STATES``.
    """
    share = max(1, math.ceil(len(states) / MOST_PIXELS))
    if share == 1:
        pixels = states
    else:
        pixels = bytes(max(states[at : at + share]) for at in range(0, len(states), share))
    columns = max(1, min(len(pixels), math.ceil(math.sqrt(len(pixels) * _ASPECT))))
    rows = [pixels[at : at + columns] for at in range(0, len(pixels), columns)] or [b"\0"]
    rows[-1] = rows[-1].ljust(columns, bytes([_TRANSPARENT]))
    return _data_uri(rows)


def concurrency_chart(samples: Sequence[tuple[float, int]]) -> str:
    """Return the data URI of a chart of the number of running tasks over time.

    Args:
        samples: pairs of seconds since ``map`` and the number of tasks that ran then, in order of time.
    """
    columns, rows = _CHART_SIZE
    end, peak = max(samples[-1][0], 1e-9), max(1, *(count for _, count in samples))
    heights, place = [], 0
    for column in range(columns):
        while place + 1 < len(samples) and samples[place + 1][0] <= end * (column + 1) / columns:
            place += 1
        heights.append(math.ceil(samples[place][1] / peak * rows))
    return _data_uri(
        [
            bytes(_DISPATCHED if height >= rows - row else _TRANSPARENT for height in heights)
            for row in range(rows)
        ]
    )


def _data_uri(rows: Sequence[bytes]) -> str:
    return "data:image/png;base64," + base64.b64encode(_png(rows)).decode()


def _png(rows: Sequence[bytes]) -> bytes:
    """Return a PNG of indexes in ``COLOURS``, one byte per pixel (PNG specification, colour type 3)."""
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    palette = b"".join(bytes.fromhex(colour[1:7]) for colour in COLOURS)
    alpha = bytes(int(colour[7:] or "ff", 16) for colour in COLOURS)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 6)
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"tRNS", alpha), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
