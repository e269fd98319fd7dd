"""Collection 2's numbers: the form of NDVI for each product, and which pixels can be used. Pure numpy."""

from __future__ import annotations

import numpy as np

from wrenlite.gallery.ndvi.indices import Form, Mask, Numbers

UNUSABLE = 0b11111
"""Bits of QA_PIXEL: fill, dilated cloud, cirrus, cloud, cloud shadow."""
_LOST = 1 << 9 | 1 << 11
"""Bits of QA_RADSAT: a pixel dropped on its way to the ground (TM, ETM+), terrain in the line of sight (OLI).

A sensor's other bit is not used by it. USGS LSDS-1618 and LSDS-1619, "Collection 2 Level 2 Science Product
Guide" of Landsat 4-7 and 8-9.
"""

LEVEL_2 = Form(11.0, -80_000.0, 11.0, -80_000.0, highest=43_636)
"""Surface reflectance, 2.75e-5 DN - 0.2, times 400,000: 11 (N - R) / (11 (N + R) - 160,000).

Numbers are valid from 7,273 to 43,636, reflectances above 0 and up to 1 (LSDS-1618, LSDS-1619); beyond are
glint, bright clouds and places where the correction for the atmosphere failed.
"""
LEVEL_1_OLI = Form(1.0, -5_000.0, 1.0, -5_000.0)
"""Reflectance at the top of the atmosphere, (2e-5 DN - 0.1) / sin(sun), times 50,000; the sun cancels."""


def usable(
    red: Numbers,
    nir: Numbers,
    form: Form = LEVEL_2,
    *,
    qa_pixel: Numbers | None = None,
    qa_radsat: Numbers | None = None,
    saturated: int = 0b11000,
) -> Mask:
    """Where NDVI means something: valid reflectances, no cloud or shadow; not saturated, dropped or hidden.

    Args:
        red: the numbers as stored. Fill, 0, is below every number that is taken.
        nir: the same, of the same shape.
        form: of the product.
        qa_pixel: the quality band of that name; None where there is none.
        qa_radsat: the same, of saturation.
        saturated: the bits of QA_RADSAT that count, beside those of dropped and hidden pixels;
            ``Sensor.saturated`` has them.
    """
    low_red, low_nir = form.lowest
    good = red >= low_red
    good &= nir >= low_nir
    if form.highest < np.iinfo(np.uint16).max:
        good &= np.maximum(red, nir) <= form.highest
    if qa_pixel is not None:
        good &= (qa_pixel & UNUSABLE) == 0
    if qa_radsat is not None:
        good &= (qa_radsat & (saturated | _LOST)) == 0
    return good
