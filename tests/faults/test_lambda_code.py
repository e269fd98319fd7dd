"""Functions and modules on their way to Lambda: inside requests, and into the bucket beside them."""

import os
import subprocess
import sys
import textwrap
from functools import partial

import botocore.session
import pytest

import wrenlite
from tests.aws.tasks import LARGE
from wrenlite.backoff import Patience


@pytest.fixture
def stored():
    """A function that returns the number of functions and zips in the bucket, which is empty at first."""
    client = botocore.session.Session().create_client("s3")

    def keys():
        listed = client.list_objects_v2(Bucket="wrenlite-bed", Prefix="wrenlite/code/")
        return [found["Key"] for found in listed.get("Contents", ())]

    for key in keys():
        client.delete_object(Bucket="wrenlite-bed", Key=key)
    return lambda: len(keys())


@pytest.fixture
def aws(bed, stored, connected):
    """An executor on an empty bucket and without warm sandboxes."""
    bed.kill_sandboxes()
    made = connected()
    bed.reset()
    return made


def test_cold_sandboxes_fetch_nothing_and_the_function_is_stored_once(aws, bed, stored):
    assert aws.map(abs, range(100), chunksize=1).results(timeout=60) == list(range(100))
    aws.shutdown()
    assert bed.counts() == {"Invoke": 100, "PutObject": 1}
    assert stored() == 1


@pytest.mark.e2e
def test_no_value_waits_for_the_upload_and_the_end_of_the_executor_does(aws, bed, stored):
    bed.fault("PutObject", "delay", seconds=5)
    jobs = [aws.submit(abs, -number) for number in range(20)]
    assert [job.result(timeout=30) for job in jobs] == list(range(20))
    assert stored() == 0, "values are here before the function is there"
    aws.shutdown()
    assert stored() == 1
    assert bed.counts()["PutObject"] == 1, "all jobs share one upload"


def test_the_end_of_a_program_waits_for_the_upload(bed, stored):
    bed.fault("PutObject", "delay", seconds=2)
    program = """
        import os, wrenlite
        print(wrenlite.Executor.aws(progress=False).map(abs, [-1]).results())
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("[1]\n", "")
    assert stored() == 1


def test_a_function_that_does_not_travel_is_stored_before_it_is_needed(aws, bed, stored):
    bed.fault("PutObject", "delay", seconds=1)
    values = aws.map(lambda n, table: len(table) + n, range(4), args=(LARGE,), chunksize=1).results(
        timeout=60
    )
    assert values == [len(LARGE) + n for n in range(4)]
    assert bed.counts()["Invoke"] == 4, "no worker looked for it in vain"


def test_each_of_many_functions_is_stored_once(aws, bed, stored):
    bed.settings(latency_s=0.05)
    jobs = [aws.submit(pow, 2, number) for number in range(3)]
    jobs += [aws.map(partial(pow, number), [2])[0] for number in range(60)]
    assert [job.result(timeout=60) for job in jobs] == [1, 2, 4, *(number**2 for number in range(60))]
    aws.shutdown()
    assert stored() == 61
    assert bed.counts()["PutObject"] == 61


def test_what_is_already_in_the_bucket_is_left_there(aws, bed, connected, stored):
    assert aws.map(abs, [-1]).results(timeout=30) == [1]
    aws.shutdown()
    other = connected()
    assert other.map(abs, [-2]).results(timeout=30) == [2]
    other.shutdown()
    assert stored() == 1


@pytest.mark.parametrize("status", [403, 503])
def test_an_upload_that_fails_for_good_fails_only_what_needs_the_object(aws, bed, stored, caplog, status):
    aws.backend.store.patience = Patience(total_s=0.1)
    bed.error("PutObject", status, "AccessDenied" if status == 403 else "SlowDown", count=10**6)
    assert aws.map(abs, [-1]).results(timeout=30) == [1]
    with pytest.raises(wrenlite.AccessDenied if status == 403 else wrenlite.StoreError, match="PutObject"):
        aws.map(lambda n, table: n, [1], args=(LARGE,)).results(timeout=30)
    bed.reset()
    assert aws.map(abs, [-3]).results(timeout=30) == [3]
    aws.shutdown()
    assert "go on: their requests carry it" in caplog.text
    assert stored() == 1, "the next job has tried again"


def test_code_in_many_requests_is_limited(aws, bed, stored):
    table = os.urandom(32_000)
    job = aws.map(lambda n, table: n, range(80), args=(table,), chunksize=1)
    assert job.results(timeout=60) == list(range(80))
    aws.shutdown()
    assert bed.counts()["Invoke"] == 80


def test_a_local_worker_needs_no_file_for_a_small_function(pool):
    assert pool.map(abs, [-1, -2]).results() == [1, 2]
    assert list(pool.backend.store.list("code/")) == []
    assert pool.map(lambda n, table: n, [1], args=(LARGE,)).results() == [1]
    assert len(list(pool.backend.store.list("code/"))) == 1
