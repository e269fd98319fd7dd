"""Deep zooms: each point as a small offset from one orbit that is computed with as many digits as it takes.

With Z the orbit of the view's centre and c = C + γ, a point's orbit is z = Z + δ where

    δ ← 2Zδ + δ² + γ,

and floats are precise enough for δ and γ however small they are (K. I. Martin, "SuperFractalThing Maths",
2013). This breaks down where Z and δ nearly cancel. There, as soon as ``|z| < |δ|``, the point begins
to follow the orbit anew from its first place: δ ← z, Z ← Z₀ = 0. It does the same where the orbit ends, so
any orbit will do, of whatever length (Zhuoran, "Another solution to perturbation glitches",
fractalforums.org, 2021).

What limits the depth: γ and δ are floats, so points must be more than 1e-290 apart, which ``View`` sees
to; and the time, as deeper views take more iterations. The orbit's digits are no limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

import numpy as np

from wrenlite.gallery.fractals.escape import BAILOUT, LEAST_LANES, STEPS, Escapes, Floats, Places, Points, far
from wrenlite.gallery.fractals.view import Tile, View

DEEP = View(
    "-0.74511862670470651847984002817069761905822422500416",
    "0.13118653298080038826974929297980326053298536677765",
    "1e-28",
    960,
    540,
    5000,
)
"""A copy of the whole set, 7e-30 wide and of period 293, near one of period 70, near one of period 35, in
seahorse valley. 800 million iterations, 1 of 280 points inside."""

_BLOCK = 16384
"""Points that are iterated at a time."""
_GUARD_BITS = 64
"""An error of the orbit grows like the distance of two neighbouring points, which ends at about 1: so its
digits must go beyond the points' spacing, by a float's 53 bits and some more for the sum of its errors."""
_CLEAR = 0.49
"""As long as ``|δ| < |Z| / 2``, z is larger than δ; the rest is for rounding."""


@dataclass(frozen=True, eq=False)
class Orbit:
    """The orbit of a view's centre, from 0 to where it escapes or the iterations end."""

    z: Points
    twice: Points
    """2z."""
    sizes: list[float]
    """``|z|``."""

    @property
    def last(self) -> int:
        """The index of its last place."""
        return self.z.size - 1


@lru_cache(maxsize=8)
def orbit(view: View) -> Orbit:
    """The orbit of the view's centre, by fixed-point numbers in Python's integers; each view's is kept."""
    bits = _GUARD_BITS - math.floor(math.log2(view.spacing))
    cx, cy = (round(Fraction(Decimal(each)) * (1 << bits)) for each in (view.xpos, view.ypos))
    one = 1 << bits
    x = y = 0
    places = [0j]
    while len(places) <= view.iters and abs(places[-1]) <= BAILOUT:
        x, y = ((x * x - y * y) >> bits) + cx, ((x * y) >> (bits - 1)) + cy
        places.append(complex(x / one, y / one))
    z = np.array(places)
    return Orbit(z, 2 * z, np.abs(z).tolist())


def escape(tile: Tile) -> Floats:
    """The smooth count of each of a tile's points, shape (height, width); infinite where there is none."""
    across, up = tile.offsets()
    offsets = np.empty((tile.height, tile.width), np.complex128)
    offsets.real, offsets.imag = across, up[:, np.newaxis]
    escapes = Escapes(offsets.size)
    for start in range(0, offsets.size, _BLOCK):
        some = offsets.reshape(-1)[start : start + _BLOCK]
        followers = _Followers(orbit(tile.view), some, np.arange(start, start + some.size))
        while followers.where.size and followers.step < tile.view.iters:
            followers.walk_together(tile.view.iters)
            followers.walk_apart()
            followers.leave(escapes)
    return escapes.counts(tile.view.iters).reshape(offsets.shape)


class _Followers:
    """Points that follow an orbit, each at its own place.

    Whether points walk together or apart does not change a bit of theirs: together is what apart comes
    to while none of them begins anew or escapes, and takes a fifth of the time.
    """

    def __init__(self, orbit: Orbit, offsets: Points, where: Places) -> None:
        self._orbit = orbit
        self._offset = offsets  # γ
        self._delta = np.zeros(offsets.size, np.complex128)
        self._at = np.zeros(offsets.size, np.intp)  # places on the orbit
        self.where = where
        """Which point each is."""
        self.step = 0
        """How many iterations they have behind them."""
        self._keep(np.arange(offsets.size))

    def _keep(self, kept: Places) -> None:
        if 0 < kept.size < LEAST_LANES:
            kept = np.repeat(kept, LEAST_LANES)  # twice the same point: see LEAST_LANES
        self._offset, self._delta, self._at = self._offset[kept], self._delta[kept], self._at[kept]
        self.where = self.where[kept]
        self._z, self._next = np.empty_like(self._delta), np.empty_like(self._delta)
        self._sizes, self._scratch = np.empty(kept.size), np.empty(2 * kept.size)
        self._farthest = float(np.abs(self._offset).max(initial=0.0))

    def walk_together(self, iters: int) -> None:
        """As far as all are at one place and a bound says that none needs to begin anew or escapes."""
        place = int(self._at[0])
        if (self._at != place).any():
            return
        orbit = self._orbit
        bound = float(np.abs(self._delta).max())
        begun = self.step
        while self.step < iters and place + 1 < orbit.last:  # at the last they begin anew
            size = orbit.sizes[place + 1]
            bound = (2 * orbit.sizes[place] + bound) * bound + self._farthest
            if bound > _CLEAR * size or size > BAILOUT / 2:
                break
            self._advance(orbit.twice[place])
            place += 1
            self.step += 1
        self._at += self.step - begun

    def walk_apart(self) -> None:
        """To the next iteration after which escapes are looked for."""
        orbit = self._orbit
        for _ in range(STEPS - self.step % STEPS):
            self._advance(_taken(orbit.twice, self._at, self._z))
            self._at += 1
            self.step += 1
            z = _taken(orbit.z, self._at, self._z)
            z += self._delta
            anew = np.abs(z, out=self._scratch[: z.size]) < np.abs(self._delta, out=self._sizes)
            anew |= self._at == orbit.last
            if anew.any():
                again = np.flatnonzero(anew)
                self._delta[again], self._at[again] = z[again], 0

    def _advance(self, twice: Points | np.complex128) -> None:
        """δ ← (2Z + δ) δ + γ."""
        np.add(self._delta, twice, out=self._next)
        np.multiply(self._next, self._delta, out=self._next)
        np.add(self._next, self._offset, out=self._next)
        self._delta, self._next = self._next, self._delta

    def leave(self, escapes: Escapes) -> None:
        """Note those that have escaped, and go on without them."""
        found = far(self._z, self._scratch)
        if found.size:
            escapes.note(self.where[found], self._z[found], self.step)
            staying = np.ones(self.where.size, np.bool_)
            staying[found] = False
            self._keep(np.flatnonzero(staying))


def _taken(values: Points, places: Places, out: Points) -> Points:
    """The values there. No place is out of bounds; unless numpy may clip, it copies ``out`` first."""
    return values.take(places, out=out, mode="clip")
