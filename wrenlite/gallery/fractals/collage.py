"""The collage: many labelled pictures on one sheet. It is the reduce step of a batch of fractals.

Pictures are read one after another, and only their thumbnails are kept. Thumbnails are placed by skyline
packing. The skyline is the lower edge of the part of the sheet that is already taken, stored as a row of
level segments. Pictures are placed one by one, the highest first, each as near to the top of the sheet as
possible.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.colours import BYTE, LIGHT, downsample

_ASPECT = 1.6
"""Width of a sheet divided by its height."""
_GAP = 14
"""Pixels between pictures, and around them."""
_CAPTION = 24
"""Pixels below a picture for its label."""
_FONT_SIZE, _MIN_FONT_SIZE = 15, 9
"""Pixels: the usual size of a label, and the smallest that is tried when a label is too long."""
_MIN_CELL_WIDTH = 96
"""Least width of the cell of a picture in pixels, so that its label can be read."""
_SHRINK = 0.4
"""Size of a thumbnail divided by the size of its picture, unless the limits of the side forbid it."""
_MIN_SIDE, _MAX_SIDE = 128, 480
"""Pixels of a thumbnail's longer side. A picture is never enlarged."""
_MAX_PLACEMENTS = 2000
"""Rectangles that are placed while the best width is searched. With many of them, any width wastes little."""
_MAX_THUMBNAIL_PIXELS = 1 << 24
"""Pixels of all thumbnails together. When there would be more, all thumbnails are halved in size."""
_LIGHT = LIGHT.astype(np.float32)
_STRIP_ROWS = 64
"""Rows of a thumbnail that are computed at a time."""
_PREFETCH_BYTES = 64 << 20
"""Bytes of files that a reduction fetches ahead."""
_BASE_BYTES = 20_000_000
"""Memory of fonts, tables and other small objects."""
_BACKGROUND = (13, 17, 28)
_TEXT = (168, 178, 196)
_FRAME = (34, 41, 56)


@dataclass(frozen=True)
class Layout:
    """The positions of rectangles on a sheet, in pixels."""

    width: int
    height: int
    corners: tuple[tuple[int, int], ...]
    """Left and top of each rectangle, in the order in which the rectangles were given."""


def collage(pictures: Iterable[tuple[str, bytes]]) -> bytes:
    """Arrange pictures on one sheet.

    Args:
        pictures: label and file (PNG, or any other format that Pillow reads) of each picture. An iterator
            is read once, so this function can be the ``reduce_fn`` for a ``map_fn`` that returns such pairs.

    Returns:
        The sheet as PNG.

    Raises:
        ConfigError: there are no pictures.
    """
    labels, thumbnails = _thumbnails(pictures)
    if not thumbnails:
        raise ConfigError("a collage needs at least one picture")
    cells = [(max(image.width, _MIN_CELL_WIDTH), image.height + _CAPTION) for image in thumbnails]
    layout = pack(cells, _GAP)
    sheet = Image.new("RGB", (layout.width, layout.height), _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for label, image, (left, top) in zip(labels, thumbnails, layout.corners, strict=True):
        cell_width = max(image.width, _MIN_CELL_WIDTH)
        left += (cell_width - image.width) // 2
        sheet.paste(image, (left, top))
        pen.rectangle((left - 1, top - 1, left + image.width, top + image.height), outline=_FRAME)
        text, font = _fit_label(label, cell_width)
        middle = left + image.width / 2, top + image.height + _CAPTION / 2
        pen.text(middle, text, _TEXT, font, anchor="mm")
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=6)
    return file.getvalue()


def pack(sizes: Sequence[tuple[int, int]], gap: int) -> Layout:
    """Place rectangles without overlap on a sheet that is about 16 wide and 10 high.

    Args:
        sizes: width and height of each rectangle.
        gap: least distance in pixels of two rectangles, and of a rectangle and the edge of the sheet.
    """
    padded = [(width + gap, height + gap) for width, height in sizes]
    area = sum(width * height for width, height in padded)
    widest = max(width for width, _ in padded)
    # Candidate widths are multiples of a twentieth of the ideal width, those closest to it first.
    twentieths = sorted(range(18, 29), key=lambda number: abs(number - 20))[
        : 1 + _MAX_PLACEMENTS // len(sizes)
    ]
    widths = sorted({max(widest, round(math.sqrt(area * _ASPECT) * number / 20)) for number in twentieths})
    layouts = (_pack_skyline(padded, width) for width in widths)
    best = min(layouts, key=lambda layout: _waste(layout, area))
    corners = tuple((left + gap, top + gap) for left, top in best.corners)
    return Layout(best.width + gap, best.height + gap, corners)


def _waste(layout: Layout, area: int) -> float:
    """Return how far a sheet is from being full and from the wanted aspect ratio; 0 is best."""
    deviation = math.log(layout.width / layout.height / _ASPECT)
    return layout.width * layout.height / area - 1 + deviation * deviation


def _pack_skyline(sizes: Sequence[tuple[int, int]], max_width: int) -> Layout:
    """Place rectangles from the top down on a sheet of a given width, the highest rectangle first."""
    skyline = [(0, 0)]  # left end and depth of each segment, from left to right
    corners = [(0, 0)] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda number: (-sizes[number][1], -sizes[number][0], number))
    for number in order:
        width, height = sizes[number]
        candidates = (
            (_depth_between(skyline, left, left + width), left)
            for left, _ in skyline
            if left + width <= max_width
        )
        top, left = min(candidates)
        corners[number] = left, top
        skyline = _lower_skyline(skyline, left, left + width, top + height)
    used_width = max(left + sizes[number][0] for number, (left, _) in enumerate(corners))
    return Layout(used_width, max(depth for _, depth in skyline), tuple(corners))


def _depth_between(skyline: Sequence[tuple[int, int]], left: int, right: int) -> int:
    """Return the largest depth of the skyline between two columns."""
    ends = [begin for begin, _ in skyline[1:]] + [math.inf]
    return max(
        depth for (begin, depth), end in zip(skyline, ends, strict=True) if begin < right and end > left
    )


def _lower_skyline(
    skyline: Sequence[tuple[int, int]], left: int, right: int, depth: int
) -> list[tuple[int, int]]:
    """Return the skyline after everything between two columns is taken down to a depth."""
    before = [segment for segment in skyline if segment[0] < left]
    after = [segment for segment in skyline if segment[0] > right]
    depth_at_right = [level for begin, level in skyline if begin <= right][-1]
    return [*before, (left, depth), (right, depth_at_right), *after]


def _thumbnails(pictures: Iterable[tuple[str, bytes]]) -> tuple[list[str], list[Image.Image]]:
    """Read all pictures, and return their labels and thumbnails."""
    labels, thumbnails = [], []
    shrink, pixels = _SHRINK, 0
    for label, data in pictures:
        with Image.open(io.BytesIO(data)) as file:
            file.load()
            picture = file if file.mode == "RGB" else file.convert("RGB")
        labels.append(" ".join(label.split()))
        thumbnails.append(_thumbnail(picture, shrink))
        pixels += thumbnails[-1].width * thumbnails[-1].height
        if pixels > _MAX_THUMBNAIL_PIXELS:
            shrink /= 2
            thumbnails = [_resize(image, (image.width + 1) // 2) for image in thumbnails]
            pixels = sum(image.width * image.height for image in thumbnails)
    return labels, thumbnails


def _thumbnail(picture: Image.Image, shrink: float) -> Image.Image:
    """Shrink a picture by a factor, within limits that change with the factor."""
    smallest, largest = (side * shrink / _SHRINK for side in (_MIN_SIDE, _MAX_SIDE))
    longer_side = max(picture.size)
    scale = min(1.0, min(max(longer_side * shrink, smallest), largest) / longer_side)
    return _resize(picture, max(1, round(picture.width * scale)))


def _resize(picture: Image.Image, width: int) -> Image.Image:
    """Shrink a picture to a width in linear light, so that thin lines stay as bright as they were."""
    if width >= picture.width:
        return picture
    size = width, max(1, round(picture.height * width / picture.width))
    bands = []
    for band in _shrink_by_integer(picture, picture.width // (2 * width)).split():
        light: NDArray[np.float32] = np.take(_LIGHT, np.asarray(band))
        small = np.asarray(Image.fromarray(light).resize(size, Image.Resampling.HAMMING))
        bands.append(BYTE[np.rint(small).astype(np.uint16)])
    return Image.fromarray(np.stack(bands, axis=2))


def _shrink_by_integer(picture: Image.Image, factor: int) -> Image.Image:
    """Divide the size of a picture by a whole number, strip by strip, to save memory with large pictures."""
    if factor < 2:
        return picture
    width, height = picture.width // factor, picture.height // factor
    small = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        rows = small[top : top + _STRIP_ROWS]
        box = (0, top * factor, width * factor, (top + len(rows)) * factor)
        rows[:] = downsample(np.asarray(picture.crop(box)), factor)
    return Image.fromarray(small)


def _fit_label(label: str, width: int) -> tuple[str, ImageFont.ImageFont | ImageFont.FreeTypeFont]:
    """Return the label and the largest font in which it fits a width; cut a label that is still too long."""
    for size in range(_FONT_SIZE, _MIN_FONT_SIZE - 1, -1):
        font = ImageFont.load_default(size)
        if font.getlength(label) <= width:
            return label, font
    while label and font.getlength(label + "…") > width:
        label = label[:-1]
    return label + "…", font


def peak_bytes(sides: Sequence[int]) -> int:
    """Estimate the peak memory of a collage of square pictures, without Python and its modules.

    It is the sum of the largest picture, the files that are fetched ahead of it, and the thumbnails with
    their sheet.

    Args:
        sides: pixels of the side of each picture.
    """
    thumbnails = sum(min(max(side * _SHRINK, _MIN_SIDE), _MAX_SIDE, side) ** 2 for side in sides)
    files = min(sum(3 * side**2 for side in sides), _PREFETCH_BYTES + 3 * max(sides) ** 2)
    return int(5 * max(sides) ** 2 + files + 12 * min(thumbnails, _MAX_THUMBNAIL_PIXELS)) + _BASE_BYTES
