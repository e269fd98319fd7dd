"""What jobs, futures and executors look like in a notebook, and their stats as a table."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wrenlite


def text_of(html):
    return re.sub(r"<[^>]+>", " ", html)


def squares(x):
    return x * x


class MakesAFolder:
    """Unpickling it makes a folder, which shows that it was unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def endless(pool, tmp_path):
    """A job of 5 tasks that none of them leaves before it is cancelled."""
    os.mkfifo(tmp_path / "never")
    job = pool.map(Path.read_text, [tmp_path / "never"] * 5, chunksize=1)
    while job.snapshot().dispatched < 2:
        job.wait(0.01)
    yield job
    job.cancel()


def test_a_job_is_plotted(executor):
    job = executor.map(lambda x: 1 // x, [1, 2, 0])
    job.wait()
    figure = job.plot()
    said = [text.get_text() for text in figure.texts]
    assert said[0] == f"map <lambda> × 3 on {executor.backend.name}"
    assert said[1].startswith("2 done · 1 failed · ")
    upper = figure.axes[0]
    assert {part.get_label() for part in upper.collections} >= {"running", "failed"}
    lengths = [path.get_extents().width for part in upper.collections for path in part.get_paths()]
    assert all(length > 0 for length in lengths)
    assert figure._repr_png_()[0].startswith(b"\x89PNG")
    assert executor.map(squares, []).plot()._repr_png_()


def test_a_job_that_runs_is_plotted(endless):
    figure = endless.plot()
    assert figure.texts[1].get_text().startswith("3 queued · 2 dispatched · ")
    assert figure._repr_png_()
    endless.cancel()
    assert endless.plot().texts[1].get_text().startswith("5 cancelled · ")


def test_a_plot_leaves_pyplot_alone():
    program = (
        "import sys, wrenlite; wrenlite.Executor.inline().map(abs, [1]).plot()._repr_png_()\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


@pytest.mark.parametrize(
    ("package", "call", "mend"),
    [
        ("matplotlib", "plot", "pip install 'wrenlite[lab]'"),
        ("numpy", "plot", "pip install 'wrenlite[lab]'"),
        ("pandas", "to_pandas", "pip install pandas"),
    ],
)
def test_a_package_that_is_missing_is_named_with_how_to_install_it(package, call, mend):
    program = (
        f"import sys, wrenlite; sys.modules[{package!r}] = None\n"
        "job = wrenlite.Executor.inline().map(abs, [1])\n"
        f"try:\n    job.{call}()\nexcept wrenlite.PackageMissing as error:\n    print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert package in ended.stdout
    assert mend in ended.stdout


def test_stats_as_a_table(executor):
    job = executor.map(squares, range(4))
    job.results()
    table = job.to_pandas()
    assert list(table.columns) == list(job.stats()[0]._fields)
    assert table["task"].tolist() == [0, 1, 2, 3]
    assert set(table["state"]) == {"done"}
    for name in ("queued", "dispatched", "started", "finished"):
        assert str(table[name].dtype) == "datetime64[ns, UTC]"
    assert (table["started"] <= table["finished"]).all()
    assert table["started"][2].timestamp() == pytest.approx(job.stats()[2].started, abs=1e-6)
    assert table["seconds"].tolist() == [stats.seconds for stats in job.stats()]
    assert (table["finished"] - table["queued"]).dt.total_seconds().max() > 0


def test_a_table_has_the_same_types_where_nothing_has_happened(executor, endless):
    full = executor.map(squares, range(2))
    full.results()
    types = full.to_pandas().dtypes
    for job in (executor.map(squares, []), endless):
        table = job.to_pandas()
        assert len(table) == len(job)
        assert table.dtypes.equals(types)
    assert endless.to_pandas()["started"].isna().all()


def test_a_job_in_words(executor):
    job = executor.map(lambda x: 1 // x, [1, 2, 0])
    job.wait()
    said = text_of(job._repr_html_())
    assert f"map &lt;lambda&gt; × 3 on {executor.backend.name}" in said
    assert "2 done, 1 failed" in said
    assert job.id in said
    assert ("estimate" in said) == (executor.backend.prices is not None)
    assert "no tasks" in executor.map(squares, [])._repr_html_()


def test_a_job_that_runs_in_words(endless):
    assert "2 dispatched, 3 queued" in endless._repr_html_()
    assert "queued" in endless[4]._repr_html_()
    endless.cancel()
    assert "5 cancelled" in endless._repr_html_()
    assert "cancelled" in endless[0]._repr_html_()


def test_a_future_in_words(executor):
    job = executor.map(squares, [3], retries=2)
    job.results()
    said = text_of(job[0]._repr_html_())
    assert "Future squares[0]" in said
    assert f"worker {job.stats()[0].worker}" in said
    assert "done" in said


def test_an_executor_in_words():
    executor = wrenlite.Executor.local(2)
    assert text_of(executor._repr_html_()).split() == ["Executor", "on", "2", "local", "workers"]
    executor.shutdown()
    assert "shut down" in executor._repr_html_()


def test_looking_neither_fetches_nor_unpickles(executor, tmp_path):
    made = tmp_path / "made"
    job = executor.map(MakesAFolder, [str(made)])
    job.wait()
    for looked_at in (job, job[0], executor):
        assert looked_at._repr_html_()
    assert job.plot()._repr_png_()
    assert job.to_pandas() is not None
    assert not made.exists()
    job.results()
    assert made.exists()


def test_what_untrusted_notebooks_take_away_is_not_used(executor):
    job = executor.map(squares, range(3))
    job.results()
    for looked_at in (job, job[0], executor):
        html = looked_at._repr_html_()
        assert set(re.findall(r"<(\w+)", html)) <= {"div", "b"}
        assert "var(--jp-" in html
        assert not re.search(r"var\(--[\w-]+\)", html)  # each has something to fall back on
        assert html.count("<div") == html.count("</div>")
