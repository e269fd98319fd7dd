"""What runs on the workers: NDVI of one scene at a point, in a tile, over an area.

Each takes a scene and says where its time went. The reader is the last argument: GDAL's by default, anything
that keeps ``bands.Reader`` otherwise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import quality
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import grid as grids
from wrenlite.gallery.ndvi import indices
from wrenlite.gallery.ndvi.bands import (
    Band,
    Choice,
    Pixels,
    Reader,
)
from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.results import AreaNdvi, PointNdvi, TileNdvi, Timing


def ndvi_point(scene: Scene, lon: float, lat: float, reader: Reader | None = None) -> PointNdvi:
    """NDVI of the pixel at a point in degrees.

    Raises OutsideScene, and what reading raises: NotFound,
    AccessDenied, CredentialsError, StoreError.
    """

    def choose(grid: Grid) -> tuple[Window, int]:
        row, column = grids.cell(grid, lon, lat, scene.product.id)
        return Window(column, row, 1, 1), 1

    begun = time.perf_counter()
    pixels = _read(scene, choose, reader)
    read = time.perf_counter()
    value = float(_computed(scene, pixels)[0, 0])
    timing = _timing(pixels, begun, read)
    return PointNdvi(scene.product.id, scene.date, value, float(math.isnan(value)), scene.cloud, timing)


def ndvi_tile(scene: Scene, window: Window, reader: Reader | None = None) -> TileNdvi:
    """NDVI of a window as ``grid.windows`` makes them; ConfigError where it does not lie in the scene."""

    def choose(grid: Grid) -> tuple[Window, int]:
        if grids.clip(window, grid.window) != window:
            raise grids.OutsideScene(
                f"{window} reaches beyond {scene.product.id}, which has {grid.width} x {grid.height} pixels"
            )
        return window, 1

    begun = time.perf_counter()
    pixels = _read(scene, choose, reader)
    read = time.perf_counter()
    form, good = _usable(scene, pixels)
    red = pixels["red"]
    values, stats = indices.scaled(red.values, pixels["nir"].values, good, form)
    return TileNdvi(
        product=scene.product.id,
        date=scene.date,
        values=values,
        grid=red.grid.part(window),
        masked=1 - np.count_nonzero(good) / good.size,
        fill=1 - np.count_nonzero(red.values) / good.size,
        stats=stats,
        cloud=scene.cloud,
        timing=_timing(pixels, begun, read),
        synthetic=scene.product.synthetic,
    )


def ndvi_area(
    scene: Scene, bbox: Sequence[float], max_size: int = 1024, reader: Reader | None = None
) -> AreaNdvi:
    """NDVI over a box, in pixels of the scene's grid or whole multiples of them.

    Args:
        scene: to read; its overviews serve for pictures that are smaller than the area.
        bbox: west, south, east, north in degrees; may cross the antimeridian (west greater than east) and
            reach beyond the scene, where values are NaN.
        max_size: pixels of the picture's longer side, at most.
        reader: see ``bands.Reader``.

    Raises OutsideScene where they do not meet, ConfigError for a box that is none or too wide for UTM.
    """

    def choose(grid: Grid) -> tuple[Window, int]:
        return grids.thin(grids.cover(grid, bbox, scene.product.id), max_size)

    begun = time.perf_counter()
    pixels = _read(scene, choose, reader)
    read = time.perf_counter()
    values = _computed(scene, pixels)
    red = pixels["red"]
    return AreaNdvi(
        product=scene.product.id,
        date=scene.date,
        values=values,
        grid=red.grid.part(red.window, red.every),
        masked=np.count_nonzero(np.isnan(values)) / values.size,
        fill=1 - np.count_nonzero(red.values) / values.size,
        cloud=scene.cloud,
        timing=_timing(pixels, begun, read),
    )


def grid_of(scene: Scene, reader: Reader | None = None) -> Grid:
    """Where a scene's pixels lie, which ``grid.windows`` cuts into tiles: one small read, of the red band."""
    return _reader(reader).read(bands_of(scene)[:1], lambda _: (Window(0, 0, 1, 1), 1))["red"].grid


def bands_of(scene: Scene) -> list[Band]:
    """What of a scene has to be read for its NDVI."""
    hrefs = {"red": scene.red, "nir": scene.nir, "qa_pixel": scene.qa_pixel, "qa_radsat": scene.qa_radsat}
    return [Band(name, href, scene.product.id) for name, href in hrefs.items() if href is not None]


def _reader(given: Reader | None) -> Reader:
    """GDAL's by default; imported here, so that planning does without."""
    if given is not None:
        return given
    from wrenlite.gallery.ndvi.reader import GdalReader

    return GdalReader()


def _read(scene: Scene, choose: Choice, reader: Reader | None) -> Mapping[str, Pixels]:
    """All bands of a window, which have to lie on one grid."""
    pixels = _reader(reader).read(bands_of(scene), choose)
    red = pixels["red"]
    for name, each in pixels.items():
        if each.grid != red.grid:
            raise ConfigError(
                f"{scene.product.id}: band {name} lies on another grid than red: {each.grid}, {red.grid}"
            )
    return pixels


def _usable(scene: Scene, pixels: Mapping[str, Pixels]) -> tuple[indices.Form, indices.Mask]:
    """The form of a scene's numbers, and which of its pixels are usable."""
    if scene.form is None:
        raise ConfigError(
            f"{scene.product.id}: level 1 of TM and ETM+ has other gains in every scene;"
            " give them with scene.calibrated(mtl.form(mtl.parse(text)))"
        )
    bands = {name: pixels[name].values for name in ("qa_pixel", "qa_radsat") if name in pixels}
    red, nir = pixels["red"].values, pixels["nir"].values
    saturated = scene.product.sensor.saturated
    return scene.form, quality.usable(red, nir, scene.form, saturated=saturated, **bands)


def _computed(scene: Scene, pixels: Mapping[str, Pixels]) -> indices.Floats:
    """NDVI, NaN where it is not usable."""
    form, good = _usable(scene, pixels)
    return indices.masked(indices.ndvi(pixels["red"].values, pixels["nir"].values, form), good)


def _timing(pixels: Mapping[str, Pixels], begun: float, read: float) -> Timing:
    """Of a task that began and had read at these times, and is done now."""
    opening = sum(each.open_s for each in pixels.values())
    whole = opening + sum(each.read_s for each in pixels.values())
    open_s = (read - begun) * opening / whole if whole else 0.0
    return Timing(open_s, read - begun - open_s, time.perf_counter() - read)
