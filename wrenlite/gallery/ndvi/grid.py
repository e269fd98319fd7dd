"""A scene's grid: windows aligned to blocks; points and boxes in longitude and latitude on it. Pure numpy.

Landsat's grids lie 15 m off the multiples of 30, and a grid here keeps the corner that its file has.
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
"""Pixels of a block's side in Collection 2's files."""
TILE = 2048
"""Of a tile's: eight blocks, so that no block is read twice."""
_FURTHEST = 30.0
"""Degrees from a zone's central meridian up to which its coordinates are good."""
_SOUTHMOST, _NORTHMOST = -80.0, 84.0
"""Degrees: where UTM ends. Nearer to the poles its coordinates run away."""
_STEPS = 32
"""Points an edge of a box, which is curved in the other coordinates."""


class OutsideScene(ConfigError):
    """A point or a box where the scene has no pixels; the message has both places."""


class Box(NamedTuple):
    """Degrees. West of east, except where it crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    def __str__(self) -> str:
        return f"({self.west:.5f}, {self.south:.5f}, {self.east:.5f}, {self.north:.5f})"


class Window(NamedTuple):
    """A rectangle of pixels; may reach beyond its grid."""

    column: int
    row: int
    width: int
    height: int


@dataclass(frozen=True)
class Grid:
    """Where a raster's pixels lie: north up, in a UTM zone."""

    epsg: int
    west: float
    north: float
    """Metres, of the outer corner of the first pixel."""
    pixel: tuple[float, float]
    """Metres of a pixel's width and height."""
    width: int
    height: int
    """Pixels."""

    @property
    def zone(self) -> int:
        """1 to 60. Raises ConfigError for what is not UTM north, in which all Landsat but Antarctica is."""
        if 32601 <= self.epsg <= 32660:
            return self.epsg - 32600
        raise ConfigError(
            f"EPSG:{self.epsg} is not a northern UTM zone on WGS84, in which Landsat scenes come"
        )

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """As GDAL has it: x of the corner, width, 0, y of the corner, 0, minus the height."""
        return self.west, self.pixel[0], 0.0, self.north, 0.0, -self.pixel[1]

    @property
    def bounds(self) -> Box:
        """Longitudes and latitudes within which all its pixels lie."""
        west, south, east, north = self._relative()
        middle = utm.central_meridian(self.zone)
        return Box(_wrapped(west + middle), south, _wrapped(east + middle), north)

    @property
    def window(self) -> Window:
        """All of it."""
        return Window(0, 0, self.width, self.height)

    def part(self, window: Window, every: int = 1) -> Grid:
        """The grid of a window, or of a picture of it that has one pixel for ``every`` x ``every``."""
        return replace(
            self,
            west=self.west + window.column * self.pixel[0],
            north=self.north - window.row * self.pixel[1],
            pixel=(self.pixel[0] * every, self.pixel[1] * every),
            width=math.ceil(window.width / every),
            height=math.ceil(window.height / every),
        )

    def _relative(self) -> Box:
        """``bounds``, with longitudes in degrees from the zone's central meridian."""
        along = np.linspace(0.0, 1.0, _STEPS)
        x = self.west + along * self.width * self.pixel[0]
        y = self.north - along * self.height * self.pixel[1]
        edge_x = np.concatenate([x, x, np.full(_STEPS, x[0]), np.full(_STEPS, x[-1])])
        edge_y = np.concatenate([np.full(_STEPS, y[0]), np.full(_STEPS, y[-1]), y, y])
        lon, lat = utm.back(edge_x, edge_y, self.zone)
        return Box(*map(float, (lon.min(), lat.min(), lon.max(), lat.max())))


def windows(grid: Grid, side: int = TILE) -> list[Window]:
    """The grid in squares that begin where blocks begin, smaller at the right and lower edges.

    Raises ConfigError where the side is no multiple of a block: blocks would be read twice or more.
    """
    if side <= 0 or side % BLOCK:
        raise ConfigError(f"windows of {side} pixels would cut blocks: take a multiple of {BLOCK}")
    return [
        Window(column, row, min(side, grid.width - column), min(side, grid.height - row))
        for row in range(0, grid.height, side)
        for column in range(0, grid.width, side)
    ]


def check_box(box: Sequence[float]) -> Box:
    """A box that can be one. Raises ConfigError otherwise."""
    if len(box) != 4 or not all(math.isfinite(each) for each in box):
        raise ConfigError(f"{tuple(box)} is not a box: give west, south, east, north in degrees")
    checked = Box(*map(float, box))
    if not (-90 <= checked.south < checked.north <= 90):
        raise ConfigError(f"box {checked}: south and north are -90 to 90 degrees, south the smaller")
    if not (-180 <= checked.west <= 180 and -180 <= checked.east <= 180) or checked.west == checked.east:
        raise ConfigError(f"box {checked}: west and east are -180 to 180 degrees, and not the same")
    return checked


def check_point(lon: float, lat: float) -> tuple[float, float]:
    """A point on Earth. Raises ConfigError otherwise: often its two numbers are the wrong way round."""
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise ConfigError(f"longitude {lon}, latitude {lat}: -180 to 180 and -90 to 90, longitude first")
    return float(lon), float(lat)


def split(box: Sequence[float]) -> list[Box]:
    """A box in one piece, or in two where it crosses the antimeridian: where west is greater than east."""
    whole = check_box(box)
    if whole.west < whole.east:
        return [whole]
    parts = [whole._replace(east=180.0), whole._replace(west=-180.0)]
    return [part for part in parts if part.west < part.east]


def overlap(ring: Sequence[Sequence[float]], box: Box) -> bool:
    """Whether a convex polygon and a box, or a point as a box without extent, share a place.

    Args:
        ring: corners as longitude, latitude, and perhaps height; may cross the antimeridian.
        box: does not.
    """
    first = float(ring[0][0])
    corners = [(_beside(float(each[0]), first), float(each[1])) for each in ring]
    return any(
        _cut(corners, box._replace(west=box.west + turn, east=box.east + turn))
        for turn in (-360.0, 0.0, 360.0)
    )


def _beside(lon: float, other: float) -> float:
    """A longitude, a turn further where it is nearer to the other there; else to the bit as it was."""
    if abs(lon - other) <= 180.0:
        return lon
    return lon + math.copysign(360.0, other - lon)


def _cut(corners: list[tuple[float, float]], box: Box) -> list[tuple[float, float]]:
    """What is left of a polygon within a box: cut off at one side after the other."""
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


def cell(grid: Grid, lon: float, lat: float, what: str = "the scene") -> tuple[int, int]:
    """Row and column of the pixel at a point. Raises OutsideScene, saying ``what`` it is outside of."""
    lon, lat = check_point(lon, lat)
    bounds = grid._relative()
    dlon = float(utm.unwrap(lon, grid.zone))
    if bounds.west <= dlon <= bounds.east and bounds.south <= lat <= bounds.north:
        x, y = utm.forth(lon, lat, grid.zone)
        column = math.floor((float(x) - grid.west) / grid.pixel[0])
        row = math.floor((grid.north - float(y)) / grid.pixel[1])
        if 0 <= column < grid.width and 0 <= row < grid.height:
            return row, column
    raise OutsideScene(
        f"longitude {lon:.5f}, latitude {lat:.5f} is outside {what}, which lies in {grid.bounds}"
    )


def cover(grid: Grid, box: Sequence[float], what: str = "the scene") -> Window:
    """The window that covers a box, whole: it may reach beyond the grid, and then has to be padded.

    Towards the poles it ends where UTM does, at 84 degrees north and 80 south.

    Raises OutsideScene where they share no pixel, ConfigError for a box too wide for the UTM zone.
    """
    parts = split(box)
    outside = OutsideScene(f"box {check_box(box)} is outside {what}, which lies in {grid.bounds}")
    if not any(_meet(grid._relative(), part, grid.zone) for part in parts):
        raise outside
    corners = [_corners(grid, part, what) for part in parts]
    left, top = min(each[0] for each in corners), min(each[1] for each in corners)
    right, bottom = max(each[2] for each in corners), max(each[3] for each in corners)
    window = Window(left, top, right - left, bottom - top)
    if clip(window, grid.window) is None:
        raise outside
    return window


def _meet(bounds: Box, box: Box, zone: int) -> bool:
    """Whether a box meets a grid's bounds, whose longitudes count from the zone's central meridian."""
    west = float(utm.unwrap(box.west, zone))
    east = west + box.east - box.west
    if box.south > bounds.north or box.north < bounds.south:
        return False
    return any(west + turn <= bounds.east and east + turn >= bounds.west for turn in (-360.0, 0.0))


def _corners(grid: Grid, box: Box, what: str) -> tuple[int, int, int, int]:
    """First column and row of a box's window, and those after its last."""
    west = float(utm.unwrap(box.west, grid.zone))
    east = west + box.east - box.west
    if west < -_FURTHEST or east > _FURTHEST:
        raise ConfigError(
            f"box {box} reaches more than {_FURTHEST:g} degrees from the middle of UTM zone {grid.zone}, in"
            f" which {what} lies: give a smaller one"
        )
    south, north = (min(max(each, _SOUTHMOST), _NORTHMOST) for each in (box.south, box.north))
    lon, lat = np.linspace(box.west, box.east, _STEPS), np.linspace(south, north, _STEPS)
    edge_lon = np.concatenate([lon, lon, np.full(_STEPS, lon[0]), np.full(_STEPS, lon[-1])])
    edge_lat = np.concatenate([np.full(_STEPS, lat[0]), np.full(_STEPS, lat[-1]), lat, lat])
    x, y = utm.forth(edge_lon, edge_lat, grid.zone)
    columns, rows = (x - grid.west) / grid.pixel[0], (grid.north - y) / grid.pixel[1]
    return (
        math.floor(columns.min()),
        math.floor(rows.min()),
        math.ceil(columns.max()),
        math.ceil(rows.max()),
    )


def clip(window: Window, to: Window) -> Window | None:
    """The part of a window that another has, too; None where there is none."""
    left, top = max(window.column, to.column), max(window.row, to.row)
    right = min(window.column + window.width, to.column + to.width)
    bottom = min(window.row + window.height, to.row + to.height)
    return Window(left, top, right - left, bottom - top) if left < right and top < bottom else None


def thin(window: Window, most: int) -> tuple[Window, int]:
    """A window grown to whole picture elements of n x n pixels, at most ``most`` a side; and n.

    It begins at a multiple of n, where the pixels of overviews begin. ConfigError for ``most`` below 2.
    """
    if most < 2:
        raise ConfigError(f"max_size={most}: a picture has at least 2 pixels a side")
    longest = max(window.width, window.height)
    # Beginning at a multiple may take one element more than there is room for; the second has room for it.
    tight, roomy = (_grown(window, math.ceil(longest / count)) for count in (most, most - 1))
    return tight if max(tight[0].width, tight[0].height) <= most * tight[1] else roomy


def _grown(window: Window, every: int) -> tuple[Window, int]:
    left, top = window.column // every * every, window.row // every * every
    width = math.ceil((window.column + window.width - left) / every) * every
    height = math.ceil((window.row + window.height - top) / every) * every
    return Window(left, top, width, height), every


def _wrapped(lon: float) -> float:
    return (lon + 180.0) % 360.0 - 180.0
