from dataclasses import replace
from decimal import Decimal, localcontext
from types import SimpleNamespace

import numpy as np
import pytest

from tests import exact
from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals import compiled, perturbation
from wrenlite.gallery.fractals.mandelbrot import Tile, View, counts, tiles
from wrenlite.gallery.fractals.perturbation import DEEP_VIEW

SMALL = replace(DEEP_VIEW, width=96, height=54, iters=4000)
MANY_STEPS = View("-1.768667862837488812627419470", "0.001645580546820209430325900", "12e-22", 40, 24, 20_000)

with localcontext(prec=80):
    # The square root of 1.05 - 0.156i, by its parts.
    _SIZE = (Decimal("1.05") ** 2 + Decimal("0.156") ** 2).sqrt()
    _REAL = ((_SIZE + Decimal("1.05")) / 2).sqrt()
    FIXED = SimpleNamespace(real=Decimal("0.5") + _REAL, imag=Decimal("-0.078") / _REAL)


def whole_field(view):
    """Return the counts of a view as one tile."""
    return counts(Tile(view, 0, 0, view.width, view.height))


def errors(view, field, samples=25):
    """Return how many random counts, and how many of the steepest, are off from exact ones and no chaos.

    Half a unit of a float32 is allowed, and 1e-3 for the rounding of floats. That error grows like the
    distance of neighbouring points, to 1e-3 of a pixel, which is a large part of an iteration in filaments.
    """
    rng = np.random.default_rng(1)
    pixels = [*rng.integers((0, 0), field.shape, (samples, 2)), *exact.steepest(field, samples)]
    return exact.accuracy(view, field, pixels, view.iters * 2**-24 + 1e-3).errors


@pytest.mark.parametrize("radius", ["1e-12", "1e-20", "1e-28", "3e-30"])
def test_deep_counts_are_those_of_exact_arithmetic(radius):
    view = replace(SMALL, radius=radius)
    assert view.deep
    assert errors(view, whole_field(view)) == 0


@pytest.mark.parametrize("radius", ["1e-60", "1e-150", "1e-280"])
def test_counts_are_exact_at_any_depth(radius):
    view = View(-2, 0, radius, 40, 20, 2000)  # the tip of the antenna: every depth looks the same there
    assert errors(view, whole_field(view)) == 0


@pytest.mark.parametrize(
    ("xpos", "ypos"),
    [
        ("-0.743643887037158704752191506114774", "0.131825904205311970493132056385139"),
        ("-0.75", "0.0000000000001"),
        ("0.4", "0.3"),
        ("-1.999999999999999999", "0.000000000000000001"),
        (7, -3),
    ],
)
def test_counts_are_exact_wherever_the_reference_orbit_ends(xpos, ypos):
    view = View(xpos, ypos, "1e-13", 40, 24, 1500)
    assert errors(view, whole_field(view)) == 0


@pytest.mark.skipif(compiled.find_kernels() is None, reason="no library for this machine")
@pytest.mark.parametrize("view", [SMALL, MANY_STEPS])
def test_counts_of_jumping_points_are_those_of_exact_arithmetic(view, monkeypatch):
    assert perturbation.useful_jumps(view) is not None
    jumping = whole_field(view)
    assert errors(view, jumping) == 0
    monkeypatch.setattr(perturbation, "useful_jumps", lambda view: None)
    stepping = whole_field(view)
    assert (np.isinf(jumping) == np.isinf(stepping)).mean() > 0.999
    assert np.isclose(jumping, stepping, rtol=0, atol=0.1).mean() > 0.9  # all others are chaos: see below
    differing = np.argwhere(np.abs(np.minimum(jumping, view.iters) - np.minimum(stepping, view.iters)) > 0.1)
    assert exact.accuracy(view, jumping, differing[:40]).errors == 0


JULIA_VIEWS = [
    # A repelling fixed point, which is in the Julia set: 1/2 + sqrt(1/4 - c), with c = -0.8 + 0.156i.
    View(FIXED.real, FIXED.imag, "1e-20", 40, 30, 3000, seed=("-0.8", "0.156")),
    View(FIXED.real, FIXED.imag, "1e-40", 40, 30, 3000, seed=("-0.8", "0.156")),
    View(
        "0",
        "0",
        "1e-14",
        40,
        30,
        3000,
        seed=("-0.74364388703715870475219150611477", "0.13182590420531197049"),
    ),
    View("0.3", "0.2", "1e-20", 40, 30, 2000, seed=("-0.1", "0.1")),  # all points are inside
    View("2", "3", "1e-20", 9, 8, 50, seed=("0.1", "0.2")),
    View("300", "0", "1e-16", 9, 8, 50, seed=("7", "2")),  # both orbits end at once
    View(FIXED.real, FIXED.imag, "1e-20", 9, 8, 1, seed=("-0.8", "0.156")),
]


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("view", JULIA_VIEWS)
def test_counts_of_deep_julia_sets_are_those_of_exact_arithmetic(view, compile, monkeypatch):
    if not compile:
        monkeypatch.setattr(compiled, "find_kernels", lambda: None)
    assert view.deep
    assert errors(view, whole_field(view), 12) == 0


def test_digits_of_a_seed_beyond_those_of_a_float_count():
    views = [replace(JULIA_VIEWS[0], seed=(f"-0.8{digits}", "0.156")) for digits in ("", "0" * 22 + "1")]
    assert views[0] != views[1]
    assert (whole_field(views[0]) != whole_field(views[1])).any()


def test_orbits_that_do_not_fit_into_memory_are_refused(monkeypatch):
    monkeypatch.setattr(perturbation, "memory_bytes", lambda: 100_000)
    with pytest.raises(ConfigError, match=r"iters is 4,000: the orbit .* more than 500 positions"):
        perturbation.reference_orbit(replace(SMALL, radius="1.1e-28"))


@pytest.mark.skipif(compiled.find_kernels() is None, reason="no library for this machine")
def test_points_step_where_jumps_are_short():
    assert perturbation.useful_jumps(replace(SMALL, radius="1e-11")) is None


def test_both_kernels_agree_where_floats_are_precise_enough():
    view = View("-0.74364388703", "0.1318259042", "1e-6", 120, 80, 1000)
    assert not view.deep
    floats = whole_field(view)
    perturbed = perturbation.escape(Tile(view, 0, 0, 120, 80))
    # Some points next to filaments differ: plain floats lose digits that perturbations keep.
    assert np.isclose(floats, perturbed, rtol=0, atol=0.01).mean() > 0.99


@pytest.mark.parametrize("side", [1, 40])
def test_deep_counts_have_the_same_bits_however_a_view_is_cut(side):
    field = whole_field(SMALL)
    if side == 1:
        for row, column in ((0, 0), (27, 48), (53, 95), (20, 30)):
            assert counts(Tile(SMALL, column, row, 1, 1)) == field[row, column]
    else:
        for tile in tiles(SMALL, side):
            assert (counts(tile) == field[tile.rows, tile.columns]).all()


def test_the_deep_view_shows_points_inside_and_many_counts():
    field = whole_field(SMALL)
    inside = (field == np.inf).mean()
    assert 0.001 < inside < 0.1
    outside = field[field != np.inf]
    assert len(np.unique(outside)) > 1000
    assert Decimal(DEEP_VIEW.radius) == Decimal("1e-28")


def test_views_are_deep_when_floats_cannot_tell_their_points_apart():
    assert not View(0, 0, "1e-9", 1000, 1000, 100).deep
    assert View(0, 0, "1e-10", 1000, 1000, 100).deep
    assert View(400, 0, "1e-8", 1000, 1000, 100).deep  # floats are coarser there


def test_the_reference_orbit_is_computed_once_per_view():
    perturbation.reference_orbit.cache_clear()
    for tile in tiles(SMALL, 64):
        counts(tile)
    assert perturbation.reference_orbit.cache_info().misses == 1
