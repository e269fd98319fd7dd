import hashlib

import numpy as np
import pytest

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.colours import BYTE, LIGHT, downsample, from_oklab, linear, oklab, srgb
from wrenlite.gallery.fractals.palettes import PALETTES, Palette, colour

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
    # Positions are rounded to one of many colours, which can change a byte by one.
    many = 10_000
    assert np.abs(blue.at_repeated(position + 2, many).astype(int) - blue.at(position)).max() <= 1
    assert np.abs(blue.at_repeated(1 + position, many).astype(int) - blue.at(1 - position)).max() <= 1
    assert wren.closed
    assert np.abs(wren.at_repeated(position[:-1] + 3, many).astype(int) - wren.at(position[:-1])).max() <= 1


@pytest.mark.parametrize("name", PALETTES)
@pytest.mark.parametrize(("highest", "step"), [(1, 2), (20, 10**9), (800, 17), (65535, 6000), (2**31 - 1, 2)])
def test_every_count_has_a_colour_and_points_inside_are_black(name, highest, step):
    field = np.linspace(0, highest, 256, dtype=np.float32).reshape(16, 16)
    field[-1, -1] = np.inf
    colours = colour(field, name, step)
    assert colours.shape == (16, 16, 3)
    assert colours.dtype == np.uint8
    assert colours[-1, -1].tolist() == [0, 0, 0]
    assert len(np.unique(colours.reshape(-1, 3)[:-1], axis=0)) <= step


def test_a_step_is_the_number_of_colours_from_the_first_to_the_last():
    field = np.linspace(0, 500, 2**16, dtype=np.float32).reshape(256, 256)
    for name in ("Hippi", "Wren"):
        banded = np.unique(colour(field, name, step=5).reshape(-1, 3), axis=0)
        assert len(banded) == 5
        assert list(PALETTES[name].stops[0]) in banded.tolist()
    assert (
        list(PALETTES["Hippi"].stops[-1])
        in np.unique(colour(field, "Hippi", 2).reshape(-1, 3), axis=0).tolist()
    )


@pytest.mark.parametrize(("lowest", "highest"), [(0, 800), (8400, 8700), (1e6, 1e6 + 50)])
def test_neighbouring_counts_have_similar_colours(lowest, highest):
    field = np.linspace(lowest, highest, 65535, dtype=np.float32).reshape(1, -1)
    field = np.unique(field).reshape(1, -1)
    for name in set(PALETTES) - {"Plan9"}:
        row = colour(field, name)[0].astype(int)
        assert np.abs(np.diff(row, axis=0)).max() < 32  # no two neighbours are far apart


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Hipi",), "no palette is called 'Hipi': did you mean Hippi"),
        (("biochimist",), "did you mean Biochemist"),
        (("zzz",), "there are AfternoonBlue, "),
        (("Hippi", 1), "step is 1: it must be a whole number of colours, 2 or more"),
        (("Hippi", 0.5), "step is 0.5"),
        (("Hippi", float("nan")), "step is nan"),
    ],
)
def test_bad_arguments_of_colour_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        colour(np.zeros((2, 2), np.float32), *arguments)


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
