"""Longitude and latitude on the coordinates of any projection with an EPSG code, and back.

UTM on WGS84 and plain degrees are computed in numpy. Everything else is PROJ's, through rasterio, which is
imported when it is first needed. A projection is only used where it can be inverted: far from the places that
it is made for, a projection gives numbers that mean nothing, and those become NaN here.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wrenlite.errors import ConfigError, PackageMissing
from wrenlite.gallery.ndvi import utm

Coordinates = NDArray[np.float64]

DEGREES = 4326
"""The EPSG code of longitude and latitude on WGS84."""
_MAX_DEGREES = 30.0
"""Distance from a zone's central meridian up to which UTM's coordinates are accurate."""
_ROUND_TRIP = 1e-5
"""Largest error of going to a projection and back, in Earth radii: 64 m.

Beyond a projection's places it is much larger; between datums PROJ's ways there and back differ by metres.
"""
METRES_PER_DEGREE = 6_378_137.0 * np.pi / 180
"""Length of a degree of longitude at the equator of WGS84."""
_EDGE_POINTS = 32
"""Points per edge of a rectangle: straight edges are curved in degrees."""
_PERIOD_STEP = 30
"""Degrees of longitude between the places at which a projection's period is measured."""


def check_epsg(epsg: object) -> int:
    """Return the code of a projection that can be used.

    Args:
        epsg: the code as a number or a text, such as 32618 or ``EPSG:32618``; or an object that knows it by
            its method ``to_epsg``, as those of rasterio and pyproj do.

    Raises:
        ConfigError: there is no such code, or it is not one of places on the Earth's surface.
        PackageMissing: the projection needs PROJ, and rasterio is not installed.
    """
    number = epsg.to_epsg() if hasattr(epsg, "to_epsg") and not isinstance(epsg, type) else epsg
    if isinstance(number, str):
        digits = number.strip().upper().removeprefix("EPSG:")
        number = int(digits) if digits.isdecimal() and len(digits) < 10 else None
    if isinstance(number, bool) or not isinstance(number, Real) or number != number // 1:
        raise ConfigError(f"{epsg!r} is not an EPSG code: give one such as 32618, or 'EPSG:3031'")
    code = int(float(number)) if not isinstance(number, Integral) else int(number)
    if code != DEGREES and utm.zone_of(code) is None:
        _crs(code)
    return code


def forward(epsg: int, lon: ArrayLike, lat: ArrayLike) -> tuple[Coordinates, Coordinates]:
    """Project longitudes and latitudes.

    Args:
        epsg: code of the projection.
        lon: longitudes in degrees.
        lat: latitudes in degrees.

    Returns:
        X and y in the projection's unit; NaN where it has no coordinates for a place.
    """
    lon, lat = np.atleast_1d(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
    if epsg == DEGREES:
        return lon, lat
    zone = utm.zone_of(epsg)
    if zone is not None:
        with np.errstate(all="ignore"):  # at the poles
            x, y = utm.forward(lon, lat, zone.number)
        far = ~(np.abs(utm.unwrap(lon, zone.number)) <= _MAX_DEGREES)
        return np.where(far, np.nan, x), np.where(far, np.nan, y + zone.false_northing)
    x, y = _transform(epsg, DEGREES, epsg, wrap_longitude(lon), lat)
    back = unit_vectors(*_transform(epsg, epsg, DEGREES, x, y))
    good = np.linalg.norm(back - unit_vectors(lon, lat), axis=0) <= _ROUND_TRIP  # not where there is NaN
    return np.where(good, x, np.nan), np.where(good, y, np.nan)


def inverse(epsg: int, x: ArrayLike, y: ArrayLike) -> tuple[Coordinates, Coordinates]:
    """Return longitudes and latitudes in degrees of projected coordinates; NaN where there are none."""
    x, y = np.atleast_1d(np.asarray(x, np.float64), np.asarray(y, np.float64))
    if epsg == DEGREES:
        return wrap_longitude(x), y
    zone = utm.zone_of(epsg)
    if zone is None:
        lon, lat = _transform(epsg, epsg, DEGREES, x, y)
        return wrap_longitude(lon), lat
    lon, lat = utm.inverse(x, y - zone.false_northing)
    return wrap_longitude(lon + utm.central_meridian(zone.number)), lat


def bounds(epsg: int, west: float, south: float, east: float, north: float) -> tuple[float, ...]:
    """Return west, south, east and north in degrees of a rectangle of projected coordinates.

    West is greater than east where the rectangle crosses the antimeridian.

    Raises:
        ConfigError: the rectangle reaches beyond the places that the projection can show.
    """
    zone = utm.zone_of(epsg)
    if zone is None:
        turn = period(epsg)
        if turn is None:
            return _proj_bounds(epsg, west, south, east, north)
        return _periodic_bounds(epsg, turn, west, south, east, north)
    x, y = perimeter(np.linspace(west, east, _EDGE_POINTS), np.linspace(south, north, _EDGE_POINTS))
    lon, lat = utm.inverse(x, y - zone.false_northing)
    left, right = wrap_longitude(np.array([lon.min(), lon.max()]) + utm.central_meridian(zone.number))
    return float(left), float(lat.min()), float(right), float(lat.max())


def perimeter(x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Return the coordinates of points on the four edges of the rectangle that two axes span."""
    return (
        np.concatenate([x, x, np.full(len(y), x[0]), np.full(len(y), x[-1])]),
        np.concatenate([np.full(len(x), y[0]), np.full(len(x), y[-1]), y, y]),
    )


def wrap_longitude(lon: ArrayLike) -> Coordinates:
    """Return longitudes within -180 and 180 degrees; those that are within already stay as they are."""
    lon = np.asarray(lon, np.float64)
    return np.where(np.abs(lon) <= 180.0, lon, (lon + 180.0) % 360.0 - 180.0)


@lru_cache
def period(epsg: int) -> float | None:
    """Return the difference in x of 360 degrees of longitude, after which the same places come again.

    Returns:
        The period in the projection's unit, where x depends on the longitude alone and grows evenly with it,
        as in degrees and in Mercator's projection; None elsewhere.
    """
    if epsg == DEGREES:
        return 360.0
    if utm.zone_of(epsg) is not None:
        return None
    lon = np.arange(-165.0, 180.0, _PERIOD_STEP)
    x, north = (forward(epsg, lon, np.full(len(lon), lat))[0] for lat in (0.0, 50.0))
    steps = np.diff(x)
    step = float(np.median(steps))
    even = np.abs(steps - step) <= abs(step) * 1e-6
    # One step may lead across the projection's own edge, which need not be the antimeridian.
    if step <= 0 or np.count_nonzero(even) < len(steps) - 1 or not np.allclose(x, north, 1e-6, step * 1e-6):
        return None
    return step * 360.0 / _PERIOD_STEP


def _periodic_bounds(
    epsg: int, turn: float, west: float, south: float, east: float, north: float
) -> tuple[float, ...]:
    """Return the bounds of a rectangle that may reach across the edge of a periodic projection."""
    if epsg == DEGREES:
        left, right, low, high = west, east, south, north
    else:
        middle, lat = inverse(epsg, np.full(2, (west + east) / 2), [south, north])
        if np.isnan(lat).any():
            raise ConfigError(f"{(west, south, east, north)} reaches beyond what EPSG:{epsg} can show")
        half = (east - west) / 2 * 360.0 / turn
        left, right, (low, high) = float(middle[0]) - half, float(middle[0]) + half, map(float, lat)
    if right - left >= 360.0:
        return -180.0, low, 180.0, high
    left, right = map(float, wrap_longitude([left, right]))
    return left, low, right, high


def _proj_bounds(epsg: int, *rectangle: float) -> tuple[float, ...]:
    """Return the bounds that PROJ finds; it also knows which rectangles contain a pole."""
    warp = _warp(epsg)
    try:
        return tuple(map(float, warp.transform_bounds(_name(epsg), _name(DEGREES), *rectangle)))
    except Exception as error:  # see _transform
        raise ConfigError(f"{rectangle} reaches beyond what EPSG:{epsg} can show: {error}") from None


def _transform(epsg: int, source: int, target: int, x: Any, y: Any) -> tuple[Coordinates, Coordinates]:
    """Return coordinates in another projection. Where PROJ refuses all points for one, that one is NaN."""
    warp = _warp(epsg)
    good = np.isfinite(x) & np.isfinite(y)
    out = np.full((2, len(x)), np.nan)
    try:
        out[:, good] = warp.transform(_name(source), _name(target), x[good], y[good])
    except Exception:  # GDAL's own, which have no class in rasterio's public names
        for number in np.flatnonzero(good):
            with contextlib.suppress(Exception):
                place = x[number : number + 1], y[number : number + 1]
                out[:, number : number + 1] = warp.transform(_name(source), _name(target), *place)
    out[~np.isfinite(out)] = np.nan
    return out[0], out[1]


def unit_vectors(lon: Coordinates, lat: Coordinates) -> Coordinates:
    """Return points on the unit sphere, of shape (3, n): there the poles are places like any other."""
    phi, theta = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)])


def _name(epsg: int) -> str:
    return f"EPSG:{epsg}"


def metres_per_unit(epsg: int) -> float:
    """Return how long the projection's unit is in metres; that of degrees is their length at the equator."""
    if epsg == DEGREES:
        return METRES_PER_DEGREE
    if utm.zone_of(epsg) is not None:
        return 1.0
    crs = _crs(epsg)
    return METRES_PER_DEGREE if crs.is_geographic else float(crs.linear_units_factor[1])


def unit_of(epsg: int) -> str:
    """Return the name of the projection's unit in the plural, for messages."""
    if epsg == DEGREES:
        return "degrees"
    if utm.zone_of(epsg) is not None:
        return "metres"
    crs = _crs(epsg)
    return (
        "degrees" if crs.is_geographic else {"metre": "metres"}.get(crs.linear_units, str(crs.linear_units))
    )


def wkt(epsg: int) -> str:
    """Return the description of a projection as well-known text, which needs rasterio.

    Raises:
        ConfigError: there is no such projection.
        PackageMissing: rasterio is not installed.
    """
    return str(_crs(epsg).to_wkt())


def axis_attributes(epsg: int) -> tuple[dict[str, str], dict[str, str]]:
    """Return the attributes of the coordinates x and y by the CF conventions."""
    if _crs(epsg).is_geographic:
        return (
            {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"},
            {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"},
        )
    x, y = (
        {
            "standard_name": f"projection_{axis}_coordinate",
            "long_name": f"{axis} coordinate of projection",
            "units": str(_crs(epsg).linear_units),
            "axis": axis.upper(),
        }
        for axis in "xy"
    )
    return x, y


def _warp(epsg: int) -> Any:
    """Return rasterio's module of projections, which knows this one; raises as ``_crs`` does."""
    _crs(epsg)
    from rasterio import warp

    return warp


@lru_cache
def _crs(epsg: int) -> Any:
    """Return rasterio's object for a projection.

    Raises:
        ConfigError: there is no such projection.
        PackageMissing: rasterio is not installed.
    """
    try:
        from rasterio import Env
        from rasterio.crs import CRS
        from rasterio.errors import CRSError
        from rasterio.session import DummySession
    except ImportError as error:
        raise PackageMissing(
            f"the projection EPSG:{epsg} needs {error.name}: pip install 'wrenlite[landsat]'"
        ) from error
    try:
        with Env(session=DummySession()):  # without it, PROJ writes to standard error
            crs = CRS.from_epsg(epsg)
    except (CRSError, OverflowError):
        crs = None
    if crs is None or not (crs.is_projected or crs.is_geographic):
        raise ConfigError(
            f"EPSG:{epsg} is not a projection of places on Earth: give a code such as 32618 (UTM zone 18),"
            " 3031 (Antarctica), or 4326 (degrees)"
        )
    return crs
