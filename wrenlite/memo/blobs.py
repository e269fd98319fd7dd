"""Kept values as blobs: small ones in the index, large ones in files beside it, those of a bucket there.

A blob is what ``framing`` makes of a pickled value. It is read only together with the digest that the index
has of it. A value that Lambda has left in the bucket stays there, as long as the bucket's lifecycle lets it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from wrenlite.errors import IntegrityError, NotFound, WrenliteError
from wrenlite.memo.index import IN_FILE, Entry, make_private
from wrenlite.protocol import EXPIRE_DAYS, Packed, Plain, Stored
from wrenlite.serialize import framing
from wrenlite.storage.base import TEMPORARY_PREFIX, Store, get_verified

_MARGIN_S = 6 * 3_600.0
"""A value in a bucket is not used any more so long before it expires: its job may be read later."""
_ROW_BYTES = 16 << 10
"""A larger blob is a file of its own. SQLite is faster than a file system up to about 100 KB, and a file of
its own need not be copied when the index is cleaned."""
_FOLDER = "values"


class Owner(NamedTuple):
    """What the values of one job belong to."""

    call: int
    """The number of the call in the index."""
    definitions: bytes | None
    """The name of the class table of the job in the index; None: values that refer to it cannot be kept."""


class Blobs:
    """The blobs in a folder, and in the store of a job."""

    def __init__(self, folder: Path, store: Store, bucket: str) -> None:
        """Create it for the jobs of a backend.

        Args:
            folder: of the index.
            store: the store of the backend.
            bucket: the address of the bucket that values stay in, without a slash at its end; empty: the
                store ends with its executor, so that values must be copied.
        """
        self._folder = folder / _FOLDER
        self._store = store
        self._bucket = bucket

    def keep(self, key: bytes, value: Packed | Stored | Plain, owner: Owner) -> Entry | None:
        """Write a value where it is kept, and return its entry; None: it cannot be kept.

        Raises:
            OSError: the disk is full, or the folder cannot be written to.
            StoreError: the store cannot be read.
        """
        if isinstance(value, Stored):
            if self._bucket:
                return self._in_bucket(key, value, owner)
            value = framing.from_blob(get_verified(self._store, value.key, value.digest))
        pickle = bytes(value.data) if isinstance(value, Packed) else b""  # it may be a view of a message
        refers = _NUMBERS in pickle
        if _REFS in pickle or (refers and owner.definitions is None):  # what a Ref names may be gone later
            return None
        parts = framing.frame(framing.to_wire(value))
        made = hashlib.sha256()
        for part in parts:
            made.update(part)
        size = sum(part.nbytes for part in parts)
        entry = Entry(key, owner.call, made.digest(), size, None)
        entry = entry._replace(definitions=owner.definitions if refers else None)
        if size <= _ROW_BYTES:
            return entry._replace(blob=framing.join(parts))
        return entry._replace(place=IN_FILE, written=self._write(self._path(key), parts))

    def _in_bucket(self, key: bytes, value: Stored, owner: Owner) -> Entry | None:
        if owner.definitions is None:  # it may refer to some
            return None
        place = f"{self._bucket}/{value.key}"
        expires = time.time() + EXPIRE_DAYS * 86_400 - _MARGIN_S
        digest = bytes.fromhex(value.digest)
        return Entry(key, owner.call, digest, value.size, None, place, owner.definitions, expires)

    def seems_there(self, entry: Entry) -> bool:
        """Return whether the value of an entry can be read, as far as that is seen without reading it.

        A file whose time has changed is read: it may have been copied, or be another one.
        """
        if entry.blob is not None:
            return hashlib.sha256(entry.blob).digest() == entry.digest
        if entry.place == IN_FILE:
            return self._is_in_file(entry)
        is_ours = bool(self._bucket) and entry.place.startswith(f"{self._bucket}/")
        return is_ours and (entry.expires or 0.0) > time.time()

    def _is_in_file(self, entry: Entry) -> bool:
        path = self._path(entry.key)
        try:
            found = path.stat()
            if found.st_size != entry.size:
                return False
            return found.st_mtime_ns == entry.written or _digest_of(path) == entry.digest
        except OSError:
            return False

    def gone(self, entries: Sequence[Entry]) -> set[bytes]:
        """Return the keys of those of these entries whose values, which seemed to be there, are gone."""
        missing = {each.key for each in entries if each.place == IN_FILE and not self.seems_there(each)}
        in_bucket = {self._key_of(each): each.key for each in entries if each.place not in ("", IN_FILE)}
        for folder in {key.rpartition("/")[0] for key in in_bucket}:
            with contextlib.suppress(WrenliteError):  # who reads a value finds out
                there = {found.key for found in self._store.list(f"{folder}/")}
                inside = [key for key in in_bucket if key.startswith(f"{folder}/")]
                missing.update(in_bucket[key] for key in inside if key not in there)
        return missing

    def _key_of(self, entry: Entry) -> str:
        return entry.place.removeprefix(f"{self._bucket}/")

    def value_of(self, entry: Entry) -> Packed | Stored | Plain:
        """Return the value of an entry that seems to be there, or where it is."""
        if entry.blob is not None:
            return framing.from_blob(entry.blob, writable=True)
        key = IN_FILE if entry.place == IN_FILE else self._key_of(entry)
        return Stored(key, entry.digest.hex(), entry.size)

    def read(self, key: bytes, stored: Stored) -> Packed | Plain:
        """Read a value that is in a file or in the bucket.

        Args:
            key: of its entry.
            stored: what ``value_of`` has returned.

        Raises:
            NotFound: it is gone.
            IntegrityError: it has another digest. It was not unpickled.
            StoreError: the bucket cannot be read.
        """
        if stored.key != IN_FILE:
            return framing.from_blob(get_verified(self._store, stored.key, stored.digest), writable=True)
        path = self._path(key)
        try:
            blob = path.read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the kept value {path} is gone") from None
        except OSError as error:
            raise IntegrityError(f"the kept value {path} cannot be read: {error}") from error
        if hashlib.sha256(blob).hexdigest() != stored.digest:
            raise IntegrityError(f"the kept value {path} was changed or damaged. It was not unpickled")
        return framing.from_blob(blob, writable=True)

    def _path(self, key: bytes) -> Path:
        return path_of(self._folder, key)

    def _write(self, path: Path, parts: list[memoryview]) -> int:
        """Write a file, completely or not at all. Return the time, in nanoseconds since the epoch."""
        make_private(self._folder.parent)
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}"
        try:
            with open(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb", 0) as file:
                for part in parts:
                    _write_all(file.fileno(), part)
                written = os.fstat(file.fileno()).st_mtime_ns
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):  # it has its name
                os.unlink(temporary)
        return written


_REFS = b"wrenlite.storage.refs"
"""A pickle with this refers to an object in a store."""
_NUMBERS = b"from_table"
"""A pickle with this refers to classes or functions by number."""


def _digest_of(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def path_of(folder: Path, key: bytes) -> Path:
    """Return the file of the value with a key."""
    name = key.hex()
    return folder / name[:2] / name


def delete_files(folder: Path, keys: list[bytes]) -> None:
    """Delete the files of values that are no longer in the index. Those that have none are ignored.

    Args:
        folder: of the index.
        keys: of the values.
    """
    for key in keys:
        with contextlib.suppress(OSError):
            path_of(folder / _FOLDER, key).unlink(missing_ok=True)


def delete_strays(folder: Path, known: set[bytes], before: float) -> None:
    """Delete files that no entry names: a program was killed before its entry was written.

    Args:
        folder: of the index.
        known: the keys of the values in files.
        before: files that are younger, in seconds since the epoch, stay.
    """
    names = {key.hex() for key in known}
    for path in (folder / _FOLDER).glob("*/*"):
        with contextlib.suppress(OSError):
            if path.name not in names and path.stat().st_mtime < before:
                path.unlink()


def _write_all(fd: int, part: memoryview) -> None:
    rest = part.cast("B") if part.ndim != 1 or part.format != "B" else part
    while rest:
        rest = rest[os.write(fd, rest) :]
