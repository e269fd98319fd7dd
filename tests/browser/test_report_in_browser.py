"""The report of a job in a browser: it can be hovered and zoomed, and asks the network for nothing."""

import pytest
from playwright.sync_api import expect

from tests.browser.notebook import SCREENSHOTS


def sleeps(n):
    import time

    time.sleep(0.02)
    if n == 5:
        raise ValueError("five")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_is_hovered_and_zoomed(browser, pool, tmp_path, scheme):
    job = pool.map(sleeps, range(8))
    job.wait()
    file = job.report(tmp_path / "report.html")
    page = browser.new_page()
    page.emulate_media(color_scheme=scheme)
    problems, requests = [], []
    page.on("pageerror", lambda error: problems.append(error))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    expect(page.get_by_role("heading", name="1 failed task")).to_be_visible()
    page.wait_for_function("Bokeh.documents.length && Bokeh.documents[0].is_idle")
    plot = "Bokeh.documents[0].roots()[0].children[0]"
    place = page.evaluate(  # the middle of the bar of the first task
        f"""() => {{
            const view = Bokeh.index.find_one({plot});
            const bars = {plot}.renderers.find(each => each.data_source.data.task !== undefined);
            const data = bars.data_source.data;
            const box = view.el.getBoundingClientRect();
            return [
                box.x + view.frame.x_scale.compute((data.left[0] + data.right[0]) / 2),
                box.y + view.frame.y_scale.compute((data.top[0] + data.bottom[0]) / 2),
            ];
        }}"""
    )
    page.mouse.move(place[0] + 1, place[1])
    page.mouse.move(*place)  # not beyond the bar, which is narrow where the workers started slowly
    expect(page.locator(".bk-Tooltip")).to_contain_text("done")
    page.screenshot(path=SCREENSHOTS / f"report-{scheme}.png")
    before = page.evaluate(f"[{plot}.x_range.start, {plot}.x_range.end]")
    page.mouse.down()
    page.mouse.move(place[0] + 100, place[1], steps=4)
    page.mouse.up()
    after = page.evaluate(f"[{plot}.x_range.start, {plot}.x_range.end]")
    assert after[1] - after[0] < (before[1] - before[0]) / 2
    assert not problems
    assert {url.split(":")[0] for url in requests} <= {"file", "data", "blob"}
    page.close()
