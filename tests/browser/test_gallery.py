"""The showcase notebooks in JupyterLab: their choosers change the pictures without new computation."""

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.notebook import DARK, LIGHT
from tests.notebooks import with_small_pictures

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
_COLOUR = "node => getComputedStyle(node).color"
_FILL = "node => getComputedStyle(node).backgroundColor"


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


@pytest.mark.timeout(300)
def test_pictures_a_table_seasons_and_maps_are_shown_from_an_archive_made_by_the_notebook(notebook):
    code = sources("03_landsat_ndvi")
    opened = notebook(*code)
    opened.run(timeout=120)
    table = cell_with(code, "month_table(points")
    expect(opened.outputs(table, "table tbody tr")).to_have_count(12)
    expect(opened.outputs(table, "table caption")).to_contain_text("synthetic")
    for words in ("figures.globe(", "true_colour(", "figures.seasons(", "ndvi_maps(", "ndvi_map(", "season("):
        picture = opened.outputs(cell_with(code, words), "img").last
        assert picture.bounding_box()["width"] > 400, words
    speed = cell_with(code, "together = ")
    opened.cell(speed).scroll_into_view_if_needed()  # what is far outside of the page is not drawn
    opened.wait_for_text(speed, "times as fast")
    opened.screenshot()
    assert opened.errors() == []


def test_the_saved_landsat_notebook_can_be_read_untrusted_in_both_themes_and_on_a_narrow_page(notebook):
    saved = nbformat.read(NOTEBOOKS / "03_landsat_ndvi.ipynb", 4)
    opened = notebook("")
    nbformat.write(saved, opened.file)
    opened.reopen()
    opened.hide_files()
    opened.page.set_viewport_size({"width": 620, "height": 900})
    try:
        table = cell_with([cell.source for cell in saved.cells], "month_table(points")
        hidden = opened.outputs(table, "td >> text=cloud").first
        value, cloud = opened.outputs(table, "td").nth(0), opened.outputs(table, "td").nth(1)
        for theme in (LIGHT, DARK):
            opened.theme(theme)
            hidden.scroll_into_view_if_needed()
            assert hidden.evaluate(_FILL) == "rgba(0, 0, 0, 0)"
            assert hidden.evaluate(_COLOUR) != cloud.evaluate(_COLOUR), "fainter than the text of the page"
            assert value.evaluate(_FILL).startswith("rgb(")
            opened.screenshot(theme.split()[-1].lower())
        for picture in opened.page.locator(".jp-OutputArea-output img").all():
            box = picture.bounding_box()
            assert box["x"] + box["width"] <= 620
    finally:
        opened.page.set_viewport_size({"width": 1280, "height": 900})
