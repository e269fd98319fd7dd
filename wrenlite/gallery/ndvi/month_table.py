"""The table of a year: an index of each place in each month, as HTML for notebooks and as text.

Styles are inline, because notebooks that are not trusted remove ``<style>``. Only cells with a value are
filled, and their text is black or white, whichever has more contrast: the rest has the colours of the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

from matplotlib.colors import to_hex, to_rgb

from wrenlite.gallery.ndvi.figures import colour_scale, level_text
from wrenlite.gallery.ndvi.results import PointNdvi, check_one_level, cloud_or_worst

_FAINT = "color:var(--jp-ui-font-color2, gray)"


@dataclass(frozen=True)
class MonthTable:
    """An index of several places in the months of a year. As the last line of a cell it shows a table."""

    caption: str
    year: int
    places: Mapping[str, Sequence[PointNdvi | None]]
    """A point for each of the twelve months, by place: that of the clearest scene which shows the place. If
    the place was hidden in all scenes of a month, it is that of the clearest of them, and the table shows why
    the place was hidden in it; if there was no scene, it is None."""
    value: str = "NDVI"
    """What the values are: the index, and where they are not of surface reflectance, of which."""

    def __repr__(self) -> str:
        lines = [self.caption, "\t".join(["", *self.places])]
        lines += ["\t".join([name, *map(_text, points)]) for name, points in self._rows()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        heads = "".join(
            f'<th colspan="2" style="text-align:center;max-width:8em">{escape(name)}</th>'
            for name in self.places
        )
        units = (
            f'<th style="text-align:center">{escape(self.value)}</th><th style="text-align:right">cloud</th>'
        )
        rows = "".join(
            f'<tr><th style="text-align:left">{name}</th>{"".join(map(_cells, points))}</tr>'
            for name, points in self._rows()
        )
        return (
            f'<table><caption style="text-align:left;padding:4px 0">{escape(self.caption)}</caption>'
            f"<thead><tr><th></th>{heads}</tr>"
            f'<tr><th style="text-align:left">{self.year}</th>{units * len(self.places)}</tr></thead>'
            f"<tbody>{rows}</tbody></table>"
        )

    def _rows(self) -> list[tuple[str, list[PointNdvi | None]]]:
        """Return the name of each month, and its points by place."""
        return [
            (f"{date(self.year, month, 1):%b}", [points[month - 1] for points in self.places.values()])
            for month in range(1, 13)
        ]


def month_table(
    places: Mapping[str, Sequence[PointNdvi]], year: int, caption: str, *, mixed: bool = False
) -> MonthTable:
    """Return the table of a year.

    Args:
        places: the points of each place, by its name, in any order and of any years. All are of one index.
        year: the year to show.
        caption: text above the table; it says whether the places are synthetic.
        mixed: allow points of levels 1 and 2 together, whose values differ.

    Raises:
        ConfigError: the points are of several indices, or of levels 1 and 2.
    """
    every_point = [point for points in places.values() for point in points]
    check_one_level(every_point, mixed)
    chosen = {
        name: [_clearest(points, year, month) for month in range(1, 13)] for name, points in places.items()
    }
    index = every_point[0].index if every_point else "NDVI"
    value = ", ".join(filter(None, (index, level_text(point.level for point in every_point))))
    return MonthTable(caption=caption, year=year, places=chosen, value=value)


def _clearest(points: Sequence[PointNdvi], year: int, month: int) -> PointNdvi | None:
    """Return a month's point with the least cloud, a masked one only where there is no other."""
    found = [point for point in points if (point.date.year, point.date.month) == (year, month)]
    return min(found, key=lambda point: (math.isnan(point.value), cloud_or_worst(point.cloud)), default=None)


def _text(point: PointNdvi | None) -> str:
    """Return the text of a cell: the value, or why there is none."""
    if point is None:
        return "no scene"
    return f"{point.value:.2f}" if not math.isnan(point.value) else point.hidden or "hidden"


def _cells(point: PointNdvi | None) -> str:
    """Return the cells of a point: its value on its colour, and the scene's cloud."""
    cloud = "" if point is None or point.cloud is None else f"{point.cloud:.0f} %"
    style = f"{_FAINT};text-align:center"
    if point is not None and not math.isnan(point.value):
        colours, low, high = colour_scale(point.index)
        fill = to_hex(colours((point.value - low) / (high - low)))
        style = f"background-color:{fill};color:{_text_colour(fill)};text-align:center"
    return f'<td style="{style}">{_text(point)}</td><td style="text-align:right">{cloud}</td>'


def _text_colour(fill: str) -> str:
    """Return black or white, whichever has more contrast with a colour; luminance is that of WCAG 2.1."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(fill)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"
