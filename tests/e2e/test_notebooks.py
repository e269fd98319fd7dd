"""The notebooks run from top to bottom, as a user runs them, and are saved with their outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from tests.notebooks import with_small_pictures

pytestmark = pytest.mark.e2e

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs(file, tmp_path, monkeypatch, landsat_cache):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = with_small_pictures(nbformat.read(file, 4))
    NotebookClient(
        notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("done" in data.get("text/html", "") for data in shown), "the panel of a job"
    assert any("image/png" in data for data in shown), "its timeline"


def test_without_ipywidgets_the_panel_is_plain_html(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    cells = (
        "import sys, time; sys.modules['ipywidgets'] = None; import wrenlite",
        "wrenlite.Executor.local(2).map(time.sleep, [0.4] * 4).wait()",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": tmp_path}}
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()
    shown, result = notebook.cells[1].outputs
    assert "4 done" in shown.data["text/html"]
    assert shown.data["text/plain"].startswith("map sleep × 4 on 2 local workers · done")
    assert result.data["text/plain"] == "True"


def test_nbconvert_shows_the_saved_outputs():
    text, _ = HTMLExporter().from_filename(str(NOTEBOOKS[0]))
    assert "map slow × 60 on 2 local workers · done" in text
    assert "data:image/png;base64," in text


def test_the_notebooks_are_found():
    assert [file.stem for file in NOTEBOOKS] == ["01_hello", "02_fractals", "03_landsat_ndvi"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_saved_with_outputs_and_is_small(file):
    cells = [cell for cell in nbformat.read(file, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert file.stat().st_size < 2_000_000
