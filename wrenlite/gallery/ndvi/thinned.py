"""Which pixels of an overview stand for the cells of a thinned picture. Pure numpy.

A side with an odd number of pixels has no half, so GDAL stretches: from level to level, the pixels of an
overview drift against those of the raster, by up to the size of one of them. A picture that is read by
stretching once more drifts as well. Here the drift is computed, and for each cell a pixel of the overview is
chosen that shows a pixel within the cell.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]


def shown_pixels(size: int, overview_size: int) -> Places:
    """Return which pixel of a raster each pixel of an overview shows, along one axis.

    Overviews halve the size again and again, rounded up or down, and each is made from the one before: its
    pixel i is that at floor(0.5 + i x ratio), by GDAL's nearest neighbour. A pixel of an averaged overview is
    the mean of pixels that begin there.

    Args:
        size: the raster's number of pixels.
        overview_size: that of the overview.
    """
    levels = max(0, round(np.log2(size / overview_size)))
    rounded_up = -(-size >> levels) == overview_size
    sizes = [-(-size >> level) if rounded_up else size >> level for level in range(levels)]
    sizes.append(overview_size)
    places = np.arange(overview_size)
    for larger, smaller in itertools.pairwise(sizes[::-1]):
        places = np.floor(0.5 + places * (smaller / larger)).astype(np.int64).clip(0, smaller - 1)
    return places


def choose_pixels(shown: Places, start: int, stop: int, step: int) -> Places | None:
    """Return the pixel of an overview for each cell, that which shows the pixel nearest to the cell's middle.

    Args:
        shown: what ``shown_pixels`` returns.
        start: first pixel of the first cell.
        stop: the pixel after the last cell, which may have fewer than ``step`` pixels.
        step: pixels of a cell.

    Returns:
        Numbers of pixels of the overview; None if it shows no pixel of some cell.
    """
    first = np.arange(start, stop, step)
    last = np.minimum(first + step, stop) - 1
    middle = (first + last) / 2
    after = np.searchsorted(shown, middle).clip(1, max(1, len(shown) - 1))
    choices = np.stack([after - 1, np.minimum(after, len(shown) - 1)])
    distances = np.abs(shown[choices] - middle)
    chosen = np.where(distances[0] <= distances[1], choices[0], choices[1])
    within = (shown[chosen] >= first) & (shown[chosen] <= last)
    return chosen if within.all() else None
