"""Deep zooms: points are computed as small offsets from one reference orbit, which has all necessary digits.

With Z the orbit of the view's centre and c = C + γ, a point's orbit is z = Z + δ where

    δ ← 2Zδ + δ² + γ,

and floats are precise enough for δ and γ however small they are (K. I. Martin, "SuperFractalThing Maths",
2013). This breaks down where Z and δ nearly cancel. There, as soon as ``|z| < |δ|``, the point is *rebased*:
it begins to follow the orbit again from its first position, δ ← z, Z ← Z₀ = 0. It is also rebased where the
orbit ends, so the reference can be any orbit, of any length (Zhuoran, "Another solution to perturbation
glitches", fractalforums.org, 2021).

For a Julia set, c is the same for all points, so γ is 0, and δ begins as the distance of the point from the
view's centre. The reference is the orbit of the centre, which does not begin at 0. A point is rebased from it
to the orbit of 0, the critical orbit, and follows that from then on.

Compiled code does this where the package has a library for the machine (``compiled``), and numpy elsewhere.
Compiled code also jumps over many steps at a time (``bilinear``) where that saves time.

Two things limit the depth. First, γ and δ are floats, so points must be more than 1e-290 apart, which
``View`` checks. Second, deeper views take more iterations, and so more time. The orbit's digits are no limit.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import cast

import numpy as np

from wrenlite.errors import ConfigError
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
from wrenlite.gallery.fractals.view import Seed, Tile, View
from wrenlite.memory import memory_bytes

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

Exact = tuple[Fraction, Fraction]
"""A complex number."""
_BYTES_PER_POSITION = 200
"""Memory for a position of the reference orbit and for its jumps while they are computed."""
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
    """The orbit of a view's centre, to where it escapes or the iterations end."""

    z: Points
    """The positions of the orbit; for a Julia set, those of the critical orbit after them."""
    restart: int = 0
    """The index of the position 0 to which points are rebased."""

    @property
    def parts(self) -> tuple[Points, Points]:
        """The positions that points follow at first, and those that they follow after they are rebased."""
        return self.z[: self.restart or None], self.z[self.restart :]

    @cached_property
    def twice_z(self) -> Points:
        """``2 Z``."""
        return 2 * self.z

    @cached_property
    def sizes(self) -> list[float]:
        """``|Z|``."""
        return [float(size) for size in np.abs(self.z)]

    def last(self, position: int) -> int:
        """Return the index of the last position of the part that a position is in."""
        return (self.restart if position < self.restart else self.z.size) - 1


@lru_cache(maxsize=8)
def reference_orbit(view: View) -> ReferenceOrbit:
    """Return the orbit of a view's centre, computed with fixed-point numbers in Python's integers.

    The orbits of the last few views are cached.

    Raises:
        ConfigError: it does not fit into the memory of this machine.
    """
    centre, zero = (Fraction(Decimal(view.xpos)), Fraction(Decimal(view.ypos))), (Fraction(0), Fraction(0))
    if view.seed is None:
        return ReferenceOrbit(_exact_orbit(zero, centre, view))
    real, imaginary = cast("Seed", view.seed)
    seed = Fraction(real), Fraction(imaginary)
    parts = [_exact_orbit(start, seed, view) for start in (centre, zero)]
    return ReferenceOrbit(np.concatenate(parts), parts[0].size)


def orbit_bytes(view: View) -> int:
    """Return how much memory a process needs for the reference orbit of a view."""
    return reference_orbit(view).z.size * _BYTES_PER_POSITION if view.deep else 0


def _exact_orbit(start: Exact, c: Exact, view: View) -> Points:
    """Return the positions of z ← z² + c from a start on, at least two."""
    bits = _GUARD_BITS - math.floor(math.log2(view.spacing))
    one = 1 << bits
    x, y, cx, cy = (round(part * one) for part in (*start, *c))
    positions = array("d", (x / one, y / one))
    most = min(view.iters, memory_bytes() // _BYTES_PER_POSITION)
    for _ in range(most):
        x, y = ((x * x - y * y) >> bits) + cx, ((x * y) >> (bits - 1)) + cy
        positions.extend((x / one, y / one))
        if math.hypot(*positions[-2:]) > BAILOUT:
            break
    else:
        if most < view.iters:
            raise ConfigError(
                f"iters is {view.iters:,}: the orbit of the view's centre has more than {most:,} positions, "
                "which is what this machine has memory for: choose fewer iterations, or another centre"
            )
    return np.array(positions).view(np.complex128)


def escape(tile: Tile) -> Floats:
    """Return the smooth count of each point of a tile, shape (height, width); infinite without escape."""
    return _escape(tile.view, offsets_of(tile)).reshape(tile.height, tile.width)


def _escape(view: View, offsets: Points) -> Floats:
    orbit, kernels = reference_orbit(view), compiled.find_kernels()
    delta, gamma = starts(view, offsets)
    if kernels is None:
        return _escape_numpy(orbit, delta, gamma, view.iters)
    jumping = useful_jumps(view)
    if jumping is not None:
        return kernels.escape_jumping(jumping, delta, gamma, view.iters)[0]
    together = _steps_together(orbit, float(np.abs(offsets).max()), view.iters)
    together -= together % STEPS_PER_CHECK
    return kernels.escape_perturbed(orbit.z, offsets, together, view.iters)


def starts(view: View, offsets: Points) -> tuple[Points, Points]:
    """Return δ of some points before the first step, and their γ.

    Args:
        view: the view.
        offsets: the distances of the points from the view's centre.
    """
    zeros = np.zeros_like(offsets)
    return (zeros, offsets) if view.seed is None else (offsets, zeros)


def offsets_of(tile: Tile) -> Points:
    """Return the distances of a tile's points from the view's centre, shape (points,)."""
    across, up = tile.offsets()
    offsets = np.empty((tile.height, tile.width), np.complex128)
    offsets.real, offsets.imag = across, up[:, np.newaxis]
    return offsets.reshape(-1)


@lru_cache(maxsize=8)
def useful_jumps(view: View) -> tuple[JumpOrbit, JumpOrbit] | None:
    """Return both parts of the reference orbit with jumps; None where steps side by side take less time.

    Some points of the view are iterated to find out. All tiles of a view have the same answer. The points of
    a Julia set always jump: only there does compiled code follow two orbits.
    """
    kernels = compiled.find_kernels()
    if kernels is None:
        return None
    orbit, farthest = reference_orbit(view), view.spacing * math.hypot(view.width, view.height) / 2
    first = with_jumps(orbit.parts[0], farthest if view.seed is None else 0.0)
    if view.seed is not None:
        return first, with_jumps(orbit.parts[1], 0.0)
    scale = min(1.0, _SAMPLES / max(view.width, view.height))
    small = replace(view, width=math.ceil(view.width * scale), height=math.ceil(view.height * scale))
    samples = offsets_of(Tile(small, 0, 0, small.width, small.height))
    counts, jumps, _ = kernels.escape_jumping((first, first), *starts(view, samples), view.iters)
    return (first, first) if float(np.minimum(counts, view.iters).sum()) >= _LEAST_SKIP * jumps else None


def _escape_numpy(orbit: ReferenceOrbit, delta: Points, gamma: Points, iters: int) -> Floats:
    """Return the smooth counts of points with some δ and γ at the start, computed by numpy."""
    record = EscapeRecord(gamma.size)
    for start in range(0, gamma.size, _BLOCK):
        block = slice(start, min(start + _BLOCK, gamma.size))
        points = _PerturbedPoints(orbit, delta[block], gamma[block], np.arange(block.start, block.stop))
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
    last = orbit.last(position)
    while steps < limit and position + steps + 1 < last:  # points are rebased at the last position
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

    def __init__(self, orbit: ReferenceOrbit, delta: Points, gamma: Points, indices: Indices) -> None:
        """Create points at the beginning of an orbit.

        Args:
            orbit: the orbit that the points follow.
            delta: δ of each point, its distance from the orbit's first position.
            gamma: γ of each point, the distance of its c from that of the orbit.
            indices: number of each point in its tile.
        """
        self._orbit = orbit
        self._gamma, self._delta = gamma, delta
        self._position = np.zeros(gamma.size, np.intp)  # index of each point's Z in the orbit
        self.indices = indices
        """Number of each point in its tile."""
        self.step = 0
        """Iterations that the points have behind them."""
        self._select(np.arange(gamma.size))

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
            rebase |= (self._position == orbit.last(0)) | (self._position == orbit.z.size - 1)
            if rebase.any():
                rebased = np.flatnonzero(rebase)
                self._delta[rebased], self._position[rebased] = z[rebased], orbit.restart

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
