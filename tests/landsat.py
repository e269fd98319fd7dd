"""What tests of Landsat share: real pixels where the machine has them, and a reader of arrays."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from wrenlite.errors import NotFound
from wrenlite.gallery.ndvi.bands import (
    Band,
    Choice,
    Pixels,
)
from wrenlite.gallery.ndvi.grid import Grid, clip

BRUMADINHO = ("LC08_L2SP_218074_20190114_20200829_02_T1", "LC08_L2SP_218074_20190130_20200829_02_T1")
COLOMBIA = "LC08_L2SP_008059_20191201_20200825_02_T1"


def real_pixels() -> Path:
    """The folder of true scenes beside the project; the test is skipped where there is none."""
    folder = Path(__file__).absolute().parents[2] / "shared" / "landsat" / "usgs-landsat"
    if not folder.is_dir():
        pytest.skip(f"no real pixels: {folder} is not on this machine")
    return folder


class ArrayReader:
    """Bands that are arrays, by their names, all on one grid: what a task computes, without any file."""

    def __init__(self, grid: Grid, **bands: np.ndarray) -> None:
        self.grid = grid
        self.bands = bands

    def read(self, bands: Sequence[Band], choose: Choice) -> Mapping[str, Pixels]:
        """See ``bands.Reader``; pixels are picked, as the nearest neighbour is."""
        found = {}
        for band in bands:
            if band.name not in self.bands:
                raise NotFound(f"there is no band {band.name} of {band.product}")
            window, every = choose(self.grid)
            values = np.zeros((window.height, window.width), np.uint16)
            inside = clip(window, self.grid.window)
            if inside is not None:
                top, left = inside.row - window.row, inside.column - window.column
                part = self.bands[band.name][
                    inside.row : inside.row + inside.height, inside.column : inside.column + inside.width
                ]
                values[top : top + inside.height, left : left + inside.width] = part
            found[band.name] = Pixels(values[::every, ::every], self.grid, window, every, 0.0, 0.0)
        return found

    def fetch(self, href: str) -> bytes:
        """There is no file."""
        raise NotFound(f"there is no file {href}")
