"""Jumps over many steps of a reference orbit: bilinear approximation, for deep zooms.

As long as ``|δ|`` is far below ``|Z|``, a step ``δ ← 2Zδ + δ² + γ`` of ``perturbation`` is nearly linear in δ
and γ, and so are several steps together:

    δ ← A δ + B γ        for |δ| < R.

For one step, A = 2Z, B = 1 and R = ε|A|: leaving out δ² changes the product by a part ε at most. Two jumps x
and then y together have

    A = A_y A_x,    B = A_y B_x + B_y,    R = min(R_x, (R_y - |B_x| |γ|) / |A_x|),

with the largest ``|γ|`` of all points (Zhuoran, "Another solution to perturbation glitches",
fractalforums.org, 2021; C. Heiland-Allen, "Deep zoom theory and practice (again)", mathr.co.uk, 2022).

A jump of 2ⁿ steps is two jumps of half the length. The jumps of a length follow each other from position 1 of
the orbit on, since position 0 is 0 and allows none. For Julia sets γ is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.complex128]
Floats = NDArray[np.float64]

_ERROR = 2.0**-24
"""ε. With it, as with the error of a float, no count of a deep view was off from exact arithmetic by more
than 0.1 iterations, except where moving the point by a ten-thousandth of a pixel changes the exact count by
more: decision 37."""
LOWEST_LEVEL = 2
"""Jumps have from 2 to this power of steps on. Shorter ones save nothing, and fill the processor's cache."""
_JUMP = np.dtype([("a", np.complex128), ("b", np.complex128), ("radius", np.float64)])


@dataclass(frozen=True, eq=False)
class JumpOrbit:
    """An orbit with its jumps."""

    z: Points
    """The positions."""
    jumps: NDArray[np.void]
    """A, B and R of each jump, those of the lowest level first."""
    starts: list[int]
    """Where the jumps of each level begin, from ``LOWEST_LEVEL`` on."""


def with_jumps(z: Points, largest_gamma: float) -> JumpOrbit:
    """Return an orbit with all jumps that some points can make.

    Args:
        z: the positions of the orbit, at least two.
        largest_gamma: the largest ``|γ|`` of the points.
    """
    a = 2 * z[1:-1]
    b, radius = np.ones_like(a), _ERROR * np.abs(a)
    levels, starts = [np.empty(0, _JUMP)], []
    level = total = 0
    with np.errstate(all="ignore"):  # jumps whose A or B is too large have no radius
        while radius.any():
            if level >= LOWEST_LEVEL:
                jumps = np.empty(a.size, _JUMP)
                jumps["a"], jumps["b"], jumps["radius"] = a, b, radius
                levels.append(jumps)
                starts.append(total)
                total += a.size
            firsts, seconds = slice(0, a.size // 2 * 2, 2), slice(1, None, 2)
            ax, bx, rx, ay, by, ry = (
                a[firsts],
                b[firsts],
                radius[firsts],
                a[seconds],
                b[seconds],
                radius[seconds],
            )
            joined = np.minimum(rx, (ry - np.abs(bx) * largest_gamma) / np.abs(ax))
            radius = np.where(joined > 0, joined, 0.0)
            a, b = ay * ax, ay * bx + by
            level += 1
    return JumpOrbit(z, np.concatenate(levels), starts)
