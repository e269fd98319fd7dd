"""``Bucket``: a detached job on Lambda, kept in the bucket, with the driver function as its keeper.

::

    jobs/<job>/manifest       items, function, options: written once
               table/<n>      what happened to its tasks since the one before
               lease          who keeps the job, and until when at least
               cancel/<id>    tasks that somebody has cancelled
               words          why a keeper has ended
    results/<job>/<invocation>/reply    the reply of each batch

All of it is signed with the key of the job, which is not in the bucket, each with its own name. Nothing is
unpickled before that is checked.

**One keeper at a time.** A segment of the table is written only if no segment has that number yet. The first
segment of a new keeper says that it has taken over. The keeper before it then cannot write its own segment of
that number, and ends at once. The lease says until when a keeper holds the job. A new keeper waits for its
end, and a keeper whose lease has ended hands out nothing more.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wrenlite import keys
from wrenlite.backends.aws import payload
from wrenlite.backends.aws.driver import Driver
from wrenlite.durable import manifest
from wrenlite.durable.lease import TIMES, Holder, Lease, Times
from wrenlite.durable.manifest import Manifest
from wrenlite.durable.place import ended_early
from wrenlite.durable.recorded import HandedOut
from wrenlite.durable.remote_journal import Shipped
from wrenlite.errors import IntegrityError, JobNotFound, NotFound, StoreError, WrenliteError
from wrenlite.protocol import Usage, reply_key, values_prefix
from wrenlite.scheduler.pending import Sent, new_invocation
from wrenlite.serialize import framing
from wrenlite.storage.base import Store

_READS_AT_ONCE = 16
_SEGMENT_BYTES = 4 << 20
"""A segment of the table that has become so large is written at once."""
_WAITING_BYTES = 64 << 20
"""Bytes that wait to be written at which the job waits for the bucket."""
_GATHER_SHARE, _LONGEST_GATHER_S = 1 / 300, 10.0
"""What happens is gathered for this share of the age of the job, and 10 s at most, so that a long job has
fewer segments: about 8,600 a day."""
_CLOCKS_S = 5.0
"""Seconds by which the clocks of two sandboxes may differ."""
MANIFEST_BYTES = 256 << 20
"""The most bytes of a manifest: the driver has it in memory."""


class Bucket:
    """A place of a detached job: see ``Place``."""

    poll_s = 1.0, 5.0

    def __init__(self, driver: Driver, job: str, key: bytes, times: Times | None = None) -> None:
        """Create it.

        Args:
            driver: the function that keeps jobs, and its bucket.
            job: id of the job.
            key: of the job.
            times: how often the keeper says and asks something; None: as usual.
        """
        self.job = job
        self.key = key
        self.driver = driver
        self.store: Store = driver.store
        self.times = TIMES if times is None else times
        self._submitted = time.time()

    # What is in the bucket

    def name(self, *parts: str) -> str:
        """Return the key of an object of this job."""
        return "/".join(("jobs", self.job, *parts))

    def read(self, *parts: str) -> bytes:
        """Read an object of this job, and check that it was written with the key of the job.

        Raises:
            IntegrityError: it was not.
            NotFound: there is none.
            StoreError: the bucket cannot be read.
        """
        return keys.verified(self.key, self.store.get(self.name(*parts)), self.job, *parts)

    def write(self, body: bytes, *parts: str, if_absent: bool = False) -> bool:
        """Write an object of this job. Return whether that was done: with ``if_absent``, not over another.

        Raises:
            StoreError: the bucket cannot be written to.
        """
        blob = keys.signed(self.key, body, self.job, *parts)
        return self.store.put(self.name(*parts), blob, if_absent=if_absent)

    def write_manifest(self, job: Manifest, *, if_absent: bool = False) -> bool:
        """Write a manifest, as ``Place.write_manifest``: without the key, and what only this machine has.

        Returns:
            Whether that was done: with ``if_absent``, not over another one.
        """
        config = replace(job.config, profile=None, endpoint_url=None)
        body = framing.join(framing.frame(manifest.to_wire(job._replace(key=b"", config=config))))
        if len(body) > MANIFEST_BYTES:
            raise StoreError(
                f"the items of this job have {len(body) / 2**20:,.0f} MB, and those of a detached job on "
                f"Lambda may have {MANIFEST_BYTES >> 20}: pass large ones by executor.put(), or from a bucket"
            )
        return self.write(body, "manifest", if_absent=if_absent)

    def read_manifest(self) -> Manifest:
        """Read the manifest, as ``Place.read_manifest``."""
        try:
            body = self.read("manifest")
        except NotFound:
            raise JobNotFound(
                f"{self.job} is not in s3://{self.driver.address.bucket} any more: what a detached job has "
                "stored there is deleted a few days after it was written"
            ) from None
        except IntegrityError as error:
            raise JobNotFound(f"{self.job}: {error}") from error
        try:
            found = manifest.from_wire(framing.parse(body, writable=True))
        except Exception as error:  # unpickling raises errors of any kind
            raise JobNotFound(f"the manifest of {self.job} cannot be read: {error!r}") from error
        self._submitted = found.submitted
        return found._replace(key=self.key, store=self.store)

    def writer(self, on_error: Callable[[str], None] | None = None, after: int = 0) -> SegmentWriter:
        """Begin to write behind the segments that were read, as ``Place.writer``."""
        return SegmentWriter(self, after, self.times.gather_s, self._submitted, on_error)

    def follower(self) -> SegmentFollower:
        """Begin at the first segment, as ``Place.follower``."""
        return SegmentFollower(self)

    # Who keeps it

    def lease(self) -> Lease | None:
        """Return the lease; None: there is none that was written with the key of the job."""
        try:
            return Lease(*json.loads(self.read("lease")))
        except (NotFound, IntegrityError):
            return None

    def is_kept(self) -> bool:
        """Return whether a keeper runs the job, or may still come."""
        lease = self.lease()
        return lease is not None and time.time() < lease.lost

    def start_keeper(self) -> bool:
        """Invoke the driver, unless a keeper runs the job, as ``Place.start_keeper``."""
        lease = self.lease()
        if self._is_taken(lease):
            return bool(lease and lease.holder)
        self.invoke_driver()
        return True

    def _is_taken(self, lease: Lease | None) -> bool:
        """Return whether a keeper runs the job, or one was started a moment ago."""
        if lease is None:
            return False
        until = lease.until if lease.holder else min(lease.lost, lease.until + self.times.lease_s)
        return time.time() < until

    def invoke_driver(self) -> None:
        """Have a driver keep the job, soon."""
        self._write_lease(Lease.free(self.times.patience_s))
        address = self.driver.address
        event = {"job": self.job, "key": self.key.hex(), "address": address, "times": self.times}
        self.driver.start({"wrenlite": "keep", **payload.versions(), **event})

    def _write_lease(self, lease: Lease) -> None:
        self.write(json.dumps(lease).encode(), "lease")

    def ask_to_cancel(self, tasks: Sequence[int]) -> None:
        """Put what is to be cancelled into the bucket, as ``Place.ask_to_cancel``."""
        self.write(json.dumps(list(tasks)).encode(), "cancel", new_invocation(time.time()))

    def say(self, words: str) -> None:
        """Leave word of why no keeper goes on with the job."""
        self.write(words.encode(), "words")

    def last_words(self, job: str) -> str:
        """Return what to tell of a keeper that has ended, as ``Place.last_words``."""
        try:
            why = self.read("words").decode()
        except (NotFound, IntegrityError, StoreError):
            why = f"the log of {self.driver.address.function} says more"
        return ended_early(job, why)

    def run_again(self, job: Manifest, failed: Sequence[int]) -> bool:
        """Have a driver run failed tasks again, unless one runs the job, as ``Place.run_again``."""
        if self._is_taken(self.lease()):
            return False
        self.write_manifest(job)
        self.store.delete([entry.key for entry in self.store.list(self.name("cancel/"))])
        writer = self.writer(after=sum(1 for _ in self.store.list(self.name("table/"))))
        writer.write("run_again", failed)
        writer.close()
        self.invoke_driver()
        return True

    def remove(self) -> None:
        """Delete all of it."""
        self.store.delete([entry.key for entry in self.store.list(self.name(""))])


class KeptBucket(Bucket):
    """A job in the bucket, as its keeper sees it: see ``KeptPlace``."""

    def __init__(self, driver: Driver, job: str, key: bytes, times: Times, gb: float, journal: Path) -> None:
        """Create it.

        Args:
            driver: the function that keeps jobs, and its bucket.
            job: id of the job.
            key: of the job.
            times: how often to say and ask something.
            gb: memory of the driver, in GiB.
            journal: folder of the journal of this sandbox.
        """
        super().__init__(driver, job, key, times)
        self._holder = Holder(self.lease, self._write_lease, times)
        self._looked_at = self._counted_at = time.monotonic()
        self._seen: set[str] = set()
        self._gb = gb
        self._journal = Shipped(journal)
        self._requests = self.store.requests

    def is_free(self) -> bool:
        """Return whether this keeper may go on with the job. Wait where the lease of another one runs out."""
        if not self._holder.wait_until_free():
            return False
        self.store.delete([self.name("words")])  # they explain the end of an earlier keeper
        return self._holder.try_to_take()

    def has_run_out(self) -> bool:
        """Return whether the lease of this keeper has run out."""
        return self._holder.has_run_out()

    def lost_because(self) -> str:
        """Renew the lease where it is time for that. Return why the keeper must end, as ``KeptPlace``."""
        return self._holder.lost_because()

    def newly_cancelled(self, tasks: int) -> Sequence[int]:
        """Look for cancels every few seconds, as ``KeptPlace.newly_cancelled``."""
        if time.monotonic() - self._looked_at < self.times.cancel_s:
            return ()
        self._looked_at = time.monotonic()
        found: set[int] = set()
        for entry in self.store.list(self.name("cancel/")):
            cancel = entry.key.rpartition("/")[2]
            if cancel in self._seen:
                continue
            self._seen.add(cancel)
            try:
                found.update(range(tasks)[task] for task in json.loads(self.read("cancel", cancel)))
            except (NotFound, IntegrityError) as error:
                print(error)
        return sorted(found)

    def unrecorded(self, handed_out: HandedOut) -> Sequence[Sent]:
        """Look for replies to what the last keeper did not write down, as ``KeptPlace.unrecorded``."""
        prefix = values_prefix(self.job)
        after = f"{prefix}{new_invocation(max(0.0, handed_out.last_at - _CLOCKS_S))}"
        found = []
        for entry in self.store.list(prefix, after=after):
            invocation, _, name = entry.key.removeprefix(prefix).partition("/")
            if name == "reply" and invocation not in handed_out.seen:
                found.append(invocation)
        return [sent for sent in map(self._sent, found) if sent is not None]

    def _sent(self, invocation: str) -> Sent | None:
        """Return the request that a reply belongs to; None: the reply does not say which tasks it has."""
        secret = keys.derived(self.key, invocation)
        try:
            blob = self.store.get(reply_key(self.job, invocation))
            tasks = payload.tasks_of_reply(secret, self.job, invocation, blob)
        except (NotFound, IntegrityError) as error:
            print(error)
            return None
        return Sent(invocation, tasks, time.time()) if tasks else None

    def usage(self, *, last: bool = False) -> Usage:
        """Return what this keeper has used, every few seconds, as ``KeptPlace.usage``."""
        now = time.monotonic()
        seconds = now - self._counted_at
        if seconds < self.times.renew_s and not last:
            return Usage()
        self._counted_at, before, self._requests = now, self._requests, self.store.requests
        own = self._requests.since(before)
        return Usage(gb_s=self._gb * seconds, store_puts=own.puts, store_gets=own.gets)

    def new_lines(self) -> tuple[bytes, ...]:
        """Return what is new in the journal of this sandbox, as ``KeptPlace.new_lines``."""
        return self._journal.new_lines()

    def let_go(self) -> None:
        """Give the lease back, as ``KeptPlace.let_go``."""
        self._holder.let_go()

    def pass_on(self) -> None:
        """Let go of the lease, and invoke the driver again, as ``KeptPlace.pass_on``."""
        self.invoke_driver()


class SegmentWriter:
    """Writes what happens to the tasks of one job, segment by segment, in a thread of its own."""

    def __init__(
        self,
        place: Bucket,
        number: int,
        gather_s: float,
        submitted: float,
        on_error: Callable[[str], None] | None,
    ) -> None:
        """Begin to gather. The first segment is written by ``flush``, or after a while.

        Args:
            place: where the job is kept.
            number: of the first segment.
            gather_s: seconds for which what happens is gathered, at least.
            submitted: when the job was, in seconds since the epoch.
            on_error: as for ``Place.writer``.
        """
        self._place = place
        self._number = number
        self._gather_s = gather_s
        self._on_error = on_error
        self._submitted = submitted
        self._parts: list[bytes] = []
        self._bytes = 0
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._closed = False
        self._error: WrenliteError | None = None
        self._thread = threading.Thread(target=self._loop, name="wrenlite-table", daemon=True)
        self._thread.start()

    def write(self, name: str, *arguments: object) -> None:
        """Write one call, as ``Writer.write``. It waits where the bucket is too slow."""
        part = framing.join(framing.frame((name, time.time(), *arguments)))
        self._check()
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < _WAITING_BYTES or self._closed)
            if self._closed:  # what comes now is found by its reply
                return
            self._parts.append(part)
            self._bytes += len(part)
            if self._bytes >= _SEGMENT_BYTES:
                self._changed.notify_all()

    def flush(self) -> None:
        """Write a segment with all that was gathered, as ``Writer.flush``."""
        with self._writing:
            with self._changed:
                parts, self._parts = self._parts, []
            if not parts:
                return
            body, name = b"".join(parts), ("table", f"{self._number:08d}")
            try:
                # What is there may be this very segment: an answer of the bucket was lost.
                if not self._place.write(body, *name, if_absent=True) and self._place.read(*name) != body:
                    raise StoreError("another keeper has gone on with this job")
            except WrenliteError as error:
                self._fail(error)
                return
            self._number += 1
            with self._changed:
                self._bytes = sum(map(len, self._parts))
                self._changed.notify_all()

    def close(self) -> None:
        """Write the last segment, as ``Writer.close``."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self.flush()
        self._check()

    def _fail(self, error: WrenliteError) -> None:
        """Take note that a segment cannot be written: whoever uses this writer is told the next time."""
        if self._on_error is not None:
            self._on_error(f"cannot write what tasks return: {error}")
        with self._changed:
            self._error, self._closed = error, True
            self._changed.notify_all()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _loop(self) -> None:
        while not self._closed:
            age_s = time.time() - self._submitted
            gather_s = max(self._gather_s, min(_LONGEST_GATHER_S, _GATHER_SHARE * age_s))
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._bytes >= _SEGMENT_BYTES, gather_s)
            if not self._closed:
                self.flush()


class SegmentFollower:
    """Reads what happens to the tasks of one job."""

    def __init__(self, place: Bucket) -> None:
        """Begin at the first segment.

        Args:
            place: where the job is kept.
        """
        self.position = 0
        """Number of the next segment."""
        self._place = place
        self._reader = framing.Reader(-1)

    def calls(self) -> Iterator[tuple[Any, ...]]:
        """Yield what is new, as ``Follower.calls``.

        Raises:
            IntegrityError: a segment is missing, or was written by somebody else.
            StoreError: the bucket cannot be read.
        """
        place = self._place
        last = place.name("table", f"{self.position - 1:08d}") if self.position else ""
        names = [entry.key.rpartition("/")[2] for entry in place.store.list(place.name("table/"), after=last)]
        for name, body in zip(names, self._bodies(names), strict=True):
            if name != f"{self.position:08d}":
                missing = place.name("table", f"{self.position:08d}")
                raise IntegrityError(f"{missing} was deleted from the bucket: what comes after that is lost")
            self.position += 1
            for call in self._reader.feed(body):
                if isinstance(call, Exception):
                    raise IntegrityError(f"{place.name('table', name)} is damaged: {call}")
                yield call

    def _bodies(self, names: Sequence[str]) -> Iterator[bytes]:
        """Yield the segments of these names, several of which are read at once.

        The threads are not those of an executor, which takes nothing more once the main thread has ended.
        """
        found: dict[str, bytes | Exception] = {}

        def read(name: str) -> None:
            try:
                found[name] = self._place.read("table", name)
            except Exception as error:
                found[name] = error

        for first in range(0, len(names), _READS_AT_ONCE):
            now = names[first : first + _READS_AT_ONCE]
            others = [threading.Thread(target=read, args=(name,), daemon=True) for name in now[1:]]
            for thread in others:
                thread.start()
            read(now[0])
            for thread in others:
                thread.join()
            for name in now:
                body = found.pop(name)
                if isinstance(body, Exception):
                    raise body
                yield body

    def renew(self) -> None:
        """Have new credentials read from files and environment, as ``Follower.renew``."""
        self._place.driver.session.renew()

    def close(self) -> None:
        """Do nothing: no thread is left."""
