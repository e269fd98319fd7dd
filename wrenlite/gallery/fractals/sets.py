"""The sets that can be drawn, as one function each: from points of a view to their counts.

A count is smooth, and infinite for points that never escape. A new set is a function in ``SETS``, its name in
``view.Kind`` and its default view in ``poster``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from wrenlite.gallery.fractals.colours import Rgb, check_name
from wrenlite.gallery.fractals.encoding import Field
from wrenlite.gallery.fractals.escape import Floats, Points, escape, escape_numpy
from wrenlite.gallery.fractals.palettes import PALETTES
from wrenlite.gallery.fractals.view import Kind, View

ROOT_SPAN = 64
"""The value of a point of Newton's method is its count plus this number times the number of its root."""
_ROOTS = 3
_NEAR = 1e-3
"""Distance from a root at which a point has arrived. From there on, the number of right digits doubles."""
_FADING = 5.0
"""Iterations after which half of a root's colours are left."""


def mandelbrot(points: Points, view: View) -> Floats:
    """Return the counts of the Mandelbrot set, or of a Julia set: z ← z² + c."""
    if view.seed is None:
        return escape(points, points, 1, view.iters)  # from 0 the first iteration leads to c
    return escape(points, np.full_like(points, view.julia), 0, view.iters)


def burning_ship(points: Points, view: View) -> Floats:
    """Return the counts of the burning ship: z ← (|Re z| + i |Im z|)² + c.

    The set is due to Michael Michelitsch and Otto Rössler, 1992. It is usually shown with y pointing down, as
    the ship is upright then. Here y points up, and the plane is mirrored: ``ypos`` has the opposite sign.
    """
    z = points.conj()
    c = z if view.seed is None else np.full_like(z, view.julia)
    return escape_numpy(z, c, 1 if view.seed is None else 0, view.iters, fold=True)


def newton(points: Points, view: View) -> Floats:
    """Return to which root of z³ = 1 Newton's method leads, and how fast: z ← z - (z³ - 1) / 3z².

    Returns:
        ``ROOT_SPAN`` times the number of the root, plus the smooth count, which is below ``ROOT_SPAN``. Near
        a root, a distance d becomes d² with each iteration, so the count grows by log2(log d).
    """
    values = np.full(points.size, np.inf)
    z, indices = points.copy(), np.arange(points.size)
    for step in range(min(view.iters + 1, ROOT_SPAN)):
        distance = np.abs(z * z * z - 1) / 3  # near a root, that is the distance from it
        arrived = distance < _NEAR
        ratio = np.log(np.maximum(distance[arrived], np.finfo(float).tiny)) / math.log(_NEAR)
        root = np.rint(np.angle(z[arrived]) * (_ROOTS / (2 * math.pi))) % _ROOTS
        values[indices[arrived]] = ROOT_SPAN * root + np.maximum(step - np.log2(ratio), 0.0)
        z, indices = z[~arrived & (z != 0)], indices[~arrived & (z != 0)]  # from 0 there is no next point
        z -= (z - 1 / (z * z)) / 3
    return values


SETS: dict[Kind, Callable[[Points, View], Floats]] = {
    "mandelbrot": mandelbrot,
    "burning-ship": burning_ship,
    "newton": newton,
}


def colour_of_roots(field: Field, palette: str, bits: int = 8) -> Rgb:
    """Return the colours of values of ``newton``, shape (height, width, 3).

    Each root has a third of the palette. Points that arrive soon have its first colours.

    Args:
        field: values of ``newton``, shape (height, width).
        palette: a key of ``PALETTES``.
        bits: of each colour's red, green and blue: 8 or 16.
    """
    known = np.where(np.isfinite(field), field, 0.0)
    root, count = np.divmod(known, ROOT_SPAN)
    position = (root + 1 - 0.5 ** (count / _FADING)) / _ROOTS
    pixels = PALETTES[check_name("palette", palette, PALETTES)].at(position, bits)
    pixels[~np.isfinite(field)] = 0
    return pixels
