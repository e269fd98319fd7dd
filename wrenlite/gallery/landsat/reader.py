"""Rasters through GDAL, from disk or from S3: the only module here that knows either.

GDAL's options are those that read with the fewest requests: no listing of folders, the header of a file in
one GET, and no answer of a bucket kept, since in a warm process a refusal would otherwise outlive its
cause.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import AccessDenied, ConfigError, NotFound, PackageMissing, StoreError
from wrenlite.gallery.landsat.bands import Band, Choice, Pixels
from wrenlite.gallery.landsat.grid import BLOCK, Grid, Window, clip
from wrenlite.gallery.landsat.ndvi import FILL, Numbers

try:
    import rasterio
    import rasterio.shutil
    import rasterio.windows
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError
    from rasterio.session import DummySession  # GDAL finds credentials itself, without boto3
except ImportError as missing:
    raise PackageMissing(
        f"reading Landsat needs {missing.name}: pip install 'wrenlite[landsat]'"
    ) from missing

_S3 = "s3://"
_HEADER_BYTES = 32_768
"""What the first GET of a file takes: its directory of blocks is in there, with a scene's 900 of them."""

_REFUSED = re.compile(r"AccessDenied|Access Denied|Forbidden|\b403\b")
_ABSENT = re.compile(r"No such file|ObjectNotFound|does not exist|NoSuchKey|NoSuchBucket|\b404\b")
_REGIONS = {"usgs-landsat": "us-west-2"}
"""Of buckets that lie elsewhere than the environment may say."""


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Threads that stay: PROJ opens its database in each, which takes ten times as long as opening a file."""
    return ThreadPoolExecutor(4, "band")


os.register_at_fork(after_in_child=_threads.cache_clear)


@dataclass(frozen=True)
class GdalReader:
    """Reads with rasterio: from S3 the bands of a scene in as many threads, since most of it is waiting.

    From disk one after the other: that is all decompressing, and other cores have other tasks.

    Credentials are those of the process, by GDAL's own chain; a server other than AWS's is taken from
    ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``, as in all of AWS's own tools.
    """

    requester_pays: bool = True
    """Say that this account pays for requests, without which the public archive refuses them."""

    def read(self, bands: Sequence[Band], choose: Choice) -> Mapping[str, Pixels]:
        """See ``bands.Reader``."""
        if not any(map(_remote, (band.href for band in bands))):
            return {band.name: self._read(band, choose) for band in bands}
        found = [_threads().submit(self._read, band, choose) for band in bands]
        wait(found)  # all of them, so that nothing is still reading when one has failed
        return {band.name: pixels.result() for band, pixels in zip(bands, found, strict=True)}

    def fetch(self, href: str) -> bytes:
        """See ``bands.Reader``. From S3 by wrenlite's own client, as it is one plain GET."""
        if not href.startswith(_S3):
            try:
                return Path(href).read_bytes()
            except FileNotFoundError as error:
                raise NotFound(f"there is no file {href}") from error
        from wrenlite.aws.s3 import S3Store

        place = urlsplit(href)
        return S3Store(place.netloc).get(place.path.lstrip("/"))

    def _read(self, band: Band, choose: Choice) -> Pixels:
        start = time.perf_counter()
        with self._open(band) as dataset:
            grid = _grid(dataset)
            opened = time.perf_counter()
            window, every = choose(grid)
            with _mistakes(band):
                values = _window(dataset, grid, window, every)
        return Pixels(values, grid, window, every, opened - start, time.perf_counter() - opened)

    @contextmanager
    def _open(self, band: Band) -> Iterator[Any]:
        with rasterio.Env(session=DummySession(), **self._options(band.href)):
            with _mistakes(band):
                dataset = rasterio.open(gdal_path(band.href))
            with dataset:
                yield dataset

    def _options(self, href: str) -> dict[str, Any]:
        """GDAL's settings for one file."""
        if not _remote(href):
            return {}
        options: dict[str, Any] = {
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
            "GDAL_INGESTED_BYTES_AT_OPEN": _HEADER_BYTES,
            "GDAL_HTTP_CONNECTTIMEOUT": 10,
            "GDAL_HTTP_TIMEOUT": 120,
            "GDAL_HTTP_MAX_RETRY": 3,
            "GDAL_HTTP_RETRY_DELAY": 0.2,
        }
        if not href.startswith(_S3):
            return options
        bucket = urlsplit(href).netloc
        options["CPL_VSIL_CURL_NON_CACHED"] = f"/vsis3/{bucket}"
        if bucket in _REGIONS:
            options["AWS_REGION"] = _REGIONS[bucket]
        if self.requester_pays:
            options["AWS_REQUEST_PAYER"] = "requester"
        return options | _endpoint(os.environ)


def _remote(href: str) -> bool:
    return "://" in href


def gdal_path(href: str) -> str:
    """A path or address as GDAL names it, which opens sooner than with rasterio's own handling of ``s3://``."""
    return f"/vsis3/{href[len(_S3) :]}" if href.startswith(_S3) else href


def _endpoint(environ: Mapping[str, str]) -> dict[str, str]:
    """GDAL's settings for a server other than AWS's, from the names that AWS's own tools know."""
    url = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    if not url:
        return {}
    place = urlsplit(url)
    return {
        "AWS_S3_ENDPOINT": place.netloc + place.path.rstrip("/"),
        "AWS_HTTPS": "YES" if place.scheme == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


def _grid(dataset: Any) -> Grid:
    """Where a raster's pixels lie, its corner as it is in the file."""
    step = dataset.transform
    epsg = dataset.crs.to_epsg() if dataset.crs else None
    if epsg is None or step.b or step.d or step.e >= 0:
        raise ConfigError(
            f"{dataset.name} has no EPSG code, or is not north up: {dataset.crs}, {tuple(step)[:6]}"
        )
    return Grid(epsg, step.c, step.f, (step.a, -step.e), dataset.width, dataset.height)


def _window(dataset: Any, grid: Grid, window: Window, every: int) -> Numbers:
    """A window's pixels, one for ``every`` x ``every``, with fill where it reaches beyond the grid."""
    inside = clip(window, grid.window)
    shape = -(-window.height // every), -(-window.width // every)
    if inside == window:
        return _decoded(dataset, window, shape)
    padded = np.full(shape, FILL, np.uint16)
    if inside is not None:
        top, left = (inside.row - window.row) // every, (inside.column - window.column) // every
        height, width = -(-inside.height // every), -(-inside.width // every)
        padded[top : top + height, left : left + width] = _decoded(dataset, inside, (height, width))
    return padded


def _decoded(dataset: Any, window: Window, shape: tuple[int, int]) -> Numbers:
    values: Numbers = dataset.read(
        1,
        window=rasterio.windows.Window(*window),
        out_shape=shape,
        resampling=Resampling.nearest,  # bits of QA bands and fill have no average
    )
    return values


@contextmanager
def _mistakes(band: Band) -> Iterator[None]:
    """GDAL's errors as wrenlite's, with the band, the scene and the mend."""
    try:
        yield
    except RasterioError as error:
        told = f"{error} {error.__cause__ or ''}".replace(gdal_path(band.href), "it")
        where = f"band {band.name} of {band.product} at {band.href}"
        raise _named(where, told, local=not _remote(band.href)) from error


def _named(where: str, told: str, *, local: bool) -> Exception:
    if _REFUSED.search(told):
        return AccessDenied(
            f"S3 refuses {where}: {told}. The bucket usgs-landsat is requester pays: reading it takes"
            " GdalReader(requester_pays=True), and AWS credentials that are allowed s3:GetObject there"
        )
    if "InvalidCredentials" in told or "No valid AWS credentials" in told:
        return AccessDenied(f"no AWS credentials to read {where} with: {told}")
    if _ABSENT.search(told):
        mend = "" if local else "; check the product id and its processing date"
        return NotFound(f"there is no {where}{mend}")
    return StoreError(f"cannot read {where}: {told}")


def write_cog(
    path: str | Path,
    values: NDArray[Any],
    grid: Grid,
    *,
    nodata: float,
    tags: Mapping[str, str] | None = None,
    overviews: str = "average",
) -> None:
    """Write a cloud-optimised GeoTIFF: blocks of 256, deflate, overviews inside.

    Args:
        path: of the file, which appears whole or not at all.
        values: shape (height, width) of the grid.
        grid: where they lie.
        nodata: what stands for no data; overviews leave it out.
        tags: texts to keep in the file.
        overviews: how they are made: ``average``, or ``nearest`` for bits.

    Raises StoreError where the file cannot be written, or the disk is full.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        partial.write_bytes(_cog(values, grid, nodata, tags or {}, overviews))
        partial.replace(target)
    except (RasterioError, OSError) as error:
        raise StoreError(f"cannot write {target}: {getattr(error, 'strerror', None) or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _cog(values: NDArray[Any], grid: Grid, nodata: float, tags: Mapping[str, str], overviews: str) -> bytes:
    """What is to be in the file. In memory, as GDAL tells of a full disk by any kind of error, or none."""
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "count": 1,
        "width": grid.width,
        "height": grid.height,
        "crs": f"EPSG:{grid.epsg}",
        "transform": rasterio.Affine.from_gdal(*grid.transform),
        "nodata": nodata,
    }
    options = {
        "driver": "COG",
        "blocksize": BLOCK,
        "compress": "DEFLATE",
        "overview_resampling": overviews.upper(),
    }
    with rasterio.MemoryFile() as memory, rasterio.MemoryFile() as made:
        with memory.open(**profile) as dataset:
            dataset.write(values, 1)
            dataset.update_tags(**tags)
        with memory.open() as dataset:
            rasterio.shutil.copy(dataset, made.name, **options)
        return bytes(made.getbuffer())
