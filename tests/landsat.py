"""Helpers of tests of Landsat and NDVI: real pixels where the machine has them, and a reader of arrays."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from wrenlite.errors import NotFound
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import projection
from wrenlite.gallery.ndvi.bands import Band, Pixels, Reader, WindowChooser
from wrenlite.gallery.ndvi.cog import write_cog
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


class ArrayReader(Reader):
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


def ground(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Return the NDVI of places in degrees, smooth, so that a wrong place shows."""
    return 0.4 + 0.3 * np.sin(np.radians(lon) * 800) * np.cos(np.radians(lat) * 900)


def write_ground(
    root: Path,
    product: str,
    grid: Grid,
    *,
    shift: float = 0.0,
    hidden: np.ndarray | None = None,
    cloud: float | None = 10.0,
) -> Scene:
    """Write a scene of that ground in the archive's layout, on any grid, and return it.

    Args:
        root: folder of the archive.
        product: id of the product, of level 2.
        grid: the grid of the scene.
        shift: added to the NDVI of the ground.
        hidden: bits of QA_PIXEL; default: every pixel is clear.
        cloud: the scene's percent of cloud.
    """
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    x, y = grid.west + columns * grid.pixel[0], grid.north - rows * grid.pixel[1]
    lon, lat = projection.inverse(grid.epsg, x.ravel(), y.ravel())
    ndvi = ground(lon, lat).reshape(columns.shape) + shift
    nir = np.full(ndvi.shape, 0.4)
    bands = {"red": nir * (1 - ndvi) / (1 + ndvi), "nir": nir}
    scene = Scene.at(str(root), product, cloud=cloud)
    (root / scene.product.key).mkdir(parents=True)
    for name, values in bands.items():
        numbers = np.rint((values + 0.2) / 2.75e-5).astype(np.uint16)
        write_cog(scene.bands[name], numbers, grid, nodata=0, overviews="nearest")
    clear = np.full(ndvi.shape, 21824, np.uint16)
    write_cog(scene.qa_pixel, clear if hidden is None else hidden, grid, nodata=1, overviews="nearest")
    write_cog(scene.qa_radsat, np.zeros_like(clear), grid, nodata=0, overviews="nearest")
    return scene
