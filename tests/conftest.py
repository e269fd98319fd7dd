"""Fixtures for every test: settings of the machine's user never reach one, and no worker outlives one."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import wrenlite


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch):
    for name in list(os.environ):
        if name.startswith("WRENLITE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WRENLITE_CONFIG", "")


def children_of(pid: int) -> set[int]:
    """The processes whose parent this is, zombies included."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.add(int(folder.name))
    return found


@pytest.fixture(autouse=True)
def _no_process_left():
    before = children_of(os.getpid())
    yield
    deadline = time.monotonic() + 2  # an executor that nobody shut down ends in the background
    while (left := children_of(os.getpid()) - before) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, f"processes left behind: {left}"


@pytest.fixture(params=["inline", "process"])
def executor(request):
    """An executor on each backend."""
    made = wrenlite.Executor.inline() if request.param == "inline" else wrenlite.Executor.local(2)
    with made:
        yield made


@pytest.fixture
def pool():
    """Two worker processes."""
    with wrenlite.Executor.local(2, progress=False) as made:
        yield made


@pytest.fixture
def script(tmp_path):
    """Runs a script of its own, from a folder of its own, as a user would."""

    def run(text: str, *, timeout: float = 60, **options) -> subprocess.CompletedProcess:
        file = tmp_path / "script.py"
        file.write_text(textwrap.dedent(text))
        return subprocess.run(
            [sys.executable, str(file)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def start_script(tmp_path):
    """Starts such a script; gives the process, whose stdout the test can read. Killed at the end."""
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
