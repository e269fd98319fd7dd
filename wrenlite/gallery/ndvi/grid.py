"""A scene's grid: windows aligned to blocks, and points and boxes in degrees on it, in any projection.

A grid keeps the corner that its file has: Landsat's grids, for example, lie 15 m off the multiples of 30.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi import projection, utm
from wrenlite.gallery.ndvi.projection import Coordinates

BLOCK = 256
"""Side of a block in pixels: in the files that ``write_cog`` makes, and in archives such as Landsat's."""
TILE = 2048
"""Side of a tile in pixels: eight blocks, so that no block is read twice."""
UTM_SOUTH, UTM_NORTH = -80.0, 84.0
"""Latitudes at which UTM ends. Nearer to the poles its coordinates grow without bound."""
_EDGE_POINTS = 32
"""Least number of points per edge of a box, which is curved in a projection."""
_EDGE_DEGREES = 0.25
"""Greatest distance of such points: 1,000 km from a pole, an arc of this length bulges by 2.4 m."""
_EARTH_RADIUS_M = 6_371_008.8
_LATTICE_TOLERANCE = 1e-3
"""Part of a pixel by which a corner may miss a lattice through rounding."""
_CUT = 1e-4
"""Distance in Earth radii, 600 m, beyond which two places are not beside each other."""
SWAPPED = "longitude and latitude look swapped"


class OutsideScene(ConfigError):
    """A point or a box lies where the scene has no pixels; the message gives both places."""


class Box(NamedTuple):
    """A box in degrees. West is less than east, except where the box crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    def __str__(self) -> str:
        return f"({self.west:.5f}, {self.south:.5f}, {self.east:.5f}, {self.north:.5f})"


class Window(NamedTuple):
    """A rectangle of pixels, which may reach beyond its grid."""

    column: int
    row: int
    width: int
    height: int


@dataclass(frozen=True)
class Grid:
    """The place and size of a raster's pixels: north up, in any projection with an EPSG code."""

    epsg: int
    west: float
    north: float
    """West and north are those of the first pixel's outer corner, in the projection's unit, mostly metres."""
    pixel: tuple[float, float]
    """Width and height of a pixel, in the projection's unit."""
    width: int
    height: int
    """Width and height of the raster, in pixels."""

    @property
    def pixel_m(self) -> tuple[float, float]:
        """Return width and height of the pixel in the middle in metres on the ground, within 0.6 %.

        In UTM they are those of the grid; elsewhere they are measured on a sphere.
        """
        if utm.zone_of(self.epsg) is not None:
            return self.pixel
        x = self.west + self.pixel[0] * (self.width / 2 + np.array([0.0, 1.0, 0.0]))
        y = self.north - self.pixel[1] * (self.height / 2 + np.array([0.0, 0.0, 1.0]))
        here, right, below = projection.unit_vectors(*projection.inverse(self.epsg, x, y)).T
        width, height = (float(np.linalg.norm(other - here)) * _EARTH_RADIUS_M for other in (right, below))
        return width, height

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Return GDAL's geotransform: x of the corner, width, 0, y of the corner, 0, minus the height."""
        return self.west, self.pixel[0], 0.0, self.north, 0.0, -self.pixel[1]

    @property
    def bounds(self) -> Box:
        """Return the box in degrees within which all pixels lie."""
        east, south = self.west + self.width * self.pixel[0], self.north - self.height * self.pixel[1]
        return Box(*projection.bounds(self.epsg, self.west, south, east, self.north))

    @property
    def window(self) -> Window:
        """Return the window of all pixels."""
        return Window(column=0, row=0, width=self.width, height=self.height)

    def part(self, window: Window, step: int = 1) -> Grid:
        """Return the grid of a window whose pixels are cells of ``step`` x ``step`` pixels of this grid."""
        return replace(
            self,
            west=self.west + window.column * self.pixel[0],
            north=self.north - window.row * self.pixel[1],
            pixel=(self.pixel[0] * step, self.pixel[1] * step),
            width=math.ceil(window.width / step),
            height=math.ceil(window.height / step),
        )

    def offset_of(self, other: Grid) -> tuple[int, int] | None:
        """Return the column and row of this grid at which another begins; None for another lattice."""
        column, row = (other.west - self.west) / self.pixel[0], (self.north - other.north) / self.pixel[1]
        shift = max(abs(column - round(column)), abs(row - round(row)))
        if self.epsg != other.epsg or self.pixel != other.pixel or shift > _LATTICE_TOLERANCE:
            return None
        return round(column), round(row)

    def fractional_pixels(
        self, lon: ArrayLike, lat: ArrayLike, *, connected: bool = False
    ) -> tuple[Coordinates, Coordinates]:
        """Return columns and rows of places in degrees; whole numbers are corners of pixels.

        Args:
            lon: longitudes.
            lat: latitudes.
            connected: the places are of one line, so their longitudes do not jump, and may be beyond 180.

        Returns:
            Columns and rows, which may be outside the grid; NaN where the projection has no coordinates.
        """
        x, y = projection.forward(self.epsg, lon, lat)
        turn = projection.period(self.epsg)
        if turn is not None:  # the grid may reach across the antimeridian
            middle = self.west + self.pixel[0] * self.width / 2
            if connected:  # and the line across the projection's own edge
                x = x + turn * np.rint((x[0] - x) / turn + (lon - np.ravel(lon)[0]) / 360.0)
            near = (x.min() + x.max()) / 2 if connected else x
            x = x + turn * np.rint((middle - near) / turn)
        return (x - self.west) / self.pixel[0], (self.north - y) / self.pixel[1]


def windows(grid: Grid, side: int = TILE) -> list[Window]:
    """Cut a grid into square windows that begin where blocks begin.

    Windows at the right and lower edges are smaller.

    Args:
        grid: the grid to cut.
        side: width and height of a window in pixels.

    Raises:
        ConfigError: the side is not a multiple of a block's, so that blocks would be read twice or more
            often.
    """
    if side <= 0 or side % BLOCK:
        raise ConfigError(f"windows of {side} pixels would cut blocks: take a multiple of {BLOCK}")
    return [
        Window(
            column=column,
            row=row,
            width=min(side, grid.width - column),
            height=min(side, grid.height - row),
        )
        for row in range(0, grid.height, side)
        for column in range(0, grid.width, side)
    ]


def check_box(box: Sequence[float]) -> Box:
    """Return a valid box.

    Args:
        box: west, south, east, north in degrees.

    Raises:
        ConfigError: the numbers do not describe a box; often they are in another order.
    """
    if isinstance(box, str) or not hasattr(box, "__len__") or len(box) != 4 or not all(map(_is_finite, box)):
        raise ConfigError(f"{box!r} is not a box: give west, south, east, north in degrees")
    checked = Box(*map(float, box))
    if not (-90 <= checked.south < checked.north <= 90):
        in_range = -90 <= checked.west < checked.east <= 90 and max(abs(checked.south), checked.north) > 90
        raise ConfigError(
            f"box {checked}: south and north must be between -90 and 90 degrees, and south the smaller"
            f"{f'; {SWAPPED}: the order is west, south, east, north' if in_range else ''}"
        )
    width = checked.east - checked.west
    if not (-180 <= checked.west <= 180 and -180 <= checked.east <= 180) or width in (0, -360):
        raise ConfigError(
            f"box {checked}: west and east must be between -180 and 180 degrees, and not the same"
        )
    return checked


def check_window(window: Sequence[int]) -> Window:
    """Return a valid window, which may reach beyond its grid.

    Args:
        window: column, row, width and height.

    Raises:
        ConfigError: these are not four whole numbers, or the window is empty.
    """
    numbers = list(window) if isinstance(window, Sequence | np.ndarray) else []
    whole = all(isinstance(number, Integral) and not isinstance(number, bool) for number in numbers)
    if len(numbers) != 4 or not whole or min(numbers[2:]) < 1:
        raise ConfigError(
            f"{window!r} is not a window: give column, row, width and height as whole numbers of pixels, or a"
            " grid.Window"
        )
    return Window(*map(int, numbers))


def check_point(lon: float, lat: float) -> tuple[float, float]:
    """Return a valid longitude and latitude.

    Raises:
        ConfigError: this is no point on Earth; often the two numbers are in the wrong order.
    """
    if not (_is_finite(lon) and _is_finite(lat)):
        raise ConfigError(f"longitude {lon!r}, latitude {lat!r} is not a point: give two numbers of degrees")
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        swapped = abs(lon) <= 90 < abs(lat) <= 180
        raise ConfigError(
            f"longitude {lon}, latitude {lat} is no point on Earth"
            f"{f': {SWAPPED}' if swapped else ''}: give a longitude between -180 and 180 and"
            " a latitude between -90 and 90, longitude first"
        )
    return float(lon), float(lat)


def _is_finite(number: object) -> bool:
    return isinstance(number, Real) and not isinstance(number, bool) and math.isfinite(number)


def split_at_antimeridian(box: Sequence[float]) -> list[Box]:
    """Return a box whole, or as two boxes where it crosses the antimeridian (west is greater than east).

    Raises:
        ConfigError: the numbers do not describe a box.
    """
    whole = check_box(box)
    if whole.west < whole.east:
        return [whole]
    parts = [whole._replace(east=180.0), whole._replace(west=-180.0)]
    return [part for part in parts if part.west < part.east]


def intersects(ring: Sequence[Sequence[float]], box: Box) -> bool:
    """Return whether a convex polygon and a box share a place.

    Args:
        ring: corners as longitude, latitude and perhaps height; the ring may cross the antimeridian.
        box: a box that does not cross the antimeridian; without extent it is a point.
    """
    corners: list[tuple[float, float]] = []
    for corner in ring:
        lon = float(corner[0])
        corners.append((_nearest_turn(lon, corners[-1][0] if corners else lon), float(corner[1])))
    return any(
        _clip_polygon(corners, box._replace(west=box.west + turn, east=box.east + turn))
        for turn in (-360.0, 0.0, 360.0)
    )


def _nearest_turn(lon: float, other: float) -> float:
    """Return a longitude, shifted by 360 degrees if that is nearer to another; else exactly as it was."""
    if abs(lon - other) <= 180.0:
        return lon
    return lon + math.copysign(360.0, other - lon)


def _clip_polygon(corners: list[tuple[float, float]], box: Box) -> list[tuple[float, float]]:
    """Return the part of a convex polygon within a box, by cutting at one side of the box after another."""
    for axis, bound, sign in ((0, box.west, 1), (0, box.east, -1), (1, box.south, 1), (1, box.north, -1)):
        kept: list[tuple[float, float]] = []
        for here, there in zip(corners, corners[1:] + corners[:1], strict=True):
            before, after = sign * (here[axis] - bound), sign * (there[axis] - bound)
            if before >= 0:
                kept.append(here)
            if before * after < 0:
                share = before / (before - after)
                other = here[1 - axis] + share * (there[1 - axis] - here[1 - axis])
                kept.append((bound, other) if axis == 0 else (other, bound))
        corners = kept
    return corners


def pixel_at(grid: Grid, lon: float, lat: float, name: str = "the scene") -> tuple[int, int]:
    """Return row and column of the pixel at a point.

    Args:
        grid: the scene's grid.
        lon: longitude in degrees.
        lat: latitude in degrees.
        name: what an error message calls the scene.

    Raises:
        OutsideScene: the scene has no pixel there.
        ConfigError: this is no point on Earth.
    """
    lon, lat = check_point(lon, lat)
    place = _cell(grid, lon, lat)
    if place is None:
        swapped = abs(lon) <= 90 and _cell(grid, lat, lon) is not None
        raise OutsideScene(
            f"longitude {lon:.5f}, latitude {lat:.5f} is outside {name}, which covers"
            f" (west, south, east, north) {grid.bounds}"
            f"{f'; {SWAPPED}: give the longitude first' if swapped else ''}"
        )
    return place


def _cell(grid: Grid, lon: float, lat: float) -> tuple[int, int] | None:
    """Return row and column of the pixel at a point; None where the grid has none."""
    column, row = (float(numbers[0]) for numbers in grid.fractional_pixels(lon, lat))
    if 0 <= column < grid.width and 0 <= row < grid.height:
        return math.floor(row), math.floor(column)
    return None


def covering_window(grid: Grid, box: Sequence[float], name: str = "the scene") -> Window:
    """Return the window that covers a whole box; where it reaches beyond the grid, it has to be padded.

    Towards the poles the window of a grid in UTM ends where UTM does, at 84 degrees north and 80 south.

    Args:
        grid: the scene's grid.
        box: west, south, east, north in degrees.
        name: what an error message calls the scene.

    Raises:
        OutsideScene: the box and the scene share no pixel.
        ConfigError: the numbers do not describe a box, or the box is too wide for the grid's projection.
    """
    parts = split_at_antimeridian(box)
    outside = OutsideScene(
        f"box {check_box(box)} is outside {name}, which covers (west, south, east, north) {grid.bounds}"
    )
    if not share_a_place(box, grid.bounds):
        raise outside
    if projection.period(grid.epsg) is None:
        parts = [check_box(box)]
    extents = [_pixel_extent(grid, part, name) for part in parts]
    left, top = min(extent[0] for extent in extents), min(extent[1] for extent in extents)
    right, bottom = max(extent[2] for extent in extents), max(extent[3] for extent in extents)
    window = Window(column=left, row=top, width=right - left, height=bottom - top)
    if clip(window, grid.window) is None:
        raise outside
    return window


def share_a_place(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two boxes in degrees touch."""
    return any(
        first.west <= second.east
        and second.west <= first.east
        and first.south <= second.north
        and second.south <= first.north
        for first in split_at_antimeridian(one)
        for second in split_at_antimeridian(other)
    )


def _pixel_extent(grid: Grid, box: Box, name: str) -> tuple[int, int, int, int]:
    """Return first column, first row, last column + 1 and last row + 1 of the pixels that a box covers."""
    south, north = box.south, box.north
    if utm.zone_of(grid.epsg) is not None:
        south, north = (min(max(lat, UTM_SOUTH), UTM_NORTH) for lat in (south, north))
    lon, lat = _edge(box.west, box.east + 360.0 * (box.west > box.east)), _edge(south, north)
    columns, rows = grid.fractional_pixels(*projection.perimeter(lon, lat), connected=True)
    if np.isnan(columns).any():
        raise ConfigError(
            f"box {box} reaches too far from the places that the projection EPSG:{grid.epsg} of {name} is"
            " made for: give a smaller box"
        )
    if projection.period(grid.epsg) is None and _is_cut(grid, columns, rows, (len(lon), len(lat))):
        raise ConfigError(
            f"the projection EPSG:{grid.epsg} of {name} is cut apart within the box {box}: give a box on one"
            " side of the cut, or declare a grid with epsg='auto' or epsg=4326"
        )
    columns, rows = np.round(columns, 6), np.round(rows, 6)  # a box that ends on a pixel's edge ends there
    return (
        math.floor(columns.min()),
        math.floor(rows.min()),
        math.ceil(columns.max()),
        math.ceil(rows.max()),
    )


def _is_cut(grid: Grid, columns: Coordinates, rows: Coordinates, counts: tuple[int, int]) -> bool:
    """Return whether a projection is cut between two points that follow each other on an edge of a box.

    There, the place halfway between the two on the grid is far from both on Earth.

    Args:
        grid: a grid of the projection.
        columns: columns of the points on the four edges, see ``projection.perimeter``.
        rows: rows of these points.
        counts: number of points on an edge of each of the two directions.
    """
    ends = np.cumsum([counts[0], counts[0], counts[1], counts[1]])[:-1]
    for edge in zip(np.split(columns, ends), np.split(rows, ends), strict=True):
        here, halfway = (
            projection.unit_vectors(
                *projection.inverse(
                    grid.epsg, grid.west + column * grid.pixel[0], grid.north - row * grid.pixel[1]
                )
            )
            for column, row in (edge, [(numbers[1:] + numbers[:-1]) / 2 for numbers in edge])
        )
        distance = np.linalg.norm(halfway - here[:, :-1], axis=0)
        if not (distance <= np.linalg.norm(np.diff(here), axis=0) + _CUT).all():
            return True
    return False


def _edge(low: float, high: float) -> Coordinates:
    """Return numbers of degrees along an edge, among them the multiples of 15, where arcs have extremes."""
    count = max(_EDGE_POINTS, math.ceil((high - low) / _EDGE_DEGREES) + 1)
    between = np.arange(math.ceil(low / 15), math.floor(high / 15) + 1) * 15.0
    return np.union1d(np.linspace(low, high, count), between)


def clip(window: Window, bounds: Window) -> Window | None:
    """Return the part of a window that lies within another window; None where they share no pixel."""
    left, top = max(window.column, bounds.column), max(window.row, bounds.row)
    right = min(window.column + window.width, bounds.column + bounds.width)
    bottom = min(window.row + window.height, bounds.row + bounds.height)
    if left >= right or top >= bottom:
        return None
    return Window(column=left, row=top, width=right - left, height=bottom - top)


def decimate(window: Window, max_size: int) -> tuple[Window, int]:
    """Grow a window to whole cells, so few that they make a picture of at most a given size.

    A cell is ``step`` x ``step`` pixels and becomes one pixel of the picture. The grown window
    begins at a multiple of the step, where the pixels of overviews begin.

    Args:
        window: the window to show.
        max_size: greatest number of cells per side.

    Returns:
        The grown window, and the step.

    Raises:
        ConfigError: ``max_size`` is below 2.
    """
    if max_size < 2:
        raise ConfigError(f"max_size={max_size}: a picture has at least 2 pixels per side")
    longest = max(window.width, window.height)
    # Beginning at a multiple of the step may take one cell more than max_size; the second step leaves room.
    tight, roomy = (math.ceil(longest / count) for count in (max_size, max_size - 1))
    grown = _grow_to_cells(window, tight)
    if max(grown.width, grown.height) <= max_size * tight:
        return grown, tight
    return _grow_to_cells(window, roomy), roomy


def _grow_to_cells(window: Window, step: int) -> Window:
    """Return the smallest window of whole cells that contains a window."""
    left, top = window.column // step * step, window.row // step * step
    width = math.ceil((window.column + window.width - left) / step) * step
    height = math.ceil((window.row + window.height - top) / step) * step
    return Window(column=left, row=top, width=width, height=height)
