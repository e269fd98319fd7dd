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
from wrenlite.gallery.ndvi.results import PointNdvi

if TYPE_CHECKING:
    from pandas import DataFrame

_LEAST = 5
"""Days that a cubic smoothing spline needs."""
_FAINT = 0.05
"""Weight of a scene that is all cloud: a clear pixel there is suspect, and all that is known of the day."""
_STIFFNESS = 3.0e3
"""Of the curve, in days cubed: swings of a season stay, those of a month go.

The best, or within 5 % of it, for each of the four synthetic places, whose truth is known.
"""
_GAP_DAYS = 60
"""Without a usable value: what a curve shows of a longer time is its stiffness, not the place."""


@dataclass(frozen=True)
class Curve:
    """A smoothing spline through the points of one place."""

    start: date
    end: date
    used: int
    """Points that it was drawn through; masked ones are not."""
    gaps: tuple[tuple[date, date], ...]
    """Stretches of more than 60 days without a usable value: the days with one before and after each."""
    _spline: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def at(self, days: Sequence[date]) -> NDArray[np.float64]:
        """NDVI on days, shape (days,). Outside of start and end it goes on straight, and means little."""
        return np.asarray(self._spline(_numbers(days)), np.float64)

    def daily(self) -> tuple[list[date], NDArray[np.float64]]:
        """Every day from start to end, and NDVI on each."""
        days = [self.start + timedelta(number) for number in range((self.end - self.start).days + 1)]
        return days, self.at(days)


def smooth(points: Iterable[PointNdvi], stiffness: float | None = _STIFFNESS) -> Curve:
    """A cubic smoothing spline through the usable points, each weighted by how little cloud its scene has.

    Days with several points, where swaths overlap, count once, with their weighted mean.

    Args:
        points: of one place, in any order.
        stiffness: how much a bend costs against a distance from a point (scipy's ``lam``, with time in days);
            None chooses it by generalised cross-validation, which follows noise where points are few.

    Raises ConfigError with fewer than five usable days, PackageMissing without scipy.
    """
    try:
        from scipy.interpolate import make_smoothing_spline
    except ImportError as error:
        raise PackageMissing(f"smoothing needs {error.name}: pip install 'wrenlite[landsat]'") from error
    usable = sorted((point for point in points if not np.isnan(point.value)), key=lambda point: point.date)
    days, where = np.unique(_numbers([point.date for point in usable]), return_inverse=True)
    if len(days) < _LEAST:
        raise ConfigError(
            f"{len(days)} days have a usable value; a curve needs {_LEAST}: take more time, or more cloud"
        )
    each = np.array([max(_FAINT, 1 - (point.cloud or 0.0) / 100) for point in usable])
    weights = np.bincount(where, each)
    values = np.bincount(where, each * np.array([point.value for point in usable])) / weights
    spline: Any = make_smoothing_spline(days, values, w=weights, lam=stiffness)
    return Curve(usable[0].date, usable[-1].date, len(usable), _gaps(usable), spline)


def _gaps(usable: Sequence[PointNdvi]) -> tuple[tuple[date, date], ...]:
    """Between points by date, those that are far apart."""
    days = [point.date for point in usable]
    return tuple(pair for pair in pairwise(days) if (pair[1] - pair[0]).days > _GAP_DAYS)


def table(points: Iterable[PointNdvi], place: str = "") -> DataFrame:
    """One row a scene, by date: place, date, ndvi (NaN where masked), cloud in percent, product, seconds.

    Raises PackageMissing without pandas.
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


def _numbers(days: Sequence[date]) -> NDArray[np.float64]:
    return np.array([day.toordinal() for day in days], np.float64)
