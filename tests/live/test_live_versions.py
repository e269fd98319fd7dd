"""Checks on a real AWS account that published versions behave as on the test bed.

The test deploys a function of its own, ``wrenlite-live-versions``, and deletes it. That takes the deployer's
policy and some minutes.
"""

import time

import botocore.session
import pytest

import wrenlite
from tests.aws.deployments import Made
from wrenlite.config import Config

pytestmark = pytest.mark.aws

FUNCTION = "wrenlite-live-versions"


@pytest.fixture
def made(live):
    region = Config.load().region or botocore.session.Session().get_config_variable("region")
    one = Made(FUNCTION, region, timeout_s=60, packages=("six==1.16.0",))
    yield one
    one.settings = {}
    one.destroy()
    assert one.deployment().existing_resources() == []


def looking():
    """Return a function that travels by value: workers have not all that this module imports."""

    def look(seconds):
        import importlib.metadata
        import os
        import time

        time.sleep(seconds)
        names = ("AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        return (importlib.metadata.version("six"), *(os.environ[name] for name in names))

    return look


def executor(made):
    bucket = made.deployment().settings.bucket
    return wrenlite.Executor.aws(function=FUNCTION, bucket=bucket, max_concurrency=5, progress=False)


def test_an_executor_stays_with_its_version(made):
    """Settles what one request for ``current`` returns, and whether versions keep a layer that is deleted."""
    made.run()
    time.sleep(10)  # a new role does not hold everywhere at once
    with executor(made) as before:
        assert before.map(looking(), [0]).results(timeout=120) == [("1.16.0", "1", "1769")]
        made.settings = {"packages": ("six==1.17.0",), "memory_mb": 512}
        made.run()
        assert made.steps() == {}
        with executor(made) as after:
            assert after.map(looking(), [0]).results(timeout=120) == [("1.17.0", "2", "512")]
        in_new_sandboxes = before.map(looking(), [3] * 5, chunksize=1)
        assert in_new_sandboxes.results(timeout=120) == [("1.16.0", "1", "1769")] * 5
        made.settings = {"memory_mb": 640}
        made.run()
        with pytest.raises(wrenlite.FunctionMissing, match="no version '1'"):
            before.map(looking(), [0]).results(timeout=120)
    made.settings = {"memory_mb": 512}
    made.requests.clear()
    made.run()
    assert made.steps() == {}
    assert "PublishVersion" not in dict(made.requests), "going back finds version 2"
