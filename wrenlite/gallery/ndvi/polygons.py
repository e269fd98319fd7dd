"""Areas on Earth: polygons in degrees from GeoJSON, checked, and the pixels of a grid within them."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError, NotFound, PackageMissing, StoreError
from wrenlite.gallery.ndvi import projection
from wrenlite.gallery.ndvi.grid import SWAPPED, Box, Grid, OutsideScene, Window, clip, share_a_place
from wrenlite.gallery.ndvi.indices import Mask
from wrenlite.gallery.ndvi.projection import Coordinates
from wrenlite.texts import listed

Ring = tuple[tuple[float, float], ...]
"""Corners as longitude and latitude; the last is the first again."""
Polygon = tuple[Ring, ...]
"""The outer ring, and then the holes."""
_NAMES = ("name", "Name", "NAME", "title", "label", "id", "ID")
"""Properties of a feature that name it; the first that it has counts."""
_EDGE_DEGREES = 0.01
"""Longest edge: those of GeoJSON are straight in degrees, and pieces of this length are so in UTM to 2 cm."""
_DEGREE_CRS = frozenset({"CRS84", "CRS84h", "CRS83", "4326", "4979", "4269", "4258"})
"""What the names of coordinate systems end with that are degrees within 2 m of WGS84."""
_MOST_CELLS = 4096
"""Greatest width and height of the raster on which the pixels of an area are counted."""

_POKE_DEGREES = 1e-4
"""How far a hole may reach out of its polygon: about 10 m, which a pixel of 30 m does not show."""
_TESTED_CORNERS = 16
"""Most corners of a hole that are tested for it."""

T = TypeVar("T")


class Noted(list[T]):
    """A list that also tells what was left out, and why."""

    notes: tuple[str, ...]
    """One line each."""

    def __init__(self, items: Iterable[T] = (), notes: Iterable[str] = ()) -> None:
        """Create the list."""
        super().__init__(items)
        self.notes = tuple(notes)


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

        Polygons that lie beyond the places that the grid's projection can show are left out.

        Raises:
            OutsideScene: all of them do.
            ConfigError: a part of a polygon does, and another part may be on the grid.
        """
        rings = [
            [np.stack(grid.fractional_pixels(*_along(ring), connected=True)) for ring in polygon]
            for polygon in self.polygons
        ]
        near = [not np.isnan(np.hstack(polygon)).any() for polygon in rings]
        for polygon, place, is_near in zip(self.polygons, rings, near, strict=True):
            reaches_in = not np.isnan(np.hstack(place)).all()
            if not is_near and reaches_in and share_a_place(Area("", (polygon,)).bounds, grid.bounds):
                raise ConfigError(
                    f"the area {self.name!r} reaches too far from the places that the projection"
                    f" EPSG:{grid.epsg} is made for: leave out the part that is far from the scenes"
                )
        if not any(near):
            raise OutsideScene(
                f"the area {self.name!r} is far from the scene: its projection EPSG:{grid.epsg} is not"
                " made for such places"
            )
        return list(itertools.compress(rings, near))

    def swapped(self) -> Area | None:
        """Return the area with longitudes and latitudes exchanged; None if that is not on Earth."""
        corners = [corner for polygon in self.polygons for ring in polygon for corner in ring]
        if max(abs(lon) for lon, _ in corners) > 90:
            return None
        polygons = tuple(
            tuple(tuple((lat, lon) for lon, lat in ring) for ring in polygon) for polygon in self.polygons
        )
        return Area(self.name, polygons)


def extent_of(rings: Iterable[Iterable[Coordinates]]) -> Window:
    """Return the window that contains all polygons, given as columns and rows."""
    columns, rows = np.hstack([ring for polygon in rings for ring in polygon])
    left, top = math.floor(columns.min()), math.floor(rows.min())
    return Window(left, top, math.ceil(columns.max()) - left, math.ceil(rows.max()) - top)


def count_pixels(rings: Sequence[Sequence[Coordinates]]) -> int:
    """Return how many pixels have their centre within polygons, of which a pixel may be in several.

    Polygons wider or higher than 4,096 pixels are counted by square cells of pixels, 4,096 at most.
    """
    whole = extent_of(rings)
    step = math.ceil(max(whole.width, whole.height, 1) / _MOST_CELLS)
    scaled = [[ring / step for ring in polygon] for polygon in rings]
    return int(np.count_nonzero(covered(scaled, extent_of(scaled)))) * step**2


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
    found = np.zeros((window.height, window.width), np.uint8)
    for group in _burnt_together(rings):
        part = clip(extent_of(group), window)
        if part is None:
            continue
        origin = np.array([[part.column], [part.row]])
        shapes = [
            ({"type": "Polygon", "coordinates": [(ring - origin).T.tolist()]}, int(number == 0))
            for polygon in group
            for number, ring in enumerate(polygon)
        ]
        top, left = part.row - window.row, part.column - window.column
        found[top : top + part.height, left : left + part.width] |= rasterize(
            shapes, (part.height, part.width), dtype="uint8"
        )
    return found.astype(np.bool_)


def _burnt_together(rings: Sequence[Sequence[Coordinates]]) -> Iterator[Sequence[Sequence[Coordinates]]]:
    """Yield groups of polygons such that no hole of one can take pixels from another.

    The rings of a group are burnt one after the other: outlines with 1, and holes with 0. GDAL itself would
    fill what is within an odd number of rings, so that holes that overlap would undo each other.
    """
    if plain := [polygon for polygon in rings if len(polygon) == 1]:
        yield plain
    yield from ([polygon] for polygon in rings if len(polygon) > 1)


def _extent(ring: Coordinates) -> float:
    """Return the area within a ring, by the shoelace formula."""
    x, y = ring - ring[:, :1]  # small numbers, so that a ring of a metre has an extent
    return float(abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2


def _corners(ring: Ring) -> Coordinates:
    """Return longitudes without jumps and latitudes of a ring."""
    lon, lat = np.array(ring, np.float64).T
    edges = np.diff(lon)
    crossing = (np.abs(edges) > 180.0) & (np.abs(edges) < 360.0)  # 360: once round the Earth, on a parallel
    edges = np.where(crossing, (edges + 180.0) % 360.0 - 180.0, edges)
    return np.stack([np.concatenate([lon[:1], lon[0] + np.cumsum(edges)]), lat])


def _along(ring: Ring) -> Coordinates:
    """Return longitudes without jumps and latitudes along a ring, with points between distant corners."""
    lon, lat = _corners(ring)
    steps = np.maximum(1, np.ceil(np.maximum(np.abs(np.diff(lon)), np.abs(np.diff(lat))) / _EDGE_DEGREES))
    corners = np.concatenate([[0.0], np.cumsum(steps)])
    places = np.arange(corners[-1] + 1)
    return np.stack([np.interp(places, corners, lon), np.interp(places, corners, lat)])


def read_areas(source: Any, name: str | None = None) -> Noted[Area]:
    """Return the areas in GeoJSON, or in objects that can be shown as such.

    Features without a geometry are left out; the result's ``notes`` name them.

    Args:
        source: path of a GeoJSON file; a geometry, Feature or FeatureCollection as a dict; any object with
            ``__geo_interface__``, such as those of shapely and geopandas, or a row of a GeoDataFrame; an
            ``Area``; or several of these. Coordinates are longitude and latitude on WGS84, in degrees; tables
            of geopandas may also be in degrees of another datum.
        name: the property that names features; default: the first that a feature has of name, title, label
            and id.

    Raises:
        NotFound: there is no such file.
        StoreError: the file cannot be read.
        ConfigError: this is not GeoJSON, has something else than polygons, is not in degrees, or a feature
            does not have the property; the message names the feature.
    """
    if not (name is None or isinstance(name, str)):
        raise ConfigError(f"name={name!r} is no property: give its name as a text, such as 'parcel'")
    try:
        given = list(_areas_in(source, "the area", name))
    except RecursionError as error:
        raise ConfigError("the areas are nested too deeply: give a list of polygons") from error
    areas: dict[str, Area] = {}
    for area in given:
        if area.polygons:
            unique = _unique(area.name, areas)
            areas[unique] = Area(unique, area.polygons)
    notes = list(source.notes) if isinstance(source, Noted) else []
    empty = [area.name for area in given if not area.polygons]
    if empty:
        notes.append(f"left out, without a polygon: {listed(empty)}")
    if not areas:
        raise ConfigError("; ".join(["there are no areas: give at least one polygon", *notes]))
    return Noted(areas.values(), notes)


def one_area(source: Any) -> Area:
    """Return the only area in anything that ``read_areas`` takes.

    Raises:
        ConfigError: there is more than one.
    """
    areas = [source] if isinstance(source, Area) else read_areas(source)
    if len(areas) > 1:
        raise ConfigError(
            f"there are {len(areas)} areas where one is needed: {listed([a.name for a in areas])}"
        )
    return areas[0]


def _unique(name: str, taken: Container[str]) -> str:
    """Return a name that is not taken, with a number where it is."""
    numbered = (f"{name} ({number})" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def _areas_in(source: Any, label: str, name: str | None) -> Iterator[Area]:
    """Return the areas in anything that ``read_areas`` takes, with names that may be the same.

    An area without a geometry has no polygons.
    """
    if isinstance(source, Area):
        yield source
    elif isinstance(source, str) and source.lstrip().startswith("{"):
        yield from _areas_in(_parse(source, "the text"), label, name)
    elif isinstance(source, str | os.PathLike):
        yield from _areas_in(_load(Path(source)), Path(source).stem, name)
    elif isinstance(source, Mapping):
        yield from _areas_of_object(source, label, name)
    elif hasattr(source, "__geo_interface__"):
        yield from _areas_in(_in_degrees(source).__geo_interface__, label, name)
    elif hasattr(getattr(source, "geometry", None), "__geo_interface__"):  # a row of a GeoDataFrame
        row = source._asdict() if hasattr(source, "_asdict") else dict(source)
        geometry = source.geometry.__geo_interface__
        yield from _areas_in({"type": "Feature", "properties": row, "geometry": geometry}, label, name)
    elif isinstance(source, Iterable):
        for number, each in enumerate(source, 1):
            yield from _areas_in(each, f"area {number}", name)
    else:
        raise ConfigError(
            f"{source!r} is no area: give a GeoJSON file, a dict, or an object with __geo_interface__"
        )


def _load(path: Path) -> Any:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:  # a null byte in the path
        raise ConfigError(f"{str(path)!r} is no path of a file: {error}") from error
    return _parse(content, path)


def _parse(data: str | bytes, source: object) -> Any:
    try:
        content = json.loads(data)
    except ValueError as error:
        raise ConfigError(f"{source} is not GeoJSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{source} is not GeoJSON: it has no object with a type")
    return content


def _areas_of_object(thing: Mapping[str, Any], label: str, name: str | None) -> Iterator[Area]:
    """Return the areas of an object of GeoJSON."""
    _check_crs(thing.get("crs"), label)
    kind = thing.get("type")
    if kind == "FeatureCollection":
        for number, feature in enumerate(_members(thing, "features", label), 1):
            if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
                raise ConfigError(f"{label}: its member {number} is not a Feature")
            yield from _areas_of_object(feature, f"area {number}", name)
    elif kind == "Feature":
        called = _name_of(thing, label, name)
        yield Area(called, tuple(_polygons(thing.get("geometry"), called)))
    else:
        yield Area(label, tuple(_polygons(thing, label)))


def _members(thing: Mapping[str, Any], key: str, label: str) -> Sequence[Any]:
    """Return a list in an object of GeoJSON.

    Raises:
        ConfigError: it is something else.
    """
    members: Sequence[Any] = thing.get(key) or ()
    if not _is_list(members):
        raise ConfigError(f"{label} is a {thing.get('type')} whose {key} are no list")
    return members


def _name_of(feature: Mapping[str, Any], label: str, wanted: str | None) -> str:
    """Return the name of a feature, or its label where it has none.

    Raises:
        ConfigError: it has no properties that could name it, or not the wanted one.
    """
    properties = feature.get("properties") or {}
    if not isinstance(properties, Mapping):
        raise ConfigError(f"{label} has properties that are no object of names and values")
    properties = {"id": feature.get("id"), **properties}
    if wanted is not None and wanted not in properties:
        have = listed([str(key) for key in properties], 20)
        raise ConfigError(f"{label} has no property {wanted!r} to name it by: it has {have}")
    named = (properties.get(key) for key in ((wanted,) if wanted is not None else _NAMES))
    return next((str(each) for each in named if each not in (None, "") and each == each), label)


def _polygons(geometry: Any, label: str) -> Iterator[Polygon]:
    """Return the polygons of a geometry, which may be null or empty.

    Raises:
        ConfigError: it has something else.
    """
    if geometry is None:
        return
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if kind == "GeometryCollection":
        for part in _members(geometry, "geometries", label):
            yield from _polygons(part, label)
        return
    if kind not in ("Polygon", "MultiPolygon"):
        raise ConfigError(
            f"{label} is {'a ' + str(kind) if kind else 'no geometry'}, and not an area: give a Polygon or a"
            " MultiPolygon"
        )
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if kind == "Polygon" and coordinates else coordinates
    if not _is_list(polygons) or not all(map(_is_list, polygons)) or not all(polygons):
        raise ConfigError(f"{label} is a {kind} without coordinates")
    for polygon in polygons:
        outer, *holes = (_check_ring(ring, label) for ring in polygon)
        _check_holes(outer, holes, label)
        yield outer, *holes


def _is_list(thing: Any) -> bool:
    return isinstance(thing, list | tuple)


def _check_ring(ring: Any, label: str) -> Ring:
    """Return a valid ring.

    Raises:
        ConfigError: it is not closed, has too few corners, or is not one of longitudes and latitudes.
    """
    try:
        corners = tuple((float(corner[0]), float(corner[1])) for corner in ring)
    except (TypeError, ValueError, LookupError, OverflowError):
        raise ConfigError(f"{label} has a ring that is no list of longitudes and latitudes") from None
    for lon, lat in corners:
        if not (abs(lon) <= 180 and abs(lat) <= 90):  # nor NaN
            raise ConfigError(
                f"{label} has a corner at longitude {lon:g}, latitude {lat:g}: {_hint(corners)}"
            )
    if len(corners) < 4 or corners[0] != corners[-1]:
        raise ConfigError(
            f"{label} has a ring that is not closed: the last of at least 4 corners must be the first again"
        )
    turn = math.fsum((b[0] - a[0] + 180) % 360 - 180 for a, b in itertools.pairwise(corners))
    if abs(turn) > 180:
        raise ConfigError(f"{label} goes round a pole: cut it along the antimeridian into two areas")
    if _extent(_corners(corners)) == 0:
        raise ConfigError(f"{label} has a ring without extent: it is a line, or crosses itself")
    return corners


def _check_holes(outer: Ring, holes: Sequence[Ring], label: str) -> None:
    """Check that holes are holes, and not outlines of further polygons.

    Raises:
        ConfigError: a hole reaches out of its polygon.
    """
    outline = _corners(outer)
    for hole in map(_corners, holes):
        hole[0] += 360.0 * np.rint((outline[0].mean() - hole[0].mean()) / 360.0)
        tested = hole[:, :: math.ceil(hole.shape[1] / _TESTED_CORNERS)].T
        if any(_distance_outside(corner, outline) > _POKE_DEGREES for corner in tested):
            raise ConfigError(
                f"{label} has a hole that reaches out of its polygon: the first ring of a Polygon is its"
                " outline, and all others are holes; give separate outlines as a MultiPolygon"
            )


def _distance_outside(place: NDArray[np.float64], outline: Coordinates) -> float:
    """Return how far a place lies outside of an outline, in degrees; 0 within it."""
    start, end = outline[:, :-1] - place[:, None], outline[:, 1:] - place[:, None]
    along = end - start
    crosses = (start[1] > 0) != (end[1] > 0)
    at = start[0, crosses] - start[1, crosses] * along[0, crosses] / along[1, crosses]
    if np.count_nonzero(at > 0) % 2:
        return 0.0
    length = np.maximum((along**2).sum(axis=0), np.finfo(np.float64).tiny)
    share = np.clip(-(start * along).sum(axis=0) / length, 0.0, 1.0)
    return float(np.hypot(*(start + share * along)).min())


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


def _in_degrees(thing: Any) -> Any:
    """Return an object in degrees on WGS84: shapely's do not tell, and geopandas converts other degrees.

    Raises:
        ConfigError: it is in another coordinate system.
    """
    crs = getattr(thing, "crs", None)
    if crs is None:
        return thing
    if getattr(crs, "is_geographic", False) and hasattr(thing, "to_crs"):
        return thing.to_crs(projection.DEGREES)
    raise ConfigError(f"the areas are in {crs}, and not in degrees: give areas.to_crs(4326)")


def _check_crs(crs: Any, label: str) -> None:
    """Check the member crs of an object of GeoJSON, which files of before 2016 have.

    Raises:
        ConfigError: it does not name degrees on WGS84.
    """
    if crs is None:
        return
    properties = crs.get("properties") if isinstance(crs, Mapping) else {"name": crs}
    named = (properties.get("name") or properties.get("code")) if isinstance(properties, Mapping) else None
    if str(named).replace("/", ":").split(":")[-1] not in _DEGREE_CRS:
        raise ConfigError(f"{label} is in {named or crs}, and not in degrees: reproject it to EPSG:4326")
