"""The notebooks as pages: their cells and the outputs that are saved with them. Nothing runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter


def pages(notebooks: Path) -> Iterator[tuple[str, str | bytes]]:
    """Yield the name and the content of each file: the pages, and the pictures in their outputs."""
    exporter = MarkdownExporter()
    for path in sorted(notebooks.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        folder = f"{path.stem}_files"
        body, made = exporter.from_notebook_node(
            notebook, resources={"unique_key": path.stem, "output_files_dir": folder}
        )
        yield f"{path.stem}.md", body
        yield from made["outputs"].items()
