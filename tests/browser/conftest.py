"""Fixtures for notebooks in JupyterLab, shown in Debian's Chromium."""

import importlib.util
import os
import re
from pathlib import Path

import pytest

from tests.machine import children_of, skip_if_missing

_CHROMIUM = Path("/usr/bin/chromium")
_PACKAGES = ("ipykernel", "ipywidgets", "jupyterlab", "nbformat", "playwright")
_FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


@pytest.fixture(scope="session")
def lab(tmp_path_factory, servers):
    """A JupyterLab server for all tests of the session."""
    skip_if_missing([name for name in _PACKAGES if importlib.util.find_spec(name) is None])
    skip_if_missing([] if _CHROMIUM.exists() else ["chromium"])
    from tests.browser.lab import Lab

    with Lab(tmp_path_factory.mktemp("lab")) as server:
        servers.add(server.pid)
        yield server


@pytest.fixture(scope="module")
def browser(lab, servers):
    """A browser context without a window.

    It lives for a module, not for the session: while Playwright runs, this thread counts as inside its event
    loop, so every ``asyncio.run`` in the tests of another module would fail.
    """
    from playwright.sync_api import sync_playwright

    before = children_of(os.getpid())
    with sync_playwright() as playwright:
        servers.update(children_of(os.getpid()) - before)  # Playwright's driver, parent of the browser
        chromium = playwright.chromium.launch(
            executable_path=_CHROMIUM,
            # Chromium has no sandbox for root, and containers have a small /dev/shm.
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        # One context for all tests of a module keeps JupyterLab's sources in its cache.
        yield chromium.new_context(viewport={"width": 1280, "height": 900})
        chromium.close()


@pytest.fixture
def notebook(lab, browser, request):
    """A function that opens the one notebook of a test with given cells. Its page must report no error."""
    from tests.browser.notebook import Notebook

    opened = []
    name = re.sub(r"\W+", "-", request.node.name).strip("-")

    def open_notebook(*sources: str, kernel: str = "python3") -> Notebook:
        assert not opened, "another notebook is open"
        opened.append(Notebook(lab, browser, name, sources, kernel))
        return opened[0]

    yield open_notebook
    for each in opened:
        errors = each.errors()
        if errors or request.node.stash.get(_FAILED, False):
            each.screenshot("failed")
            each.close_page()  # a dialog on it, for example, would cover the next notebook
        else:
            each.close()
        assert not errors


_SLOW = (pytest.mark.full, pytest.mark.timeout(300))


@pytest.fixture(
    params=[
        pytest.param(None, id="this kernel"),
        pytest.param("==6.31.*", marks=_SLOW),
        pytest.param("==7.1.*", marks=_SLOW),
        pytest.param("", marks=_SLOW, id="newest"),
    ]
)
def kernel(request, lab, browser):
    """The name of a kernel: of this environment, or of another version of ipykernel."""
    if request.param is None:
        return "python3"
    from tests.browser import kernels

    name = kernels.install(lab.data, request.param)
    for page in browser.pages:
        page.close()  # JupyterLab asks for the list of kernels when it starts
    return name
