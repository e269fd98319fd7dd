import numpy as np
import pytest

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals import mandelbrot
from wrenlite.gallery.fractals.mandelbrot import Tile, View, counts, render
from wrenlite.gallery.fractals.perturbation import DEEP_VIEW
from wrenlite.gallery.fractals.tiling import assemble, plan

EDGE = View(-0.00275, 0.78912, 0.125689, 1500, 1100, 800)
WHOLE = View(-0.75, 0, 3.5, 1280, 720, 300)


def covered(view, pieces):
    times = np.zeros((view.height, view.width), int)
    for piece in pieces:
        for tile in piece:
            times[tile.rows, tile.columns] += 1
    return times


@pytest.mark.parametrize("tasks", [1, 2, 7, 64])
@pytest.mark.parametrize("view", [EDGE, WHOLE, View(0, 0, 3, 1000, 333, 100, seed=-0.12 + 0.74j), DEEP_VIEW])
def test_a_plan_has_each_point_once_in_so_many_tasks(view, tasks):
    pieces = plan(view, tasks)
    assert len(pieces) == tasks
    assert (covered(view, pieces) == 1).all()


def test_there_are_no_empty_tasks():
    small = View(0, 0, 3, 100, 70, 100)
    assert 1 <= len(plan(small, 64)) <= 4
    assert all(plan(small, 64))
    assert (covered(small, plan(small, 64)) == 1).all()


@pytest.mark.parametrize("width", [1, 3, 17, 1921])
@pytest.mark.parametrize("height", [1, 5, 1000])
def test_any_size_can_be_planned(width, height):
    view = View(-0.75, 0, 0.01, width, height, 20)
    assert (covered(view, plan(view, 5)) == 1).all()


def test_tasks_take_about_equally_many_iterations(monkeypatch):
    view = View(-0.5, 0.62, 0.5, 1920, 1080, 2000)  # left mostly inside, right nearly nothing
    real, works = mandelbrot.escape, []

    def watched(z, c, step, iters):
        counted = real(z, c, step, iters)
        works[-1] += np.minimum(counted, iters).sum() + 30 * z.size  # a point by itself costs about 30
        return counted

    pieces = plan(view, 24)
    monkeypatch.setattr(mandelbrot, "escape", watched)
    for piece in pieces:
        works.append(0.0)
        render(piece)
    assert max(works) / np.mean(works) < 1.3
    sizes = [sum(tile.width * tile.height for tile in piece) for piece in pieces]
    assert max(sizes) > 1.4 * min(sizes)  # they are not just equal areas


def test_filling_is_chosen_where_it_pays():
    inside = {tile.method for piece in plan(View(-0.1, 0.745, 0.05, 640, 640, 800), 4) for tile in piece}
    outside = {
        tile.method
        for piece in plan(View(-0.0091275, 0.7899912, 0.01401245, 640, 360, 800), 4)
        for tile in piece
    }
    assert inside == {"mariani"}
    assert outside == {"plain"}
    assert {tile.method for piece in plan(DEEP_VIEW, 4) for tile in piece} == {"plain"}


@pytest.mark.parametrize("view", [EDGE, WHOLE])
def test_what_tasks_return_is_the_view(view):
    pieces = plan(view, 9)
    field = assemble(view, pieces, map(render, pieces))
    whole = counts(Tile(view, 0, 0, view.width, view.height))
    assert field.dtype == np.uint16
    assert (field != whole).mean() < 1e-4  # filaments: see test_filling_leaves_counts_as_they_are


def test_a_value_must_be_there_for_each_piece():
    pieces = plan(WHOLE, 3)
    with pytest.raises(ValueError, match="shorter"):
        assemble(WHOLE, pieces, map(render, pieces[:2]))


def test_no_tasks_are_refused():
    with pytest.raises(ConfigError, match="tasks is 0"):
        plan(WHOLE, 0)
