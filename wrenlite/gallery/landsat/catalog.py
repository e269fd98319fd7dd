"""Finds scenes: in a STAC service, among items in a folder or bucket, or by product ids that are known.

Addresses come from the items' assets, not from their ids: earth-search's lack the processing date. Where an
asset has an ``alternate`` on S3, as landsatlook's has, that is taken, since its own lies behind a login.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from wrenlite.errors import ConfigError, NotFound, PackageMissing
from wrenlite.gallery.landsat.bands import Reader
from wrenlite.gallery.landsat.grid import Box, check_point, split
from wrenlite.gallery.landsat.papers import ITEMS
from wrenlite.gallery.landsat.scene import Product, Scene, form_of

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
"""Its collection ``landsat-c2-l2`` has addresses on ``s3://usgs-landsat``."""
_COLLECTION = "landsat-c2-l2"
_PRODUCT = re.compile(r"L[COTEM]\d{2}_L\d[A-Z]{2}_\d{6}_\d{8}_\d{8}_\d{2}_\w{2}(?=_|/|$)")
_ASSETS = {
    "red": ("red",),
    "nir": ("nir08",),
    "qa_pixel": ("qa_pixel", "QA_PIXEL.TIF"),
    "qa_radsat": ("qa_radsat", "QA_RADSAT.TIF"),
}
"""Names of what is needed, in today's items and in those of 2020."""


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
        limit: most scenes to return.
        client: a ``pystac_client.Client`` to use instead of opening the url.

    Raises PackageMissing without pystac-client, and what that raises when the service cannot be reached.
    """
    service = client if client is not None else _service(url)
    found: dict[str, Scene] = {}
    for box in query.boxes:
        place = (
            {"intersects": {"type": "Point", "coordinates": [box.west, box.south]}}
            if box.west == box.east
            else {"bbox": list(box)}
        )
        items = service.search(
            collections=[collection],
            datetime=f"{query.start.isoformat()}T00:00:00Z/{query.end.isoformat()}T23:59:59Z",
            query={"eo:cloud_cover": {"lte": query.cloud}},
            max_items=limit,
            **place,
        ).items_as_dicts()
        found |= {scene.product.id: scene for scene in _reflective(items)}
    return sorted(found.values(), key=_order)[:limit]


def _service(url: str) -> Any:
    try:
        from pystac_client import Client
    except ImportError as error:
        raise PackageMissing(
            f"searching for scenes needs {error.name}: pip install 'wrenlite[landsat]'"
        ) from error
    return Client.open(url)


def _reflective(items: Iterable[Mapping[str, Any]]) -> Iterable[Scene]:
    """Scenes of what has red and infrared: services list products of surface temperature alone, too."""
    return (scene_of(item) for item in items if _asset(item, "red") is not None)


def stored(root: str, reader: Reader | None = None, query: Query | None = None) -> list[Scene]:
    """Scenes whose STAC items lie with them, oldest first: no service is asked.

    Args:
        root: a folder, or ``s3://bucket/prefix``, with ``items.json``; a folder without one is searched for
            ``*_stac.json``.
        reader: what fetches ``items.json``; default: GDAL's.
        query: which of them; default: all.

    Raises NotFound where there are no items.
    """
    base = root.rstrip("/")
    scenes = []
    for item, where in _stored_items(base, reader):
        if query is None or _matches(item, query):
            scenes.append(scene_of(item, where))
    return sorted(scenes, key=_order)


def _stored_items(base: str, reader: Reader | None) -> Iterable[tuple[Mapping[str, Any], str]]:
    """Items, and the folders that their addresses start from."""
    remote = base.startswith("s3://")
    if remote or (Path(base) / ITEMS).exists():
        if reader is None:
            from wrenlite.gallery.landsat.reader import GdalReader

            reader = GdalReader()
        return [(item, base) for item in json.loads(reader.fetch(f"{base}/{ITEMS}"))["features"]]
    files = sorted(Path(base).rglob("*_stac.json"))
    if not files:
        raise NotFound(f"{base} has neither {ITEMS} nor any *_stac.json")
    return [(json.loads(file.read_text()), str(file.parent)) for file in files]


def _matches(item: Mapping[str, Any], query: Query) -> bool:
    """Whether a service would have found it."""
    properties, (west, south, east, north) = item["properties"], item["bbox"]
    day = date.fromisoformat(properties["datetime"][:10])
    cloud = properties.get("eo:cloud_cover")
    sides = split((west, south, east, north))
    near = any(
        box.west <= side.east
        and box.east >= side.west
        and box.south <= side.north
        and box.north >= side.south
        for box in query.boxes
        for side in sides
    )
    return near and query.start <= day <= query.end and (cloud is None or cloud <= query.cloud)


def known(root: str, products: Sequence[str]) -> list[Scene]:
    """Scenes by their product ids, from the layout of keys alone: nothing is asked or read."""
    return [Scene.at(root, product) for product in products]


def scene_of(item: Mapping[str, Any], folder: str = "") -> Scene:
    """The scene that a STAC item describes.

    Args:
        item: as JSON has it.
        folder: where relative addresses start, and where files may lie beside an item whose own addresses are
            of a web site.

    Raises ConfigError where red or near infrared is missing, naming the item.
    """
    hrefs = {name: _href(_asset(item, name), folder) for name in _ASSETS}
    red, nir = hrefs["red"], hrefs["nir"]
    if red is None or nir is None:
        band = "red" if red is None else "near-infrared"
        raise ConfigError(
            f"item {item.get('id')} has no {band} band among its assets: {', '.join(item['assets'])}"
        )
    found = _PRODUCT.search(posixpath.basename(red))
    if found is None:
        raise ConfigError(f"item {item.get('id')}: {red} is not named after a Landsat product")
    product = Product.parse(found[0])
    cloud = item["properties"].get("eo:cloud_cover")
    percent = float(cloud) if cloud is not None and cloud >= 0 else None
    return Scene(product, red, nir, hrefs["qa_pixel"], hrefs["qa_radsat"], percent, form_of(product))


def _asset(item: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """An asset by any of its names; the bands' old ones have the sensor's numbers in them."""
    assets: Mapping[str, Mapping[str, Any]] = item["assets"]
    names: list[str] = list(_ASSETS[name])
    if name in ("red", "nir") and (found := _PRODUCT.search(str(item.get("id")))) is not None:
        product = Product.parse(found[0])
        band = product.sensor.red if name == "red" else product.sensor.nir
        names += [f"SR_B{band}.TIF", f"B{band}.TIF"]
    return next((assets[each] for each in names if each in assets), None)


def _href(asset: Mapping[str, Any] | None, folder: str) -> str | None:
    """Where an asset lies, as the reader takes it."""
    if asset is None:
        return None
    href = str(asset["href"])
    beside = asset.get("alternate", {}).get("s3", {}).get("href")
    if "://" not in href:
        return href if posixpath.isabs(href) else f"{folder}/{posixpath.normpath(href)}"
    if folder and not href.startswith("s3://") and (Path(folder) / posixpath.basename(href)).exists():
        return f"{folder}/{posixpath.basename(href)}"
    return str(beside) if beside else href


def _order(scene: Scene) -> tuple[date, str]:
    return scene.date, scene.product.id
