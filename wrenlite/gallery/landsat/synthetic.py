"""A synthetic Collection 2 archive: four places, 62 dates each over three years, with known truth.

Nothing in it was observed. Keys, file formats, metadata and quality bits are those of ``usgs-landsat``, so
that the same code reads both. Product ids end in ``_SY``, which no real tier is called, and every file that
can carry a text says what it is.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import papers, weather
from wrenlite.gallery.landsat.grid import Grid, Window
from wrenlite.gallery.landsat.landscape import Country, Cover, Map, country
from wrenlite.gallery.landsat.ndvi import FILL, Mask, Numbers
from wrenlite.gallery.landsat.places import PLACES, START, Place
from wrenlite.gallery.landsat.scene import Product, Scene

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


@dataclass(frozen=True)
class Job:
    """One scene to write: what a worker is given."""

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


def jobs(places: Iterable[str] = PLACES) -> list[Job]:
    """All scenes of the archive."""
    return [Job(place, day) for place in places for day in PLACES[place].dates]


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
        run: how to call ``write`` with each of many ``(folder, job)``, such as
            ``lambda pairs: executor.map(lambda pair: write(*pair), pairs).results()``; default: one by one.

    Raises ConfigError where the folder has something else in it.
    """
    target = Path(folder) if folder is not None else _cache() / f"landsat-synthetic-{VERSION}"
    if (target / papers.ITEMS).exists():
        return target
    if target.is_dir() and any(target.iterdir()):
        raise ConfigError(
            f"{target} has other files and no {papers.ITEMS}: give a folder that is empty or new"
        )
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        pairs = [(str(partial), job) for job in jobs()]
        items = list(run(pairs)) if run else [write(*pair) for pair in pairs]
        (partial / "README.txt").write_text(f"{NOTICE}\n")
        (partial / papers.ITEMS).write_text(json.dumps(papers.collection(items, NOTICE)))
        _publish(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _publish(partial: Path, target: Path) -> None:
    """Give a finished folder its name, unless another process was first."""
    try:
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        partial.rename(target)
    except OSError:
        if not (target / papers.ITEMS).exists():
            raise


def _cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("wrenlite")


def whole_scene(folder: str | Path, name: str = "napa", side: int = 2048, day: date | None = None) -> Scene:
    """One larger scene, written on demand: 7,600 pixels a side are a whole one: a minute or two, and 5 GB.

    Its numbers are as fine as true ones, so that it takes as long to read. Its id is that of the archive's
    scene of that day, so give it another folder.
    """
    clear = min(place(name).dates, key=lambda each: _share(Job(name, each)))
    job = Job(name, day or clear, side, step=1)
    item = write(str(folder), job)
    return Scene.at(str(folder), job.product, cloud=item["properties"]["eo:cloud_cover"])


def write(folder: str, job: Job) -> dict[str, Any]:
    """Write one scene's files below a folder; returns its STAC item."""
    from PIL import Image

    from wrenlite.gallery.landsat.reader import write_cog

    made = _make(job)
    product = job.product
    target = Path(folder) / product.key
    target.mkdir(parents=True, exist_ok=True)
    for what, values in made.files.items():
        write_cog(
            target / product.file(f"{what}.TIF"),
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
    (target / product.file("thumb_small.jpeg")).write_bytes(small.getvalue())
    report = papers.Report(product, made.grid, made.cloud, PLACES[job.place].title, NOTICE)
    (target / product.file("MTL.json")).write_text(json.dumps(report.mtl()))
    (target / product.file("MTL.txt")).write_text(report.mtl_text())
    (target / product.file("SR_stac.json")).write_text(json.dumps(report.item("./")))
    return report.item(f"./{product.key}/")


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


def _share(job: Job) -> float:
    """Share of cloud of a day: from its month's mean, with days that are clearer and duller than that."""
    mean = PLACES[job.place].cloudy[job.day.month - 1]
    return float(_rng(job, 0).beta(1.6 * mean, 1.6 * (1 - mean)))


def _rng(job: Job, purpose: int) -> Generator:
    return np.random.default_rng((PLACES[job.place].seed, job.day.toordinal(), purpose))


def _make(job: Job) -> _Made:
    """One day over one place."""
    where, rng = PLACES[job.place], _rng(job, 1)
    around = job.side + 2 * _JITTER
    corner = where.corner(around)
    column, row = rng.integers(0, 2 * _JITTER + 1, 2)
    window = Window(int(column), int(row), job.side, job.side)
    grid = Grid(32600 + where.zone, *corner, (30.0, 30.0), around, around).part(window)
    land = _country(job.place, around)
    cut = (slice(window.row, window.row + job.side), slice(window.column, window.column + job.side))
    green = _greenness(where, land, (job.day - START).days)[cut]
    ground = _ground(green, land.shade[cut], land.bright[cut])
    day = weather.sky(green.shape, _share(job), rng)
    fill = ~weather.footprint(green.shape, rng)
    water = land.cover[cut] == Cover.WATER
    quality = weather.quality(day, water, fill)
    red, nir, saturated = _numbers(weather.seen(ground, day), fill, job.step, rng)
    few = (..., *(slice(None, None, max(1, job.side // 512)),) * 2)
    picture = weather.picture(ground[few], green[few], water[few], where.style.soil, day.part(few))
    picture[fill[few]] = 0
    files = {"SR_B4": red, "SR_B5": nir, "QA_PIXEL": quality, "QA_RADSAT": saturated}
    return _Made(files, grid, weather.cloud_share(quality, fill), picture)


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
