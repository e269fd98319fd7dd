"""The command ``wrenlite`` as a user runs it."""

import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import wrenlite
from wrenlite.cli import main

COMMAND = str(Path(sys.executable).with_name("wrenlite"))


def run(*arguments, **options):
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False, **options)


def test_version_and_info():
    assert run("--version").stdout == f"wrenlite, version {wrenlite.__version__}\n"
    as_module = [sys.executable, "-m", "wrenlite", "info", "--json"]
    assert json.loads(subprocess.check_output(as_module))["wrenlite"] == wrenlite.__version__
    assert importlib.metadata.version("wrenlite") == wrenlite.__version__
    text = run("info", env={**os.environ, "WRENLITE_WORKERS": "3"}).stdout
    assert re.search(r"^backend +3 local workers$", text, re.MULTILINE)
    assert re.search(rf"^cloudpickle +{importlib.metadata.version('cloudpickle')}$", text, re.MULTILINE)


def test_info_as_json():
    found = json.loads(run("info", "--json", env={**os.environ, "WRENLITE_WORKERS": "3"}).stdout)
    assert set(found) == {"backend", "python", "executable", "platform", "wrenlite", "packages"}
    assert found["backend"] == "3 local workers"
    assert found["wrenlite"] == wrenlite.__version__
    assert found["packages"]["cloudpickle"] == importlib.metadata.version("cloudpickle")


def commands(command=main, path=()):
    """Yield the words of each command and the command, groups included."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


COMMANDS = dict(commands())


def test_the_walk_finds_commands_of_groups():
    assert {(), ("info",), ("demo",), ("demo", "fractals"), ("setup",), ("status",)} <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_each_command_ends_with_an_example_that_is_valid(path):
    ended = CliRunner().invoke(main, [*path, "--help"])
    assert ended.exit_code == 0
    found = re.findall(r"^ *Example: (wrenlite.+?)(?:\n\n|\Z)", ended.stdout, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, "its help has one example"
    words = shlex.split(found[0].replace("wrenlite-setup", "wrenlite setup"))
    assert tuple(words[: len(path) + 1]) == ("wrenlite", *path)
    if not isinstance(COMMANDS[path], click.Group):
        assert COMMANDS[path].make_context(path[-1], words[len(path) + 1 :]), "its options exist"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("WRENLITE_WORKERS", "none", "WRENLITE_WORKERS='none': must be a whole number"),
        ("WRENLITE_LOGLEVEL", "loud", "must be DEBUG"),
    ],
)
def test_invalid_settings_are_refused_in_one_line(variable, value, words):
    ended = run("info", env={**os.environ, variable: value})
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
