"""The Buddhabrot, a picture of orbits that escape from the Mandelbrot set, as an example of ``map_reduce``.

Each task draws its own random points c. It follows the orbit of each c that escapes, and counts how often
orbits pass each pixel. The reduction adds up the images of all tasks, and only their sum is sent back. More
tasks are more points, so noise falls with the square root of their number.

The three colours of a picture count orbits of different lengths, as in false-colour pictures of nebulae:
the short ones make the blue veil, the long ones the red figure (Melinda Green, "The Buddhabrot Technique",
1993). The real axis runs down, so that the figure sits upright.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.futures import Future
from wrenlite.gallery.fractals.colours import srgb
from wrenlite.gallery.fractals.escape import Points, escape
from wrenlite.gallery.fractals.mandelbrot import in_bulbs
from wrenlite.gallery.preflight import check_memory, check_own_memory

Counts = NDArray[np.uint32]
"""How often orbits passed each pixel, shape (3, height, width): the long, the middle and the short orbits."""

_CENTRE, _HEIGHT = -0.45, 3.2
"""The part of the real axis that is drawn."""
_SAMPLED_RADIUS = 2.0
"""Points farther from 0 escape at once."""
_SHORTER = 10
"""Each colour counts orbits that are shorter than those of the next by this factor."""
_SHORTEST = 8
"""Orbits that are not longer are left out: they are spread evenly, as a veil."""
_BATCH = 1 << 18
"""Points whose orbits are followed together."""
_BRIGHTEST = 99.8
"""Percentile of a colour's counts that is as bright as a screen allows."""
_CONTRAST = 1.2
"""Exponent of a count on the way to light; above 1, it darkens what few orbits pass."""
_COLOURS = np.array([[0.70, 0.22, 0.06], [0.22, 0.56, 0.20], [0.08, 0.22, 0.74]])
"""Red, green and blue light of the long, the middle and the short orbits; together they are white."""
_BYTES_PER_PIXEL = 3 * (8 + 4 + 4)
"""A task holds its sums, their 32 bits, and their pickle."""
_OWN_BYTES_PER_PIXEL = 3 * (4 + 8 + 8) + 3
"""This process holds the counts, their sums with the mirror image, a copy of these for the percentile, and
the picture."""
_STRIP_ROWS = 64
"""Rows of a picture that are coloured together."""


@dataclass(frozen=True)
class Buddhabrot:
    """A picture of escaping orbits. The same fields and number of tasks give the same picture.

    Raises:
        ConfigError: a field has a value that cannot be drawn.
    """

    width: int = 768
    height: int = 1024
    iters: int = 5000
    """Length of the longest orbits."""
    samples: int = 250_000
    """Random points per task."""
    seed: int = 7

    def __post_init__(self) -> None:
        limits = {"width": (16, 8192), "height": (16, 8192), "iters": (200, 10**7), "samples": (1, 10**9)}
        for name, (least, most) in {**limits, "seed": (0, 2**63 - 1)}.items():
            value = getattr(self, name)
            try:
                number = operator.index(value)
            except TypeError:
                raise ConfigError(f"{name} is {value!r}: it must be a whole number") from None
            if not least <= number <= most:
                raise ConfigError(f"{name} is {number:,}: it must be {least:,} to {most:,}")

    @property
    def limits(self) -> tuple[int, int, int]:
        """The longest orbits of red, green and blue."""
        return self.iters, self.iters // _SHORTER, self.iters // _SHORTER**2


def render(executor: Executor, wanted: Buddhabrot, tasks: int) -> Future[Any]:
    """Count the orbits of a picture on the workers.

    Args:
        executor: the executor that runs the tasks.
        wanted: the picture.
        tasks: number of tasks, each with its own random points.

    Returns:
        The future of the ``Counts`` of all tasks.

    Raises:
        ConfigError: ``tasks`` is below 1, or a task needs more memory than a worker has.
    """
    if tasks < 1:
        raise ConfigError(f"tasks is {tasks}: it must be at least 1")
    pixels, what = wanted.width * wanted.height, f"a picture of {wanted.width:,} x {wanted.height:,} pixels"
    check_memory(executor.backend, _BYTES_PER_PIXEL * pixels + 300 * _BATCH, what)
    check_own_memory(_OWN_BYTES_PER_PIXEL * pixels, what)
    return executor.map_reduce(partial(count_orbits, wanted), range(tasks), add)


def add(images: Sequence[Counts]) -> Counts:
    """Return the sum of the images of all tasks."""
    total = images[0].copy()
    for image in images[1:]:
        total += image
    return total


def count_orbits(wanted: Buddhabrot, task: int) -> Counts:
    """Follow the orbits of the random points of one task.

    Args:
        wanted: the picture.
        task: number of the task, which chooses its random points.
    """
    random = np.random.default_rng([wanted.seed, task])
    pixels = wanted.width * wanted.height
    sums = np.zeros(3 * pixels, np.int64)
    for first in range(0, wanted.samples, _BATCH):
        c = sample(random, min(_BATCH, wanted.samples - first))
        lengths = escape(c, c, 1, wanted.iters)
        escaped = np.flatnonzero(np.isfinite(lengths) & (lengths > _SHORTEST))
        order = escaped[np.argsort(-lengths[escaped])]
        _follow(c[order], lengths[order], wanted, sums)
    return sums.reshape(3, wanted.height, wanted.width).astype(np.uint32)


def sample(random: np.random.Generator, count: int) -> Points:
    """Return random points of the disc around 0 that holds the set, without those of the main bulbs."""
    radius = _SAMPLED_RADIUS * np.sqrt(random.random(count))
    c = radius * np.exp(2j * math.pi * random.random(count))
    return np.asarray(c[~in_bulbs(c.real, c.imag)])


def _follow(c: Points, lengths: NDArray[np.float64], wanted: Buddhabrot, sums: NDArray[np.int64]) -> None:
    """Add the orbits of points to an image.

    Args:
        c: points that escape, the longest orbit first.
        lengths: iterations until each escapes.
        wanted: the picture.
        sums: how often orbits of each of three kinds passed each pixel, which is added to.
    """
    scale = wanted.height / _HEIGHT
    across, down = wanted.width / 2, wanted.height / 2 - _CENTRE * scale
    _, middle, short = wanted.limits
    pixels = wanted.width * wanted.height
    kind = pixels * ((lengths <= middle).astype(np.int64) + (lengths <= short))
    steps = np.ceil(lengths).astype(np.int64)
    z, remaining, passed = c.copy(), len(c), list[NDArray[np.int64]]()
    for step in range(2, int(steps[0]) + 1 if len(c) else 0):  # the first point is c, which is spread evenly
        remaining = int(np.searchsorted(-steps[:remaining], -step, side="right"))
        z, c = z[:remaining], c[:remaining]
        np.square(z, out=z)
        np.add(z, c, out=z)
        column = np.floor(z.imag * scale + across).astype(np.int64)
        row = np.floor(z.real * scale + down).astype(np.int64)
        seen = (column >= 0) & (column < wanted.width) & (row >= 0) & (row < wanted.height)
        passed.append((kind[:remaining] + row * wanted.width + column)[seen])
    if passed:
        sums += np.bincount(np.concatenate(passed), minlength=sums.size)


def picture(counts: Counts) -> Image.Image:
    """Return counts as a picture in which each kind of orbit is as bright as the others."""
    # The orbits of a point and of its mirror image are mirror images, so both halves show one figure.
    both = counts + counts[:, :, ::-1].astype(np.float64)
    brightest = np.maximum(np.percentile(both, _BRIGHTEST, axis=(1, 2), keepdims=True), 1.0)
    pixels = np.empty((*both.shape[1:], 3), np.uint8)
    for top in range(0, len(pixels), _STRIP_ROWS):
        light = (both[:, top : top + _STRIP_ROWS] / brightest) ** _CONTRAST
        colours = srgb(np.einsum("khw,kb->hwb", light, _COLOURS))
        pixels[top : top + _STRIP_ROWS] = np.rint(255 * colours)
    return Image.fromarray(pixels)
