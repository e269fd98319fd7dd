"""Views of the complex plane, the grid of points on a view, and rectangular tiles of that grid.

Columns count to the right and rows count down, as in a picture; y points up, as in the plane. A point is in
the middle of its pixel, so a view and the same view with twice the points cover the same rectangle.
"""

from __future__ import annotations

import itertools
import math
import operator
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation, localcontext
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError

Number = Decimal | float | str
"""A coordinate. Text or Decimal is for coordinates with more digits than a float has."""
Seed = tuple[Decimal, Decimal]
"""Real and imaginary part of the c of a Julia set."""
Kind = Literal["mandelbrot", "burning-ship", "newton"]
"""The sets that can be drawn: see ``sets``."""
Method = Literal["plain", "mariani"]
"""How the points of a tile are computed. ``plain``: all points are iterated. ``mariani``: rectangles whose
edge never escapes are filled (Mariani-Silver method)."""

_MOST_SIDE = 2**31 - 1
"""The most points of a row or of a column: as many as a PNG file can have."""
MAX_ITERATIONS = 2**31 - 1
"""The highest limit of iterations: one that takes days for a single point."""
_MAX_DISTANCE = 1000.0
"""Six squarings of a point at this distance from 0 stay below 1e308, so no point overflows between two checks
for escape."""
_MIN_SPACING_ULPS = 1024
"""Least distance of two points, in float steps, at which floats are precise enough; see ``View.deep``."""
_MIN_SPACING = 1e-290
"""Perturbations are floats, which lose digits below 1e-308; the offsets of points must stay well above it."""
_WIDTH_DIGITS = 20
"""Decimal digits of the widths of keyframes between the first and the last, which only become floats."""


@dataclass(frozen=True)
class View:
    """A rectangle of the plane, the grid of points on it, and the limit of iterations.

    Two views with equal numbers are equal, however these are written: ``View(0.5, …) == View("0.50", …)``.

    Raises:
        ConfigError: an argument cannot be used; the message names it and its valid values.
    """

    xpos: Number
    """Real part of the centre. Stored as Decimal; a float is converted by its shortest decimal digits."""
    ypos: Number
    """Imaginary part of the centre, stored like ``xpos``."""
    radius: Number
    """Width in the plane, stored as Decimal. The name is that of the original program. The height follows
    from the width, as pixels are square."""
    width: int
    """Points per row."""
    height: int
    """Points per column."""
    iters: int
    """Number of iterations after which a point counts as inside, 1 to 2,147,483,647."""
    seed: Seed | tuple[Number, Number] | complex | None = None
    """The c of a Julia set, stored as two Decimals. None: the Mandelbrot set, or that of ``kind``."""
    kind: Kind = "mandelbrot"
    """What is iterated."""

    def __post_init__(self) -> None:
        for name in ("xpos", "ypos", "radius"):
            object.__setattr__(self, name, _check_decimal(name, getattr(self, name)))
        for name, largest in (("width", _MOST_SIDE), ("height", _MOST_SIDE), ("iters", MAX_ITERATIONS)):
            object.__setattr__(self, name, _check_integer(name, getattr(self, name), largest))
        if Decimal(self.radius) <= 0:
            raise ConfigError(f"radius is {self.radius}: it is the view's width in the plane, above 0")
        across, up = (self.spacing * points / 2 for points in (self.width, self.height))
        if max(abs(float(self.xpos)) + across, abs(float(self.ypos)) + up) > _MAX_DISTANCE:
            raise ConfigError(
                f"xpos is {self.xpos}, ypos is {self.ypos} and radius is {self.radius}: the view reaches "
                f"farther than {_MAX_DISTANCE:g} from 0, and the sets lie within 2"
            )
        if self.spacing < _MIN_SPACING:
            raise ConfigError(f"radius is {self.radius}: points would be less than {_MIN_SPACING:g} apart")
        if self.kind not in get_args(Kind):
            raise ConfigError(f"kind is {self.kind!r}: it may be one of {', '.join(get_args(Kind))}")
        if self.seed is not None:
            object.__setattr__(self, "seed", _check_seed(self.seed, self.kind))
        if self.deep and self.kind != "mandelbrot":
            raise ConfigError(
                f"radius is {self.radius}: this set is iterated in float64, which has too few digits for "
                f"points {self.spacing:.1e} apart; deep zooms are of the Mandelbrot set and its Julia sets"
            )

    @property
    def julia(self) -> complex:
        """The seed in floats, for a view that has one."""
        real, imaginary = cast("Seed", self.seed)
        return complex(float(real), float(imaginary))

    @property
    def spacing(self) -> float:
        """The distance of neighbouring points in the plane."""
        return float(self.radius) / self.width

    @property
    def has_bulbs(self) -> bool:
        """Whether the set is the Mandelbrot set, of which large parts are known without iteration."""
        return self.kind == "mandelbrot" and self.seed is None

    @property
    def deep(self) -> bool:
        """Whether the points are too close together for float64.

        At each step, an orbit is rounded by up to half a float step. That step is the one of numbers of the
        orbit's size, which can be up to 2 whatever the centre is. If points are 1,024 float steps apart (at
        least 2.3e-13), these errors stay near a thousandth of a pixel; points that are closer together need
        perturbation.
        """
        return self.spacing < _MIN_SPACING_ULPS * float(np.spacing(self._orbit_size))

    @property
    def _orbit_size(self) -> float:
        return max(1.0, abs(float(self.xpos)), abs(float(self.ypos)))


@dataclass(frozen=True)
class Tile:
    """A rectangle of a view's grid.

    Raises:
        ConfigError: there is no such method.
    """

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
        """The rows of the tile in a field of the whole view."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """The columns of the tile in a field of the whole view."""
        return slice(self.left, self.left + self.width)

    def offsets(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the distances from the view's centre: x of each column and y of each row.

        Each distance depends only on the position in the view, so a point is the same float in every tile.
        """
        view = self.view
        columns = np.arange(self.left, self.left + self.width, dtype=np.float64) + 0.5 - view.width / 2
        rows = np.arange(self.top, self.top + self.height, dtype=np.float64) + 0.5 - view.height / 2
        return view.spacing * columns, -view.spacing * rows


def tiles(view: View, side: int, method: Method = "plain") -> list[Tile]:
    """Cut a view into tiles.

    Args:
        view: the view.
        side: points of a tile's side. Tiles at the right and lower edges may be smaller.
        method: how the points of each tile are computed.
    """
    return [
        Tile(view, left, top, min(side, view.width - left), min(side, view.height - top), method)
        for top, left in itertools.product(range(0, view.height, side), range(0, view.width, side))
    ]


def zoom(view: View, start: Number, frames: int) -> list[View]:
    """Return the keyframes of a zoom into a view, each narrower than the one before by the same factor.

    Args:
        view: the last keyframe.
        start: width of the first keyframe.
        frames: number of keyframes.

    Raises:
        ConfigError: ``frames`` or ``start`` cannot be used.
    """
    frames = _check_integer("frames", frames, None)
    if frames == 1:
        return [view]
    wide, narrow = replace(view, radius=start), Decimal(view.radius)
    with localcontext(prec=_WIDTH_DIGITS):
        ratio = narrow / Decimal(wide.radius)
        widths = [Decimal(wide.radius) * ratio ** (Decimal(n) / (frames - 1)) for n in range(1, frames - 1)]
    return [wide, *(replace(view, radius=width) for width in widths), view]


def _check_decimal(name: str, value: Number) -> Decimal:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ConfigError(f"{name} is {value!r}: it must be a number") from None
    if not number.is_finite():
        raise ConfigError(f"{name} is {value}: it must be finite")
    return number


def _check_seed(seed: tuple[Number, Number] | complex, kind: Kind) -> Seed:
    real, imaginary = seed if isinstance(seed, tuple) else (complex(seed).real, complex(seed).imag)
    parts = _check_decimal("seed", real), _check_decimal("seed", imaginary)
    if math.hypot(*map(float, parts)) > _MAX_DISTANCE:
        raise ConfigError(f"seed is {real},{imaginary}: it must be at most {_MAX_DISTANCE:g} from 0")
    if kind == "newton":
        raise ConfigError("seed is the number of a Julia set, and Newton's method has none")
    return parts


def _check_integer(name: str, value: int, largest: int | None) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} is {value!r}: it must be a whole number") from None
    if number < 1 or (largest is not None and number > largest):
        limits = f"1 to {largest:,}" if largest else "at least 1"
        raise ConfigError(f"{name} is {number}: it must be {limits}")
    return number
