"""The seam between computing and reading: a task asks for some bands' pixels, a reader gets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wrenlite.gallery.landsat.grid import Grid, Window
from wrenlite.gallery.landsat.ndvi import Numbers


@dataclass(frozen=True)
class Band:
    """What to read, and what to call it in an error."""

    name: str
    href: str
    product: str
    """Id of its scene."""


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

        Raises NotFound, AccessDenied or StoreError, which name band and scene; and what ``choose`` raises.
        """
        ...

    def fetch(self, href: str) -> bytes:
        """A whole file: metadata, a list of items. Raises NotFound, AccessDenied, StoreError."""
        ...
