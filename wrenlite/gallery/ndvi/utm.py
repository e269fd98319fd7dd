"""Universal transverse Mercator (UTM) on the WGS84 ellipsoid, in numpy, without a projection library.

The formulas are Krueger's series to the sixth order, as given by C. F. F. Karney, "Transverse Mercator with
an accuracy of a few nanometers", J. Geodesy 85 (2011), equations 35 and 36. They are accurate to nanometres
wherever a scene can lie.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Metres = NDArray[np.float64]
Degrees = NDArray[np.float64]

# The ellipsoid and UTM's constants. In Karney's notation, _N is the third flattening, _E the eccentricity,
# and _A the rectifying radius (here times the scale).
_RADIUS, _FLATTENING = 6_378_137.0, 1 / 298.257223563
_N = _FLATTENING / (2 - _FLATTENING)
_E = np.sqrt(_FLATTENING * (2 - _FLATTENING))
_SCALE, _FALSE_EASTING = 0.9996, 500_000.0
_A = _SCALE * _RADIUS / (1 + _N) * (1 + _N**2 / 4 + _N**4 / 64 + _N**6 / 256)
_ORDERS = 2 * np.arange(1, 7)

_FORWARD_TERMS = np.array(
    [
        _N / 2 - 2 * _N**2 / 3 + 5 * _N**3 / 16 + 41 * _N**4 / 180 - 127 * _N**5 / 288 + 7891 * _N**6 / 37800,
        13 * _N**2 / 48 - 3 * _N**3 / 5 + 557 * _N**4 / 1440 + 281 * _N**5 / 630 - 1983433 * _N**6 / 1935360,
        61 * _N**3 / 240 - 103 * _N**4 / 140 + 15061 * _N**5 / 26880 + 167603 * _N**6 / 181440,
        49561 * _N**4 / 161280 - 179 * _N**5 / 168 + 6601661 * _N**6 / 7257600,
        34729 * _N**5 / 80640 - 3418889 * _N**6 / 1995840,
        212378941 * _N**6 / 319334400,
    ]
)
_INVERSE_TERMS = np.array(
    [
        _N / 2 - 2 * _N**2 / 3 + 37 * _N**3 / 96 - _N**4 / 360 - 81 * _N**5 / 512 + 96199 * _N**6 / 604800,
        _N**2 / 48 + _N**3 / 15 - 437 * _N**4 / 1440 + 46 * _N**5 / 105 - 1118711 * _N**6 / 3870720,
        17 * _N**3 / 480 - 37 * _N**4 / 840 - 209 * _N**5 / 4480 + 5569 * _N**6 / 90720,
        4397 * _N**4 / 161280 - 11 * _N**5 / 504 - 830251 * _N**6 / 7257600,
        4583 * _N**5 / 161280 - 108847 * _N**6 / 3991680,
        20648693 * _N**6 / 638668800,
    ]
)


class Zone(NamedTuple):
    """A zone of UTM, north or south of the equator."""

    number: int
    """1 to 60."""
    false_northing: float
    """Metres that its northings have more than those of ``forward``: 10,000,000 in the south."""


def zone_of(epsg: int) -> Zone | None:
    """Return the zone of an EPSG code, 32601 to 32660 in the north and 32701 to 32760 in the south.

    Landsat uses the northern zones for the southern hemisphere too, with negative northings.

    Returns:
        The zone; None where the code is not one of UTM on WGS84.
    """
    base, false_northing = (32600, 0.0) if epsg < 32700 else (32700, 10_000_000.0)
    return Zone(epsg - base, false_northing) if 1 <= epsg - base <= 60 else None


def central_meridian(zone: int) -> float:
    """Return the longitude of a zone's central meridian, in degrees east."""
    return 6.0 * zone - 183.0


def unwrap(lon: ArrayLike, zone: int) -> Degrees:
    """Return degrees from the zone's central meridian, -180 to 180, without a jump near the zone."""
    return (np.asarray(lon, np.float64) - central_meridian(zone) + 180.0) % 360.0 - 180.0


def forward(lon: ArrayLike, lat: ArrayLike, zone: int) -> tuple[Metres, Metres]:
    """Project longitude and latitude to easting and northing in a zone.

    Northings south of the equator are negative, as in Landsat's products. The result is meant for points
    within 30 degrees of the zone's central meridian; further away the numbers mean nothing.

    Args:
        lon: longitudes in degrees.
        lat: latitudes in degrees.
        zone: number of the zone, 1 to 60.

    Returns:
        Easting and northing, in metres.
    """
    dlon, phi = np.radians(unwrap(lon, zone)), np.radians(np.asarray(lat, np.float64))
    sine = np.sin(phi)
    tau = np.sinh(np.arctanh(sine) - _E * np.arctanh(_E * sine))
    xi0 = np.arctan2(tau, np.cos(dlon))
    eta0 = np.arcsinh(np.sin(dlon) / np.hypot(tau, np.cos(dlon)))
    xi, eta = _series(xi0, eta0, _FORWARD_TERMS)
    return _FALSE_EASTING + _A * eta, _A * xi


def inverse(x: ArrayLike, y: ArrayLike) -> tuple[Degrees, Degrees]:
    """Return the position of a point given by easting and northing; the inverse of ``forward``.

    Args:
        x: eastings in metres.
        y: northings in metres.

    Returns:
        Longitude and latitude in degrees. Longitudes count from the zone's central meridian, and are not
        wrapped, so that a box stays a box.
    """
    eta = (np.asarray(x, np.float64) - _FALSE_EASTING) / _A
    xi = np.asarray(y, np.float64) / _A
    xi0, eta0 = _series(xi, eta, -_INVERSE_TERMS)
    dlon = np.arctan2(np.sinh(eta0), np.cos(xi0))
    chi = np.arcsin(np.sin(xi0) / np.cosh(eta0))
    target = np.arctanh(np.sin(chi))
    psi = target
    for _ in range(5):  # each iteration divides the error by 150; the last leaves 1e-11 radian
        psi = target + _E * np.arctanh(_E * np.tanh(psi))
    return np.degrees(dlon), np.degrees(np.arcsin(np.tanh(psi)))


def _series(xi: Metres, eta: Metres, terms: Metres) -> tuple[Metres, Metres]:
    """Add the series' corrections to both coordinates."""
    angles, stretches = np.multiply.outer(xi, _ORDERS), np.multiply.outer(eta, _ORDERS)
    return (
        xi + (np.sin(angles) * np.cosh(stretches)) @ terms,
        eta + (np.cos(angles) * np.sinh(stretches)) @ terms,
    )
