"""Finds scenes: in a STAC service, in a folder or bucket, or by known product ids.

What cannot be used is left out, one item at a time, and counted by reason: see ``query.Scenes``.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wrenlite.errors import ConfigError, NotFound, PackageMissing, StoreError
from wrenlite.gallery.landsat import folders, items
from wrenlite.gallery.landsat.access import default_reader, needs_signature, signed
from wrenlite.gallery.landsat.query import Described, Scenes
from wrenlite.gallery.landsat.query import Query as Query
from wrenlite.gallery.landsat.scene import Scene, Unusable
from wrenlite.gallery.ndvi.bands import S3, Reader, redact_address
from wrenlite.gallery.ndvi.grid import Box
from wrenlite.texts import counted

EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"
"""A public STAC service; its collection of level 2 has addresses in ``s3://usgs-landsat``."""
LANDSATLOOK = "https://landsatlook.usgs.gov/stac-server"
"""The STAC service of USGS, which has level 1, too; its web addresses have a twin in ``s3://usgs-landsat``."""
PLANETARY_COMPUTER = "https://planetarycomputer.microsoft.com/api/stac/v1"
"""The STAC service of Microsoft; its addresses are signed by the package planetary-computer."""
_COLLECTIONS = {
    EARTH_SEARCH: {2: "landsat-c2-l2"},
    LANDSATLOOK: {1: "landsat-c2l1", 2: "landsat-c2l2-sr"},
    PLANETARY_COMPUTER: {2: "landsat-c2-l2"},
}
"""Names of the collections of each level. Planetary Computer's level 1 is MSS only."""
_USUAL_COLLECTIONS = _COLLECTIONS[EARTH_SEARCH]
"""Names to try at a service that is not known."""
_TIMEOUT_S = (10, 60)
"""Timeouts for connecting, and for each further part of an answer."""
_ITEM_FILE = re.compile(r"(?:.+_stac|L[COTEM][0-9]{2}_.+(?<!_MTL))\.json", re.IGNORECASE)
"""Names of files with one item: those of downloads end in ``_stac``, those of pystac are the item's id."""
_PAGE = 100
"""Number of items that a service is asked for at a time."""
_MOST_SAID = 300
"""Most characters of a service's error in a message: some services answer with a whole page."""
_REPEATED = "listed more than once"
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
ITEMS = "items.json"
"""Name of the file with all items of an archive, a STAC ItemCollection: one GET finds every scene."""


def search(
    query: Query,
    *,
    url: str = EARTH_SEARCH,
    collection: str | None = None,
    limit: int = 500,
    client: Any = None,
) -> Scenes:
    """Return the scenes that a STAC service finds.

    Args:
        query: the place and the time, and what the scenes must be like.
        url: address of the service.
        collection: the service's name for Landsat; default: its collections of the levels that are asked for.
        limit: greatest number of different items. A query that finds more is refused; its result is never
            cut.
        client: a ``pystac_client.Client`` to use instead of opening the address.

    Raises:
        PackageMissing: pystac-client is not installed.
        StoreError: the service cannot be reached, or answers with an error.
        ConfigError: this is no address of a service, the service finds more items than the limit, or its
            collection of the level is not known.
    """
    collections = [collection] if collection else _collections(url, query.levels)
    name = "the STAC service of this client" if client is not None else _service_name(url)
    service = _call_service(name, lambda: client if client is not None else _open_service(url))
    found: dict[str, Any] = {}
    repeated = 0
    for box in query.boxes:
        parameters = _search_parameters(query, box) | {"collections": collections}
        read = partial(_distinct_items, service, parameters, most=limit - len(found) + 1, known=found)
        different, again = _call_service(name, read)
        found |= different
        repeated += again
        if len(found) > limit:
            raise ConfigError(
                f"{name} has more than {counted(limit, 'item')} of this place {query.time}: choose a shorter"
                " time (start, end) or a smaller place"
            )
    sieve = _Sieve(query, {_REPEATED: repeated} if repeated else {})
    for item in found.values():
        sieve.add(partial(items.describe, item))
    return sieve.scenes()


def _collections(url: str, levels: Iterable[int]) -> list[str]:
    """Return a service's names for the collections of some levels.

    Raises:
        ConfigError: the service does not have one of them.
    """
    plain = _plain_address(url)
    known = _COLLECTIONS.get(plain, _USUAL_COLLECTIONS)
    missing = [level for level in levels if level not in known]
    if missing and plain in _COLLECTIONS:
        raise ConfigError(f"{_service_name(url)} has no scenes of level {missing[0]}: search {LANDSATLOOK}")
    if missing:
        raise ConfigError(
            f"the name of the collection of level {missing[0]} of {_service_name(url)} is not known: give it"
            " as the collection (--collection)"
        )
    return [known[level] for level in levels]


def _plain_address(url: str) -> str:
    """Return the address of a service as it is written here, where it is the same one.

    Raises:
        ConfigError: this is no address.
    """
    try:
        parts = urlsplit(url)
        ports = {"https": (None, 443), "http": (None, 80)}
        port = "" if parts.port in ports.get(parts.scheme, ()) else f":{parts.port}"
    except ValueError as error:
        raise ConfigError(f"{redact_address(url)!r} is not the address of a service: {error}") from error
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"


def _distinct_items(
    service: Any, parameters: Mapping[str, Any], most: int, known: Mapping[str, Any]
) -> tuple[dict[str, Any], int]:
    """Return items of a search by what tells them apart, and how often the service repeated one.

    Args:
        service: a client of pystac-client.
        parameters: the search.
        most: the most items that are not known yet; reading ends there.
        known: items that another search has found.

    Raises:
        StoreError: the service sends the same items without end.
    """
    found: dict[str, Any] = {}
    new = repeated = in_a_row = 0
    for item in service.search(**parameters).items_as_dicts():
        key = items.identity(item)
        in_a_row = in_a_row + 1 if key in found else 0
        repeated += key in found
        new += key not in found and key not in known
        found[key] = item
        if new >= most:
            break
        if in_a_row > max(_PAGE, len(found)):
            raise StoreError("the STAC service sends the same items again and again: try another service")
    return found, repeated


def _search_parameters(query: Query, box: Box) -> dict[str, Any]:
    """Return the parameters of a search in one box; all services page in the order of time.

    Cloud is not among them, because a service drops the items whose cloud is not known, which "at most 20 %"
    does not exclude. The operators of STAC's ``query`` cannot say "or unknown".
    """
    start = ".." if query.start is None else f"{query.start.isoformat()}T00:00:00Z"
    end = ".." if query.end is None else f"{query.end.isoformat()}T23:59:59.999999Z"
    point = {"type": "Point", "coordinates": [box.west, box.south]}
    return {
        "limit": _PAGE,
        "sortby": [{"field": "properties.datetime", "direction": "asc"}],
        **({} if start == end else {"datetime": f"{start}/{end}"}),
        **({"intersects": point} if box.west == box.east else {"bbox": list(box)}),
    }


def _service_name(url: str) -> str:
    known = _plain_address(url) == EARTH_SEARCH
    return f"earth-search ({url})" if known else f"the STAC service {redact_address(url)}"


def _call_service(name: str, call: Callable[[], Any]) -> Any:
    """Return the result of a call of pystac-client.

    Raises:
        StoreError: the call raised any error.
    """
    try:
        return call()
    except (PackageMissing, StoreError):
        raise
    except Exception as error:  # pystac-client raises its own errors, and those of requests and pystac
        raise StoreError(f"{name} {_service_failure(error)}") from error


def _service_failure(error: BaseException) -> str:
    """Return in words why a call of pystac-client has failed."""
    said = f"{type(error).__name__}: {textwrap.shorten(str(error), _MOST_SAID)}"
    status = getattr(error, "status_code", None)
    if status is not None:
        return f"answered with the error {status}: {said}"
    causes = [error]
    while following := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(following)
    # What requests raises where an answer cannot be understood is a ValueError as well.
    if any(isinstance(cause, OSError) and not isinstance(cause, ValueError) for cause in causes):
        return f"cannot be reached: {said}; the synthetic archive needs no network (source synthetic)"
    return f"gave an answer that is not one of a STAC service: {said}; check its address"


def _open_service(url: str) -> Any:
    try:
        from pystac_client import Client
    except ImportError as error:
        raise PackageMissing(
            f"searching for scenes needs {error.name}: pip install 'wrenlite[landsat]'"
        ) from error
    return Client.open(url, timeout=_TIMEOUT_S)


class _Sieve:
    """Sorts what a catalogue describes into scenes and reasons to leave something out."""

    def __init__(self, query: Query | None, left_out: Mapping[str, int] | None = None) -> None:
        self._query = query
        self._scenes: dict[str, Scene] = {}
        self._left_out = Counter(left_out or {})

    def add(self, describe: Callable[[], Described], *, count: bool = True) -> str | None:
        """Add what is described.

        Args:
            describe: returns the scene, or raises Unusable. Any other error means the same: what one item
                holds must not refuse the others.
            count: count it where it is left out.

        Returns:
            The product's id where the scene could be compared with the query; None where there is no scene.
        """
        try:
            described = describe()
        except Unusable as error:
            self._left_out[error.reason] += count
            return None
        except Exception as error:
            self._left_out[f"an item that cannot be read ({type(error).__name__})"] += count
            return None
        product = described.scene.product.id
        reason = self._query.mismatch(described) if self._query is not None else None
        if reason is None and product in self._scenes:
            reason = _REPEATED
        if reason is None:
            self._scenes[product] = described.scene
        else:
            self._left_out[reason] += count
        return product if self._query is None or described.rings else None

    def scenes(self) -> Scenes:
        """Return the scenes: of each acquisition and level the newest processing."""
        newest: dict[object, Scene] = {}
        for scene in sorted(self._scenes.values(), key=lambda scene: scene.product.processed):
            product = scene.product
            newest[product.satellite, product.path, product.row, product.acquired, product.level] = scene
        older = len(self._scenes) - len(newest)
        if older:
            self._left_out["processed again later"] += older
        return Scenes(self._signed(newest.values()), +self._left_out)

    def _signed(self, scenes: Iterable[Scene]) -> list[Scene]:
        """Return the scenes with signatures where they need them; those without are left out.

        A signature is good for all scenes, so the first failure is the answer for all of them.
        """
        ready: list[Scene] = []
        failed = None
        for scene in scenes:
            try:
                if failed is None or not needs_signature(scene.red):
                    ready.append(signed(scene))
                    continue
            except Unusable as error:
                failed = error
            self._left_out[failed.reason] += 1
        return ready


def stored(root: str | os.PathLike[str], reader: Reader | None = None, query: Query | None = None) -> Scenes:
    """Return the scenes in a folder or bucket; no service is asked.

    A folder may hold downloads as they come: bands with their metadata file (MTL, JSON or text), with or
    without a STAC item (``*_stac.json``, or named after the product as pystac does), in any folders below.
    Files in the folder are preferred to the addresses in items.

    Args:
        root: a folder, or ``s3://bucket/prefix`` with ``items.json``, a STAC ItemCollection of all scenes. In
            a folder that has an ``items.json``, nothing else is looked for.
        reader: reads ``items.json``; default: GDAL's.
        query: which scenes to return; default: all that can be used.

    Raises:
        NotFound: there is no such folder, or there are neither items nor metadata files.
        ConfigError: the root is neither a folder nor a bucket, or ``items.json`` is not an ItemCollection.
    """
    base = _check_root(os.fspath(root))
    sieve = _Sieve(query)
    if base.startswith(S3) or os.path.isfile(f"{base}/{ITEMS}"):
        for item in _collection(f"{base}/{ITEMS}", reader):
            sieve.add(partial(items.describe, item, base))
    else:
        _add_folder(sieve, base)
    return sieve.scenes()


def _add_folder(sieve: _Sieve, base: str) -> None:
    """Add the items and the downloads of a folder. Of each product only one is used, the item first.

    Raises:
        NotFound: there are neither.
    """
    tree = folders.walk(base)
    files = [(folder, name) for folder, names in tree.items() for name in names]
    item_files = [(folder, name) for folder, name in files if _ITEM_FILE.fullmatch(name)]
    downloads = folders.downloads(tree)
    if not item_files and not downloads:
        archives = any(name.lower().endswith(_ARCHIVES) for _, name in files)
        raise NotFound(
            f"{base} has neither {ITEMS} nor any *_stac.json, *_MTL.json or *_MTL.txt: "
            + ("unpack its .tar files first" if archives else "give a folder of scenes with their metadata")
        )
    known, named = set(), set()
    for folder, name in item_files:
        known.add(sieve.add(partial(_describe_file, folder, name)))
        named.add(items.product_id(name))
    for download in downloads:
        if download.product not in known:
            sieve.add(partial(folders.describe, download), count=download.product not in named)


def _describe_file(folder: str, name: str) -> Described:
    """Return the scene of an item in a file.

    Raises:
        Unusable: the file cannot be read, or NDVI cannot be computed from what it describes.
    """
    try:
        content = _parse_json(Path(folder, name).read_bytes(), f"{folder}/{name}")
    except (ConfigError, OSError) as error:
        raise Unusable(str(error), reason="a file that is not JSON") from error
    return items.describe(content, folder)


def _check_root(root: str) -> str:
    """Return the place where scenes are stored: the whole path of a folder, or the address of a bucket.

    Raises:
        NotFound: there is no such folder.
        ConfigError: it is neither a folder nor a bucket.
    """
    scheme, mark, rest = root.partition("://")
    name = rest.strip("/") if mark else root.strip("/")
    if not name or (mark and scheme != "s3"):
        raise ConfigError(
            f"{redact_address(root)!r} cannot be an archive of scenes: give a folder, or s3://bucket/prefix"
        )
    if mark:
        return root.rstrip("/")
    folder = os.path.abspath(os.path.expanduser(root))
    if not os.path.exists(folder):
        raise NotFound(f"there is no folder {folder}")
    if not os.path.isdir(folder):
        unpacked = " into which it is unpacked" if folder.lower().endswith(_ARCHIVES) else " that it is in"
        raise ConfigError(f"{folder} is a file: give the folder{unpacked}")
    return folder


def _collection(address: str, reader: Reader | None) -> list[Any]:
    """Return the items of an ItemCollection.

    Raises:
        ConfigError: it is none.
    """
    features = _parse_json((reader or default_reader()).fetch(address), address).get("features")
    if not isinstance(features, list):
        raise ConfigError(f"{address} is not a STAC ItemCollection: it has no list of features")
    return features


def _parse_json(data: bytes, source: object) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ConfigError: the file, which the message names, holds no JSON object.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{source} is not a JSON object")
    return content


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
        folder: the folder from which relative addresses start. Files in it are preferred to the addresses in
            the item.

    Raises:
        ConfigError: this is not a STAC item, or NDVI cannot be computed from what it describes.
    """
    return signed(items.describe(item, folder).scene)
