"""The tasks: points, tiles and areas, from arrays and from real pixels."""

import dataclasses
import math

import numpy as np
import pytest

from tests.landsat import BRUMADINHO, COLOMBIA, TM_LEVEL_1, ArrayReader, real_pixels, reference
from wrenlite.errors import ConfigError, NotFound
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import indices, utm
from wrenlite.gallery.ndvi.grid import Grid, OutsideScene, Window
from wrenlite.gallery.ndvi.indices import NODATA
from wrenlite.gallery.ndvi.masks import Masking

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
    tile = tasks.ndvi_tile(SCENE, Window(5, 3, 20, 10), reader=reader)
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
    tile = tasks.ndvi_tile(PLAIN, GRID.window, reader=ArrayReader(GRID, red=empty, nir=empty))
    assert (tile.masked, tile.fill, tile.hidden.cloud) == (1.0, 1.0, 0.0)
    assert all(map(math.isnan, tile.stats))
    assert (tile.values == NODATA).all()


def test_a_tile_beyond_the_scene_is_refused():
    with pytest.raises(OutsideScene, match=f"beyond {COLOMBIA}, which has 40 x 30 pixels"):
        tasks.ndvi_tile(SCENE, Window(30, 20, 20, 20), reader=random_bands())


def centre(row, column):
    """Return longitude and latitude of a pixel's centre."""
    relative_lon, lat = utm.inverse(GRID.west + 30 * (column + 0.5), GRID.north - 30 * (row + 0.5))
    return float(relative_lon) - 75, float(lat)


def test_a_point_has_the_value_of_its_pixel():
    reader = random_bands()
    tile = tasks.ndvi_tile(SCENE, GRID.window, reader=reader)
    for row, column in ((0, 0), (29, 39), (11, 17), (4, 4)):
        point = tasks.ndvi_point(SCENE, *centre(row, column), reader=reader)
        expected = indices.to_float(tile.values)[row, column]
        assert point.masked == np.isnan(expected)
        assert point.value == pytest.approx(expected, abs=5.1e-5, nan_ok=True)
        assert (point.product, point.date, point.cloud) == (COLOMBIA, SCENE.date, 81.02)


def test_a_point_outside_is_an_error():
    with pytest.raises(OutsideScene, match=COLOMBIA):
        tasks.ndvi_point(SCENE, -60.0, 1.5, reader=random_bands())


def box(top, left, bottom, right):
    """Return a box whose window has the pixels between two pixels, and at most one more on each side."""
    (west, north), (east, south) = centre(top, left), centre(bottom, right)
    return west, south, east, north


def test_an_area_is_padded_where_it_reaches_beyond_the_scene():
    reader = random_bands()
    area = tasks.ndvi_area(PLAIN, box(20, 30, 40, 60), 500, reader=ArrayReader(GRID, **reader.bands))
    left, top = round((area.grid.west - GRID.west) / 30), round((GRID.north - area.grid.north) / 30)
    assert (left, top) == (30, 20)
    assert area.values.shape == (area.grid.height, area.grid.width) == (21, 31)
    assert np.isnan(area.values[10:]).all()
    assert np.isnan(area.values[:, 10:]).all()
    tile = tasks.ndvi_tile(PLAIN, Window(30, 20, 10, 10), reader=reader)
    assert np.allclose(area.values[:10, :10], indices.to_float(tile.values), atol=5.1e-5, equal_nan=True)
    assert area.fill > 0.8


def test_an_area_is_decimated_to_the_given_size():
    area = tasks.ndvi_area(SCENE, box(0, 0, 29, 39), 10, reader=random_bands())
    assert area.values.shape == (8, 10)
    assert area.grid.pixel == (120.0, 120.0)
    assert (area.grid.west, area.grid.north) == (GRID.west, GRID.north)


def test_a_missing_band_is_named():
    reader = random_bands()
    del reader.bands["qa_radsat"]
    with pytest.raises(NotFound, match=f"band qa_radsat of {COLOMBIA}"):
        tasks.ndvi_tile(SCENE, GRID.window, reader=reader)


def test_bands_on_different_grids_are_refused():
    class Shifted(ArrayReader):
        def read(self, bands, choose):
            found = dict(super().read(bands, choose))
            other = ArrayReader(GRID.part(Window(1, 0, 39, 30)), **self.bands)
            return found | {"nir": other.read(bands, lambda _: choose(GRID))["nir"]}

    with pytest.raises(ConfigError, match="band nir is on another grid than red"):
        tasks.ndvi_tile(SCENE, Window(0, 0, 20, 20), reader=Shifted(GRID, **random_bands().bands))


def test_level_1_of_tm_is_calibrated_from_its_metadata():
    scene = Scene.at("/nowhere", TM_LEVEL_1, quality=False)
    with pytest.raises(ConfigError, match="needs gains from its metadata file"):
        tasks.ndvi_tile(dataclasses.replace(scene, mtl=None), GRID.window, reader=random_bands())
    with pytest.raises(NotFound, match="MTL"):
        tasks.ndvi_tile(scene, GRID.window, reader=random_bands())
    reader = random_bands()
    reader.files[scene.mtl] = tm_metadata(TM_LEVEL_1)
    tile = tasks.ndvi_tile(scene, GRID.window, reader=reader)
    red, nir = reader.bands["red"] * 1.5e-3 - 0.004, reader.bands["nir"] * 2.5e-3 - 0.007
    usable = reader.bands["red"] > 0
    assert indices.to_float(tile.values)[usable] == pytest.approx(
        ((nir - red) / (nir + red))[usable],
        abs=5.1e-5,  # half a step of the int16 tiles
    )


def tm_metadata(product):
    """Return the metadata file of a level-1 product of TM, with gains of two bands."""
    lines = [
        "GROUP = LANDSAT_METADATA_FILE",
        "GROUP = PRODUCT_CONTENTS",
        f'LANDSAT_PRODUCT_ID = "{product}"',
        "END_GROUP = PRODUCT_CONTENTS",
        "GROUP = IMAGE_ATTRIBUTES",
        "SUN_ELEVATION = 30.0",
        "END_GROUP = IMAGE_ATTRIBUTES",
        "GROUP = LEVEL1_RADIOMETRIC_RESCALING",
        "REFLECTANCE_MULT_BAND_3 = 1.5E-03",
        "REFLECTANCE_ADD_BAND_3 = -0.004",
        "REFLECTANCE_MULT_BAND_4 = 2.5E-03",
        "REFLECTANCE_ADD_BAND_4 = -0.007",
        "END_GROUP = LEVEL1_RADIOMETRIC_RESCALING",
        "END_GROUP = LANDSAT_METADATA_FILE",
    ]
    return "\n".join(lines).encode()


def six_bands(**qa):
    """Return a reader of one row of six bands with the same reflectances in every column: 0.1, 0.2 … 0.6."""
    names = ("blue", "green", "red", "nir", "swir1", "swir2")
    numbers = {name: round((0.1 * (number + 1) + 0.2) / 2.75e-5) for number, name in enumerate(names)}
    bands = {name: np.full((1, 8), number, np.uint16) for name, number in numbers.items()}
    return ArrayReader(dataclasses.replace(GRID, width=8, height=1), **bands, **qa)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("NDVI", 0.1 / 0.7),
        ("nbr", -0.2 / 1.0),
        ("NDWI", -0.2 / 0.6),
        ("EVI", 2.5 * 0.1 / (0.4 + 6 * 0.3 - 7.5 * 0.1 + 1)),
        ("SAVI", 1.5 * 0.1 / (0.7 + 0.5)),
    ],
)
def test_every_index_follows_its_formula(index, expected):
    tile = tasks.ndvi_tile(PLAIN, Window(0, 0, 8, 1), index=index, reader=six_bands())
    assert tile.index == index.upper()
    # The stored numbers are rounded to 1.4e-5 of reflectance, and the tile to 5e-5.
    assert indices.to_float(tile.values) == pytest.approx(np.full((1, 8), expected), abs=2e-4)


def test_an_index_beyond_its_range_is_hidden():
    reader = six_bands()
    reader.bands["blue"][0, :4] = round((3.1 / 7.5 + 0.2) / 2.75e-5)  # the denominator is 0.1
    tile = tasks.ndvi_tile(PLAIN, Window(0, 0, 8, 1), index="EVI", reader=reader)
    assert tile.hidden.out_of_range == 0.5
    assert (tile.values[0, :4] == NODATA).all()


def test_an_unknown_index_and_a_missing_band_are_refused():
    with pytest.raises(ConfigError, match="no index 'NVDI': take one of NDVI, EVI"):
        tasks.ndvi_tile(PLAIN, Window(0, 0, 8, 1), index="NVDI", reader=six_bands())
    scene = dataclasses.replace(PLAIN, bands={"red": PLAIN.red, "nir": PLAIN.nir})
    with pytest.raises(ConfigError, match="has no band blue, which the index needs: it has red, nir"):
        tasks.ndvi_tile(scene, Window(0, 0, 8, 1), index="EVI", reader=six_bands())


def test_level_1_of_oli_needs_the_suns_elevation_only_for_indices_of_reflectance():
    scene = Scene.at("/nowhere", COLOMBIA.replace("L2SP", "L1TP"), quality=False)
    assert tasks.ndvi_tile(scene, Window(0, 0, 8, 1), reader=six_bands()).level == 1
    with pytest.raises(NotFound, match="MTL"):
        tasks.ndvi_tile(scene, Window(0, 0, 8, 1), index="SAVI", reader=six_bands())


def test_a_point_says_why_it_is_hidden():
    qa = np.array([[21824, 1, 0b1000, 0b10000, 0b100000, 0b10, 0b100, 21824]], np.uint16)
    radsat = np.array([[0, 0, 0, 0, 0, 0, 0, 0b1000]], np.uint16)
    reader = six_bands(qa_pixel=qa, qa_radsat=radsat)
    reader.grid = dataclasses.replace(GRID, width=8, height=1)
    found = [tasks.ndvi_point(SCENE, *centre(0, column), reader=reader).hidden for column in range(8)]
    assert found == [None, "fill", "cloud", "shadow", "snow", "cloud", "cloud", "saturated"]
    snowy = Masking(keep={"snow"})
    assert tasks.ndvi_point(SCENE, *centre(0, 4), masking=snowy, reader=reader).hidden is None
    assert tasks.ndvi_tile(SCENE, Window(0, 0, 8, 1), reader=reader).hidden == pytest.approx(
        (1 / 8, 3 / 8, 1 / 8, 1 / 8, 1 / 8, 0)
    )


def test_dark_water_is_out_of_range_unless_the_floor_is_lower():
    water = round((0.02 + 0.2) / 2.75e-5)
    band = np.full((1, 8), water, np.uint16)
    reader = ArrayReader(dataclasses.replace(GRID, width=8, height=1), red=band, nir=band)
    assert tasks.ndvi_tile(PLAIN, Window(0, 0, 8, 1), reader=reader).hidden.out_of_range == 1
    assert tasks.ndvi_tile(PLAIN, Window(0, 0, 8, 1), masking=Masking(floor=0.0), reader=reader).masked == 0


@pytest.mark.parametrize(
    ("product", "quantiles"),
    [(BRUMADINHO[0], (0.285, 0.785, 0.870)), (BRUMADINHO[1], (0.190, 0.772, 0.868))],
)
def test_quantiles_of_brumadinho(product, quantiles):
    tile = tasks.ndvi_tile(
        Scene.at(str(real_pixels()), product, quality=False), Window(0, 0, 400, 300), masking=Masking(floor=0)
    )
    got = np.nanquantile(indices.to_float(tile.values), (0.05, 0.5, 0.95))
    assert got == pytest.approx(quantiles, abs=1.01e-3)
    assert tile.fill == 0
    assert (tile.grid.west % 30, tile.grid.north % 30) == (15, 15)


def test_usable_pixels_of_colombia():
    tile = tasks.ndvi_tile(Scene.at(str(real_pixels()), COLOMBIA), Window(0, 0, 512, 512))
    assert 1 - tile.masked == pytest.approx(0.0814, abs=1e-4)
    assert tile.fill == pytest.approx(0.3109, abs=1e-4)  # no data in red (0.3069) or in near infrared
    assert tile.stats.mean > 0.6
