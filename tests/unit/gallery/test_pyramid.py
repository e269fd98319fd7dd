"""Pyramids: which tiles there are, that they fit together, and the files that describe them."""

import io
from decimal import Decimal
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import wrenlite
from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.mandelbrot import counts
from wrenlite.gallery.fractals.poster import Poster, picture
from wrenlite.gallery.fractals.pyramid import Place, Pyramid, colours_of, finish, start_pyramid
from wrenlite.gallery.fractals.view import Tile, View

POSTER = Poster(View("-0.75", "0.1", "0.5", 1101, 701, 60), palette="Wren", smoothness=1)
SMALL = Pyramid(POSTER, "valley", "png")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = wrenlite.open_store(tmp_path_factory.mktemp("pyramid"))
    with wrenlite.Executor.inline() as executor:
        job = start_pyramid(executor, SMALL, made)
        assert sum(job.results()) == sum(entry.size for entry in made.list(""))
        finish(SMALL, made)
    return made


def tile(store, level, column, row):
    return np.asarray(Image.open(io.BytesIO(store.get(SMALL.key(Place(level, column, row))))))


def level(store, number):
    """Return a whole level, put together from the parts of the tiles that do not overlap."""
    columns, rows = SMALL.grid(number)
    return np.concatenate(
        [
            np.concatenate(
                [
                    tile(store, number, column, row)[row > 0 :, column > 0 :][:510, :510]
                    for column in range(columns)
                ],
                axis=1,
            )
            for row in range(rows)
        ]
    )


def test_the_levels_halve_the_picture_down_to_one_pixel():
    sizes = [SMALL.size(number) for number in range(SMALL.finest + 1)]
    assert sizes[0] == (1, 1)
    assert sizes[-3:] == [(276, 176), (551, 351), (1101, 701)]
    assert SMALL.grid(SMALL.finest) == (3, 2)
    assert SMALL.count == len(SMALL.places()) == len(set(SMALL.places())) == 6 + 2 + 10
    assert Pyramid(Poster(View(0, 0, 4, 512, 1, 9))).finest == 9
    assert Pyramid(Poster(View(0, 0, 4, 1, 1, 9))).places() == [(0, 0, 0)]


def test_the_finest_tiles_are_the_picture(store):
    whole = counts(Tile(POSTER.view, 0, 0, 1101, 701))
    direct = np.asarray(picture(whole, POSTER, colours_of(SMALL)))
    joined = level(store, SMALL.finest)
    assert joined.shape == direct.shape
    # Tiles are filled where their own lattice is inside: a filament may be missed in one and not in another.
    assert (joined != direct).any(axis=-1).mean() < 1e-4


def test_neighbours_agree_where_they_overlap(store):
    left, right, below = (tile(store, SMALL.finest, *place) for place in ((0, 0), (1, 0), (0, 1)))
    assert (left.shape, right.shape, below.shape) == ((511, 511, 3), (511, 512, 3), (192, 511, 3))
    assert np.array_equal(left[:, -2:], right[:, :2])
    assert np.array_equal(left[-2:], below[:2])


def test_a_coarser_level_shows_the_same_place(store):
    fine, coarse = level(store, SMALL.finest).astype(float), level(store, SMALL.finest - 1).astype(float)
    means = fine[:700, :1100].reshape(350, 2, 550, 2, 3).mean((1, 3))
    there, beside = np.abs(means - coarse[:350, :550]), np.abs(means[:, 1:] - coarse[:350, :549])
    assert np.median(there) < 1  # one of 255
    assert there.mean() < 0.7 * beside.mean()  # one point for each pixel, so that filaments differ


def test_a_pyramid_is_described_as_a_deep_zoom_image(store):
    described = ElementTree.fromstring(store.get("valley.dzi"))
    assert described.tag == "{http://schemas.microsoft.com/deepzoom/2008}Image"
    assert described.attrib == {"Format": "png", "Overlap": "1", "TileSize": "510"}
    assert described[0].attrib == {"Width": "1101", "Height": "701"}
    keys = {entry.key for entry in store.list("")}
    assert keys == {SMALL.key(place) for place in SMALL.places()} | {"valley.dzi", "valley.html"}


def test_the_page_has_all_that_it_needs_and_names_are_quoted():
    page = Pyramid(POSTER, "<b>\"'&").page
    assert "<title>&lt;b&gt;&quot;&#x27;&amp;</title>" in page
    assert "<b>" not in page
    assert "http" not in page


def test_a_name_is_only_a_name_whatever_it_contains():
    page = Pyramid(POSTER, "50% #1 PICTURE: é").page
    assert "<title>50% #1 PICTURE: é</title>" in page
    assert '"files": "50%25%20%231%20PICTURE%3A%20%C3%A9_files"' in page  # the page asks for this address


def test_a_deep_picture_keeps_the_digits_of_its_place():
    digits = "0.1234567890123456789012345678901234567890"
    deep = Pyramid(Poster(View(digits, "0.5", "1e-30", 3000, 2000, 99)))
    assert deep.view(deep.finest).xpos == Decimal(digits)
    assert abs(float(deep.view(3).radius) / 1e-30 - 3072 / 3000) < 1e-12


def test_what_cannot_be_a_pyramid_is_refused():
    for words, wanted in {
        "name is '../x'": {"name": "../x"},
        "name is '': it is the name of a file": {"name": " "},
        "it has 210 bytes, and may have 200": {"name": 70 * "€"},
        "format is 'tif'": {"format": "tif"},
    }.items():
        with pytest.raises(ConfigError, match=words):
            Pyramid(POSTER, **wanted)
    with pytest.raises(ConfigError, match="at most 2,000,000"):
        Pyramid(Poster(View(0, 0, 4, 10**7, 10**6, 9)))
