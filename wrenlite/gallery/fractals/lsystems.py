"""L-system curves: a few rewriting rules, walked by a turtle.

``F`` draws one step, ``+`` and ``-`` turn by the system's angle, other letters only rewrite. The string
is never built: a letter rewritten k times is an array of headings, composed from the arrays of its
rule's letters at k - 1, so a curve of a million steps takes milliseconds.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.colours import known
from wrenlite.gallery.fractals.palettes import PALETTES

SMALLEST, LARGEST = 16, 8192
"""Pixels of a picture's side."""
DEEPEST = 64
"""Iterations. Every system at least doubles its steps each time, so no machine has the memory for more."""
_SIZES = (480, 640, 800)
_FINEST = 5
"""Pixels each way that a step of a random fractal has for itself: fewer, and it would be a grey blot."""


@dataclass(frozen=True)
class System:
    """A rewriting system."""

    axiom: str
    rules: dict[str, str]
    angle: int
    """Degrees of one turn."""
    iterations: int
    """How often the original example rewrites it."""

    @property
    def directions(self) -> int:
        """After so many turns the turtle looks where it did before."""
        return 360 // math.gcd(360, self.angle)


_DRAGON = {"X": "X+YF+", "Y": "-FX-Y"}
_GOSPER = {"X": "X+YF++YF-FX--FXFX-YF+", "Y": "-FX+YFYF++YF+FX--FX-Y"}
_HILBERT = {"L": "+RF-LFL-FR+", "R": "-LF+RFR+FL-"}
_HILBERT2 = {"X": "XFYFX+F+YFXFY-F-XFYFX", "Y": "YFXFY-F-XFYFX+F+YFXFY"}
_SEGMENT = "-F+F-F-F+F+FF-F+F+FF+F-F-FF+FF-FF+F+F-FF-F-F+FF-F-F+F+F-F+"

SYSTEMS = {
    "board": System("F+F+F+F", {"F": "FF+F+F+F+FF"}, 90, 3),
    "box": System("F-F-F-F", {"F": "F-F+F+F-F"}, 90, 4),
    "cross": System("F+F+F+F", {"F": "F+FF++F+F"}, 90, 3),
    "cross2": System("F+F+F+F", {"F": "F+F-F+F+F"}, 90, 3),
    "crystal": System("F+F+F+F", {"F": "FF+F++F+F"}, 90, 3),
    "dragon": System("FX", _DRAGON, 90, 8),
    "hilbert2": System("X", _HILBERT2, 90, 4),
    "hilberts": System("L", _HILBERT, 90, 4),
    "koch_island": System("F+F+F+F", {"F": "F-F+F+FFF-F-F+F"}, 90, 2),
    "koch_snowflake": System("F--F--F", {"F": "F+F--F+F"}, 60, 4),
    "krishna_anklets": System("-X--X", {"X": "XFX--XFX"}, 45, 3),
    "levy_c": System("F", {"F": "+F--F+"}, 45, 10),
    "moore": System("LFL-F-LFL", _HILBERT, 90, 2),
    "peano": System("F", {"F": "F+F-F-F-F+F+F+F-F"}, 90, 4),
    "peano_gosper": System("FX", _GOSPER, 60, 4),
    "pentaplexity": System("F++F++F++F++F", {"F": "F++F++F+++++F-F++F"}, 36, 1),
    "rings": System("F+F+F+F", {"F": "FF+F+F+F+F+F-F"}, 90, 2),
    "segment_curve": System("F+F+F+F", {"F": _SEGMENT}, 90, 2),
    "sierpinski": System("F+XF+F+XF", {"X": "XF-F+F-XF+F+XF-F+F-X"}, 90, 4),
    "sierpinski_arrowhead": System("YF", {"X": "YF+XF+Y", "Y": "XF-YF-X"}, 60, 4),
    "sierpinski_sieve": System("FXF--FF--FF", {"F": "FF", "X": "--FXF++FXF++FXF--"}, 60, 5),
    "ter_dragon": System("F", {"F": "F-F+F"}, 120, 8),
    "three_dragon": System("FX+FX+FX", _DRAGON, 90, 9),
    "tiles": System("F+F+F+F", {"F": "FF+F-F+F+FF"}, 90, 3),
    "triangle": System("F+F+F", {"F": "F-F+F"}, 120, 6),
    "twin_dragon": System("FX+FX", _DRAGON, 90, 9),
}


@dataclass(frozen=True)
class Fractal:
    """One picture of one curve.

    Raises:
        ConfigError: from the constructor, when one of the fields cannot be drawn.
    """

    name: str
    """A key of ``SYSTEMS``."""
    iterations: int
    size: int
    """Pixels of each side."""
    hue: float = 0.55
    """Where the colours begin, in turns around the colour circle."""
    width: float | None = None
    """Of the line, in pixels; None: as wide as suits the length of a step."""
    palette: str | None = None
    """A key of ``PALETTES``, whose colours run along the path instead of the hues."""

    def __post_init__(self) -> None:
        known("fractal", self.name, SYSTEMS)
        _whole("iterations", self.iterations, 0, DEEPEST)
        _whole("size", self.size, SMALLEST, LARGEST)
        if not math.isfinite(self.hue):
            raise ConfigError(f"hue must be a number, not {self.hue!r}")
        if self.width is not None and not 0 < self.width <= self.size / 16:
            most = f"a 16th of the size ({self.size / 16:g} pixels)"
            raise ConfigError(f"the line's width must be above 0 and at most {most}, not {self.width!r}")
        if self.palette is not None:
            known("palette", self.palette, PALETTES)
        if steps(SYSTEMS[self.name], self.iterations) == 0:
            raise ConfigError(f"{self.name} draws nothing at {self.iterations} iterations")

    @property
    def label(self) -> str:
        """For people, under a picture."""
        return f"{self.name.replace('_', ' ')} · {self.iterations}"


def _whole(what: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(f"{what} must be a whole number from {least} to {most}, not {value!r}")


def names(fractals: Iterable[Fractal]) -> list[str]:
    """A file for each: ``fractals/{name}_{size}.png``, the second alike ``…-2.png``, and so on."""
    seen: Counter[str] = Counter()
    files = []
    for fractal in fractals:
        stem = f"fractals/{fractal.name}_{fractal.size}"
        seen[stem] += 1
        files.append(f"{stem}-{seen[stem]}.png" if seen[stem] > 1 else f"{stem}.png")
    return files


def random_fractals(count: int, seed: int) -> list[Fractal]:
    """So many pictures, the same ones for the same seed; every system comes once before any comes again."""
    choice = random.Random(seed)
    deck: list[str] = []
    chosen = []
    for _ in range(count):
        if not deck:
            deck = choice.sample(sorted(SYSTEMS), len(SYSTEMS))
        name, size = deck.pop(), choice.choice(_SIZES)
        iterations = choice.choice(_fitting(SYSTEMS[name], size))
        chosen.append(Fractal(name, iterations, size, round(choice.random(), 3)))
    return chosen


def _fitting(system: System, size: int) -> Sequence[int]:
    """The two deepest iterations at which each step has room, or those of the original."""
    most = (size // _FINEST) ** 2
    deepest = system.iterations
    while deepest < DEEPEST and steps(system, deepest + 1) <= most:
        deepest += 1
    return range(max(system.iterations, deepest - 1), deepest + 1)


def steps(system: System, iterations: int) -> int:
    """How many steps the curve has, from counts of letters alone: any depth takes no memory."""
    lengths = {"F": 1}
    for _ in range(iterations):
        lengths = {
            letter: sum(lengths.get(other, 0) for other in system.rules.get(letter, letter))
            for letter in {"F", *system.rules}
        }
    return sum(lengths.get(letter, 0) for letter in system.axiom)


_Walk = tuple[NDArray[np.int16], int]
"""What a word draws: the heading of each step, and how far the word turns in all."""


def headings(system: System, iterations: int) -> NDArray[np.int16]:
    """The direction of every step, in turns of the system's angle and up to whole circles."""
    needed = [set(system.axiom)]  # of the letters, at each depth
    for _ in range(iterations):
        needed.append({inner for letter in needed[-1] for inner in system.rules.get(letter, letter)})
    walks = {letter: (np.zeros(int(letter == "F"), np.int16), 0) for letter in needed.pop()}
    for letters in reversed(needed):  # one depth is enough to make the next
        walks = {
            letter: _walk(system.rules[letter], walks, system.directions)
            if letter in system.rules
            else walks[letter]
            for letter in letters
        }
    return _walk(system.axiom, walks, system.directions)[0]


def _walk(word: str, walks: dict[str, _Walk], directions: int) -> _Walk:
    turn = {"+": 1, "-": -1}
    path = np.empty(sum(len(walks[letter][0]) for letter in word), np.int16)
    end = heading = 0
    for letter in word:
        walk, turned = walks[letter]
        start, end = end, end + len(walk)
        # Below one circle more at each depth: 65 depths of 360 directions fit into 16 bits.
        np.add(walk, heading, out=path[start:end])
        heading = (heading + turned + turn.get(letter, 0)) % directions
    return path, heading


def compass(system: System) -> NDArray[np.float64]:
    """One step in each direction, shape (directions, 2); rounded, so that right angles are exact."""
    turns = [math.radians(system.angle * turn % 360) for turn in range(system.directions)]
    return np.array([(round(math.cos(turn), 15), round(math.sin(turn), 15)) for turn in turns])


def points(system: System, heading: NDArray[np.int16]) -> NDArray[np.float64]:
    """The corners of a path of headings, one step apart: shape (2, steps + 1), x before y."""
    corners = np.zeros((2, len(heading) + 1))
    for row, along in zip(corners, compass(system).T, strict=True):
        np.cumsum(along[heading % system.directions], out=row[1:])
    return corners
