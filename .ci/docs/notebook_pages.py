"""The notebooks as pages: their cells and the outputs that are saved with them. Nothing runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbconvert import MarkdownExporter

_TEMPLATE = """
{% extends "markdown/index.md.j2" %}
{% macro printed(text) %}
`````{ .text .output .no-copy }
{{ text | strip_ansi }}
`````
{% endmacro %}
{% block stream %}{{ printed(output.text) }}{% endblock stream %}
{% block data_text scoped %}{{ printed(output.data["text/plain"]) }}{% endblock data_text %}
{% block data_html scoped %}
{%- if "xr-wrap" in output.data["text/html"] %}{{ printed(output.data["text/plain"]) }}
{%- else %}<div class="shown">{{ output.data["text/html"] }}</div>{% endif %}
{% endblock data_html %}
{% block error %}{{ printed(output.traceback | join("\n")) }}{% endblock error %}
"""
"""Outputs that are text get a class of their own, so that they do not look like code. Others may be wider
than the page. Of xarray the text is shown: its tables and the styles of the site spoil each other."""

_TABLE = re.compile(r'<style scoped>.*?</style>\s*|(?<=<table) border="1" class="dataframe"', re.DOTALL)
"""What pandas says of the looks of a table: the site's tables have one look."""


def pages(notebooks: Path) -> Iterator[tuple[str, str | bytes]]:
    """Yield the name and the content of each file: the pages, and the pictures in their outputs."""
    loader = DictLoader({"page.md.j2": _TEMPLATE})
    exporter = MarkdownExporter(extra_loaders=[loader], template_file="page.md.j2")
    for path in sorted(notebooks.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        folder = f"{path.stem}_files"
        body, made = exporter.from_notebook_node(
            notebook, resources={"unique_key": path.stem, "output_files_dir": folder}
        )
        yield f"{path.stem}.md", _TABLE.sub("", body)
        yield from made["outputs"].items()
