"""Fixtures for failures on Lambda and on the way to it: executors and functions on the test bed."""

import io
import zipfile
from dataclasses import replace

import botocore.session
import pytest

import wrenlite
from tests.aws.tasks import Runs
from wrenlite.backends.aws import payload
from wrenlite.backends.aws.connect import connect
from wrenlite.backends.aws.lost_reply import ReplyTimeouts
from wrenlite.config import Config
from wrenlite.deploy.code_zip import HANDLER, function_zip


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
def runs(shared_path):
    """A counter of the runs of each task. Tasks write to the file ``runs.path``."""
    return Runs(shared_path / "runs")


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
            Code={"ZipFile": _with_files(function_zip(), files or {})},
            Timeout=timeout,
            MemorySize=memory,
        )
        made.append((client, name))
        return name

    made = []
    yield make
    for client, name in made:
        client.delete_function(FunctionName=name)


def _with_files(archive, files):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            if not (files and name.endswith(".pyc")):  # it would be taken in place of the replaced sources
                new.writestr(name, files.get(name, old.read(name)))
    return out.getvalue()
