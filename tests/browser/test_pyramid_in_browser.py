"""The page of a pyramid in a browser: it is moved and zoomed, and loads nothing but tiles."""

import pytest

import wrenlite
from tests.browser.notebook import SCREENSHOTS
from wrenlite.gallery.fractals.poster import Poster
from wrenlite.gallery.fractals.pyramid import Pyramid, finish, start_pyramid
from wrenlite.gallery.fractals.view import View

IDLE = "loading === 0 && wanted.length === 0 && !drawing"


@pytest.fixture
def page(browser, tmp_path):
    made = Pyramid(Poster(View("-0.75", "0.1", "0.5", 1500, 900, 60), palette="Wren", smoothness=1), "a set")
    store = wrenlite.open_store(tmp_path)
    with wrenlite.Executor.inline() as executor:
        start_pyramid(executor, made, store).wait()
        finish(made, store)
    page = browser.new_page()
    problems, requests = [], []
    page.on("pageerror", lambda error: problems.append(error))
    page.on("requestfailed", lambda request: problems.append(request.url))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "a set.html").as_uri())
    page.wait_for_function(IDLE)
    yield page
    assert not problems
    assert {url.split(":")[0] for url in requests} == {"file"}
    page.close()


def test_a_pyramid_is_moved_and_zoomed(page):
    def place():
        return page.evaluate("[x, y, scale]")

    x, y, whole = place()
    assert (x, y, whole) == (750, 450, pytest.approx(1280 / 1500))
    page.mouse.move(320, 450)
    page.mouse.wheel(0, -200)
    page.wait_for_function(f"scale > {1.9 * whole}")
    zoomed = place()
    # What is under the mouse stays there.
    assert zoomed[0] + (320 - 640) / zoomed[2] == pytest.approx(x + (320 - 640) / whole)
    page.mouse.down()
    page.mouse.move(420, 500, steps=3)
    page.mouse.up()
    page.wait_for_function(f"x < {zoomed[0] - 90 / zoomed[2]}")
    assert place()[:2] == pytest.approx([zoomed[0] - 100 / zoomed[2], zoomed[1] - 50 / zoomed[2]])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    page.wait_for_function(f"scale > {1.4 * zoomed[2]}")
    page.wait_for_function(IDLE)
    page.screenshot(path=SCREENSHOTS / "pyramid.png")
    kept = place()
    page.wait_for_function("location.hash.length > 1 && Math.abs(location.hash.split(',')[2] - scale) < 1e-3")
    page.reload()
    page.wait_for_function(IDLE)
    assert place() == pytest.approx(kept, rel=1e-3)
    page.keyboard.press("0")
    page.wait_for_function(f"Math.abs(scale - {whole}) < 1e-6")
    assert place() == [x, y, whole]


def test_two_fingers_zoom(page):
    whole = page.evaluate("scale")
    page.evaluate(
        """() => {
            const send = (kind, id, left) => canvas.dispatchEvent(new PointerEvent(
                kind, { pointerId: id, clientX: left, clientY: 450, bubbles: true }));
            canvas.setPointerCapture = () => {};  // pointers that a script makes cannot be captured
            send("pointerdown", 1, 600); send("pointerdown", 2, 680);
            send("pointermove", 1, 560); send("pointermove", 2, 720);
            send("pointerup", 1, 560); send("pointerup", 2, 720);
        }"""
    )
    assert page.evaluate("[x, y, scale]") == pytest.approx([750, 450, 2 * whole])
