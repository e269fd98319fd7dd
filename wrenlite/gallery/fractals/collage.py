"""Many pictures on one sheet, each with its label under it: the reduce step of a batch of fractals.

Pictures come one after another and are kept as thumbnails only. They are packed by skyline: the upper
edge of what lies there already is a row of level pieces, and the next picture, largest first, goes where
its lower edge comes to lie highest.
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
"""Width over height of a sheet."""
_GAP = 14
"""Pixels between pictures, and around them."""
_CAPTION = 24
"""Pixels under a picture for its label."""
_FONT = 15
_NARROWEST = 96
"""Pixels that a picture has for itself at least, so that its label can be read."""
_SHRINK = 0.4
"""Thumbnails are so much smaller than their pictures, as far as the bounds allow."""
_SIDES = 128, 480
_TRIES = 2000
"""Rectangles that are placed to find the best width: many leave little waste at any width."""
_KEPT = 1 << 24
"""Pixels of all thumbnails together; where there would be more, all of them are halved."""
_LIGHT = LIGHT.astype(np.float32)
_STRIP = 64
"""Rows of a thumbnail that are made at once."""
_AHEAD_BYTES = 64 << 20
"""Of files that a reduction fetches ahead."""
_BASE = 20_000_000
"""Bytes of fonts, tables and the like."""
_SHEET = (13, 17, 28)
_TEXT = (168, 178, 196)
_FRAME = (34, 41, 56)


@dataclass(frozen=True)
class Layout:
    """Where rectangles lie on a sheet, in pixels."""

    width: int
    height: int
    corners: tuple[tuple[int, int], ...]
    """Left and top of each rectangle, in the order that they were given in."""


def collage(pictures: Iterable[tuple[str, bytes]]) -> bytes:
    """One sheet of all pictures, as PNG.

    Args:
        pictures: label and file (PNG, or anything else that Pillow reads) of each. An iterator is read
            once, so this is a ``reduce_fn`` for a ``map_fn`` that returns such pairs.

    Raises:
        ConfigError: there are no pictures.
    """
    labels, thumbnails = _thumbnails(pictures)
    if not thumbnails:
        raise ConfigError("a collage needs at least one picture")
    layout = pack([(max(image.width, _NARROWEST), image.height + _CAPTION) for image in thumbnails], _GAP)
    sheet = Image.new("RGB", (layout.width, layout.height), _SHEET)
    pen = ImageDraw.Draw(sheet)
    for label, image, (left, top) in zip(labels, thumbnails, layout.corners, strict=True):
        room = max(image.width, _NARROWEST)
        left += (room - image.width) // 2
        sheet.paste(image, (left, top))
        pen.rectangle((left - 1, top - 1, left + image.width, top + image.height), outline=_FRAME)
        text, font = _fitted(label, room)
        middle = left + image.width / 2, top + image.height + _CAPTION / 2
        pen.text(middle, text, _TEXT, font, anchor="mm")
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=6)
    return file.getvalue()


def pack(sizes: Sequence[tuple[int, int]], gap: int) -> Layout:
    """Places for rectangles that do not overlap, on a sheet about 16 wide and 10 high.

    Args:
        sizes: width and height of each.
        gap: pixels at least between two of them, and to the sheet's edges.
    """
    grown = [(width + gap, height + gap) for width, height in sizes]
    area = sum(width * height for width, height in grown)
    widest = max(width for width, _ in grown)
    shares = sorted(range(18, 29), key=lambda share: abs(share - 20))[: 1 + _TRIES // len(sizes)]
    widths = sorted({max(widest, round(math.sqrt(area * _ASPECT) * share / 20)) for share in shares})
    layouts = (_skyline(grown, width) for width in widths)
    best = min(layouts, key=lambda layout: _waste(layout, area))
    corners = tuple((left + gap, top + gap) for left, top in best.corners)
    return Layout(best.width + gap, best.height + gap, corners)


def _waste(layout: Layout, area: int) -> float:
    """How far a sheet is from full and from its aspect; 0 is best."""
    off = math.log(layout.width / layout.height / _ASPECT)
    return layout.width * layout.height / area - 1 + off * off


def _skyline(sizes: Sequence[tuple[int, int]], width: int) -> Layout:
    """Rectangles from the top down on a sheet so wide, the highest first."""
    skyline = [(0, 0)]  # where each piece begins, and how far down it is taken; sorted from the left
    corners = [(0, 0)] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda number: (-sizes[number][1], -sizes[number][0], number))
    for number in order:
        across, down = sizes[number]
        tops = ((_top(skyline, left, across), left) for left, _ in skyline if left + across <= width)
        top, left = min(tops)
        corners[number] = left, top
        skyline = _covered(skyline, left, left + across, top + down)
    right = max(left + sizes[number][0] for number, (left, _) in enumerate(corners))
    return Layout(right, max(depth for _, depth in skyline), tuple(corners))


def _top(skyline: Sequence[tuple[int, int]], left: int, across: int) -> int:
    """How far down the pieces are taken between ``left`` and ``left + across``."""
    ends = [begin for begin, _ in skyline[1:]] + [math.inf]
    return max(
        depth
        for (begin, depth), end in zip(skyline, ends, strict=True)
        if begin < left + across and end > left
    )


def _covered(skyline: Sequence[tuple[int, int]], left: int, right: int, depth: int) -> list[tuple[int, int]]:
    """The skyline with all between left and right taken down to a depth."""
    before = [piece for piece in skyline if piece[0] < left]
    after = [piece for piece in skyline if piece[0] > right]
    behind = [level for begin, level in skyline if begin <= right][-1]
    return [*before, (left, depth), (right, behind), *after]


def _thumbnails(pictures: Iterable[tuple[str, bytes]]) -> tuple[list[str], list[Image.Image]]:
    labels, thumbnails = [], []
    shrink, kept = _SHRINK, 0
    for label, data in pictures:
        with Image.open(io.BytesIO(data)) as file:
            file.load()
            picture = file if file.mode == "RGB" else file.convert("RGB")
        labels.append(" ".join(label.split()))
        thumbnails.append(_reduced(picture, shrink))
        kept += thumbnails[-1].width * thumbnails[-1].height
        if kept > _KEPT:
            shrink /= 2
            thumbnails = [_shrunk(image, (image.width + 1) // 2) for image in thumbnails]
            kept = sum(image.width * image.height for image in thumbnails)
    return labels, thumbnails


def _reduced(picture: Image.Image, shrink: float) -> Image.Image:
    least, most = (side * shrink / _SHRINK for side in _SIDES)
    longest = max(picture.size)
    scale = min(1.0, min(max(longest * shrink, least), most) / longest)
    return _shrunk(picture, max(1, round(picture.width * scale)))


def _shrunk(picture: Image.Image, width: int) -> Image.Image:
    """A smaller picture of the same light: thin lines stay as bright as they were."""
    if width >= picture.width:
        return picture
    size = width, max(1, round(picture.height * width / picture.width))
    bands = []
    for band in _halved(picture, picture.width // (2 * width)).split():
        light: NDArray[np.float32] = np.take(_LIGHT, np.asarray(band))
        small = np.asarray(Image.fromarray(light).resize(size, Image.Resampling.HAMMING))
        bands.append(BYTE[np.rint(small).astype(np.uint16)])
    return Image.fromarray(np.stack(bands, axis=2))


def _fitted(label: str, room: int) -> tuple[str, ImageFont.ImageFont | ImageFont.FreeTypeFont]:
    """The label in the largest type that it fits in, or its beginning where none is small enough."""
    for size in range(_FONT, 8, -1):
        font = ImageFont.load_default(size)
        if font.getlength(label) <= room:
            return label, font
    while label and font.getlength(label + "…") > room:
        label = label[:-1]
    return label + "…", font


def _halved(picture: Image.Image, factor: int) -> Image.Image:
    """The picture at a whole fraction of its size, made strip by strip: large ones have no room for more."""
    if factor < 2:
        return picture
    width, height = picture.width // factor, picture.height // factor
    small = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP):
        rows = small[top : top + _STRIP]
        box = (0, top * factor, width * factor, (top + len(rows)) * factor)
        rows[:] = downsample(np.asarray(picture.crop(box)), factor)
    return Image.fromarray(small)


def memory(sides: Sequence[int]) -> int:
    """Bytes that a collage of square pictures takes at most, beside those of Python and its modules.

    The largest picture, the files that are fetched ahead of it, and the thumbnails with their sheet.
    """
    thumbnails = sum(min(max(side * _SHRINK, _SIDES[0]), _SIDES[1], side) ** 2 for side in sides)
    files = min(sum(3 * side**2 for side in sides), _AHEAD_BYTES + 3 * max(sides) ** 2)
    return int(5 * max(sides) ** 2 + files + 12 * min(thumbnails, _KEPT)) + _BASE
