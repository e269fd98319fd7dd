"""The disk that a function sees: its own code and layers, the system, an empty ``/tmp``, and nothing else.

It is read-only but for ``/tmp``, as on Lambda, and has no ``/dev/shm``. Where the system refuses to make
such disks, as in many containers, functions see this machine's disk, and the bed says so.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.aws.bed.pythons import Python

_ENTER = Path(__file__).with_name("enter.py")


class Disks:
    """Makes the disks of sandboxes."""

    def __init__(self, folder: Path, python: Python, shared: tuple[str, ...]) -> None:
        """Find out whether the system lets this process make disks.

        Args:
            folder: an empty folder for files of its own.
            python: an interpreter to try it with.
            shared: folders of this machine that functions see at the same place, and may write to.
        """
        self._root = folder / "root"
        self._root.mkdir(parents=True)
        self._shared = shared
        self.refusal = ""
        """Why functions see this machine's disk; empty where they have disks of their own."""
        program = [python.executable, "-S", "-c", ""]
        tried = subprocess.run(
            self.command({}, python, 1, program), stderr=subprocess.PIPE, text=True, check=False
        )
        if tried.returncode != 0:
            self.refusal = tried.stderr.strip().rpartition("\n")[2] or f"exit code {tried.returncode}"

    def command(
        self, folders: Mapping[str, str], python: Python, tmp_mb: int, program: list[str]
    ) -> list[str]:
        """Return the command that runs a program of a Python on a disk of its own, if there are such disks.

        Args:
            folders: folders of this machine, by where it sees them.
            python: the interpreter.
            tmp_mb: the size of ``/tmp``.
            program: the command.
        """
        if self.refusal:
            return program
        prefix = [] if python.prefix.startswith("/usr") else [(python.prefix, python.prefix)]
        plan = {
            "root": str(self._root),
            "read_only": [*prefix, *folders.items()],
            "writable": [(folder, folder) for folder in self._shared],
            "tmp_mb": tmp_mb,
        }
        return [sys.executable, "-I", "-S", str(_ENTER), json.dumps(plan), *program]

    def seen(self, place: str, folder: Path) -> str:
        """Return where a function finds a folder: at its place, or where it really is without a disk."""
        return str(folder) if self.refusal else place
