"""Where the journal is, which of its programs still run, and which jobs it forgets.

::

    <folder>/jobs/<time>-<job>/events.jsonl   what happened, one JSON object per line
                               output.jsonl   what tasks printed, where they did
    <folder>/programs/<id>                    locked by the program of that id while it runs
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

OFF = "off"
"""The setting ``journal`` with which nothing is written."""
EVENTS, OUTPUT = "events.jsonl", "output.jsonl"
"""The files of one job."""
MOST_JOBS = 1_000
"""The newest jobs that are kept."""
MOST_BYTES = 256 << 20
"""Bytes of all jobs that are kept."""
LONGEST_S = 90 * 86_400.0
"""Seconds for which a job is kept."""
_MINIMUM_AGE_S = 60.0


def journal_folder(setting: str | None) -> Path | None:
    """Return the folder of the journal; None: there is none.

    Args:
        setting: the setting ``journal``.
    """
    if setting == OFF:
        return None
    if setting:
        return Path(setting).expanduser().absolute()
    import platformdirs

    return platformdirs.user_state_path("wrenlite")


def new_job_folder(folder: Path, job: str, now: float) -> Path:
    """Make the folder of a new job, which only this user can read. Its name sorts by time.

    Raises:
        OSError: it cannot be made.
    """
    made = folder / "jobs" / f"{_time_name(now)}-{job}"
    with contextlib.suppress(FileNotFoundError):
        made.mkdir(0o700, exist_ok=True)  # the next keeper of a job goes on with its events
        return made
    _make_private(folder, "jobs")
    made.mkdir(0o700)
    return made


def _make_private(folder: Path, name: str) -> Path:
    """Make a folder in the journal, and the journal itself, which only this user can read."""
    for each in (folder, folder / name):
        each.mkdir(0o700, parents=True, exist_ok=True)
    return folder / name


def _time_name(at: float) -> str:
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(at))


def job_folders(folder: Path) -> list[Path]:
    """Return the folders of all jobs, the oldest first."""
    try:
        names = sorted(os.listdir(folder / "jobs"))
    except OSError:
        return []
    return [folder / "jobs" / name for name in names]


class Program:
    """A program that writes to the journal. Others can see whether it still runs."""

    def __init__(self, folder: Path) -> None:
        """Note that this process runs.

        Raises:
            OSError: the folder cannot be written to.
        """
        self.id = f"{os.getpid()}-{os.urandom(4).hex()}"
        """Its name in the journal: a process id alone may be used again."""
        self._lock: IO[bytes] | None = None
        if fcntl is not None:
            self._lock = open(_make_private(folder, "programs") / self.id, "wb")  # noqa: SIM115  # open as long as the program runs
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def forget(self) -> None:
        """Let go of the lock in a forked process: it belongs to the parent."""
        if self._lock is not None:
            self._lock.close()


def is_running(folder: Path, program: str) -> bool:
    """Return whether a program still runs, as far as this machine knows."""
    return is_locked(folder / "programs" / program)


def is_locked(path: Path) -> bool:
    """Return whether a process that runs has locked a file."""
    if fcntl is None:
        return False
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # it has ended, and its file is deleted
        return False
    return False


def prune(folder: Path, now: float, *, weigh: bool = True) -> int:
    """Delete the oldest jobs where there are too many, and what ended programs have left.

    Jobs whose program runs stay, however old they are.

    Args:
        folder: the folder of the journal.
        now: seconds since the epoch.
        weigh: whether the bytes of all files are counted, too. That takes 10 ms for 1,000 jobs.

    Returns:
        The number of jobs that were deleted.
    """
    _remove_ended_programs(folder, now)
    found = job_folders(folder)
    sizes = {path: _bytes_in(path) for path in found} if weigh else {}
    total, deleted = sum(sizes.values()), 0
    oldest = _time_name(now - LONGEST_S)
    for number, path in enumerate(found):
        if len(found) - number <= MOST_JOBS and total <= MOST_BYTES and path.name >= oldest:
            break
        if not _is_open(folder, path):
            shutil.rmtree(path, ignore_errors=True)
            total -= sizes.get(path, 0)
            deleted += 1
    return deleted


def read_header(job: Path) -> dict[str, Any]:
    """Return the first event of a job.

    Args:
        job: the folder of the job.

    Raises:
        OSError: there is no file of events. ValueError: the line is damaged.
    """
    with open(job / EVENTS, "rb") as file:
        header: dict[str, Any] = json.loads(file.readline())
    return header


def _is_open(folder: Path, job: Path) -> bool:
    try:
        return is_running(folder, str(read_header(job)["program"]))
    except (OSError, ValueError, KeyError, TypeError):  # nothing can be read there
        return False


def _remove_ended_programs(folder: Path, now: float) -> None:
    for entry in _files(folder / "programs"):
        with contextlib.suppress(OSError):
            # A younger program may not have locked its file yet.
            if now - entry.stat().st_mtime > _MINIMUM_AGE_S and not is_running(folder, entry.name):
                os.unlink(entry)


def _files(path: Path) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        yield from entries


def _bytes_in(path: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(entry.stat().st_size for entry in _files(path))
    return 0
