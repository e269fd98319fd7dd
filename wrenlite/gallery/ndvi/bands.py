"""The interface between tasks and readers: tasks ask for the pixels of some bands, and a reader gets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.indices import DigitalNumbers

S3 = "s3://"
"""How the address of an S3 object begins."""


def redact_address(href: str) -> str:
    """Return an address for messages: without its query, which may be a signature, and without a password."""
    if "://" not in href or href.startswith(S3):
        return href
    parts = urlsplit(href)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@dataclass(frozen=True)
class Band:
    """A band to read, with the names that an error message gives it."""

    name: str
    href: str
    """Path or address of the raster file."""
    product: str
    """Id of the scene that the band belongs to."""

    def __repr__(self) -> str:
        return f"Band({self.name!r}, {redact_address(self.href)!r}, {self.product!r})"


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
