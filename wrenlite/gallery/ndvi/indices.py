"""Indices from the integers in which archives store reflectance, and their coding as int16. Pure numpy.

The integers are reflectances scaled with an offset, and the offset does not cancel: NDVI of the stored
numbers is wrong (0.354 instead of 0.785 on real pixels of Landsat). When scale and offset are put into
(N - R) / (N + R), formulas in small whole numbers remain, which float32 holds exactly; the only error left is
the rounding of one division, 3e-8. Scaling in float32 first costs up to 2e-4.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError

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
_CODE_RANGE = 32_767, NODATA
_HIGHEST = 65_535
"""The greatest digital number."""
_LEAST_WHITE = 0.01
"""A reflectance that the greatest digital number of a product surely has; that of white is 1."""
_HUGE = 1e300
"""Numbers beyond this are mistakes; it times the greatest digital number is still finite."""
_EXACT = 2**24
"""The number up to which float32 holds all whole numbers."""
STRIP_PIXELS = 2**17
"""Pixels computed at once, so that intermediate arrays stay in the processor's cache."""


class Scaling(NamedTuple):
    """How the stored numbers of a band become reflectance, up to the calibration's factor."""

    gain: float
    offset: float


@dataclass(frozen=True)
class Calibration:
    """The scaling of every band: reflectance = (gain DN + offset) / factor.

    A factor common to all bands cancels in a normalised difference, so gains and offsets can be whole
    numbers, which makes it exact.

    Raises:
        ConfigError: with these gains, offsets and factor no number has a reflectance that makes sense.
    """

    bands: Mapping[str, Scaling] = field(hash=False)
    """Scalings by the common name of the band, such as ``red``."""
    factor: float | None = None
    """None where only normalised differences can be computed, because the scale is not known."""
    surface: bool = False
    """Whether the reflectances are those of the surface, and not of the top of the atmosphere."""
    highest: int = field(default=_HIGHEST, compare=False)
    """The greatest valid digital number. It does not change an index, so it is no part of a comparison."""

    def __post_init__(self) -> None:
        if not isinstance(self.bands, Mapping) or not self.bands:
            raise ConfigError(
                f"{self.bands!r} are no scalings by band: give such as {{'red': Scaling(2.75e-5, -0.2)}}"
            )
        if self.factor is not None and not (_is_number(self.factor) and self.factor > 0):
            raise ConfigError(
                f"factor={self.factor!r} divides no reflectance: give a number above 0, or None"
            )
        if not (isinstance(self.highest, Integral) and FILL < self.highest <= _HIGHEST):
            raise ConfigError(f"highest={self.highest!r} is no digital number: give one from 1 to {_HIGHEST}")
        for name in self.bands:
            self._check(name)

    def _check(self, band: str) -> None:
        """Check that some numbers of a band have a reflectance.

        Raises:
            ConfigError: the gain is not above 0, or no valid number has a reflectance worth the name.
        """
        scaling = self.bands[band]
        if not (isinstance(scaling, Scaling) and all(map(_is_number, scaling))):
            raise ConfigError(f"{scaling!r} is no scaling of the band {band}: give Scaling(gain, offset)")
        gain, offset = scaling
        if gain <= 0:
            raise ConfigError(
                f"the gain {gain!r} of the band {band} makes no reflectance: give a number above 0, such as"
                " 2.75e-5"
            )
        greatest = (gain * self.highest + offset) / (self.factor or 1.0)
        if not greatest > (_LEAST_WHITE if self.factor else 0):
            raise ConfigError(
                f"the gain {gain!r} and the offset {offset!r} of the band {band} give the greatest number,"
                f" {self.highest}, a reflectance of {greatest:g}, where white is 1: give those of the product"
            )

    def lowest(self, band: str) -> int:
        """Return the least digital number of a band whose reflectance is above zero.

        A reflectance of less than a billionth of the gain is zero: it is the rounding of a gain and an offset
        whose decimals make it exactly zero.
        """
        gain, offset = self.bands[band]
        return max(FILL + 1, math.floor(-offset / gain + 1e-9) + 1)

    @property
    def surface_factor(self) -> float | None:
        """Return the factor of reflectances of the surface; None for others, or where it is not known.

        The floor of ``masks.Masking`` applies where there is one.
        """
        return self.factor if self.surface else None


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number; a bool is one in Python, but means nothing here."""
    known = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return known and -_HUGE < value < _HUGE


Formula = Callable[..., Floats]


def normalised_difference(a: Floats, b: Floats) -> Floats:
    """Return (a - b) / (a + b)."""
    return (a - b) / (a + b)


@dataclass(frozen=True)
class Index:
    """A spectral index: a formula of reflectances.

    Raises:
        ConfigError: the range does not fit into int16, or another argument makes no index.
    """

    name: str
    """A word, such as ``NDVI``."""
    bands: tuple[str, ...]
    """Common names of the bands, in the order of the formula's arguments."""
    formula: Formula
    """Takes one array of floats for each band, and returns the index as an array of the same shape."""
    low: float
    high: float
    """The range of the index, within ±3.2767, which int16 can hold; values beyond it are out of range."""
    source: str
    """Where the formula was published."""

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name.isidentifier()):
            raise ConfigError(f"name={self.name!r} names no index: give a word, such as NDVI")
        listed = isinstance(self.bands, tuple | list) and all(isinstance(band, str) for band in self.bands)
        if not (listed and self.bands):
            raise ConfigError(f"{self.name}: bands={self.bands!r} are no bands: give such as ('nir', 'red')")
        object.__setattr__(self, "bands", tuple(self.bands))
        if self.normalised and (len(self.bands) != 2 or self.bands[0] == self.bands[1]):
            raise ConfigError(
                f"{self.name}: a normalised difference is one of two different bands, and not of"
                f" {', '.join(self.bands)}"
            )
        limit = _CODE_RANGE[0] / SCALE
        if not (_is_number(self.low) and _is_number(self.high) and -limit <= self.low < self.high <= limit):
            raise ConfigError(
                f"{self.name}: the range {self.low!r} to {self.high!r} cannot be stored, because values are"
                f" kept as int16 in steps of {1 / SCALE:g}: give low < high within ±{limit:g}, and divide the"
                " formula's result by a constant where it is greater"
            )
        self._try_formula()

    def _try_formula(self) -> None:
        """Check that the formula takes an array for each band, and returns one.

        Raises:
            ConfigError: it does not.
        """
        example = np.linspace(0.1, 0.9, 6, dtype=np.float32).reshape(2, 3)
        try:
            with np.errstate(all="ignore"):
                np.copyto(np.empty_like(example), self.formula(*(example for _ in self.bands)), "same_kind")
        except Exception as error:
            raise ConfigError(
                f"{self.name}: the formula fails on arrays of {', '.join(self.bands)}: {error!r}. It takes"
                " one array of floats for each band, and returns one of the same shape"
            ) from error

    @property
    def normalised(self) -> bool:
        """Return whether this is a normalised difference, for which gains without scale are enough."""
        return self.formula is normalised_difference

    @property
    def always_within(self) -> bool:
        """Return whether the index is within its range wherever all reflectances are above 0."""
        return self.normalised and self.low <= -1 and self.high >= 1


def _evi(nir: Floats, red: Floats, blue: Floats) -> Floats:
    value: Floats = 2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1)
    return value


def _savi(nir: Floats, red: Floats) -> Floats:
    value: Floats = 1.5 * (nir - red) / (nir + red + 0.5)
    return value


INDICES = {
    index.name: index
    for index in (
        Index("NDVI", ("nir", "red"), normalised_difference, -1, 1, "Rouse et al. 1974, NASA SP-351, 309"),
        Index("EVI", ("nir", "red", "blue"), _evi, -1, 1, "Huete et al. 2002, RSE 83, 195"),
        Index("SAVI", ("nir", "red"), _savi, -1.5, 1.5, "Huete 1988, RSE 25, 295, with L = 0.5"),
        Index("NDWI", ("green", "nir"), normalised_difference, -1, 1, "McFeeters 1996, IJRS 17, 1425"),
        Index(
            "NBR", ("nir", "swir2"), normalised_difference, -1, 1, "Key and Benson 2006, RMRS-GTR-164, LA-1"
        ),
    )
}
"""The indices by name, one line each. A new one needs its bands, its formula and its range."""
NDVI = INDICES["NDVI"]


def find_index(index: str | Index) -> Index:
    """Return the index with a name, in upper or lower case; an ``Index`` is returned as it is.

    Raises:
        ConfigError: there is no such index; the message lists the indices.
    """
    if isinstance(index, Index):
        return index
    try:
        return INDICES[index.upper()]
    except (KeyError, AttributeError):
        raise ConfigError(
            f"there is no index {index!r}: take one of {', '.join(INDICES)}, or an indices.Index"
        ) from None


def compute(
    index: Index,
    numbers: Mapping[str, DigitalNumbers],
    calibration: Calibration,
    out: Floats | None = None,
) -> Floats:
    """Return an index of every pixel, masked or not.

    Args:
        index: the index to compute.
        numbers: digital numbers by band; all arrays have the same shape.
        calibration: gains and offsets of the product.
        out: an array for the result; default: a new one.

    Returns:
        The index as float32; where the formula divides by zero, infinity or NaN.

    Raises:
        ConfigError: the index needs reflectances, and the product's scale is not known.
    """
    bands = [numbers[name] for name in index.bands]
    scalings = [calibration.bands[name] for name in index.bands]
    values = np.empty(bands[0].shape, np.float32) if out is None else out
    with np.errstate(divide="ignore", invalid="ignore"):
        for strip in strips(*values.shape):
            parts = [band[strip] for band in bands]
            if index.normalised:
                _compute_difference(parts, scalings, values[strip])
            else:
                values[strip] = index.formula(*_reflectances(index, parts, scalings, calibration.factor))
    return values


def _reflectances(
    index: Index, parts: Sequence[DigitalNumbers], scalings: Sequence[Scaling], factor: float | None
) -> list[NDArray[Any]]:
    """Return the reflectances of the bands of one strip."""
    if factor is None:
        raise ConfigError(
            f"{index.name} needs reflectances, and the scale of this product is not known: read it from the"
            " product's metadata (MTL)"
        )
    return [
        (part * (scaling.gain / factor) + scaling.offset / factor)
        for part, scaling in zip(parts, scalings, strict=True)
    ]


def _compute_difference(parts: Sequence[DigitalNumbers], scalings: Sequence[Scaling], out: Floats) -> None:
    """Compute a normalised difference of one strip into ``out``, in floats: uint16 would wrap below 0."""
    first, second = scalings
    # Not every sensor's gains have a common factor that makes them whole numbers: those of Landsat TM do not.
    exact = _is_whole(first) and _is_whole(second)
    a, b, total = (out, *_scratch(2, out.shape)) if exact else np.empty((3, *out.shape))
    np.copyto(a, parts[0])
    np.copyto(b, parts[1])
    a *= first.gain
    b *= second.gain
    np.add(a, b, out=total)
    total += first.offset + second.offset
    a -= b
    if first.offset != second.offset:
        a += first.offset - second.offset
    np.divide(a, total, out=out, casting="same_kind")


def _is_whole(scaling: Scaling) -> bool:
    """Return whether float32 holds the scaled numbers of a band, and a sum of two, exactly."""
    gain, offset = map(float, scaling)
    return gain.is_integer() and offset.is_integer() and 2 * (gain * _HIGHEST + abs(offset)) <= _EXACT


_kept = threading.local()


def _scratch(count: int, shape: tuple[int, ...]) -> list[Floats]:
    """Return arrays for one strip, without defined values.

    They are kept for each thread: the system takes ten times as long to provide the memory of a new array as
    an operation takes.
    """
    size = math.prod(shape)
    if size > STRIP_PIXELS:
        return list(np.empty((count, *shape), np.float32))
    if not hasattr(_kept, "arrays"):
        _kept.arrays = np.empty((2, STRIP_PIXELS), np.float32)
    return [array[:size].reshape(shape) for array in _kept.arrays[:count]]


def mask_unusable(values: Floats, usable: Mask) -> Floats:
    """Set NDVI to NaN, in place, where a pixel is not usable, and return it."""
    np.copyto(values, np.nan, where=~usable)
    return values


class Stats(NamedTuple):
    """Statistics of the usable pixels; NaN where there are none."""

    mean: float
    minimum: float
    maximum: float


class CodedIndex:
    """An index of a window, coded as int16 part by part, with its statistics.

    A part whose arrays stay in the processor's cache is coded several times as fast as a whole window is.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        """Create an index without values.

        Args:
            shape: height and width of the window.
        """
        self.values: NDArray[np.int16] = np.empty(shape, np.int16)
        """The index x 10,000, rounded, with ``NODATA`` where a pixel is not usable."""
        self._count = self._sum = 0
        self._low, self._high = _CODE_RANGE
        self._room = np.empty(0, np.float32)

    def room(self, place: tuple[slice, slice]) -> Floats:
        """Return an array for the values of a part, which is used again for the next part."""
        shape = self.values[place].shape
        if self._room.size < math.prod(shape):
            self._room = np.empty(math.prod(shape), np.float32)
        return self._room[: math.prod(shape)].reshape(shape)

    def add(self, place: tuple[slice, slice], values: Floats, usable: Mask | None) -> None:
        """Code one part.

        Args:
            place: rows and columns of the part in the window.
            values: the index, which is overwritten. That of usable pixels must be within its range.
            usable: which pixels are usable; None: all of them.
        """
        coded = self.values[place]
        count = values.size if usable is None else int(np.count_nonzero(usable))
        if not count:
            coded[...] = NODATA
            return
        _round(values, coded)
        if usable is None:
            self._sum += _sum_of_codes(values)
            low, high = int(values.min()), int(values.max())
        else:
            _hide(coded, usable)
            self._sum += int(coded.sum(dtype=np.int64)) - (usable.size - count) * NODATA
            # One less wraps the code of hidden pixels to the greatest number, out of the minimum's way.
            low, high = int((coded - np.int16(1)).min()) + 1, int(coded.max())
        self._low, self._high = min(self._low, low), max(self._high, high)
        self._count += count

    @property
    def stats(self) -> Stats:
        """Return the statistics of the usable pixels."""
        if not self._count:
            return Stats(mean=math.nan, minimum=math.nan, maximum=math.nan)
        mean, low, high = (code / SCALE for code in (self._sum / self._count, self._low, self._high))
        return Stats(mean=mean, minimum=low, maximum=high)


def _sum_of_codes(rounded: Floats) -> int:
    """Return the exact sum of codes as floats."""
    rows = rounded if rounded.shape[-1] * 2 * SCALE <= _EXACT else rounded.astype(np.float64)
    return int(np.einsum("ij->i", rows).sum(dtype=np.float64))  # twice as fast as sum(axis=1)


def to_int16(values: Floats, usable: Mask) -> NDArray[np.int16]:
    """Return a computed index as int16: x 10,000, rounded, with ``NODATA`` where a pixel is not usable."""
    coded = np.empty(values.shape, np.int16)
    _round(values.copy(), coded)
    _hide(coded, usable)
    return coded


def _round(values: Floats, coded: NDArray[np.int16]) -> None:
    """Write an index x 10,000, rounded, into an array; the values are overwritten with it."""
    values *= np.float32(SCALE)
    np.rint(values, out=values)
    with np.errstate(invalid="ignore"):  # pixels that are not usable may be infinite or NaN
        np.copyto(coded, values, casting="unsafe")


def _hide(coded: NDArray[np.int16], usable: Mask) -> None:
    """Set codes to ``NODATA``, in place, where a pixel is not usable.

    The mask is applied to the bits, which is faster than an assignment.
    """
    bits = np.negative(usable.view(np.int8)).astype(np.int16)
    coded ^= np.int16(NODATA)
    coded &= bits
    coded ^= np.int16(NODATA)


def to_float(values: NDArray[np.int16]) -> Floats:
    """Return int16 NDVI as float32, with NaN for ``NODATA``."""
    out = values.astype(np.float32)
    out *= np.float32(1 / SCALE)
    return mask_unusable(out, values != NODATA)


def strips(height: int, width: int) -> list[tuple[slice, slice]]:
    """Cut an array's rows into strips that stay in the processor's cache, and return their places."""
    rows = max(1, STRIP_PIXELS // max(1, width))
    return [(slice(top, min(top + rows, height)), slice(0, width)) for top in range(0, height, rows)]
