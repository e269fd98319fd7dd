"""The journal: what is known of a job afterwards, and from another program."""

import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

import wrenlite
from wrenlite.durable import places
from wrenlite.durable.records import find_job


@pytest.fixture(autouse=True)
def journal(tmp_path, monkeypatch):
    """A journal of this test's own; gives its folder."""
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "journal"))
    return tmp_path / "journal"


def some_fail(n):
    print(f"line of {n}")
    if n == 2:
        raise ValueError("two")
    return n


def words_of(job):
    return [(event.kind, event.tasks) for event in job.events()]


def test_a_job_leaves_its_states_errors_output_and_events(executor):
    job = executor.map(some_fail, range(4))
    job.wait()
    executor.shutdown()
    (record,) = wrenlite.jobs()
    assert (record.id, record.name, record.backend) == (job.id, "some_fail", executor.backend.name)
    assert (record.state, record.counts) == ("failed", (4, 3, 1, 0))
    assert record.errors() == {2: "ValueError: two"}
    if "calling thread" not in executor.backend.name:  # there the output goes where the program's goes
        assert record.logs(2) == "line of 2\n"
    assert (record.dollars is None) == (executor.backend.prices is None)
    if record.dollars is not None:
        assert record.dollars == pytest.approx(job.cost.dollars)
    happened = words_of(record)
    assert happened[0] == ("queued", ((0, 4),))
    for task in range(4):
        of_task = [kind for kind, tasks in happened if any(first <= task < end for first, end in tasks)]
        assert of_task == ["queued", "sent", "started", "failed" if task == 2 else "finished", "received"]
    assert record.events()[-1].kind == "over"
    workers = {event.worker for event in record.events() if event.kind == "started"}
    assert workers == {stats.worker for stats in job.stats()}
    loaded = [event.worker for event in record.events() if event.kind == "loaded"]
    assert sorted(loaded) == sorted(workers), "each worker gets the code once"
    for worker in workers:
        first = next(
            event.kind for event in record.events()[1:] if event.worker == worker and event.kind != "sent"
        )
        assert first == "loaded"


def test_what_ran_again_and_what_was_cancelled_is_told(pool):
    job = pool.map(lambda n: os._exit(3) if n == 1 else n, range(2), chunksize=1, retries=1)
    job.wait()
    waiting = pool.map(time.sleep, [60] * 5, chunksize=1)
    while not any(stats.dispatched for stats in waiting.stats()):
        waiting.wait(0.01)
    waiting.cancel()
    cancelled, died = wrenlite.jobs()
    kinds = [kind for kind, tasks in words_of(died) if tasks == ((1, 2),)]
    assert kinds == ["sent", "again", "retried", "given up", "failed"]
    assert [event.kind for event in died.events()].count("died") == 2
    assert "exited with code 3" in died.errors()[1]
    assert (cancelled.state, cancelled.counts) == ("cancelled", (5, 0, 0, 5))
    assert ("cancelled", ((0, 5),)) in words_of(cancelled)


def test_batches_of_many_tasks_take_a_line_each(pool, journal):
    job = pool.map(abs, range(20_000))
    job.results()
    (record,) = wrenlite.jobs()
    assert record.counts == (20_000, 20_000, 0, 0)
    finished = [event.tasks for event in record.events() if event.kind == "finished"]
    assert sum(end - first for tasks in finished for first, end in tasks) == 20_000
    batches = sum(event.kind == "sent" for event in record.events())
    size = (record.path / places.EVENTS).stat().st_size
    assert size < 5_000 * batches  # 64 tasks are described one by one, in 40 bytes each


def test_tasks_that_are_submitted_are_one_job(pool):
    futures = [pool.submit(pow, n, 2) for n in range(20)]
    assert [future.result() for future in futures] == [n * n for n in range(20)]
    pool.shutdown()
    records = wrenlite.jobs()
    assert sum(record.counts.done for record in records) == 20
    assert {record.state for record in records} == {"done"}


def test_no_argument_value_or_key_is_in_the_journal_and_nobody_else_reads_it(pool, journal):
    job = pool.map(
        lambda text, extra: f"value of {text}{extra}", ["secret-item"], kwargs={"extra": "secret-arg"}
    )
    assert job.results() == ["value of secret-itemsecret-arg"]
    (record,) = wrenlite.jobs()
    written = b"".join(file.read_bytes() for file in record.path.iterdir())
    assert b"secret" not in written
    assert job._secret not in written
    assert job._secret.hex().encode() not in written
    for folder in (journal, journal / "jobs", record.path):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


RUNS_FOR_EVER = """
import os, sys, time, wrenlite
def work(n):
    print("begun", flush=True)
    time.sleep(60 * n)
job = wrenlite.Executor.local(2, progress=False).map(work, [0, 1], chunksize=1)
job[0].result()
print(job.id, flush=True)
time.sleep(60)
"""


def test_another_program_sees_a_running_job_and_one_whose_program_was_killed(start_script):
    process = start_script(RUNS_FOR_EVER)
    job = process.stdout.readline().strip()
    while find_job(job).counts.done < 1:
        time.sleep(0.01)
    record = find_job(job)
    assert (record.state, record.counts) == ("running", (2, 1, 0, 0))
    assert ("finished", ((0, 1),)) in words_of(record)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    record = find_job(job)
    assert (record.state, record.counts) == ("lost", (2, 1, 0, 0))


def test_a_folder_that_cannot_be_written_gives_one_warning_and_jobs_run(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING, "wrenlite"), wrenlite.Executor.local(1, progress=False) as executor:
        assert executor.map(abs, [-1]).results() == [1]
        assert executor.map(abs, [-2]).results() == [2]
    (message,) = [record.getMessage() for record in caplog.records if "journal" in record.getMessage()]
    assert str(tmp_path / "file") in message
    assert "WRENLITE_JOURNAL" in message


def test_without_a_journal_nothing_is_written(monkeypatch, journal):
    monkeypatch.setenv("WRENLITE_JOURNAL", "off")
    with wrenlite.Executor.local(1, progress=False) as executor:
        assert executor.map(abs, [-1]).results() == [1]
    assert not journal.exists()
    with pytest.raises(wrenlite.JobNotFound, match="no journal is kept"):
        wrenlite.jobs()


def test_a_map_inside_a_task_leaves_no_trace_of_its_own(pool):
    def nested(n):
        return wrenlite.Executor().map(abs, [-n]).results()

    assert pool.map(nested, [1]).results() == [[1]]
    assert [record.name for record in wrenlite.jobs()] == ["nested"]


def test_a_forked_process_leaves_the_journal_to_its_parent(pool):
    pool.map(abs, [-1]).results()
    child = os.fork()
    if not child:
        try:
            with wrenlite.Executor.inline() as executor:
                executor.map(abs, [-2]).results()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    pool.map(abs, [-3]).results()
    assert [record.state for record in wrenlite.jobs()] == ["done"] * 3


@pytest.mark.full
def test_old_jobs_are_deleted_but_not_those_that_run(journal):
    jobs = journal / "jobs"
    jobs.mkdir(parents=True)
    running = places.Program(journal)
    now = time.time()
    for number in range(10_000):
        made = places.new_job_folder(journal, f"f-{number:06x}", now - 10_000 + number)
        program = running.id if number == 7 else "ended"
        header = {"kind": "submitted", "at": now, "id": f"f-{number:06x}", "name": "f", "backend": "b"}
        (made / places.EVENTS).write_text(json.dumps({**header, "tasks": 1, "program": program}) + "\n")
    assert places.prune(journal, now) == 8_999
    left = [path.name.partition("-")[2] for path in places.job_folders(journal)]
    assert left == ["f-000007", *(f"f-{number:06x}" for number in range(9_000, 10_000))]
    assert places.prune(journal, now + places.LONGEST_S) == 1_000
    running.forget()


def test_many_bytes_are_deleted_too(journal):
    now = time.time()
    for number in range(3):
        made = places.new_job_folder(journal, f"f-{number}", now + number)
        (made / places.EVENTS).write_bytes(b"")
        os.truncate(made / places.EVENTS, places.MOST_BYTES // 2)
    assert places.prune(journal, now) == 1
    assert [path.name.partition("-")[2] for path in places.job_folders(journal)] == ["f-1", "f-2"]


def command(*words):
    result = subprocess.run(
        [sys.executable, "-m", "wrenlite", *words], capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout, result.stderr


def test_the_commands_list_and_show_jobs_their_events_and_output(pool):
    job = pool.map(some_fail, range(3), chunksize=1)
    job.wait()
    assert wrenlite.jobs()[0].state == "failed"  # all is written
    code, listed, _ = command("jobs")
    assert code == 0
    assert f"{job.id}  " in listed
    assert "2 of 3 done, 1 failed" in listed
    (entry,) = json.loads(command("jobs", "--json")[1])["jobs"]
    assert (entry["id"], entry["state"], entry["done"]) == (job.id, "failed", 2)
    shown = command("show", job.id)[1]
    assert "task 2: ValueError: two" in shown
    by_worker, in_order = command("events", job.id[:9])[1], command("events", job.id, "--unified")[1]
    assert by_worker.startswith("job\n     0.000  queued     tasks 0-2\n")
    assert "\nworker 0 (" in by_worker
    assert in_order.splitlines()[0].split() == ["0.000", "queued", "tasks", "0-2"]
    times = [float(line.split()[0]) for line in in_order.splitlines()]
    assert times == sorted(times)
    assert len(json.loads(command("events", job.id, "--json")[1])["events"]) == len(times)
    assert command("logs", job.id, "--task", "1") == (0, "line of 1\n", "")
    assert "[task 2]\nline of 2\n" in command("logs", job.id)[1]


def test_output_is_followed_until_the_job_is_over(start_script, tmp_path):
    process = start_script(
        f"""
        import os, time, wrenlite
        def work(n):
            while n and not os.path.exists({str(tmp_path / "go")!r}):
                time.sleep(0.01)
            print("line of", n)
        job = wrenlite.Executor.local(2, progress=False).map(work, [0, 1], chunksize=1)
        job[0].result()
        print(job.id, flush=True)
        """
    )
    job = process.stdout.readline().strip()
    while find_job(job).output() == []:
        time.sleep(0.01)
    words = [sys.executable, "-m", "wrenlite", "logs", job, "--follow"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as follower:
        assert [follower.stdout.readline() for _ in range(2)] == ["[task 0]\n", "line of 0\n"]
        (tmp_path / "go").touch()
        assert follower.stdout.read() == "[task 1]\nline of 1\n"
    assert find_job(job).state == "done"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "nothing"), "no job 'nothing' among the 0 in the journal; wrenlite.jobs() lists them"),
        (("logs", "nothing"), "no job 'nothing'"),
        (("logs", "--task", "1"), "--task is a task of a job: give JOB"),
        (("logs", "nothing", "--cloudwatch"), "give JOB and --task"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(words, message):
    code, out, errors = command(*words)
    assert (code != 0, out) == (True, "")
    assert message in errors.splitlines()[-1]


def test_the_functions_log_of_one_task(bed):
    with wrenlite.Executor.aws(max_concurrency=2, progress=False) as executor:
        job = executor.map(some_fail, range(2), chunksize=1)
        job.wait()
    code, log, errors = command("logs", job.id, "--task", "0", "--cloudwatch")
    assert (code, errors) == (0, "")
    assert job.stats()[0].request_id in log
    assert job.stats()[1].request_id not in log
