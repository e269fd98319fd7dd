"""What runs inside Lambda: one worker, the same program as on local cores, and who supervises it.

The worker is a process of its own, so that a task that crashes it, hangs or needs too much memory leaves
the supervisor alive, which answers at once with the outcomes that there are.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

from wrenlite.backends.aws import payload
from wrenlite.backends.aws.payload import LAMBDA_HINTS, Place
from wrenlite.backends.aws.s3 import S3Store
from wrenlite.errors import BackendError
from wrenlite.protocol import Ended, Outcome, Refused, Request, Usage, reply_key
from wrenlite.worker.handle import WorkerProcess

_MARGIN_S = 2.0
"""Seconds before the function's time limit at which the worker is stopped: there is time to answer then."""
_MARGIN = 0.1
"""The same, as a share of what is left, for functions with a short limit."""
_PERSIST_S = 5.0
"""Seconds that a reply waits at most for its copy to be in the store."""


def margin_s(left_s: float) -> float:
    """Seconds of those that are left in which no task runs any more."""
    return min(_MARGIN_S, _MARGIN * left_s)


class Context(Protocol):
    """What Lambda says of an invocation."""

    log_stream_name: str

    def get_remaining_time_in_millis(self) -> int:
        """Until the function is stopped."""


class Sandbox:
    """One environment of the function, which serves one invocation after the other."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Start the worker, where the function's settings say what store it will use.

        It is waited for: in this phase a function has a whole processor, however little memory it has.
        """
        # A map inside a task runs in that task; nothing else can be written to than /tmp.
        own = {"WRENLITE_BACKEND": "inline", "WRENLITE_CONFIG": "", "HOME": "/tmp"}  # noqa: S108  # Lambda's
        self._env = {**environ, **own}
        self._memory_bytes = int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0")) * 2**20 or None
        self._place: Place | None = None
        self._store: S3Store | None = None
        self._worker: WorkerProcess | None = None
        if "WRENLITE_BUCKET" in environ:
            owner = environ.get("WRENLITE_BUCKET_OWNER")
            place = Place(environ["WRENLITE_BUCKET"], environ.get("WRENLITE_PREFIX", ""), owner)
            self._worker_for(place).wait_until_ready()

    def handle(self, event: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Run the batch in an event; returns the reply."""
        begun = time.monotonic()
        refusal = payload.refusal(event)
        if refusal is not None:
            return refusal
        request, place = payload.decode_request(event)
        left_s = context.get_remaining_time_in_millis() / 1000
        outcomes: list[Outcome] = []
        try:
            worker = self._worker_for(place)
            ended = worker.run(request, outcomes.extend, left_s - margin_s(left_s))
        except BackendError as error:
            ended = Ended(Refused(error), Usage(), request.tasks)
        ended = ended._replace(usage=ended.usage._replace(worker=context.log_stream_name))
        body = payload.encode_body(outcomes, ended)
        persist_after_s = request.limits.persist_after_s
        if persist_after_s is not None and time.monotonic() - begun > persist_after_s:
            # Beside the reply, which must not wait for it: it may be all that there is time for.
            left_s = context.get_remaining_time_in_millis() / 1000 - 0.1 * margin_s(left_s)
            saving = threading.Thread(target=self._persist, args=(request, body), daemon=True)
            saving.start()
            saving.join(max(0.0, min(_PERSIST_S, left_s)))
        return payload.encode_reply(body)

    def _worker_for(self, place: Place) -> WorkerProcess:
        if self._worker is not None:
            if self._worker.alive and place == self._place:
                return self._worker
            self._worker.close()
        self._store = S3Store(place.bucket, place.prefix, owner=place.owner)
        self._worker = WorkerProcess(
            self._store,
            sys.path,
            self._memory_bytes,
            self._env,
            "/tmp",  # noqa: S108  # Lambda's
            hints=LAMBDA_HINTS,
        )
        self._place = place
        return self._worker

    def _persist(self, request: Request, body: bytes) -> None:
        """Leave the reply in the store, where a client whose connection broke finds it."""
        assert self._store is not None
        try:
            self._store.put(reply_key(request.job, request.invocation), payload.seal(request, body))
        except Exception as error:  # the reply itself is on its way
            print(f"wrenlite: cannot leave the reply of {request.invocation} in the store: {error}")


def from_environment() -> Sandbox:
    """The sandbox of this process."""
    return Sandbox(os.environ)
