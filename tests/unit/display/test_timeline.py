"""Where the timeline draws synthetic tasks. tests/contract/test_looks.py draws those of real jobs."""

import struct

import matplotlib
import matplotlib.style
import numpy as np
import pytest

from wrenlite.display.timeline import timeline
from wrenlite.protocol import TaskStats

ZERO = 1_760_000_000.0
TITLE = "map ndvi × 4 on 2 local workers"


def task(
    number, state="done", *, dispatched=None, started=None, took=None, received=None, worker=None, cold=False
):
    """The stats of a task, with times in seconds since map."""

    def at(seconds):
        return None if seconds is None else ZERO + seconds

    return TaskStats(
        task=number,
        state=state,
        attempts=1,
        queued=ZERO,
        dispatched=at(dispatched),
        started=at(started),
        seconds=took,
        cpu_s=took,
        finished=at(received),
        worker=worker,
        cold=cold,
    )


FOUR = [
    task(0, dispatched=0.5, started=1, took=2, received=3.25, worker="a", cold=True),
    task(1, dispatched=0.5, started=3.25, took=1, received=4.5, worker="a", cold=True),
    task(2, "failed", dispatched=0.5, started=1.5, took=4, received=6, worker="b"),
    task(3, "cancelled", received=5),
]


def drawn(tasks, now=20.0):
    return timeline(tasks, TITLE, ZERO + now)


def bars(figure, label):
    """The left end, right end and row of each bar with a label, in order of rows and time."""
    found = [part for part in figure.axes[0].collections if part.get_label() == label]
    boxes = [path.get_extents() for part in found for path in part.get_paths()]
    rows = ((round(box.x0, 4), round(box.x1, 4), round((box.y0 + box.y1) / 2)) for box in boxes)
    return sorted(rows, key=lambda bar: (bar[2], bar[0]))


def markers(figure, label):
    (line,) = (line for line in figure.axes[0].lines if line.get_label() == label)
    return sorted((round(x, 4), round(y)) for x, y in zip(*line.get_data(), strict=True))


def words(figure):
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return [text.get_text() for text in texts]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_task_has_a_row_with_its_waiting_running_and_returning():
    figure = drawn(FOUR)
    assert bars(figure, "waiting") == [(0, 1, 0), (0, 1.5, 1), (0, 3.25, 2), (0, 5, 3)]
    assert bars(figure, "running") == [(1, 3, 0), (3.25, 4.25, 2)]
    assert bars(figure, "failed") == [(1.5, 5.5, 1)]
    assert bars(figure, "outcome in transit") == [(3, 3.25, 0), (5.5, 6, 1), (4.25, 4.5, 2)]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["0", "1", "2", "3"]
    assert figure.axes[0].get_yticks().tolist() == [0, 2, 1, 3]  # in order of start


def test_failed_cancelled_and_cold_tasks_have_markers_of_different_shapes():
    figure = drawn(FOUR)
    assert markers(figure, "failed") == [(6, 1)]
    assert markers(figure, "cancelled") == [(5, 3)]
    assert markers(figure, "cold start") == [(1, 0)]  # one per worker
    shapes = {line.get_label(): line.get_marker() for line in figure.axes[0].lines}
    assert len(set(shapes.values())) == len(shapes) == 3
    assert legend(figure) == [
        "waiting",
        "running",
        "outcome in transit",
        "failed (1)",
        "cancelled (1)",
        "cold start (1)",
    ]


def test_the_curve_counts_the_running_tasks():
    figure = drawn(FOUR)
    upper, lower = figure.axes
    (curve,) = (part for part in lower.patches if part.get_label() == "running tasks")
    counts, times, _ = curve.get_data()
    assert counts.tolist() == [0, 1, 2, 1, 2, 1]
    assert np.allclose(
        times, [0, 1, 1.5, 3, 3.25, 4.25, 5.5], rtol=0, atol=1e-6
    )  # the precision of a double that holds seconds since the epoch
    assert "peak concurrency 2" in words(figure)
    assert lower.get_xlabel() == "seconds since map"
    assert upper.get_xlim() == lower.get_xlim()
    assert lower.get_xlim()[0] == 0
    assert 6 < lower.get_xlim()[1] < 6.5
    assert words(figure)[:2] == [TITLE, "2 done · 1 failed · 1 cancelled · 6 s"]


def test_the_memory_of_tasks_is_drawn_where_it_is_known():
    known = [FOUR[0]._replace(peak_bytes=300 << 20), *FOUR[1:3], FOUR[3]._replace(peak_bytes=900 << 20)]
    figure = drawn(known)
    *_, axes = figure.axes
    (lines,) = axes.collections
    assert np.allclose(lines.get_segments(), [[[1, 300], [3, 300]]])  # the other one has not run
    assert axes.get_ylabel() == "memory of\nworkers, MB"
    assert "at most 300.0 MB" in words(figure)
    assert [each.get_xlabel() for each in figure.axes] == ["", "", "seconds since map"]


def test_rounded_clocks_do_not_make_the_tasks_of_a_worker_overlap():
    tasks = [task(n, started=n, took=1.0000004, received=n + 1.1, worker="a") for n in range(5)]
    assert "peak concurrency 1" in words(drawn(tasks))


@pytest.mark.parametrize("ahead", [0.0, 1_000.0, -1_000.0, 0.3])
def test_times_of_a_wrong_clock_are_shifted_between_map_and_the_arrival_of_the_outcomes(ahead):
    there = [
        task(0, dispatched=0, started=ahead + 0.5, took=1, received=1.6, worker="a"),
        task(1, dispatched=0, started=ahead + 2.0, took=1, received=3.1, worker="a"),
    ]
    here = task(2, dispatched=0, started=0.2, took=1, received=1.3, worker="b")
    figure = drawn([*there, here])
    ran = sorted(bar[:2] for bar in bars(figure, "running"))
    ran.remove((0.2, 1.2))  # its clock is right, so its times stay
    (first, first_end), (second, second_end) = ran
    assert second - first == pytest.approx(1.5, abs=1e-3)  # the pause between its tasks is kept
    assert first_end - first == pytest.approx(1, abs=1e-3)
    assert first >= 0
    assert first_end <= 1.6
    assert second_end <= 3.1
    for label in ("waiting", "running", "outcome in transit"):
        assert all(0 <= left < right for left, right, _ in bars(figure, label))


def test_a_clock_that_was_set_during_the_job_makes_no_bar_negative():
    tasks = [
        task(0, started=-500, took=1, received=2, worker="a"),
        task(1, started=900, took=1, received=4, worker="a"),
        task(2, started=50, took=10, received=4, worker=None),  # its duration is longer than the job so far
    ]
    figure = drawn(tasks)
    for label in ("waiting", "running", "outcome in transit"):
        assert all(0 <= left < right <= 4 for left, right, _ in bars(figure, label))
    assert markers_end_by(figure, 4)


def markers_end_by(figure, last):
    return all(0 <= x <= last for line in figure.axes[0].lines for x in line.get_xdata())


def test_tasks_that_have_not_ended_are_drawn_up_to_now():
    tasks = [
        task(0, dispatched=0, started=0.5, took=1, received=1.75),
        task(1, "dispatched", dispatched=1.5),
        task(2, "queued"),
    ]
    figure = drawn(tasks, now=8)
    assert bars(figure, "dispatched") == [(1.5, 8, 1)]
    assert bars(figure, "waiting") == [(0, 0.5, 0), (0, 1.5, 1), (0, 8, 2)]
    assert words(figure)[1] == "1 queued · 1 dispatched · 1 done · 8 s"
    assert "now" in legend(figure)
    assert all(line.get_xdata() == [8, 8] for line in figure.axes[1].lines if line.get_label() == "now")


def test_a_task_whose_worker_died_is_drawn_as_failed_from_its_dispatch_on():
    figure = drawn([task(0, "failed", dispatched=0.5, received=3, worker="a")])
    assert bars(figure, "failed") == [(0.5, 3, 0)]
    assert "no task ran" in words(figure)


@pytest.mark.parametrize(
    ("tasks", "texts"),
    [
        ([], ["no tasks", "no task ran"]),
        ([task(0, "queued")], ["1 queued · 20 s", "no task has run yet"]),
        ([task(n, "queued") for n in range(5_000)], ["5,000 queued · 20 s", "no task has run yet"]),
        ([task(0, "cancelled", received=0.0)], ["1 cancelled · 0 s", "no task ran"]),
        ([task(0, dispatched=0, started=0, took=0.0, received=0)], ["1 done · 0 s", "no task ran"]),
    ],
    ids=["empty", "queued", "many queued", "cancelled at once", "no time at all"],
)
def test_jobs_in_which_no_task_ran(tasks, texts):
    figure = drawn(tasks)
    assert set(texts) <= set(words(figure))
    assert picture(figure)


def picture(figure):
    """The size of the PNG in pixels, and the size that the page is told."""
    png, shown = figure._repr_png_()
    assert png.startswith(b"\x89PNG")
    return struct.unpack(">II", png[16:24]), (shown["width"], shown["height"])


def test_a_notebook_shows_the_figure_at_half_its_size_in_pixels():
    (width, height), shown = picture(drawn(FOUR))
    assert shown == (1_000, round(height / 2))
    assert width == 2_000


def many(count, workers):
    """``count`` tasks of a second, in turn on ``workers``; every 100th fails, and the last 100 never run."""
    for number in range(count - 100):
        round_, place = divmod(number, workers)
        state = "done" if number % 100 else "failed"
        yield task(
            number, state, dispatched=round_, started=round_ + 0.1, took=0.9, received=round_ + 1.05,
            worker=f"w{place}", cold=round_ == 0,
        )  # fmt: skip
    for number in range(count - 100, count):
        yield task(number, "cancelled", received=1)


@pytest.mark.parametrize(
    ("count", "workers", "rows"),
    [(300, 8, 300), (2_000, 8, 8), (10_000, 1_000, 1_000), (10_000, 9_000, 10_000)],
)
def test_many_tasks_share_the_rows_of_their_workers_and_a_few_collections(count, workers, rows):
    figure = drawn(list(many(count, workers)))
    upper = figure.axes[0]
    assert upper.get_ylim() == (rows - 0.5, -0.5)
    assert len(upper.collections) + len(upper.lines) + len(upper.patches) < 12
    ran = bars(figure, "running")
    assert len(ran) == (count - 100) - (count - 100) // 100
    assert len({row for _, _, row in ran}) <= rows
    assert f"peak concurrency {min(workers, count - 100):,}" in words(figure)
    assert "cancelled (100)" in legend(figure)  # including those without a row
    assert f"failed ({(count - 100) // 100})" in legend(figure)
    assert picture(figure)


def test_tasks_whose_worker_is_not_known_yet_have_a_row_below_those_of_the_workers():
    tasks = [
        *many(1_000, 4),
        task(1_000, "dispatched", dispatched=200),
        task(1_001, dispatched=199, started=199.5, took=1, received=201),
    ]
    figure = drawn(tasks, now=230)
    assert bars(figure, "dispatched") == [(200, 230, 4)]
    assert bars(figure, "running")[-1] == (199.5, 200.5, 4)
    assert len(bars(figure, "waiting")) == 5  # one per row, which covers those of all its tasks


def test_the_colours_are_those_of_the_users_matplotlib_style():
    plain = drawn(FOUR)
    assert plain.get_facecolor() == (1, 1, 1, 1)
    with matplotlib.style.context("dark_background"):
        dark = drawn(FOUR)
    assert dark.get_facecolor() == (0, 0, 0, 1)
    assert {text.get_color() for text in dark.texts} == {"#ffffff", "#b2b2b2"}
    assert dark.axes[1].get_facecolor() == (0, 0, 0, 1)
    assert dark.axes[0].yaxis.label.get_color() == "#ffffff"


@pytest.mark.parametrize(("ink", "paper"), [("black", (1, 1, 1, 1)), ("white", (0, 0, 0, 1))])
def test_a_style_without_a_background_gets_one_on_which_the_text_is_readable(ink, paper):
    with matplotlib.rc_context({"text.color": ink, "figure.facecolor": "none"}):
        assert drawn(FOUR).get_facecolor() == paper


def test_the_style_of_saved_files_does_not_change_the_size_in_a_notebook():
    plain = drawn(FOUR)._repr_png_()
    with matplotlib.rc_context({"savefig.bbox": "tight", "savefig.facecolor": "red"}):
        assert drawn(FOUR)._repr_png_() == plain


@pytest.mark.parametrize("count", [200, 500, 10_000])
def test_the_curve_of_many_short_tasks_shows_the_mean(count):
    """Tasks of 9 ms with pauses of 1 ms, on two workers: 1.8 run on average."""
    tasks = [
        task(n, started=n // 2 / 100, took=0.009, received=n // 2 / 100 + 0.009, worker="ab"[n % 2])
        for n in range(count)
    ]
    figure = drawn(tasks, now=1000)
    lower = figure.axes[1]
    (curve,) = (part for part in lower.patches if part.get_label() == "running tasks")
    counts, times, _ = curve.get_data()
    assert len(counts) == 80
    assert np.allclose(np.diff(times), times[-1] / 80)
    work = 0.009 * count
    assert np.isclose((counts * np.diff(times)).sum(), work, rtol=1e-6)  # seconds since the epoch are rounded
    if count >= 2 * 500:  # an interval has many tasks
        assert np.allclose(counts, 1.8, atol=0.05)
    assert lower.get_ylabel() == "running tasks,\nmean"
    assert "peak concurrency 2" in words(figure)
