"""``wrenlite demo ndvi`` as a user runs it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from botocore.session import Session
from click.testing import CliRunner
from PIL import Image

from tests import downloads
from tests.stac_items import (
    LANDSAT_5,
    LANDSAT_7,
    LANDSAT_8,
    LANDSAT_9,
    MSS,
    collection_1,
    earth_search,
    landsatlook,
    sentinel_2,
    temperature_2020,
)
from wrenlite.cli import main
from wrenlite.gallery.ndvi.indices import NODATA

COMMAND = str(Path(sys.executable).with_name("wrenlite"))


def run(*arguments):
    """Run the command, which must succeed, and return its output."""
    env = {**os.environ, "WRENLITE_PROGRESS": "false"}
    command = [COMMAND, "demo", "ndvi", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert ended.returncode == 0, ended.stderr
    return ended


def demo(*arguments):
    return run(*arguments).stdout


def check_files(folder):
    """Check the files of a survey, and return NDVI in the pixels of the map."""
    for name in ("ndvi-season.png", "ndvi-map.png"):
        with Image.open(folder / name) as picture:
            assert np.asarray(picture.convert("RGB")).std() > 15
    with rasterio.open(folder / "ndvi-map.tif") as dataset:
        values = dataset.read(1)
        assert dataset.overviews(1)
        assert "SYNTHETIC" in dataset.tags()["TIFFTAG_IMAGEDESCRIPTION"]
    return values[values != NODATA] / 10_000


def test_a_place_of_the_archive(landsat_cache, tmp_path):
    said = demo("--out", tmp_path / "new", "--rows", 3, "--workers", 2)
    assert said.startswith("SYNTHETIC")
    value, product = r"(cloud|shadow|0\.\d{3})", r"LC08_L2SP_045033_\d{8}_\d{8}_02_SY"
    scene = rf"^2021-\d\d-\d\d  {value} +\d+% +2  OLI     SY    {product}$"
    listed = re.findall(scene, said, re.MULTILINE)
    assert len(listed) == 3
    assert "left out" not in said, "the query asks for one place of four"
    assert "\nand 59 more scenes: --rows 62 lists all\n" in said
    assert f"{tmp_path / 'new' / 'ndvi-map.tif'}\n" in said
    assert re.search(r"^tasks +63 on 2 local workers$", said, re.M)
    values = check_files(tmp_path / "new")
    assert 0.2 < np.median(values) < 0.8
    assert values.min() < 0, "water"


def test_without_a_season_there_is_still_a_table_and_a_map(landsat_cache, tmp_path):
    ended = run("--out", tmp_path, "--start", "2021-01-20", "--end", "2021-04-30")
    assert re.search(r"^no season: \d days? .*a curve needs 5", ended.stderr, re.MULTILINE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ndvi-map.png", "ndvi-map.tif"]


def test_a_place_reports_as_json(landsat_cache, tmp_path):
    found = json.loads(demo("--out", tmp_path, "--start", "2021-01-20", "--end", "2021-04-30", "--json"))
    assert set(found) == {
        *(
            "place",
            "lon",
            "lat",
            "synthetic",
            "index",
            "floor",
            "kept",
            "scenes",
            "left_out",
            "notes",
            "files",
        ),
        *("backend", "tasks", "wall_s", "cpu_s", "cost"),
    }
    assert found["synthetic"] is True
    assert -180 <= found["lon"] <= 180
    assert [Path(file).name for file in found["files"]] == ["ndvi-map.png", "ndvi-map.tif"]
    assert len(found["notes"]) == 1
    assert found["notes"][0].startswith("no season: ")
    assert found["tasks"] > len(found["scenes"]) > 1, "the tiles of the map are tasks, too"
    for scene in found["scenes"]:
        assert set(scene) == {
            *("product", "date", "ndvi", "hidden", "cloud_percent"),
            *("satellite", "sensor", "level", "tier"),
        }
        assert (scene["ndvi"] is None) == (scene["hidden"] is not None)
        assert "2021-01-20" <= scene["date"] <= "2021-04-30"
        assert scene["ndvi"] is None or -1 <= scene["ndvi"] <= 1
        assert 0 <= scene["cloud_percent"] <= 100


def test_a_scene_that_cannot_be_read_is_left_out_and_reported(landsat_archive, tmp_path):
    copied = tmp_path / "archive"
    few = "collection02/level-2/standard/oli-tirs/2022/040/035"
    shutil.copytree(landsat_archive / few, copied / few)
    broken = sorted((copied / few).rglob("*_SR_B4.TIF"))[3]
    broken.write_bytes(b"nothing that GDAL knows")
    ended = run("--place", "death-valley", "--source", copied, "--out", tmp_path / "out")
    assert f"left out {broken.parent.name}: " in ended.stderr
    check_files(tmp_path / "out")


SAME_DAY = (LANDSAT_8, LANDSAT_8.replace("L2SP", "L1TP"))
HERE = ("--place=-75.0,1.5", "--workers", 2)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A folder of downloads of every sensor and of both levels, with items beside them that cannot serve."""
    folder = tmp_path_factory.mktemp("mixed")
    for product in (*SAME_DAY, LANDSAT_5, LANDSAT_7, LANDSAT_9.replace("T1", "T2")):
        downloads.write(folder / product, product)
    others = {"a": sentinel_2(), "b": collection_1(), f"{LANDSAT_8}_ST": temperature_2020(LANDSAT_8)}
    for name, item in others.items():
        (folder / f"{name}_stac.json").write_text(json.dumps(item))
    (folder / f"{MSS}_stac.json").write_text(json.dumps(landsatlook(MSS)))
    (folder / "page_stac.json").write_text("<html>Please log in</html>")
    return folder


LEFT_OUT = {
    "surface temperature only": 1,
    "a file that is not JSON": 1,
    "Collection 1": 1,
    "NDVI of MSS does not agree with that of the other sensors": 1,
    "not a Landsat product": 1,
    "tier 2 (T2)": 1,
}


@pytest.mark.e2e
def test_a_mixed_folder_without_items(mixed, tmp_path):
    said = demo("--source", mixed, "--out", tmp_path, *HERE)
    assert said.startswith("date        NDVI          cloud  level  sensor  tier  product\n")
    rows = re.findall(r"^(\S+)  0\.778 +8% +(\d)  (\S+) +(\S+) +\S+$", said, re.MULTILINE)
    assert rows == [
        ("1986-04-24", "2", "TM", "T1"),
        ("2010-01-09", "2", "ETM+", "T1"),
        ("2019-12-01", "2", "OLI", "T1"),
    ]
    listed = re.findall(r"^ +(\d+)  left out: (.+)$", said, re.MULTILINE)
    assert {reason: int(count) for count, reason in listed} == LEFT_OUT | {"level 1": 1}


@pytest.mark.e2e
def test_levels_and_tiers_and_sensors_are_chosen(mixed, tmp_path):
    chosen = ("--level", 1, "--level", 2, "--tier", "T1", "--tier", "T2", "--sensor", "OLI")
    found = json.loads(demo("--source", mixed, "--out", tmp_path, *HERE, *chosen, "--json"))
    assert [(scene["level"], scene["tier"], scene["satellite"]) for scene in found["scenes"]] == [
        (1, "T1", "Landsat 8"),
        (2, "T1", "Landsat 8"),
        (2, "T2", "Landsat 9"),
    ]
    assert found["left_out"]["sensor TM"] == found["left_out"]["sensor ETM+"] == 1
    assert "tier 2 (T2)" not in found["left_out"]


@pytest.mark.e2e
def test_levels_of_one_day_are_not_joined_in_a_curve(tmp_path):
    days = [
        product.replace("20191201", f"201912{day:02}") for product in SAME_DAY for day in (1, 8, 15, 22, 29)
    ]
    for product in days:
        downloads.write(tmp_path / "in", product, quality=False, only=["red", "nir"])
    ended = run("--source", tmp_path / "in", "--out", tmp_path / "out", *HERE, "--level", 1, "--level", 2)
    assert len(re.findall(r"  0\.778  ", ended.stdout)) == len(days)
    assert re.search(r"^no season: .*: give --level once$", ended.stderr, re.MULTILINE)
    assert "no QA_PIXEL: clouds, shadows and snow are not masked in 10 scenes\n" in ended.stderr
    assert not (tmp_path / "out" / "ndvi-season.png").exists()
    ended = run("--source", tmp_path / "in", "--out", tmp_path / "out", *HERE, "--level", 1)
    assert "no season" not in ended.stderr
    assert (tmp_path / "out" / "ndvi-season.png").exists()


@pytest.mark.e2e
def test_another_index(mixed, tmp_path):
    found = json.loads(demo("--source", mixed, "--out", tmp_path, *HERE, "--index", "evi", "--json"))
    assert found["index"] == "EVI"
    # 2.5 (N - R) / (N + 6 R - 7.5 B + 1) of the reflectances in the files
    assert [scene["evi"] for scene in found["scenes"]] == pytest.approx([0.625] * 3, abs=1e-4)
    assert {path.name for path in tmp_path.iterdir()} == {"evi-map.png", "evi-map.tif"}


def test_what_the_files_lack_and_what_cloud_has_left_out_is_said(tmp_path):
    folder = downloads.write(tmp_path / "in", LANDSAT_8, quality=False)
    downloads.write(folder, LANDSAT_7, CLOUD_COVER="50")
    (folder / f"{LANDSAT_8}_stac.json").write_text(json.dumps(earth_search(LANDSAT_8)))
    ended = run("--source", folder, "--out", tmp_path / "out", *HERE, "--cloud", 20)
    assert re.search(r"^ +1  left out: too much cloud$", ended.stdout, re.MULTILINE)
    assert "no QA_PIXEL: clouds, shadows and snow are not masked in 1 scene\n" in ended.stderr
    assert "no season: 1 day with" in ended.stderr
    found = json.loads(demo("--source", folder, "--out", tmp_path / "out", *HERE, "--json"))
    assert "no QA_RADSAT: saturated pixels are not masked in 1 scene" in found["notes"]


def test_scenes_that_all_fail_are_counted(tmp_path):
    for product in (LANDSAT_8, LANDSAT_9):
        folder = downloads.write(tmp_path / "in", product)
        (folder / f"{product}_SR_B4.TIF").write_bytes(b"nothing that GDAL knows")
    command = ["demo", "ndvi", "--source", str(folder), "--out", str(tmp_path / "out"), *map(str, HERE)]
    ended = CliRunner().invoke(main, command)
    assert ended.exit_code == 1
    assert "Error: no scene can be read: all 2 tasks failed, the first with: " in ended.stderr
    assert f"{LANDSAT_8}_SR_B4.TIF" in ended.stderr


def test_scenes_without_a_band_of_the_index_are_left_out(tmp_path):
    downloads.write(tmp_path / "in", LANDSAT_8, only=["red", "nir"])
    downloads.write(tmp_path / "in", LANDSAT_9)
    found = json.loads(
        demo("--source", tmp_path / "in", "--out", tmp_path / "out", *HERE, "--index", "EVI", "--json")
    )
    assert [scene["product"] for scene in found["scenes"]] == [LANDSAT_9]
    assert found["left_out"] == {"no blue band": 1}


def test_only_an_empty_result_is_an_error_with_the_counts(mixed, tmp_path):
    place = ("--place", "10,10", "--out", tmp_path)
    ended = CliRunner().invoke(main, ["demo", "ndvi", "--source", str(mixed), *map(str, place)])
    assert ended.exit_code == 1
    assert "has no scene of 10, 10 at any time: 9 items left out: another place (4)" in ended.stderr
    assert ended.stderr.endswith("Choose another place or source\n")
    assert "Collection 1 (1)" in ended.stderr


def test_a_folder_of_scenes_without_items(landsat_archive, tmp_path):
    copied = tmp_path / "downloads"
    few = landsat_archive / "collection02/level-2/standard/oli-tirs/2022/040/035"
    for file in few.rglob("*"):
        if file.is_file() and not file.name.endswith("_stac.json"):
            (copied / file.name).parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copied / file.name)  # all in one folder
    said = demo("--place", "death-valley", "--source", copied, "--out", tmp_path / "out", "--rows", 99)
    assert len(re.findall(r"^2022-.* 2  OLI     SY    LC08", said, re.MULTILINE)) > 15
    assert "left out" not in said
    check_files(tmp_path / "out")


def test_an_archive_in_a_bucket(bed, landsat_cache, tmp_path):
    client = Session().create_client("s3")
    client.create_bucket(Bucket="scenes")
    few = landsat_cache / "collection02/level-2/standard/oli-tirs/2022/040/035"
    for file in [landsat_cache / "items.json", *(path for path in few.rglob("*") if path.is_file())]:
        key = f"landsat/{file.relative_to(landsat_cache)}"
        client.put_object(Bucket="scenes", Key=key, Body=file.read_bytes())
    said = demo(
        *("--place", "death-valley", "--source", "s3://scenes/landsat", "--out", tmp_path),
        *("--start", "2022-01-01", "--end", "2022-12-31"),
    )
    assert "2022-" in said
    assert "2021-" not in said
    assert np.median(check_files(tmp_path)) < 0.3, "a desert"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--place napa-valley", "there are coffee-triangle, napa"),
        ("--place 10,10", "no scene of 10, 10"),
        ("--place 10,north", "LON,LAT"),
        ("--place 10,95", "latitude"),
        ("--source /nowhere", "there is no folder /nowhere"),
        ("--source sentinel", "there is no source 'sentinel': take synthetic, usgs, landsatlook, planetary-"),
        ("--collection c2", "synthetic is no STAC service, so --collection has no effect: leave it out"),
        (
            "--end 2020-12-31",
            "Choose another time (--start, --end); the synthetic archive has coffee-triangle",
        ),
        ("--cloud 0 --sensor TM", "Choose a greater --cloud or another --sensor;"),
        ("--composite best --level 1 --level 2", "--composite joins scenes of one level"),
        ("--start 2022-02-30", "2022-02-30"),
        ("--start 2023-01-01 --end 2022-01-01", "ends before it starts"),
        ("--cloud 101", "must be a number from 0 to 100"),
        ("--level 3", "'3' is not one of '1', '2'"),
        ("--tier A1", "'A1' is not one of 'T1', 'T2', 'RT'"),
        ("--sensor MSS", "'MSS' is not one of 'OLI', 'ETM+', 'TM'"),
        ("--index NDXI", "take one of NDVI, EVI, SAVI, NDWI, NBR"),
        ("--place napa --level 1", "level 2 (62). Choose another --level"),
        ("--place napa --index EVI", "another place (186), no blue band (62). Choose another --index"),
        ("--source ftp://x.y", "'ftp://x.y' cannot be an archive"),
        ("--out /proc/nowhere", "cannot write to /proc/nowhere"),
        ("--out /nowhere/new", "Error: cannot write to /nowhere/new: there is no folder /nowhere"),
        ("--rows 3 --json", "--rows has no effect with --json"),
        ("--workers 2 --aws", "cannot be combined with --aws"),
    ],
)
def test_impossible_options_are_refused_in_one_line(arguments, words, landsat_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, ["demo", "ndvi", *arguments.split()])
    assert isinstance(ended.exception, SystemExit)
    assert ended.exit_code in (1, 2)
    assert words in ended.stderr
    assert not list(tmp_path.rglob("*.png"))


def test_scenes_of_this_machine_are_refused_for_lambda(bed, landsat_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, ["demo", "ndvi", "--aws"])
    assert ended.exit_code == 1
    assert "wrenlite-setup --read BUCKET" in ended.stderr
    assert bed.counts().get("Invoke", 0) == 0
