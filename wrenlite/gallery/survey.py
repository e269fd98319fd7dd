"""``wrenlite demo ndvi``: a place's season from all its scenes, and a map of the clearest."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wrenlite.display.figure import NotebookFigure
from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.gallery.landsat import catalog
from wrenlite.gallery.landsat.catalog import Query
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.landsat.tasks import (
    grid_of,
    ndvi_point,
    ndvi_tile,
)
from wrenlite.gallery.ndvi import figures
from wrenlite.gallery.ndvi.grid import TILE, windows
from wrenlite.gallery.ndvi.mosaic import Mosaic, mosaic
from wrenlite.gallery.ndvi.results import PointNdvi
from wrenlite.gallery.ndvi.series import smooth
from wrenlite.gallery.synthetic import archive
from wrenlite.gallery.synthetic.archive import NOTICE as NOTICE
from wrenlite.job import Job
from wrenlite.storage.local import LocalStore

SYNTHETIC, USGS = "synthetic", "usgs"
"""Sources beside folders and addresses."""
FIRST, LAST = date(2021, 1, 1), date(2023, 12, 31)
"""The years of the synthetic archive."""


@dataclass(frozen=True)
class Spot:
    """A point on Earth with a name."""

    name: str
    lon: float
    lat: float
    truth: Callable[[date], float] | None = None
    """NDVI there in the synthetic archive; None where nobody knows."""

    @classmethod
    def parse(cls, text: str) -> Spot:
        """A place of the archive by its name, or ``LON,LAT`` in degrees. Raises ConfigError."""
        if "," not in text:
            place = archive.place(text)
            return cls(place.title, place.lon, place.lat, place.truth)
        try:
            lon, lat = map(float, text.split(","))
        except ValueError:
            raise ConfigError(f"{text!r} is no place: give a name, or LON,LAT in degrees") from None
        return cls(f"{lon:g}, {lat:g}", lon, lat)


@dataclass(frozen=True)
class Survey:
    """What was found of a place."""

    spot: Spot
    points: list[PointNdvi]
    """Of each scene that could be read, by date."""
    clearest: Scene
    map: Mosaic
    files: list[Path]
    notes: list[str]
    """What was left out, and why."""
    jobs: list[Job]
    """The scenes' and the map's."""
    made_up: bool
    """Scenes of the synthetic archive are among them."""


def find(
    executor: Executor,
    source: str,
    spot: Spot,
    start: date = FIRST,
    end: date = LAST,
    cloud: float = 100.0,
) -> list[Scene]:
    """The scenes of a spot, oldest first.

    Args:
        executor: who is to read them, and makes the synthetic archive where there is none yet.
        source: ``synthetic``, ``usgs`` (the public archive, asked through earth-search), or a folder or
            ``s3://bucket/prefix`` with STAC items.
        spot: where.
        start: first day.
        end: last day.
        cloud: percent of a scene at most.

    Raises:
        ConfigError: there are none, or the workers could not read them.
        NotFound: no such archive.
    """
    query = Query((spot.lon, spot.lat), start, end, cloud)
    if source == USGS:
        scenes = catalog.search(query)
    else:
        _check_reach(executor, source)
        root = str(make_archive(executor)) if source == SYNTHETIC else source
        scenes = catalog.stored(root, query=query)
    if not scenes:
        raise ConfigError(
            f"{source} has no scene of {spot.name} from {start} to {end} with at most {cloud:g} % of cloud"
        )
    return scenes


def map_tiles(executor: Executor, scene: Scene, side: int = TILE) -> Job:
    """NDVI of a whole scene, a task for each window of so many pixels; ``mosaic`` joins their values."""
    return executor.map(partial(ndvi_tile, scene), windows(grid_of(scene), side), chunksize=1)


def survey(executor: Executor, spot: Spot, scenes: Sequence[Scene], out: Path) -> Survey:
    """NDVI of a spot in all its scenes, its season, and a map of the clearest scene.

    Scenes that cannot be read are left out, and the season where too few show the spot; ``notes`` say so.

    Args:
        executor: where to run.
        spot: where.
        scenes: all of them.
        out: a folder for the files.

    Raises:
        StoreError: the folder cannot be written to.
        What reading raises, where no scene can be read.
    """
    made_up = any(scene.product.synthetic for scene in scenes)
    note = " · SYNTHETIC, not observed" if made_up else ""
    series = executor.map(ndvi_point, scenes, args=(spot.lon, spot.lat))
    points, notes = _readable(scenes, series)
    files = []
    try:
        season = figures.season(points, smooth(points), f"{spot.name}{note}", spot.truth if made_up else None)
        files.append(_save(season, out / "ndvi-season.png"))
    except ConfigError as error:  # too few days: the table and the map are there all the same
        notes.append(f"no season: {error}")
    read = {point.product for point in points}
    clearest = min((scene for scene in scenes if scene.product.id in read), key=_cloudiness)
    tiles = map_tiles(executor, clearest)
    laid = mosaic(tiles.results())
    title = f"{spot.name}, {clearest.date:%d %B %Y}{note}"
    files.append(_save(figures.ndvi_map(laid.values, laid.grid, title), out / "ndvi-map.png"))
    files.append(out / "ndvi-map.tif")
    laid.write(files[-1])
    return Survey(spot, points, clearest, laid, files, notes, [series, tiles], made_up)


def _readable(scenes: Sequence[Scene], series: Job) -> tuple[list[PointNdvi], list[str]]:
    """The points of those scenes that could be read, by date, and what was wrong with the others."""
    series.wait()
    failed = series.errors()
    if len(failed) == len(scenes):
        series.results()  # raises
    found = [future.result() for number, future in enumerate(series) if number not in failed]
    notes = [f"left out {scenes[number].product.id}: {error}" for number, error in sorted(failed.items())]
    return sorted(found, key=lambda point: point.date), notes


def _cloudiness(scene: Scene) -> float:
    """Percent; of what nobody knows, all."""
    return 100.0 if scene.cloud is None else scene.cloud


def _save(figure: NotebookFigure, path: Path) -> Path:
    """Write a figure, whole or not at all. Raises StoreError."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    LocalStore(path.parent).put(path.name, file.getvalue())
    return path


def make_archive(executor: Executor) -> Path:
    """The synthetic archive in the user's cache folder; made by the workers where there is none yet."""

    def write_scene(work: tuple[str, archive.Pass]) -> dict[str, Any]:
        return archive.write(*work)

    return archive.archive(run=lambda works: executor.map(write_scene, works).results())


def _check_reach(executor: Executor, source: str) -> None:
    """Refuse scenes on this machine for workers that are elsewhere. Raises ConfigError."""
    if executor.backend.prices and not source.startswith("s3://"):
        raise ConfigError(
            f"the scenes of {source} lie on this machine, and {executor.backend.name} cannot read them. Copy "
            "them into a bucket that the function may read (wrenlite-setup --read BUCKET), and name that; or "
            "take usgs"
        )


def listing(points: Sequence[PointNdvi]) -> str:
    """A line a scene: date, NDVI, the scene's cloud, and its product."""
    lines = ["date         NDVI  cloud  product"]
    for point in points:
        value = "hidden" if np.isnan(point.value) else f"{point.value:6.3f}"
        cloud = "    ?" if point.cloud is None else f"{point.cloud:4.0f}%"
        lines.append(f"{point.date}  {value}  {cloud}  {point.product}")
    return "\n".join(lines)
