"""``wrenlite demo ndvi`` for areas and composites, as a user runs it."""

import json
import re

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
from click.testing import CliRunner
from PIL import Image

from wrenlite.cli import main
from wrenlite.gallery.ndvi.masks import Masking

FIELD = [[[-122.365, 38.43], [-122.355, 38.43], [-122.352, 38.438], [-122.364, 38.437], [-122.365, 38.43]]]


@pytest.fixture
def areas(tmp_path):
    """A GeoJSON file with two areas of the archive, and one of nowhere."""
    shapes = {
        "vineyard": FIELD,
        "forest": [[[-122.39, 38.41], [-122.38, 38.41], [-122.38, 38.42], [-122.39, 38.41]]],
    }
    features = [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {"type": "Polygon", "coordinates": rings},
        }
        for name, rings in shapes.items()
    ]
    file = tmp_path / "fields.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return file


def demo(*arguments, ok=True):
    ended = CliRunner().invoke(main, ["demo", "ndvi", "--workers", "2", *map(str, arguments)])
    assert (ended.exit_code == 0) is ok, ended.output
    return ended.output


@pytest.mark.e2e
def test_areas_make_a_table_and_seasons(landsat_cache, areas, tmp_path):
    said = demo("--area", areas, "--out", tmp_path / "new", "--rows", 3)
    assert "SYNTHETIC" in said
    assert "\nand 121 more lines: --rows 124 lists all\n" in said
    table = pandas.read_csv(tmp_path / "new" / "ndvi-areas.csv", parse_dates=["date"])
    assert len(table) == 124
    assert table.groupby("name")["pixels"].nunique().tolist() == [1, 1]
    shown = table[table["usable"] > 0.5]
    assert shown["mean"].between(0.1, 0.8).all()
    assert (table["p5"].fillna(0) <= table["p95"].fillna(0)).all()
    with Image.open(tmp_path / "new" / "ndvi-areas.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 15


@pytest.mark.e2e
def test_geoparquet_and_composites_of_areas(landsat_cache, areas, tmp_path):
    asked = ("--start", "2022-06-01", "--end", "2022-08-31", "--composite", "median", "--period", "season")
    report = demo("--area", areas, "--table", tmp_path / "t.parquet", "--out", tmp_path, *asked, "--json")
    data = json.loads(report[report.index("{\n") :])
    assert {each["name"] for each in data["areas"]} == {"vineyard", "forest"}
    names = (
        "t.parquet",
        "ndvi-areas.png",
        *(f"ndvi-2022-3-JJA-median{end}.tif" for end in ("", "-used")),
        "ndvi-composites-median.png",
    )
    assert data["files"] == [str(tmp_path / name) for name in names]
    with Image.open(tmp_path / "ndvi-composites-median.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 15
    frame = geopandas.read_parquet(tmp_path / "t.parquet")
    assert len(frame) == len(data["areas"])
    assert frame.total_bounds.tolist() == pytest.approx([-122.39, 38.41, -122.352, 38.438])
    with rasterio.open(tmp_path / "ndvi-2022-3-JJA-median.tif") as dataset:
        assert dataset.tags()["METHOD"] == "median"
        assert 100 < dataset.width < 130
        assert dataset.read(1).max() > 5000


@pytest.mark.e2e
def test_areas_where_no_scene_is(landsat_cache, tmp_path):
    (tmp_path / "swapped.json").write_text(
        json.dumps({"type": "Polygon", "coordinates": [[[5, 45], [6, 45], [6, 46], [5, 45]]]})
    )
    said = demo("--area", tmp_path / "swapped.json", "--out", tmp_path, ok=False)
    assert "has no scene of the areas of swapped.json" in said
    assert said.rstrip().endswith(". Areas have the longitude first")


@pytest.mark.e2e
def test_composites_round_a_place(landsat_cache, tmp_path):
    asked = ("--start", "2022-06-01", "--end", "2022-07-31", "--composite", "best")
    said = demo("--place", "napa", "--out", tmp_path, *asked)
    names = (f"ndvi-2022-{month}-best{end}.tif" for month in ("06", "07") for end in ("", "-used"))
    assert "".join(f"{tmp_path / name}\n" for name in names) in said
    scenes = len(re.findall(r"^2022-0[67]-\d\d ", said, re.MULTILINE))
    # A point and a place of each scene, all places as one list, one tile of the map, and one of each month.
    assert int(re.search(r"^tasks +(\d+) on", said, re.MULTILINE)[1]) == 2 * scenes + 1 + 1 + 2
    with rasterio.open(tmp_path / "ndvi-2022-06-best.tif") as dataset:
        assert dataset.width * 30 == pytest.approx(10_000, rel=0.03)


@pytest.mark.e2e
def test_what_is_masked_is_chosen(landsat_cache, areas, tmp_path):
    asked = ("--start", "2022-06-01", "--end", "2022-07-31", "--json", "--out", tmp_path)
    keep = ("--keep", "cloud", "--keep", "shadow", "--floor", "0")
    usable = []
    for options in ((), keep):
        report = demo("--area", areas, "--composite", "median", "--period", "all", *asked, *options)
        data = json.loads(report[report.index("{\n") :])
        usable.append(sum(each["usable"] for each in data["areas"]))
        with rasterio.open(tmp_path / "ndvi-all-median-used.tif") as dataset:
            usable.append(float(dataset.read(1).mean()))
            masking = dataset.tags()["MASKED"]
    assert usable[0] < usable[2]
    assert usable[1] < usable[3]
    assert (data["floor"], data["kept"]) == (0.0, ["cloud", "shadow"])
    assert masking == Masking(keep=["cloud", "shadow"], floor=0).text()
    report = demo("--place", "napa", *asked, *keep)
    scenes = json.loads(report[report.index("{\n") :])["scenes"]
    assert {scene["hidden"] for scene in scenes} == {None}


def test_the_floor_is_that_of_maskings():
    ended = CliRunner().invoke(main, ["demo", "ndvi", "--help"])
    assert re.search(rf"--floor .*?default:\s+{Masking().floor}\]", ended.output, re.DOTALL)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--area", "none.json"), "there is no file none.json"),
        (("--area", "AREAS", "--table", "x.xlsx"), "x.xlsx has no known format"),
        (("--area", "AREAS", "--place", "napa"), "--place has no effect with --area"),
        (("--area", "AREAS", "--name", "parcel"), "area 1 has no property 'parcel' to name it by: it has id"),
        (("--name", "parcel"), "--name has no effect without --area"),
        (("--table", "x.csv"), "--table has no effect without --area"),
        (("--period", "year"), "--period has no effect without --composite"),
        (("--area", "AREAS", "--table", "/none/x.csv"), "there is no folder /none"),
        (("--keep", "fog"), "'fog' is not one of 'cloud', 'shadow', 'snow', 'saturated'"),
        (("--area", "AREAS", "--floor", "1"), "floor=1.0 is no reflectance: give a number"),
        (("--floor", "nan"), "floor=nan is no reflectance: give a number from 0 to below 1"),
        (("--index", "EVI", "--floor", "0.1"), "--floor has no effect on EVI, which is no normalised"),
        (("--level", "1", "--floor", "0.1"), "--floor has no effect on level 1"),
    ],
)
def test_what_is_refused_before_anything_is_searched(areas, tmp_path, arguments, words):
    given = [areas if argument == "AREAS" else argument for argument in arguments]
    assert words in demo(*given, "--out", tmp_path, "--source", "/nowhere", ok=False)
