"""The survey of ``wrenlite demo ndvi``: a place's season from all its scenes, and a map of the clearest."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from wrenlite.display.notebook_figure import NotebookFigure
from wrenlite.errors import ConfigError, StoreError
from wrenlite.executor import Executor
from wrenlite.gallery.landsat import catalog
from wrenlite.gallery.landsat.query import LEVELS, SENSORS, TIERS, Query, Scenes
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.landsat.tasks import grid_of, ndvi_point, ndvi_tile
from wrenlite.gallery.ndvi import figures
from wrenlite.gallery.ndvi.grid import TILE, Box, windows
from wrenlite.gallery.ndvi.indices import Index, find_index
from wrenlite.gallery.ndvi.masks import Hidden, Masking
from wrenlite.gallery.ndvi.mosaic import Mosaic, mosaic
from wrenlite.gallery.ndvi.results import PointNdvi, TileNdvi, cloud_or_worst
from wrenlite.gallery.ndvi.series import smooth
from wrenlite.gallery.synthetic import archive
from wrenlite.gallery.synthetic.archive import NOTICE as NOTICE
from wrenlite.gallery.synthetic.places import PLACES
from wrenlite.job import Job
from wrenlite.storage.local import LocalStore
from wrenlite.texts import counted

_MASKING = Masking()
SYNTHETIC = "synthetic"
SERVICES = {
    "usgs": catalog.EARTH_SEARCH,
    "landsatlook": catalog.LANDSATLOOK,
    "planetary-computer": catalog.PLANETARY_COMPUTER,
}
"""Names of sources of scenes; other sources are given by folder or address."""


@dataclass(frozen=True)
class Spot:
    """A point on Earth with a name."""

    name: str
    lon: float
    lat: float
    truth: Callable[[date], float] | None = None
    """NDVI of the point in the synthetic archive on a day; None where it is not known."""
    box: Box | None = None
    """A box round it, which the scenes must touch; None: they must cover the point."""

    @classmethod
    def parse(cls, text: str) -> Spot:
        """Return the spot that a text names.

        Args:
            text: name of a place of the synthetic archive, or ``LON,LAT`` in degrees.

        Raises:
            ConfigError: the text is neither.
        """
        if "," not in text:
            place = archive.find_place(text)
            return cls(name=place.title, lon=place.lon, lat=place.lat, truth=place.truth)
        try:
            lon, lat = map(float, text.split(","))
        except ValueError:
            raise ConfigError(f"{text!r} is not a place: give a name, or LON,LAT in degrees") from None
        return cls(name=f"{lon:g}, {lat:g}", lon=lon, lat=lat)


@dataclass(frozen=True)
class Survey:
    """The result of surveying a spot."""

    spot: Spot
    points: list[PointNdvi]
    """The index in each scene that could be read, by date."""
    clearest: Scene
    """The scene of the map."""
    map: Mosaic
    files: list[Path]
    """Files that were written."""
    notes: list[str]
    """What was left out, and why; one line each."""
    jobs: list[Job[Any]]
    """The job of the points, and the job of the map's tiles."""
    synthetic: bool
    """True where scenes of the synthetic archive are among them."""


def find(
    executor: Executor, source: str, spot: Spot, *, collection: str | None = None, **asked: Any
) -> Scenes:
    """Return the scenes of a spot, oldest first.

    Args:
        executor: the executor whose workers will read the scenes. It also generates the synthetic archive
            where that does not exist.
        source: ``synthetic``; the name of a service in ``SERVICES`` (``usgs`` is the public archive, which is
            searched through earth-search) or the address of another STAC service; or a folder or
            ``s3://bucket/prefix``, see ``catalog.stored``.
        spot: the point that the scenes must cover.
        collection: a service's name for its collection; default: the names that are known.
        asked: what else is asked, as in ``Query``: start, end, cloud, levels, tiers, sensors and bands.

    Raises:
        ConfigError: there are no such scenes, or the workers could not read them.
        NotFound: there is no such archive.
    """
    query = Query(place=spot.box or (spot.lon, spot.lat), **asked)
    if source in SERVICES or source.lower().startswith(("https://", "http://")):
        scenes = catalog.search(query, url=_service(source, query), collection=collection)
    else:
        _check_name(source)
        if collection is not None:
            raise ConfigError(f"{source} is no STAC service, so --collection has no effect: leave it out")
        _check_reach(executor, source)
        root = str(make_archive(executor)) if source == SYNTHETIC else source
        scenes = catalog.stored(root, query=query)
    if not scenes:
        left_out = scenes.left_out_text() or "nothing is known there"
        raise ConfigError(
            f"{source} has no scene of {spot.name} {query.time}: {left_out}."
            f" {_advice(source, query, scenes.left_out)}"
            f"{'. Areas have the longitude first' if spot.box else ''}"
        )
    return scenes


def _advice(source: str, query: Query, left_out: Mapping[str, int]) -> str:
    """Return what to do where no scene is left."""
    remedies = {
        "another time": "another time (--start, --end)",
        "too much cloud": "a greater --cloud",
        **dict.fromkeys((f"level {level}" for level in LEVELS), "another --level"),
        **dict.fromkeys((f"{name} ({tier})" for tier, name in TIERS.items()), "another --tier"),
        **dict.fromkeys((f"sensor {sensor}" for sensor in SENSORS), "another --sensor"),
        **dict.fromkeys((f"no {band} band" for band in query.bands), "another --index"),
    }
    found = dict.fromkeys(remedy for reason, remedy in remedies.items() if reason in left_out)
    if source == SYNTHETIC:
        days = sorted(each.day for each in archive.passes())
        known = f"; the synthetic archive has {', '.join(PLACES)} from {days[0]} to {days[-1]}"
    else:
        known = ""
    return f"Choose {' or '.join(found) or 'another place or source'}{known}"


def _check_name(source: str) -> None:
    """Check that a source without any slash is one that exists.

    Raises:
        ConfigError: it is neither a name that is known nor a folder.
    """
    if source != SYNTHETIC and "/" not in source and not os.path.exists(os.path.expanduser(source)):
        raise ConfigError(
            f"there is no source {source!r}: take {SYNTHETIC}, {', '.join(SERVICES)}, the address of another"
            " STAC service, a folder that exists, or s3://BUCKET/PREFIX"
        )


def _service(source: str, query: Query) -> str:
    """Return the address of a service. Of the public archive, only one service has level 1."""
    return catalog.LANDSATLOOK if source == "usgs" and 1 in query.levels else SERVICES.get(source, source)


def map_tiles(
    executor: Executor,
    scene: Scene,
    side: int = TILE,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
) -> Job[TileNdvi]:
    """Start computing an index of a whole scene, with one task per window; ``mosaic`` joins the results.

    Args:
        executor: the executor to run on.
        scene: the scene to read.
        side: width and height of a window in pixels.
        index: the index, or its name.
        masking: which pixels are masked.
    """
    task = partial(ndvi_tile, scene, index=index, masking=masking)
    return executor.map(task, windows(grid_of(scene), side), chunksize=1)


def survey(
    executor: Executor,
    spot: Spot,
    scenes: Sequence[Scene],
    out: Path,
    index: str | Index = "NDVI",
    masking: Masking = _MASKING,
) -> Survey:
    """Compute an index of a spot in all scenes, and draw its season and a map of the clearest scene.

    Scenes that cannot be read are left out, and so is the season where too few scenes show the spot; the
    result's ``notes`` say so.

    Args:
        executor: the executor to run on.
        spot: the point to survey.
        scenes: all scenes of the spot.
        out: folder for the files.
        index: the index, or its name.
        masking: which pixels are masked.

    Raises:
        StoreError: the folder cannot be written to, or no scene can be read.
        ConfigError: there is no such index.
    """
    index = find_index(index)
    prefix = index.name.lower()
    options = {"index": index, "masking": masking}
    points_job = executor.map(ndvi_point, scenes, args=(spot.lon, spot.lat), kwargs=options)
    points, notes = _readable_points(scenes, points_job)
    notes += scene_notes(scenes)
    files = []
    try:
        files.append(save_figure(_season(spot, points), out / f"{prefix}-season.png"))
    except ConfigError as error:  # too few days: the table and the map are made all the same
        notes.append(f"no season: {error}")
    clearest = _clearest(scenes, {point.product for point in points})
    tiles_job = map_tiles(executor, clearest, index=index, masking=masking)
    picture = mosaic(tiles_job.results())
    files += _write_map(spot, picture, tiles_job.results(), out / f"{prefix}-map.tif")
    return Survey(
        spot=spot,
        points=points,
        clearest=clearest,
        map=picture,
        files=files,
        notes=notes,
        jobs=[points_job, tiles_job],
        synthetic=any(scene.product.synthetic for scene in scenes),
    )


def _clearest(scenes: Sequence[Scene], products: Collection[str]) -> Scene:
    """Return the scene with the least cloud among those with some product ids."""
    chosen = (scene for scene in scenes if scene.product.id in products)
    return min(chosen, key=lambda scene: cloud_or_worst(scene.cloud))


def _season(spot: Spot, points: Sequence[PointNdvi]) -> NotebookFigure:
    """Return the figure of a spot's season, with the truth where it is known.

    Raises:
        ConfigError: the points are of both levels, or too few.
    """
    if len({point.level for point in points}) > 1:
        raise ConfigError("scenes of levels 1 and 2 are not joined in one curve: give --level once")
    curve = smooth(points)
    synthetic = any(point.synthetic for point in points)
    known = synthetic and points[0].index == "NDVI"
    title = titled(f"{points[0].index} of {spot.name}", synthetic)
    return figures.season(points, curve, title, spot.truth if known else None)


def _write_map(spot: Spot, picture: Mosaic, tiles: Sequence[TileNdvi], path: Path) -> list[Path]:
    """Write a map as a figure and as a GeoTIFF with the given path; return both files."""
    figure = save_figure(_map(spot, picture, tiles), path.with_suffix(".png"))
    picture.write(path)
    return [figure, path]


def _map(spot: Spot, picture: Mosaic, tiles: Sequence[TileNdvi]) -> NotebookFigure:
    """Return the figure of a map, which tells the hidden shares of its tiles by reason."""
    first = tiles[0]
    title = titled(f"{first.index} of {spot.name}, {first.date:%d %B %Y}", first.synthetic)
    hidden = Hidden.joined((tile.hidden, tile.values.size) for tile in tiles)
    return figures.ndvi_map(
        picture.values,
        picture.grid,
        title,
        index=first.index,
        level=first.level,
        hidden=hidden,
        unseen=first.unseen,
    )


def titled(text: str, synthetic: bool) -> str:
    """Return the title of a figure, which says whether its scenes are synthetic."""
    return f"{text} · SYNTHETIC, not observed" if synthetic else text


def _readable_points(scenes: Sequence[Scene], job: Job[Any]) -> tuple[list[PointNdvi], list[str]]:
    """Return the points of the scenes that could be read, by date, and a note for each of the others.

    Raises:
        StoreError: none can be read.
    """
    errors = errors_of(job)
    points = [future.result() for number, future in enumerate(job) if number not in errors]
    notes = [f"left out {scenes[number].product.id}: {error}" for number, error in sorted(errors.items())]
    return sorted(points, key=lambda point: point.date), notes


def errors_of(job: Job[Any]) -> dict[int, BaseException]:
    """Wait for tasks that read scenes, and return the errors of those that failed, by number.

    Raises:
        StoreError: all tasks failed; the message has the first error.
    """
    job.wait()
    errors = job.errors()
    if errors and len(errors) == len(job):
        first = errors[min(errors)]
        failed = "the only task" if len(job) == 1 else f"all {len(job)} tasks"
        raise StoreError(f"no scene can be read: {failed} failed, the first with: {first}") from first
    return errors


def scene_notes(scenes: Sequence[Scene]) -> list[str]:
    """Return what the files of scenes lack, and how many scenes lack it; one line each."""
    counts = {
        "no QA_PIXEL: clouds, shadows and snow are not masked": [each.qa_pixel is None for each in scenes],
        "no QA_RADSAT: saturated pixels are not masked": [each.qa_radsat is None for each in scenes],
        "some bands are not in the folder and are read from their address": [
            len({"://" in href for href in each.bands.values()}) > 1 for each in scenes
        ],
    }
    return [f"{text} in {counted(sum(has), 'scene')}" for text, has in counts.items() if any(has)]


def save_figure(figure: NotebookFigure, path: Path) -> Path:
    """Write a figure's file, which appears complete or not at all, and return its path.

    Raises:
        StoreError: the file cannot be written.
    """
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=150)
    LocalStore(path.parent).put(path.name, png.getvalue())
    return path


def make_archive(executor: Executor) -> Path:
    """Return the synthetic archive in the user's cache folder; the workers generate it if it is missing."""

    def write_scene(pair: tuple[str, archive.Pass]) -> dict[str, Any]:
        return archive.write_scene(*pair)

    return archive.ensure_archive(run=lambda pairs: executor.map(write_scene, pairs).results())


def _check_reach(executor: Executor, source: str) -> None:
    """Check that the workers can read the scenes of a source.

    Raises:
        ConfigError: the scenes are on this machine, and the workers are not.
    """
    if executor.backend.prices and not source.startswith("s3://"):
        raise ConfigError(
            f"the scenes of {source} are on this machine, and {executor.backend.name} cannot read them: copy"
            " them to a bucket that the function may read (wrenlite-setup --read BUCKET) and give its address"
            " as the source, or take the source usgs"
        )


def listing(points: Sequence[PointNdvi], most: int, left_out: Mapping[str, int] | None = None) -> str:
    """Return a table of text with one line per scene.

    Its columns are the date, the index or why the place is hidden, the scene's cloud, and its product.

    Args:
        points: the index in each scene.
        most: the most scenes that are listed. A line tells how many more there are.
        left_out: what the catalogue left out, see ``Scenes.kinds_left_out``; one line per reason.
    """
    index = points[0].index if points else "NDVI"
    lines = [f"date        {index:<12}  cloud  level  sensor  tier  product"]
    for point in points[:most]:
        value = f"{point.value:.3f}" if point.hidden is None else point.hidden
        cloud = "?" if point.cloud is None else f"{point.cloud:.0f}%"
        lines.append(
            f"{point.date}  {value:<12}  {cloud:>5}  {point.level:>5}  {point.sensor:<6}  {point.tier:<4}"
            f"  {point.product}"
        )
    if len(points) > most:
        lines.append(f"and {counted(len(points) - most, 'more scene')}: --rows {len(points)} lists all")
    lines += [f"{count:>10}  left out: {reason}" for reason, count in (left_out or {}).items()]
    return "\n".join(lines)
