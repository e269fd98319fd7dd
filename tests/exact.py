"""The fractal kernels' measure: counts by their definition, in Python's integers."""

import math
from decimal import Decimal
from fractions import Fraction

_FAR = 2**20
"""Out there, neglecting c beside z² changes nothing that a count could show."""
_MORE_STEPS = 5
"""From 256, a point is past that after at most so many more."""


def count(view, row, column):
    """How soon one point of a view escapes; infinite if not before ``view.iters``.

    The integers have a fixed point 80 bits below the points' spacing: an error grows with the distance
    of two neighbouring points, so it stays below 1e-20.
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


def differences(view, field, places):
    """Between the counts in a field of the whole view and the exact ones, in iterations.

    Infinite where one says inside and the other does not.
    """
    found = []
    for row, column in places:
        exact, value = count(view, int(row), int(column)), int(field[row, column])
        counted = math.inf if value == 65535 else value * view.iters / 65534
        found.append(0.0 if exact == counted else abs(exact - counted))
    return found
