"""Deep zooms: points are computed as small offsets from one reference orbit, which has all necessary digits.

With Z the orbit of the view's centre and c = C + γ, a point's orbit is z = Z + δ where

    δ ← 2Zδ + δ² + γ,

and floats are precise enough for δ and γ however small they are (K. I. Martin, "SuperFractalThing Maths",
2013). This breaks down where Z and δ nearly cancel. There, as soon as ``|z| < |δ|``, the point is *rebased*:
it begins to follow the orbit again from its first position, δ ← z, Z ← Z₀ = 0. It is also rebased where the
orbit ends, so the reference can be any orbit, of any length (Zhuoran, "Another solution to perturbation
glitches", fractalforums.org, 2021).

Compiled code does this where the package has a library for the machine (``compiled``), and numpy elsewhere.
Compiled code also jumps over many steps at a time (``bilinear``) where that saves time.

Two things limit the depth. First, γ and δ are floats, so points must be more than 1e-290 apart, which
``View`` checks. Second, deeper views take more iterations, and so more time. The orbit's digits are no limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

import numpy as np

from wrenlite.gallery.fractals import compiled
from wrenlite.gallery.fractals.bilinear import JumpOrbit, with_jumps
from wrenlite.gallery.fractals.escape import (
    BAILOUT,
    MIN_POINTS,
    STEPS_PER_CHECK,
    EscapeRecord,
    Floats,
    Indices,
    Points,
    find_escaped,
)
from wrenlite.gallery.fractals.view import Tile, View

DEEP_VIEW = View(
    "-0.74511862670470651847984002817069761905822422500416",
    "0.13118653298080038826974929297980326053298536677765",
    "1e-28",
    960,
    540,
    5000,
)
"""A view of a small copy of the whole set. The copy is 7e-30 wide and of period 293, near one of period 70,
near one of period 35, in Seahorse Valley. It takes 800 million iterations, and 1 of 280 points is inside."""

_BLOCK = 16384
"""Points that are iterated at a time."""
_GUARD_BITS = 64
"""Bits of the orbit's numbers below the spacing of the points. An error of the orbit grows like the distance
of two neighbouring points, which ends at about 1. So these bits must cover the 53 bits of a float, and some
more for the sum of all errors."""
_SAFE_RATIO = 0.49
"""While ``|δ| < |Z| / 2``, z is larger than δ, so no point is rebased. Below 0.5 because of rounding."""
_LEAST_SKIP = 4.0
"""Steps for each jump or step from which on jumps save time. A jump or a step of a single point takes 6.5 ns,
and a step of a point that is iterated beside 31 others 1.7 ns."""
_SAMPLES = 8
"""Points of a view, each way, that are iterated to find out for how many steps a jump is."""


@dataclass(frozen=True, eq=False)
class ReferenceOrbit:
    """The orbit of a view's centre, from 0 to where it escapes or the iterations end."""

    z: Points
    twice_z: Points
    sizes: list[float]
    """``|z|``."""

    @property
    def last(self) -> int:
        """The index of its last position."""
        return self.z.size - 1


@lru_cache(maxsize=8)
def reference_orbit(view: View) -> ReferenceOrbit:
    """Return the orbit of a view's centre, computed with fixed-point numbers in Python's integers.

    The orbits of the last few views are cached.
    """
    bits = _GUARD_BITS - math.floor(math.log2(view.spacing))
    cx, cy = (round(Fraction(Decimal(each)) * (1 << bits)) for each in (view.xpos, view.ypos))
    one = 1 << bits
    x = y = 0
    positions = [0j]
    while len(positions) <= view.iters and abs(positions[-1]) <= BAILOUT:
        x, y = ((x * x - y * y) >> bits) + cx, ((x * y) >> (bits - 1)) + cy
        positions.append(complex(x / one, y / one))
    z = np.array(positions)
    return ReferenceOrbit(z, 2 * z, np.abs(z).tolist())


def escape(tile: Tile) -> Floats:
    """Return the smooth count of each point of a tile, shape (height, width); infinite without escape."""
    shape, iters = (tile.height, tile.width), tile.view.iters
    offsets = offsets_of(tile)
    orbit, kernels = reference_orbit(tile.view), compiled.find_kernels()
    if kernels is None:
        return _escape_numpy(orbit, offsets, iters).reshape(shape)
    jumping = useful_jumps(tile.view)
    if jumping is not None:
        counts, _ = kernels.escape_jumping((jumping, jumping), np.zeros_like(offsets), offsets, iters)
        return counts.reshape(shape)
    together = _steps_together(orbit, float(np.abs(offsets).max()), iters)
    together -= together % STEPS_PER_CHECK
    return kernels.escape_perturbed(orbit.z, offsets, together, iters).reshape(shape)


def offsets_of(tile: Tile) -> Points:
    """Return the distances of a tile's points from the view's centre, shape (points,)."""
    across, up = tile.offsets()
    offsets = np.empty((tile.height, tile.width), np.complex128)
    offsets.real, offsets.imag = across, up[:, np.newaxis]
    return offsets.reshape(-1)


@lru_cache(maxsize=8)
def useful_jumps(view: View) -> JumpOrbit | None:
    """Return the reference orbit of a view with jumps; None where jumps save no time.

    Some points of the view are iterated to find out. All tiles of a view have the same answer.
    """
    kernels = compiled.find_kernels()
    if kernels is None:
        return None
    scale = min(1.0, _SAMPLES / max(view.width, view.height))
    small = replace(view, width=math.ceil(view.width * scale), height=math.ceil(view.height * scale))
    samples = offsets_of(Tile(small, 0, 0, small.width, small.height))
    orbit = with_jumps(reference_orbit(view).z, view.spacing * math.hypot(view.width, view.height) / 2)
    counts, jumps = kernels.escape_jumping((orbit, orbit), np.zeros_like(samples), samples, view.iters)
    return orbit if float(np.minimum(counts, view.iters).sum()) >= _LEAST_SKIP * jumps else None


def _escape_numpy(orbit: ReferenceOrbit, offsets: Points, iters: int) -> Floats:
    """Return the smooth counts of points with some offsets from the view's centre, computed by numpy."""
    record = EscapeRecord(offsets.size)
    for start in range(0, offsets.size, _BLOCK):
        block = offsets[start : start + _BLOCK]
        points = _PerturbedPoints(orbit, block, np.arange(start, start + block.size))
        while points.indices.size and points.step < iters:
            points.advance_together(iters)
            points.advance_separately()
            points.remove_escaped(record)
    return record.counts(iters)


def _steps_together(
    orbit: ReferenceOrbit, max_gamma: float, limit: int, position: int = 0, bound: float = 0.0
) -> int:
    """Return for how many steps a bound on ``|δ|`` excludes rebasing and escape.

    Args:
        orbit: the orbit that the points follow.
        max_gamma: the largest ``|γ|`` of the points.
        limit: the most steps.
        position: where all points are on the orbit.
        bound: the largest ``|δ|`` of the points.
    """
    steps = 0
    while steps < limit and position + steps + 1 < orbit.last:  # points are rebased at the last position
        before, size = orbit.sizes[position + steps : position + steps + 2]
        bound = (2 * before + bound) * bound + max_gamma
        if bound > _SAFE_RATIO * size or size > BAILOUT / 2:
            break
        steps += 1
    return steps


class _PerturbedPoints:
    """Points that follow a reference orbit, each at its own position on the orbit.

    Points can advance together or separately, and their numbers have the same bits either way: while no point
    is rebased or escapes, both do the same arithmetic, and advancing together is five times as fast.
    """

    def __init__(self, orbit: ReferenceOrbit, offsets: Points, indices: Indices) -> None:
        """Create points at the beginning of an orbit.

        Args:
            orbit: the orbit that the points follow.
            offsets: γ of each point, its distance from the view's centre.
            indices: number of each point in its tile.
        """
        self._orbit = orbit
        self._gamma = offsets
        self._delta = np.zeros(offsets.size, np.complex128)
        self._position = np.zeros(offsets.size, np.intp)  # index of each point's Z in the orbit
        self.indices = indices
        """Number of each point in its tile."""
        self.step = 0
        """Iterations that the points have behind them."""
        self._select(np.arange(offsets.size))

    def _select(self, kept: Indices) -> None:
        """Drop all other points, and allocate memory for intermediate results."""
        if 0 < kept.size < MIN_POINTS:
            kept = np.repeat(kept, MIN_POINTS)  # copies of the same point: see MIN_POINTS
        self._gamma, self._delta, self._position = self._gamma[kept], self._delta[kept], self._position[kept]
        self.indices = self.indices[kept]
        self._z, self._next = np.empty_like(self._delta), np.empty_like(self._delta)
        self._sizes, self._scratch = np.empty(kept.size), np.empty(2 * kept.size)
        self._max_gamma = float(np.abs(self._gamma).max(initial=0.0))

    def advance_together(self, iters: int) -> None:
        """Iterate while all points are at one position and a bound on ``|δ|`` excludes rebasing and escape.

        Args:
            iters: number of iterations after which to stop.
        """
        position = int(self._position[0])
        if (self._position != position).any():
            return
        bound = float(np.abs(self._delta).max())
        steps = _steps_together(self._orbit, self._max_gamma, iters - self.step, position, bound)
        for twice_z in self._orbit.twice_z[position : position + steps]:
            self._update_delta(twice_z)
        self._position += steps
        self.step += steps

    def advance_separately(self) -> None:
        """Iterate up to the next step at which escapes are checked, and rebase points where necessary."""
        orbit = self._orbit
        for _ in range(STEPS_PER_CHECK - self.step % STEPS_PER_CHECK):
            self._update_delta(_gather(orbit.twice_z, self._position, self._z))
            self._position += 1
            self.step += 1
            z = _gather(orbit.z, self._position, self._z)
            z += self._delta
            rebase = np.abs(z, out=self._scratch[: z.size]) < np.abs(self._delta, out=self._sizes)
            rebase |= self._position == orbit.last
            if rebase.any():
                rebased = np.flatnonzero(rebase)
                self._delta[rebased], self._position[rebased] = z[rebased], 0

    def _update_delta(self, twice_z: Points | np.complex128) -> None:
        """Compute δ ← (2Z + δ) δ + γ."""
        np.add(self._delta, twice_z, out=self._next)
        np.multiply(self._next, self._delta, out=self._next)
        np.add(self._next, self._gamma, out=self._next)
        self._delta, self._next = self._next, self._delta

    def remove_escaped(self, record: EscapeRecord) -> None:
        """Record the points that have escaped, and drop them."""
        escaped = find_escaped(self._z, self._scratch)
        if escaped.size:
            record.add(self.indices[escaped], self._z[escaped], self.step)
            kept = np.ones(self.indices.size, np.bool_)
            kept[escaped] = False
            self._select(np.flatnonzero(kept))


def _gather(values: Points, indices: Indices, out: Points) -> Points:
    """Write the values at some indices to ``out``, and return it.

    No index is out of bounds, so ``mode="clip"`` changes no value; without it, numpy copies ``out`` first.
    """
    return values.take(indices, out=out, mode="clip")
