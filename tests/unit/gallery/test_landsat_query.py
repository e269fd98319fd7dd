"""Queries: places, times, and kinds of product; and the list of scenes that tells what was left out."""

import pickle
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from tests.stac_items import INSIDE, LANDSAT_5, LANDSAT_7, LANDSAT_8, earth_search
from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import items
from wrenlite.gallery.landsat.query import Query, Scenes
from wrenlite.gallery.landsat.scene import Scene

DAY = date(2021, 5, 1)


@pytest.mark.parametrize(
    "start",
    [
        DAY,
        "2021-05-01",
        "2021-05-01T23:59:00Z",
        datetime(2021, 5, 1, 23, 59),
        datetime(2021, 5, 1, 23, 59, tzinfo=UTC),
        datetime(2021, 5, 2, 1, 30, tzinfo=timezone(timedelta(hours=2))),
        pd.Timestamp("2021-05-01 12:00"),
    ],
)
def test_days_are_taken_in_utc_from_whatever_has_one(start):
    assert Query(INSIDE, start=start).start == DAY
    assert Query(INSIDE, end=start).end == DAY


@pytest.mark.parametrize(
    "value",
    [2021, 2021.5, "soon", "2021-05", "2021-02-30", True, (2021, 5, 1), pd.NaT, np.datetime64("2021-05-01")],
)
@pytest.mark.parametrize("name", ["start", "end"])
def test_what_is_no_day_is_refused_with_what_to_give(name, value):
    with pytest.raises(ConfigError, match=f"{name}=.* is no day: give a date, a datetime, a text such as"):
        Query(INSIDE, **{name: value})


def test_a_query_without_start_and_end_is_open():
    query = Query(INSIDE)
    assert (query.start, query.end) == (None, None)
    assert query.time == "at any time"
    assert Query(INSIDE, end=DAY).time == "to 2021-05-01"
    assert Query(INSIDE, DAY).time == "from 2021-05-01"


def test_a_time_that_ends_before_it_starts():
    with pytest.raises(ConfigError, match="ends before it starts"):
        Query(INSIDE, DAY, "2021-04-30")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ((1.0,), "give longitude, latitude"),
        ("napa", "give longitude, latitude"),
        (None, "give longitude, latitude"),
        (("west", "south"), "give longitude, latitude"),
        ((4.8, -175.7), "longitude first"),
        ((10**400, 1), "give longitude, latitude"),
        ((float("nan"), 5), "is not a point"),
        ((-75, 5, -74, 4), "south the smaller"),
        ((-75, 4, -75, 5), "not the same"),
        ((-75, 4, float("nan"), 5), "is not a box"),
    ],
)
def test_places_that_are_none(place, message):
    with pytest.raises(ConfigError, match=message):
        Query(place)


def test_a_place_may_be_any_sequence_of_numbers():
    assert Query([-75, 1.5]) == Query((-75.0, 1.5)) == Query(np.array([-75.0, 1.5]))


@pytest.mark.parametrize("cloud", [-1, 100.5, float("nan"), "20", None, True])
def test_shares_of_cloud_that_are_none(cloud):
    with pytest.raises(ConfigError, match="a percentage from 0 to 100"):
        Query(INSIDE, cloud=cloud)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"levels": (3,)}, r"levels=\(3,\): give one or more of 1, 2"),
        ({"levels": ()}, "give one or more of 1, 2"),
        ({"levels": "2"}, "give one or more of 1, 2"),
        ({"levels": True}, "give one or more of 1, 2"),
        ({"tiers": ("t1",)}, "give one or more of 'T1', 'T2', 'RT'"),
        ({"bands": ("blue", "nir08")}, "give one or more of 'blue', 'green', 'red', 'nir'"),
        ({"sensors": ("MSS",)}, "give one or more of 'OLI', 'ETM\\+', 'TM'"),
    ],
)
def test_kinds_of_product_that_do_not_exist(chosen, message):
    with pytest.raises(ConfigError, match=message):
        Query(INSIDE, **chosen)


def test_one_kind_of_product_needs_no_tuple():
    assert Query(INSIDE, levels=1, tiers="T2", sensors="TM") == Query(
        INSIDE, levels=(1,), tiers=("T2",), sensors=("TM",)
    )


def mismatch(item, **asked):
    return Query(INSIDE, **asked).mismatch(items.describe(item))


LEVEL_1 = LANDSAT_8.replace("L2SP", "L1TP")
TIER_2 = LANDSAT_8.replace("T1", "T2")
REAL_TIME = LANDSAT_8.replace("T1", "RT")


@pytest.mark.parametrize(
    ("product", "asked", "reason"),
    [
        (LANDSAT_8, {}, None),
        (LEVEL_1, {}, "level 1"),
        (LEVEL_1, {"levels": (1, 2)}, None),
        (LANDSAT_8, {"levels": 1}, "level 2"),
        (TIER_2, {}, "tier 2 (T2)"),
        (TIER_2, {"tiers": ("T1", "T2")}, None),
        (REAL_TIME, {}, "the real-time tier (RT)"),
        (REAL_TIME, {"tiers": "RT"}, None),
        (LANDSAT_5, {"sensors": ("OLI", "ETM+")}, "sensor TM"),
        (LANDSAT_7, {"sensors": ("OLI", "ETM+")}, None),
        (LANDSAT_8, {"bands": ("blue", "red", "nir", "swir2")}, None),
        (LANDSAT_8, {"start": "2019-12-02"}, "another time"),
        (LANDSAT_8, {"end": "2019-11-30"}, "another time"),
        (LANDSAT_8, {"start": "2019-12-01", "end": "2019-12-01"}, None),
        (LANDSAT_8, {"cloud": 7.5}, "too much cloud"),
    ],
)
def test_a_scene_that_is_not_asked_for_has_a_reason(product, asked, reason):
    assert mismatch(earth_search(product), **asked) == reason


@pytest.mark.parametrize(
    ("cloud", "reason"),
    [
        (None, None),
        (-1, None),
        ("n/a", None),
        (float("nan"), None),
        (True, None),
        ("12.5", "too much cloud"),
    ],
)
def test_a_scene_whose_cloud_is_not_known_is_always_found(cloud, reason):
    assert mismatch(earth_search(LANDSAT_8, **{"eo:cloud_cover": cloud}), cloud=5) == reason


def test_the_day_is_that_of_the_product_which_is_in_utc():
    made = earth_search(LANDSAT_8, datetime="2019-12-02T01:30:00+02:00")
    assert mismatch(made, start="2019-12-01", end="2019-12-01") is None
    assert mismatch(made, start="2019-12-02") == mismatch(made, end="2019-11-30") == "another time"


def test_a_list_of_scenes_tells_what_was_left_out_also_after_a_trip_to_a_worker():
    scenes = Scenes(
        [Scene.at("/x", LANDSAT_8), Scene.at("/x", LANDSAT_5)], {"another place": 1, "level 1": 3}
    )
    assert [scene.product.id for scene in scenes] == [LANDSAT_5, LANDSAT_8]
    assert repr(scenes) == (
        "Scenes(2 scenes from 1986-04-24 to 2019-12-01; 4 items left out: level 1 (3), another place (1))"
    )
    back = pickle.loads(pickle.dumps(scenes))
    assert (back, back.left_out) == (scenes, scenes.left_out)
    assert scenes.kinds_left_out == {"level 1": 3}
    assert Scenes(left_out={"too much cloud": 2, "another time": 1}).kinds_left_out == {"too much cloud": 2}
    assert Scenes().summary() == "0 scenes"
    assert Scenes(scenes[:1]).summary() == "1 scene of 1986-04-24"
    assert list(scenes) == scenes
