import io
import itertools

import numpy as np
import pytest
from PIL import Image

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.curve_drawing import BACKGROUND, draw, peak_bytes, visible
from wrenlite.gallery.fractals.lsystems import (
    MAX_ITERATIONS,
    MAX_SIZE,
    SYSTEMS,
    Fractal,
    System,
    compass,
    file_names,
    headings,
    points,
    random_fractals,
    steps,
)

OPEN = {"dragon", "hilbert2", "hilberts", "levy_c", "moore", "peano", "peano_gosper"}
OPEN |= {"sierpinski_arrowhead", "ter_dragon", "three_dragon", "twin_dragon"}
"""Curves that do not end where they begin."""
FILLING = {"hilbert2", "hilberts", "moore", "peano", "peano_gosper"}
"""Curves that pass all places of their picture's middle, so that nothing else is to be seen in it."""


def rewritten(system, iterations):
    """Return the rewritten string itself, by the textbook definition."""
    word = system.axiom
    for _ in range(iterations):
        word = "".join(system.rules.get(symbol, symbol) for symbol in word)
    return word


def pixels(fractal):
    return np.asarray(Image.open(io.BytesIO(draw(fractal))))


def test_there_are_all_systems_of_the_original():
    assert len(SYSTEMS) == 26


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_headings_are_those_of_the_rewritten_string(name):
    system = SYSTEMS[name]
    for iterations in range(4):
        turn, expected = 0, []
        for symbol in rewritten(system, iterations):
            if symbol == "F":
                expected.append(turn % system.directions)
            turn += {"+": 1, "-": -1}.get(symbol, 0)
        assert (headings(system, iterations) % system.directions).tolist() == expected


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_steps_are_the_number_of_letters_f_in_the_rewritten_string(name):
    system = SYSTEMS[name]
    for iterations in range(4):
        assert steps(system, iterations) == rewritten(system, iterations).count("F")
    assert steps(system, system.iterations) == len(headings(system, system.iterations))


def test_steps_are_exact_at_the_largest_number_of_iterations():
    assert steps(SYSTEMS["koch_snowflake"], MAX_ITERATIONS) == 3 * 4**MAX_ITERATIONS
    assert all(steps(system, MAX_ITERATIONS) > 2**MAX_ITERATIONS / 4 for system in SYSTEMS.values())


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_closed_curves_close(name):
    system = SYSTEMS[name]
    x, y = points(system, headings(system, system.iterations))
    # Sums of 10,000 rounded sines have errors up to 1e-10; right angles are exact.
    distance = max(abs(x[-1] - x[0]), abs(y[-1] - y[0]))
    assert (distance < 1e-9) == (name not in OPEN)


def test_a_square():
    square = System("F+F+F+F", {}, 90, 0)
    assert points(square, headings(square, 0)).T.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]


def test_headings_do_not_overflow_where_a_rule_turns_further_and_further():
    spiral = System("F", {"F": "F+F"}, 1, 0)
    # After 18 iterations there are 2 ** 18 steps, and a turn of one degree between two steps.
    assert (headings(spiral, 18) % 360).tolist() == [turn % 360 for turn in range(2**18)]


def test_right_angles_are_exact():
    assert compass(SYSTEMS["dragon"]).tolist() == [[1, 0], [0, 1], [-1, 0], [0, -1]]
    assert len(compass(SYSTEMS["levy_c"])) == 8
    assert len(compass(SYSTEMS["pentaplexity"])) == 10


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_every_system_covers_a_part_of_its_picture(name):
    picture = pixels(Fractal(name, SYSTEMS[name].iterations, 160))
    assert picture.shape == (160, 160, 3)
    assert 0.02 < (picture != BACKGROUND).any(axis=2).mean() < 0.9


def solid_share(fractal):
    """Return the share of drawn pixels whose neighbours are all at least a third as bright as a line."""
    light = pixels(fractal).astype(float) ** 2.2
    ink = light.sum(axis=2) - light[0, 0].sum()
    drawn = ink > 0.02 * ink.max()
    windows = np.lib.stride_tricks.sliding_window_view(ink / np.percentile(ink[drawn], 95), (3, 3))
    return (windows.min(axis=(2, 3)) > 1 / 3)[drawn[1:-1, 1:-1]].mean()


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("more", [0, 2])
@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_the_lines_of_a_visible_curve_are_seen(name, more, size):
    """Dragons and triangles keep bays and islands that are solid; the others are lines with gaps."""
    fractal = visible(Fractal(name, SYSTEMS[name].iterations + more, size))
    assert fractal.iterations <= SYSTEMS[name].iterations + more
    bound = 0.65 if "dragon" in name or name == "triangle" else 0.4
    assert solid_share(fractal) < (0.02 if name in FILLING else bound)


def test_only_curves_that_fill_the_plane_lose_iterations():
    drawn = {name: visible(Fractal(name, SYSTEMS[name].iterations, 128)).iterations for name in SYSTEMS}
    fewer = {name for name in SYSTEMS if drawn[name] < SYSTEMS[name].iterations}
    assert fewer == {"hilbert2", "peano", "peano_gosper", "ter_dragon"}
    assert drawn["hilbert2"] == 3
    snowflake = Fractal("koch_snowflake", 9, 64)
    assert visible(snowflake) == snowflake
    assert visible(Fractal("hilbert2", 4, 128, width=0.9)).iterations == 4  # a given width is kept
    assert visible(Fractal("peano", 7, 2048)).iterations == 6
    assert all(visible(fractal) == fractal for fractal in random_fractals(60, 3))


def test_the_smallest_picture_has_a_curve():
    for name, system in SYSTEMS.items():
        assert steps(system, visible(Fractal(name, system.iterations + 1, 16)).iterations) > 0


@pytest.mark.parametrize(
    ("size", "width"), [(16, None), (16, 1.0), (64, None), (64, 4.0), (333, 0.2), (333, 20.0), (1100, 60.0)]
)
@pytest.mark.parametrize("name", ["hilberts", "pentaplexity", "sierpinski_arrowhead"])
def test_no_picture_touches_its_edge(name, size, width):
    drawn = (pixels(Fractal(name, 3, size, width=width)) != BACKGROUND).any(axis=2)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    assert min(rows[0], columns[0]) > 0
    assert max(rows[-1], columns[-1]) < size - 1
    # The picture is centred, up to the rounding of samples.
    assert abs(columns[0] - (size - 1 - columns[-1])) <= 1
    assert abs(rows[0] - (size - 1 - rows[-1])) <= 1


def test_a_line_has_the_width_that_is_given():
    for width in (2.0, 5.0, 10.0):
        line = pixels(Fractal("dragon", 0, 400, width=width))  # one horizontal step
        thick = (line != BACKGROUND).any(axis=2)[:, 200].sum()
        assert width <= thick <= width + 2  # the edge on either side may be within a pixel


def test_the_ends_of_a_line_are_round():
    line = (pixels(Fractal("dragon", 0, 400, width=20)) != BACKGROUND).any(axis=2)
    left = np.flatnonzero(line.any(axis=0))[0]
    assert line[:, left].sum() < 12 < 20 <= line[:, 200].sum()


def test_colours_run_along_the_path():
    row = pixels(Fractal("dragon", 0, 400, palette="SummerBeach"))[200, 30:370].astype(int)
    # The round ends of the next shades cover a part of the first.
    assert np.abs(row[0] - [0xFF, 0xF0, 0x94]).max() <= 8
    assert np.abs(row[-1] - [0x1E, 0x2C, 0x60]).max() <= 64  # the last is too dark, and is made lighter
    hues = pixels(Fractal("dragon", 0, 400))[200, 30:370].astype(int)
    assert len(np.unique(hues, axis=0)) > 200
    assert np.abs(np.diff(hues, axis=0)).max() < 8  # of 255 shades, no two neighbours are far apart
    assert (pixels(Fractal("dragon", 0, 400, 0.1)) != pixels(Fractal("dragon", 0, 400, 0.6))).any()


def test_the_same_fractal_gives_the_same_bytes():
    fractal = Fractal("peano_gosper", 3, 200, 0.3)
    assert draw(fractal) == draw(fractal)


def test_memory_is_estimated_without_drawing():
    small, large = Fractal("dragon", 12, 400), Fractal("dragon", 50, 400)
    assert peak_bytes(small) < 1 << 25
    assert peak_bytes(large) > 2**50
    assert peak_bytes(Fractal("dragon", 12, MAX_SIZE)) > 1 << 28
    pairs = itertools.pairwise(peak_bytes(Fractal("dragon", depth, 400)) for depth in range(30))
    assert all(less <= more for less, more in pairs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dragoon", 3, 100), "no fractal is called 'dragoon': did you mean dragon"),
        (("Dragon", 3, 100), "did you mean dragon"),
        (("qqqq", 3, 100), "there are board, box, "),
        (("dragon", -1, 100), "iterations must be a whole number from 0 to 64, not -1"),
        (("dragon", 2.5, 100), "iterations must be a whole number"),
        (("dragon", True, 100), "iterations must be a whole number"),
        (("dragon", 65, 100), "iterations must be a whole number"),
        (("dragon", 3, 15), "size must be a whole number from 16 to 8192, not 15"),
        (("dragon", 3, 10**9), "size must be"),
        (("dragon", 3, 100, float("nan")), "hue must be a number"),
        (("dragon", 3, 100, 0.5, 0), "width must be above 0"),
        (("dragon", 3, 100, 0.5, float("nan")), "width must be above 0"),
        (("dragon", 3, 100, 0.5, 50), r"a 16th of the size \(6.25 pixels\)"),
        (("dragon", 3, 100, 0.5, None, "Hipi"), "no palette is called 'Hipi': did you mean Hippi"),
        (("hilberts", 0, 100), "hilberts draws nothing at 0 iterations"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Fractal(*arguments)


def test_random_fractals_depend_on_the_seed_alone():
    assert random_fractals(30, 5) == random_fractals(30, 5)
    assert random_fractals(30, 5) != random_fractals(30, 6)
    assert {fractal.name for fractal in random_fractals(len(SYSTEMS), 1)} == set(SYSTEMS)
    assert random_fractals(0, 1) == []


def test_random_fractals_have_the_iterations_of_the_original_and_no_crowded_steps():
    for fractal in random_fractals(200, 2):
        system = SYSTEMS[fractal.name]
        assert fractal.iterations >= system.iterations
        crowded = steps(system, fractal.iterations) > (fractal.size / 5) ** 2
        assert not crowded or fractal.iterations == system.iterations


def test_file_names_are_distinct():
    twice = [Fractal("dragon", 5, 100), Fractal("dragon", 6, 100), Fractal("dragon", 5, 200)] * 2
    assert file_names(twice) == [
        "fractals/dragon_100.png",
        "fractals/dragon_100-2.png",
        "fractals/dragon_200.png",
        "fractals/dragon_100-3.png",
        "fractals/dragon_100-4.png",
        "fractals/dragon_200-2.png",
    ]
