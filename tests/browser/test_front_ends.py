"""The job panel in front ends other than JupyterLab: Notebook 7, marimo and Voilà."""

import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.lab import Lab
from tests.browser.notebook import SCREENSHOTS
from tests.machine import skip_if_missing

_ROOT = Path(__file__).parents[2]
_CODE = """
import time, wrenlite
executor = wrenlite.Executor.local(2)
def work(n):
    time.sleep(0.03)
    if n == 42:
        raise ValueError("no pixels")
    print("looked at", n)
"""
_WAIT = "executor.map(work, range(150)).wait()"
_RUNS = re.compile(r"map work × 150 on 2 local workers · running · \d")
_ENDED = re.compile(r"map work × 150 on 2 local workers · 1 failed · \d")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def page(browser):
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture
def notebook_server(tmp_path, servers):
    """A server of its own: one that has served Notebook 7 refuses some files of JupyterLab."""
    skip_if_missing([] if importlib.util.find_spec("notebook") else ["notebook"])
    with Lab(tmp_path / "lab") as server:
        servers.add(server.pid)
        yield server


def dismiss(dialog):
    """Close a dialog of the front end itself, such as one about its kernel, and print what it says."""
    print(f"dialog: {dialog.inner_text()}")
    dialog.get_by_role("button").last.click()


def run_first_cell(page):
    """Run the first cell to its end. What is pressed before the kernel is ready is lost."""
    prompt = page.locator(".jp-InputPrompt").first
    for _ in range(20):
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        with contextlib.suppress(AssertionError):
            expect(prompt).not_to_have_text("[ ]:", timeout=3_000)
            break
    expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=60_000)


def test_notebook_7(notebook_server, page):
    cells = [nbformat.v4.new_code_cell(source) for source in (_CODE, _WAIT)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata=metadata), notebook_server.notebooks / "seven.ipynb"
    )
    page.goto(notebook_server.address_of_notebook("seven.ipynb"))
    page.add_locator_handler(page.locator("dialog.jp-Dialog"), dismiss)
    try:
        expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible(
            timeout=60_000
        )
        run_first_cell(page)
        page.keyboard.press("Shift+Enter")
        panel = page.locator(".wrenlite-panel")
        expect(panel).to_contain_text(_RUNS, use_inner_text=True, timeout=20_000)
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        page.screenshot(path=SCREENSHOTS / "notebook_7-live.png")
        expect(panel).to_contain_text(_ENDED, use_inner_text=True)
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        expect(panel.locator("img")).to_have_count(2)
        page.screenshot(path=SCREENSHOTS / "notebook_7-over.png")
    finally:
        page.goto("about:blank")


@contextlib.contextmanager
def served(folder, package, arguments):
    """Install a front end into an environment of its own, and run it while the block does."""
    if not (folder / "bin").exists():
        venv.create(folder)
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
        packages = [package, "ipykernel", "ipywidgets", "--editable", str(_ROOT)]
        subprocess.run([*pip, "--disable-pip-version-check", *packages], check=True)
    env = os.environ | {"HOME": str(folder), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [folder / "bin" / package, *arguments],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield server
    finally:
        os.killpg(server.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def open_when_served(page, port):
    deadline = time.monotonic() + 60
    while True:
        try:
            return page.goto(f"http://127.0.0.1:{port}")
        except Exception:
            if time.monotonic() > deadline:
                raise
            page.wait_for_timeout(200)


@pytest.mark.full
@pytest.mark.timeout(400)
def test_marimo(page, tmp_path):
    text = f"""
import marimo
app = marimo.App()

@app.cell
def _():
    import time, wrenlite
    executor = wrenlite.Executor.local(2)
    def work(n):
        time.sleep(0.03)
        if n == 42:
            raise ValueError("no pixels")
    return executor, work

@app.cell
def _(executor, work):
    {_WAIT}
    return

@app.cell
def _(executor, work):
    executor.map(work, range(80)).wait()
    "the value of the cell"
    return
"""
    (tmp_path / "book.py").write_text(text)
    port = free_port()
    arguments = ["run", "--headless", "--no-token", f"--port={port}", str(tmp_path / "book.py")]
    with served(tmp_path / "marimo", "marimo", arguments):
        open_when_served(page, port)
        expect(page.locator(".wrenlite-panel").first).to_contain_text(
            _RUNS, use_inner_text=True, timeout=30_000
        )
        page.screenshot(path=SCREENSHOTS / "marimo-live.png")
        expect(page.get_by_text("the value of the cell")).to_be_visible(timeout=30_000)
        page.screenshot(path=SCREENSHOTS / "marimo-over.png")


@pytest.mark.full
@pytest.mark.timeout(400)
def test_voila(page, tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in (_CODE, _WAIT)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), tmp_path / "book.ipynb")
    port = free_port()
    arguments = ["--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1", str(tmp_path / "book.ipynb")]
    with served(tmp_path / "voila", "voila", arguments):
        open_when_served(page, port)
        panel = page.locator(".wrenlite-panel")
        expect(panel).to_contain_text(_ENDED, use_inner_text=True, timeout=60_000)
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        page.screenshot(path=SCREENSHOTS / "voila.png")
