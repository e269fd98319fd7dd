import io
import itertools
import random

import numpy as np
import pytest
from PIL import Image

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals import collage as module
from wrenlite.gallery.fractals.collage import collage, pack
from wrenlite.gallery.fractals.curve_drawing import draw
from wrenlite.gallery.fractals.lsystems import Fractal

GAP = 14


def picture_file(width, height, colour=(200, 40, 90)):
    """Return a picture of one colour as PNG."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def decode(data):
    """Return the pixels of a PNG."""
    return np.asarray(Image.open(io.BytesIO(data)))


def rectangles(count, seed):
    rng = random.Random(seed)
    return [(rng.randint(20, 300), rng.randint(20, 300)) for _ in range(count)]


def thumbnails(count, seed):
    """Return cells like those of random fractals: squares of three sizes, with space for a label."""
    rng = random.Random(seed)
    return [(side, side + 24) for side in rng.choices((192, 256, 320), k=count)]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 60, 300])
@pytest.mark.parametrize("kind", [rectangles, thumbnails])
def test_packed_rectangles_keep_the_gap_and_stay_on_the_sheet(count, kind):
    sizes = kind(count, count)
    layout = pack(sizes, GAP)
    boxes = [
        (left, top, left + width, top + height)
        for (left, top), (width, height) in zip(layout.corners, sizes, strict=True)
    ]
    for left, top, right, bottom in boxes:
        assert min(left, top) >= GAP
        assert right <= layout.width - GAP
        assert bottom <= layout.height - GAP
    for one, other in itertools.combinations(boxes, 2):
        side_by_side = one[2] + GAP <= other[0] or other[2] + GAP <= one[0]
        assert side_by_side or one[3] + GAP <= other[1] or other[3] + GAP <= one[1]


@pytest.mark.parametrize(("count", "max_waste"), [(10, 0.25), (26, 0.15), (100, 0.10), (400, 0.06)])
def test_little_of_a_sheet_is_wasted(count, max_waste):
    """Each bound is a little above the worst of 20 batches, which was 21, 13, 7 and 5 %."""
    for seed in range(20 if count < 400 else 3):
        sizes = thumbnails(count, seed)
        layout = pack(sizes, GAP)
        used = sum((width + GAP) * (height + GAP) for width, height in sizes)
        assert 1 - used / ((layout.width - GAP) * (layout.height - GAP)) < max_waste
        assert count < 26 or 1.2 < layout.width / layout.height < 2.1


def test_equal_rectangles_are_packed_as_a_grid():
    layout = pack([(100, 100)] * 40, GAP)
    assert len({left for left, _ in layout.corners}) * len({top for _, top in layout.corners}) == 40


def test_packing_is_deterministic():
    sizes = rectangles(50, 1)
    assert pack(sizes, GAP) == pack(sizes, GAP)


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
    assert sheet.shape[1] == 100 + 2 * GAP
    assert (sheet[GAP + 102 :, :GAP] == sheet[0, 0]).all()


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
    monkeypatch.setattr(module, "_MAX_THUMBNAIL_PIXELS", 4 * 160**2)  # four thumbnails, not five
    small = decode(collage(iter(pictures)))
    shown = [(sheet == (200, 40, 90)).all(axis=2).sum() for sheet in (large, small)]
    assert shown == [12 * 160**2, 12 * 80**2]


def test_a_collage_of_the_same_pictures_has_the_same_bytes():
    pictures = [
        (fractal.label, draw(fractal)) for fractal in (Fractal("dragon", 8, 200), Fractal("box", 3, 64))
    ]
    assert collage(pictures) == collage(iter(pictures))


def test_a_collage_without_pictures_is_refused():
    with pytest.raises(ConfigError, match="needs at least one picture"):
        collage([])
