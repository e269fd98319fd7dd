"""Rasters through GDAL, from disk, S3 or a web server: the only module here that imports rasterio.

GDAL's options are those that read with the fewest requests. It lists no folders and reads the header of a
file in one GET. It caches no answer of a server, because in a warm process a refusal would otherwise outlive
its cause. After a key that it cannot open, GDAL asks once whether that key is a folder; no option prevents
this. An account that may not list the bucket is refused that request too, and the error that is raised is
still the first one.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from base64 import b64encode
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import numpy as np

from wrenlite.errors import ConfigError, NotFound, PackageMissing, StoreError
from wrenlite.gallery.ndvi import blocks, gdal_errors
from wrenlite.gallery.ndvi.bands import (
    S3,
    Band,
    Parts,
    Pixels,
    Reader,
    WindowChooser,
    cut,
    redact_address,
)
from wrenlite.gallery.ndvi.blocks import BlockFile, open_blocks
from wrenlite.gallery.ndvi.grid import Grid, Window, clip
from wrenlite.gallery.ndvi.indices import FILL, DigitalNumbers
from wrenlite.gallery.ndvi.open_files import OpenFiles
from wrenlite.gallery.ndvi.stored_numbers import as_digital_numbers, check_numbers, has_other_fill
from wrenlite.gallery.ndvi.thinned import choose_pixels, shown_pixels

try:
    import rasterio
    import rasterio.windows
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError
    from rasterio.session import DummySession  # GDAL finds credentials itself, without boto3
except ImportError as missing:
    raise PackageMissing(
        f"reading rasters needs {missing.name}: pip install 'wrenlite[landsat]'"
    ) from missing

_HEADER_BYTES = 32_768
"""Size of the first GET of a file; it contains the directory of blocks, of which a whole scene has 900."""
_CONNECT_TIMEOUT_S = 10
_TIMEOUT_S = 120


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Return the threads that read bands.

    They are kept, because PROJ opens its database in each, which takes ten times as long as opening a file.
    """
    return ThreadPoolExecutor(4, "band")


os.register_at_fork(after_in_child=_threads.cache_clear)


@dataclass(frozen=True)
class _OpenBand:
    """The open file of a band."""

    dataset: Any
    grid: Grid
    blocks: BlockFile | None
    """Decodes the file's blocks; None where GDAL has to."""

    def close(self) -> None:
        if self.blocks is not None:
            self.blocks.close()
        self.dataset.close()


OPEN_FILES: OpenFiles[_OpenBand] = OpenFiles(limit=8, age_s=300.0)
"""The files of two scenes, with their quality bands."""
_CACHE_BYTES = 2**25
"""Memory for GDAL's cache of blocks, which belongs to open files: four bands of a tile."""


@dataclass(frozen=True)
class GdalReader(Reader):
    """A reader that uses rasterio.

    From S3 and web servers it reads the bands of a scene in one thread each, since most of that time is
    waiting. From disk it reads one band after the other: there the time is spent in decompression, and other
    tasks use the other cores.

    Credentials are those of the process, which GDAL finds by its own chain. A server other than AWS's is
    taken from ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``, as in all of AWS's own tools.
    """

    requester_pays: bool = True
    """Tell S3 that this account pays for the requests; a requester-pays bucket refuses them otherwise."""
    regions: Mapping[str, str] = field(default_factory=dict, hash=False)
    """AWS regions by bucket, for buckets that are not in the region of the environment."""
    lasting: frozenset[str] = frozenset()
    """Buckets whose objects are never replaced. Their files stay open between the tasks of a worker."""

    def read(self, bands: Sequence[Band], choose: WindowChooser) -> Mapping[str, Pixels]:
        """Read the chosen window of every band; see ``bands.Reader``."""
        return self.each(bands, lambda band: self._read_band(band, choose))

    def each(self, bands: Sequence[Band], read: Callable[[Band], Pixels]) -> Mapping[str, Pixels]:
        """Return what a function reads of each band; in several threads where bands are remote."""
        if not any(is_remote(band.href) for band in bands):
            return {band.name: read(band) for band in bands}
        futures = [_threads().submit(read, band) for band in bands]
        wait(futures)  # for all of them, so that none is still reading when the error of another is raised
        return {band.name: future.result() for band, future in zip(bands, futures, strict=True)}

    @contextmanager
    def parts(self, bands: Sequence[Band], choose: WindowChooser) -> Iterator[Parts]:
        """Read the chosen window of every band in parts; see ``bands.Reader``.

        Files of the kind that archives have are read from disk block by block.
        """
        start = time.perf_counter()
        if not any(is_remote(band.href) for band in bands):
            with ExitStack() as stack:
                files = {band.name: stack.enter_context(self._borrow(band)) for band in bands}
                windows = {choose(file.grid)[0] for file in files.values()}
                decoders = {name: file.blocks for name, file in files.items() if file.blocks is not None}
                shapes = {each.shape for each in decoders.values()}
                if len(decoders) == len(files) and len(shapes) == len(windows) == 1:
                    yield Parts(
                        grids={name: file.grid for name, file in files.items()},
                        open_s=time.perf_counter() - start,
                        values=blocks.read_parts(decoders, windows.pop(), self._by_gdal(bands, files)),
                    )
                    return
        yield cut(self.read(bands, choose))

    def _by_gdal(
        self, bands: Sequence[Band], files: Mapping[str, _OpenBand]
    ) -> Callable[[str, Window], DigitalNumbers]:
        """Return a function that reads a window of an open band, which it is given the name of."""
        by_name = {band.name: band for band in bands}
        return lambda name, window: self._read_window(by_name[name], files[name], window, 1)

    def grid_of(self, band: Band) -> Grid:
        """Return the grid of a band's raster."""
        with self._borrow(band) as file:
            return file.grid

    @contextmanager
    def open(self, band: Band) -> Iterator[Any]:
        """Open a band's file as a dataset of rasterio, or lend one that is open since an earlier task."""
        with self._borrow(band) as file, self._environment(band.href):
            yield file.dataset

    def fetch(self, href: str) -> bytes:
        """Return the content of a whole file; see ``bands.Reader``.

        From S3 it is read by wrenlite's own client, since it is one plain GET.
        """
        if href.startswith(S3):
            from wrenlite.backends.aws.s3 import S3Store

            parts = urlsplit(href)
            region = self.regions.get(parts.netloc)
            store = S3Store(parts.netloc, region=region, requester_pays=self.requester_pays)
            return store.get(parts.path.lstrip("/"))
        if is_remote(href):
            return _download(href)
        try:
            return Path(href).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"there is no file {href}") from error
        except OSError as error:
            raise StoreError(f"cannot read {href}: {error}") from error

    def _read_band(self, band: Band, choose: WindowChooser) -> Pixels:
        """Open one band, choose its window and read the window's pixels."""
        start = time.perf_counter()
        with self._borrow(band) as file:
            opened = time.perf_counter()
            window, step = choose(file.grid)
            values = self._read_window(band, file, window, step)
        return Pixels(
            values=values,
            grid=file.grid,
            window=window,
            step=step,
            open_s=opened - start,
            read_s=time.perf_counter() - opened,
        )

    def _read_window(self, band: Band, file: _OpenBand, window: Window, step: int) -> DigitalNumbers:
        """Read a window of an open band through GDAL."""
        with self._environment(band.href):
            values = translate_errors(band, lambda: read_window(file.dataset, file.grid, window, step))
        return as_digital_numbers(values, file.dataset, band)

    def _borrow(self, band: Band) -> AbstractContextManager[_OpenBand]:
        """Borrow the open file of a band from earlier tasks, or open it."""
        version = self._version(band.href)
        if version is None:
            return closing(self._open(band))
        return OPEN_FILES.borrow((band, version), lambda: self._open(band))

    def _version(self, href: str) -> Hashable:
        """Return what changes when a file must be opened anew; None for a file that must not stay open."""
        if is_remote(href):
            if not href.startswith(S3) or urlsplit(href).netloc not in self.lasting:
                return None
            account = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
            return hash((*sorted(self._options(href).items()), *sorted(account.items())))
        try:
            status = os.stat(href)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _open(self, band: Band) -> _OpenBand:
        """Open a band's file."""
        with self._environment(band.href):
            dataset = translate_errors(band, lambda: _open_dataset(band.href))
            try:
                check_numbers(dataset, band)
                grid = raster_grid(dataset, band)
                decodable = os.path.isfile(band.href) and not has_other_fill(dataset, band)
                decoder = open_blocks(band.href, dataset, rasterio.__gdal_version__) if decodable else None
            except BaseException:
                dataset.close()
                raise
        return _OpenBand(dataset, grid, decoder)

    def _environment(self, href: str) -> Any:
        """Return the environment in which GDAL opens and reads a file."""
        return rasterio.Env(session=DummySession(), **self._options(href))

    def _options(self, href: str) -> dict[str, Any]:
        """Return GDAL's options for one file."""
        if not is_remote(href):
            return {"GDAL_CACHEMAX": _CACHE_BYTES}
        options: dict[str, Any] = {
            "GDAL_CACHEMAX": _CACHE_BYTES,
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
            "GDAL_INGESTED_BYTES_AT_OPEN": _HEADER_BYTES,
            "GDAL_HTTP_CONNECTTIMEOUT": _CONNECT_TIMEOUT_S,
            "GDAL_HTTP_TIMEOUT": _TIMEOUT_S,
            "GDAL_HTTP_MAX_RETRY": 3,
            "GDAL_HTTP_RETRY_DELAY": 0.2,
        }
        if not href.startswith(S3):
            return options | {"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/http"}
        bucket = urlsplit(href).netloc
        options["CPL_VSIL_CURL_NON_CACHED"] = f"/vsis3/{bucket}"
        if bucket in self.regions:
            options["AWS_REGION"] = self.regions[bucket]
        if self.requester_pays:
            options["AWS_REQUEST_PAYER"] = "requester"
        return options | _endpoint_options(os.environ)


def is_remote(href: str) -> bool:
    """Return whether an address is not one of a file here."""
    return "://" in href


def _open_dataset(href: str) -> Any:
    """Open a raster; an address that is not valid is an error of rasterio like any other."""
    try:
        return rasterio.open(gdal_path(href))
    except ValueError:
        raise RasterioError("the address is not valid") from None


def gdal_path(href: str) -> str:
    """Return a path or address as GDAL names it, which opens sooner than rasterio's own handling of ``s3://``."""
    return f"/vsis3/{href[len(S3) :]}" if href.startswith(S3) else href


def _download(href: str) -> bytes:
    """Return the content of a file on a web server.

    Raises:
        NotFound: the server has no such file.
        AccessDenied: the server refuses the file.
        StoreError: the file cannot be read for any other reason.
        ConfigError: the address is not one of a web server.
    """
    what = f"file {redact_address(href)}"
    if href.partition("://")[0].lower() not in ("http", "https"):
        raise ConfigError(f"cannot read {what}: give a path, or an address with s3:// or https://")
    try:
        with urlopen(_request(href), timeout=_TIMEOUT_S) as response:
            data: bytes = response.read()
    except HTTPError as error:
        error.close()
        message = f"HTTP response code: {error.code}"
    except (InvalidURL, ValueError):
        message = "the address is not valid"  # the error's own text may have a part of a password
    except (OSError, HTTPException) as error:
        message = str(error)
    else:
        if gdal_errors.is_web_page(data):
            raise gdal_errors.web_page(what, href)
        return data
    raise gdal_errors.translate(what, href, None, message)


def _endpoint_options(environ: Mapping[str, str]) -> dict[str, str]:
    """Return GDAL's options for a server other than AWS's, from the variables that AWS's own tools use."""
    url = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    if not url:
        return {}
    parts = urlsplit(url)
    return {
        "AWS_S3_ENDPOINT": parts.netloc + parts.path.rstrip("/"),
        "AWS_HTTPS": "YES" if parts.scheme == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


def raster_grid(dataset: Any, band: Band) -> Grid:
    """Return the grid of a raster, with its corner as it is in the file.

    Raises:
        ConfigError: the raster has no EPSG code, or is not north up.
    """
    transform = dataset.transform
    epsg = dataset.crs.to_epsg() if dataset.crs else None
    if epsg is None or transform.b or transform.d or transform.e >= 0:
        raise ConfigError(
            f"{redact_address(band.href)} cannot be used: its projection has no EPSG code, or it is not north"
            f" up ({dataset.crs}, {tuple(transform)[:6]})"
        )
    return Grid(
        epsg=epsg,
        west=transform.c,
        north=transform.f,
        pixel=(transform.a, -transform.e),
        width=dataset.width,
        height=dataset.height,
    )


def read_window(dataset: Any, grid: Grid, window: Window, step: int) -> DigitalNumbers:
    """Return one pixel per cell of ``step`` x ``step`` in a window; fill where it reaches beyond the grid.

    Cells that the scene's edge cuts are read separately from whole cells, and every cell shows one of its own
    pixels. Overviews are used where there are some.
    """
    shape = -(-window.height // step), -(-window.width // step)
    inside = clip(window, grid.window)
    if inside is None:
        return np.full(shape, FILL, np.uint16)
    rows = _spans(window.row, inside.row, inside.row + inside.height, step)
    columns = _spans(window.column, inside.column, inside.column + inside.width, step)
    if (rows[0].cell_count, columns[0].cell_count) == shape:
        return _read_cells(dataset, inside, shape, step)
    values = np.full(shape, FILL, np.uint16)
    for row, column in itertools.product(rows, columns):
        part = Window(column=column.pixel, row=row.pixel, width=column.pixel_count, height=row.pixel_count)
        cells = (
            slice(row.cell, row.cell + row.cell_count),
            slice(column.cell, column.cell + column.cell_count),
        )
        values[cells] = _read_cells(dataset, part, (row.cell_count, column.cell_count), step)
    return values


class _Span(NamedTuple):
    """Successive pixels along one axis, and the cells that they make: whole ones, or part of one."""

    pixel: int
    pixel_count: int
    cell: int
    cell_count: int


def _spans(origin: int, start: int, stop: int, step: int) -> list[_Span]:
    """Cut the pixels from start to stop where whole cells begin and end, counted from the origin."""
    first_whole = origin - (origin - start) // step * step
    last_whole = origin + (stop - origin) // step * step
    cuts = sorted({start, min(first_whole, stop), max(last_whole, start), stop})
    return [
        _Span(
            pixel=low,
            pixel_count=high - low,
            cell=(low - origin) // step,
            cell_count=-(-(high - low) // step),
        )
        for low, high in itertools.pairwise(cuts)
    ]


def _read_cells(dataset: Any, window: Window, shape: tuple[int, int], step: int) -> DigitalNumbers:
    """Read one pixel of each cell in a window, from the smallest overview that shows one of each."""
    usable = [level for level, factor in enumerate(dataset.overviews(1)) if factor <= step]
    for level in reversed(usable):
        with rasterio.open(dataset.name, overview_level=level) as overview:
            found = _pick_pixels(overview, (dataset.height, dataset.width), window, step)
        if found is not None:
            return found
    if not usable:
        return _read_pixels(dataset, window, shape)  # GDAL shows the pixel in the middle of each cell
    pixels = _read_pixels(dataset, window, (window.height, window.width))
    rows, columns = (np.minimum(np.arange(0, size, step) + step // 2, size - 1) for size in pixels.shape)
    return pixels[np.ix_(rows, columns)]


def _pick_pixels(overview: Any, size: tuple[int, int], window: Window, step: int) -> DigitalNumbers | None:
    """Return one pixel of each cell from an overview of a raster; None where it shows none of some cell."""
    rows, columns = (
        choose_pixels(shown_pixels(whole, small), start, start + count, step)
        for whole, small, start, count in (
            (size[0], overview.height, window.row, window.height),
            (size[1], overview.width, window.column, window.width),
        )
    )
    if rows is None or columns is None:
        return None
    top, left = int(rows[0]), int(columns[0])
    part = Window(left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1)
    return _read_pixels(overview, part, (part.height, part.width))[np.ix_(rows - top, columns - left)]


def _read_pixels(dataset: Any, window: Window, shape: tuple[int, int]) -> DigitalNumbers:
    """Read a window within the raster, stretched to a shape, by nearest neighbour."""
    values: DigitalNumbers = dataset.read(
        1,
        window=rasterio.windows.Window(*window),
        out_shape=shape,
        out_dtype="uint16",
        resampling=Resampling.nearest,  # the bits of quality bands, and fill, have no average
    )
    return values


def translate_errors(band: Band, call: Callable[[], Any]) -> Any:
    """Return the result of a call; translate GDAL's errors, with the band, the scene and the fix."""
    try:
        return call()
    except RasterioError as error:
        number, message = _describe(error)
    # The error is raised outside of ``except``, so that it has no cause and no context: those would hold the
    # whole address, with its signature.
    for address in (f"/vsicurl/{band.href}", gdal_path(band.href), band.href):
        message = message.replace(address, "it")
    message = re.sub(r"//[^/\s]*@", "//", message)  # a user and a password
    what = f"band {band.name} of {band.product} at {redact_address(band.href)}"
    if gdal_errors.NOT_A_RASTER in message:
        raise gdal_errors.not_a_raster(what, band.href, _first_bytes(band.href))
    raise gdal_errors.translate(what, band.href, number, message)


def _first_bytes(href: str) -> bytes | None:
    """Return the first bytes of a file here or on a web server; None where they cannot be read."""
    with suppress(OSError, HTTPException, ValueError):
        if not is_remote(href):
            with open(href, "rb") as file:
                return file.read(256)
        if not href.startswith(S3):
            with urlopen(_request(href, Range="bytes=0-255"), timeout=_TIMEOUT_S) as response:
                return bytes(response.read(256))
    return None


def _request(href: str, **headers: str) -> Request:
    """Return a request for a file on a web server.

    A user and a password in the address become basic authorisation, which is not sent on to another server.
    """
    parts = urlsplit(href)
    user, at, host = parts.netloc.rpartition("@")
    request = Request(urlunsplit(parts._replace(netloc=host)), headers=headers)
    if at:
        login = b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {login}")
    return request


def _describe(error: BaseException) -> tuple[int | None, str]:
    """Return GDAL's first error number and all messages, from rasterio's error and the errors behind it."""
    number: int | None = None
    messages: dict[str, None] = {}
    current: BaseException | None = error
    while current is not None and type(current).__module__.startswith("rasterio"):
        messages[str(current)] = None
        number = number or getattr(current, "errno", None)
        current = current.__cause__ or current.__context__  # rasterio keeps some of GDAL's as context only
    return number, "; ".join(messages)
