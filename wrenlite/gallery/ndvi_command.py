"""``wrenlite demo ndvi``: the season and the map of a place, statistics of areas, and composites."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wrenlite import Executor
from wrenlite.display.console import json_option
from wrenlite.gallery.options import (
    executor_options,
    folder_option,
    open_executor,
    print_jobs,
    refuse_unused,
    text_printer,
)
from wrenlite.gallery.preflight import check_folder

if TYPE_CHECKING:
    from wrenlite.gallery.area_survey import AreaSurvey
    from wrenlite.gallery.landsat.query import Scenes
    from wrenlite.gallery.ndvi.indices import Index
    from wrenlite.gallery.ndvi.masks import Masking
    from wrenlite.gallery.ndvi.polygons import Area, Noted
    from wrenlite.gallery.ndvi.results import PointNdvi
    from wrenlite.gallery.ndvi_survey import Spot, Survey

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command(
    short_help="Compute NDVI of a place, and draw its map.",
    epilog="Example: wrenlite demo ndvi --place napa --out pictures",
)
@click.option("--place", default="napa", show_default=True, help="A place of the archive, or LON,LAT.")
@click.option(
    "--area",
    "area_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="GeoJSON file of areas, whose statistics are computed in place of those of --place.",
)
@click.option(
    "--name",
    metavar="PROPERTY",
    help="Property of the areas that names them.  [default: name, title, label or id]",
)
@click.option(
    "--table",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Table of the areas: .csv, or .parquet for GeoParquet.  [default: INDEX-areas.csv in --out]",
)
@click.option(
    "--composite",
    type=click.Choice(["median", "best"]),
    help="Also make composites of the areas, or of 10 km round the place, as GeoTIFF.",
)
@click.option(
    "--period",
    type=click.Choice(["month", "season", "year", "all"]),
    default="month",
    show_default=True,
    help="Time of each composite.",
)
@click.option(
    "--source",
    default="synthetic",
    show_default=True,
    help="Where the scenes are: synthetic; usgs, landsatlook, planetary-computer or the address of another"
    " STAC service; a folder of downloads or of STAC items; or s3://BUCKET/PREFIX with items.json.",
)
@click.option("--collection", help="Collection of a STAC service.  [default: the usual name for the level]")
@click.option("--start", type=_DAY, help="First day.  [default: no limit]")
@click.option("--end", type=_DAY, help="Last day.  [default: no limit]")
@click.option(
    "--cloud",
    type=click.FloatRange(0, 100),
    default=100,
    show_default=True,
    help="Leave out scenes with more cloud, in percent. Scenes whose cloud is not known are kept.",
)
@click.option(
    "--level",
    "levels",
    type=click.Choice(["1", "2"]),
    multiple=True,
    default=["2"],
    show_default=True,
    callback=lambda context, option, given: tuple(map(int, given)),
    help="1: reflectance at the top of the atmosphere; 2: of the surface. May be given twice, for a table.",
)
@click.option(
    "--tier",
    "tiers",
    type=click.Choice(["T1", "T2", "RT"]),
    multiple=True,
    default=["T1"],
    show_default=True,
    help="Tier of the scenes; may be given several times.",
)
@click.option(
    "--sensor",
    "sensors",
    type=click.Choice(["OLI", "ETM+", "TM"]),
    multiple=True,
    callback=lambda context, option, given: given or None,
    help="OLI is on Landsat 8 and 9, ETM+ on 7, TM on 4 and 5; may be given several times.  [default: all]",
)
@click.option(
    "--index", default="NDVI", show_default=True, help="Such as EVI; an unknown name lists all indices."
)
@click.option(
    "--floor",
    type=float,
    default=0.05,
    show_default=True,
    help="Least sum of two surface reflectances; darker pixels are masked, since their index is noise.",
)
@click.option(
    "--keep",
    type=click.Choice(["cloud", "shadow", "snow", "saturated"]),
    multiple=True,
    help="Do not mask these pixels; may be given several times.  [default: all are masked]",
)
@click.option(
    "--rows",
    type=click.IntRange(min=0),
    default=12,
    show_default=True,
    help="Most scenes in the printed table.",
)
@folder_option
@executor_options
@json_option
def ndvi(
    place: str,
    area_file: Path | None,
    name: str | None,
    table: Path | None,
    composite: str | None,
    period: str,
    source: str,
    index: str,
    floor: float,
    keep: tuple[str, ...],
    rows: int,
    out: Path,
    workers: int | None,
    aws: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Compute NDVI or another index of a place in all its Landsat scenes, and draw a map of the clearest.

    With --area, compute statistics of areas in all their scenes, and draw their seasons.
    """
    _refuse_unused(area_file, composite, asked["levels"], as_json)
    with open_executor(workers, aws, "landsat") as executor:
        from wrenlite.gallery import area_survey, ndvi_survey
        from wrenlite.gallery.ndvi.indices import find_index
        from wrenlite.gallery.ndvi.masks import Masking

        wanted = find_index(index)  # what is not valid is refused before anything is searched
        _refuse_unused_floor(wanted, asked["levels"])
        masking = Masking(keep=keep, floor=floor)
        table = table or out / f"{wanted.name.lower()}-areas.csv"
        spot, areas = _spot_and_areas(place, area_file, name)
        check_folder(out)
        if areas:
            area_survey.check_table(table)
        scenes = ndvi_survey.find(executor, source, spot, bands=wanted.bands, **asked)
        made = None
        if composite is not None:  # a box that is too large, or far from a scene, is refused before any task
            how: dict[str, Any] = {"index": wanted, "masking": masking}
            made = area_survey.start_composites(executor, scenes, spot, period, composite, **how)
        found: Survey | AreaSurvey
        if areas:
            found = area_survey.survey(executor, areas, scenes, table, wanted, masking)
        else:
            found = ndvi_survey.survey(executor, spot, scenes, out, wanted, masking)
        if made is not None:
            found.files.extend(area_survey.write_composites(made.result(), spot, out))
            found.jobs.extend(made.jobs)
        _print(executor, spot, (wanted, masking), scenes, found, rows, as_json)


def _spot_and_areas(place: str, area_file: Path | None, name: str | None) -> tuple[Spot, Noted[Area]]:
    """Return a place without areas, or the areas of a file with their middle. Raises ConfigError."""
    from wrenlite.gallery import area_survey, ndvi_survey
    from wrenlite.gallery.ndvi.polygons import Area, Noted, read_areas

    if area_file is None:
        return ndvi_survey.Spot.parse(place), Noted[Area]()
    areas = read_areas(area_file, name)
    return area_survey.spot_of(areas, area_file.name), areas


def _refuse_unused(
    area_file: Path | None, composite: str | None, levels: tuple[int, ...], as_json: bool
) -> None:
    """Refuse options that have no effect beside the others, or exclude them."""
    if len(set(levels)) > 1 and (area_file or composite):
        option = "--area" if area_file else "--composite"
        raise click.UsageError(
            f"{option} joins scenes of one level, whose values can be compared: give --level once"
        )
    if as_json:
        refuse_unused(("rows",), "with --json, which reports all scenes")
    if area_file is None:
        refuse_unused(("name", "table"), "without --area")
    else:
        refuse_unused(("place",), "with --area")
    if composite is None:
        refuse_unused(("period",), "without --composite")


def _refuse_unused_floor(index: Index, levels: tuple[int, ...]) -> None:
    """Refuse a floor where it has no effect; see ``masks.Masking``."""
    if not index.normalised:
        refuse_unused(("floor",), f"on {index.name}, which is no normalised difference of two bands")
    if 2 not in levels:
        refuse_unused(("floor",), "on level 1: it is one of reflectances of the surface")


def _print(
    executor: Executor,
    spot: Spot,
    how: tuple[Index, Masking],
    scenes: Scenes,
    found: Survey | AreaSurvey,
    rows: int,
    as_json: bool,
) -> None:
    """Print the report of a survey of a place or of areas."""
    from wrenlite.gallery import area_survey, ndvi_survey

    print_text, (index, masking) = text_printer(as_json), how
    if found.synthetic:
        print_text(ndvi_survey.NOTICE)
    if isinstance(found, area_survey.AreaSurvey):
        print_text(area_survey.listing(found.stats, rows, scenes.kinds_left_out))
        floors = [stats.masking.floor for stats in found.stats]
        results = {"areas": [area_survey.as_data(stats) for stats in found.stats]}
    else:
        print_text(ndvi_survey.listing(found.points, rows, scenes.kinds_left_out))
        floors = [point.masking.floor for point in found.points]
        results = {"scenes": [_scene_data(point) for point in found.points]}
    for note in found.notes:
        click.echo(note, err=True)
    files = [str(file) for file in found.files]
    print_text("\n".join(files))
    data = {
        "place": spot.name,
        "lon": spot.lon,
        "lat": spot.lat,
        "synthetic": found.synthetic,
        "index": index.name,
        "floor": max(floors, default=0.0),  # 0 where none applies, as to SAVI or to level 1
        "kept": sorted(masking.keep),
        **results,
        "left_out": scenes.left_out,
        "notes": found.notes,
        "files": files,
    }
    print_jobs(executor, *found.jobs, data=data, as_json=as_json)


def _scene_data(point: PointNdvi) -> dict[str, Any]:
    """Return an index of one scene for the JSON report: null where the place is hidden."""
    return {
        "product": point.product,
        "date": point.date.isoformat(),
        point.index.lower(): None if math.isnan(point.value) else float(point.value),
        "hidden": point.hidden,
        "cloud_percent": point.cloud,
        "satellite": point.satellite,
        "sensor": point.sensor,
        "level": point.level,
        "tier": point.tier,
    }
