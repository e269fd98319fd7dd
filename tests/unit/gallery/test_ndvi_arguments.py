"""Indices, calibrations and maskings are checked when they are made, and results say what was masked."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import downloads, stac_items
from tests.landsat import COLOMBIA, TM_LEVEL_1, ArrayReader
from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import catalog, quality, tasks
from wrenlite.gallery.landsat.areas import area_stats
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import indices, masks
from wrenlite.gallery.ndvi.cog import write_cog
from wrenlite.gallery.ndvi.grid import OutsideScene, Window
from wrenlite.gallery.ndvi.indices import Calibration, Index, Scaling, normalised_difference
from wrenlite.gallery.ndvi.masks import Hidden, Masking, Reason
from wrenlite.gallery.ndvi.mosaic import mosaic
from wrenlite.gallery.ndvi.polygons import read_areas
from wrenlite.gallery.ndvi.provenance import Provenance
from wrenlite.gallery.ndvi.zonal import area_table

LANDSAT_7_LEVEL_1 = "LE07_L1TP_008059_20100125_20200911_02_T1"
HERE = -75.0, 1.5
"""A place in the middle of the downloads."""


def box_area(box):
    """Return a box in degrees as an area."""
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return read_areas({"type": "Polygon", "coordinates": [ring]})[0]


def ratio(nir, red):
    return nir / red


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"high": 50}, r"range 0 to 50 cannot be stored.*within ±3\.2767, and divide"),
        ({"low": -3.2768}, "cannot be stored"),
        ({"low": 1.0}, "give low < high"),
        ({"high": math.nan}, "cannot be stored"),
        ({"high": None}, "cannot be stored"),
        ({"high": "1"}, "cannot be stored"),
        ({"bands": ()}, r"bands=\(\) are no bands: give such as"),
        ({"bands": "nir"}, "bands='nir' are no bands"),
        ({"bands": ("nir", 4)}, "are no bands"),
        ({"bands": 4}, "are no bands"),
        ({"bands": ("nir", "red", "blue")}, r"SR: the formula fails on arrays of nir, red, blue: TypeError"),
        ({"bands": ("nir", "red", "blue"), "formula": normalised_difference}, "of two different bands"),
        ({"bands": ("nir", "nir"), "formula": normalised_difference}, "and not of nir, nir"),
        ({"formula": None}, "the formula fails"),
        ({"formula": lambda n, r: n.ravel()}, "the formula fails"),
        ({"formula": lambda n, r: n + 1j}, "the formula fails"),
        ({"formula": lambda n, r: None}, "the formula fails"),
        ({"name": ""}, "name='' names no index: give a word"),
        ({"name": "S R"}, "names no index"),
        ({"name": None}, "names no index"),
    ],
)
def test_an_index_that_cannot_be_computed_or_stored_is_refused(changes, words):
    arguments = {"name": "SR", "bands": ("nir", "red"), "formula": ratio, "low": 0, "high": 1}
    with pytest.raises(ConfigError, match=words):
        Index(**arguments | changes, source="Jordan 1969")


def test_an_index_up_to_the_edges_of_its_range_is_stored(tmp_path):
    scene = catalog.stored(downloads.write(tmp_path, stac_items.LANDSAT_8))[0]
    ends = []
    for limit in (3.2767, -3.2767):
        index = Index("END", ["nir", "red"], lambda n, r, limit=limit: 0 * n + limit, -3.2767, 3.2767, "here")
        tile = tasks.ndvi_tile(scene, Window(0, 0, 4, 4), index=index)
        stats = area_stats(scene, box_area((-75.005, 1.495, -75, 1.5)), index=index)
        assert (tile.masked, stats.usable) == (0, 1)
        ends.append((tile.stats.minimum, tile.stats.maximum, stats.median))
    assert ends == [(3.2767,) * 3, (-3.2767,) * 3]


def test_the_range_of_a_normalised_difference_masks_too(tmp_path):
    scene = catalog.stored(downloads.write(tmp_path, stac_items.LANDSAT_8))[0]
    positive = Index("WATER", ("green", "nir"), normalised_difference, 0, 1, "McFeeters 1996")
    assert tasks.ndvi_point(scene, *HERE, index="NDWI").value < 0
    assert tasks.ndvi_point(scene, *HERE, index=positive).hidden == "out of range"


@pytest.mark.parametrize("index", [None, 5, "", ["NDVI"], b"NDVI"])
def test_what_is_no_index_is_refused(index):
    with pytest.raises(
        ConfigError, match=r"there is no index .*: take one of NDVI, .*, or an indices\.Index"
    ):
        indices.find_index(index)


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (None, "keep=None is no set of reasons: give some of cloud, saturated, shadow, snow, such as keep="),
        (5, "keep=5 is no set"),
        ([["a"]], "is no set of reasons"),
        ({5, "snow"}, "5 is no reason for which pixels can be kept: give some of"),
        ("fill", "'fill' is no reason"),
        ("", "'' is no reason"),
        ({"Snow"}, "'Snow' is no reason"),
    ],
)
def test_reasons_that_cannot_be_kept_are_refused(keep, words):
    with pytest.raises(ConfigError, match=words):
        Masking(keep=keep)


@pytest.mark.parametrize("floor", ["x", None, True, math.nan, 1, -0.1, 1j, [0.1]])
def test_a_floor_that_is_no_reflectance_is_refused(floor):
    with pytest.raises(ConfigError, match=r"floor=.* is no reflectance: give a number from 0 to below 1"):
        Masking(floor=floor)


def test_a_text_is_one_reason_to_keep():
    assert Masking(keep="snow") == Masking(keep=["snow"]) == Masking(keep={Reason.SNOW})
    assert hash(Masking(keep="snow", floor=np.float32(0.25))) == hash(Masking(keep={"snow"}, floor=0.25))


@pytest.mark.parametrize("masking", ["snow", None, {"snow"}])
def test_every_task_refuses_what_is_no_masking(masking):
    scene = Scene.at("/nowhere", COLOMBIA)
    for task, place in (
        (tasks.ndvi_point, HERE),
        (tasks.ndvi_tile, (Window(0, 0, 4, 4),)),
        (tasks.ndvi_area, ((-75, 1, -74, 2),)),
        (area_stats, (box_area((-75, 1, -74, 2)),)),
    ):
        with pytest.raises(ConfigError, match=r"is no masking: give one such as masks\.Masking"):
            task(scene, *place, masking=masking)


def test_shares_of_no_pixels():
    assert Hidden.of(masks.no_counts()) == Hidden()


@pytest.mark.parametrize(
    ("scaling", "options", "words"),
    [
        (Scaling(0.0, -0.2), {}, "the gain 0.0 of the band red makes no reflectance: give a number above 0"),
        (Scaling(-2.75e-5, 1.6), {}, "the gain -2.75e-05 of the band red"),
        (Scaling(math.nan, -0.2), {}, "is no scaling of the band red: give Scaling"),
        (Scaling(2.75e-5, -math.inf), {}, "is no scaling of the band red"),
        (Scaling("2.75e-5", -0.2), {}, "is no scaling of the band red"),
        ((2.75e-5, -0.2), {}, "is no scaling of the band red"),
        (None, {}, "is no scaling of the band red"),
        (Scaling(1e-300, 0.0), {"factor": 1.0}, "a reflectance of 6.5535e-296, where white is 1"),
        (Scaling(1e-300, -0.2), {}, "a reflectance of -0.2, where white is 1"),
        (Scaling(2.75e-5, -0.2), {"factor": 400_000.0}, "where white is 1"),
        (Scaling(2.75e-5, -0.2), {"factor": 1.0, "highest": 7272}, "the greatest number, 7272"),
        (Scaling(10**400, 0), {}, "is no scaling of the band red"),
        (Scaling(2.75e-5, -0.2), {"factor": 10**400}, "divides no reflectance"),
        (Scaling(2.75e-5, -0.2), {"highest": 43636.5}, "is no digital number"),
        (Scaling(2.75e-5, -0.2), {"factor": 0.0}, r"factor=0\.0 divides no reflectance"),
        (Scaling(2.75e-5, -0.2), {"factor": math.nan}, "factor=nan divides no reflectance"),
        (Scaling(2.75e-5, -0.2), {"highest": 0}, "highest=0 is no digital number: give one from 1 to 65535"),
        (Scaling(2.75e-5, -0.2), {"highest": 65536}, "highest=65536 is no digital number"),
    ],
)
def test_a_calibration_without_any_valid_number_is_refused(scaling, options, words):
    with pytest.raises(ConfigError, match=words):
        Calibration({"red": scaling}, **options)


@pytest.mark.parametrize("bands", [{}, None, [("red", Scaling(1.0, 0.0))]])
def test_a_calibration_without_bands_is_refused(bands):
    with pytest.raises(ConfigError, match="are no scalings by band: give such as"):
        Calibration(bands)


_GAINS = st.one_of(
    st.integers(1, 99_999).map(lambda digits: float(f"{digits}e-8")),  # as metadata have them
    st.floats(1e-6, 1e-2),
    st.integers(1, 50).map(float),
)


@given(_GAINS, st.integers(0, 30_000))
def test_a_reflectance_of_exactly_zero_is_out_of_range(gain, zero):
    decimal = float(f"{gain * zero:.9g}")  # as metadata have it
    for offset in (-gain * zero, -decimal) if decimal == round(gain * zero, 12) else (-gain * zero,):
        calibration = Calibration({"red": Scaling(gain, offset), "nir": Scaling(gain, offset)})
        assert calibration.lowest("red") == zero + 1
        numbers = {
            "red": np.array([[zero, zero + 1, zero + 1]], np.uint16),
            "nir": np.array([[zero + 1, zero + 1, zero + 3]], np.uint16),
        }
        expected = [Reason.OUT_OF_RANGE if zero else Reason.FILL, Reason.USABLE, Reason.USABLE]
        assert quality.reasons(numbers, calibration).tolist() == [expected]
        values = indices.compute(indices.NDVI, numbers, calibration)
        assert values[0, 1:] == pytest.approx([0, 0.5], abs=1e-6)


def test_a_gain_of_an_etm_product_whose_offset_is_eleven_times_as_large():
    scaling = Scaling(2.6480e-03, -0.029128)
    scene = Scene.at("/nowhere", TM_LEVEL_1, quality=False)
    scene = scene.with_calibration(Calibration({"red": scaling, "nir": scaling}, factor=0.7))
    reader = ArrayReader(
        dataclasses.replace(downloads.GRID, width=3, height=1),
        red=np.array([[11, 12, 10]], np.uint16),
        nir=np.array([[50, 50, 50]], np.uint16),
    )
    tile = tasks.ndvi_tile(scene, Window(0, 0, 3, 1), reader=reader)
    assert tile.values[0].tolist() == [indices.NODATA, 9500, indices.NODATA]


@pytest.mark.parametrize(("gain", "offset"), [(1e6, -5e9 - 1), (3.0, -190_000.0), (11.0, -80_000.5)])
def test_large_and_broken_scalings_are_as_exact_as_others(gain, offset):
    calibration = Calibration({"red": Scaling(gain, offset), "nir": Scaling(gain, 0.0)})
    red = np.arange(calibration.lowest("red"), 65_536, dtype=np.uint16)[None]
    got = indices.compute(indices.NDVI, {"red": red, "nir": red[:, ::-1]}, calibration)
    r, n = red * gain + offset, red[:, ::-1] * gain
    assert np.abs(got - (n - r) / (n + r)).max() < 6e-8


def test_a_calibration_without_a_band_of_the_index_is_refused(tmp_path):
    folder = downloads.write(tmp_path, LANDSAT_7_LEVEL_1)
    scene = catalog.stored(folder)[0]
    red_only = scene.with_calibration(Calibration({"red": Scaling(1.0, 0.0)}))
    with pytest.raises(
        ConfigError, match=r"there is no gain of the band nir, which the index needs, but of red"
    ):
        tasks.ndvi_point(red_only, *HERE)
    metadata = next(folder.glob("*MTL.txt"))
    lines = [line for line in metadata.read_text().splitlines() if "REFLECTANCE_MULT_BAND_1" not in line]
    metadata.write_text("\n".join(lines))
    assert tasks.ndvi_point(scene.with_calibration(None), *HERE).hidden is None
    with pytest.raises(ConfigError, match="no gain of the band blue"):
        tasks.ndvi_point(scene.with_calibration(None), *HERE, index="EVI")


EVERYTHING = "fill, cloud, shadow, snow, saturated, out of range"
FLOOR = "; a sum of reflectances below 0.05 is out of range"
NO_BAND = "not masked, because the scene has no quality band for it: "


@pytest.mark.parametrize(
    ("changes", "index", "masking", "text"),
    [
        ({}, "NDVI", Masking(), EVERYTHING + FLOOR),
        ({}, "EVI", Masking(), EVERYTHING),
        ({}, "NDVI", Masking(floor=0), EVERYTHING),
        ({"calibration": LEVEL_1_OLI}, "NDVI", Masking(), EVERYTHING),
        (
            {"qa_pixel": None},
            "EVI",
            Masking(),
            f"fill, saturated, out of range; {NO_BAND}cloud, shadow, snow",
        ),
        (
            {"qa_radsat": None},
            "EVI",
            Masking(),
            f"fill, cloud, shadow, snow, out of range; {NO_BAND}saturated",
        ),
        (
            {"qa_pixel": None, "qa_radsat": None},
            "NDVI",
            Masking(keep="snow"),
            f"fill, out of range{FLOOR}; {NO_BAND}cloud, shadow, saturated",
        ),
        (
            {"qa_pixel": None},
            "EVI",
            Masking(keep={"cloud", "shadow", "snow"}),
            "fill, saturated, out of range",
        ),
    ],
)
def test_a_result_says_what_could_be_masked(changes, index, masking, text):
    scene = dataclasses.replace(Scene.at("/nowhere", COLOMBIA), **changes)
    assert tasks.describe(scene, indices.find_index(index), masking).masking_text == text


def test_level_1_of_tm_has_no_floor():
    scene = Scene.at("/nowhere", TM_LEVEL_1)
    assert tasks.describe(scene, indices.NDVI, Masking()).masking_text == EVERYTHING


def test_files_arrays_and_tables_do_not_claim_masks_without_quality_bands(tmp_path):
    import rasterio

    scene = catalog.stored(downloads.write(tmp_path, stac_items.LANDSAT_8, quality=False))[0]
    text = f"fill, out of range{FLOOR}; {NO_BAND}cloud, shadow, snow, saturated"
    tile = tasks.ndvi_tile(scene, Window(0, 0, 8, 8))
    assert tile.unseen == {"cloud", "shadow", "snow", "saturated"}
    assert tile.to_xarray().attrs["masked"] == text
    mosaic([tile]).write(tmp_path / "ndvi.tif")
    with rasterio.open(tmp_path / "ndvi.tif") as file:
        assert file.tags()["MASKED"] == text
    stats = area_stats(scene, box_area((-75.005, 1.495, -75, 1.5)))
    assert area_table([stats])["masked"].tolist() == [text]
    assert stats.point().unseen == tile.unseen


def test_provenance_joins_what_was_masked():
    clear = Scene.at("/nowhere", COLOMBIA)
    bare = dataclasses.replace(clear, qa_pixel=None)
    results = [tasks.describe(scene, indices.INDICES["EVI"], Masking()) for scene in (clear, bare, clear)]
    expected = f"{EVERYTHING}. In other scenes: fill, saturated, out of range; {NO_BAND}cloud, shadow, snow"
    assert Provenance.of(results).attributes()["masked"] == expected


@pytest.mark.parametrize("side", [5, 300])
def test_a_quality_band_of_another_size_is_named(tmp_path, side):
    scene = catalog.stored(downloads.write(tmp_path, stac_items.LANDSAT_8))[0]
    grid = dataclasses.replace(downloads.GRID, width=side, height=side)
    write_cog(scene.qa_pixel, np.full((side, side), downloads.CLEAR, np.uint16), grid, nodata=1)
    box = (-75.005, 1.495, -75, 1.5)
    for task, place in (
        (tasks.ndvi_point, HERE),
        (tasks.ndvi_tile, (Window(8, 8, 20, 20),)),
        (tasks.ndvi_area, (box,)),
        (area_stats, (box_area(box),)),
    ):
        with pytest.raises(ConfigError, match="band qa_pixel is on another grid than") as caught:
            task(scene, *place)
        assert not isinstance(caught.value, OutsideScene)
    own = downloads.GRID
    for declared in (own, dataclasses.replace(own, west=own.west + 7.0), dataclasses.replace(own, west=0.0)):
        with pytest.raises(ConfigError, match="band qa_pixel is on another grid than"):
            tasks.ndvi_tile(scene, Window(8, 8, 20, 20), grid=declared)
    with pytest.raises(OutsideScene):
        tasks.ndvi_point(scene, -70.0, 1.5)
