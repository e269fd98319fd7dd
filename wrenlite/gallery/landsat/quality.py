"""Digital numbers of Collection 2: gains and offsets of the products, and hidden pixels. Pure numpy."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wrenlite.gallery.ndvi.indices import FILL, Calibration, DigitalNumbers, Mask, Scaling
from wrenlite.gallery.ndvi.masks import Masking, Reason, Reasons

_DEFAULT = Masking()

_QA_PIXEL = {
    Reason.FILL: 1 << 0,
    Reason.CLOUD: 1 << 1 | 1 << 2 | 1 << 3,
    Reason.SHADOW: 1 << 4,
    Reason.SNOW: 1 << 5,
}
"""Bits of QA_PIXEL by reason. Clouds are dilated cloud, cirrus and cloud."""
_DROPPED_OR_OCCLUDED = 1 << 9 | 1 << 11
"""Bits of QA_RADSAT: a pixel dropped in transmission (TM, ETM+), and terrain in the line of sight (OLI).

Each sensor leaves the other sensors' bit at 0. Source: USGS LSDS-1618 and LSDS-1619, "Collection 2 Level 2
Science Product Guide" of Landsat 4-7 and 8-9.
"""
_TOLD_BY = {
    "qa_pixel": frozenset(reason.text for reason in _QA_PIXEL if reason != Reason.FILL),
    "qa_radsat": frozenset({Reason.SATURATED.text}),
}
"""Reasons by the quality band that tells of them. Of fill, the numbers themselves tell as well."""
_STRONGEST = np.uint8(len(Reason))
"""This number less a reason is the reason's strength: of several, that with the least number counts."""
_MARGIN = 1e-5
"""Reflectance by which rounding may change a sum of reflectances, many times over."""
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


def unseen(bands: Collection[str]) -> frozenset[str]:
    """Return the reasons of which none of some quality bands tells.

    Args:
        bands: names of the bands that a scene has: ``qa_pixel``, ``qa_radsat``.
    """
    return frozenset().union(*(told for name, told in _TOLD_BY.items() if name not in bands))


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
    spans = {name: _Span.of(band) for name, band in numbers.items()}
    shape = next(iter(numbers.values())).shape
    if any(span.high == FILL for span in spans.values()):
        return np.full(shape, Reason.FILL, np.uint8)
    floor = masking.floor if normalised else 0.0
    strengths: NDArray[np.uint8] | None = None
    for reason, mask in itertools.chain(
        ((Reason.FILL, numbers[name] == FILL) for name, span in spans.items() if span.fill),
        _from_quality(qa_pixel, _QA_PIXEL),
        _from_quality(qa_radsat, {Reason.SATURATED: saturation_bits | _DROPPED_OR_OCCLUDED}),
        ((Reason.OUT_OF_RANGE, mask) for mask in _out_of_range(numbers, spans, calibration, floor)),
    ):
        if masking.masks(reason):
            strength = mask.view(np.uint8) * np.uint8(_STRONGEST - reason)
            strengths = strength if strengths is None else np.maximum(strengths, strength, out=strengths)
    if strengths is None:
        return np.zeros(shape, np.uint8)
    found: Reasons = (_STRONGEST - strengths) * (strengths != 0)
    return found


class _Span(NamedTuple):
    """The extremes of a band, which tell what has to be looked at pixel by pixel."""

    fill: bool
    """Whether there is fill."""
    low: int
    """The least number that is not fill."""
    high: int

    @classmethod
    def of(cls, band: DigitalNumbers) -> _Span:
        low, high = (int(extreme.reduce(band, axis=None)) for extreme in (np.minimum, np.maximum))
        fill = low == FILL < high
        if fill:  # one less wraps fill to the greatest number
            low = int(np.minimum.reduce(band - np.uint16(1), axis=None)) + 1
        return cls(fill=fill, low=low, high=high)


def _from_quality(
    band: DigitalNumbers | None, bits_by_reason: Mapping[Reason, int]
) -> Iterator[tuple[Reason, Mask]]:
    """Yield reasons with the pixels of which a quality band has one of the reason's bits, if any has."""
    if band is not None:
        used = int(np.bitwise_or.reduce(band, axis=None))
        for reason, bits in bits_by_reason.items():
            if used & bits:
                yield reason, band & bits != 0


def _out_of_range(
    numbers: Mapping[str, DigitalNumbers],
    spans: Mapping[str, _Span],
    calibration: Calibration,
    floor: float,
) -> Iterator[Mask]:
    """Yield which pixels have a reflectance out of range, or a sum of surface reflectances below a floor.

    Fill may be among them.
    """
    for name, band in numbers.items():
        if spans[name].low < calibration.lowest(name):
            yield band < calibration.lowest(name)
        if spans[name].high > calibration.highest:
            yield band > calibration.highest
    factor = calibration.surface_factor
    if floor and factor is not None:
        least = sum(calibration.bands[name].gain * spans[name].low for name in numbers)
        offset = sum(calibration.bands[name].offset for name in numbers)
        if least + offset < (floor + _MARGIN) * factor:
            yield _total(numbers, calibration) < floor * factor


def _total(numbers: Mapping[str, DigitalNumbers], calibration: Calibration) -> NDArray[np.float32]:
    """Return the sum of the bands' reflectances, times the calibration's factor."""
    scaled = ((band, *calibration.bands[name]) for name, band in numbers.items())
    parts = [band.astype(np.float32) * np.float32(gain) + np.float32(offset) for band, gain, offset in scaled]
    return functools.reduce(np.add, parts)
