"""Cutting a view into tasks that take about equally long.

How long each part of a picture takes is not known in advance, but a preview with one of 256 points estimates
it well. From the preview follows the cost of each of many small tiles, and the tiles are packed into tasks,
the most expensive first.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.encoding import Field, decode
from wrenlite.gallery.fractals.escape import Floats, Indices
from wrenlite.gallery.fractals.mandelbrot import Part, counts, known_inside
from wrenlite.gallery.fractals.view import Tile, View, tiles

Piece = tuple[Tile, ...]
"""The tiles of one task."""

_PREVIEW_FACTOR = 16
"""Points of the view for one point of the preview, each way."""
_MIN_SIDE, _MAX_SIDE = 64, 128
"""Points of a tile's side. With fewer, numpy calls cost more than their work; with more, tasks are uneven."""
_TILES_PER_TASK = 24
"""So many that the errors of their estimates cancel out."""

# Costs in units of one iteration of one point, fitted to the times of 720 tiles of three views.
_POINT_COST = 36.0
"""Cost of a point in addition to its iterations."""
_FILL_COST = 2.0
"""Additional cost of a point in a tile that is filled by the Mariani-Silver method."""
_ON_LATTICE = 0.08
"""Fraction of the iterations that is still necessary in a filled area: those of the points on the lattice."""
_BULB_POINT_COST = 17.0
"""Whole cost of a point in the main bulbs, which is not iterated."""


def preview(view: View) -> Field:
    """Return the counts of one of 256 points of a view, from which ``plan`` estimates costs."""
    return counts(preview_tile(view))


def preview_tile(view: View) -> Tile:
    """Return the tile whose counts are the preview of a view."""
    return _whole(_preview_view(view))


def plan(view: View, tasks: int, previewed: Field | None = None) -> list[Piece]:
    """Cut a view into pieces of about equal cost, one per task.

    Args:
        view: the view.
        tasks: number of pieces. There are fewer if the view has few points.
        previewed: the ``preview`` of the view, where it is known already.

    Returns:
        The tiles of each task; the task with the highest expected cost comes first.

    Raises:
        ConfigError: ``tasks`` is below 1.
    """
    if tasks < 1:
        raise ConfigError(f"tasks is {tasks}: it must be at least 1")
    area = view.width * view.height / (tasks * _TILES_PER_TASK)
    side = min(max(8 * round(math.sqrt(area) / 8), _MIN_SIDE), _MAX_SIDE)
    return _pack(_estimate_costs(view, side, preview(view) if previewed is None else previewed), tasks)


def multiple_of_preview(view: View, previewed: Field) -> float:
    """Return the cost of all tiles of a view as a multiple of the cost of its preview."""
    plain, _ = _point_costs(_preview_view(view), previewed)
    return sum(cost for cost, _ in _estimate_costs(view, _MAX_SIDE, previewed)) / float(plain.sum())


def assemble(view: View, pieces: Sequence[Piece], parts: Iterable[Part]) -> Field:
    """Join the parts of all tasks to the field of the whole view.

    Args:
        view: the view.
        pieces: the tiles of each task, from ``plan``.
        parts: what ``mandelbrot.render`` returned for each piece.

    Returns:
        Counts, shape (height, width); infinite for points inside. See ``encoding`` for their error.
    """
    field = np.empty((view.height, view.width), np.float32)
    for piece, part in zip(pieces, parts, strict=True):
        fill(field, piece, part)
    return field


def fill(field: Field, piece: Piece, part: Part) -> None:
    """Write the counts of one task into the field of the whole view."""
    place(field, piece, decode(part.counts))


def place(whole: NDArray[Any], piece: Piece, values: NDArray[Any]) -> None:
    """Write the values of one task's points into an array of the whole view.

    Args:
        whole: shape (height, width).
        piece: the tiles of the task.
        values: shape (points,): tile after tile, each row by row.
    """
    ends = list(itertools.accumulate(tile.width * tile.height for tile in piece))
    for tile, part in zip(piece, np.split(values, ends[:-1]), strict=True):
        whole[tile.rows, tile.columns] = part.reshape(tile.height, tile.width)


def enlarge(previewed: Field, view: View) -> Field:
    """Return the field of a whole view as its preview shows it: in squares of equal counts."""
    scale = _preview_scale(view)
    rows, columns = ((np.arange(length) * scale).astype(int) for length in (view.height, view.width))
    return np.asarray(previewed[rows[:, np.newaxis], columns])


def _whole(view: View) -> Tile:
    """Return a view as one tile."""
    return Tile(view, 0, 0, view.width, view.height)


def _preview_scale(view: View) -> float:
    """Return the points of the preview for one of the view: the same both ways, as pixels are square."""
    return math.ceil(view.width / _PREVIEW_FACTOR) / view.width


def _preview_view(view: View) -> View:
    scale = _preview_scale(view)
    width, height = (math.ceil(length * scale) for length in (view.width, view.height))
    return replace(view, width=width, height=height)


def _estimate_costs(view: View, side: int, previewed: Field) -> list[tuple[float, Tile]]:
    """Return the tiles of a view, each with its estimated cost and with the cheaper of the two methods."""
    scale = _preview_scale(view)
    rows, columns = ((np.arange(0, length, side) * scale).astype(int) for length in (view.height, view.width))
    point_costs = _point_costs(_preview_view(view), previewed)
    plain, mariani = (_tile_means(costs, rows, columns) for costs in point_costs)
    if view.deep or view.kind != "mandelbrot":
        mariani = np.full_like(mariani, np.inf)  # perturbation computes every point; other sets have holes
    tiles_with_costs = []
    for tile, plain_cost, mariani_cost in zip(tiles(view, side), plain.flat, mariani.flat, strict=True):
        cost = float(min(plain_cost, mariani_cost)) * tile.width * tile.height
        if mariani_cost < plain_cost:
            tile = replace(tile, method="mariani")
        tiles_with_costs.append((cost, tile))
    return tiles_with_costs


def _tile_means(costs: Floats, rows: Indices, columns: Indices) -> Floats:
    """Return the means over the rectangles that begin at some rows and columns."""
    sums = np.add.reduceat(np.add.reduceat(costs, rows, axis=0), columns, axis=1)
    heights, widths = np.diff(rows, append=costs.shape[0]), np.diff(columns, append=costs.shape[1])
    return np.asarray(sums / np.outer(heights, widths))


def _point_costs(small: View, field: Field) -> tuple[Floats, Floats]:
    """Return the expected costs of a point near each point of a preview, by ``plain`` and ``mariani``."""
    spent = np.minimum(field, small.iters)
    free = known_inside(_whole(small))
    plain = np.where(free, _BULB_POINT_COST, _POINT_COST + spent)
    computed = np.where(_surrounded_by_inside(np.isinf(field)), _ON_LATTICE, 1.0)
    return plain, np.where(free, _BULB_POINT_COST, _POINT_COST + _FILL_COST + spent * computed)


def _surrounded_by_inside(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which points are inside together with their eight neighbours: a mesh there will be filled."""
    framed = np.pad(inside, 1, mode="edge")
    across = framed[:, :-2] & framed[:, 1:-1] & framed[:, 2:]
    return np.asarray(across[:-2] & across[1:-1] & across[2:])


def _pack(tiles_with_costs: Iterable[tuple[float, Tile]], tasks: int) -> list[Piece]:
    """Distribute tiles over tasks of about equal cost.

    Each tile, the most expensive first, is given to the task that has the lowest cost so far. (R. L. Graham,
    "Bounds on multiprocessing timing anomalies", 1969: the result is at most 4/3 of the optimum.)
    """
    loads: list[tuple[float, int, list[Tile]]] = [(0.0, number, []) for number in range(tasks)]
    for cost, tile in sorted(tiles_with_costs, key=lambda pair: -pair[0]):
        load, number, piece = loads[0]
        piece.append(tile)
        heapq.heapreplace(loads, (load + cost, number, piece))
    return [tuple(piece) for _, _, piece in sorted(loads, key=lambda each: -each[0]) if piece]
