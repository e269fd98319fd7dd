"""A curve as a picture.

A pixel has up to 4 x 4 samples, and its colour is their mean light. A step is a capsule, a line with round
ends: each sample within half of the line's width gets the number of the step's colour. So joints are
round, and no seam shows where lines meet. A capsule looks the same wherever its step begins, so there is
one for each direction, and numpy stamps them by the hundred thousand.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wrenlite.gallery.fractals.colours import BYTE, LIGHT, from_oklab, hues, oklab
from wrenlite.gallery.fractals.lsystems import SYSTEMS, Fractal, compass, headings, points, steps
from wrenlite.gallery.fractals.palettes import PALETTES

INK = (13, 17, 28)
"""The background."""
_MARGIN = 0.06
"""Share of the side that stays empty on each edge."""
_EDGE = 2
"""Pixels that stay empty there at least."""
_SPAN = 0.35
"""How far the hues go along a path, in turns."""
_THICK, _THICKEST, _THIN = 0.3, 0.012, 0.9
"""A line is so much of its step wide, but at most this share of the side, and at least so many pixels."""
_LONGEST = 64
"""Samples of a step: a longer one is drawn in pieces, since its capsule would take longer than it."""
_EVEN = 16
"""A step of more samples than this, before it is cut, is a whole number of them: so corners meet exactly."""
_DARKEST = 0.45
"""Lightness in Oklab: what is darker in a palette is lit up to this, and stands out from the background."""
_SHADES = 255
"""Colours along a path; number 0 is the background."""
_BATCH = 1 << 18
"""Samples that are stamped at once, so that their numbers stay in the cache."""
_BAND = 16
"""Rows of pixels that are mixed at once, for the same reason."""
_BASE = 12_000_000
"""Bytes of batches and the like."""
_BITS = 21
"""Of each band where three are added up in 64: 16 of light, and room for 32 samples."""
_MASK = (1 << _BITS) - 1


@dataclass(frozen=True)
class _Grid:
    """The samples of a picture."""

    size: int
    """Pixels of a side."""
    each: int
    """Samples of a pixel's side."""


def draw(fractal: Fractal) -> bytes:
    """The picture, as PNG: the same bytes for the same fractal."""
    grid = _Grid(fractal.size, supersampling(fractal.size))
    samples = _rasterised(fractal, grid)
    file = io.BytesIO()
    Image.fromarray(_mixed(samples, _colours(fractal), grid)).save(file, "PNG", compress_level=6)
    return file.getvalue()


def memory(fractal: Fractal) -> int:
    """Bytes that drawing takes at most, beside those of Python and its modules.

    The figures are of measured peaks: the samples, and either 29 bytes a step, its place and heading,
    and the capsules, or later two copies of the picture. Known without drawing anything.
    """
    side = fractal.size * supersampling(fractal.size)
    system = SYSTEMS[fractal.name]
    width = (fractal.width or _THICKEST * fractal.size) * side / fractal.size
    stamps = 20 * system.directions * math.ceil(width * (width + _LONGEST))
    walk = 29 * steps(system, fractal.iterations) + stamps
    return side**2 + max(walk, 7 * fractal.size**2) + _BASE


def supersampling(size: int) -> int:
    """Samples of a pixel's side: fewer in large pictures, whose samples would take gigabytes."""
    return max(2, min(4, 12288 // size))


def _colours(fractal: Fractal) -> NDArray[np.uint8]:
    """The background and the colours along the path, shape (256, 3)."""
    if fractal.palette is None:
        along = hues(fractal.hue, _SPAN, _SHADES)
    else:
        lab = oklab(PALETTES[fractal.palette].at(np.linspace(0.0, 1.0, _SHADES)))
        lab[:, 0] = np.maximum(lab[:, 0], _DARKEST)
        along = from_oklab(lab)
    return np.concatenate([np.array([INK], np.uint8), along])


def _rasterised(fractal: Fractal, grid: _Grid) -> NDArray[np.uint8]:
    """The number of each sample's colour, shape (each * size, each * size)."""
    side = grid.each * grid.size
    heading, starts, step, width = _placed(fractal, grid)
    stamps = _stamps(compass(SYSTEMS[fractal.name]) * step, width / 2, side)
    samples = np.zeros(side * side, np.uint8)
    batch = max(1, _BATCH // stamps.shape[1])
    for first in range(0, len(heading), batch):
        part = slice(first, first + batch)
        column, row = starts[:, part].astype(np.int64)
        targets = stamps[heading[part]]
        targets += (row * side + column)[:, np.newaxis]
        number = 1 + np.arange(first, first + len(row)) * _SHADES // len(heading)
        samples[targets] = number.astype(np.uint8)[:, np.newaxis]
    return samples.reshape(side, side)


def _placed(fractal: Fractal, grid: _Grid) -> tuple[NDArray[np.int16], NDArray[np.float64], float, float]:
    """The curve in the middle of the picture, its long steps cut into short ones.

    Returns:
        the direction of each step, and where it begins, shape (2, steps); the length of a step, and the
        line's width, all in samples.
    """
    system = SYSTEMS[fractal.name]
    heading = headings(system, fractal.iterations) % system.directions
    corners = points(system, heading)
    extent = float(np.ptp(corners, axis=1).max())
    room = fractal.size - 2 * max(_MARGIN * fractal.size, _EDGE)
    width = fractal.width or max(min(_THICK * room / extent, _THICKEST * fractal.size), _THIN)
    step = (room - width) / extent * grid.each
    if step >= _EVEN:
        step = float(math.floor(step))
    pieces = max(math.ceil(step / _LONGEST), math.ceil(_SHADES / len(heading)))
    step /= pieces
    if pieces > 1:
        heading = np.repeat(heading, pieces)
        corners = points(system, heading)
    corners -= ((corners.min(axis=1) + corners.max(axis=1)) / 2)[:, np.newaxis]
    corners *= step
    corners += fractal.size * grid.each / 2 + 1e-6  # else what should be a whole number may be just below
    # Round ends so far apart are scalloped by an eighth of a sample, so a wide line can leave steps out.
    every = max(1, int(math.sqrt(width * grid.each) / step))
    return heading[::every], corners[:, :-1:every], step, width * grid.each


def _stamps(arrows: NDArray[np.float64], radius: float, side: int) -> NDArray[np.int64]:
    """How much further on than the start of a step its samples lie.

    Args:
        arrows: a step in each direction, shape (directions, 2), in samples.
        radius: half of the line's width, in samples.
        side: samples of the picture's side.

    Returns:
        a row for each direction; the shorter rows repeat their last sample.
    """
    rows = [across + down * side for across, down in (_capsule(arrow, radius) for arrow in arrows)]
    longest = max(map(len, rows))
    return np.stack([np.pad(row, (0, longest - len(row)), mode="edge") for row in rows])


def _capsule(arrow: NDArray[np.float64], radius: float) -> NDArray[np.int64]:
    """The samples no further than the radius from the arrow, x and y from its start: shape (2, count)."""
    reach = int(np.ceil(np.abs(arrow).max() + radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    share = np.clip((x * arrow[0] + y * arrow[1]) / (arrow @ arrow), 0.0, 1.0)
    near = (x - share * arrow[0]) ** 2 + (y - share * arrow[1]) ** 2 <= max(radius, 0.5) ** 2
    return np.array([x[near], y[near]])


def _mixed(samples: NDArray[np.uint8], colours: NDArray[np.uint8], grid: _Grid) -> NDArray[np.uint8]:
    """The mean light of each pixel's samples, shape (size, size, 3)."""
    light = LIGHT[colours].astype(np.uint64)
    packed = light[:, 0] << 2 * _BITS | light[:, 1] << _BITS | light[:, 2]
    picture = np.full((grid.size, grid.size, 3), INK, np.uint8)
    count = grid.each**2
    for top in range(0, grid.size, _BAND):
        band = samples[top * grid.each : (top + _BAND) * grid.each]
        apart = band.reshape(-1, grid.each, grid.size, grid.each).transpose(1, 3, 0, 2).reshape(count, -1)
        drawn = np.flatnonzero(apart.any(axis=0))
        total = packed[apart[:, drawn]].sum(axis=0)
        bands = [total >> 2 * _BITS, total >> _BITS & _MASK, total & _MASK]
        picture[top : top + _BAND].reshape(-1, 3)[drawn] = BYTE[(np.stack(bands, 1) + count // 2) // count]
    return picture
