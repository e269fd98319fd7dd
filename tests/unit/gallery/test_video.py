"""Videos: the frames between keyframes, the files, and what is refused."""

import itertools
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

import wrenlite
from wrenlite.errors import ConfigError, StoreError
from wrenlite.gallery.fractals.colour_range import ColourRange
from wrenlite.gallery.fractals.colours import LIGHT, downsample
from wrenlite.gallery.fractals.mandelbrot import Tile, counts
from wrenlite.gallery.fractals.palettes import colour
from wrenlite.gallery.fractals.poster import Poster
from wrenlite.gallery.fractals.video import Morph, Zoom, field_of, record, small_views
from wrenlite.gallery.fractals.view import View
from wrenlite.gallery.fractals.zoom_frames import Keyframe, frame

LAST = Poster(View("-0.75", "0.1", "0.5", 64, 36, 60), palette="Wren")
COLOURS = ColourRange(0.0, 60.0)
WIDTH, HEIGHT = 320, 180


def drawn(radius):
    """Return the points of a view, two per pixel each way, as bytes."""
    view = View("-0.75", "0.1", radius, 2 * WIDTH, 2 * HEIGHT, 100)
    return colour(counts(Tile(view, 0, 0, view.width, view.height)), "Wren", colours=COLOURS)


def light(rgb):
    """Return the light of a picture, 0 to 1, that an eye takes as its brightness."""
    return LIGHT[rgb] @ np.array([0.2126, 0.7152, 0.0722]) / 65535


@pytest.fixture(scope="module")
def keyframes():
    return Keyframe(drawn(2.0), 2), Keyframe(drawn(1.0), 2)


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.9, 0.99])
def test_a_frame_between_keyframes_is_the_picture_of_its_view(keyframes, part):
    direct = light(downsample(drawn(2.0 * 2**-part), 2))
    between = light(frame(*keyframes, part, 2.0))
    # A mean of 4 points differs from one of 4 others only near filaments: no shift, no ring, no edge.
    assert np.median(np.abs(between - direct)) < 0.002
    assert abs(between.mean() - direct.mean()) < 0.005


def test_the_first_frame_is_the_keyframe_itself(keyframes):
    wide, narrow = keyframes
    assert np.array_equal(frame(wide, narrow, 0.0, 2.0), frame(wide, None, 0.0, 2.0))
    almost, there = frame(wide, narrow, 1 - 1e-9, 2.0), frame(narrow, None, 0.0, 2.0)
    assert np.abs(light(almost)[2:-2, 2:-2] - light(there)[2:-2, 2:-2]).mean() < 0.01


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_the_edge_of_a_keyframe_is_not_seen_even_where_it_is_brighter(part):
    """The largest step from a row or column to the next is that of a ramp, and not at the edge."""
    grey = np.full((2 * HEIGHT, 2 * WIDTH, 3), 120, np.uint8)
    made = light(frame(Keyframe(grey, 2), Keyframe(grey + 20, 2), part, 2.0))
    step = light(np.uint8([[140] * 3]))[0] - light(np.uint8([[120] * 3]))[0]
    across = np.abs(np.diff(made[HEIGHT // 2]))
    edge = WIDTH / 2 * (1 - 2 ** (part - 1))
    assert made.max() == pytest.approx(made[HEIGHT // 2, WIDTH // 2])
    # 3/2 is the steepest slope of the ramp as a multiple of its mean slope, 1/255 the step of a byte there.
    assert across.max() <= 1.5 * step / min(0.12 * HEIGHT, edge) + 1.5 * step / 20


def test_a_zoom_is_keyframes_of_twice_the_width_and_equal_steps():
    clip = Zoom(LAST, seconds=2, fps=10, start=4)
    assert [float(view.radius) for view in clip.views] == [4.0, 2.0, 1.0, 0.5]
    assert {(view.width, view.height) for view in clip.views} == {(128, 72)}
    frames = list(clip.frames(map(field_of, clip.views), COLOURS))
    assert len(frames) == clip.count == 20
    assert {rgb.shape for rgb in frames} == {(36, 64, 3)}
    changes = [np.abs(light(b) - light(a)).mean() for a, b in itertools.pairwise(frames)]
    assert max(changes) < 3 * np.median(changes)  # no frame is shown twice, and none is left out
    assert Zoom(LAST, 1, 10, start="0.6").views[0].radius == replace(LAST.view, radius="0.6").radius


def test_a_julia_set_of_which_half_is_computed_is_the_whole_one():
    for height in (36, 37):
        view = View(0, 0, 3.2, 64, height, 80, seed=-0.7 + 0.3j)
        assert np.allclose(field_of(view), counts(Tile(view, 0, 0, 64, height)), rtol=1.3e-4, atol=1e-2)


def test_a_morph_ends_as_it_began():
    clip = Morph(replace(LAST, view=View(0, 0, 3.2, 64, 36, 60)), seconds=6, fps=10)
    first, *_, last = clip.views
    assert len(clip.views) == clip.count == 60
    assert abs(last.julia - first.julia) < 2.2 * np.pi * clip.scale / 60
    assert abs(clip.views[15].julia - clip.scale * (0.5j + 0.25)) < 1e-12


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (4, 4096), (4096, 2), (2, 2)])
def test_colours_are_chosen_from_few_points_whatever_the_shape_of_the_frames(width, height):
    narrow = View(0, 0, 1, width, height, 60)
    small = small_views(250 * [narrow])
    assert len(small) == 84
    points = small[0].width * small[0].height
    assert points == width * height if points < 100 * 90 else points < 2 * 160 * 90


@pytest.mark.parametrize(("name", "codec"), [("zoom.mp4", "h264"), ("zoom.WEBM", "vp9")])
def test_a_video_is_a_file_that_browsers_play(tmp_path, name, codec):
    seen = []
    with wrenlite.Executor.inline() as executor:
        video = record(executor, Zoom(LAST, 1, 12), tmp_path / name, seen.append)
    assert seen == list(range(1, 13))
    with av.open(str(tmp_path / name)) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == (codec, "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (64, 36, 12)
        decoded = [each.to_ndarray(format="rgb24") for each in file.decode(video=0)]
    assert len(decoded) == 12
    clip = Zoom(LAST, 1, 12)
    fields = [field_of(view) for view in clip.views]
    wanted = list(clip.frames(fields, ColourRange.of(*fields)))
    assert np.abs(decoded[-1].mean((0, 1)) - wanted[-1].mean((0, 1))).max() < 4  # its colours are the colours
    data = (tmp_path / name).read_bytes()
    assert video.size_bytes == len(data)
    if codec == "h264":
        assert data.index(b"moov") < data.index(b"mdat")  # it plays while it is loading


def test_in_a_notebook_a_video_is_an_animation_and_a_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with wrenlite.Executor.inline() as executor:
        video = record(executor, Zoom(LAST, 2, 20), "a zoom.mp4")
    html = video._repr_html_()
    assert html.count("data:image/webp;base64,") == 1
    assert '<a href="a%20zoom.mp4"' in html
    assert "64 x 36, 2.0 s at 20 frames per second" in html
    (tmp_path / "preview.webp").write_bytes(video.preview)
    with Image.open(tmp_path / "preview.webp") as shown:
        assert (shown.size, shown.n_frames) == ((64, 36), 32)


def test_what_cannot_be_a_video_is_refused_before_anything_runs(tmp_path):
    def refused(error, words, make):
        with pytest.raises(error, match=words):
            make()

    view = LAST.view
    refused(ConfigError, "begins wider than it ends", lambda: Zoom(LAST, 1, 10, start="0.5"))
    refused(ConfigError, "^start is 'wide'", lambda: Zoom(LAST, 1, 10, start="wide"))
    refused(ConfigError, "2 to 36,000 frames", lambda: Zoom(LAST, 0.01, 10))
    refused(ConfigError, "more than 0 seconds", lambda: Zoom(LAST, float("nan"), 10))
    refused(ConfigError, "1 to 120 frames", lambda: Morph(LAST, 1, 0))
    refused(ConfigError, "scale is nan", lambda: Morph(LAST, 1, 10, scale=float("nan")))
    large = replace(LAST, view=replace(view, width=5000))
    refused(ConfigError, "at most 4,096", lambda: Zoom(large, 1, 10))
    huge = Zoom(Poster(replace(view, width=4096, height=4096), smoothness=16), 1, 10)
    odd = Zoom(replace(LAST, view=replace(view, width=63)), 1, 10)
    with wrenlite.Executor.inline() as executor:
        refused(ConfigError, "memory", lambda: record(executor, huge, tmp_path / "z.mp4"))
        refused(ConfigError, "must be even", lambda: record(executor, odd, tmp_path / "z.mp4"))
        good = Zoom(LAST, 1, 10)
        refused(ConfigError, "must end in .mp4 or .webm", lambda: record(executor, good, tmp_path / "z.gif"))
        refused(StoreError, "there is no folder", lambda: record(executor, good, tmp_path / "no" / "z.mp4"))
    assert not list(tmp_path.iterdir())
