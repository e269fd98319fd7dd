"""The program that runs a start, on this machine: what it calls, and how it ends."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from tests.aws.tasks import wait_until
from wrenlite.durable.lease import Times
from wrenlite.serving import code
from wrenlite.serving.process import End, StartProcess
from wrenlite.serving.program import Order
from wrenlite.serving.publication import Every, Http, Objects, Publication
from wrenlite.serving.starts import Starts
from wrenlite.storage.local import LocalStore

TIMES = Times(renew_s=0.1, lease_s=20.0)


@pytest.fixture
def begin(tmp_path):
    """A function that begins a start of one of ours on this machine."""
    made = []

    def start(function, on=Every("rate(1 day)"), event=None, **more):  # noqa: B008
        packed = code.pack(function)
        record = Publication("work", on, "m:f", *packed.digests, str(tmp_path / "out"))
        store = LocalStore(str(tmp_path / "state"))
        packed.store(store, record)
        starts = Starts(store, record, TIMES)
        begun = starts.begin(
            {"time": "2026-01-01T00:00:00Z"} if event is None else event, os.urandom(4).hex()
        )
        holder = starts.holder(begun.record.id)
        assert holder.try_to_take()
        order = Order(begun.record, record, store, {}, **more)
        env = {**os.environ, "WRENLITE_PROGRESS": "false", "WRENLITE_WORKERS": "2"}
        process = StartProcess(order, holder, env)
        made.append(process)
        return process, lambda: starts.status(begun.record.id)

    yield start
    for each in made:
        each.kill()


def test_a_start_maps_on_local_workers_and_leaves_outputs(begin, tmp_path):
    def work(event):
        import wrenlite

        start = wrenlite.current_start()
        start.outputs.put("a/b.txt", b"x")
        inside = wrenlite.Executor().map(lambda n: wrenlite.current_start() is None, range(3)).results()
        return [inside, start.event == event, start.id.startswith("work-"), start.name]

    process, status = begin(work)
    assert process.wait() is End.OVER
    found = status()
    assert (found["status"], found["result"]) == ("done", [[True] * 3, True, True, "work"]), found["error"]
    assert found["tasks"] == {"total": 3, "done": 3, "failed": 0}
    assert found["files"] == ["a/b.txt"]
    assert found["jobs"][0].startswith("work-lambda-") or found["jobs"]
    assert (tmp_path / "out" / found["id"] / "a" / "b.txt").read_bytes() == b"x"


def test_parameters_of_a_request_and_rows_of_a_file_become_arguments(begin, tmp_path):
    def area(width: int, height: int = 2):
        return width * height

    process, status = begin(area, Http(), {"width": 4})
    assert process.wait() is End.OVER
    assert status()["result"] == 8

    def count(event):
        def row(n: int):
            return n

        return sum(event.rows(of=row))

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("n\n1\nx\n2\n")
    event = {"bucket": str(tmp_path / "in"), "key": "a.csv", "etag": "e", "size": 8}
    process, status = begin(count, Objects(str(tmp_path / "in")), event)
    assert process.wait() is End.OVER
    found = status()
    assert found["result"] == 3, found["error"]
    assert [(row["line"], row["field"]) for row in found["rejected"]] == [(3, "n")]


def test_what_a_function_raises_is_in_the_status(begin, capfd):
    def fail():
        print("hello")
        raise LookupError("no such thing")

    process, status = begin(fail)
    assert process.wait() is End.OVER
    found = status()
    assert (found["status"], found["result"], found["files"]) == ("failed", None, [])
    assert (found["error"]["type"], found["error"]["message"]) == ("LookupError", "no such thing")
    out, err = capfd.readouterr()
    assert "hello" in out
    assert "LookupError: no such thing" in err


@pytest.mark.parametrize(("how", "ended"), [("sys.exit()", "done"), ("sys.exit('bad')", "failed")])
def test_a_function_may_exit(begin, how, ended):
    def leave():
        exec(f"import sys; {how}")

    process, status = begin(leave)
    assert process.wait() is End.OVER
    assert status()["status"] == ended


def test_a_process_that_ends_before_its_start_is_not_taken_for_done(begin):
    def vanish():
        os._exit(0)

    process, status = begin(vanish)
    assert process.wait() is End.DIED
    assert "exited with code 0" in process.why_it_died()
    assert status()["status"] == "running"


def test_a_coroutine_is_run_and_what_is_no_json_is_no_result(begin):
    async def wait():
        return {1, 2}

    process, status = begin(wait)
    assert process.wait() is End.OVER
    assert (status()["status"], status()["result"]) == ("done", None)


def stuck(path):
    """A function that starts a process and a map, and never ends."""

    def start():
        import wrenlite

        job = wrenlite.Executor().map(time.sleep, [600, 600], chunksize=1)
        subprocess.Popen(["sleep", "600"])
        open(path, "w").close()
        job.results()

    return start


def test_a_start_is_stopped_with_its_workers_and_what_it_has_started(begin, tmp_path):
    process, status = begin(stuck(str(tmp_path / "begun")))
    wait_until((tmp_path / "begun").exists)
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(process.wait()))
    waiting.start()
    process.stop()
    waiting.join()
    assert ended == [End.DIED]
    assert status()["status"] == "running"


def test_a_start_whose_time_is_up_or_that_another_one_runs_is_ended(begin, tmp_path):
    process, _ = begin(stuck(str(tmp_path / "begun")))
    assert process.wait(time.monotonic() + 0.2) is End.LATE
    process, status = begin(stuck(str(tmp_path / "second")), Http(), {})
    starts = Starts(LocalStore(str(tmp_path / "state")), Publication("work", Http(), "", "", "", "x"), TIMES)
    lease = starts.lease(status()["id"])
    starts.store.put(f"starts/{status()['id']}/lease/000002", f'["other", {lease.until}, 0]'.encode())
    assert process.wait() is End.LOST


@pytest.mark.e2e
def test_the_process_of_a_start_ends_with_the_one_that_has_started_it(tmp_path):
    program = """
    import sys, time
    from tests.e2e.test_start_process import *
    function = stuck(sys.argv[1] + "/begun")
    packed = code.pack(function)
    record = Publication("work", Every("rate(1 day)"), "m:f", *packed.digests, sys.argv[1] + "/out")
    store = LocalStore(sys.argv[1] + "/state")
    packed.store(store, record)
    starts = Starts(store, record)
    begun = starts.begin({"time": "t"}, "k")
    process = StartProcess(Order(begun.record, record, store, {}), starts.holder(begun.record.id))
    print(process._process.pid, flush=True)
    time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    wait_until((tmp_path / "begun").exists)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not os.path.exists(f"/proc/{child}"))


def test_a_start_runs_the_code_that_was_published(begin, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    module = tmp_path / "work" / "published_module.py"
    module.write_text("def run(size: int):\n    import helper_module\n    return helper_module.area(size)\n")
    (tmp_path / "work" / "helper_module.py").write_text("def area(size):\n    return size * size\n")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", [*sys.path])
    function = code.find_function("published_module:run")
    process, status = begin(function, Http(), {"size": 3})
    (tmp_path / "work" / "helper_module.py").write_text("raise SystemError\n")
    assert process.wait() is End.OVER
    assert status()["result"] == 9, status()["error"]
    del sys.modules["published_module"]


def test_annotations_that_are_texts_are_types_where_a_function_is_sent(begin):
    space = {"__name__": "__main__"}
    text = """
    from __future__ import annotations
    from typing import Literal
    def scaled(size: int, unit: Literal["cm", "m"] = "m", *, factor: float | None = None) -> float:
        "Doc."
        return size * (factor or 1)
    """
    exec(textwrap.dedent(text), space)
    process, status = begin(space["scaled"], Http(), {"size": 3, "unit": "cm", "factor": 2})
    assert process.wait() is End.OVER
    assert status()["result"] == 6, status()["error"]
    process, status = begin(space["scaled"], Http(), {"size": 3, "unit": "km"})
    assert process.wait() is End.OVER
    assert (status()["error"]["type"], status()["error"]["field"]) == ("BadInput", "unit")
    assert "Traceback" not in status()["error"]["traceback"]


def test_a_status_can_have_any_error_and_any_value(begin):
    def odd():
        class Odder(Exception):
            field = object()
            line = 3

            def __str__(self):
                raise KeyError("no")

        raise Odder

    process, status = begin(odd)
    assert process.wait() is End.OVER
    assert (status()["error"]["type"], status()["error"]["message"]) == ("Odder", "(no text)")
    assert status()["error"]["line"] == 3

    def deep():
        return [*deep(), float("nan")]

    process, status = begin(deep)
    assert process.wait() is End.OVER
    assert status()["error"]["type"] == "RecursionError"

    def large():
        print("x" * 100_000)
        return {"nan": float("nan"), "text": "y" * 100_000}

    process, status = begin(large)
    assert process.wait() is End.OVER
    assert (status()["status"], status()["result"]) == ("done", None)


@pytest.mark.parametrize("fails", [False, True])
def test_a_start_is_over_when_its_jobs_are(begin, fails, tmp_path):
    path = str(tmp_path)

    def forget():
        import wrenlite

        def work(n):
            time.sleep(0.2 if n < 2 else 0.2 + 600 * fails)
            open(f"{path}/{n}", "w").close()

        executor = wrenlite.Executor()
        executor.map(work, range(4), chunksize=1)
        opened = executor.stream(abs)
        opened.submit(-1)
        if fails:
            raise KeyError

    process, status = begin(forget)
    assert process.wait() is End.OVER
    found = status()
    assert found["status"] == ("failed" if fails else "done")
    assert found["tasks"]["total"] == 5
    assert found["tasks"]["done"] + found["tasks"]["failed"] == 5
    assert (tmp_path / "3").exists() != fails
