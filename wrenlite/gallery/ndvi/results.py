"""What tasks give back: NDVI of one scene at a point, in a tile, over an area, and where the time went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from wrenlite.gallery.ndvi.grid import Grid
from wrenlite.gallery.ndvi.indices import Stats


@dataclass(frozen=True)
class Timing:
    """Wall seconds of a task, on its worker."""

    open_s: float
    read_s: float
    """Reading is split as opening and reading took in its bands, which may go on at the same time."""
    compute_s: float


@dataclass(frozen=True)
class PointNdvi:
    """NDVI of one scene at one point."""

    product: str
    date: date
    value: float
    """NaN where it is masked."""
    masked: float
    """1.0 or 0.0: whether the pixel cannot be used."""
    cloud: float | None
    """Percent of the scene, as its metadata say."""
    timing: Timing


@dataclass(frozen=True)
class TileNdvi:
    """NDVI of one window of a scene."""

    product: str
    date: date
    values: NDArray[np.int16]
    """NDVI x 10,000, shape (height, width), ``indices.NODATA`` where masked. See ``indices.to_float``."""
    grid: Grid
    """Of the tile."""
    masked: float
    """Share of the tile's pixels that cannot be used, fill among them."""
    fill: float
    """Share without data: beside the swath."""
    stats: Stats
    cloud: float | None
    timing: Timing
    synthetic: bool = False
    """Nobody observed it: a file made of it says so."""


@dataclass(frozen=True)
class AreaNdvi:
    """NDVI of one scene over an area, as a picture."""

    product: str
    date: date
    values: NDArray[np.float32]
    """NaN where masked, and where the area reaches beyond the scene; shape (height, width)."""
    grid: Grid
    """Of the picture."""
    masked: float
    fill: float
    cloud: float | None
    timing: Timing
