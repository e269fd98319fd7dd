"""Where a person who explores a set is, and how they came there: values without pictures, tasks or widgets.

Each step returns a new ``Exploration``. Work is done for the number of one exploration; once the current one
has another number, that work is stale.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.encoding import Field
from wrenlite.gallery.fractals.poster import PosterOptions
from wrenlite.gallery.fractals.view import View

ZOOM = 4
"""How many times narrower the view is after a click."""
_WHOLE_SET = {"xpos": "-0.65", "ypos": "0", "radius": "4"}
"""The first view of the Mandelbrot set, unless another is asked for."""
_SIZE = {"width": 640, "height": 400}
_MOST_PIXELS = 4000
_RADIUS_DIGITS = 6
_CENTRE_DIGITS = 6
"""Digits of a centre beyond those of the width: a thousandth of a pixel, if there are 1,000 in a row."""
_MOST_DIGITS = 400
"""Enough digits for the deepest view, of 1e-290 between two points."""
_HEADROOM = 4
"""Limit of iterations of a narrower view, in counts that most points of the view before do not reach."""
_MOST_POINTS = 95.0
"""Percentage of points outside that are most of them."""
_OPTION_NAMES = {"kind": "set"}
"""Options of the command whose names differ from those of ``PosterOptions``."""
_PLACE = ("xpos", "ypos", "radius")


class Box(NamedTuple):
    """A rectangle on the picture, as fractions of its width and height from the upper left corner."""

    left: float
    top: float
    right: float
    bottom: float


class Place(NamedTuple):
    """A view that ``back`` returns to."""

    xpos: str
    ypos: str
    radius: str
    iters: int


@dataclass(frozen=True)
class Exploration:
    """The options of the view that is shown, and the places before it."""

    options: PosterOptions
    before: tuple[Place, ...] = ()
    number: int = 0
    """Grows with each view that must be computed."""
    is_paused: bool = False
    """Whether nobody sees it, so that nothing is computed."""
    high_count: float = 0.0
    """The count that 95 % of the points outside do not exceed, as far as it is known."""

    @classmethod
    def begin(cls, **options: object) -> Exploration:
        """Return the first exploration.

        Args:
            options: of ``PosterOptions``. By default the Mandelbrot set is shown as a whole.

        Raises:
            ConfigError: one of them is unknown or cannot be used.
        """
        known = [field.name for field in fields(PosterOptions)]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise ConfigError(f"{unknown[0]} is not an option of a picture: these are {', '.join(known)}")
        if options.get("bits", 8) != 8:
            raise ConfigError(f"bits is {options['bits']}: a page shows 8 bits per colour")
        whole = options.get("kind", "mandelbrot") == "mandelbrot" and options.get("julia") is None
        place = _WHOLE_SET if whole and not any(name in options for name in _PLACE) else {}
        chosen = PosterOptions(**{**_SIZE, **place, **options})  # type: ignore[arg-type]
        for name, side in (("width", chosen.width), ("height", chosen.height)):
            if side > _MOST_PIXELS:
                raise ConfigError(f"{name} is {side}: an explorer has at most {_MOST_PIXELS:,} pixels a side")
        if chosen.poster().light is not None:
            raise ConfigError("an explorer shows no light, lines or trap: leave them out")
        return cls(_with_view(chosen, chosen.poster().view))

    @property
    def can_go_back(self) -> bool:
        """Whether there is a place to go back to."""
        return bool(self.before)

    def wants(self, number: int) -> bool:
        """Return whether work for the exploration of this number is still of use."""
        return number == self.number and not self.is_paused

    def paused(self) -> Exploration:
        """Return the same view, of which nothing is to be computed at present."""
        return replace(self, is_paused=True)

    def resumed(self) -> Exploration:
        """Return the same view, which is to be computed anew."""
        return self._anew(self.options)

    def zoom_at(self, across: float, down: float, factor: float = ZOOM) -> Exploration:
        """Return the view that is narrower by a factor; the point under the mouse stays there.

        Args:
            across: position of the mouse, as a fraction of the picture's width from the left.
            down: the same for its height, from the top.
            factor: 4 makes the view 4 times narrower, 0.25 makes it 4 times wider.

        Raises:
            ConfigError: such a view cannot be drawn; the message says why.
        """
        kept = 1 - 1 / factor
        left, top = across * kept, down * kept
        return self.zoom_to(Box(left, top, left + 1 / factor, top + 1 / factor))

    def zoom_to(self, box: Box) -> Exploration:
        """Return the view that has a rectangle of this one in its middle, as large as possible.

        Raises:
            ConfigError: such a view cannot be drawn; the message says why.
        """
        share = max(abs(box.right - box.left), abs(box.bottom - box.top))
        if not (math.isfinite(share) and share > 0):
            raise ConfigError("the rectangle is empty: drag the mouse over a part of the picture")
        view = self.options.poster().view
        with localcontext(prec=_MOST_DIGITS):
            width = Decimal(view.radius)
            height = width * view.height / view.width
            radius = _rounded(width * Decimal(share), _RADIUS_DIGITS)
            x = Decimal(view.xpos) + width * (Decimal((box.left + box.right) / 2) - Decimal("0.5"))
            y = Decimal(view.ypos) - height * (Decimal((box.top + box.bottom) / 2) - Decimal("0.5"))
            last = Decimal(1).scaleb(radius.adjusted() - _CENTRE_DIGITS)
            x, y = x.quantize(last), y.quantize(last)
        iters = max(view.iters, self._iters_for_narrower()) if share < 1 else view.iters
        return self._at(replace(view, xpos=x, ypos=y, radius=radius, iters=iters))

    def back(self) -> Exploration:
        """Return the view before this one; this one, if it is the first."""
        if not self.before:
            return self
        options = replace(self.options, **self.before[-1]._asdict())
        return replace(self._anew(options), before=self.before[:-1])

    def start_over(self) -> Exploration:
        """Return the first view. ``back`` then returns to this one."""
        if not self.before:
            return self
        options = replace(self.options, **self.before[0]._asdict())
        return self._at(options.poster().view)

    def with_palette(self, palette: str) -> Exploration:
        """Return the same view in other colours. Nothing is computed for it. Raises ConfigError."""
        return replace(self, options=replace(self.options, palette=palette))

    def with_iters(self, iters: int) -> Exploration:
        """Return the same view with another limit of iterations. Raises ConfigError."""
        if iters == self.options.iters:
            return self
        return self._anew(replace(self.options, iters=iters))

    def with_counts(self, field: Field) -> Exploration:
        """Return this exploration, which now knows counts of its view, such as those of a preview."""
        outside = field[np.isfinite(field)]
        if not outside.size or self.options.kind == "newton":
            return self
        return replace(self, high_count=float(np.percentile(outside, _MOST_POINTS)))

    def command(self) -> str:
        """Return the command that draws this view in a terminal."""
        words = [f"--{_OPTION_NAMES.get(name, name)}={value}" for name, value in self._given()]
        return shlex.join(["wrenlite", "demo", "mandelbrot", *words])

    def python(self) -> str:
        """Return the call that shows this view in a notebook."""
        return f"explore(executor, {', '.join(f'{name}={value!r}' for name, value in self._given())})"

    def _given(self) -> Iterator[tuple[str, object]]:
        """Yield the options that differ from the default ones of the command, and the place."""
        for field in fields(PosterOptions):
            value = getattr(self.options, field.name)
            if field.name in (*_PLACE, "width", "height") or value != field.default:
                yield field.name, value

    def _iters_for_narrower(self) -> int:
        """Return a limit that leaves room for higher counts, with two digits."""
        wanted = _HEADROOM * self.high_count
        return int(float(f"{wanted:.1e}"))

    def _at(self, view: View) -> Exploration:
        now = self.options
        here = Place(str(now.xpos), str(now.ypos), str(now.radius), now.iters)
        return replace(self._anew(_with_view(now, view)), before=(*self.before, here))

    def _anew(self, options: PosterOptions) -> Exploration:
        """Return another view, of which nothing is known yet."""
        return Exploration(options, self.before, self.number + 1)


def _with_view(options: PosterOptions, view: View) -> PosterOptions:
    """Return options whose place is that of a view, as text."""
    place = {name: _text(Decimal(getattr(view, name))) for name in _PLACE}
    options = replace(options, **place, iters=view.iters)  # type: ignore[arg-type]
    _ = options.poster().sampled  # refused here if its points are too close together
    return options


def _text(number: Decimal) -> str:
    """Return a number as text, without zeros at its end; a very small one with an exponent."""
    with localcontext(prec=_MOST_DIGITS):
        plain = number.normalize()
    return f"{plain:f}" if plain.is_zero() or plain.adjusted() > -7 else f"{plain:e}"


def _rounded(number: Decimal, digits: int) -> Decimal:
    with localcontext(prec=digits):
        return +number
