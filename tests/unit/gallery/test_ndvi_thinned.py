"""Pictures of thinned rasters: every cell shows one of its own pixels."""

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling

from wrenlite.gallery.ndvi.bands import Band
from wrenlite.gallery.ndvi.cog import write_cog
from wrenlite.gallery.ndvi.grid import Grid, Window, clip
from wrenlite.gallery.ndvi.reader import GdalReader

SIZES = ((271, 600), (1023, 777), (1537, 513), (1000, 1000))


def places(width, height):
    """Two rasters: the column and the row of each pixel, from 1."""
    columns, rows = np.meshgrid(
        np.arange(1, width + 1, dtype=np.uint16), np.arange(1, height + 1, dtype=np.uint16)
    )
    return {"columns": columns, "rows": rows}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Rasters of odd and even sizes: as GDAL's COG driver makes them, by gdaladdo, and without overviews."""
    folder = tmp_path_factory.mktemp("thinned")
    for width, height in SIZES:
        grid = Grid(32610, 600_015.0, 4_000_005.0, (30.0, 30.0), width, height)
        for name, values in places(width, height).items():
            write_cog(folder / f"cog-{width}-{name}.tif", values, grid, nodata=0, overviews="nearest")
            for kind in ("added", "none"):
                profile = {
                    "driver": "GTiff",
                    "dtype": "uint16",
                    "count": 1,
                    "crs": "EPSG:32610",
                    "tiled": True,
                }
                with rasterio.open(
                    folder / f"{kind}-{width}-{name}.tif",
                    "w",
                    width=width,
                    height=height,
                    transform=rasterio.Affine.from_gdal(*grid.transform),
                    **profile,
                ) as dataset:
                    dataset.write(values, 1)
                    if kind == "added":
                        dataset.build_overviews([2, 4, 8], Resampling.nearest)
    return folder


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(SIZES),
    st.sampled_from(["cog", "added", "none"]),
    st.integers(1, 40),
    st.tuples(st.integers(-3, 40), st.integers(-3, 40), st.integers(1, 60), st.integers(1, 60)),
)
def test_every_cell_shows_a_pixel_of_its_own(files, size, kind, step, cells):
    column, row, width, height = (number * step for number in cells)
    window = Window(column, row, width, height)
    bands = [Band(name, str(files / f"{kind}-{size[0]}-{name}.tif"), "p") for name in ("columns", "rows")]
    found = GdalReader().read(bands, lambda grid: (window, step))
    for name, start, limit, axis in (("columns", column, size[0], 1), ("rows", row, size[1], 0)):
        shown = found[name].values.astype(int) - 1
        first = np.arange(start, start + (width, height)[1 - axis], step)
        first = first[None, :] if axis else first[:, None]
        inside = shown >= 0
        assert (~inside | ((shown >= first) & (shown < first + step) & (shown < limit))).all()
    beyond = clip(window, Window(0, 0, *size))
    assert (found["columns"].values > 0).any() == (beyond is not None)
