"""What cannot work is refused before anything is sent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from wrenlite.backends.base import Backend
from wrenlite.errors import ConfigError, StoreError

PYTHON_BYTES = 120 << 20
"""What a worker holds with numpy and pillow imported, before it does anything."""


def check_memory(backend: Backend, needed: int, what: str) -> None:
    """Refuse what no worker could hold.

    Args:
        backend: whose workers.
        needed: bytes of the task that takes most, beside Python and its modules.
        what: that task, for the message.

    Raises:
        ConfigError: with the estimate, and what mends it.
    """
    most = backend.memory_bytes
    if most is None or needed + PYTHON_BYTES <= most:
        return
    mend = "wrenlite-setup --memory" if backend.prices else "a higher memory limit, or fewer workers"
    raise ConfigError(
        f"{what} would need about {_size(needed + PYTHON_BYTES)} of memory, and a worker ({backend.name}) "
        f"has {_size(most)}: make it smaller, or give workers more: {mend}"
    )


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder that files are to be written to, and try it. Raises StoreError."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(f"cannot write to {os.fspath(folder)}: {error.strerror or error}") from error


def _size(amount: int) -> str:
    """Bytes in words."""
    return f"{amount / 2**30:,.1f} GB" if amount >= 2**30 else f"{amount / 2**20:,.0f} MB"
