"""What tests need of the machine and find on it: programs that may be missing, and processes."""

import os
from pathlib import Path

import pytest


def in_ci() -> bool:
    """Where ``.ci/run`` has installed everything, so that nothing may be skipped."""
    return bool(os.environ.get("CI"))


def need(missing: list[str]) -> None:
    """Skip the test, or in continuous integration fail it, where something is missing."""
    if missing:
        (pytest.fail if in_ci() else pytest.skip)(f"not installed: {', '.join(missing)}")


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
