"""Clouds and their shadows over a landscape, and the bits of QA_PIXEL that say so. Pure numpy, seeded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from wrenlite.gallery.ndvi.indices import Mask, Numbers
from wrenlite.gallery.synthetic.landscape import (
    Map,
    Shape,
    fractal,
    smoothstep,
)

# Values of QA_PIXEL as Collection 2 has them: the bit itself, and the confidences of all four kinds.
CLEAR, WATER, CLOUD, SHADOW, DILATED, CIRRUS, NO_DATA = 21_824, 21_952, 22_280, 23_888, 21_762, 54_596, 1
_SEEN = 0.22
"""Opacity from which a cloud is flagged: thinner ones are missed, as they are in truth."""
_MARGIN = 3
"""Pixels around a cloud that are flagged with it."""
_OFFSET = (-9, -6)
"""Rows and columns from a cloud to its shadow, with the sun in the south-east."""


@dataclass(frozen=True)
class Sky:
    """The weather of one day."""

    opacity: Map
    """Of clouds, 0 to 1."""
    top: Map
    """Their reflectance."""
    shadow: Map
    """How dark the ground is below them, 0 to 1."""
    haze: float
    """Reflectance added to red everywhere; not flagged."""

    def part(self, where: tuple[Any, ...]) -> Sky:
        """Of some pixels."""
        return Sky(self.opacity[where], self.top[where], self.shadow[where], self.haze)


def sky(shape: Shape, share: float, rng: Generator) -> Sky:
    """A day's weather with about a ``share`` of the sky under clouds."""
    field = fractal(shape, 2.9, rng) + np.float32(0.22) * fractal(shape, 1.8, rng)
    level = float(np.quantile(field[::4, ::4], 1 - share))
    opacity = smoothstep(field, level, level + 0.55) if share > 0.005 else np.zeros(shape, np.float32)
    top = np.clip(0.42 + 0.16 * (field - level) + 0.05 * fractal(shape, 2.2, rng), 0.35, 0.95)
    below = np.roll(opacity, _OFFSET, (0, 1))
    return Sky(opacity, top.astype(np.float32), below, 0.006 * float(rng.random()) + 0.03 * share**2)


def seen(bands: Map, sky: Sky) -> Map:
    """Reflectances through a sky: shape (2, height, width), red and near infrared."""
    through = bands * (1 - 0.6 * sky.shadow * (1 - sky.opacity))
    through += np.array([sky.haze, 0.5 * sky.haze], np.float32)[:, None, None]
    return np.asarray(through * (1 - sky.opacity) + sky.top * sky.opacity, np.float32)


def quality(sky: Sky, water: Mask, fill: Mask) -> Numbers:
    """QA_PIXEL of a day."""
    cloud = sky.opacity > _SEEN
    found = np.where(water, np.uint16(WATER), np.uint16(CLEAR))
    found[(sky.opacity > 0.1) & (sky.opacity < 0.14)] = CIRRUS
    found[sky.shadow > _SEEN] = SHADOW
    found[_grown(cloud)] = DILATED
    found[cloud] = CLOUD
    found[fill] = NO_DATA
    return found


def _grown(mask: Mask) -> Mask:
    """A mask with a margin around it."""
    out = mask
    for axis in (0, 1):
        out = np.logical_or.reduce([np.roll(out, by, axis) for by in range(-_MARGIN, _MARGIN + 1)])
    return np.asarray(out, np.bool_)


def cloud_share(found: Numbers, fill: Mask) -> float:
    """Percent of the scene under cloud, as a product's metadata give it."""
    return round(100 * float(((found & 0b1000) > 0).sum() / max(1, (~fill).sum())), 2)


def footprint(shape: Shape, rng: Generator) -> Mask:
    """Where a scene has data: the swath runs 12 degrees off north and begins elsewhere each time."""
    height, width = shape
    rows = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height - 0.5
    columns = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width - 0.5
    shift = 0.01 * float(rng.standard_normal())
    return (np.abs(columns + 0.21 * rows + shift) < 0.45) & (np.abs(rows - 0.21 * columns) < 0.45)


def picture(
    bands: Map, greenness: Map, water: Mask, soil: tuple[float, float, float], sky: Sky
) -> NDArray[np.uint8]:
    """The scene as an eye would see it, shape (height, width, 3)."""
    green = np.clip((greenness - 0.08) / 0.72, 0, 1)[..., None]
    ground = np.array(soil[::-1], np.float32)
    leaves = np.array([0.03, 0.065, 0.028], np.float32)
    colour = ground * (1 - green) + leaves * green
    light = bands.sum(0) / (0.42 * (1 - green[..., 0]) * 1.15 + 0.42 * green[..., 0])
    colour = colour * np.clip(light, 0.35, 2.6)[..., None]
    colour[water] = (0.025, 0.05, 0.075)
    colour *= (1 - 0.6 * sky.shadow * (1 - sky.opacity))[..., None]
    colour = colour * (1 - sky.opacity[..., None]) + (sky.top * sky.opacity)[..., None]
    exposed = 1 - np.exp(-2.6 * (np.clip(colour, 0, None) + 1.2 * sky.haze))  # keeps shape in what is bright
    return np.asarray(255 * exposed**0.66, np.uint8)
