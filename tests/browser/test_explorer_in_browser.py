"""The explorer in a notebook: it is used with the mouse, and the saved notebook keeps a picture."""

import html
import json

import pytest
from playwright.sync_api import expect

from tests.browser.notebook import DARK

SLOW_SHIP = """
import wrenlite
from wrenlite.gallery.fractals import explore
executor = wrenlite.Executor.local(2)
explorer = explore(executor, kind="burning-ship", iters=100_000, width=480, height=300)
explorer
"""
"""Points inside take seconds; a view without any takes a moment."""


def wait_for_status(opened, words):
    status = opened.outputs(0, ".wrenlite-explorer .status").last
    expect(status).to_contain_text(words, timeout=30_000)


def box_of(opened):
    return opened.wait_for(0, ".wrenlite-explorer .stage").bounding_box()


def click(opened, across, down, **options):
    box = box_of(opened)
    position = {"x": across * box["width"], "y": down * box["height"]}
    opened.outputs(0, ".wrenlite-explorer .stage").click(position=position, **options)


def said(opened, cell):
    """Run a cell again, and return what it prints."""
    opened.run(cell)
    return opened.text(cell)


@pytest.mark.timeout(180)
def test_it_is_used_with_the_mouse_and_leaves_a_picture_in_the_saved_notebook(notebook):
    opened = notebook(
        SLOW_SHIP,
        "print(explorer.options.radius, explorer.options.palette)",
        "stale = explorer.job",
        "stale.wait(30)\nprint(stale.snapshot().cancelled > 0, explorer.job is stale)",
        "explorer.job is stale",
    )
    opened.hide_files()
    opened.run(0)
    size = box_of(opened)
    wait_for_status(opened, "tasks done")
    opened.screenshot("coarse")
    opened.run(2)
    # A click cancels what is computed for the view before, and finer tiles replace the preview.
    image = opened.outputs(0, ".wrenlite-explorer img")
    click(opened, 0.1, 0.1)
    coarse = image.get_attribute("src")
    wait_for_status(opened, "complete")
    expect(image).not_to_have_attribute("src", coarse)
    assert said(opened, 3) == "True False"
    assert said(opened, 1) == "0.02875 Hippi"
    assert box_of(opened) == size
    # Other colours need no task.
    opened.run(2)
    finished = image.get_attribute("src")
    opened.outputs(0, "select").select_option("Vivid")
    expect(image).not_to_have_attribute("src", finished)
    assert said(opened, 4) == "True"
    assert opened.outputs(0, ".wrenlite-panel").count() == 0
    opened.screenshot("zoomed")
    opened.theme(DARK)
    opened.screenshot("dark")
    # What is saved shows the view.
    opened.save()
    outputs = json.loads(opened.file.read_text())["cells"][0]["outputs"]
    page = "".join(outputs[0]["data"]["text/html"])
    assert "data:image/jpeg" in page
    assert opened.outputs(0, ".link code").last.inner_text() in html.unescape(page)
    assert len(page) < 300_000
    # Back, by a click with Shift. Running the cell again ends the work of the explorer that was there.
    click(opened, 0.5, 0.5, modifiers=["Shift"])
    wait_for_status(opened, "tasks done")
    assert said(opened, 1) == "0.115 Vivid"
    opened.run(2, 0)
    assert said(opened, 3) == "True False"
    opened.restart_kernel()
    expect(opened.outputs(0, ".dead")).to_be_visible()
