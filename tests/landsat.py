"""Helpers of tests of Landsat and NDVI: real pixels where the machine has them, and a reader of arrays."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from wrenlite.errors import NotFound
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi.bands import Band, Pixels, WindowChooser
from wrenlite.gallery.ndvi.grid import Grid, clip
from wrenlite.gallery.synthetic.places import Place

BRUMADINHO = ("LC08_L2SP_218074_20190114_20200829_02_T1", "LC08_L2SP_218074_20190130_20200829_02_T1")
COLOMBIA = "LC08_L2SP_008059_20191201_20200825_02_T1"
TM_LEVEL_1 = "LT05_L1TP_008059_19910802_20200915_02_T1"


def real_pixels() -> Path:
    """Return the folder of real scenes beside the project; skip the test where it does not exist."""
    folder = Path(__file__).absolute().parents[2] / "shared" / "landsat" / "usgs-landsat"
    if not folder.is_dir():
        pytest.skip(f"no real pixels: {folder} is not on this machine")
    return folder


def reference(red: np.ndarray, nir: np.ndarray, gain: float, offset: float) -> np.ndarray:
    """Return NDVI by its definition, in float64."""
    r, n = red.astype(np.float64) * gain + offset, nir.astype(np.float64) * gain + offset
    with np.errstate(divide="ignore", invalid="ignore"):
        return (n - r) / (n + r)


def scenes_of(scenes: Sequence[Scene], place: Place) -> list[Scene]:
    """Return those scenes of the synthetic archive that are of one place."""
    return [scene for scene in scenes if scene.product.path == f"{place.path:03}"]


def clearest(scenes: Sequence[Scene], place: Place) -> Scene:
    """Return the scene of a place with the least cloud."""
    return min(scenes_of(scenes, place), key=lambda scene: scene.cloud)


class ArrayReader:
    """A reader of arrays, by the bands' names, all on one grid: it tests tasks without files."""

    def __init__(self, grid: Grid, **bands: np.ndarray) -> None:
        self.grid = grid
        self.bands = bands
        self.files: dict[str, bytes] = {}

    def read(self, bands: Sequence[Band], choose: WindowChooser) -> Mapping[str, Pixels]:
        """Return the chosen pixels, as ``bands.Reader`` does; of each cell it takes the first pixel."""
        found = {}
        for band in bands:
            if band.name not in self.bands:
                raise NotFound(f"there is no band {band.name} of {band.product}")
            window, step = choose(self.grid)
            values = np.zeros((window.height, window.width), np.uint16)
            inside = clip(window, self.grid.window)
            if inside is not None:
                top, left = inside.row - window.row, inside.column - window.column
                part = self.bands[band.name][
                    inside.row : inside.row + inside.height, inside.column : inside.column + inside.width
                ]
                values[top : top + inside.height, left : left + inside.width] = part
            found[band.name] = Pixels(
                values=values[::step, ::step],
                grid=self.grid,
                window=window,
                step=step,
                open_s=0.0,
                read_s=0.0,
            )
        return found

    def fetch(self, href: str) -> bytes:
        """Return the content of a file among ``files``."""
        if href not in self.files:
            raise NotFound(f"there is no file {href}")
        return self.files[href]
