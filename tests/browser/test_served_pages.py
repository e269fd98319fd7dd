"""The pages of ``wrenlite serve`` in a browser, wide and narrow, in light and dark."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.notebook import SCREENSHOTS
from tests.served import Served

GALLERY = "wrenlite.gallery.fractals.deployed"
CSV = (
    "name,xpos,ypos,radius,iters,palette\n"
    "seahorses,-0.7436,0.1318,0.01,1500,Hippi\n"
    "elephants,0.2925,0.0149,0.01,800,Vivid\n"
    "<i>all & more,-0.5,0,3.2,300,Fiesta\n"
    "all,-0.5,0,3.2,300,Fiesta\n"
    "flat,0,0,-1,,\n"
    "misspelt,0,0,1,,Hipi\n"
)


@pytest.fixture
def served(tmp_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))
    (tmp_path / "inbox").mkdir()
    one = Served(tmp_path, f"{GALLERY}:collage_of_csv", "--watch", "inbox/*.csv", "--http", "0")
    yield one
    one.end()


def test_starts_and_their_pictures_are_shown(served, browser, tmp_path):
    url, token = re.search(r"pages +(\S+)/\?token=(\S+)", served.text).groups()
    page = browser.new_page()
    problems, requests = [], []
    page.on("pageerror", lambda error: problems.append(error))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{url}/?token={token}")
    assert page.url == f"{url}/"
    expect(page.get_by_text("No start yet.")).to_be_visible()
    (tmp_path / "inbox" / "list of fractals.csv").write_text(CSV)
    (tmp_path / "inbox" / "empty.csv").write_text("name\n")
    start = served.waited_for(r"(collage-of-csv-\w+) begins: list of fractals.csv")
    expect(page.get_by_role("link", name=start)).to_be_visible(timeout=20_000)  # it is refreshed
    served.over(start)
    served.over(served.waited_for(r"(collage-of-csv-\w+) begins: empty.csv"))
    expect(page.get_by_role("row", name=re.compile("empty.csv failed"))).to_be_visible(timeout=20_000)
    expect(
        page.get_by_role("row", name=re.compile("list of fractals.csv done 5 of 5 .* 2 rows"))
    ).to_be_visible()
    for scheme, width in (("light", 1280), ("dark", 1280), ("dark", 390)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=SCREENSHOTS / f"served-starts-{scheme}-{width}.png", full_page=True)
    page.get_by_role("link", name=start).click()
    expect(page.get_by_role("heading", name="2 rows left out")).to_be_visible()
    expect(page.get_by_role("cell", name=re.compile("did you mean Hippi"))).to_be_visible()
    pictures = page.locator("img")
    expect(pictures).to_have_count(5)
    for place in range(5):
        pictures.nth(place).scroll_into_view_if_needed()
        expect(pictures.nth(place)).to_have_js_property("complete", True)
        assert page.evaluate(f"document.images[{place}].naturalWidth") > 100
    for scheme, width in (("light", 1280), ("dark", 390)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=SCREENSHOTS / f"served-start-{scheme}-{width}.png", full_page=True)
    assert not problems
    assert all(each.startswith(f"{url}/") for each in requests)
    page.context.clear_cookies()
    page.goto(f"{url}/jobs/{start}")
    expect(page.get_by_text("open the address that it printed")).to_be_visible()
    page.close()
