"""Stores in a folder of this machine: one that stays, and one that goes with the program that made it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from wrenlite.errors import NotFound, StoreError
from wrenlite.storage.base import TEMPORARY, Entry, Span, check_key

_PREFIX = "wrenlite-store-"
_MEND = ". TMPDIR chooses another disk"
_YOUNG_S = 60.0
"""Seconds in which a store may be about to be locked by who just made it."""


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
        temporary = os.path.join(folder, f"{TEMPORARY}{os.urandom(8).hex()}")
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
                if key.startswith(prefix) and key > after and not name.startswith(TEMPORARY):
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


class TemporaryStore(LocalStore):
    """A folder that goes with what uses it; what killed processes left is taken away by the next ones.

    A folder is in use as long as somebody holds the lock on the file ``lock`` in it. (Its name could hold
    the process instead, but containers that share a temporary folder do not share process ids.)
    """

    def __init__(self) -> None:
        try:
            _sweep(Path(tempfile.gettempdir()))
            super().__init__(tempfile.mkdtemp(prefix=_PREFIX), _MEND)
            self._lock = open(os.path.join(self.root, "lock"), "wb")  # noqa: SIM115  # held until removal
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        except OSError as error:
            raise StoreError(
                f"cannot make a temporary folder: {error}. TMPDIR chooses another place"
            ) from error
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _remove, self.root, self._lock, self._owner)

    def outlive_exit(self) -> None:
        """At exit, stay until ``remove``: the jobs that are still open then may need it."""
        self._finalizer.atexit = False

    def remove(self) -> None:
        """Remove the folder with what is in it."""
        _remove(self.root, self._lock, self._owner)

    def __reduce__(self) -> tuple[type[LocalStore], tuple[str, str]]:
        return LocalStore, (self.root, _MEND)  # a worker reads it, and removes nothing


def _sweep(parent: Path) -> None:
    now = time.time()
    for lock in parent.glob(f"{_PREFIX}*/lock"):
        with contextlib.suppress(OSError):  # in use, or being swept by another
            state = lock.lstat()
            mine = state.st_uid == os.getuid() and stat.S_ISREG(state.st_mode) and not state.st_size
            if mine and now - state.st_mtime > _YOUNG_S:
                with lock.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(lock.parent, ignore_errors=True)


def _remove(root: str, lock: IO[bytes], owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(root, ignore_errors=True)
        lock.close()
