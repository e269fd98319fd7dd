"""Pictures of a notebook in JupyterLab: the panel while a job runs, and a traceback."""

import io
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.browser.lab import Lab
from tests.browser.notebook import Notebook

WIDTH = 880
"""Pixels of the page. A picture has ``SCALE`` times as many, for screens with small pixels."""
SCALE = 1.5
LINE = 3
"""Pixels of the picture that the line round the notebook takes."""
QUIET = """
.jp-Collapser, .jp-InputPrompt, .jp-OutputPrompt,
.jp-OutputArea-promptOverlay, .jp-cell-toolbar { display: none }
.jp-Notebook .jp-Cell.jp-Cell { border: none; outline: none; box-shadow: none; padding: 8px }
.jp-Notebook .jp-Cell.jp-Cell::before, .jp-Notebook .jp-Cell .jp-Cell-inputWrapper::before { display: none }
"""
"""CSS that leaves the code and the outputs of a cell, without numbers, borders and buttons."""

DEFINITIONS = """
import time
import wrenlite

executor = wrenlite.Executor.local(workers=8)
"""
PANEL = """
def clean(day):
    time.sleep(0.1 + day % 7 / 20)
    if day % 97 == 53:
        raise ValueError(f"no pixels on day {day}")
    print("cleaned day", day)
    return day

job = executor.map(clean, range(365))
"""
TRACEBACK = """
def ratio(day):
    red, infrared = day % 11, 0
    return (infrared - red) / (infrared + red)

executor.map(ratio, range(1, 365), progress=False).results()
"""


@contextmanager
def notebook(*sources: str) -> Iterator[Notebook]:
    """Open a notebook with these cells, the first of them run."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)) as lab, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        context = chromium.new_context(viewport={"width": WIDTH, "height": 900}, device_scale_factor=SCALE)
        opened = Notebook(lab, context, "picture", [source.strip() for source in sources])
        opened.hide_files()
        opened.page.add_style_tag(content=QUIET)
        opened.run(0)
        yield opened
        opened.close()
        chromium.close()


def shot(opened: Notebook, cell: int) -> Image.Image:
    """Return the picture of a cell with its outputs, without the line round the notebook."""
    picture = Image.open(io.BytesIO(opened.cell(cell).screenshot())).convert("RGB")
    return picture.crop((LINE, LINE, picture.width - LINE, picture.height - LINE))


def panel() -> Image.Image:
    """Return the panel of a job while it runs."""
    from playwright.sync_api import expect

    with notebook(DEFINITIONS, PANEL) as opened:
        opened.run(1)
        expect(opened.wait_for(1, ".wrenlite-panel")).to_contain_text(
            re.compile(r"\b(19\d|2\d\d) done"), timeout=60_000
        )
        return shot(opened, 1)


def traceback() -> Image.Image:
    """Return the traceback of a task's exception."""
    with notebook(DEFINITIONS, TRACEBACK) as opened:
        opened.run(1)
        opened.wait_for_text(1, "ZeroDivisionError")
        return shot(opened, 1)
