"""Exact escape counts, computed by their definition in Python's integers: the reference for the kernels."""

import math
from decimal import Decimal
from fractions import Fraction

_FAR = 2**20
"""At this distance, c is so small beside z² that leaving it out does not change a count."""
_MORE_STEPS = 5
"""The most iterations that take a point from the distance 256 past ``_FAR``."""


def count(view, row, column):
    """Return the smooth iteration count at which one point of a view escapes.

    It is infinite for a point that does not escape before ``view.iters``.

    The integers have a fixed point 80 bits below the points' spacing. A rounding error grows as the distance
    between two neighbouring points does, so it stays below 1e-20.
    """
    bits = 80 - math.floor(math.log2(view.spacing))
    one = 1 << bits
    step = Fraction(Decimal(view.radius)) / view.width
    px = Fraction(Decimal(view.xpos)) + step * (column + Fraction(1, 2) - Fraction(view.width, 2))
    py = Fraction(Decimal(view.ypos)) - step * (row + Fraction(1, 2) - Fraction(view.height, 2))
    start = (px, py) if view.seed is not None else (0, 0)
    added = (view.seed.real, view.seed.imag) if view.seed is not None else (px, py)
    (x, y), (cx, cy) = (tuple(round(Fraction(part) * one) for part in pair) for pair in (start, added))
    for iteration in range(view.iters + _MORE_STEPS):
        distance = math.hypot(x / one, y / one)
        if distance > _FAR:
            smooth = max(iteration - math.log2(math.log(distance) / math.log(256)), 0)
            return smooth if smooth < view.iters else math.inf
        x, y = ((x * x - y * y) >> bits) + cx, ((x * y) >> (bits - 1)) + cy
    return math.inf


def differences(view, field, pixels):
    """Return how far the counts in a field of the whole view are from the exact ones, in iterations.

    A difference is infinite where only one of the two says that the point does not escape.
    """
    errors = []
    for row, column in pixels:
        exact, counted = count(view, int(row), int(column)), float(field[row, column])
        errors.append(0.0 if exact == counted else abs(exact - counted))
    return errors
