"""A synthetic Collection 2 archive: four places, 62 dates each within three years, with known truth.

Nothing in it was observed. Keys, file formats, metadata and quality bits are those of ``usgs-landsat``, so
that the same code reads both. Product ids end in ``_SY``, which is no real tier, and every file that can hold
a text says that it is synthetic.

The archive's digital numbers have steps of 0.007 of reflectance, more than the sensor's noise of 0.0025, so
that a place has a few dozen distinct NDVI values. Steps of half that size would make 41.6 MB of 36.3, and a
demonstration should leave at most 40 MB in a cache. Scenes of ``whole_scene`` have steps as fine as real
ones.
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
from numpy.typing import NDArray

from wrenlite.errors import ConfigError, StoreError
from wrenlite.gallery.landsat.catalog import ITEMS
from wrenlite.gallery.landsat.scene import Product, Scene
from wrenlite.gallery.ndvi.grid import Grid, Window
from wrenlite.gallery.ndvi.indices import FILL, DigitalNumbers, Mask
from wrenlite.gallery.preflight import check_folder
from wrenlite.gallery.synthetic import clouds, metadata
from wrenlite.gallery.synthetic.landscape import Cover, Landscape, Map, generate_landscape
from wrenlite.gallery.synthetic.places import PLACES, START, Place

VERSION = "1"
"""Version of the generated data; each version has its own folder."""
SIDE = 272
"""Side of a scene in pixels: 8 km instead of 230, so that the whole archive stays below 40 MB."""
NOTICE = "SYNTHETIC: invented by wrenlite for demonstrations, not observed by any satellite"
_MAX_SHIFT = 8
"""Pixels by which a scene's corner moves from pass to pass, as in real archives."""
_NOISE = 0.0025
"""Standard deviation of the sensor's noise, in reflectance."""
_COARSE_STEP = 256
"""Step of the archive's digital numbers, 0.007 of reflectance, which halves the size; others have 1."""
_ABANDONED_S = 3600.0
"""Age from which an incomplete archive is left over from a killed run: a hundred times a run's duration."""


@dataclass(frozen=True)
class Pass:
    """One pass of the satellite over a place, which makes one scene: what a worker is given to write."""

    place: str
    day: date
    side: int = SIDE
    """Width and height of the scene in pixels."""
    step: int = _COARSE_STEP
    """Step of the digital numbers."""

    @property
    def product(self) -> Product:
        """Return the product, whose id says that it is synthetic."""
        place = PLACES[self.place]
        return Product.parse(
            f"LC08_L2SP_{place.path:03}{place.row:03}_{self.day:%Y%m%d}_{self.day:%Y%m%d}_02_SY"
        )


def passes(places: Iterable[str] = PLACES) -> list[Pass]:
    """Return the passes of all scenes of the archive."""
    return [Pass(place=place, day=day) for place in places for day in PLACES[place].dates]


def find_place(name: str) -> Place:
    """Return the place with a name.

    Raises:
        ConfigError: there is no such place; the message lists the places.
    """
    try:
        return PLACES[name]
    except KeyError:
        raise ConfigError(f"no synthetic place is called {name!r}: there are {', '.join(PLACES)}") from None


def truth(name: str, day: date) -> float:
    """Return the true NDVI of a place's middle in the archive, before noise, haze and clouds."""
    return find_place(name).truth(day)


def ensure_archive(
    folder: str | Path | None = None, *, run: Callable[[list[Any]], Iterable[Any]] | None = None
) -> Path:
    """Return the archive's folder; generate it if it does not exist: about 35 MB, half a minute on one core.

    What killed runs left beside the folder is removed after an hour.

    Args:
        folder: folder of the archive; default: one in the user's cache folder. A complete archive is used as
            it is.
        run: a function that calls ``write_scene`` with each of many pairs ``(folder, a pass)``, such as
            ``lambda pairs: executor.map(lambda pair: write_scene(*pair), pairs).results()``; default: one
            after the other.

    Raises:
        ConfigError: the folder has other files in it.
        StoreError: the folder cannot be made, or the disk is full.
    """
    target = Path(folder) if folder is not None else _cache_folder() / f"landsat-synthetic-{VERSION}"
    if _is_complete(target):
        return target
    check_folder(target.parent, parents=True)
    with _partial_folder(target) as partial:
        pairs = [(str(partial.absolute()), each) for each in passes()]
        items = list(run(pairs)) if run else [write_scene(*pair) for pair in pairs]
        with _system_errors(target):
            (partial / "README.txt").write_text(f"{NOTICE}\n")
            (partial / ITEMS).write_text(json.dumps(metadata.collection(items, NOTICE)))
            _publish(partial, target)
    return target


def _is_complete(target: Path) -> bool:
    """Return whether the archive exists.

    Raises:
        ConfigError: the folder has other files in it.
        StoreError: the folder cannot be read, for example because it is a file.
    """
    with _system_errors(target), suppress(FileNotFoundError):
        if any(target.iterdir()):
            if not (target / ITEMS).exists():  # checked last: another process may publish at any time
                raise ConfigError(
                    f"{target} has other files and no {ITEMS}: give a folder that is empty or new"
                )
            return True
    return False


@contextmanager
def _partial_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside the target, for this call alone, to generate the archive in; remove it at the end.

    The folder is renamed before its files are removed, so that workers which are still writing fail, instead
    of creating it anew.
    """
    prefix = f".{target.name}.wrenlite-"
    with _system_errors(target):
        _remove_abandoned(target.parent, prefix)
        outer = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        inner = outer / target.name  # a folder with the usual permissions; the one of mkdtemp is private
        inner.mkdir()
    try:
        yield inner
    finally:
        with suppress(OSError):
            inner.rename(outer / f"{target.name}~")
        shutil.rmtree(outer, ignore_errors=True)


def _remove_abandoned(folder: Path, prefix: str) -> None:
    """Remove the folders that killed runs have left."""
    for entry in folder.iterdir():
        with suppress(OSError):  # another process may be removing it now
            if entry.name.startswith(prefix) and time.time() - entry.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(entry, ignore_errors=True)


def _publish(partial: Path, target: Path) -> None:
    """Give a complete folder its final name, unless another process was first."""
    try:
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        partial.rename(target)
    except OSError:
        if not (target / ITEMS).exists():
            raise


@contextmanager
def _system_errors(target: Path) -> Iterator[None]:
    """Raise the operating system's errors as StoreError with the folder's name."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        text = f"cannot use the folder {target}: {error.strerror or error}. Give another folder"
        raise StoreError(text) from error


def _cache_folder() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("wrenlite")


def whole_scene(folder: str | Path, name: str = "napa", side: int = 2048, day: date | None = None) -> Scene:
    """Write one larger scene, and return it.

    A side of 7,600 pixels is a whole scene: it takes a minute or two, and 5 GB of memory. The scene's digital
    numbers have steps as fine as real ones, so that it takes as long to read. Its id is that of the archive's
    scene of that day, so give it another folder.

    Args:
        folder: folder to write to.
        name: name of the place.
        side: width and height of the scene in pixels.
        day: day of the scene; default: the clearest day.

    Raises:
        ConfigError: there is no such place.
        StoreError: the folder cannot be written to.
    """
    clearest = min(find_place(name).dates, key=lambda each: _cloud_share(Pass(place=name, day=each)))
    satellite_pass = Pass(place=name, day=day or clearest, side=side, step=1)
    check_folder(folder)
    item = write_scene(str(folder), satellite_pass)
    return Scene.at(str(folder), satellite_pass.product, cloud=item["properties"]["eo:cloud_cover"])


@dataclass(frozen=True)
class Picture:
    """A scene in the colours that an eye would see. It is generated, and not observed."""

    scene: Scene
    values: NDArray[np.uint8]
    """Red, green and blue, of shape (height, width, 3); all are 0 where the scene has no data."""
    grid: Grid


def draw_scene(scene: Scene) -> Picture:
    """Return a scene of the archive in true colour.

    The archive's files have only the bands that NDVI needs, so the scene is generated again, in 0.1 s.

    Args:
        scene: a scene of the synthetic archive.

    Raises:
        ConfigError: the scene is not one of the synthetic archive.
    """
    product = scene.product
    for place in PLACES.values():
        satellite_pass = Pass(place=place.name, day=product.acquired)
        if satellite_pass.product == product and product.acquired in place.dates:
            generated = _generate(satellite_pass)
            return Picture(scene=scene, values=generated.picture, grid=generated.grid)
    raise ConfigError(
        f"{product.id} is no scene of the synthetic archive, so it cannot be drawn in true colour"
    )


def write_scene(folder: str, satellite_pass: Pass) -> dict[str, Any]:
    """Write the files of one scene, and return its STAC item.

    Args:
        folder: folder of the archive, which must exist.
        satellite_pass: the pass that makes the scene.

    Raises:
        StoreError: the folder does not exist any more, or the disk is full.
    """
    generated = _generate(satellite_pass)
    product = satellite_pass.product
    description = metadata.SceneMetadata(
        product=product,
        grid=generated.grid,
        cloud=generated.cloud,
        title=PLACES[satellite_pass.place].title,
        notice=NOTICE,
    )
    scene_folder = Path(folder)
    with _system_errors(scene_folder / product.key):
        for part in product.key.split(
            "/"
        ):  # not mkdir(parents=True), which would create the archive's folder too
            scene_folder /= part
            scene_folder.mkdir(exist_ok=True)
        _write_files(scene_folder, generated, description)
    return description.item(f"./{product.key}/")


def _write_files(folder: Path, generated: _Generated, description: metadata.SceneMetadata) -> None:
    """Write a scene's rasters, thumbnail and metadata into its folder."""
    from PIL import Image

    from wrenlite.gallery.ndvi.cog import write_cog

    product = description.product
    for name, values in generated.rasters.items():
        write_cog(
            folder / product.file(f"{name}.TIF"),
            values,
            generated.grid,
            nodata=1 if name == "QA_PIXEL" else FILL,
            tags={"TIFFTAG_IMAGEDESCRIPTION": NOTICE},
            overviews="nearest",  # averages have more distinct numbers: half as large again
        )
    jpeg = io.BytesIO()
    thumbnail = Image.fromarray(generated.picture)
    thumbnail.thumbnail((192, 192))
    thumbnail.save(jpeg, "JPEG", quality=75, comment=NOTICE)
    (folder / product.file("thumb_small.jpeg")).write_bytes(jpeg.getvalue())
    (folder / product.file("MTL.json")).write_text(json.dumps(description.mtl()))
    (folder / product.file("MTL.txt")).write_text(description.mtl_text())
    (folder / product.file("SR_stac.json")).write_text(json.dumps(description.item("./")))


@dataclass(frozen=True)
class _Generated:
    """A scene before it is written."""

    rasters: dict[str, DigitalNumbers]
    """Digital numbers, by the names that the files have."""
    grid: Grid
    cloud: float
    """Percent of the scene under cloud."""
    picture: NDArray[np.uint8]
    """Picture in true colours, thinned to about 512 pixels."""


@lru_cache(maxsize=1)
def _landscape(name: str, side: int) -> Landscape:
    return generate_landscape(PLACES[name].style, side, PLACES[name].seed)


def _cloud_share(satellite_pass: Pass) -> float:
    """Return the share of cloud of a day, drawn at random about its month's mean."""
    mean = PLACES[satellite_pass.place].cloud_shares[satellite_pass.day.month - 1]
    return float(_random(satellite_pass, 0).beta(1.6 * mean, 1.6 * (1 - mean)))


def _random(satellite_pass: Pass, purpose: int) -> Generator:
    """Return the source of random numbers of a pass for one purpose; it is the same in every run."""
    return np.random.default_rng((PLACES[satellite_pass.place].seed, satellite_pass.day.toordinal(), purpose))


def _generate(satellite_pass: Pass) -> _Generated:
    """Generate the scene of a pass."""
    place, side, rng = PLACES[satellite_pass.place], satellite_pass.side, _random(satellite_pass, 1)
    full_side = side + 2 * _MAX_SHIFT
    west, north = place.corner(full_side)
    column, row = rng.integers(0, 2 * _MAX_SHIFT + 1, 2)
    window = Window(column=int(column), row=int(row), width=side, height=side)
    full_grid = Grid(
        epsg=32600 + place.zone,
        west=west,
        north=north,
        pixel=(30.0, 30.0),
        width=full_side,
        height=full_side,
    )
    landscape = _landscape(satellite_pass.place, full_side)
    cut = (slice(window.row, window.row + side), slice(window.column, window.column + side))
    ndvi = _true_ndvi(place, landscape, (satellite_pass.day - START).days)[cut]
    ground = _reflectances(ndvi, landscape.hillshade[cut], landscape.soil_brightness[cut])
    sky = clouds.generate_sky(ndvi.shape, _cloud_share(satellite_pass), rng)
    fill = ~clouds.footprint(ndvi.shape, rng)
    water = landscape.cover[cut] == Cover.WATER
    quality = clouds.qa_pixel(sky, water, fill)
    red, nir, saturation = _digital_numbers(clouds.through_sky(ground, sky), fill, satellite_pass.step, rng)
    thin = (..., *(slice(None, None, max(1, side // 512)),) * 2)  # the thumbnail needs few pixels
    picture = clouds.true_colour(ground[thin], ndvi[thin], water[thin], place.style.soil, sky.part(thin))
    picture[fill[thin]] = 0
    return _Generated(
        rasters={"SR_B4": red, "SR_B5": nir, "QA_PIXEL": quality, "QA_RADSAT": saturation},
        grid=full_grid.part(window),
        cloud=clouds.cloud_percent(quality, fill),
        picture=picture,
    )


def _true_ndvi(place: Place, landscape: Landscape, day: int) -> Map:
    """Return the true NDVI of a whole landscape on a day, counted from the start of 2021."""
    ndvi = np.empty(landscape.cover.shape, np.float32)
    for cover, season in place.seasons.items():
        pixels = landscape.cover == cover
        ndvi[pixels] = season.at(day, landscape.delay_days[pixels]) + landscape.vigour[pixels]
    return np.clip(ndvi, -0.6, 0.93)


def _reflectances(ndvi: Map, hillshade: Map, soil_brightness: Map) -> Map:
    """Return reflectances of red and near infrared with exactly that NDVI, of shape (2, height, width)."""
    leaves = np.clip((ndvi - 0.05) / 0.8, 0, 1)
    nir = 0.27 * soil_brightness * (1 - leaves) + 0.4 * leaves
    nir = np.where(ndvi < 0, 0.03, nir * hillshade)
    return np.stack([nir * (1 - ndvi) / (1 + ndvi), nir]).astype(np.float32)


def _digital_numbers(
    bands: Map, fill: Mask, step: int, rng: Generator
) -> tuple[DigitalNumbers, DigitalNumbers, DigitalNumbers]:
    """Return red and near infrared as the product stores them, with the sensor's noise, and QA_RADSAT."""
    bands = bands + np.float32(_NOISE) * rng.standard_normal(bands.shape, np.float32)
    numbers = np.rint((bands + 0.2) / (2.75e-5 * step)) * step
    saturated = bands > 0.78
    numbers = np.where(saturated, 65_535, np.clip(numbers, 1, 65_535)).astype(np.uint16)
    numbers[:, fill] = FILL
    bits = (saturated[0] * 0b1000 + saturated[1] * 0b10000).astype(np.uint16)
    bits[fill] = 0
    return numbers[0], numbers[1], bits
