"""Exact escape counts, computed by their definition in Python's integers: the reference for the kernels."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np

_FAR = 2**20
"""At this distance, c is so small beside z² that leaving it out does not change a count."""
_MORE_STEPS = 5
"""The most iterations that take a point from the distance 256 past ``_FAR``."""


def count(view, row, column):
    """Return the smooth iteration count at which one point of a view escapes.

    It is infinite for a point that does not escape before ``view.iters``. Row and column may be fractions.

    The integers have a fixed point 80 bits below the points' spacing. A rounding error grows as the distance
    between two neighbouring points does, so it stays below 1e-20.
    """
    bits = 80 - math.floor(math.log2(view.spacing))
    one = 1 << bits
    step = Fraction(Decimal(view.radius)) / view.width
    px = Fraction(Decimal(view.xpos)) + step * (Fraction(column) + Fraction(1, 2) - Fraction(view.width, 2))
    py = Fraction(Decimal(view.ypos)) - step * (Fraction(row) + Fraction(1, 2) - Fraction(view.height, 2))
    start = (px, py) if view.seed is not None else (0, 0)
    added = view.seed if view.seed is not None else (px, py)
    (x, y), (cx, cy) = (tuple(round(Fraction(part) * one) for part in pair) for pair in (start, added))
    for iteration in range(view.iters + _MORE_STEPS):
        distance = math.hypot(x / one, y / one)
        if distance > _FAR:
            smooth = max(iteration - math.log2(math.log(distance) / math.log(256)), 0)
            return smooth if smooth < view.iters else math.inf
        x, y = ((x * x - y * y) >> bits) + cx, ((x * y) >> (bits - 1)) + cy
    return math.inf


NEAR = Fraction(1, 1000)
"""Part of a pixel by which points are moved to see whether they are chaos: what ``View.deep`` allows."""


class Accuracy(NamedTuple):
    """How far some counts are from the exact ones."""

    off: int
    """Counts that differ by more than the tolerance."""
    errors: int
    """Those of them that are no chaos: moving the point by ``NEAR`` changes its exact count by less."""
    worst: float
    """The largest difference, in iterations."""


def accuracy(view, field, pixels, tolerance=0.1):
    """Compare counts in a field of a whole view with the exact ones; those inside count as ``view.iters``."""
    off = errors = 0
    worst = 0.0
    for row, column in ((int(row), int(column)) for row, column in pixels):
        exact = min(count(view, row, column), view.iters)
        difference = abs(exact - min(float(field[row, column]), view.iters))
        worst = max(worst, difference)
        if difference > tolerance:
            near = ((row - NEAR, column), (row + NEAR, column), (row, column - NEAR), (row, column + NEAR))
            changes = (abs(exact - min(count(view, *place), view.iters)) for place in near)
            off, errors = off + 1, errors + (not any(change > tolerance for change in changes))
    return Accuracy(off, errors, worst)


def steepest(field, number):
    """Return the pixels that escape, and whose counts differ most from one beside them that escapes too."""
    known = np.where(np.isfinite(field), field, np.nan).astype(float)
    steps = np.zeros(field.shape)
    for axis in (0, 1):
        for shift in (1, -1):
            change = np.nan_to_num(np.abs(known - np.roll(known, shift, axis)))
            np.moveaxis(change, axis, 0)[0 if shift == 1 else -1] = 0  # there is none beside it
            steps = np.maximum(steps, change)
    order = np.argsort(-steps, axis=None, kind="stable")[:number]
    return np.stack(np.unravel_index(order, field.shape), axis=-1)
