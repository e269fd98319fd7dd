"""Windows, points and boxes on a scene's grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.warp import transform

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi import grid as grids
from wrenlite.gallery.ndvi import projection, utm
from wrenlite.gallery.ndvi.grid import (
    Box,
    Grid,
    OutsideScene,
    Window,
)

COLOMBIA = Grid(32618, 378285.0, 275715.0, (30.0, 30.0), 7591, 7741)
"""The grid of a real scene, from its metadata."""
FIJI_WEST = Grid(32660, 600015.0, -1799985.0, (30.0, 30.0), 7600, 7700)
"""A grid like that of a scene of path 74, from 177.9 east across the antimeridian to 179.9 west."""


def test_windows_are_aligned_to_blocks_and_cover_every_pixel_once():
    times_covered = np.zeros((COLOMBIA.height, COLOMBIA.width), np.uint8)
    windows = grids.windows(COLOMBIA)
    assert len(windows) == 16
    for column, row, width, height in windows:
        assert column % 256 == 0
        assert row % 256 == 0
        times_covered[row : row + height, column : column + width] += 1
    assert times_covered.min() == times_covered.max() == 1


@pytest.mark.parametrize("side", [0, -256, 100, 2000])
def test_windows_that_would_cut_blocks_are_refused(side):
    with pytest.raises(ConfigError, match="a multiple of 256"):
        grids.windows(COLOMBIA, side)


def test_a_grid_keeps_its_offset_of_half_a_pixel():
    part = COLOMBIA.part(Window(256, 512, 100, 100))
    assert (part.west % 30, part.north % 30) == (15, 15)
    assert (part.west, part.north) == (378285 + 256 * 30, 275715 - 512 * 30)
    assert COLOMBIA.transform == (378285.0, 30.0, 0.0, 275715.0, 0.0, -30.0)


@pytest.mark.parametrize(
    ("x", "y", "cell"),
    [(378300, 275700, (0, 0)), (606000, 275700, (0, 7590)), (378300, 43500, (7740, 0))],
)
def test_corners_of_the_metadata_are_centres_of_pixels(x, y, cell):
    relative_lon, lat = utm.inverse(x, y)
    assert grids.pixel_at(COLOMBIA, float(relative_lon) - 75, float(lat)) == cell


def test_a_point_half_a_pixel_further_is_in_the_next_pixel():
    relative_lon, lat = utm.inverse(378300 + 15.001, 275700)
    assert grids.pixel_at(COLOMBIA, float(relative_lon) - 75, float(lat)) == (0, 1)


@pytest.mark.parametrize(
    ("lon", "lat"),
    [(-73.0, 1.5), (-76.094, 2.4951), (-75.0, 48.0), (105.0, 1.5), (104.9, -1.5), (-165.0, 89.0)],
    ids=["beside", "just beside", "north", "antipode", "antipode mirrored", "far zone"],
)
def test_an_error_of_a_point_outside_has_both_places(lon, lat):
    with pytest.raises(
        OutsideScene, match=r"is outside LC08, which covers \(west, south, east, north\) \(-76\.09"
    ):
        grids.pixel_at(COLOMBIA, lon, lat, "LC08")


def test_latitude_before_longitude_is_refused():
    with pytest.raises(ConfigError, match="longitude first"):
        grids.pixel_at(COLOMBIA, 1.5, -175.0)


def test_a_box_in_the_middle():
    window = grids.covering_window(COLOMBIA, (-75.1, 1.4, -75.0, 1.5))
    assert window.width == pytest.approx(0.1 * 111_278 / 30, abs=3)
    assert window.height == pytest.approx(0.1 * 110_577 / 30, abs=3)
    assert grids.clip(window, COLOMBIA.window) == window


def test_the_window_of_a_box_partly_outside_reaches_beyond_the_grid():
    window = grids.covering_window(COLOMBIA, (-76.2, 2.4, -76.0, 2.6))
    assert window.column < 0
    assert window.row < 0
    inside = grids.clip(window, COLOMBIA.window)
    assert (inside.column, inside.row) == (0, 0)
    assert inside.width < window.width


@pytest.mark.parametrize("box", [(-73, 1, -72, 2), (10, 10, 11, 11), (104, -2, 106, 2), (178, 1, -178, 2)])
def test_an_error_of_a_box_outside_has_both_places(box):
    with pytest.raises(
        OutsideScene, match=r"box \(.*\) is outside LC08, which covers \(west, south, east, north\) \(-76\.09"
    ):
        grids.covering_window(COLOMBIA, box, "LC08")


def test_a_box_of_most_of_the_world_is_refused():
    with pytest.raises(ConfigError, match="too far from the places that the projection EPSG:32618"):
        grids.covering_window(COLOMBIA, (-170, -10, 170, 10))


@pytest.mark.parametrize("box", [(-75.1, 1.4, -75.0, 90.0), (-75.1, -90.0, -75.0, 1.4), (-76, -90, -74, 90)])
def test_the_window_of_a_box_to_a_pole_ends_where_utm_does(box):
    window = grids.covering_window(COLOMBIA, box)
    middle = grids.covering_window(COLOMBIA, (-75.1, 1.39, -75.0, 1.41))
    assert window.width >= middle.width > 300
    _, north = utm.forward(-75.0, 84.0, 18)
    if box[3] == 90:
        # In UTM the box's northern edge is curved: its corners are further north, here by less than 5 km.
        assert 0 <= (275715.0 - window.row * 30) - float(north) < 5_000
    assert 3_000 < window.height < 700_000


def meets(ring, *box):
    return grids.intersects(ring, Box(*box))


def test_a_turned_square_does_not_fill_its_box():
    ring = [[0, 10, 500.0], [10, 20, 500.0], [20, 10, 500.0], [10, 0, 500.0], [0, 10, 500.0]]
    assert meets(ring, 10, 10, 10, 10)
    assert meets(ring, 10, 20, 10, 20)
    assert not meets(ring, 1, 1, 1, 1)
    assert not meets(ring, 0, 0, 4, 4)
    assert meets(ring, 0, 0, 6, 6)
    assert meets(ring, 9, 9, 11, 11)
    assert meets(ring, -50, -50, 50, 50)
    assert not meets(ring, 10, 21, 11, 22)


@pytest.mark.parametrize(
    "ring", [[[179, 0], [-179, 0], [-179, 2], [179, 2]], [[181, 0], [179, 0], [179, 2], [181, 2]]]
)
def test_a_ring_across_the_antimeridian(ring):
    assert meets(ring, 179.5, 1, 179.5, 1)
    assert meets(ring, -179.5, 1, -179.5, 1)
    assert meets(ring, -180, 0, -170, 1)
    assert not meets(ring, 0, 1, 0, 1)
    assert not meets(ring, -178, 0, 178, 2)


def test_a_box_of_the_neighbouring_zone():
    beside = Grid(32619, 200025.0, 275715.0, (30.0, 30.0), 7600, 7700)
    assert grids.covering_window(beside, (-71.5, 1.0, -71.4, 1.1)).width > 300


def test_the_antimeridian():
    assert grids.split_at_antimeridian((179, -17, -179, -16)) == [
        Box(179, -17, 180, -16),
        Box(-180, -17, -179, -16),
    ]
    assert grids.split_at_antimeridian((180, -17, -179, -16)) == [Box(-180, -17, -179, -16)]
    whole = grids.covering_window(FIJI_WEST, (179.5, -17.5, -179.9, -17.0))
    assert whole.width == pytest.approx(0.6 * 106_450 / 30, rel=0.02)
    west = grids.covering_window(FIJI_WEST, (179.5, -17.5, 180.0, -17.0))
    assert whole.column == west.column
    row, column = grids.pixel_at(FIJI_WEST, -179.95, -17.2)
    assert whole.column < column < whole.column + whole.width
    assert whole.row < row < whole.row + whole.height
    assert FIJI_WEST.bounds.west > FIJI_WEST.bounds.east


ANTARCTICA = Grid(3031, -2_000_025.0, 1_300_005.0, (30.0, 30.0), 7600, 7700)
SOUTH = Grid(32718, 378_285.0, 9_275_715.0, (30.0, 30.0), 7600, 7700)
ALBERS = Grid(5070, -2_000_025.0, 2_000_025.0, (30.0, 30.0), 7600, 7700)
PLAIN = Grid(4326, 178.0, -16.0, (0.001, 0.001), 4000, 2000)
BRITAIN = Grid(27700, 400_000.0, 300_000.0, (30.0, 30.0), 7600, 7700)


@pytest.mark.parametrize("grid", [ANTARCTICA, SOUTH, ALBERS, PLAIN, BRITAIN, COLOMBIA, FIJI_WEST], ids=str)
def test_any_projection_places_points_and_boxes_as_proj_does(grid):
    rng = np.random.default_rng(grid.epsg)
    columns, rows = rng.uniform(0, grid.width, 50), rng.uniform(0, grid.height, 50)
    x, y = grid.west + columns * grid.pixel[0], grid.north - rows * grid.pixel[1]
    lon, lat = map(np.array, transform(f"EPSG:{grid.epsg}", "EPSG:4326", x, y))
    lon = (lon + 180) % 360 - 180
    cells = [grids.pixel_at(grid, *place) for place in zip(lon.tolist(), lat.tolist(), strict=True)]
    assert cells == [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]
    bounds = grid.bounds
    west_of = bounds.west <= lon if bounds.west < bounds.east else (bounds.west <= lon) | (lon <= bounds.east)
    assert west_of.all()
    assert ((bounds.south <= lat) & (lat <= bounds.north)).all()
    whole = grids.covering_window(grid, bounds)
    assert grids.clip(grid.window, whole) == grid.window
    with pytest.raises(OutsideScene, match="is outside the scene"):
        grids.pixel_at(grid, (float(lon[0]) + 180) % 360 - 180 if abs(lat[0]) < 60 else float(lon[0]), 5.0)


def test_a_box_round_the_south_pole_is_a_window_round_it():
    grid = Grid(3031, -3_000_000.0, 3_000_000.0, (30.0, 30.0), 200_000, 200_000)
    window = grids.covering_window(grid, (-180, -90, 180, -75))
    radius = float(projection.forward(3031, 0.0, -75.0)[1][0])
    assert window.width == window.height == 2 * np.ceil(radius / 30)
    assert grids.pixel_at(grid, 123.0, -90.0) == (100_000, 100_000)
    assert grid.bounds == Box(-180.0, -90.0, 180.0, grid.bounds.north)


def test_grids_in_degrees_reach_across_the_antimeridian():
    assert PLAIN.bounds == Box(178.0, -18.0, -178.0, -16.0)
    assert grids.pixel_at(PLAIN, -179.9995, -16.5005) == (500, 2000)
    window = grids.covering_window(PLAIN, (179.5, -17.0, -179.5, -16.5))
    assert (window.column, window.row) == pytest.approx((1500, 500), abs=1)
    assert (window.width, window.height) == pytest.approx((1000, 500), abs=2)


def test_the_size_of_a_pixel_on_the_ground():
    assert COLOMBIA.pixel_m == (30.0, 30.0)
    assert ALBERS.pixel_m == pytest.approx((30.0, 30.0), rel=0.02)  # Albers keeps areas, not lengths
    width, height = PLAIN.pixel_m
    assert width == pytest.approx(111.32 * np.cos(np.radians(17.0)), rel=0.006)
    assert height == pytest.approx(110.65, rel=0.006)  # a sphere in place of the ellipsoid


@pytest.mark.parametrize("epsg", [0, -5, 99999, 4978, 5703])
def test_codes_that_are_no_projection(epsg):
    with pytest.raises(ConfigError, match=f"EPSG:{epsg} is not a projection of places on Earth"):
        grids.pixel_at(Grid(epsg, 0.0, 0.0, (30.0, 30.0), 10, 10), 1.0, 1.0)


@pytest.mark.parametrize(
    ("lon", "lat", "words"),
    [
        (38.4, -122.4, "look swapped"),
        (1.0, 181.0, "no point on Earth: give"),
        (float("nan"), 1.0, "two numbers of degrees"),
        ("1", 2, "two numbers of degrees"),
        (None, 2, "two numbers of degrees"),
    ],
)
def test_points_that_are_not_on_earth(lon, lat, words):
    with pytest.raises(ConfigError, match=words):
        grids.check_point(lon, lat)


def test_swapped_coordinates_are_named_where_only_the_scene_tells():
    with pytest.raises(OutsideScene, match="look swapped: give the longitude first"):
        grids.pixel_at(COLOMBIA, 1.5, -75.0)
    with pytest.raises(ConfigError, match="look swapped: the order is west, south, east, north"):
        grids.check_box((38.0, -123.0, 39.0, -122.0))
    for box in ((1, 2, 3), "1234", (1, 2, "3", 4), (1, 2, float("inf"), 4)):
        with pytest.raises(ConfigError, match="is not a box"):
            grids.check_box(box)


@given(
    st.integers(-5000, 5000),
    st.integers(-5000, 5000),
    st.integers(1, 9000),
    st.integers(1, 9000),
    st.integers(2, 3000),
)
def test_a_decimated_window_contains_the_window_within_the_size(column, row, width, height, max_size):
    window = Window(column, row, width, height)
    grown, step = grids.decimate(window, max_size)
    assert grids.clip(window, grown) == window
    assert grown.column % step == grown.row % step == grown.width % step == grown.height % step == 0
    assert max(grown.width, grown.height) // step <= max_size


def test_a_window_that_fits_is_not_decimated():
    assert grids.decimate(Window(5, 7, 100, 90), 100) == (Window(5, 7, 100, 90), 1)


def test_a_picture_of_one_pixel_is_refused():
    with pytest.raises(ConfigError, match="max_size=1: a picture has at least 2 pixels per side"):
        grids.decimate(Window(-1, 0, 2, 1), 1)
