"""Median composites of scenes in two zones beside odc-stac with dask: the same pixels, and the time.

Run it by ``python -m benchmarks.landsat composites``; its environment is that of ``benchmarks.landsat``.
"""

import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import wrenlite
from tests.landsat import write_ground
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.landsat.composites import composite
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import indices, projection
from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.periods import periods_of
from wrenlite.gallery.ndvi.target import declare_grid

SCENES, SIDE = 12, 1500
LEAST_AGREEMENT = 0.97
"""Share of values that must be the same where both programs reproject; without that, all must be the same.

odc-stac allows GDAL an error of 0.125 of a pixel, so that 3 to 6 % of a scene's pixels are the neighbour of
the right one. ``exact`` tells which of the two is right.
"""
LEAST_EXACT = 0.995
_VALID = (7273, 43_636)
_QA_BITS, _RADSAT_BITS = 0b111111, 1 << 3 | 1 << 4 | 1 << 9 | 1 << 11


def write_scenes(folder: Path, side: int = SIDE, count: int = SCENES) -> list[Scene]:
    """Write scenes of two zones that overlap at 120 degrees west, within two months, a third under cloud."""
    rng, scenes = np.random.default_rng(0), []
    for number in range(count):
        epsg, path = ((32611, "042"), (32610, "043"))[number % 2]
        x, y = (float(place[0]) for place in projection.forward(epsg, -120.0, 38.0))
        corner = (x // 30 - side // 2 + number) * 30 + 15, (y // 30 + side // 2 - number) * 30 + 15
        grid = Grid(epsg, *corner, (30.0, 30.0), side, side)
        cloudy = np.kron(rng.random((side // 20 + 1,) * 2) < 1 / 3, np.ones((20, 20), bool))[:side, :side]
        day = f"2022{1 + number * 2 // count:02}{1 + number * 5 % 27:02}"
        product = f"LC08_L2SP_{path}033_{day}_{day}_02_T1"
        hidden = np.where(cloudy, 21824 | 1 << 3, 21824).astype(np.uint16)
        scenes.append(write_ground(folder, product, grid, shift=0.01 * number, hidden=hidden))
    return scenes


def item_of(scene: Scene) -> Any:
    """Return the STAC item of a scene; odc-stac finds the projection in the files."""
    import pystac

    west, south, east, north = tasks.grid_of(scene).bounds
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    hrefs = {"red": scene.red, "nir08": scene.nir, "qa_pixel": scene.qa_pixel, "qa_radsat": scene.qa_radsat}
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": scene.product.id,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {"datetime": f"{scene.date.isoformat()}T18:00:00Z"},
        "assets": {name: {"href": href, "roles": ["data"]} for name, href in hrefs.items()},
        "links": [],
    }
    return pystac.Item.from_dict(item)


def odc_median(scenes: Sequence[Scene], grid: Grid, chunk: int = 1024) -> Any:
    """Return the monthly medians and numbers of usable scenes that odc-stac and xarray compute."""
    from odc.geo.geobox import GeoBox
    from odc.stac import load
    from rasterio import Affine

    box = GeoBox((grid.height, grid.width), Affine.from_gdal(*grid.transform), f"EPSG:{grid.epsg}")
    chunks = {"x": chunk, "y": chunk}
    items = [item_of(scene) for scene in scenes]
    bands = ["red", "nir08", "qa_pixel", "qa_radsat"]
    cube = load(items, bands=bands, geobox=box, chunks=chunks, groupby="id", dtype="uint16", nodata=0)
    cube = cube.sortby("time")
    red, nir = cube.red, cube.nir08
    total = 11 * (red.astype("int32") + nir.astype("int32")) - 160_000
    good = (red >= _VALID[0]) & (red <= _VALID[1]) & (nir >= _VALID[0]) & (nir <= _VALID[1])
    good &= total >= 0.05 * 400_000
    good &= (cube.qa_pixel & _QA_BITS) == 0
    good &= (cube.qa_radsat & _RADSAT_BITS) == 0
    values = (11 * (nir.astype("float32") - red.astype("float32")) / total.astype("float32")).where(good)
    months = values.resample(time="MS")
    return months.median("time", skipna=True).compute(), good.resample(time="MS").sum("time").compute()


def exact(scenes: Sequence[Scene], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the monthly medians and numbers of usable scenes with PROJ for every single pixel."""
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    x, y = grid.west + columns * grid.pixel[0], grid.north - rows * grid.pixel[1]
    places = projection.inverse(grid.epsg, x.ravel(), y.ravel())
    values, used = [], []
    for group in periods_of(((scene.date, scene) for scene in scenes), "month").values():
        stack = []
        for scene in group:
            own = tasks.grid_of(scene)
            column, row = (np.floor(each).astype(int) for each in own.fractional_pixels(*places))
            inside = (column >= 0) & (column < own.width) & (row >= 0) & (row < own.height)
            tile = indices.to_float(tasks.ndvi_tile(scene, own.window).values)
            shown = tile[row.clip(0, own.height - 1), column.clip(0, own.width - 1)]
            stack.append(np.where(inside, shown, np.nan))
        used.append((~np.isnan(stack)).sum(axis=0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # pixels that no scene shows
            values.append(np.nanmedian(stack, axis=0))
    shape = (-1, grid.height, grid.width)
    return np.reshape(values, shape), np.reshape(used, shape)


def agreement(one: tuple[Any, Any], other: tuple[Any, Any]) -> float:
    """Return the share of values that are the same to the step of int16, from the same number of scenes."""
    same = np.isclose(one[0], other[0], atol=1.01e-4, rtol=0, equal_nan=True) & (one[1] == other[1])
    return float(same.mean())


def compare(executor: wrenlite.Executor, scenes: Sequence[Scene], grid: Grid, least: float) -> str:
    """Return a line with the time of both programs, and with the share of values that agree.

    Raises:
        SystemExit: too few values agree.
    """
    started = time.perf_counter()
    made = composite(executor, scenes, grid)
    ours_s = time.perf_counter() - started
    ours = indices.to_float(made.values.reshape(-1, grid.width)).reshape(made.values.shape), made.used
    theirs = tuple(array.values for array in odc_median(scenes, grid))
    theirs_s = time.perf_counter() - started - ours_s
    middle = Window(grid.width // 2, grid.height // 2, 400, 400)
    part = (..., slice(middle.row, middle.row + 400), slice(middle.column, middle.column + 400))
    right = exact(scenes, grid.part(middle))
    shares = [
        agreement(*pair)
        for pair in (
            (ours, theirs),
            ([each[part] for each in ours], right),
            ([each[part] for each in theirs], right),
        )
    ]
    line = (
        f"{len(scenes):>3} scenes  wrenlite {ours_s:.1f} s, odc-stac {theirs_s:.1f} s; same values"
        f" {shares[0]:.2%}; exactly right {shares[1]:.2%} and {shares[2]:.2%}"
    )
    if not (shares[0] >= least and shares[1] >= min(least, LEAST_EXACT)):
        raise SystemExit(f"composites differ: {line}")
    return line


def composites() -> None:
    """Print the time of both, and how many values agree.

    Raises:
        SystemExit: too few values agree.
    """
    with tempfile.TemporaryDirectory() as folder, wrenlite.Executor.local(2, progress=False) as executor:
        scenes = write_scenes(Path(folder))
        box = (-120.2, 37.85, -119.8, 38.15)
        own, albers = declare_grid(box, like=tasks.grid_of(scenes[0])), declare_grid(box, 5070, 30.0)
        executor.map(lambda _: __import__("rasterio"), range(2), chunksize=1).results()
        odc_median(scenes[:1], own.part(Window(0, 0, 64, 64)))  # imports its modules
        print(
            f"\nMonthly medians of {own.width:,} x {own.height:,} pixels, two workers beside dask's threads"
        )
        print("  one zone, its lattice ", compare(executor, scenes[::2], own, 1.0), flush=True)
        print("  two zones, in Albers  ", compare(executor, scenes, albers, LEAST_AGREEMENT), flush=True)
