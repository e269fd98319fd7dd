"""Starts on this machine: a queue, the processes that run them, and a log.

The records of each kind of trigger are in a folder of their own. What was interrupted is found there again.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from wrenlite.durable.lease import TIMES
from wrenlite.errors import ConfigError, StoreError
from wrenlite.serving.code import Code
from wrenlite.serving.process import End, StartProcess
from wrenlite.serving.program import Order
from wrenlite.serving.publication import Every, Http, Objects, Publication, Trigger
from wrenlite.serving.starts import MOST_ATTEMPTS, PREFIX, Starts, as_iso, in_words, summary
from wrenlite.storage.local import LocalStore

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

_KINDS: Mapping[type[Trigger], str] = {Objects: "files", Http: "requests", Every: "times"}
"""The folder of the records of each kind of trigger."""
_TIMES = TIMES._replace(renew_s=1e9, lease_s=2e9)
"""Leases do not run out: a machine may sleep, and the lock of the folder keeps others away."""
_KEPT_S = 30 * 86_400.0
"""Seconds for which records of requests and times are kept. Those of files say which were taken already."""


class LocalStarts:
    """The starts of one function on this machine."""

    def __init__(
        self, publications: Iterable[Publication], code: Code, state: Path, say: Callable[[str], None]
    ) -> None:
        """Open the records.

        Args:
            publications: one for each trigger. All have the same name.
            code: of the function.
            state: the folder of the records. This object alone uses it as long as it lives.
            say: takes each line of the log.

        Raises:
            ConfigError: another process uses the folder.
            StoreError: the folder cannot be written to.
        """
        self._say = say
        self._lock_file = _lock(state)
        self._starts: dict[type[Trigger], Starts] = {}
        for each in publications:
            kind = type(each.on)
            store = LocalStore(state / _KINDS[kind], private=True)
            code.store(store, each)
            self._starts[kind] = Starts(store, each, _TIMES)
        self._waiting: queue.SimpleQueue[tuple[Starts, str] | None] = queue.SimpleQueue()
        self._known: set[str] = set()
        """Starts that wait or run."""
        self._running: set[StartProcess] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._threads: list[threading.Thread] = []

    def run(self, at_once: int) -> None:
        """Run starts from now on, first those that were interrupted.

        Args:
            at_once: how many at the same time.
        """
        for kind, starts in self._starts.items():
            if kind is not Objects:
                _forget_old(starts, time.time() - _KEPT_S)
            for start in starts.unfinished():
                self._say(f"{start} was interrupted, and begins anew")
                starts.forget_holders(start)
                self._wait(starts, start)
        for _ in range(at_once):
            thread = threading.Thread(target=self._work, name="wrenlite-start")
            thread.start()
            self._threads.append(thread)

    def begin(self, kind: type[Trigger], event: Mapping[str, Any], key: str | None = None) -> str:
        """Begin a start, unless this event has come before. Return its id.

        Args:
            kind: of the trigger.
            event: what the function is called with.
            key: identifies an event that is no file.

        Raises:
            BadInput: the key has come before, with another event.
            StoreError: the records cannot be written.
        """
        starts = self._starts[kind]
        begun = starts.begin(event, key)
        if not begun.is_over and self._wait(starts, begun.record.id):
            self._say(f"{begun.record.id} begins: {in_words(starts.publication.on, event)}")
        return begun.record.id

    def status(self, start: str) -> dict[str, Any] | None:
        """Return how far a start is; None: there is none of this id."""
        found = (starts.status(start) for starts in self._starts.values())
        return next((status for status in found if status is not None), None)

    def recent(self, most: int) -> list[dict[str, Any]]:
        """Return the status of the newest starts, the newest first.

        Args:
            most: how many at most.
        """
        found = [status for starts in self._starts.values() for status in starts.recent(most)]
        return sorted(found, key=lambda status: str(status["queued"]), reverse=True)[:most]

    def stop(self) -> None:
        """End what runs, and wait for that. What was not over begins anew with the next ``run``."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        stoppers = [threading.Thread(target=each.stop) for each in running]
        for thread in stoppers:
            thread.start()
        for _ in self._threads:
            self._waiting.put(None)
        for thread in (*stoppers, *self._threads):
            thread.join()
        if self._lock_file is not None:
            self._lock_file.close()

    def _wait(self, starts: Starts, start: str) -> bool:
        """Have a start run, unless it waits or runs already. Return whether it does not."""
        with self._lock:
            if start in self._known:
                return False
            self._known.add(start)
        self._waiting.put((starts, start))
        return True

    def _work(self) -> None:
        while (found := self._waiting.get()) is not None and not self._stopped:
            starts, start = found
            again = False
            try:
                again = self._run(starts, start)
            except (StoreError, OSError) as error:
                self._say(f"{start} cannot be run: {error}")
            with self._lock:
                self._known.discard(start)
            if again:
                self._wait(starts, start)

    def _run(self, starts: Starts, start: str) -> bool:
        """Run a start. Return whether it must be run again, since its process ended before it was over."""
        record, status = starts.read(start)
        holder = starts.holder(start)
        starts.forget_holders(start)  # the lock of the folder says that they have ended
        holder.try_to_take()
        attempts = status.get("attempts", 0) + 1
        order = Order(record, record.publication(starts.publication), starts.store, status, attempts)
        process = StartProcess(order, holder, _environment())
        with self._lock:
            self._running.add(process)
        if self._stopped:
            process.stop()
        end = process.wait()
        with self._lock:
            self._running.discard(process)
        status = starts.read(start)[1] or starts.queued(record)
        if end is not End.OVER and self._stopped:
            self._say(f"{start} is interrupted: it begins anew when this is served again")
            starts.write({**status, "status": "queued", "attempts": attempts - 1})
            starts.forget_holders(start)
            return False
        if end is not End.OVER and attempts < MOST_ATTEMPTS:
            self._say(f"{start}: {process.why_it_died()}. It is run again")
            return True
        if end is not End.OVER:
            starts.fail(start, f"{process.why_it_died()}. This was attempt {attempts}, the last one")
        for line in summary(starts.read(start)[1]):
            self._say(line)
        return False


def next_time(every: Every, now: float) -> float:
    """Return the next time of a schedule: full intervals since 1970, and so a day begins at 00:00 UTC.

    Args:
        every: the schedule.
        now: seconds since the epoch, as is what is returned.
    """
    assert every.seconds is not None
    return (now // every.seconds + 1) * every.seconds


def keep_time(every: Every, begin: Callable[[Mapping[str, Any], str], object], stop: threading.Event) -> None:
    """Begin a start at each time of a schedule, until this is stopped.

    Args:
        every: the schedule.
        begin: takes the event, and what identifies it.
        stop: is set to stop.
    """
    due = next_time(every, time.time())
    while not stop.wait(min(max(0.0, due - time.time()), 1.0)):  # the clock may be set meanwhile
        if time.time() >= due:
            begin({"time": as_iso(due)}, as_iso(due))
            due = next_time(every, time.time())


def _lock(state: Path) -> IO[bytes] | None:
    """Mark the folder of the records as used, until the returned file is closed.

    Raises:
        ConfigError: another process uses it.
        StoreError: it cannot be written to.
    """
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = open(state / "lock", "ab")  # noqa: SIM115  # stays open
    except OSError as error:
        raise StoreError(
            f"cannot write to {state}: {error.strerror}. --state names another folder"
        ) from error
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise ConfigError(
                f"another wrenlite serve runs this function, with the records in {state}: give all triggers "
                "to that one, or another folder to this one (--state)"
            ) from None
    return file


def _environment() -> dict[str, str]:
    """Return the environment of starts: their progress is in the status, and not drawn."""
    return {"WRENLITE_PROGRESS": "false", **os.environ}


def _forget_old(starts: Starts, before: float) -> None:
    """Delete the records of starts that are older than a time."""
    newest: dict[str, float] = {}
    keys: dict[str, list[str]] = {}
    for entry in starts.store.list(f"{PREFIX}/"):
        start = entry.key.split("/")[1]
        newest[start] = max(newest.get(start, 0.0), entry.modified)
        keys.setdefault(start, []).append(entry.key)
    starts.store.delete(key for start, names in keys.items() if newest[start] < before for key in names)
