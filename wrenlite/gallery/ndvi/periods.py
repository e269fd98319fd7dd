"""Months, seasons and years, into which days are sorted. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import NamedTuple, TypeVar

from wrenlite.errors import ConfigError

T = TypeVar("T")


class Period(NamedTuple):
    """Some days that belong together."""

    label: str
    """Such as ``2021-06``, ``2021-3-JJA`` or ``2021``; it sorts and can be part of a file's name."""
    start: date
    end: date
    """First and last day, both included."""

    def days_from_middle(self, day: date) -> float:
        """Return how many days lie between a day and the period's middle."""
        return abs((day - self.start).days - (self.end - self.start).days / 2)


def _month(day: date) -> Period:
    return _months(f"{day:%Y-%m}", day.year, day.month, 1)


def _season(day: date) -> Period:
    """Return the meteorological season of a day; that from December has the year of its January."""
    year, number = day.year + day.month // 12, day.month % 12 // 3
    name = ("DJF", "MAM", "JJA", "SON")[number]
    return _months(f"{year}-{number + 1}-{name}", year, 3 * number, 3)


def _year(day: date) -> Period:
    return _months(f"{day:%Y}", day.year, 1, 12)


def _months(label: str, year: int, month: int, count: int) -> Period:
    """Return a period of whole months; month 0 is the December before."""
    start = date(year, month, 1) if month else date(year - 1, 12, 1)
    after = (start.year * 12 + start.month - 1) + count
    return Period(label=label, start=start, end=date(after // 12, after % 12 + 1, 1) - timedelta(days=1))


_KINDS: dict[str, Callable[[date], Period]] = {"month": _month, "season": _season, "year": _year}


def check_kind(kind: str | None) -> None:
    """Check that periods of a kind exist.

    Raises:
        ConfigError: it is none of ``month``, ``season``, ``year`` and None.
    """
    if kind is not None and (not isinstance(kind, str) or kind not in _KINDS):
        raise ConfigError(
            f"period={kind!r} is not known: take {', '.join(_KINDS)}, or None for all days at once"
        )


def periods_of(dated: Iterable[tuple[date, T]], kind: str | None) -> dict[Period, list[T]]:
    """Return things by the period of their day, the earliest period first; periods without any are left out.

    Args:
        dated: days and things.
        kind: ``month``, ``season`` (from December, March, June, September), ``year``, or None: all are in
            one period, from the first to the last day.

    Raises:
        ConfigError: there is no such kind.
    """
    check_kind(kind)
    pairs = list(dated)
    days = [day for day, _ in pairs]
    every = Period("all", min(days), max(days)) if pairs else None
    found: dict[Period, list[T]] = {}
    for day, thing in pairs:
        found.setdefault(every if kind is None and every else _KINDS[kind or "year"](day), []).append(thing)
    return dict(sorted(found.items(), key=lambda pair: pair[0].start))
