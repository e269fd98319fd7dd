"""Orbits with their derivative, from which the distance of a point from the set follows, and its slope.

Beside z, its derivative dz with respect to the point is iterated: dz ← 2 z dz + 1, without the 1 for Julia
sets, where c is the same for all points. It is in units of one over the spacing of the points, so that it is
about 1 at the escape, and neither overflows nor becomes 0 in the deepest view.

Compiled code does this where the package has a library for the machine (``kernel/light.c``), and numpy
elsewhere, with the same bits for z and dz. Escapes are looked for after each step, so that z is where the
orbit first leaves the circle of radius ``BAILOUT``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wrenlite.gallery.fractals import compiled
from wrenlite.gallery.fractals.escape import BAILOUT, MIN_POINTS, Floats, Indices, Points
from wrenlite.gallery.fractals.perturbation import reference_orbit, starts, useful_jumps
from wrenlite.gallery.fractals.view import View

_BLOCK = 16384
"""Points that are iterated at a time."""
_TRAP_RADIUS = 2.0
"""Positions farther from 0 do not count for the distance from the axes. For ``|c|`` up to 2 no orbit comes
back from there, and where it passes an axis, lines would be far thinner than the points, as noise."""
_SCALE = 2.0**400
"""Small offsets are multiplied by this before they are squared."""


@dataclass(frozen=True, eq=False)
class Start:
    """What is iterated, and where it begins."""

    z: Points
    """Where the points are after ``step`` iterations. With an orbit, their distances from it."""
    c: Points
    """What is added to each square. With an orbit, the distance from its c."""
    step: int
    derivative: float
    """That of z after ``step`` iterations."""
    added: float
    """What each step adds to the derivative."""
    orbit: Points | None = None
    """Positions of the reference orbit from 0 on, at least two; None where float64 has enough digits."""

    @classmethod
    def of(cls, offsets: Points, view: View) -> Start:
        """Return the start of some points of a view.

        Args:
            offsets: distances of the points from the view's centre, shape (points,).
            view: the view, of the Mandelbrot set or of a Julia set.
        """
        spacing = view.spacing
        if view.deep:
            return cls(offsets, offsets, 1, spacing, spacing, reference_orbit(view).z)
        plane = offsets + complex(float(view.xpos), float(view.ypos))
        if view.seed is None:
            return cls(plane, plane, 1, spacing, spacing)
        return cls(plane, np.full_like(plane, view.julia), 0, spacing, 0.0)


class Escapes(NamedTuple):
    """How the orbits of some points ended."""

    steps: Floats
    """The step after which a point is first beyond the bail-out, shape (points,). It is infinite if that
    never is; then the other numbers are 0."""
    z: Points
    """Where it is then."""
    derivative: Points
    """The derivative of z, divided by the points' spacing."""
    traps: Floats
    """The smallest ``|z|²`` of the orbit, and its smallest distance from an axis while it is within 2 of 0,
    shape (points, 2). The first position of the orbit and the last do not count."""

    def counts(self, iters: int) -> Floats:
        """Return the smooth counts, which differ from those of ``escape`` by 1e-5 at most."""
        with np.errstate(all="ignore"):
            counts = self.steps - np.log2(np.log2(np.abs(self.z)) / np.log2(BAILOUT))
        return np.where(counts < iters, np.maximum(counts, 0.0), np.inf)


def follow_view(offsets: Points, view: View, traps: bool) -> Escapes:
    """Return how the orbits of some points of a view end.

    Args:
        offsets: distances of the points from the view's centre, shape (points,).
        view: the view.
        traps: whether the distances from traps are wanted; without them, deep points may jump.
    """
    kernels, jumping = compiled.find_kernels(), None
    if view.deep and not traps:
        jumping = useful_jumps(view)
    if kernels is None or jumping is None:
        return follow(Start.of(offsets, view), view.iters)
    deltas = starts(view, offsets)
    counts, _, ends = kernels.escape_jumping(jumping, *deltas, view.iters, view.spacing)
    assert ends is not None
    z, derivative = ends.T
    with np.errstate(all="ignore"):
        above = np.log2(np.log2(np.abs(z)) / np.log2(BAILOUT))
    steps = np.where(np.isfinite(counts), np.rint(counts + above), np.inf)
    return Escapes(steps, z, derivative, np.zeros((offsets.size, 2)))


def follow(start: Start, iters: int) -> Escapes:
    """Return where the orbit of each point escapes, and the derivative there.

    Args:
        start: the points.
        iters: number of iterations after which to stop.
    """
    kernels = compiled.find_kernels()
    if kernels is None:
        return follow_numpy(start, iters)
    numbers = (start.step, iters, start.derivative, start.added)
    steps, states, traps = kernels.escape_with_derivative(start.z, start.c, start.orbit, *numbers)
    return Escapes(steps, states[:, 0], states[:, 1], traps)


def follow_numpy(start: Start, iters: int) -> Escapes:
    """Return what ``follow`` returns, computed by numpy."""
    size = start.z.size
    z, derivative = np.zeros((2, size), np.complex128)
    found = Escapes(np.full(size, np.inf), z, derivative, np.zeros((size, 2)))
    with np.errstate(all="ignore"):  # derivatives of points that never escape may overflow
        for first in range(0, size, _BLOCK):
            _iterate(_Points.of(start, np.arange(first, min(first + _BLOCK, size))), start, iters, found)
    return found


class _Points(NamedTuple):
    """Points that numpy iterates."""

    indices: Indices
    z: Points
    c: Points
    derivative: Points
    traps: Floats
    offset: Points
    """With an orbit: the distance from it."""
    position: Indices
    """With an orbit: the index of the position on it."""

    @classmethod
    def of(cls, start: Start, indices: Indices) -> _Points:
        z, c = start.z[indices], start.c[indices]
        derivative, position = np.full_like(z, start.derivative), np.ones(z.size, np.intp)
        return cls(indices, z, c, derivative, np.full((z.size, 2), np.inf), z, position)

    def select(self, kept: Indices) -> _Points:
        """Return some of the points; ``MIN_POINTS`` copies if it is one."""
        if 0 < kept.size < MIN_POINTS:
            kept = np.repeat(kept, MIN_POINTS)
        return _Points._make(array[kept] for array in self)

    def follow(self, orbit: Points) -> _Points:
        """Return the points with z from the orbit, rebased where necessary: see ``perturbation``."""
        z = orbit[self.position] + self.offset
        rebased = _squares(_SCALE * z) < _squares(_SCALE * self.offset)
        rebased |= self.position == orbit.size - 1
        offset, position = np.where(rebased, z, self.offset), np.where(rebased, 0, self.position)
        return self._replace(z=z, offset=offset, position=position)

    def pass_traps(self) -> _Points:
        """Return the points with the distances from the traps that they have come to."""
        squares, cross = _squares(self.z), np.minimum(np.abs(self.z.real), np.abs(self.z.imag))
        cross = np.where(squares <= _TRAP_RADIUS**2, cross, np.inf)
        return self._replace(traps=np.fmin(self.traps, np.stack([squares, cross], axis=-1)))

    def advance(self, start: Start) -> _Points:
        """Return the points after one iteration."""
        derivative = 2 * self.z * self.derivative + start.added
        if start.orbit is None:
            return self._replace(derivative=derivative, z=np.square(self.z) + self.c)
        offset = (self.offset + 2 * start.orbit[self.position]) * self.offset + self.c
        return self._replace(derivative=derivative, offset=offset, position=self.position + 1)


def _iterate(points: _Points, start: Start, iters: int, found: Escapes) -> None:
    """Iterate until all points have escaped or have had their iterations, and record those that escape."""
    points = points.select(np.arange(points.indices.size))
    for step in range(start.step, iters + 1):
        if start.orbit is not None:
            points = points.follow(start.orbit)
        beyond = _squares(points.z) > BAILOUT**2
        if beyond.any():
            escaped = points.select(np.flatnonzero(beyond))
            found.steps[escaped.indices], found.z[escaped.indices] = step, escaped.z
            found.derivative[escaped.indices], found.traps[escaped.indices] = (
                escaped.derivative,
                escaped.traps,
            )
            points = points.select(np.flatnonzero(~beyond))
        if not points.indices.size:
            break
        if step > start.step:
            points = points.pass_traps()
        points = points.advance(start)


def _squares(points: Points) -> Floats:
    return np.asarray(points.real**2 + points.imag**2)
