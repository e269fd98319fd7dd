"""Palettes, and a field of counts in their colours.

The stops are those of the original Go program, https://github.com/esimov/gobrot; Plan9 is the colour
map of that system, https://9fans.github.io/plan9port/man/man7/color.html. Between two stops the colours
go straight through Oklab, so they stay even, and no grey lies between two hues.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.colours import from_oklab, known, oklab
from wrenlite.gallery.fractals.view import INSIDE, iterations

DEFAULT = "Hippi"
_RUNS = 1.15
"""Runs through a palette each time that the count doubles, where no step is given."""
_CROWDED = 24
"""Stops from which on the runs are the longer, the more there are: Plan9 would flicker."""
_OFFSET = 8
"""Iterations below which the runs are no shorter: the first few are wide bands far from the set."""


@dataclass(frozen=True)
class Palette:
    """Colours on the way from 0 to 1."""

    stops: tuple[tuple[int, int, int], ...]
    """Red, green and blue, 0 to 255."""
    places: tuple[float, ...]
    """Where each stop is; rising from 0 to 1."""

    @property
    def closed(self) -> bool:
        """Whether the end is the beginning."""
        return self.stops[0] == self.stops[-1]

    def at(self, place: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Colours at places from 0 to 1: shape (…, 3)."""
        lab = oklab(self.stops)
        bands = [np.interp(place, self.places, lab[:, band]) for band in range(3)]
        return from_oklab(np.stack(bands, axis=-1))

    def endless(self, place: NDArray[np.float64]) -> NDArray[np.uint8]:
        """The same for any places: a closed palette begins again, another one comes back as it went."""
        return self.at(place % 1.0 if self.closed else 1.0 - np.abs(place % 2.0 - 1.0))


def _palette(colours: str, places: tuple[float, ...] | None = None) -> Palette:
    """Of hexadecimal colours; evenly spaced unless places are given."""
    stops = [tuple(bytes.fromhex(colour)) for colour in colours.split()]
    even = tuple(number / (len(stops) - 1) for number in range(len(stops)))
    return Palette(tuple((red, green, blue) for red, green, blue in stops), places or even)


def _plan9() -> Palette:
    """Four levels of each band, each in four shades; equal bands go up in 16 greys, 17 apart.

    The 16 colours of red ``r`` and shade ``v`` are one row; they begin ``v - r`` places further on, so
    that number and complement are complementary colours.
    """
    stops = [(0, 0, 0)] * 256
    for red, shade, green, blue in itertools.product(range(4), repeat=4):
        most = max(red, green, blue)
        unit = 17 * (4 * most + shade)
        colour = [band * unit // most if most else unit for band in (red, green, blue)]
        column = (4 * green + blue + shade - red) % 16
        stops[64 * red + 16 * shade + column] = (colour[0], colour[1], colour[2])
    return Palette(tuple(stops), tuple(number / 255 for number in range(256)))


PALETTES = {
    "AfternoonBlue": _palette("93d2ca 6c98b8 386885 174f72 082a4f", (0.0, 0.2, 0.5, 0.8, 1.0)),
    "SummerBeach": _palette("fff094 ffb72d ff8d00 2d69ae 1e2c60", (0.0, 0.3, 0.6, 0.8, 1.0)),
    "Biochemist": _palette("519925 50a61c 4bb80b 4dcd00 53df00"),
    "Fiesta": _palette("0367a6 04adbf 93a603 e5ce1b c83f2a"),
    "Hippi": _palette(
        "00040f 032628 073e1e 185508 5f6e0f 845019 9b3022 b4922f"
        " 94ca3d 4fd551 66ffb3 82c9e5 9da3eb d7b5f3 fdd6f6 fff0f2"
    ),
    "Vivid": _palette(
        "023b2b 363448 048b64 816a6e 8d5e67 985260 a44659 d3173d e10834 de1730 dc262d"
        " d9362a d74527 d55524 d26421 d0741e ce831b cb9218 c9a215 110312 330835 f5caf7"
    ),
    "Plan9": _plan9(),
    "Wren": _palette("000764 206bcb edffff ffaa00 501020 000764", (0.0, 0.16, 0.42, 0.6425, 0.8575, 1.0)),
}


def colour(
    field: NDArray[np.uint16], iters: int, palette: str = DEFAULT, step: float | None = None
) -> NDArray[np.uint8]:
    """The colours of a field of counts, shape (height, width, 3); the inside is black.

    Args:
        field: shape (height, width); 0 to 65,534 stand for 0 to ``iters``, ``INSIDE`` for inside.
        iters: iterations that the field was made with.
        palette: a key of ``PALETTES``.
        step: iterations for one run through the palette, after which it is run through backwards (or
            again, if its end is its beginning). None: ever longer runs, about one each time that the
            count doubles, which suits 20 iterations as well as 5,000.

    Raises:
        ConfigError: no such palette, or ``iters`` or ``step`` is not a number above 0.
    """
    table = _table(iters, known("palette", palette, PALETTES), step)
    pixels = np.empty((*field.shape, 3), np.uint8)
    return np.take(table, field, axis=0, out=pixels, mode="clip")  # every uint16 is in the table


@functools.lru_cache(maxsize=16)
def _table(iters: int, palette: str, step: float | None) -> NDArray[np.uint8]:
    """The colour of each possible value of a field, shape (65536, 3)."""
    if not iters > 0:
        raise ConfigError(f"iters must be above 0, not {iters!r}")
    if step is not None and not 0 < step < math.inf:
        raise ConfigError(f"step must be a number above 0, not {step!r}")
    counts = iterations(np.arange(INSIDE + 1), iters)
    runs = _RUNS * min(1.0, _CROWDED / len(PALETTES[palette].stops))
    place = counts / step if step else runs * np.asarray(np.log2(1 + counts / _OFFSET))
    table = PALETTES[palette].endless(place)
    table[INSIDE] = 0
    return table
