"""What a STAC item says of a scene, for the items of several services."""

import sys
import types

import pytest

from tests.stac_items import (
    COLLECTION_1,
    LANDSAT_5,
    LANDSAT_7,
    LANDSAT_8,
    LANDSAT_9,
    MSS,
    collection_1,
    earth_search,
    files,
    landsatlook,
    landsatlook_2020,
    planetary_computer,
    sentinel_2,
    temperature_2020,
)
from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat.access import USGS
from wrenlite.gallery.landsat.catalog import scene_of
from wrenlite.gallery.landsat.scene import Scene, Unusable

EVERY_SENSOR = (LANDSAT_5, LANDSAT_7, LANDSAT_8, LANDSAT_9)


@pytest.mark.parametrize("product", EVERY_SENSOR)
@pytest.mark.parametrize("service", [earth_search, landsatlook, landsatlook_2020])
def test_items_of_every_service_and_sensor_have_all_bands_on_s3(service, product):
    assert scene_of(service(product)) == Scene.at(USGS, product, cloud=8.0)


@pytest.mark.parametrize("product", [each.replace("L2SP", "L1TP") for each in EVERY_SENSOR])
@pytest.mark.parametrize("service", [landsatlook, landsatlook_2020])
def test_items_of_level_1(service, product):
    assert scene_of(service(product)) == Scene.at(USGS, product, cloud=8.0)


@pytest.mark.parametrize("key", ["B{}", "SR_B{}", "B{}.TIF", "SR_B{}.TIF", "anything {}"])
def test_names_of_assets_do_not_matter(key):
    made = earth_search(LANDSAT_7)
    numbers = {"blue": 1, "green": 2, "red": 3, "nir08": 4, "swir16": 5, "swir22": 7}
    for name, number in numbers.items():
        made["assets"][key.format(number)] = made["assets"].pop(name)
    assert scene_of(made) == Scene.at(USGS, LANDSAT_7, cloud=8.0)


def test_a_file_with_a_longer_name_is_found_by_the_name_of_its_asset():
    made = earth_search(LANDSAT_8)
    made["assets"]["red"]["href"] = f"s3://mine/{LANDSAT_8}_SR_B4_clip.tif"
    assert scene_of(made).red == f"s3://mine/{LANDSAT_8}_SR_B4_clip.tif"


@pytest.mark.parametrize(
    "href",
    [
        "https://landsatlook.usgs.gov/data/{}",
        "https://usgs-landsat.s3.us-west-2.amazonaws.com/{}",
        "https://usgs-landsat.s3.amazonaws.com/{}",
        "https://s3.us-west-2.amazonaws.com/usgs-landsat/{}?x=1",
        "HTTPS://LandsatLook.USGS.gov:443/data/{}",
        "https://s3.dualstack.us-west-2.amazonaws.com/usgs-landsat/{}",
        "https://usgs-landsat.s3.dualstack.us-west-2.amazonaws.com:443/{}",
    ],
)
def test_addresses_of_the_public_archive_on_the_web_are_read_on_s3(href):
    made = earth_search(LANDSAT_8)
    for asset in made["assets"].values():
        asset["href"] = href.format(asset["href"].removeprefix(f"{USGS}/"))
    assert scene_of(made) == Scene.at(USGS, LANDSAT_8, cloud=8.0)


def test_an_item_without_quality_bands_and_cloud():
    made = earth_search(LANDSAT_8, **{"eo:cloud_cover": -1})
    del made["assets"]["qa_pixel"], made["assets"]["qa_radsat"]
    assert scene_of(made) == Scene.at(USGS, LANDSAT_8, quality=False)


def without(name, product=LANDSAT_8):
    made = earth_search(product)
    del made["assets"][name]
    return made


def changed(name, asset, product=LANDSAT_8):
    made = earth_search(product)
    made["assets"][name] = asset
    return made


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({}, "not a STAC item"),
        ({"id": "x", "properties": {}}, "not a STAC item"),
        ({"id": "x", "properties": {}, "assets": {}}, "not a Landsat product"),
        ({"id": "x", "properties": {}, "assets": {"red": 3}}, "an asset has no address (href)"),
        (sentinel_2(), "not a Landsat product"),
        (collection_1(), "Collection 1"),
        (landsatlook(MSS), "NDVI of MSS does not agree with that of the other sensors"),
        (temperature_2020(LANDSAT_8), "surface temperature only"),
        (temperature_2020(LANDSAT_7), "surface temperature only"),
        (without("nir08"), "no near-infrared band"),
        (without("red", LANDSAT_5), "no red band"),
        (changed("red", {}), "an asset has no address (href)"),
        (changed("nir08", {"href": None}), "an asset has no address (href)"),
        (changed("qa_pixel", {"href": ""}), "an asset has no address (href)"),
        (changed("red", {"href": "s3://mine/red.TIF"}), "no red band"),
        (landsatlook(LANDSAT_8.replace("L2SP", "L1GT"), **{"view:sun_elevation": -40.1}), "taken at night"),
        (earth_search(LANDSAT_8.replace("LC08", "LT08")), "TIRS measures heat only"),
        (earth_search(LANDSAT_8.replace("20191201", "20191301")), "an impossible product id"),
        (earth_search(LANDSAT_8.replace("20191201", "20111201")), "an impossible product id"),
        (earth_search(LANDSAT_8.replace("L2SP", "L3SP")), "level 3"),
    ],
)
def test_items_that_cannot_serve_say_why(made, reason):
    with pytest.raises(Unusable) as caught:
        scene_of(made)
    assert caught.value.reason == reason
    assert isinstance(caught.value, ConfigError)
    assert str(caught.value) not in ("", reason)


def test_a_message_names_the_item_and_what_it_lacks():
    with pytest.raises(
        ConfigError, match=f"LC08_L2SP_008059_20191201_02_T1 has no near-infrared .* {LANDSAT_8}"
    ):
        scene_of(without("nir08"))
    with pytest.raises(ConfigError, match=COLLECTION_1):
        scene_of(collection_1())


def test_a_band_that_ndvi_does_not_need_may_be_missing_or_broken():
    made = without("blue")
    made["assets"]["swir16"] = {}
    assert set(scene_of(made).bands) == {"green", "red", "nir", "swir2"}


def local(folder, product, names):
    """Write empty files of a product into a folder."""
    for name in names:
        (folder / files(product)[name]).touch()


def test_files_that_are_here_are_preferred_and_a_download_is_read_from_here_alone(tmp_path):
    local(tmp_path, LANDSAT_8, ["red", "nir08", "mtl.txt"])
    scene = scene_of(landsatlook_2020(LANDSAT_8), str(tmp_path))
    assert scene.bands == {
        "red": f"{tmp_path}/{LANDSAT_8}_SR_B4.TIF",
        "nir": f"{tmp_path}/{LANDSAT_8}_SR_B5.TIF",
    }
    assert (scene.qa_pixel, scene.qa_radsat) == (None, None)
    assert scene.mtl == f"{tmp_path}/{LANDSAT_8}_MTL.txt"


def test_an_incomplete_download_takes_the_rest_from_s3(tmp_path):
    local(tmp_path, LANDSAT_8, ["red"])
    scene = scene_of(landsatlook(LANDSAT_8), str(tmp_path))
    assert scene.red == f"{tmp_path}/{LANDSAT_8}_SR_B4.TIF"
    assert scene.nir == Scene.at(USGS, LANDSAT_8).nir


def test_relative_and_absolute_paths_and_file_addresses(tmp_path):
    made = earth_search(LANDSAT_8)
    for name, start in (("red", "./"), ("nir08", f"file://{tmp_path}/with%20space/"), ("qa_pixel", "/data/")):
        made["assets"][name]["href"] = f"{start}{files(LANDSAT_8)[name]}"
    scene = scene_of(made, str(tmp_path))
    assert scene.red == f"{tmp_path}/{LANDSAT_8}_SR_B4.TIF"
    assert scene.nir == f"{tmp_path}/with space/{LANDSAT_8}_SR_B5.TIF"
    assert scene.qa_pixel == f"/data/{LANDSAT_8}_QA_PIXEL.TIF"
    assert scene.mtl is None, "there is none beside the red band"


def test_a_signature_is_not_part_of_a_file_name_and_is_not_shown():
    made = planetary_computer(LANDSAT_8)
    del made["assets"]["mtl.json"], made["assets"]["mtl.txt"]
    for asset in made["assets"].values():
        asset["href"] += "?st=2024&sig=ab/cd%2Fef"
    scene = scene_of(made)
    assert scene.product.id == LANDSAT_8
    assert scene.red.endswith("_SR_B4.TIF?st=2024&sig=ab/cd%2Fef")
    assert scene.mtl.endswith(f"/{LANDSAT_8}/{LANDSAT_8}_MTL.json?st=2024&sig=ab/cd%2Fef")
    assert "sig" not in repr(scene)
    for asset in made["assets"].values():
        asset["href"] = "https://user:pass@x.y/red.TIF?sig=ab"
    with pytest.raises(ConfigError, match=r"not named after a Landsat product \(red\.tif\)") as caught:
        scene_of(made)
    assert "pass" not in str(caught.value)


def test_planetary_computer_is_signed_by_its_package(monkeypatch):
    package = types.ModuleType("planetary_computer")
    package.sign_url = lambda href: f"{href}?sig=SECRET"
    monkeypatch.setitem(sys.modules, "planetary_computer", package)
    scene = scene_of(planetary_computer(LANDSAT_5))
    addresses = [*scene.bands.values(), scene.qa_pixel, scene.qa_radsat, scene.mtl]
    assert len(addresses) == 9
    assert all(href.endswith("?sig=SECRET") and href.count("sig=") == 1 for href in addresses)


def test_planetary_computer_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "planetary_computer", None)
    with pytest.raises(ConfigError, match="pip install planetary-computer"):
        scene_of(planetary_computer(LANDSAT_8))


def test_planetary_computer_that_gives_no_signature(monkeypatch):
    def fail(href):
        raise OSError("no route")

    package = types.ModuleType("planetary_computer")
    package.sign_url = fail
    monkeypatch.setitem(sys.modules, "planetary_computer", package)
    with pytest.raises(Unusable, match="no route") as caught:
        scene_of(planetary_computer(LANDSAT_8))
    assert caught.value.reason == "Planetary Computer gives no signature (OSError)"
