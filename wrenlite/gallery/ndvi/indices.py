"""NDVI of Collection 2's integers, exact, and the masks that go with it. Pure numpy.

The integers are reflectances scaled with an offset, and the offset does not cancel: NDVI of the raw numbers
is wrong (0.354 for 0.785 on real pixels). Put into (N - R) / (N + R), scale and offset leave forms in small
whole numbers, which float32 holds exactly: what is left is the rounding of one division, 3e-8. Scaling in
float32 first costs up to 2e-4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint16]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

FILL = 0
"""The number that stands for no data, in every band."""
NODATA = -32768
"""The same in int16 NDVI."""
SCALE = 10_000
"""Of int16 NDVI: 7,850 is 0.785."""
_SIGN = np.uint16(1 << 15)
_STRIP = 2**17
"""Pixels at once, so that what is in between stays in the processor's cache."""


@dataclass(frozen=True)
class Form:
    """NDVI = (N gn - R gr + d) / (N gn + R gr + s), with whole numbers where they are exact.

    From reflectances g DN + o of each band: d is the difference of the offsets, s their sum.
    """

    red_gain: float
    red_offset: float
    nir_gain: float
    nir_offset: float
    highest: int = field(default=65_535, compare=False, kw_only=True)
    """The greatest number that is taken; not part of what NDVI is."""

    @property
    def lowest(self) -> tuple[int, int]:
        """The least red and near-infrared numbers whose reflectance is above zero."""
        red = int(-self.red_offset // self.red_gain) + 1
        nir = int(-self.nir_offset // self.nir_gain) + 1
        return max(FILL + 1, red), max(FILL + 1, nir)


def ndvi(red: Numbers, nir: Numbers, form: Form) -> Floats:
    """NDVI of every pixel, masked or not, in float32; where both reflectances cancel, inf or NaN.

    Args:
        red: the numbers as stored.
        nir: the same, of the same shape.
        form: of the product.
    """
    out = np.empty(red.shape, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        for part in _strips(red.shape):
            _quotient(red[part], nir[part], form, out[part])
    return out


def _quotient(red: Numbers, nir: Numbers, form: Form, out: Floats) -> None:
    """One strip of NDVI. Floats come first: uint16 would wrap below zero."""
    exact = form.red_gain.is_integer() and form.nir_gain.is_integer()
    kind: type[Any] = np.float32 if exact else np.float64  # gains of TM's bands are no whole numbers
    n, r = nir.astype(kind), red.astype(kind)
    n *= form.nir_gain
    r *= form.red_gain
    total = n + r
    total += form.nir_offset + form.red_offset
    n -= r
    if form.nir_offset != form.red_offset:
        n += form.nir_offset - form.red_offset
    np.divide(n, total, out=out, casting="same_kind")


def masked(values: Floats, good: Mask) -> Floats:
    """NDVI with NaN where it is not usable; in place."""
    np.copyto(values, np.nan, where=~good)
    return values


class Stats(NamedTuple):
    """Of the usable pixels; NaN where there is none."""

    mean: float
    low: float
    high: float


def scaled(red: Numbers, nir: Numbers, good: Mask, form: Form) -> tuple[NDArray[np.int16], Stats]:
    """NDVI x 10,000, rounded, ``NODATA`` where it is not usable; and its statistics.

    In one go through the cache, which is four times as fast as one array after the other: an archive's pixels
    take five times as long to decompress. Both reflectances of a usable pixel are above zero, so that NDVI is
    within +-1 and nothing overflows.

    Args:
        red: the numbers as stored.
        nir: the same, of the same shape.
        good: as ``usable`` gives it.
        form: of the product.
    """
    out = np.empty(red.shape, np.int16)
    total, low, high = 0, 2**16, 0
    with np.errstate(divide="ignore", invalid="ignore"):  # of what is masked
        for part in _strips(red.shape):
            values = np.empty(red[part].shape, np.float32)
            _quotient(red[part], nir[part], form, values)
            coded = _coded(values, good[part])
            np.bitwise_xor(coded, _SIGN, out=out[part].view(np.uint16))
            total += int(coded.sum(dtype=np.uint64))
            high = max(high, int(coded.max()))
            coded -= np.uint16(1)  # what is masked becomes the highest of all
            low = min(low, int(coded.min()) + 1)
    count = int(np.count_nonzero(good))
    if not count:
        return out, Stats(math.nan, math.nan, math.nan)
    return out, Stats(*((each - 2**15) / SCALE for each in (total / count, low, high)))


def to_int16(values: Floats, good: Mask) -> NDArray[np.int16]:
    """NDVI that is computed already x 10,000, rounded, ``NODATA`` where it is not usable."""
    with np.errstate(invalid="ignore"):
        return np.bitwise_xor(_coded(values.copy(), good), _SIGN).view(np.int16)


def _coded(values: Floats, good: Mask) -> Numbers:
    """NDVI x 10,000 + 32,768, and 0 where it is not usable: masked by bits, which is ten times faster.

    Flipping the sign bit makes it int16 with ``NODATA``. The values are overwritten.
    """
    values *= np.float32(SCALE)
    np.rint(values, out=values)
    coded = values.astype(np.int16).view(np.uint16)
    coded ^= _SIGN
    coded &= np.negative(good.view(np.int8)).astype(np.int16).view(np.uint16)
    return coded


def to_float(values: NDArray[np.int16]) -> Floats:
    """Back from int16: float32 with NaN for ``NODATA``."""
    out = values.astype(np.float32)
    out *= np.float32(1 / SCALE)
    return masked(out, values != NODATA)


def _strips(shape: tuple[int, ...]) -> list[slice]:
    """Rows at a time."""
    rows = max(1, _STRIP // max(1, shape[1]))
    return [slice(top, top + rows) for top in range(0, shape[0], rows)]
