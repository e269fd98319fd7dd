"""The records that tasks return: NDVI of one scene at a point, in a tile or over an area, and its timing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.indices import Stats


@dataclass(frozen=True)
class Timing:
    """Wall time of a task on its worker, by phase.

    Bands may be opened and read at the same time. The time of both phases together is then divided in the
    ratio of what opening and reading took, summed over the bands.
    """

    open_s: float
    read_s: float
    compute_s: float


@dataclass(frozen=True)
class PointNdvi:
    """NDVI of one scene at one point."""

    product: str
    """Id of the scene's product."""
    date: date
    value: float
    """NDVI; NaN where the pixel is masked."""
    masked: float
    """1.0 where the pixel cannot be used, else 0.0."""
    cloud: float | None
    """Percent of the scene under cloud, according to its metadata; None where it is not known."""
    timing: Timing


@dataclass(frozen=True)
class TileNdvi:
    """NDVI of one window of a scene."""

    product: str
    date: date
    values: NDArray[np.int16]
    """NDVI x 10,000, ``indices.NODATA`` where masked, of shape (height, width); see ``indices.to_float``."""
    grid: Grid
    """Grid of the tile."""
    masked: float
    """Share of the tile's pixels that cannot be used, including those without data."""
    fill: float
    """Share of the tile's pixels without data, because the sensor's swath does not cover them."""
    stats: Stats
    cloud: float | None
    timing: Timing
    synthetic: bool = False
    """True where the scene was generated, not observed; a file made from the tile says so."""


@dataclass(frozen=True)
class AreaNdvi:
    """NDVI of one scene over an area, as a picture."""

    product: str
    date: date
    values: NDArray[np.float32]
    """NDVI of shape (height, width); NaN where masked, and where the area reaches beyond the scene."""
    grid: Grid
    """Grid of the picture."""
    masked: float
    fill: float
    cloud: float | None
    timing: Timing
