"""Posters of the Mandelbrot set and of Julia sets: workers compute the counts, this process adds the colours.

The field of counts is kept, so that another palette needs no worker.
"""

from __future__ import annotations

import cmath
import time
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.gallery.fractals import mandelbrot, tiling
from wrenlite.gallery.fractals.colour_range import ColourRange
from wrenlite.gallery.fractals.colours import check_name, downsample
from wrenlite.gallery.fractals.encoding import Field
from wrenlite.gallery.fractals.palettes import DEFAULT, DEFAULT_STEP, PALETTES, check_step, colour
from wrenlite.gallery.fractals.sets import colour_of_roots
from wrenlite.gallery.fractals.view import Kind, View
from wrenlite.gallery.preflight import check_memory
from wrenlite.job import Job
from wrenlite.memory import memory_bytes
from wrenlite.texts import counted

TASKS = 64
"""Default number of tasks that a poster is cut into."""
_MANDELBROT_VIEW = {"xpos": "-0.00275", "ypos": "0.78912", "radius": "0.125689"}
"""The part of the plane that is drawn by default: the original program's defaults."""
_JULIA_VIEW = {"xpos": "0", "ypos": "0", "radius": "3.2"}
"""The same for Julia sets, whose centre is 0."""
_VIEWS = {
    "mandelbrot": _MANDELBROT_VIEW,
    "burning-ship": {"xpos": "-1.7572", "ypos": "0.03", "radius": "0.115"},
    "newton": {"xpos": "0", "ypos": "0", "radius": "3.2"},
}
"""The part of the plane of each set that is drawn by default."""
_STRIP_POINTS = 1 << 22
"""Points that are coloured at a time."""
_WORKER_BYTES_PER_POINT = 16
"""A worker holds the counts of its part, and their levels and codes; the reply, later, is smaller."""
_CLIENT_BYTES_PER_POINT = 8
"""Here, a point takes two bytes in the value of its task and four in the field. The rest is its share of the
sample that the colours are chosen from, of the strip that is being coloured, and of the strip's colours."""


Picture = Image.Image | NDArray[np.uint16]
"""A picture with 8 bits per colour, or one with 16, which Pillow does not know: shape (height, width, 3)."""


@dataclass(frozen=True)
class Poster:
    """A picture of a view.

    The original program, https://github.com/esimov/gobrot, has options with the names of most fields;
    decision 34 in ``docs/decisions`` lists where their meaning differs.

    Raises:
        ConfigError: one of the fields has a value that cannot be drawn.
    """

    view: View
    """The view in pixels of the picture."""
    palette: str = DEFAULT
    step: int = DEFAULT_STEP
    """Number of colours of the palette; few make bands."""
    smoothness: int = 2
    """Supersampling: a pixel is the mean of this number of points, squared; 1 to 16."""
    bits: int = 8
    """Bits of each pixel's red, green and blue: 8 or 16."""

    def __post_init__(self) -> None:
        check_name("palette", self.palette, PALETTES)
        if not 1 <= self.smoothness <= 16:
            raise ConfigError(f"smoothness is {self.smoothness}: it must be 1 to 16 points a pixel each way")
        check_step(self.step)
        if self.view.kind == "newton" and self.step != DEFAULT_STEP:
            raise ConfigError(
                f"step is {self.step}: it has no effect with newton, whose roots share the palette"
            )
        if self.bits not in (8, 16):
            raise ConfigError(f"bits is {self.bits}: it must be 8 or 16")

    @property
    def sampled(self) -> View:
        """The view with one pixel for each point that is computed."""
        view = self.view
        return replace(view, width=view.width * self.smoothness, height=view.height * self.smoothness)


@dataclass(frozen=True, kw_only=True)
class PosterOptions:
    """A poster in the words of the command line, of a request, or of a row of a CSV file.

    Raises:
        ConfigError: as for ``Poster`` and ``View``.
    """

    palette: str = DEFAULT
    xpos: str | float | None = None
    """Centre, real part; as text with any number of digits. None: that of the original program, or 0."""
    ypos: str | float | None = None
    """Centre, imaginary part."""
    radius: str | float | None = None
    """Width in the plane."""
    iters: int = 800
    step: int = DEFAULT_STEP
    smoothness: int = 2
    width: int = 1024
    height: int = 768
    julia: str | None = None
    """``RE,IM``: the Julia set of this number. None: the Mandelbrot set, or that of ``kind``."""
    kind: str = "mandelbrot"
    """The set: a key of ``sets.SETS``."""
    bits: int = 8

    def __post_init__(self) -> None:
        self.poster()

    def poster(self) -> Poster:
        """Return the poster."""
        seed = None if self.julia is None else _parse_complex(self.julia)
        if seed is not None and self.kind == "newton":
            raise ConfigError(f"julia is {self.julia}: Newton's method has no Julia sets")
        default_view = _JULIA_VIEW if seed is not None else _VIEWS[check_name("set", self.kind, _VIEWS)]
        place: dict[str, Any] = {
            name: default if (given := getattr(self, name)) is None else given
            for name, default in default_view.items()
        }
        kind = cast("Kind", self.kind)
        view = View(**place, width=self.width, height=self.height, iters=self.iters, seed=seed, kind=kind)
        return Poster(view, self.palette, self.step, self.smoothness, self.bits)


def _parse_complex(text: str) -> complex:
    try:
        real, imaginary = map(float, text.split(","))
    except ValueError:
        raise ConfigError(f"julia is {text!r:.60}: it must be two numbers, such as -0.8,0.156") from None
    if not cmath.isfinite(seed := complex(real, imaginary)):
        raise ConfigError(f"julia is {text!r:.60}: it must be two finite numbers")
    return seed


class StepTime(NamedTuple):
    """The time of a step of this process, or the time at one moment."""

    wall_s: float
    cpu_s: float
    """Processor time of all threads."""

    @classmethod
    def now(cls) -> StepTime:
        """Return the time now, from which ``since`` measures."""
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: StepTime) -> StepTime:
        """Return the time from a moment to this one."""
        return StepTime(self.wall_s - start.wall_s, self.cpu_s - start.cpu_s)


class Rendered(NamedTuple):
    """The counts of a poster, and how they were computed."""

    field: Field
    """Counts of the points, shape (height, width) of the poster's ``sampled`` view; infinite inside."""
    pieces: list[tiling.Piece]
    """The tiles that each task of the job rendered."""
    job: Job[Any]
    times: dict[str, StepTime]
    """The time in this process of ``plan``, which makes the tasks; ``map``, until all values had arrived; and
    ``join``, which makes the field of them."""
    computed: list[float]
    """Iterations that each task computed: see ``mandelbrot.Part``."""
    value_bytes: list[int]
    """Bytes of the counts that each task returned."""

    @property
    def map_s(self) -> float:
        """Seconds from the start of the map until all values had arrived."""
        return self.times["map"].wall_s


def render(executor: Executor, poster: Poster, tasks: int = TASKS) -> Rendered:
    """Compute the counts of a poster on the workers.

    Args:
        executor: the executor that runs the tasks.
        poster: the poster to render.
        tasks: number of parts of about equal work that the poster is cut into.

    Raises:
        ConfigError: it would need more memory than a worker, or this machine, has.
    """
    view = poster.sampled
    size = f"{view.width:,} x {view.height:,} points"
    worker_bytes = view.width * view.height // tasks * _WORKER_BYTES_PER_POINT
    check_memory(executor.backend, worker_bytes, f"one of {counted(tasks, 'part')} of {size}")
    client_bytes = view.width * view.height * _CLIENT_BYTES_PER_POINT
    if client_bytes > memory_bytes():
        raise ConfigError(
            f"{size} would need about {client_bytes / 2**30:,.0f} GB of memory on this machine, where the "
            f"picture is put together, and it has {memory_bytes() / 2**30:,.0f} GB: choose a lower width, "
            f"height or smoothness"
        )
    start = StepTime.now()
    pieces = tiling.plan(view, tasks)
    planned = StepTime.now()
    job = executor.map(mandelbrot.render, pieces, chunksize=1)
    parts = job.results()
    mapped = StepTime.now()
    field = tiling.assemble(view, pieces, parts)
    return Rendered(
        field,
        pieces,
        job,
        times={
            "plan": planned.since(start),
            "map": mapped.since(planned),
            "join": StepTime.now().since(mapped),
        },
        computed=[part.computed for part in parts],
        value_bytes=[part.counts.codes.nbytes for part in parts],
    )


def picture(field: Field, poster: Poster, colours: ColourRange | None = None) -> Picture:
    """Return a field of counts, of a whole poster or of a part of it, as a picture in the poster's colours.

    Each pixel is the mean light of its points (see ``downsample``).

    Args:
        field: counts of points of the poster's ``sampled`` view.
        poster: the poster.
        colours: which counts have which colours. None: that is chosen from the field.
    """
    colours = colours or ColourRange.of(field)
    each = poster.smoothness
    height, width = (side // each for side in field.shape)
    pixels = np.empty((height, width, 3), np.uint8 if poster.bits == 8 else np.uint16)
    rows = max(1, _STRIP_POINTS // (width * each * each))
    for top in range(0, height, rows):
        strip = field[top * each : (top + rows) * each]
        if poster.view.kind == "newton":
            coloured = colour_of_roots(strip, poster.palette, poster.bits)
        else:
            coloured = colour(strip, poster.palette, poster.step, colours, poster.bits)
        pixels[top : top + rows] = downsample(coloured, each)
    return Image.fromarray(pixels) if poster.bits == 8 else pixels
