"""The tasks that run on the workers: NDVI of one scene at a point, in a tile, or over an area.

Each takes a scene, and returns a record that also tells where the time went. The reader is the last argument:
GDAL's by default, or anything that implements ``bands.Reader``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import quality
from wrenlite.gallery.landsat.access import default_reader
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import grid as grids
from wrenlite.gallery.ndvi import indices
from wrenlite.gallery.ndvi.bands import Band, Pixels, Reader, WindowChooser
from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.results import AreaNdvi, PointNdvi, TileNdvi, Timing


def ndvi_point(scene: Scene, lon: float, lat: float, reader: Reader | None = None) -> PointNdvi:
    """Return NDVI of the pixel at a point.

    Args:
        scene: the scene to read.
        lon: longitude in degrees.
        lat: latitude in degrees.
        reader: see ``bands.Reader``.

    Raises:
        OutsideScene: the scene has no pixel there.
        NotFound: a file of the scene does not exist.
        AccessDenied: the server refuses a file.
        CredentialsError: there are no credentials, or they are not valid.
        StoreError: a file cannot be read for any other reason.
    """

    def choose(grid: Grid) -> tuple[Window, int]:
        row, column = grids.pixel_at(grid, lon, lat, scene.product.id)
        return Window(column=column, row=row, width=1, height=1), 1

    started = time.perf_counter()
    pixels = _read(scene, choose, reader)
    read = time.perf_counter()
    ndvi = float(_masked_ndvi(scene, pixels)[0, 0])
    return PointNdvi(
        product=scene.product.id,
        date=scene.date,
        value=ndvi,
        masked=float(math.isnan(ndvi)),
        cloud=scene.cloud,
        timing=_timing(pixels, started, read),
    )


def ndvi_tile(scene: Scene, window: Window, reader: Reader | None = None) -> TileNdvi:
    """Return NDVI of a window.

    Args:
        scene: the scene to read.
        window: a window within the scene, such as ``grid.windows`` makes.
        reader: see ``bands.Reader``.

    Raises:
        OutsideScene: the window reaches beyond the scene.
        ConfigError: the scene's gains are not known, or its bands are on different grids.
        NotFound: a file of the scene does not exist.
        AccessDenied: the server refuses a file.
        CredentialsError: there are no credentials, or they are not valid.
        StoreError: a file cannot be read for any other reason.
    """

    def choose(grid: Grid) -> tuple[Window, int]:
        if grids.clip(window, grid.window) != window:
            raise grids.OutsideScene(
                f"{window} reaches beyond {scene.product.id}, which has {grid.width} x {grid.height} pixels"
            )
        return window, 1

    started = time.perf_counter()
    pixels = _read(scene, choose, reader)
    read = time.perf_counter()
    calibration, usable = _usable(scene, pixels)
    red = pixels["red"]
    values, stats = indices.scaled_ndvi(red.values, pixels["nir"].values, usable, calibration)
    return TileNdvi(
        product=scene.product.id,
        date=scene.date,
        values=values,
        grid=red.grid.part(window),
        masked=1 - np.count_nonzero(usable) / usable.size,
        fill=1 - np.count_nonzero(red.values) / usable.size,
        stats=stats,
        cloud=scene.cloud,
        timing=_timing(pixels, started, read),
        synthetic=scene.product.synthetic,
    )


def ndvi_area(
    scene: Scene, bbox: Sequence[float], max_size: int = 1024, reader: Reader | None = None
) -> AreaNdvi:
    """Return NDVI over a box, as a picture. Its pixels are those of the scene, or square cells of them.

    Args:
        scene: the scene to read; its overviews are used for pictures that are smaller than the area.
        bbox: west, south, east, north in degrees. The box may cross the antimeridian (west is greater than
            east) and may reach beyond the scene, where values are NaN.
        max_size: greatest width or height of the picture in pixels.
        reader: see ``bands.Reader``.

    Raises:
        OutsideScene: the box and the scene share no pixel.
        ConfigError: the numbers do not describe a box, or the box is too wide for UTM.
        NotFound: a file of the scene does not exist.
        AccessDenied: the server refuses a file.
        CredentialsError: there are no credentials, or they are not valid.
        StoreError: a file cannot be read for any other reason.
    """

    def choose(grid: Grid) -> tuple[Window, int]:
        return grids.decimate(grids.covering_window(grid, bbox, scene.product.id), max_size)

    started = time.perf_counter()
    pixels = _read(scene, choose, reader)
    read = time.perf_counter()
    values = _masked_ndvi(scene, pixels)
    red = pixels["red"]
    return AreaNdvi(
        product=scene.product.id,
        date=scene.date,
        values=values,
        grid=red.grid.part(red.window, red.step),
        masked=np.count_nonzero(np.isnan(values)) / values.size,
        fill=1 - np.count_nonzero(red.values) / values.size,
        cloud=scene.cloud,
        timing=_timing(pixels, started, read),
    )


def grid_of(scene: Scene, reader: Reader | None = None) -> Grid:
    """Return a scene's grid, which ``grid.windows`` cuts into tiles. It takes one small read of the red band.

    Args:
        scene: the scene to read.
        reader: see ``bands.Reader``.
    """
    first_pixel = Window(column=0, row=0, width=1, height=1)
    return (reader or default_reader()).read(bands_of(scene)[:1], lambda _: (first_pixel, 1))["red"].grid


def bands_of(scene: Scene) -> list[Band]:
    """Return the bands of a scene that have to be read for its NDVI; the first is red."""
    hrefs = {"red": scene.red, "nir": scene.nir, "qa_pixel": scene.qa_pixel, "qa_radsat": scene.qa_radsat}
    return [
        Band(name=name, href=href, product=scene.product.id)
        for name, href in hrefs.items()
        if href is not None
    ]


def _read(scene: Scene, choose: WindowChooser, reader: Reader | None) -> Mapping[str, Pixels]:
    """Read all bands of a window.

    Raises:
        ConfigError: the bands are on different grids.
    """
    pixels = (reader or default_reader()).read(bands_of(scene), choose)
    red = pixels["red"]
    for name, band in pixels.items():
        if band.grid != red.grid:
            raise ConfigError(
                f"{scene.product.id}: band {name} is on another grid than red, so they cannot be compared:"
                f" {band.grid}, {red.grid}"
            )
    return pixels


def _usable(scene: Scene, pixels: Mapping[str, Pixels]) -> tuple[indices.Calibration, indices.Mask]:
    """Return the gains and offsets of a scene, and which of its pixels are usable.

    Raises:
        ConfigError: the scene's gains and offsets are not known.
    """
    if scene.calibration is None:
        raise ConfigError(
            f"{scene.product.id}: level 1 of TM and ETM+ has other gains in every scene; read them from its"
            " metadata with scene.with_calibration(metadata.calibration(metadata.parse(text)))"
        )
    usable = quality.usable(
        pixels["red"].values,
        pixels["nir"].values,
        scene.calibration,
        saturation_bits=scene.product.sensor.saturation_bits,
        **{name: pixels[name].values for name in ("qa_pixel", "qa_radsat") if name in pixels},
    )
    return scene.calibration, usable


def _masked_ndvi(scene: Scene, pixels: Mapping[str, Pixels]) -> indices.Floats:
    """Return NDVI with NaN where a pixel is not usable."""
    calibration, usable = _usable(scene, pixels)
    ndvi = indices.ndvi(pixels["red"].values, pixels["nir"].values, calibration)
    return indices.mask_unusable(ndvi, usable)


def _timing(pixels: Mapping[str, Pixels], started: float, read: float) -> Timing:
    """Return the timing of a task that ends now.

    Args:
        pixels: the bands' pixels, with the time that each band took.
        started: time at which the task started.
        read: time at which all bands had been read.
    """
    opening_s = sum(band.open_s for band in pixels.values())
    total_s = opening_s + sum(band.read_s for band in pixels.values())
    open_s = (read - started) * opening_s / total_s if total_s else 0.0
    return Timing(open_s=open_s, read_s=read - started - open_s, compute_s=time.perf_counter() - read)
