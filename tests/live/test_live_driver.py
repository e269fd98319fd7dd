"""Checks on a real AWS account that the driver function works as on the test bed.

The test deploys a function of its own, ``wrenlite-live``, with its driver, and deletes both. That takes the
deployer's policy and some minutes.
"""

import json
import time

import botocore.session
import pytest

import wrenlite
from tests.aws.deployments import Made
from wrenlite.config import Config

pytestmark = pytest.mark.aws

FUNCTION = "wrenlite-live"


@pytest.fixture
def made(live):
    region = Config.load().region or botocore.session.Session().get_config_variable("region")
    one = Made(FUNCTION, region, timeout_s=60, packages=())
    yield one
    one.settings = {}
    one.destroy()
    assert one.deployment().existing_resources() == []


def test_a_detached_job_runs_in_the_driver(made):
    """Settles whether the handler is found by its dotted name, and whether the policies of both suffice.

    Also whether an asynchronous invocation takes the alias of a version, and what the recursion
    configuration of a function that was just made is.
    """
    made.run()
    time.sleep(10)  # a new role does not hold everywhere at once
    assert made.deployment().ping_driver() == wrenlite.__version__
    client = made.clients["lambda"]
    name = f"{FUNCTION}-driver"
    assert client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Allow"
    answer = client.invoke(
        FunctionName=name, Payload=json.dumps({"wrenlite": "ping"}), InvocationType="Event"
    )
    assert answer["StatusCode"] == 202
    bucket = made.deployment().settings.bucket
    with wrenlite.Executor.aws(
        function=FUNCTION, bucket=bucket, max_concurrency=5, progress=False
    ) as executor:
        job = executor.map(time.sleep, [2.0] * 20, chunksize=1, detach=True)
        token = job.token
    assert wrenlite.attach(token).results(timeout=300) == [None] * 20
    made.settings = {"driver": False}
    made.run()
    assert made.steps() == {}
