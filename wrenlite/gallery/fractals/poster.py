"""Posters of the Mandelbrot set and of Julia sets: workers compute the counts, this process adds the colours.

The field of counts is kept, so that another palette needs no worker.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wrenlite.backends.base import Backend
from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.gallery.fractals import mandelbrot, perturbation, tiling
from wrenlite.gallery.fractals.colour_range import ColourRange
from wrenlite.gallery.fractals.colours import check_name, downsample
from wrenlite.gallery.fractals.encoding import Field
from wrenlite.gallery.fractals.light import Light, LitPart, Surface, glow_of, shade
from wrenlite.gallery.fractals.light import render as render_lit
from wrenlite.gallery.fractals.mandelbrot import Part
from wrenlite.gallery.fractals.palettes import DEFAULT, DEFAULT_STEP, PALETTES, check_step, colour
from wrenlite.gallery.fractals.sets import colour_of_roots
from wrenlite.gallery.fractals.view import Kind, View
from wrenlite.gallery.preflight import check_memory, check_own_memory
from wrenlite.job import Job
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
_STRIP_POINTS, _LIT_STRIP_POINTS = 1 << 22, 1 << 19
"""Points that are coloured at a time, without light and with light, which takes more memory."""
_WORKER_BYTES_PER_POINT = 16
"""A worker holds the counts of its part, and their levels and codes; the reply, later, is smaller."""
_LIT_BYTES_PER_POINT = 24
"""With light, a worker holds counts in double precision in addition, and up to five bytes of codes twice."""
_CLIENT_BYTES_PER_POINT = 8
"""Here, a point takes two bytes in the value of its task and four in the field. The rest is its share of the
sample that the colours are chosen from, of the strip that is being coloured, and of the strip's colours."""
_LIT_CLIENT_BYTES_PER_POINT = 10
"""With light, up to five bytes more in the value of its task and in the surface."""


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
    light: Light | None = None
    """What is shown besides the counts. None: nothing."""

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
        if self.light is not None:
            self.light.check_view(self.view)
        self._with_points()  # which may be too close together

    @property
    def sampled(self) -> View:
        """The view with one pixel for each point that is computed."""
        return self._with_points()

    def _with_points(self) -> View:
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
    light: str | None = None
    """``AZIMUTH,ELEVATION`` of a light, in degrees. None or ``none``: no light."""
    lines: bool = False
    """Draw field lines."""
    trap: str | None = None
    """``point`` or ``cross``: let points glow whose orbits come near 0 or the axes. None, ``none``: none."""

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
        light = Light.of(self.light, self.lines, self.trap)
        return Poster(view, self.palette, self.step, self.smoothness, self.bits, light)


def _parse_complex(text: str) -> tuple[Decimal, Decimal]:
    try:
        real, imaginary = (Decimal(part.strip()) for part in text.split(","))
    except (ValueError, InvalidOperation):
        raise ConfigError(f"julia is {text!r:.60}: it must be two numbers, such as -0.8,0.156") from None
    if not (real.is_finite() and imaginary.is_finite()):
        raise ConfigError(f"julia is {text!r:.60}: it must be two finite numbers")
    return real, imaginary


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
    surface: Surface | None = None
    """What a poster with light shows besides its counts, shape (height, width)."""

    @property
    def map_s(self) -> float:
        """Seconds from the start of the map until all values had arrived."""
        return self.times["map"].wall_s


def render(
    executor: Executor, poster: Poster, tasks: int = TASKS, previewed: Field | None = None
) -> Rendered:
    """Compute the counts of a poster on the workers.

    Args:
        executor: the executor that runs the tasks.
        poster: the poster to render.
        tasks: number of parts of about equal work that the poster is cut into.
        previewed: the ``tiling.preview`` of the poster's ``sampled`` view, where it is known already.

    Raises:
        ConfigError: it would need more memory than a worker, or this machine, has.
    """
    view = poster.sampled
    check_size(executor.backend, poster, tasks)
    start = StepTime.now()
    pieces = tiling.plan(view, tasks, previewed)
    planned = StepTime.now()
    check_size(executor.backend, poster, tasks, perturbation.orbit_bytes(view))
    job = executor.map(render_piece, pieces, chunksize=1, kwargs={"light": poster.light})
    values = job.results()
    mapped = StepTime.now()
    field, surface = join(poster, pieces, values)
    parts = [value.part if isinstance(value, LitPart) else value for value in values]
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
        value_bytes=[value.size_bytes for value in values],
        surface=surface,
    )


def check_size(backend: Backend, poster: Poster, tasks: int, orbit_bytes: int = 0) -> None:
    """Refuse a poster that does not fit into the memory of a worker, or of this machine.

    Args:
        backend: the backend whose workers would render it.
        poster: the poster.
        tasks: number of parts that it is cut into.
        orbit_bytes: memory for the reference orbit of a deep view, which each worker has.

    Raises:
        ConfigError: it does not fit.
    """
    view, lit = poster.sampled, poster.light is not None
    size = f"{view.width:,} x {view.height:,} points"
    part_bytes = view.width * view.height // tasks * (_WORKER_BYTES_PER_POINT + lit * _LIT_BYTES_PER_POINT)
    orbit = f", with an orbit of up to {view.iters:,} positions," if orbit_bytes else ""
    check_memory(backend, part_bytes + orbit_bytes, f"one of {counted(tasks, 'part')} of {size}{orbit}")
    point_bytes = _CLIENT_BYTES_PER_POINT + lit * _LIT_CLIENT_BYTES_PER_POINT
    check_own_memory(view.width * view.height * point_bytes, f"a picture of {size}")


def render_piece(piece: tiling.Piece, light: Light | None = None) -> Part | LitPart:
    """Return the counts of a piece of a poster, and with light what else its points show."""
    return mandelbrot.render(piece) if light is None else render_lit(piece, light)


def join(
    poster: Poster, pieces: Sequence[tiling.Piece], values: Sequence[Part | LitPart]
) -> tuple[Field, Surface | None]:
    """Join the values of all pieces of a poster to the field of its counts and its surface.

    Args:
        poster: the poster.
        pieces: from ``tiling.plan`` for the poster's ``sampled`` view.
        values: what ``render_piece`` returned for each piece.
    """
    parts = [value.part if isinstance(value, LitPart) else value for value in values]
    field = tiling.assemble(poster.sampled, pieces, parts)
    surfaces = [value.surface for value in values if isinstance(value, LitPart)]
    if not surfaces:
        return field, None

    def whole(name: str) -> Any:
        arrays = [getattr(surface, name) for surface in surfaces]
        if arrays[0] is None:
            return None
        joined = np.empty(field.shape, arrays[0].dtype)
        for piece, array in zip(pieces, arrays, strict=True):
            tiling.place(joined, piece, array)
        return joined

    return field, Surface._make(map(whole, Surface._fields))


def picture(
    field: Field, poster: Poster, colours: ColourRange | None = None, surface: Surface | None = None
) -> Picture:
    """Return a field of counts, of a whole poster or of a part of it, as a picture in the poster's colours.

    Each pixel is the mean light of its points (see ``downsample``).

    Args:
        field: counts of points of the poster's ``sampled`` view.
        poster: the poster.
        colours: which counts have which colours. None: that is chosen from the field.
        surface: what else the same points show; necessary for a poster with light.

    Raises:
        ConfigError: the poster has light, and there is no surface.
    """
    if poster.light is not None and surface is None:
        raise ConfigError(
            "the poster has light, for which counts are not enough: give picture the surface that render "
            "returned, or replace(poster, light=None)"
        )
    colours = colours or ColourRange.of(field)
    glow = None if surface is None else glow_of(surface, np.isfinite(field))
    each = poster.smoothness
    height, width = (side // each for side in field.shape)
    pixels = np.empty((height, width, 3), np.uint8 if poster.bits == 8 else np.uint16)
    points = _STRIP_POINTS if poster.light is None else _LIT_STRIP_POINTS
    rows = max(1, points // (width * each * each))
    for top in range(0, height, rows):
        strip = field[wanted := slice(top * each, (top + rows) * each)]
        if poster.view.kind == "newton":
            coloured = colour_of_roots(strip, poster.palette, poster.bits)
        else:
            coloured = colour(strip, poster.palette, poster.step, colours, poster.bits)
        if surface is not None and poster.light is not None:
            lit = (surface.rows(wanted), np.isfinite(strip), poster.light, each, glow)
            coloured = shade(coloured, *lit)
        pixels[top : top + rows] = downsample(coloured, each)
    return Image.fromarray(pixels) if poster.bits == 8 else pixels
