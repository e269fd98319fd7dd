"""``wrenlite serve`` as a user runs it: requests, files and times start a function on this machine."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.aws.tasks import wait_until
from tests.served import Served
from wrenlite.cli import main
from wrenlite.serving import commands

MODULE = """
    import os, time
    from dataclasses import dataclass
    from wrenlite import Executor, ObjectEvent, current_start

    MARKS = os.environ.get("MARKS", "marks")

    def mark(text):
        with open(MARKS, "a") as file:
            file.write(text + "\\n")

    def squares(numbers: list[int], word: str = "x"):
        with Executor() as executor:
            found = executor.map(lambda n: n * n, numbers).results()
        current_start().outputs.put("squares.txt", repr(found).encode())
        mark(f"{word} {current_start().event}")
        return {"sum": sum(found)}

    @dataclass
    class Row:
        name: str
        factor: float = 1.0

    def copied(event: ObjectEvent):
        rows = event.rows(of=Row)
        mark(f"{event.key} {len(rows)}")
        return [row.name for row in rows]

    def slow(event=None):
        mark("begun")
        with Executor() as executor:
            executor.map(lambda n: time.sleep(n), [600, 600]).results()

    def quick(event):
        mark(event["time"])

    def dies(fields):
        mark("dies")
        os._exit(3)

    def fails(fields):
        raise KeyError("no such thing")
"""


@pytest.fixture
def serve(tmp_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))
    (tmp_path / "jobs_of_a_test.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "inbox").mkdir()
    made = []

    def serve(function, *arguments):
        made.append(Served(tmp_path, f"jobs_of_a_test:{function}", *arguments))
        return made[-1]

    yield serve
    for each in made:
        each.process.kill()
        each.process.wait()


@pytest.mark.e2e
def test_a_request_starts_the_function_and_its_outputs_are_there(serve, tmp_path):
    served = serve("squares", "--http", "0")
    status, answer = served.ask("/start", {"numbers": [1, 2, 3]}, **{"Idempotency-Key": "one"})
    assert status == 202
    again = served.ask("/start", {"numbers": [1, 2, 3]}, **{"Idempotency-Key": "one"})
    assert again == (202, answer)
    assert served.ask("/start", {"numbers": [4]}, **{"Idempotency-Key": "one"})[0] == 400
    assert served.ask("/start", {"numbers": [1, "x"]}) == (
        400,
        {"error": "numbers[1] must be a whole number, not 'x'", "field": "numbers[1]"},
    )
    found = served.over(answer["id"])
    assert (found["status"], found["result"], found["tasks"]["done"]) == ("done", {"sum": 14}, 3)
    assert found["files"] == ["squares.txt"]
    assert (tmp_path / "outputs" / "squares" / answer["id"] / "squares.txt").read_text() == "[1, 4, 9]"
    other = served.ask("/start", {"numbers": [5], "word": "y"})[1]["id"]
    assert served.over(other)["result"] == {"sum": 25}
    assert len(served.marks()) == 2
    assert served.end() == 0
    assert re.search(rf"^\S+ {other} done in .* 1 task, 1 file in ", served.text, re.MULTILINE)
    curl = re.search(r"curl -X POST (\S+)/start -H 'Authorization: Bearer \S+' -d '(.*)'", served.text)
    assert json.loads(curl[2]) == {"numbers": []}


@pytest.mark.e2e
def test_files_start_the_function_once_also_after_another_begin(serve, tmp_path):
    inbox = tmp_path / "inbox"
    (inbox / "first.csv").write_text("name,factor\na,1\nb,x\n")
    served = serve("copied", "--watch", "inbox/*.csv", "--http", "0")
    written = 0
    with (inbox / "slow.csv").open("w", buffering=1) as file:
        file.write("name\n")

        def first_is_taken():
            nonlocal written
            written += file.write("a\n") // 2
            return served.marks()

        wait_until(first_is_taken)
    wait_until(lambda: len(served.marks()) == 2, 20)
    (inbox / "first.csv").touch()
    (inbox / "notes.txt").write_text("name\na\n")
    (inbox / "third.csv").write_text("name\n")
    wait_until(lambda: "no rows below" in served.text)
    assert served.marks() == ["first.csv 1", f"slow.csv {written}"]
    assert "line 3 was left out: factor must be a number such as 0.5, not 'x'" in served.text
    assert served.ask("/start", {})[0] == 400
    assert served.end(signal.SIGTERM) == 0
    (inbox / "fourth.csv").write_text("name\na\n")
    again = serve("copied", "--watch", "inbox/*.csv")
    wait_until(lambda: len(again.marks()) == 3)
    (inbox / "third.csv").touch()
    wait_until(lambda: "no rows below" in again.text)
    assert again.end() == 0
    assert again.marks() == ["first.csv 1", f"slow.csv {written}", "fourth.csv 1"]
    assert "slow.csv" not in again.text


@pytest.mark.e2e
@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.full), signal.SIGKILL])
def test_what_is_interrupted_begins_anew_and_no_process_is_left(serve, number):
    served = serve("slow", "--http", "0")
    start = served.ask("/start", {})[1]["id"]
    wait_until(lambda: served.ask(f"/jobs/{start}")[1]["tasks"]["total"] == 2)
    served.process.send_signal(number)  # twice: who has started it may pass it on
    assert served.end(number) == (0 if number == signal.SIGTERM else -9)
    again = serve("slow", "--http", "0")
    wait_until(lambda: f"{start} was interrupted, and begins anew" in again.text)
    wait_until(lambda: len(again.marks()) == 2)
    assert again.ask(f"/jobs/{start}")[1]["status"] in ("queued", "running")
    assert again.end() == 0
    assert f"{start} is interrupted" in again.text


@pytest.mark.e2e
def test_a_function_that_fails_and_one_that_dies(serve):
    served = serve("fails", "--http", "0")
    found = served.over(served.ask("/start", {})[1]["id"])
    assert (found["status"], found["error"]["type"]) == ("failed", "KeyError")
    assert found["error"]["traceback"].splitlines()[1].endswith("in fails")
    assert served.end() == 0
    served = serve("dies", "--http", "0")
    found = served.over(served.ask("/start", {})[1]["id"])
    assert (found["status"], found["attempts"]) == ("failed", 3)
    assert found["error"]["message"].startswith("its process exited with code 3")
    assert served.marks() == ["dies"] * 3
    assert served.end() == 0


@pytest.mark.full
def test_a_schedule_starts_the_function_at_its_time(serve, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "from wrenlite.serving import publication\n"
        "publication._UNIT_S = {**publication._UNIT_S, 'minute': 1}\n"  # a minute of a second
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    served = serve("quick", "--every", "1 minute", "--at-once", "2")
    wait_until(lambda: len(served.marks()) >= 2)
    assert served.end() == 0
    times = served.marks()
    assert times == sorted(set(times))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", each) for each in times)


@pytest.mark.full
def test_two_cannot_serve_the_same_function(serve):
    served = serve("slow", "--http", "0")
    other = serve("slow", "--http", "0")
    assert other.process.wait(20) == 1
    assert "another wrenlite serve runs this function" in other.text
    assert served.end() == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "give at least one of --http, --watch and --every"),
        (("--every", "1 day", "--host", "0.0.0.0"), "--host is for --http"),
        (("--http", "99999999"), "must be a whole number from 0 to 65,535"),
        (("--watch", "s3://bucket/in/*.csv"), "wrenlite publish watches buckets, and wrenlite serve folders"),
        (("--watch", "nowhere/*.csv"), "there is no folder"),
        (("--watch", "in[a]box"), "no other wildcard"),
        (("--watch", ".", "--to", "out"), "watches that"),
        (("--watch", ".", "--to", "../out", "--state", "records"), "the records of starts would be written"),
        (("--every", "cron(0 3 * * ? *)"), "wrenlite serve takes a rate, such as 15 minutes"),
        (("--every", "often"), "is not a schedule"),
        (("--every", "1 day", "--name", "A b"), "is not the name of a published job"),
    ],
)
def test_what_cannot_be_served_is_refused(arguments, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, ["serve", "os.path:basename", *arguments])
    assert ended.exit_code in (1, 2)
    assert text in re.sub(r"\s+", " ", ended.output)
    assert not os.listdir(tmp_path)


def test_a_signal_stops_it_whatever_it_interrupts():
    with commands._stopped_by_signals() as stop:
        with stop._cond:  # as within stop.wait() and stop.set()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)  # the handler runs here, at the latest
        assert stop.wait(60)


@pytest.mark.parametrize(
    ("target", "options", "text"),
    [
        ("nowhere:f", ("--http", "0"), "there is no module 'nowhere'"),
        ("os:nothing", ("--http", "0"), "has no 'nothing'"),
        ("os", ("--http", "0"), "names no function: write MODULE:FUNCTION"),
        ("os:getcwd", ("--watch", "."), "cannot be called by"),
        ("wrenlite.gallery.fractals.deployed:collage_of_csv", ("--every", "1 day"), "takes an ObjectEvent"),
        ("wrenlite.gallery.fractals.deployed:collage_of_csv", ("--http", "0"), "takes an ObjectEvent"),
    ],
)
def test_a_function_that_cannot_be_started_is_refused(target, options, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, ["serve", target, *options])
    assert ended.exit_code == 1
    assert text in re.sub(r"\s+", " ", ended.output)


def test_a_missing_extra_is_said(monkeypatch):
    monkeypatch.setattr("wrenlite.serving.commands._PACKAGES", ("starlette", "no_such_package"))
    ended = CliRunner().invoke(main, ["serve", "os:getcwd", "--http", "0"])
    assert ended.exit_code == 1
    assert "wrenlite serve needs no_such_package: pip install 'wrenlite[serve]'" in ended.output


def test_no_package_of_the_extra_is_imported_before_it_is_needed():
    program = (
        "import sys, wrenlite.cli, wrenlite.serving.driver; "
        "print([name for name in ('starlette', 'uvicorn', 'watchfiles') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


PAGE = (Path(__file__).parents[2] / "docs" / "deployed-jobs.md").read_text()
LINES = [line.strip() for line in re.sub(r" \\\n +", " ", PAGE).splitlines() if line.startswith("    ")]


@pytest.mark.e2e
def test_the_page_works_as_it_is_written(serve, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    snippets = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "jobs_of_a_test.py").write_text(snippets[0])
    served = serve("squares", "--http", "0")
    url, token = re.search(r"pages +(\S+)/\?token=(\S+)", served.text).groups()

    def run(line):
        line = line.replace("http://127.0.0.1:8000", url).replace("TOKEN", token)
        return json.loads(subprocess.check_output([*shlex.split(line), "-s"], text=True))

    start, look = [line for line in LINES if line.startswith("curl ")][:2]
    found = run(start)
    status = served.over(found["id"])
    assert run(look.replace("ID", found["id"])) == status
    assert (status["result"], status["files"]) == ({"sum": 28.0}, ["squares.txt"])
    assert served.end() == 0
