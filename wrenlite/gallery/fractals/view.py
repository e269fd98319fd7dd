"""Views of the complex plane, the grid of points on them, and rectangles of that grid.

Columns count to the right and rows down, as in a picture; y points up, as in the plane. A point stands in the
middle of its pixel, so a view and the same view at twice the points cover the same rectangle.
"""

from __future__ import annotations

import cmath
import itertools
import operator
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError

Number = Decimal | float | str
"""A coordinate: text or Decimal where a float has too few digits."""
Method = Literal["plain", "mariani"]
"""How a tile's points are found: all of them, or leaving out rectangles with an edge that never escapes."""

INSIDE = 65535
"""The value of points that never escaped."""
MOST_ITERATIONS = 65535
_FARTHEST = 1000.0
"""Six squarings of a point from here stay below 1e308, so nothing overflows between two tests for escape."""
_COARSEST_ULPS = 1024
"""Floats hold a view whose points are at least so many of their steps apart; see ``View.deep``."""
_LEAST_SPACING = 1e-290
"""Perturbations are floats: a point's offset must stay clear of where these lose digits, at 1e-308."""
_WIDTH_DIGITS = 20
"""Of the widths between two keyframes: they become floats, but for the last."""


@dataclass(frozen=True)
class View:
    """A part of the plane, the grid of points on it, and how long to iterate there.

    Equal views are equal however their numbers were given: ``View(0.5, …) == View("0.50", …)``.

    Raises:
        ConfigError: an argument cannot be used; names it and what it may be.
    """

    xpos: Number
    ypos: Number
    """Of the centre; held as Decimal, a float by its shortest digits."""
    radius: Number
    """Width in the plane (the original's name for it), held as Decimal; the height follows.
    Pixels are square."""
    width: int
    height: int
    """Points."""
    iters: int
    """After so many a point counts as inside; 1 to 65,535."""
    seed: complex | None = None
    """The Julia set of this c; None: the Mandelbrot set."""

    def __post_init__(self) -> None:
        for name in ("xpos", "ypos", "radius"):
            object.__setattr__(self, name, _decimal(name, getattr(self, name)))
        for name, most in (("width", None), ("height", None), ("iters", MOST_ITERATIONS)):
            object.__setattr__(self, name, _whole(name, getattr(self, name), most))
        if Decimal(self.radius) <= 0:
            raise ConfigError(f"radius is {self.radius}: it is the view's width in the plane, above 0")
        across, up = (self.spacing * points / 2 for points in (self.width, self.height))
        if max(abs(float(self.xpos)) + across, abs(float(self.ypos)) + up) > _FARTHEST:
            raise ConfigError(f"the view reaches farther than {_FARTHEST:g} from 0; the sets lie within 2")
        if self.spacing < _LEAST_SPACING:
            raise ConfigError(f"radius is {self.radius}: points would be less than {_LEAST_SPACING:g} apart")
        if self.seed is not None:
            self._check_seed(complex(self.seed))

    def _check_seed(self, seed: complex) -> None:
        if not cmath.isfinite(seed) or abs(seed) > _FARTHEST:
            raise ConfigError(f"seed is {seed}: it must be finite and at most {_FARTHEST:g} from 0")
        if self.deep:
            raise ConfigError(
                f"radius is {self.radius}: Julia sets are iterated in float64, which has too few digits for "
                f"points {self.spacing:.1e} apart; deep zooms are of the Mandelbrot set"
            )
        object.__setattr__(self, "seed", seed)

    @property
    def spacing(self) -> float:
        """Distance of neighbouring points in the plane."""
        return float(self.radius) / self.width

    @property
    def deep(self) -> bool:
        """Whether the points lie too close together for float64.

        An orbit is rounded at each step by up to half a float's step near its own size, up to 2 whatever
        the centre. Points 1,024 such steps apart (2.3e-13 at the least) are told apart to a
        thousandth of a pixel; closer ones need perturbations.
        """
        return self.spacing < _COARSEST_ULPS * float(np.spacing(self._reach))

    @property
    def _reach(self) -> float:
        return max(1.0, abs(float(self.xpos)), abs(float(self.ypos)))


@dataclass(frozen=True)
class Tile:
    """A rectangle of a view's grid."""

    view: View
    left: int
    top: int
    width: int
    height: int
    method: Method = "plain"

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ConfigError(f"method is {self.method!r}: it may be one of {', '.join(get_args(Method))}")

    @property
    def rows(self) -> slice:
        """Where the tile lies in a field of the whole view."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Where the tile lies in a field of the whole view."""
        return slice(self.left, self.left + self.width)

    def offsets(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distances from the view's centre: x of each column and y of each row.

        Each follows from its place in the view alone, so a point is the same float in whatever tile.
        """
        view = self.view
        columns = np.arange(self.left, self.left + self.width, dtype=np.float64) + 0.5 - view.width / 2
        rows = np.arange(self.top, self.top + self.height, dtype=np.float64) + 0.5 - view.height / 2
        return view.spacing * columns, -view.spacing * rows


def tiles(view: View, side: int, method: Method = "plain") -> list[Tile]:
    """The view in tiles of so many points each way, smaller at the right and lower edges."""
    return [
        Tile(view, left, top, min(side, view.width - left), min(side, view.height - top), method)
        for top, left in itertools.product(range(0, view.height, side), range(0, view.width, side))
    ]


def iterations(field: NDArray[np.integer[Any]], iters: int) -> NDArray[np.float64]:
    """What values of a field of counts stand for, in its shape: 0 to ``iters``; ``iters`` for ``INSIDE``."""
    return np.where(field == INSIDE, iters, field * (iters / (INSIDE - 1)))


def zoom(view: View, start: Number, frames: int) -> list[View]:
    """Keyframes from a width of ``start`` to the view itself, each narrower by the same factor.

    Raises:
        ConfigError: ``frames`` or ``start`` cannot be used.
    """
    frames = _whole("frames", frames, None)
    if frames == 1:
        return [view]
    wide, narrow = replace(view, radius=start), Decimal(view.radius)
    with localcontext(prec=_WIDTH_DIGITS):
        ratio = narrow / Decimal(wide.radius)
        widths = [Decimal(wide.radius) * ratio ** (Decimal(n) / (frames - 1)) for n in range(1, frames - 1)]
    return [wide, *(replace(view, radius=width) for width in widths), view]


def _decimal(name: str, value: Number) -> Decimal:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ConfigError(f"{name} is {value!r}: it must be a number") from None
    if not number.is_finite():
        raise ConfigError(f"{name} is {value}: it must be finite")
    return number


def _whole(name: str, value: int, most: int | None) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} is {value!r}: it must be a whole number") from None
    if number < 1 or (most is not None and number > most):
        raise ConfigError(f"{name} is {number}: it must be " + (f"1 to {most:,}" if most else "at least 1"))
    return number
