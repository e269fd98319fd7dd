"""Colour arithmetic: linear light for adding up, Oklab for going from one colour to the next.

Bytes of a picture are sRGB (IEC 61966-2-1). Half of the samples white and half black is half of the
*light*, byte 188, so whatever averages samples does it on linear values of 16 bits, by way of two tables.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wrenlite.errors import ConfigError

Floats = NDArray[np.float64]

# Björn Ottosson, "A perceptual color space for image processing", 2020: linear sRGB to cone responses,
# and their cube roots to lightness, green-red and blue-yellow.
_FEW = 10
"""Names of which an error lists all."""
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OPPONENTS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def linear(srgb: ArrayLike) -> Floats:
    """Light, 0 to 1, of sRGB values, 0 to 1."""
    value = np.asarray(srgb, float)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def srgb(light: ArrayLike) -> Floats:
    """Values of sRGB, 0 to 1, of light; what no screen can show is clipped."""
    value = np.clip(light, 0.0, 1.0)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)


LIGHT: NDArray[np.uint16] = np.rint(linear(np.arange(256) / 255) * 65535).astype(np.uint16)
"""Linear light of each byte, 0 to 65,535: fine enough that every byte comes back as itself."""
BYTE: NDArray[np.uint8] = np.rint(srgb(np.arange(65536) / 65535) * 255).astype(np.uint8)
"""The byte nearest to each light, 0 to 65,535."""


def oklab(rgb: ArrayLike) -> Floats:
    """Lightness 0 to 1, green-red and blue-yellow of bytes; shape (…, 3) in and out."""
    light = linear(np.asarray(rgb, float) / 255)
    return np.asarray(np.cbrt(light @ _CONES.T) @ _OPPONENTS.T)


def from_oklab(lab: ArrayLike) -> NDArray[np.uint8]:
    """The nearest bytes; shape (…, 3) in and out."""
    cones = (np.asarray(lab, float) @ np.linalg.inv(_OPPONENTS).T) ** 3
    return np.rint(srgb(cones @ np.linalg.inv(_CONES).T) * 255).astype(np.uint8)


def hues(start: float, span: float, count: int) -> NDArray[np.uint8]:
    """So many bright colours, one beside the next on the colour circle: shape (count, 3).

    Args:
        start: where on the circle to begin, in turns.
        span: how far to go, in turns.
        count: how many.
    """
    share = np.linspace(0.0, 1.0, count)
    angle = 2 * np.pi * (start + span * share)
    lightness, chroma = 0.70 + 0.14 * share, 0.135
    return from_oklab(np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1))


def downsample(rgb: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The mean light of each square of ``factor`` x ``factor`` pixels.

    Args:
        rgb: shape (factor * height, factor * width, 3).
        factor: 1 to 255; 1 gives the picture itself.

    Returns:
        shape (height, width, 3).
    """
    height, width = rgb.shape[0] // factor, rgb.shape[1] // factor
    if (height * factor, width * factor) != rgb.shape[:2]:
        raise ConfigError(f"{rgb.shape[1]} x {rgb.shape[0]} pixels cannot be divided by {factor}")
    if factor == 1:
        return rgb
    small = np.empty((height, width, 3), np.uint8)
    light = np.empty((factor, width * factor * 3), np.uint16)
    for row in range(height):  # a few rows at a time stay in the cache
        rows = rgb[row * factor : (row + 1) * factor].reshape(factor, -1)
        np.take(LIGHT, rows, out=light, mode="clip")  # every byte is in the table; without, out is copied
        beside = light.sum(axis=0, dtype=np.uint32).reshape(width, factor, 3)
        total = functools.reduce(np.add, (beside[:, column] for column in range(factor)))
        small[row] = BYTE[(total + factor * factor // 2) // (factor * factor)]
    return small


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """The name itself.

    Raises:
        ConfigError: it is not among the names; says which are alike.
    """
    names = sorted(names)
    if name in names:
        return name
    folded = {other.lower(): other for other in names}
    alike = difflib.get_close_matches(str(name).lower(), list(folded), 3, 0.5)
    meant = " or ".join(folded[other] for other in alike)
    every = f"there are {', '.join(names)}"
    hint = f"did you mean {meant}?" if meant else every
    if meant and len(names) <= _FEW:
        hint += f" {every}"
    raise ConfigError(f"no {kind} is called {str(name)[:40]!r}: {hint}")
