"""Checks on a real AWS account that published jobs behave as on the test bed, and of doubts only AWS settles.

Each test publishes in a deployment of its own, ``wrenlite-live-jobs``, and deletes it. That takes credentials
of an administrator, and some minutes.
"""

import os
import time

import botocore.session
import pytest

import wrenlite
from tests.aws.deployments import Made
from wrenlite.config import Config
from wrenlite.deploy.publisher import Publisher, Wish
from wrenlite.deploy.publishing import find_all_published
from wrenlite.deploy.starting import Starter
from wrenlite.serving.publication import Every, Http, Objects
from wrenlite.serving.starts import OVER, Starts

pytestmark = pytest.mark.aws

FUNCTION = "wrenlite-live-jobs"
NEW_ROLE_S = 15
"""Seconds that a new role takes until it holds everywhere."""


@pytest.fixture
def made(live):
    region = Config.load().region or botocore.session.Session().get_config_variable("region")
    one = Made(FUNCTION, region, timeout_s=60, packages=())
    one.run()
    yield one
    for job in find_all_published(one.clients, one.deployment().settings):
        job.apply(job.plan_removal(), lambda *_: None)
    one.settings = {}
    one.destroy()
    assert one.deployment().existing_resources() == []


def published(made, function, on):
    publisher = Publisher(made.clients, made.account, made.deployment().settings)
    job = publisher.prepare(Wish(function, "live:job", on, "live"))
    job.apply(job.plan(publisher.function), lambda *_: None)
    again = publisher.prepare(Wish(function, "live:job", on, "live"))
    steps = [step for step in again.plan(publisher.function) if step.verb.value != "keep"]
    assert steps == [], "what AWS returns is what was sent"
    time.sleep(NEW_ROLE_S)
    assert job.ping() == wrenlite.__version__
    return job


def ended(job, timeout_s=180):
    """Wait for the end of the newest start, and return its status."""
    starts, deadline = Starts(job.store, job.publication), time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for status in starts.recent(1):
            if status["status"] in OVER:
                return status
        time.sleep(2)
    raise AssertionError(f"no start of {job.name} has ended: {starts.recent(1)}")


def test_an_upload_starts_a_function(made):
    """Settles the form of S3's events and of its configuration, and that a missing object is a 404."""

    def of_object(event):
        return [event.key, event.size, len(event.read())]

    bucket = f"wrenlite-live-{os.urandom(4).hex()}"
    s3, region = made.clients["s3"], made.account.region
    place = {} if region == "us-east-1" else {"LocationConstraint": region}
    s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": place} if place else {}))
    try:
        job = published(made, of_object, Objects(bucket, "in/", ".csv"))
        s3.put_object(Bucket=bucket, Key="in/a b+ü.csv", Body=b"123")
        assert ended(job)["result"] == ["in/a b+ü.csv", 3, 3]
        job.apply(job.plan_removal(), lambda *_: None)
        found = s3.get_bucket_notification_configuration(Bucket=bucket)
        assert "LambdaFunctionConfigurations" not in found
    finally:
        s3.delete_object(Bucket=bucket, Key="in/a b+ü.csv")
        s3.delete_bucket(Bucket=bucket)


def test_a_request_starts_a_function(made):
    """Settles signed requests, and which permissions a URL asks for."""

    def squares(numbers: list[int]):
        import wrenlite

        with wrenlite.Executor(progress=False) as executor:
            return executor.map(lambda n: n * n, numbers).results()

    job = published(made, squares, Http())
    starter = Starter(made.clients, made.deployment().settings, "live")
    start = starter.start({"numbers": [1, 2, 3]})
    assert starter.follow(start, print)["result"] == [1, 4, 9]
    with pytest.raises(wrenlite.BadInput) as refusal:
        starter.start({"numbers": "three"})
    assert refusal.value.field == "numbers"
    assert job.url().startswith("https://")


def test_a_schedule_starts_a_function(made):
    """Settles the form of EventBridge's events, and whether its permission holds."""
    job = published(made, lambda: "on time", Every("rate(1 minute)"))
    assert ended(job)["result"] == "on time"
