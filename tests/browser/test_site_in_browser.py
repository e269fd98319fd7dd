"""The documentation site that ``make docs`` builds, opened from the disk: it loads nothing from elsewhere."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.notebook import SCREENSHOTS
from tests.machine import skip_if_missing

SITE = Path(__file__).parents[2] / "site"
SHOWN = (
    "index",
    "guide/errors",
    "reference/executor",
    "commands/deployment",
    "notebooks/01_hello",
    "settings",
)
"""Pages that are looked at: one of each kind."""
LOADED = re.compile(
    r"""<(?:link|script|img|iframe|source|video|embed|object)\b[^>]*?\b(?:href|src|srcset|data)="?(?:https?:)?//"""
)
"""A tag that loads something from another place."""


@pytest.fixture
def site():
    skip_if_missing([] if (SITE / "index.html").exists() else ["the site, which make docs builds"])
    return SITE


def test_no_page_has_a_tag_or_style_that_loads_something_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 80
    assert [str(page) for page in pages if LOADED.search(page.read_text())] == []
    styles = (
        style for style in site.rglob("*.css") if re.search(r"url\(\W?https?:|@import", style.read_text())
    )
    assert list(styles) == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 620)])
def test_pages_of_each_kind_fit_the_window_and_load_nothing(site, browser, scheme, width):
    page = browser.new_page()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    requests, problems = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: problems.append(error))
    for name in SHOWN:
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        page.screenshot(path=SCREENSHOTS / f"site-{name.replace('/', '-')}-{scheme}.png")
    assert {url.split(":")[0] for url in requests} <= {"file", "data", "blob", "about"}
    assert problems == []
    page.close()


def test_search_works_from_the_disk_and_examples_are_copied_without_prompts(site, browser):
    page = browser.new_page()
    page.goto((site / "reference" / "executor.html").as_uri())
    copied = page.locator("code:has(.gp)").first
    copied.evaluate("element => element.setAttribute('data-md-copying', '')")
    assert ">>>" not in copied.inner_text()
    search = page.get_by_role("textbox", name="Search")
    search.click()
    search.press_sequentially("map_reduce")
    page.locator(".md-search-result__link", has_text="map_reduce").first.click()
    expect(page).to_have_url(re.compile("map_reduce"))
    page.close()
