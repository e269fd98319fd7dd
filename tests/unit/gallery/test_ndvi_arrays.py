"""Files and arrays of NDVI, as other programs read them."""

import sys

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray

from tests.landsat import clearest
from wrenlite.errors import ConfigError, PackageMissing
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.ndvi import indices, xarrays
from wrenlite.gallery.ndvi.cog import Coding, write_cog
from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.masks import Masking
from wrenlite.gallery.ndvi.mosaic import mosaic
from wrenlite.gallery.ndvi.provenance import Provenance
from wrenlite.gallery.synthetic.places import PLACES

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # by rioxarray


@pytest.fixture(scope="module")
def tile(scenes):
    """A tile of the synthetic archive with hidden and usable pixels."""
    scene = clearest(scenes, PLACES["napa"])
    return tasks.ndvi_tile(scene, Window(0, 0, 256, 200), masking=Masking(keep={"snow"}))


@pytest.fixture
def file(tile, tmp_path):
    """The file of a mosaic of that tile."""
    mosaic([tile]).write(tmp_path / "ndvi.tif")
    return tmp_path / "ndvi.tif"


def test_a_gis_shows_values_and_how_they_were_made(file, tile):
    with rasterio.open(file) as dataset:
        assert (dataset.scales, dataset.offsets, dataset.nodata) == ((0.0001,), (0.0,), -32768)
        assert (dataset.descriptions, dataset.units) == (("NDVI",), ("1",))
        tags = dataset.tags()
        assert (dataset.read(1) == tile.values).all()
    assert (tags["INDEX"], tags["LEVEL"], tags["SENSOR"], tags["PRODUCTS"]) == (
        "NDVI",
        "2",
        "OLI",
        tile.product,
    )
    assert tags["MASKED"].startswith(
        "fill, cloud, shadow, saturated, out of range; a sum of reflectances below"
    )
    assert tags["SYNTHETIC"].startswith("yes")
    assert tags["TIFFTAG_SOFTWARE"].startswith("wrenlite ")


def test_rioxarray_reads_the_file_as_the_array_that_we_return(file, tile):
    theirs = rioxarray.open_rasterio(file, mask_and_scale=True)[0]
    ours = mosaic([tile]).to_xarray()
    assert ours.dims == theirs.dims == ("y", "x")
    for name in ("x", "y", "spatial_ref"):
        assert (ours[name].values == theirs[name].values).all()
    np.testing.assert_allclose(ours.values, theirs.values, rtol=2e-7)  # one rounding in float32
    assert ours.rio.crs == theirs.rio.crs
    assert ours.rio.transform() == theirs.rio.transform() == rasterio.Affine.from_gdal(*tile.grid.transform)
    for name in ("scale_factor", "add_offset", "_FillValue", "grid_mapping", "dtype"):
        assert ours.encoding[name] == theirs.encoding[name]
    assert ours.attrs["long_name"] == theirs.attrs["long_name"] == "NDVI"
    assert ours.attrs["units"] == theirs.attrs["units"] == "1"


def test_an_array_survives_a_file(tile, tmp_path):
    array = tile.to_xarray()
    assert array.time.values == np.datetime64(tile.date)
    array.rio.to_raster(tmp_path / "theirs.tif")
    with rasterio.open(tmp_path / "theirs.tif") as dataset:
        assert (dataset.dtypes, dataset.nodata, dataset.crs.to_epsg()) == (("int16",), -32768, tile.grid.epsg)
        assert (dataset.read(1) == tile.values).all()
        assert dataset.transform.to_gdal() == tile.grid.transform


def test_arrays_of_areas_and_of_degrees(scenes):
    area = tasks.ndvi_area(clearest(scenes, PLACES["napa"]), (-122.38, 38.42, -122.35, 38.44))
    array = area.to_xarray()
    assert array.dtype == np.float32
    assert float(array.x[1] - array.x[0]) == 30.0
    provenance = Provenance.of([area])
    plain = xarrays.data_array(
        np.zeros((2, 3, 4), np.int16),
        Grid(4326, 179.0, -16.0, (0.5, 0.25), 4, 3),
        provenance,
        [area.date, area.date],
    )
    assert isinstance(plain, xarray.DataArray)
    assert plain.dims == ("time", "y", "x")
    assert plain.x.values.tolist() == [179.25, 179.75, 180.25, 180.75]
    assert plain.y.attrs["units"] == "degrees_north"
    assert array.y.attrs["units"] == "metre"


def test_numbers_without_a_coding_stay_numbers(tmp_path):
    grid = Grid(32610, 600_015.0, 4_000_005.0, (30.0, 30.0), 8, 8)
    write_cog(tmp_path / "n.tif", np.full((8, 8), 3, np.uint8), grid, nodata=0)
    write_cog(
        tmp_path / "k.tif", np.full((8, 8), 3, np.int16), grid, nodata=0, coding=Coding("T", 0.5, 2, "K")
    )
    with rasterio.open(tmp_path / "n.tif") as dataset:
        assert (dataset.scales, dataset.descriptions) == ((1.0,), (None,))
    assert float(rioxarray.open_rasterio(tmp_path / "k.tif", mask_and_scale=True)[0, 0, 0]) == 3.5


def test_levels_and_indices_are_not_mixed(tile):
    from dataclasses import replace

    toa = replace(tile, level=1, product="LC08_L1TP_X")
    with pytest.raises(
        ConfigError, match=r"LC08_L1TP_X of level 1 and .* of level 2 cannot be joined, .*mixed=True"
    ):
        mosaic([tile, toa])
    assert mosaic([tile, toa], mixed=True).provenance.levels == (2, 1)
    with pytest.raises(ConfigError, match="different indices and cannot be joined"):
        mosaic([tile, replace(tile, index="EVI")], mixed=True)


def test_without_xarray_the_error_says_what_to_install(tile, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(PackageMissing, match=r"arrays need xarray: pip install 'wrenlite\[landsat\]'"):
        tile.to_xarray()


def test_nodata_is_nan_in_arrays(tile):
    hidden = tile.values == indices.NODATA
    assert hidden.any()
    assert (np.isnan(tile.to_xarray().values) == hidden).all()
