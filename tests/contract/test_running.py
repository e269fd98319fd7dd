"""What an executor and its futures say about the tasks that run now."""

import time

import pytest

import wrenlite


def step(name, folder):
    """Tell that the task has started, and end when the test says so."""
    import os
    import time

    open(os.path.join(folder, f"started {name}"), "w").close()
    while not os.path.exists(os.path.join(folder, f"end {name}")):
        time.sleep(0.005)
    if name == "fails":
        raise ValueError(name)
    return b"x" * 2**20 if name == "large" else name


class Steps:
    """The tasks of ``step`` that share a folder."""

    def __init__(self, folder):
        self.folder = folder

    def wait_for(self, name):
        deadline = time.monotonic() + 30
        while not (self.folder / f"started {name}").exists():
            assert time.monotonic() < deadline, f"{name} has not started within 30 s"
            time.sleep(0.005)

    def end(self, *names):
        for name in names:
            (self.folder / f"end {name}").touch()


@pytest.fixture
def steps(shared_path):
    return Steps(shared_path)


def running(futures):
    return [future.running() for future in futures]


def test_workers_is_the_number_of_tasks_that_can_run_at_once(executor):
    expected = {"the calling thread": 1, "2 local workers": 2}.get(executor.backend.name, 4)
    assert executor.workers == expected
    calls = executor.as_concurrent()._max_workers  # dask submits so many, which travel together
    assert calls == (1 if expected == 1 else 8 * expected)
    assert executor.map(abs, [-1]).results() == [1]
    assert executor.workers == expected


def test_of_a_batch_on_local_workers_only_the_task_that_runs_is_running(steps):
    names = ["short", "large", "fails", "last"]
    with wrenlite.Executor.local(1, progress=False) as executor:
        job = executor.map(step, names, args=(str(steps.folder),), chunksize=4)
        waiting = executor.map(abs, [1])
        for position, name in enumerate(names):
            steps.wait_for(name)
            assert running(job) == [name == each for each in names], name
            assert running(waiting) == [False], "there is one worker"
            assert job.state(3) == "dispatched"
            steps.end(name)
            assert position == 3 or not job[3].done()
        job.wait()
        assert running(job) == [False] * 4
        assert waiting.results() == [1]


def test_a_task_that_runs_again_and_one_that_is_cancelled(steps):
    with wrenlite.Executor.local(1, progress=False) as executor:
        job = executor.map(step, ["fails", "other"], args=(str(steps.folder),), retries=1, chunksize=1)
        steps.end("fails")
        assert isinstance(job[0].exception(), ValueError)
        steps.wait_for("other")
        assert running(job) == [False, True]
        assert job[1].cancel()
        assert running(job) == [False, False]


def test_no_task_runs_while_its_worker_loads_the_function(steps, tmp_path, monkeypatch):
    folder = str(steps.folder)
    (tmp_path / "wl_slow_module.py").write_text(
        f"import sys\nsys.path.append({str(tmp_path)!r})\n"
        "def slow(x):\n    return x\n"
        f"from tests.contract.test_running import step\nstep('import', {folder!r})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    steps.end("import")
    import wl_slow_module

    (steps.folder / "end import").unlink()
    (steps.folder / "started import").unlink()
    with wrenlite.Executor.local(1, progress=False) as executor:
        future = executor.submit(wl_slow_module.slow, 1)
        steps.wait_for("import")
        assert not future.running()
        steps.end("import")
        assert future.result() == 1


def test_futures_of_as_concurrent_tell_it_too(pool, steps):
    standard = pool.as_concurrent()
    future = standard.submit(step, "only", str(steps.folder))
    steps.wait_for("only")
    assert future.running()
    steps.end("only")
    assert future.result() == "only"
    assert not future.running()


def test_on_lambda_the_tasks_of_requests_under_way_are_running(bed, steps):
    names = ["one", "two", "three"]
    with wrenlite.Executor.aws(max_concurrency=1, progress=False) as executor:
        job = executor.map(step, names, args=(str(steps.folder),), chunksize=2)
        steps.wait_for("one")
        assert running(job) == [True, True, False]
        steps.end("one", "two")
        steps.wait_for("three")
        assert running(job) == [False, False, True]
        steps.end("three")
        assert job.results() == names
        assert running(job) == [False] * 3
