"""Keeps what jobs need in the store: functions, zips of modules, and objects that are referred to."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import weakref
from collections import Counter
from collections.abc import Iterable

from wrenlite.errors import StoreError
from wrenlite.protocol import code_key, ref_key, values_prefix
from wrenlite.storage.base import Store, digest
from wrenlite.storage.refs import Parcel

_log = logging.getLogger("wrenlite")

_LARGE = 1 << 20
"""Bytes. Smaller blobs stay as long as the store: the next job with the same function finds its own there."""


class Uploads:
    """Functions and module zips by their digest, counted by the jobs that hold them."""

    def __init__(self, store: Store, *, own: bool) -> None:
        """Args:
        store: where they go.
        own: nobody else uses the store, so that large blobs can go once no open job needs them.
        """
        self._store = store
        self._own = own
        self._lock = threading.Lock()
        self._holders: Counter[str] = Counter()
        self._held: dict[str, bytes] = {}
        self._there: set[str] = set()
        self._unheld: queue.SimpleQueue[str] = queue.SimpleQueue()

    def hold(self, blob: bytes) -> str:
        """Put a blob, unless it was put before; returns its digest. Raises StoreError, BackendError."""
        name = digest(blob)
        with self._lock:
            there = name in self._there
        if not there:  # without the lock: it may take its time, and two that do the same do no harm
            self._store.put(code_key(name), blob, if_absent=True)
        with self._lock:
            self._there.add(name)
            self._holders[name] += 1
            self._held[name] = blob
        return name

    def restore(self, names: Iterable[str]) -> None:
        """Put held blobs again that are gone from the store. Raises StoreError, BackendError."""
        for name in names:
            with self._lock:
                blob = self._held.get(name)
            if blob is not None:
                self._store.put(code_key(name), blob, if_absent=True)

    def release(self, names: Iterable[str]) -> None:
        """A job that held these has ended."""
        with self._lock:
            for name in names:
                self._holders[name] -= 1
                if not self._holders[name]:
                    del self._holders[name]
                    self._forget(name, self._held.pop(name))

    def put(self, parcel: Parcel) -> None:
        """Put an object that tasks will refer to, unless it is there. Raises StoreError, BackendError."""
        key = ref_key(parcel.ref.digest)
        if next(iter(self._store.list(key)), None) is None:
            self._store.put(key, parcel.blob, if_absent=True)

    def let_go_with(self, holder: object, job: str) -> None:
        """Once nobody has this object, the next sweep takes the values of the job with that id away."""
        if self._own:
            finalizer = weakref.finalize(holder, self._unheld.put, job)  # in whatever thread, at any time
            finalizer.atexit = False

    def sweep(self) -> None:
        """Delete values that nobody can ask for any more."""
        while True:
            try:
                job = self._unheld.get_nowait()
            except queue.Empty:
                return
            with contextlib.suppress(StoreError):  # they go with the store, then
                self._store.delete([entry.key for entry in self._store.list(values_prefix(job))])

    def _forget(self, name: str, blob: bytes) -> None:
        if self._own and len(blob) >= _LARGE:
            self._there.discard(name)
            try:
                self._store.delete([code_key(name)])
            except StoreError as error:  # it goes with the store, then
                _log.debug("%s", error)
