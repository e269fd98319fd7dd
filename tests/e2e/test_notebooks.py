"""The notebooks run from top to bottom, as somebody who opens one would run it."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs(file, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(file, 4)
    NotebookClient(
        notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    shown = {
        kind: text
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        for kind, text in output.get("data", {}).items()
    }
    assert "done" in shown["text/html"], "the panel of a job"
    assert "image/png" in shown, "its timeline"


def test_there_are_notebooks():
    assert [file.stem for file in NOTEBOOKS] == ["01_hello"]
