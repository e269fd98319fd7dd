"""Clients and keepers of detached jobs that are killed at any moment: all is computed, and nothing twice."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

import wrenlite
from tests.aws.tasks import Runs
from wrenlite.durable.folder import Folder, find

TASKS = 200
PROGRAM = """
import sys
import time
import wrenlite

def work(n):
    with open({path!r}, "a") as file:
        file.write(f"{{n}}\\n")
    time.sleep(0.01)
    return n * n

if __name__ == "__main__":
    executor = wrenlite.Executor.{which}
    if {later!r}:
        job = executor.map(work, range({tasks}), progress=False)
        print(job.id, flush=True)
        job[10].result()
        job.detach()
    else:
        job = executor.map(work, range({tasks}), detach=True, progress=False)
        print(job.id, flush=True)
    job.wait()
"""


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    """A journal of this test's own. At the end no keeper runs."""
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))
    yield
    for folder in (tmp_path / "journal").glob("detached/*"):
        kill_keeper(folder.name)


@pytest.fixture(params=["local(2)", "aws(function='kept-here', max_concurrency=4)"])
def which(request):
    """The executor of the program, on each backend whose jobs a process of this machine keeps."""
    if "aws" in request.param:
        request.getfixturevalue("deploy")("kept-here")
    return request.param


@pytest.fixture(params=["local(2)", "aws(function='kept-here', max_concurrency=4)", "aws(max_concurrency=4)"])
def whichever(request):
    """The executor of the program, also on a function with a driver."""
    if "here" in request.param:
        request.getfixturevalue("deploy")("kept-here")
    elif "aws" in request.param:
        request.getfixturevalue("bed")
    return request.param


def kill_keeper(job):
    """Kill the keeper of a job, if one runs, and wait until it is gone."""
    command = ["pgrep", "-f", f"durable.keeper import main.*/{job}"]
    for pid in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split():
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(int(pid), signal.SIGKILL)
    while Folder(find(job)).is_kept():
        time.sleep(0.01)


def start(tmp_path, path, which, later):
    """Start the program, and return it with the id of its job."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM.format(path=path, which=which, later=later, tasks=TASKS))
    program = subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, text=True)
    return program, program.stdout.readline().strip()


def kill(program):
    program.kill()
    program.wait()
    program.stdout.close()


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("later", [False, True], ids=["detached at once", "handed over"])
def test_a_client_that_is_killed_at_any_point_loses_nothing(tmp_path, shared_path, whichever, later):
    seed = random.randrange(10**6)
    rng, not_yet = random.Random(seed), 0
    for number in range(20):
        runs = Runs(shared_path / f"runs-{number}")
        program, job = start(tmp_path, str(runs.path), whichever, later)
        time.sleep(rng.uniform(0, 1.5))
        kill(program)
        try:
            values = wrenlite.attach(job, resume=True).results(timeout=120)
        except wrenlite.JobNotFound:  # it was killed before the job was handed over
            assert later
            not_yet += 1
            continue
        assert values == [n * n for n in range(TASKS)]
        counts = runs()
        assert set(counts) == set(map(str, range(TASKS)))
        assert max(counts.values()) == 1, f"seed {seed}: {counts.most_common(3)}"
    print(f"seed {seed}: 20 points, {not_yet} before the hand-over; each task ran once")


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_keeper_that_is_killed_at_any_point_is_followed_by_one_other(tmp_path, shared_path, which, request):
    seed = random.randrange(10**6)
    rng, again = random.Random(seed), 0
    for number in range(10):
        runs = Runs(shared_path / f"runs-{number}")
        program, job = start(tmp_path, str(runs.path), which, later=False)
        kill(program)
        time.sleep(rng.uniform(0, 2.0))
        kill_keeper(job)
        if "aws" in which and number % 2:
            request.getfixturevalue("bed").kill_sandboxes()
        before = wrenlite.attach(job)
        before.wait(30)
        finished = [task for task in range(TASKS) if before.state(task) == "done"]
        successors = [
            threading.Thread(target=wrenlite.attach, args=(job,), kwargs={"resume": True}) for _ in range(2)
        ]
        for each in successors:
            each.start()
        for each in successors:
            each.join()
        assert wrenlite.attach(job).results(timeout=120) == [n * n for n in range(TASKS)]
        counts = runs()
        assert all(counts[str(task)] == 1 for task in finished), f"seed {seed}"
        repeated = Counter(counts.values())
        assert max(repeated) <= 2, f"seed {seed}: {counts.most_common(3)}"
        again += repeated[2]
    print(f"seed {seed}: 10 points, {again} of {10 * TASKS} tasks ran twice, none that had finished")
