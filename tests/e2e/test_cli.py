"""The command ``wrenlite``, as it is typed."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wrenlite

COMMAND = str(Path(sys.executable).with_name("wrenlite"))


def run(*arguments, **options):
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False, **options)


def test_version_and_info():
    assert run("--version").stdout == f"wrenlite, version {wrenlite.__version__}\n"
    assert importlib.metadata.version("wrenlite") == wrenlite.__version__
    text = run("info", env={**os.environ, "WRENLITE_WORKERS": "3"}).stdout
    assert re.search(r"^backend +3 local workers$", text, re.MULTILINE)
    assert re.search(rf"^cloudpickle +{importlib.metadata.version('cloudpickle')}$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("WRENLITE_WORKERS", "none", "WRENLITE_*): workers = 'none'"),
        ("WRENLITE_LOGLEVEL", "loud", "must be DEBUG"),
    ],
)
def test_settings_that_cannot_be_are_one_line(variable, value, words):
    ended = run("info", env={**os.environ, variable: value})
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
