import json
import pickle
import shutil
import socket
from datetime import date

import pytest

from tests.landsat import COLOMBIA, real_pixels
from wrenlite.errors import ConfigError, NotFound, PackageMissing, StoreError
from wrenlite.gallery.landsat import catalog, metadata
from wrenlite.gallery.landsat.catalog import Query
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI, LEVEL_2
from wrenlite.gallery.landsat.scene import ETM, OLI, TM, USGS, Product, Scene
from wrenlite.gallery.synthetic import archive

TM_LEVEL_1 = "LT05_L1TP_008059_19910802_20200915_02_T1"


@pytest.mark.parametrize(
    ("text", "sensor", "level", "key", "red", "nir"),
    [
        (COLOMBIA, OLI, 2, "collection02/level-2/standard/oli-tirs/2019/008/059", "SR_B4", "SR_B5"),
        (
            "LO09_L1GT_008059_20220101_20230101_02_T2",
            OLI,
            1,
            "collection02/level-1/standard/oli-tirs/2022/008/059",
            "B4",
            "B5",
        ),
        (
            "LE07_L2SP_044033_20030702_20200915_02_T1",
            ETM,
            2,
            "collection02/level-2/standard/etm/2003/044/033",
            "SR_B3",
            "SR_B4",
        ),
        (TM_LEVEL_1, TM, 1, "collection02/level-1/standard/tm/1991/008/059", "B3", "B4"),
        (
            "LT04_L2SR_147046_19890202_20200916_02_T2",
            TM,
            2,
            "collection02/level-2/standard/tm/1989/147/046",
            "SR_B3",
            "SR_B4",
        ),
    ],
)
def test_ids_keys_and_bands_of_every_sensor(text, sensor, level, key, red, nir):
    product = Product.parse(text)
    scene = Scene.at(USGS, text)
    assert (product.sensor, product.level) == (sensor, level)
    assert scene.red == f"s3://usgs-landsat/{key}/{text}/{text}_{red}.TIF"
    assert scene.nir == f"s3://usgs-landsat/{key}/{text}/{text}_{nir}.TIF"
    assert scene.qa_pixel == f"s3://usgs-landsat/{key}/{text}/{text}_QA_PIXEL.TIF"
    assert scene.mtl == f"s3://usgs-landsat/{key}/{text}/{text}_MTL.json"
    assert scene.date == product.acquired


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("LC80080592019335LGN00", "is not a Landsat product id"),
        ("LC08_L2SP_008059_20191201_20200825_02_T1_SR", "is not a Landsat product id"),
        ("LC08_L2SP_008059_20191301_20200825_02_T1", "no such date"),
        ("LC08_L1TP_008059_20191201_20200825_01_T1", "collection 01 cannot be read"),
        ("LM05_L1TP_008059_19910802_20200915_02_T2", "no NDVI from it"),
        ("LT08_L1TP_008059_20191201_20200825_02_T1", "TIRS sees heat only"),
        ("LC05_L2SP_008059_20191201_20200825_02_T1", "Landsat 5 has no such instrument"),
        ("LE08_L2SP_008059_20191201_20200825_02_T1", "Landsat 8 has no such instrument"),
        ("LC08_L2ST_008059_20191201_20200825_02_T1", "level 2 with reflectance is SP or SR"),
        ("LC08_L1SP_008059_20191201_20200825_02_T1", "level 1 with reflectance is TP or GT or GS"),
        ("LC08_L2SP_999059_20191201_20200825_02_T1", "paths are 001 to 233"),
        ("LC08_L2SP_008000_20191201_20200825_02_T1", "rows 001 to 248"),
        ("LC08_L2SP_008059_20191201_20180825_02_T1", "before it was taken"),
        ("LC08_L2SP_008059_19001201_20200825_02_T1", "Landsat 8 took no scene before 2013"),
        ("LC08_L2SP_00８059_20191201_20200825_02_T1", "is not a Landsat product id"),
        ("LC08_L2SP_008059_20191201_20200825_02_T1\n", "is not a Landsat product id"),
    ],
)
def test_ids_that_cannot_be_read(text, what):
    with pytest.raises(ConfigError, match=what):
        Product.parse(text)


def test_a_scene_travels():
    scene = Scene.at(USGS, COLOMBIA, cloud=81.0)
    assert pickle.loads(pickle.dumps(scene)) == scene
    assert len(pickle.dumps(scene)) < 2000


def level_2(product, gains=("2.75e-05", "-0.2"), **attributes):
    bands = {
        f"REFLECTANCE_{what}_BAND_{band}": gain
        for band in (3, 4, 5)
        for what, gain in zip(("MULT", "ADD"), gains, strict=True)
    }
    level_1 = {name: "2.0000E-05" if "MULT" in name else "-0.100000" for name in bands}
    groups = {
        "PRODUCT_CONTENTS": {"LANDSAT_PRODUCT_ID": product},
        "IMAGE_ATTRIBUTES": {"CLOUD_COVER": "12.5", **attributes},
        "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": bands,
        "LEVEL1_RADIOMETRIC_RESCALING": level_1,
    }
    return json.dumps({"LANDSAT_METADATA_FILE": groups})


def as_text(told):
    groups = json.loads(told)["LANDSAT_METADATA_FILE"]
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for group, pairs in groups.items():
        lines += [f"  GROUP = {group}", *(f'    {name} = "{value}"' for name, value in pairs.items())]
        lines += [f"  END_GROUP = {group}"]
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])


@pytest.mark.parametrize("write", [str, as_text], ids=["json", "text"])
def test_gains_are_those_of_the_products_own_level(write):
    groups = metadata.parse(write(level_2(COLOMBIA)))
    assert metadata.form(groups) == LEVEL_2
    assert metadata.form(metadata.parse(write(level_2(COLOMBIA.replace("L2SP", "L1TP"))))) == LEVEL_1_OLI
    assert metadata.product(groups).id == COLOMBIA
    assert metadata.cloud(groups) == 12.5


def test_gains_that_are_no_whole_numbers_are_kept():
    told = json.loads(level_2(TM_LEVEL_1))
    rescaling = told["LANDSAT_METADATA_FILE"]["LEVEL1_RADIOMETRIC_RESCALING"]
    rescaling |= {"REFLECTANCE_MULT_BAND_3": "2.1056E-03", "REFLECTANCE_ADD_BAND_3": "-0.004453"}
    form = metadata.form(metadata.parse(json.dumps(told)))
    assert (form.red_gain, form.red_offset, form.nir_gain) == (2.1056e-3, -0.004453, 2e-5)


def test_cloud_that_was_not_assessed_is_none():
    assert metadata.cloud(metadata.parse(level_2(COLOMBIA, CLOUD_COVER="-1.00"))) is None


@pytest.mark.parametrize("text", ["", "{}", "[1]", "{broken", "GROUP = L1_METADATA_FILE\nEND"])
def test_what_is_no_metadata_file(text):
    with pytest.raises(ConfigError, match="metadata file"):
        metadata.parse(text)


def test_a_missing_value_is_named():
    with pytest.raises(ConfigError, match=f"{COLOMBIA}.*no SUN_ELEVATION in IMAGE_ATTRIBUTES"):
        metadata.value(metadata.parse(level_2(COLOMBIA)), "IMAGE_ATTRIBUTES", "SUN_ELEVATION")


def test_real_metadata_files_in_both_forms():
    folder = real_pixels() / Product.parse(COLOMBIA).key
    both = [metadata.parse((folder / f"{COLOMBIA}_MTL.{kind}").read_text()) for kind in ("json", "txt")]
    for groups in both:
        assert metadata.form(groups) == LEVEL_2
        assert metadata.cloud(groups) == 81.02
        assert (
            metadata.value(groups, "LEVEL1_RADIOMETRIC_RESCALING", "REFLECTANCE_MULT_BAND_4") == "2.0000E-05"
        )
    assert both[0].keys() == both[1].keys()


def item(product=COLOMBIA, **changes):
    """As earth-search has them: an id without the processing date, addresses on S3."""
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


def test_a_scene_comes_from_its_addresses_not_from_its_items_id():
    assert catalog.scene_of(item()) == Scene.at(USGS, COLOMBIA, cloud=81.02)


def test_an_item_whose_addresses_lie_behind_a_login():
    told = item()
    for asset in told["assets"].values():
        asset["alternate"] = {"s3": {"href": asset["href"]}}
        asset["href"] = asset["href"].replace("s3://usgs-landsat", "https://landsatlook.usgs.gov/data")
    assert catalog.scene_of(told) == Scene.at(USGS, COLOMBIA, cloud=81.02)


def test_an_item_without_quality_bands_and_cloud():
    told = item(properties={"datetime": "2019-12-01T15:13:51Z", "eo:cloud_cover": -1})
    del told["assets"]["qa_pixel"], told["assets"]["qa_radsat"]
    assert catalog.scene_of(told) == Scene.at(USGS, COLOMBIA, quality=False)


def test_an_item_without_a_band_names_both():
    told = item()
    del told["assets"]["nir08"]
    with pytest.raises(ConfigError, match="LC08_L2SP_008059_20191201_02_T1 has no near-infrared band"):
        catalog.scene_of(told)


class Service:
    """Stands for pystac-client: remembers what it was asked."""

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


def test_products_of_temperature_alone_are_left_out():
    heat = item(assets={"lwir11": {"href": "s3://usgs-landsat/x.TIF"}})
    assert catalog.search(Query((-75.0, 1.5), *YEAR), client=Service(heat)) == []


def test_a_search_with_too_many_items_is_refused_not_cut():
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


def test_a_service_that_nobody_runs():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, and not listening: connections are refused
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(StoreError, match=f"the STAC service {url} cannot be reached: .*source synthetic"):
            catalog.search(Query((-75.0, 1.5), *YEAR), url=url)


def test_items_of_a_service_that_are_none():
    with pytest.raises(ConfigError, match="the STAC service of this client: 'x' is no STAC item"):
        catalog.search(Query((-75.0, 1.5), *YEAR), client=Service({"id": "x"}))


def test_searching_without_pystac_client_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pystac_client", None)
    with pytest.raises(PackageMissing, match=r"pip install 'wrenlite\[landsat\]'"):
        catalog.search(Query((-75.0, 1.5), *YEAR))


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ((1.0,), "give longitude, latitude"),
        ((4.8, -175.7), "longitude first"),
        ((-75, 5, -74, 4), "south the smaller"),
        ((-75, 4, -75, 5), "not the same"),
        ((-75, 4, float("nan"), 5), "is not a box"),
    ],
)
def test_places_that_are_none(where, what):
    with pytest.raises(ConfigError, match=what):
        Query(where, *YEAR)


def test_a_time_that_runs_backwards():
    with pytest.raises(ConfigError, match="ends before it starts"):
        Query((-75.0, 1.5), YEAR[1], YEAR[0])


def test_known_ids_need_no_service():
    assert catalog.known("s3://usgs-landsat/", [COLOMBIA]) == [Scene.at(USGS, COLOMBIA)]


def test_items_of_a_folder(landsat_archive):
    scenes = catalog.stored(str(landsat_archive))
    assert len(scenes) == len(archive.passes())
    assert [scene.date for scene in scenes] == sorted(scene.date for scene in scenes)
    napa = archive.place("napa")
    query = Query((napa.lon, napa.lat), date(2022, 1, 1), date(2022, 12, 31), cloud=30)
    found = catalog.stored(str(landsat_archive), query=query)
    assert 5 < len(found) < 23
    assert {(scene.product.path, scene.product.row) for scene in found} == {("045", "033")}
    assert all(scene.cloud <= 30 and scene.date.year == 2022 for scene in found)


def test_items_that_lie_beside_their_scenes(landsat_archive, tmp_path):
    folder = landsat_archive / "collection02"
    assert len(catalog.stored(str(folder))) == len(archive.passes())
    one = catalog.stored(str(folder))[0]
    assert one == catalog.stored(str(landsat_archive))[0].__class__.at(
        str(landsat_archive), one.product, cloud=one.cloud
    )
    with pytest.raises(NotFound, match=r"has neither items\.json nor any"):
        catalog.stored(str(tmp_path))


def test_a_real_item_of_2020_whose_files_lie_beside_it():
    root = str(real_pixels())
    folder = f"{root}/{Product.parse(COLOMBIA).key}"
    assert catalog.stored(folder) == [Scene.at(root, COLOMBIA, cloud=81.02)]


def test_a_real_folder_has_an_item_of_temperature_too(tmp_path):
    source = real_pixels() / Product.parse(COLOMBIA).key
    told = json.loads((source / f"{COLOMBIA}_SR_stac.json").read_text())
    folder = tmp_path / Product.parse(COLOMBIA).key
    shutil.copytree(source, folder, copy_function=shutil.copyfile)
    told["assets"] = {"ST_B10.TIF": {"href": "https://landsatlook.usgs.gov/data/x_ST_B10.TIF"}}
    (folder / f"{COLOMBIA}_ST_stac.json").write_text(json.dumps(told))
    assert catalog.stored(folder) == [Scene.at(str(tmp_path), COLOMBIA, cloud=81.02)]


def collection(folder, *items):
    """A folder with these items."""
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return folder


def test_a_product_of_temperature_beside_one_of_reflectance(tmp_path):
    heat = item(assets={"lwir11": {"href": "x_ST_B10.TIF"}})
    (tmp_path / "x_ST_stac.json").write_text(json.dumps(heat))
    (tmp_path / "x_SR_stac.json").write_text(json.dumps(item()))
    assert catalog.stored(tmp_path) == [Scene.at(USGS, COLOMBIA, cloud=81.02)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{oops", r"items\.json is not JSON"),
        ("\x00", r"items\.json is not JSON"),
        ("[]", r"items\.json is no JSON object"),
        ("{}", r"items\.json is no STAC ItemCollection"),
        ('{"features": 3}', r"items\.json is no STAC ItemCollection"),
        ('{"features": [3]}', r"items\.json: 3 is no STAC item"),
        ('{"features": [{"id": "a"}]}', "'a' is no STAC item: it has no properties"),
        ('{"features": [{"id": "a", "properties": {}}]}', "'a' is no STAC item: it has no assets"),
        ('{"features": [{"id": "a", "properties": {}, "assets": {"red": {}}}]}', "asset red has no href"),
    ],
)
def test_what_is_no_list_of_items(tmp_path, text, what):
    (tmp_path / "items.json").write_text(text)
    with pytest.raises(ConfigError, match=what):
        catalog.stored(tmp_path)


def test_an_item_that_is_broken_and_lies_beside_its_scene(tmp_path):
    (tmp_path / "x_stac.json").write_text("{oops")
    with pytest.raises(ConfigError, match=r"x_stac\.json is not JSON"):
        catalog.stored(tmp_path)
    with pytest.raises(ConfigError, match="'x' is no STAC item"):
        catalog.scene_of({"id": "x"})


@pytest.mark.parametrize("root", ["/", "", "s3://", "s3:///", "https://x.y/z", "file:///tmp"])
def test_roots_that_are_none(root, tmp_path, monkeypatch):
    monkeypatch.chdir(collection(tmp_path, item()))
    with pytest.raises(ConfigError, match=f"'{root}' holds no scenes: give a folder, or s3://bucket/prefix"):
        catalog.stored(root)
    assert len(catalog.stored(".")) == 1


CORNERS = [[-75.7, 2.5], [-74.0, 2.1], [-74.4, 0.4], [-76.1, 0.8], [-75.7, 2.5]]
"""A scene as it lies, turned within its box."""


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon", "coordinates": [CORNERS]},
        {"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1]]], [CORNERS]]},
    ],
    ids=["polygon", "polygons"],
)
def test_a_query_asks_for_where_the_scene_lies_not_for_its_box(tmp_path, geometry):
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


def test_a_signature_is_no_part_of_a_file_name(tmp_path):
    told = item()
    for asset in told["assets"].values():
        href = asset["href"].replace(
            "s3://usgs-landsat/collection02", "https://x.blob.core.windows.net/landsat-c2"
        )
        asset["href"] = f"{href}?st=2024&sig=ab/cd%2Fef"
    scene = catalog.scene_of(told)
    assert scene.product.id == COLOMBIA
    assert scene.red.endswith("_SR_B4.TIF?st=2024&sig=ab/cd%2Fef")
    assert scene.mtl.endswith(f"/{COLOMBIA}/{COLOMBIA}_MTL.json?st=2024&sig=ab/cd%2Fef")
    assert "sig" not in repr(scene)
    told["assets"]["red"]["href"] = "https://user:pass@x.y/red.TIF?sig=ab"
    with pytest.raises(ConfigError, match=r"https://x\.y/red\.TIF is not named after"):
        catalog.scene_of(told)
