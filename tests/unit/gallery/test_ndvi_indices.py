"""NDVI of stored integers, against its definition, other packages and real pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.landsat import BRUMADINHO, real_pixels, reference
from wrenlite.gallery.landsat import quality
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI, LEVEL_2
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import indices
from wrenlite.gallery.ndvi.indices import INDICES, NDVI, NODATA, Calibration, Scaling


def ndvi(red, nir, calibration):
    """Return NDVI of every pixel."""
    return indices.compute(NDVI, {"red": red, "nir": nir}, calibration)


def random_bands(rng, low, count=100_000):
    """Return random digital numbers of red and near infrared, from a lowest number."""
    return rng.integers(low, 65536, (2, 100, count // 100), dtype=np.uint16)


@pytest.mark.parametrize(
    ("calibration", "gain", "offset", "low"),
    [(LEVEL_2, 2.75e-5, -0.2, 7273), (LEVEL_1_OLI, 2e-5, -0.1, 5001)],
)
def test_exact_calibrations_agree_with_the_definition(calibration, gain, offset, low):
    red, nir = random_bands(np.random.default_rng(1), low)
    got = ndvi(red, nir, calibration)
    assert got.dtype == np.float32
    assert np.abs(got - reference(red, nir, gain, offset)).max() < 6e-8


def test_the_lowest_numbers_are_the_first_with_reflectances_above_zero():
    assert LEVEL_2.lowest("red") == 7273
    assert 7273 * 2.75e-5 - 0.2 > 0 >= 7272 * 2.75e-5 - 0.2
    assert LEVEL_1_OLI.lowest("nir") == 5001
    assert Calibration({"red": Scaling(1e-3, 0.5)}).lowest("red") == 1  # fill is not valid


def test_other_gains_agree_with_the_definition():
    calibration = Calibration({"red": Scaling(2.1056e-3, -0.004453), "nir": Scaling(2.8e-3, -0.0071)})
    red, nir = random_bands(np.random.default_rng(2), 10)
    r, n = red * 2.1056e-3 - 0.004453, nir * 2.8e-3 - 0.0071
    assert np.abs(ndvi(red, nir, calibration) - (n - r) / (n + r)).max() < 6e-8


def test_red_above_infrared_does_not_wrap():
    red, nir = np.array([[20000]], np.uint16), np.array([[10000]], np.uint16)
    assert ndvi(red, nir, LEVEL_2)[0, 0] == pytest.approx(-0.64706, abs=1e-5)


@given(st.integers(7273, 65535), st.integers(7273, 65535))
def test_usable_ndvi_fits_into_int16_and_converts_back(red, nir):
    value = ndvi(np.array([[red]], np.uint16), np.array([[nir]], np.uint16), LEVEL_2)
    scaled = indices.to_int16(value, np.array([[True]]))
    assert -10_000 <= scaled[0, 0] <= 10_000
    assert abs(indices.to_float(scaled)[0, 0] - value[0, 0]) <= 5.1e-5


def test_masked_pixels_are_nodata_and_nan():
    values = np.array([[0.5, np.nan, np.inf]], np.float32)
    scaled = indices.to_int16(values, np.array([[True, False, False]]))
    assert scaled.tolist() == [[5000, NODATA, NODATA]]
    assert np.isnan(indices.to_float(scaled)).tolist() == [[False, True, True]]


@pytest.mark.parametrize("least", [0, 7273])
def test_coding_in_parts_and_as_a_whole_gives_the_same_bits(least):
    red, nir = np.random.default_rng(4).integers(least, 65536, (2, 300, 700), dtype=np.uint16)
    usable = quality.reasons({"red": red, "nir": nir}, LEVEL_1_OLI) == 0
    whole = ndvi(red, nir, LEVEL_1_OLI)
    coded = indices.CodedIndex(red.shape)
    for place in ((np.s_[:256], np.s_[:512]), (np.s_[:256], np.s_[512:]), (np.s_[256:], np.s_[:])):
        room = coded.room(place)
        bands = {"red": red[place], "nir": nir[place]}
        coded.add(place, indices.compute(NDVI, bands, LEVEL_1_OLI, out=room), usable[place])
    assert coded.values.tobytes() == indices.to_int16(whole, usable).tobytes()
    expected = coded.values[usable].astype(np.int64)
    assert coded.stats == (expected.mean() / 1e4, expected.min() / 1e4, expected.max() / 1e4)


def test_statistics_without_any_usable_pixel():
    coded = indices.CodedIndex((2, 3))
    coded.add(np.s_[:, :], np.zeros((2, 3), np.float32), np.zeros((2, 3), np.bool_))
    assert (coded.values == NODATA).all()
    assert np.isnan(coded.stats).all()


@pytest.mark.parametrize("product", BRUMADINHO)
def test_real_pixels_agree_with_the_definition_in_float64(product):
    import rasterio

    scene = Scene.at(str(real_pixels()), product, quality=False)
    with rasterio.open(scene.red) as red_band, rasterio.open(scene.nir) as nir_band:
        red, nir = red_band.read(1), nir_band.read(1)
    usable = quality.reasons({"red": red, "nir": nir}) == 0
    errors = np.abs(ndvi(red, nir, LEVEL_2)[usable] - reference(red, nir, 2.75e-5, -0.2)[usable])
    assert usable.mean() > 0.99
    assert errors.max() < 6e-8
    raw = (nir.astype(float) - red) / (nir.astype(float) + red)
    assert np.abs(np.median(raw) - np.median(ndvi(red, nir, LEVEL_2)[usable])) > 0.4


def reflectances_of(index, low=7273, high=43_637):
    """Return random digital numbers of an index's bands, and their surface reflectances, by band."""
    numbers = np.random.default_rng(5).integers(low, high, (len(index.bands), 100, 1000), dtype=np.uint16)
    by_band = dict(zip(index.bands, numbers, strict=True))
    return by_band, {name: band * 2.75e-5 - 0.2 for name, band in by_band.items()}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_every_index_agrees_with_spyndex(index):
    spyndex = pytest.importorskip("spyndex", reason="spyndex comes with the extra bench-landsat only")
    numbers, reflectances = reflectances_of(index)
    names = {"blue": "B", "green": "G", "red": "R", "nir": "N", "swir2": "S2"}
    constants = {"L": 0.5 if index.name == "SAVI" else 1.0, "g": 2.5, "C1": 6.0, "C2": 7.5}
    theirs = spyndex.computeIndex(
        index.name, {names[name]: band for name, band in reflectances.items()} | constants
    )
    inside = (theirs >= index.low) & (theirs <= index.high)  # EVI goes to infinity where it divides by zero
    assert inside.mean() > 0.5
    # Below 1, half a unit in float32's last place is 3e-8, and both sides may be off by that; above, 6e-8.
    error = np.abs(indices.compute(index, numbers, LEVEL_2) - theirs)[inside].max()
    assert error < 6e-8 * max(1, index.high)


def test_ndvi_agrees_with_the_expression_of_rio_tiler():
    image = pytest.importorskip(
        "rio_tiler.models", reason="rio-tiler comes with the extra bench-landsat only"
    ).ImageData
    numbers, reflectances = reflectances_of(NDVI)
    stack = image(np.ma.array(np.stack([*reflectances.values()])), band_names=["b1", "b2"])
    theirs = stack.apply_expression("(b1-b2)/(b1+b2)").array[0].data
    assert np.abs(indices.compute(NDVI, numbers, LEVEL_2) - theirs).max() < 6e-8
