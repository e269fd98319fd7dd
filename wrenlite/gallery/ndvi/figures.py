"""What was computed, drawn: the season of a place, and maps of NDVI. For the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from wrenlite.display.figure import NotebookFigure
from wrenlite.gallery.ndvi import indices
from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.results import PointNdvi
from wrenlite.gallery.ndvi.series import Curve

NDVI = LinearSegmentedColormap.from_list(
    "ndvi", ["#2b4a7d", "#8d7a66", "#d9c9a3", "#e9e6a8", "#8fbf5a", "#3b8a3c", "#0b4f26"]
).with_extremes(bad="#f2f3f5")
"""Water blue, bare ground brown, and ever greener: from ``LOW`` to ``HIGH``."""
LOW, HIGH = -0.2, 0.9
_INK, _CURVE, _TRUTH, _CLOUD = "#1f2933", "#2c7a3f", "#c2571a", "#9fb3c8"
_COARSE_DPI = 110
"""Pixels an inch in a notebook, where a picture of noise is a large file."""
_MAP_DPI = 80
_MOST = 1_200
"""Pixels of a map's side: more than a page has."""


def season(
    points: Sequence[PointNdvi], curve: Curve, title: str, truth: Callable[[date], float] | None = None
) -> NotebookFigure:
    """NDVI of one place over time: each scene's value, the curve through them, and below the scenes' cloud.

    Args:
        points: of the place; masked ones are marked below.
        curve: through them (``points.smooth``).
        title: says what place, and whether it is synthetic.
        truth: NDVI as it truly was, where somebody knows.
    """
    figure = NotebookFigure(figsize=(10, 4.2), facecolor="white", layout="constrained")
    figure.notebook_dpi = _COARSE_DPI
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    clear = [point for point in points if not np.isnan(point.value)]
    cloud = np.array([100.0 if point.cloud is None else point.cloud for point in clear])
    spots: dict[str, Any] = {"s": 12 + 0.5 * (100 - cloud), "alpha": 0.75, "edgecolor": "white"}
    upper.scatter(
        [point.date for point in clear],
        [point.value for point in clear],
        color=_CURVE,
        label="scenes, larger with less cloud",
        **spots,
    )
    days, values = curve.daily()
    unseen = np.array([any(first < day < last for first, last in curve.gaps) for day in days])
    for blind in (False, True):  # what the curve does between far-off scenes is a guess, and drawn as one
        part = np.where(unseen == blind, values, np.nan)
        line: dict[str, Any] = {"linestyle": ":", "alpha": 0.8} if blind else {"label": "smoothing spline"}
        upper.plot(days, part, color=_CURVE, **line)
    if truth is not None:
        known = [truth(day) for day in days]
        upper.plot(days, known, "--", color=_TRUTH, linewidth=1.2, label="truth (synthetic)")
    upper.set_title(title, loc="left", color=_INK, fontweight="bold")
    upper.set_ylabel("NDVI")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    every = [point.date for point in points]
    lower.bar(every, [point.cloud or 0.0 for point in points], width=6, color=_CLOUD)  # none where unknown
    hidden = [point.date for point in points if np.isnan(point.value)]
    lower.plot(hidden, [0.0] * len(hidden), "x", color=_INK, markersize=4)
    lower.set_ylabel("cloud %")
    lower.set_xlabel("x: the place itself was hidden", fontsize="small")
    lower.set_ylim(-8, 100)
    for axes in (upper, lower):
        axes.grid(color="#e9ecf0")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    return figure


def ndvi_map(values: NDArray[Any], grid: Grid, title: str) -> NotebookFigure:
    """A map of NDVI with a colour bar; kilometres along its edges.

    Args:
        values: NDVI, NaN where masked; or x 10,000 as ``int16``. Shape (height, width).
        grid: where they lie.
        title: what of, and whether it is synthetic.
    """
    every = max(1, -(-max(values.shape) // _MOST))
    few = values[::every, ::every]
    shown = indices.to_float(few) if np.issubdtype(few.dtype, np.integer) else few
    width, height = (
        size * step / 1000 for size, step in zip((grid.width, grid.height), grid.pixel, strict=True)
    )
    figure = NotebookFigure(
        figsize=(8.2, 1.0 + 6.4 * height / width), facecolor="white", layout="constrained"
    )
    figure.notebook_dpi = _MAP_DPI
    axes = figure.subplots()
    image = axes.imshow(
        shown, cmap=NDVI, vmin=LOW, vmax=HIGH, extent=(0, width, height, 0), interpolation="nearest"
    )
    bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.85, aspect=30)
    bar.set_label("NDVI")
    axes.set_title(title, loc="left", color=_INK, fontweight="bold", fontsize="medium")
    axes.set_xlabel(f"km from the upper left corner, UTM zone {grid.zone}; grey: masked", fontsize="small")
    return figure


def globe(places: Mapping[str, tuple[float, float]]) -> NotebookFigure:
    """Draw where places are, by title with longitude and latitude in degrees, on a plain graticule."""
    figure = NotebookFigure(figsize=(8, 4), facecolor="white", layout="constrained")
    axes = figure.subplots()
    for number, (title, place) in enumerate(places.items()):
        axes.plot(*place, "o", color=_TRUTH)
        beside = (8, -14 if number % 2 else 8)  # neighbours' names are not to hide each other
        style: dict[str, Any] = {"textcoords": "offset points", "fontsize": "small", "color": _INK}
        axes.annotate(title, place, beside, **style)
    axes.set(xlim=(-180, 180), ylim=(-90, 90), aspect="equal")
    axes.set_xticks(range(-180, 181, 60), [_degrees(lon, "W", "E") for lon in range(-180, 181, 60)])
    axes.set_yticks(range(-90, 91, 30), [_degrees(lat, "S", "N") for lat in range(-90, 91, 30)])
    axes.axhline(0, color=_CLOUD, linewidth=1)
    axes.grid(color="#e9ecf0")
    axes.set_axisbelow(True)
    return figure


def _degrees(value: int, below: str, above: str) -> str:
    return f"{abs(value)}°{below if value < 0 else above if value > 0 else ''}"
