"""The interface between tasks and readers: tasks ask for the pixels of some bands, and a reader gets them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.indices import DigitalNumbers, strips

S3 = "s3://"
"""How the address of an S3 object begins."""


_LOGIN = re.compile(r"^(?:[^/]*|[^/@:]*:(?!\d+(?:/|$))[^@]*)@")
"""A user and a password before a host. The second way is a password with a slash, which is no port."""


def redact_address(href: str) -> str:
    """Return an address for messages: without its query, which may be a signature, and without a password.

    Any text is taken, also one that is no address.
    """
    if "://" not in href or href.startswith(S3):
        return href
    scheme, _, rest = href.partition("://")
    place = re.split("[?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{_LOGIN.sub('', place)}"


@dataclass(frozen=True)
class Band:
    """A band to read, with the names that an error message gives it."""

    name: str
    href: str
    """Path or address of the raster file."""
    product: str
    """Id of the scene that the band belongs to."""
    types: tuple[str, ...] = ("uint16",)
    """Types of numbers that the product's file may have, as numpy calls them: uint16, uint8."""
    scaling: tuple[float, float] | None = None
    """Gain and offset to reflectance that the file may state; None where they are not known."""
    is_bits: bool = False
    """Whether the numbers are bits that describe the quality."""

    def __repr__(self) -> str:
        return f"Band({self.name!r}, {redact_address(self.href)!r}, {self.product!r})"


Place = tuple[slice, slice]
"""Rows and columns of a part of a window, counted from the window's corner."""


@dataclass(frozen=True)
class Pixels:
    """The pixels that were read of one band, and the time that it took."""

    values: DigitalNumbers
    """Values as stored, of the window's shape (height, width); 0 where the window reaches beyond the grid."""
    grid: Grid
    """Grid of the whole raster, not of the window."""
    window: Window
    step: int
    """Each value stands for a cell of ``step`` x ``step`` pixels."""
    open_s: float
    read_s: float


class Parts(NamedTuple):
    """A window that is read in parts."""

    grids: Mapping[str, Grid]
    """Grids of the whole rasters, by the bands' names."""
    open_s: float
    """The time that the bands took to open."""
    values: Iterator[tuple[Place, Mapping[str, DigitalNumbers]]]
    """The place of each part in the window, and its values, which must not be written to, by the bands'
    names."""


WindowChooser = Callable[[Grid], tuple[Window, int]]
"""A function that chooses which window of a grid to read, and with which step; both may depend on where the
scene lies."""


class Reader(Protocol):
    """A reader of bands. It is pickled and sent to workers, so it holds nothing open."""

    def read(self, bands: Sequence[Band], choose: WindowChooser) -> Mapping[str, Pixels]:
        """Read the chosen window of every band. A reader may read several bands at the same time.

        Args:
            bands: the bands to read; an error message names the band and its scene.
            choose: called with each band's grid; what it raises is passed on.

        Returns:
            The pixels, by the bands' names.

        Raises:
            NotFound: a band's file does not exist.
            AccessDenied: the server refuses a band.
            CredentialsError: there are no credentials, or they are not valid.
            StoreError: a band cannot be read for any other reason.
        """
        ...

    @contextmanager
    def parts(self, bands: Sequence[Band], choose: WindowChooser) -> Iterator[Parts]:
        """Read the chosen window of every band in parts that stay in the processor's cache.

        A reader that has nothing better inherits this, which reads the window as a whole. The parts can be
        taken within the context only.

        Args:
            bands: see ``read``.
            choose: see ``read``; its step is 1.

        Raises:
            NotFound, AccessDenied, CredentialsError, StoreError: see ``read``. They may also be raised while
                the parts are taken.
        """
        yield cut(self.read(bands, choose))

    def fetch(self, href: str) -> bytes:
        """Return the content of a whole file, such as metadata or a list of items.

        Args:
            href: path or address of the file.

        Raises:
            NotFound: the file does not exist.
            AccessDenied: the server refuses the file.
            CredentialsError: there are no credentials, or they are not valid.
            StoreError: the file cannot be read for any other reason.
            ConfigError: the reader does not support this kind of address.
        """
        ...


def cut(pixels: Mapping[str, Pixels]) -> Parts:
    """Return the pixels of a window that was read as a whole in parts: in strips of rows."""
    height, width = next(iter(pixels.values())).values.shape
    return Parts(
        grids={name: band.grid for name, band in pixels.items()},
        open_s=sum(band.open_s for band in pixels.values()),
        values=(
            (place, {name: band.values[place] for name, band in pixels.items()})
            for place in strips(height, width)
        ),
    )


def common_grid(product: str, by_band: Mapping[str, Grid]) -> Grid:
    """Return the grid of all bands of a product.

    Args:
        product: id of the product.
        by_band: grids of whole rasters, by the bands' names.

    Raises:
        ConfigError: the bands are on different grids.
    """
    first_name, first = next(iter(by_band.items()))
    for name, grid in by_band.items():
        if grid != first:
            raise ConfigError(
                f"{product}: band {name} is on another grid than {first_name}, so they cannot be compared:"
                f" {grid}, {first}"
            )
    return first
