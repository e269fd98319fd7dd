"""Counts in 16 bits, as they travel from a worker: half of the bytes of a field, at an error that is stated.

The codes of a field are spaced by its own counts: about evenly in the middle half of them, and ever farther
apart below and above (about as the logarithm). So the counts of which a picture consists are as exact with a
limit of 1,000,000 iterations as with 800, near 0 and in a deep view.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""Smooth counts of points; infinite for points inside."""
_INSIDE = 65535
"""The code of a point that never escaped."""
_LAST = _INSIDE - 1
"""The highest code of a count."""
_MAX_CODES = 4096
"""Most codes of a level. More would show nothing, and nothing compresses the noise of their last bits."""
_MIN_SPREAD = 1.0
_SAMPLE_POINTS = 1 << 12
"""About the number of points that quartiles are estimated from."""
_UNIT = 1 << 23
"""Steps of a float32 from a power of 2 to the next."""
_ONE = np.int32(127 * _UNIT)
"""The bits of 1 as a float32."""
_BEYOND = 128 * _UNIT
"""The level of an infinite count, in units."""


class Encoded(NamedTuple):
    """A field of counts in 16 bits.

    The level of a count n is the logarithm to base 2 of ``1 + |n - centre| / spread``, interpolated linearly
    between powers of 2, and negative below the centre: the bits of a float are that.
    """

    codes: NDArray[np.uint16]
    """From 0 on for levels from ``low`` to ``high``, 65,535 for points inside; each less the code before it,
    modulo 65,536, as neighbours are often close and such differences are compressed well."""
    centre: float
    """The median of the counts."""
    spread: float
    """The distance of their quartiles, or 1 where that is less."""
    low: float
    """Level of the lowest count."""
    high: float
    """Level of the highest count."""

    @property
    def codes_per_level(self) -> float:
        """How many codes there are from one level to the next."""
        return min(_LAST / ((self.high - self.low) or 1.0), _MAX_CODES)


def encode(counts: NDArray[np.floating[Any]]) -> Encoded:
    """Convert counts to 16 bits.

    The error of a count n is at most ``0.51 / codes_per_level * (spread + |n - centre|)``, half the distance
    of two codes and 2 % of it for rounding, and twice the rounding of n to float32.

    Args:
        counts: 0 or more, of any shape; infinite for points inside.
    """
    counts = np.ascontiguousarray(counts, np.float32).reshape(counts.shape)
    centre, spread = _centre_and_spread(counts.reshape(-1))
    levels, scratch = _levels(counts, centre, spread)
    low = min(int(levels.min(initial=_BEYOND)), 0)
    levels -= np.int32(low)
    # Levels are shifted so that those of points inside overflow, to the least number.
    shift = 2**31 - (_BEYOND - low)
    height = max(int(np.add(levels, np.int32(shift), out=scratch).max(initial=0)) - shift, 0)
    encoded = Encoded(np.empty(counts.shape, np.uint16), centre, spread, low / _UNIT, (low + height) / _UNIT)
    codes_per_unit = encoded.codes_per_level / _UNIT
    np.minimum(levels, np.int32((_INSIDE + 0.2) / codes_per_unit), out=levels)  # those of points inside
    places = scratch.view(np.float32)
    np.copyto(places, levels)
    places *= np.float32(codes_per_unit)
    places += np.float32(0.5)
    codes = places.astype(np.uint16).reshape(-1)
    differences = encoded.codes.reshape(-1)
    differences[:1] = codes[:1]
    np.subtract(codes[1:], codes[:-1], out=differences[1:])
    return encoded


def decode(encoded: Encoded) -> Field:
    """Convert 16 bits back to counts, of the shape that was encoded; see ``encode`` for the error."""
    codes = np.cumsum(encoded.codes, dtype=np.uint16).reshape(encoded.codes.shape)
    if codes.size <= _INSIDE:
        return _counts(encoded, codes)
    return np.asarray(_counts(encoded, np.arange(_INSIDE + 1))[codes])


def _levels(counts: Field, centre: float, spread: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the levels of counts, in units, and an array of that size for intermediate results."""
    distances = counts - np.float32(centre)
    distances *= np.float32(1 / spread)
    signs = distances.view(np.int32) >> 31  # -1 below the centre, else 0
    np.abs(distances, out=distances)
    distances += 1
    levels = distances.view(np.int32)
    levels -= _ONE
    levels ^= signs
    levels -= signs
    return levels, signs


def _counts(encoded: Encoded, codes: NDArray[np.integer[Any]]) -> Field:
    """Return the count that each of some codes stands for."""
    levels = encoded.low + codes / encoded.codes_per_level
    whole = np.floor(np.abs(levels))
    distances = np.exp2(whole) * (1 + np.abs(levels) - whole) - 1
    counts = np.maximum(encoded.centre + encoded.spread * np.copysign(distances, levels), 0.0)
    return np.where(codes == _INSIDE, np.inf, counts).astype(np.float32)


def _centre_and_spread(counts: Field) -> tuple[float, float]:
    """Return the median of some counts and the distance of their quartiles, estimated from a sample."""
    sample = counts[:: max(1, counts.size // _SAMPLE_POINTS)]
    sample = sample[np.isfinite(sample)] if np.isfinite(sample).any() else counts[np.isfinite(counts)]
    if not sample.size:
        return 0.0, _MIN_SPREAD
    lower, median, upper = np.percentile(sample, (25, 50, 75)).tolist()
    return float(np.float32(median)), max(float(np.float32(upper - lower)), _MIN_SPREAD)
