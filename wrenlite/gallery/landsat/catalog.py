"""Finds scenes: in a STAC service, among the items in a folder or bucket, or by known product ids.

Addresses are taken from the assets of STAC items, not from the items' ids: those of earth-search lack the
processing date. Where an asset has an ``alternate`` address on S3, as the items of landsatlook have, that one
is taken, because the asset's own address requires a login.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from wrenlite.errors import ConfigError, NotFound, PackageMissing, StoreError
from wrenlite.gallery.landsat.access import default_reader
from wrenlite.gallery.landsat.scene import OLI, Product, Scene, known_calibration
from wrenlite.gallery.ndvi.bands import S3, Reader, redact_address
from wrenlite.gallery.ndvi.grid import Box, check_point, intersects, split_at_antimeridian

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
"""A public STAC service; its collection ``landsat-c2-l2`` has addresses in ``s3://usgs-landsat``."""
_TIMEOUT_S = (10, 60)
"""Timeouts for connecting, and for each further part of an answer."""
_COLLECTION = "landsat-c2-l2"
_PRODUCT_ID = re.compile(
    r"L[COTEM][0-9]{2}_L[0-9][A-Z]{2}_[0-9]{6}_[0-9]{8}_[0-9]{8}_[0-9]{2}_[0-9A-Z]{2}(?=_|/|$)"
)
_ASSET_NAMES = {
    "red": ("red",),
    "nir": ("nir08",),
    "blue": ("blue",),
    "green": ("green",),
    "swir1": ("swir16",),
    "swir2": ("swir22",),
    "qa_pixel": ("qa_pixel", "QA_PIXEL.TIF"),
    "qa_radsat": ("qa_radsat", "QA_RADSAT.TIF"),
}
"""The assets' names in today's items and in those of 2020, by the names that a scene gives to its files."""
ITEMS = "items.json"
"""Name of the file with all items of an archive, a STAC ItemCollection: one GET finds every scene."""


@dataclass(frozen=True)
class Query:
    """A query for the scenes of a place, in a time, with at most some cloud."""

    place: tuple[float, ...]
    """Longitude and latitude of a point, or west, south, east, north of a box, in degrees."""
    start: date
    end: date
    """First and last day, both included."""
    cloud: float = 100.0
    """Greatest percent of the scene under cloud."""

    def __post_init__(self) -> None:
        if len(self.place) not in (2, 4):
            raise ConfigError(
                f"{self.place} is no place: give longitude, latitude, or west, south, east, north"
            )
        if self.start > self.end:
            raise ConfigError(f"the time from {self.start} to {self.end} ends before it starts")
        _ = self.boxes  # raises where the place is not valid

    @property
    def boxes(self) -> list[Box]:
        """Return the place as a box, or as two boxes where it crosses the antimeridian.

        A point becomes a box without extent.
        """
        if len(self.place) == 2:
            lon, lat = check_point(*self.place)
            return [Box(west=lon, south=lat, east=lon, north=lat)]
        return split_at_antimeridian(self.place)


def search(
    query: Query,
    *,
    url: str = EARTH_SEARCH,
    collection: str = _COLLECTION,
    limit: int = 500,
    client: Any = None,
) -> list[Scene]:
    """Return the scenes that a STAC service finds, oldest first.

    Args:
        query: the place, time and cloud of the scenes.
        url: address of the service.
        collection: the service's name for Landsat's level 2.
        limit: greatest number of items. A query that finds more is refused; its result is never cut.
        client: a ``pystac_client.Client`` to use instead of opening the address.

    Raises:
        PackageMissing: pystac-client is not installed.
        StoreError: the service cannot be reached, or answers with an error.
        ConfigError: the service finds more items than the limit, or an item is not valid.
    """
    found: dict[str, Scene] = {}
    name = "the STAC service of this client" if client is not None else _service_name(url)
    service = _call_service(name, lambda: client if client is not None else _open_service(url))
    for box in query.boxes:
        parameters = _search_parameters(query, box) | {"collections": [collection], "max_items": limit + 1}
        items = _call_service(name, partial(_search_items, service, parameters))
        if len(items) > limit:
            raise ConfigError(
                f"{name} has more than {limit} items for this query: choose a shorter time or a smaller"
                " place, or a greater limit="
            )
        scenes = _scenes_with_reflectance(_check_item(item, name) for item in items)
        found |= {scene.product.id: scene for scene in scenes}
    return sorted(found.values(), key=_date_and_id)


def _search_items(service: Any, parameters: Mapping[str, Any]) -> list[Any]:
    return list(service.search(**parameters).items_as_dicts())


def _search_parameters(query: Query, box: Box) -> dict[str, Any]:
    """Return the parameters of a search in one box; all services page in the order of time."""
    point = {"type": "Point", "coordinates": [box.west, box.south]}
    return {
        "datetime": f"{query.start.isoformat()}T00:00:00Z/{query.end.isoformat()}T23:59:59Z",
        "query": {"eo:cloud_cover": {"lte": query.cloud}},
        "sortby": [{"field": "properties.datetime", "direction": "asc"}],
        **({"intersects": point} if box.west == box.east else {"bbox": list(box)}),
    }


def _service_name(url: str) -> str:
    return f"earth-search ({url})" if url == EARTH_SEARCH else f"the STAC service {redact_address(url)}"


def _call_service(name: str, call: Callable[[], Any]) -> Any:
    """Return the result of a call of pystac-client.

    Raises:
        StoreError: the call raised any error.
    """
    try:
        return call()
    except PackageMissing:
        raise
    except Exception as error:  # pystac-client raises its own errors, and those of requests and pystac
        raise StoreError(
            f"{name} cannot be reached: {type(error).__name__}: {error}; the synthetic archive needs no"
            " network (source synthetic)"
        ) from error


def _open_service(url: str) -> Any:
    try:
        from pystac_client import Client
    except ImportError as error:
        raise PackageMissing(
            f"searching for scenes needs {error.name}: pip install 'wrenlite[landsat]'"
        ) from error
    return Client.open(url, timeout=_TIMEOUT_S)


def _scenes_with_reflectance(items: Iterable[Mapping[str, Any]]) -> Iterable[Scene]:
    """Return the scenes of items with a red band: services also list products of temperature only."""
    return (scene_of(item) for item in items if _find_asset(item, "red") is not None)


def stored(
    root: str | os.PathLike[str], reader: Reader | None = None, query: Query | None = None
) -> list[Scene]:
    """Return the scenes whose STAC items are stored beside them, oldest first; no service is asked.

    Items without reflectance are left out.

    Args:
        root: a folder, or ``s3://bucket/prefix``, with ``items.json``. In a folder without one, all files
            named ``*_stac.json`` are read.
        reader: reads ``items.json``; default: GDAL's.
        query: which scenes to return; default: all.

    Raises:
        NotFound: there are no items.
        ConfigError: the root is neither a folder nor a bucket, or a file is not a valid STAC item.
    """
    base = _check_root(os.fspath(root))
    scenes = []
    for item, folder in _stored_items(base, reader):
        if _find_asset(item, "red") is not None and (query is None or _matches(item, query)):
            scenes.append(scene_of(item, folder))
    return sorted(scenes, key=_date_and_id)


def _check_root(root: str) -> str:
    """Return the place where items are stored, without a slash at its end.

    Raises:
        ConfigError: it is neither a folder nor a bucket.
    """
    scheme, mark, rest = root.partition("://")
    name = rest.strip("/") if mark else root.strip("/")
    if not name or (mark and scheme != "s3"):
        raise ConfigError(
            f"{redact_address(root)!r} cannot be an archive of scenes: give a folder, or s3://bucket/prefix"
        )
    return root.rstrip("/")


def _stored_items(base: str, reader: Reader | None) -> Iterable[tuple[Mapping[str, Any], str]]:
    """Return the items, each with the folder that its relative addresses start from."""
    if base.startswith(S3) or (Path(base) / ITEMS).exists():
        address = f"{base}/{ITEMS}"
        features = _parse_json((reader or default_reader()).fetch(address), address).get("features")
        if not isinstance(features, list):
            raise ConfigError(f"{address} is not a STAC ItemCollection: it has no list of features")
        return [(_check_item(item, address), base) for item in features]
    files = sorted(Path(base).rglob("*_stac.json"))
    if not files:
        raise NotFound(
            f"{base} has neither {ITEMS} nor any *_stac.json: give a folder of scenes with STAC items"
        )
    return [(_check_item(_parse_json(file.read_bytes(), file), file), str(file.parent)) for file in files]


def _parse_json(data: bytes, source: object) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ConfigError: the file, which the message names, holds no JSON object.
    """
    try:
        content = json.loads(data)
    except ValueError as error:
        raise ConfigError(f"{source} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{source} is not a JSON object")
    return content


def _check_item(item: Any, source: object) -> Mapping[str, Any]:
    """Return an item that has the members that every STAC item has.

    Raises:
        ConfigError: a member is missing; the message names the item and its source.
    """
    is_object = isinstance(item, dict)
    for name in ("properties", "assets"):
        if not is_object or not isinstance(item.get(name), dict):
            label = item.get("id") if is_object else item
            raise ConfigError(f"{source}: {label!r} is not a STAC item: it has no {name}")
    checked: Mapping[str, Any] = item
    return checked


def _matches(item: Mapping[str, Any], query: Query) -> bool:
    """Return whether a STAC service would find an item with a query.

    Raises:
        ConfigError: the item has no valid time or place.
    """
    properties = item["properties"]
    try:
        day = date.fromisoformat((properties.get("datetime") or properties["start_datetime"])[:10])
        rings = _outer_rings(item)
        near = any(intersects(ring, box) for ring in rings for box in query.boxes)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(
            f"item {item.get('id')}: its datetime, or its geometry or bbox, cannot be read: {error!r}"
        ) from error
    cloud = _cloud(item)
    return near and query.start <= day <= query.end and (cloud is None or cloud <= query.cloud)


def _outer_rings(item: Mapping[str, Any]) -> list[Any]:
    """Return the outer rings of an item's geometry, or of its box where it has no geometry."""
    geometry = item.get("geometry") or {}
    if geometry.get("type") == "Polygon":
        return [geometry["coordinates"][0]]
    if geometry.get("type") == "MultiPolygon":
        return [polygon[0] for polygon in geometry["coordinates"]]
    numbers = item["bbox"]
    half = len(numbers) // 2  # a box of six numbers has heights, as its third and last number
    boxes = split_at_antimeridian((*numbers[:2], *numbers[half : half + 2]))
    return [
        [(west, south), (east, south), (east, north), (west, north)] for west, south, east, north in boxes
    ]


def by_ids(root: str, product_ids: Sequence[str]) -> list[Scene]:
    """Return the scenes of known products, from the layout of keys alone: nothing is asked or read.

    Args:
        root: a folder or ``s3://bucket`` that holds ``collection02/``.
        product_ids: ids of the products.

    Raises:
        ConfigError: one of the ids is not a product id.
    """
    return [Scene.at(root, product_id) for product_id in product_ids]


def scene_of(item: Mapping[str, Any], folder: str = "") -> Scene:
    """Return the scene that a STAC item describes.

    Args:
        item: the item, as JSON objects.
        folder: the folder from which relative addresses start. Files in it are preferred to addresses of a
            web site in the item.

    Raises:
        ConfigError: this is not a STAC item, or it has no red or no near-infrared band.
    """
    _check_item(item, "the given item")
    hrefs = {name: _resolve_href(_find_asset(item, name), folder) for name in _ASSET_NAMES}
    red, nir = hrefs["red"], hrefs["nir"]
    if red is None or nir is None:
        band = "red" if red is None else "near-infrared"
        raise ConfigError(
            f"item {item.get('id')} has no {band} band among its assets: {', '.join(item['assets'])}"
        )
    match = _PRODUCT_ID.search(_file_name(red))
    if match is None:
        raise ConfigError(
            f"item {item.get('id')}: {redact_address(red)} is not named after a Landsat product"
        )
    product = Product.parse(match[0])
    return Scene(
        product=product,
        bands={name: href for name in OLI.bands if (href := hrefs[name]) is not None},
        qa_pixel=hrefs["qa_pixel"],
        qa_radsat=hrefs["qa_radsat"],
        cloud=_cloud(item),
        calibration=known_calibration(product),
        mtl=_beside(red, product.file("MTL.json")),
    )


def _beside(href: str, name: str) -> str:
    """Return the address of a file beside another, with the same signature."""
    path, mark, query = href.partition("?") if "://" in href else (href, "", "")
    return f"{path.rpartition('/')[0]}/{name}{mark}{query}"


def _cloud(item: Mapping[str, Any]) -> float | None:
    """Return the percent of the scene under cloud; None where it is missing or -1 (not assessed)."""
    cloud = item["properties"].get("eo:cloud_cover")
    return float(cloud) if isinstance(cloud, int | float) and cloud >= 0 else None


def _file_name(href: str) -> str:
    """Return the name of a file. The query of an address, which may contain slashes, is no part of it."""
    return posixpath.basename(redact_address(href))


def _find_asset(item: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return an asset by any of its names; the old names of the bands contain the sensor's band numbers."""
    assets: Mapping[str, Mapping[str, Any]] = item["assets"]
    names: list[str] = list(_ASSET_NAMES[name])
    if name in OLI.bands and (match := _PRODUCT_ID.search(str(item.get("id")))) is not None:
        product = Product.parse(match[0])
        band = product.sensor.bands[name]
        names += [f"SR_B{band}.TIF", f"B{band}.TIF"]
    asset_name = next((candidate for candidate in names if candidate in assets), None)
    if asset_name is None:
        return None
    asset = assets[asset_name]
    if not isinstance(asset, dict) or not isinstance(asset.get("href"), str):
        raise ConfigError(f"item {item.get('id')}: its asset {asset_name} has no href")
    return asset


def _resolve_href(asset: Mapping[str, Any] | None, folder: str) -> str | None:
    """Return the path or address from which the reader reads an asset."""
    if asset is None:
        return None
    href = str(asset["href"])
    alternate = ((asset.get("alternate") or {}).get("s3") or {}).get("href")
    if "://" not in href:
        return href if posixpath.isabs(href) else f"{folder}/{posixpath.normpath(href)}"
    if folder and not href.startswith(S3) and (Path(folder) / _file_name(href)).exists():
        return f"{folder}/{_file_name(href)}"
    return str(alternate) if alternate else href


def _date_and_id(scene: Scene) -> tuple[date, str]:
    return scene.date, scene.product.id
