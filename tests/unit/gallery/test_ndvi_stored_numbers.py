"""Rasters whose numbers would be misread are refused, whatever reads them; others are read as they are."""

import dataclasses
import math

import numpy as np
import pytest
import rasterio

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.indices import Calibration, Scaling

GRID = Grid(32610, 500_025.0, 4_200_015.0, (30.0, 30.0), 80, 70)
PRODUCT = "LC08_L2SP_045033_20220723_20220723_02_T1"
WINDOW = Window(0, 0, 80, 70)


def write(path, values, **options):
    """Write a raster and return its path; values of three dimensions are several bands."""
    bands = values if values.ndim == 3 else values[np.newaxis]
    profile = {
        "driver": "GTiff",
        "width": GRID.width,
        "height": GRID.height,
        "count": len(bands),
        "dtype": bands.dtype,
        "crs": f"EPSG:{GRID.epsg}",
        "transform": rasterio.Affine.from_gdal(*GRID.transform),
        "compress": "deflate",
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
    }
    scale, offset = options.pop("scale", 1.0), options.pop("offset", 0.0)
    with rasterio.open(path, "w", **(profile | options)) as file:
        file.write(bands)
        file.scales, file.offsets = [scale] * len(bands), [offset] * len(bands)
    return str(path)


@pytest.fixture
def scene(tmp_path):
    """A scene whose near-infrared band is to be replaced."""
    red = np.full((70, 80), 12_000, np.uint16)
    href = write(tmp_path / "red.tif", red)
    return dataclasses.replace(
        Scene.at(str(tmp_path), PRODUCT, quality=False), bands={"red": href, "nir": href}
    )


def with_nir(scene, tmp_path, values, **options):
    """Return a scene with another near-infrared band."""
    return dataclasses.replace(
        scene, bands=scene.bands | {"nir": write(tmp_path / "nir.tif", values, **options)}
    )


NIR = np.full((70, 80), 20_000)
WRONG = {
    "float32 pixels": ((NIR * 2.75e-5 - 0.2).astype(np.float32), {}),
    "float64 pixels": ((NIR * 2.75e-5 - 0.2), {}),
    "int16 pixels": ((NIR // 2).astype(np.int16), {}),
    "uint8 pixels": ((NIR // 100).astype(np.uint8), {}),
    "int32 pixels": (NIR.astype(np.int32), {}),
    "complex64 pixels": (NIR.astype(np.complex64), {}),
    "3 bands of uint16": (np.stack([NIR] * 3).astype(np.uint16), {}),
    "scale 0.0001 and offset 0": (NIR.astype(np.uint16), {"scale": 1e-4}),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_would_be_misread_is_refused(scene, tmp_path, what):
    values, options = WRONG[what]
    wrong = with_nir(scene, tmp_path, values, **options)
    with pytest.raises(
        ConfigError, match=rf"band nir of {PRODUCT} at .*nir\.tif .*{what}.*product's own file"
    ):
        tasks.ndvi_tile(wrong, WINDOW)
    with pytest.raises(ConfigError, match=what):
        tasks.ndvi_tile(wrong, WINDOW, grid=GRID)
    with pytest.raises(ConfigError, match=what):
        tasks.ndvi_area(wrong, GRID.bounds, 20)


def test_a_scale_that_agrees_with_the_product_is_no_obstacle(scene, tmp_path):
    stated = with_nir(scene, tmp_path, NIR.astype(np.uint16), scale=2.75e-5, offset=-0.2)
    plain = with_nir(scene, tmp_path / "..", NIR.astype(np.uint16))
    assert tasks.ndvi_tile(stated, WINDOW).stats == tasks.ndvi_tile(plain, WINDOW).stats


@pytest.mark.parametrize("nodata", [1, 9_999, 65_535])
def test_another_number_for_no_data_is_fill(scene, tmp_path, nodata):
    values = NIR.astype(np.uint16)
    values[:10] = nodata
    other = with_nir(scene, tmp_path, values, nodata=nodata)
    warped = dataclasses.replace(GRID, west=GRID.west + 15)
    for tile in (tasks.ndvi_tile(other, WINDOW), tasks.ndvi_tile(other, Window(0, 0, 40, 70), grid=warped)):
        assert tile.fill == pytest.approx(10 / 70)
        assert tile.masked == tile.fill
    assert math.isclose(tasks.ndvi_area(other, GRID.bounds, 100).fill, 10 / 70, abs_tol=0.05)


def test_level_1_of_tm_has_bytes(tmp_path):
    product = "LT05_L1TP_008059_19910802_20200915_02_T1"
    red, nir = np.full((70, 80), 60, np.uint8), np.full((70, 80), 200, np.uint8)
    nir[0] = 255
    bands = {"red": write(tmp_path / "red.tif", red), "nir": write(tmp_path / "nir.tif", nir, nodata=255)}
    scene = dataclasses.replace(Scene.at(str(tmp_path), product, quality=False), bands=bands)
    gains = Calibration({"red": Scaling(1e-3, 0.0), "nir": Scaling(1e-3, 0.0)}, factor=1.0)
    scene = dataclasses.replace(scene, calibration=gains)
    tile = tasks.ndvi_tile(scene, WINDOW)
    assert tile.stats.mean == pytest.approx(140 / 260, abs=1e-4)
    assert tile.fill == pytest.approx(1 / 70)
