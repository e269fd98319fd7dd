import itertools
import math

import numpy as np
import pytest

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals import mandelbrot, tiling
from wrenlite.gallery.fractals.mandelbrot import counts
from wrenlite.gallery.fractals.poster import Poster, PosterOptions, picture
from wrenlite.gallery.fractals.sets import ROOT_SPAN
from wrenlite.gallery.fractals.view import Tile, View


def field(kind, **options):
    view = View(0, 0, 3, 24, 18, 60, kind=kind, **options)
    return counts(Tile(view, 0, 0, view.width, view.height)), view


def points(view):
    across, up = Tile(view, 0, 0, view.width, view.height).offsets()
    return [[complex(x, y) for x in across] for y in up]


@pytest.mark.parametrize("seed", [None, 0.4 - 0.7j])
def test_the_burning_ship_is_that_of_its_definition(seed):
    found, view = field("burning-ship", seed=seed)
    for row, column in itertools.product(range(18), range(24)):
        point = points(view)[row][column].conjugate()  # the plane is mirrored
        z, c, step = (0j, point, 0) if seed is None else (point, seed, 0)
        while max(abs(z.real), abs(z.imag)) <= 256 and step < 80:
            z, step = complex(abs(z.real), abs(z.imag)) ** 2 + c, step + 1
        smooth = step - math.log2(math.log(max(abs(z), 1.1)) / math.log(256))
        if smooth >= 60:
            assert found[row, column] == np.inf
        else:  # the kernel goes on for up to five steps, where c counts for less
            assert found[row, column] == pytest.approx(smooth, abs=0.01)


def test_newtons_method_is_that_of_its_definition():
    found, view = field("newton")
    roots = [np.exp(2j * math.pi * number / 3) for number in range(3)]
    for row, column in itertools.product(range(18), range(24)):
        z, step = points(view)[row][column], 0
        while min(abs(z - root) for root in roots) >= 1e-3:
            z, step = z - (z**3 - 1) / (3 * z * z), step + 1
        nearest = min(range(3), key=lambda number: abs(z - roots[number]))
        root, count = divmod(float(found[row, column]), ROOT_SPAN)
        assert root == nearest
        assert step - 1.01 <= count <= step + 0.01


def test_counts_of_newtons_method_have_no_bands():
    """Where a basin is wide, neighbouring points differ by little, also where the whole number changes."""
    view = View(1.6, 0, 0.8, 400, 1, 60, kind="newton")
    (row,) = counts(Tile(view, 0, 0, 400, 1))
    assert np.ptp(row) > 1.5
    assert np.abs(np.diff(row)).max() < 0.1


def test_zero_has_no_root_and_is_black():
    view = View(0, 0, 3, 41, 31, 60, kind="newton")
    found = counts(Tile(view, 0, 0, 41, 31))
    assert found[15, 20] == np.inf
    assert np.isfinite(found).sum() == 41 * 31 - 1
    assert (np.asarray(picture(found, Poster(view, smoothness=1)))[15, 20] == 0).all()


@pytest.mark.parametrize("kind", ["burning-ship", "newton"])
def test_a_picture_in_pieces_is_the_same_as_in_one(kind):
    wanted = PosterOptions(kind=kind, width=160, height=120, smoothness=1).poster()
    whole = counts(Tile(wanted.view, 0, 0, 160, 120))
    pieces = tiling.plan(wanted.view, 5)
    assert {tile.method for piece in pieces for tile in piece} == {"plain"}
    joined = tiling.assemble(wanted.view, pieces, map(mandelbrot.render, pieces))
    assert np.array_equal(np.isinf(joined), np.isinf(whole))
    finite = np.isfinite(whole)
    # What is sent has 16 bits over its range.
    sent, exact = joined[finite], whole[finite]
    assert np.abs(sent - exact).max() < np.ptp(exact) / 60_000 + 1e-4 * exact.max()
    assert np.asarray(picture(joined, wanted)).std() > 20


def test_each_root_has_its_own_colours():
    wanted = PosterOptions(kind="newton", width=90, height=90, smoothness=1, palette="Wren").poster()
    drawn = np.asarray(picture(counts(Tile(wanted.view, 0, 0, 90, 90)), wanted)).astype(int)
    right, above, below = drawn[45, 80], drawn[5, 25], drawn[85, 25]
    assert (
        min(np.abs(one - other).max() for one, other in ((right, above), (right, below), (above, below))) > 60
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "newtn"}, "no set is called 'newtn': did you mean newton"),
        ({"kind": "newton", "julia": "0.1,0.2"}, "Newton's method has no Julia sets"),
        ({"kind": "newton", "step": 5}, "step is 5: it has no effect with newton"),
        ({"kind": "burning-ship", "radius": "1e-14"}, "this set is iterated in float64"),
        ({"kind": "newton", "radius": "1e-20"}, "this set is iterated in float64"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        PosterOptions(**options)


def test_a_view_of_an_unknown_kind_is_refused():
    with pytest.raises(
        ConfigError, match="kind is 'ship': it may be one of mandelbrot, burning-ship, newton"
    ):
        View(0, 0, 3, 4, 3, 60, kind="ship")
