"""Where blobs live: the ``Store`` seam, and a folder that fulfils it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from wrenlite.errors import IntegrityError, StoreError
from wrenlite.protocol import Buffer

TEMPORARY = ".put-"
"""How names of files begin that are still being written: no key may have such a part."""


class Span(NamedTuple):
    """A part of a blob, in bytes."""

    start: int
    length: int


class Entry(NamedTuple):
    """One blob of a listing."""

    key: str
    size: int
    """Bytes."""
    modified: float
    """Seconds since the epoch."""


class Store(Protocol):
    """Uploads by key. Keys are relative paths with ``/`` between parts."""

    def open(self) -> None:
        """Get ready: what would make the first call slow. May be called again."""

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Write a blob, whole or not at all. False: ``if_absent``, and it was there already."""

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Read a blob or a part of it. Raises NotFound."""

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """The blobs whose keys start with ``prefix`` and come after ``after``, in the order of their keys."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove blobs; those that are not there are not missed."""


def digest(blob: Buffer) -> str:
    """SHA-256 of a blob, hexadecimal."""
    return hashlib.sha256(blob).hexdigest()


def get_verified(store: Store, key: str, wanted: str) -> bytes:
    """Read a blob that must have that digest. Raises NotFound, IntegrityError, StoreError."""
    blob = store.get(key)
    if digest(blob) != wanted:
        raise IntegrityError(f"the blob {key} was changed: it has the digest {digest(blob)}")
    return blob


def check_key(key: str) -> None:
    """Raises StoreError where this cannot be a key in every store."""
    parts = key.split("/")
    if not all(parts) or any(part in (".", "..") or part.startswith(TEMPORARY) for part in parts):
        raise StoreError(f"{key!r} is not a key: it must be a relative path without empty or dotted parts")
