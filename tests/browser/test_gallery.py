"""The showcase notebooks in JupyterLab: what can be chosen changes what is shown, and computes nothing."""

from pathlib import Path

import nbformat
from playwright.sync_api import expect

from tests.notebooks import with_small_pictures

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def sources(name):
    """The code of a notebook, made small."""
    cells = with_small_pictures(nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def where(code, words):
    """The number of the cell that has these words."""
    return next(number for number, source in enumerate(code) if words in source)


def test_the_palette_chooser_and_the_julia_slider(notebook):
    code = sources("02_fractals")
    chooser, slider = where(code, "Dropdown("), where(code, "IntSlider(")
    opened = notebook(*code)
    opened.run(timeout=120)
    picture = opened.wait_for(chooser, "img.widget-image")
    before = picture.get_attribute("src")
    opened.outputs(chooser, "select").select_option("Vivid")
    expect(picture).not_to_have_attribute("src", before)
    opened.screenshot("palette")
    picture = opened.wait_for(slider, "img.widget-image")
    before = picture.get_attribute("src")
    opened.outputs(slider, ".noUi-handle").press("ArrowRight")
    expect(picture).not_to_have_attribute("src", before)
    opened.screenshot("julia")
    assert opened.errors() == []


def test_seasons_and_a_map_from_an_archive_that_is_made_first(notebook):
    code = sources("03_landsat_ndvi")
    opened = notebook(*code)
    opened.run(timeout=120)
    table, seasons = where(code, "background_gradient"), where(code, "curve.daily()")
    expect(opened.outputs(table, "table tbody tr")).to_have_count(16)
    expect(opened.outputs(table, "table caption")).to_contain_text("SYNTHETIC")
    expect(opened.outputs(seasons, "img")).to_have_count(4)
    assert opened.wait_for(where(code, "ndvi_map("), "img").bounding_box()["width"] > 400
    opened.screenshot()
    assert opened.errors() == []
