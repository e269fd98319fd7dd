"""A generated landscape as Landsat might see it: terrain, rivers, fields and seasons. Pure numpy, seeded.

Nothing here is an observation. All maps have the shape (height, width). NDVI comes first, from the seasons of
what grows; reflectances are then made to have exactly that NDVI, whatever the light. So the truth is known
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

_MAX_NOISE_SIDE = 1024
"""Side up to which noise is generated point by point; larger maps are enlarged from that size."""
YEAR = 365.25
_REFERENCE_SIDE = 400
"""Side of a landscape whose river and oasis are as wide as its style says; in larger ones they are wider."""
_RIVER_OFFSET = 0.09
"""Distance of the river from the middle, as a share of the landscape's side: the middle is a field."""
_TABLE_SIZE = 2**16
"""Number of different fields; a landscape has fewer."""


class Cover(IntEnum):
    """What grows on a pixel."""

    CROP = 0
    FOREST = 1
    GRASS = 2
    BARE = 3
    WATER = 4


@dataclass(frozen=True)
class Season:
    """NDVI over a year: a level, two harmonics, and a slow drift over the years."""

    level: float
    amplitude: float
    """Amplitude of the first harmonic, which has a period of one year."""
    peak_day: float
    """Day of the year at which the first harmonic is highest."""
    second_amplitude: float = 0.0
    """Amplitude of the second harmonic, which has a period of half a year."""
    second_peak_day: float = 0.0
    drift: float = 0.0
    """Amplitude of a wave with a period of 2.6 years."""

    def at(self, day: float | Map, delay_days: float | Map = 0.0) -> Map:
        """Return NDVI on a day.

        Args:
            day: days after the start of 2021.
            delay_days: days by which the season is late, for example on each pixel of a map.
        """
        turn = np.float32(2 * np.pi / YEAR)
        when = np.asarray(day, np.float32) - np.asarray(delay_days, np.float32)
        value = self.level + self.amplitude * np.cos(turn * (when - np.float32(self.peak_day)))
        value = value + self.second_amplitude * np.cos(2 * turn * (when - np.float32(self.second_peak_day)))
        return np.asarray(value + self.drift * np.sin(turn * when / 2.6), np.float32)


@dataclass(frozen=True)
class Style:
    """The look of a landscape."""

    relief: float
    """Height of the mountains, 0 to 1."""
    valley: float
    """Width of the valley's floor, as a share of the landscape's side."""
    bearing: float
    """Angle of the valley to the horizontal, in radians."""
    parcel: float
    """Side of a typical field in pixels."""
    tilled: float
    """Share of the floor that is fields."""
    wooded: float
    """Share of the slopes that is forest."""
    river: float
    """Half of the river's width in pixels."""
    lake: bool
    desert: bool
    soil: tuple[float, float, float]
    """Reflectance of bare soil in blue, green and red."""


@dataclass(frozen=True)
class Landscape:
    """The maps of a landscape that do not change from day to day."""

    cover: NDArray[np.uint8]
    vigour: Map
    """Difference of a pixel's NDVI from that of its cover."""
    delay_days: Map
    """Days by which a pixel's season is late."""
    hillshade: Map
    """Brightness that results from the slope, about 1."""
    soil_brightness: Map
    """Brightness of the soil, about 1."""


def fractal_noise(shape: Shape, slope: float, rng: Generator) -> Map:
    """Return noise with mean 0, deviation 1 and a spectrum of 1 / frequency ** slope.

    Args:
        shape: height and width of the map.
        slope: exponent of the spectrum; clouds have about 3, hills 4.
        rng: source of random numbers.
    """
    side = min(max(shape), _MAX_NOISE_SIDE)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = np.inf
    parts = rng.standard_normal((2, *frequency.shape))
    field = np.fft.irfft2((parts[0] + 1j * parts[1]) * frequency ** (-slope / 2), s=(side, side))
    field = ((field - field.mean()) / field.std()).astype(np.float32)
    return field[: shape[0], : shape[1]] if max(shape) <= side else _enlarge(field, shape)


def _enlarge(field: Map, shape: Shape) -> Map:
    """Return a square map stretched over a larger shape by bilinear interpolation."""
    last = field.shape[0] - 1
    for axis in (0, 1):
        position = np.linspace(0, last, shape[axis], dtype=np.float32)
        lower = np.minimum(position.astype(np.intp), last - 1)
        weight = (position - lower).reshape((-1, 1) if axis == 0 else (1, -1)).astype(np.float32)
        field = np.take(field, lower, axis) * (1 - weight) + np.take(field, lower + 1, axis) * weight
    return field


def smoothstep(value: Map, low: float, high: float) -> Map:
    """Return 0 where a value is below ``low``, 1 where it is above ``high``, with a smooth step between."""
    part = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)


def generate_landscape(style: Style, side: int, seed: int) -> Landscape:
    """Return a square landscape, in whose middle lies a field that has exactly its crop's season.

    Args:
        style: the look of the landscape.
        side: height and width in pixels.
        seed: seed of the random numbers; the same seed gives the same landscape.
    """
    rng = np.random.default_rng(seed)
    shape = (side, side)
    along, across = _valley_axes(style, side)
    bends = fractal_noise(shape, 3.6, rng)
    distance = np.abs(across + 0.045 * bends + 0.03 * np.sin(9 * along + 2 * bends) + _RIVER_OFFSET)
    height = _terrain(style, shape, distance, rng)
    river = style.river * max(1.0, side / _REFERENCE_SIDE) ** 0.5
    water = distance * side < river * (1 + 0.4 * fractal_noise(shape, 3.0, rng))
    water |= _streams(style, along, across, bends, height, side)
    if style.lake:
        shore = 0.022 * bends + 0.014 * fractal_noise(shape, 3.0, rng)
        water |= np.hypot(along - 0.22, 1.9 * (across + _RIVER_OFFSET + 0.25 * along * along)) + shore < 0.075
    variation = fractal_noise(shape, 2.6, rng)
    cover, vigour, delay_days = _vegetation(style, height, variation, rng)
    cover[water] = Cover.WATER
    vigour[water] = 0.03 * variation[water]
    if style.desert:
        rows, columns = np.indices(shape, np.float32) - np.float32(side / 2)
        oasis = np.hypot(rows, columns) < 9 * (1 + 0.3 * variation) * side / _REFERENCE_SIDE
        cover[oasis] = Cover.CROP
        vigour[oasis] = 0.08 * variation[oasis]
    _place_reference_field(cover, vigour, delay_days)
    soil_brightness = 1 + 0.1 * variation
    hillshade = _hillshade(height, side)
    if style.desert:
        salt_pan = fractal_noise(shape, 3.0, rng)
        soil_brightness += (
            1.1 * smoothstep(0.12 - distance + 0.03 * salt_pan, 0.0, 0.05) * (1 + 0.15 * salt_pan)
        )
    return Landscape(
        cover=cover,
        vigour=vigour,
        delay_days=delay_days,
        hillshade=hillshade,
        soil_brightness=np.clip(soil_brightness, 0.5, 2.4).astype(np.float32),
    )


def _valley_axes(style: Style, side: int) -> tuple[Map, Map]:
    """Return each pixel's coordinates along and across the valley, -0.5 to 0.5 about the middle."""
    position = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    x, y = position[None, :], -position[:, None]
    cosine, sine = np.float32(np.cos(style.bearing)), np.float32(np.sin(style.bearing))
    return np.asarray(x * cosine + y * sine, np.float32), np.asarray(y * cosine - x * sine, np.float32)


def _terrain(style: Style, shape: Shape, distance: Map, rng: Generator) -> Map:
    """Return heights, from 0 on the valley's floor to about 1 on the ridges."""
    ridges = 1 - np.abs(fractal_noise(shape, 3.4, rng))
    roughness = 0.55 + 0.25 * fractal_noise(shape, 4.0, rng) + 0.2 * ridges
    rise = smoothstep(distance, style.valley / 2, style.valley / 2 + 0.28)
    return np.asarray(style.relief * rise * np.clip(roughness, 0.05, None) + 0.004 * ridges, np.float32)


def _streams(style: Style, along: Map, across: Map, bends: Map, height: Map, side: int) -> NDArray[np.bool_]:
    """Return where side streams run down to the river; a desert has none."""
    water = np.zeros(along.shape, bool)
    if style.desert:
        return water
    for start, lean, sign in ((-0.33, 0.5, 1), (-0.02, -0.35, -1), (0.36, 0.25, 1)):
        from_river = across + _RIVER_OFFSET
        course = start + lean * from_river - 0.03 * bends - 0.012 * np.sin(40 * across + 3 * bends)
        near = np.abs(along - course) * side < 0.45 * style.river
        water |= near & (sign * from_river > 0) & (height < 0.5)
    return water


def _vegetation(
    style: Style, height: Map, variation: Map, rng: Generator
) -> tuple[NDArray[np.uint8], Map, Map]:
    """Return cover, vigour and delay: fields on the floor, forest on slopes, grass or bare ground between."""
    shape = height.shape
    cover = np.full(shape, Cover.BARE if style.desert else Cover.GRASS, np.uint8)
    patches = fractal_noise(shape, 3.2, rng)
    slopes = smoothstep(height, 0.1, 0.35)
    forest = patches + 1.6 * (slopes - 0.5) > NormalDist().inv_cdf(min(1 - style.wooded, 0.9999))
    cover[forest] = Cover.FOREST
    field_number, hedge = _parcels(style, shape, rng)
    chance = rng.random((3, _TABLE_SIZE), np.float32)
    floor = height < 0.16 + 0.04 * patches
    tilled_share = style.tilled * (1 + 0.22 * fractal_noise(shape, 3.4, rng))
    tilled = floor & (chance[0][field_number] < tilled_share)
    cover[tilled] = Cover.CROP
    fallow = tilled & (chance[2][field_number] < 0.12)
    cover[fallow] = Cover.GRASS
    vigour = np.float32(0.035) * variation + np.float32(0.02) * patches
    delay_days = np.float32(6) * patches
    field_vigour = 0.14 * chance[1][field_number] - 0.07 + 0.012 * variation + 0.035 * patches
    vigour[tilled] = field_vigour[tilled]
    delay_days[tilled] = (36 * chance[2][field_number] - 18)[tilled]
    vigour[tilled & hedge] += 0.07
    return cover, vigour.astype(np.float32), delay_days.astype(np.float32)


def _parcels(style: Style, shape: Shape, rng: Generator) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Return the number of each pixel's field, and which pixels are hedges.

    The land is divided into blocks, which are turned a little; each block is divided into strips of fields.
    """
    rows, columns = np.indices(shape, np.float32)
    side = np.float32(7 * style.parcel)
    warp = fractal_noise(shape, 4.0, rng) * (np.float32(0.35) * side)
    block = _hash(np.floor((columns + warp) / side), np.floor((rows - warp) / side))
    angle = (style.bearing + rng.normal(0, 0.35, _TABLE_SIZE)).astype(np.float32)[block]
    u = (columns * np.cos(angle) - rows * np.sin(angle)) / np.float32(style.parcel)
    v = (columns * np.sin(angle) + rows * np.cos(angle)) / np.float32(0.62 * style.parcel)
    strip = np.floor(v)
    chance = rng.random((2, _TABLE_SIZE), np.float32)
    strip_number = _hash(strip, block)
    u = u * (np.float32(0.65) + np.float32(0.7) * chance[0][strip_number]) + 11 * chance[1][strip_number]
    field = np.floor(u)
    hedge = np.abs(u - field - 0.5) > 0.5 - 0.5 / style.parcel
    hedge |= np.abs(v - strip - 0.5) > 0.5 - 0.4 / style.parcel
    return _hash(field, strip_number), hedge


def _hash(*numbers: NDArray[Any]) -> NDArray[np.uint16]:
    """Return an index into a table of ``_TABLE_SIZE`` for each tuple of whole numbers; some share one."""
    mixed = np.zeros(numbers[0].shape, np.uint32)
    for each in numbers:
        mixed ^= each.astype(np.int32).view(np.uint32)
        mixed *= np.uint32(0x9E3779B1)  # from the golden ratio: close numbers get distant indices
        mixed ^= mixed >> np.uint32(15)
    return (mixed >> np.uint32(16)).astype(np.uint16)


def _place_reference_field(cover: NDArray[np.uint8], vigour: Map, delay_days: Map) -> None:
    """Set a field in the middle whose true NDVI is the crop's own season."""
    middle = cover.shape[0] // 2
    half = max(3, cover.shape[0] // 100)
    square = (slice(middle - half, middle + half + 1),) * 2
    cover[square], vigour[square], delay_days[square] = Cover.CROP, 0.0, 0.0


def _hillshade(height: Map, side: int) -> Map:
    """Return the brightness of slopes in light from the south-east, in the morning, when Landsat passes."""
    down, right = np.gradient(height * np.float32(side * 0.16))
    light = (0.62 + 0.55 * (down * 0.55 + right * 0.55) * -1) / np.sqrt(1 + down * down + right * right)
    return np.asarray(np.clip(light / 0.62, 0.45, 1.5), np.float32)
