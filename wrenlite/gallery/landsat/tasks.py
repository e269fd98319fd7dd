"""What runs on the workers: NDVI of one scene at a point, in a tile, over an area.

Each takes a scene and says where its time went. The reader is the last argument: GDAL's by default, anything
that keeps ``bands.Reader`` otherwise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import grid as grids
from wrenlite.gallery.landsat import ndvi
from wrenlite.gallery.landsat.bands import Band, Choice, Pixels, Reader
from wrenlite.gallery.landsat.grid import Grid, Window
from wrenlite.gallery.landsat.scene import Scene


@dataclass(frozen=True)
class Timing:
    """Wall seconds of a task, on its worker."""

    open_s: float
    read_s: float
    """Reading is split as opening and reading took in its bands, which may go on at the same time."""
    compute_s: float


@dataclass(frozen=True)
class PointNdvi:
    """NDVI of one scene at one point."""

    product: str
    date: date
    value: float
    """NaN where it is masked."""
    masked: float
    """1.0 or 0.0: whether the pixel cannot be used."""
    cloud: float | None
    """Percent of the scene, as its metadata say."""
    timing: Timing


@dataclass(frozen=True)
class TileNdvi:
    """NDVI of one window of a scene."""

    product: str
    date: date
    values: NDArray[np.int16]
    """NDVI x 10,000, ``ndvi.NODATA`` where masked, shape (height, width); ``ndvi.to_float`` undoes it."""
    grid: Grid
    """Of the tile."""
    masked: float
    """Share of the tile's pixels that cannot be used, fill among them."""
    fill: float
    """Share without data: beside the swath."""
    stats: ndvi.Stats
    cloud: float | None
    timing: Timing


@dataclass(frozen=True)
class AreaNdvi:
    """NDVI of one scene over an area, as a picture."""

    product: str
    date: date
    values: NDArray[np.float32]
    """NaN where masked, and where the area reaches beyond the scene; shape (height, width)."""
    grid: Grid
    """Of the picture."""
    masked: float
    fill: float
    cloud: float | None
    timing: Timing


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
    values, stats = ndvi.scaled(red.values, pixels["nir"].values, good, form)
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
    from wrenlite.gallery.landsat.reader import GdalReader

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


def _usable(scene: Scene, pixels: Mapping[str, Pixels]) -> tuple[ndvi.Form, ndvi.Mask]:
    """The form of a scene's numbers, and which of its pixels are usable."""
    if scene.form is None:
        raise ConfigError(
            f"{scene.product.id}: level 1 of TM and ETM+ has other gains in every scene;"
            " give them with scene.calibrated(mtl.form(mtl.parse(text)))"
        )
    quality = {name: pixels[name].values for name in ("qa_pixel", "qa_radsat") if name in pixels}
    red, nir = pixels["red"].values, pixels["nir"].values
    saturated = scene.product.sensor.saturated
    return scene.form, ndvi.usable(red, nir, scene.form, saturated=saturated, **quality)


def _computed(scene: Scene, pixels: Mapping[str, Pixels]) -> ndvi.Floats:
    """NDVI, NaN where it is not usable."""
    form, good = _usable(scene, pixels)
    return ndvi.masked(ndvi.ndvi(pixels["red"].values, pixels["nir"].values, form), good)


def _timing(pixels: Mapping[str, Pixels], begun: float, read: float) -> Timing:
    """Of a task that began and had read at these times, and is done now."""
    opening = sum(each.open_s for each in pixels.values())
    whole = opening + sum(each.read_s for each in pixels.values())
    open_s = (read - begun) * opening / whole if whole else 0.0
    return Timing(open_s, read - begun - open_s, time.perf_counter() - read)
