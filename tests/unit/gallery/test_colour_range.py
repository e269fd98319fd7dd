import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wrenlite.gallery.fractals.colour_range import ColourRange
from wrenlite.gallery.fractals.palettes import colour

COUNTS = st.sampled_from([np.inf, 0.0, 7.25]) | st.floats(0, 2**31, width=32)
USUAL = np.geomspace(5, 800, 4096, dtype=np.float32).reshape(64, 64)
DEEP = np.append(np.linspace(8400, 8700, 4000), np.geomspace(6874, 50_000, 96)).astype(np.float32)
DEEP = DEEP.reshape(64, 64)


def runs(colours, lowest, highest):
    """Return how many runs through the palette there are between two counts."""
    between = colours.positions()[colours.entries(np.array([lowest, highest], np.float32))]
    return between[1] - between[0]


def test_counts_that_double_often_have_about_a_run_for_each_time():
    colours = ColourRange.of(USUAL)
    assert runs(colours, 100, 208) == pytest.approx(1.15, abs=0.01)  # 8 more than the double
    assert runs(colours, 300, 608) == pytest.approx(runs(colours, 100, 200 + 8), abs=0.02)


def test_counts_of_a_deep_view_that_are_close_together_have_many_colours():
    assert runs(ColourRange.of(USUAL, DEEP), 8400, 8700) > 1.5
    assert runs(ColourRange.of(DEEP), 8400, 8700) > 1.5
    middle = np.abs(DEEP - 8550) < 100
    assert colour(DEEP, "Wren")[middle].std(axis=0).min() > 20


def test_a_range_of_several_pictures_is_the_same_in_any_order_and_for_equal_pictures():
    together = ColourRange.of(USUAL, DEEP)
    assert together == ColourRange.of(DEEP, USUAL) == ColourRange.of(USUAL, DEEP, USUAL)
    assert hash(together) == hash(ColourRange.of(DEEP, USUAL))


def test_tiles_have_the_colours_of_the_whole_picture_with_its_range():
    colours = ColourRange.of(DEEP)
    whole = colour(DEEP, colours=colours)
    tiles = [colour(DEEP[:, start : start + 16], colours=colours) for start in range(0, 64, 16)]
    assert (np.concatenate(tiles, axis=1) == whole).all()
    assert (whole == colour(DEEP)).all()


@settings(deadline=None, max_examples=40)
@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=COUNTS))
def test_every_field_has_a_range_and_its_positions_ascend(field):
    colours = ColourRange.of(field)
    positions = colours.positions()
    assert np.isfinite(positions).all()
    assert (np.diff(positions) >= 0).all()
    assert (colour(field, colours=colours)[np.isinf(field)] == 0).all()


def test_counts_outside_of_a_range_have_the_colours_of_its_ends():
    colours = ColourRange.of(np.array([[100.0, 200.0]], np.float32))
    below, low, high, above = colour(np.array([[1, 100, 200, 9e8]], np.float32), colours=colours)[0].tolist()
    assert below == low
    assert above == high


def test_pictures_without_any_point_outside_do_not_count():
    inside = np.full((4, 4), np.inf, np.float32)
    assert ColourRange.of(inside, USUAL) == ColourRange.of(USUAL)
    assert (colour(inside) == 0).all()
