"""Checks on a real AWS account of what ``wrenlite-setup`` makes there, and of doubts that only AWS settles.

Each test deploys a function of its own, ``wrenlite-live-setup``, and deletes it. That takes credentials of an
administrator, and some minutes. Figures are printed, and are in the report of ``pytest --junit-xml``.
"""

import contextlib
import json
import os
import time

import botocore.session
import pytest

import wrenlite
from tests.aws.deployments import Made
from wrenlite import cost
from wrenlite.config import Config
from wrenlite.deploy import packages, policies
from wrenlite.deploy.archives import fetch_s

pytestmark = pytest.mark.aws

FUNCTION = "wrenlite-live-setup"
NEW_ROLE_S = 15
"""Seconds that a new role, or a new policy, takes until it holds everywhere."""


@pytest.fixture
def region(live):
    return Config.load().region or botocore.session.Session().get_config_variable("region")


@pytest.fixture
def clients(region):
    """Clients of AWS, by the name of the service."""
    session = botocore.session.Session()
    return {
        name: session.create_client(name, region_name=region) for name in ("ec2", "iam", "kms", "s3", "sts")
    }


@pytest.fixture
def made(region):
    one = Made(FUNCTION, region, timeout_s=60, packages=())
    yield one
    one.settings = {}
    one.destroy()
    assert one.deployment().existing_resources() == []


def executor(made):
    bucket = made.deployment().settings.bucket
    return wrenlite.Executor.aws(function=FUNCTION, bucket=bucket, max_concurrency=5, progress=False)


def run(made):
    made.run()
    time.sleep(NEW_ROLE_S)


def test_a_function_for_arm64_works(made, region):
    """Settles whether the wheels that uv chooses for arm64 load on Lambda, and what such a task costs."""
    made.settings |= {"architecture": "arm64", "packages": ("numpy", "pillow")}
    run(made)

    def look(n):
        import platform

        import numpy as np
        from PIL import Image

        return platform.machine(), float(np.linalg.det(np.eye(n))), Image.new("L", (n, n)).size

    with executor(made) as on_lambda:
        assert on_lambda.map(look, [3]).results(timeout=120) == [("aarch64", 1.0, (3, 3))]
        expected = cost.prices(region, "arm64", memory_mb=1769, limit_s=60)
        assert on_lambda.backend.prices == expected


@pytest.fixture
def network(clients):
    """A subnet of the account's default VPC, and its default security group."""
    only_default = [{"Name": "default-for-az", "Values": ["true"]}]
    subnets = clients["ec2"].describe_subnets(Filters=only_default)["Subnets"]
    if not subnets:
        pytest.skip("the account has no default VPC in this region")
    chosen = [
        {"Name": "vpc-id", "Values": [subnets[0]["VpcId"]]},
        {"Name": "group-name", "Values": ["default"]},
    ]
    (group,) = clients["ec2"].describe_security_groups(Filters=chosen)["SecurityGroups"]
    return subnets[0]["SubnetId"], group["GroupId"]


def ask_ec2():
    """Return a function that travels by value, and that returns how EC2 refuses it."""

    def ask(n):
        import botocore.session
        from botocore.exceptions import ClientError

        try:
            botocore.session.get_session().create_client("ec2").describe_subnets()
        except ClientError as error:
            return error.response["Error"]["Code"], error.response["Error"]["Message"]
        return "allowed", ""

    return ask


def test_a_function_goes_into_a_vpc_and_leaves_it_and_its_code_may_make_no_interfaces(made, network):
    """Settles whether the deny for code leaves Lambda itself alone, and whether empty lists leave a VPC."""
    run(made)
    subnet, group = network
    made.settings |= {"subnets": (subnet,), "security_groups": (group,)}
    steps = made.deployment().plan()
    role = next(number for number, step in enumerate(steps, 1) if step.resource.kind == "role")
    made.run(role)  # the function is still outside of the VPC, from where it can reach EC2
    deadline, refusal = time.monotonic() + 120, ("", "")
    with executor(made) as on_lambda:
        while "explicit deny" not in refusal[1] and time.monotonic() < deadline:
            time.sleep(5)
            (refusal,) = on_lambda.map(ask_ec2(), [0]).results(timeout=60)
    assert refusal[0] == "UnauthorizedOperation"
    assert "explicit deny" in refusal[1]

    made.run()
    assert made.steps() == {}
    with executor(made) as on_lambda:
        assert on_lambda.map(abs, [-7]).results(timeout=300) == [7], "the code is in the request, not in S3"
    made.settings = {"subnets": ()}
    made.run()
    made.settings = {}
    assert made.steps() == {}, "Lambda has taken the empty lists"
    assert made.deployment().settings.subnets == ()
    with executor(made) as on_lambda:
        assert on_lambda.map(len, [b"x" * 8_000_000]).results(timeout=120) == [8_000_000]


@pytest.fixture
def key(clients, region):
    """A KMS key with an alias, which is deleted after seven days; gives the ARNs of both."""
    made = clients["kms"].create_key(Description="wrenlite: tests/live")["KeyMetadata"]["Arn"]
    alias = f"alias/wrenlite-live-{os.urandom(4).hex()}"
    try:
        clients["kms"].create_alias(AliasName=alias, TargetKeyId=made)
        yield made, f"{made.partition(':key/')[0]}:{alias}"
    finally:
        with contextlib.suppress(clients["kms"].exceptions.NotFoundException):
            clients["kms"].delete_alias(AliasName=alias)
        clients["kms"].schedule_key_deletion(KeyId=made, PendingWindowInDays=7)


@pytest.fixture
def encrypted(clients, region):
    """A function that creates a bucket under a key, which is deleted at the end with its objects."""
    s3, names = clients["s3"], []

    def make(key):
        name = f"wrenlite-live-{os.urandom(8).hex()}"
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **place)
        names.append(name)
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=rules)
        return name

    yield make
    for name in names:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            for entry in page.get("Contents", ()):
                s3.delete_object(Bucket=name, Key=entry["Key"])
        s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize("by", ["its ARN", "its alias"])
def test_the_role_may_use_the_key_of_a_bucket_through_s3(made, encrypted, key, by):
    """Settles whether the conditions ``kms:ViaService`` and ``kms:ResourceAliases`` match as they should."""
    arn, alias = key
    made.settings["bucket"] = encrypted(arn if by == "its ARN" else alias)
    run(made)
    with executor(made) as on_lambda:
        assert on_lambda.map(len, [b"x" * 8_000_000]).results(timeout=120) == [8_000_000], "it reads"
        values = on_lambda.map(lambda n: b"x" * n, [8_000_000]).results(timeout=120)
        assert len(values[0]) == 8_000_000, "it writes"


@pytest.fixture
def as_deployer(clients, region, monkeypatch):
    """A deployment by credentials that have the policy for deployers, and nothing else."""
    iam, name = clients["iam"], f"wrenlite-live-{os.urandom(4).hex()}"
    tags = ("team=geo", "for=maps")
    settings = Made(FUNCTION, region, packages=(), tags=tags).deployment().settings
    account = clients["sts"].get_caller_identity()["Account"]
    anybody = {"AWS": f"arn:{settings.partition}:iam::{account}:root"}
    trust = {"Effect": "Allow", "Principal": anybody, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    policy = json.dumps(policies.of_deployer(settings), separators=(",", ":"))
    iam.put_role_policy(RoleName=name, PolicyName="deployer", PolicyDocument=policy)
    try:
        time.sleep(NEW_ROLE_S)
        given = clients["sts"].assume_role(RoleArn=role, RoleSessionName="live")["Credentials"]
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", given["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", given["SecretAccessKey"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", given["SessionToken"])
        one = Made(FUNCTION, region, timeout_s=60, packages=(), tags=tags)
        yield one
        one.settings = {}
        one.destroy()
        assert one.deployment().existing_resources() == []
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="deployer")
        iam.delete_role(RoleName=name)


def test_the_policy_for_deployers_is_enough(as_deployer):
    """Settles which actions S3 and Lambda ask for where tags are set, changed and removed."""
    as_deployer.run()
    as_deployer.settings |= {"tags": ("team=sea",), "memory_mb": 512}
    as_deployer.run()
    assert ("s3", "PutBucketTagging") in as_deployer.operations
    as_deployer.settings = {}
    assert as_deployer.steps() == {}
    assert as_deployer.deployment().settings.tags == ("team=sea",)


def test_archives_are_fetched_at_the_pace_that_a_plan_assumes(made, monkeypatch, record_property):
    """Settles how long a cold start takes with packages that do not fit into the layer."""
    monkeypatch.setattr(packages, "LAYER_BYTES", 10_000_000)
    made.settings |= {"packages": ("scipy",), "timeout_s": 120}
    run(made)
    size_bytes = made.deployment().observe("archives").resource.size_bytes

    def fetch(n):
        import sys

        import scipy.linalg

        (finder,) = [each for each in sys.meta_path if type(each).__name__ == "ArchiveFinder"]
        return finder.waited_s, float(scipy.linalg.det([[1.0]]))

    with executor(made) as on_lambda:
        ((waited_s, value),) = on_lambda.map(fetch, [0]).results(timeout=120)
    assert value == 1.0
    expected_s = fetch_s(size_bytes, made.deployment().settings.memory_mb)
    record_property("archives_mb", round(size_bytes / 1e6, 1))
    record_property("archives_mb_per_s", round(size_bytes / 1e6 / waited_s, 1))
    print(f"{size_bytes / 1e6:.1f} MB of archives in {waited_s:.1f} s; a plan expects {expected_s:.1f} s")
    assert waited_s < 2 * expected_s
