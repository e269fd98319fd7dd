"""Pictures of the Mandelbrot set and of Julia sets: counts from the workers, colours here.

The field of counts is kept, so another palette needs no worker.
"""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wrenlite.backends.local import memory_bytes
from wrenlite.errors import ConfigError, StoreError
from wrenlite.executor import Executor
from wrenlite.gallery.checks import check_folder, check_memory
from wrenlite.gallery.fractals import mandelbrot, tiling
from wrenlite.gallery.fractals.colours import downsample, known
from wrenlite.gallery.fractals.palettes import DEFAULT, PALETTES, colour
from wrenlite.gallery.fractals.view import (
    INSIDE,
    View,
    iterations,
)
from wrenlite.job import Job
from wrenlite.storage.local import LocalStore

TASKS = 64
FORMATS = {".png": 2**31 - 1, ".webp": 16_383, ".jpg": 65_500, ".jpeg": 65_500}
"""Endings of files, and the pixels that such a picture may have on a side."""
_STRIP = 1 << 22
"""Points that are coloured at once."""
_WORKER_BYTES = 6
"""A worker holds the counts of its part, their pickle, and what is made of that for the journey."""
_CLIENT_BYTES = 5
"""Here a point takes two bytes in its task's value, two in the field, and its share of a strip and of what
is made of it."""


@dataclass(frozen=True)
class Poster:
    """A picture of a view. The names, and the defaults but for ``smoothness``, are the original program's.

    Raises:
        ConfigError: from the constructor, when one of the fields cannot be drawn.
    """

    view: View
    """In the pixels of the picture."""
    palette: str = DEFAULT
    step: float | None = None
    """Iterations for one run through the palette; None: ever longer runs (``palettes.colour``)."""
    smoothness: int = 2
    """Points each way that a pixel is the mean of: 1 to 16."""

    def __post_init__(self) -> None:
        known("palette", self.palette, PALETTES)
        if not 1 <= self.smoothness <= 16:
            raise ConfigError(f"smoothness is {self.smoothness}: it must be 1 to 16 points a pixel each way")
        if self.step is not None and not 0 < self.step < float("inf"):
            raise ConfigError(f"step is {self.step}: it must be a number of iterations above 0")

    @property
    def sampled(self) -> View:
        """The view in its points."""
        view = self.view
        return replace(view, width=view.width * self.smoothness, height=view.height * self.smoothness)


class Rendered(NamedTuple):
    """What the workers found, and how."""

    field: NDArray[np.uint16]
    """Counts of the points, shape (height, width) of the poster's ``sampled``."""
    pieces: list[tiling.Piece]
    """What each task of the job rendered."""
    job: Job
    planned_s: float
    mapped_s: float
    joined_s: float
    """Seconds that planning, the map, and joining its values took here."""


def render(executor: Executor, poster: Poster, tasks: int = TASKS) -> Rendered:
    """Iterate the points of a poster on the workers.

    Args:
        executor: where to run.
        poster: what to draw.
        tasks: into how many parts of about equal work it is cut.

    Raises:
        ConfigError: it would need more memory than a worker, or this machine, has.
    """
    view = poster.sampled
    what = f"{view.width:,} x {view.height:,} points"
    part = view.width * view.height // tasks * _WORKER_BYTES
    check_memory(executor.backend, part, f"one of {tasks} parts of {what}")
    here = view.width * view.height * _CLIENT_BYTES
    if here > memory_bytes():
        raise ConfigError(
            f"{what} would need about {here / 2**30:,.0f} GB here, where the picture is put together, and "
            f"there are {memory_bytes() / 2**30:,.0f}: take a lower width, height or smoothness"
        )
    start = time.perf_counter()
    pieces = tiling.plan(view, tasks)
    planned = time.perf_counter()
    job = executor.map(mandelbrot.render, pieces, chunksize=1)
    values = job.results()
    mapped = time.perf_counter()
    field = tiling.assemble(view, pieces, values)
    return Rendered(field, pieces, job, planned - start, mapped - planned, time.perf_counter() - mapped)


def picture(field: NDArray[np.uint16], poster: Poster) -> Image.Image:
    """The field in the poster's colours, in its size: the mean light of its points (``downsample``)."""
    each, view = poster.smoothness, poster.view
    pixels = np.empty((view.height, view.width, 3), np.uint8)
    rows = max(1, _STRIP // (view.width * each * each))
    for top in range(0, view.height, rows):
        strip = field[top * each : (top + rows) * each]
        coloured = colour(strip, view.iters, poster.palette, poster.step)
        pixels[top : top + rows] = downsample(coloured, each)
    return Image.fromarray(pixels)


def check_outfile(path: Path, view: View) -> None:
    """Refuse a file that could not be written, before there is something to write.

    Raises:
        ConfigError: it has another ending than those of ``FORMATS``, or the picture is too large for it.
        StoreError: the folder cannot be written to.
    """
    most = FORMATS.get(path.suffix.lower())
    if most is None:
        raise ConfigError(f"{path} must end in {', '.join(FORMATS)}")
    if max(view.width, view.height) > most:
        raise ConfigError(f"{path}: such a file has at most {most:,} pixels a side; .png has more")
    if path.is_dir():
        raise StoreError(f"{path} is a folder")
    check_folder(path.parent)


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture, whole or not at all. Raises StoreError."""
    file = io.BytesIO()
    picture.save(file, Image.registered_extensions()[path.suffix.lower()], quality=90)
    LocalStore(path.parent).put(path.name, file.getvalue())


def total_iterations(field: NDArray[np.uint16], iters: int) -> float:
    """Iterations of all points of a field together."""
    return float(np.bincount(field.ravel(), minlength=INSIDE + 1) @ iterations(np.arange(INSIDE + 1), iters))
