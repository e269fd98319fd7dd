"""What numbers a raster holds: rasters whose numbers would be misread are refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi.bands import Band, redact_address
from wrenlite.gallery.ndvi.indices import FILL, DigitalNumbers


def check_numbers(dataset: Any, band: Band) -> None:
    """Refuse a raster that does not have one band of the product's digital numbers.

    Args:
        dataset: the raster, opened by rasterio.
        band: the band that it is read as.

    Raises:
        ConfigError: the raster has several bands, numbers of another type, another scale than the product, or
            marks pixels without data by a number that it cannot hold.
    """
    wrong = _find_wrong(dataset, band)
    if wrong:
        raise ConfigError(
            f"band {band.name} of {band.product} at {redact_address(band.href)} cannot be used: {wrong}. Give"
            " the product's own file of digital numbers, and not one with reflectances or several bands"
        )


def _find_wrong(dataset: Any, band: Band) -> str:
    """Return what is wrong with a raster, or an empty text."""
    types = ", ".join(dict.fromkeys(dataset.dtypes))
    if dataset.count != 1 or types not in band.types:
        found = f"{types} pixels" if dataset.count == 1 else f"{dataset.count} bands of {types}"
        return f"the file has {found}, and the product has one band of {' or '.join(band.types)}"
    stated = float(dataset.scales[0]), float(dataset.offsets[0])
    due = band.scaling
    if due is not None and stated != (1.0, 0.0) and not np.allclose(stated, due, rtol=1e-4, atol=0):
        return (
            f"the file says scale {stated[0]:g} and offset {stated[1]:g}, and the product has {due[0]:g} and"
            f" {due[1]:g}"
        )
    nodata = dataset.nodata
    if nodata is not None and nodata not in range(np.iinfo(types).max + 1):
        return f"its pixels without data are said to be {nodata:g}, which {types} cannot hold"
    return ""


def has_other_fill(dataset: Any, band: Band) -> bool:
    """Return whether a raster of reflective numbers marks pixels without data by another number than fill.

    In quality bands that number has bits that say the same.
    """
    return not band.is_bits and dataset.nodata not in (None, FILL)


def as_digital_numbers(values: DigitalNumbers, dataset: Any, band: Band) -> DigitalNumbers:
    """Put fill where a raster's values say that there are no data, in place, and return them.

    Args:
        values: values as they are in the raster.
        dataset: the raster, opened by rasterio.
        band: the band that it is read as.
    """
    if has_other_fill(dataset, band):
        values[values == int(dataset.nodata)] = FILL
    return values
