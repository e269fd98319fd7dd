"""L-system curves: a few rewriting rules produce a string of letters, and a turtle walks along it.

``F`` draws one step, ``+`` and ``-`` turn by the system's angle, and other letters are only rewritten. The
string itself is never built. A letter that was rewritten k times is stored as an array of headings. It is
composed of the arrays of the letters of its rule, each rewritten k - 1 times. So a curve of a million steps
takes milliseconds.
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
from wrenlite.gallery.fractals.colours import check_name
from wrenlite.gallery.fractals.palettes import PALETTES
from wrenlite.texts import counted

MIN_SIZE, MAX_SIZE = 16, 8192
"""Limits of a picture's side, in pixels."""
MAX_ITERATIONS = 64
"""Every system at least doubles its steps in each iteration, so no machine has the memory for more."""
_SIZES = (480, 640, 800)
"""Sides of random pictures, in pixels."""
_PIXELS_PER_STEP = 5
"""Average space of a step of a random fractal, in pixels each way. With less, the picture is a grey blot."""


@dataclass(frozen=True)
class System:
    """A rewriting system."""

    axiom: str
    rules: dict[str, str]
    angle: int
    """Degrees of one turn."""
    iterations: int
    """Number of rewritings in the original example."""

    @property
    def directions(self) -> int:
        """The number of turns after which the turtle has its first direction again."""
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
    """A picture of a curve.

    Raises:
        ConfigError: one of the fields has a value that cannot be drawn.
    """

    name: str
    """A key of ``SYSTEMS``."""
    iterations: int
    size: int
    """Pixels of each side."""
    hue: float = 0.55
    """Hue at the beginning of the path, in turns around the colour circle."""
    width: float | None = None
    """Width of the line in pixels. None: a width that suits the length of a step."""
    palette: str | None = None
    """A key of ``PALETTES``, whose colours run along the path. None: hues run along it, from ``hue`` on."""

    def __post_init__(self) -> None:
        check_name("fractal", self.name, SYSTEMS)
        _check_integer("iterations", self.iterations, 0, MAX_ITERATIONS)
        _check_integer("size", self.size, MIN_SIZE, MAX_SIZE)
        if not math.isfinite(self.hue):
            raise ConfigError(f"hue must be a number, not {self.hue!r}")
        if self.width is not None and not 0 < self.width <= self.size / 16:
            limit = f"a 16th of the size ({counted(self.size / 16, 'pixel')})"
            raise ConfigError(f"the line's width must be above 0 and at most {limit}, not {self.width!r}")
        if self.palette is not None:
            check_name("palette", self.palette, PALETTES)
        if steps(SYSTEMS[self.name], self.iterations) == 0:
            raise ConfigError(f"{self.name} draws nothing at {counted(self.iterations, 'iteration')}")

    @property
    def label(self) -> str:
        """The text below the picture in a collage."""
        return f"{self.name.replace('_', ' ')} · {self.iterations}"


def _check_integer(name: str, value: object, smallest: int, largest: int) -> None:
    if type(value) is not int or not smallest <= value <= largest:
        raise ConfigError(f"{name} must be a whole number from {smallest} to {largest}, not {value!r}")


def file_names(fractals: Iterable[Fractal]) -> list[str]:
    """Return a distinct file name for each fractal.

    The name is ``fractals/{name}_{size}.png``. Where a name occurs again, the second file ends in ``-2.png``,
    and so on.
    """
    return distinct_files(f"fractals/{fractal.name}_{fractal.size}" for fractal in fractals)


def distinct_files(stems: Iterable[str]) -> list[str]:
    """Return a distinct name of a PNG for each stem: ``a.png``, and ``a-2.png`` where it occurs again."""
    seen: Counter[str] = Counter()
    files = []
    for stem in stems:
        seen[stem] += 1
        files.append(f"{stem}-{seen[stem]}.png" if seen[stem] > 1 else f"{stem}.png")
    return files


def random_fractals(count: int, seed: int) -> list[Fractal]:
    """Return ``count`` random fractals, the same ones for the same seed.

    Every system is chosen once before any system is chosen again.
    """
    choice = random.Random(seed)
    remaining: list[str] = []
    chosen = []
    for _ in range(count):
        if not remaining:
            remaining = choice.sample(sorted(SYSTEMS), len(SYSTEMS))
        name, size = remaining.pop(), choice.choice(_SIZES)
        iterations = choice.choice(_suitable_iterations(SYSTEMS[name], size))
        chosen.append(Fractal(name, iterations, size, round(choice.random(), 3)))
    return chosen


def _suitable_iterations(system: System, size: int) -> Sequence[int]:
    """Return the two largest numbers of iterations that leave enough space for each step.

    No number is below that of the original example.
    """
    max_steps = (size // _PIXELS_PER_STEP) ** 2
    largest = system.iterations
    while largest < MAX_ITERATIONS and steps(system, largest + 1) <= max_steps:
        largest += 1
    return range(max(system.iterations, largest - 1), largest + 1)


def steps(system: System, iterations: int) -> int:
    """Return the number of steps of a curve.

    Only letters are counted, so the memory does not grow with the number of iterations.
    """
    lengths = {"F": 1}
    for _ in range(iterations):
        lengths = {
            letter: sum(lengths.get(other, 0) for other in system.rules.get(letter, letter))
            for letter in {"F", *system.rules}
        }
    return sum(lengths.get(letter, 0) for letter in system.axiom)


_Path = tuple[NDArray[np.int16], int]
"""The path of a word: the heading of each step, and the total turn, both in turns of the system's angle."""


def headings(system: System, iterations: int) -> NDArray[np.int16]:
    """Return the direction of every step, in turns of the system's angle, not reduced to one circle."""
    needed = [set(system.axiom)]  # for each number of rewritings so far, the letters that occur
    for _ in range(iterations):
        needed.append({inner for letter in needed[-1] for inner in system.rules.get(letter, letter)})
    paths = {letter: (np.zeros(int(letter == "F"), np.int16), 0) for letter in needed.pop()}
    for letters in reversed(needed):  # the paths of one level are made from those of the level below alone
        paths = {
            letter: _compose(system.rules[letter], paths, system.directions)
            if letter in system.rules
            else paths[letter]
            for letter in letters
        }
    return _compose(system.axiom, paths, system.directions)[0]


def _compose(word: str, paths: dict[str, _Path], directions: int) -> _Path:
    """Join the paths of a word's letters to the path of the word."""
    turns = {"+": 1, "-": -1}
    path = np.empty(sum(len(paths[letter][0]) for letter in word), np.int16)
    end = heading = 0
    for letter in word:
        steps_of_letter, turn = paths[letter]
        start, end = end, end + len(steps_of_letter)
        # Each level adds less than one circle: 65 levels of 360 directions fit into 16 bits.
        np.add(steps_of_letter, heading, out=path[start:end])
        heading = (heading + turn + turns.get(letter, 0)) % directions
    return path, heading


def compass(system: System) -> NDArray[np.float64]:
    """Return one step in each direction, shape (directions, 2); rounded, so that right angles are exact."""
    angles = [math.radians(system.angle * turn % 360) for turn in range(system.directions)]
    return np.array([(round(math.cos(angle), 15), round(math.sin(angle), 15)) for angle in angles])


def points(system: System, heading: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return the corners of a path in units of a step: shape (2, steps + 1), x before y.

    Args:
        system: the system whose angle the headings count.
        heading: the heading of each step.
    """
    corners = np.zeros((2, len(heading) + 1))
    for row, along in zip(corners, compass(system).T, strict=True):
        np.cumsum(along[heading % system.directions], out=row[1:])
    return corners
