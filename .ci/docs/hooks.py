"""What MkDocs calls while it builds the site: it adds the pages that are not files of ``docs/``.

These are the Markdown files of the repository's root, the commands, the notebooks, an index of the decisions,
and the files to which pages link.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))  # MkDocs loads this file by its path
import command_pages
import links
import notebook_pages

_ROOT = Path(__file__).parents[2]
_ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "ARCHITECTURE.md": "built/architecture.md",
    "CONTRIBUTING.md": "built/contributing.md",
}
"""The path in the site of each Markdown file of the root."""

_LANGUAGES = {".py": "python", ".toml": "toml", ".ipynb": "json", ".sh": "bash"}

_PRINTED = re.compile(r"(^```python\n(?:(?!```).*\n)*```\n\n)```text$", re.MULTILINE)
"""Code, and a block of text right behind it, which is what the code prints (a test compares them)."""

_places: dict[str, str] = {}
"""For each path in the repository that is in the site, its path there."""


def on_config(config: MkDocsConfig) -> None:
    """Add the decisions to what can be navigated to."""
    sections = {title: pages for section in config.nav or () for title, pages in section.items()}
    sections["How it is built"][-1]["Decisions"] += [f"decisions/{path.name}" for path in _decisions()]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and those of the files to which pages link."""
    _places.clear()
    _places.update({f"docs/{file.src_uri}": file.src_uri for file in files})
    for path, place in _ROOT_PAGES.items():
        _add(files, config, place, (_ROOT / path).read_text(), path)
    for name, content in command_pages.pages().items():
        _add(files, config, f"commands/{name}", content)
    for name, page in notebook_pages.pages(_ROOT / "notebooks"):
        _add(files, config, f"notebooks/{name}", page, f"notebooks/{name}".replace(".md", ".ipynb"))
    _add(files, config, "decisions/index.md", _index_of_decisions(), "docs/decisions/index.md")
    folders = {
        path.removesuffix("/index.md"): place for path, place in _places.items() if "/index.md" in path
    }
    _places.update(folders, notebooks="notebooks/01_hello.md")
    for path in sorted(_linked_files(files)):
        _add(files, config, f"source/{path.lstrip('.')}.md", _shown_file(path), path)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn the links of a page into those of the site, and mark what its code prints."""
    place = page.file.src_uri
    marked = _PRINTED.sub(r"\1``` { .text .output .no-copy }", markdown)
    return links.rewritten(marked, _path_of(place), place, _places)


def _add(
    files: Files, config: MkDocsConfig, place: str, content: str | bytes, path: str | None = None
) -> None:
    """Add a file to the site, and remember the path in the repository that it stands for."""
    files.append(File.generated(config, place, content=content))
    if path is not None:
        _places[path] = place


def _path_of(place: str) -> str:
    """Return the path in the repository of a page: links of its text are relative to it."""
    return next((path for path, known in _places.items() if known == place), f"docs/{place}")


def _linked_files(files: Files) -> set[str]:
    """Return the files of the repository to which pages link and that are not in the site yet."""
    found = {
        target
        for page in files.documentation_pages()
        for target in links.targets(page.content_string, _path_of(page.src_uri))
    }
    return {path for path in found - _places.keys() if (_ROOT / path).is_file()}


def _shown_file(path: str) -> str:
    """Return a page that shows a file of the repository."""
    text = (_ROOT / path).read_text()
    fence = "`" * (3 + max((len(run) for run in re.findall("`+", text)), default=0))
    language = _LANGUAGES.get(Path(path).suffix, "text")
    return f"---\nsearch:\n  exclude: true\n---\n# {path}\n\n{fence}{language}\n{text}\n{fence}\n"


def _decisions() -> list[Path]:
    """Return the files of the decisions, by number."""
    return sorted((_ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def _index_of_decisions() -> str:
    """Return a page with the number and title of each decision."""
    lines = ["# Decisions", "", "Each decision that could have been made differently, with its reasons.", ""]
    for path in _decisions():
        number, _, title = path.read_text().partition("\n")[0].removeprefix("# ").partition(". ")
        lines.append(f"{number}. [{title}]({path.name})")
    return "\n".join(lines) + "\n"
