"""Files of pictures: what is in them makes the same file again; 16 bits; what is refused."""

import io
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from wrenlite import __version__
from wrenlite.errors import ConfigError, StoreError
from wrenlite.gallery.fractals.colours import linear, srgb
from wrenlite.gallery.fractals.picture_files import check_outfile, encoded, options_of, read_options
from wrenlite.gallery.fractals.png16 import png16
from wrenlite.gallery.fractals.poster import Poster, PosterOptions, picture
from wrenlite.gallery.fractals.video import field_of
from wrenlite.gallery.fractals.view import View

POSTER = Poster(View("-0.74650000000000000000000000001", "0.1079", "0.0082", 64, 36, 200), palette="Wren")
JULIA = Poster(View("0", "0", "3.2", 48, 36, 80, seed=complex(-0.8, -0.0)), palette="Vivid", smoothness=1)
SHIP = Poster(View("-1.7572", "0.03", "0.115", 48, 36, 80, kind="burning-ship"), step=40)
NEWTON = Poster(View("0", "0", "3.2", 48, 36, 80, kind="newton"), smoothness=3, palette="Fiesta")
DEEP = replace(POSTER, bits=16)


def remade(options):
    """Return the poster that options make, as the command does."""
    return PosterOptions(**{name: value for name, value in options.items() if name != "tasks"}).poster()


@pytest.mark.parametrize("extension", [".png", ".webp", ".jpg", ".jpeg", ".PNG"])
@pytest.mark.parametrize(
    "poster", [POSTER, JULIA, SHIP, NEWTON], ids=["mandelbrot", "julia", "ship", "newton"]
)
def test_a_file_says_how_it_is_made_again_to_the_byte(tmp_path, poster, extension):
    file = tmp_path / f"picture{extension}"
    file.write_bytes(encoded(picture(field_of(poster.sampled), poster), extension, options_of(poster, 7)))
    options = read_options(file)
    assert options["tasks"] == 7
    again = remade(options)
    assert again == poster
    data = encoded(picture(field_of(again.sampled), again), extension, options_of(again, options["tasks"]))
    assert data == file.read_bytes()


def test_other_programs_show_what_made_a_picture(tmp_path):
    made = picture(field_of(JULIA.sampled), JULIA)
    for extension in (".png", ".webp", ".jpg"):
        (tmp_path / f"a{extension}").write_bytes(encoded(made, extension, options_of(JULIA, 1)))
    with Image.open(tmp_path / "a.png") as png:
        assert png.text["Software"] == f"wrenlite {__version__}"
        assert json.loads(png.text["wrenlite"])["options"]["julia"] == "-0.8,-0.0"
    for extension in (".webp", ".jpg"):
        with Image.open(tmp_path / f"a{extension}") as shown:
            assert shown.getexif()[0x0131] == f"wrenlite {__version__}"


def test_16_bits_have_more_colours_than_8_and_the_same_ones(tmp_path):
    field = field_of(POSTER.sampled)
    fine, coarse = picture(field, DEEP), np.asarray(picture(field, POSTER))
    assert (fine.dtype, fine.shape) == (np.uint16, coarse.shape)
    assert (
        np.abs(fine / 257 - coarse).max() <= 1.01
    )  # 257 of 65,535 for each of 255; colours of points are rounded
    assert len(np.unique(fine)) > 5 * len(np.unique(coarse))
    file = tmp_path / "deep.png"
    file.write_bytes(encoded(fine, ".png", options_of(DEEP, 3)))
    with av.open(str(file)) as opened:
        (shown,) = opened.decode(video=0)
    assert shown.format.name == "rgb48be"
    assert np.array_equal(shown.to_ndarray(format="rgb48le"), fine)
    assert remade(read_options(file)) == DEEP


def test_roots_have_16_bits_too():
    field = field_of(NEWTON.sampled)
    fine, coarse = picture(field, replace(NEWTON, bits=16)), np.asarray(picture(field, NEWTON))
    assert np.abs(fine / 257 - coarse).max() <= 1.01


def test_every_value_survives_a_file_of_16_bits():
    pixels = np.random.default_rng(1).integers(0, 65536, (131, 77, 3), np.uint16)
    with av.open(io.BytesIO(png16(pixels, {}))) as opened:
        (shown,) = opened.decode(video=0)
    assert np.array_equal(shown.to_ndarray(format="rgb48le"), pixels)
    with Image.open(io.BytesIO(png16(pixels, {"Comment": "é"}))) as opened:
        assert opened.text == {"Comment": "é"}
        assert opened.size == (77, 131)


def test_a_mean_of_16_bits_is_one_of_light():
    field = np.where(np.indices((2, 2)).sum(axis=0) % 2, np.inf, 20.0).astype(np.float32)
    one = replace(DEEP, view=replace(POSTER.view, width=1, height=1))
    (mean,) = picture(field, one)[0]
    all_outside = picture(np.full((2, 2), 20.0, np.float32), one)[0, 0]
    assert np.abs(mean - 65535 * srgb(linear(all_outside / 65535) / 2)).max() <= 1


def written(folder, made):
    """Return a small PNG with a text, as another program might write it."""
    info = PngInfo()
    info.add_text("wrenlite", made if isinstance(made, str) else json.dumps(made))
    file = Path(folder, "other.png")
    Image.new("RGB", (2, 2)).save(file, pnginfo=info)
    return file


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"version": "999.0", "options": {}}, "was made by wrenlite 999.0, and this is"),
        ("{", "damaged"),
        ("[]", "damaged"),
        (100_000 * "[", "damaged"),
        ({"version": "0.0.1"}, "damaged"),
        ({"version": "soon", "options": {}}, "damaged"),
        ({"version": 1, "options": {}}, "damaged"),
        ({"version": "0.0.1", "options": {"out": "/etc/passwd"}}, "damaged"),
        ({"version": "0.0.1", "options": {"width": "12"}}, "damaged"),
        ({"version": "0.0.1", "options": {"width": True}}, "damaged"),
        ({"version": "0.0.1", "options": {"tasks": 10**9}}, "damaged"),
        ({"version": "0.0.1", "options": [["width", 3, 4]]}, "damaged"),
    ],
)
def test_what_cannot_be_made_again_is_refused(tmp_path, made, words):
    with pytest.raises(ConfigError, match=words):
        read_options(written(tmp_path, made))


def test_files_that_say_nothing_are_refused(tmp_path):
    for extension in ("png", "webp", "jpg"):
        Image.new("RGB", (2, 2)).save(tmp_path / f"plain.{extension}")
        with pytest.raises(ConfigError, match="does not say how it was made"):
            read_options(tmp_path / f"plain.{extension}")
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    for name in ("text.png", "empty.png"):
        with pytest.raises(ConfigError, match="is not a PNG, WebP or JPEG file"):
            read_options(tmp_path / name)
    for path in (tmp_path / "missing.png", tmp_path):
        with pytest.raises(ConfigError, match="cannot read"):
            read_options(path)


@pytest.mark.parametrize("name", [300 * "x", "\udcff", "a\nb", ".put-a"])
def test_a_name_that_no_file_can_have_is_refused_before_anything_runs(tmp_path, name):
    with pytest.raises(StoreError, match="the name of the file is wrong"):
        check_outfile(tmp_path / f"{name}.png", 64, 36)


def test_only_png_has_16_bits(tmp_path):
    check_outfile(tmp_path / "a.png", 64, 36, 16)
    with pytest.raises(ConfigError, match="has 8 bits per colour"):
        check_outfile(tmp_path / "a.webp", 64, 36, 16)
    with pytest.raises(ConfigError, match="bits is 12: it must be 8 or 16"):
        replace(POSTER, bits=12)
