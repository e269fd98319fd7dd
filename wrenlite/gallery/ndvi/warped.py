"""Scenes on a declared grid: pixels of other projections, by nearest neighbour, as they are asked for.

Nearest neighbour, because bits of quality bands have no average, and because masks belong to whole pixels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import rasterio
from rasterio.vrt import WarpedVRT

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi.bands import Band, Parts, Pixels, Reader, WindowChooser, common_grid, cut
from wrenlite.gallery.ndvi.grid import Grid, Window, clip
from wrenlite.gallery.ndvi.indices import FILL, DigitalNumbers
from wrenlite.gallery.ndvi.reader import GdalReader, is_remote, raster_grid, read_window, translate_errors
from wrenlite.gallery.ndvi.stored_numbers import as_digital_numbers

_TOLERANCE = 1e-3
"""Greatest error of a place, in pixels of the scene, by which GDAL may approximate a projection.

Of 2,048 x 2,048 pixels from UTM to UTM, Albers and degrees, at most 0.05 % are then the neighbour of the
right one. GDAL's default of 0.125 saves a third of the time, and makes that up to 6 %.
"""


@dataclass(frozen=True)
class WarpedReader(Reader):
    """A reader of scenes on one grid, whatever projection they are in; see ``bands.Reader``.

    With it every task works on the declared grid: it chooses windows of that grid, and its result is on it.
    Where a scene has no pixels, there is fill. A scene whose pixels are those of the grid is read as it is.
    """

    grid: Grid
    reader: GdalReader

    def read(self, bands: Sequence[Band], choose: WindowChooser) -> Mapping[str, Pixels]:
        """Read the chosen window of every band on the grid; see ``bands.Reader``."""
        window, step = choose(self.grid)
        own: dict[str, Grid] = {}
        pixels = self.reader.each(bands, lambda band: self._read_band(band, window, step, own))
        common_grid(bands[0].product, own)
        return pixels

    @contextmanager
    def parts(self, bands: Sequence[Band], choose: WindowChooser) -> Iterator[Parts]:
        """Read the chosen window of every band in parts; see ``bands.Reader``.

        Files here whose pixels are those of the grid are read as fast as on their own grid. To look at the
        grid of a remote file would be one more request.
        """
        if not is_remote(bands[0].href):
            own, (window, _) = self.reader.grid_of(bands[0]), choose(self.grid)
            shifted = _on_lattice(own, self.grid, window)
            if shifted is not None and clip(shifted, own.window) == shifted:
                with self.reader.parts(bands, lambda _: (shifted, 1)) as parts:
                    common_grid(bands[0].product, parts.grids)
                    yield parts._replace(grids=dict.fromkeys(parts.grids, self.grid))
                return
        yield cut(self.read(bands, choose))

    def fetch(self, href: str) -> bytes:
        """Return the content of a whole file; see ``bands.Reader``."""
        return self.reader.fetch(href)

    def _read_band(self, band: Band, window: Window, step: int, grids: dict[str, Grid]) -> Pixels:
        """Read one band; each value is that of the scene's pixel at the centre of a pixel of the grid.

        The scene's own grid is added to ``grids``.
        """
        start = time.perf_counter()
        with self.reader.open(band) as dataset:
            own = grids[band.name] = raster_grid(dataset, band)
            opened = time.perf_counter()
            shifted = _on_lattice(own, self.grid, window)
            if shifted is None:
                target = self.grid.part(window, step)
                values = translate_errors(band, lambda: _read_warped(dataset, target))
            else:
                values = translate_errors(band, lambda: read_window(dataset, own, shifted, step))
            values = as_digital_numbers(values, dataset, band)
        return Pixels(
            values=values,
            grid=self.grid,
            window=window,
            step=step,
            open_s=opened - start,
            read_s=time.perf_counter() - opened,
        )


def _on_lattice(own: Grid, grid: Grid, window: Window) -> Window | None:
    """Return a window of a grid as one of a scene's own grid; None if their pixels are not the same."""
    offset = own.offset_of(grid)
    if offset is None:
        return None
    return window._replace(column=window.column + offset[0], row=window.row + offset[1])


def _read_warped(dataset: Any, target: Grid) -> DigitalNumbers:
    """Return the pixels of a raster on a grid; where it has none, its number for no data."""
    nodata = FILL if dataset.nodata is None else dataset.nodata
    with WarpedVRT(
        dataset,
        crs=f"EPSG:{target.epsg}",
        transform=rasterio.Affine.from_gdal(*target.transform),
        width=target.width,
        height=target.height,
        src_nodata=nodata,
        nodata=nodata,
        tolerance=_TOLERANCE,
    ) as warped:
        values: DigitalNumbers = warped.read(1, out_dtype="uint16")
    return values


def on_grid(reader: Reader, grid: Grid) -> WarpedReader:
    """Return a reader that reads scenes on a grid.

    Raises:
        ConfigError: the reader is not GDAL's, which alone can reproject.
    """
    if not isinstance(reader, GdalReader):
        raise ConfigError(
            f"{type(reader).__name__} cannot read scenes on a declared grid: leave out reader=, or give a"
            " GdalReader"
        )
    return WarpedReader(grid=grid, reader=reader)
