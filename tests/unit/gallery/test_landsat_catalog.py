"""Scenes from STAC services, from stored STAC items and from product ids."""

import dataclasses
import json
import shutil
import socket
import sys
from datetime import date

import pytest

from tests.landsat import COLOMBIA, real_pixels
from wrenlite.errors import ConfigError, NotFound, PackageMissing, StoreError
from wrenlite.gallery.landsat import catalog
from wrenlite.gallery.landsat.access import USGS
from wrenlite.gallery.landsat.catalog import Query
from wrenlite.gallery.landsat.scene import Product, Scene
from wrenlite.gallery.synthetic import archive


def ndvi_files(scene):
    """Return a scene without the bands that NDVI does not need."""
    return dataclasses.replace(scene, bands={"red": scene.red, "nir": scene.nir})


def item(product=COLOMBIA, **changes):
    """Return an item like those of earth-search: an id without the processing date, and addresses on S3."""
    folder = f"{USGS}/{Product.parse(product).key}"
    assets = {
        name: {"href": f"{folder}/{product}_{file}"}
        for name, file in {
            "red": "SR_B4.TIF",
            "nir08": "SR_B5.TIF",
            "qa_pixel": "QA_PIXEL.TIF",
            "qa_radsat": "QA_RADSAT.TIF",
        }.items()
    }
    return {
        "id": "LC08_L2SP_008059_20191201_02_T1",
        "bbox": [-76.1, 0.4, -74.0, 2.5],
        "properties": {"datetime": "2019-12-01T15:13:51Z", "eo:cloud_cover": 81.02},
        "assets": assets,
    } | changes


def test_a_scene_is_made_from_its_addresses_not_from_its_items_id():
    assert ndvi_files(catalog.scene_of(item())) == ndvi_files(Scene.at(USGS, COLOMBIA, cloud=81.02))


def test_an_item_whose_addresses_require_a_login():
    changed = item()
    for asset in changed["assets"].values():
        asset["alternate"] = {"s3": {"href": asset["href"]}}
        asset["href"] = asset["href"].replace("s3://usgs-landsat", "https://landsatlook.usgs.gov/data")
    assert ndvi_files(catalog.scene_of(changed)) == ndvi_files(Scene.at(USGS, COLOMBIA, cloud=81.02))


def test_an_item_without_quality_bands_and_cloud():
    changed = item(properties={"datetime": "2019-12-01T15:13:51Z", "eo:cloud_cover": -1})
    del changed["assets"]["qa_pixel"], changed["assets"]["qa_radsat"]
    assert ndvi_files(catalog.scene_of(changed)) == ndvi_files(Scene.at(USGS, COLOMBIA, quality=False))


def test_an_item_without_a_band_names_both():
    changed = item()
    del changed["assets"]["nir08"]
    with pytest.raises(ConfigError, match="LC08_L2SP_008059_20191201_02_T1 has no near-infrared band"):
        catalog.scene_of(changed)


class Service:
    """A substitute for pystac-client's client, which records its requests."""

    def __init__(self, *items):
        self.items, self.asked = items, []

    def search(self, **asked):
        self.asked.append(asked)
        return self

    def items_as_dicts(self):
        return iter(self.items[: self.asked[-1]["max_items"]])


YEAR = (date(2019, 1, 1), date(2019, 12, 31))


def test_a_search_asks_for_place_time_and_cloud():
    service = Service(item())
    (scene,) = catalog.search(Query((-75.0, 1.5), *YEAR, cloud=20), client=service)
    assert scene.product.id == COLOMBIA
    (asked,) = service.asked
    assert asked["intersects"]["coordinates"] == [-75.0, 1.5]
    assert asked["datetime"] == "2019-01-01T00:00:00Z/2019-12-31T23:59:59Z"
    assert asked["query"] == {"eo:cloud_cover": {"lte": 20}}
    assert asked["collections"] == ["landsat-c2-l2"]
    assert asked["sortby"] == [{"field": "properties.datetime", "direction": "asc"}]


def test_a_search_across_the_antimeridian_asks_twice_and_finds_once():
    service = Service(item())
    assert len(catalog.search(Query((179.0, -17.0, -179.0, -16.0), *YEAR), client=service)) == 1
    assert [asked["bbox"] for asked in service.asked] == [
        [179.0, -17.0, 180.0, -16.0],
        [-180.0, -17.0, -179.0, -16.0],
    ]


def test_products_of_temperature_only_are_left_out():
    heat = item(assets={"lwir11": {"href": "s3://usgs-landsat/x.TIF"}})
    assert catalog.search(Query((-75.0, 1.5), *YEAR), client=Service(heat)) == []


def test_a_search_with_too_many_items_is_refused():
    items = [item(COLOMBIA.replace("20191201", f"201912{day:02}")) for day in range(1, 4)]
    query = Query((-75.0, 1.5), *YEAR)
    assert [scene.date.day for scene in catalog.search(query, client=Service(*items[::-1]), limit=3)] == [
        1,
        2,
        3,
    ]
    with pytest.raises(ConfigError, match="more than 2 items"):
        catalog.search(query, client=Service(*items), limit=2)


def test_a_client_that_fails():
    class Broken(Service):
        def items_as_dicts(self):
            raise RuntimeError("503 for this page")

    with pytest.raises(StoreError, match=r"cannot be reached: RuntimeError: 503 .*\(source synthetic\)"):
        catalog.search(Query((-75.0, 1.5), *YEAR), client=Broken())


def test_a_service_that_does_not_run():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening, so connections are refused
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(StoreError, match=f"the STAC service {url} cannot be reached: .*source synthetic"):
            catalog.search(Query((-75.0, 1.5), *YEAR), url=url)


def test_an_invalid_item_of_a_service():
    with pytest.raises(ConfigError, match="the STAC service of this client: 'x' is not a STAC item"):
        catalog.search(Query((-75.0, 1.5), *YEAR), client=Service({"id": "x"}))


def test_searching_without_pystac_client_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pystac_client", None)
    with pytest.raises(PackageMissing, match=r"pip install 'wrenlite\[landsat\]'"):
        catalog.search(Query((-75.0, 1.5), *YEAR))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ((1.0,), "give longitude, latitude"),
        ((4.8, -175.7), "longitude first"),
        ((-75, 5, -74, 4), "south the smaller"),
        ((-75, 4, -75, 5), "not the same"),
        ((-75, 4, float("nan"), 5), "is not a box"),
    ],
)
def test_invalid_places(place, message):
    with pytest.raises(ConfigError, match=message):
        Query(place, *YEAR)


def test_a_time_that_ends_before_it_starts():
    with pytest.raises(ConfigError, match="ends before it starts"):
        Query((-75.0, 1.5), YEAR[1], YEAR[0])


def test_known_ids_need_no_service():
    assert catalog.by_ids("s3://usgs-landsat/", [COLOMBIA]) == [Scene.at(USGS, COLOMBIA)]


def test_items_of_a_folder(landsat_archive):
    scenes = catalog.stored(str(landsat_archive))
    assert len(scenes) == len(archive.passes())
    assert [scene.date for scene in scenes] == sorted(scene.date for scene in scenes)
    napa = archive.find_place("napa")
    query = Query((napa.lon, napa.lat), date(2022, 1, 1), date(2022, 12, 31), cloud=30)
    found = catalog.stored(str(landsat_archive), query=query)
    assert 5 < len(found) < 23
    assert {(scene.product.path, scene.product.row) for scene in found} == {("045", "033")}
    assert all(scene.cloud <= 30 and scene.date.year == 2022 for scene in found)


def test_items_that_are_stored_beside_their_scenes(landsat_archive, tmp_path):
    folder = landsat_archive / "collection02"
    assert len(catalog.stored(str(folder))) == len(archive.passes())
    one = catalog.stored(str(folder))[0]
    assert one == catalog.stored(str(landsat_archive))[0].__class__.at(
        str(landsat_archive), one.product, cloud=one.cloud
    )
    with pytest.raises(NotFound, match=r"has neither items\.json nor any"):
        catalog.stored(str(tmp_path))


def test_a_real_item_of_2020_with_files_beside_it():
    root = str(real_pixels())
    folder = f"{root}/{Product.parse(COLOMBIA).key}"
    assert [ndvi_files(scene) for scene in catalog.stored(folder)] == [
        ndvi_files(Scene.at(root, COLOMBIA, cloud=81.02))
    ]


def test_a_real_folder_has_an_item_of_temperature_too(tmp_path):
    source = real_pixels() / Product.parse(COLOMBIA).key
    content = json.loads((source / f"{COLOMBIA}_SR_stac.json").read_text())
    folder = tmp_path / Product.parse(COLOMBIA).key
    shutil.copytree(source, folder, copy_function=shutil.copyfile)
    content["assets"] = {"ST_B10.TIF": {"href": "https://landsatlook.usgs.gov/data/x_ST_B10.TIF"}}
    (folder / f"{COLOMBIA}_ST_stac.json").write_text(json.dumps(content))
    assert [ndvi_files(scene) for scene in catalog.stored(folder)] == [
        ndvi_files(Scene.at(str(tmp_path), COLOMBIA, cloud=81.02))
    ]


def collection(folder, *items):
    """Write a list of items into a folder, and return the folder."""
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return folder


def test_a_product_of_temperature_beside_one_of_reflectance(tmp_path):
    heat = item(assets={"lwir11": {"href": "x_ST_B10.TIF"}})
    (tmp_path / "x_ST_stac.json").write_text(json.dumps(heat))
    (tmp_path / "x_SR_stac.json").write_text(json.dumps(item()))
    assert [ndvi_files(scene) for scene in catalog.stored(tmp_path)] == [
        ndvi_files(Scene.at(USGS, COLOMBIA, cloud=81.02))
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{oops", r"items\.json is not JSON"),
        ("\x00", r"items\.json is not JSON"),
        ("[]", r"items\.json is not a JSON object"),
        ("{}", r"items\.json is not a STAC ItemCollection"),
        ('{"features": 3}', r"items\.json is not a STAC ItemCollection"),
        ('{"features": [3]}', r"items\.json: 3 is not a STAC item"),
        ('{"features": [{"id": "a"}]}', "'a' is not a STAC item: it has no properties"),
        ('{"features": [{"id": "a", "properties": {}}]}', "'a' is not a STAC item: it has no assets"),
        ('{"features": [{"id": "a", "properties": {}, "assets": {"red": {}}}]}', "asset red has no href"),
    ],
)
def test_text_that_is_not_a_list_of_items(tmp_path, text, message):
    (tmp_path / "items.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        catalog.stored(tmp_path)


def test_a_broken_item_beside_its_scene(tmp_path):
    (tmp_path / "x_stac.json").write_text("{oops")
    with pytest.raises(ConfigError, match=r"x_stac\.json is not JSON"):
        catalog.stored(tmp_path)
    with pytest.raises(ConfigError, match="'x' is not a STAC item"):
        catalog.scene_of({"id": "x"})


@pytest.mark.parametrize("root", ["/", "", "s3://", "s3:///", "https://x.y/z", "file:///tmp"])
def test_roots_that_are_refused(root, tmp_path, monkeypatch):
    monkeypatch.chdir(collection(tmp_path, item()))
    with pytest.raises(
        ConfigError, match=f"'{root}' cannot be an archive of scenes: give a folder, or s3://bucket/prefix"
    ):
        catalog.stored(root)
    assert len(catalog.stored(".")) == 1


CORNERS = [[-75.7, 2.5], [-74.0, 2.1], [-74.4, 0.4], [-76.1, 0.8], [-75.7, 2.5]]
"""The corners of a scene, which is turned within its box."""


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon", "coordinates": [CORNERS]},
        {"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1]]], [CORNERS]]},
    ],
    ids=["polygon", "polygons"],
)
def test_a_query_compares_with_the_scenes_geometry_not_with_its_box(tmp_path, geometry):
    folder = collection(tmp_path, item(geometry=geometry))
    inside, corner = Query((-75.0, 1.5), *YEAR), Query((-76.05, 2.45), *YEAR)
    assert len(catalog.stored(folder, query=inside)) == 1
    assert catalog.stored(folder, query=corner) == []
    assert catalog.stored(folder, query=Query((-76.1, 2.3, -75.9, 2.5), *YEAR)) == []
    assert len(catalog.stored(folder, query=Query((-76.1, 2.0, -75.7, 2.5), *YEAR))) == 1
    for without in (item(), item(geometry=None), item(bbox=[-76.1, 0.4, 100.0, -74.0, 2.5, 3000.0])):
        assert len(catalog.stored(collection(tmp_path, without), query=corner)) == 1
        assert catalog.stored(folder, query=Query((-73.0, 1.5), *YEAR)) == []


def test_an_item_of_a_time_from_start_to_end(tmp_path):
    times = {
        "datetime": None,
        "start_datetime": "2019-12-01T15:13:00Z",
        "end_datetime": "2019-12-01T15:14:00Z",
    }
    folder = collection(tmp_path, item(properties=times))
    assert len(catalog.stored(folder, query=Query((-75.0, 1.5), *YEAR))) == 1
    assert catalog.stored(folder, query=Query((-75.0, 1.5), date(2020, 1, 1), date(2020, 12, 31))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"properties": {}},
        {"properties": {"datetime": "soon"}},
        {"bbox": [1]},
        {"bbox": None},
        {"geometry": 3},
    ],
)
def test_an_item_without_time_or_place_is_named(tmp_path, changes):
    with pytest.raises(
        ConfigError, match="item LC08_L2SP_008059_20191201_02_T1: its datetime, or its geometry"
    ):
        catalog.stored(collection(tmp_path, item(**changes)), query=Query((-75.0, 1.5), *YEAR))


def test_a_signature_is_not_part_of_a_file_name(tmp_path):
    changed = item()
    for asset in changed["assets"].values():
        href = asset["href"].replace(
            "s3://usgs-landsat/collection02", "https://x.blob.core.windows.net/landsat-c2"
        )
        asset["href"] = f"{href}?st=2024&sig=ab/cd%2Fef"
    scene = catalog.scene_of(changed)
    assert scene.product.id == COLOMBIA
    assert scene.red.endswith("_SR_B4.TIF?st=2024&sig=ab/cd%2Fef")
    assert scene.mtl.endswith(f"/{COLOMBIA}/{COLOMBIA}_MTL.json?st=2024&sig=ab/cd%2Fef")
    assert "sig" not in repr(scene)
    changed["assets"]["red"]["href"] = "https://user:pass@x.y/red.TIF?sig=ab"
    with pytest.raises(ConfigError, match=r"https://x\.y/red\.TIF is not named after"):
        catalog.scene_of(changed)
