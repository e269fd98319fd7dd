"""Folders of downloads: products are found by their metadata files (MTL), and need no STAC items.

A folder may be flat or nested, and may hold only some of a product's files.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import metadata
from wrenlite.gallery.landsat.items import product_id
from wrenlite.gallery.landsat.metadata import Groups
from wrenlite.gallery.landsat.query import Described, Ring
from wrenlite.gallery.landsat.scene import Product, Scene, Unusable
from wrenlite.gallery.ndvi.indices import Calibration

_MTL = re.compile(r"(?P<product>.+)_MTL\.(?:json|txt|xml)", re.IGNORECASE)
_QUALITY = {
    "qa_pixel": ("FILE_NAME_QUALITY_L1_PIXEL", "QA_PIXEL.TIF"),
    "qa_radsat": ("FILE_NAME_QUALITY_L1_RADIOMETRIC_SATURATION", "QA_RADSAT.TIF"),
}
_CORNERS = ("UL", "UR", "LR", "LL")


class Download(NamedTuple):
    """A product's metadata files, and the files beside them."""

    product: str
    """Id of the product, or whatever the metadata files are named after."""
    folder: str
    metadata: Sequence[str]
    """Names of the metadata files; one is enough. JSON comes first, and XML, which is not read, last."""
    files: Mapping[str, str]
    """Names of all files of the folder, by name in small letters."""


def walk(root: str) -> dict[str, list[str]]:
    """Return the names of all files in a folder and in the folders below, by folder.

    Links to folders are followed, each folder once. Pipes, whose reading could last for ever, and links to
    nothing are no files.
    """
    tree, seen = {}, set()
    for folder, below, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
        else:
            seen.add(real)
            tree[folder] = sorted(name for name in names if os.path.isfile(os.path.join(folder, name)))
    return dict(sorted(tree.items()))


def downloads(tree: Mapping[str, Sequence[str]]) -> list[Download]:
    """Return the products that have a metadata file in a tree of folders."""
    found = []
    for folder, names in tree.items():
        files = {name.lower(): name for name in names}
        metadata_files = defaultdict(list)
        for name in names:  # sorted, so JSON is before text and XML
            if match := _MTL.fullmatch(name):
                metadata_files[match["product"].upper()].append(name)
        found += [Download(product, folder, own, files) for product, own in metadata_files.items()]
    return found


def describe(download: Download) -> Described:
    """Return the scene of a download, with its outline.

    Raises:
        Unusable: NDVI cannot be computed from what the download holds.
    """
    if product_id(download.product) is not None:
        Product.parse(download.product)  # tells Collection 1 and MSS without reading their metadata
    path, groups, product, calibration = _read(download)
    bands = {}
    for name, number in product.sensor.bands.items():
        file = _find(download, groups, f"FILE_NAME_BAND_{number}", product.band_file(number))
        if file is not None:
            bands[name] = file
    missing = [name for name in ("red", "nir") if name not in bands]
    if missing:
        words = " and ".join("near-infrared" if name == "nir" else name for name in missing)
        raise Unusable(
            f"{product.id}: there is no {words} band in {download.folder}", reason=f"no {words} band"
        )
    quality = {
        name: _find(download, groups, key, product.file(suffix)) for name, (key, suffix) in _QUALITY.items()
    }
    scene = Scene(
        product=product,
        bands=bands,
        cloud=metadata.cloud(groups),
        calibration=calibration,
        mtl=path,
        **quality,
    )
    return Described(scene, _rings(groups))


def _read(download: Download) -> tuple[str, Groups, Product, Calibration]:
    """Return the path of a download's metadata, and what it holds, from the first file that is complete.

    Raises:
        Unusable: NDVI cannot be computed with any of them.
    """
    errors = []
    for name in download.metadata:
        path = f"{download.folder}/{name}"
        if name.lower().endswith(".xml"):
            continue
        try:
            groups = metadata.parse(Path(path).read_bytes())
            return path, groups, metadata.product(groups), metadata.calibration(groups)
        except Unusable as error:
            errors.append(error)
        except (ConfigError, OSError) as error:
            errors.append(Unusable(f"{path}: {error}", reason="the metadata file (MTL) cannot be read"))
    if not errors:
        raise Unusable(
            f"{download.folder}/{download.metadata[0]}: metadata in XML are not read: download the product's"
            " MTL.txt or MTL.json as well",
            reason="only MTL.xml, which is not read: download MTL.txt or MTL.json as well",
        )
    raise errors[-1]


def _find(download: Download, groups: Groups, key: str, name: str) -> str | None:
    """Return the path of a file by its name in the metadata, or by its usual name; None without one."""
    names = (groups["PRODUCT_CONTENTS"].get(key, name), name)
    found = next((download.files[each.lower()] for each in names if each.lower() in download.files), None)
    return found and f"{download.folder}/{found}"


def _rings(groups: Groups) -> list[Ring]:
    """Return the corners of the raster; none where the metadata do not have them."""
    try:
        numbers = {
            axis: [
                metadata.number(groups, "PROJECTION_ATTRIBUTES", f"CORNER_{corner}_{axis}_PRODUCT")
                for corner in _CORNERS
            ]
            for axis in ("LON", "LAT")
        }
    except ConfigError:
        return []
    return [list(zip(numbers["LON"], numbers["LAT"], strict=True))]
