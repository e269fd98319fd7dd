"""Checks that refuse impossible work before any task is sent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from wrenlite.backends.base import Backend
from wrenlite.errors import ConfigError, StoreError
from wrenlite.memory import memory_bytes
from wrenlite.storage.base import wrong_key

PYTHON_BYTES = 120 << 20
"""Memory of a worker that has imported numpy and Pillow and has not run a task yet."""


def check_memory(backend: Backend, needed_bytes: int, what: str) -> None:
    """Refuse a task that needs more memory than a worker has.

    Args:
        backend: the backend whose workers would run the task.
        needed_bytes: estimate for the largest task, without Python and its modules.
        what: name of that task, for the message.

    Raises:
        ConfigError: the task would not fit; the message has the estimate and what to change.
    """
    limit = backend.memory_bytes
    needed_bytes += PYTHON_BYTES
    if limit is None or needed_bytes <= limit:
        return
    advice = "wrenlite-setup --memory" if backend.prices else "a higher memory limit, or fewer workers"
    raise ConfigError(
        f"{what} would need about {_format_bytes(needed_bytes)} of memory, and a worker ({backend.name}) "
        f"has {_format_bytes(limit)}: make it smaller, or give workers more: {advice}"
    )


def check_own_memory(needed_bytes: int, what: str) -> None:
    """Refuse work whose result this machine could not hold.

    Args:
        needed_bytes: estimate of the memory of this process.
        what: what takes it, for the message.

    Raises:
        ConfigError: this machine has less memory; the message has the estimate.
    """
    if needed_bytes > memory_bytes():
        raise ConfigError(
            f"{what} would need about {_format_bytes(needed_bytes)} of memory on this machine, where the "
            f"results are put together, and it has {_format_bytes(memory_bytes())}: make it smaller"
        )


def check_folder(folder: str | os.PathLike[str], *, parents: bool = False) -> None:
    """Create a folder for output files if it is missing, and check that files can be written to it.

    Args:
        folder: path of the folder.
        parents: also create the folders that it is to be in. Otherwise they must exist: one that is missing
            is rather a mistake in the path.

    Raises:
        StoreError: the folder cannot be created, or not be written to.
    """
    for place in (Path(folder), *Path(folder).parents):
        if os.path.isfile(place):  # Path.is_file() raises where a folder may not be searched
            raise StoreError(
                f"cannot write to {os.fspath(folder)}: {place} is a file. Give the name of a folder, which "
                "may be a new one"
            )
    if not parents:
        _check_exists(Path(folder).parent, folder)
    try:
        Path(folder).mkdir(parents=parents, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(f"cannot write to {os.fspath(folder)}: {error.strerror or error}") from error


def check_file(file: str | os.PathLike[str]) -> None:
    """Check that an output file can be written, without creating anything.

    Args:
        file: path of the file.

    Raises:
        StoreError: it is a folder, no file can have its name, or its folder does not exist or cannot be
            written to.
    """
    folder = Path(file).parent
    if os.path.isdir(file):  # Path.is_dir() raises where a name is too long
        raise StoreError(f"{os.fspath(file)} is a folder: give the name of a file")
    if wrong := wrong_key(Path(file).name):
        raise StoreError(f"cannot write to {os.fspath(file)!r:.80}: the name of the file is wrong: {wrong}")
    _check_exists(folder, file)
    check_folder(folder, parents=True)


def _check_exists(folder: Path, wanted: str | os.PathLike[str]) -> None:
    if not folder.exists():
        raise StoreError(
            f"cannot write to {os.fspath(wanted)}: there is no folder {folder}. Make it first, or use another"
        )


def _format_bytes(amount: int) -> str:
    """Return a number of bytes as text in MB or GB."""
    return f"{amount / 2**30:,.1f} GB" if amount >= 2**30 else f"{amount / 2**20:,.0f} MB"
