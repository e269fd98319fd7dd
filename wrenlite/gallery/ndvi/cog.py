"""Cloud-optimised GeoTIFF: files whose numbers a GIS shows in their unit, and that say how they were made."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from wrenlite.errors import PackageMissing, StoreError
from wrenlite.gallery.ndvi.grid import BLOCK, Grid

try:
    import rasterio
    import rasterio.shutil
    from rasterio.errors import RasterioError
except ImportError as missing:
    raise PackageMissing(
        f"writing rasters needs {missing.name}: pip install 'wrenlite[landsat]'"
    ) from missing


class Coding(NamedTuple):
    """What the numbers of a raster mean: value = number x scale + offset."""

    name: str
    """Name of the band, such as ``NDVI``."""
    scale: float = 1.0
    offset: float = 0.0
    units: str = "1"
    """Unit of the value; ``1`` is a pure number."""


def write_cog(
    path: str | Path,
    values: NDArray[Any],
    grid: Grid,
    *,
    nodata: float | None = None,
    coding: Coding | None = None,
    tags: Mapping[str, str] | None = None,
    overviews: str = "average",
) -> None:
    """Write a cloud-optimised GeoTIFF with blocks of 256 pixels, deflate compression, and overviews inside.

    Args:
        path: path of the file, which appears complete or not at all.
        values: pixels, of shape (height, width) of the grid.
        grid: the grid of the pixels.
        nodata: the value that stands for no data, if any; overviews leave it out.
        coding: name of the band, and what its numbers mean. With it a GIS shows 0.785 where 7,850 is stored.
        tags: texts to keep in the file, by tag.
        overviews: how overviews are made: ``average``, or ``nearest`` for bits.

    Raises:
        StoreError: the file cannot be written, or the disk is full.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        partial.write_bytes(_encode(values, grid, nodata, coding, tags or {}, overviews))
        partial.replace(target)
    except (RasterioError, OSError) as error:
        raise StoreError(f"cannot write {target}: {getattr(error, 'strerror', None) or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _encode(
    values: NDArray[Any],
    grid: Grid,
    nodata: float | None,
    coding: Coding | None,
    tags: Mapping[str, str],
    overviews: str,
) -> bytes:
    """Return the content of the file. It is made in memory: GDAL reports a full disk by any error or none."""
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "count": 1,
        "width": grid.width,
        "height": grid.height,
        "crs": f"EPSG:{grid.epsg}",
        "transform": rasterio.Affine.from_gdal(*grid.transform),
        "nodata": nodata,
    }
    options = {
        "driver": "COG",
        "blocksize": BLOCK,
        "compress": "DEFLATE",
        "overview_resampling": overviews.upper(),
    }
    with rasterio.MemoryFile() as memory, rasterio.MemoryFile() as made:
        with memory.open(**profile) as dataset:
            dataset.write(values, 1)
            dataset.update_tags(**tags)
            if coding is not None:
                dataset.descriptions = (coding.name,)
                dataset.scales, dataset.offsets = (coding.scale,), (coding.offset,)
                dataset.units = (coding.units,)
        with memory.open() as dataset:
            rasterio.shutil.copy(dataset, made.name, **options)
        return bytes(made.getbuffer())
