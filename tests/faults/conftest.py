"""Fixtures for failures on Lambda and on the way to it: executors and functions on the test bed."""

import io
import json
import zipfile
from dataclasses import replace

import botocore.session
import pytest

import wrenlite
from wrenlite.backends.aws import payload
from wrenlite.backends.aws.connect import connect
from wrenlite.backends.aws.lost_reply import ReplyTimeouts
from wrenlite.config import Config
from wrenlite.deploy.code_zip import HANDLER, function_zip
from wrenlite.durable import bucket
from wrenlite.durable.lease import Times

_OFTEN = Times(renew_s=1.0, lease_s=3.0, patience_s=8.0, cancel_s=0.3, gather_s=0.1, margin_s=2.0)


@pytest.fixture
def connected(bed):
    """A function that makes executors on the bed with short pauses."""
    made = []

    def make(
        begun_s=0.3,
        response_margin_s=30.0,
        backoff_s=0.002,
        outage_s=1.0,
        cancel_interval_s=10.0,
        **settings,
    ):
        settings = {"backend": "aws", "max_concurrency": 4, **settings}
        timeouts = ReplyTimeouts(
            begun_s=begun_s, response_margin_s=response_margin_s, network_s=0.3, first_pause_s=0.05
        )
        backend = connect(Config.load(**settings), timeouts)
        batching = replace(backend.batching, backoff_s=backoff_s, outage_s=outage_s)
        limits = backend.limits._replace(cancel_interval_s=cancel_interval_s)
        executor = wrenlite.Executor(replace(backend, batching=batching, limits=limits))
        made.append(executor)
        return executor

    yield make
    for executor in made:
        executor.shutdown(cancel_futures=True)


@pytest.fixture
def aws(connected):
    return connected()


@pytest.fixture
def deploy(bed):
    """A function that deploys another Lambda function to the bed, with some files of the zip replaced."""

    def make(name, *, files=None, timeout=20, memory=512, runtime=None):
        session = botocore.session.Session()
        client = session.create_client("lambda")
        own = payload.versions()["python"]
        client.create_function(
            FunctionName=name,
            Runtime=runtime or f"python{own}",
            Role="arn:aws:iam::123456789012:role/wrenlite-us-east-1",
            Handler=HANDLER,
            Code={"ZipFile": _with_files(function_zip(), files)} if files else bed.code,
            Timeout=timeout,
            MemorySize=memory,
        )
        made.append((client, name))
        return name

    made = []
    yield make
    for client, name in made:
        client.delete_function(FunctionName=name)


@pytest.fixture
def driven(bed, monkeypatch):
    """An executor on a function with a driver. The driver has to hand over every ten seconds."""
    monkeypatch.setattr(bucket, "TIMES", _OFTEN)
    client = botocore.session.Session().create_client("lambda")
    python = f"python{payload.versions()['python']}"
    role = "arn:aws:iam::123456789012:role/wrenlite-us-east-1"
    common = {"Runtime": python, "Role": role, "MemorySize": 512, "Code": bed.code}
    client.create_function(
        FunctionName="kept-driver", Handler="wrenlite.durable.driver.handler", Timeout=10, **common
    )
    version = client.publish_version(FunctionName="kept-driver")["Version"]
    client.create_alias(FunctionName="kept-driver", Name="d-1", FunctionVersion=version)
    environment = {"Variables": {"WRENLITE_SETUP": json.dumps({"driver": ["d-1"]})}}
    client.create_function(
        FunctionName="kept", Handler=HANDLER, Timeout=60, Environment=environment, **common
    )
    with wrenlite.Executor.aws(function="kept", max_concurrency=4, progress=False) as executor:
        yield executor
    for name in ("kept", "kept-driver"):
        client.delete_function(FunctionName=name)


def _with_files(archive, files):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            if not name.endswith(".pyc"):  # it would be taken in place of the replaced sources
                new.writestr(name, files.get(name, old.read(name)))
    return out.getvalue()
