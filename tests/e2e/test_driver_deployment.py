"""The driver beside the function: created, upgraded, left out, checked and removed."""

import json
import time

import pytest
from click.testing import CliRunner

import wrenlite
from tests.aws.deployments import BUCKET
from wrenlite import cli
from wrenlite.backends.aws.connect import connect
from wrenlite.config import Config
from wrenlite.deploy import policies, report
from wrenlite.deploy.doctor import run_checks
from wrenlite.deploy.plan import Verb

pytestmark = pytest.mark.e2e

PARTS = {"driver role", "driver log group", "driver function", "driver alias"}


@pytest.fixture
def config(made):
    return Config.load(function="deployed", bucket=BUCKET, backend="aws")


def ping(made, config):
    """Invoke the driver that belongs to the version that new executors find."""
    backend = connect(config)
    backend.invoker.close()
    function = backend.driver.function
    answer = made.clients["lambda"].invoke(FunctionName=function, Payload=json.dumps({"wrenlite": "ping"}))
    assert json.loads(answer["Payload"].read())["ok"]
    return function


def versions(made):
    found = made.clients["lambda"].list_versions_by_function(FunctionName="deployed-driver")["Versions"]
    return [each["Version"] for each in found if each["Version"] != "$LATEST"]


def test_each_version_of_the_function_has_a_driver_that_stays_as_long_as_it_does(made, config, code):
    made.run()
    first = ping(made, config)
    client = made.clients["lambda"]
    assert client.get_function_recursion_config(FunctionName="deployed-driver")["RecursiveLoop"] == "Allow"
    made.settings["memory_mb"] = 512
    assert set(made.steps()) == {"function", "alias"}, "the same driver"
    made.run()
    assert ping(made, config) == first
    for number, value in enumerate(("second", "third"), 2):
        code(value)
        assert {"driver function", "driver alias"} < set(made.steps())
        made.run()
        assert ping(made, config) != first
        assert made.steps() == {}
        assert versions(made) == ["1", "2", "3"][number - 2 : number]
    client.put_function_recursion_config(FunctionName="deployed-driver", RecursiveLoop="Terminate")
    assert made.steps()["driver function"].reason == "may start itself: none → True"


def test_the_driver_can_be_left_out_and_that_is_remembered(made, config, bed):
    made.run()
    made.settings = {"driver": False}
    steps = made.steps()
    assert {kind for kind, step in steps.items() if step.verb is Verb.DELETE} == PARTS
    assert set(steps) == PARTS | {"function", "alias"}
    made.run()
    made.settings = {}
    assert made.steps() == {}
    assert connect(config).driver is None
    bed.error("GetLambdaFunctions", 403, "AccessDeniedException", "not authorized", path="driver")
    with pytest.raises(wrenlite.AccessDenied, match="function:deployed-driver"):
        made.steps()
    made.settings = {"driver": True}
    assert {kind for kind, step in made.steps().items() if step.verb is Verb.CREATE} == PARTS


def test_a_driver_may_have_a_role_of_the_users_own(made, config):
    iam = made.clients["iam"]
    arns = [
        iam.create_role(RoleName=n, AssumeRolePolicyDocument="{}")["Role"]["Arn"] for n in ("mine", "its")
    ]
    made.settings = {"role_arn": arns[0]}
    assert not PARTS & set(made.steps())
    deployment = made.deployment()
    assert any("--driver-role-arn" in each for each in report.notices(made.account, deployment))
    made.settings = {"role_arn": arns[0], "driver_role_arn": arns[1]}
    assert PARTS & set(made.steps()) == PARTS - {"driver role"}
    made.run()
    made.settings = {}
    assert made.steps() == {}
    assert (
        made.clients["lambda"].get_function(FunctionName="deployed-driver")["Configuration"]["Role"]
        == arns[1]
    )
    for name in ("mine", "its"):
        iam.delete_role(RoleName=name)


def logs(*arguments):
    env = {"WRENLITE_BUCKET": BUCKET}
    ended = CliRunner().invoke(cli.main, ("logs", "--function", "deployed", *arguments), env=env)
    assert ended.exit_code == 0, ended.stderr
    return ended.stdout


def test_doctor_invokes_the_driver_whose_log_can_be_seen(made, config, bed):
    made.run()

    def checked():
        (found,) = [check for check in run_checks(config) if check.name == "driver"]
        return found

    assert checked().ok
    assert " REPORT RequestId: " in logs("--driver")
    assert " REPORT RequestId: " not in logs("--driver", "--grep", "no-such-text")
    bed.fault("Invoke", "answer", path="driver", status=200, body=json.dumps({"errorType": "Oops"}))
    found = checked()
    assert not found.ok
    assert "deployed-driver does not answer as it should" in found.detail
    made.clients["lambda"].delete_function(FunctionName="deployed-driver")
    found = checked()
    assert (found.ok, found.fix) == (False, "run wrenlite-setup, or choose --no-driver")
    made.run()
    assert checked().ok


@pytest.fixture
def enforced(made, bed, monkeypatch):
    """An executor of a user with no more than the user's policy, on functions with no more than theirs."""
    made.run()
    iam, settings = made.clients["iam"], made.deployment().settings
    iam.create_role(RoleName="a-user", AssumeRolePolicyDocument="{}")
    policy = json.dumps(policies.of_user(settings))
    iam.put_role_policy(RoleName="a-user", PolicyName="wrenlite", PolicyDocument=policy)
    bed.settings(enforce_policies=True)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "a-user")
        with wrenlite.Executor.aws(
            bucket=BUCKET, function="deployed", max_concurrency=4, progress=False
        ) as executor:
            yield executor
    bed.settings(enforce_policies=False)
    iam.delete_role_policy(RoleName="a-user", PolicyName="wrenlite")
    iam.delete_role(RoleName="a-user")


def test_the_policies_suffice_for_detached_jobs_and_tasks_may_not_look_at_these(enforced, bed):
    large = enforced.put(bytes(100_000))
    total = enforced.map_reduce(lambda n, data: len(data[:n]), range(8), sum, args=(large,), detach=True)
    assert total.result(timeout=60) == 28
    job = enforced.map(abs, [-1], detach=True)
    assert wrenlite.attach(job.token).results(timeout=60) == [1]
    large_value = enforced.map(lambda n: bytes(8 * 2**20), [1]).results(timeout=60)
    assert len(large_value[0]) == 8 * 2**20
    waiting = enforced.map(time.sleep, [15] * 8, chunksize=1, detach=True)
    waiting.cancel()
    assert waiting.wait(timeout=60)
    assert {event["function"] for event in bed.wait_for_events()} == {"deployed-driver"}
    assert bed.denials() == []

    def look(bucket, prefix):
        import botocore.session

        s3 = botocore.session.Session().create_client("s3")
        return s3.list_objects_v2(Bucket=bucket, Prefix=prefix)

    error = enforced.map(look, [BUCKET], args=("wrenlite/jobs/",))[0].exception(timeout=60)
    assert "AccessDenied" in str(error)
    assert bed.denials() == [f"deployed-us-east-1: s3:ListBucket on arn:aws:s3:::{BUCKET}"]
