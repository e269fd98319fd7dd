"""Areas on Earth: polygons in degrees from GeoJSON, checked, and the pixels of a grid within them."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError, NotFound, PackageMissing, StoreError
from wrenlite.gallery.ndvi import projection
from wrenlite.gallery.ndvi.grid import SWAPPED, Box, Grid, OutsideScene, Window
from wrenlite.gallery.ndvi.indices import Mask
from wrenlite.gallery.ndvi.projection import Coordinates

Ring = tuple[tuple[float, float], ...]
"""Corners as longitude and latitude; the last is the first again."""
Polygon = tuple[Ring, ...]
"""The outer ring, and then the holes."""
_NAMES = ("name", "Name", "NAME", "title", "label", "id", "ID")
"""Properties of a feature that name it; the first that it has counts."""
_EDGE_DEGREES = 0.01
"""Longest edge: those of GeoJSON are straight in degrees, and pieces of this length are so in UTM to 2 cm."""
_DEGREE_CRS = ("CRS84", "4326")
"""What the names of coordinate systems of plain degrees end with."""


@dataclass(frozen=True)
class Area:
    """Some polygons with a name."""

    name: str
    polygons: tuple[Polygon, ...]

    def __repr__(self) -> str:
        corners = sum(len(ring) for polygon in self.polygons for ring in polygon)
        return f"Area({self.name!r}, {len(self.polygons)} polygons of {corners} corners)"

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        """Return the polygons as a geometry of GeoJSON, which shapely and others read."""
        return {"type": "MultiPolygon", "coordinates": self.polygons}

    @property
    def bounds(self) -> Box:
        """Return the box of the area; west is greater than east where that crosses the antimeridian."""
        outlines = [_along(polygon[0]) for polygon in self.polygons]
        for outline in outlines:  # which may lie on both sides of the antimeridian
            outline[0] += 360.0 * np.rint((outlines[0][0].mean() - outline[0].mean()) / 360.0)
        lon, lat = np.hstack(outlines)
        west, east = projection.wrap_longitude([lon.min(), lon.max()])
        if lon.max() - lon.min() >= 360.0:
            west, east = np.array([-180.0, 180.0])
        return Box(west=float(west), south=float(lat.min()), east=float(east), north=float(lat.max()))

    def pixel_rings(self, grid: Grid) -> list[list[Coordinates]]:
        """Return the rings of each polygon as columns and rows of a grid, of shape (2, corners).

        Raises:
            OutsideScene: the whole area lies beyond the places that the grid's projection can show.
            ConfigError: a part of it does.
        """
        rings = [
            [np.stack(grid.fractional_pixels(*_along(ring), connected=True)) for ring in polygon]
            for polygon in self.polygons
        ]
        beyond = np.isnan(np.hstack([ring[0] for polygon in rings for ring in polygon]))
        if beyond.any():
            raise (OutsideScene if beyond.all() else ConfigError)(
                f"the area {self.name!r} reaches too far from the places that the projection EPSG:{grid.epsg}"
                " is made for: cut it into smaller areas"
            )
        return rings


def count_pixels(rings: Sequence[Sequence[Coordinates]]) -> float:
    """Return how many pixels polygons cover, by their extent: outer rings less holes."""
    total = 0.0
    for outer, *holes in rings:
        total += _extent(outer) - sum(map(_extent, holes))
    return total


def covered(rings: Sequence[Sequence[Coordinates]], window: Window) -> Mask:
    """Return which pixels of a window have their centre within polygons.

    Args:
        rings: the rings of each polygon, as columns and rows.
        window: a window of the same grid.

    Raises:
        PackageMissing: rasterio is not installed.
    """
    try:
        from rasterio.features import rasterize
    except ImportError as error:
        raise PackageMissing(f"areas need {error.name}: pip install 'wrenlite[landsat]'") from error
    origin = np.array([[window.column], [window.row]])
    shapes = [
        {"type": "Polygon", "coordinates": [(ring - origin).T.tolist() for ring in polygon]}
        for polygon in rings
    ]
    found: NDArray[np.uint8] = rasterize(shapes, (window.height, window.width), dtype="uint8")
    return found.astype(np.bool_)


def _extent(ring: Coordinates) -> float:
    """Return the area within a ring, by the shoelace formula."""
    x, y = ring
    return float(abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2


def _along(ring: Ring) -> Coordinates:
    """Return longitudes without jumps and latitudes along a ring, with points between distant corners."""
    lon, lat = np.array(ring, np.float64).T
    edges = np.diff(lon)
    crossing = (np.abs(edges) > 180.0) & (np.abs(edges) < 360.0)  # 360: once round the Earth, on a parallel
    edges = np.where(crossing, (edges + 180.0) % 360.0 - 180.0, edges)
    lon = np.concatenate([lon[:1], lon[0] + np.cumsum(edges)])
    steps = np.maximum(1, np.ceil(np.maximum(np.abs(np.diff(lon)), np.abs(np.diff(lat))) / _EDGE_DEGREES))
    corners = np.concatenate([[0.0], np.cumsum(steps)])
    places = np.arange(corners[-1] + 1)
    return np.stack([np.interp(places, corners, lon), np.interp(places, corners, lat)])


def read_areas(source: Any) -> list[Area]:
    """Return the areas in GeoJSON, or in objects that can be shown as such.

    Args:
        source: path of a GeoJSON file; a geometry, Feature or FeatureCollection as a dict; any object with
            ``__geo_interface__``, such as those of shapely and geopandas; an ``Area``; or several of these.
            Coordinates are longitude and latitude on WGS84, in degrees.

    Raises:
        NotFound: there is no such file.
        StoreError: the file cannot be read.
        ConfigError: this is not GeoJSON, has something else than polygons, or is not in degrees; the message
            names the feature.
    """
    areas: dict[str, Area] = {}
    for area in _areas_in(source, "the area"):
        numbered = (f"{area.name} ({number})" for number in itertools.count(2))
        name = next(name for name in itertools.chain([area.name], numbered) if name not in areas)
        areas[name] = Area(name, area.polygons)
    if not areas:
        raise ConfigError("there are no areas: give at least one polygon")
    return list(areas.values())


def _areas_in(source: Any, label: str) -> Iterator[Area]:
    """Return the areas in anything that ``read_areas`` takes, with names that may be the same."""
    if isinstance(source, Area):
        yield source
    elif isinstance(source, str) and source.lstrip().startswith("{"):
        yield from _areas_in(_parse(source, "the text"), label)
    elif isinstance(source, str | os.PathLike):
        yield from _areas_in(_load(Path(source)), Path(source).stem)
    elif isinstance(source, Mapping):
        yield from _areas_of_object(source, label)
    elif hasattr(source, "__geo_interface__"):
        _check_crs_of(source)
        yield from _areas_in(source.__geo_interface__, label)
    elif isinstance(source, Iterable):
        for number, each in enumerate(source, 1):
            yield from _areas_in(each, f"area {number}")
    else:
        raise ConfigError(
            f"{source!r} is no area: give a GeoJSON file, a dict, or an object with __geo_interface__"
        )


def _load(path: Path) -> Any:
    try:
        return _parse(path.read_bytes(), path)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _parse(data: str | bytes, source: object) -> Any:
    try:
        content = json.loads(data)
    except ValueError as error:
        raise ConfigError(f"{source} is not GeoJSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{source} is not GeoJSON: it has no object with a type")
    return content


def _areas_of_object(thing: Mapping[str, Any], label: str) -> Iterator[Area]:
    """Return the areas of an object of GeoJSON."""
    _check_crs_name(str(((thing.get("crs") or {}).get("properties") or {}).get("name", "")), label)
    kind = thing.get("type")
    if kind == "FeatureCollection":
        for number, feature in enumerate(thing.get("features") or (), 1):
            if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
                raise ConfigError(f"{label}: its member {number} is not a Feature")
            yield from _areas_of_object(feature, f"area {number}")
    elif kind == "Feature":
        properties = {"id": thing.get("id"), **(thing.get("properties") or {})}
        named = (properties[name] for name in _NAMES if properties.get(name) not in (None, ""))
        name = str(next(named, label))
        yield Area(name=name, polygons=tuple(_polygons(thing.get("geometry"), name)))
    else:
        yield Area(name=label, polygons=tuple(_polygons(thing, label)))


def _polygons(geometry: Any, label: str) -> Iterator[Polygon]:
    """Return the polygons of a geometry.

    Raises:
        ConfigError: it has none, or something else.
    """
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if kind == "GeometryCollection":
        for part in geometry.get("geometries") or ():
            yield from _polygons(part, label)
        return
    if kind not in ("Polygon", "MultiPolygon"):
        raise ConfigError(
            f"{label} is {'a ' + str(kind) if kind else 'no geometry'}, and not an area: give a Polygon or a"
            " MultiPolygon"
        )
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not polygons or not _is_list(polygons) or not all(map(_is_list, polygons)) or not all(polygons):
        raise ConfigError(f"{label} is a {kind} without coordinates")
    for polygon in polygons:
        yield tuple(_check_ring(ring, label) for ring in polygon)


def _is_list(thing: Any) -> bool:
    return isinstance(thing, list | tuple)


def _check_ring(ring: Any, label: str) -> Ring:
    """Return a valid ring.

    Raises:
        ConfigError: it is not closed, has too few corners, or is not one of longitudes and latitudes.
    """
    try:
        corners = tuple((float(corner[0]), float(corner[1])) for corner in ring)
    except (TypeError, ValueError, LookupError):
        raise ConfigError(f"{label} has a ring that is no list of longitudes and latitudes") from None
    if len(corners) < 4 or corners[0] != corners[-1]:
        raise ConfigError(
            f"{label} has a ring that is not closed: the last of at least 4 corners must be the first again"
        )
    for lon, lat in corners:
        if not (abs(lon) <= 180 and abs(lat) <= 90):  # nor NaN
            raise ConfigError(
                f"{label} has a corner at longitude {lon:g}, latitude {lat:g}: {_hint(corners)}"
            )
    turn = math.fsum((b[0] - a[0] + 180) % 360 - 180 for a, b in itertools.pairwise(corners))
    if abs(turn) > 180:
        raise ConfigError(f"{label} goes round a pole: cut it along the antimeridian into two areas")
    if _extent(_along(corners)) == 0:
        raise ConfigError(f"{label} has a ring without extent: it is a line, or crosses itself")
    return corners


def _hint(corners: Ring) -> str:
    """Return what may be wrong with coordinates beyond the degrees of the Earth."""
    if all(abs(lon) <= 90 and abs(lat) <= 180 for lon, lat in corners):
        return f"{SWAPPED}: GeoJSON has the longitude first"
    if any(abs(lon) > 360 or abs(lat) > 180 for lon, lat in corners):
        return "this is not in degrees: reproject it to EPSG:4326, such as by to_crs(4326) of geopandas"
    return (
        "longitudes are between -180 and 180 degrees, also across the antimeridian, and latitudes between"
        " -90 and 90"
    )


def _check_crs_of(thing: Any) -> None:
    """Check that an object of geopandas is in degrees; shapely's do not tell.

    Raises:
        ConfigError: it is in another coordinate system.
    """
    crs = getattr(thing, "crs", None)
    if crs is not None and crs.to_epsg() != projection.DEGREES:
        raise ConfigError(f"the areas are in {crs}, and not in degrees: give areas.to_crs(4326)")


def _check_crs_name(name: str, label: str) -> None:
    if name and not name.endswith(_DEGREE_CRS):
        raise ConfigError(f"{label} is in {name}, and not in degrees: reproject it to EPSG:4326")
