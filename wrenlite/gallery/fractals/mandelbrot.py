"""The Mandelbrot set in tiles: counts on the workers, colours on the client.

The kernel iterates blocks of 128 x 128 points in place. Every few steps it takes out the points that
have escaped; a point's count is continuous (its fraction comes from how far the point has gone), so
there are no bands, and it may be read off any number of steps after the escape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 128
_STEPS = 5
"""Iterations between looks at which points have escaped."""
_BAILOUT = 65536.0
"""Squared distance past which a point has escaped: large, so that the fraction is exact to 1e-5."""
INSIDE = 65535
"""The value of points that never escaped."""


@dataclass(frozen=True)
class View:
    """A part of the plane and the grid of points on it."""

    x: float
    y: float
    """Of the centre; y points up."""
    extent: float
    """Width in the plane; the height follows from the grid, so that points are square."""
    width: int
    height: int
    """Points."""
    iterations: int
    """After so many a point counts as inside."""


POSTER = View(-0.7465, 0.1079, 0.0082, 3200, 1800, 800)
"""Seahorse valley: twice the points of a 1600 x 900 poster each way."""


@dataclass(frozen=True)
class Tile:
    """A rectangle of a view's grid."""

    view: View
    left: int
    top: int
    width: int
    height: int


def tiles(view: View, side: int) -> list[Tile]:
    """The view in tiles of so many points each way, smaller at the right and lower edges."""
    return [
        Tile(view, left, top, min(side, view.width - left), min(side, view.height - top))
        for top in range(0, view.height, side)
        for left in range(0, view.width, side)
    ]


def counts(tile: Tile) -> NDArray[np.uint16]:
    """How soon each point of a tile escapes, shape (height, width).

    0 to 65,534 stand for 0 to ``view.iterations``; ``INSIDE`` for the points that never escaped.
    """
    field = np.empty((tile.height, tile.width), np.uint16)
    for top in range(0, tile.height, _BLOCK):
        for left in range(0, tile.width, _BLOCK):
            height, width = min(_BLOCK, tile.height - top), min(_BLOCK, tile.width - left)
            x, y = _plane(tile, left, top, width, height)
            smooth = _escape(x, y, tile.view.iterations).reshape(height, width)
            scaled = np.where(smooth < 0, INSIDE, smooth * ((INSIDE - 1) / tile.view.iterations))
            field[top : top + height, left : left + width] = scaled
    return field


def _plane(tile: Tile, left: int, top: int, width: int, height: int) -> tuple[NDArray[np.float64], ...]:
    """Coordinates of a block's points, both of shape (height * width,)."""
    view = tile.view
    step = view.extent / view.width
    columns = tile.left + left + np.arange(width) + 0.5 - view.width / 2
    rows = tile.top + top + np.arange(height) + 0.5 - view.height / 2
    x = np.tile(view.x + step * columns, height)
    y = np.repeat(view.y - step * rows, width)
    return x, y


def _escape(x: NDArray[np.float64], y: NDArray[np.float64], iterations: int) -> NDArray[np.float64]:
    """The continuous number of iterations until each point escapes; -1 for those that do not."""
    result = np.full(x.size, -1.0)
    where = np.flatnonzero(~_in_bulbs(x, y))
    cx, cy = x[where], y[where]
    zx, zy = np.zeros_like(cx), np.zeros_like(cy)
    squares = np.empty((3, cx.size))
    done = 0
    while done < iterations and where.size:
        xx, yy, xy = squares[:, : where.size]
        for _ in range(_STEPS):
            np.multiply(zx, zx, out=xx)
            np.multiply(zy, zy, out=yy)
            np.multiply(zx, zy, out=xy)
            np.subtract(xx, yy, out=zx)
            zx += cx
            np.add(xy, xy, out=zy)
            zy += cy
        done += _STEPS
        np.multiply(zx, zx, out=xx)
        np.multiply(zy, zy, out=yy)
        xx += yy
        out = xx > _BAILOUT
        if not out.any():
            continue
        # |z| squares at each step, so log2(log |z|) grows by one: the count is the same at any later step.
        result[where[out]] = done - np.log2(np.log(xx[out]) / np.log(_BAILOUT))
        stay = ~out
        where, cx, cy, zx, zy = where[stay], cx[stay], cy[stay], zx[stay], zy[stay]
    return np.clip(result, -1.0, iterations, out=result)


def _in_bulbs(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points lie in the main cardioid or the disc left of it, and so inside."""
    yy = y * y
    q = (x - 0.25) ** 2 + yy
    cardioid = q * (q + (x - 0.25)) <= 0.25 * yy
    disc = (x + 1) ** 2 + yy <= 0.0625
    return np.asarray(cardioid | disc)


_STOPS = np.array(
    [(0, 7, 100), (32, 107, 203), (237, 255, 255), (255, 170, 0), (80, 16, 32), (0, 7, 100)], float
)
_PLACES = np.array([0.0, 0.16, 0.42, 0.6425, 0.8575, 1.0])


def colour(field: NDArray[np.uint16], iterations: int) -> NDArray[np.uint8]:
    """Colours of a field of counts, shape (height, width, 3); they come round ever more slowly."""
    steps = np.arange(INSIDE + 1) * (iterations / (INSIDE - 1))
    place = (0.62 * np.sqrt(np.log1p(steps)) * 4) % 1.0
    table = np.stack([np.interp(place, _PLACES, _STOPS[:, band]) for band in range(3)], axis=1)
    table[INSIDE] = 0
    return np.asarray(table.round().astype(np.uint8)[field])
