"""The policies that wrenlite writes, on a server that enforces them: Ceph's radosgw, through STS.

Each policy must be sufficient (it allows what it is for) and tight (it denies everything else).
"""

import json
import uuid

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session

import wrenlite
from wrenlite.backends.aws.s3 import S3Store
from wrenlite.backends.aws.session import AwsSession
from wrenlite.deploy import policies
from wrenlite.deploy.settings import Settings
from wrenlite.serving.publication import Objects, Publication

PREFIX = "wrenlite"
PARTS = (
    *("code", "args", "refs", "results", "outputs", "jobs", "starts", "published/mine", "published/theirs"),
    *("layers", "elsewhere"),
)


def statements(policy):
    """Return the S3 statements of a policy in a form that radosgw accepts: no other service, no spaces."""
    ours = [one for one in policy["Statement"] if all(action.startswith("s3:") for action in one["Action"])]
    return json.dumps({**policy, "Statement": ours}, separators=(",", ":"))


class Site:
    """A bucket with a blob below each prefix, with stores for its owner and for an assumed role."""

    def __init__(self, make_policy, grant=()):
        self.session = Session()
        self.bucket, other = f"policy-{uuid.uuid4().hex}", f"other-{uuid.uuid4().hex}"
        for name in (self.bucket, other):
            self.session.create_client("s3").create_bucket(Bucket=name)
        granted = dict.fromkeys(grant, (other,))
        made = Settings("123456789012", "us-east-1", self.bucket, prefix=PREFIX, **granted)
        session = AwsSession(self._assume(statements(make_policy(made))))
        self.owner, self.role = S3Store(self.bucket, PREFIX), S3Store(self.bucket, PREFIX, session=session)
        self.other, self.role_other = S3Store(other, "data"), S3Store(other, "data", session=session)
        for part in PARTS:
            self.owner.put(f"{part}/there", part.encode())
        self.other.put("there", b"other")

    def _assume(self, policy):
        iam, name = self.session.create_client("iam"), f"role-{uuid.uuid4().hex[:8]}"
        allowed = {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/test"]}}
        trust = json.dumps(
            {"Version": "2012-10-17", "Statement": [{**allowed, "Action": ["sts:AssumeRole"]}]},
            separators=(",", ":"),
        )
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="wrenlite", PolicyDocument=policy)
        sts = self.session.create_client("sts")
        keys = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        assumed = Session()
        assumed.set_credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        self.client = assumed.create_client("s3")
        return lambda: assumed

    def delete(self, part):
        """Delete one object.

        For a request that deletes many objects, radosgw checks the bucket, and S3 checks each object.
        """
        try:
            self.client.delete_object(Bucket=self.bucket, Key=f"{PREFIX}/{part}/there")
        except ClientError as error:
            raise wrenlite.AccessDenied(str(error)) from error


def allowed(call):
    try:
        call()
    except wrenlite.AccessDenied:
        return False
    return True


@pytest.fixture
def site(radosgw, monkeypatch):
    for name, value in radosgw.items():
        monkeypatch.setenv(name, value)
    return Site


def permissions(site):
    """Return the prefixes below which the role may get, put, list and delete."""
    calls = {
        "get": lambda part: site.role.get(f"{part}/there"),
        "put": lambda part: site.role.put(f"{part}/new", b"new"),
        "list": lambda part: list(site.role.list(f"{part}/")),
        "delete": site.delete,
    }
    return {
        verb: {part for part in PARTS if allowed(lambda call=call, part=part: call(part))}
        for verb, call in calls.items()
    }


def test_the_function_reads_what_clients_put_and_writes_values_and_nothing_else(site):
    assert permissions(site(policies.of_function)) == {
        "get": {"code", "args", "refs", "results"},
        "put": {"results", "outputs"},
        "list": {"code", "args", "refs", "results"},
        "delete": set(),
    }


def test_a_client_writes_what_functions_read_and_cleans_up(site):
    assert permissions(site(policies.of_user)) == {
        "get": {"results", "outputs", "jobs"},
        "put": {"code", "args", "refs", "jobs"},
        "list": {"code", "args", "refs", "results", "outputs", "jobs", "starts"},
        "delete": {"code", "args", "refs", "results", "outputs", "jobs", "starts"},
    }


def of_driver(settings):
    return policies.of_driver(settings.of_driver)


def test_the_driver_uses_all_that_is_temporary(site):
    temporary = {"code", "args", "refs", "results", "jobs"}
    assert permissions(site(of_driver)) == dict.fromkeys(("get", "put", "list", "delete"), temporary)


def of_published(settings):
    """Of a job that is started by objects of the bucket with values, and writes there, too."""
    other = settings.read[0] if settings.read else "nobodys"
    outputs = f"s3://{settings.bucket}/{PREFIX}/outputs/mine"
    job = Publication("mine", Objects(other, "data/in", ".csv"), "m:f", "", "", outputs)
    return policies.of_published(settings.of_published(job), job)


def test_a_published_job_uses_all_that_is_temporary_and_its_own_code_and_outputs(site):
    temporary = {"code", "args", "refs", "results", "jobs", "starts"}
    here = site(of_published)
    assert permissions(here) == {
        "get": temporary | {"published/mine"},
        "put": temporary,
        "list": temporary | {"published/mine"},
        "delete": temporary,
    }
    assert here.role.put("outputs/mine/start/picture", b"picture")
    assert here.role.get("outputs/mine/start/picture") == b"picture"
    assert [entry.key for entry in here.role.list("outputs/mine/")] == ["outputs/mine/start/picture"]
    with pytest.raises(wrenlite.NotFound):
        here.role.get("outputs/mine/start/missing")
    assert not allowed(lambda: here.role.put("outputs/other", b""))
    assert not allowed(lambda: here.role.delete(["outputs/mine/start/picture"]))


def test_a_published_job_reads_what_starts_it_and_nothing_else_there(site):
    here = site(of_published, grant=("read",))
    for key in ("in/a.csv", "in/a.txt", "out/a.csv"):
        here.other.put(key, b"")
    assert here.role_other.get("in/a.csv") == b""
    with pytest.raises(wrenlite.NotFound):
        here.role_other.get("in/missing.csv")
    assert not allowed(lambda: here.role_other.get("in/a.txt"))
    assert not allowed(lambda: here.role_other.get("out/a.csv"))
    assert not allowed(lambda: here.role_other.put("in/b.csv", b""))
    assert not allowed(lambda: list(here.role_other.list("out/")))


def test_no_role_may_list_a_whole_bucket(site):
    for make in (policies.of_function, policies.of_user, of_driver, of_published):
        here = site(make)
        assert not allowed(
            lambda here=here: list(S3Store(here.bucket, "", session=here.role._session).list(""))
        )


def test_a_missing_blob_is_not_found_and_not_forbidden(site):
    with pytest.raises(wrenlite.NotFound):
        site(policies.of_function).role.get("code/missing")


@pytest.mark.parametrize(
    ("grant", "reads", "writes"), [((), False, False), (("read",), True, False), (("write",), True, True)]
)
def test_other_buckets_need_an_explicit_grant(site, grant, reads, writes):
    here = site(policies.of_function, grant=grant)
    assert allowed(lambda: here.role_other.get("there")) == reads
    assert allowed(lambda: list(here.role_other.list(""))) == reads
    assert allowed(lambda: here.role_other.put("new", b"")) == writes
    assert not allowed(lambda: here.role_other.delete(["there"]))


def test_put_if_absent_does_not_replace_an_existing_blob(site):
    here = site(policies.of_function)
    assert here.role.put("results/job/1", b"value", if_absent=True)
    assert not here.role.put("results/job/1", b"other", if_absent=True)
    assert here.owner.get("results/job/1") == b"value"
