"""The least that the function's role needs, on a server that enforces it: Ceph's radosgw, through STS."""

import json
import uuid

import pytest
from botocore.session import Session

import wrenlite
from wrenlite.aws.login import Login
from wrenlite.aws.s3 import S3Store

PREFIX = "wrenlite"


def role_statements(bucket):
    """What the design grants the function: it reads what clients put, and writes values."""
    place = f"arn:aws:s3:::{bucket}"
    read = [f"{place}/{PREFIX}/{part}/*" for part in ("code", "args", "refs", "results")]
    write = [f"{place}/{PREFIX}/{part}/*" for part in ("results", "outputs")]
    granted = [("s3:GetObject", read), ("s3:PutObject", write), ("s3:ListBucket", [place])]
    return [{"Effect": "Allow", "Action": [action], "Resource": resources} for action, resources in granted]


def policy(*statements):
    # radosgw takes no spaces in it.
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


@pytest.fixture
def stores(radosgw, monkeypatch):
    """The same place in a bucket, seen by its owner and by who has assumed the function's role."""
    for name, value in radosgw.items():
        monkeypatch.setenv(name, value)
    session = Session()
    bucket, role = f"policy-{uuid.uuid4().hex}", f"role-{uuid.uuid4().hex[:8]}"
    session.create_client("s3").create_bucket(Bucket=bucket)
    iam = session.create_client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": ["arn:aws:iam:::user/test"]},
        "Action": ["sts:AssumeRole"],
    }
    made = iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy(trust))
    iam.put_role_policy(RoleName=role, PolicyName="store", PolicyDocument=policy(*role_statements(bucket)))
    sts = session.create_client("sts")
    keys = sts.assume_role(RoleArn=made["Role"]["Arn"], RoleSessionName="function")["Credentials"]
    assumed = Session()
    assumed.set_credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    return S3Store(bucket, PREFIX), S3Store(bucket, PREFIX, login=Login(lambda: assumed))


def test_the_role_reads_code_and_writes_values_and_nothing_else(stores):
    owner, role = stores
    owner.put("code/abc", b"function")
    owner.put("secret/key", b"no")
    assert role.get("code/abc") == b"function"
    assert role.put("results/job/1", b"value", if_absent=True)
    assert not role.put("results/job/1", b"other", if_absent=True)
    assert owner.get("results/job/1") == b"value"
    with pytest.raises(wrenlite.NotFound):
        role.get("code/missing")
    for action, call in {
        "s3:PutObject": lambda: role.put("code/abc", b"changed"),
        "s3:GetObject": lambda: role.get("secret/key"),
        "s3:DeleteObject": lambda: role.delete(["results/job/1"]),
    }.items():
        with pytest.raises(wrenlite.AccessDenied, match=f'"Action": "{action}"'):
            call()
