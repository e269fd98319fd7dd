import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from wrenlite.gallery.fractals import compiled, perturbation
from wrenlite.gallery.fractals.derivative import Start, follow, follow_numpy, follow_view
from wrenlite.gallery.fractals.mandelbrot import Tile, View, counts
from wrenlite.gallery.fractals.perturbation import DEEP_VIEW, useful_jumps

VIEWS = [
    View(-0.75, 0, 3.5, 40, 30, 200),
    View(-0.743643, 0.131825, 0.01, 40, 30, 900),
    View(0, 0, 3.2, 40, 30, 300, seed=-0.8 + 0.156j),
    replace(DEEP_VIEW, width=24, height=16, iters=3000),
    View("-1.768667862837488812627419470", "0.001645580546820209430325900", "12e-22", 20, 12, 9000),
    View(-2, 0, "1e-280", 20, 10, 2000),
    View(7, -3, "1e-13", 9, 7, 50),  # the orbit ends at once
    View(300, 0, "1e-13", 3, 2, 50),  # no point is within the bail-out
    View("0.4", "0.3", "1e-13", 33, 5, 1),
    View(3, 3, 0.5, 1, 1, 50),
]


def offsets(view):
    across, up = Tile(view, 0, 0, view.width, view.height).offsets()
    return (across + 1j * up[:, np.newaxis]).ravel()


def outside_of(found):
    return np.flatnonzero(np.isfinite(found.steps))


@pytest.mark.skipif(compiled.find_kernels() is None, reason="no library for this machine")
@pytest.mark.parametrize("view", VIEWS)
def test_the_compiled_kernel_has_the_same_bits_as_numpy(view):
    start = Start.of(offsets(view), view)
    ours, numpys = follow(start, view.iters), follow_numpy(start, view.iters)
    assert (ours.steps == numpys.steps).all()
    outside = outside_of(numpys)
    for name in ("z", "derivative", "traps"):
        assert (getattr(ours, name)[outside] == getattr(numpys, name)[outside]).all()


@pytest.mark.parametrize("view", VIEWS)
def test_counts_are_those_of_the_kernel_without_derivative(view, monkeypatch):
    monkeypatch.setattr(perturbation, "useful_jumps", lambda view: None)  # see decision 37
    tile = Tile(view, 0, 0, view.width, view.height)
    ours = follow(Start.of(offsets(view), view), view.iters).counts(view.iters)
    plain = counts(tile).ravel()
    assert (np.isinf(ours) == np.isinf(plain)).all()
    # c is left out beside z² from another step on; counts are rounded to float32; deep points may be rebased
    # at another step (see test_compiled_kernel).
    outside = np.isfinite(plain)
    bound = 1e-3 if view.deep else 2e-5
    assert np.abs(ours[outside] - plain[outside]).max(initial=0.0) <= bound + 1e-7 * plain[outside].max(
        initial=0.0
    )


def exact_derivative(view, row, column, steps):
    """Return z and dz/dc after some steps, in Python's integers, as ``exact.count`` has them."""
    shift = 80 - math.floor(math.log2(view.spacing))
    one = 1 << shift
    step = Fraction(Decimal(view.radius)) / view.width
    across, up = column + Fraction(1 - view.width, 2), row + Fraction(1 - view.height, 2)
    cx = round((Fraction(Decimal(view.xpos)) + step * across) * one)
    cy = round((Fraction(Decimal(view.ypos)) - step * up) * one)
    x = y = dx = dy = 0
    for _ in range(steps):
        dx, dy = ((x * dx - y * dy) >> (shift - 1)) + one, (x * dy + y * dx) >> (shift - 1)
        x, y = ((x * x - y * y) >> shift) + cx, ((x * y) >> (shift - 1)) + cy
    spacing = Fraction(view.spacing)
    scaled = complex(*(float(Fraction(part, one) * spacing) for part in (dx, dy)))
    return complex(x / one, y / one), scaled


@pytest.mark.parametrize("view", [view for view in VIEWS if view.seed is None and view.iters > 1])
def test_the_derivative_is_that_of_exact_arithmetic(view):
    found = follow(Start.of(offsets(view), view), view.iters)
    # Rounding acts like moving the point by this number of pixels, which changes z and dz the more, the
    # nearer the set is.
    moved = view.iters * np.finfo(float).eps * (view.width if view.deep else 1 / view.spacing)
    for index in outside_of(found)[::7]:
        row, column = divmod(int(index), view.width)
        z, derivative = exact_derivative(view, row, column, int(found.steps[index]))
        bound = 10 * moved * (1 + abs(derivative / z))
        assert abs(found.z[index] / z - 1) < bound
        assert abs(found.derivative[index] / derivative - 1) < bound


def test_the_derivative_of_a_julia_set_is_that_of_differences():
    view = VIEWS[2]
    start = Start.of(offsets(view), view)
    found = follow(start, view.iters)
    outside = outside_of(found)
    ordinary = outside[np.abs(found.derivative[outside]) < 100 * np.abs(found.z[outside])]
    assert ordinary.size > 800
    for index in ordinary[::11]:
        ends = []
        for shifted in (start.z[index] - 1e-9, start.z[index] + 1e-9):
            z = shifted
            for _ in range(int(found.steps[index])):
                z = z * z + view.julia
            ends.append(z)
        expected = (ends[1] - ends[0]) / 2e-9 * view.spacing
        assert abs(found.derivative[index] / expected - 1) < 1e-3


@pytest.mark.skipif(compiled.find_kernels() is None, reason="no library for this machine")
@pytest.mark.parametrize("view", [VIEWS[3], replace(VIEWS[4], width=300, height=4)])
def test_points_that_jump_have_the_derivative_of_those_that_do_not(view):
    assert useful_jumps(view) is not None
    jumping, steps = follow_view(offsets(view), view, False), follow_view(offsets(view), view, True)
    near = np.abs(steps.derivative / np.where(steps.z == 0, 1, steps.z))
    # Points nearer to the set than a thousandth of a pixel are chaos.
    ordinary = np.flatnonzero(np.isfinite(steps.steps) & (near < 5000))
    assert ordinary.size > 20
    assert (jumping.steps[ordinary] == steps.steps[ordinary]).all()
    # Each jump has a relative error of 2**-24, which grows where the set is near.
    error = np.abs(jumping.derivative[ordinary] / steps.derivative[ordinary] - 1)
    assert (error < view.iters * 2.0**-24 * (1 + near[ordinary])).all()
