"""Figures for the client: seasons of places, scenes in true colour, maps of NDVI, and places on the globe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from wrenlite.display.notebook_figure import NotebookFigure
from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi import indices, land
from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.harmonisation import comparability, harmonise, sensors_named
from wrenlite.gallery.ndvi.masks import Hidden
from wrenlite.gallery.ndvi.results import PointNdvi, cloud_or_worst
from wrenlite.gallery.ndvi.series import Curve
from wrenlite.texts import counted

_NO_DATA_COLOUR = "#d5d9de"
COLOUR_MAP = LinearSegmentedColormap.from_list(
    "ndvi", ["#2b4a7d", "#8d7a66", "#d9c9a3", "#e9e6a8", "#8fbf5a", "#3b8a3c", "#0b4f26"]
).with_extremes(bad=_NO_DATA_COLOUR)
"""Colours of NDVI from ``LOW`` to ``HIGH``: water is blue, bare ground is brown, plants are ever greener."""
LOW, HIGH = -0.2, 0.9
_VEGETATION = ("NDVI", "EVI", "SAVI")
"""Indices that are drawn in these colours; others go from brown through white, which is 0, to green."""
_LOWERED_BY_HAZE = ("NDVI", "SAVI")
"""Indices that haze lowers: it brightens red more than near infrared. EVI makes up for most of it by blue."""
_TEXT_COLOUR, _CURVE_COLOUR, _TRUTH_COLOUR, _CLOUD_COLOUR = "#1f2933", "#2c7a3f", "#c2571a", "#9fb3c8"
_SENSOR_STYLES = {"OLI": ("o", _CURVE_COLOUR), "ETM+": ("s", "#b07d12"), "TM": ("^", "#6a51a3")}
"""Marker and colour of the points of each sensor; an unknown sensor has those of OLI."""
_REASON_STYLES = {
    "fill": ("_", "#5f6b7a"),
    "cloud": ("x", "#5f6b7a"),
    "shadow": ("v", "#1f2933"),
    "snow": ("*", "#1f77b4"),
    "saturated": ("P", "#c2571a"),
    "out of range": ("D", "#8a4f9e"),
}
"""Marker and colour of the days on which a place was hidden, by reason."""
_GRID_COLOUR = "#e9ecf0"
_LAND_COLOUR, _SEA_COLOUR = "#dfe3d6", "#f4f8fb"
_WIDTH = 9.0
"""Width of a figure in inches: 900 pixels of a page."""
_FONT, _SMALL_FONT = 12.0, 11.0
"""Sizes of text in points, which can still be read where a narrow page shrinks the figure to 500 pixels."""
_SEASON_DPI = 110
"""Pixels per inch of a season in a notebook; a picture of noise is a large file."""
_TITLE_CHARACTERS = 76
"""Greatest length of a line of a title, which has the figure's width in bold letters of the usual width."""
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


def colour_scale(index: str = "NDVI") -> tuple[Colormap, float, float]:
    """Return the colours in which maps and tables show an index, and the values at their two ends."""
    if index in _VEGETATION:
        return COLOUR_MAP, LOW, HIGH
    return colormaps["BrBG"].with_extremes(bad=_NO_DATA_COLOUR), -0.8, 0.8


class Season(NamedTuple):
    """NDVI, or another index, of one place over time, as ``seasons`` draws it."""

    points: Sequence[PointNdvi]
    curve: Curve
    truth: Callable[[date], float] | None = None
    """The place's true NDVI on a day, where it is known."""


def seasons(places: Mapping[str, Season], title: str) -> NotebookFigure:
    """Draw the seasons of several places below one another, with the same axes, so that they can be compared.

    Days on which a place was hidden are marked at the lower edge, by reason.

    Args:
        places: the seasons, by the places' names.
        title: title of the figure; it says whether the places are synthetic.

    Raises:
        ConfigError: there are no places.
    """
    if not places:
        raise ConfigError("a figure of seasons needs at least one place, and there are no places")
    drawn = {name: _as_fitted(season) for name, season in places.items()}
    figure = _new_figure(1.3 + 1.75 * len(places), _SEASON_DPI)
    every_axes = figure.subplots(len(places), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, season) in zip(every_axes, drawn.items(), strict=True):
        _draw_season(axes, season)
        _mark_hidden(axes, season.points, 0.04, axes.get_xaxis_transform())
        axes.set_title(fill(name, _TITLE_CHARACTERS), loc="left", color=_TEXT_COLOUR, fontsize=_FONT)
        axes.set_ylabel(_value_label(season.points), fontsize=_SMALL_FONT)
        _tidy(axes)
    _set_index_axis(every_axes[0], drawn.values())
    _draw_title(figure, title)
    _draw_legend(figure, every_axes, drawn.values())
    return figure


def season(
    points: Sequence[PointNdvi], curve: Curve, title: str, truth: Callable[[date], float] | None = None
) -> NotebookFigure:
    """Draw an index of one place over time: each scene's value, the curve with its band, and the cloud.

    Its axis goes from 0 (or from the lowest value, if that is below 0) to 1, whatever the place is.

    Args:
        points: points of the place; hidden points are marked by reason in the lower part.
        curve: the curve through the points, from ``series.smooth``. If that has harmonised them, they are
            drawn harmonised.
        title: title of the figure; it says which place this is, and whether it is synthetic.
        truth: the place's true value on a day, where it is known.
    """
    drawn = _as_fitted(Season(points, curve, truth))
    figure = _new_figure(4.8, _SEASON_DPI)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    _draw_season(upper, drawn)
    _set_index_axis(upper, [drawn])
    upper.set_ylabel(_value_label(points), fontsize=_SMALL_FONT)
    _draw_cloud(lower, points)
    _mark_hidden(lower, points, 0.07, lower.get_xaxis_transform())
    for axes in (upper, lower):
        _tidy(axes)
    _draw_title(figure, title)
    _draw_legend(figure, (upper, lower), [drawn])
    return figure


def _as_fitted(season: Season) -> Season:
    """Return a season whose points are harmonised if its curve was fitted to harmonised points."""
    return season._replace(points=harmonise(season.points)) if season.curve.harmonised else season


def _value_label(points: Sequence[PointNdvi]) -> str:
    """Return the label of an axis for the values of some points."""
    if not points:
        return "NDVI"
    return "\n".join(filter(None, (points[0].index, level_text(point.level for point in points))))


def level_text(levels: Iterable[int]) -> str:
    """Return what reflectances of some levels are, empty where they are those of the surface."""
    found = set(levels)
    if len(found) > 1:
        return "levels 1 and 2"
    return "top of atmosphere" if found == {1} else ""


def _draw_legend(figure: NotebookFigure, every_axes: Iterable[Any], places: Iterable[Season]) -> None:
    """Draw a legend with every label once, and below it what must be known to read the figure."""
    found = [axes.get_legend_handles_labels() for axes in every_axes]
    handles = {label: handle for pair in found for handle, label in zip(*pair, strict=True)}
    note = _note(list(places))
    legend = figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=4 if len(handles) < 9 else 3,
        frameon=False,
        fontsize=_SMALL_FONT,
        title=note,
        title_fontsize=_SMALL_FONT,
        columnspacing=1.4,
    )
    legend.get_title().set_color(_TEXT_COLOUR)


def _note(places: Sequence[Season]) -> str:
    """Return what must be known to read a figure of seasons: what its points are, and what no band covers."""
    points = [point for season in places for point in season.points]
    lines = ["Larger points: scenes with less cloud."]
    if compared := comparability(points):
        lines.insert(0, f"{compared}.")
    blind = {point.product for point in points if "cloud" in point.unseen}
    if blind:
        lines.append(f"Clouds are not masked in {counted(len(blind), 'scene')}: there is no quality band.")
    biases = [_bias(season) for season in places if season.truth is not None]
    if biases:
        least, most = (f"{abs(bias):.3f}" for bias in (max(biases), min(biases)))
        amount = most if least == most else f"{least} to {most}"
        side = "below" if max(biases) <= 0 else "off"
        lines.append(
            f"Points are {amount} {side} the truth on average: haze that no mask flags and no band covers."
        )
    elif any(point.index in _LOWERED_BY_HAZE for point in points):
        lines.append("Haze that no mask flags lowers points and band.")
    return "\n".join(lines)


def _bias(season: Season) -> float:
    """Return the mean difference of a season's points from the truth, 0 where there are none."""
    truth = season.truth
    usable = [point for point in season.points if not np.isnan(point.value)]
    if truth is None or not usable:
        return 0.0
    return float(np.mean([point.value - truth(point.date) for point in usable]))


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
    wrapped = fill(title, _TITLE_CHARACTERS)
    figure.suptitle(wrapped, x=0.01, ha="left", color=_TEXT_COLOUR, fontweight="bold", fontsize=_FONT)


def _tidy(axes: Any) -> None:
    """Draw light lines behind the data, and no box around it."""
    axes.grid(color=_GRID_COLOUR)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=_SMALL_FONT)


def _set_index_axis(axes: Any, places: Iterable[Season]) -> None:
    """Set the same axis for all places on land: one that scaled itself would make any place look seasonal."""
    values = [point.value for season in places for point in season.points if not np.isnan(point.value)]
    axes.set_ylim(min([0.0, *(value - 0.05 for value in values)]), max([1.0, *values]))


def _draw_season(axes: Any, season: Season) -> None:
    """Draw the values of the scenes, the curve with its band, and the truth where it is known."""
    days, values = season.curve.daily()
    axes.fill_between(
        days, *season.curve.band(days), color=_CURVE_COLOUR, alpha=0.16, linewidth=0, label="95 % band"
    )
    _draw_points(axes, season.points)
    in_gap = np.array([any(first < day < last for first, last in season.curve.gaps) for day in days])
    axes.plot(days, np.where(in_gap, np.nan, values), color=_CURVE_COLOUR, label="smoothing spline")
    axes.plot(days, np.where(in_gap, values, np.nan), color=_CURVE_COLOUR, linestyle=":", alpha=0.8)
    if season.truth is not None:
        true_values = [season.truth(day) for day in days]
        axes.plot(days, true_values, "--", color=_TRUTH_COLOUR, linewidth=1.4, label="truth (synthetic)")


def _draw_points(axes: Any, points: Sequence[PointNdvi]) -> None:
    """Draw the usable values, larger where their scene has less cloud, with a marker for each sensor."""
    clear = [point for point in points if not np.isnan(point.value)]
    for sensor in sorted({point.sensor for point in clear}):
        chosen = [point for point in clear if point.sensor == sensor]
        marker, colour = _SENSOR_STYLES.get(sensor, _SENSOR_STYLES["OLI"])
        axes.scatter(
            [point.date for point in chosen],
            [point.value for point in chosen],
            s=[12 + 0.5 * (100 - cloud_or_worst(point.cloud)) for point in chosen],
            marker=marker,
            color=colour,
            alpha=0.75,
            edgecolor="white",
            label=sensors_named(chosen) or "scenes",
        )


def _mark_hidden(axes: Any, points: Sequence[PointNdvi], height: float, transform: Any) -> None:
    """Mark the days on which the place was hidden, by reason, at a height of the transform."""
    for reason, (marker, colour) in _REASON_STYLES.items():
        days = [point.date for point in points if point.hidden == reason]
        if days:
            axes.plot(
                days,
                [height] * len(days),
                marker,
                color=colour,
                markersize=5,
                transform=transform,
                label=f"hidden: {reason}",
            )


def _draw_cloud(axes: Any, points: Sequence[PointNdvi]) -> None:
    """Draw each scene's cloud as a bar, which is empty and 100 % high where the cloud is not known."""
    for known, style in ((True, {"color": _CLOUD_COLOUR}), (False, {"color": "none"})):
        chosen = [point for point in points if (point.cloud is not None) == known]
        if chosen:
            axes.bar(
                [point.date for point in chosen],
                [cloud_or_worst(point.cloud) for point in chosen],
                width=6,
                edgecolor=_CLOUD_COLOUR,
                label=None if known else "cloud not known",
                **style,
            )
    axes.set_ylabel("cloud, %", fontsize=_SMALL_FONT)
    axes.set_ylim(-18, 100)
    axes.set_yticks([0, 50, 100])


def ndvi_map(
    values: NDArray[Any],
    grid: Grid,
    title: str,
    *,
    index: str = "NDVI",
    level: int = 2,
    hidden: Hidden | None = None,
    unseen: Collection[str] = (),
) -> NotebookFigure:
    """Draw a map of NDVI, or another index, with a colour bar, and kilometres along its edges.

    Args:
        values: the index, of shape (height, width), as floats with NaN where masked or as ``int16`` x 10,000.
        grid: the grid of the values.
        title: title of the figure; it says what the map shows, and whether it is synthetic.
        index: name of the index.
        level: level of the reflectances; the map tells where they are not those of the surface.
        hidden: shares of the hidden pixels, which the map then tells by reason.
        unseen: reasons for which nothing is masked, which the map then tells; see ``SceneNdvi.unseen``.
    """
    width_km, height_km = _size_km(grid)
    figure = _new_figure(1.0 + 7.0 * height_km / width_km, _MAP_DPI)
    axes = figure.subplots()
    _draw_colour_bar(figure, _draw_map(axes, values, grid, index), axes, index, level)
    _draw_title(figure, title)
    _label_map(axes)
    facts = [f"hidden: {hidden.text}"] if hidden is not None and hidden.total else []
    if unseen:
        facts.append(f"not masked, for lack of quality bands: {', '.join(sorted(unseen))}")
    axes.set_xlabel("\n".join([axes.get_xlabel(), *facts]))
    return figure


def ndvi_maps(
    maps: Mapping[str, NDArray[Any]],
    grid: Grid,
    title: str,
    columns: int = 4,
    *,
    index: str = "NDVI",
    level: int = 2,
) -> NotebookFigure:
    """Draw several maps of one area beside one another, with one scale of colours.

    Args:
        maps: values by the title of each map, each as ``ndvi_map`` takes it.
        grid: the grid of all maps.
        title: title of the figure; it says what the maps show, and whether they are synthetic.
        columns: number of maps in a row.
        index: name of the index.
        level: level of the reflectances, as in ``ndvi_map``.
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
        image = _draw_map(axes, values, grid, index)
        title_of_map = fill(name, max(10, _TITLE_CHARACTERS // columns))
        axes.set_title(title_of_map, loc="left", color=_TEXT_COLOUR, fontsize=_SMALL_FONT)
        axes.tick_params(labelsize=_SMALL_FONT)
    every_axes[0, 0].locator_params(nbins=4, integer=True)
    _draw_colour_bar(figure, image, every_axes, index, level)
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
        title_of_map = fill(name, max(10, _TITLE_CHARACTERS // columns))
        axes.set_title(title_of_map, loc="left", color=_TEXT_COLOUR, fontsize=_FONT)
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
    pixel_width, pixel_height = grid.pixel_m
    return grid.width * pixel_width / 1000, grid.height * pixel_height / 1000


def _extent(grid: Grid) -> tuple[float, float, float, float]:
    """Return the edges of a grid in kilometres from its upper left corner: left, right, lower, upper."""
    width_km, height_km = _size_km(grid)
    return 0.0, width_km, height_km, 0.0


def _draw_map(axes: Any, values: NDArray[Any], grid: Grid, index: str) -> Any:
    """Draw an index, thinned where it has more pixels than a page shows, and return the image."""
    step = max(1, -(-max(values.shape) // _MAX_MAP_PIXELS))
    thinned = values[::step, ::step]
    pixels = indices.to_float(thinned) if np.issubdtype(thinned.dtype, np.integer) else thinned
    colours, low, high = colour_scale(index)
    return axes.imshow(
        pixels, cmap=colours, vmin=low, vmax=high, extent=_extent(grid), interpolation="nearest"
    )


def _draw_colour_bar(figure: NotebookFigure, image: Any, axes: Any, index: str, level: int) -> None:
    """Draw the scale of colours at the right of one or many axes."""
    bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.85, aspect=30)
    label = "\n".join(filter(None, (f"{index} (grey: hidden)", level_text([level]))))
    bar.set_label(label, fontsize=_SMALL_FONT)
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
