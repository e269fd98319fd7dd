"""Jobs, futures and executors as HTML in a notebook, plots of jobs, and their stats as a DataFrame."""

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
    """An object that makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def endless(pool, tmp_path):
    """A job of 5 tasks that run until they are cancelled."""
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
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == f"map <lambda> × 3 on {executor.backend.name}"
    assert texts[1].startswith("2 done · 1 failed · ")
    upper = figure.axes[0]
    assert {part.get_label() for part in upper.collections} >= {"running", "failed"}
    lengths = [path.get_extents().width for part in upper.collections for path in part.get_paths()]
    assert all(length > 0 for length in lengths)
    assert figure._repr_png_()[0].startswith(b"\x89PNG")
    assert executor.map(squares, []).plot()._repr_png_()


def test_a_running_job_is_plotted(endless):
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
    ("package", "call", "install"),
    [
        ("matplotlib", "plot", "pip install 'wrenlite[lab]'"),
        ("numpy", "plot", "pip install 'wrenlite[lab]'"),
        ("pandas", "to_pandas", "pip install pandas"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(package, call, install):
    program = (
        f"import sys, wrenlite; sys.modules[{package!r}] = None\n"
        "job = wrenlite.Executor.inline().map(abs, [1])\n"
        f"try:\n    job.{call}()\nexcept wrenlite.PackageMissing as error:\n    print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert package in ended.stdout
    assert install in ended.stdout


def test_stats_as_a_data_frame(executor):
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


def test_a_data_frame_has_the_same_types_before_any_task_has_run(executor, endless):
    full = executor.map(squares, range(2))
    full.results()
    types = full.to_pandas().dtypes
    for job in (executor.map(squares, []), endless):
        table = job.to_pandas()
        assert len(table) == len(job)
        assert table.dtypes.equals(types)
    assert endless.to_pandas()["started"].isna().all()


def test_a_job_as_html(executor):
    job = executor.map(lambda x: 1 // x, [1, 2, 0])
    job.wait()
    text = text_of(job._repr_html_())
    assert f"map &lt;lambda&gt; × 3 on {executor.backend.name}" in text
    assert "2 done, 1 failed" in text
    assert job.id in text
    assert ("estimate" in text) == (executor.backend.prices is not None)
    assert "no tasks" in executor.map(squares, [])._repr_html_()


def test_a_running_job_as_html(endless):
    assert "2 dispatched, 3 queued" in endless._repr_html_()
    assert "queued" in endless[4]._repr_html_()
    endless.cancel()
    assert "5 cancelled" in endless._repr_html_()
    assert "cancelled" in endless[0]._repr_html_()


def test_a_future_as_html(executor):
    job = executor.map(squares, [3], retries=2)
    job.results()
    text = text_of(job[0]._repr_html_())
    assert "Future squares[0]" in text
    assert f"worker {job.stats()[0].worker}" in text
    assert "done" in text


def test_an_executor_as_html():
    executor = wrenlite.Executor.local(2)
    assert text_of(executor._repr_html_()).split() == ["Executor", "on", "2", "local", "workers"]
    executor.shutdown()
    assert "shut down" in executor._repr_html_()


def test_html_plot_and_data_frame_unpickle_nothing(executor, tmp_path):
    made = tmp_path / "made"
    job = executor.map(MakesAFolder, [str(made)])
    job.wait()
    for shown in (job, job[0], executor):
        assert shown._repr_html_()
    assert job.plot()._repr_png_()
    assert job.to_pandas() is not None
    assert not made.exists()
    job.results()
    assert made.exists()


def test_the_html_has_nothing_that_untrusted_notebooks_remove(executor):
    job = executor.map(squares, range(3))
    job.results()
    for shown in (job, job[0], executor):
        html = shown._repr_html_()
        assert set(re.findall(r"<(\w+)", html)) <= {"div", "b"}
        assert "var(--jp-" in html
        assert not re.search(r"var\(--[\w-]+\)", html)  # each variable has a default
        assert html.count("<div") == html.count("</div>")
