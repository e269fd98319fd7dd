"""Detached jobs: they go on without their program, and other processes attach to them."""

import asyncio
import concurrent.futures
import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import wrenlite
from tests.aws.tasks import longest_request
from wrenlite.backends.aws import errors
from wrenlite.durable import attach, folder
from wrenlite.durable.folder import KEPT_S, Folder, find
from wrenlite.durable.records import find_job


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    """A journal of this test's own; gives its folder. At the end no keeper runs."""
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))
    yield tmp_path / "journal"
    for each in (tmp_path / "journal").glob("detached/*"):
        kill_keeper(each.name)


@pytest.fixture(params=["process", "aws"])
def executor(request):
    """An executor on each backend whose jobs can be detached."""
    if request.param == "aws":
        request.getfixturevalue("bed")
        with wrenlite.Executor.aws(max_concurrency=4, progress=False) as made:
            yield made
    else:
        with wrenlite.Executor.local(2, progress=False) as made:
            yield made


@contextlib.contextmanager
def aws_without_driver(**options):
    """An executor on AWS whose detached jobs a process of this machine keeps."""
    with wrenlite.Executor.aws(progress=False, **options) as made:
        yield wrenlite.Executor(replace(made.backend, driver=None), progress=False)


@pytest.fixture(params=["process", "aws"])
def kept_here(request):
    """An executor on each backend whose detached jobs a process of this machine keeps."""
    if request.param == "aws":
        request.getfixturevalue("bed")
        with aws_without_driver(max_concurrency=4) as made:
            yield made
    else:
        with wrenlite.Executor.local(2, progress=False) as made:
            yield made


def keeper_of(job):
    """Return the process id of the keeper of a job; None where none runs."""
    found = subprocess.run(
        ["pgrep", "-f", f"durable.keeper import main.*/{job}"], capture_output=True, text=True, check=False
    )
    return int(found.stdout.split()[0]) if found.stdout else None


def kill_keeper(job):
    """Kill the keeper of a job, if one runs, and wait until it is gone."""
    if (pid := keeper_of(job)) is not None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)
    while Folder(find(job)).is_kept():
        time.sleep(0.01)


class Point:
    def __init__(self, x):
        self.x = x


def work(n, path, wait_s=0.0, gate=None):
    with open(path, "a") as file:
        file.write(f"{n}\n")
    time.sleep(wait_s)
    while gate is not None and n >= 10 and not os.path.exists(gate):
        time.sleep(0.01)
    print(f"line of {n}")
    if n == 3:
        raise ValueError("three")
    return Point(n), np.arange(n)


def test_a_detached_job_is_a_job_like_any_other(executor, runs):
    job = executor.map(work, range(6), args=(runs.path,), detach=True)
    values = job.results(return_exceptions=True, timeout=60)
    assert [value[0].x for value in values if not isinstance(value, Exception)] == [0, 1, 2, 4, 5]
    assert type(values[0][0]) is Point
    assert isinstance(values[3], ValueError)
    assert job.logs(2) == "line of 2\n"
    assert [stats.state for stats in job.stats()] == ["done"] * 3 + ["failed"] + ["done"] * 2
    assert all(stats.seconds is not None and stats.worker for stats in job.stats())
    assert (job.cost.dollars > 0) == (executor.backend.prices is not None)
    assert len(list(job.as_completed())) == 6
    done, _ = concurrent.futures.wait(list(job), timeout=10)
    assert len(done) == 6
    while (record := wrenlite.jobs()[0]).state == "running":  # its keeper ends a moment later
        time.sleep(0.01)
    assert (record.id, record.state, record.counts) == (job.id, "failed", (6, 5, 1, 0))


def test_values_of_a_detached_job_are_waited_for_and_sent_in_items(executor):
    def double(n):
        return 2 * n

    def fail(n):
        raise ValueError(n)

    job = executor.map(double, range(4), detach=True)
    assert executor.map(double, job).results(timeout=60) == [0, 4, 8, 12]
    assert executor.map(sum, [[job[1], job[3], 1]]).results(timeout=60) == [9]
    failing = executor.map(fail, [7], detach=True)
    with pytest.raises(
        wrenlite.DependencyFailed, match=r"task 0 of fail-.* has failed: ValueError: 7"
    ) as caught:
        executor.map(double, failing)
    assert caught.value.__cause__ is failing[0].exception()


def test_reductions_retries_and_large_values(executor):
    def concatenated(values):
        return np.concatenate(list(values))

    reduced = executor.map_reduce(lambda n: np.full(20_000, n), range(4), concatenated, detach=True)
    assert reduced.result(timeout=60).sum() == 20_000 * 6
    again = wrenlite.attach(reduced.job.id)
    assert again[-1].result().shape == (80_000,)
    assert again[2].result().shape == (20_000,)


@pytest.mark.e2e
def test_another_process_attaches_while_the_job_runs_and_afterwards(executor, runs, shared_path, script):
    job = executor.map(work, range(8), args=(runs.path, 0.1), chunksize=1, detach=True)
    text = f"""
        import wrenlite
        job = wrenlite.attach({job.id[:-2]!r})
        values = job.results(return_exceptions=True)
        print([value[0].x for value in values if not isinstance(value, Exception)], job.logs(2))
        try:
            job[3].result()
        except ValueError as error:
            import traceback
            print(traceback.format_exc())
    """
    for _ in range(2):
        ended = script(text)
        assert "[0, 1, 2, 4, 5, 6, 7] line of 2" in ended.stdout, ended.stderr
        assert 'raise ValueError("three")' in ended.stdout
    assert runs() == Counter(map(str, range(8)))


CELL = """
class Shape:
    def __init__(self, n):
        self.sides = n
    def area(self):
        return self.sides ** 2

def shape(n):
    return Shape(n), [Shape]
"""


@pytest.mark.e2e
def test_values_are_of_the_class_that_a_cell_has_defined_again(script):
    import_it = "import wrenlite"
    made = f"{CELL}\n{import_it}\nprint(wrenlite.Executor.local(1).map(shape, [3], detach=True).id)"
    job = script(made).stdout.strip()
    read = f"{import_it}\n[(value, [cls])] = wrenlite.attach({job!r}).results(timeout=60)"
    told = "print(isinstance(value, Shape), cls is Shape, value.area())"
    assert script(f"# moved\n{CELL}\n{read}\n{told}").stdout == "True True 9\n"
    changed = CELL.replace("** 2", "** 3")
    assert script(f"{changed}\n{read}\n{told}").stdout == "False False 9\n"
    assert script(f"{read}\nprint(type(value).__name__, value.area())").stdout == "Shape 9\n"


def test_a_program_that_is_killed_leaves_its_job_running(executor, runs, start_script):
    which = "aws(max_concurrency=4)" if "Lambda" in executor.backend.name else "local(2)"
    program = start_script(f"""
        import os, signal, time
        import wrenlite

        def work(n):
            with open({str(runs.path)!r}, "a") as file:
                file.write(f"{{n}}\\n")
            time.sleep(0.05)
            return n * n

        job = wrenlite.Executor.{which}.map(work, range(30), chunksize=1, detach=True)
        print(job.id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    job = wrenlite.attach(program.stdout.readline().strip())
    program.wait(30)
    assert job.results(timeout=60) == [n * n for n in range(30)]
    assert runs() == Counter(map(str, range(30)))


def test_a_job_whose_keeper_was_killed_is_resumed_and_nothing_that_finished_runs_again(kept_here, runs):
    gate = f"{runs.path}.gate"
    job = kept_here.map(work, range(20), args=(runs.path, 0.05, gate), chunksize=1, detach=True)
    for task in range(10):
        job[task].exception(timeout=60)
    kill_keeper(job.id)
    open(gate, "w").close()
    failed = job.results(return_exceptions=True, timeout=30)
    finished = [task for task in range(20) if not isinstance(failed[task], wrenlite.KeeperDied)]
    assert set(range(10)) <= set(finished) < set(range(20))
    assert "resume=True" in str(next(each for each in failed if isinstance(each, wrenlite.KeeperDied)))
    resumed = wrenlite.attach(job.id, resume=True)
    values = resumed.results(return_exceptions=True, timeout=60)
    assert [n if isinstance(value, ValueError) else value[0].x for n, value in enumerate(values)] == list(
        range(20)
    )
    counts = runs()
    assert all(counts[str(task)] == 1 for task in finished)
    assert all(counts[str(task)] <= 2 for task in range(20))
    while (record := wrenlite.jobs()[0]).state == "running":  # its keeper ends a moment later
        time.sleep(0.01)
    assert record.state == "failed"
    assert any(event.kind == "resumed" for event in record.events())


@pytest.mark.e2e
def test_a_task_that_ends_its_keeper_runs_three_times_at_most_and_after_all_others(pool, runs):
    def maybe_kill(n):
        with open(runs.path, "a") as file:
            file.write(f"{n}\n")
        if n == 1 and not os.path.exists(f"{runs.path}.mended"):
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        if n == 0:
            time.sleep(0.3)  # so that it runs when another worker runs 1
        return n

    job = pool.map(maybe_kill, range(6), chunksize=3, detach=True)
    for _ in range(4):
        job.wait(60)
        if not any(isinstance(error, wrenlite.KeeperDied) for error in job.errors().values()):
            break
        job = wrenlite.attach(job.id, resume=True)
    assert [state.state for state in job.stats()] == ["done", "failed", *["done"] * 4]
    with pytest.raises(wrenlite.WorkerDied, match="3 times the process that keeps the job ended while this"):
        job[1].result()
    counts = runs()
    assert counts["1"] == 3
    assert all(counts[str(n)] <= 3 for n in (0, 2, 3, 4, 5))
    open(f"{runs.path}.mended", "w").close()
    assert job.retry_failed().results(timeout=60) == list(range(6))


def test_causes_and_notes_of_errors_are_kept(pool, runs):
    gate = f"{runs.path}.gate"
    failed = pool.map(lambda n: 1 // n, [0])
    waiting = pool.map(
        lambda n: work(n, runs.path, gate=gate) if isinstance(n, int) else n, [failed[0], 10], chunksize=1
    )
    assert isinstance(waiting[0].exception(60), wrenlite.DependencyFailed)
    threading.Timer(0.2, lambda: open(gate, "w").close()).start()
    waiting.detach()
    waiting.wait(60)
    error = wrenlite.attach(waiting.id).exception(0)
    assert isinstance(error, wrenlite.DependencyFailed)
    assert "ZeroDivisionError" in str(error.__cause__)


def test_a_reduction_is_resumed(pool, runs):
    def double(n):
        work(n + 10, runs.path, 0.05)
        return np.full(10_000, 2 * n)

    job = pool.map_reduce(
        double, range(12), lambda values: sum(int(each[0]) for each in values), detach=True
    ).job
    next(iter(job.as_completed()))
    kill_keeper(job.id)
    assert wrenlite.attach(job.id, resume=True)[-1].result(timeout=60) == 132


def test_a_job_that_runs_is_handed_over_and_goes_on_elsewhere(executor, runs):
    gate = f"{runs.path}.gate"
    job = executor.map(work, range(20), args=(runs.path, 0.05, gate), chunksize=2)
    assert job[4].result(timeout=60)[0].x == 4
    assert job[19].cancel()
    future = job[18]
    threading.Timer(0.2, lambda: open(gate, "w").close()).start()  # what runs is waited for
    job.detach()
    assert not job._tasks.running
    executor.shutdown()
    values = job.results(return_exceptions=True, timeout=60)
    assert [value[0].x for value in values if isinstance(value, tuple)] == [0, 1, 2, *range(4, 19)]
    assert isinstance(values[3], ValueError)
    assert isinstance(values[19], concurrent.futures.CancelledError)
    assert future.result(timeout=10)[0].x == 18
    assert runs() == Counter(map(str, range(19)))
    again = wrenlite.attach(job.id)
    assert again[4].result()[0].x == 4, "its value was read here before"
    assert [stats.attempts for stats in again.stats()] == [1] * 19 + [0]
    assert again.cost == job.cost
    assert len(wrenlite.jobs()) == 1


def test_a_reduction_is_handed_over(executor, runs):
    gate = f"{runs.path}.gate"

    def double(n):
        work(n + 6, runs.path, gate=gate)  # from the fourth on they wait
        return np.full(10_000, n)

    future = executor.map_reduce(double, range(8), lambda values: sum(v[0] for v in values), chunksize=2)
    future.job[0].result(timeout=60)
    threading.Timer(0.2, lambda: open(gate, "w").close()).start()
    future.job.detach()
    assert future.result(timeout=60) == 28
    assert runs() == Counter(map(str, range(6, 14)))


def test_a_job_that_ends_while_it_is_handed_over(executor, runs):
    gate = f"{runs.path}.gate"

    def total(values):
        work(10, runs.path, gate=gate)
        return sum(values)

    future = executor.map_reduce(abs, range(-4, 0), total)
    while not runs():
        time.sleep(0.01)
    threading.Timer(0.2, lambda: open(gate, "w").close()).start()
    future.job.detach()
    assert future.result(timeout=60) == 10
    assert wrenlite.attach(future.job.id).results(timeout=60) == [4, 3, 2, 1, 10]
    assert runs() == Counter({"10": 1})


def test_what_cannot_be_handed_over_goes_on_here(pool, monkeypatch, runs):
    gate = f"{runs.path}.gate"
    job = pool.map(work, range(11), args=(runs.path, 0.0, gate), chunksize=1)
    monkeypatch.setenv("WRENLITE_JOURNAL", "off")
    threading.Timer(0.2, lambda: open(gate, "w").close()).start()
    with pytest.raises(wrenlite.ConfigError, match="WRENLITE_JOURNAL"):
        job.detach()
    assert len(job.results(return_exceptions=True, timeout=60)) == 11
    with pytest.raises(wrenlite.ConfigError, match="is over"):
        job.detach()
    with pool.stream(abs) as calls, pytest.raises(wrenlite.ConfigError, match="takes more tasks"):
        calls.detach()


def test_who_stops_waiting_leaves_the_job_running(pool, runs):
    gate = f"{runs.path}.gate"
    job = pool.map(work, [10, 11], args=(runs.path, 0.0, gate), detach=True)

    async def await_for_a_moment(waiting):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, 0.2)

    async def first_value():
        async for value in job.values():
            return value

    async def whole_job():
        return await job

    async def one_future():
        return await job[0]

    for wait in (whole_job, first_value, one_future):
        asyncio.run(await_for_a_moment(wait()))
    for wait in (job.wait, job.results, job[0].result, lambda: wrenlite.wait([job])):
        threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            wait()
    open(gate, "w").close()
    assert [value[0].x for value in job.results(timeout=60)] == [10, 11]


def test_a_disk_that_is_full_ends_the_keeper_and_is_told(pool):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, hard))  # its keeper inherits that
    try:
        job = pool.map(lambda n: os.urandom(500_000), range(20), chunksize=1, detach=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(wrenlite.KeeperDied, match=r"cannot write what tasks return: File too large"):
        job.results(timeout=60)
    again = wrenlite.attach(job.id, resume=True)
    assert [len(value) for value in again.results(timeout=60)] == [500_000] * 20


def test_a_damaged_file_is_told(pool, journal):
    job = pool.map(abs, range(50), chunksize=1, detach=True)
    job.results(timeout=60)
    table = journal / "detached" / job.id / "table-0"
    content = table.read_bytes()
    table.write_bytes(content.replace(b"wren", b"nerw", 6).replace(b"nerw", b"wren", 5))
    with pytest.raises(wrenlite.StoreError, match="table-0 is damaged"):
        wrenlite.attach(job.id)


def test_a_job_whose_folder_is_deleted_ends(pool, journal):
    job = pool.map(time.sleep, [60, 60], detach=True)
    shutil.rmtree(journal / "detached" / job.id)
    with pytest.raises(wrenlite.KeeperDied, match="was deleted while it ran"):
        job.results(timeout=60)


@pytest.mark.parametrize(
    ("error", "expected", "match"),
    [
        (wrenlite.AccessDenied("s3:GetObject"), wrenlite.AccessDenied, "s3:GetObject. Where that is mended"),
        (RuntimeError("no such thing"), wrenlite.BackendError, "RuntimeError: no such thing. Its keeper may"),
    ],
)
def test_who_waits_is_told_when_a_job_cannot_be_followed(pool, monkeypatch, error, expected, match):
    def refuse(place):
        raise error

    with monkeypatch.context() as faults:
        faults.setattr(attach, "REFUSED_S", 0.1)
        faults.setattr(Folder, "is_kept", refuse)
        job = pool.map(time.sleep, [60], detach=True)
        with pytest.raises(expected, match=match):
            job.results(timeout=60)


def test_only_what_lasts_ends_the_following_of_a_job():
    offline = wrenlite.StoreError("s3://bucket cannot be reached")
    expired = wrenlite.CredentialsExpired("sign in again")
    denied = wrenlite.AccessDenied("s3:GetObject")
    assert not any(map(errors.is_refusal, (offline, expired)))
    assert errors.is_refusal(denied)
    assert errors.is_refusal(wrenlite.NotFound("no blob"))
    for error in (offline, expired, denied):
        assert attach.end_of_following(error, 299.0) is None
    assert isinstance(attach.end_of_following(denied, 301.0), wrenlite.AccessDenied)


def test_tasks_of_a_resumed_job_have_the_folder_of_the_first_one(pool, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gate = f"{runs.path}.gate"

    def folder(n):
        work(n, runs.path, gate=gate)
        return os.getcwd()

    job = pool.map(folder, [0, 10], chunksize=1, detach=True)
    assert job[0].result(timeout=60) == str(tmp_path)
    kill_keeper(job.id)
    monkeypatch.chdir("/")
    open(gate, "w").close()
    assert wrenlite.attach(job.id, resume=True)[1].result(timeout=60) == str(tmp_path)


def test_no_thread_is_left_when_a_job_is_over(pool):
    before = threading.active_count()
    for _ in range(3):
        job = pool.map(abs, [1, 2], detach=True)
        concurrent.futures.wait(list(job), timeout=60)
        assert wrenlite.attach(job.id).results() == [1, 2]
        while keeper_of(job.id):
            time.sleep(0.01)
    deadline = time.monotonic() + 10
    while threading.active_count() > before + 3 and time.monotonic() < deadline:  # those of the pool's own
        time.sleep(0.01)
    assert threading.active_count() <= before + 3, threading.enumerate()


def test_what_cannot_be_attached_to_is_refused(pool):
    for wrong in (None, 5, b"x"):
        with pytest.raises(wrenlite.ArgumentError, match=r"attach\(.*must be the id"):
            wrenlite.attach(wrong)
    one = pool.map(abs, [1], detach=True)
    other = pool.map(abs, [2], detach=True)
    with pytest.raises(wrenlite.JobNotFound, match="the ids of 2 jobs begin with 'abs'") as caught:
        wrenlite.attach("abs")
    assert one.id in str(caught.value)
    assert other.id in str(caught.value)
    assert wrenlite.attach(one).results(timeout=60) == [1]
    with pytest.raises(wrenlite.ConfigError, match="resume='no'"):
        wrenlite.attach(one.id, resume="no")
    with pytest.raises(wrenlite.ConfigError, match="is detached"):
        one.refs()


def fail_always(n):
    raise OSError(n)


def test_tasks_that_wait_to_be_tried_again_are_told(pool):
    job = pool.map(fail_always, range(2), retries=wrenlite.Retry(1, delay_s=600), detach=True)
    while "2 failed tasks wait to be tried again" not in job.snapshot().note:
        time.sleep(0.01)
    while not [event for event in find_job(job.id).events() if event.kind == "again"]:
        time.sleep(0.01)
    record = find_job(job.id)
    assert (record.counts.failed, record.errors()) == (0, {})
    job.cancel()
    assert job.snapshot().note == ""


def test_a_cancel_without_a_keeper_cancels_nothing(pool):
    job = pool.map(time.sleep, [60, 60], detach=True)
    kill_keeper(job.id)
    job.wait(30)
    again = wrenlite.attach(job.id)
    assert again.cancel() == 0


@pytest.mark.e2e
def test_a_keeper_has_the_rest_of_the_budget(bed):
    with aws_without_driver(max_concurrency=1, budget=4e-5) as executor:
        job = executor.map(lambda n: time.sleep(0.3) or n, range(40), chunksize=1, detach=True)
        done = 0
        for _ in range(3):
            values = job.results(return_exceptions=True, timeout=60)
            done = sum(isinstance(value, int) for value in values)
            job = wrenlite.attach(job.id, resume=True)
        assert 0 < done < 40
        assert job.cost.dollars <= 4e-5 + longest_request(executor, job)


def test_only_one_keeper_runs_a_job(pool, runs):
    gate = f"{runs.path}.gate"
    job = pool.map(work, range(12), args=(runs.path, 0.0, gate), chunksize=1, detach=True)
    first = keeper_of(job.id)
    resumed = [wrenlite.attach(job.id, resume=True) for _ in range(3)]
    assert keeper_of(job.id) == first
    open(gate, "w").close()
    for each in resumed:
        each.wait(60)
    assert runs() == Counter(map(str, range(12)))


def test_a_detached_job_is_cancelled_from_anywhere(executor):
    job = executor.map(time.sleep, [0.0, 30, 30, 30, 30, 30], chunksize=1, detach=True)
    job[0].result(timeout=60)
    assert wrenlite.attach(job.id).cancel() == 5
    assert job.wait(30)
    assert [stats.state for stats in job.stats()] == ["done"] + ["cancelled"] * 5


def test_the_commands_follow_and_cancel(pool):
    def wrenlite_(*arguments):
        command = [sys.executable, "-m", "wrenlite", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    job = pool.map(abs, range(-3, 0), detach=True)
    followed = wrenlite_("attach", job.id)
    assert followed.returncode == 0, followed.stderr
    assert f"{job.id}: 3 of 3 done. In Python: wrenlite.attach('{job.id}').results()" in followed.stdout
    waiting = pool.map(time.sleep, [30, 30], detach=True)
    assert wrenlite_("cancel", waiting.id).stdout == f"{waiting.id}: 2 tasks cancelled.\n"
    report = json.loads(wrenlite_("attach", waiting.id, "--json").stdout)
    assert (report["id"], report["cancelled"]) == (waiting.id, 2)
    missing = wrenlite_("attach", "no-such-job")
    assert missing.returncode == 1
    assert "was detached on this machine" in missing.stderr


def test_objects_that_were_put_go_along(executor):
    table = executor.put(list(range(1000)))
    job = executor.map(lambda n, table: table[n], range(5), args=(table,), detach=True)
    executor.shutdown()
    assert job.results(timeout=60) == list(range(5))


def test_what_cannot_be_detached_is_refused(pool, monkeypatch):
    with (
        pytest.raises(wrenlite.ConfigError, match="run in this process"),
        wrenlite.Executor.inline() as inline,
    ):
        inline.map(abs, [1], detach=True)
    with pytest.raises(wrenlite.ConfigError, match="holds a future"):
        pool.map(abs, pool.map(abs, [-1]), detach=True)
    with pytest.raises(wrenlite.ConfigError, match="keep=True"):
        pool.map(abs, [1], keep=True, detach=True)
    with pytest.raises(wrenlite.ConfigError, match="buffersize"):
        pool.map(abs, [1], buffersize=2, detach=True)
    with pytest.raises(wrenlite.ConfigError, match="detach='yes'"):
        pool.map(abs, [1], detach="yes")
    monkeypatch.setenv("WRENLITE_JOURNAL", "off")
    with pytest.raises(wrenlite.ConfigError, match="WRENLITE_JOURNAL"):
        pool.map(abs, [1], detach=True)


def test_only_this_user_can_read_what_is_kept(pool, journal):
    job = pool.map(abs, [1], detach=True)
    job.results(timeout=60)
    folder = journal / "detached" / job.id
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder.parent.stat().st_mode & 0o777) == 0o700


def test_many_jobs_and_many_bytes_are_deleted_with_a_warning(journal, monkeypatch, caplog):
    now, detached = time.time(), journal / "detached"
    for number in range(6):
        made = detached / f"job-{number}" / "store"
        made.mkdir(parents=True)
        (made / "value").write_bytes(bytes(1_000_000))
        for path in (made, made.parent):
            os.utime(path, (now - 1_000 + number,) * 2)
    with open(detached / "job-0" / "keeper.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(detached / "job-0", (now - 2_000,) * 2)
        os.utime(detached / "job-0" / "keeper.lock", (now - 2_000,) * 2)
        monkeypatch.setattr(folder, "MOST_JOBS", 5)
        assert folder.prune(detached, now) == ["job-1"]
        monkeypatch.setattr(folder, "MOST_BYTES", 2_000_000)
        assert folder.prune(detached, now) == [], "bytes are not added up each time"
        assert folder.prune(detached, now + 1_000) == ["job-2", "job-3", "job-4"]
        assert folder.prune(detached, now + 2_000) == []
    assert sorted(path.name for path in detached.iterdir()) == ["job-0", "job-5"]
    assert "deleted the values of the detached job job-4: the newest 1,000 are kept, of 50 GB" in caplog.text


def test_a_token_stays_for_30_days_and_does_not_count(journal, monkeypatch):
    now, detached = time.time(), journal / "detached"
    for number in range(4):
        (detached / f"job-{number}").mkdir(parents=True)
        Folder(detached / f"job-{number}").write_token("secret")
    monkeypatch.setattr(folder, "MOST_JOBS", 1)
    monkeypatch.setattr(folder, "MOST_BYTES", 1)
    assert folder.prune(detached, now) == []
    assert folder.prune(detached, now + KEPT_S + 100) == [f"job-{number}" for number in range(4)]
    assert list(detached.iterdir()) == []


def test_old_jobs_are_deleted_but_not_those_that_run(pool, journal):
    old = pool.map(abs, [1], detach=True)
    old.results(timeout=60)
    running = pool.map(time.sleep, [30], detach=True)
    while Folder(find(old.id)).is_kept():  # its lock outlives the name of its process
        time.sleep(0.01)
    past = time.time() - KEPT_S - 100
    for job in (old, running):
        folder = journal / "detached" / job.id
        for path in (*folder.iterdir(), folder):
            os.utime(path, (past, past))
    pool.map(abs, [1], detach=True).results(timeout=60)
    left = {path.name for path in (journal / "detached").iterdir()}
    assert old.id not in left
    assert running.id in left
    running.cancel()
