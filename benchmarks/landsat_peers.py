"""NDVI of a whole scene by each peer, as its own guide recommends; for ``benchmarks.landsat``.

Each function takes the scene, its STAC item and its grid, works in windows of 2,048 pixels a side, and
returns the mean NDVI of the usable pixels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi.grid import (
    TILE,
    Grid,
    windows,
)

_MIN_NUMBER = 7273
"""Least stored number whose reflectance, 2.75e-5 DN - 0.2, is above zero."""


def ours(scene: Scene, item: dict[str, Any], grid: Grid) -> float:
    """Use wrenlite's own task."""
    tiles = [tasks.ndvi_tile(scene, window) for window in windows(grid)]
    counts = np.array([(1 - tile.masked) * tile.values.size for tile in tiles])
    return float(np.nansum(counts * [tile.stats.mean for tile in tiles]) / counts.sum())


def bare(scene: Scene, item: dict[str, Any], grid: Grid) -> float:
    """Use rasterio and numpy, as a plain script would."""
    import rasterio
    from rasterio.windows import Window

    total, count = 0.0, 0
    with rasterio.open(scene.red) as red_file, rasterio.open(scene.nir) as nir_file:
        for window in windows(grid):
            part = Window(*window)
            red, nir = (file.read(1, window=part).astype(np.float32) for file in (red_file, nir_file))
            good = (red >= _MIN_NUMBER) & (nir >= _MIN_NUMBER)
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(good, 11 * (nir - red) / (11 * (nir + red) - 160_000), np.nan)
            total, count = total + np.nansum(values, dtype=np.float64), count + good.sum()
    return total / count


def rio_tiler(scene: Scene, item: dict[str, Any], grid: Grid) -> float:
    """Use rio-tiler's expressions."""
    import rasterio
    from rasterio.windows import Window
    from rio_tiler.models import ImageData
    from rio_tiler.reader import read

    total, count = 0.0, 0
    with rasterio.open(scene.red) as red_file, rasterio.open(scene.nir) as nir_file:
        for window in windows(grid):
            both = [read(file, indexes=1, window=Window(*window)) for file in (red_file, nir_file)]
            image = ImageData.create_from_list(both)
            image.band_names = ["b1", "b2"]
            values = image.apply_expression("11*(b2-b1)/(11.0*(b2+b1)-160000)").array
            low = (both[0].data < _MIN_NUMBER) | (both[1].data < _MIN_NUMBER)
            values = np.ma.array(values, mask=values.mask | low)
            total, count = total + float(values.sum(dtype=np.float64)), count + int(values.count())
    return total / count


def odc_stac(scene: Scene, item: dict[str, Any], grid: Grid) -> float:
    """Use odc-stac with dask."""
    import pystac
    from odc.stac import load

    bands = load(
        [pystac.Item.from_dict(item)],
        bands=["red", "nir08"],
        crs=f"EPSG:{grid.epsg}",
        resolution=30,
        anchor="center",
        chunks={"x": TILE, "y": TILE},
    )
    return _mean(bands.red, bands.nir08)


def stackstac(scene: Scene, item: dict[str, Any], grid: Grid) -> float:
    """Use stackstac with dask."""
    from stackstac import stack

    bounds = (grid.west, grid.north - 30 * grid.height, grid.west + 30 * grid.width, grid.north)
    bands = stack(
        [item],
        assets=["red", "nir08"],
        epsg=grid.epsg,
        resolution=30,
        bounds=bounds,
        snap_bounds=False,
        chunksize=TILE,
        dtype=np.dtype("uint16"),
        fill_value=np.uint16(0),
        rescale=False,
    )
    return _mean(bands.sel(band="red"), bands.sel(band="nir08"))


def _mean(red: Any, nir: Any) -> float:
    """Return the mean NDVI of lazy arrays, computed by dask."""
    good = (red >= _MIN_NUMBER) & (nir >= _MIN_NUMBER)
    r, n = red.astype("float32"), nir.astype("float32")
    return float((11 * (n - r) / (11 * (n + r) - 160_000)).where(good).mean(dtype="float64").compute())


CONTESTANTS: dict[str, Callable[[Scene, dict[str, Any], Grid], float]] = {
    "wrenlite": ours,
    "rasterio and numpy": bare,
    "rio-tiler": rio_tiler,
    "odc-stac": odc_stac,
    "stackstac": stackstac,
}
