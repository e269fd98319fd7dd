"""Metadata files (MTL), as JSON and as text."""

import json

import pytest

from tests.landsat import COLOMBIA, TM_LEVEL_1, real_pixels
from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import metadata
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI, LEVEL_2
from wrenlite.gallery.landsat.scene import Product


def mtl_json(product, gains=("2.75e-05", "-0.2"), **attributes):
    """Return a metadata file with the gains and offsets of both levels."""
    bands = {
        f"REFLECTANCE_{kind}_BAND_{band}": gain
        for band in (3, 4, 5)
        for kind, gain in zip(("MULT", "ADD"), gains, strict=True)
    }
    level_1 = {name: "2.0000E-05" if "MULT" in name else "-0.100000" for name in bands}
    groups = {
        "PRODUCT_CONTENTS": {"LANDSAT_PRODUCT_ID": product},
        "IMAGE_ATTRIBUTES": {"CLOUD_COVER": "12.5", **attributes},
        "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": bands,
        "LEVEL1_RADIOMETRIC_RESCALING": level_1,
    }
    return json.dumps({"LANDSAT_METADATA_FILE": groups})


def as_text(mtl_json):
    """Return the same metadata file as text."""
    groups = json.loads(mtl_json)["LANDSAT_METADATA_FILE"]
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for group, pairs in groups.items():
        lines += [f"  GROUP = {group}", *(f'    {name} = "{value}"' for name, value in pairs.items())]
        lines += [f"  END_GROUP = {group}"]
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])


@pytest.mark.parametrize("write", [str, as_text], ids=["json", "text"])
def test_gains_are_those_of_the_products_own_level(write):
    groups = metadata.parse(write(mtl_json(COLOMBIA)))
    assert metadata.calibration(groups) == LEVEL_2
    level_1 = mtl_json(COLOMBIA.replace("L2SP", "L1TP"), SUN_ELEVATION="30.0")
    read = metadata.calibration(metadata.parse(write(level_1)))
    assert read.bands.items() <= LEVEL_1_OLI.bands.items()
    assert read.factor == pytest.approx(25_000)  # 50,000 times the sine of 30 degrees
    assert not read.surface
    assert metadata.product(groups).id == COLOMBIA
    assert metadata.cloud(groups) == 12.5


def test_gains_without_exact_whole_numbers_are_kept():
    content = json.loads(mtl_json(TM_LEVEL_1, SUN_ELEVATION="30.0"))
    rescaling = content["LANDSAT_METADATA_FILE"]["LEVEL1_RADIOMETRIC_RESCALING"]
    rescaling |= {"REFLECTANCE_MULT_BAND_3": "2.1056E-03", "REFLECTANCE_ADD_BAND_3": "-0.004453"}
    calibration = metadata.calibration(metadata.parse(json.dumps(content)))
    assert calibration.bands["red"] == (2.1056e-3, -0.004453)
    assert calibration.bands["nir"] == (2e-5, -0.1)
    assert calibration.factor == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("gains", "highest"),
    [(("1e-4", "0"), 10_000), (("2.75e-05", "-0.2"), 43_636), (("1e-5", "-0.1"), 65_535)],
)
def test_the_greatest_valid_number_of_level_2_has_the_reflectance_1(gains, highest):
    assert metadata.calibration(metadata.parse(mtl_json(COLOMBIA, gains))).highest == highest


def test_cloud_that_was_not_assessed_is_none():
    assert metadata.cloud(metadata.parse(mtl_json(COLOMBIA, CLOUD_COVER="-1.00"))) is None


@pytest.mark.parametrize(
    "text", [b"\xff\xfe", "END_GROUP = X", "", "{}", "[1]", "{broken", "GROUP = L1_METADATA_FILE\nEND"]
)
def test_text_that_is_not_a_metadata_file(text):
    with pytest.raises(ConfigError, match="metadata file"):
        metadata.parse(text)


def test_a_value_that_is_no_number_is_named():
    for text in ("?", "nan", "inf"):
        groups = metadata.parse(mtl_json(TM_LEVEL_1, SUN_ELEVATION=text))
        with pytest.raises(ConfigError, match=f"'{text}' for SUN_ELEVATION in IMAGE_ATTRIBUTES"):
            metadata.calibration(groups)


def test_a_missing_value_is_named():
    with pytest.raises(ConfigError, match=f"{COLOMBIA}.*no SUN_ELEVATION in IMAGE_ATTRIBUTES"):
        metadata.value(metadata.parse(mtl_json(COLOMBIA)), "IMAGE_ATTRIBUTES", "SUN_ELEVATION")


def test_real_metadata_files_in_both_formats():
    folder = real_pixels() / Product.parse(COLOMBIA).key
    formats = [metadata.parse((folder / f"{COLOMBIA}_MTL.{kind}").read_text()) for kind in ("json", "txt")]
    for groups in formats:
        assert metadata.calibration(groups) == LEVEL_2
        assert metadata.cloud(groups) == 81.02
        assert (
            metadata.value(groups, "LEVEL1_RADIOMETRIC_RESCALING", "REFLECTANCE_MULT_BAND_4") == "2.0000E-05"
        )
    assert formats[0].keys() == formats[1].keys()
