"""Run notebooks from top to bottom, and save them with their outputs.

Run: python .ci/run_notebooks.py FILE...
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

VIEW = "application/vnd.jupyter.widget-view+json"


def run(file: Path) -> None:
    """Run a notebook in an empty folder, and replace the file."""
    notebook = nbformat.read(file, 4)
    notebook.metadata.pop("widgets", None)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IPYTHONDIR"] = folder
        NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            store_widget_state=False,
            record_timing=False,
            coalesce_streams=True,
        ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # A saved widget is the words "model not found", and an empty place is a gap.
            cell.outputs = [output for output in cell.outputs if is_shown_without_a_kernel(output)]
    nbformat.write(notebook, file)


def is_shown_without_a_kernel(output: nbformat.NotebookNode) -> bool:
    """Return whether an output shows something in a notebook that nobody runs."""
    data = output.get("data")
    return data is None or (VIEW not in data and any(data.values()))


for name in sys.argv[1:]:
    run(Path(name))
    print(name)
