import hashlib

import numpy as np
import pytest

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.colours import BYTE, LIGHT, downsample, from_oklab, linear, oklab, srgb
from wrenlite.gallery.fractals.palettes import INSIDE, PALETTES, Palette, colour

ORIGINAL = {
    "AfternoonBlue": 5,
    "SummerBeach": 5,
    "Biochemist": 5,
    "Fiesta": 5,
    "Hippi": 16,
    "Vivid": 22,
    "Plan9": 256,
}


@pytest.mark.parametrize(("name", "stops"), ORIGINAL.items())
def test_the_original_s_palettes_have_their_stops(name, stops):
    assert len(PALETTES[name].stops) == len(PALETTES[name].positions) == stops


@pytest.mark.parametrize("name", PALETTES)
def test_stops_are_hit_exactly(name):
    palette = PALETTES[name]
    assert palette.positions[0] == 0
    assert palette.positions[-1] == 1
    assert (np.diff(palette.positions) > 0).all()
    assert [tuple(row) for row in palette.at(np.array(palette.positions)).tolist()] == list(palette.stops)


def test_plan9_is_the_colour_map_of_plan_9():
    stops = PALETTES["Plan9"].stops
    assert len(set(stops)) == 256
    assert [stops[number] for number in (0, 1, 16, 17, 24, 79, 255)] == [
        (0, 0, 0),
        (0, 0, 0x44),
        (0, 0xDD, 0xDD),
        (0x11, 0x11, 0x11),
        (0, 0x49, 0xDD),
        (0x44, 0, 0),
        (255, 255, 255),
    ]
    # of all 256 colours as the Go program lists them
    listed = hashlib.sha256(bytes(band for stop in stops for band in stop)).hexdigest()
    assert listed.startswith("51a5b35cc647368f")


@pytest.mark.parametrize("name", sorted(set(PALETTES) - {"Plan9"}))
def test_colours_go_from_stop_to_stop_without_leaving_their_range(name):
    palette = PALETTES[name]
    for number, (one, other) in enumerate(zip(palette.stops, palette.stops[1:], strict=False)):
        between = palette.at(
            np.linspace(palette.positions[number], palette.positions[number + 1], 50)
        ).astype(int)
        # no band wraps round at 255 or 0: each goes its way in small steps
        furthest = max(abs(a - b) for a, b in zip(one, other, strict=True))
        assert np.abs(np.diff(between, axis=0)).max() <= furthest / 49 * 4 + 8


def test_255_does_not_wrap_round():
    white = Palette(((255, 255, 255), (255, 255, 255)), (0.0, 1.0))
    assert (white.at(np.linspace(0, 1, 1000)) == 255).all()
    rising = Palette(((0, 0, 0), (255, 255, 255)), (0.0, 1.0)).at(np.linspace(0, 1, 4096)).astype(int)
    assert (np.diff(rising, axis=0) >= 0).all()


def test_a_palette_comes_back_as_it_went_and_a_closed_one_begins_again():
    place = np.linspace(0, 1, 100)
    blue, wren = PALETTES["AfternoonBlue"], PALETTES["Wren"]
    assert (blue.at_repeated(place + 2) == blue.at(place)).all()
    assert (blue.at_repeated(1 + place) == blue.at(1 - place)).all()
    assert wren.closed
    # 3 + place is rounded in its last bits, which can tip a byte that lies between two
    assert np.abs(wren.at_repeated(place[:-1] + 3).astype(int) - wren.at(place[:-1])).max() <= 1


@pytest.mark.parametrize("name", PALETTES)
@pytest.mark.parametrize("iters", [1, 20, 800, 65535])
@pytest.mark.parametrize("step", [None, 6000.0, 17.5])
def test_every_count_has_a_colour_and_the_inside_is_black(name, iters, step):
    field = np.arange(INSIDE + 1, dtype=np.uint16).reshape(256, 256)
    colours = colour(field, iters, name, step)
    assert colours.shape == (256, 256, 3)
    assert colours.dtype == np.uint8
    assert colours[-1, -1].tolist() == [0, 0, 0]


def test_a_step_is_one_run_through_the_palette():
    counts = np.array([[0, 100, 200, 300, 400]])
    field = np.round(counts / 800 * (INSIDE - 1)).astype(np.uint16)
    first, last = PALETTES["Hippi"].stops[0], PALETTES["Hippi"].stops[-1]
    shown = [tuple(pixel) for pixel in colour(field, 800, step=100)[0].tolist()]
    # a count is known to 800 / 65534, which is an eighth of a percent of the step
    expected = [first, last, first, last, first]
    assert np.abs(np.subtract(shown, expected)).max() <= 1


def test_colours_have_no_seams():
    field = np.arange(INSIDE, dtype=np.uint16).reshape(1, -1)
    for name in set(PALETTES) - {"Plan9"}:
        row = colour(field, 800, name)[0].astype(int)
        assert np.abs(np.diff(row, axis=0)).max() < 32  # of 65,535 colours, no two neighbours are far apart


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((800, "Hipi"), "no palette is called 'Hipi': did you mean Hippi"),
        ((800, "biochimist"), "did you mean Biochemist"),
        ((800, "zzz"), "there are AfternoonBlue, "),
        ((0,), "iters must be above 0"),
        ((800, "Hippi", 0.0), "step must be a number above 0"),
        ((800, "Hippi", float("nan")), "step must be a number above 0"),
        ((800, "Hippi", float("inf")), "step must be a number above 0"),
    ],
)
def test_what_has_no_colours_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        colour(np.zeros((2, 2), np.uint16), *arguments)


def test_half_of_the_light_is_not_half_of_the_byte():
    checks = np.indices((8, 8)).sum(axis=0) % 2 * 255
    pattern = np.repeat(checks[..., np.newaxis], 3, axis=2).astype(np.uint8)
    assert (downsample(pattern, 2) == 188).all()  # 255 * srgb(0.5)
    assert (downsample(pattern, 4) == 188).all()
    assert (downsample(pattern, 8) == 188).all()


def test_downsampling_keeps_what_is_even_and_apart():
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    for factor in (1, 2, 3, 5):
        assert (downsample(small.repeat(factor, axis=0).repeat(factor, axis=1), factor) == small).all()
    with pytest.raises(ConfigError, match="cannot be divided by 2"):
        downsample(small, 2)


def test_every_byte_comes_back_from_light_and_from_oklab():
    assert (BYTE[LIGHT] == np.arange(256)).all()
    assert (np.rint(srgb(linear(np.arange(256) / 255)) * 255) == np.arange(256)).all()
    colours = np.random.default_rng(2).integers(0, 256, (2000, 3))
    assert (from_oklab(oklab(colours)) == colours).all()
