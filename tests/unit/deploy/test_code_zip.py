"""The zip of the function: what is in it, and its byte code."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from wrenlite.deploy.code_zip import function_zip

ROOT = Path(__file__).parents[3]
PROGRAM = """
import hashlib, random, sys
for name in sys.argv[1:]:  # what else refers to names and constants differs between processes
    __import__(name)
from wrenlite.deploy.code_zip import function_zip
print(hashlib.sha256(function_zip()).hexdigest())
"""


@pytest.fixture
def unpacked(tmp_path):
    """The zip, unpacked as Lambda does it."""
    with zipfile.ZipFile(io.BytesIO(function_zip())) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def run(folder, program):
    command = [
        sys.executable,
        "-S",
        "-P",
        "-c",
        f"import sys; sys.path.insert(0, {str(folder)!r}); {program}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={}, timeout=60)
    return done.stdout.split()


def test_the_zip_holds_what_workers_need_and_each_source_once_more_as_byte_code(unpacked):
    assert sorted(path.name for path in unpacked.iterdir() if "dist-info" not in path.name) == [
        "__pycache__",
        "cloudpickle",
        "handler.py",
        "wrenlite",
    ]
    rooms = {path.name for path in (unpacked / "wrenlite").iterdir()}
    assert {"gallery", "interop", "worker"} <= rooms
    assert not rooms & {"deploy", "display", "cli.py", "__main__.py"}
    sources = {str(path.with_suffix("")) for path in unpacked.rglob("*.py")}
    tag = sys.implementation.cache_tag
    compiled = {
        str(path.parent.parent / path.name.removesuffix(f".{tag}.pyc")) for path in unpacked.rglob("*.pyc")
    }
    assert compiled == sources


def test_the_zip_does_not_depend_on_what_its_maker_has_imported(tmp_path):
    digests = set()
    for modules in (
        (),
        ("wrenlite.executor", "wrenlite.display.html", "wrenlite.worker.main", "pickletools"),
    ):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(len(modules))}
        command = [sys.executable, "-c", PROGRAM, *modules]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=tmp_path)
        digests.add(done.stdout)
    assert len(digests) == 1


def test_byte_code_is_used_whatever_the_times_of_the_sources_are(unpacked):
    for path in unpacked.rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"wrenlite", b"$"))  # which no Python compiles
    program = "import wrenlite.worker.main as m; print(m.__cached__, m.main.__code__.co_filename)"
    cached, file = run(unpacked, program)
    assert cached == f"{unpacked}/wrenlite/worker/__pycache__/main.{sys.implementation.cache_tag}.pyc"
    assert file == f"{unpacked}/wrenlite/worker/main.py"


def test_a_handler_starts_without_what_only_some_requests_need(unpacked):
    names = "botocore boto3 importlib.metadata email zipfile cloudpickle logging wrenlite.executor"
    program = "import wrenlite.backends.aws.sandbox, wrenlite.backends.aws.payload as payload; "
    program += f"payload.versions(); print(*[name for name in {names.split()!r} if name in sys.modules])"
    assert run(unpacked, program) == []
