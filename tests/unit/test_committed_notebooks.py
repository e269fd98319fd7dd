"""The notebooks as they are committed: a reader without a kernel sees every output of a run from the top."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
VIEW = "application/vnd.jupyter.widget-view+json"
PICTURES = {"image/png", "image/jpeg"}
"""The types that every front end and converter shows. nbconvert leaves out WebP, and SVG needs trust."""

_MACHINE_PATH = re.compile(r"/(work|root|tmp|home|Users)\b")
_DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]*")


@pytest.fixture(params=NOTEBOOKS, ids=lambda file: file.stem)
def file(request):
    return request.param


@pytest.fixture
def code(file):
    """The code cells of a notebook."""
    return [cell for cell in nbformat.read(file, 4).cells if cell.cell_type == "code"]


def shows_something(source):
    """Return whether a cell prints, displays, or ends with a value."""
    body = ast.parse(source).body
    calls = [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.Call)]
    if any(isinstance(call.func, ast.Name) and call.func.id in ("print", "display") for call in calls):
        return True
    last = body[-1]
    returns_nothing = isinstance(last, ast.Expr) and ast.unparse(last.value) == "executor.shutdown()"
    return isinstance(last, ast.Expr) and not source.rstrip().endswith(";") and not returns_nothing


def texts(output):
    """Return the texts of an output, without pictures."""
    data = [text for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    return [_DATA_URI.sub("", text) for text in [*data, output.get("text", ""), *output.get("traceback", ())]]


def test_there_are_three():
    assert [file.stem for file in NOTEBOOKS] == ["01_hello", "02_fractals", "03_landsat_ndvi"]


def test_it_was_run_once_from_top_to_bottom(code):
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_it_is_small(file):
    assert file.stat().st_size < 2_000_000


def test_it_has_no_state_of_widgets(file):
    assert "widgets" not in nbformat.read(file, 4).metadata


def test_every_cell_that_shows_something_has_outputs(code):
    assert [cell.source for cell in code if shows_something(cell.source) and not cell.outputs] == []


def test_errors_are_only_where_they_are_expected(code):
    failed = [cell for cell in code if any(output.output_type == "error" for output in cell.outputs)]
    assert [cell.source for cell in failed if "raises-exception" not in cell.metadata.get("tags", ())] == []


def test_nothing_was_written_to_stderr(code):
    assert [output.text for cell in code for output in cell.outputs if output.get("name") == "stderr"] == []


def test_no_output_has_a_path_of_the_machine(code):
    shown = [text for cell in code for output in cell.outputs for text in texts(output)]
    assert [text for text in shown if _MACHINE_PATH.search(text)] == []


def test_every_picture_has_a_type_that_is_shown_everywhere(code):
    kinds = [set(output.get("data", {})) for cell in code for output in cell.outputs]
    assert any(shown & PICTURES for shown in kinds)
    pictures = [shown for shown in kinds if any(kind.startswith("image/") for kind in shown)]
    assert [shown for shown in pictures if not shown & PICTURES] == []


def test_beside_every_widget_is_a_picture(code):
    for cell in code:
        kinds = [set(output.get("data", {})) for output in cell.outputs]
        if any(VIEW in shown for shown in kinds):
            assert any(shown & PICTURES for shown in kinds), cell.source
