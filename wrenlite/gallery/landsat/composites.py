"""Composites: one picture a month, season or year from many scenes, made by tasks of bounded memory.

The work is cut by period and by tile of a declared grid. A task reads the scenes of its period one after
another on its tile, and keeps 2 bytes for each pixel of each scene; it returns the tile. The caller holds the
result and the tiles, which is checked to fit into its memory before anything is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi.bands import Reader
from wrenlite.gallery.ndvi.grid import BLOCK, Grid, Window, clip, windows
from wrenlite.gallery.ndvi.indices import NODATA, SCALE, Index, find_index
from wrenlite.gallery.ndvi.masks import Masking
from wrenlite.gallery.ndvi.periods import Period, periods_of
from wrenlite.gallery.ndvi.provenance import Provenance
from wrenlite.gallery.ndvi.results import cloud_or_worst
from wrenlite.gallery.ndvi.target import check_memory, footprint
from wrenlite.gallery.preflight import check_memory as check_worker_memory

if TYPE_CHECKING:
    from wrenlite.executor import Executor
    from wrenlite.job import Job

STACK_BYTES = 128 << 20
"""Most memory that the values of all scenes take in a task."""
_READING_BYTES = 40 << 20
"""Memory that reading one scene on a tile takes."""
_VALUE_BYTES = 2
_MAX_SIDE = 1024
METHODS = ("median", "best")
_MASKING = Masking()


@dataclass(frozen=True)
class Composites:
    """An index of one grid in several periods, each from all scenes of the period."""

    periods: tuple[Period, ...]
    values: NDArray[np.int16]
    """The index x 10,000, of shape (period, height, width); ``indices.NODATA`` where all are hidden."""
    used: NDArray[np.uint16]
    """Number of scenes from which each value comes, of the same shape."""
    grid: Grid
    method: str
    provenance: Provenance
    """What all of them were made from."""
    provenances: tuple[Provenance, ...]
    """What each period was made from."""

    def to_xarray(self) -> Any:
        """Return a Dataset with the dims time, y and x: the index, and ``used``, the number of scenes.

        A period's time is its first day.

        Raises:
            PackageMissing: xarray is not installed.
        """
        from wrenlite.gallery.ndvi import xarrays

        times = [period.start for period in self.periods]
        index = xarrays.data_array(self.values, self.grid, self.provenance, times)
        if self.method == "median":
            index.attrs["cell_methods"] = "time: median"
        name = "number of usable scenes" if self.method == "median" else "number of scenes shown"
        used = xarrays.counts_array(self.used, self.grid, times, name)
        return index.to_dataset().assign(used=used)

    def write(self, folder: str | Path) -> list[Path]:
        """Write two cloud-optimised GeoTIFF for each period: the index, and the number of scenes.

        Args:
            folder: an existing folder.

        Returns:
            The files, such as ``ndvi-2021-06-median.tif`` and ``ndvi-2021-06-median-used.tif``.

        Raises:
            StoreError: a file cannot be written.
        """
        from wrenlite.gallery.ndvi.cog import Coding, write_cog

        files = []
        pictures = zip(self.periods, self.values, self.used, self.provenances, strict=True)
        for period, values, used, provenance in pictures:
            name = f"{provenance.index.lower()}-{period.label}-{self.method}"
            tags = provenance.tags() | {"METHOD": self.method, "PERIOD": f"{period.start} to {period.end}"}
            coding = Coding(provenance.index, scale=1 / SCALE)
            files.append(Path(folder) / f"{name}.tif")
            write_cog(files[-1], values, self.grid, nodata=NODATA, coding=coding, tags=tags)
            tags["TIFFTAG_IMAGEDESCRIPTION"] = f"number of scenes behind each value of {files[-1].name}"
            files.append(Path(folder) / f"{name}-used.tif")
            write_cog(files[-1], used, self.grid, coding=Coding("used"), tags=tags, overviews="nearest")
        return files


@dataclass(frozen=True)
class Recipe:
    """How a composite is made; see ``composite``."""

    grid: Grid
    period: str | None
    method: str
    index: Index
    masking: Masking = _MASKING
    mixed: bool = False
    reader: Reader | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.grid, Grid):
            raise ConfigError(f"{self.grid!r} is not a grid: declare one with target.declare_grid")
        if self.method not in METHODS:
            raise ConfigError(f"method={self.method!r} makes no composite: take {' or '.join(METHODS)}")

    def groups(self, scenes: Iterable[Scene]) -> dict[Period, list[Scene]]:
        """Return scenes by period, in each the best first: the least cloud, then nearest to its middle."""
        groups = periods_of(((scene.date, scene) for scene in scenes), self.period)
        for period, group in groups.items():
            group.sort(key=partial(_rank, period))
        return groups

    def provenance(self, scenes: Iterable[Scene]) -> Provenance:
        """Return what a composite of scenes is made from.

        Raises:
            ConfigError: there are no scenes, or they are of both levels and may not be mixed.
        """
        described = [tasks.describe(scene, self.index, self.masking) for scene in scenes]
        if not described:
            raise ConfigError("a composite needs at least one scene, and there are no scenes")
        return Provenance.of(described, mixed=self.mixed)


class CompositeTile(NamedTuple):
    """What one task makes: a window of a grid from all scenes of a period that reach it."""

    period: int
    """Number of the period."""
    window: Window
    scenes: tuple[Scene, ...]
    """The best scene first."""


class MadeTile(NamedTuple):
    """A tile of a composite."""

    values: NDArray[np.int16]
    used: NDArray[np.uint16]


@dataclass(frozen=True)
class CompositeJob:
    """Composites that are being made."""

    recipe: Recipe
    scenes: Iterable[Scene]
    """The scenes that reach the grid, oldest first."""
    groups: Mapping[Period, Sequence[Scene]]
    """The same by period."""
    tiles: Sequence[CompositeTile]
    """What each task of the last job makes."""
    jobs: tuple[Job[Any], ...]
    """The job that asked where the scenes are, and the job of the tiles."""

    def result(self) -> Composites:
        """Wait for the composites, and return them.

        Raises:
            WrenliteError: a scene cannot be read.
        """
        grid = self.recipe.grid
        made = (future.result() for future in self.jobs[-1])
        values, used = _assemble(self.tiles, made, (len(self.groups), grid.height, grid.width))
        return Composites(
            periods=tuple(self.groups),
            values=values,
            used=used,
            grid=grid,
            method=self.recipe.method,
            provenance=self.recipe.provenance(self.scenes),
            provenances=tuple(map(self.recipe.provenance, self.groups.values())),
        )


def composite(
    executor: Executor,
    scenes: Iterable[Scene],
    grid: Grid,
    period: str | None = "month",
    method: str = "median",
    *,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
    mixed: bool = False,
    reader: Reader | None = None,
) -> Composites:
    """Return one picture of each period, from all its scenes; hidden pixels of a scene do not count.

    ``best`` takes the clearest scene that shows the pixel: that with the least cloud, then nearest to the
    period's middle. So White et al. 2014 (Canadian Journal of Remote Sensing 40, 192) choose the best
    available pixel, who also weigh its distance to clouds.

    Args:
        executor: the executor whose workers read the scenes.
        scenes: scenes of one level, of any projections; their order does not matter.
        grid: the grid of the composites, see ``target.declare_grid``.
        period: ``month``, ``season`` (from December, March, June, September), ``year``, or None for one
            picture of all scenes.
        method: ``median`` (of the usable values) or ``best``.
        index: name of the index, one of ``indices.INDICES``, or an ``indices.Index``.
        masking: which pixels are masked.
        mixed: allow scenes of both levels.
        reader: see ``bands.Reader``; default: GDAL's.

    Raises:
        ConfigError: there are no scenes, or none reaches the grid; there is no such period, method or index;
            the scenes are of both levels; or the result or a task does not fit into memory.
        WrenliteError: a scene cannot be read.
    """
    recipe = Recipe(grid, period, method, find_index(index), masking, mixed, reader)
    return start(executor, scenes, recipe).result()


def start(executor: Executor, scenes: Iterable[Scene], recipe: Recipe) -> CompositeJob:
    """Start making composites; ``composite`` also waits for them.

    Args:
        executor: the executor whose workers read the scenes.
        scenes: see ``composite``.
        recipe: how the composites are made.

    Raises:
        ConfigError, WrenliteError: see ``composite``.
    """
    scenes = sorted(scenes, key=lambda scene: (scene.date, scene.product.id))
    recipe.provenance(scenes)  # refuses what may not be mixed, before anything is read
    _check_sizes(executor, len(recipe.groups(scenes)), recipe.grid)
    grids = executor.map(tasks.grid_of, scenes, kwargs={"reader": recipe.reader})
    reach = _reach(scenes, grids.results(), recipe)
    groups = recipe.groups(reach)
    plan = list(_plan(groups, reach, recipe))
    tiles = executor.map(composite_tile, plan, args=(recipe,), chunksize=1)
    return CompositeJob(recipe, reach, groups, plan, jobs=(grids, tiles))


def _check_sizes(executor: Executor, count: int, grid: Grid) -> None:
    """Check that the result fits into this machine's memory, and a task into a worker's.

    Raises:
        ConfigError: one of the two does not fit.
    """
    check_memory(grid.width, 2 * count * grid.height, f"{count} composites", "declare a smaller grid")
    check_worker_memory(executor.backend, STACK_BYTES + _READING_BYTES, "a tile of a composite")


def _reach(scenes: Sequence[Scene], own: Sequence[Grid], recipe: Recipe) -> dict[Scene, Window]:
    """Return the scenes that reach a grid, with the windows outside of which they have no pixels.

    Raises:
        ConfigError: no scene reaches it.
    """
    windows_of = {scene: footprint(each, recipe.grid) for scene, each in zip(scenes, own, strict=True)}
    reach = {scene: window for scene, window in windows_of.items() if window is not None}
    if not reach:
        raise ConfigError(
            f"none of the {len(scenes)} scenes reaches the grid, which covers {recipe.grid.bounds}"
        )
    return reach


def _rank(period: Period, scene: Scene) -> tuple[float, float, str]:
    """Return by what scenes of a period are sorted, the best first."""
    return cloud_or_worst(scene.cloud), period.days_from_middle(scene.date), scene.product.id


def _plan(
    groups: Mapping[Period, Sequence[Scene]], reach: Mapping[Scene, Window], recipe: Recipe
) -> Iterator[CompositeTile]:
    """Return the tiles of all periods that some scene reaches."""
    for number, group in enumerate(groups.values()):
        for window in windows(recipe.grid, _side(len(group) if recipe.method == "median" else 1)):
            scenes = tuple(scene for scene in group if clip(window, reach[scene]) is not None)
            if scenes:
                yield CompositeTile(number, window, scenes)


def _side(scene_count: int) -> int:
    """Return the side of a tile on which the values of so many scenes take at most ``STACK_BYTES``."""
    largest = math.isqrt(STACK_BYTES // (_VALUE_BYTES * scene_count))
    return min(max(largest // BLOCK, 1) * BLOCK, _MAX_SIDE)


def _assemble(
    plan: Sequence[CompositeTile], made: Iterable[MadeTile], shape: tuple[int, int, int]
) -> MadeTile:
    """Return the tiles of all periods in one array."""
    whole = MadeTile(np.full(shape, NODATA, np.int16), np.zeros(shape, np.uint16))
    for item, tile in zip(plan, made, strict=True):
        column, row, width, height = item.window
        part = (item.period, slice(row, row + height), slice(column, column + width))
        whole.values[part], whole.used[part] = tile
    return whole


def composite_tile(item: CompositeTile, recipe: Recipe) -> MadeTile:
    """Return one tile of a composite; this is the task that ``composite`` maps.

    Args:
        item: the window, and the scenes, the best first.
        recipe: how the composite is made.
    """

    def read(scene: Scene, window: Window) -> NDArray[np.int16]:
        options: dict[str, Any] = {"index": recipe.index, "masking": recipe.masking}
        return tasks.ndvi_tile(scene, window, grid=recipe.grid, reader=recipe.reader, **options).values

    if recipe.method == "best":
        return _best(read(scene, item.window) for scene in item.scenes)
    parts = []
    for strip in _strips(item.window, len(item.scenes)):
        stack = np.empty((len(item.scenes), strip.height, strip.width), np.int16)
        for number, scene in enumerate(item.scenes):
            stack[number] = read(scene, strip)
        parts.append(_median(stack))
    return MadeTile(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _strips(window: Window, scene_count: int) -> list[Window]:
    """Cut a window into strips on each of which the values of so many scenes take at most ``STACK_BYTES``."""
    rows = max(1, STACK_BYTES // (_VALUE_BYTES * scene_count * window.width))
    return [
        window._replace(row=window.row + top, height=min(rows, window.height - top))
        for top in range(0, window.height, rows)
    ]


def _best(tiles: Iterable[NDArray[np.int16]]) -> MadeTile:
    """Return the first usable value of each pixel. Tiles are read until every pixel has one."""
    values: NDArray[np.int16] | None = None
    for tile in tiles:
        values = tile if values is None else np.where(values == NODATA, tile, values)
        if (values != NODATA).all():
            break
    assert values is not None  # a tile is planned only where there are scenes
    return MadeTile(values, (values != NODATA).astype(np.uint16))


def _median(stack: NDArray[np.int16]) -> MadeTile:
    """Return the median of the usable values of each pixel, rounded to even, and their number.

    Args:
        stack: values of shape (scene, height, width), which are sorted in place; ``NODATA`` comes first. They
            are sorted row by row, so that nothing else is as large as they are.
    """
    made = MadeTile(np.empty(stack.shape[1:], np.int16), np.empty(stack.shape[1:], np.uint16))
    last = len(stack) - 1
    for row in range(stack.shape[1]):
        values = stack[:, row]
        values.sort(axis=0)
        used = np.count_nonzero(values != NODATA, axis=0)
        first = len(stack) - used
        # Where no value is usable, both places are beyond the last.
        places = first + np.maximum(used - 1, 0) // 2, first + used // 2
        lower, upper = (np.take_along_axis(values, np.minimum(at, last)[None], axis=0)[0] for at in places)
        middle = np.rint((lower.astype(np.float32) + upper) / 2)
        made.values[row], made.used[row] = np.where(used, middle, NODATA), used
    return made
