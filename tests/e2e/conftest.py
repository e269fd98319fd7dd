"""Fixtures for what a user sees from end to end."""

import io
import zipfile

import pytest

import wrenlite.deploy.deployment as deploying
from tests.aws.deployments import Made
from wrenlite.serialize.zips import make_zip


@pytest.fixture
def made(bed, index):
    """A deployment on the bed whose settings a test changes."""
    one = Made()
    yield one
    one.settings = {}
    one.destroy()
    assert one.deployment().existing_resources() == []


@pytest.fixture
def code(monkeypatch):
    """A function that adds a module with a value to the zip of later deployments."""
    original = deploying.function_zip

    def put(value):
        with zipfile.ZipFile(io.BytesIO(original())) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        changed = make_zip({**files, "of_the_zip.py": f"VALUE = {value!r}\n".encode()}, compress=False)
        monkeypatch.setattr(deploying, "function_zip", lambda: changed)

    return put
