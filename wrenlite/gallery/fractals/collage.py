"""The collage: many labelled pictures on one sheet. It is the reduce step of a batch of fractals.

Pictures are read one after another, and only their thumbnails are kept. They are placed in rows, in their
order. All pictures of a row have one height, which is chosen so that the row is as wide as the sheet. So
there are no holes, whatever the number and the shapes of the pictures.
"""

from __future__ import annotations

import io
import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.colours import BYTE, LIGHT, downsample

_ASPECT = 1.6
"""Width of a sheet divided by its height, as far as the number of pictures allows it."""
_GAP, _MIN_GAP = 0.055, 8
"""Space between pictures, and around them: a fraction of a picture's usual height, and least pixels."""
_LABEL_OF_SHEET = 0.013
"""Height of a label: this fraction of the sheet's width, so that it can be read when all of the sheet is
seen."""
_LABEL_OF_CELL = 0.12
"""Largest height of a label, as a fraction of a picture's usual height."""
_FONT_SIZE, _MIN_FONT_SIZE = 15, 9
"""Pixels: the least size of a label, and the least that is tried when a label is too long."""
_SMALLER_FONT = 0.7
"""A label that is too long is written smaller, down to this fraction of the usual size."""
_CAPTION = 1.6
"""Space below a picture for its label, divided by the label's height."""
_MIN_CELL_WIDTH = 96
"""Least width of the cell of a picture in pixels, so that its label can be read."""
_LEAST_WIDTH = 1200
"""Pixels of the width of a sheet of few pictures, if they are large enough."""
_SHRINK = 0.4
"""Height of a cell divided by that of its picture, unless the limits of the side forbid it."""
_MIN_SIDE, _MAX_SIDE = 128, 480
"""Pixels of a cell's height, before it is changed to fill its row."""
_KEPT_SIDE = 720
"""Pixels of the longer side of a thumbnail until the size of its cell is known. A picture is never
enlarged."""
_NARROWEST, _WIDEST = 0.4, 4.0
"""Limits of a cell's width divided by its height. Pictures beyond them are centred in their cells."""
_LARGE_ENOUGH = 0.75
"""Share of the pictures that must be as large as their cells. Smaller ones are centred in them."""
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


class Cell(NamedTuple):
    """The place of a picture on the sheet, in pixels."""

    left: int
    top: int
    width: int
    height: int


class Layout(NamedTuple):
    """The sizes of a sheet and of what is on it, in pixels."""

    width: int
    height: int
    font_size: int
    cells: list[Cell]
    """The cell of each picture. Its label is below it."""


def collage(pictures: Iterable[tuple[str, bytes]]) -> bytes:
    """Arrange pictures on one sheet, in their order.

    Args:
        pictures: label and file (PNG, or any other format that Pillow reads) of each picture. An iterator
            is read once, so this function can be the ``reduce_fn`` for a ``map_fn`` that returns such pairs.

    Returns:
        The sheet as PNG.

    Raises:
        ConfigError: there are no pictures, or one of them cannot be read.
    """
    labels, thumbnails, usual_height = _thumbnails(pictures)
    if not thumbnails:
        raise ConfigError("a collage needs at least one picture")
    layout = arrange([image.size for image in thumbnails], usual_height)
    sheet = Image.new("RGB", (layout.width, layout.height), _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for label, image, cell in zip(labels, thumbnails, layout.cells, strict=True):
        image = _resize(image, _fitting_width(image.size, cell))
        pen.rectangle(
            (cell.left - 1, cell.top - 1, cell.left + cell.width, cell.top + cell.height), outline=_FRAME
        )
        sheet.paste(
            image, (cell.left + (cell.width - image.width) // 2, cell.top + (cell.height - image.height) // 2)
        )
        text, font = _fit_label(label, cell.width, layout.font_size)
        middle = cell.left + cell.width / 2, cell.top + cell.height + layout.font_size * _CAPTION / 2
        pen.text(middle, text, _TEXT, font, anchor="mm")
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=6)
    return file.getvalue()


def arrange(sizes: Sequence[tuple[int, int]], usual_height: float) -> Layout:
    """Place pictures in rows that are all as wide as the sheet, which is about 16 wide and 10 high.

    Args:
        sizes: width and height of each picture.
        usual_height: pixels of a cell's height. Rows are a little higher or lower, to be full.
    """
    aspects = np.array([min(max(width / height, _NARROWEST), _WIDEST) for width, height in sizes])
    rows = _choose_rows(aspects)
    row_aspects = np.array([aspects[row].sum() for row in rows])
    # The pictures have the area that they would have at the usual height.
    width = max(_LEAST_WIDTH, usual_height * math.sqrt(aspects.sum() / (1 / row_aspects).sum()))
    full = np.concatenate(
        [np.array([sizes[n][1] for n in row]) * total for row, total in zip(rows, row_aspects, strict=True)]
    )
    width = min(width, float(np.quantile(full, 1 - _LARGE_ENOUGH, method="lower")))
    width = max(width, float(max(_MIN_CELL_WIDTH * len(row) for row in rows)))
    gap = max(_MIN_GAP, round(_GAP * min(usual_height, width)))
    inner = round(width) + gap * (max(map(len, rows)) - 1)
    font_size = max(_FONT_SIZE, round(min(_LABEL_OF_SHEET * inner, _LABEL_OF_CELL * usual_height)))
    top, cells = gap, list[Cell]()
    for row, total in zip(rows, row_aspects, strict=True):
        pictures_width = inner - gap * (len(row) - 1)
        height = max(1, round(pictures_width / total))
        ends = np.rint(np.cumsum(aspects[row]) * (pictures_width / total)).astype(int).tolist()
        for place, (left, right) in enumerate(itertools.pairwise([0, *ends])):
            cells.append(Cell(gap + gap * place + left, top, right - left, height))
        top += height + math.ceil(font_size * _CAPTION) + gap
    return Layout(inner + 2 * gap, top, font_size, cells)


def _choose_rows(aspects: NDArray[np.float64]) -> list[range]:
    """Divide pictures into rows of about equal width.

    Of all numbers of rows, the best gives a sheet of nearly the wanted shape with rows of nearly one height.
    """
    ideal = math.sqrt(float(aspects.sum()) / _ASPECT)
    counts = range(max(1, int(ideal / 2)), min(len(aspects), math.ceil(2 * ideal)) + 1)
    return min((_divide(aspects, count) for count in counts), key=lambda rows: _deviation(aspects, rows))


def _divide(aspects: NDArray[np.float64], count: int) -> list[range]:
    """Divide pictures into at most ``count`` rows whose widths differ as little as their order allows."""
    ends = np.concatenate([[0.0], np.cumsum(aspects)])
    wanted = ends[-1] * np.arange(1, count) / count
    after = np.searchsorted(ends, wanted)
    cuts = np.where(wanted - ends[after - 1] < ends[after] - wanted, after - 1, after)
    borders = np.unique([0, *cuts, len(aspects)]).tolist()
    return [range(begin, end) for begin, end in itertools.pairwise(borders)]


def _deviation(aspects: NDArray[np.float64], rows: Sequence[range]) -> float:
    """Return how far a sheet is from the wanted shape, and its rows from one height; 0 is best."""
    heights = [1 / float(aspects[row].sum()) for row in rows]
    return math.log(sum(heights) * _ASPECT) ** 2 + math.log(max(heights) / min(heights)) ** 2


def _fitting_width(size: tuple[int, int], cell: Cell) -> int:
    """Return the width at which a picture fills its cell one way, and fits into it the other way."""
    width, height = size
    return min(width, cell.width, max(1, round(width * cell.height / height)))


def _thumbnails(pictures: Iterable[tuple[str, bytes]]) -> tuple[list[str], list[Image.Image], float]:
    """Read all pictures, and return their labels, their thumbnails and the usual height of a cell."""
    labels, thumbnails, heights = [], [], []
    side, pixels = float(_KEPT_SIDE), 0
    for label, data in pictures:
        picture = _read(label, data)
        labels.append(" ".join(label.split()))
        heights.append(picture.height)
        thumbnails.append(_thumbnail(picture, side))
        pixels += thumbnails[-1].width * thumbnails[-1].height
        if pixels > _MAX_THUMBNAIL_PIXELS:
            side /= 2
            thumbnails = [_resize(image, (image.width + 1) // 2) for image in thumbnails]
            pixels = sum(image.width * image.height for image in thumbnails)
    usual = statistics.median(heights) * _SHRINK if heights else 0.0
    return labels, thumbnails, min(max(usual, _MIN_SIDE), _MAX_SIDE)


def _read(label: str, data: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data)) as file:
            return file.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ConfigError(f"the picture {label[:40]!r} of the collage cannot be read: {error}") from error


def _thumbnail(picture: Image.Image, side: float) -> Image.Image:
    """Shrink a picture so that its longer side is at most so long."""
    return _resize(picture, max(1, round(picture.width * min(1.0, side / max(picture.size)))))


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


def _fit_label(
    label: str, width: int, font_size: int
) -> tuple[str, ImageFont.ImageFont | ImageFont.FreeTypeFont]:
    """Return the label and the largest font in which it fits a width; cut a label that is still too long."""
    smallest = max(_MIN_FONT_SIZE, round(_SMALLER_FONT * font_size))
    for size in range(font_size, smallest - 1, -1):
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
    thumbnails = sum(min(side, _KEPT_SIDE) ** 2 for side in sides)
    files = min(sum(3 * side**2 for side in sides), _PREFETCH_BYTES + 3 * max(sides) ** 2)
    return int(5 * max(sides) ** 2 + files + 12 * min(thumbnails, _MAX_THUMBNAIL_PIXELS)) + _BASE_BYTES
