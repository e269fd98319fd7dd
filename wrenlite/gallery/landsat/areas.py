"""An index over areas: its statistics in each scene, as tasks, and of many scenes as a list of results."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi.bands import Place, Reader
from wrenlite.gallery.ndvi.grid import BLOCK, TILE, Grid, OutsideScene, Window, clip
from wrenlite.gallery.ndvi.indices import Floats, Index, find_index
from wrenlite.gallery.ndvi.masks import Masking, Reasons
from wrenlite.gallery.ndvi.polygons import Area, count_pixels, covered, read_areas
from wrenlite.gallery.ndvi.projection import Coordinates
from wrenlite.gallery.ndvi.results import Timing, check_one_level
from wrenlite.gallery.ndvi.zonal import AreaStats, Tally

if TYPE_CHECKING:
    from wrenlite.executor import Executor
    from wrenlite.job import Job

_MASKING = Masking()


def area_stats(
    scene: Scene,
    area: Area,
    *,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
    reader: Reader | None = None,
) -> AreaStats:
    """Return statistics of NDVI, or of another index, over an area in one scene.

    A pixel belongs to the area if its centre lies within. The area is read in windows of 2,048 pixels, so it
    may be as large as a scene. Pixels of the area beyond the scene count as fill; their number is computed
    from the area's extent.

    Args:
        scene: the scene to read.
        area: one of the areas that ``polygons.read_areas`` returns.
        index: name of the index, one of ``indices.INDICES``, or an ``indices.Index``.
        masking: which pixels are masked.
        reader: see ``bands.Reader``.

    Raises:
        OutsideScene: the area and the scene share no pixel.
        ConfigError: there is no such index, the scene lacks one of its bands or its gains, or the area
            reaches too far from the places that the scene's projection is made for.
        NotFound: a file of the scene does not exist.
        AccessDenied: the server refuses a file.
        StoreError: a file cannot be read for any other reason.
    """
    wanted, reader = tasks.arguments(index, masking, reader)
    started = time.perf_counter()
    grid = tasks.grid_of(scene, reader)
    opened = time.perf_counter()
    parts = partial(tasks.index_parts, scene, index=wanted, masking=masking, reader=reader)
    tally = _gather(area.pixel_rings(grid), grid, parts)
    if not tally.reasons.any():
        raise OutsideScene(
            f"the area {area.name!r}, which covers (west, south, east, north) {area.bounds}, has no pixel in"
            f" {scene.product.id}, which covers {grid.bounds}"
        )
    read_s = time.perf_counter() - opened  # with the computing, which goes hand in hand with it
    return AreaStats(
        area=area.name,
        timing=Timing(open_s=opened - started, read_s=read_s, compute_s=0.0),
        **tally.statistics(),
        **tasks.origin(scene, wanted, masking),
    )


def _gather(
    rings: Sequence[Sequence[Coordinates]],
    grid: Grid,
    parts: Callable[[Window], Iterable[tuple[Place, Floats, Reasons]]],
) -> Tally:
    """Return what the pixels within polygons have, which are read window by window, and those in parts."""
    extent, tally = _extent(rings), Tally()
    for window in _windows(extent, grid):
        within = covered(rings, window)
        if within.any():
            for place, values, reasons in parts(window):
                tally.add(values[within[place]], reasons[within[place]])
    if tally.reasons.any() and clip(extent, grid.window) != extent:
        tally.add_beyond(max(0, round(count_pixels(rings)) - int(tally.reasons.sum())))
    return tally


def _extent(rings: Iterable[Iterable[Any]]) -> Window:
    """Return the window that contains all polygons."""
    columns, rows = np.hstack([ring for polygon in rings for ring in polygon])
    left, top = math.floor(columns.min()), math.floor(rows.min())
    return Window(left, top, math.ceil(columns.max()) - left, math.ceil(rows.max()) - top)


def _windows(extent: Window, grid: Grid) -> list[Window]:
    """Cut the part of a window within a grid into windows of at most 2,048 pixels a side."""
    inside = clip(extent, grid.window)
    if inside is None:
        return []
    left, top = inside.column // BLOCK * BLOCK, inside.row // BLOCK * BLOCK
    cut = [
        clip(Window(column, row, TILE, TILE), inside)
        for row in range(top, inside.row + inside.height, TILE)
        for column in range(left, inside.column + inside.width, TILE)
    ]
    return [window for window in cut if window is not None]


def survey_areas(
    executor: Executor,
    scenes: Iterable[Scene],
    areas: Any,
    *,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
    mixed: bool = False,
    reader: Reader | None = None,
) -> list[AreaStats]:
    """Return statistics of areas in all scenes that show them, by area and date; ``area_table`` lists them.

    Args:
        executor: the executor whose workers read the scenes, with one task for each scene and area.
        scenes: scenes of one level.
        areas: anything that ``polygons.read_areas`` takes.
        index: name of the index, one of ``indices.INDICES``, or an ``indices.Index``.
        masking: which pixels are masked.
        mixed: allow scenes of both levels.
        reader: see ``bands.Reader``; default: GDAL's.

    Raises:
        ConfigError: the areas or the index are not valid, the scenes are of both levels, or no scene shows
            any of the areas.
        WrenliteError: a scene cannot be read.
    """
    chosen, scenes = read_areas(areas), list(scenes)
    job = map_areas(executor, scenes, chosen, index=index, masking=masking, mixed=mixed, reader=reader)
    found = [stats for stats in job.results() if stats is not None]
    if not found:
        names = ", ".join(area.name for area in chosen)
        raise ConfigError(f"none of the {len(scenes)} scenes shows {names}: search scenes of that place")
    return sorted(found, key=lambda stats: (stats.area, stats.date, stats.product))


def map_areas(
    executor: Executor,
    scenes: Iterable[Scene],
    areas: Iterable[Area],
    *,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
    mixed: bool = False,
    reader: Reader | None = None,
) -> Job[AreaStats | None]:
    """Start computing statistics of areas in scenes; a value is None where a scene does not show the area.

    Args:
        executor: the executor whose workers read the scenes, with one task for each scene and area.
        scenes: see ``survey_areas``, as for the rest.
        areas: the areas that ``polygons.read_areas`` returns.
        index: the index, or its name.
        masking: which pixels are masked.
        mixed: allow scenes of both levels.
        reader: see ``bands.Reader``.

    Raises:
        ConfigError: there is no such index, or the scenes are of both levels.
    """
    scenes, wanted = list(scenes), find_index(index)
    check_one_level([tasks.describe(scene, wanted, masking) for scene in scenes], mixed)
    pairs = [(scene, area) for area in areas for scene in scenes]
    options = {"index": wanted, "masking": masking, "reader": reader}
    return executor.starmap(area_statistics, pairs, kwargs=options)


def area_statistics(scene: Scene, area: Area, **options: Any) -> AreaStats | None:
    """Return what ``area_stats`` returns, and None where the scene does not show the area."""
    try:
        return area_stats(scene, area, **options)
    except OutsideScene:
        return None
