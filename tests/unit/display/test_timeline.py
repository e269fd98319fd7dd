"""The timeline of made-up tasks: what is drawn where. Those of real jobs: tests/contract/test_looks.py."""

import struct

import matplotlib
import matplotlib.style
import numpy as np
import pytest

from wrenlite.display.timeline import timeline
from wrenlite.protocol import TaskStats

ZERO = 1_760_000_000.0
TITLE = "map ndvi × 4 on 2 local workers"


def task(number, state="done", *, handed=None, began=None, took=None, back=None, worker=None, cold=False):
    """A task, its times in seconds since map."""

    def at(seconds):
        return None if seconds is None else ZERO + seconds

    return TaskStats(
        number, state, 1, ZERO, at(handed), at(began), took, took, at(back), worker, cold
    )  # fmt: skip


FOUR = [
    task(0, handed=0.5, began=1, took=2, back=3.25, worker="a", cold=True),
    task(1, handed=0.5, began=3.25, took=1, back=4.5, worker="a", cold=True),
    task(2, "failed", handed=0.5, began=1.5, took=4, back=6, worker="b"),
    task(3, "cancelled", back=5),
]


def drawn(tasks, now=20.0):
    return timeline(tasks, TITLE, ZERO + now)


def bars(figure, label):
    """Left, right and row of the bars of a label, in order of rows and time."""
    found = [part for part in figure.axes[0].collections if part.get_label() == label]
    boxes = [path.get_extents() for part in found for path in part.get_paths()]
    rows = ((round(box.x0, 4), round(box.x1, 4), round((box.y0 + box.y1) / 2)) for box in boxes)
    return sorted(rows, key=lambda bar: (bar[2], bar[0]))


def marks(figure, label):
    (line,) = (line for line in figure.axes[0].lines if line.get_label() == label)
    return sorted((round(x, 4), round(y)) for x, y in zip(*line.get_data(), strict=True))


def words(figure):
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return [text.get_text() for text in texts]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_task_waits_runs_and_comes_back_on_a_row_of_its_own():
    figure = drawn(FOUR)
    assert bars(figure, "waiting") == [(0, 1, 0), (0, 1.5, 1), (0, 3.25, 2), (0, 5, 3)]
    assert bars(figure, "running") == [(1, 3, 0), (3.25, 4.25, 2)]
    assert bars(figure, "failed") == [(1.5, 5.5, 1)]
    assert bars(figure, "outcome on its way") == [(3, 3.25, 0), (5.5, 6, 1), (4.25, 4.5, 2)]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["0", "1", "2", "3"]
    assert figure.axes[0].get_yticks().tolist() == [0, 2, 1, 3]  # in order of start


def test_failed_cancelled_and_cold_ones_have_marks_of_their_own_shapes():
    figure = drawn(FOUR)
    assert marks(figure, "failed") == [(6, 1)]
    assert marks(figure, "cancelled") == [(5, 3)]
    assert marks(figure, "cold start") == [(1, 0)]  # one a worker
    shapes = {line.get_label(): line.get_marker() for line in figure.axes[0].lines}
    assert len(set(shapes.values())) == len(shapes) == 3
    assert legend(figure) == [
        "waiting",
        "running",
        "outcome on its way",
        "failed (1)",
        "cancelled (1)",
        "cold start (1)",
    ]


def test_the_curve_counts_the_tasks_that_run_at_once():
    figure = drawn(FOUR)
    upper, lower = figure.axes
    (curve,) = (part for part in lower.patches if part.get_label() == "tasks at once")
    counts, times, _ = curve.get_data()
    assert counts.tolist() == [0, 1, 2, 1, 2, 1]
    assert np.allclose(
        times, [0, 1, 1.5, 3, 3.25, 4.25, 5.5], rtol=0, atol=1e-6
    )  # a double holds the epoch so
    assert "peak 2 at once" in words(figure)
    assert lower.get_xlabel() == "seconds since map"
    assert upper.get_xlim() == lower.get_xlim()
    assert lower.get_xlim()[0] == 0
    assert 6 < lower.get_xlim()[1] < 6.5
    assert words(figure)[:2] == [TITLE, "2 done · 1 failed · 1 cancelled · 6 s"]


def test_a_worker_runs_one_task_at_a_time_whatever_the_rounding_of_its_clocks_says():
    tasks = [task(n, began=n, took=1.0000004, back=n + 1.1, worker="a") for n in range(5)]
    assert "peak 1 at once" in words(drawn(tasks))


@pytest.mark.parametrize("ahead", [0.0, 1_000.0, -1_000.0, 0.3])
def test_a_worker_whose_clock_is_wrong_is_put_between_map_and_the_arrival_of_its_outcomes(ahead):
    there = [
        task(0, handed=0, began=ahead + 0.5, took=1, back=1.6, worker="a"),
        task(1, handed=0, began=ahead + 2.0, took=1, back=3.1, worker="a"),
    ]
    here = task(2, handed=0, began=0.2, took=1, back=1.3, worker="b")
    figure = drawn([*there, here])
    ran = sorted(bar[:2] for bar in bars(figure, "running"))
    ran.remove((0.2, 1.2))  # its clock is right, and stays
    (first, first_end), (second, second_end) = ran
    assert second - first == pytest.approx(1.5, abs=1e-3)  # what lies between its tasks stays as it was
    assert first_end - first == pytest.approx(1, abs=1e-3)
    assert first >= 0
    assert first_end <= 1.6
    assert second_end <= 3.1
    for label in ("waiting", "running", "outcome on its way"):
        assert all(0 <= left < right for left, right, _ in bars(figure, label))


def test_a_clock_that_was_set_meanwhile_makes_no_bar_negative():
    tasks = [
        task(0, began=-500, took=1, back=2, worker="a"),
        task(1, began=900, took=1, back=4, worker="a"),
        task(2, began=50, took=10, back=4, worker=None),  # took longer than there was time
    ]
    figure = drawn(tasks)
    for label in ("waiting", "running", "outcome on its way"):
        assert all(0 <= left < right <= 4 for left, right, _ in bars(figure, label))
    assert marks_within(figure, 4)


def marks_within(figure, last):
    return all(0 <= x <= last for line in figure.axes[0].lines for x in line.get_xdata())


def test_what_still_runs_is_drawn_up_to_now():
    tasks = [
        task(0, handed=0, began=0.5, took=1, back=1.75),
        task(1, "dispatched", handed=1.5),
        task(2, "queued"),
    ]
    figure = drawn(tasks, now=8)
    assert bars(figure, "dispatched, not back yet") == [(1.5, 8, 1)]
    assert bars(figure, "waiting") == [(0, 0.5, 0), (0, 1.5, 1), (0, 8, 2)]
    assert words(figure)[1] == "1 queued · 1 dispatched · 1 done · 8 s"
    assert "now" in legend(figure)
    assert all(line.get_xdata() == [8, 8] for line in figure.axes[1].lines if line.get_label() == "now")


def test_a_task_whose_worker_died_failed_between_dispatch_and_that_news():
    figure = drawn([task(0, "failed", handed=0.5, back=3, worker="a")])
    assert bars(figure, "failed") == [(0.5, 3, 0)]
    assert "nothing ran" in words(figure)


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([], ["no tasks", "nothing ran"]),
        ([task(0, "queued")], ["1 queued · 20 s", "nothing has run yet"]),
        ([task(n, "queued") for n in range(5_000)], ["5,000 queued · 20 s", "nothing has run yet"]),
        ([task(0, "cancelled", back=0.0)], ["1 cancelled · 0 s", "nothing ran"]),
        ([task(0, handed=0, began=0, took=0.0, back=0)], ["1 done · 0 s", "nothing ran"]),
    ],
    ids=["empty", "queued", "many queued", "cancelled at once", "no time at all"],
)
def test_jobs_in_which_nothing_ran(tasks, said):
    figure = drawn(tasks)
    assert set(said) <= set(words(figure))
    assert picture(figure)


def picture(figure):
    """Width and height of the PNG, in pixels, beside what the page is told."""
    png, shown = figure._repr_png_()
    assert png.startswith(b"\x89PNG")
    return struct.unpack(">II", png[16:24]), (shown["width"], shown["height"])


def test_a_notebook_shows_it_at_half_the_pixels():
    (width, height), shown = picture(drawn(FOUR))
    assert shown == (1_000, round(height / 2))
    assert width == 2_000


def many(count, workers):
    """So many tasks of a second, in turn on so many workers; every 100th fails, the last 100 never run."""
    for number in range(count - 100):
        turn, place = divmod(number, workers)
        state = "done" if number % 100 else "failed"
        yield task(
            number, state, handed=turn, began=turn + 0.1, took=0.9, back=turn + 1.05,
            worker=f"w{place}", cold=turn == 0,
        )  # fmt: skip
    for number in range(count - 100, count):
        yield task(number, "cancelled", back=1)


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
    assert f"peak {min(workers, count - 100):,} at once" in words(figure)
    assert "cancelled (100)" in legend(figure)  # also where they have no row
    assert f"failed ({(count - 100) // 100})" in legend(figure)
    assert picture(figure)


def test_on_a_workers_row_what_it_has_not_told_yet_has_a_row_below():
    tasks = [
        *many(1_000, 4),
        task(1_000, "dispatched", handed=200),
        task(1_001, handed=199, began=199.5, took=1, back=201),
    ]
    figure = drawn(tasks, now=230)
    assert bars(figure, "dispatched, not back yet") == [(200, 230, 4)]
    assert bars(figure, "running")[-1] == (199.5, 200.5, 4)
    assert len(bars(figure, "waiting")) == 5  # one a row: it covers those of all its tasks


def test_the_users_style_changes_nothing():
    plain = drawn(FOUR)._repr_png_()
    with matplotlib.style.context("dark_background"), matplotlib.rc_context({"savefig.bbox": "tight"}):
        assert drawn(FOUR)._repr_png_() == plain
