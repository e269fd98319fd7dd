"""Colour arithmetic: linear light for averages, Oklab for transitions from one colour to another.

The bytes of a picture are sRGB (IEC 61966-2-1). A pixel of which half is white and half is black has half of
the *light* of white, which is byte 188. So every average of samples is computed from linear values of 16
bits, with two tables that convert bytes to light and back.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wrenlite.errors import ConfigError

Floats = NDArray[np.float64]
Rgb = NDArray[np.unsignedinteger[Any]]
"""sRGB values, shape (…, 3), of 8 or 16 bits."""

# Björn Ottosson, "A perceptual color space for image processing", 2020: linear sRGB to cone responses,
# and their cube roots to lightness, green-red and blue-yellow.
_RGB_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_CONES_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_ALIKE = 0.6
"""The least likeness (0 to 1) of a name that an error message suggests: one wrong letter in five, but not in
three."""
_MAX_NAMES_LISTED = 10
"""Up to this number, an error message lists all valid names even if it also suggests similar ones."""


def linear(srgb: ArrayLike) -> Floats:
    """Convert sRGB values, 0 to 1, to linear light, 0 to 1."""
    value = np.asarray(srgb, float)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def srgb(light: ArrayLike) -> Floats:
    """Convert linear light to sRGB values, 0 to 1; light that no screen can show is clipped."""
    value = np.clip(light, 0.0, 1.0)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)


LIGHT: NDArray[np.uint16] = np.rint(linear(np.arange(256) / 255) * 65535).astype(np.uint16)
"""Linear light of each byte, 0 to 65,535: so fine that every byte is converted back to itself."""
BYTE: NDArray[np.uint8] = np.rint(srgb(np.arange(65536) / 65535) * 255).astype(np.uint8)
"""The nearest byte for each linear light, 0 to 65,535."""


def oklab(rgb: ArrayLike) -> Floats:
    """Convert bytes to Oklab.

    Args:
        rgb: bytes, shape (…, 3).

    Returns:
        Lightness (0 to 1), green-red and blue-yellow, shape (…, 3).
    """
    light = linear(np.asarray(rgb, float) / 255)
    return np.asarray(np.cbrt(light @ _RGB_TO_CONES.T) @ _CONES_TO_LAB.T)


def from_oklab(lab: ArrayLike, bits: int = 8) -> Rgb:
    """Convert Oklab, shape (…, 3), to the nearest sRGB values of 8 or 16 bits, shape (…, 3)."""
    cones = (np.asarray(lab, float) @ np.linalg.inv(_CONES_TO_LAB).T) ** 3
    return _whole(srgb(cones @ np.linalg.inv(_RGB_TO_CONES).T), bits)


def _whole(srgb_values: Floats, bits: int) -> Rgb:
    """Convert sRGB values, 0 to 1, to whole numbers."""
    return np.asarray(np.rint(srgb_values * (2**bits - 1)), np.uint8 if bits == 8 else np.uint16)


def hues(start: float, span: float, count: int) -> Rgb:
    """Return bright colours along a part of the colour circle.

    Args:
        start: where on the circle the colours begin, in turns.
        span: the part of the circle that they cover, in turns.
        count: number of colours.

    Returns:
        Bytes, shape (count, 3).
    """
    fraction = np.linspace(0.0, 1.0, count)
    angle = 2 * np.pi * (start + span * fraction)
    lightness, chroma = 0.70 + 0.14 * fraction, 0.135
    return from_oklab(np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1))


def downsample(rgb: Rgb, factor: int) -> Rgb:
    """Replace each square of ``factor`` x ``factor`` pixels by one pixel with their mean light.

    Args:
        rgb: values of 8 or 16 bits, shape (factor * height, factor * width, 3).
        factor: 1 to 255. With 1 the picture itself is returned.

    Returns:
        As many bits, shape (height, width, 3).

    Raises:
        ConfigError: the size of the picture is not a multiple of ``factor``.
    """
    height, width = rgb.shape[0] // factor, rgb.shape[1] // factor
    if (height * factor, width * factor) != rgb.shape[:2]:
        raise ConfigError(f"{rgb.shape[1]} x {rgb.shape[0]} pixels cannot be divided by {factor}")
    if factor == 1:
        return rgb
    if rgb.dtype == np.uint16:
        return _downsample_16(rgb, factor)
    small = np.empty((height, width, 3), np.uint8)
    light = np.empty((factor, width * factor * 3), np.uint16)
    for row in range(height):  # row by row, so that the data stays in the cache
        rows = rgb[row * factor : (row + 1) * factor].reshape(factor, -1)
        # Every byte is an index of the table, so mode="clip" changes no value; without it, numpy copies
        # ``out``.
        np.take(LIGHT, rows, out=light, mode="clip")
        column_sums = light.sum(axis=0, dtype=np.uint32).reshape(width, factor, 3)
        total = functools.reduce(np.add, (column_sums[:, column] for column in range(factor)))
        small[row] = BYTE[(total + factor * factor // 2) // (factor * factor)]
    return small


def _downsample_16(rgb: Rgb, factor: int) -> Rgb:
    """Do the same with 16 bits, without tables."""
    small = np.empty((rgb.shape[0] // factor, rgb.shape[1] // factor, 3), np.uint16)
    for row in range(len(small)):
        light = linear(rgb[row * factor : (row + 1) * factor] / 65535)
        small[row] = _whole(srgb(light.reshape(factor, -1, factor, 3).mean(axis=(0, 2))), 16)
    return small


def lit(rgb: Rgb, factor: NDArray[np.float32], added: NDArray[np.float32]) -> Rgb:
    """Return colours in another light.

    Args:
        rgb: values of 8 or 16 bits, shape (…, 3).
        factor: what their light is multiplied by, shape (…, 1) or (…, 3).
        added: what is added to it then, where 1 is the light of white.
    """
    if rgb.dtype == np.uint8:
        light = LIGHT[rgb] * factor + added * np.float32(65535)
        return BYTE[np.clip(light, 0, 65535).astype(np.uint16)]
    return _whole(srgb(linear(rgb / 65535) * factor + added), 16)


def check_name(kind: str, name: str, names: Iterable[str]) -> str:
    """Return a name if it is one of the valid names.

    Args:
        kind: what the name stands for, for the message: ``"palette"``.
        name: the name to check.
        names: the valid names.

    Raises:
        ConfigError: the name is not valid; the message suggests similar names.
    """
    names = sorted(names)
    if name in names:
        return name
    by_lower_case = {other.lower(): other for other in names}
    similar = difflib.get_close_matches(str(name).lower(), list(by_lower_case), 3, _ALIKE)
    suggestions = " or ".join(by_lower_case[other] for other in similar)
    all_names = f"there are {', '.join(names)}"
    hint = f"did you mean {suggestions}?" if suggestions else all_names
    if suggestions and len(names) <= _MAX_NAMES_LISTED:
        hint += f" {all_names}"
    raise ConfigError(f"no {kind} is called {str(name)[:40]!r}: {hint}")
