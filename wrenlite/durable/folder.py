"""``Folder``: a detached job of this machine, kept in a folder, with a keeper in a process of its own.

::

    <journal>/detached/<job>/manifest      items, function, options, backend: written once
                             table-0 …     what happened to its tasks, one file for each keeper
                             cancel        the tasks that somebody has cancelled, a line for each time
                             store/        values and objects of local workers
                             keeper.lock   locked by the keeper while it runs
                             keeper.log    what the keeper wrote
                             token         of a job that the driver function keeps: it stands for all of these

Only this user can read the folder, and pickles in it are trusted like the user's own programs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

from wrenlite.config import Config
from wrenlite.durable import manifest, places
from wrenlite.durable.manifest import Manifest
from wrenlite.durable.place import ended_early
from wrenlite.errors import BackendError, ConfigError, IntegrityError, JobNotFound, StoreError
from wrenlite.protocol import Usage
from wrenlite.scheduler.pending import Sent
from wrenlite.serialize import framing
from wrenlite.texts import printable

if TYPE_CHECKING:
    from wrenlite.durable.recorded import HandedOut

MANIFEST, STORE, LOCK, LOG, CANCEL, TOKEN = (
    "manifest",
    "store",
    "keeper.lock",
    "keeper.log",
    "cancel",
    "token",
)
"""Names in the folder of a job."""
KEPT_S = 30 * 86_400.0
"""Seconds for which a job that does not run is kept."""
MOST_JOBS = 1_000
"""The newest jobs that are kept."""
MOST_BYTES = 50 << 30
"""Bytes of all jobs that are kept. The newest one stays, however large it is."""
_WEIGH_EVERY_S = 600.0
"""Seconds after which a program adds up the bytes again: a job may have left many files."""
_BOUNDS = (
    f"the newest {MOST_JOBS:,} are kept, of {MOST_BYTES >> 30} GB together, for {KEPT_S / 86_400:.0f} days"
)
_log = logging.getLogger("wrenlite")
_TABLE = "table-{}"
_NAMED_JOBS = 5
"""The most jobs that a message names."""
_PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from wrenlite.durable.keeper import main; main()"
_LOCK_TRIES, _LOCK_PAUSE_S = 50, 0.01
_LONGEST_END_S = 10.0
"""Seconds for which the end of the keeper of a job that is over is waited for."""


class Folder:
    """A place of a detached job: see ``Place``."""

    poll_s = 0.02, 0.5

    def __init__(self, path: Path) -> None:
        """Create it.

        Args:
            path: of the folder.
        """
        self.path = path
        self._cancelled = 0
        """Bytes of the file of cancels that were read."""

    def write_manifest(self, job: Manifest) -> None:
        """Write a manifest, as ``Place.write_manifest``."""
        temporary = self.path / f".{MANIFEST}"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                framing.write(fd, framing.frame(manifest.to_wire(job)))
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, self.path / MANIFEST)
        except OSError as error:
            raise StoreError(f"cannot write the detached job into {self.path}: {error.strerror}") from error

    def read_manifest(self) -> Manifest:
        """Read the manifest, as ``Place.read_manifest``."""
        try:
            return manifest.from_wire(framing.parse((self.path / MANIFEST).read_bytes(), writable=True))
        except FileNotFoundError:
            raise JobNotFound(
                f"{self.path} has no manifest: the program that detached this job ended before it was "
                "written. Run the map again"
            ) from None
        except Exception as error:  # unpickling raises errors of any kind
            raise JobNotFound(f"the manifest in {self.path} cannot be read: {error!r}") from error

    def write_token(self, token: str) -> None:
        """Write the token of a job that the driver function keeps.

        Args:
            token: the token and, in the next line, how this machine reaches AWS.

        Raises:
            StoreError: the disk is full, or the folder cannot be written to.
        """
        try:
            fd = os.open(self.path / TOKEN, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(fd, "w") as file:
                file.write(token)
        except OSError as error:
            raise StoreError(
                f"cannot write the token of the job into {self.path}: {error.strerror}"
            ) from error

    def token(self) -> str:
        """Return what ``write_token`` wrote; empty: this machine keeps the job."""
        try:
            return (self.path / TOKEN).read_text()
        except OSError:
            return ""

    def lost_because(self) -> str:
        """Return why the keeper must end: somebody has deleted the folder."""
        return "" if (self.path / MANIFEST).exists() else "the folder of this job was deleted"

    def writer(self, on_error: Callable[[str], None] | None = None, after: int = 0) -> FileWriter:
        """Begin a new file, as ``Place.writer``."""
        return FileWriter(self.path, on_error)

    def follower(self) -> FileFollower:
        """Begin at the first line, as ``Place.follower``."""
        return FileFollower(self.path)

    def is_kept(self) -> bool:
        """Return whether a keeper runs the job now."""
        return places.is_locked(self.path / LOCK)

    def start_keeper(self) -> bool:
        """Start a keeper, unless one runs, as ``Place.start_keeper``."""
        self._start_keeper(lambda: None)
        return True  # whoever holds the lock is a keeper

    def run_again(self, job: Manifest, failed: Sequence[int]) -> bool:
        """Start a keeper that runs failed tasks again, unless one runs, as ``Place.run_again``."""

        def prepare() -> None:
            self.write_manifest(job)
            (self.path / CANCEL).unlink(missing_ok=True)
            writer = self.writer()
            writer.write("run_again", failed)
            writer.close()

        deadline = time.monotonic() + _LONGEST_END_S
        while self.is_kept() and time.monotonic() < deadline:
            time.sleep(_LOCK_PAUSE_S)
        return self._start_keeper(prepare)

    def _start_keeper(self, prepare: Callable[[], object]) -> bool:
        """Start a keeper once ``prepare`` was called, unless one runs. Return whether it was started.

        The lock is taken here and handed on, so that it is held from before the keeper begins until it ends.
        """
        with self._locked() as lock:
            if lock is None:
                return False
            prepare()
            root = str(Path(__file__).parents[2])
            command = [sys.executable, "-P", "-c", _PROGRAM, root, str(self.path), str(lock)]
            try:
                with open(self.path / LOG, "ab") as log:
                    keeper = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        pass_fds=(lock,),
                        start_new_session=True,
                    )
            except OSError as error:
                raise BackendError(f"cannot start a process that keeps the job: {error}") from error
        # Somebody must ask for its exit status, or else it stays as a zombie as long as this program runs.
        threading.Thread(target=keeper.wait, name="wrenlite-keeper", daemon=True).start()
        return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int | None]:
        """Give the descriptor of the locked file of the keeper; None: a keeper holds the lock."""
        if fcntl is None:
            raise ConfigError("jobs can be detached on Linux and macOS; on Windows, in WSL")
        fd = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield fd if _lock(fd) else None
        finally:
            os.close(fd)

    def ask_to_cancel(self, tasks: Sequence[int]) -> None:
        """Write what is to be cancelled, as ``Place.ask_to_cancel``. The keeper looks five times a second."""
        with open(self.path / CANCEL, "ab", buffering=0) as file:
            file.write(json.dumps(list(tasks)).encode() + b"\n")

    def newly_cancelled(self, tasks: int) -> list[int]:
        """Return the tasks that somebody has cancelled since the last time.

        Args:
            tasks: number of the tasks of the job.
        """
        try:
            with open(self.path / CANCEL, "rb") as file:
                file.seek(self._cancelled)
                lines = file.readlines()
        except FileNotFoundError:
            return []
        found: set[int] = set()
        for line in lines:
            if line.endswith(b"\n"):  # otherwise it is still being written
                self._cancelled += len(line)
                with contextlib.suppress(ValueError):  # it is damaged
                    found.update(range(tasks)[task] for task in json.loads(line))
        return sorted(found)

    def unrecorded(self, handed_out: HandedOut) -> Sequence[Sent]:
        """Return nothing: what is handed out is written down first."""
        return ()

    def usage(self, *, last: bool = False) -> Usage:
        """Return nothing: this machine is free."""
        return Usage()

    def new_lines(self) -> tuple[bytes, ...]:
        """Return nothing: the keeper writes the journal of its user."""
        return ()

    def let_go(self) -> None:
        """Do nothing: the lock is open once the keeper has ended."""

    def pass_on(self) -> None:
        """Do nothing: a keeper of this machine has no time limit."""

    def last_words(self, job: str) -> str:
        """Return what to tell of a keeper that has ended, as ``Place.last_words``."""
        log = self.path / LOG
        try:
            *_, last = log.read_text(errors="replace").strip().splitlines() or [""]
        except OSError:
            return f"the folder of this job, {self.path}, was deleted while it ran. Run it again"
        return ended_early(job, f"{printable(last)} ({log})" if last else "it was killed")

    def remove(self) -> None:
        """Delete the folder: a full disk must not stay full because of it."""
        shutil.rmtree(self.path, ignore_errors=True)


class FileWriter:
    """Writes what happens to the tasks of one job, as it happens."""

    def __init__(self, folder: Path, on_error: Callable[[str], None] | None = None) -> None:
        """Begin a new file: a keeper that was killed may have left an incomplete message in the last one.

        Args:
            folder: of the job.
            on_error: as for ``Place.writer``.
        """
        self._on_error = on_error
        number = sum(1 for _ in folder.glob(_TABLE.format("*")))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._fd = os.open(folder / _TABLE.format(number), flags, 0o600)

    def write(self, name: str, *arguments: object) -> None:
        """Write one call, as ``Writer.write``."""
        try:
            framing.write(self._fd, framing.frame((name, time.time(), *arguments)))
        except OSError as error:
            if self._on_error is None:
                raise StoreError(f"cannot write what a job has done so far: {error.strerror}") from error
            self._on_error(f"cannot write what tasks return: {error.strerror}")

    def flush(self) -> None:
        """Do nothing: what is written is in the file."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class FileFollower:
    """Reads what happens to the tasks of one job."""

    position = 0

    def __init__(self, folder: Path) -> None:
        """Begin at the first line.

        Args:
            folder: of the job.
        """
        self._folder = folder
        self._number = 0
        self._reader: framing.Reader | None = None
        self._fd = -1

    def calls(self) -> Iterator[tuple[Any, ...]]:
        """Yield what is new, as ``Follower.calls``.

        Raises:
            IntegrityError: a file is damaged.
        """
        while self._reader is not None or self._open():
            assert self._reader is not None
            try:
                for call in self._reader.read():
                    if isinstance(call, Exception):
                        file = self._folder / _TABLE.format(self._number)
                        raise IntegrityError(f"{file} is damaged, and what comes after that is lost: {call}")
                    yield call
            except EOFError:
                if not (self._folder / _TABLE.format(self._number + 1)).exists():
                    return
                self.close()
                self._number += 1

    def renew(self) -> None:
        """Do nothing: files need no credentials."""

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            os.close(self._fd)
            self._reader = None

    def _open(self) -> bool:
        try:
            self._fd = os.open(self._folder / _TABLE.format(self._number), os.O_RDONLY)
        except FileNotFoundError:
            return False
        self._reader = framing.Reader(self._fd)
        return True


def detached_folder() -> Path:
    """Return the folder of detached jobs.

    Raises:
        ConfigError: no journal is kept.
    """
    journal = places.journal_folder(Config.load().journal)
    if journal is None:
        raise ConfigError(
            f"a detached job is kept beside the journal, and the setting journal is {places.OFF!r}: unset "
            "WRENLITE_JOURNAL, or give it a folder"
        )
    return journal / "detached"


def new_folder(job: str) -> Path:
    """Make the folder of a new job, and delete those of old ones.

    Raises:
        ConfigError: no journal is kept.
        StoreError: it cannot be made.
    """
    detached = detached_folder()
    try:
        for folder in (detached.parent, detached):
            folder.mkdir(0o700, parents=True, exist_ok=True)
        prune(detached, time.time())
        (detached / job).mkdir(0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make a folder for a detached job in {detached}: {error.strerror}. WRENLITE_JOURNAL "
            "names another one"
        ) from error
    return detached / job


_weighed_at: dict[Path, float] = {}
"""When this program has added up the bytes of the jobs in a folder."""


def prune(detached: Path, now: float) -> list[str]:
    """Delete the folders of jobs whose last keeper ended long ago, and the oldest where there are too many.

    Jobs that run stay, however old they are. The newest one stays, however large it is. A job that is kept
    elsewhere has only its token here, and does not count.

    Args:
        detached: the folder of detached jobs.
        now: seconds since the epoch.

    Returns:
        The ids of the jobs that were deleted, the oldest first.
    """
    folders = sorted((_last_change(folder), folder) for folder in detached.iterdir())
    tokens = [(last, folder) for last, folder in folders if (folder / TOKEN).exists()]
    old = [folder for last, folder in tokens if now - last > KEPT_S]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    ended = [each for each in folders if each not in tokens]
    weighs = now - _weighed_at.get(detached, 0.0) >= _WEIGH_EVERY_S
    if weighs:
        _weighed_at[detached] = now
    sizes = {folder: _bytes_below(folder) if weighs else 0 for _, folder in ended}
    jobs, total, deleted = len(ended), sum(sizes.values()), [folder.name for folder in old]
    for last, folder in ended:
        is_old = now - last > KEPT_S
        are_many = (jobs > MOST_JOBS or total > MOST_BYTES) and folder != ended[-1][1]
        if not (is_old or are_many):
            break
        if not Folder(folder).is_kept():
            shutil.rmtree(folder, ignore_errors=True)
            jobs, total = jobs - 1, total - sizes[folder]
            deleted.append(folder.name)
            if not is_old:
                _log.warning("deleted the values of the detached job %s: %s", folder.name, _BOUNDS)
    return deleted


def _last_change(folder: Path) -> float:
    with contextlib.suppress(OSError):
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    return 0.0


def _bytes_below(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total


def find(name: str) -> Path:
    """Return the folder of the detached job whose id is, or begins with, a text.

    Raises:
        JobNotFound: there is none, or there are several.
    """
    detached = detached_folder()
    folders = [
        path for path in (detached.iterdir() if detached.is_dir() else ()) if path.name.startswith(name)
    ]
    if not name or not folders:
        raise JobNotFound(
            f"no job {name!r} was detached on this machine, or its values are deleted: {_BOUNDS}. "
            f"A job without detach=True ends with its program; wrenlite show "
            f"{name or 'JOB'} says what is known of it"
        )
    exact = [path for path in folders if path.name == name]
    if not exact and len(folders) > 1:
        newest = sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)
        ids = ", ".join(path.name for path in newest[:_NAMED_JOBS])
        more = ", …" if len(newest) > _NAMED_JOBS else ""
        raise JobNotFound(f"the ids of {len(newest)} jobs begin with {name!r}, the newest first: {ids}{more}")
    return (exact or folders)[0]


def _lock(fd: int) -> bool:
    """Lock a file. Whoever only looks whether it is locked holds it for a moment, a keeper for longer."""
    for _ in range(_LOCK_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_LOCK_PAUSE_S)
    return False
