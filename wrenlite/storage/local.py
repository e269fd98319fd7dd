"""Stores in folders of this machine: a permanent one, and one that is removed when its program ends."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
import weakref
from collections.abc import Iterable, Iterator
from functools import partial
from typing import IO, Any

from wrenlite.backoff import Patience, retry
from wrenlite.errors import NotFound, StoreError
from wrenlite.storage.base import (
    TEMPORARY_PREFIX,
    Entry,
    Span,
    StoreRequests,
    check_blob,
    check_key,
    wrong_key,
)

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

_FOLDER_PREFIX = "wrenlite-store-"
_TMPDIR_HINT = ". TMPDIR chooses another disk"
_PATIENCE = Patience(total_s=5.0)
_TRANSIENT_ERRORS = frozenset(
    {errno.EAGAIN, errno.EBUSY, errno.EDQUOT, errno.EIO, errno.ENFILE, errno.ENOENT, errno.ENOSPC}
    | {errno.ESTALE, errno.ETIMEDOUT}
)
"""Errors that may pass: a full disk, a folder on another machine, a program that cleans /tmp meanwhile."""
_MINIMUM_AGE_S = 60.0
"""A younger store is never removed by others: its maker may not have locked it yet."""


def descriptor_advice(error: OSError) -> str | None:
    """Return what to do where a process has as many files open as it may; None for another error."""
    if error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    return (
        f"process {os.getpid()} has as many files and connections open as it may. Close those that it no "
        "longer needs, or raise the limit with ulimit -n"
    )


_FOLDER_TRIES = 20
"""How often a folder is made for one blob, if something else keeps removing it."""


class LocalStore:
    """A store in a folder, which several processes may use at once.

    A blob is written to a temporary file in the same folder and then moved to its name by one system call, so
    that no reader ever sees an incomplete blob. The call is ``os.link`` for ``if_absent`` (it fails where the
    name exists) and ``os.replace`` otherwise.
    """

    requests = StoreRequests()
    """A folder sends none."""

    def __init__(self, root: str | os.PathLike[str], hint: str = "", *, private: bool = False) -> None:
        """Create a store.

        Args:
            root: the folder. It is created by the first write.
            hint: what to do when the folder cannot be used; it ends the messages.
            private: only this user may look into the folder.
        """
        self.root = os.path.abspath(root)
        self._hint = hint
        self._private = private

    def __repr__(self) -> str:
        return f"LocalStore({self.root!r})"

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Write a blob, completely or not at all. Return whether it was written.

        Args:
            key: the key of the blob.
            data: the blob.
            if_absent: write only where there is no blob at that key.

        Raises:
            StoreError: the folder cannot be written to, or the disk is full.
        """
        check_blob(key, data)
        path = self._path(key)
        if if_absent and os.path.exists(path):
            return False
        try:
            return retry(lambda: self._write(path, data, if_absent), _is_transient, _PATIENCE)
        except OSError as error:
            raise StoreError(self._message("write", key, error)) from error

    def repair(self, key: str, data: bytes) -> bool:
        """Write a blob, unless it is there. Return whether another one was there, and was replaced."""
        try:
            found = self.get(key)
        except NotFound:
            found = None
        if found != data:
            self.put(key, data)
        return found not in (None, data)

    def _make_folder(self, folder: str) -> None:
        """Make a folder for blobs, and the folders above it."""
        if self._private:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.root, 0o700)
        os.makedirs(folder, exist_ok=True)

    def _write(self, path: str, data: bytes, if_absent: bool) -> bool:
        for _ in range(_FOLDER_TRIES):
            try:
                return self._write_file(path, data, if_absent)
            except FileNotFoundError:  # there is no folder yet, or something removes it at this moment
                self._make_folder(os.path.dirname(path))
        return self._write_file(path, data, if_absent)

    def _write_file(self, path: str, data: bytes, if_absent: bool) -> bool:
        temporary = os.path.join(os.path.dirname(path), f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}")
        try:
            with open(temporary, "xb") as file:
                file.write(data)
            return self._move(temporary, path, if_absent)
        finally:
            with contextlib.suppress(FileNotFoundError):  # os.replace has moved it
                os.unlink(temporary)

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
        """Read a blob or a part of it.

        Args:
            key: the key of the blob.
            span: the part to read; None: all of it.

        Raises:
            NotFound: there is no blob at that key.
            StoreError: the blob cannot be read.
        """
        path = self._path(key)

        def read() -> bytes:
            with open(path, "rb") as file:
                if span is None:
                    return file.read()
                file.seek(span.start)
                return file.read(span.length)

        try:
            return retry(read, lambda error: _is_transient(error) and os.path.exists(path), _PATIENCE)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound(f"no blob {key!r} in {self.root}") from None
        except OSError as error:
            raise StoreError(self._message("read", key, error)) from error

    def list(self, prefix: str, after: str = "") -> Iterator[Entry]:
        """Yield the blobs whose keys start with ``prefix`` and are greater than ``after``, ordered by key."""
        found = []
        above = prefix.rpartition("/")[0]
        if above and wrong_key(above):
            return
        for folder, _, names in os.walk(os.path.join(self.root, above)):
            base = os.path.relpath(folder, self.root).replace(os.sep, "/")
            for name in names:
                key = name if base == "." else f"{base}/{name}"
                if key.startswith(prefix) and key > after and not name.startswith(TEMPORARY_PREFIX):
                    found.append(key)
        for key in sorted(found):
            try:
                state = os.stat(os.path.join(self.root, key))  # also of a file that somebody else made
            except FileNotFoundError:  # another process has deleted it meanwhile
                continue
            yield Entry(key, state.st_size, state.st_mtime)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs. Keys without a blob are ignored.

        Args:
            keys: the keys of the blobs.

        Raises:
            StoreError: a blob cannot be deleted.
        """
        for key in keys:
            path = self._path(key)
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(self._message("delete", key, error)) from error

    def _path(self, key: str) -> str:
        check_key(key)
        return os.path.join(self.root, *key.split("/"))

    def _message(self, verb: str, key: str, error: OSError) -> str:
        hint = self._hint
        if isinstance(error, NotADirectoryError | FileExistsError):
            hint = ". Another program has put a file where this folder, or one in it, has to be"
        reason = descriptor_advice(error) or f"{error.strerror or error}{hint}"
        return f"cannot {verb} {key!r} in the store {self.root}: {reason}"

    def outlive_exit(self) -> None:
        """Do nothing: the folder stays anyhow."""

    def remove(self) -> None:
        """Do nothing: the folder is somebody else's."""


class TemporaryStore(LocalStore):
    """A store in a new temporary folder, which is removed together with this object, or at exit.

    A process that is killed cannot remove its folder. So each new store first removes the abandoned folders
    of other processes. A folder is in use as long as a process holds the lock on the file ``lock`` in it.
    (The folder could instead be named after the process, but containers that share a temporary folder do not
    share process ids.) Systems without ``fcntl`` have no such locks. There a folder has no file ``lock``, and
    no other process removes it.
    """

    def __init__(self) -> None:
        """Create a store.

        Raises:
            StoreError: no temporary folder can be made.
        """
        import tempfile  # not at the start of a worker

        try:
            _remove_abandoned_stores(tempfile.gettempdir())
            super().__init__(tempfile.mkdtemp(prefix=_FOLDER_PREFIX), _TMPDIR_HINT, private=True)
            self._lock = _lock_folder(self.root)
        except OSError as error:
            reason = descriptor_advice(error) or f"{error}. TMPDIR chooses another place"
            raise StoreError(f"cannot make a temporary folder: {reason}") from error
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _remove, self.root, self._lock, self._owner)

    def outlive_exit(self) -> None:
        """Keep the folder at exit until ``remove`` is called: jobs that still run then may need it."""
        self._finalizer.atexit = False

    def remove(self) -> None:
        """Remove the folder and its content."""
        _remove(self.root, self._lock, self._owner)

    def __reduce__(self) -> tuple[Any, ...]:
        # a worker uses the folder but never removes it
        return partial(LocalStore, private=True), (self.root, _TMPDIR_HINT)


def _is_transient(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _TRANSIENT_ERRORS


def _lock_folder(root: str) -> IO[bytes] | None:
    """Mark a folder as in use until the returned file is closed. Return None if the system has no locks."""
    if fcntl is None:
        return None
    lock = open(os.path.join(root, "lock"), "wb")  # noqa: SIM115  # stays open as long as the folder exists
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _remove_abandoned_stores(parent: str) -> None:
    """Remove the temporary stores of this user in a folder whose locks nobody holds."""
    if fcntl is None:
        return
    from pathlib import Path

    now = time.time()
    for lock in Path(parent).glob(f"{_FOLDER_PREFIX}*/lock"):
        with contextlib.suppress(OSError):  # in use, or another process is removing it
            state = lock.lstat()
            own = state.st_uid == os.getuid() and stat.S_ISREG(state.st_mode) and not state.st_size
            if own and now - state.st_mtime > _MINIMUM_AGE_S:
                with lock.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove_folder(lock.parent)


def _remove(root: str, lock: IO[bytes] | None, owner: int) -> None:
    if os.getpid() == owner:
        _remove_folder(root)
        if lock is not None:
            lock.close()


def _remove_folder(folder: str | os.PathLike[str]) -> None:
    import shutil  # not at the start of a worker

    shutil.rmtree(folder, ignore_errors=True)
