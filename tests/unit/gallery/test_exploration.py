"""Where an explorer goes: zooming, going back, and what is stale."""

import shlex
from decimal import Decimal

import numpy as np
import pytest

from wrenlite.errors import ConfigError
from wrenlite.gallery.commands import mandelbrot
from wrenlite.gallery.fractals.exploration import Box, Exploration
from wrenlite.gallery.fractals.poster import PosterOptions


def point(view, across, down):
    """Return the exact point of the plane at a place of the picture."""
    x = Decimal(view.xpos) + Decimal(view.radius) * (Decimal(across) - Decimal("0.5"))
    height = Decimal(view.radius) * view.height / view.width
    return x, Decimal(view.ypos) - height * (Decimal(down) - Decimal("0.5"))


def view_of(exploration):
    return exploration.options.poster().view


@pytest.mark.parametrize("factor", [4, 0.25])
@pytest.mark.parametrize("start", [{}, {"radius": "1e-40", "xpos": "-1.5", "ypos": "0", "iters": 50}])
def test_the_point_under_the_mouse_stays_there(start, factor):
    here = Exploration.begin(**start)
    there = here.zoom_at(0.125, 0.75, factor)
    assert Decimal(there.options.radius) == Decimal(here.options.radius) / Decimal(factor)
    pixel = Decimal(there.options.radius) / view_of(there).width
    for before, after in zip(
        point(view_of(here), 0.125, 0.75), point(view_of(there), 0.125, 0.75), strict=True
    ):
        assert abs(before - after) < pixel / 100


def test_a_rectangle_is_shown_as_a_whole_in_the_middle():
    here = Exploration.begin()
    there = here.zoom_to(Box(0.5, 0.1, 0.6, 0.5))
    assert Decimal(there.options.radius) == Decimal("1.6")  # 0.4 of the height decides
    assert point(view_of(there), 0.5, 0.5) == point(view_of(here), "0.55", "0.3")


def test_a_hundred_clicks_lead_on_with_all_necessary_digits_and_back():
    path = [Exploration.begin()]
    for _ in range(100):
        path.append(path[-1].zoom_at(0.3, 0.6))
    assert view_of(path[-1]).deep
    assert Decimal(path[-1].options.radius) < Decimal("1e-58")
    there = path[-1]
    for expected in reversed(path[:-1]):
        there = there.back()
        assert there.options == expected.options
    assert not there.can_go_back
    assert there.back() is there


def test_work_for_a_view_before_is_stale_and_a_palette_makes_nothing_stale():
    first = Exploration.begin()
    coloured = first.with_palette("Vivid")
    assert coloured.wants(first.number)
    seen = {first.number}
    for there in (coloured.zoom_at(0.5, 0.5), first.with_iters(99), coloured.zoom_at(0, 0).back()):
        assert not there.wants(first.number)
        assert there.wants(there.number)
        seen.add(there.number)
    assert first.with_iters(first.options.iters).wants(first.number)
    there = coloured.zoom_at(0.5, 0.5).back()
    assert there.options.palette == "Vivid"
    assert there.number > coloured.zoom_at(0.5, 0.5).number


def test_nothing_is_wanted_while_nobody_sees_it():
    here = Exploration.begin()
    gone = here.paused()
    assert not gone.wants(here.number)
    assert gone.resumed().wants(gone.resumed().number)
    assert not gone.resumed().wants(here.number)
    assert not gone.zoom_at(0.5, 0.5).is_paused


def test_one_can_start_over_and_go_back_from_there():
    first = Exploration.begin(julia="-0.8,0.156")
    there = first.zoom_at(0.1, 0.1).zoom_at(0.2, 0.2)
    assert there.start_over().options == first.options
    assert there.start_over().back().options == there.options
    assert first.start_over() is first


def test_the_limit_of_iterations_rises_with_the_counts_and_falls_on_the_way_back():
    counts = np.array([[100.0, 300.0], [300.0, np.inf]], np.float32)
    here = Exploration.begin().with_counts(counts)
    assert here.zoom_at(0.5, 0.5).options.iters == 1200
    assert here.zoom_at(0.5, 0.5).back().options.iters == 800
    assert here.zoom_at(0.5, 0.5, 0.5).options.iters == 800
    assert here.with_iters(5000).zoom_at(0.5, 0.5).options.iters == 5000
    black = Exploration.begin().with_counts(np.full((2, 2), np.inf, np.float32))
    assert black.zoom_at(0.5, 0.5).options.iters == 800


@pytest.mark.parametrize(
    "exploration",
    [
        Exploration.begin(),
        Exploration.begin(kind="burning-ship", palette="Plan9", smoothness=1).zoom_at(0.2, 0.1),
        Exploration.begin(julia="-0.8,0.156", iters=300).zoom_to(Box(0, 0, 0.25, 0.25)),
        Exploration.begin(radius=1e-30, xpos="-1.9", ypos="1e-9", width=200, height=333, step=50),
    ],
)
def test_both_texts_make_the_same_view(exploration):
    words = shlex.split(exploration.command())
    assert words[:3] == ["wrenlite", "demo", "mandelbrot"]
    given = mandelbrot.make_context("mandelbrot", words[3:]).params
    names = ("palette", "xpos", "ypos", "radius", "iters", "step", "smoothness", "width", "height")
    drawn = PosterOptions(**{name: given[name] for name in (*names, "julia", "kind")})
    assert drawn == exploration.options
    call = exploration.python()
    again = eval(
        call, {"executor": None, "explore": lambda executor, **options: Exploration.begin(**options)}
    )
    assert again.options == exploration.options


def test_what_cannot_be_drawn_is_refused_in_words():
    here = Exploration.begin()
    for wrong, words in (
        ({"colour": "red"}, "colour is not an option"),
        ({"bits": 16}, "bits is 16"),
        ({"palette": "Red"}, "Red"),
        ({"width": 20_000}, "width is 20000"),
        ({"iters": 0}, "iters is 0"),
    ):
        with pytest.raises(ConfigError, match=words):
            Exploration.begin(**wrong)
    with pytest.raises(ConfigError, match="Red"):
        here.with_palette("Red")
    with pytest.raises(ConfigError, match="empty"):
        here.zoom_to(Box(0.5, 0.5, 0.5, 0.5))
    ship = Exploration.begin(kind="burning-ship", radius=8e-10)
    with pytest.raises(ConfigError, match="too few digits"):
        ship.zoom_at(0.5, 0.5)
    # The points of a picture are closer together than its pixels.
    assert not view_of(Exploration.begin(kind="newton", radius=2e-10, smoothness=1)).deep
    with pytest.raises(ConfigError, match="too few digits"):
        Exploration.begin(kind="newton", radius=2e-10)
    for _ in range(4):
        here = here.zoom_at(0.5, 0.5, 0.25)
    with pytest.raises(ConfigError, match="farther than 1000"):
        here.zoom_at(0.5, 0.5, 0.25)
