"""Videos of the Mandelbrot set and of Julia sets: a zoom, and a morph from one Julia set to the next.

Workers compute the counts, a picture per task; this process adds the colours, makes the frames and encodes
them, while workers compute the next pictures.
"""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wrenlite.backends.local import cpu_count
from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.gallery.fractals import mandelbrot, tiling
from wrenlite.gallery.fractals.colour_range import ColourRange
from wrenlite.gallery.fractals.encoder import check_video_file, write_video
from wrenlite.gallery.fractals.encoding import Encoded, Field, decode, encode
from wrenlite.gallery.fractals.palettes import colour
from wrenlite.gallery.fractals.poster import Poster, picture
from wrenlite.gallery.fractals.view import Number, Tile, View, zoom
from wrenlite.gallery.fractals.zoom_frames import Keyframe, frame
from wrenlite.gallery.preflight import check_memory, check_own_memory
from wrenlite.job import Job

Rgb = NDArray[np.uint8]

_MOST_SIDE, _MOST_FRAMES = 4096, 36_000
_LARGEST_RATIO = 2.0
"""How much wider than the next one a keyframe may be: with two points per pixel, every pixel has one."""
_STRIP_ROWS = 64
"""Rows of a Julia set that are iterated together."""
_WORKER_BYTES_PER_POINT = 40
"""A worker holds the counts of a whole picture, their pickle, the reply, and the points of some tiles."""
_OWN_BYTES_PER_POINT = 64
"""This process holds the light of two keyframes, the counts and colours of the next, and codes of others."""
_AHEAD = 2
"""Pictures per slot that are computed before their frames are encoded."""
_SMALL_POINTS, _MOST_SMALL = 160 * 90, 100
"""About the number of points of the pictures from which the colours are chosen, and the most pictures."""
_PREVIEW_WIDTH, _PREVIEW_FRAMES, _PREVIEW_SECONDS = 640, 32, 4
"""The animation that a notebook shows: width of its frames in pixels, their number, and how long it is."""
_PREVIEW_QUALITIES = ((60, 1), (40, 1), (40, 2), (20, 2), (20, 3), (20, 4))
"""Qualities of an animation, and of how many frames one is shown, from the best to the smallest."""


class Clip(Protocol):
    """What a video shows."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame in pixels."""

    @property
    def fps(self) -> int:
        """Frames per second."""

    @property
    def count(self) -> int:
        """Number of frames."""

    @property
    def views(self) -> list[View]:
        """The pictures that are computed, one per task, in the order in which the frames need them."""

    def frames(self, fields: Iterable[Field], colours: ColourRange) -> Iterator[Rgb]:
        """Make the frames from the counts of all views, read one after the other."""


@dataclass(frozen=True)
class _Timed:
    poster: Poster
    seconds: float
    fps: int

    def __post_init__(self) -> None:
        if not self.seconds > 0 or not 1 <= self.fps <= 120:
            raise ConfigError(
                f"seconds is {self.seconds} and fps is {self.fps}: a video needs more than 0 seconds, and 1 "
                "to 120 frames per second"
            )
        if not 1 < self.seconds * self.fps <= _MOST_FRAMES:
            raise ConfigError(
                f"{self.seconds:g} seconds at {self.fps} frames per second: a video has 2 to "
                f"{_MOST_FRAMES:,} frames"
            )
        if self.poster.bits != 8 or self.poster.view.kind == "newton":
            raise ConfigError("a video has 8 bits per colour, and shows sets that are coloured by counts")
        if self.poster.light is not None:
            raise ConfigError("a video has no light, lines or trap: leave them out")
        if max(self.size) > _MOST_SIDE:
            width, height = self.size
            raise ConfigError(
                f"the frames are {width:,} x {height:,} pixels: a side has at most {_MOST_SIDE:,}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame in pixels."""
        return self.poster.view.width, self.poster.view.height

    @property
    def count(self) -> int:
        """Number of frames."""
        return max(2, round(self.seconds * self.fps))


@dataclass(frozen=True)
class Zoom(_Timed):
    """A zoom into a poster: each frame is narrower than the one before by the same factor.

    Only keyframes are computed, each at most twice as wide as the next; ``zoom_frames`` makes the others.

    Raises:
        ConfigError: one of the fields has a value that cannot be drawn, such as a ``start`` that is not wider
            than the view.
    """

    start: Number = "4"
    """Width of the first frame in the plane."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self._doublings > 0:
            raise ConfigError(
                f"start is {self.start} and radius is {self.poster.view.radius}: a zoom begins wider than it "
                "ends"
            )

    @property
    def _doublings(self) -> float:
        try:
            wide = replace(self.poster.view, radius=self.start)
        except ConfigError as error:
            raise ConfigError(str(error).replace("radius", "start", 1)) from None
        return math.log2(float(wide.radius)) - math.log2(float(self.poster.view.radius))

    @property
    def _intervals(self) -> int:
        return math.ceil(self._doublings / math.log2(_LARGEST_RATIO))

    @property
    def views(self) -> list[View]:
        """The keyframes, from the widest to the narrowest."""
        return zoom(self.poster.sampled, self.start, self._intervals + 1)

    def frames(self, fields: Iterable[Field], colours: ColourRange) -> Iterator[Rgb]:
        """Make the frames from the counts of the keyframes."""
        ratio = 2 ** (self._doublings / self._intervals)
        positions = [number * self._intervals / (self.count - 1) for number in range(self.count)]
        drawn = (self._keyframe(field, colours) for field in fields)
        keyframes = itertools.pairwise(itertools.chain(drawn, [None]))
        at_once = cpu_count()
        with ThreadPoolExecutor(at_once) as threads:
            for number, (wide, narrow) in enumerate(keyframes):
                assert wide is not None
                between = partial(frame, wide, narrow, ratio=ratio)
                parts = [position - number for position in positions if number <= position < number + 1]
                for begin in range(0, len(parts), at_once):
                    yield from threads.map(between, parts[begin : begin + at_once])

    def _keyframe(self, field: Field, colours: ColourRange) -> Keyframe:
        poster = self.poster
        return Keyframe(colour(field, poster.palette, poster.step, colours), poster.smoothness)


@dataclass(frozen=True)
class Morph(_Timed):
    """A walk through Julia sets, whose numbers are on a closed path outside the Mandelbrot set.

    The path is the main cardioid of the Mandelbrot set, c = w/2 - w²/4 with ``|w| = 1``, times ``scale``. The
    last frame leads to the first.

    Raises:
        ConfigError: one of the fields has a value that cannot be drawn.
    """

    scale: float = 1.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.scale <= 2:
            raise ConfigError(f"scale is {self.scale}: it must be 0 to 2 times the size of the cardioid")

    @property
    def views(self) -> list[View]:
        """A Julia set for each frame."""
        turns = np.exp(2j * np.pi * np.arange(self.count) / self.count)
        seeds = self.scale * (turns / 2 - turns**2 / 4)
        return [replace(self.poster.sampled, seed=complex(seed)) for seed in seeds]

    def frames(self, fields: Iterable[Field], colours: ColourRange) -> Iterator[Rgb]:
        """Colour the counts of each frame."""
        return (np.asarray(picture(field, self.poster, colours)) for field in fields)


@dataclass(frozen=True)
class Video:
    """A video that was written. As the last line of a cell it shows some frames, and a link to the file."""

    path: Path
    size: tuple[int, int]
    frames: int
    fps: int
    size_bytes: int
    preview: bytes
    """An animation as WebP."""
    jobs: tuple[Job[Any], ...]
    """The job that computed small pictures, from which the colours were chosen, and that of the pictures."""

    def __repr__(self) -> str:
        return f"<Video {self.path}: {self.facts}>"

    @property
    def facts(self) -> str:
        """Its size in pixels, its length and its bytes."""
        width, height = self.size
        return (
            f"{width} x {height}, {self.frames / self.fps:.1f} s at {self.fps} frames per second, "
            f"{self.size_bytes / 1e6:.1f} MB"
        )

    def _repr_html_(self) -> str:
        animation = base64.b64encode(self.preview).decode()
        link = f'<a href="{quote(self.path.as_posix())}" target="_blank">{escape(self.path.name)}</a>'
        return (
            f'<img src="data:image/webp;base64,{animation}" alt="some frames of {escape(self.path.name)}">'
            f"<div>{link} · {self.facts}</div>"
        )


def record(
    executor: Executor,
    clip: Clip,
    path: Path | str,
    report: Callable[[int], None] | None = None,
    preview_bytes: int = 2_000_000,
) -> Video:
    """Write a video to a file.

    Args:
        executor: the executor that computes the pictures, one per task.
        clip: a ``Zoom`` or a ``Morph``.
        path: the file: ``.mp4`` or ``.webm``.
        report: called after each frame with the number of frames so far. None: the job shows its progress.
        preview_bytes: the most bytes of the animation that a notebook shows.

    Raises:
        ConfigError: the file or the frames cannot be a video, or a task needs more memory than a worker has.
        PackageMissing: PyAV is not installed.
        StoreError: the file cannot be written.
    """
    path = Path(path)
    check_video_file(path, *clip.size)
    views = clip.views
    points = views[0].width * views[0].height
    what = f"a picture of {views[0].width:,} x {views[0].height:,} points"
    check_memory(executor.backend, points * _WORKER_BYTES_PER_POINT, what)
    check_own_memory(points * _OWN_BYTES_PER_POINT, f"a video from pictures of {points:,} points")
    progress = None if report is None else False
    previews = executor.map(encoded_counts, small_views(views), progress=progress)
    colours = ColourRange.of(*map(decode, previews.values()))
    fields = executor.map(
        encoded_counts,
        views,
        chunksize=1,
        buffersize=_AHEAD * executor.backend.invoker.slots,
        progress=progress,
    )
    preview = _Preview(clip.count)
    shown = _reported(preview.watched(clip.frames(map(decode, fields), colours)), report)
    try:
        size = write_video(shown, path, clip.size, clip.fps)
    finally:
        fields.close()
    return Video(
        path, clip.size, clip.count, clip.fps, size, preview.encoded(preview_bytes), (previews, fields.job)
    )


def small_views(views: Sequence[View]) -> list[View]:
    """Return some of the views with few points, which show which counts there are."""
    every = -(-len(views) // _MOST_SMALL)
    sides = views[0].width, views[0].height
    scale = min(1.0, math.sqrt(_SMALL_POINTS / math.prod(sides)))
    width, height = (max(1, round(scale * side)) for side in sides)
    return [replace(view, width=width, height=height) for view in views[::every]]


def encoded_counts(view: View) -> Encoded:
    """Return the counts of a whole view in 16 bits."""
    return encode(field_of(view))


def field_of(view: View) -> Field:
    """Return the counts of a whole view, shape (height, width).

    The picture of a Julia set around 0 does not change when it is turned by half a turn, so that only its
    upper half is computed.
    """
    field = np.empty((view.height, view.width), np.float32)
    turned = view.seed is not None and view.kind == "mandelbrot" and not view.xpos and not view.ypos
    for tile in _upper_half(view) if turned else itertools.chain(*tiling.plan(view, 1)):
        field[tile.rows, tile.columns] = mandelbrot.counts(tile)
    if turned:
        lower = view.height // 2
        field[view.height - lower :] = field[:lower][::-1, ::-1]
    return field


def _upper_half(view: View) -> list[Tile]:
    rows = (view.height + 1) // 2
    return [
        Tile(view, 0, top, view.width, min(_STRIP_ROWS, rows - top)) for top in range(0, rows, _STRIP_ROWS)
    ]


class _Preview:
    """Some frames of a video, evenly spaced, as an animation."""

    def __init__(self, count: int) -> None:
        self._chosen = {round(number) for number in np.linspace(0, count - 1, _PREVIEW_FRAMES)}
        self._pictures: list[Image.Image] = []

    def watched(self, frames: Iterable[Rgb]) -> Iterator[Rgb]:
        """Keep the frames that are shown while frames are handed on."""
        for number, rgb in enumerate(frames):
            if number in self._chosen:
                image = Image.fromarray(rgb)
                image.thumbnail((_PREVIEW_WIDTH, 2 * _PREVIEW_WIDTH))
                self._pictures.append(image)
            yield rgb

    def encoded(self, most_bytes: int) -> bytes:
        """Return the animation, with the best quality that is not too large."""
        for quality, every in _PREVIEW_QUALITIES:
            file = io.BytesIO()
            first, *others = shown = self._pictures[::every]
            duration = 1000 * _PREVIEW_SECONDS // len(shown)
            first.save(
                file, "WEBP", save_all=True, append_images=others, duration=duration, loop=0, quality=quality
            )
            if file.tell() <= most_bytes:
                break
        return file.getvalue()


def _reported(frames: Iterable[Rgb], report: Callable[[int], None] | None) -> Iterator[Rgb]:
    for number, rgb in enumerate(frames, 1):
        yield rgb
        if report is not None:
            report(number)
