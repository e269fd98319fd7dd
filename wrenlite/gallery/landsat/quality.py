"""Digital numbers of Collection 2: gains and offsets of the products, and usable pixels. Pure numpy."""

from __future__ import annotations

import numpy as np

from wrenlite.gallery.ndvi.indices import Calibration, DigitalNumbers, Mask

UNUSABLE = 0b11111
"""Bits of QA_PIXEL: fill, dilated cloud, cirrus, cloud, cloud shadow."""
_DROPPED_OR_OCCLUDED = 1 << 9 | 1 << 11
"""Bits of QA_RADSAT: a pixel dropped in transmission (TM, ETM+), and terrain in the line of sight (OLI).

Each sensor leaves the other sensors' bit at 0. Source: USGS LSDS-1618 and LSDS-1619, "Collection 2 Level 2
Science Product Guide" of Landsat 4-7 and 8-9.
"""

LEVEL_2 = Calibration(
    red_gain=11.0, red_offset=-80_000.0, nir_gain=11.0, nir_offset=-80_000.0, highest=43_636
)
"""Surface reflectance, 2.75e-5 DN - 0.2, times 400,000: NDVI is 11 (N - R) / (11 (N + R) - 160,000).

Valid numbers are 7,273 to 43,636, which are reflectances above 0 and up to 1 (LSDS-1618, LSDS-1619); numbers
beyond them are glint, bright clouds, and places where the correction for the atmosphere failed.
"""
LEVEL_1_OLI = Calibration(red_gain=1.0, red_offset=-5_000.0, nir_gain=1.0, nir_offset=-5_000.0)
"""Reflectance at the top of the atmosphere, (2e-5 DN - 0.1) / sin(sun elevation), times 50,000.

The sine cancels in NDVI.
"""


def usable(
    red: DigitalNumbers,
    nir: DigitalNumbers,
    calibration: Calibration = LEVEL_2,
    *,
    qa_pixel: DigitalNumbers | None = None,
    qa_radsat: DigitalNumbers | None = None,
    saturation_bits: int = 0b11000,
) -> Mask:
    """Return which pixels have a meaningful NDVI.

    These are pixels with valid reflectances and without cloud or shadow, which are not saturated, dropped in
    transmission or hidden by terrain.

    Args:
        red: digital numbers of the red band. Fill, 0, is below every valid number.
        nir: digital numbers of the near-infrared band, of the same shape.
        calibration: gains, offsets and valid range of the product.
        qa_pixel: the band QA_PIXEL; None where there is none.
        qa_radsat: the band QA_RADSAT; None where there is none.
        saturation_bits: the bits of QA_RADSAT that tell of saturation in the two bands; see
            ``Sensor.saturation_bits``.
    """
    lowest_red, lowest_nir = calibration.lowest
    good = red >= lowest_red
    good &= nir >= lowest_nir
    if calibration.highest < np.iinfo(np.uint16).max:
        good &= np.maximum(red, nir) <= calibration.highest
    if qa_pixel is not None:
        good &= (qa_pixel & UNUSABLE) == 0
    if qa_radsat is not None:
        good &= (qa_radsat & (saturation_bits | _DROPPED_OR_OCCLUDED)) == 0
    return good
