"""Finds scenes: in a STAC service, among items in a folder or bucket, or by product ids that are known.

Addresses come from the items' assets, not from their ids: earth-search's lack the processing date. Where an
asset has an ``alternate`` on S3, as landsatlook's has, that is taken, since its own lies behind a login.
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
from wrenlite.gallery.landsat.scene import Product, Scene, form_of
from wrenlite.gallery.ndvi.bands import (
    S3,
    Reader,
    shown,
)
from wrenlite.gallery.ndvi.grid import (
    Box,
    check_point,
    overlap,
    split,
)

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
"""Its collection ``landsat-c2-l2`` has addresses on ``s3://usgs-landsat``."""
_PATIENCE_S = (10, 60)
"""To connect, and between one part of an answer and the next."""
_COLLECTION = "landsat-c2-l2"
_PRODUCT = re.compile(
    r"L[COTEM][0-9]{2}_L[0-9][A-Z]{2}_[0-9]{6}_[0-9]{8}_[0-9]{8}_[0-9]{2}_[0-9A-Z]{2}(?=_|/|$)"
)
_ASSETS = {
    "red": ("red",),
    "nir": ("nir08",),
    "qa_pixel": ("qa_pixel", "QA_PIXEL.TIF"),
    "qa_radsat": ("qa_radsat", "QA_RADSAT.TIF"),
}
"""Names of what is needed, in today's items and in those of 2020."""
ITEMS = "items.json"
"""All items of an archive in one file, a STAC ItemCollection: one GET finds every scene."""


@dataclass(frozen=True)
class Query:
    """Which scenes: of a place, in a time, with a limit of cloud."""

    where: tuple[float, ...]
    """Longitude and latitude of a point, or west, south, east, north of a box, in degrees."""
    start: date
    end: date
    """The last day, included."""
    cloud: float = 100.0
    """Percent of the scene, at most."""

    def __post_init__(self) -> None:
        if len(self.where) not in (2, 4):
            raise ConfigError(f"where={self.where}: give longitude, latitude, or west, south, east, north")
        if self.start > self.end:
            raise ConfigError(f"the time from {self.start} to {self.end} ends before it starts")
        _ = self.boxes  # raises where the place is none

    @property
    def boxes(self) -> list[Box]:
        """The place as boxes, in two where it crosses the antimeridian."""
        if len(self.where) == 2:
            lon, lat = check_point(*self.where)
            return [Box(lon, lat, lon, lat)]
        return split(self.where)


def search(
    query: Query,
    *,
    url: str = EARTH_SEARCH,
    collection: str = _COLLECTION,
    limit: int = 500,
    client: Any = None,
) -> list[Scene]:
    """Scenes from a STAC service, oldest first.

    Args:
        query: what to find.
        url: of the service.
        collection: its name for Landsat's level 2.
        limit: most items to take; a query that has more is refused, not cut.
        client: a ``pystac_client.Client`` to use instead of opening the url.

    Raises PackageMissing without pystac-client, StoreError where the service cannot be reached or answers
    with an error, ConfigError where there are more items, and for items that cannot be read.
    """
    found: dict[str, Scene] = {}
    name = "the STAC service of this client" if client is not None else _name(url)
    service = _asked(name, lambda: client if client is not None else _service(url))
    for box in query.boxes:
        asked = _request(query, box) | {"collections": [collection], "max_items": limit + 1}
        items = _asked(name, partial(_items, service, asked))
        if len(items) > limit:
            raise ConfigError(
                f"{name} has more than {limit} items of this query: make its time or place smaller, or limit="
                " greater"
            )
        found |= {scene.product.id: scene for scene in _reflective(_checked(each, name) for each in items)}
    return sorted(found.values(), key=_order)


def _items(service: Any, asked: Mapping[str, Any]) -> list[Any]:
    return list(service.search(**asked).items_as_dicts())


def _request(query: Query, box: Box) -> dict[str, Any]:
    """What to ask for one box; oldest first, so that services page through time the same way."""
    point = {"type": "Point", "coordinates": [box.west, box.south]}
    return {
        "datetime": f"{query.start.isoformat()}T00:00:00Z/{query.end.isoformat()}T23:59:59Z",
        "query": {"eo:cloud_cover": {"lte": query.cloud}},
        "sortby": [{"field": "properties.datetime", "direction": "asc"}],
        **({"intersects": point} if box.west == box.east else {"bbox": list(box)}),
    }


def _name(url: str) -> str:
    return f"earth-search ({url})" if url == EARTH_SEARCH else f"the STAC service {shown(url)}"


def _asked(name: str, call: Callable[[], Any]) -> Any:
    """What a call of pystac-client gives; whatever it raises as StoreError."""
    try:
        return call()
    except PackageMissing:
        raise
    except Exception as error:  # pystac-client has its own, requests' and pystac's
        raise StoreError(
            f"{name} cannot be reached: {type(error).__name__}: {error}; the synthetic archive needs no"
            " network (source synthetic)"
        ) from error


def _service(url: str) -> Any:
    try:
        from pystac_client import Client
    except ImportError as error:
        raise PackageMissing(
            f"searching for scenes needs {error.name}: pip install 'wrenlite[landsat]'"
        ) from error
    return Client.open(url, timeout=_PATIENCE_S)


def _reflective(items: Iterable[Mapping[str, Any]]) -> Iterable[Scene]:
    """Scenes of what has red and infrared: services list products of surface temperature alone, too."""
    return (scene_of(item) for item in items if _asset(item, "red") is not None)


def stored(
    root: str | os.PathLike[str], reader: Reader | None = None, query: Query | None = None
) -> list[Scene]:
    """Scenes whose STAC items lie with them, oldest first: no service is asked.

    Args:
        root: a folder, or ``s3://bucket/prefix``, with ``items.json``; a folder without one is searched for
            ``*_stac.json``.
        reader: what fetches ``items.json``; default: GDAL's.
        query: which of them; default: all.

    Items without reflectance are left out. Raises NotFound where there are no items, and ConfigError for a
    root that cannot be one and for files that are no STAC items.
    """
    base = _root(os.fspath(root))
    scenes = []
    for item, where in _stored_items(base, reader):
        if _asset(item, "red") is not None and (query is None or _matches(item, query)):
            scenes.append(scene_of(item, where))
    return sorted(scenes, key=_order)


def _root(root: str) -> str:
    """Where items lie, without a slash at its end. Raises ConfigError for what is no folder and no bucket."""
    scheme, mark, rest = root.partition("://")
    named = rest.strip("/") if mark else root.strip("/")
    if not named or (mark and scheme != "s3"):
        raise ConfigError(f"{shown(root)!r} holds no scenes: give a folder, or s3://bucket/prefix")
    return root.rstrip("/")


def _stored_items(base: str, reader: Reader | None) -> Iterable[tuple[Mapping[str, Any], str]]:
    """Items, and the folders that their addresses start from."""
    remote = base.startswith(S3)
    if remote or (Path(base) / ITEMS).exists():
        if reader is None:
            from wrenlite.gallery.ndvi.reader import GdalReader

            reader = GdalReader()
        where = f"{base}/{ITEMS}"
        features = _parsed(reader.fetch(where), where).get("features")
        if not isinstance(features, list):
            raise ConfigError(f"{where} is no STAC ItemCollection: it has no list of features")
        return [(_checked(item, where), base) for item in features]
    files = sorted(Path(base).rglob("*_stac.json"))
    if not files:
        raise NotFound(f"{base} has neither {ITEMS} nor any *_stac.json")
    return [(_checked(_parsed(file.read_bytes(), file), file), str(file.parent)) for file in files]


def _parsed(data: bytes, where: object) -> dict[str, Any]:
    """A JSON object. Raises ConfigError, which names the file."""
    try:
        told = json.loads(data)
    except ValueError as error:
        raise ConfigError(f"{where} is not JSON: {error}") from error
    if not isinstance(told, dict):
        raise ConfigError(f"{where} is no JSON object")
    return told


def _checked(item: Any, where: object) -> Mapping[str, Any]:
    """An item with what every item has. Raises ConfigError, which names it and where it is from."""
    known = isinstance(item, dict)
    for name in ("properties", "assets"):
        if not known or not isinstance(item.get(name), dict):
            told = item.get("id") if known else item
            raise ConfigError(f"{where}: {told!r} is no STAC item: it has no {name}")
    checked: Mapping[str, Any] = item
    return checked


def _matches(item: Mapping[str, Any], query: Query) -> bool:
    """Whether a service would have found it. Raises ConfigError where it has no time or no place."""
    properties = item["properties"]
    try:
        day = date.fromisoformat((properties.get("datetime") or properties["start_datetime"])[:10])
        rings = _rings(item)
        near = any(overlap(ring, box) for ring in rings for box in query.boxes)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigError(
            f"item {item.get('id')}: its datetime, or its geometry or bbox, cannot be read: {error!r}"
        ) from error
    cloud = _cloud(item)
    return near and query.start <= day <= query.end and (cloud is None or cloud <= query.cloud)


def _rings(item: Mapping[str, Any]) -> list[Any]:
    """The outer rings of where it lies: of its geometry, or of its box if it has none."""
    geometry = item.get("geometry") or {}
    if geometry.get("type") == "Polygon":
        return [geometry["coordinates"][0]]
    if geometry.get("type") == "MultiPolygon":
        return [polygon[0] for polygon in geometry["coordinates"]]
    numbers = item["bbox"]
    half = len(numbers) // 2  # six numbers have heights, third and last
    sides = split((*numbers[:2], *numbers[half : half + 2]))
    return [
        [(west, south), (east, south), (east, north), (west, north)] for west, south, east, north in sides
    ]


def known(root: str, products: Sequence[str]) -> list[Scene]:
    """Scenes by their product ids, from the layout of keys alone: nothing is asked or read."""
    return [Scene.at(root, product) for product in products]


def scene_of(item: Mapping[str, Any], folder: str = "") -> Scene:
    """The scene that a STAC item describes.

    Args:
        item: as JSON has it.
        folder: where relative addresses start, and where files may lie beside an item whose own addresses are
            of a web site.

    Raises ConfigError for what is no item, and where red or near infrared is missing, naming the item.
    """
    _checked(item, "this")
    hrefs = {name: _href(_asset(item, name), folder) for name in _ASSETS}
    red, nir = hrefs["red"], hrefs["nir"]
    if red is None or nir is None:
        band = "red" if red is None else "near-infrared"
        raise ConfigError(
            f"item {item.get('id')} has no {band} band among its assets: {', '.join(item['assets'])}"
        )
    found = _PRODUCT.search(_file(red))
    if found is None:
        raise ConfigError(f"item {item.get('id')}: {shown(red)} is not named after a Landsat product")
    product = Product.parse(found[0])
    return Scene(product, red, nir, hrefs["qa_pixel"], hrefs["qa_radsat"], _cloud(item), form_of(product))


def _cloud(item: Mapping[str, Any]) -> float | None:
    """Percent of the scene under cloud; None where it is not told, or not assessed, written as -1."""
    cloud = item["properties"].get("eo:cloud_cover")
    return float(cloud) if isinstance(cloud, int | float) and cloud >= 0 else None


def _file(href: str) -> str:
    """The name of a file; the query of an address, which may have slashes, is no part of it."""
    return posixpath.basename(shown(href))


def _asset(item: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """An asset by any of its names; the bands' old ones have the sensor's numbers in them."""
    assets: Mapping[str, Mapping[str, Any]] = item["assets"]
    names: list[str] = list(_ASSETS[name])
    if name in ("red", "nir") and (found := _PRODUCT.search(str(item.get("id")))) is not None:
        product = Product.parse(found[0])
        band = product.sensor.red if name == "red" else product.sensor.nir
        names += [f"SR_B{band}.TIF", f"B{band}.TIF"]
    found_name = next((each for each in names if each in assets), None)
    if found_name is None:
        return None
    asset = assets[found_name]
    if not isinstance(asset, dict) or not isinstance(asset.get("href"), str):
        raise ConfigError(f"item {item.get('id')}: its asset {found_name} has no href")
    return asset


def _href(asset: Mapping[str, Any] | None, folder: str) -> str | None:
    """Where an asset lies, as the reader takes it."""
    if asset is None:
        return None
    href = str(asset["href"])
    beside = ((asset.get("alternate") or {}).get("s3") or {}).get("href")
    if "://" not in href:
        return href if posixpath.isabs(href) else f"{folder}/{posixpath.normpath(href)}"
    if folder and not href.startswith(S3) and (Path(folder) / _file(href)).exists():
        return f"{folder}/{_file(href)}"
    return str(beside) if beside else href


def _order(scene: Scene) -> tuple[date, str]:
    return scene.date, scene.product.id
