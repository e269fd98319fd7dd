"""Scenes from STAC services, from stored STAC items and from product ids."""

import json
import shutil
import socket
import sys
import types
from datetime import date

import pytest

from tests.landsat import COLOMBIA, real_pixels
from tests.stac_items import (
    CORNERS,
    INSIDE,
    LANDSAT_5,
    LANDSAT_7,
    LANDSAT_8,
    LANDSAT_9,
    MSS,
    collection_1,
    earth_search,
    landsatlook,
    planetary_computer,
    sentinel_2,
    temperature_2020,
)
from wrenlite.errors import ConfigError, PackageMissing, StoreError
from wrenlite.gallery.landsat import catalog, items
from wrenlite.gallery.landsat.access import USGS
from wrenlite.gallery.landsat.catalog import Query
from wrenlite.gallery.landsat.scene import Product, Scene
from wrenlite.gallery.synthetic import archive


class Service:
    """A substitute for pystac-client's client, which records its requests."""

    def __init__(self, *items):
        self.items, self.asked, self.sent = items, [], 0

    def search(self, **asked):
        self.asked.append(asked)
        return self

    def items_as_dicts(self):
        for item in self.items:
            self.sent += 1
            yield item


YEAR = (date(2019, 1, 1), date(2019, 12, 31))


def test_a_search_asks_for_place_and_time():
    service = Service(earth_search(LANDSAT_8))
    (scene,) = catalog.search(Query(INSIDE, *YEAR, cloud=20), client=service)
    assert scene == Scene.at(USGS, LANDSAT_8, cloud=8.0)
    (asked,) = service.asked
    assert asked["intersects"]["coordinates"] == [-75.0, 1.5]
    assert asked["datetime"] == "2019-01-01T00:00:00Z/2019-12-31T23:59:59.999999Z"
    assert asked["collections"] == ["landsat-c2-l2"]
    assert asked["sortby"] == [{"field": "properties.datetime", "direction": "asc"}]
    assert "query" not in asked, "which would drop items whose cloud is not known"


@pytest.mark.parametrize(
    ("time", "asked"),
    [
        ({}, None),
        ({"start": "2019-01-01"}, "2019-01-01T00:00:00Z/.."),
        ({"end": "2019-12-31"}, "../2019-12-31T23:59:59.999999Z"),
    ],
)
def test_a_search_with_open_ends(time, asked):
    service = Service(earth_search(LANDSAT_8))
    assert len(catalog.search(Query(INSIDE, **time), client=service)) == 1
    assert service.asked[0].get("datetime") == asked


def test_a_search_across_the_antimeridian_asks_twice_and_finds_once():
    ring = [[178.0, -18.0], [-178.0, -18.0], [-178.0, -15.0], [178.0, -15.0], [178.0, -18.0]]
    service = Service(earth_search(LANDSAT_8) | {"geometry": {"type": "Polygon", "coordinates": [ring]}})
    found = catalog.search(Query((179.0, -17.0, -179.0, -16.0), *YEAR), client=service)
    assert len(found) == 1
    assert found.left_out == {}
    assert [asked["bbox"] for asked in service.asked] == [
        [179.0, -17.0, 180.0, -16.0],
        [-180.0, -17.0, -179.0, -16.0],
    ]


def test_collections_are_those_of_the_level_and_the_service():
    service = Service(landsatlook(LANDSAT_7.replace("L2SP", "L1TP")))
    found = catalog.search(Query(INSIDE, levels=(1, 2)), url=catalog.LANDSATLOOK, client=service)
    assert [scene.product.level for scene in found] == [1]
    assert service.asked[0]["collections"] == ["landsat-c2l1", "landsat-c2l2-sr"]
    catalog.search(Query(INSIDE), url=catalog.LANDSATLOOK, collection="mine", client=service)
    assert service.asked[1]["collections"] == ["mine"]
    with pytest.raises(ConfigError, match=r"earth-search .* has no scenes of level 1: .*landsatlook"):
        catalog.search(Query(INSIDE, levels=1), client=service)


def test_a_mixed_answer_gives_what_can_be_used_and_counts_the_rest_by_reason():
    older = LANDSAT_9.replace("20220105", "20220104")
    no_nir = earth_search(LANDSAT_8.replace("20191201", "20191202"))
    del no_nir["assets"]["nir08"]
    no_href = earth_search(LANDSAT_8.replace("20191201", "20191203"))
    no_href["assets"]["red"] = {}
    elsewhere = earth_search(LANDSAT_8.replace("20191201", "20191205"))
    elsewhere["geometry"]["coordinates"] = [[[10, 10], [11, 10], [11, 11]]]
    no_place = earth_search(LANDSAT_8.replace("20191201", "20191206")) | {"geometry": 3}
    answer = [
        *(earth_search(LANDSAT_8), landsatlook(LANDSAT_7), earth_search(LANDSAT_5)),
        *(landsatlook(LANDSAT_9), landsatlook(older) | {"id": "older"}),
        *(landsatlook(MSS), collection_1(), temperature_2020(LANDSAT_7), sentinel_2()),
        *(no_nir, no_href, elsewhere, no_place),
        *(None, 3, {"id": "a"}, {"id": "a", "properties": {}}),
        *(earth_search(LANDSAT_5.replace("T1", "T2")), landsatlook(LANDSAT_5.replace("L2SP", "L1TP"))),
    ]
    found = catalog.search(Query(INSIDE), client=Service(*answer, answer[0], answer[0]))
    assert [scene.product.id for scene in found] == [LANDSAT_5, LANDSAT_7, LANDSAT_8, LANDSAT_9]
    assert found.left_out == {
        "not a STAC item": 4,
        "listed more than once": 2,
        "NDVI of MSS does not agree with that of the other sensors": 1,
        "Collection 1": 1,
        "surface temperature only": 1,
        "not a Landsat product": 1,
        "no near-infrared band": 1,
        "an asset has no address (href)": 1,
        "the place cannot be read": 1,
        "another place": 1,
        "tier 2 (T2)": 1,
        "level 1": 1,
        "processed again later": 1,
    }


def days(count):
    return [earth_search(LANDSAT_8.replace("20191201", f"201912{day:02}")) for day in range(1, count + 1)]


def test_a_search_with_too_many_items_is_refused_and_not_read_to_its_end():
    query = Query(INSIDE, *YEAR)
    found = catalog.search(query, client=Service(*days(3)[::-1]), limit=3)
    assert [scene.date.day for scene in found] == [1, 2, 3]
    service = Service(*days(20))
    with pytest.raises(ConfigError, match=r"more than 2 items .* from 2019-01-01 to 2019-12-31: choose a"):
        catalog.search(query, client=service, limit=2)
    assert service.sent == 3


def test_a_service_that_repeats_items_has_no_more_of_them():
    repeating = [item for item in days(3) for _ in range(2)] + days(3)
    found = catalog.search(Query(INSIDE, *YEAR), client=Service(*repeating), limit=3)
    assert len(found) == 3
    assert found.left_out == {"listed more than once": 6}


def test_a_service_that_repeats_items_without_end():
    class Endless(Service):
        def items_as_dicts(self):
            while True:
                yield from self.items

    with pytest.raises(StoreError, match="sends the same items again and again"):
        catalog.search(Query(INSIDE, *YEAR), client=Endless(*days(3)))


def test_a_client_that_fails():
    class Broken(Service):
        def items_as_dicts(self):
            raise RuntimeError("503 for this page")

    with pytest.raises(
        StoreError, match=r"client gave an answer that is not .*: RuntimeError: 503 .*; check"
    ):
        catalog.search(Query(INSIDE, *YEAR), client=Broken())


def test_a_service_that_does_not_run():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening, so connections are refused
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(StoreError, match=f"the STAC service {url} cannot be reached: .*source synthetic"):
            catalog.search(Query(INSIDE, *YEAR), url=url)


def test_searching_without_pystac_client_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pystac_client", None)
    with pytest.raises(PackageMissing, match=r"pip install 'wrenlite\[landsat\]'"):
        catalog.search(Query(INSIDE, *YEAR))


def test_items_of_planetary_computer_are_left_out_where_they_cannot_be_signed(monkeypatch):
    monkeypatch.setitem(sys.modules, "planetary_computer", None)
    service = Service(planetary_computer(LANDSAT_8), earth_search(LANDSAT_9))
    found = catalog.search(Query(INSIDE), client=service)
    assert [scene.product.id for scene in found] == [LANDSAT_9]
    assert found.left_out == {"signing for Planetary Computer needs: pip install planetary-computer": 1}


def test_a_service_of_signatures_that_fails_is_asked_once(monkeypatch):
    asked = []

    def fail(href):
        asked.append(href)
        raise OSError("no route")

    package = types.ModuleType("planetary_computer")
    package.sign_url = fail
    monkeypatch.setitem(sys.modules, "planetary_computer", package)
    answer = [planetary_computer(each) for each in (LANDSAT_5, LANDSAT_7, LANDSAT_8)]
    found = catalog.search(Query(INSIDE), client=Service(*answer, earth_search(LANDSAT_9)))
    assert [scene.product.id for scene in found] == [LANDSAT_9]
    assert found.left_out == {"Planetary Computer gives no signature (OSError)": 3}
    assert len(asked) == 1


def test_known_ids_need_no_service():
    assert catalog.by_ids("s3://usgs-landsat/", [COLOMBIA]) == [Scene.at(USGS, COLOMBIA)]


def test_items_of_a_folder(landsat_archive):
    scenes = catalog.stored(str(landsat_archive))
    assert len(scenes) == len(archive.passes())
    assert [scene.date for scene in scenes] == sorted(scene.date for scene in scenes)
    assert scenes.left_out == {}
    napa = archive.find_place("napa")
    query = Query((napa.lon, napa.lat), date(2022, 1, 1), date(2022, 12, 31), cloud=30)
    found = catalog.stored(str(landsat_archive), query=query)
    assert 5 < len(found) < 23
    assert {(scene.product.path, scene.product.row) for scene in found} == {("045", "033")}
    assert all(scene.cloud <= 30 and scene.date.year == 2022 for scene in found)
    assert sum(found.left_out.values()) == len(scenes) - len(found)
    assert set(found.left_out) == {"another place", "another time", "too much cloud"}


def test_items_that_are_stored_beside_their_scenes(landsat_archive):
    folder = landsat_archive / "collection02"
    scenes = catalog.stored(str(folder))
    assert len(scenes) == len(archive.passes())
    assert scenes == catalog.stored(str(landsat_archive))


def test_a_real_item_of_2020_with_files_beside_it():
    root = str(real_pixels())
    folder = f"{root}/{Product.parse(COLOMBIA).key}"
    (scene,) = catalog.stored(folder)
    complete = Scene.at(root, COLOMBIA, cloud=81.02)
    assert scene.bands == {"red": complete.red, "nir": complete.nir}
    assert (scene.qa_pixel, scene.qa_radsat, scene.mtl) == (
        complete.qa_pixel,
        complete.qa_radsat,
        complete.mtl,
    )


def test_a_real_folder_has_an_item_of_temperature_too(tmp_path):
    folder = tmp_path / Product.parse(COLOMBIA).key
    shutil.copytree(real_pixels() / Product.parse(COLOMBIA).key, folder, copy_function=shutil.copyfile)
    (folder / f"{COLOMBIA}_ST_stac.json").write_text(json.dumps(temperature_2020(COLOMBIA)))
    found = catalog.stored(folder)
    assert [scene.product.id for scene in found] == [COLOMBIA]
    assert found.left_out == {"surface temperature only": 1}


def collection(folder, *items):
    """Write a list of items into a folder, and return the folder."""
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{oops", r"items\.json is not JSON"),
        ("\x00", r"items\.json is not JSON"),
        ("[" * 100_000, r"items\.json is not JSON"),
        ("[]", r"items\.json is not a JSON object"),
        ("{}", r"items\.json is not a STAC ItemCollection"),
        ('{"features": 3}', r"items\.json is not a STAC ItemCollection"),
    ],
)
def test_text_that_is_not_a_list_of_items(tmp_path, text, message):
    (tmp_path / "items.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        catalog.stored(tmp_path)


def test_items_that_are_none_do_not_refuse_the_others(tmp_path):
    folder = collection(tmp_path, 3, {"id": "a"}, {"id": "b", "properties": {}}, earth_search(LANDSAT_8))
    found = catalog.stored(folder)
    assert found == [Scene.at(USGS, LANDSAT_8, cloud=8.0)]
    assert found.left_out == {"not a STAC item": 3}
    assert catalog.stored(collection(tmp_path)) == []


def test_files_that_are_no_items_do_not_refuse_the_others(tmp_path):
    (tmp_path / "a_stac.json").write_text("{oops")
    (tmp_path / "b_stac.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "c_stac.json").write_text("[]")
    (tmp_path / "d_stac.json").write_text(json.dumps(earth_search(LANDSAT_8)))
    (tmp_path / "e_stac.json").mkdir()
    found = catalog.stored(tmp_path)
    assert found == [Scene.at(USGS, LANDSAT_8, cloud=8.0)]
    assert found.left_out == {"a file that is not JSON": 3}


@pytest.mark.parametrize("root", ["/", "", "s3://", "s3:///", "https://x.y/z", "file:///tmp"])
def test_roots_that_are_refused(root, tmp_path, monkeypatch):
    monkeypatch.chdir(collection(tmp_path, earth_search(LANDSAT_8)))
    with pytest.raises(
        ConfigError, match=f"'{root}' cannot be an archive of scenes: give a folder, or s3://bucket/prefix"
    ):
        catalog.stored(root)
    assert len(catalog.stored(".")) == 1


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon", "coordinates": [CORNERS]},
        {"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1]]], [CORNERS]]},
    ],
    ids=["polygon", "polygons"],
)
def test_a_query_compares_with_the_scenes_geometry_not_with_its_box(tmp_path, geometry):
    folder = collection(tmp_path, earth_search(LANDSAT_8) | {"geometry": geometry})
    inside, corner = Query(INSIDE, *YEAR), Query((-76.05, 2.45), *YEAR)
    assert len(catalog.stored(folder, query=inside)) == 1
    assert catalog.stored(folder, query=corner).left_out == {"another place": 1}
    assert catalog.stored(folder, query=Query((-76.1, 2.3, -75.9, 2.5), *YEAR)) == []
    assert len(catalog.stored(folder, query=Query((-76.1, 2.0, -75.7, 2.5), *YEAR))) == 1
    for box in ([-76.1, 0.4, -74.0, 2.5], [-76.1, 0.4, 100.0, -74.0, 2.5, 3000.0]):
        without = earth_search(LANDSAT_8) | {"geometry": None, "bbox": box}
        assert len(catalog.stored(collection(tmp_path, without), query=corner)) == 1
        assert catalog.stored(folder, query=Query((-73.0, 1.5), *YEAR)) == []


@pytest.mark.parametrize("time", [None, "soon", 5, "2019-12-01t24:00:00z", "0001-01-01T00:00:00+02:00", []])
def test_the_day_of_an_item_is_that_of_its_product_whatever_its_time_says(tmp_path, time):
    folder = collection(tmp_path, earth_search(LANDSAT_8, datetime=time))
    assert len(catalog.stored(folder, query=Query(INSIDE, "2019-12-01", "2019-12-01"))) == 1
    assert catalog.stored(folder, query=Query(INSIDE, "2019-12-02")).left_out == {"another time": 1}


ROUND = [-180.0, 1.0, 180.0, 3.0]


@pytest.mark.parametrize(
    "outline",
    [
        {"geometry": None, "bbox": ROUND},
        {"geometry": None, "bbox": [-175.0, 1.0, 175.0, 3.0]},
        {
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[-180, 1], [180, 1], [180, 3], [-180, 3], [-180, 1]]],
            }
        },
        {
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[-179.99, 1], [179.99, 1], [179.99, 3], [-180, 3]]],
            }
        },
        {
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [*([x, 1] for x in range(-180, 181, 60)), *([x, 3] for x in range(180, -181, -60))]
                ],
            }
        },
    ],
    ids=["box", "most of a box", "polygon", "almost", "many corners"],
)
def test_outlines_round_the_whole_earth(tmp_path, outline):
    folder = collection(tmp_path, earth_search(LANDSAT_8) | outline)
    for lon in (-174.5, -100, 0, 90.5, 174.5):
        assert len(catalog.stored(folder, query=Query((lon, 2.0)))) == 1, lon
        assert catalog.stored(folder, query=Query((lon, 4.0))) == []
    assert len(catalog.stored(folder, query=Query((-10.0, 2.0, 10.0, 5.0)))) == 1


def test_items_without_id_and_products_under_one_id_are_different():
    without_id = [{**earth_search(each), "id": None} for each in (LANDSAT_5, LANDSAT_7)]
    del without_id[0]["id"]
    same_id = [earth_search(each) | {"id": "same"} for each in (LANDSAT_8, LANDSAT_9)]
    temperature = temperature_2020(LANDSAT_8) | {"id": "same", "collection": same_id[0]["collection"]}
    found = catalog.search(Query(INSIDE), client=Service(*without_id, *same_id, temperature, without_id[0]))
    assert [scene.product.id for scene in found] == [LANDSAT_5, LANDSAT_7, LANDSAT_8, LANDSAT_9]
    assert found.left_out == {"surface temperature only": 1, "listed more than once": 1}


@pytest.mark.parametrize(
    "url",
    [
        f"{catalog.LANDSATLOOK}/",
        "HTTPS://LandsatLook.usgs.gov/stac-server",
        "https://landsatlook.usgs.gov:443/stac-server//",
    ],
)
def test_the_address_of_a_known_service_may_be_written_in_other_ways(url):
    service = Service(landsatlook(LANDSAT_8))
    catalog.search(Query(INSIDE, levels=(1, 2)), url=url, client=service)
    assert service.asked[0]["collections"] == ["landsat-c2l1", "landsat-c2l2-sr"]


def test_a_collection_that_is_not_known_and_an_address_that_is_none():
    with pytest.raises(
        ConfigError, match=r"collection of level 1 of the STAC service https://a\.b/c is not known"
    ):
        catalog.search(Query(INSIDE, levels=1), url="https://u:secret@a.b/c?key=secret")
    for url in ("https://[x/", "https://a:port/"):
        with pytest.raises(ConfigError, match="is not the address of a service"):
            catalog.search(Query(INSIDE), url=url)


def test_an_error_that_nobody_foresaw_leaves_out_one_item(monkeypatch):
    describe = items.describe

    def fail(item, folder=""):
        if item["id"] == "odd":
            raise ZeroDivisionError("nobody foresaw this")
        return describe(item, folder)

    monkeypatch.setattr(items, "describe", fail)
    service = Service(earth_search(LANDSAT_8) | {"id": "odd"}, earth_search(LANDSAT_9))
    found = catalog.search(Query(INSIDE), client=service)
    assert [scene.product.id for scene in found] == [LANDSAT_9]
    assert found.left_out == {"an item that cannot be read (ZeroDivisionError)": 1}


@pytest.mark.parametrize(
    "href", ["http://[x/y.png", "https://x/" + "a" * 5000, "file://[x/y", "a\x00b", "http://h/\ud800"]
)
def test_odd_addresses_of_assets_that_nobody_reads(tmp_path, href):
    odd = earth_search(LANDSAT_8)
    odd["assets"] |= {"thumbnail": {"href": href}, "blue": {"href": href}}
    (tmp_path / f"{LANDSAT_8}_stac.json").write_text(json.dumps(odd))
    (scene,) = catalog.stored(tmp_path)
    assert "blue" not in scene.bands


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"geometry": {"type": "Polygon", "coordinates": [[[10**400, 0]] * 4]}}, "the place cannot be read"),
        ({"geometry": None, "bbox": [1]}, "the place cannot be read"),
        ({"geometry": None, "bbox": None}, "the place cannot be read"),
        ({"geometry": {}}, "the place cannot be read"),
        ({"geometry": {"type": "Polygon", "coordinates": []}}, "the place cannot be read"),
        ({"geometry": {"type": "Polygon", "coordinates": [[["a", 1]] * 4]}}, "the place cannot be read"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[0, 95]] * 4]}}, "the place cannot be read"),
        ({"geometry": {"type": "MultiPolygon", "coordinates": [3]}}, "the place cannot be read"),
    ],
)
def test_an_item_without_place_is_left_out_of_a_query(tmp_path, changes, reason):
    folder = collection(tmp_path, earth_search(LANDSAT_8) | changes, earth_search(LANDSAT_9))
    found = catalog.stored(folder, query=Query(INSIDE))
    assert [scene.product.id for scene in found] == [LANDSAT_9]
    assert found.left_out == {reason: 1}
    assert len(catalog.stored(folder)) == 2, "without a query it is not needed"


JUNK = (
    None,
    3,
    True,
    "x",
    [],
    {},
    [[]],
    {"a": 1},
    float("nan"),
    float("inf"),
    -1,
    "",
    ["a"],
    {"href": 5},
    "\x00",
)


@pytest.mark.parametrize(
    "path",
    [
        *(["id"], ["collection"], ["bbox"], ["geometry"], ["properties"], ["assets"]),
        *(["geometry", "type"], ["geometry", "coordinates"], ["geometry", "coordinates", 0]),
        *(["geometry", "coordinates", 0, 0], ["geometry", "coordinates", 0, 0, 0]),
        *(["properties", name] for name in ("datetime", "eo:cloud_cover", "view:sun_elevation")),
        *(["assets", name] for name in ("red", "nir08", "blue", "qa_pixel", "MTL.json")),
        *(["assets", "red", name] for name in ("href", "alternate")),
        ["assets", "red", "alternate", "s3"],
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_no_value_in_an_item_refuses_the_others(path):
    for value in JUNK:
        changed = json.loads(json.dumps(landsatlook(LANDSAT_8)))
        part = changed
        for name in path[:-1]:
            part = part[name]
        part[path[-1]] = value
        found = catalog.search(Query(INSIDE), client=Service(changed, earth_search(LANDSAT_9)))
        assert LANDSAT_9 in [scene.product.id for scene in found], value
        assert len(found) + sum(found.left_out.values()) == 2, value
