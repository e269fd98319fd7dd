"""``ReplyCopy``: what a batch that takes long leaves in the store, for a client whose connection broke.

First that it runs, then its reply, both at ``protocol.reply_key``. A client that finds neither knows that the
batch did not begin, or has ended soon. Each is one PUT. Batches that end sooner send none; those of detached
jobs leave their reply all the same.
"""

from __future__ import annotations

import queue
import threading

from wrenlite.backends.aws import payload
from wrenlite.protocol import Request, reply_key
from wrenlite.storage.base import Store

RUNS = b""
"""The body that says that the batch runs. No reply is empty."""


class ReplyCopy:
    """The copy of one reply. It is written in a thread of its own, so that the batch never waits."""

    def __init__(self, store: Store, request: Request, after_s: float) -> None:
        """Begin to wait for the reply.

        Args:
            store: takes the copy.
            request: the batch.
            after_s: seconds after which the batch counts as long.
        """
        self.is_kept = request.limits.keeps_reply
        """Whether the reply will be put into the store: it is wanted, or the batch counts as long."""
        self._store = store
        self._request = request
        self._after_s = after_s
        self._reply: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def finish(self, body: bytes, timeout_s: float) -> None:
        """Leave the reply in the store, where it is to be kept.

        Args:
            body: the reply.
            timeout_s: seconds to wait at most until it is there.
        """
        self._reply.put(body)
        self._thread.join(max(0.0, timeout_s))

    def _write(self) -> None:
        try:
            reply = self._reply.get(timeout=self._after_s)
        except queue.Empty:
            self.is_kept = True
            self._put(RUNS)
            reply = self._reply.get()
        if self.is_kept:
            self._put(reply)

    def _put(self, body: bytes) -> None:
        request = self._request
        try:
            self._store.put(reply_key(request.job, request.invocation), payload.add_mac(request, body))
        except Exception as error:  # no failure: the reply itself is still returned
            print(f"wrenlite: cannot put the reply of {request.invocation} into the store: {error}")
