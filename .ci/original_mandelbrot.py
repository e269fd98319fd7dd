"""A model of the original Mandelbrot program, gobrot, for the docs; it is no part of the package.

It follows the formulas of https://github.com/esimov/gobrot as they are, with their faults: see decision 34.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wrenlite.gallery.fractals.palettes import PALETTES

Floats = NDArray[np.float64]

_ROWS = 32
"""Rows that are iterated together, so that they stay in the cache."""


@dataclass(frozen=True)
class Original:
    """A picture of the original program. Fields and defaults are its options."""

    palette: str = "Hippi"
    xpos: float = -0.00275
    ypos: float = 0.78912
    radius: float = 0.125689
    iteration: int = 800
    step: float = 6000
    smoothness: int = 8
    width: int = 1024
    height: int = 768

    def drawn(self, width: int, points: int) -> NDArray[np.uint8]:
        """Return the picture as a screen shows it, scaled down: shape (height, width, 3).

        Transparent pixels are black.

        Args:
            width: pixels per row; the original has ``self.width * self.smoothness``.
            points: pixels of the original, each way, whose mean is a pixel.
        """
        columns, rows = self.width * self.smoothness, self.height * self.smoothness
        height = round(width * rows / columns)
        across = ((np.arange(width * points) + 0.5) * columns / (width * points)).astype(int)
        down = ((np.arange(height * points) + 0.5) * rows / (height * points)).astype(int)
        ratio = rows / columns
        x = self._between(self.xpos, self.radius, across / (columns - 1))
        y = self._between(self.ypos, self.radius * ratio, down / (columns - 1))
        colours = self._colours()
        strips = [self._rows(x, y[top : top + _ROWS], colours) for top in range(0, len(y), _ROWS)]
        pixels = np.concatenate(strips)
        return pixels.reshape(height, points, width, points, 3).mean(axis=(1, 3)).round().astype(np.uint8)

    def _between(self, centre: float, width: float, place: Floats) -> Floats:
        least, most = centre - width / 2, abs(centre + width / 2)
        return least + (most - least) * place

    def _rows(self, x: Floats, y: Floats, colours: NDArray[np.uint32]) -> NDArray[np.uint8]:
        norm, steps = escape(*(each.ravel() for each in np.meshgrid(x, y)), self.iteration)
        position = (self.iteration - steps) + np.log(np.maximum(norm, np.finfo(float).tiny))
        index = np.abs(position).astype(np.int64)
        seen = index < len(colours) - 1
        first, second = (colours[np.where(seen, index, 0) + after] for after in (0, 1))
        weight = position.astype(np.int64).astype(np.uint32)  # a whole number, where a share of 1 is meant
        mixed = np.where(seen, first * (np.uint32(1) - weight) + second * weight, np.uint32(0))
        return channels(mixed).reshape(len(y), len(x), 3)

    def _colours(self) -> NDArray[np.uint32]:
        """Return the colours of the palette: about ``step``, interpolated as packed numbers."""
        palette = PALETTES[self.palette]
        stops, places = packed(np.array(palette.stops)).astype(float), np.array(palette.positions)
        if np.ptp(np.diff(places)) < 1e-9:  # evenly spaced: the original numbers them in hundredths
            places = np.floor(np.arange(1, len(stops) + 1) / len(stops) * 100) / 100
            places[0] = 0
        wanted = np.arange(0, 1, 1 / max(self.step, self.iteration))
        begin = np.searchsorted(places, wanted, side="right") - 1
        share = (wanted - places[begin]) / (places[begin + 1] - places[begin])
        share = (1 - np.cos(share * math.pi)) / 2
        mixed = stops[begin + 1] * (1 - share) + stops[begin] * share
        return packed(channels(mixed.astype(np.uint32)))


def packed(colours: NDArray[np.integer]) -> NDArray[np.uint32]:
    """Return colours, shape (…, 3), as numbers of 32 bits.

    Go widens a channel to 16 bits, and the original divides by 255, where 257 would give it back. So channels
    from 128 are one too high, and one of 255, as also the opacity, spills into the next.
    """
    red, green, blue = np.moveaxis(colours.astype(np.uint32) * 257 // 255, -1, 0)
    return np.asarray(red << 24 | green << 16 | blue << 8 | 257)


def channels(numbers: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return red, green and blue of packed colours, shape (…, 3)."""
    return np.stack([(numbers >> shift) & 0xFF for shift in (24, 16, 8)], axis=-1).astype(np.uint8)


def escape(x: Floats, y: Floats, limit: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return |z|² beyond 4 and the iterations until then; for points inside, half of |z|² and the limit."""
    norm, steps = np.zeros(x.size), np.full(x.size, limit)
    left, zx, zy = np.arange(x.size), np.zeros(x.size), np.zeros(x.size)
    for step in range(limit):
        xx, yy, xy = zx * zx, zy * zy, zx * zy
        size = xx + yy
        stays = size <= 4
        if not stays.all():
            norm[left[~stays]], steps[left[~stays]] = size[~stays], step
            left, x, y, xx, yy, xy = (each[stays] for each in (left, x, y, xx, yy, xy))
        zx, zy = xx - yy + x, 2 * xy + y
        if not left.size:
            break
    norm[left] = (zx * zx + zy * zy) / 2
    return norm, steps
