"""L-system curves: a few rewriting rules, walked by a turtle.

``F`` draws one step, ``+`` and ``-`` turn by the system's angle, other letters only rewrite. The string
is never built: a symbol rewritten k times is an array of headings, composed from the arrays of its
rule's symbols at k - 1, so a curve of a million steps takes milliseconds.
"""

from __future__ import annotations

import colorsys
import io
import itertools
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_SUPERSAMPLING = 3
_COLOURS = 256
"""Pieces of one colour along a curve."""
_MARGIN = 0.06
"""Share of the picture's side that stays empty on each edge."""
_INK = (13, 17, 28)


@dataclass(frozen=True)
class System:
    """A rewriting system."""

    axiom: str
    rules: dict[str, str]
    angle: float
    """Degrees of one turn."""
    iterations: int
    """How often it is rewritten for a picture that is neither bare nor black."""


_DRAGON = {"X": "X+YF+", "Y": "-FX-Y"}
_HILBERT = {"L": "+RF-LFL-FR+", "R": "-LF+RFR+FL-"}

SYSTEMS = {
    "crystal": System("F+F+F+F", {"F": "FF+F++F+F"}, 90, 4),
    "dragon": System("FX", _DRAGON, 90, 12),
    "hilbert": System("L", _HILBERT, 90, 6),
    "koch_island": System("F+F+F+F", {"F": "F-F+F+FFF-F-F+F"}, 90, 3),
    "koch_snowflake": System("F--F--F", {"F": "F+F--F+F"}, 60, 5),
    "levy_c": System("F", {"F": "+F--F+"}, 45, 13),
    "peano_gosper": System("FX", {"X": "X+YF++YF-FX--FXFX-YF+", "Y": "-FX+YFYF++YF+FX--FX-Y"}, 60, 5),
    "pentaplexity": System("F++F++F++F++F", {"F": "F++F++F+++++F-F++F"}, 36, 5),
    "sierpinski": System("F+XF+F+XF", {"X": "XF-F+F-XF+F+XF-F+F-X"}, 90, 5),
    "sierpinski_arrowhead": System("YF", {"X": "YF+XF+Y", "Y": "XF-YF-X"}, 60, 7),
    "three_dragon": System("FX+FX+FX", _DRAGON, 90, 11),
    "twin_dragon": System("FX+FX", _DRAGON, 90, 11),
}


@dataclass(frozen=True)
class Fractal:
    """One picture of one curve."""

    name: str
    """A key of ``SYSTEMS``."""
    iterations: int
    size: int
    """Pixels of each side."""
    hue: float = field(default=0.55)
    """Where the colours begin, 0 to 1 around the colour circle."""


def random_fractals(count: int, seed: int) -> list[Fractal]:
    """So many pictures, the same ones for the same seed."""
    choice = random.Random(seed)
    names = sorted(SYSTEMS)
    chosen = []
    for number in range(count):
        if number % len(names) == 0:  # every system once before any comes again
            choice.shuffle(names)
        name = names[number % len(names)]
        iterations = SYSTEMS[name].iterations - choice.choice((0, 0, 1))
        chosen.append(Fractal(name, iterations, choice.choice((480, 640, 800)), choice.random()))
    return chosen


def headings(system: System, iterations: int) -> NDArray[np.int32]:
    """The direction of every drawn step, in turns of the system's angle."""
    known: dict[tuple[str, int], tuple[NDArray[np.int32], int]] = {}

    def walk(word: str, depth: int) -> tuple[NDArray[np.int32], int]:
        parts, turn = [], 0
        for symbol in word:
            if symbol in "+-":
                turn += 1 if symbol == "+" else -1
                continue
            steps, turned = rewritten(symbol, depth)
            parts.append(steps + turn)
            turn += turned
        return (np.concatenate(parts) if parts else np.empty(0, np.int32)), turn

    def rewritten(symbol: str, depth: int) -> tuple[NDArray[np.int32], int]:
        if (symbol, depth) not in known:
            if depth and symbol in system.rules:
                known[symbol, depth] = walk(system.rules[symbol], depth - 1)
            else:
                known[symbol, depth] = np.zeros(int(symbol == "F"), np.int32), 0
        return known[symbol, depth]

    return walk(system.axiom, iterations)[0]


def points(system: System, iterations: int) -> NDArray[np.float64]:
    """The corners of the curve, one step apart: shape (steps + 1, 2)."""
    angles = np.deg2rad(system.angle) * headings(system, iterations)
    corners = np.zeros((len(angles) + 1, 2))
    np.cumsum(np.cos(angles), out=corners[1:, 0])
    np.cumsum(np.sin(angles), out=corners[1:, 1])
    return corners


def draw(fractal: Fractal) -> bytes:
    """The picture, as PNG."""
    side = fractal.size * _SUPERSAMPLING
    corners = points(SYSTEMS[fractal.name], fractal.iterations)
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = side * (1 - 2 * _MARGIN) / max(float((high - low).max()), 1e-9)
    placed = (corners - (low + high) / 2) * scale + side / 2
    picture = Image.new("RGB", (side, side), _INK)
    pen = ImageDraw.Draw(picture)
    width = max(1, min(round(scale * 0.35), 4 * _SUPERSAMPLING))
    cuts = np.linspace(0, len(placed) - 1, min(_COLOURS, len(placed) - 1) + 1).astype(int)
    for number, (start, end) in enumerate(itertools.pairwise(cuts)):
        colour = _colour(fractal.hue, number / len(cuts))
        pen.line(
            placed[start : end + 1].ravel().tolist(), colour, width, joint="curve" if width > 3 else None
        )
    return _png(picture.resize((fractal.size, fractal.size), Image.Resampling.BOX))


def _colour(hue: float, place: float) -> tuple[int, ...]:
    red, green, blue = colorsys.hls_to_rgb((hue + 0.35 * place) % 1, 0.62, 0.75)
    return tuple(round(255 * part) for part in (red, green, blue))


def _png(picture: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=6)
    return file.getvalue()
