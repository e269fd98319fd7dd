"""Keeps what jobs need in the store, and takes large blobs out once no open job needs them."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable

from wrenlite.codec import digest
from wrenlite.errors import StoreError
from wrenlite.protocol import code_key
from wrenlite.store import Store

_log = logging.getLogger("wrenlite")

_LARGE = 1 << 20
"""Bytes. Smaller blobs stay as long as the store: the next job with the same function finds its own there."""


class Blobs:
    """Functions and module zips by their digest, counted by the jobs that hold them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._holders: Counter[str] = Counter()
        self._large: set[str] = set()

    def hold(self, blob: bytes) -> str:
        """Put a blob where it is not there yet; returns its digest. Raises StoreError."""
        name = digest(blob)
        with self._lock:
            self._store.put(code_key(name), blob, if_absent=True)
            self._holders[name] += 1
            if len(blob) >= _LARGE:
                self._large.add(name)
        return name

    def release(self, names: Iterable[str]) -> None:
        """A job that held these has ended."""
        with self._lock:
            for name in names:
                self._holders[name] -= 1
                if not self._holders[name]:
                    del self._holders[name]
                    self._forget(name)

    def _forget(self, name: str) -> None:
        if name in self._large:
            self._large.discard(name)
            try:
                self._store.delete([code_key(name)])
            except StoreError as error:  # it goes with the store, then
                _log.debug("%s", error)
