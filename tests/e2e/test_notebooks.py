"""The notebooks run from top to bottom, as a user runs them, and are saved with their outputs."""

import re
import subprocess
import sys
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
        "begun = time.monotonic(); executor.map(abs, range(3)).results(); time.monotonic() - begun",
        "job = executor.map(abs, range(3))",
        "job = executor.map(time.sleep, [0.3] * 6)",
        "job.wait()",
        "for _ in range(3): executor.map(time.sleep, [0.3] * 2).wait()\nNone",
        "thread = threading.Thread(target=lambda: executor.map(time.sleep, [0.5] * 2).results())\n"
        "thread.start(); thread.join(); time.sleep(0.3)",
        "jobs = [executor.submit(lambda i=i: time.sleep(0.05)) for i in range(40)]\n"
        "[job.result() for job in jobs]\nNone",
    )
    seconds = float(short[-1].data["text/plain"])
    assert len(short) == 1 or seconds > 0.3, "a short job shows nothing"
    assert len(not_waited) <= 1, "at most a place that stays empty"
    assert not any(text for output in not_waited for text in output.data.values())
    [line] = panels(started)
    assert re.match(r"map sleep × 6 on 2 local workers · done · \d+\.\d s", line)
    assert panels(waited) == []
    [lines] = panels(looped)
    assert [line.split(" ·")[0] for line in lines.splitlines()] == ["map sleep × 2 on 2 local workers"] * 3
    [line] = panels(threaded)
    assert line.startswith("map sleep × 2 on 2 local workers · done")
    [line] = panels(lambdas)
    assert line.startswith("40 jobs with 40 tasks on 2 local workers · done")


def count(notebook):
    """Return how many panels, and how many pictures, the outputs of a notebook have."""
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())]
    html = "".join(data.get("text/html", "") for data in shown)
    alone = [data for data in shown if "text/html" not in data and {"image/png", "image/jpeg"} & set(data)]
    return html.count("wrenlite-panel"), html.count("<img") + len(alone)


def count_in_page(page):
    """Return how many panels, and how many pictures, a page has that shows a notebook."""
    return page.count("wrenlite-panel"), page.count("<img")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_nbconvert_shows_the_saved_panels_and_pictures(file):
    page, _ = HTMLExporter().from_filename(str(file))
    assert count_in_page(page) == count(nbformat.read(file, 4))


def test_papermill_runs_a_notebook_with_a_parameter_and_nbconvert_shows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    made = tmp_path / "small.ipynb"
    command = ["papermill", str(NOTEBOOKS[1]), str(made), "-p", "scale", "0.25", "--cwd", str(tmp_path)]
    subprocess.run([sys.executable, "-m", *command, "--no-progress-bar"], check=True)
    notebook = nbformat.read(made, 4)
    [injected] = [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", ())]
    assert "scale = 0.25" in injected.source
    page, _ = HTMLExporter().from_filename(str(made))
    assert re.search(r"map render_piece × 64 on \d+ local workers · done", re.sub("<[^>]+>", "", page))
    assert count_in_page(page) == count(notebook)
