"""Lost and changed objects in the bucket, permissions, credentials, settings and versions."""

import re
import time
from collections import Counter

import botocore.session
import numpy as np
import pytest
from botocore.exceptions import ClientError

import wrenlite
from tests.aws.tasks import LARGE, ONCE, longest_request, squares
from wrenlite.backends.aws import payload
from wrenlite.backends.aws.session import AwsSession
from wrenlite.backoff import Patience


def client_and_keys(bed, prefix):
    client = botocore.session.Session().create_client("s3")
    listed = client.list_objects_v2(Bucket="wrenlite-bed", Prefix=f"wrenlite/{prefix}").get("Contents", ())
    return client, [found["Key"] for found in listed]


# The store


WEIGHT = {"weight": LARGE}


def test_a_function_that_has_expired_in_the_store_is_put_there_again(aws, bed, runs):
    squares(aws, runs, 1, kwargs=WEIGHT).results(timeout=30)
    client, keys = client_and_keys(bed, "code/")
    for key in keys:
        client.delete_object(Bucket="wrenlite-bed", Key=key)
    bed.kill_sandboxes()  # so that no worker has the function any more
    bed.reset()
    job = squares(aws, runs, 3, chunksize=1, kwargs=WEIGHT)
    assert job.results(timeout=30) == [0, 1, 4]
    assert [stats.attempts for stats in job.stats()] == [1, 1, 1]
    assert runs() == Counter({"0": 2, "1": 1, "2": 1})


@pytest.mark.parametrize("damage", [b"", b"something else"])
def test_a_function_that_was_changed_in_the_store_is_replaced(aws, bed, runs, damage, caplog):
    squares(aws, runs, 1, kwargs=WEIGHT).results(timeout=30)
    client, keys = client_and_keys(bed, "code/")
    for key in keys:
        client.put_object(Bucket="wrenlite-bed", Key=key, Body=damage)
    bed.kill_sandboxes()
    bed.reset()
    job = squares(aws, runs, 2, chunksize=1, kwargs=WEIGHT)
    assert job.results(timeout=30) == [0, 1]
    assert [stats.attempts for stats in job.stats()] == [1, 1]
    assert runs() == Counter({"0": 2, "1": 1})
    assert "was changed or damaged, and the right blob is put in its place" in caplog.text
    assert bed.counts()["PutObject"] == 2, "function and modules, once, although both requests reported it"


def test_a_function_that_is_changed_again_and_again_fails_the_job(aws, bed):
    fault = {"status": 200, "body": "something else", "count": 100}
    bed.fault("GetObject", "answer", path="/code/", **fault)
    with pytest.raises(
        wrenlite.IntegrityError, match=r"code/.*damaged.*again after 3 further uploads\. Does"
    ):
        aws.map(lambda n, _: (n, "changed"), [1], args=(LARGE,)).results(timeout=30)
    bed.reset()
    # Items are the matter of their own tasks only.
    bed.fault("GetObject", "answer", path="/args/", **fault)
    values = aws.map(len, [b"", b"x" * 6_000_000], chunksize=1).results(timeout=60, return_exceptions=True)
    assert values[0] == 0
    assert isinstance(values[1], wrenlite.IntegrityError)
    assert "task 1 of" in str(values[1])
    assert bed.counts()["Invoke"] == 1 + 4


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (None, wrenlite.NotFound, "value of task 0 .* has expired; run it again"),
        (b"", wrenlite.IntegrityError, "was changed or damaged: its digest is"),
        ("other", wrenlite.IntegrityError, "was changed or damaged: its digest is"),
    ],
)
def test_a_value_that_is_missing_or_changed_in_the_store_is_refused(aws, bed, damage, error, words):
    job = aws.map(lambda n: bytes([n]) * 3_000_000, [1, 2, 3], chunksize=3)
    assert job.wait(30)
    client, keys = client_and_keys(bed, f"results/{job.id}/")
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


def test_requests_to_the_store_are_part_of_the_cost(connected, bed):
    aws = connected(cancel_interval_s=0.2)
    job = aws.map(lambda blob, _: time.sleep(0.5) or blob, [b"x" * 6_000_000] * 2, chunksize=1, args=(LARGE,))
    assert job.wait(60)
    cost = job.cost
    assert cost.store_puts == bed.counts()["PutObject"]
    deadline = time.monotonic() + 10
    while (read := bed.counts()["GetObject"]) < cost.store_gets:  # a look that was counted is on its way
        assert time.monotonic() < deadline
    assert read - 2 <= cost.store_gets <= read, "a look may be under way when its batch ends"
    assert cost.store_puts >= 1 + 2 + 2, "function, items, values"
    assert cost.store_gets >= 2 + 4, "items, looks for a cancel"
    assert cost.store_dollars == pytest.approx(cost.store_puts * 5e-6 + cost.store_gets * 4e-7)
    assert cost.dollars > cost.store_dollars
    job.results()
    assert job.cost.store_gets - cost.store_gets == bed.counts()["GetObject"] - read == 2
    assert aws.cost == job.cost
    assert " PUT and " in str(job.cost)


def test_a_budget_expects_of_the_next_request_what_the_store_has_cost(connected, bed):
    budget = 38e-6
    aws = connected(budget=budget, max_concurrency=1)
    job = aws.map(lambda n: bytes([n]) * 3_000_000, range(20), chunksize=2)
    assert job.wait(60)
    assert 0 < job.snapshot().done < 20
    # A PUT is $0.000005. The time of a request is known when it ends.
    assert aws.cost.dollars <= budget + longest_request(aws, job)
    assert isinstance(job.exception(19), wrenlite.BudgetExceeded)


@pytest.mark.parametrize("status", [404, 200])
def test_items_that_vanish_from_the_store_or_change_are_put_there_again(aws, bed, status):
    bed.error("GetObject", status, "NoSuchKey", path="/args/", count=1)
    assert aws.map(len, [b"x" * 6_000_000]).results(timeout=60) == [6_000_000]
    assert bed.counts()["Invoke"] == 2


@pytest.mark.parametrize("code", ["SlowDown", "InternalError"])
def test_a_store_that_is_down_for_the_worker_costs_no_attempt(connected, bed, code):
    aws = connected(outage_s=60.0)
    bed.error("GetObject", 503, code, path="/code/", count=7)  # botocore alone tries five times
    job = aws.map(lambda n, _: (n, code), range(3), chunksize=3, args=(LARGE,))
    assert job.results(timeout=60) == [(n, code) for n in range(3)]
    assert [stats.attempts for stats in job.stats()] == [1] * 3


def test_a_store_that_fails_for_a_moment_costs_no_attempt_and_no_further_run(aws, bed, runs):
    def work(item, table, path):
        with open(path, "a") as file:
            file.write(f"{item}\n")
        return table[: 5_000_000 + item]

    def fail(kind, path):  # botocore alone tried five times
        bed.error(kind, 503, "SlowDown", path=path, count=3)
        bed.fault(kind, "reset-before", path=path)
        bed.error(kind, 500, "InternalError", path=path)

    for kind, path in (("PutObject", "/refs/"), ("PutObject", "/code/"), ("PutObject", "/args/")):
        fail(kind, path)
    ref = aws.put(b"x" * 6_000_000)
    for kind, path in (("GetObject", "/refs/"), ("PutObject", "/results/")):
        fail(kind, path)
    job = aws.map(work, [0, 1], args=(ref, runs.path), chunksize=1)
    large = aws.map(len, [b"x" * 5_000_000])
    assert job.wait(60)
    fail("GetObject", "/results/")
    assert [len(value) for value in job.results(timeout=60)] == [5_000_000, 5_000_001]
    assert runs() == Counter({"0": 1, "1": 1})
    assert [stats.attempts for stats in job.stats()] == [1, 1]
    assert large.results(timeout=60) == [5_000_000]


def test_items_that_cannot_be_stored_for_long_fail_their_tasks_and_not_the_job(aws, bed):
    aws.backend.store.patience = Patience(total_s=0.2)
    bed.error("PutObject", 503, "SlowDown", path="/args/", count=10**6)
    values = aws.map(len, [b"", b"x" * 5_000_000, b"x"], chunksize=1).results(True, timeout=60)
    assert [values[0], values[2]] == [0, 1]
    assert isinstance(values[1], wrenlite.StoreError)
    assert re.search(r"task 1 of len.*s3:PutObject on .*/args/.*SlowDown.*tried for 0\.2 s", str(values[1]))
    bed.reset()
    bed.error("PutObject", 403, "AccessDenied", path="/args/", count=10**6)
    with pytest.raises(wrenlite.AccessDenied):
        aws.map(len, [b"x" * 5_000_000]).results(timeout=60)
    assert bed.counts()["PutObject"] <= 2, "what cannot pass is not tried again"


def test_the_time_that_storing_a_value_takes_does_not_count_as_the_tasks(aws, bed):
    bed.fault("PutObject", "delay", seconds=1.5, path="/results/")
    (value,) = aws.map(lambda n: b"x" * n, [6_000_000], timeout=1).results(timeout=60)
    assert len(value) == 6_000_000
    assert bed.counts()["Invoke"] == 1


def test_other_values_are_returned_though_one_is_missing(aws, bed):
    job = aws.map(lambda n: bytes([n]) * 3_000_000, range(4), chunksize=4)
    assert job.wait(30)
    client, keys = client_and_keys(bed, f"results/{job.id}/")
    client.delete_object(Bucket="wrenlite-bed", Key=keys[1])
    values = job.results(return_exceptions=True)
    assert [type(value) for value in values] == [bytes, bytes, wrenlite.NotFound, bytes]
    with pytest.raises(wrenlite.NotFound, match="task 2"):
        job.results()


def test_an_object_that_was_changed_is_replaced_by_the_next_put(aws, bed, caplog):
    table = list(range(10_000))
    ref = aws.put(table)
    client, (key,) = client_and_keys(bed, f"refs/{ref.digest}")
    size = client.head_object(Bucket="wrenlite-bed", Key=key)["ContentLength"]
    bed.reset()
    for number, damage in enumerate((b"", b"x" * size)):
        client.put_object(Bucket="wrenlite-bed", Key=key, Body=damage)
        bed.kill_sandboxes()  # so that no worker has the object any more
        with pytest.raises(wrenlite.IntegrityError, match=r"call executor\.put\(\) again first"):
            aws.map(lambda n, table: table[n], [number], args=(ref,)).results(timeout=30)
        assert aws.put(table).digest == ref.digest
        assert caplog.text.count("the right blob is put in its place") == number + 1
        assert aws.map(lambda n, table: table[n], [number], args=(ref,)).results(timeout=30) == [number]


def test_an_expired_object_can_be_put_again(aws, bed):
    table = list(range(100_000))
    ref = aws.put(table)
    client, keys = client_and_keys(bed, "refs/")
    for key in keys:
        client.delete_object(Bucket="wrenlite-bed", Key=key)
    with pytest.raises(
        wrenlite.NotFound, match=r"has expired\. Call executor\.put\(\) again, and pass the new Ref"
    ):
        aws.map(lambda n, table: table[n], [1], args=(ref,)).results(timeout=30)
    assert aws.put(table).digest == ref.digest
    assert aws.map(lambda n, table: table[n], [1], args=(ref,)).results(timeout=30) == [1]


@pytest.mark.e2e
def test_a_worker_drops_large_objects_to_make_room_for_others(connected, bed):
    aws = connected(max_concurrency=1)
    for number in range(5):  # 60 MB each; a worker of 512 MB keeps at most 128 MB of such objects
        ref = aws.put(np.full(7_500_000, number))
        assert aws.map(lambda n, a: int(a[n]), [1], args=(ref,)).results(timeout=60) == [number]


def test_a_function_that_cannot_be_loaded_fails_many_tasks_in_few_requests(connected, bed):
    import pexpect  # installed here, and not in the function's layer

    aws = connected()
    job = aws.map(pexpect.which, range(3000), chunksize=3000)
    assert job.wait(60)
    assert {type(error) for error in job.errors().values()} == {ModuleNotFoundError}
    assert bed.counts()["Invoke"] <= 3


# Permissions, credentials and settings


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
        aws.map(lambda n, _: (n, kind), [1], args=(LARGE,)).results(timeout=30)


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
def test_listing_and_deleting_without_permission_names_the_statement(aws, bed, kind, action):
    bed.error(kind, 403, "AccessDenied", count=100)
    store = aws.backend.store
    with pytest.raises(wrenlite.AccessDenied, match=STATEMENT.format(action, "arn:aws:s3:::wrenlite-bed")):
        list(store.list("code/")) if kind == "ListObjectsV2" else store.delete(["a"])


def test_a_wrong_clock_is_reported(aws, bed, runs):
    message = "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z"
    bed.error("Invoke", 403, "InvalidSignatureException", message, count=100)
    with pytest.raises(wrenlite.CredentialsError, match=r"its clock is wrong.*timedatectl"):
        squares(aws, runs, 3).results(timeout=30)
    bed.reset()
    bed.error("PutObject", 403, "RequestTimeTooSkewed", count=100)
    with pytest.raises(wrenlite.CredentialsError, match="its clock is wrong"):
        aws.map(lambda n, _: n + 17, [1], args=(LARGE,)).results(timeout=30)


def test_credentials_that_expire_are_renewed_and_nothing_is_lost(aws, bed, runs, monkeypatch):
    squares(aws, runs, 1).results(timeout=30)
    bed.error("Invoke", 403, "ExpiredTokenException", count=3)
    job = squares(aws, runs, 12, chunksize=1)
    assert job.results(timeout=30) == [number**2 for number in range(12)]
    assert runs() == ONCE + Counter({"0": 1})
    assert [stats.attempts for stats in job.stats()] == [1] * 12


def test_tasks_stay_queued_while_credentials_cannot_be_renewed(aws, bed, runs):
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


def test_credentials_of_a_role_that_cannot_be_assumed_again_are_expired(bed):
    class FailingCredentials:
        def get_frozen_credentials(self):
            message = {"Error": {"Code": "ExpiredToken", "Message": "the source has expired"}}
            raise ClientError(message, "AssumeRole")

    class Session(botocore.session.Session):
        def get_credentials(self):
            return FailingCredentials()

    with pytest.raises(wrenlite.CredentialsExpired, match=r"cannot be refreshed.*aws sso login"):
        AwsSession(Session).credentials()


def test_missing_credentials_and_unknown_profiles_are_reported(connected, bed, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(wrenlite.CredentialsError, match=r"no AWS credentials.*aws configure"):
        connected()
    with pytest.raises(wrenlite.CredentialsError, match="nobody"):
        connected(profile="nobody")


def test_keys_that_aws_does_not_know_are_refused(connected, bed):
    bed.error(
        "GetFunctionConfiguration", 403, "UnrecognizedClientException", "The token is invalid", count=100
    )
    with pytest.raises(wrenlite.CredentialsError, match="does not know these credentials"):
        connected()


def test_missing_settings_are_named(connected, deploy, monkeypatch):
    bare = deploy("bare")  # a function without a bucket in its settings
    monkeypatch.delenv("WRENLITE_BUCKET")
    with pytest.raises(wrenlite.ConfigError, match="no bucket is set: wrenlite-setup"):
        connected(function=bare)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(wrenlite.ConfigError, match="no AWS region"):
        connected()


def test_the_default_bucket_is_that_of_the_deployed_function(connected, monkeypatch):
    monkeypatch.delenv("WRENLITE_BUCKET")
    executor = connected()
    assert executor.backend.store.bucket == "wrenlite-bed"
    assert executor.submit(abs, -1).result(timeout=30) == 1


def test_a_missing_function_is_named(connected, bed):
    with pytest.raises(
        wrenlite.FunctionMissing, match="no Lambda function 'nothing' in us-east-1: wrenlite-setup"
    ):
        connected(function="nothing")
    with pytest.raises(wrenlite.FunctionMissing, match=r"in eu-west-1.*region="):
        connected(region="eu-west-1")
    bed.error("GetFunctionConfiguration", 403, "AccessDeniedException", count=100)
    with pytest.raises(wrenlite.FunctionMissing, match="'nothing'"):
        connected(function="nothing").map(abs, [1]).results(timeout=30)


def test_a_bucket_that_is_missing_or_in_another_region_is_named(connected, bed):
    with pytest.raises(wrenlite.StoreError, match="no bucket 'not-there': create it"):
        connected(bucket="not-there").map(max, [b""], args=(LARGE,)).results(timeout=30)
    bed.fault(
        "PutObject",
        "answer",
        status=400,
        body="<Error><Code>AuthorizationHeaderMalformed</Code><Message>x</Message><Region>eu-west-1</Region></Error>",
        headers={"x-amz-bucket-region": "eu-west-1"},
        count=100,
    )
    with pytest.raises(wrenlite.StoreError, match="eu-west-1: set region= to the region of the bucket"):
        connected().map(max, [b""], args=(LARGE,)).results(timeout=30)


# Versions


def test_a_function_of_another_python_is_refused_before_anything_is_sent(connected, deploy, bed):
    with pytest.raises(
        wrenlite.IncompatibleRuntime,
        match=r"runs Python 3\.14 and this process Python 3.*Use Python 3\.14 here, or run wrenlite-setup",
    ):
        connected(function=deploy("older", runtime="python3.14"))
    assert bed.counts().get("Invoke", 0) == 0


@pytest.mark.parametrize("what", ["protocol", "wrenlite", "python", "cloudpickle"])
def test_a_runner_of_another_version_is_refused_with_both_versions_and_the_fix(aws, bed, monkeypatch, what):
    own = payload.versions()
    monkeypatch.setattr(payload, "versions", lambda: {**own, what: "0.9"})
    fix = rf"Use Python {own[what]} here: Lambda has no Python 0\.9" if what == "python" else "wrenlite-setup"
    with pytest.raises(wrenlite.IncompatibleRuntime, match=rf"{own[what]} there and 0\.9 here\. {fix}"):
        aws.map(abs, range(10)).results(timeout=30)
    assert bed.counts()["Invoke"] <= 4
