"""The escape-time kernel: iterate z ← z² + c for many points at once, and count the steps until each escapes.

The kernel is compiled code (``compiled``), which iterates 32 points side by side. Where the package has no
library for the machine, numpy does the same (``escape_numpy``), at a third of the speed. There the loop over
points is inside numpy's ufuncs. Squaring a complex array in place and adding another array are two passes
over memory; with real and imaginary parts in separate arrays there would be seven. Each pass covers a block
of points that fits into a core's second-level cache. Blocks shrink as points escape, and a numpy call costs
as much as a pass over a thousand points. So the remaining points are merged into new full blocks: soon after
the start, then less and less often.

A count is smooth: it has a fractional part that depends on the distance that the point has reached, so
pictures have no bands. As |z| is squared at each step, log2(log |z|) grows by one per step, and the count may
be computed any number of steps after the escape (see e.g. Linas Vepstas, "Renormalizing the Mandelbrot
Escape").

Orbits have the same bits in compiled code and on every machine where numpy multiplies complex numbers with
fused multiply-add instructions: x86-64 since 2013 and 64-bit ARM. The logarithms may differ in their last
digits, so that counts differ by four units in the last place of the count or of 16.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wrenlite.gallery.fractals import compiled

Points = NDArray[np.complex128]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

BAILOUT = 256.0
"""A point has escaped when its real or imaginary part is larger than this. The value is so large that
neglecting a c of up to 2 beside z² changes counts by 1e-5 at most."""
STEPS_PER_CHECK = 6
"""Iterations between two checks for escaped points. Six squarings of 256 (1 + i) give 2 to the power of 544,
which a float can hold."""
MIN_POINTS = 2
"""Least number of points that are iterated together. numpy multiplies a single complex number without the
fused instructions that it uses for more, so the last digit of a single point would depend on its tile."""
_NO_INDICES = np.empty(0, np.intp)
_BLOCK = 16384
"""Points that are iterated at a time."""
_COMPACT_BELOW = 0.7
"""Escaped points are removed from a block when less than this fraction of it is still iterated: then idle
points cost more than copying the others."""
_FIRST_CHECKS = 10
"""Checks for escaped points before blocks are merged for the first time."""
_CHECKS_GROWTH = 8
"""Factor by which the number of checks grows after each merge."""


class ActivePoints(NamedTuple):
    """Points that are being iterated."""

    z: Points
    c: Points
    indices: Indices
    """Number of each point among all; -1 for a point that has escaped and stays at 0."""

    def select(self, which: slice | Indices) -> ActivePoints:
        """Return a copy of some of the points."""
        return ActivePoints(self.z[which].copy(), self.c[which].copy(), self.indices[which].copy())

    def without_escaped(self) -> ActivePoints:
        """Return a copy of the points that have not escaped."""
        return self.select(np.flatnonzero(self.indices >= 0))

    def padded(self) -> ActivePoints:
        """Return the points, or ``MIN_POINTS`` copies of the same point if there are fewer."""
        if self.indices.size >= MIN_POINTS:
            return self
        return self.select(np.zeros(MIN_POINTS, np.intp))


class EscapeRecord:
    """For each point, the step at which its escape was found, and its distance from 0 then."""

    def __init__(self, count: int) -> None:
        """Create a record for ``count`` points that have not escaped."""
        self._steps, self._distances = np.full(count, np.inf), np.full(count, BAILOUT)

    def add(self, indices: Indices, z: Points, step: int) -> None:
        """Record that points have escaped.

        Args:
            indices: numbers of the points.
            z: where they are after ``step`` iterations.
            step: number of iterations.
        """
        self._steps[indices], self._distances[indices] = step, np.abs(z)

    def counts(self, iters: int) -> Floats:
        """Return the smooth count of each point; infinite if it did not escape within ``iters`` iterations.

        The count is the time at which ``|z|`` would have passed ``BAILOUT`` if it grew smoothly. For a point
        that begins beyond ``BAILOUT`` that time is before 0, and its count is 0.
        """
        counts = self._steps - np.log2(np.log2(self._distances)) + np.log2(np.log2(BAILOUT))
        return np.where(counts < iters, np.maximum(counts, 0.0), np.inf)


def escape(z: Points, c: Points, step: int, iters: int) -> Floats:
    """Return the smooth number of iterations until each point escapes.

    The number of a point depends on that point alone, not on the points that are iterated together with it.

    Args:
        z: where the points are, shape (points,).
        c: what is added to each square, shape (points,).
        step: number of iterations that led to ``z``.
        iters: number of iterations after which to stop.

    Returns:
        Counts, shape (points,); infinite for points that do not escape within ``iters`` iterations.
    """
    kernels = compiled.find_kernels()
    return (kernels.escape if kernels else escape_numpy)(z, c, step, iters)


def escape_numpy(z: Points, c: Points, step: int, iters: int, fold: bool = False) -> Floats:
    """Return what ``escape`` returns, computed by numpy.

    Args:
        z: as for ``escape``.
        c: the same.
        step: the same.
        iters: the same.
        fold: replace both parts of z by their absolute values before each square.
    """
    record = EscapeRecord(z.size)
    active = ActivePoints(z, c, np.arange(z.size))
    checks = _FIRST_CHECKS
    while active.indices.size and step < iters:
        checks = min(checks, -(-(iters - step) // STEPS_PER_CHECK))
        starts = range(0, active.indices.size, _BLOCK)
        blocks = [
            _iterate(active.select(slice(start, start + _BLOCK)), step, checks, record, fold)
            for start in starts
        ]
        active = ActivePoints(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))
        step += checks * STEPS_PER_CHECK
        checks *= _CHECKS_GROWTH
    return record.counts(iters)


def find_escaped(z: Points, scratch: Floats) -> Indices:
    """Return the positions of the points that have escaped.

    Args:
        z: the points.
        scratch: memory for intermediate results, two numbers per point.
    """
    parts = np.abs(z.view(np.float64), out=scratch[: 2 * z.size]) > BAILOUT
    if not parts.any():
        return _NO_INDICES
    return np.flatnonzero(parts.view(np.uint16) != 0)  # the flags of both parts, read as one number


def _iterate(active: ActivePoints, step: int, checks: int, record: EscapeRecord, fold: bool) -> ActivePoints:
    """Iterate a block of points, and return the points that have not escaped.

    Args:
        active: the block; its arrays are changed.
        step: number of iterations that the points have behind them.
        checks: how often to look for escaped points, each time after ``STEPS_PER_CHECK`` iterations.
        record: where escapes are recorded.
        fold: as for ``escape_numpy``.
    """
    active = active.padded()
    remaining = active.indices.size
    scratch = np.empty(2 * active.z.size)
    for _ in range(checks):
        z, c, indices = active
        parts = z.view(np.float64)
        for _ in range(STEPS_PER_CHECK):
            if fold:
                np.abs(parts, out=parts)
            np.square(z, out=z)
            np.add(z, c, out=z)
        step += STEPS_PER_CHECK
        escaped = find_escaped(z, scratch)
        if not escaped.size:
            continue
        record.add(indices[escaped], z[escaped], step)
        z[escaped] = c[escaped] = 0  # 0 stays 0, so escaped points never overflow
        indices[escaped] = -1
        remaining -= escaped.size
        if remaining == 0:
            break
        if MIN_POINTS <= remaining < _COMPACT_BELOW * z.size:
            active = active.without_escaped()
    return active.without_escaped()
