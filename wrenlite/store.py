"""Where blobs live: the ``Store`` seam, and a folder that fulfils it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from wrenlite.errors import IntegrityError, NotFound, StoreError
from wrenlite.protocol import Buffer

_TEMPORARY = ".put-"


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
    """Blobs by key. Keys are relative paths with ``/`` between parts."""

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
    if not all(parts) or any(part in (".", "..") or part.startswith(_TEMPORARY) for part in parts):
        raise StoreError(f"{key!r} is not a key: it must be a relative path without empty or dotted parts")


class LocalStore:
    """A store in a folder, which several processes may use at once.

    A blob is written to a temporary file beside its place and moved there by one system call, so that
    no reader ever sees half a blob: ``os.link`` for ``if_absent`` (it fails where the name is taken),
    ``os.replace`` otherwise.
    """

    def __init__(self, root: str | os.PathLike[str], mend: str = "") -> None:
        """Args:
        root: the folder; it is made when it is first written to.
        mend: what to do where the folder cannot be used, for messages.
        """
        self.root = os.path.abspath(root)
        self._mend = mend

    def __repr__(self) -> str:
        return f"LocalStore({self.root!r})"

    def open(self) -> None:
        """Nothing to get ready."""

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Write a blob. Raises StoreError where the folder cannot be written or the disk is full."""
        path = self._path(key)
        if if_absent and os.path.exists(path):
            return False
        folder = os.path.dirname(path)
        temporary = os.path.join(folder, f"{_TEMPORARY}{os.urandom(8).hex()}")
        try:
            os.makedirs(folder, exist_ok=True)
            try:
                with open(temporary, "xb") as file:
                    file.write(data)
                return self._move(temporary, path, if_absent)
            finally:
                with contextlib.suppress(FileNotFoundError):  # os.replace took it away
                    os.unlink(temporary)
        except OSError as error:
            raise StoreError(self._message("write", key, error)) from error

    def _move(self, temporary: str, path: str, if_absent: bool) -> bool:
        if not if_absent:
            os.replace(temporary, path)
            return True
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        return True

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Read a blob or a part of it. Raises NotFound or StoreError."""
        try:
            with open(self._path(key), "rb") as file:
                if span is None:
                    return file.read()
                file.seek(span.start)
                return file.read(span.length)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound(f"no blob {key!r} in {self.root}") from None
        except OSError as error:
            raise StoreError(self._message("read", key, error)) from error

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """The blobs under a prefix, in the order of their keys."""
        found = []
        for folder, _, names in os.walk(self.root):
            base = os.path.relpath(folder, self.root).replace(os.sep, "/")
            for name in names:
                key = name if base == "." else f"{base}/{name}"
                if key.startswith(prefix) and key > after and not name.startswith(_TEMPORARY):
                    found.append(key)
        for key in sorted(found):
            try:
                stat = os.stat(self._path(key))
            except FileNotFoundError:  # deleted meanwhile
                continue
            yield Entry(key, stat.st_size, stat.st_mtime)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove blobs. Raises StoreError where one cannot be removed."""
        for key in keys:
            try:
                os.unlink(self._path(key))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(self._message("delete", key, error)) from error

    def _path(self, key: str) -> str:
        check_key(key)
        return os.path.join(self.root, *key.split("/"))

    def _message(self, verb: str, key: str, error: OSError) -> str:
        reason = error.strerror or str(error)
        return f"cannot {verb} {key!r} in the store {self.root}: {reason}{self._mend}"
