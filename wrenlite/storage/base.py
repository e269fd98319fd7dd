"""The ``Store`` interface: blobs by key."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from wrenlite.errors import IntegrityError, StoreError
from wrenlite.protocol import Buffer, Stored

TEMPORARY_PREFIX = ".put-"
"""The names of files that are still being written begin with this. No part of a key may."""


KEY_BYTES = 1024
"""The longest key of S3, encoded as UTF-8."""
_PART_BYTES = 255
"""The longest file name of most file systems: each part of a key may become one."""
_UNUSABLE = r"[\x00-\x1f\x7f\ud800-\udfff]"
"""Control characters and halves of characters, which no file name or no key in S3 may contain."""


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


class StoreRequests(NamedTuple):
    """How many requests a store has sent, of those that are paid for."""

    puts: int = 0
    """Those that wrote or listed."""
    gets: int = 0
    """Those that read."""

    def since(self, before: StoreRequests) -> StoreRequests:
        """Return how many were sent since there were ``before``."""
        return StoreRequests(self.puts - before.puts, self.gets - before.gets)


class Store(Protocol):
    """Blobs by key. Keys are relative paths with ``/`` between parts."""

    @property
    def requests(self) -> StoreRequests:
        """The requests that this object has sent so far; none where they are free."""

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Write a blob, completely or not at all.

        Args:
            key: the key of the blob.
            data: the blob.
            if_absent: write only where there is no blob at that key.

        Returns:
            Whether the blob was written; False only with ``if_absent``.
        """

    def repair(self, key: str, data: bytes) -> bool:
        """Write a blob, unless the store shows that it holds this very blob already.

        Args:
            key: the key of the blob.
            data: the blob.

        Returns:
            Whether another blob was certainly there, and was replaced.
        """

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Read a blob or a part of it.

        Args:
            key: the key of the blob.
            span: the part to read; None: all of it.

        Raises:
            NotFound: there is no blob at that key.
        """

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Yield the blobs whose keys start with ``prefix`` and are greater than ``after``, ordered by key."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs. Keys without a blob are ignored."""


def digest(blob: Buffer) -> str:
    """Return the SHA-256 digest of a blob, hexadecimal."""
    return hashlib.sha256(blob).hexdigest()


def place_of(blob: Buffer, key: str) -> Stored:
    """Return where a blob is stored, given its key."""
    return Stored(key, digest(blob), memoryview(blob).nbytes)


def get_verified(store: Store, key: str, expected_digest: str) -> bytes:
    """Read a blob and check its digest.

    Args:
        store: the store of the blob.
        key: the key of the blob.
        expected_digest: the SHA-256 digest that the blob must have.

    Raises:
        NotFound: there is no blob at that key.
        IntegrityError: the blob has another digest.
        StoreError: the store cannot be read.
    """
    blob = store.get(key)
    if digest(blob) != expected_digest:
        raise IntegrityError(
            f"the blob {key!r} in {store!r} was changed or damaged: its digest is {digest(blob)}. It was not "
            "unpickled. Run the job again; for a Ref, call executor.put() again first"
        )
    return blob


def check_key(key: str) -> None:
    """Check that a key can be used in every store.

    Raises:
        StoreError: the key cannot be used.
    """
    wrong = wrong_key(key)
    if wrong:
        raise StoreError(f"{key!r:.80} is not a key: {wrong}")


def check_blob(key: str, data: object) -> None:
    """Check that a blob is what every store can write.

    Raises:
        StoreError: the key cannot be used, or the blob is not made of bytes.
    """
    check_key(key)
    try:
        memoryview(data)  # type: ignore[arg-type]
    except TypeError:
        text = "; text.encode() makes bytes of text" if isinstance(data, str) else ""
        raise StoreError(
            f"the blob of {key!r} must be bytes, and this one is of type {type(data).__name__}{text}"
        ) from None


def wrong_key(key: object) -> str:
    """Return what a key must be, where it cannot be used in every store; empty where it can."""
    if not isinstance(key, str):
        return f"it must be a str, not {type(key).__name__}"
    if re.search(_UNUSABLE, key):
        return "it must not contain control characters or surrogates (half of a character)"
    parts = key.split("/")
    if not all(parts) or any(part in (".", "..") or part.startswith(TEMPORARY_PREFIX) for part in parts):
        return (
            "it must be a relative path with / between its parts. No part may be empty, . or .., or begin "
            f"with {TEMPORARY_PREFIX}"
        )
    longest = max(len(part.encode()) for part in parts)
    if longest > _PART_BYTES or len(key.encode()) > KEY_BYTES:
        return (
            f"it is too long: {KEY_BYTES:,} bytes at most, and {_PART_BYTES} between two /; this one has "
            f"{len(key.encode()):,}, and {longest:,}"
        )
    return ""
