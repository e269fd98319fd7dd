"""Figures for the client: seasons of places, scenes in true colour, maps of NDVI, and places on the globe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from wrenlite.display.notebook_figure import NotebookFigure
from wrenlite.gallery.ndvi import indices, land
from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.results import PointNdvi, cloud_or_worst
from wrenlite.gallery.ndvi.series import Curve

_NO_DATA_COLOUR = "#d5d9de"
COLOUR_MAP = LinearSegmentedColormap.from_list(
    "ndvi", ["#2b4a7d", "#8d7a66", "#d9c9a3", "#e9e6a8", "#8fbf5a", "#3b8a3c", "#0b4f26"]
).with_extremes(bad=_NO_DATA_COLOUR)
"""Colours of NDVI from ``LOW`` to ``HIGH``: water is blue, bare ground is brown, plants are ever greener."""
LOW, HIGH = -0.2, 0.9
_TEXT_COLOUR, _CURVE_COLOUR, _TRUTH_COLOUR, _CLOUD_COLOUR = "#1f2933", "#2c7a3f", "#c2571a", "#9fb3c8"
_HIDDEN_COLOUR = "#5f6b7a"
_GRID_COLOUR = "#e9ecf0"
_LAND_COLOUR, _SEA_COLOUR = "#dfe3d6", "#f4f8fb"
_WIDTH = 9.0
"""Width of a figure in inches: 900 pixels of a page."""
_FONT, _SMALL_FONT = 12.0, 11.0
"""Sizes of text in points, which can still be read where a narrow page shrinks the figure to 500 pixels."""
_SEASON_DPI = 110
"""Pixels per inch of a season in a notebook; a picture of noise is a large file."""
_MAP_DPI = 130
_MAX_MAP_PIXELS = 1_000
"""Greatest width or height of a map in pixels, which is more than a page shows."""
_POINT_SIZE = 8.0
"""Size of a place on the globe, in points."""
_SIDES = (
    ((8, 0), "left", "center"),
    ((-8, 0), "right", "center"),
    ((0, 7), "center", "bottom"),
    ((0, -7), "center", "top"),
)
"""Where a place's title can stand: its distance in points from the place, and how it is aligned there."""


class Season(NamedTuple):
    """NDVI of one place over time, as ``seasons`` draws it."""

    points: Sequence[PointNdvi]
    curve: Curve
    truth: Callable[[date], float] | None = None
    """The place's true NDVI on a day, where it is known."""


def seasons(places: Mapping[str, Season], title: str) -> NotebookFigure:
    """Draw the seasons of several places below one another, with the same axes, so that they can be compared.

    Args:
        places: the seasons, by the places' names.
        title: title of the figure; it says whether the places are synthetic.
    """
    figure = _new_figure(0.9 + 1.75 * len(places), _SEASON_DPI)
    every_axes = figure.subplots(len(places), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, season) in zip(every_axes, places.items(), strict=True):
        _draw_season(axes, season)
        hidden = [point.date for point in season.points if np.isnan(point.value)]
        axes.plot(
            hidden,
            [0.02] * len(hidden),
            "x",
            color=_HIDDEN_COLOUR,
            markersize=5,
            label="the place was hidden",
        )
        axes.set_title(name, loc="left", color=_TEXT_COLOUR, fontsize=_FONT)
        axes.set_ylabel("NDVI", fontsize=_SMALL_FONT)
        _tidy(axes)
    _set_ndvi_axis(every_axes[0], [season.points for season in places.values()])
    _draw_title(figure, title)
    handles, labels = every_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=_SMALL_FONT)
    return figure


def season(
    points: Sequence[PointNdvi], curve: Curve, title: str, truth: Callable[[date], float] | None = None
) -> NotebookFigure:
    """Draw NDVI of one place over time: each scene's value, the curve, and below them the scenes' cloud.

    The axis of NDVI goes from 0 (or from the lowest value, if that is below 0) to 1, whatever the place is.

    Args:
        points: points of the place; masked points are marked in the lower part.
        curve: the curve through the points, from ``series.smooth``.
        title: title of the figure; it says which place this is, and whether it is synthetic.
        truth: the place's true NDVI on a day, where it is known.
    """
    figure = _new_figure(4.4, _SEASON_DPI)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    _draw_season(upper, Season(points, curve, truth))
    _set_ndvi_axis(upper, [points])
    _draw_title(figure, title)
    upper.set_ylabel("NDVI", fontsize=_SMALL_FONT)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=_SMALL_FONT)
    _draw_cloud(lower, points)
    for axes in (upper, lower):
        _tidy(axes)
    return figure


def _new_figure(height: float, dpi: int) -> NotebookFigure:
    """Return an empty figure of the usual width.

    Args:
        height: height in inches.
        dpi: pixels per inch of its picture in a notebook.
    """
    figure = NotebookFigure(figsize=(_WIDTH, height), facecolor="white", layout="constrained")
    figure.notebook_dpi = dpi
    figure.few_colours = True
    return figure


def _draw_title(figure: NotebookFigure, title: str) -> None:
    """Draw the title of a whole figure at its left edge."""
    figure.suptitle(title, x=0.01, ha="left", color=_TEXT_COLOUR, fontweight="bold", fontsize=_FONT)


def _tidy(axes: Any) -> None:
    """Draw light lines behind the data, and no box around it."""
    axes.grid(color=_GRID_COLOUR)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=_SMALL_FONT)


def _set_ndvi_axis(axes: Any, points: Sequence[Sequence[PointNdvi]]) -> None:
    """Set the same axis for all places on land: one that scaled itself would make any place look seasonal."""
    lowest = min((point.value for each in points for point in each if not np.isnan(point.value)), default=0.0)
    axes.set_ylim(min(0.0, lowest - 0.05), 1.0)


def _draw_season(axes: Any, season: Season) -> None:
    """Draw the values of the scenes, the curve, and the truth where it is known."""
    _draw_points(axes, season.points)
    _draw_curve(axes, season.curve)
    if season.truth is not None:
        days, _ = season.curve.daily()
        true_values = [season.truth(day) for day in days]
        axes.plot(days, true_values, "--", color=_TRUTH_COLOUR, linewidth=1.4, label="truth (synthetic)")


def _draw_points(axes: Any, points: Sequence[PointNdvi]) -> None:
    """Draw the usable values, larger where their scene has less cloud."""
    clear = [point for point in points if not np.isnan(point.value)]
    cloud = np.array([cloud_or_worst(point.cloud) for point in clear])
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
    axes.set_ylabel("cloud, %", fontsize=_SMALL_FONT)
    axes.set_xlabel("×: the place itself was hidden", fontsize=_SMALL_FONT)
    axes.set_ylim(-8, 100)


def ndvi_map(values: NDArray[Any], grid: Grid, title: str) -> NotebookFigure:
    """Draw a map of NDVI with a colour bar, and kilometres along its edges.

    Args:
        values: NDVI of shape (height, width), as floats with NaN where masked, or as ``int16`` x 10,000.
        grid: the grid of the values.
        title: title of the figure; it says what the map shows, and whether it is synthetic.
    """
    width_km, height_km = _size_km(grid)
    figure = _new_figure(1.0 + 7.0 * height_km / width_km, _MAP_DPI)
    axes = figure.subplots()
    _draw_colour_bar(figure, _draw_map(axes, values, grid), axes)
    _draw_title(figure, title)
    _label_map(axes)
    return figure


def ndvi_maps(maps: Mapping[str, NDArray[Any]], grid: Grid, title: str, columns: int = 4) -> NotebookFigure:
    """Draw several maps of one area beside one another, with one scale of colours.

    Args:
        maps: NDVI by the title of each map, each as ``ndvi_map`` takes it.
        grid: the grid of all maps.
        title: title of the figure; it says what the maps show, and whether they are synthetic.
        columns: number of maps in a row.
    """
    rows = -(-len(maps) // columns)
    width_km, height_km = _size_km(grid)
    height = 0.9 + rows * (0.35 + (_WIDTH - 2.2) / columns * height_km / width_km)
    figure = _new_figure(height, _MAP_DPI)
    figure.set_layout_engine("compressed")
    every_axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in every_axes.flat[len(maps) :]:
        axes.set_axis_off()
    for axes, (name, values) in zip(every_axes.flat, maps.items(), strict=False):
        image = _draw_map(axes, values, grid)
        axes.set_title(name, loc="left", color=_TEXT_COLOUR, fontsize=_SMALL_FONT)
        axes.tick_params(labelsize=_SMALL_FONT)
    every_axes[0, 0].locator_params(nbins=4, integer=True)
    _draw_colour_bar(figure, image, every_axes)
    _draw_title(figure, title)
    figure.supxlabel("km to the east", fontsize=_SMALL_FONT)
    figure.supylabel("km to the south", fontsize=_SMALL_FONT)
    return figure


def true_colour(
    pictures: Mapping[str, tuple[NDArray[np.uint8], Grid]], title: str, columns: int = 2
) -> NotebookFigure:
    """Draw pictures of scenes beside one another, with kilometres along their edges.

    Args:
        pictures: red, green and blue of shape (height, width, 3) and their grid, by the title of each
            picture. Pixels that are 0 in all three are drawn as no data. A dark picture is brightened, to at
            most 1.6 times its values.
        title: title of the figure; it says whether the scenes are synthetic.
        columns: number of pictures in a row.
    """
    rows = -(-len(pictures) // columns)
    figure = _new_figure(0.6 + rows * (0.75 + (_WIDTH - 1.4) / columns), _MAP_DPI)
    figure.set_layout_engine("constrained", hspace=0.05)  # between a picture's label and the next title
    every_axes = figure.subplots(rows, columns, squeeze=False)
    for axes in every_axes.flat[len(pictures) :]:
        axes.set_axis_off()
    for axes, (name, (picture, grid)) in zip(every_axes.flat, pictures.items(), strict=False):
        axes.set_facecolor(_NO_DATA_COLOUR)
        axes.imshow(_brightened(picture), extent=_extent(grid), interpolation="nearest")
        axes.set_title(name, loc="left", color=_TEXT_COLOUR, fontsize=_FONT)
        _label_map(axes)
    _draw_title(figure, title)
    return figure


def _brightened(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return a picture as numbers from 0 to 1, so bright that its brightest parts, 2 %, are white.

    A fourth number of each pixel is its opacity, which is 0 where there is no data.
    """
    seen = picture.any(axis=2)
    brightest = np.percentile(picture[seen].max(axis=1), 98) if seen.any() else 255.0
    bright = np.clip(picture / np.clip(brightest, 160.0, 255.0), 0.0, 1.0)
    return np.dstack([bright, seen])


def _size_km(grid: Grid) -> tuple[float, float]:
    """Return width and height of a grid in kilometres."""
    return grid.width * grid.pixel[0] / 1000, grid.height * grid.pixel[1] / 1000


def _extent(grid: Grid) -> tuple[float, float, float, float]:
    """Return the edges of a grid in kilometres from its upper left corner: left, right, lower, upper."""
    width_km, height_km = _size_km(grid)
    return 0.0, width_km, height_km, 0.0


def _draw_map(axes: Any, values: NDArray[Any], grid: Grid) -> Any:
    """Draw NDVI, thinned where it has more pixels than a page shows, and return the image."""
    step = max(1, -(-max(values.shape) // _MAX_MAP_PIXELS))
    thinned = values[::step, ::step]
    pixels = indices.to_float(thinned) if np.issubdtype(thinned.dtype, np.integer) else thinned
    return axes.imshow(
        pixels, cmap=COLOUR_MAP, vmin=LOW, vmax=HIGH, extent=_extent(grid), interpolation="nearest"
    )


def _draw_colour_bar(figure: NotebookFigure, image: Any, axes: Any) -> None:
    """Draw the scale of colours at the right of one or many axes."""
    bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.85, aspect=30)
    bar.set_label("NDVI (grey: hidden)", fontsize=_SMALL_FONT)
    bar.ax.tick_params(labelsize=_SMALL_FONT)


def _label_map(axes: Any) -> None:
    """Label the edges of a map, whose kilometres count from its upper left corner."""
    axes.set_xlabel("km to the east", fontsize=_SMALL_FONT)
    axes.set_ylabel("km to the south", fontsize=_SMALL_FONT)
    axes.tick_params(labelsize=_SMALL_FONT)


def globe(places: Mapping[str, tuple[float, float]]) -> NotebookFigure:
    """Draw places as points on a map of the world, each with its title beside it.

    A title stands on the first side of its point where it covers no other point or title.

    Args:
        places: longitude and latitude in degrees, by title.
    """
    figure = _new_figure(3.85, _SEASON_DPI)
    axes = figure.subplots()
    axes.set_facecolor(_SEA_COLOUR)
    axes.add_patch(land.patch(facecolor=_LAND_COLOUR, edgecolor=_CLOUD_COLOUR, linewidth=0.6))
    axes.set(xlim=(-180, 180), ylim=(-60, 85), aspect="equal")
    axes.set_xticks(range(-120, 121, 60), [_degrees(lon, "W", "E") for lon in range(-120, 121, 60)])
    axes.set_yticks(range(-60, 85, 30), [_degrees(lat, "S", "N") for lat in range(-60, 85, 30)])
    axes.tick_params(labelsize=_SMALL_FONT)
    axes.grid(color=_GRID_COLOUR)
    axes.set_axisbelow(True)
    for position in places.values():
        axes.plot(*position, "o", color=_TRUTH_COLOUR, markeredgecolor="white", markersize=_POINT_SIZE)
    figure.draw_without_rendering()  # sets the layout, on which sizes and places of texts depend
    covered = [_box_of_point(axes, position) for position in places.values()]
    for title, position in places.items():
        covered.append(_write_beside(axes, title, position, covered))
    return figure


def _box_of_point(axes: Any, position: tuple[float, float]) -> Bbox:
    """Return the pixels that a point covers."""
    x, y = axes.transData.transform(position)
    radius = _POINT_SIZE / 2 * axes.figure.dpi / 72
    return Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)


def _write_beside(axes: Any, title: str, position: tuple[float, float], covered: Sequence[Bbox]) -> Bbox:
    """Write a title on the first side of its point where it covers nothing, and return its box.

    Where there is no such side it is written on the right.
    """

    def write(side: tuple[tuple[int, int], str, str]) -> Any:
        distance, horizontal, vertical = side
        style: dict[str, Any] = {"ha": horizontal, "va": vertical, "fontsize": _FONT, "color": _TEXT_COLOUR}
        return axes.annotate(title, position, distance, textcoords="offset points", **style)

    for side in _SIDES:
        text = write(side)
        box: Bbox = text.get_window_extent()
        inside = axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
        if inside and not box.count_overlaps(covered):
            return box
        text.remove()
    box = write(_SIDES[0]).get_window_extent()
    return box


def _degrees(value: int, negative: str, positive: str) -> str:
    """Return an angle with its direction, such as 60°W."""
    return f"{abs(value)}°{negative if value < 0 else positive if value > 0 else ''}"
