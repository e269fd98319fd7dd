"""Refused requests and broken connections: no task is lost, and the number of runs is exact."""

import os
import threading
import time
from collections import Counter
from dataclasses import replace

import botocore.session
import numpy as np
import pytest

import wrenlite
from tests.aws.tasks import ONCE, squares
from wrenlite.backends.aws import payload
from wrenlite.backends.aws.invoker import LambdaInvoker
from wrenlite.backends.aws.responses import Target
from wrenlite.backends.aws.session import AwsSession
from wrenlite.backends.aws.transport import Transport

REASONS = [
    "ConcurrentInvocationLimitExceeded",
    "ReservedFunctionConcurrentInvocationLimitExceeded",
    "FunctionInvocationRateLimitExceeded",
    "ReservedFunctionInvocationRateLimitExceeded",
    "CallerRateLimitExceeded",
]


# Refusals


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("count", [1, 9])
def test_a_throttle_is_waited_out_and_uses_no_attempt(aws, bed, runs, reason, count):
    bed.error("Invoke", 429, "TooManyRequestsException", reason=reason, count=count)
    job = squares(aws, runs, 12, chunksize=1)
    assert job.results(timeout=30) == [number**2 for number in range(12)]
    assert runs() == ONCE
    assert [stats.attempts for stats in job.stats()] == [1] * 12
    assert bed.counts()["Invoke"] == 12 + count


@pytest.mark.e2e
def test_long_throttles_are_waited_out_and_reported(connected, bed, runs):
    aws = connected(backoff_s=0.02)
    bed.error(
        "Invoke", 429, "TooManyRequestsException", reason=REASONS[0], count=10**6, until=time.time() + 3
    )
    job = squares(aws, runs, 12, chunksize=1)
    notes, workers = set(), set()
    while not job.wait(0.05):
        notes.add(job.snapshot().note)
        workers.add(aws.workers)
    assert job.results() == [number**2 for number in range(12)]
    assert runs() == ONCE
    assert any(REASONS[0] in note for note in notes)
    assert job.snapshot().note == ""
    assert min(workers) == 1, "no request is taken, so only one is tried at a time"


@pytest.fixture
def reserve(bed):
    """A function that reserves concurrency for a Lambda function, or takes it away."""
    client = botocore.session.Session().create_client("lambda")
    reserved = []

    def change(number, function="wrenlite"):
        reserved.append(function)
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=number)

    yield change
    for function in set(reserved):
        client.delete_function_concurrency(FunctionName=function)


def test_a_map_leaves_a_tenth_of_what_the_account_has_free(bed, deploy, reserve, caplog):
    bed.settings(concurrency=1000)
    with caplog.at_level("INFO", "wrenlite"):
        assert wrenlite.Executor.aws().backend.invoker.slots == 900
    assert "900 invocations run at once: of the 1000 that the account has left, 100 stay free" in caplog.text
    reserve(300, deploy("beside"))
    assert wrenlite.Executor.aws().backend.invoker.slots == 630
    assert wrenlite.Executor.aws(max_concurrency=800).backend.invoker.slots == 800


def test_what_is_reserved_for_the_function_is_what_it_uses(bed, reserve):
    reserve(7)
    assert wrenlite.Executor.aws().backend.invoker.slots == 7
    bed.error("GetFunctionConcurrency", 403, "AccessDeniedException")  # of a policy of an earlier version
    assert wrenlite.Executor.aws().backend.invoker.slots == 993 - 99
    reserve(0)
    with pytest.raises(wrenlite.FunctionBroken, match="its reserved concurrency is 0"):
        wrenlite.Executor.aws()


def test_a_reservation_that_becomes_0_is_named_and_waited_out(connected, bed, runs, reserve):
    aws = connected(backoff_s=0.02)
    squares(aws, runs, 2).results(timeout=30)
    reserve(0)
    job = squares(aws, runs, 12, chunksize=1)
    while "its reserved concurrency is in use, or is 0" not in job.snapshot().note:
        assert not job.wait(0.02)
    reserve(5)
    assert job.results(timeout=30) == [number**2 for number in range(12)]


@pytest.mark.full
def test_throttles_of_half_a_minute_are_waited_out(connected, bed, runs):
    aws = connected(backoff_s=0.1)
    bed.error(
        "Invoke", 429, "TooManyRequestsException", reason=REASONS[0], count=10**6, until=time.time() + 30
    )
    assert squares(aws, runs, 12).results(timeout=60) == [number**2 for number in range(12)]
    assert runs() == ONCE


def test_a_small_concurrency_limit_is_learnt_and_fully_used(connected, bed, runs):
    bed.settings(concurrency=3)
    aws = connected(max_concurrency=100)
    squares(aws, runs, 12, chunksize=1).results(timeout=30)
    bed.settings(concurrency=3)
    before = bed.counts()["Invoke"]

    def meet(number, path):
        import time

        with open(path, "a") as file:
            file.write(f"{number}\n")
        begun = []
        while len(begun) < 3 or len(begun) < begun.index(str(number)) // 3 * 3 + 3:  # until three run at once
            time.sleep(0.05)
            with open(path) as file:
                begun = file.read().split()

    aws.map(meet, range(18), args=(f"{runs.path}.met",), chunksize=1).results(timeout=60)
    assert bed.peak_concurrency() == 3
    assert bed.counts()["Invoke"] - before < 18 * 4, "most requests are taken"


def test_all_tasks_run_though_sandboxes_start_slowly_and_throttle(connected, bed, runs):
    bed.kill_sandboxes()
    bed.settings(burst=1, ramp=4)
    aws = connected()
    job = squares(aws, runs, 12, chunksize=1)
    assert job.results(timeout=30) == [number**2 for number in range(12)]
    assert runs() == ONCE
    assert bed.counts()["Invoke"] > 12


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ThrottlingException"),
        (400, "KMSThrottlingException"),
        (408, ""),
        (500, "ServiceException"),
        (502, "EC2ThrottledException"),
        (503, ""),
    ],
)
def test_requests_are_sent_again_after_errors_of_the_service(aws, bed, runs, status, code):
    bed.error("Invoke", status, code, count=5)
    job = squares(aws, runs, 12, chunksize=1)
    assert job.results(timeout=30) == [number**2 for number in range(12)]
    assert runs() == ONCE
    assert bed.counts()["Invoke"] == 12 + 5


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDeniedException"),
        (403, "UnrecognizedClientException"),
        (404, "ResourceNotFoundException"),
    ],
)
def test_refusals_in_the_middle_of_a_job_may_pass(aws, bed, runs, status, code):
    assert squares(aws, runs, 1).results(timeout=30) == [0]
    bed.error("Invoke", status, code, count=3)
    before = bed.counts()["Invoke"]
    job = squares(aws, runs, 12, chunksize=1)
    assert job.results(timeout=30) == [number**2 for number in range(12)]
    assert bed.counts()["Invoke"] == before + 12 + 3
    assert all(stats.attempts == 1 for stats in job.stats())


def test_a_permission_that_is_taken_away_for_good_fails_the_job(aws, bed, runs):
    assert squares(aws, runs, 1).results(timeout=30) == [0]
    bed.error("Invoke", 403, "AccessDeniedException", "no longer", count=10**6)
    with pytest.raises(wrenlite.AccessDenied, match="no longer"):
        squares(aws, runs, 3).results(timeout=30)


def test_a_service_that_stays_down_fails_the_job_with_its_error(aws, bed, runs):
    bed.error("Invoke", 503, "ServiceUnavailableException", "try later", count=10**6)
    job = squares(aws, runs, 12, chunksize=1)
    with pytest.raises(wrenlite.ServiceUnavailable, match="503 ServiceUnavailableException: try later"):
        job.results(timeout=30)
    assert len(job.errors()) == 12
    assert runs() == Counter()
    assert bed.counts()["Invoke"] < 100, "one at a time, with pauses"
    bed.reset()
    assert squares(aws, runs, 3).results(timeout=30) == [0, 1, 4], "the next job finds it well"


# Connections


def test_an_endpoint_on_which_nothing_listens_fails_the_job(connected, runs):
    backend = connected().backend
    session = AwsSession(botocore.session.Session)
    unreachable = Transport(session, "lambda", "us-east-1", "http://127.0.0.1:9")  # discard
    target = Target("wrenlite", "wrenlite:1", "us-east-1", "arn", 512, 20.0)
    location = payload.StoreLocation("wrenlite-bed", "wrenlite", None)
    invoker = LambdaInvoker(unreachable, session, backend.store, location, target, 4)
    batching = replace(backend.batching, backoff_s=0.002, outage_s=0.5)
    with wrenlite.Executor(replace(backend, invoker=invoker, batching=batching)) as aws:
        job = squares(aws, runs, 3)
        with pytest.raises(wrenlite.ServiceUnavailable, match=r"cannot reach Lambda in us-east-1.*refused"):
            job.results(timeout=30)
        assert job.wait(30)  # the first failure has been raised, and the others may come a moment later
        assert len(job.errors()) == 3


def test_a_partly_sent_request_is_sent_again_at_once(connected, bed, runs):
    aws = connected(begun_s=600)  # so that a search for the reply would exceed the test's timeout
    bed.fault("Invoke", "reset-before", count=3)
    large = [np.ones(500_000) + number for number in range(3)]  # 4 MB each: too much for a socket's buffers

    def record_sum(array, path):
        with open(path, "a") as file:
            file.write(f"{array[0]:.0f}\n")
        return array.sum()

    job = aws.map(record_sum, large, args=(runs.path,), chunksize=1)
    assert job.results(timeout=60) == [500_000.0, 1_000_000.0, 1_500_000.0]
    assert runs() == Counter({"1": 1, "2": 1, "3": 1})


def test_a_connection_lost_before_the_request_was_read_runs_again(aws, bed, runs):
    bed.fault("Invoke", "reset-before", count=2)
    job = squares(aws, runs, 12, chunksize=1)
    assert job.results(timeout=30) == [number**2 for number in range(12)]
    assert runs() == ONCE
    assert bed.counts()["Invoke"] == 12 + 2


def test_a_connection_lost_after_the_function_ran_runs_again(aws, bed, runs):
    bed.fault("Invoke", "reset-after", count=2)
    job = squares(aws, runs, 12, chunksize=1)
    assert job.results(timeout=30) == [number**2 for number in range(12)]
    assert sum(runs().values()) == 12 + 2
    assert max(runs().values()) == 2
    assert bed.counts()["Invoke"] == 12 + 2
    assert job.cost.unanswered == 2
    assert job.cost.uncertain_gb_s == pytest.approx(2 * 0.3 * 0.5), "a batch that runs for longer says so"
    assert job.cost.gb_s < 2 * 20 * 0.5, "no time limit is counted"


def test_a_task_whose_replies_are_always_lost_is_given_up(aws, bed, runs):
    bed.fault("Invoke", "reset-after", count=3)
    with pytest.raises(
        wrenlite.ConnectionLost, match=r"task 0 of record.*it may have run to its end each time"
    ):
        squares(aws, runs, 1).results(timeout=30)
    assert runs() == Counter({"0": 3})


def test_a_lost_reply_of_a_long_batch_is_found_in_the_store(connected, bed, runs, caplog):
    aws = connected(begun_s=20)
    aws = wrenlite.Executor(replace(aws.backend, limits=aws.backend.limits._replace(persist_after_s=0.2)))

    def slow(item, path):
        import time

        time.sleep(0.3)
        with open(path, "a") as file:
            file.write(f"{item}\n")
        return item

    bed.fault("Invoke", "reset-after", count=1)
    with aws:
        assert aws.map(slow, [0], args=(runs.path,)).results(timeout=30) == [0]
        assert runs() == Counter({"0": 1})
        assert bed.counts()["Invoke"] == 1
        # A forged reply in its place is not accepted.
        bed.fault("Invoke", "reset-after", count=1)
        bed.fault("GetObject", "answer", status=200, body="forged" * 100, path="/reply$", count=2)
        assert aws.map(slow, [1], args=(runs.path,)).results(timeout=30) == [1]
        assert runs() == Counter({"0": 1, "1": 1})
        assert "was not written with the key of this job" in caplog.text


@pytest.mark.e2e
def test_a_long_task_whose_connection_breaks_early_begins_once(connected, bed, runs):
    aws = connected(max_concurrency=2)
    aws = wrenlite.Executor(replace(aws.backend, limits=aws.backend.limits._replace(persist_after_s=0.2)))

    def slow(seconds, path):
        import time

        with open(path, "a") as file:
            file.write(f"{seconds}\n")
        time.sleep(seconds)
        return seconds

    with aws:
        aws.map(slow, [0.5, 0.5], args=(runs.path,), chunksize=1).results(timeout=60)  # warm sandboxes
        bed.fault("Invoke", "reset-early", seconds=2.0, count=2)
        job = aws.map(slow, [5.0, 6.0], args=(runs.path,), chunksize=1)
        assert job.results(timeout=60) == [5.0, 6.0]
    assert runs() == Counter({"0.5": 2, "5.0": 1, "6.0": 1})
    assert (job.cost.requests, job.cost.unanswered) == (2, 0)
    assert 11.0 * 0.5 <= job.cost.gb_s < 2 * 20 * 0.5, "what the function itself measured"


def test_a_connection_without_a_response_is_given_up(connected, deploy, bed, runs):
    aws = connected(function=deploy("short", timeout=1), response_margin_s=0.5, max_concurrency=2)
    squares(aws, runs, 1).results(timeout=30)
    bed.fault("Invoke", "hang", count=1)
    job = squares(aws, runs, 3, chunksize=1)
    assert job.results(timeout=30) == [0, 1, 4]
    assert runs() == Counter({"0": 2, "1": 1, "2": 1})


def test_a_duplicate_delivery_gives_one_value(aws, bed, runs):
    bed.fault("Invoke", "twice", count=1)
    assert squares(aws, runs, 3, chunksize=1).results(timeout=30) == [0, 1, 4]
    assert sorted(runs().values()) == [1, 1, 2]


def test_a_duplicate_delivery_with_another_large_value_gives_the_value_of_the_reply(aws, bed):
    bed.fault("Invoke", "twice", count=1)
    assert len(aws.map(os.urandom, [6_000_000]).results(timeout=30)[0]) == 6_000_000


@pytest.mark.e2e
def test_a_slow_copy_to_the_store_does_not_delay_the_reply(connected, bed, runs):
    aws = connected()
    aws = wrenlite.Executor(replace(aws.backend, limits=aws.backend.limits._replace(persist_after_s=0.1)))
    bed.fault("PutObject", "delay", seconds=60, path="/reply$", count=10)
    with aws:
        job = aws.map(lambda n: __import__("time").sleep(0.3) or n, range(2), chunksize=2)
        assert job.results(timeout=50) == [0, 1], "it is waited for, for 5 s"
    assert bed.counts()["Invoke"] == 1


@pytest.mark.e2e
def test_one_refusal_while_a_long_task_runs_does_not_delay_other_tasks(connected, bed, tmp_path):
    aws = connected()
    flag = tmp_path / "flag"

    def wait_for_flag(flag):
        import time

        while not os.path.exists(flag):
            time.sleep(0.01)

    long = aws.map(wait_for_flag, [str(flag)])
    while long.snapshot().dispatched < 1:
        time.sleep(0.01)
    for status, code, reason in ((503, "", None), (429, "TooManyRequestsException", REASONS[0])):
        bed.error("Invoke", status, code, count=1, **({"reason": reason} if reason else {}))
        assert aws.map(abs, range(3)).results(timeout=10) == [0, 1, 2]
        assert not long.wait(0)
    flag.touch()
    assert long.wait(30)


def test_a_batch_runs_again_if_its_lost_reply_may_not_be_read(aws, bed, runs):
    bed.error("GetObject", 403, "AccessDenied", path="/reply$", count=100)
    bed.fault("Invoke", "reset-after", count=1)
    assert squares(aws, runs, 1).results(timeout=30) == [0]
    assert runs() == Counter({"0": 2})


def test_a_job_runs_on_the_threads_that_the_system_allows(connected, monkeypatch):
    real, started = threading.Thread.start, []

    def start(thread):
        if thread.name.startswith("wrenlite-lambda") and len(started) >= 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    aws = connected(max_concurrency=8)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert aws.map(abs, range(40), chunksize=1).results(timeout=30) == list(range(40))


def test_an_upload_of_one_map_does_not_delay_another_job(aws, bed):
    bed.fault("PutObject", "delay", seconds=110, count=1)
    uploading = threading.Thread(
        target=lambda: aws.map(lambda n: (n, "a new function"), [1]).results(timeout=100)
    )
    uploading.start()
    while bed.counts().get("PutObject", 0) < 1:
        time.sleep(0.01)
    assert aws.map(lambda n: (n, "another"), [1]).results(timeout=60) == [(1, "another")]
    bed.reset()  # only now the upload goes on
    uploading.join()
