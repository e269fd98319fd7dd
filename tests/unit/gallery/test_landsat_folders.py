"""Folders of downloads: products with metadata files (MTL), with and without STAC items, flat and nested."""

import json
import os
from datetime import date

import pytest

from tests import downloads
from tests.landsat import BRUMADINHO, real_pixels
from tests.stac_items import (
    COLLECTION_1,
    INSIDE,
    LANDSAT_5,
    LANDSAT_7,
    LANDSAT_8,
    LANDSAT_9,
    MSS,
    earth_search,
    landsatlook,
    landsatlook_2020,
    planetary_computer,
    temperature_2020,
)
from wrenlite.errors import ConfigError, NotFound
from wrenlite.gallery.landsat import catalog, metadata, tasks
from wrenlite.gallery.landsat.catalog import Query
from wrenlite.gallery.landsat.quality import LEVEL_2
from wrenlite.gallery.landsat.scene import Product, Scene

LEVEL_1 = {name: product.replace("L2SP", "L1TP") for name, product in (("TM", LANDSAT_5), ("OLI", LANDSAT_8))}


def products(scenes):
    return [scene.product.id for scene in scenes]


@pytest.mark.parametrize("product", [LANDSAT_5, LANDSAT_7, LANDSAT_8, LANDSAT_9, *LEVEL_1.values()])
@pytest.mark.parametrize("kind", ["txt", "json"])
def test_a_download_needs_no_item_and_its_ndvi_is_right(tmp_path, product, kind):
    folder = downloads.write(tmp_path / "any name", product, kinds=[kind])
    (scene,) = catalog.stored(tmp_path)
    assert scene.product == Product.parse(product)
    assert scene.cloud == 8.0
    assert scene.mtl == f"{folder}/{product}_MTL.{kind}"
    assert set(scene.bands) == set(downloads.REFLECTANCES)
    point = tasks.ndvi_point(scene, *INSIDE)
    # A step of TM's digital numbers is 0.002 of reflectance, of level 2's and of OLI's less than 0.00003.
    assert point.value == pytest.approx(downloads.NDVI, abs=0.01 if "LT05_L1" in product else 1e-4)
    assert point.hidden is None


def test_an_index_that_needs_the_scale_of_level_1_is_right(tmp_path):
    downloads.write(tmp_path, LEVEL_1["OLI"])
    (scene,) = catalog.stored(tmp_path)
    nir, red, blue = (downloads.REFLECTANCES[name] for name in ("nir", "red", "blue"))
    evi = 2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1)
    assert tasks.ndvi_point(scene, *INSIDE, index="EVI").value == pytest.approx(evi, abs=1e-4)


def test_flat_and_nested_downloads_of_every_kind(tmp_path):
    for product in (LANDSAT_8, LANDSAT_5):  # all in one folder
        downloads.write(tmp_path, product, kinds=["json", "txt"], pixels=False)
    downloads.write(tmp_path / "2010" / LANDSAT_7, LANDSAT_7, pixels=False)
    downloads.write(tmp_path / "a" / "b" / "c", LANDSAT_9, kinds=["json"], pixels=False)
    found = catalog.stored(tmp_path)
    assert products(found) == [LANDSAT_5, LANDSAT_7, LANDSAT_8, LANDSAT_9]
    assert found.left_out == {}
    assert catalog.stored(f"{tmp_path}/") == found


def test_a_folder_without_quality_bands(tmp_path):
    downloads.write(tmp_path, LANDSAT_8, quality=False, only=["red", "nir"])
    (scene,) = catalog.stored(tmp_path)
    assert (scene.qa_pixel, scene.qa_radsat) == (None, None)
    assert set(scene.bands) == {"red", "nir"}
    assert tasks.ndvi_point(scene, *INSIDE).value == pytest.approx(downloads.NDVI, abs=1e-4)


def test_an_item_and_metadata_of_one_product_make_one_scene(tmp_path):
    downloads.write(tmp_path, LANDSAT_8, kinds=["txt", "json"], pixels=False)
    (tmp_path / f"{LANDSAT_8}_SR_stac.json").write_text(json.dumps(landsatlook_2020(LANDSAT_8)))
    (tmp_path / f"{LANDSAT_8}_ST_stac.json").write_text(json.dumps(temperature_2020(LANDSAT_8)))
    found = catalog.stored(tmp_path)
    assert products(found) == [LANDSAT_8]
    assert found.left_out == {"surface temperature only": 1}
    assert found[0].red == f"{tmp_path}/{LANDSAT_8}_SR_B4.TIF"
    elsewhere = catalog.stored(tmp_path, query=Query((100.0, 50.0)))
    assert elsewhere == []
    assert elsewhere.left_out == {"another place": 1, "surface temperature only": 1}, "it is one product"


@pytest.mark.parametrize("broken", ["{oops", '{"id": "x"}'])
def test_metadata_stand_in_for_a_broken_item(tmp_path, broken):
    downloads.write(tmp_path, LANDSAT_8, pixels=False)
    (tmp_path / f"{LANDSAT_8}_SR_stac.json").write_text(broken)
    found = catalog.stored(tmp_path, query=Query(INSIDE))
    assert products(found) == [LANDSAT_8]
    assert sum(found.left_out.values()) == 1


def test_text_stands_in_for_broken_json(tmp_path):
    downloads.write(tmp_path, LANDSAT_8, kinds=["txt", "json"], pixels=False)
    (tmp_path / f"{LANDSAT_8}_MTL.json").write_text('{"LANDSAT_METADATA_FILE": {')
    (scene,) = catalog.stored(tmp_path)
    assert scene.mtl.endswith("_MTL.txt")


def test_a_query_compares_with_the_metadata(tmp_path):
    downloads.write(tmp_path, LANDSAT_8, pixels=False)
    downloads.write(tmp_path, LANDSAT_9, pixels=False, CLOUD_COVER="80.00")
    downloads.write(tmp_path, LANDSAT_7, pixels=False, CLOUD_COVER="-1.00")
    downloads.write(tmp_path, LEVEL_1["OLI"], pixels=False)
    found = catalog.stored(tmp_path, query=Query(INSIDE, end=date(2022, 6, 1), cloud=20))
    assert products(found) == [LANDSAT_7, LANDSAT_8]
    assert found[0].cloud is None
    assert found.left_out == {"too much cloud": 1, "level 1": 1}
    assert catalog.stored(tmp_path, query=Query((-74.9, 1.5))) == []
    assert products(catalog.stored(tmp_path, query=Query(INSIDE, levels=1))) == [LEVEL_1["OLI"]]
    assert len(catalog.stored(tmp_path)) == 4


def test_downloads_that_cannot_serve_are_counted_by_reason(tmp_path):
    downloads.write(tmp_path, LANDSAT_8, pixels=False)
    downloads.write(tmp_path, LANDSAT_9, pixels=False, only=["red"])
    downloads.write(tmp_path, LANDSAT_7, pixels=False, only=[])
    downloads.write(tmp_path, LANDSAT_5, pixels=False, SUN_ELEVATION="?")
    (tmp_path / f"{MSS}_MTL.txt").write_text("GROUP = LANDSAT_METADATA_FILE\n")
    (tmp_path / f"{COLLECTION_1}_MTL.txt").write_text("GROUP = L1_METADATA_FILE\n")
    (tmp_path / "LC80080592019335LGN00_MTL.txt").write_text("GROUP = L1_METADATA_FILE\n")
    (tmp_path / f"{LEVEL_1['TM']}_MTL.json").write_bytes(b"\xff\x00")
    found = catalog.stored(tmp_path)
    assert products(found) == [LANDSAT_5, LANDSAT_8]
    assert found.left_out == {
        "the metadata file (MTL) cannot be read": 2,
        "no near-infrared band": 1,
        "no red and near-infrared band": 1,
        "NDVI of MSS does not agree with that of the other sensors": 1,
        "Collection 1": 1,
    }


def test_metadata_without_gains_or_with_text_for_numbers(tmp_path):
    downloads.write(tmp_path, LEVEL_1["TM"], pixels=False, SUN_ELEVATION="?")
    downloads.write(tmp_path, LANDSAT_8, pixels=False, CLOUD_COVER="?")
    groups = downloads.mtl(Product.parse(LANDSAT_9))
    del groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"]
    downloads.write(tmp_path, LANDSAT_9, pixels=False)
    (tmp_path / f"{LANDSAT_9}_MTL.txt").write_text(downloads.mtl_text(groups))
    found = catalog.stored(tmp_path)
    assert products(found) == [LANDSAT_8]
    assert found[0].cloud is None
    assert found.left_out == {"the metadata file (MTL) cannot be read": 2}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "END_GROUP = X",
        '{"LANDSAT_METADATA_FILE": []}',
        '{"LANDSAT_METADATA_FILE": {"PRODUCT_CONTENTS": []}}',
        "GROUP = PRODUCT_CONTENTS",
        '{"a":' * 100_000,
        "<html>Please log in</html>",
        "\x00",
    ],
    ids=range(8),
)
def test_metadata_files_that_are_none(tmp_path, content):
    downloads.write(tmp_path, LANDSAT_8, pixels=False)
    (tmp_path / f"{LANDSAT_8}_MTL.txt").write_text(content)
    assert catalog.stored(tmp_path).left_out == {"the metadata file (MTL) cannot be read": 1}


def test_a_scene_taken_at_night_is_left_out(tmp_path):
    downloads.write(tmp_path, LEVEL_1["OLI"], pixels=False, SUN_ELEVATION="-12.5")
    assert catalog.stored(tmp_path).left_out == {"taken at night": 1}


def test_a_copy_of_a_product_and_an_older_processing_are_not_counted_twice(tmp_path):
    older = LANDSAT_8.replace("20200825", "20200101")
    for folder, product in (("a", LANDSAT_8), ("b", LANDSAT_8), ("c", older)):
        downloads.write(tmp_path / folder, product, pixels=False)
    found = catalog.stored(tmp_path)
    assert products(found) == [LANDSAT_8]
    assert found.left_out == {"listed more than once": 1, "processed again later": 1}


def test_links_are_followed_once(tmp_path):
    downloads.write(tmp_path / "far" / "away", LANDSAT_8, pixels=False)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "far", target_is_directory=True)
    (tmp_path / "here" / "loop").symlink_to(tmp_path / "here", target_is_directory=True)
    found = catalog.stored(tmp_path / "here")
    assert products(found) == [LANDSAT_8]
    assert found.left_out == {}


def test_folders_with_nothing_to_use(tmp_path):
    message = r"has neither items\.json nor any \*_stac\.json, \*_MTL\.json or \*_MTL\.txt: "
    with pytest.raises(NotFound, match=message + "give a folder of scenes"):
        catalog.stored(tmp_path)
    with pytest.raises(NotFound, match=f"there is no folder {tmp_path}/missing"):
        catalog.stored(tmp_path / "missing")
    (tmp_path / f"{LANDSAT_8}.tar").touch()
    with pytest.raises(NotFound, match=message + "unpack its .tar files first"):
        catalog.stored(tmp_path)
    with pytest.raises(ConfigError, match=r"_T1\.tar is a file: give the folder into which it is unpacked"):
        catalog.stored(tmp_path / f"{LANDSAT_8}.tar")
    (tmp_path / "a.json").touch()
    with pytest.raises(ConfigError, match=r"a\.json is a file: give the folder that it is in"):
        catalog.stored(tmp_path / "a.json")


@pytest.mark.parametrize("service", [earth_search, landsatlook, planetary_computer])
def test_files_that_are_here_are_preferred_to_any_address(tmp_path, service):
    downloads.write(tmp_path, LANDSAT_8, kinds=["json"], pixels=False)
    (tmp_path / f"{LANDSAT_8}_stac.json").write_text(json.dumps(service(LANDSAT_8)))
    (scene,) = catalog.stored(tmp_path)
    for href in (*scene.bands.values(), scene.qa_pixel, scene.qa_radsat, scene.mtl):
        assert href.startswith(f"{tmp_path}/{LANDSAT_8}_")


def test_items_that_are_named_after_their_id_as_pystac_does(tmp_path):
    for product in (LANDSAT_8, LANDSAT_9):
        item = earth_search(product)
        folder = downloads.write(tmp_path / item["id"], product, kinds=[], pixels=False)
        (folder / f"{item['id']}.json").write_text(json.dumps(item))
    (tmp_path / "catalog.json").write_text('{"type": "Catalog"}')
    found = catalog.stored(tmp_path, query=Query(INSIDE))
    assert products(found) == [LANDSAT_8, LANDSAT_9]
    assert found.left_out == {}
    assert found[0].red.startswith(f"{tmp_path}/")


@pytest.mark.parametrize("kind", ["txt", "json"])
def test_a_byte_order_mark_is_no_part_of_the_metadata(tmp_path, kind):
    downloads.write(tmp_path, LEVEL_1["TM"], kinds=[kind])
    file = tmp_path / f"{LEVEL_1['TM']}_MTL.{kind}"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    (scene,) = catalog.stored(tmp_path)
    assert tasks.ndvi_point(scene, *INSIDE).value == pytest.approx(downloads.NDVI, abs=0.01)


@pytest.mark.parametrize("broken", ["{}", '{"LANDSAT_PRODUCT_ID": ""}', '{"LANDSAT_PRODUCT_ID": "x"}'])
def test_text_stands_in_for_json_that_is_not_complete(tmp_path, broken):
    downloads.write(tmp_path, LANDSAT_8, kinds=["txt", "json"], pixels=False)
    content = f'{{"LANDSAT_METADATA_FILE": {{"PRODUCT_CONTENTS": {broken}}}}}'
    (tmp_path / f"{LANDSAT_8}_MTL.json").write_text(content)
    (scene,) = catalog.stored(tmp_path)
    assert scene.mtl.endswith("_MTL.txt")


def test_metadata_in_xml_only_are_named(tmp_path):
    downloads.write(tmp_path, LANDSAT_8, kinds=[], pixels=False)
    (tmp_path / f"{LANDSAT_8}_MTL.xml").write_text("<LANDSAT_METADATA_FILE/>")
    found = catalog.stored(tmp_path)
    assert found.left_out == {"only MTL.xml, which is not read: download MTL.txt or MTL.json as well": 1}
    downloads.write(tmp_path, LANDSAT_8, pixels=False)
    assert products(catalog.stored(tmp_path)) == [LANDSAT_8]


@pytest.mark.parametrize("kind", ["txt", "json"])
def test_a_scene_of_a_known_product_has_its_gains_from_either_file(tmp_path, kind):
    product = Product.parse(LEVEL_1["TM"])
    folder = downloads.write(tmp_path / product.key, product.id, kinds=[kind])
    scene = Scene.at(str(tmp_path), product)
    assert tasks.ndvi_point(scene, *INSIDE).value == pytest.approx(downloads.NDVI, abs=0.01)
    (folder / product.file(f"MTL.{kind}")).unlink()
    with pytest.raises(NotFound, match=r"_MTL\.json"):
        tasks.ndvi_point(scene, *INSIDE)


@pytest.mark.parametrize("name", [f"{LANDSAT_8}_MTL.txt", f"{LANDSAT_8}_stac.json", "items.json"])
def test_pipes_are_no_files(tmp_path, name):
    os.mkfifo(tmp_path / name)
    downloads.write(tmp_path, LANDSAT_9, pixels=False)
    assert products(catalog.stored(tmp_path)) == [LANDSAT_9]


@pytest.mark.parametrize("gain", ["0.0", "-2.75E-05", "1E-300", "2.0", "1E300"])
@pytest.mark.parametrize("product", [LANDSAT_8, LEVEL_1["TM"], LEVEL_1["OLI"]])
def test_a_gain_that_gives_no_reflectance_is_left_out(tmp_path, product, gain):
    downloads.write(tmp_path, product, pixels=False)
    groups = downloads.mtl(Product.parse(product))
    group = metadata.RESCALING_GROUPS[2 if product == LANDSAT_8 else 1]
    groups[group] |= {f"REFLECTANCE_MULT_BAND_{Product.parse(product).sensor.bands['nir']}": gain}
    (tmp_path / f"{product}_MTL.txt").write_text(downloads.mtl_text(groups))
    reason = "a gain in the metadata file (MTL) that gives no reflectance"
    assert catalog.stored(tmp_path).left_out == {reason: 1}


def test_a_scene_whose_metadata_have_no_gains_names_the_file(tmp_path):
    folder = downloads.write(tmp_path, LEVEL_1["TM"])
    item = landsatlook_2020(LEVEL_1["TM"])
    (folder / f"{LEVEL_1['TM']}_stac.json").write_text(json.dumps(item))
    (scene,) = catalog.stored(folder)
    assert scene.calibration is None
    assert tasks.ndvi_point(scene, *INSIDE).value == pytest.approx(downloads.NDVI, abs=0.01)
    (folder / f"{LEVEL_1['TM']}_MTL.txt").write_bytes(b"\xff<html>")
    with pytest.raises(ConfigError, match=f"{LEVEL_1['TM']}: no gains can be read from {scene.mtl}: this is"):
        tasks.ndvi_point(scene, *INSIDE)


def test_real_downloads_without_items():
    folder = real_pixels() / "collection02/level-2/standard/oli-tirs/2019/218"
    found = catalog.stored(folder, query=Query((-44.12, -20.13)))
    assert products(found) == list(BRUMADINHO)
    assert all(scene.calibration == LEVEL_2 and scene.mtl.endswith(".txt") for scene in found)
    assert [scene.cloud for scene in found] == [9.86, found[1].cloud]
