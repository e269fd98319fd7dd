"""Composites: one picture a month, season or year from many scenes, made by tasks of bounded memory.

The work is cut by period and by tile of a declared grid. A first job finds out where each scene lies. The
tiles are planned before it and wait for its result, so that progress has a total from the start. A task reads
the scenes of its period one after another on a strip of its tile, keeps 2 bytes for each pixel of each scene,
reduces them, and continues with the next strip; it returns the tile. A strip is low enough for the values of
all scenes to fit into the worker's memory. The caller holds the result and the tiles; that they fit into its
memory is checked before anything is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError, DependencyFailed
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.scene import Scene, check_scenes
from wrenlite.gallery.ndvi.bands import Reader
from wrenlite.gallery.ndvi.grid import BLOCK, Grid, Window, clip, windows
from wrenlite.gallery.ndvi.indices import NODATA, SCALE, Index, find_index
from wrenlite.gallery.ndvi.masks import Masking
from wrenlite.gallery.ndvi.periods import Period, periods_of
from wrenlite.gallery.ndvi.provenance import Provenance
from wrenlite.gallery.ndvi.results import cloud_or_worst
from wrenlite.gallery.ndvi.target import check_memory, footprint
from wrenlite.gallery.preflight import PYTHON_BYTES
from wrenlite.gallery.preflight import check_memory as check_worker_memory

if TYPE_CHECKING:
    from wrenlite.executor import Executor
    from wrenlite.futures import Future
    from wrenlite.job import Job

DEFAULT_STACK_BYTES = 128 << 20
"""Most memory that the values of all scenes take in a task, where the memory of a worker is not known."""
_LEAST_STACK_BYTES = 16 << 20
_READING_BYTES = 40 << 20
"""Memory that reading one scene on a tile takes, with the files that stay open."""
_VALUE_BYTES = 2
_MAX_SIDE = 1024
_LEAST_SHARED_SIDE = 512
"""Side down to which tiles are made smaller so that every slot has one. With smaller ones, opening the files
would take longer than reading them."""
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

        A period's time is its first day; ``time_bnds`` has the times at which it begins and ends.

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
        return xarrays.with_bounds(index.to_dataset().assign(used=used), self.periods)

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


@dataclass(frozen=True)
class Work:
    """What all tasks of a job of composites have in common."""

    recipe: Recipe
    scenes: tuple[Scene, ...]
    stack_bytes: int
    """Most memory that the values of all scenes take in a task."""

    def groups(self, places: Iterable[Window | None]) -> dict[Period, list[tuple[Scene, Window]]]:
        """Return the scenes that reach the grid by period, with their windows; see ``Recipe.groups``.

        Args:
            places: the window of the grid outside of which each scene has no pixels; None where it has none.
        """
        found = {scene: window for scene, window in zip(self.scenes, places, strict=True) if window}
        groups = self.recipe.groups(found).items()
        return {period: [(scene, found[scene]) for scene in group] for period, group in groups}


class CompositeTile(NamedTuple):
    """What one task makes: a window of a grid from all scenes of a period that reach it."""

    period: str
    """The period's label."""
    window: Window


class MadeTile(NamedTuple):
    """A tile of a composite."""

    values: NDArray[np.int16]
    used: NDArray[np.uint16]


@dataclass(frozen=True)
class CompositeJob:
    """Composites that are being made."""

    work: Work
    places: Future[list[Window | None]]
    """Where each scene is on the grid."""
    tiles: Sequence[CompositeTile]
    """What each task of the last job makes."""
    jobs: tuple[Job[Any], ...]
    """The job that asks where the scenes are, and the job of the tiles, which waits for it."""

    def result(self) -> Composites:
        """Wait for the composites, and return them.

        Raises:
            ConfigError: no scene reaches the grid.
            WrenliteError: a scene cannot be read.
        """
        recipe, tiles = self.work.recipe, self.jobs[-1]
        try:
            tiles[0].result()  # the tiles are waited for first, so that a terminal shows how many they are
            places = self.places.result()
        except DependencyFailed:
            self.places.result()  # raises the error of the scene that cannot be read
            raise
        groups = self.work.groups(places)
        if not groups:
            raise ConfigError(
                f"none of the {len(places)} scenes reaches the grid, which covers {recipe.grid.bounds}"
            )
        made = (future.result() for future in tiles)
        labels = [period.label for period in groups]
        values, used = _assemble(labels, recipe.grid, zip(self.tiles, made, strict=True))
        scenes = [scene for scene, place in zip(self.work.scenes, places, strict=True) if place]
        return Composites(
            periods=tuple(groups),
            values=values,
            used=used,
            grid=recipe.grid,
            method=recipe.method,
            provenance=recipe.provenance(dict.fromkeys(scenes)),
            provenances=tuple(recipe.provenance(scene for scene, _ in group) for group in groups.values()),
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
    scenes = sorted(check_scenes(scenes), key=lambda scene: (scene.date, scene.product.id))
    recipe.provenance(scenes)  # refuses what may not be mixed, before anything is read
    groups, stack_bytes = recipe.groups(scenes), _stack_bytes(executor.backend.memory_bytes)
    _check_sizes(executor, len(groups), recipe.grid)
    work = Work(recipe, tuple(scenes), stack_bytes)
    options = {"grid": recipe.grid, "reader": recipe.reader}
    places = executor.map_reduce(place_of, scenes, list, kwargs=options)
    most = max(map(len, groups.values())) if recipe.method == "median" else 1
    pixels = len(groups) * recipe.grid.width * recipe.grid.height
    side = _side(most, stack_bytes, pixels // executor.backend.invoker.slots)
    plan = [CompositeTile(period.label, window) for period in groups for window in windows(recipe.grid, side)]
    tiles = executor.map(composite_tile, plan, args=(work, places), chunksize=1)
    return CompositeJob(work, places, plan, jobs=(places.job, tiles))


def _check_sizes(executor: Executor, count: int, grid: Grid) -> None:
    """Check that the result fits into this machine's memory, and a task into a worker's.

    Raises:
        ConfigError: one of the two does not fit.
    """
    check_memory(grid.width, 2 * count * grid.height, f"{count} composites", "declare a smaller grid")
    check_worker_memory(executor.backend, _LEAST_STACK_BYTES + _READING_BYTES, "a tile of a composite")


def place_of(scene: Scene, grid: Grid, reader: Reader | None = None) -> Window | None:
    """Return the window of a grid outside of which a scene has no pixels; None where it has none at all.

    It takes one small read of the red band.
    """
    return footprint(tasks.grid_of(scene, reader), grid)


def _rank(period: Period, scene: Scene) -> tuple[float, float, str]:
    """Return by what scenes of a period are sorted, the best first."""
    return cloud_or_worst(scene.cloud), period.days_from_middle(scene.date), scene.product.id


def _stack_bytes(worker_bytes: int | None) -> int:
    """Return how much memory the values of all scenes may take in a task: half of what a worker has to spare.

    The other half is for the tile that is returned, and a reserve.

    Args:
        worker_bytes: memory of a worker; None: it is not known.
    """
    if worker_bytes is None:
        return DEFAULT_STACK_BYTES
    return max((worker_bytes - PYTHON_BYTES - _READING_BYTES) // 2, _LEAST_STACK_BYTES)


def _side(scene_count: int, stack_bytes: int, fair_pixels: int) -> int:
    """Return the side of tiles: large, so that files are seldom opened.

    Args:
        scene_count: the most scenes of a period.
        stack_bytes: memory for their values, into which those of a strip of one block's height fit.
        fair_pixels: the number of all pixels divided by the number of slots.
    """
    blocks = stack_bytes // (_VALUE_BYTES * scene_count * BLOCK * BLOCK)
    fair = max(math.isqrt(fair_pixels) // BLOCK * BLOCK, _LEAST_SHARED_SIDE)
    return max(BLOCK, min(blocks * BLOCK, fair, _MAX_SIDE))


def _strips(window: Window, scene_count: int, stack_bytes: int) -> list[Window]:
    """Cut a window into strips on each of which the values of so many scenes fit into the memory for them.

    They have as many rows of blocks as fit, so that few blocks are decoded twice.
    """
    rows = max(1, stack_bytes // (_VALUE_BYTES * scene_count * window.width))
    if rows > BLOCK:
        rows -= rows % BLOCK
    return [
        window._replace(row=window.row + top, height=min(rows, window.height - top))
        for top in range(0, window.height, rows)
    ]


def _assemble(
    labels: Sequence[str], grid: Grid, made: Iterable[tuple[CompositeTile, MadeTile | None]]
) -> MadeTile:
    """Return the tiles of some periods, which are given by their labels, in one array."""
    shape = len(labels), grid.height, grid.width
    whole = MadeTile(np.full(shape, NODATA, np.int16), np.zeros(shape, np.uint16))
    for item, tile in made:
        if tile is not None:
            column, row, width, height = item.window
            part = (labels.index(item.period), slice(row, row + height), slice(column, column + width))
            whole.values[part], whole.used[part] = tile
    return whole


def composite_tile(item: CompositeTile, work: Work, places: Sequence[Window | None]) -> MadeTile | None:
    """Return one tile of a composite, None where no scene reaches it; this is the task of ``composite``.

    Args:
        item: the period and the window.
        work: what all tiles have in common.
        places: where each scene is on the grid, see ``place_of``.
    """
    recipe = work.recipe
    groups = {period.label: group for period, group in work.groups(places).items()}
    scenes = [scene for scene, place in groups.get(item.period, ()) if clip(item.window, place) is not None]

    def read(scene: Scene, window: Window) -> NDArray[np.int16]:
        options: dict[str, Any] = {"index": recipe.index, "masking": recipe.masking}
        return tasks.ndvi_tile(scene, window, grid=recipe.grid, reader=recipe.reader, **options).values

    if not scenes:
        return None
    if recipe.method == "best":
        return _best(read(scene, item.window) for scene in scenes)
    return _median_in_strips(read, scenes, item.window, work.stack_bytes)


def _median_in_strips(
    read: Callable[[Scene, Window], NDArray[np.int16]],
    scenes: Sequence[Scene],
    window: Window,
    stack_bytes: int,
) -> MadeTile:
    """Return the median of scenes on a window, of which one strip after the other is read in all of them.

    Every second strip is read from the last scene to the first, since files that were used last are still
    open.
    """
    from wrenlite.gallery.ndvi.reader import OPEN_FILES  # it needs rasterio, and planning does not

    strips = _strips(window, len(scenes), stack_bytes)
    numbered, parts = list(enumerate(scenes)), []
    with OPEN_FILES.room_for_more() if len(strips) > 1 else nullcontext():
        for strip in strips:
            stack = np.empty((len(scenes), strip.height, strip.width), np.int16)
            for number, scene in numbered:
                stack[number] = read(scene, strip)
            parts.append(_median(stack))
            numbered.reverse()
    return MadeTile(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


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
