"""Drawing an L-system curve as a picture.

A pixel has up to 4 x 4 samples, and its colour is their mean light. A step of the curve is drawn as a
capsule, which is a line with round ends: each sample within half of the line's width of the step gets the
number of the step's colour. So joints are round, and no seam shows where lines meet. A capsule looks the same
wherever its step begins. So one stamp per direction is enough: the list of the samples that the capsule
covers. numpy applies the stamps to hundreds of thousands of steps at a time.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wrenlite.gallery.fractals.colours import BYTE, LIGHT, from_oklab, hues, oklab
from wrenlite.gallery.fractals.lsystems import SYSTEMS, Fractal, compass, headings, points, steps
from wrenlite.gallery.fractals.palettes import PALETTES

BACKGROUND = (13, 17, 28)
"""Colour of the background."""
_MARGIN, _MIN_MARGIN = 0.06, 2
"""Empty border at each edge: this fraction of the side, but at least this number of pixels."""
_HUE_SPAN = 0.35
"""Part of the colour circle that the hues along a path cover, in turns."""
_LINE_OF_STEP, _MAX_LINE_OF_SIDE, _MIN_LINE = 0.3, 0.012, 0.9
"""Width of a line: this fraction of its step, but at most this fraction of the side, and at least this number
of pixels."""
_MAX_STEP = 64
"""Samples. A longer step is cut into pieces, since building its capsule would take longer than drawing it."""
_WHOLE_STEP = 16
"""Samples. A longer step, before it is cut, is rounded down to a whole number, so that corners meet
exactly."""
_MIN_LIGHTNESS = 0.45
"""Lightness in Oklab. Darker colours of a palette are raised to it, to stand out from the background."""
_CROWDED_DISTANCE = 2.25
"""Pixels. Lines that are closer than this run together: a line and a gap need a pixel each, and a little more
where they are not placed on whole pixels."""
_CROWDED_SHARE = 0.5
"""A curve is crowded if more than this share of it has lines that close on all sides."""
_SHADES = 255
"""Number of colours along a path. Number 0 is the background."""
_BATCH_SAMPLES = 1 << 18
"""Samples that are stamped at a time, so that their indices stay in the cache."""
_STRIP_ROWS = 16
"""Rows of pixels whose samples are averaged at a time, for the same reason."""
_BASE_BYTES = 12_000_000
"""Memory of batches and other small arrays."""
_BITS = 21
"""Bits per colour band where three bands are added in one 64-bit number: 16 for light, and room for the sum
of 32 samples."""
_MASK = (1 << _BITS) - 1


@dataclass(frozen=True)
class _Grid:
    """The samples of a square picture."""

    size: int
    """Pixels of a side of the picture."""
    samples: int
    """Samples of a side of a pixel."""


def draw(fractal: Fractal) -> bytes:
    """Draw a fractal, and return the picture as PNG. The same fractal gives the same bytes."""
    grid = _Grid(fractal.size, supersampling(fractal.size))
    numbers = _rasterise(fractal, grid)
    file = io.BytesIO()
    Image.fromarray(_average(numbers, _colours(fractal), grid)).save(file, "PNG", compress_level=6)
    return file.getvalue()


def visible(fractal: Fractal) -> Fractal:
    """Return a fractal with the most iterations, up to its own, at which its lines are seen apart.

    A curve that fills the plane, such as Hilbert's, becomes a patch of one colour when its lines are closer
    than the pixels can show. The outline of a snowflake does not, however short its steps are. A fractal
    whose line has a given width is returned as it is.
    """
    if fractal.width is not None:
        return fractal
    system = SYSTEMS[fractal.name]
    possible = [count for count in range(fractal.iterations + 1) if steps(system, count)]
    fewer = (replace(fractal, iterations=count) for count in reversed(possible))
    return next((each for each in fewer if not _crowded(each)), replace(fractal, iterations=possible[0]))


def _crowded(fractal: Fractal) -> bool:
    """Return whether most of a curve has other parts of it within ``_CROWDED_DISTANCE`` on all sides.

    The picture is divided into boxes of that size. A part of the curve is crowded if the curve also passes
    through all eight neighbours of its box.
    """
    system = SYSTEMS[fractal.name]
    corners = points(system, headings(system, fractal.iterations))
    corners -= corners.min(axis=1)[:, np.newaxis]
    boxes_per_step = _inner(fractal.size) / float(corners.max()) / _CROWDED_DISTANCE
    if boxes_per_step > 1:
        return False
    corners *= boxes_per_step
    columns, rows = corners.astype(np.int32)
    taken = np.zeros((rows.max() + 1, columns.max() + 1), np.bool_)
    taken[rows, columns] = True
    across = taken[:, :-2] & taken[:, 1:-1] & taken[:, 2:]
    crowded = across[:-2] & across[1:-1] & across[2:]
    return bool(crowded.sum() > _CROWDED_SHARE * taken.sum())


def _inner(size: int) -> float:
    """Return the pixels of a picture's side between its margins."""
    return size - 2 * max(_MARGIN * size, _MIN_MARGIN)


def peak_bytes(fractal: Fractal) -> int:
    """Estimate the peak memory of drawing a fractal, without Python and its modules. Nothing is drawn for it.

    The constants were fitted to measured peaks. The memory has two parts: the samples, and the larger of two
    terms. The first term is 29 bytes per step (position and heading) and the stamps; the second is two copies
    of the picture, which exist later.
    """
    side = fractal.size * supersampling(fractal.size)
    system = SYSTEMS[fractal.name]
    width = (fractal.width or _MAX_LINE_OF_SIDE * fractal.size) * side / fractal.size
    stamps = 20 * system.directions * math.ceil(width * (width + _MAX_STEP))
    path = 29 * steps(system, fractal.iterations) + stamps
    return side**2 + max(path, 7 * fractal.size**2) + _BASE_BYTES


def supersampling(size: int) -> int:
    """Return the samples of a pixel's side: fewer in large pictures, whose samples would take gigabytes."""
    return max(2, min(4, 12288 // size))


def _colours(fractal: Fractal) -> NDArray[np.uint8]:
    """Return the background and the colours along the path, shape (256, 3)."""
    if fractal.palette is None:
        along = hues(fractal.hue, _HUE_SPAN, _SHADES)
    else:
        lab = oklab(PALETTES[fractal.palette].at(np.linspace(0.0, 1.0, _SHADES)))
        lab[:, 0] = np.maximum(lab[:, 0], _MIN_LIGHTNESS)
        along = from_oklab(lab)
    return np.concatenate([np.array([BACKGROUND], np.uint8), along])


def _rasterise(fractal: Fractal, grid: _Grid) -> NDArray[np.uint8]:
    """Return the colour number of each sample, shape (samples * size, samples * size)."""
    side = grid.samples * grid.size
    heading, starts, step, width = _place(fractal, grid)
    stamps = _stamps(compass(SYSTEMS[fractal.name]) * step, width / 2, side)
    numbers = np.zeros(side * side, np.uint8)
    batch = max(1, _BATCH_SAMPLES // stamps.shape[1])
    for first in range(0, len(heading), batch):
        part = slice(first, first + batch)
        column, row = starts[:, part].astype(np.int64)
        targets = stamps[heading[part]]
        targets += (row * side + column)[:, np.newaxis]
        number = 1 + np.arange(first, first + len(row)) * _SHADES // len(heading)
        numbers[targets] = number.astype(np.uint8)[:, np.newaxis]
    return numbers.reshape(side, side)


def _place(fractal: Fractal, grid: _Grid) -> tuple[NDArray[np.int16], NDArray[np.float64], float, float]:
    """Centre the curve in the picture, and cut long steps into short ones.

    Returns:
        The direction of each step; where each step begins, shape (2, steps); the length of a step; and the
        width of the line. Positions, length and width are in samples.
    """
    system = SYSTEMS[fractal.name]
    heading = headings(system, fractal.iterations) % system.directions
    corners = points(system, heading)
    extent = float(np.ptp(corners, axis=1).max())
    inner = _inner(fractal.size)
    width = fractal.width or max(
        min(_LINE_OF_STEP * inner / extent, _MAX_LINE_OF_SIDE * fractal.size), _MIN_LINE
    )
    step = (inner - width) / extent * grid.samples
    if step >= _WHOLE_STEP:
        step = float(math.floor(step))
    pieces = max(math.ceil(step / _MAX_STEP), math.ceil(_SHADES / len(heading)))
    step /= pieces
    if pieces > 1:
        heading = np.repeat(heading, pieces)
        corners = points(system, heading)
    corners -= ((corners.min(axis=1) + corners.max(axis=1)) / 2)[:, np.newaxis]
    corners *= step
    # The small offset corrects values that should be whole numbers and are just below because of rounding.
    corners += fractal.size * grid.samples / 2 + 1e-6
    # Round ends at this distance leave the line's edge uneven by only an eighth of a sample, so the steps
    # of a wide line are not all needed.
    every = max(1, int(math.sqrt(width * grid.samples) / step))
    return heading[::every], corners[:, :-1:every], step, width * grid.samples


def _stamps(arrows: NDArray[np.float64], radius: float, side: int) -> NDArray[np.int64]:
    """Return, for each direction, the flat offsets from the start of a step to the samples that it covers.

    Args:
        arrows: a step in each direction, shape (directions, 2), in samples.
        radius: half of the line's width, in samples.
        side: samples of a side of the picture.

    Returns:
        One row per direction. Shorter rows are filled up with their last offset.
    """
    rows = [across + down * side for across, down in (_capsule(arrow, radius) for arrow in arrows)]
    longest = max(map(len, rows))
    return np.stack([np.pad(row, (0, longest - len(row)), mode="edge") for row in rows])


def _capsule(arrow: NDArray[np.float64], radius: float) -> NDArray[np.int64]:
    """Return the samples within a radius of an arrow, as x and y from its start: shape (2, count)."""
    reach = int(np.ceil(np.abs(arrow).max() + radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = np.clip((x * arrow[0] + y * arrow[1]) / (arrow @ arrow), 0.0, 1.0)
    covered = (x - along * arrow[0]) ** 2 + (y - along * arrow[1]) ** 2 <= max(radius, 0.5) ** 2
    return np.array([x[covered], y[covered]])


def _average(numbers: NDArray[np.uint8], colours: NDArray[np.uint8], grid: _Grid) -> NDArray[np.uint8]:
    """Return the mean light of the samples of each pixel, shape (size, size, 3).

    Args:
        numbers: the colour number of each sample.
        colours: the colour of each number.
        grid: the samples of the picture.
    """
    light = LIGHT[colours].astype(np.uint64)
    packed = light[:, 0] << 2 * _BITS | light[:, 1] << _BITS | light[:, 2]
    picture = np.full((grid.size, grid.size, 3), BACKGROUND, np.uint8)
    each, count = grid.samples, grid.samples**2
    for top in range(0, grid.size, _STRIP_ROWS):
        strip = numbers[top * each : (top + _STRIP_ROWS) * each]
        by_sample = strip.reshape(-1, each, grid.size, each).transpose(1, 3, 0, 2).reshape(count, -1)
        drawn = np.flatnonzero(by_sample.any(axis=0))
        total = packed[by_sample[:, drawn]].sum(axis=0)
        bands = [total >> 2 * _BITS, total >> _BITS & _MASK, total & _MASK]
        mean = (np.stack(bands, 1) + count // 2) // count
        picture[top : top + _STRIP_ROWS].reshape(-1, 3)[drawn] = BYTE[mean]
    return picture
