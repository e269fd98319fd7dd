"""A client of Lambda: its end, cancellations, and the cost of its jobs."""

import json
import os
import re
import signal
import threading
import time
from collections import Counter

import pytest

import wrenlite
from tests.aws.tasks import longest_request, nap, wait_until

# The end of the client, and cancellations


def test_a_client_that_is_killed_leaves_nothing_running_that_was_not_dispatched(
    start_script, bed, shared_path
):
    file = shared_path / "ran"
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
    time.sleep(1.5)  # long enough for two more rounds of tasks
    assert bed.counts()["Invoke"] == sent
    assert file.read_text().count("\n") == sent


def test_shutdown_does_not_wait_for_cancelled_invocations(connected, bed, runs):
    def slow(item, path):
        import time

        with open(path, "a") as file:
            file.write(f"{item}\n")
        time.sleep(5)

    aws = connected()
    job = aws.map(slow, range(2), args=(runs.path,), chunksize=1)
    while len(runs()) < 2:
        time.sleep(0.01)
    aws.shutdown(cancel_futures=True)
    assert job.snapshot().cancelled == 2
    assert (job.cost.requests, job.cost.unanswered, job.cost.gb_s) == (2, 2, 0.0), "neither has ended"
    assert job.cost.uncertain_gb_s == pytest.approx(2 * 20 * 0.5), "nobody knows how long they ran"


def test_a_cancelled_task_does_not_stop_the_other_tasks_of_its_batch(aws, runs, shared_path):
    flag = shared_path / "flag"

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


def test_a_crash_after_a_cancel_in_the_same_batch_fails_only_the_crashed_task(aws, runs, shared_path):
    flag = shared_path / "flag"

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


# Costs


def test_a_job_reports_its_cost(aws, bed):
    begun = time.monotonic()
    job = aws.map(abs, range(100), chunksize=10)
    job.results(timeout=60)
    assert job.cost.requests == bed.counts()["Invoke"] == 10
    assert 0 < job.cost.gb_s <= 10 * 0.5 * (time.monotonic() - begun)
    wait_until(lambda: job.cost.store_puts)  # that of the code may end after the invocations
    assert job.cost.store_puts == bed.counts()["PutObject"]
    lambda_dollars = 10 * 0.2e-6 + job.cost.gb_s * 0.0000166667
    assert job.cost.dollars == pytest.approx(lambda_dollars + job.cost.store_dollars)
    assert job.snapshot().dollars == job.cost.dollars
    assert str(job.cost).startswith("about $")


def test_a_budget_stops_dispatching_and_keeps_finished_values(connected, bed, runs):
    def nap(item, path):
        import time

        with open(path, "a") as file:
            file.write(f"{item}\n")
        time.sleep(0.1)
        return item

    # Warm sandboxes, since a start costs more than a task.
    connected().map(abs, range(4), chunksize=1).results(timeout=30)
    aws = connected(budget=1.7e-5, max_concurrency=2)  # a PUT, and about 12 tasks of 0.1 s with half a GB
    job = aws.map(nap, range(100), args=(runs.path,), chunksize=1)
    values = job.results(return_exceptions=True, timeout=30)
    finished = [value for value in values if isinstance(value, int)]
    assert 1 <= len(finished) <= 16
    assert len(runs()) == len(finished)
    assert all(isinstance(value, int | wrenlite.BudgetExceeded) for value in values)
    assert job.cost.dollars <= 1.7e-5 + 2 * longest_request(aws, job), "two were under way when it was spent"
    message = next(str(value) for value in values if isinstance(value, wrenlite.BudgetExceeded))
    assert re.search(r"budget=\$1\.7e-05 was spent.*Set a larger budget=", message)


def test_a_task_that_failed_keeps_its_error_when_the_budget_is_spent(connected):
    def fail(item):
        raise OSError("503")

    aws = connected(budget=1e-5)
    job = aws.map(fail, [1], retries=wrenlite.Retry(1000, delay_s=0))
    error = job[0].exception(timeout=60)
    assert isinstance(error, OSError)
    assert job[0].stats().attempts > 1
    assert "it was not tried again: the budget does not allow it" in "\n".join(error.__notes__)


def test_a_budget_holds_for_batches_of_a_given_size_too(connected, bed, runs):
    connected().map(abs, range(4), chunksize=1).results(timeout=30)
    aws = connected(budget=1.7e-5, max_concurrency=20)
    bed.settings(concurrency=4)
    job = aws.map(nap, range(100), chunksize=1)
    values = job.results(return_exceptions=True, timeout=60)
    assert sum(isinstance(value, int) for value in values) <= 20
    assert job.cost.dollars <= 1.7e-5 + 4 * longest_request(aws, job), "four run at once"
    assert aws.cost == job.cost


@pytest.mark.e2e
@pytest.mark.parametrize("chunksize", [None, 1])
def test_a_large_budget_holds_nothing_back(connected, bed, chunksize):
    def nap(item):
        import time

        time.sleep(3)
        return item

    aws = connected(budget=100, max_concurrency=24)
    job = aws.map(nap, range(24), chunksize=chunksize)
    assert job.results(timeout=60) == list(range(24))
    assert bed.peak_concurrency() >= 24, "the first results are not waited for"


@pytest.mark.e2e
def test_a_budget_of_six_worst_cases_lets_six_unknown_tasks_run_at_once(connected, bed):
    def nap(item):
        import time

        time.sleep(1.5)
        return item

    worst = wrenlite.Executor.aws().backend.prices
    aws = connected(budget=6.5 * worst.request_dollars(worst.limit_s), max_concurrency=20)
    job = aws.map(nap, range(20), chunksize=1)
    peak = bed.peak_concurrency()
    while aws.cost.requests == 0:  # what ended gives money back, so the peak is read before this
        assert peak <= 6
        job.wait(0.05)
        peak = bed.peak_concurrency()
    assert job.results(timeout=60) == list(range(20)), "with what they really took, all of them fit"


@pytest.mark.e2e
def test_a_lost_request_is_held_until_its_time_limit_and_nothing_fails_meanwhile(connected, bed, deploy):
    limit_s = 5
    function = deploy("brief", timeout=limit_s)
    probe = connected(function=function, max_concurrency=1)
    probe.map(abs, [1]).results(timeout=30)
    price = probe.backend.prices.request_dollars(limit_s)
    aws = connected(function=function, budget=1.5 * price, max_concurrency=1)
    bed.fault("Invoke", "reset-before")
    started = time.monotonic()
    assert aws.map(abs, [-1], chunksize=1).results(timeout=60) == [1]
    assert time.monotonic() - started > limit_s - 1, "it may have run until then"


def test_a_spent_budget_ends_tasks_that_would_run_again_alone(connected, bed):
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
        wrenlite.ConfigError,
        match=r"timeout=50: AWS Lambda .* stops a task after 18 s\. wrenlite-setup --timeout",
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


def test_secrets_are_neither_in_representations_nor_in_logs(aws, bed, caplog):
    caplog.set_level("DEBUG", "wrenlite")
    aws.map(abs, [1], env={"TOKEN": "s3cr3t"}).results(timeout=30)
    shown = repr(aws) + repr(aws.backend) + caplog.text
    assert "testing" not in shown
    assert "s3cr3t" not in shown
    assert "testing" not in json.dumps(vars(aws.backend.store), default=repr).replace("wrenlite", "")


def test_submitted_calls_travel_together(connected, bed):
    aws = connected(max_concurrency=1000)
    assert aws.submit(abs, -2).result() == 2  # a warm sandbox, which has the function
    bed.reset()
    futures = [aws.submit(abs, -number) for number in range(300)]
    assert [future.result() for future in futures] == list(range(300))
    jobs = {future.job for future in futures}
    assert sum(job.cost.requests for job in jobs) == bed.counts()["Invoke"] <= 20
