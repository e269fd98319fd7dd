"""NDVI from the integers in which archives store reflectance, exact, and its coding as int16. Pure numpy.

The integers are reflectances scaled with an offset, and the offset does not cancel: NDVI of the stored
numbers is wrong (0.354 instead of 0.785 on real pixels of Landsat). When scale and offset are put into (N -
R) / (N + R), formulas in small whole numbers remain, which float32 holds exactly; the only error left is the
rounding of one division, 3e-8. Scaling in float32 first costs up to 2e-4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DigitalNumbers = NDArray[np.uint16]
"""Pixels as a product stores them, before gain and offset."""
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

FILL = 0
"""The digital number that stands for no data, in every band."""
NODATA = -32768
"""The value that stands for no data in int16 NDVI."""
SCALE = 10_000
"""The factor of int16 NDVI: 7,850 is 0.785."""
_SIGN_BIT = np.uint16(1 << 15)
_STRIP_PIXELS = 2**17
"""Pixels computed at once, so that intermediate arrays stay in the processor's cache."""


@dataclass(frozen=True)
class Calibration:
    """Gain g and offset o of each band, with which digital numbers DN become reflectances g DN + o.

    NDVI = (N gn - R gr + d) / (N gn + R gr + s), where d is the difference of the offsets and s is their sum.
    A factor common to all four numbers cancels, so they can be whole numbers, which makes NDVI exact.
    """

    red_gain: float
    red_offset: float
    nir_gain: float
    nir_offset: float
    highest: int = field(default=65_535, compare=False, kw_only=True)
    """The greatest valid digital number. It does not change NDVI, so it is no part of a comparison."""

    @property
    def lowest(self) -> tuple[int, int]:
        """Return the least red and near-infrared digital numbers whose reflectance is above zero."""
        red = int(-self.red_offset // self.red_gain) + 1
        nir = int(-self.nir_offset // self.nir_gain) + 1
        return max(FILL + 1, red), max(FILL + 1, nir)


def ndvi(red: DigitalNumbers, nir: DigitalNumbers, calibration: Calibration) -> Floats:
    """Return NDVI of every pixel, masked or not.

    Args:
        red: digital numbers of the red band.
        nir: digital numbers of the near-infrared band, of the same shape.
        calibration: gains and offsets of the product.

    Returns:
        NDVI as float32; where the two reflectances add up to zero, infinity or NaN.
    """
    out = np.empty(red.shape, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        for strip in _strips(red.shape):
            _compute_strip(red[strip], nir[strip], calibration, out[strip])
    return out


def _compute_strip(red: DigitalNumbers, nir: DigitalNumbers, calibration: Calibration, out: Floats) -> None:
    """Compute NDVI of one strip into ``out``, from floats: uint16 would wrap below zero."""
    exact = calibration.red_gain.is_integer() and calibration.nir_gain.is_integer()
    # Not every sensor's gains have a common factor that makes them whole numbers: those of Landsat TM do not.
    dtype: type[Any] = np.float32 if exact else np.float64
    n, r = nir.astype(dtype), red.astype(dtype)
    n *= calibration.nir_gain
    r *= calibration.red_gain
    total = n + r
    total += calibration.nir_offset + calibration.red_offset
    n -= r
    if calibration.nir_offset != calibration.red_offset:
        n += calibration.nir_offset - calibration.red_offset
    np.divide(n, total, out=out, casting="same_kind")


def mask_unusable(values: Floats, usable: Mask) -> Floats:
    """Set NDVI to NaN, in place, where a pixel is not usable, and return it."""
    np.copyto(values, np.nan, where=~usable)
    return values


class Stats(NamedTuple):
    """Statistics of the usable pixels; NaN where there are none."""

    mean: float
    minimum: float
    maximum: float


def scaled_ndvi(
    red: DigitalNumbers, nir: DigitalNumbers, usable: Mask, calibration: Calibration
) -> tuple[NDArray[np.int16], Stats]:
    """Return NDVI coded as int16, and its statistics.

    All steps are done on one strip after another, which stays in the cache; this is four times as fast as one
    step after another on whole arrays. (To decompress an archive's pixels takes five times as long.) Both
    reflectances of a usable pixel are above zero, so NDVI is within -1 and 1 and nothing overflows.

    Args:
        red: digital numbers of the red band.
        nir: digital numbers of the near-infrared band, of the same shape.
        usable: which pixels are usable.
        calibration: gains and offsets of the product.

    Returns:
        NDVI x 10,000, rounded, with ``NODATA`` where a pixel is not usable; and the statistics.
    """
    out = np.empty(red.shape, np.int16)
    total, low, high = 0, 2**16, 0
    with np.errstate(divide="ignore", invalid="ignore"):  # pixels that are not usable may divide by zero
        for strip in _strips(red.shape):
            values = np.empty(red[strip].shape, np.float32)
            _compute_strip(red[strip], nir[strip], calibration, values)
            coded = _encode(values, usable[strip])
            np.bitwise_xor(coded, _SIGN_BIT, out=out[strip].view(np.uint16))
            total += int(coded.sum(dtype=np.uint64))
            high = max(high, int(coded.max()))
            coded -= np.uint16(
                1
            )  # wraps 0, the code of unusable pixels, to the highest, out of the minimum's way
            low = min(low, int(coded.min()) + 1)
    count = int(np.count_nonzero(usable))
    if not count:
        return out, Stats(mean=math.nan, minimum=math.nan, maximum=math.nan)
    mean, minimum, maximum = ((code - 2**15) / SCALE for code in (total / count, low, high))
    return out, Stats(mean=mean, minimum=minimum, maximum=maximum)


def to_int16(values: Floats, usable: Mask) -> NDArray[np.int16]:
    """Return computed NDVI as int16: x 10,000, rounded, with ``NODATA`` where a pixel is not usable."""
    with np.errstate(invalid="ignore"):
        return np.bitwise_xor(_encode(values.copy(), usable), _SIGN_BIT).view(np.int16)


def _encode(values: Floats, usable: Mask) -> DigitalNumbers:
    """Return NDVI x 10,000 + 32,768, and 0 where a pixel is not usable. The values are overwritten.

    The mask is applied to the bits, which is ten times faster than an assignment by index. Flipping the sign
    bit turns the result into int16 with ``NODATA``.
    """
    values *= np.float32(SCALE)
    np.rint(values, out=values)
    coded = values.astype(np.int16).view(np.uint16)
    coded ^= _SIGN_BIT
    coded &= np.negative(usable.view(np.int8)).astype(np.int16).view(np.uint16)
    return coded


def to_float(values: NDArray[np.int16]) -> Floats:
    """Return int16 NDVI as float32, with NaN for ``NODATA``."""
    out = values.astype(np.float32)
    out *= np.float32(1 / SCALE)
    return mask_unusable(out, values != NODATA)


def _strips(shape: tuple[int, ...]) -> list[slice]:
    """Cut an array's rows into strips of about ``_STRIP_PIXELS`` pixels."""
    rows = max(1, _STRIP_PIXELS // max(1, shape[1]))
    return [slice(top, top + rows) for top in range(0, shape[0], rows)]
