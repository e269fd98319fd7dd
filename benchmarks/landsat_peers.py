"""NDVI of a whole scene by each peer, as its own guide recommends; for ``benchmarks.landsat``.

Each function takes the scene, its STAC item and its grid, works in windows of 2,048 pixels a side, and
returns the mean NDVI of the usable pixels. All use the same masks. Where the scene has quality bands, they
read and apply them.
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

_MIN_NUMBER, _MAX_NUMBER = 7273, 43636
"""Stored numbers of reflectances above 0 and up to 1: 2.75e-5 DN - 0.2."""
_MIN_SUM = 16364
"""Least sum of two stored numbers whose reflectances have a sum of 0.05."""
_QA_PIXEL = 0b111111
"""Bits of fill, dilated cloud, cirrus, cloud, cloud shadow and snow."""
_QA_RADSAT = 1 << 3 | 1 << 4 | 1 << 9 | 1 << 11
"""Bits of saturation in the red and the near-infrared band, of dropped and of occluded pixels."""


def _usable(red: Any, nir: Any, quality: list[Any]) -> Any:
    """Return which pixels are usable, of arrays of any kind; red and near infrared are floats.

    Args:
        red: stored numbers.
        nir: stored numbers.
        quality: QA_PIXEL and QA_RADSAT, or nothing.
    """
    good = (red >= _MIN_NUMBER) & (nir >= _MIN_NUMBER) & (red <= _MAX_NUMBER) & (nir <= _MAX_NUMBER)
    good = good & (red + nir >= _MIN_SUM)
    for band, bits in zip(quality, (_QA_PIXEL, _QA_RADSAT), strict=False):
        good = good & ((band & bits) == 0)
    return good


def _paths(scene: Scene) -> list[str]:
    """Return the files of a scene: red, near infrared, and the quality bands if there are any."""
    return [scene.red, scene.nir, *(path for path in (scene.qa_pixel, scene.qa_radsat) if path)]


def ours(scene: Scene, item: dict[str, Any], grid: Grid) -> float:
    """Use wrenlite's own task."""
    tiles = [tasks.ndvi_tile(scene, window) for window in windows(grid)]
    counts = np.array([(1 - tile.masked) * tile.values.size for tile in tiles])
    return float(np.nansum(counts * [tile.stats.mean for tile in tiles]) / counts.sum())


def bare(scene: Scene, item: dict[str, Any], grid: Grid) -> float:
    """Use rasterio and numpy, as a plain script would."""
    from contextlib import ExitStack

    import rasterio
    from rasterio.windows import Window

    total, count = 0.0, 0
    with ExitStack() as stack:
        files = [stack.enter_context(rasterio.open(path)) for path in _paths(scene)]
        for window in windows(grid):
            red, nir, *quality = (file.read(1, window=Window(*window)) for file in files)
            red, nir = red.astype(np.float32), nir.astype(np.float32)
            good = _usable(red, nir, quality)
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(good, 11 * (nir - red) / (11 * (nir + red) - 160_000), np.nan)
            total, count = total + np.nansum(values, dtype=np.float64), count + good.sum()
    return total / count


def rio_tiler(scene: Scene, item: dict[str, Any], grid: Grid) -> float:
    """Use rio-tiler's expressions."""
    from contextlib import ExitStack

    import rasterio
    from rasterio.windows import Window
    from rio_tiler.models import ImageData
    from rio_tiler.reader import read

    total, count = 0.0, 0
    with ExitStack() as stack:
        files = [stack.enter_context(rasterio.open(path)) for path in _paths(scene)]
        for window in windows(grid):
            red, nir, *quality = (read(file, indexes=1, window=Window(*window)) for file in files)
            image = ImageData.create_from_list([red, nir])
            image.band_names = ["b1", "b2"]
            values = image.apply_expression("11*(b2-b1)/(11.0*(b2+b1)-160000)").array
            numbers = (band.data[0].astype(np.float32) for band in (red, nir))
            good = _usable(*numbers, [band.data[0] for band in quality])
            values = np.ma.array(values[0], mask=values.mask[0] | ~good)
            total, count = total + float(values.sum(dtype=np.float64)), count + int(values.count())
    return total / count


def odc_stac(scene: Scene, item: dict[str, Any], grid: Grid) -> float:
    """Use odc-stac with dask."""
    import pystac
    from odc.stac import load

    names = ["red", "nir08", "qa_pixel", "qa_radsat"][: len(_paths(scene))]
    bands = load(
        [pystac.Item.from_dict(item)],
        bands=names,
        crs=f"EPSG:{grid.epsg}",
        resolution=30,
        anchor="center",
        chunks={"x": TILE, "y": TILE},
        dtype="uint16",  # the items of quality bands do not say it
    )
    return _mean(*(bands[name] for name in names))


def stackstac(scene: Scene, item: dict[str, Any], grid: Grid) -> float:
    """Use stackstac with dask."""
    from stackstac import stack

    names = ["red", "nir08", "qa_pixel", "qa_radsat"][: len(_paths(scene))]
    bounds = (grid.west, grid.north - 30 * grid.height, grid.west + 30 * grid.width, grid.north)
    bands = stack(
        [item],
        assets=names,
        epsg=grid.epsg,
        resolution=30,
        bounds=bounds,
        snap_bounds=False,
        chunksize=TILE,
        dtype=np.dtype("uint16"),
        fill_value=np.uint16(0),
        rescale=False,
    )
    return _mean(*(bands.sel(band=name) for name in names))


def _mean(red: Any, nir: Any, *quality: Any) -> float:
    """Return the mean NDVI of lazy arrays, computed by dask."""
    r, n = red.astype("float32"), nir.astype("float32")
    # The coordinates of the quality bands would be compared, and differ in what they say of the band.
    good = _usable(r, n, [band.data for band in quality])
    return float((11 * (n - r) / (11 * (n + r) - 160_000)).where(good).mean(dtype="float64").compute())


def decoding_alone(scene: Scene, item: dict[str, Any], grid: Grid) -> float:
    """Decompress red and near infrared by libdeflate, and nothing else: the limit of what can be reached."""
    import mmap

    import deflate
    import rasterio

    for path in _paths(scene)[:2]:
        with rasterio.open(path) as file, open(path, "rb") as raw:
            height, width = file.block_shapes[0]
            with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                for row in range(-(-file.height // height)):
                    for column in range(-(-file.width // width)):
                        offset, size = (
                            int(file.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=1))
                            for what in ("OFFSET", "SIZE")
                        )
                        deflate.zlib_decompress(mapped[offset : offset + size], 2 * height * width)
    return float("nan")


CONTESTANTS: dict[str, Callable[[Scene, dict[str, Any], Grid], float]] = {
    "wrenlite": ours,
    "rasterio and numpy": bare,
    "rio-tiler": rio_tiler,
    "odc-stac": odc_stac,
    "stackstac": stackstac,
    "libdeflate alone": decoding_alone,
}
