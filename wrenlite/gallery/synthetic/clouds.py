"""Clouds and their shadows over a landscape, and the bits of QA_PIXEL that flag them. Pure numpy, seeded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from wrenlite.gallery.ndvi.indices import DigitalNumbers, Mask
from wrenlite.gallery.synthetic.landscape import Map, Shape, fractal_noise, smoothstep

# Values of QA_PIXEL as in Collection 2: the class's own bit, and the confidences of all four classes.
CLEAR, WATER, CLOUD, SHADOW, DILATED, CIRRUS, NO_DATA = 21_824, 21_952, 22_280, 23_888, 21_762, 54_596, 1
_DETECTED_OPACITY = 0.22
"""Opacity from which a cloud is flagged; thinner clouds are missed, as in real products."""
_DILATION_PIXELS = 3
"""Width of the margin around a cloud that is flagged too."""
_SHADOW_OFFSET = (-9, -6)
"""Rows and columns from a cloud to its shadow, with the sun in the south-east."""


@dataclass(frozen=True)
class Sky:
    """The weather of one day."""

    opacity: Map
    """Opacity of clouds, 0 to 1."""
    cloud_top: Map
    """Reflectance of clouds."""
    shadow: Map
    """Opacity of the cloud that shades a pixel, 0 to 1."""
    haze: float
    """Reflectance that haze adds to red everywhere, and half of it to near infrared; it is not flagged."""

    def part(self, index: tuple[Any, ...]) -> Sky:
        """Return the weather over the pixels that an index selects."""
        return Sky(
            opacity=self.opacity[index],
            cloud_top=self.cloud_top[index],
            shadow=self.shadow[index],
            haze=self.haze,
        )


def generate_sky(shape: Shape, cloud_share: float, rng: Generator) -> Sky:
    """Return a day's weather with clouds over about a share of the sky."""
    field = fractal_noise(shape, 2.9, rng) + np.float32(0.22) * fractal_noise(shape, 1.8, rng)
    level = float(np.quantile(field[::4, ::4], 1 - cloud_share))
    opacity = smoothstep(field, level, level + 0.55) if cloud_share > 0.005 else np.zeros(shape, np.float32)
    top = np.clip(0.42 + 0.16 * (field - level) + 0.05 * fractal_noise(shape, 2.2, rng), 0.35, 0.95)
    return Sky(
        opacity=opacity,
        cloud_top=top.astype(np.float32),
        shadow=np.roll(opacity, _SHADOW_OFFSET, (0, 1)),
        haze=0.006 * float(rng.random()) + 0.03 * cloud_share**2,
    )


def through_sky(bands: Map, sky: Sky) -> Map:
    """Return the reflectances of the ground as the satellite sees them, through shadow, haze and clouds.

    Args:
        bands: reflectance of red and near infrared, of shape (2, height, width).
        sky: the weather over the same pixels.
    """
    below_clouds = bands * (1 - 0.6 * sky.shadow * (1 - sky.opacity))
    below_clouds += np.array([sky.haze, 0.5 * sky.haze], np.float32)[:, None, None]
    return np.asarray(below_clouds * (1 - sky.opacity) + sky.cloud_top * sky.opacity, np.float32)


def qa_pixel(sky: Sky, water: Mask, fill: Mask) -> DigitalNumbers:
    """Return the quality band QA_PIXEL of a day."""
    cloud = sky.opacity > _DETECTED_OPACITY
    values = np.where(water, np.uint16(WATER), np.uint16(CLEAR))
    values[(sky.opacity > 0.1) & (sky.opacity < 0.14)] = CIRRUS
    values[sky.shadow > _DETECTED_OPACITY] = SHADOW
    values[_dilate(cloud)] = DILATED
    values[cloud] = CLOUD
    values[fill] = NO_DATA
    return values


def _dilate(mask: Mask) -> Mask:
    """Return a mask with a margin around it."""
    out = mask
    for axis in (0, 1):
        shifts = range(-_DILATION_PIXELS, _DILATION_PIXELS + 1)
        out = np.logical_or.reduce([np.roll(out, shift, axis) for shift in shifts])
    return np.asarray(out, np.bool_)


def cloud_percent(quality: DigitalNumbers, fill: Mask) -> float:
    """Return the percent of the scene under cloud, as a product's metadata give it."""
    return round(100 * float(((quality & 0b1000) > 0).sum() / max(1, (~fill).sum())), 2)


def footprint(shape: Shape, rng: Generator) -> Mask:
    """Return where a scene has data: its swath is turned by 12 degrees from north, and shifted every time."""
    height, width = shape
    rows = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height - 0.5
    columns = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width - 0.5
    shift = 0.01 * float(rng.standard_normal())
    return (np.abs(columns + 0.21 * rows + shift) < 0.45) & (np.abs(rows - 0.21 * columns) < 0.45)


def true_colour(
    bands: Map, ndvi: Map, water: Mask, soil: tuple[float, float, float], sky: Sky
) -> NDArray[np.uint8]:
    """Return a picture of the scene in the colours that an eye would see, of shape (height, width, 3).

    Args:
        bands: reflectance of the ground in red and near infrared, of shape (2, height, width).
        ndvi: true NDVI.
        water: where there is water.
        soil: reflectance of bare soil in blue, green and red.
        sky: the weather.
    """
    green = np.clip((ndvi - 0.08) / 0.72, 0, 1)[..., None]
    ground = np.array(soil[::-1], np.float32)
    leaves = np.array([0.03, 0.065, 0.028], np.float32)
    colour = ground * (1 - green) + leaves * green
    light = bands.sum(0) / (0.42 * (1 - green[..., 0]) * 1.15 + 0.42 * green[..., 0])
    colour = colour * np.clip(light, 0.35, 2.6)[..., None]
    colour[water] = (0.025, 0.05, 0.075)
    colour *= (1 - 0.6 * sky.shadow * (1 - sky.opacity))[..., None]
    colour = colour * (1 - sky.opacity[..., None]) + (sky.cloud_top * sky.opacity)[..., None]
    exposed = 1 - np.exp(-2.6 * (np.clip(colour, 0, None) + 1.2 * sky.haze))  # keeps detail in bright parts
    return np.asarray(255 * exposed**0.66, np.uint8)
