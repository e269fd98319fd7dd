"""A synthetic Collection 2 archive: four places, 62 dates each over three years, with known truth.

Nothing in it was observed. Keys, file formats, metadata and quality bits are those of ``usgs-landsat``, so
that the same code reads both. Product ids end in ``_SY``, which no real tier is called, and every file that
can carry a text says what it is.

The archive's numbers come in steps of 0.007 of reflectance, more than the sensor's noise of 0.0025, so that a
place has some tens of distinct NDVI values: steps of half that make 41.6 MB of 36.3, and 40 is the most that
a demonstration should leave in a cache. Scenes of ``whole_scene`` are as fine as true ones.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from wrenlite.errors import ConfigError, StoreError
from wrenlite.gallery.checks import check_folder
from wrenlite.gallery.landsat.catalog import ITEMS
from wrenlite.gallery.landsat.scene import Product, Scene
from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.indices import (
    FILL,
    Mask,
    Numbers,
)
from wrenlite.gallery.synthetic import clouds, metadata
from wrenlite.gallery.synthetic.landscape import (
    Country,
    Cover,
    Map,
    country,
)
from wrenlite.gallery.synthetic.places import (
    PLACES,
    START,
    Place,
)

VERSION = "1"
"""Of what is generated: another version has a folder of its own."""
SIDE = 272
"""Pixels of a scene in the archive: 8 km instead of 230, so that all of it stays below 40 MB."""
NOTICE = "SYNTHETIC: invented by wrenlite for demonstrations, not observed by any satellite"
_JITTER = 8
"""Pixels by which a scene's corner moves from pass to pass, as true ones do."""
_NOISE = 0.0025
"""Reflectance: the sensor's."""
_COARSE = 256
"""Step of the archive's numbers, 0.007 of reflectance, which halves its size; whole scenes have step 1."""
_LEFT_S = 3600.0
"""Age from which a partial archive is one of a run that was killed: a hundred times what a run takes."""


@dataclass(frozen=True)
class Pass:
    """One pass of the satellite over a place, which is one scene to write: what a worker is given."""

    place: str
    day: date
    side: int = SIDE
    step: int = _COARSE

    @property
    def product(self) -> Product:
        """Its id, which says that it is synthetic."""
        where = PLACES[self.place]
        return Product.parse(
            f"LC08_L2SP_{where.path:03}{where.row:03}_{self.day:%Y%m%d}_{self.day:%Y%m%d}_02_SY"
        )


def passes(places: Iterable[str] = PLACES) -> list[Pass]:
    """All scenes of the archive."""
    return [Pass(place, day) for place in places for day in PLACES[place].dates]


def place(name: str) -> Place:
    """A place by its name. Raises ConfigError, which lists those there are."""
    try:
        return PLACES[name]
    except KeyError:
        raise ConfigError(f"no synthetic place is called {name!r}: there are {', '.join(PLACES)}") from None


def truth(name: str, day: date) -> float:
    """NDVI of a place's middle as it truly is in the archive, before noise, haze and clouds."""
    return place(name).truth(day)


def archive(
    folder: str | Path | None = None, *, run: Callable[[list[Any]], Iterable[Any]] | None = None
) -> Path:
    """The archive's folder, generated on first use: some 35 MB, in about half a minute on one core.

    Args:
        folder: where; default: the user's cache folder. What is there and whole is taken as it is.
        run: how to call ``write`` with each of many ``(folder, a pass)``, such as
            ``lambda pairs: executor.map(lambda pair: write(*pair), pairs).results()``; default: one by one.

    What runs that were killed left beside it goes after an hour. Raises ConfigError where the folder has
    something else in it, StoreError where it cannot be made or the disk is full.
    """
    target = Path(folder) if folder is not None else _cache() / f"landsat-synthetic-{VERSION}"
    if _made_already(target):
        return target
    check_folder(target.parent)
    with _partial(target) as partial:
        pairs = [(str(partial.absolute()), each) for each in passes()]
        items = list(run(pairs)) if run else [write(*pair) for pair in pairs]
        with _mistakes(target):
            (partial / "README.txt").write_text(f"{NOTICE}\n")
            (partial / ITEMS).write_text(json.dumps(metadata.collection(items, NOTICE)))
            _publish(partial, target)
    return target


def _made_already(target: Path) -> bool:
    """Whether the archive is there. Raises ConfigError where something else is, StoreError for a file."""
    with _mistakes(target), suppress(FileNotFoundError):
        if any(target.iterdir()):
            if not (target / ITEMS).exists():  # asked last: others may publish at any time
                raise ConfigError(
                    f"{target} has other files and no {ITEMS}: give a folder that is empty or new"
                )
            return True
    return False


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """A folder beside the target, of this call alone, to make it in; gone in the end.

    It loses its name before its files go, so that workers which still write fail, and bring nothing back.
    """
    prefix = f".{target.name}.wrenlite-"
    with _mistakes(target):
        _sweep(target.parent, prefix)
        outer = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        inner = outer / target.name  # a folder with the usual permissions, which mkdtemp's has not
        inner.mkdir()
    try:
        yield inner
    finally:
        with suppress(OSError):
            inner.rename(outer / f"{target.name}~")
        shutil.rmtree(outer, ignore_errors=True)


def _sweep(folder: Path, prefix: str) -> None:
    """Remove what runs that were killed have left."""
    for left in folder.iterdir():
        with suppress(OSError):  # another process removes it just now
            if left.name.startswith(prefix) and time.time() - left.stat().st_mtime > _LEFT_S:
                shutil.rmtree(left, ignore_errors=True)


def _publish(partial: Path, target: Path) -> None:
    """Give a finished folder its name, unless another process was first."""
    try:
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        partial.rename(target)
    except OSError:
        if not (target / ITEMS).exists():
            raise


@contextmanager
def _mistakes(target: Path) -> Iterator[None]:
    """The system's errors as StoreError, which names the folder."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror or error}") from error


def _cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("wrenlite")


def whole_scene(folder: str | Path, name: str = "napa", side: int = 2048, day: date | None = None) -> Scene:
    """One larger scene, written on demand: 7,600 pixels a side are a whole one: a minute or two, and 5 GB.

    Its numbers are as fine as true ones, so that it takes as long to read. Its id is that of the archive's
    scene of that day, so give it another folder. Raises StoreError where that cannot be written to.
    """
    clear = min(place(name).dates, key=lambda each: _share(Pass(name, each)))
    made = Pass(name, day or clear, side, step=1)
    check_folder(folder)
    item = write(str(folder), made)
    return Scene.at(str(folder), made.product, cloud=item["properties"]["eo:cloud_cover"])


def write(folder: str, one: Pass) -> dict[str, Any]:
    """Write one scene's files below a folder, which has to be there; returns its STAC item.

    Raises StoreError where the folder is not there any more, or the disk is full.
    """
    made = _make(one)
    report = metadata.Report(one.product, made.grid, made.cloud, PLACES[one.place].title, NOTICE)
    here = Path(folder)
    with _mistakes(here / one.product.key):
        for part in one.product.key.split("/"):  # not by mkdir(parents=True), which would make the folder too
            here /= part
            here.mkdir(exist_ok=True)
        _write(here, made, report)
    return report.item(f"./{one.product.key}/")


def _write(here: Path, made: _Made, report: metadata.Report) -> None:
    """A scene's files into its folder."""
    from PIL import Image

    from wrenlite.gallery.ndvi.reader import write_cog

    product = report.product
    for what, values in made.files.items():
        write_cog(
            here / product.file(f"{what}.TIF"),
            values,
            made.grid,
            nodata=1 if what == "QA_PIXEL" else FILL,
            tags={"TIFFTAG_IMAGEDESCRIPTION": NOTICE},
            overviews="nearest",  # averages would be finer numbers, and take half as much again
        )
    small = io.BytesIO()
    thumbnail = Image.fromarray(made.picture)
    thumbnail.thumbnail((192, 192))
    thumbnail.save(small, "JPEG", quality=75, comment=NOTICE)
    (here / product.file("thumb_small.jpeg")).write_bytes(small.getvalue())
    (here / product.file("MTL.json")).write_text(json.dumps(report.mtl()))
    (here / product.file("MTL.txt")).write_text(report.mtl_text())
    (here / product.file("SR_stac.json")).write_text(json.dumps(report.item("./")))


@dataclass(frozen=True)
class _Made:
    """A scene before it is written."""

    files: dict[str, Numbers]
    grid: Grid
    cloud: float
    picture: Any


@lru_cache(maxsize=1)
def _country(name: str, side: int) -> Country:
    return country(PLACES[name].style, side, PLACES[name].seed)


def _share(one: Pass) -> float:
    """Share of cloud of a day: from its month's mean, with days that are clearer and duller than that."""
    mean = PLACES[one.place].cloudy[one.day.month - 1]
    return float(_rng(one, 0).beta(1.6 * mean, 1.6 * (1 - mean)))


def _rng(one: Pass, purpose: int) -> Generator:
    return np.random.default_rng((PLACES[one.place].seed, one.day.toordinal(), purpose))


def _make(one: Pass) -> _Made:
    """One day over one place."""
    where, rng = PLACES[one.place], _rng(one, 1)
    around = one.side + 2 * _JITTER
    corner = where.corner(around)
    column, row = rng.integers(0, 2 * _JITTER + 1, 2)
    window = Window(int(column), int(row), one.side, one.side)
    grid = Grid(32600 + where.zone, *corner, (30.0, 30.0), around, around).part(window)
    land = _country(one.place, around)
    cut = (slice(window.row, window.row + one.side), slice(window.column, window.column + one.side))
    green = _greenness(where, land, (one.day - START).days)[cut]
    ground = _ground(green, land.shade[cut], land.bright[cut])
    day = clouds.sky(green.shape, _share(one), rng)
    fill = ~clouds.footprint(green.shape, rng)
    water = land.cover[cut] == Cover.WATER
    quality = clouds.quality(day, water, fill)
    red, nir, saturated = _numbers(clouds.seen(ground, day), fill, one.step, rng)
    few = (..., *(slice(None, None, max(1, one.side // 512)),) * 2)
    picture = clouds.picture(ground[few], green[few], water[few], where.style.soil, day.part(few))
    picture[fill[few]] = 0
    files = {"SR_B4": red, "SR_B5": nir, "QA_PIXEL": quality, "QA_RADSAT": saturated}
    return _Made(files, grid, clouds.cloud_share(quality, fill), picture)


def _greenness(where: Place, land: Country, day: int) -> Map:
    """True NDVI of a whole country on a day."""
    found = np.empty(land.cover.shape, np.float32)
    for cover, season in where.seasons.items():
        pixels = land.cover == cover
        found[pixels] = season.at(day, land.late[pixels]) + land.vigour[pixels]
    return np.clip(found, -0.6, 0.93)


def _ground(green: Map, shade: Map, bright: Map) -> Map:
    """Reflectance of red and near infrared, of exactly that NDVI, shape (2, height, width)."""
    leaves = np.clip((green - 0.05) / 0.8, 0, 1)
    nir = 0.27 * bright * (1 - leaves) + 0.4 * leaves
    nir = np.where(green < 0, 0.03, nir * shade)
    return np.stack([nir * (1 - green) / (1 + green), nir]).astype(np.float32)


def _numbers(bands: Map, fill: Mask, step: int, rng: Generator) -> tuple[Numbers, Numbers, Numbers]:
    """Reflectances as the product stores them, with the sensor's noise, and which are saturated."""
    bands = bands + np.float32(_NOISE) * rng.standard_normal(bands.shape, np.float32)
    stored = np.rint((bands + 0.2) / (2.75e-5 * step)) * step
    too_bright = bands > 0.78
    stored = np.where(too_bright, 65_535, np.clip(stored, 1, 65_535)).astype(np.uint16)
    stored[:, fill] = FILL
    bits = (too_bright[0] * 0b1000 + too_bright[1] * 0b10000).astype(np.uint16)
    bits[fill] = 0
    return stored[0], stored[1], bits
