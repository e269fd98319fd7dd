"""A product's metadata file (MTL), as JSON or as text.

Both hold the same groups, and the same name may stand in several: a level-2 file repeats
``REFLECTANCE_MULT_BAND_4`` for level 1. So a value is asked for by group and name, never by name alone.
"""

from __future__ import annotations

import json
import re

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI, LEVEL_2
from wrenlite.gallery.landsat.scene import Product
from wrenlite.gallery.ndvi.indices import Form

Groups = dict[str, dict[str, str]]
_ROOT = "LANDSAT_METADATA_FILE"
_SCALING = {1: "LEVEL1_RADIOMETRIC_RESCALING", 2: "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"}
_LINE = re.compile(r"\s*(\w+) = (.*?)\s*")


def parse(text: str) -> Groups:
    """The groups of a file, JSON or text, by name; values are text, as in both. Raises ConfigError."""
    try:
        groups = _from_json(text) if text.lstrip().startswith("{") else _from_text(text)
    except (ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"not a Landsat metadata file (MTL): {error!r}") from error
    if "PRODUCT_CONTENTS" not in groups:
        raise ConfigError("not a Collection 2 metadata file (MTL): it has no group PRODUCT_CONTENTS")
    return groups


def _from_json(text: str) -> Groups:
    root = json.loads(text)[_ROOT]
    return {group: {name: str(value) for name, value in pairs.items()} for group, pairs in root.items()}


def _from_text(text: str) -> Groups:
    groups: Groups = {}
    here: list[str] = []
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        name, value = found[1], found[2].strip('"')
        if name == "GROUP":
            here.append(value)
            groups.setdefault(value, {})
        elif name == "END_GROUP":
            here.pop()
        elif here:
            groups[here[-1]][name] = value
    groups.pop(_ROOT, None)
    return groups


def value(groups: Groups, group: str, name: str) -> str:
    """One value of one group. Raises ConfigError, which names both and the product."""
    try:
        return groups[group][name]
    except KeyError:
        product = groups.get("PRODUCT_CONTENTS", {}).get("LANDSAT_PRODUCT_ID", "this product")
        raise ConfigError(f"{product}: its metadata (MTL) have no {name} in {group}") from None


def product(groups: Groups) -> Product:
    """The product that the file belongs to."""
    return Product.parse(value(groups, "PRODUCT_CONTENTS", "LANDSAT_PRODUCT_ID"))


def cloud(groups: Groups) -> float | None:
    """Percent of the scene under cloud; None where it was not assessed, which is written as -1."""
    percent = float(value(groups, "IMAGE_ATTRIBUTES", "CLOUD_COVER"))
    return percent if percent >= 0 else None


def form(groups: Groups) -> Form:
    """How the product's numbers become NDVI, from the gains and offsets of its own level.

    The exact forms come back where the file has the gains that they are made for.
    """
    known = product(groups)
    gains = [
        float(value(groups, _SCALING[known.level], f"REFLECTANCE_{what}_BAND_{band}"))
        for band in (known.sensor.red, known.sensor.nir)
        for what in ("MULT", "ADD")
    ]
    read = Form(*gains)
    for factor, exact in ((400_000, LEVEL_2), (50_000, LEVEL_1_OLI)):
        scaled = Form(*(round(gain * factor, 6) for gain in gains))
        if scaled == exact:
            return exact
    return read
