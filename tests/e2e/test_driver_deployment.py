"""The driver beside the function: created, upgraded, left out, checked and removed."""

import json

import pytest

from tests.aws.deployments import BUCKET
from wrenlite.backends.aws.connect import connect
from wrenlite.config import Config
from wrenlite.deploy import deployment as deploying
from wrenlite.deploy import report
from wrenlite.deploy.doctor import run_checks
from wrenlite.deploy.plan import Verb
from wrenlite.serialize.zips import make_zip

pytestmark = pytest.mark.e2e

PARTS = {"driver role", "driver log group", "driver function", "driver alias"}


@pytest.fixture
def config(made):
    return Config.load(function="deployed", bucket=BUCKET, backend="aws")


@pytest.fixture
def code(monkeypatch):
    """A function that changes the zip of later deployments."""
    original = deploying.function_zip

    def put(value):
        import io
        import zipfile

        with zipfile.ZipFile(io.BytesIO(original())) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        changed = make_zip({**files, "of_the_zip.py": f"VALUE = {value!r}\n".encode()}, compress=False)
        monkeypatch.setattr(deploying, "function_zip", lambda: changed)

    return put


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


def test_the_driver_can_be_left_out_and_that_is_remembered(made, config):
    made.run()
    made.settings = {"driver": False}
    steps = made.steps()
    assert {kind for kind, step in steps.items() if step.verb is Verb.DELETE} == PARTS
    assert set(steps) == PARTS | {"function", "alias"}
    made.run()
    made.settings = {}
    assert made.steps() == {}
    assert connect(config).driver is None
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


def test_doctor_invokes_the_driver(made, config, bed):
    made.run()

    def checked():
        (found,) = [check for check in run_checks(config) if check.name == "driver"]
        return found

    assert checked().ok
    bed.fault("Invoke", "answer", path="driver", status=200, body=json.dumps({"errorType": "Oops"}))
    found = checked()
    assert not found.ok
    assert "deployed-driver does not answer as it should" in found.detail
    made.clients["lambda"].delete_function(FunctionName="deployed-driver")
    found = checked()
    assert (found.ok, found.fix) == (False, "run wrenlite-setup, or choose --no-driver")
    made.run()
    assert checked().ok
