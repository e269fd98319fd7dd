"""The job panel in JupyterLab: live, cancelled, interrupted, saved, in a dark theme, and not trusted."""

import re
import time

import nbformat
from playwright.sync_api import expect

from tests.browser.notebook import DARK

_START = """
import time
import wrenlite

executor = wrenlite.Executor.local(2)

def work(n):
    time.sleep(0.01)
    if n % 100 == 42:
        raise ValueError(f"no pixels in {n}")
    print("looked at", n)
    return n
"""
_WATCH_LONG_TASKS = """() => {
    window.longTasks = [];
    new PerformanceObserver(list => list.getEntries().forEach(each => window.longTasks.push(each.duration)))
        .observe({ type: "longtask" });
}"""
_STATES = "print(job.snapshot().done > 0, job.snapshot().cancelled > 0, len(job.results(True)))"


def panel(opened, cell):
    return opened.wait_for(cell, ".wrenlite-panel")


def wait_until_some_are_done(opened, cell):
    expect(panel(opened, cell)).to_contain_text(re.compile(r"\b[1-9]\d* done"), timeout=30_000)


def cancel_button(opened, cell):
    return opened.cell(cell).get_by_role("button", name="Cancel")


def no_words_instead_of_the_button(opened, cell):
    area = opened.cell(cell).locator(".jp-Cell-outputArea")
    expect(area).not_to_contain_text("widget", use_inner_text=True)


def test_the_panel_changes_while_the_job_runs_and_stays_after_its_end(notebook, kernel):
    opened = notebook(_START, "job = executor.map(work, range(500)); job.wait()", kernel=kernel)
    opened.run(0)
    opened.start(1)
    live = panel(opened, 1)
    expect(live).to_contain_text(
        re.compile(r"map work × 500 on 2 local workers · running · .* left"), use_inner_text=True
    )
    expect(live).to_contain_text("ValueError", use_inner_text=True)
    before = live.inner_text()
    expect(live).not_to_have_text(before, use_inner_text=True)
    expect(cancel_button(opened, 1)).to_be_visible()
    opened.screenshot("live")
    opened.wait_for_end(1)
    opened.wait_for_text(1, "map work × 500 on 2 local workers · 5 failed")
    opened.wait_for_text(1, "495 done")
    opened.wait_for_text(1, "task 42: no pixels in 42")
    expect(cancel_button(opened, 1)).to_have_count(0)
    expect(opened.outputs(1, ".wrenlite-panel")).to_have_count(1)
    opened.screenshot("over")


def test_the_cancel_button_cancels_a_job_of_10_000_tasks_while_the_cell_waits(notebook):
    opened = notebook(_START, "job = executor.map(work, range(10_000)); job.wait()", _STATES)
    opened.run(0)
    opened.start(1)
    opened.page.evaluate(_WATCH_LONG_TASKS)
    wait_until_some_are_done(opened, 1)
    cancel_button(opened, 1).click()
    opened.wait_for_end(1, timeout=10)
    opened.wait_for_text(1, "cancelled")
    print("long tasks of the page, in ms:", opened.page.evaluate("() => window.longTasks"))
    opened.screenshot()
    opened.run(2)
    opened.wait_for_text(2, "True True 10000")


def test_the_stop_button_returns_the_prompt_at_once_with_one_line(notebook):
    opened = notebook(
        _START, "job = executor.map(work, range(10_000)); job.results(return_exceptions=True)", _STATES
    )
    opened.run(0)
    opened.start(1)
    wait_until_some_are_done(opened, 1)
    pressed = time.monotonic()
    opened.interrupt()
    opened.wait_for_end(1, timeout=30)
    print(f"from Stop to prompt: {time.monotonic() - pressed:.2f} s")
    opened.wait_for_text(1, "cancelled>, interrupted")
    assert "Traceback" not in opened.text(1)
    opened.run(2)
    opened.wait_for_text(2, "True True 10000")


def test_a_saved_panel_is_shown_in_a_dark_theme_and_in_an_untrusted_notebook(notebook):
    opened = notebook(_START, *["job = executor.map(work, range(200)); job.wait()"] * 3)
    opened.run()
    opened.save()
    print(f"a notebook with three panels: {opened.file.stat().st_size / 1024:.1f} KB")
    header = "map work × 200 on 2 local workers · 2 failed"
    # The file is changed outside JupyterLab, which then sanitises the outputs.
    written = nbformat.read(opened.file, 4)
    written.metadata["changed"] = "by hand"
    nbformat.write(written, opened.file)
    opened.reopen()
    for cell in (1, 2, 3):
        opened.wait_for_text(cell, header)
        opened.wait_for_text(cell, "198 done")
        expect(opened.outputs(cell, "img")).to_have_count(2)
        assert opened.outputs(cell, "img").last.evaluate("image => image.naturalWidth") == 1280
        assert "model" not in opened.text(cell)
    opened.screenshot("untrusted")
    opened.theme(DARK)
    words = opened.outputs(1, "div >> text=198 done").first
    text_colour = words.evaluate("node => getComputedStyle(node).color")
    assert min(map(int, re.findall(r"\d+", text_colour)[:3])) > 150, "light text on what is dark"
    opened.screenshot("dark")


def test_a_few_tasks_take_little_room_and_pictures_are_as_wide_as_the_bar(notebook):
    opened = notebook(
        _START,
        "executor.submit(time.sleep, 1.2).result()",
        "executor.map(time.sleep, [0.4] * 4).wait()",
        "executor.map(work, range(300)).wait()",
    )
    opened.run()
    for cell, tallest in ((1, 40), (2, 130), (3, 300)):
        box = panel(opened, cell).bounding_box()
        assert box["height"] <= tallest, (cell, box)
    for cell in (2, 3):
        bar = panel(opened, cell).locator("div[style*='border-radius']").first.bounding_box()
        for picture in opened.outputs(cell, "img").all():
            box = picture.bounding_box()
            assert (box["x"], box["width"]) == (bar["x"], bar["width"])
    opened.screenshot()


def test_jobs_of_a_cell_share_a_panel(notebook):
    opened = notebook(
        _START,
        "jobs = [executor.submit(lambda i=i: time.sleep(0.1)) for i in range(40)]\n"
        "[job.result() for job in jobs]\nNone",
        "a, b = executor.map(work, range(150)), executor.map(time.sleep, [0.2] * 12)\na.wait(), b.wait()",
    )
    opened.run(0)
    opened.start(1)
    opened.wait_for_text(1, "40 jobs with 40 tasks on 2 local workers")
    opened.screenshot("many")
    opened.wait_for_end(1)
    opened.wait_for_text(1, "40 done")
    expect(opened.outputs(1, ".wrenlite-panel")).to_have_count(1)
    assert panel(opened, 1).bounding_box()["height"] < 200
    opened.start(2)
    opened.wait_for_text(2, "map sleep × 12")
    opened.screenshot("two")
    opened.wait_for_end(2)
    opened.wait_for_text(2, "map work × 150 on 2 local workers · 2 failed")
    expect(opened.outputs(2, ".wrenlite-panel")).to_have_count(1)
    opened.screenshot("over")


def test_a_notebook_that_is_reopened_while_a_job_runs_has_the_panel(notebook):
    opened = notebook(_START, "job = executor.map(time.sleep, [0.5] * 40); job.wait()")
    opened.run(0)
    opened.start(1)
    expect(cancel_button(opened, 1)).to_be_visible()
    opened.save()
    saved = nbformat.read(opened.file, 4).cells[1].outputs
    assert any("map sleep × 40" in output.data.get("text/html", "") for output in saved)
    opened.expected_errors = ("widget model not found", "Comm not found")  # the button of the closed tab
    opened.reopen(same_kernel=True)
    opened.wait_for_text(1, "of 40 ended at the last update")
    opened.wait_for_text(1, "2 local workers")
    no_words_instead_of_the_button(opened, 1)
    opened.screenshot("reopened")
    opened.interrupt()
    opened.wait_until_idle()
    opened.screenshot("after the end")
    no_words_instead_of_the_button(opened, 1)


def test_a_panel_that_was_saved_does_not_say_that_the_job_runs(notebook):
    opened = notebook(_START, "job = executor.map(time.sleep, [0.5] * 40)")
    opened.run()
    expect(panel(opened, 1)).to_contain_text("running", use_inner_text=True)
    expect(cancel_button(opened, 1)).to_be_visible()
    opened.save()
    opened.expected_errors = ("widget model not found",)  # the button of the kernel that is gone
    opened.reopen()
    expect(panel(opened, 1)).to_contain_text(
        re.compile("of 40 ended at the last update, 20"), use_inner_text=True
    )
    expect(panel(opened, 1)).not_to_contain_text("running", use_inner_text=True)
    no_words_instead_of_the_button(opened, 1)
    opened.screenshot()


def test_a_panel_in_an_output_widget_is_live_and_stays(notebook):
    opened = notebook(
        _START,
        "import ipywidgets\nout = ipywidgets.Output()\ndisplay(out)\n"
        "with out:\n    print('before')\n    executor.map(work, range(250)).wait()\n    print('after')",
        "len(ipywidgets.widgets.widget._instances)",
    )
    opened.run(0)
    opened.start(1)
    live = panel(opened, 1)
    expect(live).to_contain_text("running", use_inner_text=True)
    before = live.inner_text()
    expect(live).not_to_have_text(before, use_inner_text=True)
    opened.screenshot("live")
    opened.wait_for_end(1)
    opened.wait_for_text(1, "before map work × 250 on 2 local workers · 3 failed")
    opened.wait_for_text(1, "after")
    expect(opened.outputs(1, ".wrenlite-panel")).to_have_count(1)
    opened.screenshot("over")
    opened.run(2)
    opened.wait_for_text(2, "2")  # the Output and its layout


def test_output_of_running_tasks_is_seen_at_once_and_what_is_opened_stays_open(notebook):
    opened = notebook(
        _START,
        "def talk(n):\n    for i in range(8):\n        print('line', i)\n        time.sleep(0.4)\n"
        "job = executor.map(talk, range(2)); job.wait()",
    )
    opened.run(0)
    opened.start(1)
    opened.wait_for_text(1, "[1] line 1")
    opened.screenshot("live")
    assert "of 2 ended" not in opened.text(1)
    opened.wait_for_end(1)
    opened.outputs(1, "summary").click()
    opened.wait_for_text(1, "line 7")
    time.sleep(0.6)  # an update would come within this time, and close it
    expect(opened.outputs(1, "details[open]")).to_have_count(1)


def test_the_panel_fits_a_narrow_page(notebook):
    opened = notebook(
        _START, "executor.map(work, range(500)).wait()", "executor.map(time.sleep, [.5] * 3).wait()"
    )
    opened.page.set_viewport_size({"width": 620, "height": 900})
    opened.hide_files()
    try:
        opened.run()
        box = panel(opened, 1).bounding_box()
        assert box["x"] + box["width"] <= 620
        assert panel(opened, 1).evaluate("node => node.scrollWidth <= node.clientWidth")
        opened.screenshot()
    finally:
        opened.page.set_viewport_size({"width": 1280, "height": 900})


def test_three_hundred_maps_leave_no_widget(notebook):
    opened = notebook(
        _START,
        "import ipywidgets\nfor _ in range(300):\n    executor.map(abs, range(3)).results()\n"
        "executor.map(time.sleep, [1.5]).results()\nlen(ipywidgets.widgets.widget._instances)",
    )
    opened.run()
    opened.wait_for_text(1, "301 jobs with 901 tasks on 2 local workers · done")
    expect(opened.outputs(1).last).to_have_text("0")
    expect(opened.outputs(1)).to_have_count(3)  # the panel, the place of the button, and the result


def test_jobs_one_after_another_share_one_button(notebook):
    opened = notebook(_START, "for _ in range(4):\n    executor.map(time.sleep, [1.2]).results()")
    opened.run()
    opened.wait_for_text(1, "map sleep × 1 on 2 local workers")
    expect(opened.outputs(1)).to_have_count(2)
    expect(cancel_button(opened, 1)).to_have_count(0)
