"""Parts of the documentation site that ``.ci/docs`` makes, and links of the pages to other sites."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest

from wrenlite.cli import main

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / ".ci" / "docs"))
import command_pages  # noqa: E402
import links  # noqa: E402

PLACES = {"ARCHITECTURE.md": "built/architecture.md", "docs/a/b.md": "a/b.md", "wrenlite/x.py": "source/x.md"}


@pytest.mark.parametrize(
    ("page", "place", "link", "there"),
    [
        ("docs/c.md", "c.md", "[a](a/b.md#part)", "[a](a/b.md#part)"),
        ("docs/a/c.md", "a/c.md", "[a](../../ARCHITECTURE.md)", "[a](../built/architecture.md)"),
        ("README.md", "index.md", "[`x`](wrenlite/x.py)", "[`x`](source/x.md)"),
        ("ARCHITECTURE.md", "built/architecture.md", '<img src="docs/a/b.md">', '<img src="../a/b.md">'),
        (
            "docs/c.md",
            "c.md",
            "[there](https://a.example/ARCHITECTURE.md)",
            "[there](https://a.example/ARCHITECTURE.md)",
        ),
        ("README.md", "index.md", "```\n[a](docs/a/b.md)\n```", "```\n[a](docs/a/b.md)\n```"),
        ("README.md", "index.md", "[missing](docs/z.md)", "[missing](docs/z.md)"),
    ],
)
def test_a_link_of_the_repository_becomes_one_of_the_site(page, place, link, there):
    assert links.rewritten(link, page, place, PLACES) == there


def commands(command, path):
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, f"{path} {name}")


def test_the_pages_have_every_command_and_every_option():
    text = "\n".join(command_pages.pages().values())
    for path, command in commands(main, "wrenlite"):
        assert f"{{ #{path.replace(' ', '-')} }}" in text or path == "wrenlite"
        options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
        assert [each.opts[0] for each in options if each.opts[0] not in text] == []


@pytest.fixture(scope="module")
def pages():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name: (ROOT / name).read_text() for name in listed.stdout.split()}


def test_lists_are_lists_for_both_readers_of_markdown(pages):
    """GitHub needs no empty line before a list and two spaces before what is nested; MkDocs needs four."""
    code = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
    joined, nested = r"^(?![-*] |\d+\. | |$).+\n(?:[-*]|\d+\.) .*", r"^ {1,3}(?:[-*]|\d+\.) .*"
    wrong = re.compile(f"{joined}|{nested}", re.MULTILINE)
    assert {name: found for name, text in pages.items() if (found := wrong.findall(code.sub("", text)))} == {}


def test_links_to_other_sites_are_well_formed(pages):
    text = "\n".join(pages.values())
    addresses = set(re.findall(r"\]\((https?:[^)]*)\)", text))
    assert addresses
    wrong = [
        each for each in addresses if urlsplit(each).scheme != "https" or "." not in urlsplit(each).netloc
    ]
    assert wrong == []
