"""Folders of downloads as a user of EarthExplorer has them: small rasters of one NDVI, with metadata files.

Groups and names of the metadata are those of Collection 2, level 1 and level 2.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wrenlite.gallery.landsat.scene import Product
from wrenlite.gallery.ndvi.cog import write_cog
from wrenlite.gallery.ndvi.grid import Grid

GRID = Grid(epsg=32618, west=499_035.0, north=166_785.0, pixel=(30.0, 30.0), width=64, height=64)
"""A grid about ``stac_items.INSIDE``."""
REFLECTANCES = {"blue": 0.04, "green": 0.06, "red": 0.05, "nir": 0.40, "swir1": 0.20, "swir2": 0.10}
NDVI = (0.40 - 0.05) / (0.40 + 0.05)
SUN_ELEVATION = 46.93
CLEAR = 21_824
"""QA_PIXEL of clear land: the bit "clear" and low confidence of everything else."""


def gains(product: Product) -> dict[str, tuple[float, float]]:
    """Return gain and offset of each band; those of TM and ETM+ differ from band to band."""
    if product.level == 2:
        return dict.fromkeys(product.sensor.bands, (2.75e-05, -0.2))
    if product.sensor.name == "OLI":
        return dict.fromkeys(product.sensor.bands, (2e-05, -0.1))
    return {
        name: (1.2e-3 + 2e-4 * number, -4e-3 - 1e-3 * number) for name, number in product.sensor.bands.items()
    }


def mtl(product: Product, **attributes: Any) -> dict[str, dict[str, Any]]:
    """Return the groups of a metadata file.

    Args:
        product: the product.
        attributes: values of the group IMAGE_ATTRIBUTES that replace the usual ones.
    """
    west, south, east, north = GRID.bounds
    numbers = product.sensor.bands
    scale = {
        f"REFLECTANCE_{kind}_BAND_{numbers[name]}": f"{value:.6E}"
        for name, pair in gains(product).items()
        for kind, value in zip(("MULT", "ADD"), pair, strict=True)
    }
    level_1 = {name: "2.0000E-05" if "MULT" in name else "-0.100000" for name in scale}
    corners = {"UL": (west, north), "UR": (east, north), "LL": (west, south), "LR": (east, south)}
    groups = {
        "PRODUCT_CONTENTS": {
            "ORIGIN": "made for a test",
            "LANDSAT_PRODUCT_ID": product.id,
            "COLLECTION_NUMBER": "02",
            "COLLECTION_CATEGORY": product.tier,
            **{f"FILE_NAME_BAND_{number}": product.band_file(number) for number in numbers.values()},
            "FILE_NAME_QUALITY_L1_PIXEL": product.file("QA_PIXEL.TIF"),
            "FILE_NAME_QUALITY_L1_RADIOMETRIC_SATURATION": product.file("QA_RADSAT.TIF"),
        },
        "IMAGE_ATTRIBUTES": {
            "DATE_ACQUIRED": product.acquired.isoformat(),
            "CLOUD_COVER": "8.00",
            "SUN_ELEVATION": f"{SUN_ELEVATION}",
            **attributes,
        },
        "PROJECTION_ATTRIBUTES": {
            f"CORNER_{corner}_{axis}_PRODUCT": f"{value:.5f}"
            for corner, pair in corners.items()
            for axis, value in zip(("LON", "LAT"), pair, strict=True)
        },
        "LEVEL1_RADIOMETRIC_RESCALING": scale if product.level == 1 else level_1,
    }
    if product.level == 2:
        groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"] = scale
    return groups


def mtl_json(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the groups of a metadata file as JSON."""
    return json.dumps({"LANDSAT_METADATA_FILE": groups})


def mtl_text(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the groups of a metadata file as text."""
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for group, pairs in groups.items():
        values = [f'    {name} = "{value}"' for name, value in pairs.items()]
        lines += [f"  GROUP = {group}", *values, f"  END_GROUP = {group}"]
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])


def write(
    folder: Path,
    product_id: str,
    *,
    kinds: Iterable[str] = ("txt",),
    quality: bool = True,
    only: Iterable[str] = tuple(REFLECTANCES),
    pixels: bool = True,
    **attributes: Any,
) -> Path:
    """Write the files of a download into a folder, which is made if it is missing, and return the folder.

    Args:
        folder: the folder.
        product_id: id of the product.
        kinds: formats of the metadata files, ``txt`` and ``json``.
        quality: whether the quality bands are there.
        only: the bands that are there.
        pixels: whether the bands are rasters; otherwise they are empty.
        attributes: see ``mtl``.
    """
    product = Product.parse(product_id)
    folder.mkdir(parents=True, exist_ok=True)
    sine = 1.0 if product.level == 2 else math.sin(math.radians(SUN_ELEVATION))
    dtype = np.uint8 if product.level == 1 and product.sensor.name != "OLI" else np.uint16
    rasters = {
        product.band_file(product.sensor.bands[name]): dtype(round((REFLECTANCES[name] * sine - add) / mult))
        for name, (mult, add) in gains(product).items()
        if name in only
    }
    if quality:
        rasters |= {
            product.file("QA_PIXEL.TIF"): np.uint16(CLEAR),
            product.file("QA_RADSAT.TIF"): np.uint16(0),
        }
    for name, value in rasters.items():
        if pixels:
            write_cog(folder / name, np.full((GRID.height, GRID.width), value), GRID, nodata=0)
        else:
            (folder / name).touch()
    writers = {"json": mtl_json, "txt": mtl_text}
    for kind in kinds:
        (folder / product.file(f"MTL.{kind}")).write_text(writers[kind](mtl(product, **attributes)))
    return folder
