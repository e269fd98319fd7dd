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


def test_the_panel_changes_while_the_job_runs_and_stays_after_its_end(notebook, kernel):
    opened = notebook(_START, "job = executor.map(work, range(500)); job.wait()", kernel=kernel)
    opened.run(0)
    opened.start(1)
    live = panel(opened, 1)
    expect(live).to_contain_text(
        re.compile(r"map work × 500 on 2 local workers · running · .* left · peak concurrency 2")
    )
    expect(live).to_contain_text("ValueError")
    before = live.inner_text()
    expect(live).not_to_have_text(before)
    expect(live.get_by_role("button", name="Cancel")).to_be_visible()
    opened.screenshot("live")
    opened.wait_for_end(1)
    opened.wait_for_text(1, "map work × 500 on 2 local workers · 5 failed")
    opened.wait_for_text(1, "495 done")
    opened.wait_for_text(1, "task 42: no pixels in 42")
    expect(opened.outputs(1, ".wrenlite-panel")).to_have_count(0)
    opened.screenshot("over")


def test_the_cancel_button_cancels_a_job_of_10_000_tasks_while_the_cell_waits(notebook):
    opened = notebook(_START, "job = executor.map(work, range(10_000)); job.wait()", _STATES)
    opened.run(0)
    opened.start(1)
    opened.page.evaluate(_WATCH_LONG_TASKS)
    panel(opened, 1).get_by_role("button", name="Cancel").click()
    opened.wait_for_end(1, timeout=10)
    opened.wait_for_text(1, "cancelled")
    print("long tasks of the page, in ms:", opened.page.evaluate("() => window.longTasks"))
    opened.run(2)
    opened.wait_for_text(2, "True True 10000")


def test_the_stop_button_returns_the_prompt_at_once_with_one_line(notebook):
    opened = notebook(
        _START, "job = executor.map(work, range(10_000)); job.results(return_exceptions=True)", _STATES
    )
    opened.run(0)
    opened.start(1)
    panel(opened, 1)
    pressed = time.monotonic()
    opened.interrupt()
    opened.wait_for_end(1, timeout=5)
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
        assert opened.outputs(cell, "img").last.evaluate("image => image.naturalWidth") > 0
        assert "model" not in opened.text(cell)
    opened.screenshot("untrusted")
    opened.theme(DARK)
    words = opened.outputs(1, "div >> text=198 done").first
    text_colour = words.evaluate("node => getComputedStyle(node).color")
    assert min(map(int, re.findall(r"\d+", text_colour)[:3])) > 150, "light text on what is dark"
    opened.screenshot("dark")
