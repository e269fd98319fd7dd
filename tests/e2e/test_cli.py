"""The command ``wrenlite``, as it is typed."""

import fcntl
import importlib.metadata
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def test_the_demo_writes_its_pictures_and_says_what_it_took(tmp_path):
    ended = run("demo", "--count", "5", "--out", str(tmp_path / "out"), "--workers", "2", "--seed", "3")
    assert ended.returncode == 0, ended.stderr
    rows = dict(re.split(r"\s{2,}", line) for line in ended.stdout.splitlines())
    assert set(rows) == {"tasks", "wall time", "CPU time", "speed-up", "slowest task", "pictures"}
    assert rows["tasks"] == "65"
    assert rows["pictures"] == f"6 in {tmp_path / 'out'}/"
    pictures = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(pictures) == 6
    poster = np.asarray(Image.open(tmp_path / "out" / "mandelbrot-poster.png"))
    assert poster.shape == (900, 1600, 3)
    assert poster.std() > 30  # neither bare nor grey


def test_the_same_seed_makes_the_same_pictures(tmp_path):
    for name in ("a", "b"):
        assert run("demo", "fractals", "--count", "2", "--out", str(tmp_path / name)).returncode == 0
    for picture in (tmp_path / "a").iterdir():
        assert picture.read_bytes() == (tmp_path / "b" / picture.name).read_bytes()


def test_the_demo_draws_a_line_on_a_terminal(tmp_path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 25, 100, 0, 0))
    process = subprocess.Popen(
        [COMMAND, "demo", "--count", "40", "--out", str(tmp_path), "--workers", "1"],
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # what Linux says when the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    assert re.search(rb"render on 1 local worker: +\d+%\|", seen)
    assert b"100/100" in seen
