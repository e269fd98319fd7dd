"""The job panel: what it says of a job, and the pictures in it."""

import base64
import io
import re
import time

import numpy as np
import pytest
from PIL import Image

import wrenlite
from wrenlite.display import html, picture
from wrenlite.display.view import (
    Failure,
    Observer,
    View,
)
from wrenlite.futures import Snapshot


def view(**changes):
    counts = {"queued": 700, "dispatched": 80, "running": 40, "done": 1216, "failed": 4, "cancelled": 0}
    now = Snapshot(name="ndvi", backend="AWS Lambda", total=2000, seconds=3.3, dollars=0.0082, **counts)
    fields = {
        "now": now._replace(**changes),
        "marks": bytes(2000),
        "samples": [(0.0, 0), (1.0, 80), (3.3, 40)],
        "kinds": {"ValueError": 4},
        "failures": {"ValueError": [Failure(7, "no <b>pixels</b>")]},
        "unseen": 0,
        "tail": ["[3] & so on"],
    }
    return View(**fields)


def pixels(address):
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def colour(mark):
    text = picture.COLOURS[mark].removeprefix("#").ljust(8, "f")
    return [int(text[at : at + 2], 16) for at in range(0, 8, 2)]


def test_the_headline_says_what_one_wants_to_know():
    assert html.headline(view()) == (
        "map ndvi × 2,000 on AWS Lambda · running · 3.3 s · about 2.1 s left · peak 80 at once · "
        "≈ $0.0082 (estimate)"
    )
    done = view(queued=0, dispatched=0, running=0, done=2000, failed=0, dollars=None)
    assert html.headline(done) == "map ndvi × 2,000 on AWS Lambda · done · 3.3 s · peak 80 at once"
    ended = view(queued=0, dispatched=0, running=0, done=1990, failed=4, cancelled=6, note="throttled")
    assert "· 4 failed, 6 cancelled ·" in html.headline(ended)
    assert "throttled" not in html.headline(ended)
    nothing = view(queued=2000, dispatched=0, running=0, done=0, failed=0, note="Lambda takes no more")
    assert "· waiting ·" in html.headline(nothing)
    assert html.headline(nothing).endswith("· Lambda takes no more")


@pytest.mark.parametrize(
    ("value", "words"), [(3.34, "3.3 s"), (59.7, "60 s"), (125, "2 min 5 s"), (3725, "1 h 2 min")]
)
def test_time_spans_as_people_say_them(value, words):
    assert html.seconds(value) == words


def test_the_panel_is_safe_and_survives_where_only_plain_html_does():
    bundle = html.panel(view())
    text = bundle["text/html"]
    assert "no &lt;b&gt;pixels&lt;/b&gt;" in text
    assert "[3] &amp; so on" in text
    assert not re.search(r"<(script|style|svg|link|button)|class=|https?:", text)
    words = re.sub(r"<[^>]*>", "", text)
    for counted in ("1,216 done", "80 dispatched", "700 queued", "4 failed", "4 × ValueError"):
        assert counted in words
    assert bundle["text/plain"] == html.headline(view())


def test_a_pixel_a_task():
    marks = bytes([1] * 50 + [4] + [0] * 49)
    image = pixels(picture.grid(marks))
    rows, columns, _ = image.shape
    assert rows * columns >= 100
    assert image.reshape(-1, 4)[50].tolist() == colour(4)
    assert image.reshape(-1, 4)[49].tolist() == colour(1)
    assert image.reshape(-1, 4)[99].tolist() == colour(0)
    assert (image.reshape(-1, 4)[100:, 3] == 0).all(), "what is left of the last row is nothing"


def test_of_several_tasks_in_a_pixel_the_failure_is_seen():
    marks = bytearray([1]) * 100_000
    marks[77_777] = 4
    address = picture.grid(bytes(marks))
    cells = pixels(address).reshape(-1, 4).tolist()
    assert cells.count(colour(4)) == 1
    assert cells.count(colour(1)) == 9_999
    assert len(address) < 1_000


def test_the_line_is_as_high_as_what_ran():
    image = pixels(picture.line([(0.0, 0), (5.0, 10), (10.0, 5)]))
    filled = (image[:, :, 3] > 0).sum(axis=0)
    assert filled[10] == 0
    assert filled[200] == image.shape[0]
    assert filled[-1] == image.shape[0] // 2


def test_what_is_seen_of_a_real_job():
    def work(n):
        print("line of", n)
        if n % 10 == 3:
            raise ValueError(f"unlucky {n}")
        return n

    with wrenlite.Executor.local(2, progress=False) as executor:
        job = executor.map(work, range(100))
        observer = Observer(job)
        job.wait()
        seen = observer.look()
    assert seen.over
    assert seen.marks.count(1) == 90
    assert seen.kinds == {"ValueError": 10}
    shown = seen.failures["ValueError"]
    assert [failure.text for failure in shown] == [f"unlucky {failure.task}" for failure in shown]
    assert len(shown) == 3
    assert all(re.fullmatch(r"\[\d+\] line of \d+", line) for line in seen.tail)
    again = observer.look()
    assert again.kinds == {"ValueError": 10}, "a failure is counted once"


def test_failures_beyond_the_first_hundred_are_counted_and_not_unpickled():
    def work(n):
        raise KeyError(n)

    with wrenlite.Executor.local(2, progress=False) as executor:
        job = executor.map(work, range(150))
        job.wait()
        seen = Observer(job).look()
    assert (seen.kinds, seen.unseen) == ({"KeyError": 100}, 50)


def test_how_many_run_at_once_is_counted_in_batches():
    with wrenlite.Executor.local(2, progress=False) as executor:
        job = executor.map(time.sleep, [0.3] * 4, chunksize=2)
        job.wait(return_when=wrenlite.FIRST_COMPLETED)
        now = job.snapshot()
        assert (now.running, now.dispatched + now.done) == (2, 4)
        job.wait()
        assert job.snapshot().running == 0
