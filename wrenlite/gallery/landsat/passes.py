"""Scenes of one pass of a satellite, of which adjacent rows overlap, joined to one picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi.bands import Place, Reader
from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.indices import Floats, Index
from wrenlite.gallery.ndvi.masks import Masking, Reason, Reasons
from wrenlite.gallery.ndvi.target import declare_grid


def passes(scenes: Iterable[Scene]) -> list[list[Scene]]:
    """Group scenes of one satellite, day, path, level and tier; each group has a row once, and is by row."""
    groups: dict[tuple[Any, ...], list[Scene]] = {}
    times_seen: Counter[tuple[Any, ...]] = Counter()
    for scene in sorted(scenes, key=lambda scene: (scene.date, scene.product.path, scene.product.row)):
        product = scene.product
        key = (scene.date, product.satellite, product.path, product.level, product.tier, product.synthetic)
        groups.setdefault((*key, times_seen[*key, product.row]), []).append(scene)
        times_seen[*key, product.row] += 1  # the same row once more belongs to another group
    return list(groups.values())


def origin(scenes: Sequence[Scene], index: Index, masking: Masking) -> dict[str, Any]:
    """Return what a result says of the scenes of a pass: their products, and the cloud of the worst."""
    each = [tasks.origin(scene, index, masking) for scene in scenes]
    clouds = [one["cloud"] for one in each]
    return {
        **each[0],
        "product": " + ".join(one["product"] for one in each),
        "cloud": None if None in clouds else max(clouds),
        "unseen": frozenset().union(*(one["unseen"] for one in each)),
    }


def joined_grid(grids: Sequence[Grid]) -> Grid:
    """Return a grid with the pixels of the first that contains all of them.

    Raises:
        ConfigError: they are too far from each other for the first's projection.
    """
    first, parts = grids[0], [grids[0].window]
    for grid in grids[1:]:
        there = declare_grid(grid.bounds, like=first)
        column, row = first.offset_of(there) or (0, 0)  # it is on the same lattice
        parts.append(Window(column, row, there.width, there.height))
    left, top = min(part.column for part in parts), min(part.row for part in parts)
    right = max(part.column + part.width for part in parts)
    bottom = max(part.row + part.height for part in parts)
    return first.part(Window(left, top, right - left, bottom - top))


def index_parts(
    scenes: Sequence[Scene], grid: Grid, window: Window, *, index: Index, masking: Masking, reader: Reader
) -> Iterator[tuple[Place, Floats, Reasons]]:
    """Compute an index of a window of the joined grid; see ``tasks.index_parts``.

    Of each pixel the first usable value counts. Where there is none, the first scene that has the pixel says
    why.

    Raises:
        ConfigError: the reader is not GDAL's, which alone can read several scenes on one grid.
    """
    if len(scenes) == 1:
        yield from tasks.index_parts(scenes[0], window, index, masking, reader)
        return
    from wrenlite.gallery.ndvi.warped import on_grid  # it needs rasterio, and planning does not

    values = np.empty((window.height, window.width), np.float32)
    reasons = np.full(values.shape, Reason.FILL, np.uint8)
    for scene in scenes:
        for place, found, why in tasks.index_parts(scene, window, index, masking, on_grid(reader, grid)):
            known = reasons[place]
            better = (known == Reason.FILL) | ((known != Reason.USABLE) & (why == Reason.USABLE))
            np.copyto(values[place], found, where=better)
            np.copyto(known, why, where=better)
    yield (slice(0, window.height), slice(0, window.width)), values, reasons
