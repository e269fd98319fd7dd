"""Tiles of NDVI back into one picture, on the lattice that their scenes share: a cloud-optimised GeoTIFF."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wrenlite.backends.local import memory_bytes
from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.indices import NODATA, SCALE
from wrenlite.gallery.ndvi.results import TileNdvi

_CLOSE = 1e-3
"""Of a pixel, by which corners may miss the lattice through rounding."""


@dataclass(frozen=True)
class Mosaic:
    """NDVI of many tiles on one grid."""

    values: NDArray[np.int16]
    """NDVI x 10,000, ``NODATA`` where no tile has a usable pixel; shape (height, width)."""
    grid: Grid
    products: tuple[str, ...]
    """Whose tiles they are, in the order in which they were laid."""
    synthetic: bool = False
    """One of them at least was not observed."""

    @property
    def masked(self) -> float:
        """Share of pixels without a value."""
        return 1 - np.count_nonzero(self.values != NODATA) / self.values.size

    def write(self, path: str | Path) -> None:
        """Write it with overviews, each the average of the usable pixels below. Raises StoreError."""
        from wrenlite.gallery.ndvi.reader import write_cog

        write_cog(path, self.values, self.grid, nodata=NODATA, tags=self._tags())

    def _tags(self) -> Mapping[str, str]:
        text = f"NDVI x {SCALE}, nodata {NODATA}, by wrenlite from {', '.join(self.products)}"
        return {"TIFFTAG_IMAGEDESCRIPTION": f"SYNTHETIC, not observed: {text}" if self.synthetic else text}


def mosaic(tiles: Iterable[TileNdvi]) -> Mosaic:
    """Lay tiles beside each other. Where they overlap the first usable value stays: the best scene first.

    Raises ConfigError for no tiles, for tiles of several UTM zones, for grids that share no lattice, and for
    tiles so far apart that what lies between them fills this machine's memory.
    """
    tiles = list(tiles)
    if not tiles:
        raise ConfigError("there are no tiles to lay out")
    first = tiles[0].grid
    places = [_place(first, tile) for tile in tiles]
    left, top = min(place[0] for place in places), min(place[1] for place in places)
    right = max(place[0] + tile.grid.width for place, tile in zip(places, tiles, strict=True))
    bottom = max(place[1] + tile.grid.height for place, tile in zip(places, tiles, strict=True))
    _check_size(bottom - top, right - left)
    values = np.full((bottom - top, right - left), NODATA, np.int16)
    for (column, row), tile in zip(places, tiles, strict=True):
        height, width = tile.values.shape
        spot = values[row - top : row - top + height, column - left : column - left + width]
        np.copyto(spot, tile.values, where=spot == NODATA)
    grid = Grid(
        first.epsg,
        first.west + left * first.pixel[0],
        first.north - top * first.pixel[1],
        first.pixel,
        right - left,
        bottom - top,
    )
    products = tuple(dict.fromkeys(tile.product for tile in tiles))
    return Mosaic(values, grid, products, any(tile.synthetic for tile in tiles))


def _check_size(height: int, width: int) -> None:
    """Refuse more pixels than can be held, and twice more while they are written. Raises ConfigError."""
    needed = 3 * height * width * np.dtype(np.int16).itemsize
    if needed > memory_bytes():
        raise ConfigError(
            f"a mosaic of these tiles would have {width:,} x {height:,} pixels and take"
            f" {needed / 2**30:,.1f} GB of memory; there are {memory_bytes() / 2**30:,.1f}: they lie too far"
            " apart, so make one of each part"
        )


def _place(first: Grid, tile: TileNdvi) -> tuple[int, int]:
    """Columns and rows from the first tile's corner to another's."""
    grid = tile.grid
    if grid.epsg != first.epsg:
        raise ConfigError(
            f"{tile.product} lies in UTM zone {grid.zone}, the tiles before it in zone {first.zone}: a"
            " mosaic has one zone, so make one of each"
        )
    column, row = (grid.west - first.west) / first.pixel[0], (first.north - grid.north) / first.pixel[1]
    off = max(abs(column - round(column)), abs(row - round(row)))
    if grid.pixel != first.pixel or off > _CLOSE:
        raise ConfigError(
            f"{tile.product} lies on another lattice: its pixels of {grid.pixel} m begin {off:.3f} of a pixel"
            f" off the tiles' before it, of {first.pixel} m; make a mosaic of each"
        )
    return round(column), round(row)
