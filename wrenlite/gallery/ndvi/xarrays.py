"""Grids with coordinates: arrays of xarray, with the conventions of rioxarray.

The dims are ``time``, ``y`` and ``x``. The coordinates are those of pixels' centres; ``spatial_ref`` holds
the projection and the geotransform, as rioxarray, GDAL and the CF conventions read it. The values are floats
with NaN where there is no data; the ``encoding`` stores them again as int16.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import PackageMissing
from wrenlite.gallery.ndvi import indices, projection
from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.periods import Period
from wrenlite.gallery.ndvi.provenance import Provenance
from wrenlite.gallery.ndvi.results import PixelsNdvi

_GRID_MAPPING = "spatial_ref"


def data_array(
    values: NDArray[Any],
    grid: Grid,
    provenance: Provenance,
    times: Sequence[date] | None = None,
) -> Any:
    """Return values on a grid as a DataArray.

    Args:
        values: an index as int16 x 10,000, or as floats with NaN, of shape (height, width), or (time, height,
            width) where there are times.
        grid: the grid of the values.
        provenance: what they were computed from, which becomes the array's attributes.
        times: the day of each picture.

    Raises:
        PackageMissing: xarray is not installed.
    """
    floats = indices.to_float(values) if np.issubdtype(values.dtype, np.integer) else values
    array = _array(floats, grid, times).rename(provenance.index)
    array.attrs = {"long_name": provenance.index, "units": "1", **provenance.attributes()}
    array.encoding = {
        "dtype": "int16",
        "scale_factor": 1 / indices.SCALE,
        "add_offset": 0.0,
        "_FillValue": np.int16(indices.NODATA),
        "grid_mapping": _GRID_MAPPING,
    }
    return array


def counts_array(counts: NDArray[Any], grid: Grid, times: Sequence[date], long_name: str) -> Any:
    """Return numbers of scenes on a grid as a DataArray.

    Args:
        counts: whole numbers, of shape (time, height, width).
        grid: the grid of the numbers.
        times: the day of each picture.
        long_name: what is counted.
    """
    array = _array(counts, grid, times)
    array.attrs = {"long_name": long_name, "units": "1"}
    array.encoding = {"grid_mapping": _GRID_MAPPING}
    return array


def with_bounds(dataset: Any, periods: Sequence[Period]) -> Any:
    """Return a Dataset with the bounds of its times: when each period begins, and when the one after it does.

    They are the variable ``time_bnds``, which the attribute ``bounds`` of ``time`` names (CF conventions,
    section 7.1).

    Args:
        dataset: a Dataset with the dim time.
        periods: the period of each time.
    """
    bounds = [(period.start, period.end + timedelta(days=1)) for period in periods]
    dataset = dataset.assign_coords(time_bnds=(("time", "bnds"), np.array(bounds, "datetime64[ns]")))
    dataset.time.attrs["bounds"] = "time_bnds"
    units = {"units": f"days since {min(first for first, _ in bounds)}", "dtype": "int32"}
    for name in ("time", "time_bnds"):  # CF wants the same units for both
        dataset[name].encoding = dict(units)
    return dataset


def of_result(result: PixelsNdvi) -> Any:
    """Return a tile or an area of one scene as a DataArray, whose coordinate ``time`` is the scene's day."""
    array = data_array(result.values, result.grid, Provenance.of([result]))
    return array.assign_coords(time=np.datetime64(result.date, "ns"))


def _array(values: NDArray[Any], grid: Grid, times: Sequence[date] | None) -> Any:
    try:
        import xarray
    except ImportError as error:
        raise PackageMissing(f"arrays need {error.name}: pip install 'wrenlite[landsat]'") from error
    x_name, y_name = projection.axis_attributes(grid.epsg)
    coords: dict[str, Any] = {
        "y": ("y", grid.north - grid.pixel[1] * (np.arange(grid.height) + 0.5), y_name),
        "x": ("x", grid.west + grid.pixel[0] * (np.arange(grid.width) + 0.5), x_name),
        _GRID_MAPPING: ((), 0, _spatial_ref(grid)),
    }
    dims = ["y", "x"]
    if times is not None:
        dims = ["time", *dims]
        coords["time"] = ("time", np.array(times, "datetime64[ns]"))
    return xarray.DataArray(values, coords, dims)


def _spatial_ref(grid: Grid) -> dict[str, Any]:
    """Return the attributes of the coordinate that names the projection; GDAL's names and those of CF."""
    text = projection.wkt(grid.epsg)
    transform = " ".join(f"{number!r}" for number in map(float, grid.transform))
    return {"crs_wkt": text, "spatial_ref": text, "GeoTransform": transform}
