"""Product ids, and the scenes that follow from them."""

import pickle

import pytest

from tests.landsat import COLOMBIA, TM_LEVEL_1
from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat.access import USGS
from wrenlite.gallery.landsat.scene import ETM, OLI, TM, Product, Scene


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
    ("text", "message"),
    [
        ("LC80080592019335LGN00", "is not a Landsat product id"),
        ("LC08_L2SP_008059_20191201_20200825_02_T1_SR", "is not a Landsat product id"),
        ("LC08_L2SP_008059_20191301_20200825_02_T1", "there is no such date"),
        ("LC08_L1TP_008059_20191201_20200825_01_T1", "collection 01 cannot be read"),
        ("LM05_L1TP_008059_19910802_20200915_02_T2", "cannot be used for NDVI: NDVI of MSS does not agree"),
        ("LT08_L1TP_008059_20191201_20200825_02_T1", "TIRS measures heat only"),
        ("LC05_L2SP_008059_20191201_20200825_02_T1", "Landsat 5 has no such instrument"),
        ("LE08_L2SP_008059_20191201_20200825_02_T1", "Landsat 8 has no such instrument"),
        ("LC08_L2ST_008059_20191201_20200825_02_T1", "level 2 with reflectance is SP or SR, not ST"),
        ("LC08_L1SP_008059_20191201_20200825_02_T1", "level 1 with reflectance is TP or GT or GS, not SP"),
        ("LC08_L2SP_999059_20191201_20200825_02_T1", "paths are 001 to 233"),
        ("LC08_L2SP_008000_20191201_20200825_02_T1", "rows 001 to 248"),
        ("LC08_L2SP_008059_20191201_20180825_02_T1", "before it was taken"),
        ("LC08_L2SP_008059_19001201_20200825_02_T1", "Landsat 8 took no scene before 2013"),
        ("LC08_L2SP_00８059_20191201_20200825_02_T1", "is not a Landsat product id"),
        ("LC08_L2SP_008059_20191201_20200825_02_T1\n", "is not a Landsat product id"),
    ],
)
def test_ids_that_cannot_be_read(text, message):
    with pytest.raises(ConfigError, match=message):
        Product.parse(text)


def test_a_scene_pickles_and_is_small():
    scene = Scene.at(USGS, COLOMBIA, cloud=81.0)
    assert pickle.loads(pickle.dumps(scene)) == scene
    assert len(pickle.dumps(scene)) < 2500
