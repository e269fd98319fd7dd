"""Which counts have which colours: a range that is chosen from the counts of a picture, or of several.

Colours follow the logarithm of a count: about one run through the palette each time that the count doubles.
In most pictures that is enough. In a deep view all counts are large and close together: those from 8,400 to
8,700 would have one colour. There the counts get more runs, distributed over them as the points are (the
cumulative histogram), so that every part of the picture has its share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from wrenlite.gallery.fractals.encoding import Field
from wrenlite.gallery.fractals.escape import Floats, Indices

_Float = TypeVar("_Float", bound=np.floating[Any])
_RUNS_PER_DOUBLING = 1.15
"""Runs through a palette each time that the count doubles."""
_OFFSET = 8
"""Iterations that are added to counts before the logarithm is taken, so that the scale is about linear for
the first few counts, which are wide bands far from the set."""
_LEAST_HEIGHT = 2.0**-24
"""Least level above the lowest count that a float32 shows."""
_MIN_RUNS = 1.6
"""Runs between the ``_TAILS`` of a picture, at least."""
_MAX_RUNS_PER_COUNT = _RUNS_PER_DOUBLING / (_OFFSET * math.log(2))
"""Most runs that are added for one iteration: as many as there are at count 0, one in five iterations. More
would show the rounding of counts."""
_TAILS = (5.0, 95.0)
"""Percentiles of the counts that a histogram covers."""
_KNOTS = 65
"""Percentiles that describe a histogram."""
_SAMPLE_POINTS = 1 << 18
"""About the number of points that percentiles are estimated from."""
_ENTRIES = 1 << 18
"""Counts between the lowest and the highest that can have different colours."""


class _Histogram(NamedTuple):
    """Percentiles of one field, and how many runs are to be added between them."""

    knots: Floats
    runs: float


@dataclass(frozen=True)
class ColourRange:
    """The position in a palette that belongs to each count: the same for all parts of a picture.

    It is a value: choose it from all frames of a zoom, and the frames have equal colours for equal counts.
    """

    lowest: float
    """Counts below this have the colour of this one."""
    highest: float
    """Counts above this have the colour of this one."""
    knots: tuple[float, ...] = (0.0,)
    """Counts, ascending, between which the added runs grow evenly."""
    added: tuple[float, ...] = (0.0,)
    """Runs that are added to those of the logarithm, at each knot."""

    @classmethod
    def of(cls, *fields: Field) -> ColourRange:
        """Choose the range from the counts of one or several pictures.

        Pictures with different counts each get their own runs; where their counts are the same, the picture
        that needs most of them decides.

        Args:
            fields: counts; infinite for points inside. Fields without any point outside are left out.
        """
        outside = [field for field in fields if np.isfinite(field).any()]
        if not outside:
            return cls(0.0, 0.0)
        lows, highs = zip(*map(_bounds, outside), strict=True)
        histograms = [_histogram(field) for field in outside]
        knots = np.unique(np.concatenate([histogram.knots for histogram in histograms]))
        slopes = np.max([_slopes(histogram, knots) for histogram in histograms], axis=0)
        added = np.append(0.0, np.cumsum(slopes * np.diff(knots)))
        return cls(min(lows), max(highs), tuple(knots.tolist()), tuple(added.tolist()))

    def entries(self, field: Field) -> Indices:
        """Return which position of ``positions`` belongs to each count; any, for points inside."""
        clipped = np.clip(field, np.float32(self.lowest), np.float32(self.highest))
        places = _level(clipped, self.lowest)
        places *= np.float32((_ENTRIES - 1) / _height(self.lowest, self.highest))
        np.clip(places, 0, _ENTRIES - 1, out=places)
        return places.astype(np.intp)

    def positions(self) -> Floats:
        """Return the positions in a palette, in runs, from the lowest count to the highest."""
        counts = _counts_at(np.linspace(0.0, _height(self.lowest, self.highest), _ENTRIES), self.lowest)
        return np.asarray(_runs(counts) + np.interp(counts, self.knots, self.added))


def _bounds(counts: Field) -> tuple[float, float]:
    """Return the lowest and the highest count of the points outside, of which there is one."""
    lowest = float(counts.min())
    return lowest, float(counts.max(where=np.isfinite(counts), initial=lowest))


def _level(counts: NDArray[_Float], lowest: float) -> NDArray[_Float]:
    """Return where counts are on the logarithmic scale: ``log((n + 8) / (lowest + 8))``.

    It is computed from ``n - lowest``, so that float32 has enough digits where large counts are close.
    """
    above = counts - counts.dtype.type(lowest)
    above /= counts.dtype.type(lowest + _OFFSET)
    return np.log1p(above, out=above)


def _height(lowest: float, highest: float) -> float:
    """Return the level of the highest count; 1 where a float32 cannot tell it from that of the lowest."""
    found = float(_level(np.array([highest], np.float64), lowest)[0])
    return found if found > _LEAST_HEIGHT else 1.0


def _counts_at(levels: Floats, lowest: float) -> Floats:
    """Return the counts at some levels: the inverse of ``_level``."""
    return np.asarray(lowest + (lowest + _OFFSET) * np.expm1(levels))


def _runs(counts: Floats) -> Floats:
    """Return the runs through the palette up to some counts, without those that are added."""
    return np.asarray(_RUNS_PER_DOUBLING * np.log2(1 + counts / _OFFSET))


def _histogram(field: Field) -> _Histogram:
    every = max(1, math.isqrt(field.size // _SAMPLE_POINTS))
    sample = field[(slice(None, None, every),) * field.ndim]
    sample = sample[np.isfinite(sample)] if np.isfinite(sample).any() else field[np.isfinite(field)]
    knots = np.percentile(sample.astype(np.float64), np.linspace(*_TAILS, _KNOTS))
    low, high = _runs(knots[[0, -1]])
    return _Histogram(knots, max(0.0, _MIN_RUNS - float(high - low)))


def _slopes(histogram: _Histogram, knots: NDArray[Any]) -> Floats:
    """Return the runs per iteration that a histogram wants between each two of some knots."""
    own = np.unique(histogram.knots)
    points = np.diff(np.searchsorted(histogram.knots, own, side="right")) / (_KNOTS - 1)
    slopes = np.minimum(histogram.runs * points / np.diff(own), _MAX_RUNS_PER_COUNT)
    places = np.searchsorted(own, (knots[:-1] + knots[1:]) / 2) - 1
    return np.where((places >= 0) & (places < slopes.size), np.append(slopes, 0.0)[places], 0.0)
