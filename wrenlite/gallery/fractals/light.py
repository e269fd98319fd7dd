"""Light on the surface of counts, field lines and orbit traps: workers compute them, the client shades.

The potential outside of a set is a surface, which rises from the set outwards. Where an orbit escapes, z and
its derivative dz give, for a point,

- its distance from the set, ``|z| log |z| / |dz|``, which near the set is right within a factor of 2 (John
  Milnor, "Dynamics in One Complex Variable", appendix on the Mandelbrot set);
- the direction in which the surface rises, that of z / dz (Arnaud Chéritat, "Mandelbrot set", normal map
  effect).

Points nearer to the set than a pixel have a slope that changes from point to point. There the light fades,
and the colours get dark, so that filaments are fine dark lines and no noise.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.colours import Rgb, check_name, lit
from wrenlite.gallery.fractals.derivative import Escapes, follow_view
from wrenlite.gallery.fractals.encoding import encode
from wrenlite.gallery.fractals.escape import BAILOUT, Floats, Indices
from wrenlite.gallery.fractals.mandelbrot import Part, counts, known_inside, total_iterations
from wrenlite.gallery.fractals.perturbation import offsets_of
from wrenlite.gallery.fractals.view import Tile, View

Trap = Literal["point", "cross"]
"""What orbits come near to: 0, or the axes."""
Codes = NDArray[np.uint8]
AnyCodes = NDArray[np.unsignedinteger[Any]]
_DIRECTIONS = 1024
"""Codes of the direction of a slope, which is 0.18° off at most."""
_DISTANCE_CODES, _LEAST_DISTANCE = 12, 2.0**-8
"""Codes per octave of a distance in points, 3 % off at most, and the distance with code 0."""
_TRAP_CODES, _LEAST_TRAP = 16, 2.0**-14
"""The same for the distance from a trap."""
_LINES = 2
"""Field lines that begin on each level of the potential, where the count grows by 1."""
_SHARPNESS = 24
"""Exponent that makes lines narrow."""
_AMBIENT, _MAIN, _OPPOSITE = 0.34, 0.86, 0.20
"""The light that comes from everywhere, from the main light, and from the one opposite to it."""
_GLOSS, _SHININESS = 0.30, 20
"""Light that is reflected as by a mirror, and how narrow its spot is."""
_DARK = 0.06
"""The part of the light that is left on the set itself."""
_LINE_DEPTH = 0.65
"""The part of the light that a field line takes away."""
_GLOW = np.array([1.0, 0.86, 0.62], np.float32)
"""The colour of traps."""
_TRAP_POINTS = 8.0
"""The percentage of the points that glows."""


@dataclass(frozen=True)
class Light:
    """What is shown of a set besides its counts.

    Raises:
        ConfigError: a field has a value that cannot be drawn.
    """

    direction: tuple[float, float] | None = None
    """Azimuth of the main light, in degrees counter-clockwise from the right, and its elevation above the
    picture. None: no light."""
    lines: bool = False
    """Draw field lines, along which the potential grows."""
    trap: Trap | None = None
    """Let points glow whose orbits come near this."""

    def __post_init__(self) -> None:
        if self.direction is not None:
            azimuth, elevation = self.direction
            if not math.isfinite(azimuth) or not 0 < elevation <= 90:
                raise ConfigError(
                    f"light is {azimuth:g},{elevation:g}: it must be an azimuth in degrees and an elevation "
                    "above 0, up to 90"
                )
        if self.trap is not None:
            check_name("trap", self.trap, get_args(Trap))

    @classmethod
    def of(cls, text: str | None, lines: bool, trap: str | None) -> Light | None:
        """Return the light that options describe; None if they ask for none.

        Args:
            text: ``AZIMUTH,ELEVATION`` of the main light; None or ``none`` for no light.
            lines: draw field lines.
            trap: one of ``Trap``; None or ``none`` for none.
        """
        text, trap = (None if option == "none" else option for option in (text, trap))
        direction = None
        if text is not None:
            try:
                azimuth, elevation = map(float, text.split(","))
            except ValueError:
                raise ConfigError(
                    f"light is {text!r:.60}: it must be azimuth and elevation in degrees, such as 135,45"
                ) from None
            direction = azimuth, elevation
        if trap is not None:
            check_name("trap", trap, get_args(Trap))
        light = cls(direction, lines, trap)  # type: ignore[arg-type]
        return None if light == cls() else light

    def options(self) -> dict[str, Any]:
        """Return the options that ``of`` makes this light from, without those that ask for nothing."""
        texts: dict[str, Any] = {}
        if self.direction is not None:
            texts["light"] = ",".join(map(repr, self.direction))
        if self.lines:
            texts["lines"] = True
        return texts if self.trap is None else texts | {"trap": self.trap}

    def check_view(self, view: View) -> None:
        """Refuse a view whose points have no derivative. Raises ConfigError."""
        if view.kind != "mandelbrot":
            raise ConfigError(
                f"light, lines and trap need the derivative of an orbit, and {view.kind} has none here: "
                "leave them out, or draw the Mandelbrot set or a Julia set"
            )
        if view.deep and view.seed is not None:
            raise ConfigError(
                f"radius is {view.radius}: Julia sets too deep for float64 have no light, lines or trap: "
                "leave these out, or choose a larger radius"
            )


class Surface(NamedTuple):
    """What the points of a picture show besides their counts, in codes; None for what is not asked for.

    Points inside have any code.
    """

    slopes: NDArray[np.uint16] | None = None
    """Directions in which the surface rises, counter-clockwise from the right, in 1,024ths of a turn."""
    distances: Codes | None = None
    """Distances from the set."""
    lines: Codes | None = None
    """How near a point is to a field line: 255 for one on it."""
    traps: Codes | None = None
    """Distances from the trap."""

    def rows(self, which: slice) -> Surface:
        """Return some rows of the picture."""
        return self._map(lambda codes: codes[which])

    def spread(self, indices: Indices, size: int) -> Surface:
        """Return the codes of some points as those of ``size`` points, all others with code 0."""

        def fill(codes: AnyCodes) -> AnyCodes:
            filled = np.zeros(size, codes.dtype)
            filled[indices] = codes
            return filled

        return self._map(fill)

    def _map(self, change: Callable[[AnyCodes], AnyCodes]) -> Surface:
        return Surface._make(None if codes is None else change(codes) for codes in self)

    @staticmethod
    def join(surfaces: Sequence[Surface]) -> Surface:
        """Return the points of several surfaces as those of one."""
        each = zip(*surfaces, strict=True)
        return Surface._make(None if codes[0] is None else np.concatenate(codes) for codes in each)


class LitPart(NamedTuple):
    """The value of a task that computed a part of a picture with light."""

    part: Part
    surface: Surface
    """Codes of the points, shape (points,), in the order of the counts."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the counts and the codes."""
        arrays = (self.part.counts.codes, *self.surface)
        return sum(array.nbytes for array in arrays if array is not None)


def render(piece: Sequence[Tile], light: Light) -> LitPart:
    """Return the counts of some tiles of one view, and what else they show."""
    counted, surfaces, computed = zip(*(_render_tile(tile, light) for tile in piece), strict=True)
    return LitPart(Part(encode(np.concatenate(counted)), sum(computed)), Surface.join(surfaces))


def _render_tile(tile: Tile, light: Light) -> tuple[Floats, Surface, float]:
    """Return the counts of a tile, what else it shows, and the iterations with a derivative."""
    view, offsets, indices = tile.view, offsets_of(tile), _unknown_points(tile)
    found = follow_view(offsets[indices], view, light.trap is not None)
    counted = np.full(offsets.size, np.inf)
    counted[indices] = found.counts(view.iters)
    computed = total_iterations(counted[indices], view.iters)
    return counted, encode_surface(found, light).spread(indices, offsets.size), computed


def _unknown_points(tile: Tile) -> Indices:
    """Return flat indices of the points of a tile that are not known to be inside."""
    if tile.method == "mariani":
        return np.flatnonzero(np.isfinite(counts(tile)))
    return np.flatnonzero(~known_inside(tile))


def encode_surface(found: Escapes, light: Light) -> Surface:
    """Return what a light needs of some points, in codes."""
    with np.errstate(all="ignore"):  # points inside have no distance
        sizes = np.abs(found.z)
        slopes = near = lines = traps = None
        if light.direction is not None:
            turns = np.angle(found.z / found.derivative) / (2 * math.pi)
            slopes = (np.rint(np.nan_to_num(turns) * _DIRECTIONS).astype(np.int64) % _DIRECTIONS).astype(
                np.uint16
            )
            distance = sizes * np.log(sizes) / np.abs(found.derivative)
            near = _logarithmic(distance, _LEAST_DISTANCE, _DISTANCE_CODES)
        if light.lines:
            lines = np.rint(255 * field_lines(found)).astype(np.uint8)
        if light.trap is not None:
            squares, cross = found.traps.T
            closest = np.sqrt(squares) if light.trap == "point" else cross
            traps = _logarithmic(closest, _LEAST_TRAP, _TRAP_CODES)
    return Surface(slopes, near, lines, traps)


def field_lines(found: Escapes) -> Floats:
    """Return how near points are to a field line, from 0 to 1.

    On a level, lines are where the argument of z is a multiple of a part of a turn. On the next level, nearer
    to the set, that argument is twice as large, so that the lines go on, and as many more begin. These
    appear little by little: their weight grows from 0 at the outer end of a level to 1 at the inner end.
    """
    angles = _LINES * np.angle(found.z)
    above = np.log2(np.log2(np.maximum(np.abs(found.z), BAILOUT)) / math.log2(BAILOUT))
    weight = np.clip(np.nan_to_num(above), 0.0, 1.0)
    return np.asarray(weight * _line(angles) + (1 - weight) * _line(2 * angles))


def _line(angles: Floats) -> Floats:
    return np.asarray(((1 + np.cos(angles)) / 2) ** _SHARPNESS)


def distances(codes: AnyCodes) -> Floats:
    """Return the distances from the set, in points, that codes stand for: 3 % off at most.

    The first and the last code stand for all shorter and all longer distances: 1/256 and 9,700 points.
    """
    return np.asarray(_LEAST_DISTANCE * 2.0 ** (codes / _DISTANCE_CODES))


def _logarithmic(values: Floats, least: float, per_octave: int) -> Codes:
    """Return the codes of positive numbers, so many per octave, from ``least`` on."""
    codes = np.nan_to_num(np.rint(per_octave * np.log2(values / least)), nan=0.0)
    return np.asarray(np.clip(codes, 0, 255).astype(np.uint8))


def shade(
    pixels: Rgb,
    surface: Surface,
    outside: NDArray[np.bool_],
    light: Light,
    smoothness: int,
    glow: float | None = None,
) -> Rgb:
    """Return colours with light, lines and traps.

    Args:
        pixels: colours of points, shape (height, width, 3), 8 or 16 bits.
        surface: the same points.
        outside: which of them are outside of the set.
        light: what is to be shown.
        smoothness: points per pixel of the picture, each way.
        glow: the distance from the trap up to which points glow: ``glow_of`` the whole picture.
    """
    factor = np.ones(pixels.shape[:2], np.float32)
    added = np.zeros((*pixels.shape[:2], 1), np.float32)
    if light.direction is not None:
        assert surface.slopes is not None
        assert surface.distances is not None
        diffuse, gloss = _light_tables(*light.direction, smoothness)
        places = surface.slopes.astype(np.intp) * 256 + surface.distances
        factor, added = diffuse.take(places), gloss.take(places)[..., np.newaxis]
    if surface.lines is not None:
        factor = factor * (1 - np.float32(_LINE_DEPTH / 255) * surface.lines)
    if surface.traps is not None and glow is not None:
        near = (1 + (_LEAST_TRAP * 2 ** (np.arange(256) / _TRAP_CODES) / glow) ** 2) ** -2
        strength = near.astype(np.float32)[surface.traps] * np.minimum(factor, 1)
        added = added + strength[..., np.newaxis] * _GLOW
    return lit(pixels, factor[..., np.newaxis], added * outside[..., np.newaxis])


def glow_of(surface: Surface, outside: NDArray[np.bool_]) -> float | None:
    """Return the distance from the trap up to which points of a picture glow; None without a trap."""
    if surface.traps is None or not outside.any():
        return None
    code = float(np.percentile(surface.traps[outside], _TRAP_POINTS))
    return float(_LEAST_TRAP * 2 ** (code / _TRAP_CODES))


@functools.lru_cache(maxsize=8)
def _light_tables(
    azimuth: float, elevation: float, smoothness: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the factor of a colour's light and the light that is added to it.

    Both are for each slope and each distance: 1,024 x 256 numbers.
    """
    slopes = np.arange(_DIRECTIONS)[:, np.newaxis] * (2 * math.pi / _DIRECTIONS)
    pixels = distances(np.arange(256, dtype=np.uint16)) / smoothness
    around, up = math.radians(azimuth), math.radians(elevation)
    # The surface falls towards the set at 45 degrees. Its normal leans against the rise.
    facing = np.cos(slopes - around) * math.cos(up)
    main = np.maximum(facing + math.sin(up), 0.0) / math.sqrt(2)
    opposite = np.maximum(-facing + math.sin(up), 0.0) / math.sqrt(2)
    half = np.array([math.cos(up) * math.cos(around), math.cos(up) * math.sin(around), math.sin(up) + 1])
    half /= np.linalg.norm(half)
    mirror = np.cos(slopes) * half[0] + np.sin(slopes) * half[1] + half[2]
    gloss = _GLOSS * np.maximum(mirror / math.sqrt(2), 0.0) ** _SHININESS
    shown = _AMBIENT + _MAIN * main + _OPPOSITE * opposite
    steady = np.clip(pixels, 0.0, 1.0)
    steady = steady * steady * (3 - 2 * steady)  # 0 on the set, 1 from a distance of one pixel on
    fade = _DARK + (1 - _DARK) * np.sqrt(steady)
    factor = fade * (1 + steady * (shown - 1))
    return factor.astype(np.float32).ravel(), (steady * gloss).astype(np.float32).ravel()
