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

from wrenlite.aws import answers, mistakes, wire
from wrenlite.aws.answers import Target
from wrenlite.aws.transport import Broken, Transport, Unsent
from wrenlite.aws.wire import Place
from wrenlite.errors import (
    BackendError,
    ConnectionLost,
    CredentialsExpired,
    IntegrityError,
    NotFound,
    ServiceUnavailable,
    StoreError,
    WorkerDied,
)
from wrenlite.invoker import Flight
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
from wrenlite.store import Store, digest

_log = logging.getLogger("wrenlite")

_READY = 16
"""Threads that are started with the first request: once the interpreter ends, Python 3.12 starts none."""
_RENEW_S = 5.0
"""Seconds between two attempts to get new credentials."""


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
        store: Store,
        place: Place,
        target: Target,
        slots: int,
        patience: Patience = PATIENCE,
    ) -> None:
        """Args:
        transport: to Lambda.
        store: where large items go, and lost replies are looked for.
        place: where the function finds that store.
        target: the function.
        slots: invocations at once.
        patience: how long answers are waited for.
        """
        self.slots = slots
        self._transport = transport
        self._store = store
        self._place = place
        self._target = target
        self._patience = patience
        self._timeout_s = target.limit_s + patience.answer_s
        self._path = f"/2015-03-31/functions/{quote(target.function, safe='')}/invocations"
        self._flights: queue.SimpleQueue[_LambdaFlight | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0  # below 0: so many flights wait for a thread
        self._closed = threading.Event()
        self._renewing = threading.Lock()
        self._renewed = -float("inf")

    def open(self) -> None:
        """Start the first threads."""
        with self._lock:
            while self._threads < min(_READY, self.slots) and not self._closed.is_set():
                self._start_thread()

    def start(self, request: Request, emit: Emit) -> Flight:
        """Hand a request to a thread that has nothing to do, or to a new one."""
        flight = _LambdaFlight(request, emit)
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

    def _start_thread(self) -> None:
        name = f"wrenlite-lambda-{self._threads}"
        try:
            threading.Thread(target=self._loop, name=name, daemon=True).start()
        except (
            RuntimeError
        ) as error:  # the interpreter ends, or this user has too many: those there are do it
            if not self._threads:
                raise BackendError(f"cannot start a thread: {error}") from error
            return
        self._threads += 1
        self._idle += 1

    def _loop(self) -> None:
        while (flight := self._flights.get()) is not None:
            outcomes, ended = self._run(flight)
            with self._lock:  # before the news: whoever hears it may start the next request
                self._idle += 1
            flight.emit(outcomes, ended)
            del (
                flight,
                outcomes,
                ended,
            )  # they hold items and values, and the next request may be long in coming

    def _run(self, flight: _LambdaFlight) -> Result:
        request = flight.request
        if flight.cancelled:
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
        from botocore.exceptions import BotoCoreError

        body = wire.encode_request(request, self._place)
        if len(body) > wire.PAYLOAD_BYTES:
            body = self._encode_apart(request)
        begun = time.time()
        try:
            answer = self._transport.post(self._path, body, {"X-Amz-Log-Type": "Tail"}, self._timeout_s)
        except Unsent as error:
            text = f"cannot reach Lambda in {self._target.region}: {error}. Is this machine online?"
            return (), Ended(Throttled(ServiceUnavailable(text), patient=False), Usage(), request.tasks)
        except Broken as error:
            return self._seek(request, begun, str(error))
        except BotoCoreError as error:
            wrong = mistakes.unreachable("Lambda", error)
            raise wrong from error
        outcomes, ended = answers.understand(answer, request, self._target)
        if isinstance(ended.cause, Throttled) and isinstance(ended.cause.error, CredentialsExpired):
            return self._not_now(request, ended.cause.error)
        return outcomes, ended

    def _encode_apart(self, request: Request) -> bytes:
        """A request whose items lie in the store. Raises StoreError, BackendError."""
        blob = wire.encode_items(request)
        stored = Stored(args_key(request.job, request.invocation), digest(blob), len(blob))
        self._store.put(stored.key, blob)
        body = wire.encode_request(request._replace(items=(), args=stored), self._place)
        if len(body) > wire.PAYLOAD_BYTES:
            raise BackendError(
                f"a request is {len(body) / 2**20:,.1f} MB without its items, and Lambda takes "
                f"{wire.PAYLOAD_BYTES / 2**20:,.0f}: give env= less, or chunksize="
            )
        return body

    def _seek(self, request: Request, begun: float, why: str) -> Result:
        """The reply of a request whose connection broke, from the store if it comes there in time."""
        # By wall clock: a laptop that slept has lost its connections, and the time has passed all the same.
        patience = self._patience
        longest = max(patience.seek_s, patience.seek_times * (request.expected_s or 0.0))
        end = min(time.time() + longest, begun + self._timeout_s)
        _log.info("the connection of %s broke (%s); looking for its reply", request.invocation, why)
        key = reply_key(request.job, request.invocation)
        while True:
            try:
                outcomes, ended = wire.decode_body(wire.unseal(request, self._store.get(key)))
                gb_s = self._target.memory_mb / 1024 * (time.time() - begun)
                return outcomes, ended._replace(usage=ended.usage._replace(requests=1, gb_s=gb_s))
            except NotFound:
                pass
            except (StoreError, IntegrityError) as error:  # perhaps only for now: the network just failed
                _log.warning("%s", error)
            if time.time() >= end or self._closed.wait(patience.look_s):
                break
        text = f"the connection broke while it ran, again and again ({why}); it may have run each time"
        gb_s = self._target.memory_mb / 1024 * self._target.limit_s  # nobody knows how long it ran
        return (), Ended(Lost(ConnectionLost(text)), Usage(requests=1, gb_s=gb_s), ())

    def _not_now(self, request: Request, error: CredentialsExpired) -> Result:
        """The credentials are no good: nothing is sent until there are others, and the queue stays."""
        with self._renewing:
            if time.monotonic() - self._renewed > _RENEW_S:
                _log.warning("%s", error)
                self._transport.renew()
                self._renewed = time.monotonic()
        return (), Ended(Throttled(error), Usage(), request.tasks)


class _LambdaFlight:
    """A request in a thread, or waiting for one."""

    def __init__(self, request: Request, emit: Emit) -> None:
        self.request = request
        self.emit: Callable[[Sequence[Outcome], Ended | None], None] = emit
        self.cancelled = False

    def cancel(self) -> None:
        """Do not send it, if it was not; an invocation cannot be stopped, and its answer is awaited."""
        self.cancelled = True
