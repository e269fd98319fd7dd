"""Cutting a view into tasks that take about equally long.

Where a picture is slow is not known before it is there, but a picture of a 256th of the points comes close.
From it follows what each of many small tiles will cost, and they are packed into tasks, the dearest first.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.escape import Floats, Places
from wrenlite.gallery.fractals.mandelbrot import counts, in_bulbs
from wrenlite.gallery.fractals.view import (
    INSIDE,
    Tile,
    View,
    iterations,
    tiles,
)

Piece = tuple[Tile, ...]
"""The tiles of one task."""
Field = NDArray[np.uint16]

_COARSE = 16
"""Points of the view for one of the preview, each way."""
_SIDES = 64, 128
"""Points of a tile's side: fewer, and numpy's calls cost more than their work; more, and tasks are uneven."""
_TILES_A_TASK = 24
"""Enough for the errors of their estimates to cancel out."""

_POINT = 30.0
"""What a point costs beside its iterations, in iterations of one point …"""
_LATTICE = 6.0
"""… what it costs more on a tile that is to be filled …"""
_ON_LINES = 0.06
"""… which part of the iterations in a filled area is left, on the lines of lattices …"""
_FREE = 10.0
"""… and what a point of the bulbs costs. Fitted to the times of 100 heaps of tiles from three views."""


def plan(view: View, tasks: int) -> list[Piece]:
    """The view cut into so many tasks, or fewer if it has few points; the one expected to take longest first.

    Raises:
        ConfigError: ``tasks`` is below 1.
    """
    if tasks < 1:
        raise ConfigError(f"tasks is {tasks}: it must be at least 1")
    area = view.width * view.height / (tasks * _TILES_A_TASK)
    smallest, largest = _SIDES
    side = min(max(8 * round(math.sqrt(area) / 8), smallest), largest)
    return _packed(_priced(view, side), tasks)


def assemble(view: View, pieces: Sequence[Piece], values: Iterable[Field]) -> Field:
    """The counts of the whole view, shape (height, width), from what ``render`` returned for each piece."""
    field = np.empty((view.height, view.width), np.uint16)
    for piece, value in zip(pieces, values, strict=True):
        ends = list(itertools.accumulate(tile.width * tile.height for tile in piece))
        for tile, count in zip(piece, np.split(value, ends[:-1]), strict=True):
            field[tile.rows, tile.columns] = count.reshape(tile.height, tile.width)
    return field


def _priced(view: View, side: int) -> list[tuple[float, Tile]]:
    """A view's tiles with the method that suits each, and what it will cost in iterations of one point."""
    scale = math.ceil(view.width / _COARSE) / view.width  # the same both ways, as pixels are square
    width, height = (math.ceil(length * scale) for length in (view.width, view.height))
    rows, columns = ((np.arange(0, length, side) * scale).astype(int) for length in (view.height, view.width))
    costs = _costs(replace(view, width=width, height=height))
    plain, mariani = (_means(cost, rows, columns) for cost in costs)
    if view.deep:
        mariani = np.full_like(mariani, np.inf)  # there every point is followed by itself
    priced = []
    for tile, alone, filled in zip(tiles(view, side), plain.flat, mariani.flat, strict=True):
        cost = float(min(alone, filled)) * tile.width * tile.height
        priced.append((cost, replace(tile, method="mariani") if filled < alone else tile))
    return priced


def _means(costs: Floats, rows: Places, columns: Places) -> Floats:
    """Means over the rectangles that begin at these rows and columns."""
    sums = np.add.reduceat(np.add.reduceat(costs, rows, axis=0), columns, axis=1)
    heights, widths = np.diff(rows, append=costs.shape[0]), np.diff(columns, append=costs.shape[1])
    return np.asarray(sums / np.outer(heights, widths))


def _costs(coarse: View) -> tuple[Floats, Floats]:
    """What points near each of a view's will cost, plain and with filling."""
    field = counts(Tile(coarse, 0, 0, coarse.width, coarse.height))
    inside = field == INSIDE
    spent = iterations(field, coarse.iters)
    free = _free(coarse)
    plain = np.where(free, _FREE, _POINT + spent)
    computed = np.where(_amid_inside(inside), _ON_LINES, 1.0)
    return plain, np.where(free, _FREE, _POINT + _LATTICE + spent * computed)


def _amid_inside(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which samples lie inside with all eight around them: a mesh there will be filled."""
    framed = np.pad(inside, 1, mode="edge")
    across = framed[:, :-2] & framed[:, 1:-1] & framed[:, 2:]
    return np.asarray(across[:-2] & across[1:-1] & across[2:])


def _free(view: View) -> NDArray[np.bool_]:
    """Which points are not iterated at all."""
    if view.seed is not None or view.deep:
        return np.zeros((view.height, view.width), np.bool_)
    across, up = Tile(view, 0, 0, view.width, view.height).offsets()
    return in_bulbs(float(view.xpos) + across, float(view.ypos) + up[:, np.newaxis])


def _packed(priced: Iterable[tuple[float, Tile]], tasks: int) -> list[Piece]:
    """Tiles in so many heaps of about equal cost: each, the dearest first, goes where least lies yet.

    (R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969: at most 4/3 of the best there is.)
    """
    heaps: list[tuple[float, int, list[Tile]]] = [(0.0, number, []) for number in range(tasks)]
    for cost, tile in sorted(priced, key=lambda pair: -pair[0]):
        load, number, heap = heaps[0]
        heap.append(tile)
        heapq.heapreplace(heaps, (load + cost, number, heap))
    return [tuple(heap) for _, _, heap in sorted(heaps, key=lambda each: -each[0]) if heap]
