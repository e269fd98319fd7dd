"""Archives: the packages that do not fit into a layer, one per distribution, in the store.

An archive is a tar file, compressed with deflate, which is read from its beginning to its end. The index of a
deployment's archives travels with the code of the function, and has the digest of each piece of each archive:
nothing that the store holds is used before it was compared with that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wrenlite.storage.base import Span, Store

INDEX_FILE = "wrenlite-archives.json"
"""The name of the index, in a folder that Python imports from."""
FOLDER = "/tmp/wrenlite-packages"  # noqa: S108  # Lambda's: the only one that can be written to
"""Where sandboxes unpack archives."""
SITE = "site"
"""The folder in it that Python imports from. There is one for all archives: shared libraries find those of
other packages from where they are themselves."""
PIECE_BYTES = 8 * 2**20
"""The size of a piece, which is fetched at once. The last one of an archive is smaller."""


class Archive(NamedTuple):
    """An archive, as the index describes it."""

    name: str
    """Normalised name of the distribution."""
    version: str
    digest: str
    """SHA-256 of the archive, in hexadecimal, which is also its name in the store."""
    size_bytes: int
    unpacked_bytes: int
    modules: tuple[str, ...]
    """The top-level names that can be imported from it."""
    needs: tuple[str, ...]
    """Names of the archives that it imports from."""
    pieces: tuple[str, ...]
    """SHA-256 of each piece."""

    @property
    def spans(self) -> list[Span]:
        """The parts of the archive that the pieces are."""
        starts = range(0, self.size_bytes, PIECE_BYTES)
        return [Span(start, min(PIECE_BYTES, self.size_bytes - start)) for start in starts]


class ArchivesPlace(NamedTuple):
    """Where a worker finds the archives of its deployment."""

    store: Store
    function: str
    """Name of the function."""
    index_file: str
    """Path of the index."""
    folder: str
    """The folder that they are unpacked into."""


def find_index(path: Iterable[str]) -> str | None:
    """Return the path of the index of the archives; None where all packages are in the layer.

    Args:
        path: the folders that Python imports from.
    """
    files = (os.path.join(folder, INDEX_FILE) for folder in path)
    return next((file for file in files if os.path.isfile(file)), None)


def archive_key(function: str, digest: str) -> str:
    """Return the key of an archive.

    Args:
        function: name of the function of the deployment, which alone uses it.
        digest: digest of the archive.
    """
    return f"packages/{function}/{digest}"


def write_index(archives: Sequence[Archive]) -> bytes:
    """Return the index of archives."""
    return json.dumps([archive._asdict() for archive in archives], separators=(",", ":")).encode()


def read_index(text: bytes) -> tuple[Archive, ...]:
    """Return the archives that an index describes."""
    lists = ("modules", "needs", "pieces")
    return tuple(
        Archive(**{**each, **{name: tuple(each[name]) for name in lists}}) for each in json.loads(text)
    )
