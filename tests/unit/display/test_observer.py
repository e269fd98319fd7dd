"""The text and the pictures of the job panel."""

import base64
import io
import re
import time

import numpy as np
import pytest
from PIL import Image

import wrenlite
from wrenlite.display import html, panel_png
from wrenlite.display.colours import STATE_COLOURS
from wrenlite.display.observer import Failure, Observer, View, merge
from wrenlite.display.remaining import in_words
from wrenlite.futures import Snapshot
from wrenlite.task_table import STATES

AT = time.mktime((2026, 11, 29, 14, 3, 12, 0, 0, -1))


def view(**changes):
    counts = {"queued": 700, "dispatched": 80, "running": 40, "done": 1216, "failed": 4, "cancelled": 0}
    now = Snapshot(name="ndvi", backend="AWS Lambda", total=2000, seconds=3.3, dollars=0.0082, **counts)
    fields = {
        "snapshot": now._replace(**changes),
        "since": AT - 3.3,
        "states": bytes(2000),
        "samples": [(0.0, 0), (1.0, 80), (3.3, 40)],
        "failure_counts": {"ValueError": 4},
        "failure_examples": {"ValueError": [Failure(7, "no <b>pixels</b>")]},
        "uninspected": 0,
        "output_tail": ["[3] & so on"],
    }
    return View(**fields)


def pixels(address):
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def colour(state):
    text = STATE_COLOURS[STATES[state]].removeprefix("#").ljust(8, "f")
    return [int(text[at : at + 2], 16) for at in range(0, 8, 2)]


def words(bundle):
    return re.sub(
        r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]*>", " ", bundle["text/html"], flags=re.DOTALL)
    )


def test_the_headline_has_the_state_of_the_job_and_stays_true():
    assert html.headline(view(), AT) == (
        "map ndvi × 2,000 on AWS Lambda · 1,220 of 2,000 ended at 2026-11-29 14:03:12 · 3.3 s · "
        "≈ $0.0082 (estimate) · peak concurrency 80"
    )
    done = view(queued=0, dispatched=0, running=0, done=2000, failed=0, dollars=None)
    assert html.headline(done, AT) == "map ndvi × 2,000 on AWS Lambda · done · 3.3 s · peak concurrency 80"
    measured = done._replace(snapshot=done.snapshot._replace(peak_bytes=412 << 20))
    assert "· 3.3 s · up to 412.0 MB of memory per worker ·" in html.headline(measured, AT)
    ended = view(queued=0, dispatched=0, running=0, done=1990, failed=4, cancelled=6, note="throttled")
    assert "· 4 failed, 6 cancelled ·" in html.headline(ended, AT)


def test_a_panel_says_that_a_job_runs_only_where_that_vanishes_without_updates():
    running = view()._replace(left_s=(5.0, 9.0))
    text = html.panel([running], AT)["text/html"]
    assert re.search(
        r'<span class="wrenlite-now" style="visibility:hidden;font-size:0">running · 3.3 s · 5 to 9 s left',
        text,
    )
    assert "1,220 of 2,000 ended at the last update, 2026-11-29 14:03:12" in text
    assert text.count("running ·") == 1
    waiting = view(queued=2000, dispatched=0, running=0, done=0, failed=0, note="Lambda takes no more")
    assert re.search(r">waiting · .* · Lambda takes no more<", html.panel([waiting], AT)["text/html"])
    ended = view(queued=0, dispatched=0, running=0, done=1990, failed=4, cancelled=6, note="throttled")
    text = html.panel([ended], AT)["text/html"]
    assert not re.search("throttled|wrenlite-now|<style|14:03", text)


@pytest.mark.parametrize(
    ("least", "most", "text"),
    [
        (0.2, 0.9, "less than 1 s left"),
        (0.2, 1.4, "about 1 s left"),
        (1.8, 2.2, "about 2 s left"),
        (8, 14, "8 to 14 s left"),
        (50, 130, "50 s to 2.2 min left"),
        (3600, 9000, "60 min to 2.5 h left"),
    ],
)
def test_the_time_left_is_a_figure_or_a_range(least, most, text):
    assert in_words((least, most)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.34, "3.3 s"), (59.7, "60 s"), (125, "2 min 5 s"), (3725, "1 h 2 min")]
)
def test_durations_are_written_in_words(seconds, text):
    assert html.duration(seconds) == text


def test_the_panel_escapes_text_and_is_plain_html():
    ended = view(queued=0, dispatched=0, running=0, done=1996, failed=4)
    bundle = html.panel([ended], AT)
    text = bundle["text/html"]
    assert "no &lt;b&gt;pixels&lt;/b&gt;" in text
    assert "[3] &amp; so on" in text
    assert not re.search(r"<(script|style|svg|link|button)|https?:", text)
    for counted in ("1,996 done", "4 failed", "4 × ValueError", "100%"):
        assert counted in words(bundle)
    assert bundle["text/plain"] == html.headline(ended, AT)
    for counted in ("1,216 done", "80 dispatched", "700 queued", "4 failed", "61%"):
        assert counted in words(html.panel([view()], AT))


def test_one_task_has_no_bar_and_no_pictures():
    one = view(total=1, queued=0, dispatched=1, running=1, done=0, failed=0)._replace(states=b"\2")
    assert "<img" not in html.panel([one], AT)["text/html"]
    assert "dispatched" not in words(html.panel([one], AT))


def test_output_is_in_view_while_it_changes_and_is_folded_in_the_end():
    live = html.panel([view()._replace(output_hint="output comes late")], AT, settled=False)["text/html"]
    assert "<details" not in live, "an update would close what a reader has opened"
    assert "the last lines of output (output comes late)" in live
    assert "<summary>output</summary>" in html.panel([view()], AT)["text/html"]


def test_a_few_jobs_have_a_line_each_and_the_one_that_runs_its_pictures():
    done = view(name="load", queued=0, dispatched=0, running=0, done=1996, failed=4)
    both = html.panel([done, view()], AT)
    assert words(both).count("map ") == 2
    assert both["text/html"].count("<img") == 2
    assert "load: 4 × ValueError" in words(both)
    assert "load[3] & so on" in words(both).replace("&amp;", "&")
    assert html.panel([done, done], AT)["text/html"].count("<img") == 0
    assert both["text/plain"].count("\n") == 1


def test_many_jobs_are_shown_as_one():
    jobs = [view(name=f"f{number}") for number in range(40)]
    jobs = [job._replace(since=AT + number, states=b"\1") for number, job in enumerate(jobs)]
    all_of_them = merge([merge(jobs[:30]), *jobs[30:]])
    assert all_of_them.jobs == 40
    assert all_of_them.snapshot.seconds == pytest.approx(39 + 3.3)  # from the first start to the last moment
    assert all_of_them.states == b"\1" * 40
    text = words(html.panel([all_of_them], AT))
    assert "40 jobs with 80,000 tasks on AWS Lambda" in text
    assert "160 × ValueError" in text
    assert "48,640 done" in text


def test_a_cell_is_small_and_a_failure_is_a_frame():
    address, height = panel_png.task_grid(bytes([1, 1, 4, 1]))
    image = pixels(address)
    assert image.shape[:2] == (2 * height, 2 * panel_png.WIDTH)
    assert height == 10
    assert (image[:, 80:, 3] == 0).all(), "four cells, each 10 pixels of the page wide"
    done, failed = image[:, :20], image[:, 40:60]
    assert done[0, 0].tolist() == done[9, 9].tolist() == colour(1)
    assert done[0, 19, 3] == done[19, 0, 3] == 0, "a gap"
    assert failed[0, 0].tolist() == failed[0, 19].tolist() == failed[19, 19].tolist() == colour(4)
    assert failed[9, 9, 3] == 0, "the middle of a frame"


@pytest.mark.parametrize("tasks", [1, 64, 65, 500, 2_000, 9_999, 10_240, 100_000])
def test_the_grid_has_the_width_of_the_bar_and_is_never_high(tasks):
    address, height = panel_png.task_grid(bytes([1]) * tasks)
    assert pixels(address).shape[:2] == (2 * height, 2 * panel_png.WIDTH)
    assert height <= 64


def test_one_cell_per_task_and_a_failure_is_larger_than_its_cell():
    states = bytearray([1]) * 10_000
    states[9_999] = 0
    states[320 + 5] = 4
    image = pixels(panel_png.task_grid(bytes(states))[0])
    cells = image[3::4, 3::4].reshape(-1, 4).tolist()
    assert cells[320 + 5] == colour(4)
    assert cells[9_999] == colour(0)
    assert cells.count(colour(1)) == 9_998
    assert all(alpha == 0 for *_, alpha in cells[10_000:]), "the rest of the last row is transparent"
    marked = (image == colour(4)).all(axis=2)
    assert marked.sum() == 6 * 6
    assert marked[4:10, 20:26].all(), "half as large again as a cell of 4 by 4"


def test_a_failure_in_the_last_column_and_row_stays_in_the_picture():
    states = bytearray([1]) * 10_240
    states[319] = states[10_239] = 4
    assert pixels(panel_png.task_grid(bytes(states))[0]).shape[:2] == (128, 1280)


def test_a_cell_of_several_tasks_shows_the_failure_among_them():
    states = bytearray([1]) * 100_000
    states[77_777] = 4
    address, _ = panel_png.task_grid(bytes(states))
    image = pixels(address)
    assert image[3::4, 3::4].reshape(-1, 4).tolist().count(colour(4)) == 1
    assert len(address) < 1_000


def test_the_chart_is_as_high_as_the_number_of_running_tasks_between_two_lines():
    image = pixels(panel_png.concurrency_chart([(0.0, 0), (5.0, 10), (10.0, 5)]))
    assert image.shape[1] == 2 * panel_png.WIDTH
    assert image[0, 0].tolist() == image[-1, 0].tolist() == colour(0)
    filled = (image[2:-2] == colour(2)).all(axis=2).sum(axis=0)
    assert filled[20] == 0
    assert filled[800] == image.shape[0] - 4
    assert filled[-1] == (image.shape[0] - 4) // 2


def test_the_lowest_numbers_of_the_failures_are_listed():
    def work(n):
        raise ValueError(f"unlucky {n}")

    with wrenlite.Executor.local(1, progress=False) as executor:
        job = executor.map(work, range(300))
        observer = Observer(job)
        while not observer.observe().ended:
            job.wait(timeout=0.01)
        late = Observer(job).observe()
    for seen in (observer.observe(), late):
        assert [failure.task for failure in seen.failure_examples["ValueError"]] == [0, 1, 2]
        assert sum(seen.failure_counts.values()) + seen.uninspected == 300


def test_what_running_tasks_have_printed_is_seen_and_let_go_when_they_end(tmp_path):
    def work(n):
        print(f"task {n} begins")
        while not (tmp_path / "go").exists():
            time.sleep(0.01)
        print(f"task {n} ends")

    with wrenlite.Executor.local(2, progress=False) as executor:
        job = executor.map(work, range(2))
        observer = Observer(job)
        seen = ()
        deadline = time.monotonic() + 20
        while len(seen) < 2 and time.monotonic() < deadline:
            job.wait(timeout=0.05)
            seen = observer.observe().output_tail
        assert sorted(seen) == ["[0] task 0 begins", "[1] task 1 begins"]
        (tmp_path / "go").touch()
        job.wait()
        assert len(observer.observe().output_tail) == 4
        assert job._tasks.unfinished_output() == {}
        assert job._tasks._unfinished_output == {}, "an outcome has the whole output"


def test_the_view_of_a_real_job():
    def work(n):
        print(f"\x1b[1mline of\x1b[0m {n}\r")
        if n % 10 == 3:
            raise ValueError(f"\x1b[31munlucky {n}")
        return n

    with wrenlite.Executor.local(2, progress=False) as executor:
        job = executor.map(work, range(100))
        observer = Observer(job)
        job.wait()
        seen = observer.observe()
    assert seen.ended
    assert seen.states.count(1) == 90
    assert seen.failure_counts == {"ValueError": 10}
    shown = seen.failure_examples["ValueError"]
    assert [failure.message for failure in shown] == [f"unlucky {failure.task}" for failure in shown]
    assert len(shown) == 3
    assert all(re.fullmatch(r"\[\d+\] line of \d+", line) for line in seen.output_tail)
    again = observer.observe()
    assert again.failure_counts == {"ValueError": 10}, "a failure is counted once"


def test_failures_beyond_the_first_hundred_are_counted_and_not_unpickled():
    def work(n):
        raise KeyError(n)

    with wrenlite.Executor.local(2, progress=False) as executor:
        job = executor.map(work, range(150))
        job.wait()
        seen = Observer(job).observe()
    assert (seen.failure_counts, seen.uninspected) == ({"KeyError": 100}, 50)


def test_running_tasks_are_counted_by_batches():
    with wrenlite.Executor.local(2, progress=False) as executor:
        job = executor.map(time.sleep, [0.3] * 4, chunksize=2)
        job.wait(return_when=wrenlite.FIRST_COMPLETED)
        now = job.snapshot()
        assert (now.running, now.dispatched + now.done) == (2, 4)
        job.wait()
        assert job.snapshot().running == 0
