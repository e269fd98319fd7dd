"""Grids that are declared, so that scenes of several projections come onto the same pixels. Pure.

A grid is declared once, on the client; then every scene is read on it (see ``warped``), and the results can
be joined. Its pixels are on a lattice: the multiples of the resolution, or the pixels of a scene. Scenes that
are on this lattice themselves are read as they are stored, without resampling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi import projection, utm
from wrenlite.gallery.ndvi.grid import (
    UTM_NORTH,
    UTM_SOUTH,
    Box,
    Grid,
    Window,
    check_box,
    clip,
    covering_window,
)
from wrenlite.memory import memory_bytes

AUTO = "auto"
_ARCTIC, _ANTARCTIC = 3413, 3031
"""Polar stereographic projections: NSIDC's in the north, that of Landsat's products in the south."""
_RESOLUTION_M = 30.0
_SMALLEST_M = 0.01
_EDGE_POINTS = 64
_BYTES_PER_PIXEL = 6
"""Memory that a picture of int16 takes: once to hold it, and twice more to write it."""


def declare_grid(
    box: Sequence[float],
    epsg: Any = AUTO,
    resolution: float | None = None,
    *,
    like: Grid | None = None,
) -> Grid:
    """Return a grid that covers a box; nothing is read.

    Args:
        box: west, south, east, north in degrees. West is greater than east across the antimeridian.
        epsg: code of the projection, such as 32618 or ``EPSG:32618``, or the ``crs`` of a raster or a table
            of geometries. ``auto`` is the zone of UTM in which the box's middle lies, a northern
            one, as in Landsat's products (south of the equator its northings are negative); towards the
            poles it is a polar projection.
        resolution: width and height of a pixel in the projection's unit; default: 30 m, in degrees as long
            as 30 m are at the equator; at most 1 degree. The edges of pixels lie on multiples of it.
        like: a grid whose projection and pixels are taken instead, such as ``tasks.grid_of(scene)``. Scenes
            on these pixels are not resampled. The pixels of Landsat lie 15 m off the multiples of 30: on a
            grid of 30 m that was not declared like a scene, scenes of its own zone move by half a pixel.

    Raises:
        ConfigError: the numbers do not describe a box, there is no such projection, the box reaches beyond
            what the projection can show, or a picture of the grid does not fit into this machine's memory.
        PackageMissing: the projection needs PROJ, and rasterio is not installed.
    """
    checked = check_box(box)
    if like is not None and not isinstance(like, Grid):
        raise ConfigError(f"like={like!r} is not a grid: give one, such as tasks.grid_of(scene)")
    if like is None:
        like = _lattice(checked, epsg, resolution)
    elif not _is_auto(epsg) or resolution is not None:
        raise ConfigError("like= has a projection and a resolution: give either these, or like=")
    # The window is counted from a pixel in the middle of the box: the lattice's own corner may be anywhere.
    shown = checked
    if utm.zone_of(like.epsg) is not None:
        shown = checked._replace(south=max(checked.south, UTM_SOUTH), north=min(checked.north, UTM_NORTH))
    column, row = (float(number[0]) for number in like.fractional_pixels(*_middle(shown)))
    if math.isnan(column) or shown.south >= shown.north:
        raise ConfigError(
            f"box {checked} is far from the places that the projection EPSG:{like.epsg} is made for: give"
            " another epsg=, or epsg='auto'"
        )
    near = like.part(Window(column=math.floor(column), row=math.floor(row), width=1, height=1))
    window = covering_window(near, checked, "the grid")
    check_memory(window.width, window.height, f"a grid of the box {checked}", "a larger resolution=")
    return near.part(window)


def check_memory(width: int, height: int, what: str, advice: str) -> None:
    """Check that a picture fits into memory three times: once to hold it, and twice more to write it.

    Args:
        width: pixels per row.
        height: number of rows.
        what: name of the picture, for the message.
        advice: what to do, for the message.

    Raises:
        ConfigError: it does not fit.
    """
    needed, available = _BYTES_PER_PIXEL * width * height, memory_bytes()
    if needed > available:
        raise ConfigError(
            f"{what} would have {width:,} x {height:,} pixels and take {needed / 2**30:,.1f} GB of memory,"
            f" but this machine has {available / 2**30:,.1f} GB: {advice}"
        )


def _is_auto(epsg: object) -> bool:
    return isinstance(epsg, str) and epsg == AUTO


def _lattice(box: Box, epsg: object, resolution: float | None) -> Grid:
    """Return a grid of one pixel whose corner is the projection's origin.

    Raises:
        ConfigError: there is no such projection or resolution.
    """
    code = _auto_epsg(box) if _is_auto(epsg) else projection.check_epsg(epsg)
    unit_m = projection.metres_per_unit(code)
    side = _RESOLUTION_M / unit_m if resolution is None else resolution
    if isinstance(side, bool) or not isinstance(side, Real) or not 0 < side < math.inf:
        raise ConfigError(f"resolution={resolution!r} is not the size of a pixel: give a number above 0")
    smallest, largest = _SMALLEST_M / unit_m, projection.METRES_PER_DEGREE / unit_m
    if not smallest <= side <= largest * (1 + 1e-9):
        unit = projection.unit_of(code)
        raise ConfigError(
            f"resolution={resolution!r} would be pixels of {side:,.6g} {unit}, the unit of EPSG:{code}:"
            f" give a number from {smallest:.2g} to {largest:,.6g}; 30 m are {_RESOLUTION_M / unit_m:.4g}"
        )
    return Grid(epsg=code, west=0.0, north=0.0, pixel=(float(side), float(side)), width=1, height=1)


def _auto_epsg(box: Box) -> int:
    """Return the code of the projection that suits a box."""
    lon, lat = _middle(box)
    if lat > UTM_NORTH:
        return _ARCTIC
    if lat < UTM_SOUTH:
        return _ANTARCTIC
    return 32601 + int((lon + 180.0) % 360.0 // 6)


def _middle(box: Box) -> tuple[float, float]:
    """Return longitude and latitude of a box's middle."""
    width = (box.east - box.west) % 360.0 or 360.0
    return float(projection.wrap_longitude(box.west + width / 2)), (box.south + box.north) / 2


def footprint(scene: Grid, grid: Grid) -> Window | None:
    """Return the window of a grid outside of which a scene has no pixels; None where it has none at all.

    Where the grid's projection has no coordinates for a part of the scene's edge, this is the whole grid.
    """
    across, down = np.linspace(0.0, 1.0, _EDGE_POINTS) * scene.width, np.linspace(0.0, 1.0, _EDGE_POINTS)
    columns, rows = projection.perimeter(across, down * scene.height)
    x, y = scene.west + columns * scene.pixel[0], scene.north - rows * scene.pixel[1]
    columns, rows = grid.fractional_pixels(*projection.inverse(scene.epsg, x, y))
    if np.isnan(columns).any():
        return None if np.isnan(columns).all() else grid.window
    left, top = math.floor(columns.min()) - 1, math.floor(rows.min()) - 1  # edges are curved between points
    right, bottom = math.ceil(columns.max()) + 1, math.ceil(rows.max()) + 1
    return clip(Window(column=left, row=top, width=right - left, height=bottom - top), grid.window)
