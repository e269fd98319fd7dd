"""Writing frames to a video that every browser plays: H.264 in MP4, or VP9 in WebM."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wrenlite.errors import ConfigError, PackageMissing, StoreError
from wrenlite.gallery.preflight import check_file
from wrenlite.storage.local import LocalStore

try:
    import av
except ImportError as error:
    raise PackageMissing(f"a video needs {error.name}: pip install 'wrenlite[video]'") from error

_MOST_BITS_PER_S, _MOST_BITS_AT = 7_200_000, 1920 * 1080
"""The highest rate, and for how many pixels: 18 MB for 20 seconds of 1920 x 1080. Most videos need less,
since they are encoded with a quality that is good enough. Small frames have more detail per pixel, so that
the rate falls more slowly than their pixels: with the power 3/4."""
_BT709, _SRGB, _LIMITED = 1, 13, 1
"""Codes of ITU-T H.273 for the primaries and matrix of BT.709, the transfer function of sRGB, and, as FFmpeg
counts, for luma of 16 to 235."""
_FULL = 2


class _Format(NamedTuple):
    codec: str
    codec_options: dict[str, str]
    file_options: dict[str, str]


FORMATS = {
    ".mp4": _Format("libx264", {"crf": "20", "preset": "medium", "aq-mode": "3"}, {"movflags": "+faststart"}),
    ".webm": _Format("libvpx-vp9", {"crf": "30", "deadline": "good", "cpu-used": "4", "row-mt": "1"}, {}),
}
"""How each extension of a file's name is encoded. ``faststart`` puts the index first, so that a browser plays
a video while it is loading; ``aq-mode`` 3 spends more on dark areas, where bands would be seen."""


def check_video_file(path: Path, width: int, height: int) -> None:
    """Refuse a video that could not be written, before any work is done.

    Args:
        path: the file.
        width: pixels of a frame.
        height: pixels of a frame.

    Raises:
        ConfigError: the extension is not one of ``FORMATS``, or a side of the frames is odd.
        StoreError: there is no such folder, or it cannot be written to.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path} must end in {' or '.join(FORMATS)}")
    if width % 2 or height % 2:
        raise ConfigError(
            f"the frames are {width} x {height} pixels: both must be even, since a video has one value of "
            "colour for each 2 x 2 pixels"
        )
    check_file(path)


def write_video(frames: Iterable[NDArray[np.uint8]], path: Path, size: tuple[int, int], fps: int) -> int:
    """Write frames to a file, completely or not at all.

    Args:
        frames: bytes of each frame, shape (height, width, 3).
        path: the file.
        size: width and height.
        fps: frames per second.

    Returns:
        The size of the file in bytes.

    Raises:
        StoreError: the file cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="wrenlite-video-") as folder:
            draft = Path(folder, f"video{path.suffix.lower()}")
            _encode(frames, draft, size, fps)
            data = draft.read_bytes()
    except (OSError, av.error.FFmpegError) as error:
        raise StoreError(
            f"cannot encode {path} in a temporary folder: {error.strerror or error}. TMPDIR chooses another "
            "disk"
        ) from error
    LocalStore(path.parent).put(path.name, data)
    return len(data)


def _encode(frames: Iterable[NDArray[np.uint8]], path: Path, size: tuple[int, int], fps: int) -> None:
    wanted = FORMATS[path.suffix]
    with av.open(str(path), "w", options=wanted.file_options) as file:
        stream = file.add_stream(wanted.codec, rate=fps, options=_rate(size) | wanted.codec_options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.color_primaries = context.colorspace = _BT709
        context.color_trc, context.color_range = _SRGB, _LIMITED
        context.gop_size = 2 * fps  # a viewer who jumps to a place waits for at most two seconds of frames
        for rgb in frames:
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
                format="yuv420p",
                dst_colorspace=_BT709,
                src_color_range=_FULL,
                dst_color_range=_LIMITED,
            )
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def _rate(size: tuple[int, int]) -> dict[str, str]:
    """Return the options that keep the rate below the largest one."""
    bits_per_s = round(_MOST_BITS_PER_S * (size[0] * size[1] / _MOST_BITS_AT) ** 0.75)
    return {"b": str(bits_per_s), "maxrate": str(bits_per_s), "bufsize": str(2 * bits_per_s)}
