"""A product's metadata file (MTL), as JSON or as text.

Both formats hold the same groups. The same name may stand in several groups: a level-2 file repeats
``REFLECTANCE_MULT_BAND_4`` for level 1. So a value is always read by group and name, never by name alone.
"""

from __future__ import annotations

import json
import re

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI, LEVEL_2
from wrenlite.gallery.landsat.scene import Product
from wrenlite.gallery.ndvi.indices import Calibration

Groups = dict[str, dict[str, str]]
"""Values as text, by name, by group."""
_ROOT = "LANDSAT_METADATA_FILE"
_RESCALING_GROUPS = {1: "LEVEL1_RADIOMETRIC_RESCALING", 2: "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"}
_LINE = re.compile(r"\s*(\w+) = (.*?)\s*")


def parse(text: str) -> Groups:
    """Return the groups of a metadata file.

    Args:
        text: content of the file, JSON or text.

    Raises:
        ConfigError: this is not a metadata file of Collection 2.
    """
    try:
        groups = _from_json(text) if text.lstrip().startswith("{") else _from_text(text)
    except (ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"this is not a Landsat metadata file (MTL): {error!r}") from error
    if "PRODUCT_CONTENTS" not in groups:
        raise ConfigError("this is not a Collection 2 metadata file (MTL): it has no group PRODUCT_CONTENTS")
    return groups


def _from_json(text: str) -> Groups:
    root = json.loads(text)[_ROOT]
    return {group: {name: str(value) for name, value in pairs.items()} for group, pairs in root.items()}


def _from_text(text: str) -> Groups:
    groups: Groups = {}
    open_groups: list[str] = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        name, value = match[1], match[2].strip('"')
        if name == "GROUP":
            open_groups.append(value)
            groups.setdefault(value, {})
        elif name == "END_GROUP":
            open_groups.pop()
        elif open_groups:
            groups[open_groups[-1]][name] = value
    groups.pop(_ROOT, None)
    return groups


def value(groups: Groups, group: str, name: str) -> str:
    """Return one value of one group.

    Raises:
        ConfigError: the metadata do not have it.
    """
    try:
        return groups[group][name]
    except KeyError:
        product = groups.get("PRODUCT_CONTENTS", {}).get("LANDSAT_PRODUCT_ID", "this product")
        raise ConfigError(f"{product}: its metadata (MTL) have no {name} in {group}") from None


def product(groups: Groups) -> Product:
    """Return the product that the metadata describe."""
    return Product.parse(value(groups, "PRODUCT_CONTENTS", "LANDSAT_PRODUCT_ID"))


def cloud(groups: Groups) -> float | None:
    """Return the percent of the scene under cloud; None where the file has -1, which means not assessed."""
    percent = float(value(groups, "IMAGE_ATTRIBUTES", "CLOUD_COVER"))
    return percent if percent >= 0 else None


def calibration(groups: Groups) -> Calibration:
    """Return the gains and offsets of the product's own level.

    Where the file has the usual gains and offsets, the exact whole numbers for them are returned.

    Raises:
        ConfigError: the metadata do not have them.
    """
    described = product(groups)
    red_gain, red_offset, nir_gain, nir_offset = (
        float(value(groups, _RESCALING_GROUPS[described.level], f"REFLECTANCE_{kind}_BAND_{band}"))
        for band in (described.sensor.red, described.sensor.nir)
        for kind in ("MULT", "ADD")
    )
    for factor, exact in ((400_000, LEVEL_2), (50_000, LEVEL_1_OLI)):
        scaled = Calibration(
            red_gain=round(red_gain * factor, 6),
            red_offset=round(red_offset * factor, 6),
            nir_gain=round(nir_gain * factor, 6),
            nir_offset=round(nir_offset * factor, 6),
        )
        if scaled == exact:
            return exact
    return Calibration(red_gain=red_gain, red_offset=red_offset, nir_gain=nir_gain, nir_offset=nir_offset)
