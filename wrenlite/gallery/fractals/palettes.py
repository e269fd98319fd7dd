"""Palettes, and the conversion of a field of counts to colours.

The stops are those of the original Go program, https://github.com/esimov/gobrot; Plan9 is the colour map of
the operating system Plan 9, https://9fans.github.io/plan9port/man/man7/color.html. Between two stops, colours
are interpolated linearly in Oklab, so they change evenly, and no grey appears between two hues.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.colour_range import ColourRange
from wrenlite.gallery.fractals.colours import Rgb, check_name, from_oklab, oklab
from wrenlite.gallery.fractals.encoding import Field

DEFAULT = "Hippi"
DEFAULT_STEP = 6000
"""Number of colours of a palette: the original program's default."""
_BLOCK = 1 << 15
"""Points that are coloured at a time: so few that they stay in the cache."""
_MAX_COLOURS = 1 << 14
"""More colours between two stops could not be distinguished."""
_MAX_STOPS_PER_RUN = 24
"""Palettes with more stops than this have longer runs, in proportion to their stops. Otherwise Plan9 would
flicker."""


@dataclass(frozen=True)
class Palette:
    """A continuous sequence of colours for positions from 0 to 1."""

    stops: tuple[tuple[int, int, int], ...]
    """Red, green and blue, 0 to 255, of the colours that are given."""
    positions: tuple[float, ...]
    """Position of each stop, ascending from 0 to 1."""

    @property
    def closed(self) -> bool:
        """Whether the last colour is also the first."""
        return self.stops[0] == self.stops[-1]

    def at(self, position: NDArray[np.float64], bits: int = 8) -> Rgb:
        """Return the colours at positions from 0 to 1: shape (…, 3), of 8 or 16 bits."""
        lab = oklab(self.stops)
        bands = [np.interp(position, self.positions, lab[:, band]) for band in range(3)]
        return from_oklab(np.stack(bands, axis=-1), bits)

    def at_repeated(self, position: NDArray[np.float64], colours: int, bits: int = 8) -> Rgb:
        """Return the colours at any positions, also beyond 1: shape (…, 3).

        After its end, a closed palette is repeated, and another palette is run through backwards and forwards
        in turn.

        Args:
            position: positions; 1 is the end of the palette.
            colours: number of different colours, 2 or more, evenly spaced from the first to the last.
            bits: of a colour's red, green and blue: 8 or 16.
        """
        within = position % 1.0 if self.closed else 1.0 - np.abs(position % 2.0 - 1.0)
        each = self.at(np.linspace(0.0, 1.0, colours, endpoint=not self.closed), bits)
        return np.asarray(each[np.minimum(within * colours, colours - 1).astype(np.intp)])


def _palette(colours: str, positions: tuple[float, ...] | None = None) -> Palette:
    """Return a palette of hexadecimal colours, evenly spaced unless positions are given."""
    stops = [tuple(bytes.fromhex(colour)) for colour in colours.split()]
    even = tuple(number / (len(stops) - 1) for number in range(len(stops)))
    return Palette(tuple((red, green, blue) for red, green, blue in stops), positions or even)


def _plan9() -> Palette:
    """Return the colour map of Plan 9: four levels of red, green and blue, each in four shades.

    Where the three levels are equal, there are 16 greys, 17 apart. The 16 colours of red ``r`` and shade
    ``v`` are one row of the map. The row is rotated by ``v - r`` positions, so that a number and its
    complement are complementary colours.
    """
    stops = [(0, 0, 0)] * 256
    for red, shade, green, blue in itertools.product(range(4), repeat=4):
        brightest = max(red, green, blue)
        unit = 17 * (4 * brightest + shade)
        colour = [band * unit // brightest if brightest else unit for band in (red, green, blue)]
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
    field: Field,
    palette: str = DEFAULT,
    step: int = DEFAULT_STEP,
    colours: ColourRange | None = None,
    bits: int = 8,
) -> Rgb:
    """Return the colours of a field of counts, shape (height, width, 3); points inside are black.

    Args:
        field: counts, shape (height, width); infinite for points inside.
        palette: a key of ``PALETTES``.
        step: number of colours of the palette, as in the original program.
        colours: which counts have which colours. None: that is chosen from the field. Pictures that are to
            match, such as tiles and the frames of a zoom, need the same one: ``ColourRange.of(*fields)``.
        bits: of each colour's red, green and blue: 8 or 16.

    Raises:
        ConfigError: there is no such palette, or ``step`` is not a whole number of 2 or more.
    """
    colours = colours or ColourRange.of(field)
    table = _table(colours, check_name("palette", palette, PALETTES), check_step(step), bits)
    pixels = np.empty((*field.shape, 3), table.dtype)
    flat, counts = pixels.reshape(-1, 3), field.reshape(-1)
    for start in range(0, counts.size, _BLOCK):
        block = counts[start : start + _BLOCK]
        np.take(table, colours.entries(block), axis=0, out=flat[start : start + _BLOCK], mode="clip")
        flat[start : start + _BLOCK][np.isinf(block)] = 0
    return pixels


def check_step(step: int) -> int:
    """Return the number of colours of a palette if it is valid, else raise ConfigError."""
    if not isinstance(step, int | np.integer) or step < 2:
        raise ConfigError(f"step is {step!r}: it must be a whole number of colours, 2 or more")
    return int(step)


@functools.lru_cache(maxsize=16)
def _table(colours: ColourRange, palette: str, step: int, bits: int) -> Rgb:
    """Return the colour of each entry of a range, shape (entries, 3)."""
    found = PALETTES[palette]
    runs = min(1.0, _MAX_STOPS_PER_RUN / len(found.stops))
    return found.at_repeated(runs * colours.positions(), min(step, _MAX_COLOURS), bits)
