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
def test_palettes_have_the_number_of_stops_of_the_original(name, stops):
    assert len(PALETTES[name].stops) == len(PALETTES[name].positions) == stops


@pytest.mark.parametrize("name", PALETTES)
def test_a_palette_has_exactly_its_stops_at_their_positions(name):
    palette = PALETTES[name]
    assert palette.positions[0] == 0
    assert palette.positions[-1] == 1
    assert (np.diff(palette.positions) > 0).all()
    assert [tuple(row) for row in palette.at(np.array(palette.positions)).tolist()] == list(palette.stops)


def test_the_palette_plan9_is_the_colour_map_of_plan_9():
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
    # The digest of all 256 colours in the order of the Go program.
    listed = hashlib.sha256(bytes(band for stop in stops for band in stop)).hexdigest()
    assert listed.startswith("51a5b35cc647368f")


@pytest.mark.parametrize("name", sorted(set(PALETTES) - {"Plan9"}))
def test_colours_change_in_small_steps_between_two_stops(name):
    palette = PALETTES[name]
    for number, (one, other) in enumerate(zip(palette.stops, palette.stops[1:], strict=False)):
        between = palette.at(
            np.linspace(palette.positions[number], palette.positions[number + 1], 50)
        ).astype(int)
        # No band overflows at 255 or 0: that would be a large step.
        largest = max(abs(a - b) for a, b in zip(one, other, strict=True))
        assert np.abs(np.diff(between, axis=0)).max() <= largest / 49 * 4 + 8


def test_white_does_not_overflow():
    white = Palette(((255, 255, 255), (255, 255, 255)), (0.0, 1.0))
    assert (white.at(np.linspace(0, 1, 1000)) == 255).all()
    rising = Palette(((0, 0, 0), (255, 255, 255)), (0.0, 1.0)).at(np.linspace(0, 1, 4096)).astype(int)
    assert (np.diff(rising, axis=0) >= 0).all()


def test_beyond_its_end_a_palette_is_reversed_and_a_closed_palette_is_repeated():
    position = np.linspace(0, 1, 100)
    blue, wren = PALETTES["AfternoonBlue"], PALETTES["Wren"]
    assert (blue.at_repeated(position + 2) == blue.at(position)).all()
    assert (blue.at_repeated(1 + position) == blue.at(1 - position)).all()
    assert wren.closed
    # 3 + position is rounded, which can change a byte by one.
    assert np.abs(wren.at_repeated(position[:-1] + 3).astype(int) - wren.at(position[:-1])).max() <= 1


@pytest.mark.parametrize("name", PALETTES)
@pytest.mark.parametrize("iters", [1, 20, 800, 65535])
@pytest.mark.parametrize("step", [None, 6000.0, 17.5])
def test_every_count_has_a_colour_and_points_inside_are_black(name, iters, step):
    field = np.arange(INSIDE + 1, dtype=np.uint16).reshape(256, 256)
    colours = colour(field, iters, name, step)
    assert colours.shape == (256, 256, 3)
    assert colours.dtype == np.uint8
    assert colours[-1, -1].tolist() == [0, 0, 0]


def test_a_step_is_the_length_of_a_run_through_the_palette():
    counts = np.array([[0, 100, 200, 300, 400]])
    field = np.round(counts / 800 * (INSIDE - 1)).astype(np.uint16)
    first, last = PALETTES["Hippi"].stops[0], PALETTES["Hippi"].stops[-1]
    shown = [tuple(pixel) for pixel in colour(field, 800, step=100)[0].tolist()]
    # Counts are rounded to multiples of 800 / 65534, an eighth of a thousandth of the step.
    expected = [first, last, first, last, first]
    assert np.abs(np.subtract(shown, expected)).max() <= 1


def test_neighbouring_counts_have_similar_colours():
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
def test_bad_arguments_of_colour_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        colour(np.zeros((2, 2), np.uint16), *arguments)


def test_downsampling_averages_light_and_not_bytes():
    checks = np.indices((8, 8)).sum(axis=0) % 2 * 255
    pattern = np.repeat(checks[..., np.newaxis], 3, axis=2).astype(np.uint8)
    assert (downsample(pattern, 2) == 188).all()  # 255 * srgb(0.5)
    assert (downsample(pattern, 4) == 188).all()
    assert (downsample(pattern, 8) == 188).all()


def test_downsampling_restores_an_enlarged_picture():
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    for factor in (1, 2, 3, 5):
        assert (downsample(small.repeat(factor, axis=0).repeat(factor, axis=1), factor) == small).all()
    with pytest.raises(ConfigError, match="cannot be divided by 2"):
        downsample(small, 2)


def test_every_byte_is_restored_from_light_and_from_oklab():
    assert (BYTE[LIGHT] == np.arange(256)).all()
    assert (np.rint(srgb(linear(np.arange(256) / 255)) * 255) == np.arange(256)).all()
    colours = np.random.default_rng(2).integers(0, 256, (2000, 3))
    assert (from_oklab(oklab(colours)) == colours).all()
