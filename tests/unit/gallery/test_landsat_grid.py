import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.warp import transform

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi import grid as grids
from wrenlite.gallery.ndvi import utm
from wrenlite.gallery.ndvi.grid import (
    Box,
    Grid,
    OutsideScene,
    Window,
)

COLOMBIA = Grid(32618, 378285.0, 275715.0, (30.0, 30.0), 7591, 7741)
"""From a real scene's metadata."""
FIJI_WEST = Grid(32660, 600015.0, -1799985.0, (30.0, 30.0), 7600, 7700)
"""From 177.9 east over the antimeridian to 179.9 west, as a scene of path 74 lies."""


@pytest.mark.parametrize("zone", [1, 18, 31, 60])
def test_projecting_agrees_with_proj(zone):
    rng = np.random.default_rng(zone)
    lon = utm.central_meridian(zone) + rng.uniform(-20, 20, 200)
    lat = rng.uniform(-80, 83, 200)
    x, y = utm.forth(lon, lat, zone)
    theirs = transform("EPSG:4326", f"EPSG:{32600 + zone}", lon, lat)
    assert np.abs(np.array([x, y]) - theirs).max() < 1e-6
    dlon, back = utm.back(x, y, zone)
    assert np.abs(dlon - utm.unwrap(lon, zone)).max() < 1e-11
    assert np.abs(back - lat).max() < 1e-11


def test_windows_are_aligned_to_blocks_and_cover_every_pixel_once():
    seen = np.zeros((COLOMBIA.height, COLOMBIA.width), np.uint8)
    windows = grids.windows(COLOMBIA)
    assert len(windows) == 16
    for column, row, width, height in windows:
        assert column % 256 == 0
        assert row % 256 == 0
        seen[row : row + height, column : column + width] += 1
    assert seen.min() == seen.max() == 1


@pytest.mark.parametrize("side", [0, -256, 100, 2000])
def test_windows_that_would_cut_blocks(side):
    with pytest.raises(ConfigError, match="a multiple of 256"):
        grids.windows(COLOMBIA, side)


def test_a_grid_keeps_its_half_pixel():
    part = COLOMBIA.part(Window(256, 512, 100, 100))
    assert (part.west % 30, part.north % 30) == (15, 15)
    assert (part.west, part.north) == (378285 + 256 * 30, 275715 - 512 * 30)
    assert COLOMBIA.transform == (378285.0, 30.0, 0.0, 275715.0, 0.0, -30.0)


@pytest.mark.parametrize(
    ("x", "y", "cell"),
    [(378300, 275700, (0, 0)), (606000, 275700, (0, 7590)), (378300, 43500, (7740, 0))],
)
def test_corners_of_the_metadata_are_centres_of_pixels(x, y, cell):
    dlon, lat = utm.back(x, y, 18)
    assert grids.cell(COLOMBIA, float(dlon) - 75, float(lat)) == cell


def test_a_point_half_a_pixel_on_is_the_next_pixel():
    dlon, lat = utm.back(378300 + 15.001, 275700, 18)
    assert grids.cell(COLOMBIA, float(dlon) - 75, float(lat)) == (0, 1)


@pytest.mark.parametrize(
    ("lon", "lat"),
    [(-73.0, 1.5), (-76.094, 2.4951), (-75.0, 48.0), (105.0, 1.5), (104.9, -1.5), (-165.0, 89.0)],
    ids=["beside", "just beside", "north", "antipode", "antipode mirrored", "far zone"],
)
def test_a_point_outside_is_told_with_both_places(lon, lat):
    with pytest.raises(OutsideScene, match=r"is outside LC08, which lies in \(-76\.09"):
        grids.cell(COLOMBIA, lon, lat, "LC08")


def test_latitude_first_is_found_out():
    with pytest.raises(ConfigError, match="longitude first"):
        grids.cell(COLOMBIA, 1.5, -175.0)


def test_a_box_in_the_middle():
    window = grids.cover(COLOMBIA, (-75.1, 1.4, -75.0, 1.5))
    assert window.width == pytest.approx(0.1 * 111_278 / 30, abs=3)
    assert window.height == pytest.approx(0.1 * 110_577 / 30, abs=3)
    assert grids.clip(window, COLOMBIA.window) == window


def test_a_box_partly_outside_reaches_beyond_the_grid():
    window = grids.cover(COLOMBIA, (-76.2, 2.4, -76.0, 2.6))
    assert window.column < 0
    assert window.row < 0
    inside = grids.clip(window, COLOMBIA.window)
    assert (inside.column, inside.row) == (0, 0)
    assert inside.width < window.width


@pytest.mark.parametrize("box", [(-73, 1, -72, 2), (10, 10, 11, 11), (104, -2, 106, 2), (178, 1, -178, 2)])
def test_a_box_outside_is_told_with_both_places(box):
    with pytest.raises(OutsideScene, match=r"box \(.*\) is outside LC08, which lies in \(-76\.09"):
        grids.cover(COLOMBIA, box, "LC08")


def test_a_box_of_half_the_world_is_refused():
    with pytest.raises(ConfigError, match="more than 30 degrees from the middle of UTM zone 18"):
        grids.cover(COLOMBIA, (-170, -10, 170, 10))


@pytest.mark.parametrize("box", [(-75.1, 1.4, -75.0, 90.0), (-75.1, -90.0, -75.0, 1.4), (-76, -90, -74, 90)])
def test_a_box_to_a_pole_ends_where_utm_does(box):
    window = grids.cover(COLOMBIA, box)
    middle = grids.cover(COLOMBIA, (-75.1, 1.39, -75.0, 1.41))
    assert window.width >= middle.width > 300
    _, north = utm.forth(-75.0, 84.0, 18)
    if box[3] == 90:
        # Along its parallel the box is curved: its corners lie further north, by less than 5 km here.
        assert 0 <= (275715.0 - window.row * 30) - float(north) < 5_000
    assert 3_000 < window.height < 700_000


def lies(ring, *box):
    return grids.overlap(ring, Box(*box))


def test_a_turned_square_and_its_empty_corners():
    ring = [[0, 10, 500.0], [10, 20, 500.0], [20, 10, 500.0], [10, 0, 500.0], [0, 10, 500.0]]
    assert lies(ring, 10, 10, 10, 10)
    assert lies(ring, 10, 20, 10, 20)
    assert not lies(ring, 1, 1, 1, 1)
    assert not lies(ring, 0, 0, 4, 4)
    assert lies(ring, 0, 0, 6, 6)
    assert lies(ring, 9, 9, 11, 11)
    assert lies(ring, -50, -50, 50, 50)
    assert not lies(ring, 10, 21, 11, 22)


@pytest.mark.parametrize(
    "ring", [[[179, 0], [-179, 0], [-179, 2], [179, 2]], [[181, 0], [179, 0], [179, 2], [181, 2]]]
)
def test_a_ring_across_the_antimeridian(ring):
    assert lies(ring, 179.5, 1, 179.5, 1)
    assert lies(ring, -179.5, 1, -179.5, 1)
    assert lies(ring, -180, 0, -170, 1)
    assert not lies(ring, 0, 1, 0, 1)
    assert not lies(ring, -178, 0, 178, 2)


def test_a_box_of_the_neighbouring_zone():
    beside = Grid(32619, 200025.0, 275715.0, (30.0, 30.0), 7600, 7700)
    assert grids.cover(beside, (-71.5, 1.0, -71.4, 1.1)).width > 300


def test_the_antimeridian():
    assert grids.split((179, -17, -179, -16)) == [Box(179, -17, 180, -16), Box(-180, -17, -179, -16)]
    assert grids.split((180, -17, -179, -16)) == [Box(-180, -17, -179, -16)]
    whole = grids.cover(FIJI_WEST, (179.5, -17.5, -179.9, -17.0))
    assert whole.width == pytest.approx(0.6 * 106_450 / 30, rel=0.02)
    west = grids.cover(FIJI_WEST, (179.5, -17.5, 180.0, -17.0))
    assert whole.column == west.column
    row, column = grids.cell(FIJI_WEST, -179.95, -17.2)
    assert whole.column < column < whole.column + whole.width
    assert whole.row < row < whole.row + whole.height
    assert FIJI_WEST.bounds.west > FIJI_WEST.bounds.east


def test_what_is_not_utm():
    with pytest.raises(ConfigError, match="EPSG:3031 is not a northern UTM zone"):
        _ = Grid(3031, 0.0, 0.0, (30.0, 30.0), 10, 10).zone


@given(
    st.integers(-5000, 5000),
    st.integers(-5000, 5000),
    st.integers(1, 9000),
    st.integers(1, 9000),
    st.integers(2, 3000),
)
def test_a_thinned_window_holds_the_window_and_keeps_to_the_size(column, row, width, height, most):
    window = Window(column, row, width, height)
    grown, every = grids.thin(window, most)
    assert grids.clip(window, grown) == window
    assert grown.column % every == grown.row % every == grown.width % every == grown.height % every == 0
    assert max(grown.width, grown.height) // every <= most


def test_a_window_of_one_to_one_is_left_alone():
    assert grids.thin(Window(5, 7, 100, 90), 100) == (Window(5, 7, 100, 90), 1)


def test_a_picture_without_pixels():
    with pytest.raises(ConfigError, match="max_size=1: a picture has at least 2 pixels a side"):
        grids.thin(Window(-1, 0, 2, 1), 1)
