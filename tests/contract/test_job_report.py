"""``Job.report()``: one HTML file about a job."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


def words(page):
    """The text of a page, without its scripts and styles."""
    page = re.sub(r"(?s)<(script|style)[^>]*>.*?</\1>", " ", page)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def some_fail(n):
    print(f"line of {n}\n" * 30)
    if n == 2:
        raise ValueError("no </script><b>tags</b>")
    return n


def test_a_report_has_timeline_tables_cost_and_output(executor, tmp_path):
    job = executor.map(some_fail, range(4))
    job.wait()
    file = job.report(tmp_path / "report.html")
    assert file == tmp_path / "report.html"
    page = file.read_text(encoding="utf-8")
    text = words(page)
    assert f"map some_fail × 4 on {executor.backend.name} 3 done · 1 failed · " in text
    assert ("cost: about $" in text) == (executor.backend.prices is not None)
    assert "Slowest tasks" in text
    assert "1 failed task" in text
    assert "ValueError: no &lt;/script&gt;&lt;b&gt;tags&lt;/b&gt;" in text
    assert "<b>tags" not in page
    if "calling thread" not in executor.backend.name:  # there the output goes where the program's goes
        assert text.index("task 2, failed") < text.index("task 0, done")
        assert page.count("line of 2") == 20  # the last ones
        assert "… (10 lines before)" in text


def test_a_report_needs_no_network(pool, tmp_path):
    job = pool.map(abs, range(3))
    job.wait()
    page = job.report(str(tmp_path / "report.html")).read_text()
    assert not re.search(r"<(script|img|link|iframe)[^>]*(src|href)=", page)
    assert "Bokeh" in page
    assert len(page) < 1_500_000


@pytest.mark.parametrize("count", [0, 1, 2_000])
def test_few_and_many_tasks(pool, tmp_path, count):
    job = pool.map(abs, range(count))
    job.wait()
    page = job.report(tmp_path / "report.html").read_text()
    assert f"map abs × {count:,} on 2 local workers" in words(page)
    assert ("no tasks" in words(page)) == (count == 0)


def test_a_running_job(pool, tmp_path):
    import os

    os.mkfifo(tmp_path / "never")
    job = pool.map(Path.read_text, [tmp_path / "never"] * 3)
    assert "3 not ended" in words(job.report(tmp_path / "report.html").read_text())
    job.cancel()
    assert "3 cancelled" in words(job.report(tmp_path / "report.html").read_text())


def test_a_folder_that_is_missing_is_named_at_the_callers_line(executor, tmp_path):
    job = executor.map(abs, [1])
    with pytest.raises(FileNotFoundError, match="missing") as caught:
        job.report(tmp_path / "missing" / "report.html")
    assert len(caught.traceback) == 1


def test_the_missing_package_is_named_with_the_command_that_installs_it():
    program = (
        "import sys, wrenlite; sys.modules['bokeh'] = None\n"
        "job = wrenlite.Executor.inline().map(abs, [1])\n"
        "try:\n    job.report('report.html')\nexcept wrenlite.PackageMissing as error:\n    print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "bokeh" in ended.stdout
    assert "pip install 'wrenlite[report]'" in ended.stdout


def test_bokeh_is_imported_only_for_a_report():
    program = (
        "import sys, wrenlite; wrenlite.Executor.inline().map(abs, [1]).results(); 'bokeh' in sys.modules"
    )
    ended = subprocess.run(
        [sys.executable, "-c", f"{program} and sys.exit(1)"], capture_output=True, check=False
    )
    assert ended.returncode == 0
