"""A query for scenes: where, when and of which products; and the scenes that are found for it.

A query is answered here and not by the services, except for place and time. Their filters drop items without
a share of cloud, and each names sensors and levels in its own way.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat.scene import ETM, OLI, TM, Product, Scene
from wrenlite.gallery.ndvi.grid import Box, check_point, intersects, split_at_antimeridian
from wrenlite.texts import counted

LEVELS = (1, 2)
"""1 is reflectance at the top of the atmosphere, 2 is surface reflectance."""
TIERS = {"T1": "tier 1", "T2": "tier 2", "RT": "the real-time tier"}
"""Tier 1 has the best geometry, tier 2 has not; scenes of the real-time tier move to one of them in a month.

Source: USGS LSDS-1656, "Landsat Collection 2 Data Dictionary".
"""
SENSORS = tuple(sensor.name for sensor in (OLI, ETM, TM))
_PLACE, _TIME, _CLOUD = "another place", "another time", "too much cloud"
"""Reasons to leave out a scene that could be used as well as those that are found."""

Ring = Sequence[tuple[float, float]]
"""Corners of a polygon as longitude and latitude."""


class Described(NamedTuple):
    """A scene, with what a query needs to know of it."""

    scene: Scene
    rings: Sequence[Ring]
    """Outlines of the ground that it covers; none where they cannot be read."""


@dataclass(frozen=True)
class Query:
    """A query for the scenes of a place, in a time, with at most some cloud, and of some kinds of product.

    A time may also be given as datetime, of which the day in UTC counts, or as text such as ``2021-05-01``.
    One level, tier or sensor may be given without a tuple.
    """

    place: tuple[float, ...]
    """Longitude and latitude of a point, or west, south, east, north of a box, in degrees."""
    start: date | None = None
    end: date | None = None
    """First and last day, both included; None: no limit."""
    cloud: float = 100.0
    """Greatest percent of the scene under cloud. Scenes whose cloud is not known are always found."""
    levels: tuple[int, ...] = (2,)
    """Levels of processing. Levels 1 and 2 have other values, which must not be compared with each other."""
    tiers: tuple[str, ...] = ("T1",)
    """Tiers, see ``TIERS``. Generated scenes, which are of no real tier, are always found."""
    sensors: tuple[str, ...] | None = None
    """Names of sensors, see ``SENSORS``; None: all."""
    bands: tuple[str, ...] = ()
    """Names of bands that a scene must have beside red and near infrared, such as ``blue`` for EVI."""

    def __post_init__(self) -> None:
        checked = {
            "place": _check_place(self.place),
            "start": _check_day("start", self.start),
            "end": _check_day("end", self.end),
            "cloud": _check_cloud(self.cloud),
            "levels": _check_choice("level", self.levels, LEVELS),
            "tiers": _check_choice("tier", self.tiers, tuple(TIERS)),
            "sensors": None if self.sensors is None else _check_choice("sensor", self.sensors, SENSORS),
            "bands": _check_choice("band", self.bands, tuple(OLI.bands)) if self.bands else (),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.start is not None and self.end is not None and self.start > self.end:
            raise ConfigError(f"the time from {self.start} to {self.end} ends before it starts")
        _ = self.boxes  # raises where the place is not valid

    @property
    def boxes(self) -> list[Box]:
        """Return the place as a box, or as two boxes where it crosses the antimeridian.

        A point becomes a box without extent.
        """
        if len(self.place) == 2:
            lon, lat = check_point(*self.place)
            return [Box(west=lon, south=lat, east=lon, north=lat)]
        return split_at_antimeridian(self.place)

    @property
    def time(self) -> str:
        """Return the time in words, for messages."""
        start = "" if self.start is None else f"from {self.start}"
        end = "" if self.end is None else f"to {self.end}"
        return " ".join(filter(None, (start, end))) or "at any time"

    def mismatch(self, described: Described) -> str | None:
        """Return why a scene is not among those that are asked for; None where it is."""
        scene = described.scene
        if not described.rings:
            return "the place cannot be read"
        if not any(intersects(ring, box) for ring in described.rings for box in self.boxes):
            return _PLACE
        if not (self.start or date.min) <= scene.date <= (self.end or date.max):
            return _TIME
        if scene.cloud is not None and scene.cloud > self.cloud:
            return _CLOUD
        return self._product_mismatch(scene.product) or self._missing_band(scene)

    def _missing_band(self, scene: Scene) -> str | None:
        """Return that a scene lacks a band, where it does."""
        return next((f"no {name} band" for name in self.bands if name not in scene.bands), None)

    def _product_mismatch(self, product: Product) -> str | None:
        """Return why a product is of another kind than those that are asked for."""
        if product.level not in self.levels:
            return f"level {product.level}"
        if product.tier not in self.tiers and not product.synthetic:
            name = TIERS.get(product.tier)
            return f"tier {product.tier}" if name is None else f"{name} ({product.tier})"
        if self.sensors is not None and product.sensor.name not in self.sensors:
            return f"sensor {product.sensor.name}"
        return None


class Scenes(list[Scene]):
    """Scenes that were found, oldest first; a list that also tells what was left out."""

    left_out: Mapping[str, int]
    """Numbers of items that were left out, by the reason in plain words, also for the query."""

    def __init__(self, scenes: Iterable[Scene] = (), left_out: Mapping[str, int] | None = None) -> None:
        """Create the list.

        Args:
            scenes: the scenes.
            left_out: numbers of items that were left out, by reason.
        """
        super().__init__(sorted(scenes, key=lambda scene: (scene.date, scene.product.id)))
        self.left_out = dict(Counter(left_out or {}).most_common())

    @property
    def kinds_left_out(self) -> Mapping[str, int]:
        """Return what was left out because of what it is, or its cloud, and not for its place or time."""
        return {reason: count for reason, count in self.left_out.items() if reason not in (_PLACE, _TIME)}

    def __repr__(self) -> str:
        return f"Scenes({self.summary()})"

    def summary(self) -> str:
        """Return in one line how many scenes were found, and what was left out for which reason."""
        found = counted(len(self), "scene")
        if self:
            first, last = self[0].date, self[-1].date
            found += f" of {first}" if first == last else f" from {first} to {last}"
        return "; ".join(filter(None, (found, self.left_out_text())))

    def left_out_text(self) -> str:
        """Return how many items were left out for which reason; an empty text where there are none."""
        if not self.left_out:
            return ""
        reasons = ", ".join(f"{reason} ({count})" for reason, count in self.left_out.items())
        return f"{counted(sum(self.left_out.values()), 'item')} left out: {reasons}"


def _day_of(value: Any) -> date:
    """Return the day in UTC of a date, a datetime or a text in ISO 8601. A time without zone is in UTC.

    Raises:
        ValueError: the text is no date.
        TypeError: the value is of another type.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    if isinstance(value, datetime):
        if value != value:  # the datetime of pandas that stands for none
            raise ValueError("there is no time")
        return (value if value.tzinfo is None else value.astimezone(UTC)).date()
    if not isinstance(value, date):
        raise TypeError(f"{type(value).__name__} is no date")
    return value


def _check_day(name: str, value: Any) -> date | None:
    """Return the first or last day of a query.

    Raises:
        ConfigError: the value is no day.
    """
    try:
        return None if value is None else _day_of(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(
            f"{name}={value!r} is no day: give a date, a datetime, a text such as '2021-05-01', or None for"
            " no limit"
        ) from error


def _check_place(place: Any) -> tuple[float, ...]:
    """Return a place as two or four numbers.

    Raises:
        ConfigError: it is something else.
    """
    try:
        numbers = () if isinstance(place, str) else tuple(float(number) for number in place)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if len(numbers) not in (2, 4):
        raise ConfigError(f"{place!r} is no place: give longitude, latitude, or west, south, east, north")
    return numbers


def _check_cloud(cloud: Any) -> float:
    """Return a share of cloud in percent.

    Raises:
        ConfigError: it is no number from 0 to 100.
    """
    number = math.nan if isinstance(cloud, bool | str) else cloud
    try:
        if 0 <= (percent := float(number)) <= 100:
            return percent
    except (TypeError, ValueError, OverflowError):
        pass
    raise ConfigError(f"cloud={cloud!r} is no share of cloud: give a percentage from 0 to 100")


def _check_choice(name: str, value: Any, known: Sequence[Any]) -> tuple[Any, ...]:
    """Return what a query asks for, as a tuple.

    Raises:
        ConfigError: nothing is asked for, or something that does not exist.
    """
    chosen = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    if not chosen or any(isinstance(each, bool) or each not in known for each in chosen):
        names = ", ".join(map(repr, known))
        raise ConfigError(f"{name}s={value!r}: give one or more of {names}, such as {name}s=({known[0]!r},)")
    return chosen
