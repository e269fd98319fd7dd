"""Create, change, shrink, destroy on the test bed, with the real zip; and a map through what was made."""

import base64
import dataclasses
import hashlib
import io
import sys
import zipfile

import botocore.session
import pytest

import wrenlite
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.function import function_zip
from wrenlite.deploy.plan import Verb, plan
from wrenlite.deploy.provider import Provider, desired
from wrenlite.deploy.resources import Layer, Settings, canonical

OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
CODE = function_zip()
CODE_DIGEST = base64.b64encode(hashlib.sha256(CODE).digest()).decode()


def layer_zip(text):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("python/in_the_layer.py"), f"VALUE = {text!r}\n")
    return file.getvalue()


class Deployment:
    """A deployment with its settings, which a test changes."""

    def __init__(self, packages="one", **settings):
        self.packages = packages
        self.settings = Settings(
            account="123456789012",
            region="us-east-1",
            bucket="wrenlite-deployed",
            function="deployed",
            timeout_s=20,
            python=OWN,
            **settings,
        )
        self.requests = []
        session = botocore.session.Session()
        session.register("before-call", self._count)
        self.clients = Clients(session, "us-east-1")

    def _count(self, model, params, **_):
        if not model.name.startswith(("Get", "List", "Head", "Describe")):
            self.requests.append((model.name, params["body"]))

    def provider(self):
        return Provider(self.clients, self.settings, lambda: layer_zip(self.packages), lambda: CODE)

    def wanted(self):
        digest = hashlib.sha256(layer_zip(self.packages)).hexdigest()
        layer = Layer(self.settings.function, digest, f"python{OWN}", self.settings.architecture)
        return desired(self.settings, CODE_DIGEST, layer)

    def actions(self):
        return plan(self.wanted(), self.provider().observe())

    def apply(self, actions):
        provider = self.provider()
        for action in actions:
            provider.apply(action)

    def destroy(self):
        self.apply(plan((), self.provider().observe()))


@pytest.fixture
def deployment(bed):
    made = Deployment()
    yield made
    made.destroy()
    assert made.provider().observe() == []


def changes(deployment):
    return {action.resource.kind: action for action in deployment.actions() if action.verb is not Verb.KEEP}


def test_create_then_nothing_to_do_then_change_then_destroy(deployment):
    assert {action.verb for action in deployment.actions()} == {Verb.CREATE}
    deployment.apply(deployment.actions())
    assert changes(deployment) == {}
    deployment.requests.clear()
    deployment.apply(deployment.actions())
    assert deployment.requests == [], "a second run changes nothing"

    deployment.settings = dataclasses.replace(deployment.settings, memory_mb=512, read=("usgs-landsat",))
    found = changes(deployment)
    assert found["function"].reason == "memory mb: 1769 → 512"
    assert found["role"].reason == "policy differs"
    assert set(found) == {"function", "role"}
    deployment.apply(deployment.actions())
    assert changes(deployment) == {}

    deployment.packages = "two"
    assert set(changes(deployment)) == {"layer", "function"}
    deployment.apply(deployment.actions())
    assert changes(deployment) == {}
    versions = deployment.clients["lambda"].list_layer_versions(LayerName="deployed")["LayerVersions"]
    assert len(versions) == 1, "old versions are removed"


@pytest.mark.parametrize("done", range(1, 5))
def test_a_run_that_was_cut_short_is_completed_by_the_next_one(deployment, done):
    deployment.apply(deployment.actions()[:done])
    rest = [action for action in deployment.actions() if action.verb is not Verb.KEEP]
    assert [action.verb for action in rest] == [Verb.CREATE] * (5 - done)
    deployment.apply(deployment.actions())
    assert changes(deployment) == {}


def test_a_map_through_what_was_deployed(deployment):
    deployment.apply(deployment.actions())
    # It refuses connections without TLS, and the bed has no other.
    deployment.clients["s3"].delete_bucket_policy(Bucket="wrenlite-deployed")

    def value(n):
        import in_the_layer

        return in_the_layer.VALUE, n

    with wrenlite.Executor.aws(
        bucket="wrenlite-deployed", function="deployed", max_concurrency=2
    ) as executor:
        assert executor.map(value, range(3)).results(timeout=30) == [("one", n) for n in range(3)]


def test_what_moto_does_not_keep_is_sent_as_it_should_be(bed):
    deployment = Deployment(ephemeral_mb=1024, architecture="arm64", reserved=5)
    deployment.apply(deployment.actions())
    sent = dict(deployment.requests)
    body = json_of(sent["CreateFunction"])
    assert body["EphemeralStorage"] == {"Size": 1024}
    assert body["Architectures"] == ["arm64"]
    assert body["Tags"] == {"wrenlite": "deployed"}
    assert body["Timeout"] == 20
    assert json_of(sent["PutFunctionConcurrency"]) == {"ReservedConcurrentExecutions": 5}
    names = [name for name, _ in deployment.requests]
    assert names.index("CreateBucket") < names.index("PutBucketTagging") < names.index("PutPublicAccessBlock")
    deployment.destroy()


def json_of(body):
    import json

    return json.loads(body)


def test_what_is_not_ours_stays_as_it_is(deployment):
    iam = deployment.clients["iam"]
    iam.create_role(RoleName=deployment.settings.role_name, AssumeRolePolicyDocument=canonical({}))
    with pytest.raises(
        wrenlite.ConfigError, match="role 'deployed-us-east-1' already, which is not wrenlite's"
    ):
        deployment.actions()
    deployment.destroy()
    assert iam.get_role(RoleName=deployment.settings.role_name)
    iam.delete_role(RoleName=deployment.settings.role_name)


def test_a_bucket_and_a_role_of_the_users_own_are_used_as_they_are_and_never_deleted(bed):
    mine = Deployment(own_bucket=False, role_arn="arn:aws:iam::123456789012:role/mine")
    mine.clients["s3"].create_bucket(Bucket="wrenlite-deployed")
    mine.clients["iam"].create_role(RoleName="mine", AssumeRolePolicyDocument="{}")
    assert [action.resource.kind for action in mine.actions()] == ["log group", "layer", "function"]
    mine.apply(mine.actions())
    assert changes(mine) == {}
    mine.destroy()
    assert mine.provider().observe() == []
    assert mine.clients["s3"].head_bucket(Bucket="wrenlite-deployed")
    mine.clients["s3"].delete_bucket(Bucket="wrenlite-deployed")
    mine.clients["iam"].delete_role(RoleName="mine")
