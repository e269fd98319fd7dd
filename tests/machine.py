"""The machine that tests run on: programs that may be missing, processes, and threads of wrenlite."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest


def in_ci() -> bool:
    """Return whether ``.ci/run`` has installed everything, so that no test may be skipped."""
    return bool(os.environ.get("CI"))


def skip_if_missing(missing: list[str]) -> None:
    """Skip the test if anything is missing; in continuous integration, fail it.

    Args:
        missing: names of the programs or packages that are not installed.
    """
    if missing:
        (pytest.fail if in_ci() else pytest.skip)(f"not installed: {', '.join(missing)}")


def children_of(pid: int) -> set[int]:
    """Return the ids of the child processes of a process, zombies included."""
    found: set[int] = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            found.update(map(int, (thread / "children").read_text().split()))
    return found


def wait_for_uploads() -> None:
    """Wait for what is put into S3 or deleted there after a job has ended, which no method waits for."""
    for thread in threading.enumerate():
        if "upload" in thread.name:
            thread.join()


def other_python() -> str | None:
    """Return the path of an installed Python of another version than this one, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for minor in range(11, 15):
        if minor == sys.version_info[1]:
            continue
        name = f"python3.{minor}"
        for found in (shutil.which(name), *map(str, pyenv.glob(f"versions/3.{minor}.*/bin/{name}"))):
            if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
                return found
    return None
