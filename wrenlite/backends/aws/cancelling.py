"""Stop what runs on Lambda: the client puts an object into the store, and the sandbox looks for it.

::

    client                                  store                     sandbox, while a batch runs
    cancel ─▶ Canceller ── one put per job ─▶ args/<job>/cancel ◀── a get every 10 s ── CancelWatch
                                              signed invocations                            │ kills
                                                                                            ▼ the worker
    the reply: outcomes so far, and the tasks that did not start ◀──────────────────── the batch ends

Lambda itself cannot stop an invocation: without this it goes on to its end, and is billed.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence

from wrenlite.backends.aws import payload
from wrenlite.errors import NotFound
from wrenlite.protocol import Request, cancel_key
from wrenlite.storage.base import Store

CANCEL_INTERVAL_S = 10.0
"""Seconds between two looks of a sandbox. The first comes after as long: shorter batches cost nothing."""
_CLOSE_TIMEOUT_S = 5.0
"""Seconds that an ending program waits at most until the last cancel is in the store."""

Unwanted = Sequence[tuple[Request, Sequence[int]]]
"""Requests in flight, and which of their tasks nobody wants the outcomes of any more."""


class Canceller:
    """Puts the cancels of a client into the store, in a thread."""

    def __init__(self, store: Store, unwanted: Callable[[str], Unwanted]) -> None:
        """Create a canceller. It starts no thread and sends nothing yet.

        Args:
            store: where sandboxes look.
            unwanted: returns what is to be cancelled of a job, among its invocations in flight.
        """
        self._store = store
        self._unwanted = unwanted
        self._jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Start the thread, before the interpreter ends: Python 3.12 starts none after that."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="wrenlite-cancel", daemon=True)
            with contextlib.suppress(RuntimeError):  # this user has too many threads: there may be room later
                thread.start()
                self._thread = thread

    def cancel(self, request: Request) -> None:
        """Have the cancels of the job of a request put into the store soon, many of them at once."""
        self._jobs.put(request.job)
        self.open()

    def close(self) -> None:
        """Wait until all cancels are in the store, but not for long."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(_CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        closed = False
        while not closed:
            found = [self._jobs.get()]
            while not self._jobs.empty():
                found.append(self._jobs.get())
            closed = None in found
            for job in dict.fromkeys(each for each in found if each is not None):
                self._put(job)

    def _put(self, job: str) -> None:
        unwanted = self._unwanted(job)
        if not unwanted:  # all have ended meanwhile
            return
        try:
            self._store.put(cancel_key(job), payload.encode_cancel(unwanted))
        except Exception as error:  # of the store, the network or the credentials
            import logging  # not in the sandbox, which starts without it

            logging.getLogger("wrenlite").warning(
                "cannot cancel what job %s runs on Lambda, which goes on to its end and is billed: %s",
                job,
                error,
            )


class CancelWatch:
    """Looks for a cancel of one batch while it runs, and kills its worker."""

    def __init__(
        self,
        request: Request,
        store: Store,
        running: Callable[[], Sequence[int]],
        kill: Callable[[], None],
    ) -> None:
        """Begin to look, where the request says how often.

        Args:
            request: the batch.
            store: where to look.
            running: returns the number of the task that runs now; nothing between two tasks.
            kill: kills the worker.
        """
        self.unwanted: frozenset[int] = frozenset()
        """The tasks because of which the worker was killed; none where it was not."""
        self._request = request
        self._store = store
        self._running = running
        self._kill = kill
        self._over = threading.Event()
        self._lock = threading.Lock()  # held to kill, so that a late kill never hits the next batch
        interval_s = request.limits.cancel_interval_s
        if interval_s is not None:
            thread = threading.Thread(target=self._watch, args=(interval_s,), daemon=True)
            thread.start()

    def close(self) -> None:
        """Stop looking: the batch has ended."""
        with self._lock:
            self._over.set()

    def _watch(self, interval_s: float) -> None:
        while not self._over.wait(interval_s):
            try:
                blob = self._store.get(cancel_key(self._request.job))
                unwanted = payload.decode_cancel(self._request, blob)
            except NotFound:
                continue
            except Exception as error:  # perhaps only for the moment, or the object is nobody's cancel
                print(f"wrenlite: cannot read whether {self._request.invocation} is cancelled: {error}")
                continue
            if self._stop(frozenset(unwanted)):
                return

    def _stop(self, unwanted: frozenset[int]) -> bool:
        """Kill the worker if it runs one of these tasks, or if no other task is left. Return whether."""
        with self._lock:
            needed = unwanted.issuperset(self._request.tasks) or not unwanted.isdisjoint(self._running())
            if needed and not self._over.is_set():
                self.unwanted = unwanted
                self._kill()
            return needed
