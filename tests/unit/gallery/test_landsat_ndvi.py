import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.landsat import BRUMADINHO, COLOMBIA, ArrayReader, real_pixels
from wrenlite.errors import ConfigError, NotFound
from wrenlite.gallery.landsat import quality, tasks
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI, LEVEL_2
from wrenlite.gallery.landsat.scene import ETM, OLI, TM, Scene
from wrenlite.gallery.ndvi import indices
from wrenlite.gallery.ndvi.grid import (
    Grid,
    OutsideScene,
    Window,
)
from wrenlite.gallery.ndvi.indices import NODATA, Form

GRID = Grid(32618, 378285.0, 275715.0, (30.0, 30.0), 40, 30)
SCENE = Scene.at("/nowhere", COLOMBIA, cloud=81.02)
PLAIN = Scene.at("/nowhere", COLOMBIA, quality=False)


def reference(red, nir, gain, offset):
    """The definition, in float64."""
    r, n = red.astype(np.float64) * gain + offset, nir.astype(np.float64) * gain + offset
    with np.errstate(divide="ignore", invalid="ignore"):
        return (n - r) / (n + r)


def pairs(rng, low, count=100_000):
    return rng.integers(low, 65536, (2, 100, count // 100), dtype=np.uint16)


@pytest.mark.parametrize(
    ("form", "gain", "offset", "low"), [(LEVEL_2, 2.75e-5, -0.2, 7273), (LEVEL_1_OLI, 2e-5, -0.1, 5001)]
)
def test_exact_forms_are_the_definition(form, gain, offset, low):
    red, nir = pairs(np.random.default_rng(1), low)
    got = indices.ndvi(red, nir, form)
    assert got.dtype == np.float32
    assert np.abs(got - reference(red, nir, gain, offset)).max() < 6e-8


def test_the_least_numbers_are_the_first_above_zero():
    assert LEVEL_2.lowest == (7273, 7273)
    assert 7273 * 2.75e-5 - 0.2 > 0 >= 7272 * 2.75e-5 - 0.2
    assert LEVEL_1_OLI.lowest == (5001, 5001)
    assert Form(1e-3, 0.5, 1e-3, 0.5).lowest == (1, 1)  # fill stays out


def test_other_gains_are_the_definition():
    form = Form(2.1056e-3, -0.004453, 2.8e-3, -0.0071)
    red, nir = pairs(np.random.default_rng(2), 10)
    r, n = red * 2.1056e-3 - 0.004453, nir * 2.8e-3 - 0.0071
    assert np.abs(indices.ndvi(red, nir, form) - (n - r) / (n + r)).max() < 6e-8


def test_red_above_infrared_does_not_wrap():
    red, nir = np.array([[20000]], np.uint16), np.array([[10000]], np.uint16)
    assert indices.ndvi(red, nir, LEVEL_2)[0, 0] == pytest.approx(-0.64706, abs=1e-5)


def test_every_mask():
    good = np.array([[12000, 0, 7272, 7273, 12000, 12000, 12000, 12000, 12000, 12000]], np.uint16)
    nir = np.full_like(good, 20000)
    qa = np.array([[64, 1, 64, 64, 0b10, 0b100, 0b1000, 0b10000, 0b100000, 0b10000000]], np.uint16)
    assert quality.usable(good, nir, qa_pixel=qa).tolist() == [
        [True, False, False, True, False, False, False, False, True, True]  # snow and water are no clouds
    ]
    assert quality.usable(good, nir).sum() == 8
    assert quality.usable(nir, good).sum() == 8


@pytest.mark.parametrize(("sensor", "bits"), [(OLI, 0b11000), (TM, 0b1100), (ETM, 0b1100)])
def test_saturation_counts_in_the_sensors_own_bands(sensor, bits):
    assert sensor.saturated == bits
    numbers = np.full((1, 12), 20000, np.uint16)
    radsat = np.array([[1 << bit for bit in range(12)]], np.uint16)
    good = quality.usable(numbers, numbers, qa_radsat=radsat, saturated=sensor.saturated)
    dropped, hidden = 9, 11
    assert {bit for bit in range(12) if not good[0, bit]} == {sensor.red - 1, sensor.nir - 1, dropped, hidden}


def test_numbers_above_the_products_range():
    red = np.array([[43_636, 43_637, 20_000, 65_535]], np.uint16)
    nir = np.array([[43_636, 20_000, 43_637, 65_535]], np.uint16)
    assert quality.usable(red, nir).tolist() == [[True, False, False, False]]
    assert 43_636 * 2.75e-5 - 0.2 <= 1 < 43_637 * 2.75e-5 - 0.2
    assert quality.usable(red, nir, LEVEL_1_OLI).all()  # at the top of the atmosphere there is no such range
    assert quality.usable(red, nir, Form(1e-3, 0.5, 1e-3, 0.5)).all()


@given(st.integers(7273, 65535), st.integers(7273, 65535))
def test_usable_ndvi_fits_into_int16_and_comes_back(red, nir):
    value = indices.ndvi(np.array([[red]], np.uint16), np.array([[nir]], np.uint16), LEVEL_2)
    scaled = indices.to_int16(value, np.array([[True]]))
    assert -10_000 <= scaled[0, 0] <= 10_000
    assert abs(indices.to_float(scaled)[0, 0] - value[0, 0]) <= 5.1e-5


def test_what_is_masked_is_nodata_and_nan():
    values = np.array([[0.5, np.nan, np.inf]], np.float32)
    scaled = indices.to_int16(values, np.array([[True, False, False]]))
    assert scaled.tolist() == [[5000, NODATA, NODATA]]
    assert np.isnan(indices.to_float(scaled)).tolist() == [[False, True, True]]


def test_one_go_and_one_after_the_other_are_the_same_bits():
    red, nir = np.random.default_rng(4).integers(0, 65536, (2, 300, 700), dtype=np.uint16)
    good = quality.usable(red, nir)
    values, stats = indices.scaled(red, nir, good, LEVEL_2)
    assert values.tobytes() == indices.to_int16(indices.ndvi(red, nir, LEVEL_2), good).tobytes()
    known = values[good].astype(np.int64)
    assert stats == pytest.approx((known.mean() / 1e4, known.min() / 1e4, known.max() / 1e4), abs=1e-9)


def arrays(rng=None, grid=GRID):
    rng = rng or np.random.default_rng(3)
    shape = (grid.height, grid.width)
    red, nir = rng.integers(7273, 40000, (2, *shape), dtype=np.uint16)
    qa = rng.choice(np.array([21824, 22280, 23888, 1], np.uint16), shape)
    red[qa == 1] = nir[qa == 1] = 0
    radsat = rng.choice(np.array([0, 0, 0, 8], np.uint16), shape)
    return ArrayReader(grid, red=red, nir=nir, qa_pixel=qa, qa_radsat=radsat)


def test_a_tile_is_its_window():
    reader = arrays()
    tile = tasks.ndvi_tile(SCENE, Window(5, 3, 20, 10), reader)
    cut = np.s_[3:13, 5:25]
    bands = {name: band[cut] for name, band in reader.bands.items()}
    good = (bands["qa_pixel"] == 21824) & (bands["qa_radsat"] == 0)
    expected = np.rint(reference(bands["red"], bands["nir"], 2.75e-5, -0.2)[good] * 1e4)
    assert np.abs(tile.values[good] - expected).max() <= 1  # where float32 and float64 round apart
    assert (tile.values[good] != expected).mean() < 0.01
    assert (tile.values[~good] == NODATA).all()
    assert tile.masked == pytest.approx(1 - good.mean())
    assert tile.fill == pytest.approx((bands["red"] == 0).mean())
    assert tile.stats.mean == pytest.approx(tile.values[good].mean() / 1e4)
    assert tile.stats[1:] == (tile.values[good].min() / 1e4, tile.values[good].max() / 1e4)
    assert tile.grid == GRID.part(Window(5, 3, 20, 10))
    assert (tile.cloud, tile.date) == (81.02, SCENE.date)
    assert tile.timing.compute_s > 0


def test_a_tile_without_any_usable_pixel():
    empty = np.zeros((30, 40), np.uint16)
    tile = tasks.ndvi_tile(PLAIN, GRID.window, ArrayReader(GRID, red=empty, nir=empty))
    assert (tile.masked, tile.fill) == (1.0, 1.0)
    assert all(map(math.isnan, tile.stats))
    assert (tile.values == NODATA).all()


def test_a_tile_beyond_the_scene():
    with pytest.raises(OutsideScene, match=f"beyond {COLOMBIA}, which has 40 x 30 pixels"):
        tasks.ndvi_tile(SCENE, Window(30, 20, 20, 20), arrays())


def centre(row, column):
    from wrenlite.gallery.ndvi import utm

    dlon, lat = utm.back(GRID.west + 30 * (column + 0.5), GRID.north - 30 * (row + 0.5), 18)
    return float(dlon) - 75, float(lat)


def test_a_point_is_its_pixel():
    reader = arrays()
    tile = tasks.ndvi_tile(SCENE, GRID.window, reader)
    for row, column in ((0, 0), (29, 39), (11, 17), (4, 4)):
        point = tasks.ndvi_point(SCENE, *centre(row, column), reader)
        known = indices.to_float(tile.values)[row, column]
        assert point.masked == float(np.isnan(known))
        assert point.value == pytest.approx(known, abs=5.1e-5, nan_ok=True)
        assert (point.product, point.date, point.cloud) == (COLOMBIA, SCENE.date, 81.02)


def test_a_point_outside_is_an_error_and_not_zero():
    with pytest.raises(OutsideScene, match=COLOMBIA):
        tasks.ndvi_point(SCENE, -60.0, 1.5, arrays())


def box(top, left, bottom, right):
    """A box whose window is the pixels between, to a pixel more on each side."""
    (west, north), (east, south) = centre(top, left), centre(bottom, right)
    return west, south, east, north


def test_an_area_is_padded_where_it_reaches_beyond_the_scene():
    reader = arrays()
    area = tasks.ndvi_area(PLAIN, box(20, 30, 40, 60), 500, ArrayReader(GRID, **reader.bands))
    left, top = round((area.grid.west - GRID.west) / 30), round((GRID.north - area.grid.north) / 30)
    assert (left, top) == (30, 20)
    assert area.values.shape == (area.grid.height, area.grid.width) == (21, 31)
    assert np.isnan(area.values[10:]).all()
    assert np.isnan(area.values[:, 10:]).all()
    tile = tasks.ndvi_tile(PLAIN, Window(30, 20, 10, 10), reader)
    assert np.allclose(area.values[:10, :10], indices.to_float(tile.values), atol=5.1e-5, equal_nan=True)
    assert area.fill > 0.8


def test_an_area_is_thinned_to_the_size_asked_for():
    area = tasks.ndvi_area(SCENE, box(0, 0, 29, 39), 10, arrays())
    assert area.values.shape == (8, 10)
    assert area.grid.pixel == (120.0, 120.0)
    assert (area.grid.west, area.grid.north) == (GRID.west, GRID.north)


def test_a_missing_band_is_named():
    reader = arrays()
    del reader.bands["qa_radsat"]
    with pytest.raises(NotFound, match=f"band qa_radsat of {COLOMBIA}"):
        tasks.ndvi_tile(SCENE, GRID.window, reader)


def test_bands_on_different_grids():
    class Shifted(ArrayReader):
        def read(self, bands, choose):
            found = dict(super().read(bands, choose))
            other = ArrayReader(GRID.part(Window(1, 0, 39, 30)), **self.bands)
            return found | {"nir": other.read(bands, lambda _: choose(GRID))["nir"]}

    with pytest.raises(ConfigError, match="band nir lies on another grid than red"):
        tasks.ndvi_tile(SCENE, Window(0, 0, 20, 20), Shifted(GRID, **arrays().bands))


def test_level_1_of_tm_needs_its_metadata():
    scene = Scene.at("/nowhere", "LT05_L1TP_008059_19910802_20200915_02_T1", quality=False)
    with pytest.raises(ConfigError, match="other gains in every scene"):
        tasks.ndvi_tile(scene, GRID.window, arrays())
    tile = tasks.ndvi_tile(scene.calibrated(LEVEL_1_OLI), GRID.window, arrays())
    assert tile.masked < 1


@pytest.mark.parametrize(
    ("product", "quantiles"),
    [(BRUMADINHO[0], (0.285, 0.785, 0.870)), (BRUMADINHO[1], (0.190, 0.772, 0.868))],
)
def test_brumadinho(product, quantiles):
    tile = tasks.ndvi_tile(Scene.at(str(real_pixels()), product, quality=False), Window(0, 0, 400, 300))
    got = np.nanquantile(indices.to_float(tile.values), (0.05, 0.5, 0.95))
    assert got == pytest.approx(quantiles, abs=1.01e-3)
    assert tile.fill == 0
    assert (tile.grid.west % 30, tile.grid.north % 30) == (15, 15)


@pytest.mark.parametrize("product", BRUMADINHO)
def test_real_pixels_are_the_definition_in_float64(product):
    import rasterio

    scene = Scene.at(str(real_pixels()), product, quality=False)
    with rasterio.open(scene.red) as red_band, rasterio.open(scene.nir) as nir_band:
        red, nir = red_band.read(1), nir_band.read(1)
    good = quality.usable(red, nir)
    off = np.abs(indices.ndvi(red, nir, LEVEL_2)[good] - reference(red, nir, 2.75e-5, -0.2)[good])
    assert good.mean() > 0.99
    assert off.max() < 6e-8
    raw = (nir.astype(float) - red) / (nir.astype(float) + red)
    assert np.abs(np.median(raw) - np.median(indices.ndvi(red, nir, LEVEL_2)[good])) > 0.4


def oracle(name, red, nir):
    """NDVI of reflectances by somebody else's code."""
    module = pytest.importorskip(name, reason=f"{name} comes with the extra bench-landsat only")
    if name == "spyndex":
        return module.computeIndex("NDVI", {"R": red, "N": nir})
    image = pytest.importorskip("rio_tiler.models").ImageData
    stack = image(np.ma.array(np.stack([red, nir])), band_names=["b1", "b2"])
    return stack.apply_expression("(b2-b1)/(b2+b1)").array[0].data


@pytest.mark.parametrize("name", ["spyndex", "rio_tiler"])
def test_ndvi_is_that_of_others(name):
    red, nir = pairs(np.random.default_rng(5), 7273)
    theirs = oracle(name, *(band * 2.75e-5 - 0.2 for band in (red, nir)))
    # Half a unit in float32's last place is 3e-8 below 1, once for each side.
    assert np.abs(indices.ndvi(red, nir, LEVEL_2) - theirs).max() < 6e-8


def test_usable_pixels_of_colombia():
    tile = tasks.ndvi_tile(Scene.at(str(real_pixels()), COLOMBIA), Window(0, 0, 512, 512))
    assert 1 - tile.masked == pytest.approx(0.0814, abs=1e-4)
    assert tile.fill == pytest.approx(0.3069, abs=1e-4)
    assert tile.stats.mean > 0.6
