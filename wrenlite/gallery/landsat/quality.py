"""Digital numbers of Collection 2: gains and offsets of the products, and hidden pixels. Pure numpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wrenlite.gallery.ndvi.indices import FILL, Calibration, DigitalNumbers, Mask, Scaling
from wrenlite.gallery.ndvi.masks import Masking, Reason, Reasons

_DEFAULT = Masking()

_QA_BITS = (
    (Reason.SNOW, 1 << 5),
    (Reason.SHADOW, 1 << 4),
    (Reason.CLOUD, 1 << 1 | 1 << 2 | 1 << 3),
    (Reason.FILL, 1 << 0),
)
"""Bits of QA_PIXEL by reason, the strongest last. Clouds are dilated cloud, cirrus and cloud."""
_DROPPED_OR_OCCLUDED = 1 << 9 | 1 << 11
"""Bits of QA_RADSAT: a pixel dropped in transmission (TM, ETM+), and terrain in the line of sight (OLI).

Each sensor leaves the other sensors' bit at 0. Source: USGS LSDS-1618 and LSDS-1619, "Collection 2 Level 2
Science Product Guide" of Landsat 4-7 and 8-9.
"""
_BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")

LEVEL_2 = Calibration(
    {name: Scaling(11.0, -80_000.0) for name in _BANDS}, factor=400_000.0, surface=True, highest=43_636
)
"""Surface reflectance, 2.75e-5 DN - 0.2: NDVI is 11 (N - R) / (11 (N + R) - 160,000).

Valid numbers are 7,273 to 43,636, which are reflectances above 0 and up to 1 (LSDS-1618, LSDS-1619); numbers
beyond them are glint, bright clouds, and places where the correction for the atmosphere failed.
"""
LEVEL_1_OLI = Calibration({name: Scaling(1.0, -5_000.0) for name in _BANDS})
"""Reflectance at the top of the atmosphere, (2e-5 DN - 0.1) / sin(sun elevation).

The sine cancels in a normalised difference. Where it is known, the factor is 50,000 times the sine.
"""


def reasons(
    numbers: Mapping[str, DigitalNumbers],
    calibration: Calibration = LEVEL_2,
    *,
    qa_pixel: DigitalNumbers | None = None,
    qa_radsat: DigitalNumbers | None = None,
    saturation_bits: int = 0,
    masking: Masking = _DEFAULT,
    normalised: bool = True,
) -> Reasons:
    """Return why each pixel cannot be used; 0 where it can.

    Args:
        numbers: digital numbers of the bands of an index, all of one shape. Fill, 0, is below every valid
            number.
        calibration: gains, offsets and valid range of the product.
        qa_pixel: the band QA_PIXEL; None where there is none.
        qa_radsat: the band QA_RADSAT; None where there is none.
        saturation_bits: the bits of QA_RADSAT that tell of saturation in the bands; see
            ``Sensor.saturation_bits``.
        masking: what is masked.
        normalised: the index is a normalised difference, for which the bands must not be too dark.
    """
    bands = list(numbers.values())
    out = np.zeros(bands[0].shape, np.uint8)
    out[_out_of_range(numbers, calibration, masking.floor if normalised else 0.0)] = Reason.OUT_OF_RANGE
    if qa_radsat is not None and masking.masks(Reason.SATURATED):
        out[qa_radsat & (saturation_bits | _DROPPED_OR_OCCLUDED) != 0] = Reason.SATURATED
    for reason, bits in _QA_BITS:
        if qa_pixel is not None and masking.masks(reason):
            out[qa_pixel & bits != 0] = reason
    out[np.logical_or.reduce([band == FILL for band in bands])] = Reason.FILL
    return out


def _out_of_range(numbers: Mapping[str, DigitalNumbers], calibration: Calibration, floor: float) -> Mask:
    """Return which pixels have a reflectance out of range, or a sum of surface reflectances below a floor."""
    bad = np.zeros(next(iter(numbers.values())).shape, np.bool_)
    for name, band in numbers.items():
        bad |= band < calibration.lowest(name)
        if calibration.highest < np.iinfo(np.uint16).max:
            bad |= band > calibration.highest
    if floor and calibration.surface and calibration.factor is not None:
        scaled = ((numbers[name], *calibration.bands[name]) for name in numbers)
        total = sum(band * np.float32(gain) + np.float32(offset) for band, gain, offset in scaled)
        bad |= total < floor * calibration.factor
    return bad
