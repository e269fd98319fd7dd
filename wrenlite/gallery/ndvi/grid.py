"""A scene's grid: windows aligned to blocks, and points and boxes in degrees on it. Pure numpy.

A grid keeps the corner that its file has: Landsat's grids, for example, lie 15 m off the multiples of 30.
Positions are compared in longitude and latitude before anything is projected: far from its zone, UTM gives
numbers that mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi import utm

BLOCK = 256
"""Side of a block in pixels: in the files that ``write_cog`` makes, and in archives such as Landsat's."""
TILE = 2048
"""Side of a tile in pixels: eight blocks, so that no block is read twice."""
_MAX_DEGREES = 30.0
"""Distance from a zone's central meridian up to which its coordinates are accurate."""
_UTM_SOUTH, _UTM_NORTH = -80.0, 84.0
"""Latitudes at which UTM ends. Nearer to the poles its coordinates grow without bound."""
_EDGE_POINTS = 32
"""Points per edge of a box: an edge that is straight in one kind of coordinates is curved in the other."""


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
    """The place and size of a raster's pixels: north up, in a UTM zone."""

    epsg: int
    west: float
    north: float
    """West and north are those of the first pixel's outer corner, in metres."""
    pixel: tuple[float, float]
    """Width and height of a pixel, in metres."""
    width: int
    height: int
    """Width and height of the raster, in pixels."""

    @property
    def zone(self) -> int:
        """Return the number of the UTM zone, 1 to 60.

        Raises:
            ConfigError: the grid is not in a northern UTM zone. (Landsat uses the northern zones for the
                southern hemisphere too, except for Antarctica.)
        """
        if 32601 <= self.epsg <= 32660:
            return self.epsg - 32600
        raise ConfigError(
            f"EPSG:{self.epsg} is not a northern UTM zone on WGS84 (EPSG:32601 to EPSG:32660), the only"
            " projection that can be used here: take another product, or reproject this one"
        )

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Return GDAL's geotransform: x of the corner, width, 0, y of the corner, 0, minus the height."""
        return self.west, self.pixel[0], 0.0, self.north, 0.0, -self.pixel[1]

    @property
    def bounds(self) -> Box:
        """Return the box in degrees within which all pixels lie."""
        west, south, east, north = self._relative_bounds()
        middle = utm.central_meridian(self.zone)
        return Box(
            west=_wrap_longitude(west + middle), south=south, east=_wrap_longitude(east + middle), north=north
        )

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

    def _relative_bounds(self) -> Box:
        """Return ``bounds`` with longitudes in degrees from the zone's central meridian."""
        along = np.linspace(0.0, 1.0, _EDGE_POINTS)
        x = self.west + along * self.width * self.pixel[0]
        y = self.north - along * self.height * self.pixel[1]
        lon, lat = utm.inverse(*_perimeter(x, y))
        west, south, east, north = map(float, (lon.min(), lat.min(), lon.max(), lat.max()))
        return Box(west=west, south=south, east=east, north=north)


def _perimeter(x: utm.Metres, y: utm.Metres) -> tuple[utm.Metres, utm.Metres]:
    """Return the coordinates of points on the four edges of the rectangle that two axes span."""
    count = len(x)
    return (
        np.concatenate([x, x, np.full(count, x[0]), np.full(count, x[-1])]),
        np.concatenate([np.full(count, y[0]), np.full(count, y[-1]), y, y]),
    )


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
        ConfigError: the numbers do not describe a box.
    """
    if len(box) != 4 or not all(math.isfinite(number) for number in box):
        raise ConfigError(f"{tuple(box)} is not a box: give west, south, east, north in degrees")
    checked = Box(*map(float, box))
    if not (-90 <= checked.south < checked.north <= 90):
        raise ConfigError(
            f"box {checked}: south and north must be between -90 and 90 degrees, and south the smaller"
        )
    if not (-180 <= checked.west <= 180 and -180 <= checked.east <= 180) or checked.west == checked.east:
        raise ConfigError(
            f"box {checked}: west and east must be between -180 and 180 degrees, and not the same"
        )
    return checked


def check_point(lon: float, lat: float) -> tuple[float, float]:
    """Return a valid longitude and latitude.

    Raises:
        ConfigError: this is no point on Earth; often the two numbers are in the wrong order.
    """
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise ConfigError(
            f"longitude {lon}, latitude {lat} is no point on Earth: give a longitude between -180 and 180 and"
            " a latitude between -90 and 90, longitude first"
        )
    return float(lon), float(lat)


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
    first = float(ring[0][0])
    corners = [(_nearest_turn(float(corner[0]), first), float(corner[1])) for corner in ring]
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
    bounds = grid._relative_bounds()
    relative_lon = float(utm.unwrap(lon, grid.zone))
    if bounds.west <= relative_lon <= bounds.east and bounds.south <= lat <= bounds.north:
        x, y = utm.forward(lon, lat, grid.zone)
        column = math.floor((float(x) - grid.west) / grid.pixel[0])
        row = math.floor((grid.north - float(y)) / grid.pixel[1])
        if 0 <= column < grid.width and 0 <= row < grid.height:
            return row, column
    raise OutsideScene(
        f"longitude {lon:.5f}, latitude {lat:.5f} is outside {name}, which covers (west, south, east, north)"
        f" {grid.bounds}"
    )


def covering_window(grid: Grid, box: Sequence[float], name: str = "the scene") -> Window:
    """Return the window that covers a whole box; where it reaches beyond the grid, it has to be padded.

    Towards the poles the window ends where UTM does, at 84 degrees north and 80 degrees south.

    Args:
        grid: the scene's grid.
        box: west, south, east, north in degrees.
        name: what an error message calls the scene.

    Raises:
        OutsideScene: the box and the scene share no pixel.
        ConfigError: the numbers do not describe a box, or the box is too wide for the UTM zone.
    """
    parts = split_at_antimeridian(box)
    outside = OutsideScene(
        f"box {check_box(box)} is outside {name}, which covers (west, south, east, north) {grid.bounds}"
    )
    if not any(_bounds_meet(grid._relative_bounds(), part, grid.zone) for part in parts):
        raise outside
    extents = [_pixel_extent(grid, part, name) for part in parts]
    left, top = min(extent[0] for extent in extents), min(extent[1] for extent in extents)
    right, bottom = max(extent[2] for extent in extents), max(extent[3] for extent in extents)
    window = Window(column=left, row=top, width=right - left, height=bottom - top)
    if clip(window, grid.window) is None:
        raise outside
    return window


def _bounds_meet(bounds: Box, box: Box, zone: int) -> bool:
    """Return whether a box meets a grid's bounds, whose longitudes count from the zone's central meridian."""
    west = float(utm.unwrap(box.west, zone))
    east = west + box.east - box.west
    if box.south > bounds.north or box.north < bounds.south:
        return False
    return any(west + turn <= bounds.east and east + turn >= bounds.west for turn in (-360.0, 0.0))


def _pixel_extent(grid: Grid, box: Box, name: str) -> tuple[int, int, int, int]:
    """Return first column, first row, last column + 1 and last row + 1 of the pixels that a box covers."""
    west = float(utm.unwrap(box.west, grid.zone))
    east = west + box.east - box.west
    if west < -_MAX_DEGREES or east > _MAX_DEGREES:
        raise ConfigError(
            f"box {box} reaches more than {_MAX_DEGREES:g} degrees from the middle of UTM zone {grid.zone},"
            f" in which {name} lies: give a smaller box"
        )
    south, north = (min(max(lat, _UTM_SOUTH), _UTM_NORTH) for lat in (box.south, box.north))
    lon, lat = np.linspace(box.west, box.east, _EDGE_POINTS), np.linspace(south, north, _EDGE_POINTS)
    x, y = utm.forward(*_perimeter(lon, lat), grid.zone)
    columns, rows = (x - grid.west) / grid.pixel[0], (grid.north - y) / grid.pixel[1]
    return (
        math.floor(columns.min()),
        math.floor(rows.min()),
        math.ceil(columns.max()),
        math.ceil(rows.max()),
    )


def clip(window: Window, bounds: Window) -> Window | None:
    """Return the part of a window that lies within another window; None where they share no pixel."""
    left, top = max(window.column, bounds.column), max(window.row, bounds.row)
    right = min(window.column + window.width, bounds.column + bounds.width)
    bottom = min(window.row + window.height, bounds.row + bounds.height)
    if left >= right or top >= bottom:
        return None
    return Window(column=left, row=top, width=right - left, height=bottom - top)


def decimate(window: Window, max_size: int) -> tuple[Window, int]:
    """Return the step with which a window makes a picture of a given size, and the window of whole cells.

    A cell is ``step`` x ``step`` pixels and becomes one pixel of the picture. The window grows to whole
    cells; it begins at a multiple of the step, where the pixels of overviews begin.

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


def _wrap_longitude(lon: float) -> float:
    """Return a longitude within -180 and 180 degrees."""
    return (lon + 180.0) % 360.0 - 180.0
