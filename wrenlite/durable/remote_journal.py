"""The journal of a job that the driver function keeps: written there, and read here.

The keeper on Lambda writes its journal into a folder of its sandbox, and copies new lines into the table of
the job. The machine that has detached the job reads them there, and replaces its own files with them.
"""

from __future__ import annotations

import os
from pathlib import Path

from wrenlite.backends.aws.errors import is_refusal
from wrenlite.backoff import Patience
from wrenlite.config import Config
from wrenlite.durable import places, tokens
from wrenlite.durable.journal import journal_at, line
from wrenlite.durable.manifest import Manifest
from wrenlite.durable.place import Place
from wrenlite.errors import IntegrityError, JobNotFound, WrenliteError

FILES = (places.EVENTS, places.OUTPUT)
_PATIENCE = Patience(total_s=2.0, least_attempts=1)
"""How long a list of jobs waits for a bucket."""
CALL = "journal"
"""The name of the call in the table whose arguments are new lines of the files."""


class Shipped:
    """What of the journal in a folder was read."""

    def __init__(self, folder: Path) -> None:
        """Begin at the first lines.

        Args:
            folder: of the journal, with one job.
        """
        self._folder = folder
        self._positions = dict.fromkeys(FILES, 0)

    def new_lines(self) -> tuple[bytes, ...]:
        """Return what was written into each of the files since the last time."""
        found = []
        for name in FILES:
            lines = b""
            for path in places.job_folders(self._folder)[:1]:
                if (path / name).exists():
                    with open(path / name, "rb") as file:
                        file.seek(self._positions[name])
                        lines = file.read()
            lines = lines[: lines.rfind(b"\n") + 1]
            self._positions[name] += len(lines)
            found.append(lines)
        return tuple(found)


def begin(job: Manifest) -> tuple[bytes, ...]:
    """Have the journal of this machine name a job that is kept elsewhere from now on.

    Args:
        job: the job.

    Returns:
        What each of the files has of the job so far, where it ran here before; empty: there is none.
    """
    folder = places.journal_folder(Config.load().journal)
    if folder is None:
        return ()
    journal_at(folder).flush()
    for path in places.job_folders(folder):
        if path.name.endswith(f"-{job.id}"):
            return tuple((path / name).read_bytes() if (path / name).exists() else b"" for name in FILES)
    path = places.new_job_folder(folder, job.id, job.submitted)
    header = {"id": job.id, "name": job.name, "backend": job.backend, "tasks": job.tasks, "program": ""}
    (path / places.EVENTS).write_bytes(line({"kind": "submitted", "at": round(job.submitted, 6), **header}))
    return ()


def fetch(place: Place, job: Path) -> None:
    """Write what a keeper on Lambda has left of its journal into the folder of the job in the journal here.

    Args:
        place: where the job is kept.
        job: its folder in the journal.

    Raises:
        WrenliteError: the bucket cannot be read.
        OSError: the folder cannot be written to.
    """
    follower, written = place.follower(), [bytearray() for _ in FILES]
    try:
        for name, _, *lines in follower.calls():
            if name == CALL:
                for whole, new in zip(written, lines, strict=False):  # none: no journal was kept there
                    whole += new
    finally:
        follower.close()
    for name, whole in zip(FILES, written, strict=True):
        if whole:
            temporary = job / f".{name}"
            temporary.write_bytes(whole)
            os.replace(temporary, job / name)


class Elsewhere:
    """Brings the journal of jobs up to date that the driver function keeps, while that can be reached."""

    def __init__(self) -> None:
        """Begin to ask."""
        self._reachable = True

    def state(self, job: str, path: Path) -> str:
        """Bring the journal of a job up to date that has no end here, and return its state.

        Args:
            job: its id.
            path: its folder in the journal.

        Returns:
            ``running``, ``lost``, or ``unknown``: what keeps it cannot be asked. Empty: it is no such job.
        """
        if not tokens.is_on_lambda(job):
            return ""
        if not self._reachable:
            return "unknown"
        try:
            place = tokens.find_place(job, _PATIENCE)
            fetch(place, path)
            return "running" if place.is_kept() else "lost"
        except (WrenliteError, OSError) as error:
            self._reachable = is_refusal(error) or isinstance(error, IntegrityError | JobNotFound)
            return "unknown"
