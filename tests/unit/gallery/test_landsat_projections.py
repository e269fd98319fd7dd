"""Points, tiles and areas of scenes in other projections than northern UTM."""

import numpy as np
import pytest

from tests.landsat import COLOMBIA
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import projection
from wrenlite.gallery.ndvi.cog import write_cog
from wrenlite.gallery.ndvi.grid import Grid, OutsideScene, windows

GRIDS = {
    "Antarctica": Grid(3031, -2_000_025.0, 1_300_005.0, (30.0, 30.0), 300, 280),
    "UTM south": Grid(32723, 583_005.0, 7_778_995.0, (30.0, 30.0), 300, 280),
    "Albers": Grid(5070, -2_000_025.0, 2_000_025.0, (30.0, 30.0), 300, 280),
    "degrees": Grid(4326, 179.9, -16.0, (0.001, 0.001), 300, 280),
}


@pytest.fixture(params=GRIDS)
def scene_and_grid(request, tmp_path):
    """A level-2 scene in the archive's layout whose rasters are in another projection, and their grid."""
    grid = GRIDS[request.param]
    scene = Scene.at(str(tmp_path), COLOMBIA, quality=False)
    folder = tmp_path / scene.product.key
    folder.mkdir(parents=True)
    for number, href in enumerate((scene.red, scene.nir)):
        rng = np.random.default_rng(number)
        values = rng.integers(10_000, 30_000, (grid.height, grid.width), np.uint16)
        write_cog(href, values, grid, nodata=0, overviews="nearest")
    return scene, grid


def test_points_tiles_and_areas_agree(scene_and_grid):
    scene, grid = scene_and_grid
    assert tasks.grid_of(scene) == grid
    row, column = 200, 130
    x, y = grid.west + (column + 0.5) * grid.pixel[0], grid.north - (row + 0.5) * grid.pixel[1]
    lon, lat = (float(numbers[0]) for numbers in projection.inverse(grid.epsg, x, y))
    point = tasks.ndvi_point(scene, lon, lat)
    tiles = [tasks.ndvi_tile(scene, window) for window in windows(grid, 256)]
    assert round(point.value * 10_000) == tiles[0].values[row, column]
    area = tasks.ndvi_area(scene, grid.bounds, 4096)
    top, left = (grid.north - area.grid.north) / grid.pixel[1], (grid.west - area.grid.west) / grid.pixel[0]
    assert area.values[row - round(top), column + round(left)] == pytest.approx(point.value)
    # The box in degrees contains the whole scene, which is turned in it.
    assert np.count_nonzero(~np.isnan(area.values)) == grid.width * grid.height
    with pytest.raises(OutsideScene, match="is outside LC08"):
        tasks.ndvi_point(scene, lon, 50.0)
