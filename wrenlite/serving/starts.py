"""The records of starts: what began them, who runs them, and how far they are.

::

    starts/<start>/start      the event, the code, a key: written once, and so the start begins once
                   start-2    the same for the second run, where the first one has failed and the event is new
                   lease/<n>  who runs it: see ``durable.lease``. Only one can write the next number
                   status     how far it is: what ``GET /jobs/ID`` answers
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from wrenlite.durable.lease import TIMES, Holder, Lease, Times
from wrenlite.errors import BadInput, NotFound, StoreError
from wrenlite.serving.publication import Every, Http, Objects, Publication, Trigger
from wrenlite.storage.base import Entry, Store
from wrenlite.texts import counted

PREFIX = "starts"
"""The part of the store where starts are. Objects there expire, and no task may read them."""
OVER = ("done", "failed")
MOST_ATTEMPTS = 3
"""How often a start is begun whose process ends before it is over: as often as Lambda delivers an event."""
_SEQUENCER_DIGITS = 64


class Record(NamedTuple):
    """What one run of a start begins with."""

    id: str
    """Of the start."""
    run: int
    """1, or more where runs before it have failed."""
    event: Mapping[str, Any]
    """JSON."""
    function: str
    """SHA-256 of the function, as it was published then."""
    modules: str
    """The same of its modules."""
    key: str
    """From which the keys of its jobs follow, hexadecimal."""
    at: float
    """When the event came, in seconds since the epoch."""

    def publication(self, published: Publication) -> Publication:
        """Return what was published when this start began."""
        return published._replace(function=self.function, modules=self.modules)


class Begun(NamedTuple):
    """A start that an event has begun, now or before."""

    record: Record
    is_new: bool
    """Whether this event has begun it."""
    is_over: bool


def digits_of(publication: Publication, event: Mapping[str, Any], key: str | None) -> str:
    """Return the digits of the id of a start: the same ones for the same event.

    Args:
        publication: what is started.
        event: the event.
        key: identifies an event that has no identity of its own; None: it is a new one.
    """
    if isinstance(publication.on, Objects):
        identity = ["object", event["bucket"], event["key"], event.get("version") or event["etag"]]
    elif key is None:
        return os.urandom(16).hex()
    else:
        identity = ["key", publication.name, key]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def is_newer(event: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether an event of the same object came after another one, and is none that was delayed."""
    first, second = (str(each.get("sequencer") or "") for each in (other, event))
    return second.rjust(_SEQUENCER_DIGITS, "0") > first.rjust(_SEQUENCER_DIGITS, "0")


def gets_further(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether another process gets further with a start than the one whose time is up.

    Its function is called again from the beginning, and its maps have gone on.

    Args:
        before: the status when that process began.
        now: the status now.
    """
    jobs, total, ended = now.get("kept", _NOTHING)
    jobs_before, _, ended_before = before.get("kept", _NOTHING)
    return bool(ended < total or ended > ended_before or jobs > jobs_before)


_NOTHING = 0, 0, 0
_OWN = frozenset({"kept", "own_dollars"})
"""What of a status only the next process of the start needs."""


class Starts:
    """The starts of one published job."""

    def __init__(self, store: Store, publication: Publication, times: Times = TIMES) -> None:
        """Create it. This reads nothing yet.

        Args:
            store: of the deployment.
            publication: the job.
            times: how often who runs a start says that it is there.
        """
        self.store = store
        self.publication = publication
        self.times = times

    def begin(self, event: Mapping[str, Any], key: str | None = None) -> Begun:
        """Write down that an event has come, unless it came before.

        Args:
            event: what the function is called with, as JSON.
            key: identifies the event, where it is none of an object.

        Raises:
            BadInput: another request had this key.
            StoreError: the store cannot be used.
        """
        published = self.publication
        start = published.start_id(digits_of(published, event, key))
        code = published.function, published.modules
        record = Record(start, 1, event, *code, os.urandom(32).hex(), time.time())
        if self._write(record):
            return Begun(record, is_new=True, is_over=False)
        status = self._raw_status(start)
        found = self._read(start, _run_of(status))
        if found.key == record.key:  # the answer of the store was lost, and the request was sent again
            return Begun(record, is_new=True, is_over=False)
        if status.get("status") == "failed" and is_newer(event, found.event):
            record = record._replace(run=found.run + 1)
            if not self._write(record):
                record = self._read(start, record.run)
            self.write(self.queued(record))
            return Begun(record, is_new=True, is_over=False)
        if isinstance(published.on, Http) and found.event != event:
            raise BadInput("the Idempotency-Key of this request was that of another one, with other fields")
        return Begun(found, is_new=False, is_over=status.get("status") in OVER)

    def read(self, start: str) -> tuple[Record, dict[str, Any]]:
        """Return the record of the last run of a start, and its status; an empty one: it has none yet.

        Raises:
            NotFound: there is no such start, or not any more.
            StoreError: the store cannot be read.
        """
        status = self._raw_status(start)
        return self._read(start, _run_of(status)), status

    def status(self, start: str) -> dict[str, Any] | None:
        """Return how far a start is, for people; None: there is none of this id, or not any more.

        Raises:
            StoreError: the store cannot be read.
        """
        if not self.publication.has_start(start):
            return None
        try:
            record, status = self.read(start)
        except NotFound:
            return None
        status = {name: each for name, each in (status or self.queued(record)).items() if name not in _OWN}
        if status["status"] in OVER:
            return status
        lease = self.lease(start)
        if lease is None or time.time() < lease.lost:
            return status
        text = "the process that ran this start has ended, and no other one came; its log says more"
        return {**status, "status": "failed", "error": {"type": "KeeperDied", "message": text}}

    def recent(self, most: int) -> list[dict[str, Any]]:
        """Return the status of the newest starts, the newest first.

        Args:
            most: how many at most.

        Raises:
            StoreError: the store cannot be read.
        """
        entries = sorted(self._records(), key=lambda entry: -entry.modified)[:most]
        found = (self.status(entry.key.split("/")[1]) for entry in entries)
        return [status for status in found if status is not None]

    def unfinished(self) -> list[str]:
        """Return the ids of the starts that are not over, the oldest first.

        Raises:
            StoreError: the store cannot be read.
        """
        starts = [
            entry.key.split("/")[1] for entry in sorted(self._records(), key=lambda each: each.modified)
        ]
        return [start for start in starts if self._raw_status(start).get("status") not in OVER]

    def _records(self) -> Iterator[Entry]:
        for entry in self.store.list(f"{PREFIX}/{self.publication.name}-"):
            _, start, name = entry.key.split("/", 2)
            if name == "start" and self.publication.has_start(start):
                yield entry

    def queued(self, record: Record) -> dict[str, Any]:
        """Return the status of a start that has not begun."""
        return {
            "id": record.id,
            "name": self.publication.name,
            "event": in_words(self.publication.on, record.event),
            "status": "queued",
            "queued": as_iso(record.at),
            "begun": None,
            "ended": None,
            "seconds": None,
            "tasks": {"total": 0, "done": 0, "failed": 0},
            "jobs": [],
            "outputs": outputs_of(self.publication, record.id),
            "files": [],
            "rejected": [],
            "rejected_rows": 0,
            "result": None,
            "error": None,
            "dollars": 0.0,
            "handed_over": 0,
            "run": record.run,
            "attempts": 0,
            "kept": _NOTHING,  # of jobs that go on without this process: jobs, tasks, tasks that have ended
        }

    def write(self, status: Mapping[str, Any]) -> None:
        """Write how far a start is.

        Raises:
            StoreError: the store cannot be written to.
        """
        self.store.put(f"{PREFIX}/{status['id']}/status", json.dumps(status, allow_nan=False).encode())

    def fail(self, start: str, why: str) -> None:
        """Write that a start has failed, since its own process cannot.

        Args:
            start: its id.
            why: for its status.

        Raises:
            NotFound: there is no such start.
            StoreError: the store cannot be used.
        """
        record, status = self.read(start)
        now = time.time()
        self.write(
            {
                **(status or self.queued(record)),
                "status": "failed",
                "ended": as_iso(now),
                "seconds": round(now - record.at, 3),
                "error": {"type": "WorkerDied", "message": why},
            }
        )

    def lease(self, start: str) -> Lease | None:
        """Return who runs a start; None: nobody has begun to."""
        return _Leases(self.store, start).read()

    def holder(self, start: str) -> Holder:
        """Return what takes the lease of a start, and renews it."""
        leases = _Leases(self.store, start)
        return Holder(leases.read, leases.write, self.times, leases.claim)

    def forget_holders(self, start: str) -> None:
        """Forget who has held the lease of a start, where it is known that they have ended."""
        self.store.delete([entry.key for entry in self.store.list(f"{PREFIX}/{start}/lease/")])

    def _raw_status(self, start: str) -> dict[str, Any]:
        try:
            status: dict[str, Any] = json.loads(self.store.get(f"{PREFIX}/{start}/status"))
        except NotFound:
            return {}
        return status

    def _write(self, record: Record) -> bool:
        return self.store.put(_key(record.id, record.run), json.dumps(record).encode(), if_absent=True)

    def _read(self, start: str, run: int) -> Record:
        blob = self.store.get(_key(start, run))
        try:
            return Record(*json.loads(blob))
        except (ValueError, TypeError) as error:
            raise StoreError(f"{_key(start, run)} cannot be read: {error}. Begin another start") from error


class _Leases:
    """The leases of one start. The one of the highest number counts."""

    def __init__(self, store: Store, start: str) -> None:
        self._store = store
        self._prefix = f"{PREFIX}/{start}/lease/"
        self._number = 0

    def read(self) -> Lease | None:
        keys = [entry.key for entry in self._store.list(self._prefix)]
        if not keys:
            return None
        self._number = int(keys[-1].removeprefix(self._prefix))
        return Lease(*json.loads(self._store.get(keys[-1])))

    def claim(self, lease: Lease) -> bool:
        if not self._put(lease, self._number + 1, if_absent=True):
            return False
        self._number += 1
        return True

    def write(self, lease: Lease) -> None:
        self._put(lease, self._number)

    def _put(self, lease: Lease, number: int, *, if_absent: bool = False) -> bool:
        return self._store.put(f"{self._prefix}{number:06d}", json.dumps(lease).encode(), if_absent=if_absent)


def _key(start: str, run: int) -> str:
    return f"{PREFIX}/{start}/start" if run == 1 else f"{PREFIX}/{start}/start-{run}"


def _run_of(status: Mapping[str, Any]) -> int:
    return int(status.get("run", 1))


def outputs_of(publication: Publication, start: str) -> str:
    """Return the address of the outputs of a start."""
    return f"{publication.outputs.rstrip('/')}/{start}"


def in_words(on: Trigger, event: Mapping[str, Any]) -> str:
    """Return what has begun a start, for people.

    Args:
        on: what starts the job.
        event: the event.
    """
    if isinstance(on, Objects):
        return str(event["key"])
    if isinstance(on, Every):
        return f"the time {event['time']}"
    return ", ".join(f"{name}={value!r:.40}" for name, value in event.items()) or "a request"


def as_iso(at: float) -> str:
    """Return a time as ISO 8601 has it, in UTC.

    Args:
        at: seconds since the epoch.
    """
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def summary(status: Mapping[str, Any]) -> list[str]:
    """Return lines for a log on how a start has ended, with one for each row that was left out.

    Args:
        status: its status.
    """
    took = f" in {status['seconds']:,.1f} s" if status["seconds"] is not None else ""
    lines = [f"{status['id']} {status['status']}{took}"]
    if total := status["tasks"]["total"]:
        lines[0] += f", {counted(total, 'task')}"
        lines[0] += f" of which {status['tasks']['failed']:,} failed" if status["tasks"]["failed"] else ""
    if status["files"]:
        lines[0] += f", {counted(len(status['files']), 'file')} in {status['outputs']}"
    if error := status["error"]:
        lines[0] += f": {error['type']}: {error['message']}"
    for row in status["rejected"]:
        field = f"{row['field']}: " if row["field"] and row["field"] not in row["error"] else ""
        lines.append(f"{status['id']} line {row['line']} was left out: {field}{row['error']}")
    if (more := status["rejected_rows"] - len(status["rejected"])) > 0:
        lines.append(f"{status['id']} {more:,} more lines were left out")
    return lines
