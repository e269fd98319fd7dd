"""What the client uploads for its jobs: functions, zips of modules, and objects that tasks refer to."""

from __future__ import annotations

import contextlib
import logging
import queue
import weakref
from collections.abc import Iterable

from wrenlite.errors import StoreError
from wrenlite.protocol import Missing, code_key, ref_key, values_prefix
from wrenlite.storage.base import Store, digest
from wrenlite.storage.refs import PackedObject

_log = logging.getLogger("wrenlite")

_LARGE_BYTES = 1 << 20
"""Smaller blobs stay as long as the store, so that the next job with the same function finds it there."""


class Uploads:
    """The blobs that one client has uploaded to a store.

    Functions and module zips are identified by their digests. For each of them, the jobs that use it are
    counted.
    """

    def __init__(self, store: Store, *, own: bool) -> None:
        """Create a record of uploads.

        Args:
            store: the blobs go there.
            own: nobody else uses the store, so large blobs can be deleted once no open job needs them.
        """
        self._store = store
        self._own = own
        # There is no lock, since a signal handler may interrupt ``acquire`` and wait for a task. Each
        # operation on one of these is atomic.
        self._used: dict[str, list[bytes]] = {}
        """The blobs that open jobs use, by their digests: one reference for each job."""
        self._uploaded: set[str] = set()
        self._unreachable_jobs: queue.SimpleQueue[str] = queue.SimpleQueue()

    def acquire(self, blob: bytes) -> str:
        """Upload a blob for a job, unless it was uploaded before. Return its digest.

        Args:
            blob: a pickled function or a zip of modules. ``release`` ends its use by the job.

        Raises:
            StoreError: it cannot be stored.
            BackendError: the store cannot be used.
        """
        name = digest(blob)
        used = self._used.setdefault(name, [])
        used.append((used[:1] or [blob])[0])
        if name not in self._uploaded:  # a second upload of the same blob is harmless
            try:
                self._store.put(code_key(name), blob, if_absent=True)
            except BaseException:
                used.pop()
                raise
            self._uploaded.add(name)
        return name

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

    def release(self, digests: Iterable[str]) -> None:
        """End the use of blobs by one job. From an own store, large blobs without a job are deleted."""
        for name in digests:
            blob = self._used[name].pop()
            if not self._used[name]:
                self._delete_if_large(name, blob)

    def upload_object(self, packed: PackedObject) -> None:
        """Upload an object that tasks will refer to, unless the store holds it unchanged.

        Args:
            packed: the pickled object.

        Raises:
            StoreError: it cannot be stored.
            BackendError: the store cannot be used.
        """
        key = ref_key(packed.ref.digest)
        if self._store.repair(key, packed.blob):
            self._log_replaced(key)

    def delete_values_after(self, holder: object, job: str) -> None:
        """Mark the stored values of a job for deletion once an object is no longer referenced.

        Args:
            holder: the object through which the values can be reached.
            job: the id of the job.
        """
        if self._own:
            # The finalizer runs in any thread and at any time, so it only leaves the job's id.
            finalizer = weakref.finalize(holder, self._unreachable_jobs.put, job)
            finalizer.atexit = False

    def delete_unreachable_values(self) -> None:
        """Delete the stored values of jobs that are no longer referenced."""
        while True:
            try:
                job = self._unreachable_jobs.get_nowait()
            except queue.Empty:
                return
            with contextlib.suppress(StoreError):  # the values are then deleted together with the store
                self._store.delete([entry.key for entry in self._store.list(values_prefix(job))])

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
