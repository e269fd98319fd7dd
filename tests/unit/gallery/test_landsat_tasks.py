"""The tasks: points, tiles and areas, from arrays and from real pixels."""

import math

import numpy as np
import pytest

from tests.landsat import BRUMADINHO, COLOMBIA, ArrayReader, real_pixels, reference
from wrenlite.errors import ConfigError, NotFound
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import indices, utm
from wrenlite.gallery.ndvi.grid import Grid, OutsideScene, Window
from wrenlite.gallery.ndvi.indices import NODATA

GRID = Grid(32618, 378285.0, 275715.0, (30.0, 30.0), 40, 30)


SCENE = Scene.at("/nowhere", COLOMBIA, cloud=81.02)


PLAIN = Scene.at("/nowhere", COLOMBIA, quality=False)


def random_bands(grid=GRID):
    """Return a reader of random bands, of which about half of the pixels are masked."""
    rng = np.random.default_rng(3)
    shape = (grid.height, grid.width)
    red, nir = rng.integers(7273, 40000, (2, *shape), dtype=np.uint16)
    qa = rng.choice(np.array([21824, 22280, 23888, 1], np.uint16), shape)
    red[qa == 1] = nir[qa == 1] = 0
    radsat = rng.choice(np.array([0, 0, 0, 8], np.uint16), shape)
    return ArrayReader(grid, red=red, nir=nir, qa_pixel=qa, qa_radsat=radsat)


def test_a_tile_has_the_pixels_of_its_window():
    reader = random_bands()
    tile = tasks.ndvi_tile(SCENE, Window(5, 3, 20, 10), reader)
    cut = np.s_[3:13, 5:25]
    bands = {name: band[cut] for name, band in reader.bands.items()}
    usable = (bands["qa_pixel"] == 21824) & (bands["qa_radsat"] == 0)
    expected = np.rint(reference(bands["red"], bands["nir"], 2.75e-5, -0.2)[usable] * 1e4)
    assert np.abs(tile.values[usable] - expected).max() <= 1  # float32 and float64 may round differently
    assert (tile.values[usable] != expected).mean() < 0.01
    assert (tile.values[~usable] == NODATA).all()
    assert tile.masked == pytest.approx(1 - usable.mean())
    assert tile.fill == pytest.approx((bands["red"] == 0).mean())
    assert tile.stats.mean == pytest.approx(tile.values[usable].mean() / 1e4)
    assert tile.stats[1:] == (tile.values[usable].min() / 1e4, tile.values[usable].max() / 1e4)
    assert tile.grid == GRID.part(Window(5, 3, 20, 10))
    assert (tile.cloud, tile.date) == (81.02, SCENE.date)
    assert tile.timing.compute_s > 0


def test_a_tile_without_any_usable_pixel():
    empty = np.zeros((30, 40), np.uint16)
    tile = tasks.ndvi_tile(PLAIN, GRID.window, ArrayReader(GRID, red=empty, nir=empty))
    assert (tile.masked, tile.fill) == (1.0, 1.0)
    assert all(map(math.isnan, tile.stats))
    assert (tile.values == NODATA).all()


def test_a_tile_beyond_the_scene_is_refused():
    with pytest.raises(OutsideScene, match=f"beyond {COLOMBIA}, which has 40 x 30 pixels"):
        tasks.ndvi_tile(SCENE, Window(30, 20, 20, 20), random_bands())


def centre(row, column):
    """Return longitude and latitude of a pixel's centre."""
    relative_lon, lat = utm.inverse(GRID.west + 30 * (column + 0.5), GRID.north - 30 * (row + 0.5))
    return float(relative_lon) - 75, float(lat)


def test_a_point_has_the_value_of_its_pixel():
    reader = random_bands()
    tile = tasks.ndvi_tile(SCENE, GRID.window, reader)
    for row, column in ((0, 0), (29, 39), (11, 17), (4, 4)):
        point = tasks.ndvi_point(SCENE, *centre(row, column), reader)
        expected = indices.to_float(tile.values)[row, column]
        assert point.masked == float(np.isnan(expected))
        assert point.value == pytest.approx(expected, abs=5.1e-5, nan_ok=True)
        assert (point.product, point.date, point.cloud) == (COLOMBIA, SCENE.date, 81.02)


def test_a_point_outside_is_an_error():
    with pytest.raises(OutsideScene, match=COLOMBIA):
        tasks.ndvi_point(SCENE, -60.0, 1.5, random_bands())


def box(top, left, bottom, right):
    """Return a box whose window has the pixels between two pixels, and at most one more on each side."""
    (west, north), (east, south) = centre(top, left), centre(bottom, right)
    return west, south, east, north


def test_an_area_is_padded_where_it_reaches_beyond_the_scene():
    reader = random_bands()
    area = tasks.ndvi_area(PLAIN, box(20, 30, 40, 60), 500, ArrayReader(GRID, **reader.bands))
    left, top = round((area.grid.west - GRID.west) / 30), round((GRID.north - area.grid.north) / 30)
    assert (left, top) == (30, 20)
    assert area.values.shape == (area.grid.height, area.grid.width) == (21, 31)
    assert np.isnan(area.values[10:]).all()
    assert np.isnan(area.values[:, 10:]).all()
    tile = tasks.ndvi_tile(PLAIN, Window(30, 20, 10, 10), reader)
    assert np.allclose(area.values[:10, :10], indices.to_float(tile.values), atol=5.1e-5, equal_nan=True)
    assert area.fill > 0.8


def test_an_area_is_decimated_to_the_given_size():
    area = tasks.ndvi_area(SCENE, box(0, 0, 29, 39), 10, random_bands())
    assert area.values.shape == (8, 10)
    assert area.grid.pixel == (120.0, 120.0)
    assert (area.grid.west, area.grid.north) == (GRID.west, GRID.north)


def test_a_missing_band_is_named():
    reader = random_bands()
    del reader.bands["qa_radsat"]
    with pytest.raises(NotFound, match=f"band qa_radsat of {COLOMBIA}"):
        tasks.ndvi_tile(SCENE, GRID.window, reader)


def test_bands_on_different_grids_are_refused():
    class Shifted(ArrayReader):
        def read(self, bands, choose):
            found = dict(super().read(bands, choose))
            other = ArrayReader(GRID.part(Window(1, 0, 39, 30)), **self.bands)
            return found | {"nir": other.read(bands, lambda _: choose(GRID))["nir"]}

    with pytest.raises(ConfigError, match="band nir is on another grid than red"):
        tasks.ndvi_tile(SCENE, Window(0, 0, 20, 20), Shifted(GRID, **random_bands().bands))


def test_level_1_of_tm_needs_its_metadata():
    scene = Scene.at("/nowhere", "LT05_L1TP_008059_19910802_20200915_02_T1", quality=False)
    with pytest.raises(ConfigError, match="other gains in every scene; read them from its metadata"):
        tasks.ndvi_tile(scene, GRID.window, random_bands())
    tile = tasks.ndvi_tile(scene.with_calibration(LEVEL_1_OLI), GRID.window, random_bands())
    assert tile.masked < 1


@pytest.mark.parametrize(
    ("product", "quantiles"),
    [(BRUMADINHO[0], (0.285, 0.785, 0.870)), (BRUMADINHO[1], (0.190, 0.772, 0.868))],
)
def test_quantiles_of_brumadinho(product, quantiles):
    tile = tasks.ndvi_tile(Scene.at(str(real_pixels()), product, quality=False), Window(0, 0, 400, 300))
    got = np.nanquantile(indices.to_float(tile.values), (0.05, 0.5, 0.95))
    assert got == pytest.approx(quantiles, abs=1.01e-3)
    assert tile.fill == 0
    assert (tile.grid.west % 30, tile.grid.north % 30) == (15, 15)


def test_usable_pixels_of_colombia():
    tile = tasks.ndvi_tile(Scene.at(str(real_pixels()), COLOMBIA), Window(0, 0, 512, 512))
    assert 1 - tile.masked == pytest.approx(0.0814, abs=1e-4)
    assert tile.fill == pytest.approx(0.3069, abs=1e-4)
    assert tile.stats.mean > 0.6
