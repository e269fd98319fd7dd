"""The tasks that run on the workers: an index of one scene at a point, in a tile, or over an area.

Each takes a scene, and returns a record that also tells where the time went. The reader is the last argument:
GDAL's by default, or anything that implements ``bands.Reader``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from wrenlite.errors import ConfigError, NotFound
from wrenlite.gallery.landsat import metadata, quality
from wrenlite.gallery.landsat.access import default_reader
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import grid as grids
from wrenlite.gallery.ndvi import indices, masks
from wrenlite.gallery.ndvi.bands import (
    Band,
    Parts,
    Pixels,
    Place,
    Reader,
    WindowChooser,
    common_grid,
    redact_address,
)
from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.indices import CodedIndex, Index, find_index
from wrenlite.gallery.ndvi.masks import Hidden, Masking, Reason, Reasons
from wrenlite.gallery.ndvi.results import AreaNdvi, PointNdvi, SceneNdvi, TileNdvi, Timing

_MASKING = Masking()
_FIRST_PIXEL = Window(column=0, row=0, width=1, height=1)


def ndvi_point(
    scene: Scene,
    lon: float,
    lat: float,
    *,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
    reader: Reader | None = None,
) -> PointNdvi:
    """Return NDVI, or another index, of the pixel at a point.

    Args:
        scene: the scene to read.
        lon: longitude in degrees.
        lat: latitude in degrees.
        index: name of the index, one of ``indices.INDICES``, or an ``indices.Index``.
        masking: which pixels are masked.
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

    wanted, reader = arguments(index, masking, reader)
    started = time.perf_counter()
    pixels = _read(scene, wanted, choose, reader)
    read = time.perf_counter()
    values, reasons = _masked_index(scene, wanted, pixels, masking, reader)
    reason = Reason(int(reasons[0, 0]))
    return PointNdvi(
        value=float(values[0, 0]),
        hidden=reason.text if reason else None,
        timing=_timing(pixels, started, read),
        **origin(scene, wanted, masking),
    )


def ndvi_tile(
    scene: Scene,
    window: Sequence[int],
    *,
    grid: Grid | None = None,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
    reader: Reader | None = None,
) -> TileNdvi:
    """Return NDVI, or another index, of a window.

    Args:
        scene: the scene to read.
        window: column, row, width and height in the scene, or in ``grid``, such as ``grid.windows`` makes.
        grid: a declared grid on which the scene is read, whatever its projection; see
            ``target.declare_grid``. Where the scene has no pixels, the tile has none.
        index: name of the index, one of ``indices.INDICES``, or an ``indices.Index``.
        masking: which pixels are masked.
        reader: see ``bands.Reader``.

    Raises:
        OutsideScene: the window reaches beyond the scene.
        ConfigError: there is no such index, the window is none, the scene lacks one of its bands or its
            gains, or its bands are on different grids.
        NotFound: a file of the scene does not exist.
        AccessDenied: the server refuses a file.
        CredentialsError: there are no credentials, or they are not valid.
        StoreError: a file cannot be read for any other reason.
    """
    wanted, reader = arguments(index, masking, reader)
    window = grids.check_window(window)
    if grid is not None:
        from wrenlite.gallery.ndvi.warped import on_grid  # it needs rasterio, and planning does not

        reader = on_grid(reader, grid)
    choose = _choose_within(window, scene.product.id if grid is None else "the grid")
    calibration = _calibration(scene, wanted, reader)
    started = time.perf_counter()
    with _parts(scene, wanted, choose, reader) as parts:
        whole = common_grid(scene.product.id, parts.grids)
        coded, counts, compute_s = _code(scene, wanted, parts, window, calibration, masking)
    read_s = time.perf_counter() - started - parts.open_s - compute_s
    return TileNdvi(
        values=coded.values,
        grid=whole.part(window),
        hidden=Hidden.of(counts),
        stats=coded.stats,
        timing=Timing(open_s=parts.open_s, read_s=read_s, compute_s=compute_s),
        **origin(scene, wanted, masking),
    )


def _code(
    scene: Scene,
    index: Index,
    parts: Parts,
    window: Window,
    calibration: indices.Calibration,
    masking: Masking,
) -> tuple[CodedIndex, masks.Counts, float]:
    """Code an index part by part; return it, the number of pixels by reason, and the seconds of computing."""
    coded, counts, compute_s = CodedIndex((window.height, window.width)), masks.no_counts(), 0.0
    for place, numbers in parts.values:
        read = time.perf_counter()
        values, reasons = _index(scene, index, numbers, calibration, masking, coded.room(place))
        found = masks.count(reasons)
        coded.add(place, values, None if found[0] == reasons.size else reasons == Reason.USABLE)
        counts += found
        compute_s += time.perf_counter() - read
    return coded, counts, compute_s


def _choose_within(window: Window, name: str) -> WindowChooser:
    """Return a function that chooses a window, and refuses it where it reaches beyond the grid."""

    def choose(grid: Grid) -> tuple[Window, int]:
        if grids.clip(window, grid.window) != window:
            raise grids.OutsideScene(
                f"{window} reaches beyond {name}, which has {grid.width} x {grid.height} pixels"
            )
        return window, 1

    return choose


def ndvi_area(
    scene: Scene,
    bbox: Sequence[float],
    max_size: int = 1024,
    *,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
    reader: Reader | None = None,
) -> AreaNdvi:
    """Return NDVI, or another index, over a box, as a picture.

    Its pixels are those of the scene, or square cells of them.

    Args:
        scene: the scene to read; its overviews are used for pictures that are smaller than the area.
        bbox: west, south, east, north in degrees. The box may cross the antimeridian (west is greater than
            east) and may reach beyond the scene, where values are NaN.
        max_size: greatest width or height of the picture in pixels.
        index: name of the index, one of ``indices.INDICES``, or an ``indices.Index``.
        masking: which pixels are masked.
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

    wanted, reader = arguments(index, masking, reader)
    started = time.perf_counter()
    pixels = _read(scene, wanted, choose, reader)
    read = time.perf_counter()
    values, reasons = _masked_index(scene, wanted, pixels, masking, reader)
    first = next(iter(pixels.values()))
    return AreaNdvi(
        values=values,
        grid=first.grid.part(first.window, first.step),
        hidden=Hidden.of(masks.count(reasons)),
        timing=_timing(pixels, started, read),
        **origin(scene, wanted, masking),
    )


def grid_of(scene: Scene, reader: Reader | None = None) -> Grid:
    """Return a scene's grid, which ``grid.windows`` cuts into tiles. It takes one small read of the red band.

    Args:
        scene: the scene to read.
        reader: see ``bands.Reader``.
    """
    bands = bands_of(scene, ("red",))[:1]
    return (reader or default_reader()).read(bands, lambda _: (_FIRST_PIXEL, 1))["red"].grid


def bands_of(scene: Scene, names: Sequence[str] = ("red", "nir")) -> list[Band]:
    """Return some reflective bands of a scene, and the quality bands that have to be read with them.

    Raises:
        ConfigError: the scene has no such band.
    """
    for name in names:
        if name not in scene.bands:
            raise ConfigError(
                f"{scene.product.id} has no band {name}, which the index needs: it has"
                f" {', '.join(scene.bands)}"
            )
        if scene.calibration is not None:
            _check_gain(scene, scene.calibration, name)
    product = scene.product
    reflective = [
        Band(name, href, product.id, types=product.types, scaling=_stated_scaling(scene, name))
        for name, href in scene.bands.items()
        if name in names
    ]
    quality_bands = {"qa_pixel": scene.qa_pixel, "qa_radsat": scene.qa_radsat}
    return reflective + [
        Band(name, href, product.id, is_bits=True) for name, href in quality_bands.items() if href is not None
    ]


def _stated_scaling(scene: Scene, band: str) -> tuple[float, float] | None:
    """Return the gain and offset to reflectance that a band's file may state; None where not known."""
    calibration = scene.calibration
    if calibration is None or (factor := calibration.surface_factor) is None:
        return None
    gain, offset = calibration.bands[band]
    return gain / factor, offset / factor


def describe(scene: Scene, index: Index, masking: Masking) -> SceneNdvi:
    """Return what every result says of a scene, without reading it."""
    masks.check_masking(masking)
    return SceneNdvi(timing=Timing(open_s=0.0, read_s=0.0, compute_s=0.0), **origin(scene, index, masking))


def origin(scene: Scene, index: Index, masking: Masking) -> dict[str, Any]:
    """Return what a result says of its scene and its index, by the names of its fields."""
    product = scene.product
    known = scene.calibration
    surface = product.level == 2 if known is None else known.surface_factor is not None
    quality_bands = {"qa_pixel": scene.qa_pixel, "qa_radsat": scene.qa_radsat}
    return {
        "product": product.id,
        "date": scene.date,
        "cloud": scene.cloud,
        "satellite": product.satellite,
        "sensor": product.sensor.name,
        "level": product.level,
        "tier": product.tier,
        "index": index.name,
        "masking": masking if index.normalised and surface else replace(masking, floor=0.0),
        "unseen": quality.unseen([name for name, href in quality_bands.items() if href is not None]),
        "synthetic": product.synthetic,
    }


def arguments(index: str | Index, masking: Masking, reader: Reader | None) -> tuple[Index, Reader]:
    """Return the index and the reader of a task.

    Raises:
        ConfigError: there is no such index, or the masking is none.
    """
    masks.check_masking(masking)
    return find_index(index), reader or default_reader()


def index_parts(
    scene: Scene, window: Window, index: Index, masking: Masking, reader: Reader
) -> Iterator[tuple[Place, indices.Floats, Reasons]]:
    """Compute an index of a window part by part.

    Returns:
        The place of each part in the window, the index of its pixels, which is undefined where they cannot be
        used, and why they cannot.
    """
    calibration = _calibration(scene, index, reader)
    choose = _choose_within(window, scene.product.id)
    with _parts(scene, index, choose, reader) as parts:
        common_grid(scene.product.id, parts.grids)
        for place, numbers in parts.values:
            yield place, *_index(scene, index, numbers, calibration, masking)


def _read(scene: Scene, index: Index, choose: WindowChooser, reader: Reader) -> Mapping[str, Pixels]:
    """Read all bands of a window.

    Raises:
        ConfigError: the bands are on different grids.
    """
    bands = bands_of(scene, index.bands)
    with _naming_other_grids(scene, bands, choose, reader) as choose:
        pixels = reader.read(bands, choose)
    common_grid(scene.product.id, {name: band.grid for name, band in pixels.items()})
    return pixels


@contextmanager
def _parts(scene: Scene, index: Index, choose: WindowChooser, reader: Reader) -> Iterator[Parts]:
    """Read all bands of a window in parts."""
    bands = bands_of(scene, index.bands)
    with _naming_other_grids(scene, bands, choose, reader) as choose, reader.parts(bands, choose) as parts:
        yield parts


@contextmanager
def _naming_other_grids(
    scene: Scene, bands: Sequence[Band], choose: WindowChooser, reader: Reader
) -> Iterator[WindowChooser]:
    """Give a chooser to read bands with. If it fails for a band on another grid, the error names that band.

    Raises:
        ConfigError: the place is outside of a band, and the bands are on different grids.
    """
    found = set()

    def choose_and_note(grid: Grid) -> tuple[Window, int]:
        found.add(grid)
        return choose(grid)

    try:
        yield choose_and_note
    except grids.OutsideScene:
        if len(found) > 1:
            corners = reader.read(bands, lambda _: (_FIRST_PIXEL, 1))
            common_grid(scene.product.id, {name: band.grid for name, band in corners.items()})
        raise


def _fetch_metadata(mtl: str, reader: Reader) -> bytes:
    """Return a metadata file, or where it does not exist, the one beside it in the other format.

    Raises:
        NotFound: neither exists.
    """
    try:
        return reader.fetch(mtl)
    except NotFound:
        for kind, other in (("_MTL.json", "_MTL.txt"), ("_MTL.txt", "_MTL.json")):
            if kind in mtl:
                with contextlib.suppress(NotFound):
                    return reader.fetch(mtl.replace(kind, other))
        raise


def _calibration(scene: Scene, index: Index, reader: Reader) -> indices.Calibration:
    """Return the gains and offsets of a scene, which its metadata have where its product id is not enough.

    Raises:
        ConfigError: the scene has no metadata file, or that does not have them.
    """
    known = scene.calibration
    if known is not None and (index.normalised or known.factor is not None):
        return known
    if scene.mtl is None:
        raise ConfigError(
            f"{scene.product.id} needs gains from its metadata file (MTL), and there is none: put it"
            " beside the bands, or give the scene gains with scene.with_calibration(...)"
        )
    try:
        read = metadata.calibration(metadata.parse(_fetch_metadata(scene.mtl, reader)))
    except ConfigError as error:
        raise ConfigError(
            f"{scene.product.id}: no gains can be read from {redact_address(scene.mtl)}: {error}"
        ) from error
    for name in index.bands:
        _check_gain(scene, read, name)
    return read


def _check_gain(scene: Scene, calibration: indices.Calibration, band: str) -> None:
    """Check that a calibration has a gain of a band of the scene.

    Raises:
        ConfigError: it has none.
    """
    if band not in calibration.bands:
        raise ConfigError(
            f"{scene.product.id}: there is no gain of the band {band}, which the index needs, but of"
            f" {', '.join(calibration.bands)}: give them with scene.with_calibration(...)"
        )


def _index(
    scene: Scene,
    index: Index,
    numbers: Mapping[str, indices.DigitalNumbers],
    calibration: indices.Calibration,
    masking: Masking,
    out: indices.Floats | None = None,
) -> tuple[indices.Floats, Reasons]:
    """Return an index of every pixel, and why pixels cannot be used. Where none can, the index is undefined.

    Args:
        scene: the scene.
        index: the index.
        numbers: digital numbers of the index's bands, and the quality bands that there are, by name.
        calibration: gains and offsets of the scene.
        masking: which pixels are masked.
        out: an array for the index; default: a new one.
    """
    reasons = quality.reasons(
        {name: numbers[name] for name in index.bands},
        calibration,
        saturation_bits=scene.product.sensor.saturation_bits(index.bands),
        masking=masking,
        normalised=index.normalised,
        qa_pixel=numbers.get("qa_pixel"),
        qa_radsat=numbers.get("qa_radsat"),
    )
    if reasons[0, 0] and reasons.all():
        return np.empty(reasons.shape, np.float32) if out is None else out, reasons
    values = indices.compute(index, numbers, calibration, out)
    if not index.always_within:
        inside = (values >= index.low) & (values <= index.high)
        reasons[~inside & (reasons == Reason.USABLE)] = Reason.OUT_OF_RANGE
    return values, reasons


def _masked_index(
    scene: Scene, index: Index, pixels: Mapping[str, Pixels], masking: Masking, reader: Reader
) -> tuple[indices.Floats, Reasons]:
    """Return an index with NaN where a pixel is hidden, and why it is."""
    calibration = _calibration(scene, index, reader)
    numbers = {name: band.values for name, band in pixels.items()}
    values, reasons = _index(scene, index, numbers, calibration, masking)
    return indices.mask_unusable(values, reasons == Reason.USABLE), reasons


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
