"""Scenes of several projections on one declared grid."""

import numpy as np
import pytest
from rasterio.warp import transform

from tests.landsat import ArrayReader, ground, write_ground
from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.access import default_reader
from wrenlite.gallery.ndvi import grid as grids
from wrenlite.gallery.ndvi import indices, projection
from wrenlite.gallery.ndvi.grid import Grid, OutsideScene, Window
from wrenlite.gallery.ndvi.mosaic import mosaic
from wrenlite.gallery.ndvi.target import declare_grid
from wrenlite.gallery.ndvi.warped import WarpedReader

WEST, EAST = "LC08_L2SP_043033_20220105_20220112_02_T1", "LC09_L2SP_042033_20220106_20220112_02_T1"
SIDE = 400


def grid_at(epsg, lon, lat, pixel=30.0, side=SIDE):
    """A grid of any projection, whose middle is at a place, 15 m off the multiples of 30 as Landsat's."""
    x, y = (float(number[0]) for number in projection.forward(epsg, lon, lat))
    west, north = x // 30 * 30 + 15 - side // 2 * pixel, y // 30 * 30 + 15 + side // 2 * pixel
    return Grid(epsg, west, north, (pixel, pixel), side, side)


@pytest.fixture(scope="module")
def two_zones(tmp_path_factory):
    """Scenes of zones 10 and 11 that overlap at 120 degrees west."""
    root = tmp_path_factory.mktemp("zones")
    return (
        write_ground(root, WEST, grid_at(32610, -120.03, 38.0)),
        write_ground(root, EAST, grid_at(32611, -119.95, 38.0)),
    )


def centres(grid):
    """Longitudes and latitudes of the pixels' centres, of shape (height, width)."""
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    x, y = grid.west + columns * grid.pixel[0], grid.north - rows * grid.pixel[1]
    lon, lat = transform(f"EPSG:{grid.epsg}", "EPSG:4326", x.ravel(), y.ravel())
    return np.reshape(lon, x.shape), np.reshape(lat, x.shape)


@pytest.mark.parametrize(("epsg", "resolution"), [("like", None), ("auto", 31.0), (5070, 30.0), (4326, 3e-4)])
def test_a_mosaic_over_two_zones_shows_the_ground(two_zones, epsg, resolution):
    box = (-120.08, 37.97, -119.90, 38.03)
    like = tasks.grid_of(two_zones[1])
    grid = declare_grid(box, like=like) if epsg == "like" else declare_grid(box, epsg, resolution)
    pairs = [(scene, window) for scene in two_zones for window in grids.windows(grid, 256)]
    made = mosaic(tasks.ndvi_tile(scene, window, grid=grid) for scene, window in pairs)
    assert made.grid == grid
    assert made.products == (WEST, EAST)
    assert made.masked < 0.2
    has = made.values != indices.NODATA
    truth = ground(*centres(grid))
    east_west, north_south = np.abs(np.gradient(truth))
    # A pixel shows a place that is at most half a pixel of the scene away in each direction.
    allowed = (np.hypot(east_west, north_south).max() * 30 / grid.pixel_m[0] + 0.0002) * np.sqrt(0.5) * 1.1
    assert np.abs(indices.to_float(made.values) - truth)[has].max() < allowed < 0.02
    assert abs((indices.to_float(made.values) - truth)[has].mean()) < allowed / 20  # no shift to one side


@pytest.mark.parametrize("epsg", [4326, 4269, 3857, 6933])
def test_a_scene_across_the_antimeridian(tmp_path, epsg):
    scene = write_ground(tmp_path, WEST, grid_at(32660, 180.0, -17.0))
    grid = declare_grid((179.97, -17.02, -179.97, -16.98), epsg)
    tile = tasks.ndvi_tile(scene, grid.window, grid=grid)
    assert (tile.values != indices.NODATA).all()
    lon, lat = (numbers[:: grid.height - 1, :: grid.width - 1] for numbers in centres(grid))
    corners = tile.values[:: grid.height - 1, :: grid.width - 1]
    for place in np.ndindex(2, 2):
        point = tasks.ndvi_point(scene, float(projection.wrap_longitude(lon[place])), float(lat[place]))
        assert point.value == pytest.approx(corners[place] / 10_000, abs=6e-5)


@pytest.mark.parametrize(
    "window", [(0, 0, 10), "0000", None, (0, 0, 10, 0), (0, 0, -1, 5), (0.5, 0, 1, 1), (True, 0, 1, 1), 7]
)
def test_what_is_no_window(two_zones, window):
    with pytest.raises(ConfigError, match=r"is not a window: give column, row, width and height"):
        tasks.ndvi_tile(two_zones[0], window)


def test_four_numbers_are_a_window(two_zones):
    grid = declare_grid((-120.08, 37.97, -119.90, 38.03))
    expected = tasks.ndvi_tile(two_zones[0], Window(1, 2, 30, 40), grid=grid)
    for window in ((1, 2, 30, 40), [1, 2, 30, 40], np.array([1, 2, 30, 40])):
        tile = tasks.ndvi_tile(two_zones[0], window, grid=grid)
        assert tile.grid == expected.grid
        assert (tile.values == expected.values).all()


def test_a_scene_on_the_pixels_of_the_grid_is_read_as_it_is(two_zones):
    scene, own = two_zones[0], tasks.grid_of(two_zones[0])
    single = tasks.ndvi_tile(scene, own.window)
    grid = declare_grid(own.bounds, like=own)
    assert grid.width > own.width  # the box in degrees is larger than the scene
    tile = tasks.ndvi_tile(scene, grid.window, grid=grid)
    column, row = grid.offset_of(own)
    part = tile.values[row : row + own.height, column : column + own.width]
    assert part.tobytes() == single.values.tobytes()
    assert tile.hidden.fill == pytest.approx(1 - own.width * own.height / tile.values.size)
    assert tile.grid == grid


def test_a_scene_that_does_not_reach_the_grid_has_only_fill(two_zones):
    for box in ((-119.5, 38.0, -119.49, 38.01), (20.0, 38.0, 20.01, 38.01)):
        grid = declare_grid(box)
        tile = tasks.ndvi_tile(two_zones[0], grid.window, grid=grid)
        assert tile.fill == tile.masked == 1.0
        assert (tile.values == indices.NODATA).all()


def test_clouds_stay_with_their_pixels(tmp_path):
    own = grid_at(32610, -120.03, 38.0)
    hidden = np.full((SIDE, SIDE), 21824, np.uint16)
    hidden[100:200, 150:300] |= 1 << 3
    scene = write_ground(tmp_path, WEST, own, hidden=hidden)
    grid = declare_grid((-120.06, 37.98, -120.0, 38.02), 32611)
    tile = tasks.ndvi_tile(scene, grid.window, grid=grid)
    columns, rows = own.fractional_pixels(*(each.ravel() for each in centres(grid)))
    cloudy = hidden[rows.astype(int), columns.astype(int)].reshape(tile.values.shape) != 21824
    wrong = (tile.values == indices.NODATA) != cloudy
    assert wrong.mean() < 5e-4  # pixels at whose edge GDAL's approximation chose the neighbour
    assert tile.hidden.cloud == pytest.approx(cloudy.mean(), abs=5e-4)
    assert tile.hidden.fill == 0


@pytest.mark.parametrize("epsg", ["auto", 4326, 3832])
def test_scenes_on_both_sides_of_the_antimeridian(tmp_path, epsg):
    scenes = [
        write_ground(tmp_path, "LC08_L2SP_074072_20220105_20220112_02_T1", grid_at(32660, 179.97, -16.9)),
        write_ground(tmp_path, "LC08_L2SP_073072_20220105_20220112_02_T1", grid_at(32601, -179.95, -16.9)),
    ]
    grid = declare_grid((179.93, -16.93, -179.91, -16.87), epsg, 0.0003 if epsg == 4326 else 30.0)
    made = mosaic(tasks.ndvi_tile(scene, grid.window, grid=grid) for scene in scenes)
    assert grid.width < 1000
    assert made.masked < 0.1
    truth = ground(*centres(grid))
    has = made.values != indices.NODATA
    assert np.abs(indices.to_float(made.values) - truth)[has].max() < 0.02


def test_antarctica_and_a_zone_of_utm(tmp_path):
    scene = write_ground(tmp_path, "LC08_L2SP_220107_20220105_20220112_02_T2", grid_at(3031, -60.0, -70.0))
    grid = declare_grid((-60.05, -70.02, -59.95, -69.98), 32721)
    tile = tasks.ndvi_tile(scene, grid.window, grid=grid)
    truth = ground(*centres(grid))
    has = tile.values != indices.NODATA
    assert has.mean() > 0.9
    assert np.abs(indices.to_float(tile.values) - truth)[has].max() < 0.02


def test_every_task_reads_on_a_grid(two_zones):
    grid = declare_grid((-120.06, 37.98, -120.0, 38.02), 32611)
    reader = WarpedReader(grid, default_reader())
    tile = tasks.ndvi_tile(two_zones[0], grid.window, grid=grid)
    lon, lat = centres(grid)
    point = tasks.ndvi_point(two_zones[0], float(lon[50, 60]), float(lat[50, 60]), reader=reader)
    assert round(point.value * 10_000) == tile.values[50, 60]
    area = tasks.ndvi_area(two_zones[0], (-120.05, 37.99, -120.01, 38.01), 40, reader=reader)
    step = round(area.grid.pixel[0] / 30)
    column, row = grid.offset_of(grids.Grid(**{**vars(area.grid), "pixel": grid.pixel}))
    middle = tile.values[row + step // 2 :: step, column + step // 2 :: step]
    middle = middle[: area.grid.height, : area.grid.width]
    assert np.abs(area.values - indices.to_float(middle)).max() < 0.01


def test_what_cannot_be_read_on_a_grid(two_zones):
    grid = declare_grid((-120.06, 37.98, -120.0, 38.02))
    with pytest.raises(OutsideScene, match="reaches beyond the grid, which has"):
        tasks.ndvi_tile(two_zones[0], Window(0, 0, 5000, 10), grid=grid)
    with pytest.raises(ConfigError, match="ArrayReader cannot read scenes on a declared grid"):
        tasks.ndvi_tile(two_zones[0], grid.window, grid=grid, reader=ArrayReader(grid))
