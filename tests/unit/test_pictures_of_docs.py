"""The pictures of the docs: they exist, are small, and are those that ``make pictures`` makes."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
FILES = sorted(FOLDER.glob("*"))


@pytest.fixture
def pictures(monkeypatch):
    """What ``make pictures`` makes: a function for each name."""
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    import make_pictures

    return make_pictures.PICTURES


def test_each_picture_is_shown_and_each_that_is_shown_can_be_made(pictures):
    pages = (page.read_text() for page in (ROOT / "docs").glob("*.md"))
    shown = {name for page in pages for name in re.findall(r"!\[[^\]]*\]\(pictures/([^)]+)\)", page)}
    assert shown == {file.name for file in FILES} == {f"{name}.webp" for name in pictures}


def test_the_pictures_are_small_and_opaque():
    assert sum(file.stat().st_size for file in FILES) < 1_200_000
    for file in FILES:
        with Image.open(file) as picture:
            assert picture.mode == "RGB", file  # a transparent one would look different on a dark page


@pytest.mark.e2e
@pytest.mark.parametrize("name", ["original-hippi", "wrenlite-hippi", "newton"])
def test_a_picture_is_still_what_its_command_draws(pictures, name):
    with Image.open(FOLDER / f"{name}.webp") as committed:
        difference = np.abs(np.asarray(committed, float) - np.asarray(pictures[name](), float))
    assert difference.mean() < 12  # the loss of WebP, largest where neighbours differ most
