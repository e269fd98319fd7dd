"""Blocks of TIFF files on a disk, decoded without GDAL, into arrays that are bit-identical with GDAL's.

GDAL reads every kind of file; this module only the one that archives such as Landsat's consist of: one band
of uint16 in deflated tiles, with or without horizontal differencing. GDAL says how such a file is made and
where its blocks are. Reading them here takes less of the processor's time: no block passes through GDAL's
cache, differences are added up in half the time, and a small block that occurred before, such as one without
data, is not decoded again.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from wrenlite.gallery.ndvi.bands import Place
from wrenlite.gallery.ndvi.grid import Window
from wrenlite.gallery.ndvi.indices import STRIP_PIXELS, DigitalNumbers

_deflate: Any
try:
    _deflate = importlib.import_module("deflate")
except ImportError:  # GDAL then reads everything
    _deflate = None

_LITTLE_ENDIAN = b"II"
_PIXELS = range(2**12, 2**20 + 1)
"""Sizes of blocks for which this is worthwhile: not many small ones, nor ones that exceed the cache."""
_SMALL_BYTES = 1024
"""Size of an encoded block up to which it is worthwhile to look for it among those decoded before."""
_OLDEST_GDAL = 3, 9
"""An older release of GDAL may not tell about the differencing (predictor) of a file."""


class UnreadableBlock(Exception):
    """A block is missing or damaged. GDAL decides whether that is an error, and which."""


class BlockFile:
    """A file whose blocks can be decoded here. It is open until it is closed."""

    def __init__(self, path: str, dataset: Any, predictor: int) -> None:
        """Open a file for which ``open_blocks`` found that its blocks can be decoded.

        Args:
            path: path of the file.
            dataset: the same file, opened by rasterio.
            predictor: TIFF's number of the differencing: 1 is none, 2 is horizontal.
        """
        self.shape: tuple[int, int] = dataset.block_shapes[0]
        self._dataset = dataset
        self._predictor = predictor
        self._places: dict[tuple[int, int], tuple[int, int]] = {}
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the file, but not the dataset."""
        os.close(self._descriptor)

    def decode(self, row: int, column: int) -> DigitalNumbers:
        """Return the pixels of a whole block; the array cannot be written to.

        Args:
            row: number of the block from the upper edge.
            column: number of the block from the left edge.

        Raises:
            UnreadableBlock: the block is missing or damaged.
        """
        offset, size = self._place(row, column)
        try:
            encoded = os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise UnreadableBlock(str(error)) from error
        decode = _decode_small if size <= _SMALL_BYTES else _decode
        return decode(encoded, self.shape, self._predictor)

    def _place(self, row: int, column: int) -> tuple[int, int]:
        """Return the offset of a block in the file, and its size."""
        place = self._places.get((row, column))
        if place is None:
            offset, size = (
                self._dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=1)
                for what in ("OFFSET", "SIZE")
            )
            if not offset or not size or int(size) > 4 * self.shape[0] * self.shape[1]:
                raise UnreadableBlock("the file does not contain the block, or its size is wrong")
            place = self._places[row, column] = int(offset), int(size)
        return place


def _decode(encoded: bytes, shape: tuple[int, int], predictor: int) -> DigitalNumbers:
    size = 2 * shape[0] * shape[1]
    try:
        decoded = _deflate.zlib_decompress(encoded, size)
    except _deflate.DeflateError as error:
        raise UnreadableBlock(str(error)) from error
    if len(decoded) != size:
        raise UnreadableBlock(f"the block has {len(decoded)} bytes, not {size}")
    block: DigitalNumbers = np.frombuffer(decoded, np.uint16).reshape(shape)
    if predictor == 2:
        block = _sum_rows(block)
    block.flags.writeable = False  # others may be given the same array
    return block


def _sum_rows(differences: DigitalNumbers) -> DigitalNumbers:
    """Return the sums of all differences up to each pixel of its row, which wrap around; the input is lost.

    Sums of up to 1, 2, 4, ... pixels are made for the whole block at once, which takes half the time of
    ``np.add.accumulate``: that adds one pixel after the other.
    """
    sums, other = differences, np.empty_like(differences)
    length, width = 1, differences.shape[1]
    while length < width:
        np.add(sums.ravel()[length:], sums.ravel()[:-length], out=other.ravel()[length:])
        other[:, :length] = sums[:, :length]  # the row above ends before these
        sums, other = other, sums
        length *= 2
    return sums


_decode_small = lru_cache(maxsize=16)(_decode)


def open_blocks(path: str, dataset: Any, gdal_version: str) -> BlockFile | None:
    """Open a file for decoding here, or return None where GDAL has to decode it.

    Args:
        path: path of the file.
        dataset: the same file, opened by rasterio.
        gdal_version: GDAL's version.
    """
    version = tuple(map(int, gdal_version.split(".")[:2]))
    if _deflate is None or version < _OLDEST_GDAL or sys.byteorder != "little":
        return None
    structure = dataset.tags(ns="IMAGE_STRUCTURE") | dataset.tags(1, ns="IMAGE_STRUCTURE")
    height, width = dataset.block_shapes[0]
    fits = (
        dataset.driver == "GTiff"
        and dataset.dtypes == ("uint16",)
        and structure.get("COMPRESSION") == "DEFLATE"
        and structure.get("NBITS", "16") == "16"
        and structure.get("PREDICTOR", "1") in ("1", "2")
        and height * width in _PIXELS
        and _begins_little_endian(path)
    )
    return BlockFile(path, dataset, int(structure.get("PREDICTOR", "1"))) if fits else None


def _begins_little_endian(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == _LITTLE_ENDIAN
    except OSError:
        return False


def read_parts(
    files: Mapping[str, BlockFile], window: Window, otherwise: Callable[[str, Window], DigitalNumbers]
) -> Iterator[tuple[Place, dict[str, DigitalNumbers]]]:
    """Yield the parts of a window that single blocks cover, in all bands; see ``bands.Parts``.

    Args:
        files: the files of the bands, by name; the blocks of all have the same shape.
        window: a window within the raster.
        otherwise: reads a part of a band whose block cannot be decoded here.
    """
    height, width = next(iter(files.values())).shape
    across = max(1, STRIP_PIXELS // (height * width))
    room = {name: np.empty(height * width * across, np.uint16) for name in files}
    columns = _blocks(window.column, window.width, width)
    for row, rows, within_rows in _blocks(window.row, window.height, height):
        for first in range(0, len(columns), across):
            part = columns[first : first + across]
            left, right = part[0][1].start, part[-1][1].stop
            shape = rows.stop - rows.start, right - left
            values = {name: array[: math.prod(shape)].reshape(shape) for name, array in room.items()}
            for column, place, within in part:
                for name, file in files.items():
                    target = values[name][:, place.start - left : place.stop - left]
                    try:
                        target[...] = file.decode(row, column)[within_rows, within]
                    except UnreadableBlock:
                        target[...] = otherwise(name, _part_of(window, rows, place))
            yield (rows, slice(left, right)), values


def _blocks(start: int, length: int, side: int) -> list[tuple[int, slice, slice]]:
    """Return the blocks that a window meets along one axis: their numbers, and the pixels that both share.

    Args:
        start: the window's first pixel.
        length: number of the window's pixels.
        side: number of a block's pixels.

    Returns:
        The number of each block, and the shared pixels counted from the window's and from the block's first.
    """
    found = []
    for number in range(start // side, -(-(start + length) // side)):
        first, last = max(number * side, start), min((number + 1) * side, start + length)
        found.append(
            (number, slice(first - start, last - start), slice(first - number * side, last - number * side))
        )
    return found


def _part_of(window: Window, rows: slice, columns: slice) -> Window:
    """Return the window of a part of a window."""
    return Window(
        column=window.column + columns.start,
        row=window.row + rows.start,
        width=columns.stop - columns.start,
        height=rows.stop - rows.start,
    )
