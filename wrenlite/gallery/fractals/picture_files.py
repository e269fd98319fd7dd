"""Files of pictures: each contains the options and the version of wrenlite that make it again.

PNG files have them as a text, WebP and JPEG files in their EXIF data.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile, PngInfo
from PIL.WebPImagePlugin import WebPImageFile

from wrenlite import __version__
from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.png16 import png16
from wrenlite.gallery.fractals.poster import Picture, Poster, PosterOptions
from wrenlite.gallery.fractals.view import Seed
from wrenlite.gallery.preflight import check_file
from wrenlite.storage.base import wrong_key
from wrenlite.storage.local import LocalStore

FORMATS = {".png": 2**31 - 1, ".webp": 16_383, ".jpg": 65_500, ".jpeg": 65_500}
"""File name extensions, and the largest side in pixels that each format allows."""
MOST_TASKS = 4096
_LONGEST_NAME = 200
"""Bytes of a name, in UTF-8: most systems allow 255, and a number and an extension follow."""
_KEYWORD = "wrenlite"
_DESCRIPTION, _SOFTWARE = 0x010E, 0x0131
"""Numbers of the EXIF fields ImageDescription and Software."""
_OPTIONS = {
    option.name: str if option.default is None else type(option.default) for option in fields(PosterOptions)
} | {"tasks": int}
"""Options of ``wrenlite demo mandelbrot`` that a file contains, and their types. Another number of tasks cuts
the picture into other tiles, which may differ in single points near filaments."""


def options_of(poster: Poster, tasks: int) -> dict[str, Any]:
    """Return the options that make a poster.

    Args:
        poster: the poster.
        tasks: number of tasks that it was cut into.
    """
    view = poster.view
    place = {"xpos": str(view.xpos), "ypos": str(view.ypos), "radius": str(view.radius)}
    julia = {} if view.seed is None else {"julia": ",".join(map(str, cast("Seed", view.seed)))}
    numbers = {"iters": view.iters, "width": view.width, "height": view.height, "tasks": tasks}
    colours = {"palette": poster.palette, "step": poster.step}
    sampling = {"smoothness": poster.smoothness, "bits": poster.bits}
    light = {} if poster.light is None else poster.light.options()
    return place | julia | {"kind": view.kind} | numbers | colours | sampling | light


def read_options(path: Path) -> dict[str, Any]:
    """Return the options that made a picture.

    Raises:
        ConfigError: the file cannot be read, no version of wrenlite made it, or a newer one did.
    """
    from packaging.version import Version  # Lambda has not got it, and only draws pictures

    text = _read_text(path)
    if text is None:
        raise ConfigError(
            f"{path} does not say how it was made: it is not a picture of wrenlite demo mandelbrot, or "
            "another program has saved it"
        )
    damaged = ConfigError(f"{path} has damaged data about how it was made: give its options one by one")
    try:
        made = json.loads(text)
        version, options = Version(made["version"]), dict(made["options"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise damaged from None
    if version > Version(__version__):
        raise ConfigError(
            f"{path} was made by wrenlite {version}, and this is {__version__}, which may draw it "
            "differently: update wrenlite"
        )
    wrong = [name for name, value in options.items() if type(value) is not _OPTIONS.get(name)]
    if wrong or not 1 <= options.get("tasks", 1) <= MOST_TASKS:
        raise damaged
    return options


def _read_text(path: Path) -> str | None:
    """Return the text about how a picture was made; None if it has none."""
    try:
        data = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    # Image.open refuses pictures of more than 179 million pixels; here no pixel is decoded.
    for kind in (PngImageFile, WebPImageFile, JpegImageFile):
        data.seek(0)
        try:
            picture = kind(data)
        except (SyntaxError, OSError, ValueError):
            continue
        text = picture.info.get(_KEYWORD) if kind is PngImageFile else picture.getexif().get(_DESCRIPTION)
        return text if isinstance(text, str) else None
    raise ConfigError(f"{path} is not a PNG, WebP or JPEG file")


def check_picture_name(name: str) -> str:
    """Return the name of a picture, without blanks around it, if files can be named after it.

    Raises:
        ConfigError: no file can have such a name.
    """
    name = name.strip()
    wrong = "it is the name of a file, without a folder" if "/" in name or not name else wrong_key(name)
    if not wrong and len(name.encode()) > _LONGEST_NAME:
        wrong = f"it has {len(name.encode()):,} bytes, and may have {_LONGEST_NAME}"
    if wrong:
        raise ConfigError(f"name is {name!r:.60}: {wrong}")
    return name


def check_outfile(path: Path, width: int, height: int, bits: int = 8) -> None:
    """Refuse a file that could not be written, before any work is done.

    Args:
        path: the file.
        width: pixels of the picture.
        height: pixels of the picture.
        bits: of each pixel's red, green and blue.

    Raises:
        ConfigError: the extension is not one of ``FORMATS``, or the picture is too large for the format, or
            has too many bits for it.
        StoreError: there is no such folder, or it cannot be written to.
    """
    extension = path.suffix.lower()
    max_side = FORMATS.get(extension)
    if max_side is None:
        raise ConfigError(f"{path} must end in {', '.join(FORMATS)}, after a name")
    if max(width, height) > max_side:
        raise ConfigError(
            f"{path}: a {extension} file has at most {max_side:,} pixels a side; .png allows more"
        )
    if bits == 16 and extension != ".png":
        raise ConfigError(f"{path}: a {extension} file has 8 bits per colour; .png has 16")
    check_file(path)


def save(picture: Picture, path: Path, options: Mapping[str, Any] | None = None) -> None:
    """Write a picture to a file, completely or not at all.

    Args:
        picture: the picture.
        path: the file.
        options: the options that made it, which the file is to contain: ``options_of``.

    Raises:
        StoreError: the file cannot be written.
    """
    LocalStore(path.parent).put(path.name, encoded(picture, path.suffix, options))


def encoded(picture: Picture, extension: str, options: Mapping[str, Any] | None = None) -> bytes:
    """Return a picture as a file.

    Args:
        picture: the picture.
        extension: of the file's name: one of ``FORMATS``.
        options: the options that made it, which the file is to contain.
    """
    texts = {} if options is None else _texts(options)
    if isinstance(picture, np.ndarray):
        return png16(picture, texts)
    file, extension = io.BytesIO(), extension.lower()
    more: dict[str, Any] = {"pnginfo": _png_info(texts)} if extension == ".png" else {"exif": _exif(texts)}
    picture.save(file, Image.registered_extensions()[extension], quality=90, **more)
    return file.getvalue()


def _texts(options: Mapping[str, Any]) -> dict[str, str]:
    made = {"version": __version__, "command": "wrenlite demo mandelbrot", "options": dict(options)}
    return {"Software": f"wrenlite {__version__}", _KEYWORD: json.dumps(made)}


def _png_info(texts: Mapping[str, str]) -> PngInfo:
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    return info


def _exif(texts: Mapping[str, str]) -> Image.Exif:
    exif = Image.Exif()
    if texts:
        exif[_SOFTWARE], exif[_DESCRIPTION] = texts["Software"], texts[_KEYWORD]
    return exif
