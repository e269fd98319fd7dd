"""The showcase notebooks in JupyterLab: their choosers change the pictures without new computation."""

from pathlib import Path

import nbformat
from playwright.sync_api import expect

from tests.notebooks import with_small_pictures

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def sources(name):
    """Return the code cells of a notebook, with small pictures."""
    cells = with_small_pictures(nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def cell_with(code, words):
    """Return the number of the first cell whose code has these words."""
    return next(number for number, source in enumerate(code) if words in source)


def test_the_palette_chooser_and_the_julia_slider_change_their_pictures(notebook):
    code = sources("02_fractals")
    chooser, slider = cell_with(code, "Dropdown("), cell_with(code, "IntSlider(")
    opened = notebook(*code)
    opened.run(timeout=120)
    picture = opened.wait_for(chooser, "> img")
    before = picture.get_attribute("src")
    opened.outputs(chooser, "select").select_option("Vivid")
    expect(picture).not_to_have_attribute("src", before)
    assert opened.outputs(chooser, "> img").count() == 1
    opened.screenshot("palette")
    picture = opened.outputs(slider, "> img").last
    before = picture.get_attribute("src")
    opened.outputs(slider, ".noUi-handle").press("ArrowRight")
    expect(picture).not_to_have_attribute("src", before)
    opened.screenshot("julia")
    assert opened.errors() == []


def test_seasons_and_a_map_are_shown_from_an_archive_made_by_the_notebook(notebook):
    code = sources("03_landsat_ndvi")
    opened = notebook(*code)
    opened.run(timeout=120)
    table, seasons = cell_with(code, "background_gradient"), cell_with(code, "curve.daily()")
    expect(opened.outputs(table, "table tbody tr")).to_have_count(16)
    expect(opened.outputs(table, "table caption")).to_contain_text("SYNTHETIC")
    expect(opened.outputs(seasons, "img")).to_have_count(4)
    assert opened.wait_for(cell_with(code, "ndvi_map("), "img").bounding_box()["width"] > 400
    opened.screenshot()
    assert opened.errors() == []
