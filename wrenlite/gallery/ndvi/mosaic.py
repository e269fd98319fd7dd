"""Join NDVI of tiles into one picture, or of several days into one: a mosaic, or a composite."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.indices import NODATA, SCALE
from wrenlite.gallery.ndvi.provenance import Provenance
from wrenlite.gallery.ndvi.results import AreaNdvi, TileNdvi, results_in
from wrenlite.gallery.ndvi.target import check_memory


@dataclass(frozen=True)
class Mosaic:
    """NDVI of many tiles on one grid."""

    values: NDArray[np.int16]
    """NDVI x 10,000, of shape (height, width), ``NODATA`` where no tile has a usable pixel."""
    grid: Grid
    provenance: Provenance
    """What the values were computed from."""

    @property
    def products(self) -> tuple[str, ...]:
        """Return the product ids of the tiles, in the order in which the tiles were given."""
        return self.provenance.products

    @property
    def synthetic(self) -> bool:
        """Return whether at least one of the scenes was generated, not observed."""
        return self.provenance.synthetic

    @property
    def masked(self) -> float:
        """Return the share of pixels without a value."""
        return 1 - np.count_nonzero(self.values != NODATA) / self.values.size

    def to_xarray(self) -> Any:
        """Return the values as a DataArray with the dims y and x, and coordinates of the pixels' centres.

        Raises:
            PackageMissing: xarray is not installed.
        """
        from wrenlite.gallery.ndvi import xarrays

        return xarrays.data_array(self.values, self.grid, self.provenance)

    def write(self, path: str | Path) -> None:
        """Write a cloud-optimised GeoTIFF with overviews, which average the usable pixels.

        Args:
            path: path of the file, which appears complete or not at all.

        Raises:
            StoreError: the file cannot be written.
        """
        from wrenlite.gallery.ndvi.cog import Coding, write_cog

        write_cog(
            path,
            self.values,
            self.grid,
            nodata=NODATA,
            coding=Coding(self.provenance.index, scale=1 / SCALE),
            tags=self.provenance.tags(),
        )


def mosaic(tiles: Iterable[TileNdvi], *, mixed: bool = False) -> Mosaic:
    """Join tiles. Where they overlap, the first usable value counts, in the order given: best first.

    Args:
        tiles: NDVI, or another index, of windows on one lattice. Tiles of scenes in several zones are on one
            lattice where they were read on one declared grid; see ``target.declare_grid``.
        mixed: allow tiles of both levels.

    Raises:
        ConfigError: there are no tiles; something is no tile; they have several indices, or both levels;
            they are in several projections or on different lattices; or they are so far apart that a picture
            of all of them does not fit into this machine's memory.
    """
    tiles = results_in(tiles, TileNdvi)
    if not tiles:
        raise ConfigError("a mosaic needs at least one tile, and there are no tiles")
    provenance = Provenance.of(tiles, mixed=mixed)
    first = tiles[0].grid
    offsets = [_offset(first, tile) for tile in tiles]
    left, top = min(column for column, _ in offsets), min(row for _, row in offsets)
    right = max(column + tile.grid.width for (column, _), tile in zip(offsets, tiles, strict=True))
    bottom = max(row + tile.grid.height for (_, row), tile in zip(offsets, tiles, strict=True))
    check_memory(
        right - left,
        bottom - top,
        "a mosaic of these tiles",
        "the tiles are too far apart, so make one mosaic per group of neighbouring tiles",
    )
    values = np.full((bottom - top, right - left), NODATA, np.int16)
    for (column, row), tile in zip(offsets, tiles, strict=True):
        height, width = tile.values.shape
        covered = values[row - top : row - top + height, column - left : column - left + width]
        np.copyto(covered, tile.values, where=covered == NODATA)
    grid = Grid(
        epsg=first.epsg,
        west=first.west + left * first.pixel[0],
        north=first.north - top * first.pixel[1],
        pixel=first.pixel,
        width=right - left,
        height=bottom - top,
    )
    return Mosaic(
        values=values,
        grid=grid,
        provenance=provenance,
    )


@dataclass(frozen=True)
class Composite:
    """NDVI of one area from several scenes."""

    values: NDArray[np.float32]
    """Median of the usable values of each pixel, of shape (height, width); NaN where there are none."""
    used: NDArray[np.int64]
    """Number of usable values of each pixel."""
    grid: Grid
    provenance: Provenance
    """What the values were computed from."""

    def to_xarray(self) -> Any:
        """Return the values as a DataArray with the dims y and x, and coordinates of the pixels' centres.

        Raises:
            PackageMissing: xarray is not installed.
        """
        from wrenlite.gallery.ndvi import xarrays

        return xarrays.data_array(self.values, self.grid, self.provenance)


def composite(areas: Iterable[AreaNdvi], *, mixed: bool = False) -> Composite:
    """Return the median of each pixel over several scenes; days on which the pixel is hidden do not count.

    Args:
        areas: NDVI of the same box in scenes of one UTM zone, as ``ndvi_area`` returns it.
        mixed: allow areas of both levels.

    Raises:
        ConfigError: there are no areas, they are not on the same grid, or they have several indices or both
            levels.
    """
    areas = list(areas)
    if not areas:
        raise ConfigError("a composite needs at least one area, and there are no areas")
    provenance = Provenance.of(areas, mixed=mixed)
    grid = areas[0].grid
    for area in areas:
        if area.grid != grid:
            raise ConfigError(
                f"NDVI of {area.product} is on {area.grid}, and that of {areas[0].product} on {grid}: a"
                " composite takes the same box in scenes of one UTM zone"
            )
    ordered = np.sort(np.stack([area.values for area in areas]), axis=0)  # NaN is sorted to the end
    used = np.count_nonzero(~np.isnan(ordered), axis=0)
    middle = (np.maximum(used - 1, 0) // 2, used // 2)
    lower, upper = (np.take_along_axis(ordered, index[None], axis=0)[0] for index in middle)
    return Composite(values=(lower + upper) / np.float32(2), used=used, grid=grid, provenance=provenance)


def _offset(first: Grid, tile: TileNdvi) -> tuple[int, int]:
    """Return columns and rows from the first tile's corner to another tile's.

    Raises:
        ConfigError: the tiles are in different projections or on different lattices.
    """
    offset = first.offset_of(tile.grid)
    if offset is None:
        raise ConfigError(
            f"the tile of {tile.product} is on other pixels ({_place(tile.grid)}) than the first tile"
            f" ({_place(first)}): declare one grid (target.declare_grid) and read all scenes on it"
            " (ndvi_tile(..., grid=grid)), or make one mosaic for each"
        )
    return offset


def _place(grid: Grid) -> str:
    return f"EPSG:{grid.epsg}, pixels of {grid.pixel} from {grid.west:.12g}, {grid.north:.12g}"
