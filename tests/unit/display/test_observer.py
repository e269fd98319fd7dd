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
from wrenlite.display.observer import Failure, Observer, View
from wrenlite.futures import Snapshot


def view(**changes):
    counts = {"queued": 700, "dispatched": 80, "running": 40, "done": 1216, "failed": 4, "cancelled": 0}
    now = Snapshot(name="ndvi", backend="AWS Lambda", total=2000, seconds=3.3, dollars=0.0082, **counts)
    fields = {
        "snapshot": now._replace(**changes),
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
    text = panel_png.COLOURS[state].removeprefix("#").ljust(8, "f")
    return [int(text[at : at + 2], 16) for at in range(0, 8, 2)]


def test_the_headline_has_the_state_of_the_job():
    assert html.headline(view()) == (
        "map ndvi × 2,000 on AWS Lambda · running · 3.3 s · about 2.1 s left · peak concurrency 80 · "
        "≈ $0.0082 (estimate)"
    )
    done = view(queued=0, dispatched=0, running=0, done=2000, failed=0, dollars=None)
    assert html.headline(done) == "map ndvi × 2,000 on AWS Lambda · done · 3.3 s · peak concurrency 80"
    ended = view(queued=0, dispatched=0, running=0, done=1990, failed=4, cancelled=6, note="throttled")
    assert "· 4 failed, 6 cancelled ·" in html.headline(ended)
    assert "throttled" not in html.headline(ended)
    nothing = view(queued=2000, dispatched=0, running=0, done=0, failed=0, note="Lambda takes no more")
    assert "· waiting ·" in html.headline(nothing)
    assert html.headline(nothing).endswith("· Lambda takes no more")


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.34, "3.3 s"), (59.7, "60 s"), (125, "2 min 5 s"), (3725, "1 h 2 min")]
)
def test_durations_are_written_in_words(seconds, text):
    assert html.duration(seconds) == text


def test_the_panel_escapes_text_and_is_plain_html():
    bundle = html.panel(view())
    text = bundle["text/html"]
    assert "no &lt;b&gt;pixels&lt;/b&gt;" in text
    assert "[3] &amp; so on" in text
    assert not re.search(r"<(script|style|svg|link|button)|class=|https?:", text)
    words = re.sub(r"<[^>]*>", "", text)
    for counted in ("1,216 done", "80 dispatched", "700 queued", "4 failed", "4 × ValueError"):
        assert counted in words
    assert bundle["text/plain"] == html.headline(view())


def test_one_pixel_per_task():
    states = bytes([1] * 50 + [4] + [0] * 49)
    image = pixels(panel_png.task_grid(states))
    rows, columns, _ = image.shape
    assert rows * columns >= 100
    assert image.reshape(-1, 4)[50].tolist() == colour(4)
    assert image.reshape(-1, 4)[49].tolist() == colour(1)
    assert image.reshape(-1, 4)[99].tolist() == colour(0)
    assert (image.reshape(-1, 4)[100:, 3] == 0).all(), "the rest of the last row is transparent"


def test_a_pixel_of_several_tasks_shows_the_failure_among_them():
    states = bytearray([1]) * 100_000
    states[77_777] = 4
    address = panel_png.task_grid(bytes(states))
    cells = pixels(address).reshape(-1, 4).tolist()
    assert cells.count(colour(4)) == 1
    assert cells.count(colour(1)) == 9_999
    assert len(address) < 1_000


def test_the_chart_is_as_high_as_the_number_of_running_tasks():
    image = pixels(panel_png.concurrency_chart([(0.0, 0), (5.0, 10), (10.0, 5)]))
    filled = (image[:, :, 3] > 0).sum(axis=0)
    assert filled[10] == 0
    assert filled[200] == image.shape[0]
    assert filled[-1] == image.shape[0] // 2


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
