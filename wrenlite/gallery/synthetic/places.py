"""Four places with a generated landscape each, and their seasons: the truth of the synthetic archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from wrenlite.gallery.ndvi import utm
from wrenlite.gallery.synthetic.landscape import Cover, Season, Style

START = date(2021, 1, 1)
_PASSES = 68
"""Number of passes in three years: Landsat 8 passes every 16 days."""
_MISSED = 11
"""One in this many passes has no product, as also happens in reality: 62 dates remain."""


@dataclass(frozen=True)
class Place:
    """A place, and what grows there in the synthetic archive. Only the position is real."""

    name: str
    title: str
    lon: float
    lat: float
    """Longitude and latitude of the field in the middle, in degrees."""
    path: int
    row: int
    """Path and row of the scenes in WRS-2."""
    first: int
    """Day of the first pass, counted from the start of 2021."""
    seed: int
    style: Style
    seasons: Mapping[Cover, Season]
    cloud_shares: tuple[float, ...]
    """Mean share of cloud in each month."""

    @property
    def zone(self) -> int:
        """Return the number of the UTM zone of the place's scenes."""
        return int((self.lon + 180) // 6) + 1

    @property
    def dates(self) -> list[date]:
        """Return the days of the place's scenes."""
        passes = (number for number in range(_PASSES) if number % _MISSED != self.first % _MISSED)
        return [START + timedelta(self.first + 16 * number) for number in passes]

    def truth(self, day: date) -> float:
        """Return NDVI of the field in the middle, as a perfect observation would measure it."""
        return float(self.seasons[Cover.CROP].at((day - START).days))

    def corner(self, side: int) -> tuple[float, float]:
        """Return the outer corner of a square scene around the place, 15 m off multiples of 30 as in Landsat.

        Args:
            side: width and height of the scene in pixels.
        """
        x, y = utm.forward(self.lon, self.lat, self.zone)
        column, row = (float(x) - 15) // 30, (float(y) - 15) // 30 + 1
        return 30 * column + 15 - 30 * (side // 2), 30 * row + 15 + 30 * (side // 2)


_WATER = Season(level=-0.32, amplitude=0.03, peak_day=200)

COFFEE = Place(
    name="coffee-triangle",
    title="Coffee triangle, Colombia",
    lon=-75.6810,
    lat=4.8140,
    path=9,
    row=57,
    first=4,
    seed=57,
    style=Style(
        relief=1.0,
        valley=0.22,
        bearing=0.9,
        parcel=9,
        tilled=0.75,
        wooded=0.62,
        river=2.2,
        lake=False,
        desert=False,
        soil=(0.06, 0.09, 0.13),
    ),
    seasons={
        Cover.CROP: Season(
            level=0.68, amplitude=0.05, peak_day=160, second_amplitude=0.05, second_peak_day=150, drift=0.03
        ),
        Cover.FOREST: Season(
            level=0.84, amplitude=0.02, peak_day=150, second_amplitude=0.01, second_peak_day=140
        ),
        Cover.GRASS: Season(
            level=0.58, amplitude=0.04, peak_day=160, second_amplitude=0.08, second_peak_day=150
        ),
        Cover.BARE: Season(level=0.15, amplitude=0.02, peak_day=150),
        Cover.WATER: _WATER,
    },
    cloud_shares=(0.36, 0.38, 0.48, 0.6, 0.55, 0.42, 0.34, 0.38, 0.48, 0.6, 0.58, 0.42),
)
NAPA = Place(
    name="napa",
    title="Napa valley, California",
    lon=-122.3600,
    lat=38.4330,
    path=45,
    row=33,
    first=8,
    seed=45,
    style=Style(
        relief=0.8,
        valley=0.34,
        bearing=-0.9,
        parcel=8,
        tilled=0.8,
        wooded=0.4,
        river=1.3,
        lake=True,
        desert=False,
        soil=(0.08, 0.12, 0.16),
    ),
    seasons={
        Cover.CROP: Season(
            level=0.46, amplitude=0.13, peak_day=190, second_amplitude=0.05, second_peak_day=30, drift=0.03
        ),
        Cover.FOREST: Season(level=0.68, amplitude=0.05, peak_day=130),
        Cover.GRASS: Season(
            level=0.38, amplitude=0.2, peak_day=75, second_amplitude=0.05, second_peak_day=70
        ),
        Cover.BARE: Season(level=0.14, amplitude=0.03, peak_day=80),
        Cover.WATER: _WATER,
    },
    cloud_shares=(0.5, 0.45, 0.4, 0.28, 0.2, 0.1, 0.06, 0.07, 0.1, 0.18, 0.35, 0.5),
)
DEATH_VALLEY = Place(
    name="death-valley",
    title="Death Valley, California",
    lon=-116.8660,
    lat=36.4570,
    path=40,
    row=35,
    first=5,
    seed=40,
    style=Style(
        relief=1.0,
        valley=0.3,
        bearing=1.3,
        parcel=7,
        tilled=0.0,
        wooded=0.0,
        river=0.0,
        lake=False,
        desert=True,
        soil=(0.16, 0.21, 0.27),
    ),
    seasons={
        Cover.CROP: Season(
            level=0.27, amplitude=0.05, peak_day=110, second_amplitude=0.02, second_peak_day=95, drift=0.02
        ),
        Cover.FOREST: Season(level=0.4, amplitude=0.05, peak_day=120),
        Cover.GRASS: Season(level=0.12, amplitude=0.03, peak_day=90),
        Cover.BARE: Season(level=0.075, amplitude=0.012, peak_day=95),
        Cover.WATER: _WATER,
    },
    cloud_shares=(0.2, 0.2, 0.15, 0.1, 0.08, 0.05, 0.1, 0.1, 0.06, 0.06, 0.12, 0.18),
)
SULA = Place(
    name="sula-vineyard",
    title="Sula vineyard, Nashik, India",
    lon=73.6880,
    lat=20.0060,
    path=147,
    row=46,
    first=2,
    seed=147,
    style=Style(
        relief=0.5,
        valley=0.42,
        bearing=0.3,
        parcel=7,
        tilled=0.62,
        wooded=0.2,
        river=2.0,
        lake=True,
        desert=False,
        soil=(0.07, 0.1, 0.15),
    ),
    seasons={
        Cover.CROP: Season(
            level=0.45, amplitude=0.14, peak_day=300, second_amplitude=0.06, second_peak_day=60, drift=0.03
        ),
        Cover.FOREST: Season(level=0.55, amplitude=0.18, peak_day=270),
        Cover.GRASS: Season(
            level=0.32, amplitude=0.17, peak_day=255, second_amplitude=0.04, second_peak_day=250
        ),
        Cover.BARE: Season(level=0.17, amplitude=0.06, peak_day=260),
        Cover.WATER: _WATER,
    },
    cloud_shares=(0.1, 0.08, 0.1, 0.12, 0.25, 0.62, 0.8, 0.78, 0.6, 0.28, 0.16, 0.12),
)

PLACES: Mapping[str, Place] = {place.name: place for place in (COFFEE, NAPA, DEATH_VALLEY, SULA)}
