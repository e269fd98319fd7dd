"""What a STAC item says of a scene: its product, the addresses of its files, its day, outline and cloud.

Products and bands are recognised by the names of files, because items call the same band ``red``, ``B4``,
``SR_B4`` or ``SR_B4.TIF``, and their ids may lack the processing date.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from wrenlite.gallery.landsat.access import s3_twin
from wrenlite.gallery.landsat.query import Described, Ring
from wrenlite.gallery.landsat.scene import (
    Product,
    Scene,
    Unusable,
    check_daylight,
    cloud_percent,
    known_calibration,
)
from wrenlite.gallery.ndvi.bands import redact_address
from wrenlite.gallery.ndvi.grid import split_at_antimeridian

_PRODUCT_ID = re.compile(
    r"L[COTEM][0-9]{2}_L[0-9][A-Z]{2}_[0-9]{6}_[0-9]{8}_[0-9]{8}_[0-9]{2}_[0-9A-Z]{2}(?![0-9A-Z])"
)
_PRODUCT_FILE = re.compile(_PRODUCT_ID.pattern + r"\w*\.\w+")
_COMMON_NAMES = {"nir": "nir08", "swir1": "swir16", "swir2": "swir22"}
"""The names of bands in today's items, where they are not wrenlite's."""
_WORDS = {"red": "red", "nir": "near-infrared"}
_SURFACE_TEMPERATURE = re.compile(r"_ST_B[0-9]+\.TIF$", re.IGNORECASE)


def describe(item: Any, folder: str = "") -> Described:
    """Return the scene that a STAC item describes, with its outline.

    Args:
        item: the item, as JSON objects.
        folder: the folder from which relative addresses start. Files in it are preferred to the addresses in
            the item.

    Raises:
        Unusable: NDVI cannot be computed from what the item describes.
    """
    for name in ("properties", "assets"):
        if not isinstance(item, dict) or not isinstance(item.get(name), dict):
            label = item.get("id") if isinstance(item, dict) else item
            raise Unusable(f"{label!r} is not a STAC item: it has no {name}", reason="not a STAC item")
    files = _Files(item, folder)
    product, properties = files.product(), item["properties"]
    check_daylight(product, properties.get("view:sun_elevation", properties.get("eo:sun_elevation")))
    return Described(_scene(item, product, files), _rings(item))


def identity(item: Any) -> str:
    """Return what tells an item from others: its id, and the names of its product's files.

    An id alone is not enough, because some items have none, and those of a product's reflectance and of its
    temperature may have the same. Addresses may have another signature each time.
    """
    if not isinstance(item, dict):
        return repr(item)
    names = sorted(set(_PRODUCT_FILE.findall(repr(item.get("assets")))))
    return repr((item.get("collection"), item.get("id"), names or item))


def product_id(text: str) -> str | None:
    """Return the first product id in a text, such as the name of a file; None where there is none."""
    match = _PRODUCT_ID.search(text)
    return match and match[0]


class _Files:
    """The files of an item, by the names of its assets and by the names that the files have."""

    def __init__(self, item: Mapping[str, Any], folder: str) -> None:
        self.item = f"item {item.get('id')}"
        assets = {str(key): asset for key, asset in item["assets"].items()}
        self.addresses = {key: _address(asset, folder) for key, asset in assets.items()}
        self.keys = {_file_name(href).lower(): key for key, href in self.addresses.items() if href}

    def product(self) -> Product:
        """Return the product that the files are named after.

        Raises:
            Unusable: they are not named after a product, or not after one that can be used.
        """
        found = next(filter(None, (product_id(name.upper()) for name in self.keys)), None)
        if found is not None:
            return Product.parse(found)
        if None in self.addresses.values():
            self._raise_without_address()
        names = ", ".join(sorted(self.keys)[:3]) or "it has no files"
        raise Unusable(
            f"{self.item}: its files are not named after a Landsat product ({names})",
            reason="not a Landsat product",
        )

    def find(self, product: Product, file: str, *keys: str, needed: bool = False) -> str | None:
        """Return the address of a file of a product; None where the item does not have it.

        Args:
            product: the product.
            file: the name that the file has in Collection 2.
            keys: names of assets that hold it, where the file has another name that begins as the product's.
            needed: refuse an asset without address.

        Raises:
            Unusable: the asset has no address, and it is needed.
        """
        key = self.keys.get(file.lower()) or next((key for key in keys if key in self.addresses), None)
        address = self.addresses.get(key or "")
        if needed and key is not None and address is None:
            self._raise_without_address()
        return address if address and product.id.lower() in _file_name(address).lower() else None

    def has_temperature(self) -> bool:
        """Return whether there is a file of surface temperature."""
        return any(_SURFACE_TEMPERATURE.search(name) for name in self.keys)

    def _raise_without_address(self) -> NoReturn:
        names = ", ".join(key for key, href in self.addresses.items() if href is None)
        raise Unusable(
            f"{self.item}: without an href are its assets {names}", reason="an asset has no address (href)"
        )


def _scene(item: Mapping[str, Any], product: Product, files: _Files) -> Scene:
    """Return the scene of an item's files.

    Raises:
        Unusable: there is no file of the red or of the near-infrared band.
    """
    bands = {}
    for name, number in product.sensor.bands.items():
        keys = (_COMMON_NAMES.get(name, name), f"SR_B{number}", f"B{number}")
        needed = name in _WORDS
        href = files.find(product, product.band_file(number), *keys, needed=needed)
        if href is not None:
            bands[name] = href
        elif needed:
            _raise_without_band(product, files, _WORDS[name])
    others = {
        "qa_pixel": files.find(product, product.file("QA_PIXEL.TIF"), "qa_pixel", needed=True),
        "qa_radsat": files.find(product, product.file("QA_RADSAT.TIF"), "qa_radsat", needed=True),
        "mtl": _metadata_file(product, files, bands["red"]),
    }
    if not any(map(_is_remote, (bands["red"], bands["nir"]))):  # a download: the rest is not here, if remote
        bands = {name: href for name, href in bands.items() if not _is_remote(href)}
        others = {name: None if href and _is_remote(href) else href for name, href in others.items()}
    cloud = cloud_percent(item["properties"].get("eo:cloud_cover"))
    calibration = known_calibration(product)
    return Scene(product=product, bands=bands, cloud=cloud, calibration=calibration, **others)


def _raise_without_band(product: Product, files: _Files, band: str) -> NoReturn:
    if files.has_temperature():
        raise Unusable(f"{files.item} has no reflectance", reason="surface temperature only")
    keys = ", ".join(files.addresses)
    raise Unusable(
        f"{files.item} has no {band} band of {product.id} among its assets: {keys}", reason=f"no {band} band"
    )


def _metadata_file(product: Product, files: _Files, red: str) -> str | None:
    """Return the address of the metadata file: one that is here comes first."""
    names = [product.file(f"MTL.{kind}") for kind in ("json", "txt")]
    listed = filter(None, (files.find(product, name) for name in names))
    found = (*listed, *(beside_file(red, name) for name in names))
    here = (href for href in found if not _is_remote(href) and os.path.isfile(href))
    return next(iter((*here, *filter(_is_remote, found))), None)


def beside_file(href: str, name: str) -> str:
    """Return the path or address of a file beside another, with the same signature."""
    path, mark, query = href.partition("?") if _is_remote(href) else (href, "", "")
    return f"{path.rpartition('/')[0]}/{name}{mark}{query}"


def _address(asset: Any, folder: str) -> str | None:
    """Return the path or address from which an asset is read: a file here, on S3, or on a web server."""
    if not isinstance(asset, dict):
        return None
    href = _text(asset.get("href"))
    on_s3 = _text(_member(_member(asset.get("alternate"), "s3"), "href"))
    if href is None:
        return on_s3
    try:
        parts = urlsplit(href)
    except ValueError:  # such as http://[x/y.tif
        return on_s3
    if parts.scheme == "file":
        return unquote(parts.path)
    if not _is_remote(href):
        return href if posixpath.isabs(href) else f"{folder or '.'}/{posixpath.normpath(href)}"
    here = f"{folder}/{_file_name(href)}"
    if folder and not _is_remote(folder) and os.path.isfile(here):
        return here
    return on_s3 or s3_twin(href) or href


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_remote(href: str) -> bool:
    return "://" in href


def _file_name(href: str) -> str:
    """Return the name of a file. The query of an address, which may contain slashes, is no part of it."""
    return posixpath.basename(redact_address(href))


def _rings(item: Mapping[str, Any]) -> list[Ring]:
    """Return the outer rings of an item's geometry, or of its box where it has no geometry.

    There are none where these cannot be read.
    """
    geometry = item.get("geometry")
    try:
        if geometry is None or geometry["type"] not in ("Polygon", "MultiPolygon"):
            return [_ring(corners) for corners in _box_corners(item["bbox"])]
        polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        return [ring for polygon in polygons for ring in _split_if_global(_ring(polygon[0]))]
    except (LookupError, TypeError, ValueError, OverflowError):
        return []


def _box_corners(numbers: list[Any]) -> list[Ring]:
    """Return the corners of a box in parts at most 180 degrees wide, none of which cross the antimeridian.

    Raises:
        ValueError: the numbers are no box.
    """
    half = len(numbers) // 2  # a box of six numbers has heights, as its third and last number
    boxes = split_at_antimeridian((*numbers[:2], *numbers[half : half + 2]))
    halves = [
        (start, box.south, end, box.north)
        for box in boxes
        for start, end in ((box.west, (box.west + box.east) / 2), ((box.west + box.east) / 2, box.east))
    ]
    return [
        [(west, south), (east, south), (east, north), (west, north)] for west, south, east, north in halves
    ]


def _split_if_global(ring: Ring) -> list[Ring]:
    """Return a ring, in parts where it goes from one side of the antimeridian round the Earth to the other.

    A scene is at least 1.5 degrees wide, so corners that lie all within 0.1 degrees of the antimeridian, on
    both sides, are those of the whole width.
    """
    lons, lats = zip(*ring, strict=True)
    if min(lons) < 0 < max(lons) and all(179.9 < abs(lon) <= 180 for lon in lons):
        return _box_corners([-180.0, min(lats), 180.0, max(lats)])
    return [ring]


def _ring(corners: Iterable[Any]) -> Ring:
    """Return corners as pairs of numbers.

    Raises:
        ValueError: they are no polygon on Earth.
    """
    ring = [(float(corner[0]), float(corner[1])) for corner in corners]
    if len(ring) < 3 or not all(abs(lon) <= 360 and abs(lat) <= 90 for lon, lat in ring):
        raise ValueError(f"{ring} is no polygon on Earth")
    return ring
