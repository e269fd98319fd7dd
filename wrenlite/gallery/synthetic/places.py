"""Four places with an invented landscape each, and their seasons: the truth of the synthetic archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from wrenlite.gallery.ndvi import utm
from wrenlite.gallery.synthetic.landscape import (
    Cover,
    Season,
    Style,
)

START = date(2021, 1, 1)
_PASSES = 68
"""Of Landsat 8, one every 16 days: three years."""
_MISSED = 11
"""Every so many passes there is no product, as it happens: 62 dates are left."""


@dataclass(frozen=True)
class Place:
    """Where, and what grows there in the synthetic archive. Positions are real; all else is invented."""

    name: str
    title: str
    lon: float
    lat: float
    """Of the field in the middle."""
    path: int
    row: int
    first: int
    """Days into 2021 of the first pass."""
    seed: int
    style: Style
    seasons: Mapping[Cover, Season]
    cloudy: tuple[float, ...]
    """Mean share of cloud in each month."""

    @property
    def zone(self) -> int:
        """UTM zone of its scenes."""
        return int((self.lon + 180) // 6) + 1

    @property
    def dates(self) -> list[date]:
        """Days of its scenes."""
        passes = (number for number in range(_PASSES) if number % _MISSED != self.first % _MISSED)
        return [START + timedelta(self.first + 16 * number) for number in passes]

    def truth(self, day: date) -> float:
        """NDVI of the field in the middle: what a perfect observation would give."""
        return float(self.seasons[Cover.CROP].at((day - START).days))

    def corner(self, side: int) -> tuple[float, float]:
        """Outer corner of a square scene about the place: 15 m off multiples of 30, as Landsat's."""
        x, y = utm.forth(self.lon, self.lat, self.zone)
        column, row = (float(x) - 15) // 30, (float(y) - 15) // 30 + 1
        return 30 * column + 15 - 30 * (side // 2), 30 * row + 15 + 30 * (side // 2)


_WATER = Season(-0.32, 0.03, 200)

COFFEE = Place(
    "coffee-triangle",
    "Coffee triangle, Colombia",
    -75.6810,
    4.8140,
    9,
    57,
    4,
    57,
    Style(1.0, 0.22, 0.9, 9, 0.75, 0.62, 2.2, False, False, (0.06, 0.09, 0.13)),
    {
        Cover.CROP: Season(0.68, 0.05, 160, 0.05, 150, 0.03),
        Cover.FOREST: Season(0.84, 0.02, 150, 0.01, 140),
        Cover.GRASS: Season(0.58, 0.04, 160, 0.08, 150),
        Cover.BARE: Season(0.15, 0.02, 150),
        Cover.WATER: _WATER,
    },
    (0.36, 0.38, 0.48, 0.6, 0.55, 0.42, 0.34, 0.38, 0.48, 0.6, 0.58, 0.42),
)
NAPA = Place(
    "napa",
    "Napa valley, California",
    -122.3600,
    38.4330,
    45,
    33,
    8,
    45,
    Style(0.8, 0.34, -0.9, 8, 0.8, 0.4, 1.3, True, False, (0.08, 0.12, 0.16)),
    {
        Cover.CROP: Season(0.46, 0.13, 190, 0.05, 30, 0.03),
        Cover.FOREST: Season(0.68, 0.05, 130),
        Cover.GRASS: Season(0.38, 0.2, 75, 0.05, 70),
        Cover.BARE: Season(0.14, 0.03, 80),
        Cover.WATER: _WATER,
    },
    (0.5, 0.45, 0.4, 0.28, 0.2, 0.1, 0.06, 0.07, 0.1, 0.18, 0.35, 0.5),
)
DEATH_VALLEY = Place(
    "death-valley",
    "Death Valley, California",
    -116.8660,
    36.4570,
    40,
    35,
    5,
    40,
    Style(1.0, 0.3, 1.3, 7, 0.0, 0.0, 0.0, False, True, (0.16, 0.21, 0.27)),
    {
        Cover.CROP: Season(0.27, 0.05, 110, 0.02, 95, 0.02),
        Cover.FOREST: Season(0.4, 0.05, 120),
        Cover.GRASS: Season(0.12, 0.03, 90),
        Cover.BARE: Season(0.075, 0.012, 95),
        Cover.WATER: _WATER,
    },
    (0.2, 0.2, 0.15, 0.1, 0.08, 0.05, 0.1, 0.1, 0.06, 0.06, 0.12, 0.18),
)
SULA = Place(
    "sula-vineyard",
    "Sula vineyard, Nashik, India",
    73.6880,
    20.0060,
    147,
    46,
    2,
    147,
    Style(0.5, 0.42, 0.3, 7, 0.62, 0.2, 2.0, True, False, (0.07, 0.1, 0.15)),
    {
        Cover.CROP: Season(0.45, 0.14, 300, 0.06, 60, 0.03),
        Cover.FOREST: Season(0.55, 0.18, 270),
        Cover.GRASS: Season(0.32, 0.17, 255, 0.04, 250),
        Cover.BARE: Season(0.17, 0.06, 260),
        Cover.WATER: _WATER,
    },
    (0.1, 0.08, 0.1, 0.12, 0.25, 0.62, 0.8, 0.78, 0.6, 0.28, 0.16, 0.12),
)

PLACES: Mapping[str, Place] = {place.name: place for place in (COFFEE, NAPA, DEATH_VALLEY, SULA)}
