"""PNG files with 16 bits per colour, which Pillow cannot write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRUE_COLOUR = 2
_UP = 2
"""The filter of each row: bytes are stored as differences from the row above (PNG specification, 9.2)."""
_STRIP_ROWS = 64


def png16(pixels: NDArray[np.uint16], texts: Mapping[str, str]) -> bytes:
    """Return a picture as a PNG file with 16 bits per colour.

    Args:
        pixels: sRGB values, 0 to 65,535, shape (height, width, 3).
        texts: texts of the file by their keywords; Latin-1, not compressed.
    """
    height, width, _ = pixels.shape
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _TRUE_COLOUR, 0, 0, 0))]
    chunks += [_chunk(b"tEXt", f"{keyword}\0{text}".encode("latin-1")) for keyword, text in texts.items()]
    chunks += [_chunk(b"IDAT", part) for part in _compressed(pixels) if part]
    return b"".join([_SIGNATURE, *chunks, _chunk(b"IEND", b"")])


def _compressed(pixels: NDArray[np.uint16]) -> Iterator[bytes]:
    """Yield the compressed pixels in parts, since a chunk has less than 2 GB."""
    height, width, _ = pixels.shape
    compressor = zlib.compressobj()
    above = np.zeros((1, 6 * width), np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        rows = pixels[top : top + _STRIP_ROWS].astype(">u2").view(np.uint8).reshape(-1, 6 * width)
        filtered = np.empty((len(rows), 1 + 6 * width), np.uint8)
        filtered[:, 0] = _UP
        np.subtract(rows, np.concatenate([above, rows[:-1]]), out=filtered[:, 1:])  # modulo 256, as specified
        above = rows[-1:]
        yield compressor.compress(filtered.tobytes())
    yield compressor.flush()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
