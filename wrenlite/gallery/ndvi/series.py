"""A place's NDVI over the years: the table of its points, and a smooth curve through them. For the client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError, PackageMissing
from wrenlite.gallery.ndvi.results import PointNdvi, cloud_or_worst
from wrenlite.texts import counted

if TYPE_CHECKING:
    from pandas import DataFrame

_MIN_DAYS = 5
"""Number of days that a cubic smoothing spline needs."""
_MIN_WEIGHT = 0.05
"""Weight of a scene that is all cloud: a clear pixel in it is doubtful, but no other is known of that day."""
_SMOOTHING = 3.0e3
"""Smoothing parameter of the curve, in days cubed: it keeps the changes of a season, not those of a month.

This is the best value, or within 5 % of it, for each of the four synthetic places, whose truth is known.
"""
_GAP_DAYS = 60
"""Time without a usable value after which the curve shows its own smoothness, and not the place."""


@dataclass(frozen=True)
class Curve:
    """A smoothing spline through the points of one place."""

    start: date
    end: date
    used: int
    """Number of points that the curve was fitted to; masked points are not used."""
    gaps: tuple[tuple[date, date], ...]
    """Periods of more than 60 days without a usable value: the last day before, and the first after each."""
    _spline: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def at(self, days: Sequence[date]) -> NDArray[np.float64]:
        """Return NDVI on some days, of shape (days,).

        Before ``start`` and after ``end`` the curve is a straight line, which means little.
        """
        return np.asarray(self._spline(_ordinals(days)), np.float64)

    def daily(self) -> tuple[list[date], NDArray[np.float64]]:
        """Return every day from start to end, and NDVI on each."""
        days = [self.start + timedelta(number) for number in range((self.end - self.start).days + 1)]
        return days, self.at(days)


def smooth(points: Iterable[PointNdvi], smoothing: float | None = _SMOOTHING) -> Curve:
    """Fit a cubic smoothing spline to the usable points, where a scene with less cloud has more weight.

    A day with several points, where swaths overlap, counts once, with their weighted mean.

    Args:
        points: points of one place, in any order.
        smoothing: how much the curve's bending costs in comparison with its distance from the points (``lam``
            of scipy's ``make_smoothing_spline``, with time in days); None chooses it by generalised
            cross-validation, which follows noise where points are few.

    Raises:
        ConfigError: fewer than five days have a usable value.
        PackageMissing: scipy is not installed.
    """
    try:
        from scipy.interpolate import make_smoothing_spline
    except ImportError as error:
        raise PackageMissing(f"smoothing needs {error.name}: pip install 'wrenlite[landsat]'") from error
    usable = sorted((point for point in points if not np.isnan(point.value)), key=lambda point: point.date)
    days, day_of_point = np.unique(_ordinals([point.date for point in usable]), return_inverse=True)
    if len(days) < _MIN_DAYS:
        raise ConfigError(
            f"only {counted(len(days), 'day')} with a usable value, and a curve needs {_MIN_DAYS}: take a "
            "longer time, or scenes with more cloud"
        )
    point_weights = np.array([max(_MIN_WEIGHT, 1 - cloud_or_worst(point.cloud) / 100) for point in usable])
    weights = np.bincount(day_of_point, point_weights)
    sums = np.bincount(day_of_point, point_weights * np.array([point.value for point in usable]))
    spline: Any = make_smoothing_spline(days, sums / weights, w=weights, lam=smoothing)
    return Curve(
        start=usable[0].date, end=usable[-1].date, used=len(usable), gaps=_gaps(usable), _spline=spline
    )


def _gaps(usable: Sequence[PointNdvi]) -> tuple[tuple[date, date], ...]:
    """Return the pairs of successive days that are more than 60 days apart; the points are sorted by date."""
    days = [point.date for point in usable]
    return tuple(pair for pair in pairwise(days) if (pair[1] - pair[0]).days > _GAP_DAYS)


def table(points: Iterable[PointNdvi], place: str = "") -> DataFrame:
    """Return a table with one row per scene, sorted by date.

    Its columns are place, date, ndvi (NaN where masked), cloud in percent, product, and the seconds that
    opening, reading and computing took.

    Args:
        points: points of one place, in any order.
        place: name of the place, for the column.

    Raises:
        PackageMissing: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise PackageMissing(f"a table needs {error.name}: pip install 'wrenlite[landsat]'") from error
    rows = [
        {
            "place": place,
            "date": pandas.Timestamp(point.date),
            "ndvi": point.value,
            "cloud": np.nan if point.cloud is None else point.cloud,
            "product": point.product,
            "open_s": point.timing.open_s,
            "read_s": point.timing.read_s,
            "compute_s": point.timing.compute_s,
        }
        for point in sorted(points, key=lambda point: (point.date, point.product))
    ]
    columns = ["place", "date", "ndvi", "cloud", "product", "open_s", "read_s", "compute_s"]
    return pandas.DataFrame(rows, columns=columns)


def _ordinals(days: Sequence[date]) -> NDArray[np.float64]:
    """Return days as numbers, counted from the year 1."""
    return np.array([day.toordinal() for day in days], np.float64)
