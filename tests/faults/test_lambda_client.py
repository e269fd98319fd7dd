"""The client on its way, and its dollars."""

import json
import os
import re
import signal
import threading
import time
from collections import Counter

import pytest

import wrenlite
from tests.aws.tasks import nap

# The client


def test_a_client_that_is_killed_leaves_nothing_running_that_was_not_dispatched(start_script, bed, tmp_path):
    file = tmp_path / "ran"
    process = start_script(
        f"""
        import time, wrenlite

        def slow(n):
            with open({str(file)!r}, "a") as file:
                file.write(f"{{n}}\\n")
            time.sleep(0.5)

        job = wrenlite.Executor.aws(max_concurrency=3).map(slow, range(100), chunksize=1)
        print("mapped", flush=True)
        job.results()
        """
    )
    process.stdout.readline()
    while not file.exists() or file.read_text().count("\n") < 3:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    sent = bed.counts()["Invoke"]
    time.sleep(1.5)  # two more rounds would fit
    assert bed.counts()["Invoke"] == sent
    assert file.read_text().count("\n") == sent


def test_shutdown_does_not_wait_for_what_was_cancelled_in_flight(connected, bed, runs):
    def slow(item, path):
        import time

        with open(path, "a") as file:
            file.write(f"{item}\n")
        time.sleep(5)

    aws = connected()
    job = aws.map(slow, range(2), args=(runs.path,), chunksize=1)
    while len(runs()) < 2:
        time.sleep(0.01)
    begun = time.monotonic()
    aws.shutdown(cancel_futures=True)
    assert time.monotonic() - begun < 1
    assert job.snapshot().cancelled == 2
    assert job.cost.gb_s == pytest.approx(2 * 20 * 0.5), "nobody knows how long they ran"


def test_a_cancelled_task_in_company_leaves_the_others_alone(aws, runs, tmp_path):
    flag = tmp_path / "flag"

    def wait_for_flag(item, path, flag):
        import os
        import time

        with open(path, "a") as file:
            file.write(f"{item}\n")
        while not os.path.exists(flag):
            time.sleep(0.01)
        return item

    job = aws.map(wait_for_flag, range(3), args=(runs.path, str(flag)), chunksize=3)
    while runs()["0"] < 1:
        time.sleep(0.01)
    assert job[0].cancel()
    flag.touch()
    assert [job[1].result(30), job[2].result(30)] == [1, 2]
    assert runs() == Counter({"0": 1, "1": 1, "2": 1})


def test_a_crash_after_a_cancel_in_company_is_the_tasks_own(aws, runs, tmp_path):
    flag = tmp_path / "flag"

    def crash(item, path, flag):
        import os
        import time

        with open(path, "a") as file:
            file.write(f"{item}\n")
        while not os.path.exists(flag):
            time.sleep(0.01)
        if item == 1:
            os._exit(3)
        return item

    job = aws.map(crash, range(3), args=(runs.path, str(flag)), chunksize=3)
    while runs()["0"] < 1:
        time.sleep(0.01)
    job[0].cancel()
    flag.touch()
    with pytest.raises(wrenlite.WorkerDied):
        job[1].result(30)
    assert job[2].result(30) == 2
    assert runs() == Counter({"0": 1, "1": 1, "2": 1})


# Dollars


def test_a_job_says_what_it_cost(aws, bed):
    job = aws.map(abs, range(100), chunksize=10)
    job.results(timeout=30)
    assert job.cost.requests == bed.counts()["Invoke"] == 10
    assert 0 < job.cost.gb_s < 10
    assert job.cost.dollars == pytest.approx(10 * 0.2e-6 + job.cost.gb_s * 0.0000166667)
    assert job.snapshot().dollars == job.cost.dollars
    assert str(job.cost).startswith("about $")


def test_a_budget_stops_dispatching_and_keeps_what_is_finished(connected, bed, runs):
    def nap(item, path):
        import time

        with open(path, "a") as file:
            file.write(f"{item}\n")
        time.sleep(0.1)
        return item

    connected().map(abs, range(4), chunksize=1).results(timeout=30)  # warm: the start costs more than a task
    aws = connected(budget=1.2e-5, max_concurrency=2)  # about 12 tasks of 0.1 s with half a GB
    job = aws.map(nap, range(100), args=(runs.path,), chunksize=1)
    values = job.results(return_exceptions=True, timeout=30)
    finished = [value for value in values if isinstance(value, int)]
    assert 4 <= len(finished) <= 16
    assert len(runs()) == len(finished)
    assert all(isinstance(value, int | wrenlite.BudgetExceeded) for value in values)
    assert job.cost.dollars <= 1.4e-5
    said = next(str(value) for value in values if isinstance(value, wrenlite.BudgetExceeded))
    assert re.search(r"budget=\$1\.2e-05 are spent.*budget=", said)


def test_a_budget_holds_for_batches_of_a_given_size_too(connected, bed, runs):
    connected().map(abs, range(4), chunksize=1).results(timeout=30)
    aws = connected(budget=1.2e-5, max_concurrency=20)
    bed.settings(concurrency=4)
    job = aws.map(nap, range(100), chunksize=1)
    values = job.results(return_exceptions=True, timeout=60)
    assert sum(isinstance(value, int) for value in values) <= 20
    assert job.cost.dollars <= 6e-5, "the first sixteen were sent before anything was known"
    assert aws.cost == job.cost


def test_a_budget_that_is_spent_while_tasks_run_again_alone(connected, bed):
    aws = connected(budget=3e-7)

    def end(item):
        import os
        import signal

        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGSTOP)

    values = aws.map(end, range(4), chunksize=4).results(return_exceptions=True, timeout=30)
    assert {type(value) for value in values} <= {wrenlite.WorkerDied, wrenlite.BudgetExceeded}
    assert wrenlite.BudgetExceeded in {type(value) for value in values}


def test_a_timeout_longer_than_the_functions_own_is_refused(aws):
    with pytest.raises(
        wrenlite.ConfigError, match="timeout=50: the Lambda function's limit leaves a task 18 s"
    ):
        aws.map(abs, [1], timeout=50)


def test_many_threads_share_one_executor(aws):
    results = {}

    def use(number):
        results[number] = aws.map(lambda n: n * number, range(20)).results(timeout=30)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [n * number for n in range(20)] for number in range(6)}


def test_nothing_secret_travels_or_is_shown(aws, bed, caplog):
    caplog.set_level("DEBUG", "wrenlite")
    aws.map(abs, [1], env={"TOKEN": "s3cr3t"}).results(timeout=30)
    shown = repr(aws) + repr(aws.backend) + caplog.text
    assert "testing" not in shown
    assert "s3cr3t" not in shown
    assert "testing" not in json.dumps(vars(aws.backend.store), default=repr).replace("wrenlite", "")
