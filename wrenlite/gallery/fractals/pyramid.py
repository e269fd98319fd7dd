"""A picture of any size as tiles, with a page that shows it: a Deep Zoom Image (DZI).

``NAME.dzi`` describes the picture, and ``NAME_files/LEVEL/COLUMN_ROW.jpg`` are its tiles (Microsoft, "Deep
Zoom File Format Overview", 2009). The finest level has all pixels, and each level has half the width and
height of the next, down to one pixel. ``NAME.html`` shows them in a browser, from a folder or a bucket, and
asks for nothing else.

Tasks compute the tiles and write them into the store. A tile of a coarse level is not made from finer tiles,
which would have to be read again: its own points are computed, which takes a third more in all.
"""

from __future__ import annotations

import html
import importlib.resources
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from functools import cached_property, partial
from typing import NamedTuple
from urllib.parse import quote

from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.gallery.fractals import mandelbrot, tiling
from wrenlite.gallery.fractals.colour_range import ColourRange
from wrenlite.gallery.fractals.picture_files import check_picture_name, encoded
from wrenlite.gallery.fractals.poster import Picture, Poster, picture
from wrenlite.gallery.fractals.view import Tile, View
from wrenlite.gallery.preflight import check_memory
from wrenlite.job import Job
from wrenlite.storage.base import Store
from wrenlite.storage.local import LocalStore
from wrenlite.texts import counted

FORMATS = ("jpg", "png", "webp")
TILE, OVERLAP = 510, 1
"""Pixels of a tile without its overlap, and pixels that it shows of each neighbour, so that no seam is seen
where a browser scales tiles."""
_TILES_PER_TASK = 16
_COLOURS_FROM = 9
"""The level from whose counts the colours are chosen: it has up to 512 points each way."""
_MOST_TILES = 2_000_000
_BYTES_PER_POINT = 120
"""A worker holds the points of one tile, their counts and their colours."""
_DESCRIPTOR = """\
<?xml version="1.0" encoding="UTF-8"?>
<Image xmlns="http://schemas.microsoft.com/deepzoom/2008"
  Format="{format}" Overlap="{overlap}" TileSize="{tile}">
  <Size Width="{width}" Height="{height}"/>
</Image>
"""


class Place(NamedTuple):
    """A tile of a pyramid."""

    level: int
    column: int
    row: int


@dataclass(frozen=True)
class Pyramid:
    """A poster as a Deep Zoom Image.

    Raises:
        ConfigError: one of the fields has a value that cannot be used.
    """

    poster: Poster
    name: str = "mandelbrot"
    format: str = "jpg"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", check_picture_name(self.name))
        if self.poster.bits != 8:
            raise ConfigError(f"bits is {self.poster.bits}: the tiles of a pyramid have 8")
        if self.poster.light is not None:
            raise ConfigError("the tiles of a pyramid have no light, lines or trap: leave them out")
        if self.format not in FORMATS:
            raise ConfigError(f"format is {self.format!r:.60}: it must be one of {', '.join(FORMATS)}")
        if self.count > _MOST_TILES:
            raise ConfigError(
                f"{self.width:,} x {self.height:,} pixels would be {counted(self.count, 'tile')}: a pyramid "
                f"has at most {_MOST_TILES:,}. Choose a lower width or height"
            )

    @property
    def width(self) -> int:
        """Pixels of a row of the finest level."""
        return self.poster.view.width

    @property
    def height(self) -> int:
        """Pixels of a column of the finest level."""
        return self.poster.view.height

    @property
    def finest(self) -> int:
        """The number of the finest level; level 0 has one pixel."""
        return (max(self.width, self.height) - 1).bit_length()

    def size(self, level: int) -> tuple[int, int]:
        """Return width and height of a level in pixels."""
        shift = self.finest - level
        return -(-self.width >> shift), -(-self.height >> shift)

    def grid(self, level: int) -> tuple[int, int]:
        """Return the numbers of columns and rows of tiles of a level."""
        width, height = self.size(level)
        return -(-width // TILE), -(-height // TILE)

    @cached_property
    def count(self) -> int:
        """Number of tiles of all levels."""
        return sum(math.prod(self.grid(level)) for level in range(self.finest + 1))

    def places(self) -> list[Place]:
        """Return all tiles, the finest level first, whose tasks are the longest."""
        return [
            Place(level, column, row)
            for level in reversed(range(self.finest + 1))
            for row in range(self.grid(level)[1])
            for column in range(self.grid(level)[0])
        ]

    def key(self, place: Place) -> str:
        """Return where a tile is in the store."""
        return f"{self.name}_files/{place.level}/{place.column}_{place.row}.{self.format}"

    def view(self, level: int) -> View:
        """Return the view of a level in pixels.

        A pixel covers exactly the pixels of the finest level that it stands for. So the last column or row of
        a level may reach beyond the picture.
        """
        view, (width, height) = self.poster.view, self.size(level)
        covered = 1 << (self.finest - level)
        with localcontext(prec=len(Decimal(view.xpos).as_tuple().digits) + 40):
            pixel = Decimal(view.radius) / self.width
            return replace(
                view,
                xpos=Decimal(view.xpos) + pixel * (width * covered - self.width) / 2,
                ypos=Decimal(view.ypos) - pixel * (height * covered - self.height) / 2,
                radius=pixel * width * covered,
                width=width,
                height=height,
            )

    def tile(self, place: Place, colours: ColourRange) -> Picture:
        """Return the picture of a tile.

        Args:
            place: which tile.
            colours: which counts have which colours: ``colours_of``.
        """
        poster = replace(self.poster, view=self.view(place.level))
        each, sampled = poster.smoothness, poster.sampled
        left, right = _span(place.column, poster.view.width)
        top, bottom = _span(place.row, poster.view.height)
        points = Tile(
            sampled,
            left * each,
            top * each,
            (right - left) * each,
            (bottom - top) * each,
            "plain" if sampled.deep or sampled.kind != "mandelbrot" else "mariani",
        )
        return picture(mandelbrot.counts(points), poster, colours)

    @property
    def descriptor(self) -> str:
        """The text of the file ``NAME.dzi``."""
        return _DESCRIPTOR.format(
            format=self.format, overlap=OVERLAP, tile=TILE, width=self.width, height=self.height
        )

    @property
    def page(self) -> str:
        """The text of the file ``NAME.html``."""
        picture = {
            "width": self.width,
            "height": self.height,
            "tile": TILE,
            "overlap": OVERLAP,
            "format": self.format,
            "files": quote(f"{self.name}_files"),
        }
        template = importlib.resources.files(__package__).joinpath("viewer.html").read_text("utf-8")
        data = json.dumps(picture).replace("<", "\\u003c")
        texts = {"TITLE": html.escape(self.name), "PICTURE": data}
        return re.sub("|".join(texts), lambda found: texts[found[0]], template)


def _span(number: int, length: int) -> tuple[int, int]:
    """Return where a column or row of tiles begins and ends in a level, with the overlap."""
    return max(0, number * TILE - OVERLAP), min(length, (number + 1) * TILE + OVERLAP)


def start_pyramid(executor: Executor, pyramid: Pyramid, store: Store) -> Job[int]:
    """Compute the tiles of a pyramid on the workers, which write them into a store.

    Args:
        executor: the executor that runs the tasks.
        pyramid: the pyramid.
        store: where it is written. The workers must be able to write there.

    Returns:
        The job; the value of a task is the number of bytes that it wrote. When it has ended, ``finish``
        writes the two files that show the tiles.

    Raises:
        ConfigError: the workers cannot write there, or have too little memory.
    """
    if isinstance(store, LocalStore) and executor.backend.prices:
        raise ConfigError(
            f"workers on {executor.backend.name} cannot write to a folder of this machine: give a bucket, "
            "s3://BUCKET/PREFIX"
        )
    points = ((TILE + 2 * OVERLAP) * pyramid.poster.smoothness) ** 2
    check_memory(executor.backend, points * _BYTES_PER_POINT, f"a tile of {points:,} points")
    (colours,) = executor.map(colours_of, [pyramid], progress=False).results()
    places = pyramid.places()
    tasks = [places[begin : begin + _TILES_PER_TASK] for begin in range(0, len(places), _TILES_PER_TASK)]
    return executor.map(partial(write_tiles, pyramid, store, colours), tasks, chunksize=1)


def colours_of(pyramid: Pyramid) -> ColourRange:
    """Choose the colours of a pyramid from a level that is small."""
    view = pyramid.view(min(pyramid.finest, _COLOURS_FROM))
    pieces = tiling.plan(view, 1)
    return ColourRange.of(tiling.assemble(view, pieces, map(mandelbrot.render, pieces)))


def write_tiles(pyramid: Pyramid, store: Store, colours: ColourRange, places: Sequence[Place]) -> int:
    """Write some tiles of a pyramid into a store, and return their number of bytes."""
    total = 0
    for place in places:
        data = encoded(pyramid.tile(place, colours), f".{pyramid.format}")
        store.put(pyramid.key(place), data)
        total += len(data)
    return total


def finish(pyramid: Pyramid, store: Store) -> list[str]:
    """Write the descriptor and the page of a pyramid, and return their names."""
    names = [f"{pyramid.name}.dzi", f"{pyramid.name}.html"]
    for name, text in zip(names, (pyramid.descriptor, pyramid.page), strict=True):
        store.put(name, text.encode())
    return names
