"""What is cancelled on Lambda ends soon, and is billed to then."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import botocore.session
import pytest

import wrenlite
from tests.aws.tasks import wait_until
from wrenlite.backends.aws import payload
from wrenlite.backends.aws.cancelling import Canceller
from wrenlite.errors import IntegrityError
from wrenlite.protocol import Limits, Request, cancel_key

LONG_S = 600.0


def begin(item, path, seconds):
    """Say that the task has begun, in a line with its process, and take a while."""
    import os
    import time

    with open(path, "a") as file:
        file.write(f"{item}\n")
    with open(f"{path}.pids", "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds[item])
    return item


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def cancelled(bed):
    """A function that returns the keys of the objects by which jobs of this test were cancelled."""
    client = botocore.session.Session().create_client("s3")

    def keys():
        listed = client.list_objects_v2(Bucket=bed.env["WRENLITE_BUCKET"]).get("Contents", ())
        return {one["Key"] for one in listed if one["Key"].endswith("/cancel")}

    before = keys()
    return lambda: keys() - before


def test_a_cancelled_job_ends_on_lambda_and_is_billed_to_then(connected, deploy, bed, runs, cancelled):
    aws = connected(cancel_interval_s=0.5, function=deploy("long", timeout=60), max_concurrency=3)
    job = aws.map(begin, range(3), args=(runs.path, [LONG_S] * 3), chunksize=1, retries=2)
    wait_until(lambda: len(runs()) == 3)
    bed.reset()
    assert job.cancel() == 3
    # There are three slots, which cancelled invocations hold until they end.
    assert aws.map(abs, [1, 2, 3], chunksize=1).results(timeout=60) == [1, 2, 3]
    wait_until(lambda: job.cost.requests == 3)
    assert job.cost.gb_s < 3 * 0.5 * 60, "less than their time limit"
    assert bed.counts()["PutObject"] <= 3 + 1, "at most one for each task, and the code of the second job"
    assert runs() == {"0": 1, "1": 1, "2": 1}
    assert len(cancelled()) == 1


def test_a_cancelled_future_ends_while_it_runs_and_the_rest_of_its_batch_runs_elsewhere(
    connected, deploy, runs, cancelled
):
    aws = connected(cancel_interval_s=0.5, function=deploy("long", timeout=60), max_concurrency=1)
    job = aws.map(begin, range(4), args=(runs.path, [0, LONG_S, 0, 0]), chunksize=4, retries=2)
    wait_until(lambda: "1" in runs())
    assert job[1].cancel()
    assert [job[task].result(timeout=60) for task in (0, 2, 3)] == [0, 2, 3]
    assert job[1].cancelled()
    assert runs() == {"0": 1, "1": 1, "2": 1, "3": 1}
    assert [one.attempts for one in job.stats()] == [1, 1, 1, 1]


@pytest.mark.e2e
def test_a_future_that_is_cancelled_before_it_begins_ends_when_it_does(connected, deploy, runs):
    aws = connected(cancel_interval_s=0.5, function=deploy("long", timeout=60), max_concurrency=1)
    job = aws.map(begin, range(3), args=(runs.path, [3, LONG_S, 0]), chunksize=3)
    wait_until(lambda: "0" in runs())
    assert job[1].cancel()
    assert [job[task].result(timeout=60) for task in (0, 2)] == [0, 2]
    assert runs()["0"] == 1, "the task that runs is not stopped"


@pytest.mark.e2e
def test_a_short_batch_asks_for_nothing_and_a_long_one_every_ten_seconds(connected, deploy, bed, runs):
    bed.kill_sandboxes()  # those of the tests before may look once more
    bed.reset()
    function, begun = deploy("long", timeout=60), time.monotonic()
    usual = connected(function=function)
    assert usual.backend.limits.cancel_interval_s == 10.0
    assert usual.map(abs, range(3)).results(timeout=60) == [0, 1, 2]
    assert bed.counts().get("GetObject", 0) <= (time.monotonic() - begun) / 10, "none but on a slow machine"

    def wait_for(file):
        while not os.path.exists(file):
            time.sleep(0.01)

    bed.reset()
    aws, begun = connected(cancel_interval_s=1.0, function=function), time.monotonic()
    job = aws.map(wait_for, [f"{runs.path}.end"])
    wait_until(lambda: bed.counts().get("GetObject", 0) >= 2)
    Path(f"{runs.path}.end").touch()
    assert job.results(timeout=60) == [None]
    assert bed.counts()["GetObject"] <= time.monotonic() - begun, "one each second"


def test_a_look_that_fails_is_followed_by_the_next_one(connected, deploy, bed, runs):
    aws = connected(cancel_interval_s=0.5, function=deploy("long", timeout=60), max_concurrency=1)
    job = aws.map(begin, [0], args=(runs.path, [LONG_S]))
    wait_until(lambda: runs())
    bed.error("GetObject", 403, "AccessDenied", count=2)
    job.cancel()
    assert aws.map(abs, [1]).results(timeout=30) == [1]


def test_a_cancel_that_cannot_be_stored_is_said(connected, deploy, bed, runs, caplog):
    aws = connected(cancel_interval_s=0.5, function=deploy("long", timeout=4), max_concurrency=1)
    job = aws.map(begin, [0], args=(runs.path, [LONG_S]))
    wait_until(lambda: runs())
    bed.error("PutObject", 403, "AccessDenied", path="/cancel")
    job.cancel()
    wait_until(lambda: "cannot cancel what job" in caplog.text)
    assert f"job {job.id} runs on Lambda, which goes on to its end and is billed" in caplog.text


class Recording:
    """An invoker that records the requests which another one sends."""

    def __init__(self, invoker):
        self.invoker = invoker
        self.slots = invoker.slots
        self.requests = []
        self.open, self.close = invoker.open, invoker.close

    def start(self, request, emit):
        self.requests.append(request)
        return self.invoker.start(request, emit)


def test_only_the_client_of_a_job_can_cancel_it(connected, deploy, bed, runs, cancelled):
    aws = connected(cancel_interval_s=0.3, function=deploy("long", timeout=60), max_concurrency=1)
    recording = Recording(aws.backend.invoker)
    with wrenlite.Executor(replace(aws.backend, invoker=recording)) as executor:
        job = executor.map(begin, [0], args=(runs.path, [4]))
        wait_until(lambda: runs())
        (request,) = recording.requests
        genuine = payload.encode_cancel([(request, [0])])
        for forged in (
            b"",
            b"no cancel",
            genuine[32:],
            payload.encode_cancel([(request._replace(secret=b"another key"), [0])]),
            payload.encode_cancel([(request._replace(job="another-job"), [0])]),
            genuine[:-4] + b'Z"}',
        ):
            bed.reset()
            executor.backend.store.put(cancel_key(job.id), forged)
            wait_until(lambda: bed.counts().get("GetObject"))
        assert job.results(timeout=20) == [0]
    assert runs() == {"0": 1}
    assert len(cancelled()) == 1


class Puts:
    """A store that keeps what is put into it."""

    def __init__(self):
        self.blobs = []

    def put(self, key, data):
        self.blobs.append((key, data))


def test_the_cancel_of_a_thousand_invocations_is_one_object():
    requests = [
        Request("job", f"{n:020x}", "", None, [n], [], {}, Limits(), secret=b"%d" % n) for n in range(1000)
    ]
    store, unwanted = Puts(), []
    canceller = Canceller(store, lambda job: list(unwanted))
    for n, request in enumerate(requests):  # as they are cancelled, one after the other
        unwanted.append((request, [n]))
        canceller.cancel(request)
    canceller.close()
    assert {key for key, _ in store.blobs} == {"args/job/cancel"}
    assert len(store.blobs) < 100, "some of them may go ahead"
    last = store.blobs[-1][1]
    assert [payload.decode_cancel(request, last) for request in requests] == [[n] for n in range(1000)]
    assert len(last) < 100_000


def test_a_cancel_is_checked_before_it_is_used():
    request = Request("job", "one", "", None, [3, 4], [], {}, Limits(), secret=b"key")
    other = request._replace(invocation="other", tasks=[7], secret=b"its key")
    blob = payload.encode_cancel([(request, [4]), (other, [7])])
    assert payload.decode_cancel(request, blob) == [4]
    assert payload.decode_cancel(request._replace(invocation="third"), blob) == ()
    for forger in (request._replace(secret=b"no"), request._replace(job="another")):
        with pytest.raises(IntegrityError, match="not written with the key of this job"):
            payload.decode_cancel(forger, blob)
    with pytest.raises(IntegrityError):  # the entry of another invocation of the same job
        payload.decode_cancel(request, blob.replace(b'"other"', b'"one"'))
    for place in range(len(blob)):
        changed = bytearray(blob)
        changed[place] ^= 1
        try:
            tasks = payload.decode_cancel(request, bytes(changed))
        except (IntegrityError, ValueError):
            continue
        assert tasks in ([4], ())


@pytest.mark.e2e
def test_what_an_interrupted_program_leaves_running_ends_at_its_next_look(
    deploy, bed, start_script, shared_path, cancelled
):
    bed.kill_sandboxes()  # those of the tests before may look once more
    function, path = deploy("long", timeout=60), shared_path / "begun"
    program = start_script(
        f"""
import wrenlite
from wrenlite import Executor

def begin(item):
    import os, time
    with open({str(path)!r}, "a") as file:
        file.write(f"{{os.getpid()}}\\n")
    time.sleep(600)

executor = Executor.aws(function={function!r}, max_concurrency=2, progress=False)
executor.map(begin, range(2), chunksize=1).results()
"""
    )
    wait_until(lambda: path.exists() and path.read_text().count("\n") == 2)
    pids = [int(line) for line in path.read_text().split()]
    os.kill(program.pid, signal.SIGINT)
    _, stderr = program.communicate(timeout=60)
    assert program.returncode == -signal.SIGINT, stderr
    assert len(cancelled()) == 1
    looks = bed.counts().get("GetObject", 0)
    wait_until(lambda: not any(map(is_alive, pids)))
    assert bed.counts()["GetObject"] - looks <= 2 + 2, "the next look of each, and one that was on its way"


def test_a_job_that_is_cancelled_at_shutdown_ends_on_lambda(connected, deploy, bed, runs, cancelled):
    aws = connected(cancel_interval_s=0.5, function=deploy("long", timeout=60), max_concurrency=2)
    aws.map(begin, range(2), args=(runs.path, [LONG_S] * 2), chunksize=1)
    wait_until(lambda: len(runs()) == 2)
    aws.shutdown(cancel_futures=True)
    pids = [int(line) for line in Path(f"{runs.path}.pids").read_text().split()]
    wait_until(lambda: not any(map(is_alive, pids)))
    assert len(cancelled()) == 1
