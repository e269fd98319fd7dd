"""The seam between computing and reading: a task asks for some bands' pixels, a reader gets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.indices import Numbers

S3 = "s3://"
"""How addresses in buckets begin."""


def shown(href: str) -> str:
    """An address for messages: without the query, which may be a signature, and without a password."""
    if "://" not in href or href.startswith(S3):
        return href
    place = urlsplit(href)
    return urlunsplit((place.scheme, place.netloc.rpartition("@")[2], place.path, "", ""))


@dataclass(frozen=True)
class Band:
    """What to read, and what to call it in an error."""

    name: str
    href: str
    product: str
    """Id of its scene."""

    def __repr__(self) -> str:
        return f"Band({self.name!r}, {shown(self.href)!r}, {self.product!r})"


@dataclass(frozen=True)
class Pixels:
    """What was read of one band."""

    values: Numbers
    """As stored, shape (height, width) of the window; 0 where the window reaches beyond the grid."""
    grid: Grid
    """Of the whole raster."""
    window: Window
    every: int
    """Each value stands for so many pixels a side."""
    open_s: float
    read_s: float


Choice = Callable[[Grid], tuple[Window, int]]
"""Which window of a grid to read, and every how many pixels: both may depend on where the scene lies."""


class Reader(Protocol):
    """Reads bands. Travels to workers: pickled, without anything open."""

    def read(self, bands: Sequence[Band], choose: Choice) -> Mapping[str, Pixels]:
        """The chosen window of every band, by the bands' names, read at the same time.

        Raises NotFound, AccessDenied, CredentialsError or StoreError, which name band and scene; and what
        ``choose`` raises.
        """
        ...

    def fetch(self, href: str) -> bytes:
        """A whole file: metadata, a list of items. Raises as ``read`` does, and ConfigError."""
        ...
