"""The parts of ``wrenlite demo ndvi`` for areas: their statistics and seasons, and composites of a box."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.gallery.landsat.areas import gather, map_areas
from wrenlite.gallery.landsat.composites import CompositeJob, Composites, Recipe, start
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.landsat.tasks import grid_of
from wrenlite.gallery.ndvi import figures
from wrenlite.gallery.ndvi.figures import Season
from wrenlite.gallery.ndvi.grid import Box
from wrenlite.gallery.ndvi.indices import Index
from wrenlite.gallery.ndvi.masks import Masking
from wrenlite.gallery.ndvi.polygons import Area, Noted
from wrenlite.gallery.ndvi.projection import wrap_longitude
from wrenlite.gallery.ndvi.series import smooth
from wrenlite.gallery.ndvi.target import declare_grid
from wrenlite.gallery.ndvi.zonal import AreaStats, area_table, check_table_path, write_table
from wrenlite.gallery.ndvi_survey import Spot, errors_of, save_figure, scene_notes, titled
from wrenlite.gallery.preflight import check_file
from wrenlite.job import Job
from wrenlite.texts import counted

MOST_DRAWN = 6
"""Most areas whose seasons one figure shows."""
_MOST_MAPS = 12
_MASKING = Masking()
_HALF_SIDE = 0.045
"""Half of the side of the box round a place of which composites are made, in degrees of latitude: 5 km."""


@dataclass(frozen=True)
class AreaSurvey:
    """The result of surveying areas."""

    stats: list[AreaStats]
    """Statistics of each area in each scene that shows it, in the order of the areas, and by date."""
    files: list[Path]
    notes: list[str]
    """What was left out, and why; one line each."""
    jobs: list[Job[Any]]
    synthetic: bool


def check_table(table: Path) -> None:
    """Check that a table of areas can be written, before anything is computed.

    Raises:
        ConfigError: its name says no known format.
        StoreError: its folder does not exist or cannot be written to.
        PackageMissing: it needs geopandas, which is not installed.
    """
    check_table_path(table)
    check_file(table)


def spot_of(areas: Sequence[Area], name: str) -> Spot:
    """Return the middle of areas, with the box of all of them, which is that of the scenes to find.

    Args:
        areas: the areas.
        name: name of the file that they come from.
    """
    box = Area("all", tuple(polygon for area in areas for polygon in area.polygons)).bounds
    lon = wrap_longitude(box.west + (box.east - box.west) % 360 / 2)
    return Spot(name=f"the areas of {name}", lon=float(lon), lat=(box.south + box.north) / 2, box=box)


def survey(
    executor: Executor,
    areas: Noted[Area],
    scenes: Sequence[Scene],
    table: Path,
    index: Index,
    masking: Masking = _MASKING,
) -> AreaSurvey:
    """Compute statistics of areas in all scenes, write their table, and draw their seasons.

    Scenes that cannot be read are left out, and so are the seasons of areas that too few scenes show; the
    result's ``notes`` say so.

    Args:
        executor: the executor to run on.
        areas: the areas.
        scenes: scenes of one level.
        table: file for the table, as ``zonal.write_table`` takes it. The figure is written beside it.
        index: the index.
        masking: which pixels are masked.

    Raises:
        StoreError: a file cannot be written.
        ConfigError: no scene shows any of the areas, or the scenes are of both levels.
        WrenliteError: no scene can be read; this is the error of the first.
    """
    job = map_areas(executor, scenes, areas, index=index, masking=masking)
    errors = errors_of(job)
    stats = gather(areas, [future.result() for number, future in enumerate(job) if number not in errors])
    notes = [*areas.notes, *sorted({f"left out: {error}" for error in errors.values()})]
    notes += [*scene_notes(scenes), *stats.notes]
    write_table(area_table(stats), table, areas)
    files = [table]
    figure, more = _seasons(stats, index)
    if figure is not None:
        files.append(save_figure(figure, table.with_name(f"{index.name.lower()}-areas.png")))
    synthetic = any(each.synthetic for each in stats)
    return AreaSurvey(stats=stats, files=files, notes=notes + more, jobs=[job], synthetic=synthetic)


def _seasons(stats: Sequence[AreaStats], index: Index) -> tuple[Any, list[str]]:
    """Return the figure of the areas' seasons, or None where there is none, and notes on what it lacks."""
    seasons, notes = {}, []
    groups = [list(group) for _, group in groupby(stats, key=lambda each: each.area)]
    for group in groups[:MOST_DRAWN]:
        points = [each.point() for each in group]
        try:
            seasons[group[0].area] = Season(points, smooth(points))
        except ConfigError as error:  # too few days: the table is written all the same
            notes.append(f"no season of {group[0].area}: {error}")
    if len(groups) > MOST_DRAWN:
        notes.append(f"the figure shows the first {MOST_DRAWN} of {len(groups)} areas; the table has all")
    if not seasons:
        return None, notes
    title = titled(f"Mean {index.name} of areas", any(each.synthetic for each in stats))
    return figures.seasons(seasons, title), notes


def listing(stats: Sequence[AreaStats], most: int, left_out: Mapping[str, int] | None = None) -> str:
    """Return a table of text with one line for each area and scene.

    Args:
        stats: the statistics.
        most: the most lines. A line tells how many more there are.
        left_out: what the catalogue left out, see ``Scenes.kinds_left_out``; one line per reason.
    """
    lines = ["date        mean    median  usable  cloud  area"]
    for each in stats[:most]:
        cloud = "?" if each.cloud is None else f"{each.cloud:.0f}%"
        mean, median = (f"{value:.3f}" if value == value else "-" for value in (each.mean, each.median))
        lines.append(f"{each.date}  {mean:>6}  {median:>6}  {each.usable:>6.0%}  {cloud:>5}  {each.area}")
    if len(stats) > most:
        lines.append(f"and {counted(len(stats) - most, 'more line')}: --rows {len(stats)} lists all")
    lines += [f"{count:>10}  left out: {reason}" for reason, count in (left_out or {}).items()]
    return "\n".join(lines)


def as_data(stats: AreaStats) -> dict[str, Any]:
    """Return statistics for a JSON report, with null for what is not known."""
    table = area_table([stats]).iloc[0]
    return {
        name: None if value != value else value.item() if hasattr(value, "item") else value
        for name, value in {**table, "date": stats.date.isoformat()}.items()
    }


def start_composites(
    executor: Executor,
    scenes: Sequence[Scene],
    spot: Spot,
    period: str,
    method: str,
    *,
    index: Index,
    masking: Masking = _MASKING,
) -> CompositeJob:
    """Start making composites of a spot's box, or of 10 km round it, on the pixels of the scenes.

    Args:
        executor: the executor to run on.
        scenes: scenes of one level.
        spot: the spot.
        period: ``month``, ``season``, ``year`` or ``all``.
        method: ``median`` or ``best``.
        index: the index.
        masking: which pixels are masked.

    Raises:
        ConfigError: the scenes are of both levels, or the box is too large.
    """
    grid = declare_grid(spot.box or _box_round(spot), like=grid_of(scenes[0]))
    kind = None if period == "all" else period
    return start(executor, scenes, Recipe(grid, kind, method, index, masking))


def write_composites(made: Composites, spot: Spot, out: Path) -> list[Path]:
    """Write the files of composites, and a picture of the first twelve of them; return the files.

    Args:
        made: the composites.
        spot: the spot, which the picture's title names.
        out: folder for the files.

    Raises:
        StoreError: the folder cannot be written to.
    """
    provenance = made.provenance
    labels = [period.label for period in made.periods[:_MOST_MAPS]]
    text = f"{provenance.index} of {spot.name}, {made.method}"
    if len(made.periods) > _MOST_MAPS:
        text += f", the first {_MOST_MAPS} of {len(made.periods)}"
    figure = figures.ndvi_maps(
        dict(zip(labels, made.values, strict=False)),
        made.grid,
        titled(text, provenance.synthetic),
        columns=min(len(labels), 4),
        index=provenance.index,
        level=min(provenance.levels),
    )
    picture = out / f"{provenance.index.lower()}-composites-{made.method}.png"
    return [*made.write(out), save_figure(figure, picture)]


def _box_round(spot: Spot) -> Box:
    """Return a box whose middle is a spot, about 10 km wide and high."""
    south, north = max(spot.lat - _HALF_SIDE, -90.0), min(spot.lat + _HALF_SIDE, 90.0)
    across = min(_HALF_SIDE / max(math.cos(math.radians(spot.lat)), 1e-6), 90.0)
    west, east = wrap_longitude([spot.lon - across, spot.lon + across])
    return Box(west=float(west), south=south, east=float(east), north=north)
