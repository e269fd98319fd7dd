"""Fixtures for all tests.

They keep the settings of the machine's user out of every test, and check that no process outlives its test.
"""

import functools
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import botocore.loaders
import hypothesis
import pytest

import wrenlite
from tests.machine import children_of, skip_if_missing
from wrenlite.deploy import code_zip

hypothesis.settings.register_profile("untimed", deadline=None)  # no test fails because the machine is busy
hypothesis.settings.load_profile("untimed")

# All sessions of botocore share what they read about each service of AWS. Without this, it takes twice
# as long to make an executor for AWS.
botocore.loaders.create_loader = functools.cache(botocore.loaders.create_loader)
# The same bytes whenever they are made, which takes half a second.
code_zip.function_zip = functools.cache(code_zip.function_zip)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep the modules that pytest compiles, even if nothing else may be kept: compiling takes it 10 s."""
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    yield
    sys.dont_write_bytecode = kept


def pytest_collection_modifyitems(items):
    for item in items:
        if "landsat_archive" in getattr(item, "fixturenames", ()):  # which is slow to make
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch, tmp_path_factory):
    for name in list(os.environ):
        if name.startswith("WRENLITE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WRENLITE_CONFIG", "")
    monkeypatch.setenv("WRENLITE_JOURNAL", str(tmp_path_factory.getbasetemp() / "journal"))
    monkeypatch.setenv("WRENLITE_CACHE", str(tmp_path_factory.getbasetemp() / "kept"))


_servers: set[int] = set()
"""Ids of the server processes that may outlive a test: they serve a whole session or module."""


@pytest.fixture(autouse=True)
def _no_process_left():
    before = children_of(os.getpid())
    yield
    deadline = time.monotonic() + 20  # an executor that was not shut down ends in the background
    while (left := children_of(os.getpid()) - before - _servers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, f"processes left behind: {left}"


@pytest.fixture(scope="session")
def servers():
    """The set of process ids to which a session or module fixture adds its own server."""
    return _servers


_LAYER_PACKAGES = (
    "numpy,PIL,rasterio,affine,attr,attrs,certifi,click,cligj,pyparsing,"
    "py,pytest,_pytest,pluggy,iniconfig,packaging,pygments,joblib"
)
"""Packages of the function's layer. Test modules travel to its workers, where they import pytest."""


@pytest.fixture(scope="session")
def _shared(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def shared_path(_shared):
    """A folder for this test that tasks see on every backend. On the bed they see no other one of ours."""
    return Path(tempfile.mkdtemp(dir=_shared))


@pytest.fixture
def runs(shared_path):
    """A counter of the runs of each task. Tasks write to the file ``runs.path``."""
    from tests.aws.tasks import Runs

    return Runs(shared_path / "runs")


@pytest.fixture(scope="session")
def _bed(_shared):
    from tests.aws.bed.remote import RemoteBed

    options = "--timeout", "20", "--memory", "512", "--with", _LAYER_PACKAGES, "--share", str(_shared)
    made = RemoteBed(*options)
    _servers.add(made.pid)
    yield made
    made.close()


@pytest.fixture
def bed(_bed, monkeypatch):
    """AWS on loopback with the function deployed. Whatever connects to AWS in a test connects to it."""
    _bed.reset()
    for name, value in _bed.env.items():
        monkeypatch.setenv(name, value)
    return _bed


@pytest.fixture(scope="session")
def radosgw(tmp_path_factory):
    """A real S3 server on loopback; gives its endpoint and keys as environment variables."""
    from tests.aws.radosgw import Radosgw, missing_programs

    skip_if_missing(missing_programs())
    with Radosgw(tmp_path_factory.mktemp("radosgw")) as server:
        _servers.update(server.pids)
        yield server.env


@pytest.fixture(scope="session")
def landsat_archive(_shared):
    """The whole synthetic archive of Landsat scenes."""
    from wrenlite.gallery.ndvi_survey import make_archive

    with pytest.MonkeyPatch.context() as patch, wrenlite.Executor.local(2, progress=False) as executor:
        patch.setenv("XDG_CACHE_HOME", tempfile.mkdtemp(dir=_shared))
        return make_archive(executor)


@pytest.fixture
def landsat_cache(landsat_archive, monkeypatch):
    """A user's cache folder that holds the synthetic archive; gives the folder of the archive."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(landsat_archive.parents[1]))
    return landsat_archive


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index in a folder: small wheels named like a layer's packages, and ``in-the-layer``."""
    from tests.aws.wheels import fill_index

    fill_index(tmp_path / "index")
    (tmp_path / "uv.toml").write_text(f'[pip]\nno-index = true\nfind-links = ["{tmp_path / "index"}"]\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "index"


@pytest.fixture(params=["inline", "process", "aws"])
def executor(request):
    """An executor on each backend."""
    if request.param == "aws":
        request.getfixturevalue("bed")
    makers = {
        "inline": wrenlite.Executor.inline,
        "process": lambda: wrenlite.Executor.local(2, progress=False),
        "aws": lambda: wrenlite.Executor.aws(max_concurrency=4, progress=False),
    }
    made = makers[request.param]()
    yield made
    made.shutdown(cancel_futures=True)  # a task of a test that failed may never end


@pytest.fixture
def pool():
    """Two worker processes."""
    made = wrenlite.Executor.local(2, progress=False)
    yield made
    made.shutdown(cancel_futures=True)  # a task of a test that failed may never end


@pytest.fixture
def script(tmp_path):
    """A function that writes a script into a folder of its own and runs it there, as a user would."""

    def run(text: str, *, timeout: float = 60, env=None, **options) -> subprocess.CompletedProcess:
        file = tmp_path / "script.py"
        file.write_text(textwrap.dedent(text))
        # Without progress lines, which a job prints on a slow machine only.
        env = env or {**os.environ, "WRENLITE_PROGRESS": "false"}
        return subprocess.run(
            [sys.executable, str(file)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=env,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def start_script(tmp_path):
    """A function that starts a script and returns its process, whose stdout the test can read.

    Processes that still run at the end of the test are killed.
    """
    started = []

    def start(text: str) -> subprocess.Popen:
        file = tmp_path / "script.py"
        file.write_text(textwrap.dedent(text))
        process = subprocess.Popen(
            [sys.executable, "-u", str(file)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
