"""``Sandbox``: what runs inside Lambda. It supervises one worker, the same program as on local cores.

The worker is a process of its own. A task that crashes it, hangs or needs too much memory leaves the
supervisor alive, which then replies at once with the outcomes so far.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from wrenlite.backends.aws import payload
from wrenlite.backends.aws.cancelling import CancelWatch
from wrenlite.backends.aws.payload import LAMBDA_HINTS, StoreLocation
from wrenlite.backends.aws.reply_copy import ReplyCopy
from wrenlite.backends.aws.s3 import WORKER_PATIENCE, S3Store
from wrenlite.errors import BackendError
from wrenlite.protocol import Died, Ended, Outcome, Refused, Request, Usage
from wrenlite.storage.archives import FOLDER, ArchivesPlace, find_index
from wrenlite.storage.base import StoreRequests
from wrenlite.worker.handle import WorkerProcess

_COPY_TIMEOUT_S = 5.0
"""Seconds at most that a reply waits until its copy is in the store."""


class Context(Protocol):
    """Lambda's description of an invocation."""

    log_stream_name: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda stops the function."""


class Sandbox:
    """One environment of the function. It serves one invocation after the other."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Create the sandbox, and start its worker where the function's settings name the store.

        Starting the worker here, and waiting for it, is faster than in the first invocation: while a function
        initializes it has a whole processor, however little memory it has.

        Args:
            environ: the environment variables of the function.
        """
        # A map inside a task runs in that task. /tmp is the only folder that can be written to.
        own = {
            "WRENLITE_BACKEND": "inline",
            "WRENLITE_CONFIG": "",
            "WRENLITE_JOURNAL": "off",
            "WRENLITE_CACHE": "off",
        }
        own["HOME"] = "/tmp"  # noqa: S108  # Lambda's
        self._env = {**environ, **own}
        self._memory_bytes = int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")) * 2**20 or None
        self._index = find_index(sys.path)
        self._own_location: StoreLocation | None = None
        self._location: StoreLocation | None = None
        self._store: S3Store | None = None
        self._worker: WorkerProcess | None = None
        if "WRENLITE_BUCKET" in environ:
            self._own_location = StoreLocation(
                bucket=environ["WRENLITE_BUCKET"],
                prefix=environ.get("WRENLITE_PREFIX", ""),
                owner=environ.get("WRENLITE_BUCKET_OWNER"),
            )
            self._worker_for(self._own_location).wait_until_ready()

    def handle(self, event: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Run the batch in an event.

        Args:
            event: the request, as ``payload.encode_request`` makes it.
            context: Lambda's description of the invocation.

        Returns:
            The reply, for ``payload.decode_reply``.
        """
        started = time.monotonic()
        mismatch = payload.version_mismatch(event)
        if mismatch is not None:
            return mismatch
        request, location = payload.decode_request(event)
        copy: ReplyCopy | None = None
        remaining_s = context.get_remaining_time_in_millis() / 1000
        before = StoreRequests()
        try:
            worker = self._worker_for(location)
            before = self._requests()
            copy = self._begin_copy(request)
            outcomes, ended = self._run(request, worker, remaining_s - payload.reply_margin_s(remaining_s))
        except BackendError as error:
            outcomes, ended = [], Ended(Refused(error), Usage(), request.tasks)
        memory_gb = (self._memory_bytes or 0) / 2**30
        own = self._requests().since(before)
        usage = ended.usage._replace(
            worker=context.log_stream_name,
            gb_s=memory_gb * (time.monotonic() - started),
            store_puts=ended.usage.store_puts + own.puts + (copy is not None and copy.is_kept),
            store_gets=ended.usage.store_gets + own.gets,
        )
        body = payload.encode_body(outcomes, ended._replace(usage=usage))
        if copy is not None:
            # The reply must not wait too long: perhaps there is only time for the reply.
            remaining_s = context.get_remaining_time_in_millis() / 1000
            copy.finish(body, min(_COPY_TIMEOUT_S, remaining_s - 0.1 * payload.reply_margin_s(remaining_s)))
        return payload.encode_reply(body)

    def _run(
        self, request: Request, worker: WorkerProcess, time_limit_s: float
    ) -> tuple[list[Outcome], Ended]:
        """Run a batch on the worker, until it ends or is cancelled. Return its outcomes and its end."""
        outcomes: list[Outcome] = []
        started, started_at = time.monotonic(), time.time()
        assert self._store is not None
        watch = CancelWatch(request, self._store, worker.running, worker.kill)
        try:
            last, ended = worker.run(request, outcomes.extend, time_limit_s)
        finally:
            watch.close()
        outcomes += last
        left = request.tasks[len(outcomes) :]
        if not watch.unwanted or not left or not isinstance(ended.cause, Died):
            return outcomes, ended
        if left[0] in watch.unwanted:
            # Nobody waits for this outcome. It says which task was stopped, and how long it ran at least.
            before_s = sum(outcome.seconds for outcome in outcomes)
            stopped = Outcome.failed(left[0], started=started_at + before_s)
            seconds = max(0.0, time.monotonic() - started - before_s)
            outcomes.append(stopped._replace(seconds=seconds, output=ended.output, records=ended.records))
            left = left[1:]
        return outcomes, Ended(None, ended.usage, left)

    def _requests(self) -> StoreRequests:
        """Return the requests to the store of this process; those of the worker come with its usage."""
        return StoreRequests() if self._store is None else self._store.requests

    def _worker_for(self, location: StoreLocation) -> WorkerProcess:
        """Return the worker; a new one where it is gone, worn out, or uses another store."""
        if self._worker is not None:
            alive = self._worker.alive
            if alive and location == self._location and not self._worker.worn_out:
                return self._worker
            self._worker.close(orderly=alive)
        self._store = _store_at(location)
        self._worker = WorkerProcess(
            self._store,
            lambda: sys.path,
            self._memory_bytes,
            self._env,
            "/tmp",  # noqa: S108  # Lambda's
            hints=LAMBDA_HINTS,
            archives=self._archives_for(location),
        )
        self._location = location
        return self._worker

    def _archives_for(self, location: StoreLocation) -> ArchivesPlace | None:
        """Return where the worker finds the packages that are in no layer; None: there are none."""
        own = self._own_location
        if self._index is None or own is None or self._store is None:
            return None
        store = self._store if location == own else _store_at(own)  # one store counts its requests together
        function = self._env.get("AWS_LAMBDA_FUNCTION_NAME", "")
        return ArchivesPlace(store, function, self._index, FOLDER)

    def _begin_copy(self, request: Request) -> ReplyCopy | None:
        """Return the copy of the request's reply for the store; None where none is wanted."""
        after_s = request.limits.persist_after_s
        if after_s is None:
            return None
        assert self._store is not None
        return ReplyCopy(self._store, request, after_s)


def _store_at(location: StoreLocation) -> S3Store:
    return S3Store(location.bucket, location.prefix, owner=location.owner, patience=WORKER_PATIENCE)


def from_environment() -> Sandbox:
    """Return the sandbox of this process."""
    return Sandbox(os.environ)
