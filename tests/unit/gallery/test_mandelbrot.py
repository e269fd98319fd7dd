import math
import pickle
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from tests import exact
from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals import sets
from wrenlite.gallery.fractals.encoding import decode
from wrenlite.gallery.fractals.mandelbrot import Tile, View, counts, render, tiles, zoom

SEAHORSES = View(-0.743643, 0.131825, 0.01, 150, 140, 300)
EDGE = View(-0.00275, 0.78912, 0.125689, 320, 180, 800)
WHOLE = View(-0.75, 0, 3.5, 320, 180, 800)


def whole_field(view, method="plain"):
    """Return the counts of a view as one tile."""
    return counts(Tile(view, 0, 0, view.width, view.height, method))


def field_of_tiles(view, side, method="plain"):
    """Return the counts of a view that is cut into tiles."""
    field = np.zeros((view.height, view.width), np.float32)
    for tile in tiles(view, side, method):
        field[tile.rows, tile.columns] = counts(tile)
    return field


def largest_error(view, field, samples=150):
    """Return the largest difference from exact counts, in iterations."""
    rng = np.random.default_rng(3)
    return exact.accuracy(view, field, rng.integers((0, 0), field.shape, (samples, 2))).worst


def tolerance(view):
    """Return the error that is allowed, in iterations.

    It is half a unit of a float32, and 1e-4 for rounding and because counts neglect c for points beyond 256.
    """
    return view.iters * 2**-24 + 1e-4


@pytest.mark.parametrize(
    "view",
    [
        WHOLE,
        View(-1.25, -0.02, 0.1, 300, 200, 400),
        View(0.3, 0.02, "0.05", 200, 300, 251),
        View(5, 7, 30, 64, 64, 50),
    ],
)
def test_counts_are_those_of_exact_arithmetic(view):
    assert largest_error(view, whole_field(view)) <= tolerance(view)


@pytest.mark.parametrize("seed", [-0.8 + 0.156j, 0.285 + 0.01j, 0j, 2j])
def test_counts_of_julia_sets_are_those_of_exact_arithmetic(seed):
    view = View(0.1, -0.2, 3.0, 160, 120, 200, seed=seed)
    assert largest_error(view, whole_field(view)) <= tolerance(view)


def test_the_julia_set_of_0_is_the_unit_disc():
    view = View(0, 0, 4, 64, 64, 100, seed=0)
    x, y = np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5)
    assert ((whole_field(view) == np.inf) == (np.hypot(x, y) / 16 < 1)).all()


def test_y_points_up_and_pixels_are_square():
    view = View(-0.75, 0.5, 3.0, 90, 30, 100)  # its height is 1, so y goes from 0 to 1
    top, bottom = whole_field(view)[[0, -1]]
    assert not (top == np.inf).any()
    assert (bottom == np.inf).sum() > 40


@pytest.mark.parametrize("iters", [1, 2, 7, 100, 65535, 1_000_000])
def test_counts_are_exact_for_any_limit_of_iterations(iters):
    view = View(-2.5, 0.3, 0.5, 40, 3, iters)
    assert largest_error(view, whole_field(view), 40) <= tolerance(view)


@pytest.mark.parametrize("view", [SEAHORSES, View(0, 0, 3.2, 150, 140, 300, seed=-0.8 + 0.156j)])
@pytest.mark.parametrize("side", [1, 7, 64])
def test_counts_have_the_same_bits_however_a_view_is_cut(view, side):
    if side == 1:
        some = [Tile(view, column, row, 1, 1) for row in range(0, 140, 9) for column in range(0, 150, 9)]
        field = whole_field(view)[::9, ::9].ravel()
        assert [float(counts(tile)[0, 0]) for tile in some] == field.tolist()
    else:
        assert (field_of_tiles(view, side) == whole_field(view)).all()


def test_tiles_that_are_rendered_together_have_the_counts_of_single_tiles():
    parts = tiles(SEAHORSES, 64)
    ends = np.cumsum([tile.width * tile.height for tile in parts])
    encoded, computed = render(parts)
    for together, tile in zip(np.split(decode(encoded), ends[:-1]), parts, strict=True):
        assert np.allclose(together, counts(tile).ravel(), rtol=1.3e-4, atol=1e-2)
    assert computed == sum(render((tile,)).computed for tile in parts)
    assert decode(render(()).counts).shape == (0,)


def test_the_iterations_that_were_computed_are_told_apart_from_those_of_the_picture():
    inside = View(-0.1, 0.75, 0.01, 100, 100, 500)  # in a bulb of period 3
    parts = [render((Tile(inside, 0, 0, 100, 100, method),)) for method in ("plain", "mariani")]
    plain, filled = (part.computed for part in parts)
    assert plain == 100 * 100 * 500
    assert 0.05 * plain < filled < 0.2 * plain
    assert render((Tile(replace(inside, xpos=0, ypos=0), 0, 0, 100, 100),)).computed == 0  # in the cardioid


@pytest.mark.parametrize("view", [SEAHORSES, EDGE, WHOLE, View(0, 0, 3.2, 320, 180, 500, seed=-0.12 + 0.74j)])
@pytest.mark.parametrize("side", [128, 1000])
def test_filling_changes_no_counts_except_near_filaments(view, side):
    plain, filled = whole_field(view), field_of_tiles(view, side, "mariani")
    different = plain != filled
    assert (filled[different] == np.inf).all()  # a filament passed between two points of a mesh's edge
    assert different.mean() < 1e-3


def test_filling_saves_iterations(monkeypatch):
    iterated = []

    def counted_escape(z, c, step, iters):
        iterated.append(z.size)
        return real_escape(z, c, step, iters)

    real_escape = sets.escape
    monkeypatch.setattr(sets, "escape", counted_escape)
    view = View(-0.1, 0.75, 0.2, 256, 256, 500)
    inside = (whole_field(view, "mariani") == np.inf).mean()
    assert 0.2 < inside < 0.9
    assert sum(iterated) / 256**2 < 1 - inside * 0.7


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 30), (30, 1), (2, 2), (25, 49)])
def test_small_tiles_can_be_filled(width, height):
    view = View(-0.1, 0.74, 0.01, 64, 64, 100)  # all points are inside a bulb of period 3
    assert (counts(Tile(view, 3, 4, width, height, "mariani")) == np.inf).all()


def test_counts_are_smooth():
    view = View(-2.5, 0.0, 0.5, 400, 1, 100)
    field = whole_field(view)[0]
    assert np.abs(np.diff(field)).max() < 1 / 20


def test_views_with_equal_numbers_are_equal_however_these_are_written():
    view = View(0.1, "-0.50", Decimal("1e-3"), 10, 20, 30)
    same = View("0.1", -0.5, 0.001, 10, 20, 30)
    assert view == same
    assert hash(view) == hash(same)
    assert pickle.loads(pickle.dumps(view)) == view
    assert view.xpos == Decimal("0.1")


def test_a_centre_keeps_all_its_digits():
    digits = "-0.74511862670470651847984002817069761905822422500416"
    assert str(View(digits, 0, 1, 1, 1, 1).xpos) == digits


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"xpos": math.nan}, "xpos is nan: it must be finite"),
        ({"ypos": "inf"}, "ypos is inf: it must be finite"),
        ({"xpos": "left"}, "xpos is 'left': it must be a number"),
        ({"xpos": 1e6}, "farther than 1000 from 0"),
        ({"radius": 0}, "radius is 0: .* above 0"),
        ({"radius": -1.5}, "radius is -1.5"),
        ({"radius": "1e-300"}, "less than 1e-290 apart"),
        ({"radius": 1e9}, "farther than 1000 from 0"),
        ({"width": 0}, "width is 0: it must be 1 to 2,147,483,647"),
        ({"height": 10**400}, "it must be 1 to 2,147,483,647"),
        ({"height": -2}, "height is -2"),
        ({"width": 10.5}, "width is 10.5: it must be a whole number"),
        ({"iters": 0}, "iters is 0: it must be 1 to 2,147,483,647"),
        ({"iters": 2**31}, "iters is 2147483648"),
        ({"seed": complex(math.nan, 0)}, "seed is .* finite"),
        ({"kind": "burning-ship", "radius": "1e-20"}, "deep zooms are of the Mandelbrot set"),
        ({"seed": ("0.1", "x")}, "seed is 'x': it must be a number"),
        ({"seed": ("1000", "1")}, "at most 1000 from 0"),
    ],
)
def test_bad_arguments_are_refused(change, words):
    good = {"xpos": 0.1, "ypos": 0.2, "radius": 1, "width": 10, "height": 10, "iters": 100}
    View(**good)
    with pytest.raises(ConfigError, match=words):
        View(**good | change)


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigError, match="method is 'fast': it may be one of plain, mariani"):
        Tile(WHOLE, 0, 0, 8, 8, "fast")


def test_keyframes_of_a_zoom_narrow_by_the_same_factor():
    frames = zoom(View("0.1", "0.2", "1e-28", 10, 10, 50), 4, 15)
    assert len(frames) == 15
    assert (frames[0].radius, frames[-1].radius) == (Decimal(4), Decimal("1e-28"))
    widths = [float(frame.radius) for frame in frames]
    assert np.allclose(np.diff(np.log(widths)), math.log(1e-28 / 4) / 14, rtol=1e-12)
    assert {(frame.xpos, frame.ypos, frame.iters) for frame in frames} == {
        (Decimal("0.1"), Decimal("0.2"), 50)
    }


def test_a_zoom_with_one_frame_is_the_view_itself():
    assert zoom(WHOLE, 4, 1) == [WHOLE]
    with pytest.raises(ConfigError, match="frames is 0"):
        zoom(WHOLE, 4, 0)
