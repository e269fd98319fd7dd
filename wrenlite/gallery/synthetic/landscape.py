"""An invented country, as Landsat might see it: terrain, rivers, fields, seasons, clouds. Pure numpy, seeded.

Nothing here is an observation. All maps have the shape (height, width). NDVI comes first, from the seasons
of what grows; reflectances are made to have exactly that NDVI, whatever the light. So the truth is known
for every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Map = NDArray[np.float32]
Shape = tuple[int, int]

_LARGEST = 1024
"""Side up to which noise is made point by point; larger maps are enlarged from that."""
YEAR = 365.25
_USUAL = 400
"""Side of a country whose river and oasis are as wide as their style says; larger ones have larger."""
_BESIDE = 0.09
"""How far from the middle the river passes, as a share of the country: the middle is a field."""
_KINDS = 2**16
"""Fields that differ; a country has fewer."""


class Cover(IntEnum):
    """What grows on a pixel."""

    CROP = 0
    FOREST = 1
    GRASS = 2
    BARE = 3
    WATER = 4


@dataclass(frozen=True)
class Season:
    """NDVI over a year: a level and two harmonics, and a slow drift over the years."""

    level: float
    swing: float
    peak: float
    """Day of the year at which the first harmonic is highest."""
    second: float = 0.0
    second_peak: float = 0.0
    drift: float = 0.0
    """Height of a wave of 2.6 years."""

    def at(self, day: float | Map, late: float | Map = 0.0) -> Map:
        """NDVI so many days after the start of 2021, on pixels where the season is ``late`` by days."""
        turn = np.float32(2 * np.pi / YEAR)
        when = np.asarray(day, np.float32) - np.asarray(late, np.float32)
        value = self.level + self.swing * np.cos(turn * (when - np.float32(self.peak)))
        value = value + self.second * np.cos(2 * turn * (when - np.float32(self.second_peak)))
        return np.asarray(value + self.drift * np.sin(turn * when / 2.6), np.float32)


@dataclass(frozen=True)
class Style:
    """How a country looks."""

    relief: float
    """How much of the terrain is mountains, 0 to 1."""
    valley: float
    """Width of the valley's floor, as a share of the country."""
    bearing: float
    """Radians, of the valley against the horizontal."""
    parcel: float
    """Side of a typical field in pixels."""
    tilled: float
    """Share of the floor that is fields."""
    wooded: float
    """Share of the slopes under forest."""
    river: float
    """Half its width in pixels."""
    lake: bool
    desert: bool
    soil: tuple[float, float, float]
    """Reflectance of bare soil in blue, green, red."""


@dataclass(frozen=True)
class Country:
    """What does not change from day to day."""

    cover: NDArray[np.uint8]
    vigour: Map
    """What a pixel's NDVI has more or less than its cover's."""
    late: Map
    """Days by which its season is late."""
    shade: Map
    """Brightness by the slope's aspect, about 1."""
    bright: Map
    """Brightness of the soil, about 1."""


def fractal(shape: Shape, slope: float, rng: Generator) -> Map:
    """Noise with a spectrum of 1 / frequency ** slope, mean 0, deviation 1: clouds about 3, hills 4."""
    small = min(max(shape), _LARGEST)
    frequency = np.hypot(np.fft.fftfreq(small)[:, None], np.fft.rfftfreq(small)[None, :])
    frequency[0, 0] = np.inf
    phases = rng.standard_normal((2, *frequency.shape))
    field = np.fft.irfft2((phases[0] + 1j * phases[1]) * frequency ** (-slope / 2), s=(small, small))
    field = ((field - field.mean()) / field.std()).astype(np.float32)
    return field[: shape[0], : shape[1]] if max(shape) <= small else _enlarged(field, shape)


def _enlarged(field: Map, shape: Shape) -> Map:
    """A square map stretched over a larger one, bilinearly."""
    last = field.shape[0] - 1
    for axis in (0, 1):
        place = np.linspace(0, last, shape[axis], dtype=np.float32)
        lower = np.minimum(place.astype(np.intp), last - 1)
        part = (place - lower).reshape((-1, 1) if axis == 0 else (1, -1)).astype(np.float32)
        field = np.take(field, lower, axis) * (1 - part) + np.take(field, lower + 1, axis) * part
    return field


def smoothstep(value: Map, low: float, high: float) -> Map:
    """0 below ``low``, 1 above ``high``, smooth between."""
    part = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)


def country(style: Style, side: int, seed: int) -> Country:
    """A square country whose middle is a field, with nothing but its crop's own season."""
    rng = np.random.default_rng(seed)
    shape = (side, side)
    along, across = _axes(style, side)
    bends = fractal(shape, 3.6, rng)
    distance = np.abs(across + 0.045 * bends + 0.03 * np.sin(9 * along + 2 * bends) + _BESIDE)
    height = _terrain(style, shape, distance, rng)
    river = style.river * max(1.0, side / _USUAL) ** 0.5
    water = distance * side < river * (1 + 0.4 * fractal(shape, 3.0, rng))
    water |= _brooks(style, along, across, bends, height, side)
    if style.lake:
        shore = 0.022 * bends + 0.014 * fractal(shape, 3.0, rng)
        water |= np.hypot(along - 0.22, 1.9 * (across + _BESIDE + 0.25 * along * along)) + shore < 0.075
    wild = fractal(shape, 2.6, rng)
    cover, vigour, late = _grown(style, height, wild, rng)
    cover[water] = Cover.WATER
    vigour[water] = 0.03 * wild[water]
    if style.desert:
        rows, columns = np.indices(shape, np.float32) - np.float32(side / 2)
        oasis = np.hypot(rows, columns) < 9 * (1 + 0.3 * wild) * side / _USUAL
        cover[oasis] = Cover.CROP
        vigour[oasis] = 0.08 * wild[oasis]
    _mark(cover, vigour, late)
    shade = _shade(height, side)
    bright = 1 + 0.1 * wild
    if style.desert:
        pan = fractal(shape, 3.0, rng)
        bright += 1.1 * smoothstep(0.12 - distance + 0.03 * pan, 0.0, 0.05) * (1 + 0.15 * pan)
    return Country(cover, vigour, late, shade, np.clip(bright, 0.5, 2.4).astype(np.float32))


def _axes(style: Style, side: int) -> tuple[Map, Map]:
    """Places along and across the valley, -0.5 to 0.5 about the middle."""
    place = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    x, y = place[None, :], -place[:, None]
    cosine, sine = np.float32(np.cos(style.bearing)), np.float32(np.sin(style.bearing))
    return np.asarray(x * cosine + y * sine, np.float32), np.asarray(y * cosine - x * sine, np.float32)


def _terrain(style: Style, shape: Shape, distance: Map, rng: Generator) -> Map:
    """Heights, 0 on the valley's floor, to about 1 on the ridges."""
    ridges = 1 - np.abs(fractal(shape, 3.4, rng))
    rough = 0.55 + 0.25 * fractal(shape, 4.0, rng) + 0.2 * ridges
    rise = smoothstep(distance, style.valley / 2, style.valley / 2 + 0.28)
    return np.asarray(style.relief * rise * np.clip(rough, 0.05, None) + 0.004 * ridges, np.float32)


def _brooks(style: Style, along: Map, across: Map, bends: Map, height: Map, side: int) -> NDArray[np.bool_]:
    """Side streams that run down to the river."""
    if style.desert:
        return np.zeros(along.shape, bool)
    found = np.zeros(along.shape, bool)
    for start, lean, sign in ((-0.33, 0.5, 1), (-0.02, -0.35, -1), (0.36, 0.25, 1)):
        away = across + _BESIDE
        course = start + lean * away - 0.03 * bends - 0.012 * np.sin(40 * across + 3 * bends)
        found |= (np.abs(along - course) * side < 0.45 * style.river) & (sign * away > 0) & (height < 0.5)
    return found


def _grown(style: Style, height: Map, wild: Map, rng: Generator) -> tuple[NDArray[np.uint8], Map, Map]:
    """Cover, vigour and lateness: fields on the floor, forest on the slopes, grass or bare ground between."""
    shape = height.shape
    open_ground = Cover.BARE if style.desert else Cover.GRASS
    cover = np.full(shape, open_ground, np.uint8)
    patches = fractal(shape, 3.2, rng)
    slopes = smoothstep(height, 0.1, 0.35)
    forest = patches + 1.6 * (slopes - 0.5) > NormalDist().inv_cdf(min(1 - style.wooded, 0.9999))
    cover[forest] = Cover.FOREST
    number, hedge = _parcels(style, shape, rng)
    chance = rng.random((3, _KINDS), np.float32)
    floor = height < 0.16 + 0.04 * patches
    tilled = floor & (chance[0][number] < style.tilled * (1 + 0.22 * fractal(shape, 3.4, rng)))
    cover[tilled] = Cover.CROP
    fallow = tilled & (chance[2][number] < 0.12)
    cover[fallow] = Cover.GRASS
    vigour = np.float32(0.035) * wild + np.float32(0.02) * patches
    late = np.float32(6) * patches
    vigour[tilled] = (0.14 * chance[1][number] - 0.07 + 0.012 * wild + 0.035 * patches)[tilled]
    late[tilled] = (36 * chance[2][number] - 18)[tilled]
    vigour[tilled & hedge] += 0.07
    return cover, vigour.astype(np.float32), late.astype(np.float32)


def _parcels(style: Style, shape: Shape, rng: Generator) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Numbers of the fields, and their hedges: blocks of land, turned a little, each in rows of fields."""
    rows, columns = np.indices(shape, np.float32)
    side = np.float32(7 * style.parcel)
    warp = fractal(shape, 4.0, rng) * (np.float32(0.35) * side)
    block = _mixed(np.floor((columns + warp) / side), np.floor((rows - warp) / side))
    angle = (style.bearing + rng.normal(0, 0.35, _KINDS)).astype(np.float32)[block]
    u = (columns * np.cos(angle) - rows * np.sin(angle)) / np.float32(style.parcel)
    v = (columns * np.sin(angle) + rows * np.cos(angle)) / np.float32(0.62 * style.parcel)
    strip = np.floor(v)
    chance = rng.random((2, _KINDS), np.float32)
    row = _mixed(strip, block)
    u = u * (np.float32(0.65) + np.float32(0.7) * chance[0][row]) + 11 * chance[1][row]
    field = np.floor(u)
    hedge = np.abs(u - field - 0.5) > 0.5 - 0.5 / style.parcel
    hedge |= np.abs(v - strip - 0.5) > 0.5 - 0.4 / style.parcel
    return _mixed(field, row), hedge


def _mixed(*numbers: NDArray[Any]) -> NDArray[np.uint16]:
    """A place in a table of ``_KINDS`` for each pair of whole numbers: far neighbours may share one."""
    mixed = np.zeros(numbers[0].shape, np.uint32)
    for each in numbers:
        mixed ^= each.astype(np.int32).view(np.uint32)
        mixed *= np.uint32(0x9E3779B1)  # of the golden ratio: neighbours fall far apart
        mixed ^= mixed >> np.uint32(15)
    return (mixed >> np.uint32(16)).astype(np.uint16)


def _mark(cover: NDArray[np.uint8], vigour: Map, late: Map) -> None:
    """The field in the middle, where truth is the crop's own season."""
    middle = cover.shape[0] // 2
    half = max(3, cover.shape[0] // 100)
    spot = (slice(middle - half, middle + half + 1),) * 2
    cover[spot], vigour[spot], late[spot] = Cover.CROP, 0.0, 0.0


def _shade(height: Map, side: int) -> Map:
    """Light from the south-east in the morning, when Landsat passes."""
    down, right = np.gradient(height * np.float32(side * 0.16))
    light = (0.62 + 0.55 * (down * 0.55 + right * 0.55) * -1) / np.sqrt(1 + down * down + right * right)
    return np.asarray(np.clip(light / 0.62, 0.45, 1.5), np.float32)
