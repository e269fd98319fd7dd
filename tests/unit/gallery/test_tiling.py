import numpy as np
import pytest

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.mandelbrot import Tile, View, counts, render
from wrenlite.gallery.fractals.perturbation import DEEP_VIEW
from wrenlite.gallery.fractals.tiling import assemble, plan

EDGE = View(-0.00275, 0.78912, 0.125689, 1500, 1100, 800)
WHOLE = View(-0.75, 0, 3.5, 1280, 720, 300)


def coverage(view, pieces):
    """Return how often each point of a view is in a tile."""
    count = np.zeros((view.height, view.width), int)
    for piece in pieces:
        for tile in piece:
            count[tile.rows, tile.columns] += 1
    return count


@pytest.mark.parametrize("tasks", [1, 2, 7, 64])
@pytest.mark.parametrize("view", [EDGE, WHOLE, View(0, 0, 3, 1000, 333, 100, seed=-0.12 + 0.74j), DEEP_VIEW])
def test_a_plan_has_the_wanted_number_of_tasks_and_each_point_once(view, tasks):
    pieces = plan(view, tasks)
    assert len(pieces) == tasks
    assert (coverage(view, pieces) == 1).all()


def test_a_plan_has_no_empty_tasks():
    small = View(0, 0, 3, 100, 70, 100)
    assert 1 <= len(plan(small, 64)) <= 4
    assert all(plan(small, 64))
    assert (coverage(small, plan(small, 64)) == 1).all()


@pytest.mark.parametrize("width", [1, 3, 17, 1921])
@pytest.mark.parametrize("height", [1, 5, 1000])
def test_views_of_any_size_can_be_planned(width, height):
    view = View(-0.75, 0, 0.01, width, height, 20)
    assert (coverage(view, plan(view, 5)) == 1).all()


def test_tasks_take_about_equally_many_iterations():
    view = View(-0.5, 0.62, 0.5, 1920, 1080, 2000)  # on the left mostly inside, on the right mostly outside
    pieces = plan(view, 24)
    parts = [render(piece) for piece in pieces]
    costs = [part.computed + 30 * part.counts.codes.size for part in parts]  # a point itself costs about 30
    assert max(costs) / np.mean(costs) < 1.3
    sizes = [sum(tile.width * tile.height for tile in piece) for piece in pieces]
    assert max(sizes) > 1.2 * min(sizes)  # equal areas would not be balanced


def test_filling_is_chosen_where_it_saves_work():
    mostly_inside = {
        tile.method for piece in plan(View(-0.1, 0.745, 0.05, 640, 640, 800), 4) for tile in piece
    }
    mostly_outside = {
        tile.method
        for piece in plan(View(-0.0091275, 0.7899912, 0.01401245, 640, 360, 800), 4)
        for tile in piece
    }
    assert mostly_inside == {"mariani"}
    assert mostly_outside == {"plain"}
    assert {tile.method for piece in plan(DEEP_VIEW, 4) for tile in piece} == {"plain"}


@pytest.mark.parametrize("view", [EDGE, WHOLE])
def test_assembled_values_are_the_field_of_the_view(view):
    pieces = plan(view, 9)
    field = assemble(view, pieces, map(render, pieces))
    whole = counts(Tile(view, 0, 0, view.width, view.height))
    assert field.dtype == np.float32
    # Near filaments, counts may differ: see test_filling_changes_no_counts_except_near_filaments.
    assert (~np.isclose(field, whole, rtol=1.3e-4, atol=1e-2)).mean() < 1e-4


def test_a_missing_value_is_refused():
    pieces = plan(WHOLE, 3)
    with pytest.raises(ValueError, match="shorter"):
        assemble(WHOLE, pieces, map(render, pieces[:2]))


def test_zero_tasks_are_refused():
    with pytest.raises(ConfigError, match="tasks is 0"):
        plan(WHOLE, 0)
