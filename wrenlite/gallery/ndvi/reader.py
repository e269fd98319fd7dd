"""Rasters through GDAL, from disk or from S3: the only module here that knows either.

GDAL's options are those that read with the fewest requests: no listing of folders, the header of a file in
one GET, and no answer of a server kept, since in a warm process a refusal would otherwise outlive its cause.
After a key that it cannot open GDAL asks once whether that is a folder, which no option of it prevents: an
account that may not list the bucket is refused that, and the error is still the first one.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError, NotFound, PackageMissing, StoreError
from wrenlite.gallery.ndvi.bands import (
    S3,
    Band,
    Choice,
    Pixels,
    shown,
)
from wrenlite.gallery.ndvi.gdal_errors import refusal
from wrenlite.gallery.ndvi.grid import (
    BLOCK,
    Grid,
    Window,
    clip,
)
from wrenlite.gallery.ndvi.indices import FILL, Numbers

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

_HEADER_BYTES = 32_768
"""What the first GET of a file takes: its directory of blocks is in there, with a scene's 900 of them."""

_PATIENCE_S = 120
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
        if href.startswith(S3):
            from wrenlite.backends.aws.s3 import S3Store

            place = urlsplit(href)
            region = _REGIONS.get(place.netloc)
            store = S3Store(place.netloc, region=region, requester_pays=self.requester_pays)
            return store.get(place.path.lstrip("/"))
        if _remote(href):
            return _downloaded(href)
        try:
            return Path(href).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"there is no file {href}") from error
        except OSError as error:
            raise StoreError(f"cannot read {href}: {error}") from error

    def _read(self, band: Band, choose: Choice) -> Pixels:
        start = time.perf_counter()
        with self._open(band) as dataset:
            grid = _grid(dataset, band)
            opened = time.perf_counter()
            window, every = choose(grid)
            values = _mistakes(band, lambda: _window(dataset, grid, window, every))
        return Pixels(values, grid, window, every, opened - start, time.perf_counter() - opened)

    @contextmanager
    def _open(self, band: Band) -> Iterator[Any]:
        with rasterio.Env(session=DummySession(), **self._options(band.href)):
            dataset = _mistakes(band, lambda: rasterio.open(gdal_path(band.href)))
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
            "GDAL_HTTP_TIMEOUT": _PATIENCE_S,
            "GDAL_HTTP_MAX_RETRY": 3,
            "GDAL_HTTP_RETRY_DELAY": 0.2,
        }
        if not href.startswith(S3):
            return options | {"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/http"}
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
    return f"/vsis3/{href[len(S3) :]}" if href.startswith(S3) else href


def _downloaded(href: str) -> bytes:
    """A web server's file. Raises NotFound, AccessDenied, StoreError, and ConfigError for other schemes."""
    where = f"file {shown(href)}"
    if urlsplit(href).scheme not in ("http", "https"):
        raise ConfigError(f"{where}: only paths, s3:// and https:// can be read")
    try:
        with urlopen(href, timeout=_PATIENCE_S) as answer:
            data: bytes = answer.read()
            return data
    except HTTPError as error:
        error.close()
        told = f"HTTP response code: {error.code}"
    except (OSError, HTTPException) as error:
        told = str(error)
    raise refusal(where, href, None, told)


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


def _grid(dataset: Any, band: Band) -> Grid:
    """Where a raster's pixels lie, its corner as it is in the file."""
    step = dataset.transform
    epsg = dataset.crs.to_epsg() if dataset.crs else None
    if epsg is None or step.b or step.d or step.e >= 0:
        raise ConfigError(
            f"{shown(band.href)} has no EPSG code, or is not north up: {dataset.crs}, {tuple(step)[:6]}"
        )
    return Grid(epsg, step.c, step.f, (step.a, -step.e), dataset.width, dataset.height)


def _window(dataset: Any, grid: Grid, window: Window, every: int) -> Numbers:
    """A window's pixels, one for ``every`` x ``every``, with fill where it reaches beyond the grid.

    GDAL stretches a picture over what it reads, so what is no whole number of cells, where the scene ends
    within one, is read apart: every cell shows a pixel of its own. Overviews serve where there are some, and
    those of odd sides lie less than one of their pixels beside it.
    """
    shape = -(-window.height // every), -(-window.width // every)
    inside = clip(window, grid.window)
    if inside is None:
        return np.full(shape, FILL, np.uint16)
    rows = _spans(window.row, inside.row, inside.row + inside.height, every)
    columns = _spans(window.column, inside.column, inside.column + inside.width, every)
    if (rows[0].cells, columns[0].cells) == shape:
        return _decoded(dataset, inside, shape)
    values = np.full(shape, FILL, np.uint16)
    for row, column in itertools.product(rows, columns):
        part = Window(column.pixel, row.pixel, column.pixels, row.pixels)
        cells = slice(row.cell, row.cell + row.cells), slice(column.cell, column.cell + column.cells)
        values[cells] = _decoded(dataset, part, (row.cells, column.cells))
    return values


class _Span(NamedTuple):
    """Pixels in a row, and the cells of a picture that they make: whole ones, or a part of one."""

    pixel: int
    pixels: int
    cell: int
    cells: int


def _spans(origin: int, start: int, stop: int, every: int) -> list[_Span]:
    """The pixels from start to stop, cut where whole cells begin and end; the first begins at the origin."""
    first = origin - (origin - start) // every * every
    last = origin + (stop - origin) // every * every
    cuts = sorted({start, min(first, stop), max(last, start), stop})
    return [
        _Span(low, high - low, (low - origin) // every, -(-(high - low) // every))
        for low, high in itertools.pairwise(cuts)
    ]


def _decoded(dataset: Any, window: Window, shape: tuple[int, int]) -> Numbers:
    values: Numbers = dataset.read(
        1,
        window=rasterio.windows.Window(*window),
        out_shape=shape,
        resampling=Resampling.nearest,  # bits of QA bands and fill have no average
    )
    return values


def _mistakes(band: Band, call: Callable[[], Any]) -> Any:
    """What a call gives; GDAL's errors as wrenlite's, with the band, the scene and the mend."""
    try:
        return call()
    except RasterioError as error:
        number, told = _said(error)
    # Out here it has no cause and no context: those would have the whole address, with its signature.
    for address in (gdal_path(band.href), band.href):
        told = told.replace(address, "it")
    raise refusal(f"band {band.name} of {band.product} at {shown(band.href)}", band.href, number, told)


def _said(error: BaseException) -> tuple[int | None, str]:
    """GDAL's first number and all messages, from rasterio's error and what it was made of."""
    number: int | None = None
    told: dict[str, None] = {}
    each: BaseException | None = error
    while each is not None and type(each).__module__.startswith("rasterio"):
        told[str(each)] = None
        number = number or getattr(each, "errno", None)
        each = each.__cause__ or each.__context__  # rasterio hides GDAL's own in some places
    return number, "; ".join(told)


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
