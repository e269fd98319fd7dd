"""A product's metadata file (MTL), as JSON or as text.

Both formats hold the same groups. The same name may stand in several groups: a level-2 file repeats
``REFLECTANCE_MULT_BAND_4`` for level 1. So a value is always read by group and name, never by name alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI, LEVEL_2
from wrenlite.gallery.landsat.scene import Product, Unusable, check_daylight, cloud_percent
from wrenlite.gallery.ndvi.indices import Calibration, Scaling

Groups = dict[str, dict[str, str]]
"""Values as text, by name, by group."""
_ROOT = "LANDSAT_METADATA_FILE"
RESCALING_GROUPS = {1: "LEVEL1_RADIOMETRIC_RESCALING", 2: "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"}
_LEAST_GAIN = 1e-7
"""A gain below this gives the greatest number of 16 bits a reflectance of less than 0.01."""
_LINE = re.compile(r"\s*(\w+) = (.*?)\s*")


def parse(content: str | bytes) -> Groups:
    """Return the groups of a metadata file.

    Args:
        content: content of the file, JSON or text.

    Raises:
        ConfigError: this is not a metadata file of Collection 2.
    """
    text = content if isinstance(content, str) else content.decode("utf-8", "replace")
    text = text.removeprefix("\ufeff")  # the byte order mark that editors of Windows write
    try:
        groups = _from_json(text) if text.lstrip().startswith("{") else _from_text(text)
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
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


def number(groups: Groups, group: str, name: str) -> float:
    """Return one value of one group as a number.

    Raises:
        ConfigError: the metadata do not have it, or it is no number.
    """
    text = value(groups, group, name)
    try:
        if math.isfinite(found := float(text)):
            return found
    except ValueError:
        pass
    raise ConfigError(f"the metadata (MTL) have {text!r} for {name} in {group}, which is no number")


def product(groups: Groups) -> Product:
    """Return the product that the metadata describe."""
    return Product.parse(value(groups, "PRODUCT_CONTENTS", "LANDSAT_PRODUCT_ID"))


def cloud(groups: Groups) -> float | None:
    """Return the percent of the scene under cloud; None where the file does not have it."""
    return cloud_percent(groups.get("IMAGE_ATTRIBUTES", {}).get("CLOUD_COVER"))


def calibration(groups: Groups) -> Calibration:
    """Return the gains and offsets of the product's own level, of all its reflective bands.

    Where the file has the usual gains and offsets, the exact whole numbers for them are returned.

    Raises:
        ConfigError: the metadata do not have them.
    """
    described = product(groups)
    check_daylight(described, groups.get("IMAGE_ATTRIBUTES", {}).get("SUN_ELEVATION"))
    group = RESCALING_GROUPS[described.level]
    kinds = ("MULT", "ADD")
    scalings = {
        name: Scaling(*(number(groups, group, f"REFLECTANCE_{kind}_BAND_{band}") for kind in kinds))
        for name, band in described.sensor.bands.items()
        if name in ("red", "nir") or f"REFLECTANCE_MULT_BAND_{band}" in groups.get(group, {})
    }
    for name, scaling in scalings.items():
        _check_scaling(described, name, scaling)
    if described.level == 2:
        usual = _times(scalings, 400_000).items() <= LEVEL_2.bands.items()
        highest = min(_greatest_valid(scaling) for scaling in scalings.values())
        return LEVEL_2 if usual else Calibration(scalings, factor=1.0, surface=True, highest=highest)
    sine = math.sin(math.radians(number(groups, "IMAGE_ATTRIBUTES", "SUN_ELEVATION")))
    whole = _times(scalings, 50_000)
    if whole.items() <= LEVEL_1_OLI.bands.items():
        return Calibration(whole, factor=50_000 * sine)
    return Calibration(scalings, factor=sine)


def _check_scaling(product: Product, band: str, scaling: Scaling) -> None:
    """Check that some numbers from 1 to 65,535 are reflectances from 0 to 1, and differ as such.

    Raises:
        Unusable: they are none.
    """
    gain, offset = scaling
    if not (gain >= _LEAST_GAIN and gain + offset < 1 and gain * 65_535 + offset > 0):
        raise Unusable(
            f"{product.id}: its metadata (MTL) have the gain {gain:g} and the offset {offset:g} for band"
            f" {band}, which give no reflectance between 0 and 1: download the file again",
            reason="a gain in the metadata file (MTL) that gives no reflectance",
        )


def _greatest_valid(scaling: Scaling) -> int:
    """Return the greatest number whose reflectance is at most 1, as for the usual gains of level 2."""
    gain, offset = scaling
    return min(math.floor(round((1 - offset) / gain, 6)), 65_535)


def _times(scalings: Mapping[str, Scaling], factor: float) -> dict[str, Scaling]:
    """Return gains and offsets times a factor, without the rounding of their decimals."""
    return {
        name: Scaling(round(gain * factor, 6), round(offset * factor, 6))
        for name, (gain, offset) in scalings.items()
    }
