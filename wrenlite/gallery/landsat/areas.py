"""An index over areas: its statistics in each scene, as tasks, and of many scenes as a list of results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from wrenlite.errors import ConfigError, WrenliteError
from wrenlite.gallery.landsat import passes, tasks
from wrenlite.gallery.landsat.scene import Scene, check_scenes
from wrenlite.gallery.ndvi.bands import Place, Reader
from wrenlite.gallery.ndvi.grid import BLOCK, SWAPPED, TILE, Grid, OutsideScene, Window, clip
from wrenlite.gallery.ndvi.indices import Floats, Index, find_index
from wrenlite.gallery.ndvi.masks import Masking, Reasons
from wrenlite.gallery.ndvi.polygons import Area, Noted, count_pixels, covered, extent_of, one_area, read_areas
from wrenlite.gallery.ndvi.results import Timing, check_one_level
from wrenlite.gallery.ndvi.zonal import AreaStats, Tally, in_order
from wrenlite.texts import listed

if TYPE_CHECKING:
    from wrenlite.executor import Executor
    from wrenlite.job import Job

_MASKING = Masking()
MOST_AREAS = 100
"""Most areas that a task takes."""
Outcome = AreaStats | WrenliteError
"""What comes of an area in a scene; ``OutsideScene`` where the scene does not show it."""


def area_stats(
    scene: Scene,
    area: Any,
    *,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
    reader: Reader | None = None,
) -> AreaStats:
    """Return statistics of NDVI, or of another index, over an area in one scene.

    A pixel belongs to the area if its centre lies within. The area is read in windows of 2,048 pixels, so it
    may be as large as a scene. Pixels of the area beyond the scene count as fill; ``polygons.count_pixels``
    tells how exactly. An area within the scene that is smaller than a pixel may have none: then its
    statistics are of 0 pixels.

    Args:
        scene: the scene to read.
        area: an area that ``polygons.read_areas`` returns, or anything that it takes as one area.
        index: name of the index, one of ``indices.INDICES``, or an ``indices.Index``.
        masking: which pixels are masked.
        reader: see ``bands.Reader``.

    Raises:
        OutsideScene: the area and the scene share no pixel.
        ConfigError: there is no such index, the scene lacks one of its bands or its gains, this is not one
            area, or the area reaches too far from the places that the scene's projection is made for.
        NotFound: a file of the scene does not exist.
        AccessDenied: the server refuses a file.
        StoreError: a file cannot be read for any other reason.
    """
    (found,) = statistics_of_areas(
        [scene], [one_area(area)], index=index, masking=masking, reader=reader
    ).values()
    if isinstance(found, WrenliteError):
        raise found
    return found


def statistics_of_areas(
    scenes: Sequence[Scene],
    areas: Sequence[Area],
    *,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
    reader: Reader | None = None,
) -> dict[str, Outcome]:
    """Return by name what ``area_stats`` returns or raises for each of several areas in the scenes of a pass.

    An area that several of the scenes show is read in all of them; of each pixel the first usable value
    counts.

    Raises:
        ConfigError: there is no such index.
        WrenliteError: a scene cannot be opened.
    """
    wanted, reader = tasks.arguments(index, masking, reader)
    started = time.perf_counter()
    grids = [tasks.grid_of(scene, reader) for scene in scenes]
    open_s = (time.perf_counter() - started) / len(areas)
    outcomes: dict[str, Outcome] = {}
    for area in areas:
        started = time.perf_counter()
        shown = [number for number, grid in enumerate(grids) if len(grids) == 1 or _shows(grid, area)] or [0]
        chosen = [scenes[number] for number in shown]
        origin = passes.origin(chosen, wanted, masking)
        try:
            grid = passes.joined_grid([grids[number] for number in shown])
            parts = partial(passes.index_parts, chosen, grid, index=wanted, masking=masking, reader=reader)
            tally = _tally(area, origin["product"], grid, parts)
        except WrenliteError as error:
            outcomes[area.name] = error
            continue
        read_s = time.perf_counter() - started  # with the computing, which goes hand in hand with it
        timing = Timing(open_s=open_s, read_s=read_s, compute_s=0.0)
        outcomes[area.name] = AreaStats(area=area.name, timing=timing, **tally.statistics(), **origin)
    return outcomes


def _shows(grid: Grid, area: Area) -> bool:
    """Return whether an area's extent and a grid share a place."""
    try:
        return clip(extent_of(area.pixel_rings(grid)), grid.window) is not None
    except ConfigError:
        return False


def _tally(
    area: Area,
    product: str,
    grid: Grid,
    parts: Callable[[Window], Iterable[tuple[Place, Floats, Reasons]]],
) -> Tally:
    """Return what the pixels of an area have, which are read window by window, and those in parts.

    Raises:
        OutsideScene: the area and the scene share no pixel.
    """
    try:
        rings = area.pixel_rings(grid)
    except OutsideScene as error:
        raise OutsideScene(f"{error}{_swapped_hint(area, grid)}") from None
    extent, tally = extent_of(rings), Tally(left_out=len(area.polygons) - len(rings))
    inside = clip(extent, grid.window)
    for window in _windows(inside):
        within = covered(rings, window)
        if within.any():
            for place, values, reasons in parts(window):
                tally.add(values[within[place]], reasons[within[place]])
    beyond = 0 if inside == extent else max(0, count_pixels(rings) - tally.pixels)
    if inside is None or (beyond and not tally.pixels):
        raise OutsideScene(
            f"the area {area.name!r}, which covers (west, south, east, north) {area.bounds}, has no pixel in"
            f" {product}, which covers {grid.bounds}{_swapped_hint(area, grid)}"
        )
    tally.add_beyond(beyond)
    return tally


def _swapped_hint(area: Area, grid: Grid) -> str:
    """Return what to do if the area lies on the grid once its coordinates are swapped."""
    swapped = area.swapped()
    if swapped is None:
        return ""
    try:
        shown = clip(extent_of(swapped.pixel_rings(grid)), grid.window) is not None
    except ConfigError:
        return ""
    return f"; {SWAPPED}: GeoJSON has the longitude first" if shown else ""


def _windows(inside: Window | None) -> list[Window]:
    """Cut a window within a grid into windows of at most 2,048 pixels a side, which begin where blocks do."""
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
    scenes: Iterable[Scene] | Scene,
    areas: Any,
    *,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
    mixed: bool = False,
    reader: Reader | None = None,
) -> Noted[AreaStats]:
    """Return statistics of areas in all scenes that show them; ``area_table`` lists them.

    They are in the order of the areas, and by date. Scenes of one pass (adjacent rows of one satellite, path
    and day) are joined where an area lies in several: a pixel counts once. An area smaller than a pixel has
    statistics of 0 pixels. An area that no scene shows, or that reaches too far for a scene's projection, is
    left out there, and so are single polygons of an area; the result's ``notes`` name it.

    Args:
        executor: the executor whose workers read the scenes, with one task for each pass and 100 areas.
        scenes: scenes of one level.
        areas: anything that ``polygons.read_areas`` takes.
        index: name of the index, one of ``indices.INDICES``, or an ``indices.Index``.
        masking: which pixels are masked.
        mixed: allow scenes of both levels.
        reader: see ``bands.Reader``; default: GDAL's, which alone can join scenes.

    Raises:
        ConfigError: the areas or the index are not valid, the scenes are of both levels, or no scene shows
            any of the areas.
        WrenliteError: a scene cannot be read.
    """
    chosen, scenes = read_areas(areas), check_scenes(scenes)
    job = map_areas(executor, scenes, chosen, index=index, masking=masking, mixed=mixed, reader=reader)
    outcomes = job.results()
    for outcome in (each for scene in outcomes for each in scene.values()):
        if isinstance(outcome, WrenliteError) and not isinstance(outcome, ConfigError):
            raise outcome
    found = gather(chosen, outcomes)
    return Noted(found, (*chosen.notes, *found.notes))


def map_areas(
    executor: Executor,
    scenes: Iterable[Scene] | Scene,
    areas: Any,
    *,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
    mixed: bool = False,
    reader: Reader | None = None,
) -> Job[dict[str, Outcome]]:
    """Start computing statistics of areas in scenes; ``gather`` joins the values.

    Args:
        executor: the executor whose workers read the scenes, with one task for each pass and 100 areas.
        scenes: see ``survey_areas``, as for the rest.
        areas: anything that ``polygons.read_areas`` takes.
        index: the index, or its name.
        masking: which pixels are masked.
        mixed: allow scenes of both levels.
        reader: see ``bands.Reader``.

    Raises:
        ConfigError: there is no such index, or the scenes are of both levels.
    """
    chosen, scenes, wanted = read_areas(areas), check_scenes(scenes), find_index(index)
    check_one_level([tasks.describe(scene, wanted, masking) for scene in scenes], mixed)
    groups = [chosen[first : first + MOST_AREAS] for first in range(0, len(chosen), MOST_AREAS)]
    pairs = [(joined, group) for group in groups for joined in passes.passes(scenes)]
    options = {"index": wanted, "masking": masking, "reader": reader}
    return executor.starmap(statistics_of_areas, pairs, kwargs=options)


def gather(areas: Sequence[Area], outcomes: Iterable[Mapping[str, Outcome]]) -> Noted[AreaStats]:
    """Return the statistics among outcomes in the order of the areas, and by date, with notes on the others.

    Args:
        areas: the areas.
        outcomes: values of the job that ``map_areas`` returns.

    Raises:
        ConfigError: there are no statistics, because no scene shows the areas.
        WrenliteError: there are none, and this is the first error.
    """
    by_area: dict[str, list[Outcome]] = {area.name: [] for area in areas}
    for outcome in outcomes:
        for name, each in outcome.items():
            by_area[name].append(each)
    everything = [each for found in by_area.values() for each in found]
    stats = in_order(each for each in everything if isinstance(each, AreaStats))
    refused = [each for each in everything if not isinstance(each, AreaStats | OutsideScene)]
    unseen = _unseen(by_area)
    if not stats:
        raise refused[0] if refused else ConfigError(unseen)
    small = list(dict.fromkeys(each.area for each in stats if not each.pixels))
    notes = [*dict.fromkeys(f"left out: {each}" for each in refused), *filter(None, [unseen])]
    partly = list(dict.fromkeys(each.area for each in stats if each.left_out))
    if partly:
        notes.append(f"some polygons are too far from a scene to be counted there: of {listed(partly)}")
    if small:
        notes.append(
            f"no pixel has its centre within {listed(small)}: areas smaller than a pixel have no statistics"
        )
    return Noted(stats, notes)


def _unseen(by_area: Mapping[str, Sequence[Outcome]]) -> str:
    """Return a line that names the areas that no scene shows; an empty text where there are none."""
    outside = {
        name: str(found[0])
        for name, found in by_area.items()
        if found and all(isinstance(each, OutsideScene) for each in found)
    }
    if not outside:
        return ""
    swapped = any(SWAPPED in text for text in outside.values())
    hint = f"{SWAPPED}: GeoJSON has the longitude first" if swapped else "search scenes of that place"
    return f"no scene shows {listed(list(outside))}: {hint}"
