"""The frames of a zoom between two keyframes: the wider is cropped and scaled, the narrower is pasted on it.

A frame is an average of points, as is a picture that is rendered directly, so it is computed from linear
light. Averages of counts would be wrong: counts jump at filaments, and a mean of 10 and 1,000 has a colour
that neither side of a filament has. Each keyframe is also coloured only once that way, and not in each frame.

Three things keep the edges of keyframes invisible. The narrower keyframe fades in: its weight grows from 0,
when the frame is the wider keyframe, to 1, when the frame is the narrower one. It has no edge, since its
weight falls to 0 there over many pixels. And each keyframe has more points than the frame has pixels, so that
the part that only the wider one shows is not blurred.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wrenlite.gallery.fractals.colours import BYTE, LIGHT, Rgb

_SOFT_EDGE = 0.12
"""Width of the edge over which the weight of the narrower keyframe falls, as a part of the frame's height."""
_FILTER = Image.Resampling.HAMMING
"""It averages only the points that a pixel covers, so a frame is as sharp as a mean of points."""

Floats = NDArray[np.float32]
Planes = tuple[Image.Image, Image.Image, Image.Image]


class Keyframe:
    """A picture of a zoom in linear light, with a whole number of points per pixel of a frame."""

    def __init__(self, rgb: Rgb, points_per_pixel: int) -> None:
        """Convert a picture to light.

        Args:
            rgb: bytes of the points, shape (height, width, 3).
            points_per_pixel: points for each pixel of a frame, each way.
        """
        self.planes = _planes(Image.fromarray(LIGHT[rgb[..., band]].astype(np.float32)) for band in range(3))
        self.size = rgb.shape[1] // points_per_pixel, rgb.shape[0] // points_per_pixel
        """Width and height of a frame."""
        self.small = _planes(plane.reduce(points_per_pixel) for plane in self.planes)
        """The picture with one point per pixel of a frame."""


def frame(wide: Keyframe, narrow: Keyframe | None, part: float, ratio: float) -> NDArray[np.uint8]:
    """Return a frame of a zoom, shape (height, width, 3).

    Args:
        wide: the wider keyframe.
        narrow: the narrower one, of the same size and centre. It is not used where ``part`` is 0.
        part: how far the zoom is on its way from ``wide`` to ``narrow``, 0 to 1, on a logarithmic scale.
        ratio: the width of ``wide`` divided by that of ``narrow``.
    """
    width, height = wide.size
    light = np.stack([_scaled(plane, wide.size, ratio**-part) for plane in wide.planes], axis=-1)
    if narrow is not None and part > 0:
        scale = ratio ** (part - 1)
        columns, rows = (_Span(length, scale) for length in (width, height))
        soft = _SOFT_EDGE * height
        weight = part * np.outer(rows.weights(soft), columns.weights(soft))
        box = columns.begins, rows.begins, columns.ends, rows.ends
        target = light[rows.first : rows.last, columns.first : columns.last]
        for band, plane in enumerate(narrow.small):
            pasted = np.asarray(plane.resize((columns.count, rows.count), _FILTER, box=box))
            target[..., band] += weight * (pasted - target[..., band])
    return BYTE[np.rint(light).astype(np.uint16)]


class _Span:
    """The pixels of a frame, in one direction, that a smaller picture in its middle covers completely."""

    def __init__(self, length: int, scale: float) -> None:
        """Find the pixels.

        Args:
            length: pixels of the frame.
            scale: size of the smaller picture as a part of the frame.
        """
        self._length, self._low = length, length * (1 - scale) / 2
        self.first = int(np.ceil(self._low))
        self.last = max(length - self.first, self.first)
        self.count = self.last - self.first
        self.begins, self.ends = (self.first - self._low) / scale, (self.last - self._low) / scale
        """Where the first pixel begins and the last one ends, in points of the smaller picture."""

    def weights(self, soft: float) -> Floats:
        """Return a weight for each pixel: 0 at both ends, and 1 from ``soft`` pixels on.

        The soft edge is never wider than the distance of the picture's edge from the frame's, so that it
        shrinks to nothing when the picture becomes the frame.
        """
        middle = np.arange(self.first, self.last) + 0.5
        inward = np.minimum(middle - self._low, self._length - self._low - middle)
        share = np.clip(inward / max(min(soft, self._low), 1e-9), 0.0, 1.0)
        return np.asarray(share * share * (3 - 2 * share), np.float32)


def _scaled(plane: Image.Image, size: tuple[int, int], part: float) -> Floats:
    """Return the middle of a picture, a part of its width and height, with another size in pixels."""
    x, y = plane.width * (1 - part) / 2, plane.height * (1 - part) / 2
    return np.asarray(plane.resize(size, _FILTER, box=(x, y, plane.width - x, plane.height - y)))


def _planes(bands: Iterable[Image.Image]) -> Planes:
    red, green, blue = bands
    return red, green, blue
