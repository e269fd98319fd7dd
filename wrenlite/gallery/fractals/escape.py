"""The kernel: z ← z² + c on many points at once, and how soon each escapes.

numpy's ufuncs are the loop. Squaring a complex array in place and adding another are two passes over memory
where real and imaginary parts in arrays of their own take seven. The passes go over blocks that stay
in a core's second-level cache. Blocks shrink as points escape, and a call costs as much as a pass over
a thousand points: so what is left of the blocks is put together anew, at first soon, then ever less often.

A count is smooth: its fraction comes from how far the point has gone, so there are no bands. As
|z| squares at each step, log2(log |z|) grows by one, and the count may be read off any number of
steps after the escape (see e.g. Linas Vepstas, "Renormalizing the Mandelbrot Escape").

Orbits have the same bits on every machine whose numpy multiplies complex numbers with fused operations:
x86-64 since 2013 and 64-bit ARM. The logarithms may differ in their last digit, far below a count's 16 bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.complex128]
Floats = NDArray[np.float64]
Places = NDArray[np.intp]

BAILOUT = 256.0
"""Real or imaginary part past which a point has escaped: so large that neglecting a c of up to 2 beside z²
changes counts by 1e-5 at most."""
STEPS = 6
"""Iterations between looks at which points have escaped: from 256 (1 + i), six squarings (2 to the 544th)
stay a float."""
LEAST_LANES = 2
"""numpy multiplies a single complex number without the fused operation that it uses for more, and
a last digit would depend on the tile: a point never stays alone."""
_NONE = np.empty(0, np.intp)
_BLOCK = 16384
"""Points that are iterated at a time."""
_FULL = 0.7
"""Share of a block that is alive below which the rest is taken out: idling costs more than copying then."""
_FIRST = 10
"""Looks until the blocks are put together anew for the first time …"""
_LONGER = 8
"""… and so many times longer each time after."""


class Lanes(NamedTuple):
    """Points on their way."""

    z: Points
    c: Points
    where: Places
    """Which point each is; -1 for one that has escaped and idles at 0."""

    def some(self, which: slice | Places) -> Lanes:
        """A copy of those."""
        return Lanes(self.z[which].copy(), self.c[which].copy(), self.where[which].copy())

    def alive(self) -> Lanes:
        """Those that have not escaped."""
        return self.some(np.flatnonzero(self.where >= 0))

    def in_company(self) -> Lanes:
        """Twice the same point if it would be alone."""
        return self if self.where.size >= LEAST_LANES else self.some(np.zeros(LEAST_LANES, np.intp))


class Escapes:
    """When points were seen to have escaped, and where."""

    def __init__(self, count: int) -> None:
        self._steps, self._distances = np.full(count, np.inf), np.full(count, BAILOUT)

    def note(self, places: Places, z: Points, step: int) -> None:
        """Those points have escaped: this is where they are after so many steps."""
        self._steps[places], self._distances[places] = step, np.abs(z)

    def counts(self, iters: int) -> Floats:
        """The smooth count of each point; infinite where it did not escape within ``iters``.

        It is the time at which ``|z|`` would have passed ``BAILOUT`` if it grew smoothly. Points that begin
        beyond have been there since before 0, which is where their count stays.
        """
        counts = self._steps - np.log2(np.log2(self._distances)) + np.log2(np.log2(BAILOUT))
        return np.where(counts < iters, np.maximum(counts, 0.0), np.inf)


def escape(z: Points, c: Points, step: int, iters: int) -> Floats:
    """The smooth number of iterations until each point escapes; infinite where there is none below ``iters``.

    The number of a point depends on that point alone, not on those that it is iterated with.

    Args:
        z: where the points are, shape (points,).
        c: what is added to each square, shape (points,).
        step: how many iterations the points have behind them.
        iters: where to stop.
    """
    escapes = Escapes(z.size)
    lanes = Lanes(z, c, np.arange(z.size))
    looks = _FIRST
    while lanes.where.size and step < iters:
        looks = min(looks, -(-(iters - step) // STEPS))
        starts = range(0, lanes.where.size, _BLOCK)
        left = [_iterate(lanes.some(slice(start, start + _BLOCK)), step, looks, escapes) for start in starts]
        lanes = Lanes(*(np.concatenate(parts) for parts in zip(*left, strict=True)))
        step += looks * STEPS
        looks *= _LONGER
    return escapes.counts(iters)


def far(z: Points, scratch: Floats) -> Places:
    """Which points have escaped; ``scratch`` has room for two numbers a point."""
    parts = np.abs(z.view(np.float64), out=scratch[: 2 * z.size]) > BAILOUT
    if not parts.any():
        return _NONE
    return np.flatnonzero(parts.view(np.uint16) != 0)  # the flags of both parts, read as one number


def _iterate(lanes: Lanes, step: int, looks: int, escapes: Escapes) -> Lanes:
    """So many looks at a block, and ``STEPS`` iterations before each; the points that are left."""
    lanes = lanes.in_company()
    live = lanes.where.size
    sizes = np.empty(2 * lanes.z.size)
    for _ in range(looks):
        z, c, where = lanes
        for _ in range(STEPS):
            np.square(z, out=z)
            np.add(z, c, out=z)
        step += STEPS
        found = far(z, sizes)
        if not found.size:
            continue
        escapes.note(where[found], z[found], step)
        z[found] = c[found] = 0  # 0 stays 0: nothing overflows
        where[found] = -1
        live -= found.size
        if live == 0:
            break
        if LEAST_LANES <= live < _FULL * z.size:
            lanes = lanes.alive()
    return lanes.alive()
