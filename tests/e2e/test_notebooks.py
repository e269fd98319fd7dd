"""The notebooks run from top to bottom, as a user runs them, and are saved with their outputs."""

import re
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


def executed(tmp_path, *sources):
    """Run cells in a kernel without a front end, and return the outputs of each."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    resources = {"metadata": {"path": tmp_path}}
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()
    return [cell.outputs for cell in notebook.cells]


def panels(outputs):
    """Return the first line of each panel among the outputs of a cell."""
    shown = [output.get("data", {}) for output in outputs]
    return [data["text/plain"] for data in shown if "wrenlite-panel" in data.get("text/html", "")]


def test_without_ipywidgets_the_panel_is_the_same_without_a_button(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    _, [shown, result] = executed(
        tmp_path,
        "import sys, time; sys.modules['ipywidgets'] = None; import wrenlite",
        "wrenlite.Executor.local(2).map(time.sleep, [0.7] * 4).wait()",
    )
    assert "4 done" in shown.data["text/html"]
    assert shown.data["text/plain"].startswith("map sleep × 4 on 2 local workers · done")
    assert result.data["text/plain"] == "True"


def test_each_job_is_in_the_panel_of_the_cell_that_started_it(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    _, short, not_waited, started, waited, looped, threaded, lambdas = executed(
        tmp_path,
        "import threading, time, wrenlite; executor = wrenlite.Executor.local(2)\n"
        "executor.map(abs, range(3)).results();",
        "executor.map(abs, range(3)).results()",
        "job = executor.map(abs, range(3))",
        "job = executor.map(time.sleep, [0.3] * 6)",
        "job.wait()",
        "for _ in range(3): executor.map(time.sleep, [0.3] * 2).wait()\nNone",
        "thread = threading.Thread(target=lambda: executor.map(time.sleep, [0.5] * 2).results())\n"
        "thread.start(); thread.join(); time.sleep(0.3)",
        "jobs = [executor.submit(lambda i=i: time.sleep(0.05)) for i in range(40)]\n"
        "[job.result() for job in jobs]\nNone",
    )
    assert [output.output_type for output in short] == ["execute_result"], "a short job shows nothing"
    assert [output.get("data") for output in not_waited] in ([], [{}]), "at most a place that stays empty"
    [line] = panels(started)
    assert re.match(r"map sleep × 6 on 2 local workers · done · 0\.9|1\.\d s", line)
    assert panels(waited) == []
    [lines] = panels(looped)
    assert [line.split(" ·")[0] for line in lines.splitlines()] == ["map sleep × 2 on 2 local workers"] * 3
    [line] = panels(threaded)
    assert line.startswith("map sleep × 2 on 2 local workers · done")
    [line] = panels(lambdas)
    assert line.startswith("40 jobs with 40 tasks on 2 local workers · done")


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
