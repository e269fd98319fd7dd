"""The README and pages: their snippets run, and the targets and commands that the README names exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
PAGES = [README, *sorted((README.parent / "docs").glob("*.md"))]
SNIPPETS = {
    f"{page.stem}-{place}": snippet
    for page in PAGES
    for place, snippet in enumerate(
        re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    )
}


SLOW = "make_archive("
"""What a snippet has that needs the synthetic archive."""


@pytest.mark.parametrize(
    "snippet",
    [
        pytest.param(snippet, marks=[pytest.mark.e2e] if SLOW in snippet else [], id=name)
        for name, snippet in SNIPPETS.items()
    ],
)
def test_a_snippet_runs(snippet, tmp_path, request):
    if SLOW in snippet:
        request.getfixturevalue("landsat_cache")
    if "Executor.aws(" in snippet:
        request.getfixturevalue("bed").settings(concurrency=16)  # a process each, on this machine
    env = {**os.environ, "WRENLITE_PROGRESS": "false"}  # without the progress lines of a slow machine
    ended = subprocess.run(
        [sys.executable, "-c", snippet],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout


def test_the_snippets_are_found():
    assert len(SNIPPETS) >= 2


def test_make_targets_that_the_readme_names_exist():
    makefile = (README.parent / "Makefile").read_text()
    targets = re.findall(r"^    make (\w+)", README.read_text(), re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_commands_that_the_readme_names_exist():
    from wrenlite.cli import main

    named = set(re.findall(r"(?:^    |`)wrenlite (\w+)", README.read_text(), re.MULTILINE))
    assert {"demo", "doctor", "destroy"} <= named <= set(main.commands)
