import io
import itertools
import random

import numpy as np
import pytest
from PIL import Image

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals import collage as module
from wrenlite.gallery.fractals.collage import arrange, collage
from wrenlite.gallery.fractals.curve_drawing import draw
from wrenlite.gallery.fractals.lsystems import Fractal

SQUARE = (640, 640)


def picture_file(width, height, colour=(200, 40, 90)):
    """Return a picture of one colour as PNG."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def decode(data):
    """Return the pixels of a PNG."""
    return np.asarray(Image.open(io.BytesIO(data)))


def mixed(count, seed):
    """Return sizes of pictures of all shapes, some of them tiny."""
    rng = random.Random(seed)
    return [(rng.choice((16, 300, 640, 3000)), rng.choice((16, 200, 640, 2000))) for _ in range(count)]


def rows_of(layout):
    """Return the cells of each row of a layout."""
    return [list(row) for _, row in itertools.groupby(layout.cells, lambda cell: cell.top)]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 20, 26, 60, 300])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_every_row_is_as_wide_as_the_sheet_and_pictures_keep_their_order(count, seed):
    layout = arrange([SQUARE] * count if seed is None else mixed(count, seed), 256.0)
    assert len(layout.cells) == count
    margin = layout.cells[0].left
    bottom = 0
    for row in rows_of(layout):
        assert row[0].left == margin
        assert row[-1].left + row[-1].width == layout.width - margin
        assert len({cell.height for cell in row}) == 1
        for one, other in itertools.pairwise(row):
            assert other.left - (one.left + one.width) == margin  # as far apart as from the edge
        assert row[0].top >= bottom + margin
        bottom = row[0].top + row[0].height + layout.font_size
    assert bottom < layout.height


@pytest.mark.parametrize("count", [3, 5, 7, 20, 26, 60, 61, 97, 300])
def test_rows_of_squares_have_nearly_one_height(count):
    layout = arrange([SQUARE] * count, 256.0)
    heights = [cell.height for cell in layout.cells]
    assert max(heights) < 1.6 * min(heights)  # 5 squares are 3 above 2
    assert max(heights) < 1.2 * min(heights) or count < 20
    assert 1.1 < layout.width / layout.height < (1.9 if count >= 20 else 2.8)


def test_labels_grow_with_the_sheet():
    one, original, many = (arrange([(2048, 2048)] * count, 480.0) for count in (1, 26, 200))
    assert one.font_size / one.width > 0.012
    assert original.font_size / original.width > 0.012
    assert original.font_size > 40
    assert many.font_size < 480 / 8  # more would not fit below a picture


def test_arranging_is_deterministic():
    assert arrange(mixed(50, 1), 200.0) == arrange(mixed(50, 1), 200.0)


def test_all_pictures_and_labels_are_on_the_sheet():
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
    pictures = [(f"number {n}", picture_file(100 + 300 * n, 100, colour)) for n, colour in enumerate(colours)]
    sheet = decode(collage(pictures))
    for colour in colours:
        assert (sheet == colour).all(axis=2).sum() > 1000
    unlabelled = decode(collage([("", picture) for _, picture in pictures]))
    assert (sheet != unlabelled).any(axis=2).sum() > 4 * 50


def test_a_long_label_stays_within_its_picture():
    sheet = decode(collage([("very long " * 20, picture_file(100, 100))]))
    assert sheet.shape[1] == 100 + 2 * 8
    assert (sheet[8 + 102 :, :8] == sheet[0, 0]).all()


def test_a_small_picture_is_not_enlarged():
    sheet = decode(collage([("a", picture_file(16, 16))]))
    assert (sheet == (200, 40, 90)).all(axis=2).sum() == 16 * 16


def test_thumbnails_keep_the_mean_light():
    stripes = np.zeros((1000, 1000, 3), np.uint8)
    stripes[:, ::2] = 255
    file = io.BytesIO()
    Image.fromarray(stripes).save(file, "PNG")
    sheet = decode(collage([("stripes", file.getvalue())]))
    # Half of the light is byte 188; the filter covers 2.5 stripes, and their weights differ.
    assert 180 < np.median(sheet[100:300, 100:300]) < 196


def test_pictures_are_read_one_by_one_and_released():
    alive = 0

    class Data(bytes):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def values():
        nonlocal alive
        for _ in range(9):
            alive += 1
            assert alive <= 2  # the previous one is released when this one is read
            yield "small", Data(picture_file(20, 20))

    collage(values())
    assert alive == 0


def test_thumbnails_are_halved_when_there_are_very_many(monkeypatch):
    pictures = [("a", picture_file(400, 400))] * 12
    large = decode(collage(pictures))
    monkeypatch.setattr(module, "_MAX_THUMBNAIL_PIXELS", 4 * 400**2)  # four thumbnails, not five
    small = decode(collage(iter(pictures)))
    # The first sheet has rows of cells 300 pixels wide and more; the second is limited by what was kept.
    shown = [(sheet == (200, 40, 90)).all(axis=2).sum() for sheet in (large, small)]
    assert shown[0] > 12 * 256**2
    assert shown[1] == 12 * 100**2


def test_a_collage_of_the_same_pictures_has_the_same_bytes():
    pictures = [
        (fractal.label, draw(fractal)) for fractal in (Fractal("dragon", 8, 200), Fractal("box", 3, 64))
    ]
    assert collage(pictures) == collage(iter(pictures))


def test_a_collage_without_pictures_is_refused():
    with pytest.raises(ConfigError, match="needs at least one picture"):
        collage([])


@pytest.mark.parametrize("damage", [lambda png: b"", lambda png: b"no picture", lambda png: png[:-40]])
def test_a_picture_that_cannot_be_read_is_named(damage):
    file = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(file, "PNG")
    with pytest.raises(ConfigError, match="the picture 'koch' of the collage cannot be read"):
        collage([("koch", damage(file.getvalue()))])
