"""Starts of published jobs on Lambda: however the driver ends, and however often an event comes."""

import json
import time
from collections import Counter

import pytest

from tests.aws.published import TIMES, PublishedJob
from tests.aws.tasks import wait_until
from wrenlite.serving.publication import Every, Http, Objects

pytestmark = pytest.mark.e2e

ON_CSV = Objects("watched-bed", "in/", ".csv")
TEN = {str(number): 1 for number in range(10)}


@pytest.fixture
def publish(driven, bed):
    """A function that publishes one of ours, with a deployment that has a driver."""
    made = []

    def make(function, on=ON_CSV, **options):
        job = PublishedJob(bed, function, on, **options)
        made.append(job)
        if isinstance(on, Objects):
            job.watch()
        return job

    yield make
    for job in made:
        job.remove()


def squares(runs, count=10, before=0.0, seconds=0.0, after=0.0, items=None):
    """A function that maps, and says when it is called and when its tasks run.

    Args:
        runs: what it writes to.
        count: number of tasks.
        before: seconds before the map.
        seconds: of each task.
        after: seconds after it.
        items: an expression for the items.
    """
    path, items = runs.path, items or f"range({count})"

    def work(n):
        with open(path, "a") as file:
            file.write(f"{n}\n")
        time.sleep(seconds)
        return n * n

    def start(event=None):
        import os
        import time

        import wrenlite

        with open(path, "a") as file:
            file.write("called\n")
        time.sleep(before)
        found = wrenlite.Executor().map(work, eval(items, {"os": os}), chunksize=1).results()
        with open(path, "a") as file:
            file.write("mapped\n")
        time.sleep(after)
        wrenlite.current_start().outputs.put("sum", str(sum(found)).encode())
        return {"sum": sum(found), "event": getattr(event, "key", event)}

    return start


def check_whole(job, status, runs):
    """Check that a start is done, that its outputs are whole, and that no task ran twice."""
    assert status["status"] == "done", status["error"]
    assert status["tasks"] == {"total": 10, "done": 10, "failed": 0}
    assert job.outputs()[f"{status['id']}/sum"] == b"285"
    assert {task: count for task, count in runs().items() if task.isdigit()} == TEN


def test_an_object_starts_the_function_and_its_maps_run_as_detached_jobs(publish, runs):
    job = publish(squares(runs))
    job.upload("in/a b.csv")
    (status,) = job.ended()
    check_whole(job, status, runs)
    assert status["result"] == {"sum": 285, "event": "in/a b.csv"}
    assert status["jobs"] == [f"{status['id']}-1"]
    assert status["files"] == ["sum"]
    assert status["dollars"] > 0


def test_more_uploads_than_run_at_once_wait_in_the_bucket(publish, runs, bed):
    bed.settings(concurrency=4)  # three starts at once would hold all of it, and no task would run
    job = publish(squares(runs, count=3), at_once=1, timeout=60)
    for name in "abc":
        job.upload(f"in/{name}.csv", name.encode())
    found = job.ended(100.0)
    assert [status["status"] for status in found] == ["done"] * 3
    assert runs() == {"called": 3, "mapped": 3, "0": 3, "1": 3, "2": 3}
    begun, ended = ([status[name] for status in found] for name in ("begun", "ended"))
    assert max(begun) > min(ended)  # they did not run side by side
    assert list(job.store.list("starts/queue/")) == []


@pytest.mark.full
@pytest.mark.parametrize("point", ["called", "mapped"])
def test_starts_that_wait_are_begun_though_the_driver_before_them_is_killed(publish, runs, bed, point):
    bed.settings(event_copies=2)
    job = publish(squares(runs, count=3, before=1.0, after=1.0), at_once=1, timeout=60)
    for name in "abc":
        job.upload(f"in/{name}.csv", name.encode())
    wait_until(lambda: runs()[point])
    bed.kill_sandboxes(job.function)
    found = job.ended(110.0)
    assert [status["status"] for status in found] == ["done"] * 3
    assert {task: count for task, count in runs().items() if task.isdigit()} == {"0": 3, "1": 3, "2": 3}
    assert list(job.store.list("starts/queue/")) == []


@pytest.mark.full
def test_a_doubled_event_starts_nothing_twice_and_others_run_beside_it(publish, runs, bed):
    bed.settings(event_copies=2, notification_copies=2, event_delay_s=0.2)
    job = publish(squares(runs, after=1.0), times=TIMES._replace(lease_s=30.0), timeout=60)
    job.upload("in/a.csv", b"1")
    job.upload("in/b.csv", b"2")
    first, second = job.ended()
    assert first["id"] != second["id"]
    assert [first["status"], second["status"]] == ["done", "done"]
    assert runs() == {"called": 2, "mapped": 2, **dict.fromkeys(TEN, 2)}
    job.upload("in/a.csv", b"1")  # the same content again
    assert len(job.ended()) == 2
    assert runs()["called"] == 2


@pytest.mark.parametrize(
    "point",
    [pytest.param("called", marks=pytest.mark.full), "3", pytest.param("mapped", marks=pytest.mark.full)],
)
def test_a_driver_that_is_killed_is_followed_by_another_and_no_task_runs_twice(publish, runs, bed, point):
    job = publish(squares(runs, before=0.5, seconds=0.3, after=0.5))
    job.upload("in/a.csv")
    wait_until(lambda: runs()[point])
    bed.kill_sandboxes(job.function)
    (status,) = job.ended()
    check_whole(job, status, runs)
    assert runs()["called"] >= 2


@pytest.mark.full  # where ten sandboxes start late, two drivers end before the first task
def test_a_start_outlasts_its_driver(publish, runs, bed):
    job = publish(squares(runs, seconds=4.0), timeout=12)
    job.upload("in/a.csv")
    (status,) = job.ended(90)
    check_whole(job, status, runs)
    assert status["handed_over"] >= 1
    assert 2 <= runs()["called"] <= status["handed_over"] + 1
    assert {event["state"] for event in bed.events()} == {"done"}


def test_a_function_that_raises_is_not_called_again(publish, runs, bed):
    def start(event):
        raise KeyError(event.key)

    job = publish(start)
    job.upload("in/a.csv", b"1")
    (status,) = job.ended()
    assert status["status"] == "failed"
    assert status["error"]["type"] == "KeyError"
    assert "in start\nKeyError: 'in/a.csv'" in status["error"]["traceback"]
    assert "program.py" not in status["error"]["traceback"]
    assert [event["attempts"] for event in bed.events()] == [1]
    job.send({"Records": []})
    job.send({"hello": 1})
    job.upload("in/a.csv", b"1")  # a new event of the same content: it begins anew
    (status,) = job.ended()
    assert (status["status"], status["run"]) == ("failed", 2)


@pytest.mark.full
def test_a_process_that_needs_too_much_memory_is_told_after_three_attempts(publish, bed):
    def start(event):
        return len(bytearray(2 << 30))

    job = publish(start)
    job.upload("in/a.csv")
    (status,) = job.ended(90)
    assert status["status"] == "failed"
    assert status["attempts"] == 3
    print(status["error"])


@pytest.mark.full
def test_a_map_that_is_another_one_the_second_time_is_refused(publish, runs, bed):
    job = publish(squares(runs, items="[*range(9), int.from_bytes(os.urandom(4))]", after=2.0))
    job.upload("in/a.csv")
    wait_until(lambda: runs()["mapped"])
    bed.kill_sandboxes(job.function)
    (status,) = job.ended()
    assert status["error"]["type"] == "ConfigError"
    assert "its item 9 was another one then" in status["error"]["message"]
    assert Counter(runs().values())[1] == 11, "ten tasks and mapped"


def request(method, path, body=b"", **headers):
    """An event of a function URL."""
    http = {"method": method, "path": path}
    return {
        "version": "2.0",
        "rawPath": path,
        "requestContext": {"http": http},
        "headers": headers,
        "body": body.decode(),
        "isBase64Encoded": False,
    }


def test_a_request_starts_the_function_and_is_answered_at_once(publish, runs, bed):
    path = runs.path

    def start(size: int, name: str = "x"):
        with open(path, "a") as file:
            file.write(f"{name}\n")
        return {"area": size * size}

    job = publish(start, Http())

    def ask(*arguments, **headers):
        answer = job.lambda_.invoke(
            FunctionName=job.function, Payload=json.dumps(request(*arguments, **headers)).encode()
        )
        found = json.loads(answer["Payload"].read())
        return found["statusCode"], json.loads(found["body"])

    assert ask("POST", "/start", b'{"size": "large"}')[0] == 400
    assert ask("POST", "/start", b'{"sise": 3}')[1]["field"] == "sise"
    key = {"Idempotency-Key": "k-1"}
    code, first = ask("POST", "/start", b'{"size": 3, "name": "a"}', **key)
    assert code == 202
    assert ask("POST", "/start", b'{"size": 3, "name": "a"}', **key) == (202, first)
    assert ask("POST", "/start", b'{"size": 4, "name": "a"}', **key)[0] == 400
    bed.wait_for_events()
    code, status = ask("GET", first["url"])
    assert (code, status["status"], status["result"]) == (200, "done", {"area": 9})
    assert ask("GET", "/jobs/work-000000000000")[0] == 404
    assert runs() == {"a": 1}


@pytest.mark.full
def test_the_time_of_a_schedule_starts_the_function_once(publish, runs, bed):
    job = publish(squares(runs), Every("rate(1 day)"))
    event = {
        "source": "aws.events",
        "detail-type": "Scheduled Event",
        "id": "e-1",
        "time": "2026-01-01T00:00:00Z",
    }
    for _ in range(2):
        job.send(event)
    (status,) = job.ended()
    check_whole(job, status, runs)
    assert runs()["called"] == 1


@pytest.mark.full
def test_a_start_whose_driver_never_came_is_told_and_can_be_begun_again(publish, runs, bed):
    job = publish(squares(runs))
    bed.fault("Invoke", "answer", path="job-work", status=202, body="", count=1)
    begun = job.starts.begin({"bucket": "b", "key": "k", "etag": "e", "sequencer": "1"})
    job.starts.holder(begun.record.id).let_go()
    status = job.starts.status(begun.record.id)
    assert status["status"] == "failed"
    assert "no other one came" in status["error"]["message"]


@pytest.mark.full
def test_jobs_of_all_kinds_are_found_again(publish, runs, bed, tmp_path, monkeypatch):
    (tmp_path / "kinds_of_jobs.py").write_text(
        """
import time
from dataclasses import dataclass
import wrenlite
from kinds_of_helpers import note

@dataclass
class Tile:
    name: str
    places: frozenset

def draw(tile, outputs, scale=1.0, marks=None):
    if tile.name in {"a", "b", "c"}:
        note(f"draw-{tile.name}")
    outputs.put(tile.name, str(sorted(tile.places, key=repr)).encode())
    return Tile(tile.name * 2, tile.places)

def start(event):
    note("called")
    outputs = wrenlite.current_start().outputs
    executor = wrenlite.Executor()
    tiles = [Tile(name, frozenset({name, "x", "y", 3.5, None})) for name in "abc"]
    shared = executor.put({"scale": 2.0, "names": {"a", "b"}})
    first = executor.map(draw, tiles, args=(outputs,), kwargs={"scale": 2.0, "marks": {"p", "q", 7}})
    second = executor.map(lambda tile: (note("named"), tile.name)[1], first)
    def size(tile, ref):
        note("sized")
        return len(tile.places) + len(ref["names"])
    total = executor.map_reduce(size, tiles, sum, args=(shared,), seed=None)
    powers = executor.starmap(pow, [(2, 3), (3, 2)], retries=2)
    one = executor.submit(abs, -5)
    values = [second.results(), total.result(), powers.results(), one.result()]
    note("ready")
    time.sleep(2)
    return values
"""
    )
    (tmp_path / "kinds_of_helpers.py").write_text(
        f"""
def note(text):
    with open({runs.path!r}, "a") as file:
        file.write(text + "\\n")
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    from wrenlite.serving import code

    job = publish(code.find_function("kinds_of_jobs:start"))
    job.upload("in/a.csv")
    wait_until(lambda: runs()["ready"] or any(status["error"] for status in job.starts.recent(1)), 60)
    assert runs()["ready"], job.starts.recent(1)[0]["error"]["traceback"]
    bed.kill_sandboxes(job.function)
    (status,) = job.ended()
    assert status["status"] == "done", status["error"]
    assert status["result"] == [["aa", "bb", "cc"], 21, [8, 9], 5]
    counts = runs()
    assert counts.pop("called") >= counts.pop("ready") >= 2
    assert counts == {"draw-a": 1, "draw-b": 1, "draw-c": 1, "named": 3, "sized": 3}
    assert sorted(name.rpartition("/")[2] for name in job.outputs()) == ["a", "b", "c"]


@pytest.mark.full
def test_a_hand_over_that_fails_is_made_up_for(publish, runs, bed):
    job = publish(squares(runs, seconds=4.0), timeout=12)
    bed.error("Invoke", 500, "ServiceException", path="kept-job-work", count=4)
    job.upload("in/a.csv")
    (status,) = job.ended(90)
    check_whole(job, status, runs)
    assert max(event["attempts"] for event in bed.events()) > 1


@pytest.mark.full
def test_a_function_that_would_never_get_further_is_ended(publish, runs, bed):
    job = publish(squares(runs, count=2, after=600.0), timeout=8)
    job.upload("in/a.csv")
    (status,) = job.ended(90)
    assert (status["status"], status["handed_over"] < 5) == ("failed", True)
    assert "move that work into tasks" in status["error"]["message"]
    assert runs()["mapped"] >= 2
    assert (runs()["0"], runs()["1"]) == (1, 1)
