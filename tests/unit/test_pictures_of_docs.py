"""The pictures of the docs: they exist, are small, and are those that ``make pictures`` makes."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
FOLDER = ROOT / "docs" / "pictures"
FILES = sorted(FOLDER.glob("*"))


@pytest.fixture
def pictures(monkeypatch):
    """What ``make pictures`` makes: a function for each name."""
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    import make_pictures

    return make_pictures.PICTURES


def test_each_picture_is_shown_and_each_that_is_shown_can_be_made(pictures):
    pages = [page.read_text() for page in (README, *(ROOT / "docs").rglob("*.md"))]
    shown = {name for page in pages for name in re.findall(r"pictures/([\w-]+\.webp)", page)}
    assert shown == {file.name for file in FILES} == {f"{name}.webp" for name in pictures}


def test_the_pictures_are_small_and_opaque():
    assert sum(file.stat().st_size for file in FILES) < 1_200_000
    for file in FILES:
        with Image.open(file) as picture:
            assert picture.mode == "RGB", file  # a transparent one would look different on a dark page


def test_the_readme_is_read_in_three_minutes_and_loads_at_once():
    text = README.read_text()
    assert len(text.split()) <= 800
    shown = set(re.findall(r"docs/pictures/([\w-]+\.webp)", text))
    assert {"panel.webp", "traceback.webp", "plot.webp", "collage.webp", "ndvi.webp", "diagram.webp"} == shown
    assert sum((FOLDER / name).stat().st_size for name in shown) < 600_000


@pytest.mark.e2e
@pytest.mark.parametrize("name", ["original-hippi", "wrenlite-hippi", "newton"])
def test_a_picture_is_still_what_its_command_draws(pictures, name):
    with Image.open(FOLDER / f"{name}.webp") as committed:
        difference = np.abs(np.asarray(committed, float) - np.asarray(pictures[name](), float))
    assert difference.mean() < 12  # the loss of WebP, largest where neighbours differ most


@pytest.mark.e2e
@pytest.mark.parametrize("name", ["panel", "traceback", "plot", "ndvi", "diagram"])
def test_a_picture_of_the_readme_can_be_made_again(pictures, name):
    """Only the sizes are compared: times and output differ with each run."""
    with Image.open(FOLDER / f"{name}.webp") as committed:
        made = pictures[name]()
        assert made.width == committed.width
        assert abs(made.height - committed.height) < committed.height / 4
