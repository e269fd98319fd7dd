"""Blocks that are decoded without GDAL are bit-identical with GDAL's, and other files are left to GDAL."""

import os
import shutil

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window as RasterioWindow

from wrenlite.errors import StoreError
from wrenlite.gallery.ndvi import blocks
from wrenlite.gallery.ndvi.bands import Band
from wrenlite.gallery.ndvi.grid import Window
from wrenlite.gallery.ndvi.reader import GdalReader

COMMON = {"driver": "GTiff", "compress": "deflate", "tiled": True, "blockxsize": 64, "blockysize": 64}


def write(path, values, **options):
    """Write a raster, by default one that can be decoded without GDAL."""
    height, width = values.shape
    profile = COMMON | {
        "width": width,
        "height": height,
        "count": 1,
        "dtype": values.dtype,
        "crs": "EPSG:32610",
        "transform": rasterio.Affine(30, 0, 500_025, 0, -30, 4_200_015),
    }
    with rasterio.open(path, "w", **(profile | options)) as file:
        file.write(values, 1)
    return str(path)


def pictures(height, width):
    """Return pictures of several kinds: smooth, noisy, and with blocks that are uniform."""
    rng = np.random.default_rng(height * 1000 + width)
    smooth = np.add.outer(np.arange(height), 3 * np.arange(width)).astype(np.uint16)
    noise = rng.integers(0, 65536, (height, width), dtype=np.uint16)
    half = smooth.copy()
    half[: height // 2] = 0
    return {"smooth": smooth, "noise": noise, "half": half}


def read_parts(path, window, count=1):
    """Return a window that a reader joined from parts, of a raster that stands for several bands."""
    bands = [Band(f"band {number}", path, "LC08", is_bits=True) for number in range(count)]
    joined = {band.name: np.full((window.height, window.width), 12345, np.uint16) for band in bands}
    with GdalReader().parts(bands, lambda _: (window, 1)) as parts:
        for place, values in parts.values:
            for name in joined:
                joined[name][place] = values[name]
    return joined


def by_gdal(path, window):
    """Return a window as GDAL reads it."""
    with rasterio.open(path) as file:
        return file.read(1, window=RasterioWindow(*window))


def is_decoded_here(path):
    """Return whether a file is of the kind that is decoded without GDAL."""
    with rasterio.open(path) as file:
        decoder = blocks.open_blocks(path, file, rasterio.__gdal_version__)
        if decoder is not None:
            decoder.close()
        return decoder is not None


HERE = {
    "plain": {},
    "differences": {"predictor": 2},
    "large blocks": {"blockxsize": 256, "blockysize": 512, "predictor": 2},
    "BigTIFF": {"bigtiff": "YES"},
    "not 0 as nodata": {"nodata": 1},
}
BY_GDAL = {
    "small blocks": {"blockxsize": 16, "blockysize": 32},
    "strips of rows": {"tiled": False, "blockysize": 1},
    "LZW": {"compress": "lzw", "predictor": 2},
    "zstd": {"compress": "zstd"},
    "uncompressed": {"compress": "none"},
    "big-endian": {"endianness": "BIG", "predictor": 2},
    "12 bits": {"nbits": 12},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Rasters of every kind, by kind and picture."""
    folder = tmp_path_factory.mktemp("blocks")
    made = {}
    for kind, options in (HERE | BY_GDAL).items():
        for name, values in pictures(150, 200).items():
            stored = values & 0xFFF if kind == "12 bits" else values
            path = folder / f"{kind} {name}.tif"
            made[kind, name] = write(path, stored, **options)
    return made


def test_which_files_are_decoded_without_gdal(files):
    for (kind, _), path in files.items():
        assert is_decoded_here(path) == (kind in HERE), kind


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.sampled_from(sorted(HERE | BY_GDAL)),
    st.sampled_from(["smooth", "noise", "half"]),
    st.integers(0, 199),
    st.integers(0, 149),
    st.data(),
)
def test_every_window_is_as_gdal_reads_it(files, kind, name, column, row, data):
    window = Window(
        column, row, data.draw(st.integers(1, 200 - column)), data.draw(st.integers(1, 150 - row))
    )
    path = files[kind, name]
    for found in read_parts(path, window, count=2).values():
        np.testing.assert_array_equal(found, by_gdal(path, window))


def test_files_with_overviews_and_of_more_blocks_than_are_kept(tmp_path):
    values = pictures(700, 900)["half"]
    plain = write(tmp_path / "plain.tif", values)
    path = str(tmp_path / "cog.tif")
    options = {"driver": "COG", "compress": "DEFLATE", "blocksize": 128, "predictor": "YES"}
    rasterio.shutil.copy(plain, path, **options)
    assert is_decoded_here(path)
    for window in (Window(0, 0, 900, 700), Window(130, 250, 128, 128), Window(899, 699, 1, 1)):
        np.testing.assert_array_equal(read_parts(path, window)["band 0"], by_gdal(path, window))


def test_missing_blocks_are_fill_or_nodata(tmp_path):
    for nodata in (0, 1):
        path = tmp_path / f"sparse {nodata}.tif"
        values = np.full((150, 200), nodata, np.uint16)
        write(path, values, nodata=nodata, sparse_ok=True)
        assert is_decoded_here(str(path))
        assert path.stat().st_size < 2000
        found = read_parts(str(path), Window(0, 0, 200, 150))["band 0"]
        assert (found == nodata).all()


def test_bands_of_different_kinds_are_read_together(tmp_path):
    values = pictures(150, 200)["noise"]
    kinds = {"here": {}, "other": {"blockxsize": 128, "blockysize": 128}, "lzw": {"compress": "lzw"}}
    bands = [
        Band(name, write(tmp_path / f"{name}.tif", values, **options), "LC08")
        for name, options in kinds.items()
    ]
    for chosen in (bands, bands[:2]):
        joined = {band.name: np.zeros((150, 200), np.uint16) for band in chosen}
        with GdalReader().parts(chosen, lambda grid: (grid.window, 1)) as parts:
            for place, found in parts.values:
                for name in joined:
                    joined[name][place] = found[name]
        for found in joined.values():
            np.testing.assert_array_equal(found, values)


def test_a_damaged_block_is_an_error_that_names_the_band(tmp_path):
    path = write(tmp_path / "damaged.tif", pictures(150, 200)["noise"])
    with rasterio.open(path) as file:
        offset = int(file.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    with open(path, "r+b") as raw:
        raw.seek(offset + 10)
        raw.write(b"\0" * 2000)
    assert read_parts(path, Window(0, 0, 64, 64))
    with pytest.raises(StoreError, match=r"cannot read band band 0 of LC08 at .*damaged\.tif"):
        read_parts(path, Window(0, 0, 200, 150))


def test_a_file_that_is_replaced_is_read_anew(tmp_path):
    first, second = pictures(150, 200)["noise"], pictures(150, 200)["smooth"]
    path, window = write(tmp_path / "a.tif", first), Window(0, 0, 200, 150)
    np.testing.assert_array_equal(read_parts(path, window)["band 0"], first)
    other = write(tmp_path / "b.tif", second, predictor=2)
    os.replace(other, path)
    np.testing.assert_array_equal(read_parts(path, window)["band 0"], second)
    shutil.copyfile(write(tmp_path / "c.tif", first), path)
    np.testing.assert_array_equal(read_parts(path, window)["band 0"], first)
