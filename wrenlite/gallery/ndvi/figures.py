"""Figures for the client: the season of a place, maps of NDVI, and places on the globe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from wrenlite.display.notebook_figure import NotebookFigure
from wrenlite.gallery.ndvi import indices
from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.results import PointNdvi
from wrenlite.gallery.ndvi.series import Curve

COLOUR_MAP = LinearSegmentedColormap.from_list(
    "ndvi", ["#2b4a7d", "#8d7a66", "#d9c9a3", "#e9e6a8", "#8fbf5a", "#3b8a3c", "#0b4f26"]
).with_extremes(bad="#f2f3f5")
"""Colours of NDVI from ``LOW`` to ``HIGH``: water is blue, bare ground is brown, plants are ever greener."""
LOW, HIGH = -0.2, 0.9
_TEXT_COLOUR, _CURVE_COLOUR, _TRUTH_COLOUR, _CLOUD_COLOUR = "#1f2933", "#2c7a3f", "#c2571a", "#9fb3c8"
_GRID_COLOUR = "#e9ecf0"
_SEASON_DPI = 110
"""Pixels per inch of a season in a notebook; a picture of noise is a large file."""
_MAP_DPI = 80
_MAX_MAP_PIXELS = 1_200
"""Greatest width or height of a map in pixels, which is more than a page shows."""


def season(
    points: Sequence[PointNdvi], curve: Curve, title: str, truth: Callable[[date], float] | None = None
) -> NotebookFigure:
    """Draw NDVI of one place over time: each scene's value, the curve, and below them the scenes' cloud.

    Args:
        points: points of the place; masked points are marked in the lower part.
        curve: the curve through the points, from ``series.smooth``.
        title: title of the figure; it says which place this is, and whether it is synthetic.
        truth: the place's true NDVI on a day, where it is known.
    """
    figure = NotebookFigure(figsize=(10, 4.2), facecolor="white", layout="constrained")
    figure.notebook_dpi = _SEASON_DPI
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    _draw_points(upper, points)
    _draw_curve(upper, curve)
    if truth is not None:
        days, _ = curve.daily()
        true_values = [truth(day) for day in days]
        upper.plot(days, true_values, "--", color=_TRUTH_COLOUR, linewidth=1.2, label="truth (synthetic)")
    upper.set_title(title, loc="left", color=_TEXT_COLOUR, fontweight="bold")
    upper.set_ylabel("NDVI")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    _draw_cloud(lower, points)
    for axes in (upper, lower):
        axes.grid(color=_GRID_COLOUR)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    return figure


def _draw_points(axes: Any, points: Sequence[PointNdvi]) -> None:
    """Draw the usable values, larger where their scene has less cloud."""
    clear = [point for point in points if not np.isnan(point.value)]
    cloud = np.array([100.0 if point.cloud is None else point.cloud for point in clear])
    axes.scatter(
        [point.date for point in clear],
        [point.value for point in clear],
        s=12 + 0.5 * (100 - cloud),
        color=_CURVE_COLOUR,
        alpha=0.75,
        edgecolor="white",
        label="scenes, larger with less cloud",
    )


def _draw_curve(axes: Any, curve: Curve) -> None:
    """Draw the curve, dotted within its gaps: between distant scenes it is a guess."""
    days, values = curve.daily()
    in_gap = np.array([any(first < day < last for first, last in curve.gaps) for day in days])
    axes.plot(days, np.where(in_gap, np.nan, values), color=_CURVE_COLOUR, label="smoothing spline")
    axes.plot(days, np.where(in_gap, values, np.nan), color=_CURVE_COLOUR, linestyle=":", alpha=0.8)


def _draw_cloud(axes: Any, points: Sequence[PointNdvi]) -> None:
    """Draw each scene's cloud as a bar (none where it is unknown), and a cross where the place is masked."""
    days, clouds = [point.date for point in points], [point.cloud or 0.0 for point in points]
    axes.bar(days, clouds, width=6, color=_CLOUD_COLOUR)
    hidden = [point.date for point in points if np.isnan(point.value)]
    axes.plot(hidden, [0.0] * len(hidden), "x", color=_TEXT_COLOUR, markersize=4)
    axes.set_ylabel("cloud %")
    axes.set_xlabel("x: the place itself was hidden", fontsize="small")
    axes.set_ylim(-8, 100)


def ndvi_map(values: NDArray[Any], grid: Grid, title: str) -> NotebookFigure:
    """Draw a map of NDVI with a colour bar, and kilometres along its edges.

    Args:
        values: NDVI of shape (height, width), as floats with NaN where masked, or as ``int16`` x 10,000.
        grid: the grid of the values.
        title: title of the figure; it says what the map shows, and whether it is synthetic.
    """
    step = max(1, -(-max(values.shape) // _MAX_MAP_PIXELS))
    thinned = values[::step, ::step]
    pixels = indices.to_float(thinned) if np.issubdtype(thinned.dtype, np.integer) else thinned
    width_km, height_km = (
        count * metres / 1000 for count, metres in zip((grid.width, grid.height), grid.pixel, strict=True)
    )
    figure = NotebookFigure(
        figsize=(8.2, 1.0 + 6.4 * height_km / width_km), facecolor="white", layout="constrained"
    )
    figure.notebook_dpi = _MAP_DPI
    axes = figure.subplots()
    image = axes.imshow(
        pixels,
        cmap=COLOUR_MAP,
        vmin=LOW,
        vmax=HIGH,
        extent=(0, width_km, height_km, 0),
        interpolation="nearest",
    )
    bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.85, aspect=30)
    bar.set_label("NDVI")
    axes.set_title(title, loc="left", color=_TEXT_COLOUR, fontweight="bold", fontsize="medium")
    axes.set_xlabel(f"km from the upper left corner, UTM zone {grid.zone}; grey: masked", fontsize="small")
    return figure


def globe(places: Mapping[str, tuple[float, float]]) -> NotebookFigure:
    """Draw places as points on a plain grid of longitudes and latitudes.

    Args:
        places: longitude and latitude in degrees, by title.
    """
    figure = NotebookFigure(figsize=(8, 4), facecolor="white", layout="constrained")
    axes = figure.subplots()
    for number, (title, position) in enumerate(places.items()):
        axes.plot(*position, "o", color=_TRUTH_COLOUR)
        label_offset = (8, -14 if number % 2 else 8)  # alternates, so that neighbours' titles do not overlap
        style: dict[str, Any] = {
            "textcoords": "offset points",
            "fontsize": "small",
            "color": _TEXT_COLOUR,
        }
        axes.annotate(title, position, label_offset, **style)
    axes.set(xlim=(-180, 180), ylim=(-90, 90), aspect="equal")
    axes.set_xticks(range(-180, 181, 60), [_degrees(lon, "W", "E") for lon in range(-180, 181, 60)])
    axes.set_yticks(range(-90, 91, 30), [_degrees(lat, "S", "N") for lat in range(-90, 91, 30)])
    axes.axhline(0, color=_CLOUD_COLOUR, linewidth=1)
    axes.grid(color=_GRID_COLOUR)
    axes.set_axisbelow(True)
    return figure


def _degrees(value: int, negative: str, positive: str) -> str:
    """Return an angle with its direction, such as 60°W."""
    return f"{abs(value)}°{negative if value < 0 else positive if value > 0 else ''}"
