"""``LambdaInvoker``: one synchronous request a batch, over pooled connections.

Each request in flight has a thread, which blocks until the answer is there: the answer, a refusal, a
time-out and a crash all come back on the same connection at once, and nothing is polled. Threads are
started as they are needed and stay.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote

from wrenlite.backends.aws import payload, responses
from wrenlite.backends.aws.payload import Place
from wrenlite.backends.aws.responses import Target
from wrenlite.backends.aws.session import AwsSession
from wrenlite.backends.aws.transport import (
    Broken,
    Transport,
    Unsent,
    Untrusted,
)
from wrenlite.backends.base import Invocation
from wrenlite.errors import (
    BackendError,
    ConnectionLost,
    CredentialsExpired,
    NotFound,
    ServiceUnavailable,
    StoreError,
    WorkerDied,
)
from wrenlite.protocol import (
    Died,
    Emit,
    Ended,
    Lost,
    Outcome,
    Refused,
    Request,
    Stored,
    Throttled,
    Usage,
    args_key,
    reply_key,
)
from wrenlite.storage.base import Store, digest

_log = logging.getLogger("wrenlite")

_READY = 256
"""Threads that are started before they are needed: once the interpreter ends, Python 3.12 starts none."""


class Patience(NamedTuple):
    """How long answers are waited for, in seconds."""

    answer_s: float = 30.0
    """Beyond the function's time limit no answer comes any more."""
    seek_s: float = 15.0
    """A lost reply is looked for in the store so long, and …"""
    seek_times: float = 3.0
    """… as many times what the batch was expected to take."""
    look_s: float = 1.0
    """Between two looks."""


PATIENCE = Patience()

Result = tuple[Sequence[Outcome], Ended]


class LambdaInvoker:
    """Runs each request as one invocation of a Lambda function."""

    def __init__(
        self,
        transport: Transport,
        login: AwsSession,
        store: Store,
        place: Place,
        target: Target,
        slots: int,
        patience: Patience = PATIENCE,
    ) -> None:
        """Args:
        transport: to Lambda.
        login: who sends, to be renewed when the credentials have expired.
        store: where large items go, and lost replies are looked for.
        place: where the function finds that store.
        target: the function.
        slots: invocations at once.
        patience: how long answers are waited for.
        """
        self.slots = slots
        self._transport = transport
        self._login = login
        self._store = store
        self._place = place
        self._target = target
        self._patience = patience
        self._timeout_s = target.limit_s + patience.answer_s
        self._path = f"/2015-03-31/functions/{quote(target.function, safe='')}/invocations"
        self._flights: queue.SimpleQueue[_LambdaInvocation | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0  # below 0: so many flights wait for a thread
        self._closed = threading.Event()

    def open(self, tasks: int = 1) -> None:
        """Start the threads that so many tasks may need."""
        with self._lock:
            while self._threads < min(tasks, self.slots, _READY) and not self._closed.is_set():
                if not self._start_thread():
                    return

    def start(self, request: Request, emit: Emit) -> Invocation:
        """Hand a request to a thread that has nothing to do, or to a new one."""
        flight = _LambdaInvocation(request, emit)
        with self._lock:
            if self._idle <= 0 and self._threads < self.slots:
                self._start_thread()
            self._idle -= 1
            self._flights.put(flight)
        return flight

    def close(self) -> None:
        """Take no more requests. What is in flight cannot be stopped, and is not waited for."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            for _ in range(self._threads):
                self._flights.put(None)
        self._transport.close()

    def _start_thread(self) -> bool:
        name = f"wrenlite-lambda-{self._threads}"
        try:
            threading.Thread(target=self._loop, name=name, daemon=True).start()
        except RuntimeError as error:
            # The interpreter ends, or this user has too many threads: those that there are do it.
            if not self._threads:
                raise BackendError(f"cannot start a thread: {error}") from error
            return False
        self._threads += 1
        self._idle += 1
        return True

    def _loop(self) -> None:
        while (flight := self._flights.get()) is not None:
            outcomes, ended = self._run(flight)
            with self._lock:  # before the news: whoever hears it may start the next request
                self._idle += 1
            flight.emit(outcomes, ended)
            # They hold items and values, and the next request may be long in coming.
            del flight, outcomes, ended

    def _run(self, flight: _LambdaInvocation) -> Result:
        request = flight.request
        if not flight.send():
            return (), Ended(None, Usage(), request.tasks)
        try:
            return self._invoke(request)
        except CredentialsExpired as error:
            return self._not_now(request, error)
        except (BackendError, StoreError) as error:
            refused = error if isinstance(error, BackendError) else BackendError(str(error))
            return (), Ended(Refused(refused), Usage(), request.tasks)
        except Exception as error:  # a defect of wrenlite's own: it must not leave the tasks waiting
            _log.exception("internal error")
            return (), Ended(Died(WorkerDied(f"wrenlite lost its request: {error!r}")), Usage(), ())

    def _invoke(self, request: Request) -> Result:
        begun = time.time()
        body = self._encode(request)
        try:
            answer = self._transport.post(self._path, body, {"X-Amz-Log-Type": "Tail"}, self._timeout_s)
        except Untrusted as error:
            text = f"Lambda in {self._target.region} has no certificate that is trusted here: {error}. "
            raise BackendError(f"{text}Behind a proxy, AWS_CA_BUNDLE names the file with its own") from error
        except Unsent as error:
            text = f"cannot reach Lambda in {self._target.region}: {error}. Is this machine online?"
            return (), Ended(Throttled(ServiceUnavailable(text), patient=False), Usage(), request.tasks)
        except Broken as error:
            return self._seek(request, begun, str(error))
        return responses.understand(answer, request, self._target, time.time() - begun)

    def _encode(self, request: Request) -> bytes:
        if sum(item.size for item in request.items) > payload.FRAME_BYTES:
            return self._encode_apart(request)
        body = payload.encode_request(request, self._place)
        return body if len(body) <= payload.PAYLOAD_BYTES else self._encode_apart(request)

    def _encode_apart(self, request: Request) -> bytes:
        """A request whose items lie in the store. Raises StoreError, BackendError."""
        blob = payload.encode_items(request)
        stored = Stored(args_key(request.job, request.invocation), digest(blob), len(blob))
        self._store.put(stored.key, blob)
        body = payload.encode_request(request._replace(items=(), args=stored), self._place)
        if len(body) > payload.PAYLOAD_BYTES:
            raise BackendError(
                f"a request is {len(body) / 2**20:,.1f} MB without its items, and Lambda takes "
                f"{payload.PAYLOAD_BYTES / 2**20:,.0f}: give env= less, or chunksize="
            )
        return body

    def _seek(self, request: Request, begun: float, why: str) -> Result:
        """The reply of a request whose connection broke, from the store if it comes there in time."""
        # By wall clock: a laptop that slept has lost its connections, and the time has passed all the same.
        now = time.time()
        patience = self._patience
        longest = max(patience.seek_s, patience.seek_times * max(request.expected_s or 0.0, now - begun))
        end = min(now + longest, begun + self._timeout_s)
        _log.info("the connection of %s broke (%s); looking for its reply", request.invocation, why)
        while True:
            found = self._look(request)
            if found is not None:
                seconds = min(time.time() - begun, self._target.limit_s)
                return found[0], found[1]._replace(usage=self._charge(found[1].usage, seconds))
            if time.time() >= end or self._closed.wait(patience.look_s):
                break
        text = f"the connection broke while it ran, again and again ({why}); it may have run each time"
        # Nobody knows how long it ran.
        return (), Ended(Lost(ConnectionLost(text)), self._charge(Usage(), self._target.limit_s), ())

    def _look(self, request: Request) -> Result | None:
        """The reply of a request in the store; None where it is not there, or cannot be read for now."""
        try:
            sealed = self._store.get(reply_key(request.job, request.invocation))
            return payload.decode_body(payload.unseal(request, sealed))
        except NotFound:
            return None
        except CredentialsExpired as error:
            if self._login.renew():
                _log.warning("%s", error)
        except (StoreError, BackendError) as error:  # perhaps only for now: the network just failed
            _log.warning("%s", error)
        return None

    def _charge(self, usage: Usage, seconds: float) -> Usage:
        return usage._replace(requests=1, gb_s=self._target.memory_mb / 1024 * seconds)

    def _not_now(self, request: Request, error: CredentialsExpired) -> Result:
        """The credentials are no good: nothing is sent until there are others, and the queue stays."""
        if self._login.renew():
            _log.warning("%s", error)
        return (), Ended(Throttled(error), Usage(), request.tasks)


class _LambdaInvocation:
    """A request in a thread, or waiting for one."""

    def __init__(self, request: Request, emit: Emit) -> None:
        self.request = request
        self.emit: Callable[[Sequence[Outcome], Ended | None], None] = emit
        self.sent = False
        self._cancelled = False
        self._lock = threading.Lock()

    def cancel(self) -> bool:
        """Do not send it, if it was not; an invocation cannot be stopped, and its answer is awaited."""
        with self._lock:
            self._cancelled = self._cancelled or not self.sent
            return self._cancelled

    def send(self) -> bool:
        """It is about to be sent; False where it must not be."""
        with self._lock:
            self.sent = not self._cancelled
            return self.sent
