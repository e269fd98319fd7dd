"""What goes wrong between here and Lambda, and there: nothing is lost, nothing runs more often than said."""

import io
import json
import os
import re
import signal
import threading
import time
import zipfile
from collections import Counter
from dataclasses import replace

import botocore.session
import numpy as np
import pytest
from botocore.exceptions import ClientError

import wrenlite
from wrenlite.aws import wire
from wrenlite.aws.answers import Target
from wrenlite.aws.connect import connect
from wrenlite.aws.invoker import LambdaInvoker, Patience
from wrenlite.aws.login import Login
from wrenlite.aws.transport import Transport
from wrenlite.config import Config
from wrenlite.deploy.function import HANDLER, function_zip

REASONS = [
    "ConcurrentInvocationLimitExceeded",
    "ReservedFunctionConcurrentInvocationLimitExceeded",
    "FunctionInvocationRateLimitExceeded",
    "ReservedFunctionInvocationRateLimitExceeded",
    "CallerRateLimitExceeded",
]


@pytest.fixture
def connected(bed):
    """Makes executors on the bed whose pauses are short."""
    made = []

    def make(seek_s=0.3, answer_s=30.0, backoff_s=0.002, outage_s=1.0, **settings):
        settings = {"backend": "aws", "max_concurrency": 4, **settings}
        patience = Patience(seek_s=seek_s, answer_s=answer_s, look_s=0.05)
        backend = connect(Config.load(**settings), patience)
        pace = replace(backend.pace, backoff_s=backoff_s, outage_s=outage_s)
        executor = wrenlite.Executor(replace(backend, pace=pace))
        made.append(executor)
        return executor

    yield make
    for executor in made:
        executor.shutdown(cancel_futures=True)


@pytest.fixture
def aws(connected):
    return connected()


@pytest.fixture
def runs(tmp_path):
    """Counts how often each task ran: ``runs.path`` is for the tasks to write to."""
    return Runs(tmp_path / "runs")


class Runs:
    def __init__(self, path):
        self.path = str(path)

    def __call__(self):
        if not os.path.exists(self.path):
            return Counter()
        with open(self.path) as file:
            return Counter(file.read().split())


@pytest.fixture
def deploy(bed):
    """Deploys one more function to the bed, with a few files of the zip replaced."""

    def make(name, *, files=None, timeout=20, memory=512, runtime=None):
        session = botocore.session.Session()
        client = session.create_client("lambda")
        own = wire.versions()["python"]
        client.create_function(
            FunctionName=name,
            Runtime=runtime or f"python{own}",
            Role="arn:aws:iam::123456789012:role/wrenlite",
            Handler=HANDLER,
            Code={"ZipFile": _with_files(function_zip(), files or {})},
            Timeout=timeout,
            MemorySize=memory,
        )
        made.append((client, name))
        return name

    made = []
    yield make
    for client, name in made:
        client.delete_function(FunctionName=name)


def _with_files(archive, files):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, files.get(name, old.read(name)))
    return out.getvalue()


def record(item, path):
    with open(path, "a") as file:
        file.write(f"{item}\n")
    return item * item


def nap(item):
    time.sleep(0.3)
    return item


def squares(executor, runs, count, **options):
    return executor.map(record, range(count), args=(runs.path,), **options)


ONCE = Counter({str(number): 1 for number in range(12)})


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


def test_throttles_that_last_are_waited_out_and_said(connected, bed, runs):
    aws = connected(backoff_s=0.02)
    bed.error(
        "Invoke", 429, "TooManyRequestsException", reason=REASONS[0], count=10**6, until=time.time() + 3
    )
    job = squares(aws, runs, 12, chunksize=1)
    notes = set()
    while not job.wait(0.05):
        notes.add(job.snapshot().note)
    assert job.results() == [number**2 for number in range(12)]
    assert runs() == ONCE
    assert any(REASONS[0] in note for note in notes)
    assert job.snapshot().note == ""


@pytest.mark.full
def test_throttles_of_half_a_minute(connected, bed, runs):
    aws = connected(backoff_s=0.1)
    bed.error(
        "Invoke", 429, "TooManyRequestsException", reason=REASONS[0], count=10**6, until=time.time() + 30
    )
    assert squares(aws, runs, 12).results(timeout=60) == [number**2 for number in range(12)]
    assert runs() == ONCE


def test_an_account_with_a_small_limit_is_learnt_and_used_to_the_full(connected, bed, runs):
    bed.settings(concurrency=3)
    aws = connected(max_concurrency=100)
    squares(aws, runs, 12, chunksize=1).results(timeout=30)
    bed.settings(concurrency=3)
    before = bed.counts()["Invoke"]

    def nap(_):
        import time

        time.sleep(0.2)

    begun = time.monotonic()
    aws.map(nap, range(18), chunksize=1).results(timeout=30)
    assert bed.most_running() == 3
    assert time.monotonic() - begun < 3.0, "18 tasks of 0.2 s on 3 slots take 1.2 s"
    assert bed.counts()["Invoke"] - before < 18 * 4, "most requests are taken"


@pytest.mark.parametrize(
    ("status", "code"), [(500, "ServiceException"), (502, "EC2ThrottledException"), (503, "")]
)
def test_errors_of_the_service_are_tried_again(aws, bed, runs, status, code):
    bed.error("Invoke", status, code, count=5)
    job = squares(aws, runs, 12, chunksize=1)
    assert job.results(timeout=30) == [number**2 for number in range(12)]
    assert runs() == ONCE
    assert bed.counts()["Invoke"] == 12 + 5


def test_a_service_that_stays_down_fails_the_job_and_says_so(aws, bed, runs):
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


def test_nobody_listens(connected, runs):
    backend = connected().backend
    login = Login(botocore.session.Session)
    nowhere = Transport(login, "lambda", "us-east-1", "http://127.0.0.1:9", 4)  # discard
    target = Target("wrenlite", "us-east-1", "arn", 512, 20.0)
    place = wire.Place("wrenlite-bed", "wrenlite", None)
    invoker = LambdaInvoker(nowhere, login, backend.store, place, target, 4)
    pace = replace(backend.pace, backoff_s=0.002, outage_s=0.5)
    with wrenlite.Executor(replace(backend, invoker=invoker, pace=pace)) as aws:
        job = squares(aws, runs, 3)
        with pytest.raises(wrenlite.ServiceUnavailable, match=r"cannot reach Lambda in us-east-1.*refused"):
            job.results(timeout=30)
        assert len(job.errors()) == 3


def test_a_request_that_was_not_sent_as_a_whole_is_sent_again_at_once(connected, bed, runs):
    aws = connected(seek_s=600)  # looking for its reply would take forever
    bed.fault("Invoke", "reset-before", count=3)
    large = [np.ones(500_000) + number for number in range(3)]  # 4 MB each: no socket takes that unread

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
    assert job.cost.gb_s >= 2 * 20 * 0.5, "what was lost is charged at the time limit"


def test_a_task_whose_answers_are_always_lost_is_given_up(aws, bed, runs):
    bed.fault("Invoke", "reset-after", count=3)
    with pytest.raises(wrenlite.ConnectionLost, match=r"task 0 of record.*it may have run each time"):
        squares(aws, runs, 1).results(timeout=30)
    assert runs() == Counter({"0": 3})


def test_a_long_batch_leaves_its_reply_where_a_client_that_lost_it_finds_it(connected, bed, runs, caplog):
    aws = connected(seek_s=20)
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
        # What somebody else put in its place is not believed.
        bed.fault("Invoke", "reset-after", count=1)
        bed.fault("GetObject", "answer", status=200, body="forged" * 100, path="/reply$", count=2)
        assert aws.map(slow, [1], args=(runs.path,)).results(timeout=30) == [1]
        assert runs() == Counter({"0": 1, "1": 1})
        assert "not made for this request" in caplog.text


def test_a_connection_on_which_nothing_ever_comes_back(connected, deploy, bed, runs):
    aws = connected(function=deploy("short", timeout=1), answer_s=0.5, max_concurrency=2)
    squares(aws, runs, 1).results(timeout=30)
    bed.fault("Invoke", "hang", count=1)
    begun = time.monotonic()
    job = squares(aws, runs, 3, chunksize=1)
    assert job.results(timeout=30) == [0, 1, 4]
    assert time.monotonic() - begun < 6
    assert runs() == Counter({"0": 2, "1": 1, "2": 1})


def test_a_duplicate_delivery_gives_one_value(aws, bed, runs):
    bed.fault("Invoke", "twice", count=1)
    assert squares(aws, runs, 3, chunksize=1).results(timeout=30) == [0, 1, 4]
    assert sorted(runs().values()) == [1, 1, 2]


def test_a_reply_is_not_held_up_by_its_copy_in_the_store(connected, bed, runs):
    aws = connected()
    aws = wrenlite.Executor(replace(aws.backend, limits=aws.backend.limits._replace(persist_after_s=0.1)))
    bed.fault("PutObject", "delay", seconds=60, path="/reply$", count=10)
    begun = time.monotonic()
    with aws:
        assert aws.map(lambda n: __import__("time").sleep(0.3) or n, range(2), chunksize=2).results(30) == [
            0,
            1,
        ]
    assert time.monotonic() - begun < 12, "it is waited for, for 5 s"
    assert bed.counts()["Invoke"] == 1


def test_one_refusal_while_a_long_task_runs_does_not_hold_up_the_others(connected, bed, tmp_path):
    aws = connected()
    flag = tmp_path / "flag"

    def wait_for_flag(flag):
        import os
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


def test_a_lost_reply_that_may_not_be_looked_for_runs_again(aws, bed, runs):
    bed.error("GetObject", 403, "AccessDenied", path="/reply$", count=100)
    bed.fault("Invoke", "reset-after", count=1)
    assert squares(aws, runs, 1).results(timeout=30) == [0]
    assert runs() == Counter({"0": 2})


def test_no_more_threads_than_the_system_gives(connected, monkeypatch):
    real, started = threading.Thread.start, []

    def start(thread):
        if thread.name.startswith("wrenlite-lambda") and len(started) >= 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    aws = connected(max_concurrency=8)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert aws.map(abs, range(40), chunksize=1).results(timeout=30) == list(range(40))


def test_an_upload_of_one_map_does_not_hold_up_another_job(aws, bed):
    bed.fault("PutObject", "delay", seconds=3, count=1)
    uploading = threading.Thread(target=lambda: aws.map(lambda n: (n, "a new function"), [1]).results(30))
    uploading.start()
    while bed.counts().get("PutObject", 0) < 1:
        time.sleep(0.01)
    begun = time.monotonic()
    assert aws.map(lambda n: (n, "another"), [1]).results(timeout=30) == [(1, "another")]
    assert time.monotonic() - begun < 2
    uploading.join()


# In the sandbox


def test_a_crash_takes_one_task_and_the_others_are_kept(aws, bed, runs):
    def crash(item, path):
        import os

        with open(path, "a") as file:
            file.write(f"{item}\n")
        if item == 5:
            os._exit(7)
        return item

    job = aws.map(crash, range(12), args=(runs.path,), chunksize=12)
    values = job.results(return_exceptions=True, timeout=30)
    assert isinstance(values.pop(5), wrenlite.WorkerDied)
    assert values == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert "exited with code 7" in str(job[5].exception())
    assert runs() == ONCE
    assert bed.counts()["Invoke"] == 2


def test_a_task_that_hangs_is_ended_by_its_own_timeout(aws, runs):
    def hang(item, path):
        import time

        with open(path, "a") as file:
            file.write(f"{item}\n")
        time.sleep(600 if item == 1 else 0)
        return item

    job = aws.map(hang, range(4), args=(runs.path,), chunksize=4, timeout=0.5, retries=1)
    values = job.results(return_exceptions=True, timeout=30)
    assert isinstance(values[1], wrenlite.TaskTimeout)
    assert [values[0], values[2], values[3]] == [0, 2, 3]
    assert runs() == Counter({"0": 1, "1": 2, "2": 1, "3": 1})


def test_a_task_that_runs_into_the_functions_time_limit_is_answered_in_time(connected, deploy, runs):
    aws = connected(function=deploy("short", timeout=2))

    def hang(item, path):
        import time

        with open(path, "a") as file:
            file.write(f"{item}\n")
        time.sleep(600 if item == 1 else 0)
        return item

    job = aws.map(hang, range(3), args=(runs.path,), chunksize=3)
    values = job.results(return_exceptions=True, timeout=30)
    assert isinstance(values[1], wrenlite.TaskTimeout)
    assert [values[0], values[2]] == [0, 2]
    # The first time it was cut short in company, and did not have the whole time.
    assert runs() == Counter({"0": 1, "1": 2, "2": 1})
    assert job.stats()[1].attempts == 1


def test_a_handler_that_does_not_answer_in_time_is_stopped_by_lambda(connected, deploy, runs):
    handler = function_handler("import time\ndef handler(event, context):\n    time.sleep(60)\n")
    aws = connected(function=deploy("stuck", files=handler, timeout=1))
    with pytest.raises(wrenlite.TaskTimeout, match=r"stuck was stopped at its time limit of 1 s.*--timeout"):
        aws.map(abs, [1]).results(timeout=30)


def function_handler(text):
    return {"handler.py": text}


def test_a_batch_longer_than_the_time_limit_is_finished_by_several(connected, deploy, runs):
    aws = connected(function=deploy("short", timeout=2))

    def nap(item, path):
        import time

        time.sleep(0.5)
        with open(path, "a") as file:
            file.write(f"{item}\n")
        return item

    job = aws.map(nap, range(8), args=(runs.path,), chunksize=8)
    assert job.results(timeout=30) == list(range(8))
    assert max(runs().values()) == 1, "who is cut short has not written yet"
    assert [stats.attempts for stats in job.stats()] == [1] * 8


def test_out_of_memory_is_told_with_the_figures(aws, runs):
    def grow(item, path):
        with open(path, "a") as file:
            file.write(f"{item}\n")
        return len(bytes(2**30)) if item == 1 else item

    job = aws.map(grow, range(3), args=(runs.path,), chunksize=3)
    values = job.results(return_exceptions=True, timeout=30)
    assert isinstance(values[1], wrenlite.OutOfMemory)
    assert "512 MB" in str(values[1])
    assert [values[0], values[2]] == [0, 2]
    assert runs() == Counter({"0": 1, "1": 1, "2": 1})


def test_memory_that_only_the_sandbox_sees_kills_the_worker_and_is_told(aws, runs):
    def share(item):
        import mmap

        if item == 1:
            shared = mmap.mmap(-1, 700 * 2**20)  # shared memory: the limit of the process does not count it
            for place in range(0, len(shared), 4096):
                shared[place] = 1
        return item

    values = aws.map(share, range(3), chunksize=3).results(return_exceptions=True, timeout=30)
    assert isinstance(values[1], wrenlite.WorkerDied)
    assert [values[0], values[2]] == [0, 2]


def test_a_task_that_ends_the_whole_sandbox_fails_alone(aws, bed, runs):
    def end(item, path):
        import os
        import signal

        with open(path, "a") as file:
            file.write(f"{item}\n")
        if item == 1:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGSTOP)
        return item

    job = aws.map(end, range(4), args=(runs.path,), chunksize=4)
    values = job.results(return_exceptions=True, timeout=30)
    assert isinstance(values[1], wrenlite.WorkerDied)
    assert "Runtime.ExitError" in str(values[1])
    assert [values[0], values[2], values[3]] == [0, 2, 3]
    assert runs() == Counter({"0": 2, "1": 2, "2": 1, "3": 1}), "together, and then each alone"
    assert [stats.attempts for stats in job.stats()] == [1, 1, 1, 1]
    assert bed.counts()["Invoke"] == 1 + 4


def test_an_exit_of_the_handler_itself_fails_each_task_once(connected, deploy, bed):
    handler = function_handler("import os\ndef handler(event, context):\n    os._exit(3)\n")
    aws = connected(function=deploy("exits", files=handler))
    job = aws.map(abs, range(3), chunksize=3)
    values = job.results(return_exceptions=True, timeout=30)
    assert [type(value) for value in values] == [wrenlite.WorkerDied] * 3
    assert "exit status 3" in str(values[0])
    assert bed.counts()["Invoke"] == 1 + 3


def test_a_function_that_cannot_start_fails_the_job_with_the_reason(connected, deploy, bed):
    handler = function_handler("import nowhere_to_be_found\n")
    aws = connected(function=deploy("broken", files=handler))
    job = aws.map(abs, range(20), chunksize=20)
    with pytest.raises(
        wrenlite.FunctionBroken, match=r"broken cannot start.*nowhere_to_be_found.*wrenlite-setup"
    ):
        job.results(timeout=30)
    assert len(job.errors()) == 20
    assert bed.counts()["Invoke"] == 1


def test_a_function_that_is_none_of_ours(connected, deploy):
    handler = function_handler("def handler(event, context):\n    return 'hello'\n")
    aws = connected(function=deploy("theirs", files=handler))
    with pytest.raises(wrenlite.FunctionBroken, match=r"no reply of wrenlite's.*wrenlite-setup"):
        aws.map(abs, [1]).results(timeout=30)


def test_without_the_log_the_time_until_the_answer_is_charged(aws, bed):
    aws.map(abs, [1]).results(timeout=30)
    bed.fault("Invoke", "drop-log")
    begun = time.monotonic()
    job = aws.map(time.sleep, [0.2])
    job.results(timeout=30)
    assert 0.2 * 0.5 <= job.cost.gb_s <= (time.monotonic() - begun) * 0.5


# Sizes


def test_values_that_fit_singly_but_not_together(aws, bed):
    arrays = aws.map(lambda n: np.full(250_000, n), range(6), chunksize=6).results(timeout=60)
    assert [array.sum() for array in arrays] == [250_000 * n for n in range(6)]
    assert arrays[0].flags.writeable
    counts = bed.counts()
    assert counts["Invoke"] == 1
    assert counts["PutObject"] == 1 + 4, "the function, and what did not fit beside the first two"


def test_a_value_that_does_not_fit_alone(aws, bed):
    job = aws.map(lambda n: np.arange(n), [1_000_000])
    bed.reset()
    assert job.results(timeout=60)[0].sum() == 499_999_500_000
    assert bed.counts().get("GetObject", 0) >= 1


def test_values_are_fetched_when_they_are_asked_for(aws, bed):
    job = aws.map(lambda n: b"x" * n, [5_000_000])
    assert job.wait(30)
    before = bed.counts().get("GetObject", 0)
    assert len(job[0].result()) == 5_000_000
    assert len(job[0].result()) == 5_000_000
    assert bed.counts()["GetObject"] == before + 1


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_reply_that_just_fits_and_one_that_just_does_not(aws, bed, off):
    # What a pickled bytes object has beside its bytes, and what is reserved for the rest of the reply.
    from wrenlite.runner import RESERVED_BYTES

    extra = len(__import__("pickle").dumps(b"x" * 2**20, 5)) - 2**20
    size = wire.REPLY_BYTES - RESERVED_BYTES - extra + off
    assert len(aws.map(lambda n: b"x" * n, [size]).results(timeout=60)[0]) == size
    assert bed.counts()["PutObject"] == (2 if off > 0 else 1)


def test_a_reply_full_of_output_still_fits(aws, bed):
    def talk(n):
        print("ä" * 40_000)
        return b"x" * 100_000

    job = aws.map(talk, range(40), chunksize=40)
    assert [len(value) for value in job.results(timeout=60)] == [100_000] * 40
    assert all("ä" in job.logs(index) for index in range(40))


@pytest.mark.parametrize("off", [-20_000, 20_000])
def test_items_that_just_fit_into_a_request_and_ones_that_just_do_not(aws, bed, off):
    size = wire.FRAME_BYTES + off
    assert aws.map(len, [b"x" * size]).results(timeout=60) == [size]
    assert bed.counts()["PutObject"] == (2 if off > 0 else 1)


def test_items_too_large_for_a_request_lie_in_the_store_once_a_batch(aws, bed):
    arrays = [np.full(400_000, n) for n in range(4)]
    assert aws.map(lambda a: a.sum(), arrays, chunksize=4).results(timeout=60) == [
        400_000 * n for n in range(4)
    ]
    counts = bed.counts()
    assert (counts["Invoke"], counts["PutObject"]) == (1, 2)


def test_a_function_that_is_too_large_says_what_is_in_it(aws, bed):
    table, small = np.ones(7_000_000), np.ones(10)
    with pytest.raises(
        wrenlite.FunctionNotPicklable, match=r"53.4 MB pickled.*'table' 53.4 MB.*executor.put"
    ):
        aws.map(lambda n: table[n] + small[0], [1])
    assert bed.counts().get("PutObject", 0) == 0
    ref = aws.put(table)
    assert aws.map(lambda n, table: table[n] + small[0], [1, 2], args=(ref,)).results(timeout=60) == [2, 2]


def test_an_object_is_uploaded_once_and_fetched_once_a_worker(connected, bed):
    aws = connected(max_concurrency=1)
    aws.map(abs, [1]).results(timeout=30)
    bed.reset()
    ref = aws.put({"table": np.arange(1_000_000)})
    assert aws.put({"table": np.arange(1_000_000)}).digest == ref.digest

    def look(item):
        n, inside = item
        return int(inside[0]["table"][n]), inside[0]["table"].flags.writeable

    job = aws.map(look, [(n, [ref]) for n in range(10)], chunksize=2)
    assert job.results(timeout=60) == [(n, False) for n in range(10)]
    counts = bed.counts()
    assert counts.pop("ListObjectsV2") == 2
    assert counts == {"PutObject": 1 + 1, "GetObject": 1 + 1, "Invoke": 5}


def test_an_environment_that_no_request_can_hold_is_said(aws):
    with pytest.raises(wrenlite.BackendError, match=r"without its items.*env="):
        aws.map(abs, [1], env={"BIG": "x" * 7_000_000}).results(timeout=30)


# The store


def objects(bed, prefix):
    client = botocore.session.Session().create_client("s3")
    listed = client.list_objects_v2(Bucket="wrenlite-bed", Prefix=f"wrenlite/{prefix}").get("Contents", ())
    return client, [found["Key"] for found in listed]


def test_a_function_that_has_expired_in_the_store_is_put_there_again(aws, bed, runs):
    squares(aws, runs, 1).results(timeout=30)
    client, keys = objects(bed, "code/")
    for key in keys:
        client.delete_object(Bucket="wrenlite-bed", Key=key)
    bed.forget()  # and no worker has it any more
    bed.reset()
    job = squares(aws, runs, 3, chunksize=1)
    assert job.results(timeout=30) == [0, 1, 4]
    assert [stats.attempts for stats in job.stats()] == [1, 1, 1]
    assert runs() == Counter({"0": 2, "1": 1, "2": 1})


@pytest.mark.parametrize("damage", [b"", b"something else"])
def test_a_function_that_was_changed_in_the_store_is_not_unpickled(aws, bed, runs, damage):
    squares(aws, runs, 1).results(timeout=30)
    client, keys = objects(bed, "code/")
    for key in keys:
        client.put_object(Bucket="wrenlite-bed", Key=key, Body=damage)
    bed.forget()
    with pytest.raises(wrenlite.IntegrityError, match="was changed"):
        squares(aws, runs, 1).results(timeout=30)
    for key in keys:
        client.delete_object(Bucket="wrenlite-bed", Key=key)
    assert runs() == Counter({"0": 1})


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (None, wrenlite.NotFound, "value of task 0 .* has expired; run it again"),
        (b"", wrenlite.IntegrityError, "was changed"),
        ("other", wrenlite.IntegrityError, "was changed"),
    ],
)
def test_a_value_that_is_not_what_was_announced(aws, bed, damage, error, words):
    job = aws.map(lambda n: bytes([n]) * 3_000_000, [1, 2, 3], chunksize=3)
    assert job.wait(30)
    client, keys = objects(bed, f"results/{job.id}/")
    assert len(keys) == 2
    if damage is None:
        client.delete_object(Bucket="wrenlite-bed", Key=keys[0])
    else:
        body = (
            client.get_object(Bucket="wrenlite-bed", Key=keys[1])["Body"].read()
            if damage == "other"
            else damage
        )
        client.put_object(Bucket="wrenlite-bed", Key=keys[0], Body=body)
    with pytest.raises(error, match=words.replace("task 0", "task 1")):
        job[1].result()
    assert job[0].result() == b"\1" * 3_000_000
    assert job[2].result() == b"\3" * 3_000_000


def test_items_that_vanish_from_the_store_are_put_there_again(aws, bed):
    bed.error("GetObject", 404, "NoSuchKey", path="/args/", count=1)
    assert aws.map(len, [b"x" * 6_000_000]).results(timeout=60) == [6_000_000]
    assert bed.counts()["Invoke"] == 2


@pytest.mark.parametrize("code", ["SlowDown", "InternalError"])
def test_a_store_that_is_down_for_the_worker_costs_no_attempt(connected, bed, code):
    aws = connected(outage_s=60.0)
    bed.error("GetObject", 503, code, path="/code/", count=7)  # botocore itself tries five times
    job = aws.map(lambda n: (n, code), range(3), chunksize=3)
    assert job.results(timeout=60) == [(n, code) for n in range(3)]
    assert [stats.attempts for stats in job.stats()] == [1] * 3


def test_values_that_are_there_come_though_one_is_gone(aws, bed):
    job = aws.map(lambda n: bytes([n]) * 3_000_000, range(4), chunksize=4)
    assert job.wait(30)
    client, keys = objects(bed, f"results/{job.id}/")
    client.delete_object(Bucket="wrenlite-bed", Key=keys[1])
    values = job.results(return_exceptions=True)
    assert [type(value) for value in values] == [bytes, bytes, wrenlite.NotFound, bytes]
    with pytest.raises(wrenlite.NotFound, match="task 2"):
        job.results()


def test_an_object_that_has_expired_is_put_again_as_the_message_says(aws, bed):
    table = list(range(100_000))
    ref = aws.put(table)
    client, keys = objects(bed, "refs/")
    for key in keys:
        client.delete_object(Bucket="wrenlite-bed", Key=key)
    with pytest.raises(wrenlite.NotFound, match=r"has expired; executor\.put\(\) it again"):
        aws.map(lambda n, table: table[n], [1], args=(ref,)).results(timeout=30)
    assert aws.put(table).digest == ref.digest
    assert aws.map(lambda n, table: table[n], [1], args=(ref,)).results(timeout=30) == [1]


def test_large_objects_make_room_for_each_other(connected, bed):
    aws = connected(max_concurrency=1)
    for number in range(5):  # 60 MB each, of the 128 MB that a worker of 512 MB keeps of them
        ref = aws.put(np.full(7_500_000, number))
        assert aws.map(lambda n, a: int(a[n]), [1], args=(ref,)).results(timeout=60) == [number]


def test_a_function_that_cannot_be_loaded_fails_many_tasks_in_few_requests(connected, bed):
    import joblib  # installed here, and not in the function's layer

    aws = connected()
    job = aws.map(joblib.hash, range(3000), chunksize=3000)
    assert job.wait(60)
    assert {type(error) for error in job.errors().values()} == {ModuleNotFoundError}
    assert bed.counts()["Invoke"] <= 3


# Who may do what


STATEMENT = r'"Action": "{}", "Resource": "{}'


@pytest.mark.parametrize(
    ("kind", "action", "resource"),
    [
        ("Invoke", "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:123456789012:function:wrenlite"),
        ("PutObject", "s3:PutObject", "arn:aws:s3:::wrenlite-bed/wrenlite/code/"),
        ("GetObject", "s3:GetObject", "arn:aws:s3:::wrenlite-bed/wrenlite/code/"),
    ],
)
def test_a_call_that_is_not_allowed_names_the_statement_that_is_missing(aws, bed, kind, action, resource):
    bed.error(kind, 403, "AccessDeniedException" if kind == "Invoke" else "AccessDenied", count=100)
    with pytest.raises(wrenlite.AccessDenied, match=STATEMENT.format(action, resource)):
        aws.map(lambda n: (n, kind), [1]).results(timeout=30)


def test_a_client_that_may_not_read_the_functions_settings_takes_the_usual_ones(connected, bed):
    bed.error("GetFunctionConfiguration", 403, "AccessDeniedException", count=100)
    bed.error("GetAccountSettings", 403, "AccessDeniedException", count=100)
    aws = connected(max_concurrency=None)
    assert aws.backend.invoker.slots == 1000
    assert aws.map(abs, [-1]).results(timeout=30) == [1]


def test_a_worker_that_may_not_write_values_says_so(aws, bed):
    bed.error("PutObject", 403, "AccessDenied", path="/results/", count=100)
    statement = STATEMENT.format("s3:PutObject", "arn:aws:s3:::wrenlite-bed/wrenlite/results/")
    with pytest.raises(wrenlite.AccessDenied, match=statement):
        aws.map(lambda n: b"x" * n, [6_000_000]).results(timeout=30)


@pytest.mark.parametrize(
    ("kind", "action"), [("ListObjectsV2", "s3:ListBucket"), ("DeleteObjects", "s3:DeleteObject")]
)
def test_listing_and_deleting_that_is_not_allowed(aws, bed, kind, action):
    bed.error(kind, 403, "AccessDenied", count=100)
    store = aws.backend.store
    with pytest.raises(wrenlite.AccessDenied, match=STATEMENT.format(action, "arn:aws:s3:::wrenlite-bed")):
        list(store.list("code/")) if kind == "ListObjectsV2" else store.delete(["a"])


def test_a_clock_that_is_wrong_is_said(aws, bed, runs):
    said = "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z"
    bed.error("Invoke", 403, "InvalidSignatureException", said, count=100)
    with pytest.raises(wrenlite.CredentialsError, match=r"its clock is wrong.*timedatectl"):
        squares(aws, runs, 3).results(timeout=30)
    bed.reset()
    bed.error("PutObject", 403, "RequestTimeTooSkewed", count=100)
    with pytest.raises(wrenlite.CredentialsError, match="its clock is wrong"):
        aws.map(lambda n: n + 17, [1])


def test_credentials_that_expire_are_renewed_and_nothing_is_lost(aws, bed, runs, monkeypatch):
    squares(aws, runs, 1).results(timeout=30)
    bed.error("Invoke", 403, "ExpiredTokenException", count=3)
    job = squares(aws, runs, 12, chunksize=1)
    assert job.results(timeout=30) == [number**2 for number in range(12)]
    assert runs() == ONCE + Counter({"0": 1})
    assert [stats.attempts for stats in job.stats()] == [1] * 12


def test_while_credentials_cannot_be_renewed_the_queue_stays(aws, bed, runs):
    bed.error("Invoke", 403, "ExpiredTokenException", count=10**6)
    job = squares(aws, runs, 12, chunksize=1)
    while "have expired" not in job.snapshot().note:
        time.sleep(0.01)
    assert not job.wait(0.5)
    bed.reset()
    assert job.results(timeout=30) == [number**2 for number in range(12)]
    assert runs() == ONCE


def test_credentials_that_expire_for_the_store_are_renewed_too(aws, bed, runs):
    bed.error("PutObject", 400, "ExpiredToken", path="/args/", count=1)
    job = aws.map(len, [b"x" * 6_000_000])
    assert job.results(timeout=30) == [6_000_000]
    assert job.stats()[0].attempts == 1


def test_a_role_that_cannot_be_assumed_again_pauses_and_costs_no_attempt(bed):
    class Refused:
        def get_frozen_credentials(self):
            said = {"Error": {"Code": "ExpiredToken", "Message": "the source has expired"}}
            raise ClientError(said, "AssumeRole")

    class Session(botocore.session.Session):
        def get_credentials(self):
            return Refused()

    with pytest.raises(wrenlite.CredentialsExpired, match=r"cannot be refreshed.*aws sso login"):
        Login(Session).credentials()


def test_no_credentials_at_all(connected, bed, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(wrenlite.CredentialsError, match=r"no AWS credentials.*aws configure"):
        connected()
    with pytest.raises(wrenlite.CredentialsError, match="nobody"):
        connected(profile="nobody")


def test_keys_that_aws_does_not_know(connected, bed):
    bed.error(
        "GetFunctionConfiguration", 403, "UnrecognizedClientException", "The token is invalid", count=100
    )
    with pytest.raises(wrenlite.CredentialsError, match="does not know these credentials"):
        connected()


def test_settings_that_are_missing(connected, bed, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(wrenlite.ConfigError, match="no AWS region"):
        connected()
    monkeypatch.delenv("WRENLITE_BUCKET")
    with pytest.raises(wrenlite.ConfigError, match="no bucket is set: wrenlite-setup"):
        connected()


def test_a_function_that_is_not_there(connected, bed):
    with pytest.raises(
        wrenlite.FunctionMissing, match="no Lambda function 'nothing' in us-east-1: wrenlite-setup"
    ):
        connected(function="nothing")
    with pytest.raises(wrenlite.FunctionMissing, match=r"in eu-west-1.*region="):
        connected(region="eu-west-1")
    bed.error("GetFunctionConfiguration", 403, "AccessDeniedException", count=100)
    with pytest.raises(wrenlite.FunctionMissing, match="'nothing'"):
        connected(function="nothing").map(abs, [1]).results(timeout=30)


def test_a_bucket_that_is_not_there_or_elsewhere(connected, bed):
    with pytest.raises(wrenlite.StoreError, match="no bucket 'not-there': wrenlite-setup"):
        connected(bucket="not-there").map(abs, [1])
    bed.fault(
        "PutObject",
        "answer",
        status=400,
        body="<Error><Code>AuthorizationHeaderMalformed</Code><Message>x</Message><Region>eu-west-1</Region></Error>",
        headers={"x-amz-bucket-region": "eu-west-1"},
        count=100,
    )
    with pytest.raises(wrenlite.StoreError, match="eu-west-1: region="):
        connected().map(abs, [1])


# Versions


def test_a_function_of_another_python_is_refused_before_anything_is_sent(connected, deploy, bed):
    with pytest.raises(
        wrenlite.IncompatibleRuntime, match=r"runs python3\.14 and this process python3.*wrenlite-setup"
    ):
        connected(function=deploy("older", runtime="python3.14"))
    assert bed.counts().get("Invoke", 0) == 0


@pytest.mark.parametrize("what", ["protocol", "wrenlite", "python", "cloudpickle"])
def test_a_runner_of_another_version_is_refused_with_both_sides_and_the_mend(aws, bed, monkeypatch, what):
    own = wire.versions()
    monkeypatch.setattr(wire, "versions", lambda: {**own, what: "0.9"})
    with pytest.raises(
        wrenlite.IncompatibleRuntime, match=rf"{own[what]} there and 0\.9 here.*wrenlite-setup deploys"
    ):
        aws.map(abs, range(10)).results(timeout=30)
    assert bed.counts()["Invoke"] <= 4


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
        wrenlite.ConfigError, match="timeout=50: the Lambda function itself is stopped after 20 s"
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
