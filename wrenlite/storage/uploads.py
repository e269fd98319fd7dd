"""What the client uploads for its jobs: functions, zips of modules, and objects that tasks refer to.

Small code travels inside requests, so that no worker fetches it and no request waits for its upload. In a
store that others use it is stored all the same, beside the first requests: later requests and other clients
find it there. A folder of this process alone holds only what does not travel.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import NamedTuple

from wrenlite.errors import StoreError, WrenliteError
from wrenlite.protocol import Missing, code_key, values_prefix
from wrenlite.storage.base import Store, digest
from wrenlite.storage.refs import PackedObject
from wrenlite.threads import OneThread

_log = logging.getLogger("wrenlite")

_LARGE_BYTES = 1 << 20
"""Smaller blobs stay as long as the store, so that the next job with the same function finds it there."""
CARRIED_BYTES = 32 << 10
"""The most bytes of a compressed function or zip that travels inside requests."""
_COMPRESSED_BYTES = 8 * CARRIED_BYTES
"""A larger blob is not even compressed, to see how small it becomes."""


_UPLOADS_AT_ONCE = 16
"""Each takes a connection, and so a file descriptor."""


class Upload:
    """Puts something into the store, in a thread, and tells others how that ended."""

    def __init__(self, put: Callable[[], object]) -> None:
        """Create an upload that has not begun.

        Args:
            put: does it.
        """
        self.is_over = False
        """Whether it has ended."""
        self._put: Callable[[], object] | None = put
        self._error: WrenliteError | None = None
        self._one = OneThread("wrenlite-upload")
        self._waiting: list[Callable[[WrenliteError | None], object]] = []

    def start(self) -> None:
        """Begin it in a thread, unless that was done before."""
        try:
            self._one.start(self.run)
        except RuntimeError:  # the interpreter is ending, or this user has too many threads
            self.run()

    def run(self) -> None:
        """Do it in this thread."""
        put, self._put = self._put, None  # it holds the blob
        if put is None:  # a signal handler interrupted this
            return
        try:
            put()
        except WrenliteError as error:
            self._error = error
        except Exception as error:  # a defect of wrenlite: jobs must not wait for ever
            text = f"an internal error of wrenlite kept its code out of the store: {error!r}"
            self._error = WrenliteError(f"{text}. Please report it")
        self.is_over = True
        self._tell()

    def then(self, tell: Callable[[WrenliteError | None], object]) -> None:
        """Have a function called once with the error, or with None, when the upload has ended."""
        self._waiting.append(tell)
        if self.is_over:
            self._tell()

    def _tell(self) -> None:
        # Two threads may do this at once, and each takes what the other has not taken.
        with contextlib.suppress(IndexError):
            while True:
                self._waiting.pop()(self._error)


class JobCode(NamedTuple):
    """How the code of a job reaches its workers."""

    function: str
    """SHA-256 of the pickled function, hexadecimal."""
    modules: str | None = None
    """SHA-256 of the zip of the user's local modules; None where there are none."""
    carried: tuple[bytes, ...] = ()
    """What of the two travels inside requests, compressed."""
    uploads: tuple[Upload, ...] = ()
    """What is being stored, or could not be."""

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of the blobs."""
        return tuple(name for name in (self.function, self.modules) if name)

    @property
    def is_complete(self) -> bool:
        """Whether all of it travels inside requests."""
        return len(self.carried) == len(self.digests)

    @property
    def size(self) -> int:
        """Bytes that one request carries."""
        return sum(map(len, self.carried))


class Uploads:
    """The blobs that one client has uploaded to a store.

    Functions and module zips are identified by their digests. For each of them, the jobs that use it are
    counted.
    """

    def __init__(self, store: Store, *, own: bool) -> None:
        """Create a record of uploads.

        Args:
            store: the blobs go there.
            own: nobody else uses the store, which is a folder: what does not travel is written at once, and
                large blobs can be deleted once no open job needs them.
        """
        self._store = store
        self._own = own
        # There is no lock, since a signal handler may interrupt ``acquire`` and wait for a task. Each
        # operation on one of these is atomic. A second upload of the same blob is harmless.
        self._used: dict[str, list[bytes]] = {}
        """The blobs that open jobs use, by their digests: one reference for each job."""
        self._uploaded: set[str] = set()
        self._uploading: dict[str, Upload] = {}
        self._slots = threading.BoundedSemaphore(_UPLOADS_AT_ONCE)  # only threads of uploads wait for it
        self._unreachable_jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._deleting: set[str] = set()
        """Those of them that a thread is busy with."""

    def acquire(self, function: bytes, modules: bytes | None = None) -> JobCode:
        """Use code for a job, and upload what was not uploaded before. ``release`` ends the use.

        Args:
            function: a pickled function.
            modules: a zip of modules.

        Raises:
            StoreError: it cannot be stored in a folder. Errors of other stores come with ``uploads``.
        """
        blobs = {digest(blob): blob for blob in (function, modules) if blob is not None}
        compressed = {name: _compressed(blob) for name, blob in blobs.items()}
        for name, blob in blobs.items():
            used = self._used.setdefault(name, [])
            used.append((used[:1] or [blob])[0])
        try:
            uploads = [self._upload(name, blob, bool(compressed[name])) for name, blob in blobs.items()]
        except BaseException:
            self.release(blobs)
            raise
        first, *others = blobs
        return JobCode(
            first,
            others[0] if others else None,
            tuple(filter(None, compressed.values())),
            tuple(filter(None, uploads)),
        )

    def _upload(self, name: str, blob: bytes, is_carried: bool) -> Upload | None:
        """Store a blob, or begin to.

        Returns:
            The upload where it goes on, or has just failed; None where nobody has to wait for it.
        """
        if name in self._uploaded or (self._own and is_carried):
            return None
        if self._own:
            self._store.put(code_key(name), blob, if_absent=True)
            self._uploaded.add(name)
            return None

        def put() -> None:
            try:
                with self._slots:
                    self._store.put(code_key(name), blob, if_absent=True)
                self._uploaded.add(name)
            except WrenliteError as error:
                if is_carried:
                    _log.warning("%s. Jobs with this function go on: their requests carry it", error)
                raise
            finally:
                self._uploading.pop(name, None)  # the next job tries again

        upload = self._uploading.setdefault(name, Upload(put))
        upload.start()
        return upload

    def blobs(self, code: JobCode) -> tuple[bytes, bytes | None]:
        """Return the function and the zip of modules of a job that uses them now."""
        return self._used[code.function][0], self._used[code.modules][0] if code.modules else None

    def upload_again(self, digests: Iterable[str], missing: Missing) -> None:
        """Upload blobs that jobs use, in place of whatever the store holds.

        Args:
            digests: the digests of the blobs.
            missing: which of them a worker did not find, or found to be another one.

        Raises:
            StoreError: a blob cannot be stored.
            BackendError: the store cannot be used.
        """
        if missing.damaged:
            self._log_replaced(missing.key)
        else:
            _log.info("%s is gone from %r and is put there again", missing.key, self._store)
        for name in digests:
            for blob in self._used.get(name, ())[:1]:
                self._store.put(code_key(name), blob)
                self._uploaded.add(name)

    def release(self, digests: Iterable[str]) -> None:
        """End the use of blobs by one job. From an own store, large blobs without a job are deleted."""
        for name in digests:
            blob = self._used[name].pop()
            if not self._used[name]:
                self._delete_if_large(name, blob)

    def upload_object(self, packed: PackedObject, job: str | None = None) -> None:
        """Upload an object that tasks will refer to, unless the store holds it unchanged.

        Args:
            packed: the pickled object.
            job: the job that it belongs to, whose id is new: it is deleted when nothing can need it any more.

        Raises:
            StoreError: it cannot be stored.
            BackendError: the store cannot be used.
        """
        if job is not None:
            self._store.put(packed.key, packed.blob)
            self.delete_values_after(packed.holder, job, always=True)
        elif self._store.repair(packed.key, packed.blob):
            self._log_replaced(packed.key)

    def delete_values_after(self, holder: object, job: str, *, always: bool = False) -> None:
        """Mark the stored values of a job for deletion once an object is no longer referenced.

        Args:
            holder: the object through which the values can be reached.
            job: the id of the job.
            always: also in a store that others use, which deletes values itself after a while.
        """
        if self._own or always:
            # The finalizer runs in any thread and at any time, so it only leaves the job's id.
            finalizer = weakref.finalize(holder, self._unreachable_jobs.put, job)
            finalizer.atexit = False

    def delete_unreachable_values(self, *, wait: bool = False) -> None:
        """Delete the stored values of jobs that are no longer referenced.

        Args:
            wait: return when that is done. Otherwise a thread does it, where the store is no folder.
        """
        if self._own or wait:
            for job in tuple(self._deleting):  # a thread may be busy with it: whoever waits does it, too
                self._unreachable_jobs.put(job)
            self._delete_unreachable_values()
        elif not self._unreachable_jobs.empty():
            Upload(self._delete_unreachable_values).start()

    def _delete_unreachable_values(self) -> None:
        while True:
            try:
                job = self._unreachable_jobs.get_nowait()
            except queue.Empty:
                return
            self._deleting.add(job)
            # Values that stay are deleted together with the store, or by the bucket after a while.
            with contextlib.suppress(WrenliteError):
                self._store.delete([entry.key for entry in self._store.list(values_prefix(job))])
            self._deleting.discard(job)

    def delete_values(self, keys: Iterable[str]) -> None:
        """Delete stored values before their job is over. A store that others use keeps them until then."""
        if self._own:
            with contextlib.suppress(WrenliteError):  # they are deleted together with the store
                self._store.delete(list(keys))

    def _log_replaced(self, key: str) -> None:
        _log.warning(
            "%s in %r was changed or damaged, and the right blob is put in its place. Does another program "
            "write to this store?",
            key,
            self._store,
        )

    def _delete_if_large(self, name: str, blob: bytes) -> None:
        if self._own and len(blob) >= _LARGE_BYTES:
            self._uploaded.discard(name)
            try:
                self._store.delete([code_key(name)])
            except StoreError as error:  # the blob is then deleted together with the store
                _log.debug("%s", error)


@functools.lru_cache(maxsize=16)
def _compressed(blob: bytes) -> bytes:
    """Return a blob as it travels inside requests; nothing where it is too large for that."""
    if len(blob) > _COMPRESSED_BYTES:
        return b""
    import zlib  # not at the import of wrenlite

    small = zlib.compress(blob, 1)
    return small if len(small) <= CARRIED_BYTES else b""
