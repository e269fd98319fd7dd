"""The synthetic archive: its files, its metadata, and the truth in its pixels."""

import json
from datetime import date

import numpy as np
import pytest
import rasterio
from PIL import Image

from tests.landsat import clearest, scenes_of
from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import metadata, quality, tasks
from wrenlite.gallery.landsat.scene import Scene
from wrenlite.gallery.ndvi import grid as grids
from wrenlite.gallery.synthetic import archive
from wrenlite.gallery.synthetic.places import PLACES


def test_size_and_layout(landsat_archive, scenes):
    files = [file for file in landsat_archive.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 40e6
    for place in PLACES.values():
        days = [scene.date for scene in scenes_of(scenes, place)]
        assert len(days) == len(set(days)) >= 60
        assert (days[-1] - days[0]).days > 1000
    scene = scenes[0]
    folder = landsat_archive / scene.product.key
    assert {file.name.removeprefix(scene.product.id) for file in folder.iterdir()} == {
        "_SR_B4.TIF",
        "_SR_B5.TIF",
        "_QA_PIXEL.TIF",
        "_QA_RADSAT.TIF",
        "_MTL.json",
        "_MTL.txt",
        "_SR_stac.json",
        "_thumb_small.jpeg",
    }


def test_files_are_like_those_of_collection_2(scenes):
    scene = scenes[0]
    for href in (scene.red, scene.nir, scene.qa_pixel, scene.qa_radsat):
        with rasterio.open(href) as file:
            assert file.dtypes == ("uint16",)
            assert file.block_shapes == [(256, 256)]
            assert file.compression.value == "DEFLATE"
            assert file.overviews(1) == [2]
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert (file.transform.c % 30, file.transform.f % 30) == (15, 15)
    with rasterio.open(scene.red) as file:
        assert file.nodata == 0
        assert file.crs.to_epsg() == 32600 + PLACES["sula-vineyard"].zone


def test_every_file_says_that_it_is_synthetic(landsat_archive, scenes):
    scene = scenes[0]
    folder = landsat_archive / scene.product.key
    assert all(each.product.tier == "SY" for each in scenes)
    assert "SYNTHETIC" in (landsat_archive / "README.txt").read_text()
    item = json.loads((folder / scene.product.file("SR_stac.json")).read_text())
    assert "SYNTHETIC" in item["properties"]["title"]
    assert item["properties"]["platform"] == "synthetic"
    groups = metadata.parse((folder / scene.product.file("MTL.txt")).read_text())
    assert "SYNTHETIC" in metadata.value(groups, "PRODUCT_CONTENTS", "ORIGIN")
    for href in (scene.red, scene.qa_pixel):
        with rasterio.open(href) as file:
            assert "SYNTHETIC" in file.tags()["TIFFTAG_IMAGEDESCRIPTION"]
    with Image.open(folder / scene.product.file("thumb_small.jpeg")) as picture:
        assert b"SYNTHETIC" in picture.info["comment"]


def test_metadata_agree_with_the_pixels(landsat_archive, scenes):
    for scene in scenes[::40]:
        folder = landsat_archive / scene.product.key
        texts = [(folder / scene.product.file(name)).read_text() for name in ("MTL.json", "MTL.txt")]
        groups, again = map(metadata.parse, texts)
        assert groups == again
        assert metadata.calibration(groups) == quality.LEVEL_2
        assert metadata.product(groups) == scene.product
        with rasterio.open(scene.qa_pixel) as file:
            bits, corner = file.read(1), (file.transform.c, file.transform.f)
        cloud = 100 * ((bits & 8) > 0).sum() / ((bits & 1) == 0).sum()
        assert metadata.cloud(groups) == scene.cloud == pytest.approx(cloud, abs=0.006)
        x, y = (
            float(metadata.value(groups, "PROJECTION_ATTRIBUTES", f"CORNER_UL_PROJECTION_{axis}_PRODUCT"))
            for axis in "XY"
        )
        assert (x - 15, y + 15) == corner


def test_the_same_seed_makes_the_same_files(landsat_archive, tmp_path, scenes):
    satellite_pass = archive.passes(["napa"])[7]
    archive.write_scene(str(tmp_path), satellite_pass)
    for file in (tmp_path / satellite_pass.product.key).iterdir():
        assert file.read_bytes() == (landsat_archive / satellite_pass.product.key / file.name).read_bytes()


def test_an_existing_archive_is_used(landsat_archive):
    before = (landsat_archive / "items.json").stat().st_mtime_ns
    assert archive.ensure_archive(landsat_archive) == landsat_archive
    assert (landsat_archive / "items.json").stat().st_mtime_ns == before


def test_a_place_that_does_not_exist():
    with pytest.raises(
        ConfigError, match=r"no synthetic place is called 'atlantis': there are coffee-triangle"
    ):
        archive.truth("atlantis", date(2022, 1, 1))


def test_a_scene_of_the_archive_is_drawn_again_in_true_colour(landsat_archive, scenes):
    scene = clearest(scenes, PLACES["napa"])
    drawn = archive.draw_scene(scene)
    with rasterio.open(scene.red) as file:
        fill = file.read(1) == 0
    assert drawn.grid == tasks.grid_of(scene)
    assert (drawn.values.shape, drawn.values.dtype) == ((272, 272, 3), np.uint8)
    assert ((drawn.values == 0).all(axis=2) == fill).all()
    with Image.open(
        landsat_archive / scene.product.key / scene.product.file("thumb_small.jpeg")
    ) as thumbnail:
        small = Image.fromarray(drawn.values).resize(thumbnail.size)
        difference = np.abs(np.asarray(thumbnail, float) - np.asarray(small, float))
    assert difference.mean() < 5, "of 255: the loss of JPEG"


def test_only_scenes_of_the_archive_can_be_drawn():
    for product in (
        "LC08_L2SP_218074_20190114_20200829_02_T1",
        "LC08_L2SP_045033_20210416_20210416_02_SY",  # no pass on this day
    ):
        with pytest.raises(ConfigError, match=f"{product} is no scene of the synthetic archive"):
            archive.draw_scene(Scene.at("folder", product))


def test_a_whole_scene_on_demand(tmp_path):
    scene = archive.whole_scene(tmp_path, "napa", side=1100)
    tiles = [tasks.ndvi_tile(scene, window) for window in grids.windows(tasks.grid_of(scene), 512)]
    assert len(tiles) == 9
    assert scene.cloud < 5
    with rasterio.open(scene.red) as file:
        values = file.read(1)
        assert file.overviews(1) == [2, 4, 8]
    assert len(np.unique(values % 256)) == 256  # as fine as real ones


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_truth_is_in_the_pixels(scenes, place):
    points = [
        tasks.ndvi_point(scene, place.lon, place.lat)
        for scene in scenes_of(scenes, place)
        if scene.cloud < 10
    ]
    errors = [point.value - place.truth(point.date) for point in points if not np.isnan(point.value)]
    assert len(errors) >= 4
    assert abs(np.median(errors)) < 0.015
    assert np.abs(errors).max() < 0.05
