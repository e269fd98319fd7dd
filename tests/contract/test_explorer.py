"""The explorer of the fractals without a browser: its tasks, its colours, its errors."""

import pytest

import wrenlite
from wrenlite.errors import ArgumentError, ConfigError
from wrenlite.gallery.fractals import explore

SMALL = {"width": 160, "height": 100, "smoothness": 1, "iters": 200}


@pytest.fixture
def executor():
    with wrenlite.Executor.local(2, progress=False) as opened:
        yield opened


@pytest.fixture
def opened(executor):
    """An explorer with a complete view."""
    explorer = explore(executor, **SMALL)
    assert explorer.wait(30)
    yield explorer
    explorer.close()


def controls(explorer):
    return {each.description: each for each in explorer.widget.children[0].children}


def page(explorer):
    return explorer.widget.children[1]


def test_tiles_of_one_job_complete_the_view_and_no_panel_appears(opened, capsys):
    assert "complete" in page(opened).status
    assert page(opened).progress == 1
    assert page(opened).picture.startswith(b"\xff\xd8")
    assert opened.job.snapshot().done == len(opened.job) > 1
    assert capsys.readouterr() == ("", "")


def test_buttons_move_the_view(opened):
    first = opened.options
    assert controls(opened)["Back"].disabled
    controls(opened)["Zoom out"].click()
    assert opened.options.radius == "16"
    assert opened.wait(30)
    assert not controls(opened)["Back"].disabled
    controls(opened)["Start over"].click()
    assert opened.options == first
    controls(opened)["Back"].click()
    assert opened.options.radius == "16"
    controls(opened)["Iterations"].value = 50
    assert "--iters=50" in opened.command
    assert opened.wait(30)
    assert "complete" in page(opened).status


def test_a_view_without_any_point_outside_says_so(executor):
    explorer = explore(executor, **SMALL, xpos=-0.1, ypos=0, radius=0.1)
    assert explorer.wait(30)
    assert "no point escapes within 200 iterations" in page(explorer).status
    explorer.close()


def test_another_palette_needs_no_task(opened):
    job, picture = opened.job, page(opened).picture
    controls(opened)["Palette"].value = "Vivid"
    assert page(opened).picture != picture
    assert opened.job is job
    assert "Vivid" in opened.python


def test_what_is_refused_is_said_on_the_page_and_the_view_stays(opened):
    for _ in range(5):
        controls(opened)["Zoom out"].click()
    assert "farther than 1000" in page(opened).problem
    assert opened.options.radius == "1024"
    controls(opened)["Back"].click()
    assert page(opened).problem == ""


def test_an_executor_that_was_shut_down_is_said_on_the_page(executor):
    explorer = explore(executor, **SMALL)
    explorer.wait(30)
    executor.shutdown()
    controls(explorer)["Zoom out"].click()
    assert explorer.wait(30)
    assert "shut down" in page(explorer).problem
    assert "not complete" in page(explorer).status
    explorer.close()


def test_closing_cancels_the_work():
    with wrenlite.Executor.local(1, progress=False) as executor:
        explorer = explore(executor, kind="burning-ship", iters=100_000, width=160, height=100)
        while explorer.job is None:
            assert not explorer.wait(0.01)
        explorer.close()
        assert explorer.job.wait(30)
        assert explorer.job.snapshot().cancelled > 0
        assert explorer.wait(0)


def test_a_wrong_call_is_refused_before_anything_runs(executor):
    with pytest.raises(ArgumentError, match="must be an Executor"):
        explore("local")
    with pytest.raises(ConfigError, match="colour is not an option"):
        explore(executor, colour="red")
