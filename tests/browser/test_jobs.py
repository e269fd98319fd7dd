"""Jobs in JupyterLab: values, the stop button and tracebacks."""

import pytest
from PIL import Image, ImageStat

_START = "import time\nimport wrenlite\nexecutor = wrenlite.Executor.local(2)"

_LONG_JOB = """
def work(i):
    if i >= 3:
        time.sleep(600)
    return i

job = executor.map(work, range(20))
for _ in zip(range(3), job.as_completed()):
    pass
"""
"""When this cell ends, the first three tasks of the job have ended; the others would run for minutes."""

_STATES = """
from collections import Counter
print(sorted(Counter(each.state for each in job.stats()).items()))
print("kept", [job[i].result() for i in range(3)])
"""


def test_a_cell_shows_the_sum_of_200_tasks(notebook):
    opened = notebook(_START, "sum(executor.map(lambda i: i * i, range(200)).results())")
    opened.run()
    opened.wait_for_text(1, str(sum(i * i for i in range(200))))


@pytest.mark.parametrize("waiting", ["job.results()", "await job"])
def test_the_cancel_button_ends_the_cell_that_waits_with_one_line(notebook, waiting):
    opened = notebook(
        _START, "def work(i): time.sleep(600)", f"job = executor.map(work, range(4))\n{waiting}"
    )
    opened.run(0, 1)
    opened.start(2)
    opened.wait_for(2, "button:has-text('Cancel')").click()
    opened.wait_for_end(2, timeout=30)
    opened.wait_for_text(2, "was cancelled")
    (line,) = [line for line in opened.text(2).splitlines() if "was cancelled" in line]
    assert line.startswith("task 0 of work-")
    assert "Traceback" not in opened.text(2)


@pytest.mark.parametrize("waiting", ["job.results()", "await job"])
def test_the_stop_button_cancels_the_job_and_keeps_finished_values(notebook, kernel, waiting):
    opened = notebook(_START, _LONG_JOB, f"print('waiting')\n{waiting}", _STATES, kernel=kernel)
    opened.run(0, 1)
    opened.start(2)
    opened.wait_for_text(2, "waiting")
    opened.interrupt()
    opened.wait_for_end(2, timeout=30)
    opened.run(3)
    opened.wait_for_text(3, "[('cancelled', 17), ('done', 3)]")
    opened.wait_for_text(3, "kept [0, 1, 2]")


def test_a_failed_task_shows_the_line_of_the_cell_and_the_type(notebook):
    function = "def ndvi(red, nir):\n    return (nir - red) / (nir + red)  # my own line"
    opened = notebook(_START, function, "executor.starmap(ndvi, [(1, 2), (0, 0)]).results()")
    opened.run()
    opened.wait_for_text(2, "return (nir - red) / (nir + red)  # my own line")
    opened.wait_for_text(2, "ZeroDivisionError: division by zero")


def test_outputs_survive_saving_and_reopening(notebook):
    opened = notebook(_START, "executor.map(str, range(3)).results()", "executor.submit(int, 'x').result()")
    shown = {1: "['0', '1', '2']", 2: "ValueError: invalid literal for int()"}
    opened.run()
    for cell, text in shown.items():
        opened.wait_for_text(cell, text)
    opened.save()
    opened.reopen()
    for cell, text in shown.items():
        opened.wait_for_text(cell, text)


def test_a_page_is_shown_in_its_theme(notebook):
    from tests.browser.notebook import DARK, LIGHT

    def brightness(file):
        with Image.open(file) as picture:
            return ImageStat.Stat(picture.convert("L")).median[0]

    opened = notebook("from IPython.display import HTML\nHTML('<b class=mine>bold</b>')")
    opened.run()
    opened.wait_for(0, "b.mine")
    opened.theme(DARK)
    assert brightness(opened.screenshot("dark")) < 80
    opened.theme(LIGHT)
    assert brightness(opened.screenshot("light")) > 200
