"""Mosaics of tiles, their files, and composites of several days."""

import dataclasses
import warnings
from datetime import date

import numpy as np
import pytest
import rasterio

from tests.landsat import clearest, scenes_of
from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.ndvi import grid as grids
from wrenlite.gallery.ndvi import indices
from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.masks import Hidden
from wrenlite.gallery.ndvi.mosaic import composite, mosaic
from wrenlite.gallery.ndvi.results import AreaNdvi, TileNdvi, Timing
from wrenlite.gallery.synthetic import archive
from wrenlite.gallery.synthetic.places import PLACES

NAPA, DEATH_VALLEY = PLACES["napa"], PLACES["death-valley"]


def test_a_mosaic_has_the_same_bits_as_one_large_tile(scenes):
    scene = clearest(scenes, NAPA)
    grid = tasks.grid_of(scene)
    tiles = [tasks.ndvi_tile(scene, window) for window in grids.windows(grid, 256)]
    made = mosaic(tiles[::-1])
    single = tasks.ndvi_tile(scene, grid.window)
    assert len(tiles) == 4
    assert made.grid == grid == single.grid
    assert made.values.tobytes() == single.values.tobytes()
    assert made.masked == pytest.approx(single.masked)
    assert made.products == (scene.product.id,)


def test_a_mosaic_of_two_dates_keeps_the_first_where_both_have_values(scenes):
    first, second = sorted(scenes_of(scenes, NAPA), key=lambda scene: scene.cloud)[4:6]
    tiles = [tasks.ndvi_tile(scene, tasks.grid_of(scene).window) for scene in (first, second)]
    made = mosaic(tile for tile in tiles)
    assert made.grid.width >= 272
    left, top = (
        round((tiles[0].grid.west - made.grid.west) / 30),
        round((made.grid.north - tiles[0].grid.north) / 30),
    )
    covered = made.values[top : top + 272, left : left + 272]
    has = tiles[0].values != indices.NODATA
    assert (covered[has] == tiles[0].values[has]).all()
    assert made.masked < min(tile.masked for tile in tiles)


def test_a_mosaic_is_a_cog_whose_overviews_average_the_usable_pixels(scenes, tmp_path):
    scene = archive.whole_scene(tmp_path, "napa", side=600)
    tile = tasks.ndvi_tile(scene, tasks.grid_of(scene).window)
    mosaic([tile]).write(tmp_path / "ndvi.tif")
    assert [file.name for file in tmp_path.glob("*") if file.name.startswith(".")] == []
    with rasterio.open(tmp_path / "ndvi.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (file.dtypes, file.nodata, file.block_shapes) == (("int16",), indices.NODATA, [(256, 256)])
        assert (file.read(1) == tile.values).all()
        assert "SYNTHETIC" in file.tags()["TIFFTAG_IMAGEDESCRIPTION"]
        assert file.transform.to_gdal() == tile.grid.transform
    with rasterio.open(tmp_path / "ndvi.tif", overview_level=0) as file:
        half = file.read(1)
    fours = tile.values.reshape(300, 2, 300, 2).swapaxes(1, 2).reshape(300, 300, 4)
    usable = fours != indices.NODATA
    expected = np.where(usable, fours, 0).sum(-1) / np.maximum(1, usable.sum(-1))
    some = usable.any(-1)
    assert ((half != indices.NODATA) == some).all()
    assert np.abs(half[some] - expected[some]).max() <= 1


def test_scenes_of_two_zones_make_no_mosaic(scenes):
    tiles = [
        tasks.ndvi_tile(scene, grids.Window(0, 0, 256, 256))
        for scene in (clearest(scenes, NAPA), clearest(scenes, DEATH_VALLEY))
    ]
    with pytest.raises(
        ConfigError, match=r"\(EPSG:32611, .*\) than the first tile \(EPSG:32610, .*declare one grid"
    ):
        mosaic(tiles)


def test_another_lattice_makes_no_mosaic(scenes):
    tile = tasks.ndvi_tile(clearest(scenes, NAPA), grids.Window(0, 0, 256, 256))
    shifted = dataclasses.replace(tile, grid=dataclasses.replace(tile.grid, west=tile.grid.west + 15))
    with pytest.raises(ConfigError, match=r"on other pixels \(EPSG:32610, pixels of \(30\.0, 30\.0\) from"):
        mosaic([tile, shifted])
    with pytest.raises(ConfigError, match="there are no tiles"):
        mosaic([])


def test_tiles_too_far_apart_make_no_mosaic():
    grid = grids.Grid(32610, 600_015.0, 4_000_005.0, (30.0, 30.0), 8, 8)
    values = np.zeros((8, 8), np.int16)
    here = TileNdvi(
        product="p",
        date=date(2022, 1, 1),
        values=values,
        grid=grid,
        hidden=Hidden(),
        stats=indices.Stats(mean=0, minimum=0, maximum=0),
        cloud=None,
        timing=Timing(open_s=0, read_s=0, compute_s=0),
    )
    far = dataclasses.replace(
        here, grid=dataclasses.replace(grid, west=grid.west + 3e7, north=grid.north - 2.4e7)
    )
    with pytest.raises(
        ConfigError, match=r"1,000,008 x 800,008 pixels and take 4,470\.4 GB of memory, but this machine has"
    ):
        mosaic([here, far])


def area(values, grid, product="p"):
    values = np.asarray(values, np.float32)
    return AreaNdvi(
        product=product,
        date=date(2022, 1, 1),
        values=values,
        grid=grid,
        hidden=Hidden(),
        cloud=None,
        timing=Timing(open_s=0, read_s=0, compute_s=0),
    )


def test_a_composite_is_the_median_of_the_clear_days_of_each_pixel():
    rng = np.random.default_rng(3)
    days = rng.uniform(-0.3, 0.9, (7, 20, 30)).astype(np.float32)
    days[rng.random(days.shape) < 0.6] = np.nan
    days[:, 4, 5] = np.nan
    days[:, 6, 7] = np.linspace(0, 0.6, 7)
    grid = Grid(epsg=32610, west=15, north=15, pixel=(30.0, 30.0), width=30, height=20)
    found = composite(area(day, grid) for day in days)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, for pixels that are always hidden
        expected = np.nanmedian(days, axis=0)
    np.testing.assert_allclose(found.values, expected, atol=1e-7)  # the rounding of one float32
    assert np.isnan(found.values[4, 5])
    assert (found.used == (~np.isnan(days)).sum(axis=0)).all()
    assert (found.grid, found.values.dtype) == (grid, np.float32)


def test_a_composite_is_an_array_and_of_one_level():
    grid = Grid(epsg=32610, west=15, north=15, pixel=(30.0, 30.0), width=2, height=1)
    areas = [area([[0.1, 0.2]], grid, "a"), area([[0.3, np.nan]], grid, "b")]
    array = composite(areas).to_xarray()
    assert array.values == pytest.approx(np.array([[0.2, 0.2]]))
    assert array.attrs["products"] == "a, b"
    with pytest.raises(ConfigError, match="cannot be joined"):
        composite([areas[0], dataclasses.replace(areas[1], level=1)])


def test_a_composite_takes_areas_on_one_grid():
    grid = Grid(epsg=32610, west=15, north=15, pixel=(30.0, 30.0), width=2, height=1)
    other = dataclasses.replace(grid, west=45)
    with pytest.raises(
        ConfigError, match=r"NDVI of second is on .*west=45.* and that of first on .*one UTM zone"
    ):
        composite([area([[0.1, 0.2]], grid, "first"), area([[0.1, 0.2]], other, "second")])
    with pytest.raises(ConfigError, match="at least one area"):
        composite([])
