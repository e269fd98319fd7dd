"""What a detached job is run from, in a folder of its own, so that another process can take it up.

::

    <journal>/detached/<job>/manifest      items, function, options, backend: written once
                             table-0 …     what happened to its tasks, one file for each keeper
                             cancel        the tasks that somebody has cancelled, a line for each time
                             store/        values and objects of local workers
                             keeper.lock   locked by the keeper while it runs
                             keeper.log    what the keeper wrote

Only this user can read the folder, and pickles in it are trusted like the user's own programs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wrenlite.backends.base import Backend
from wrenlite.config import Config
from wrenlite.cost import Prices
from wrenlite.durable import places
from wrenlite.errors import ConfigError, JobNotFound, StoreError
from wrenlite.protocol import Hints, Packed, Plain
from wrenlite.scheduler.pending import JobOptions
from wrenlite.serialize import framing
from wrenlite.serialize.modules import worker_path
from wrenlite.storage.base import Store
from wrenlite.storage.uploads import JobCode

MANIFEST, STORE, LOCK, LOG, CANCEL = "manifest", "store", "keeper.lock", "keeper.log", "cancel"
"""Names in the folder of a job."""
_NAMED_JOBS = 5
"""The most jobs that a message names."""
KEPT_S = 30 * 86_400.0
"""Seconds for which a job that does not run is kept."""


class Manifest(NamedTuple):
    """A job that is to be run, or runs, or has run."""

    id: str
    name: str
    """Of its function."""
    submitted: float
    """Seconds since the epoch."""
    items: Sequence[Packed | Plain]
    function: bytes
    """Its ``Call``, pickled."""
    modules: bytes | None
    """A zip of the user's local modules."""
    options: JobOptions
    """Without the code."""
    config: Config
    """What the backend is made from."""
    initializer: tuple[str, bytes] | None
    """The name of the initializer of the workers, and its ``Call``, pickled."""
    backend: str
    """The name of what it runs on."""
    prices: Prices | None
    hints: Hints
    store: Store
    """Where large values are."""
    folder: str
    """The working folder of the program that has made the job."""
    path: Sequence[str]
    """``sys.path`` of the program that has made the job."""

    @property
    def tasks(self) -> int:
        """Number of its tasks."""
        return len(self.items) + self.options.reduces


def of_job(
    backend: Backend,
    named: tuple[str, str, float],
    items: Sequence[Packed | Plain],
    options: JobOptions,
    code: tuple[bytes, bytes | None],
) -> Manifest:
    """Return the manifest of a job.

    Args:
        backend: what it was prepared for, which another process can make, too.
        named: its id, the name of its function, and when it was submitted.
        items: of its tasks; None in place of those that have ended.
        options: how its tasks are run.
        code: the pickled function, and a zip of the user's local modules.
    """
    assert backend.made_from is not None
    (config, first), (job, name, submitted), (function, modules) = backend.made_from, named, code
    return Manifest(
        id=job,
        name=name,
        submitted=submitted,
        items=items,
        function=function,
        modules=modules,
        options=options._replace(code=JobCode(""), log_levels=None, holders=()),
        config=config,
        initializer=(first.name, first.blob) if first else None,
        backend=backend.name,
        prices=backend.prices,
        hints=backend.hints,
        store=backend.store,
        folder=_working_folder(),
        path=worker_path(),
    )


def _working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # somebody has deleted it
        return "/"


def write(folder: Path, manifest: Manifest) -> None:
    """Write a manifest: completely, or not at all.

    Args:
        folder: of the job, which exists.
        manifest: the manifest.

    Raises:
        StoreError: the disk is full, or the folder cannot be written to.
    """
    temporary = folder / f".{MANIFEST}"
    message = manifest._replace(items=framing.items_to_wire(manifest.items))
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            framing.write(fd, framing.frame(tuple(message)))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, folder / MANIFEST)
    except OSError as error:
        raise StoreError(f"cannot write the detached job into {folder}: {error.strerror}") from error


def read(folder: Path) -> Manifest:
    """Read the manifest of a job.

    Raises:
        JobNotFound: there is none, or another version of wrenlite has written it.
    """
    try:
        manifest = Manifest(*framing.parse((folder / MANIFEST).read_bytes(), writable=True))
    except FileNotFoundError:
        raise JobNotFound(
            f"{folder} has no manifest: the program that detached this job ended before it was written. Run "
            "the map again"
        ) from None
    except Exception as error:  # unpickling raises errors of any kind
        raise JobNotFound(f"the manifest in {folder} cannot be read: {error!r}") from error
    items: Sequence[Any] = manifest.items
    return manifest._replace(items=[Packed(*item) if type(item) is tuple else item for item in items])


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
        for folder in (detached.parent, detached, detached / job):
            folder.mkdir(0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make a folder for a detached job in {detached}: {error.strerror}. WRENLITE_JOURNAL "
            "names another one"
        ) from error
    prune(detached, time.time())
    return detached / job


def prune(detached: Path, now: float) -> None:
    """Delete the folders of jobs whose last keeper ended long ago."""
    for folder in detached.iterdir():
        with contextlib.suppress(OSError):
            last = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            if now - last > KEPT_S and not is_kept(folder):
                shutil.rmtree(folder, ignore_errors=True)


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
            f"no job {name!r} was detached on this machine, or its values are deleted: they are kept for "
            f"{KEPT_S / 86_400:.0f} days. A job without detach=True ends with its program; wrenlite show "
            f"{name or 'JOB'} says what is known of it"
        )
    exact = [path for path in folders if path.name == name]
    if not exact and len(folders) > 1:
        newest = sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)
        ids = ", ".join(path.name for path in newest[:_NAMED_JOBS])
        more = ", …" if len(newest) > _NAMED_JOBS else ""
        raise JobNotFound(f"the ids of {len(newest)} jobs begin with {name!r}, the newest first: {ids}{more}")
    return (exact or folders)[0]


def is_kept(folder: Path) -> bool:
    """Return whether a keeper runs the job of this folder now."""
    return places.is_locked(folder / LOCK)
