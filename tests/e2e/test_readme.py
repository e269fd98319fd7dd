"""The README and pages: their Python runs and prints what they say, and the commands that they name exist."""

import contextlib
import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import click
import pytest

from wrenlite.cli import main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *(page for page in sorted((ROOT / "docs").rglob("*.md")) if "decisions" not in page.parts)]

BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_INSTALLED = re.compile(r"^(?:import|from) (?:lithops|pywren)\b", re.MULTILINE)
"""What a block has that shows another library which is not installed for development."""
SLOW = "make_archive("
"""What a block has that needs the synthetic archive."""


def program_of(page):
    """Return the Python blocks of a page as one program, with the numbers that the page's lines have."""
    text, lines = page.read_text(), []
    for block in BLOCK.finditer(text):
        if block[1] == "python":
            compile(block[2], str(page), "exec")
            lines += [""] * (text.count("\n", 0, block.start(2)) - len(lines))
            lines += [] if NOT_INSTALLED.search(block[2]) else block[2].splitlines()
    return "\n".join(lines)


def printed_by(page):
    """Return what the program of a page prints, as the page says in blocks of text behind those of Python."""
    text = page.read_text()
    blocks = list(BLOCK.finditer(text))
    pairs = itertools.pairwise(blocks)
    return [
        after[2]
        for before, after in pairs
        if (before[1], after[1]) == ("python", "text") and not text[before.end() : after.start()].strip()
    ]


PROGRAMS = {str(page.relative_to(ROOT)): program for page in PAGES if (program := program_of(page)).strip()}


READ_FIRST = ("README.md", "docs/start.md")
"""The pages that `make test` runs, too; the others are for `make e2e`."""


def marks_of(name):
    """Return the marks of the test of a page."""
    slow = [pytest.mark.timeout(400)] if SLOW in PROGRAMS[name] else []
    return slow if name in READ_FIRST else [pytest.mark.e2e, *slow]


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks_of(name)) for name in PROGRAMS])
def test_the_python_of_a_page_runs(name, tmp_path, request):
    program = PROGRAMS[name]
    if SLOW in program:
        request.getfixturevalue("landsat_cache")
    if "Executor.aws(" in program:
        request.getfixturevalue("bed").settings(concurrency=16)  # a process each, on this machine
    (tmp_path / "page.py").write_text(program)
    env = {**os.environ, "WRENLITE_PROGRESS": "false"}  # without the progress lines of a slow machine
    ended = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout
    for text in printed_by(ROOT / name):
        assert text in ended.stdout


def test_the_programs_are_found():
    assert len(PROGRAMS) >= 8


def test_make_targets_that_the_readme_names_exist():
    makefile = (README.parent / "Makefile").read_text()
    targets = re.findall(r"^    make (\w+)", README.read_text(), re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def commands_of(page):
    """Yield the commands that a page shows: lines of code, and code within a sentence. Not forms of them."""
    text = re.sub(
        r"^```sh\n(.*?)^```", lambda block: indent(block[1], "    "), page.read_text(), flags=re.M | re.S
    )
    text = re.sub(r"\\\n +", "", text)
    for line, within in re.findall(
        r"^    (wrenlite(?:-setup)?(?: .*)?)$|`(wrenlite(?:-setup)?(?:\s[^`]*)?)`", text, re.MULTILINE
    ):
        command = re.sub(r"\bN\b", "1", line or " ".join(within.split()))
        if not re.search(r"[…|[]", command):
            yield command


def parse(command, words):
    """Parse a command as its program would, without running it."""
    context = command.make_context(command.name, list(words))
    more = [*context._protected_args, *context.args]
    if isinstance(command, click.Group) and more:
        _, inner, rest = command.resolve_command(context, more)
        parse(inner, rest)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(commands_of(page))], ids=lambda page: page.name
)
def test_the_commands_of_a_page_are_valid(page):
    for command in commands_of(page):
        program, *words = shlex.split(command.replace("wrenlite-setup", "wrenlite setup"), comments=True)
        assert program == "wrenlite"
        with contextlib.suppress(
            click.MissingParameter, click.exceptions.Exit, click.exceptions.NoArgsIsHelpError
        ):
            parse(main, words)
