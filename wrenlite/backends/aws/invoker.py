"""``LambdaInvoker``: runs each batch as one synchronous invocation, over pooled connections.

Each request in flight has a thread, which blocks until the response is there. A reply, a throttle, a timeout
and a crash all come back on the same connection at once, so that nothing is polled. Threads are started when
they are needed, and stay.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from urllib.parse import quote

from wrenlite.backends.aws import payload, responses
from wrenlite.backends.aws.cancelling import Canceller, Unwanted
from wrenlite.backends.aws.http1 import Response
from wrenlite.backends.aws.lost_reply import (
    REPLY_TIMEOUTS,
    ReplyTimeouts,
    Seen,
    first_look_s,
    longest_run_s,
    next_look_s,
)
from wrenlite.backends.aws.payload import StoreLocation
from wrenlite.backends.aws.reply_copy import RUNS
from wrenlite.backends.aws.responses import Target
from wrenlite.backends.aws.session import AwsSession
from wrenlite.backends.aws.transport import (
    RequestNotSent,
    ResponseLost,
    Transport,
    UntrustedCertificate,
    time_since_boot,
)
from wrenlite.backends.base import Invocation
from wrenlite.errors import (
    AccessDenied,
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
    Throttled,
    Usage,
    args_key,
    reply_key,
    size_of,
)
from wrenlite.storage.base import Store, place_of
from wrenlite.storage.local import descriptor_advice

_log = logging.getLogger("wrenlite")

_THREADS_AHEAD = 256
"""The most threads that are started in advance. They must exist before the interpreter ends, because Python
3.12 starts none after that."""


Result = tuple[Sequence[Outcome], Ended]


class LambdaInvoker:
    """Runs each request as one invocation of a Lambda function."""

    def __init__(
        self,
        transport: Transport,
        session: AwsSession,
        store: Store,
        location: StoreLocation,
        target: Target,
        slots: int,
        timeouts: ReplyTimeouts = REPLY_TIMEOUTS,
        clock: Callable[[], float] = time_since_boot,
    ) -> None:
        """Create an invoker. It starts no thread and sends nothing yet.

        Args:
            transport: sends requests to Lambda.
            session: the session that signs them; it is renewed when its credentials have expired.
            store: takes items that do not fit into a request; lost replies are searched there.
            location: where the function finds that store.
            target: the function.
            slots: the number of invocations at once.
            timeouts: how long to wait for responses and for lost replies.
            clock: seconds. They are only compared with each other.
        """
        self.slots = slots
        self._transport = transport
        self._session = session
        self._store = store
        self._location = location
        self._target = target
        self._timeouts = timeouts
        self._clock = clock
        self._response_timeout_s = target.limit_s + timeouts.response_margin_s
        self._path = f"/2015-03-31/functions/{quote(target.qualified, safe='')}/invocations"
        self._invocations: queue.SimpleQueue[_LambdaInvocation | None] = queue.SimpleQueue()
        # There is no lock, since a signal handler may interrupt ``open`` and wait for a task. Appending to a
        # list and adding to a set are atomic.
        self._threads: list[threading.Thread] = []
        self._busy: set[_LambdaInvocation] = set()
        """The invocations that a thread runs, or that wait for one."""
        self._closed = threading.Event()
        self._canceller = Canceller(store, self._unwanted)
        self._was_taken = False  # whether Lambda has run a request
        self._refused_since: float | None = None

    def open(self, tasks: int = 1) -> None:
        """Start the threads that this number of tasks may need."""
        self._canceller.open()
        while len(self._threads) < min(tasks, self.slots, _THREADS_AHEAD) and not self._closed.is_set():
            if not self._start_thread():
                return

    def start(self, request: Request, emit: Emit) -> Invocation:
        """Hand a request to an idle thread, or to a new one."""
        return self._begin(_LambdaInvocation(request, emit, self._canceller))

    def adopt(self, request: Request, emit: Emit, elapsed_s: float) -> Invocation:
        """Search the reply of a request that another process has sent."""
        invocation = _LambdaInvocation(request, emit, self._canceller)
        invocation.sent_at = self._clock() - elapsed_s
        return self._begin(invocation)

    def _begin(self, invocation: _LambdaInvocation) -> Invocation:
        self._busy.add(invocation)
        if len(self._threads) < min(len(self._busy), self.slots):
            self._start_thread()
        self._invocations.put(invocation)
        return invocation

    def close(self) -> None:
        """Take no more requests. Invocations in flight are not waited for.

        Those that are cancelled end by themselves, once their sandboxes have read that.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        for _ in tuple(self._threads):
            self._invocations.put(None)
        self._transport.close()
        self._canceller.close()

    def _unwanted(self, job: str) -> Unwanted:
        """Return the tasks that are cancelled of each invocation of a job in flight."""
        in_flight = [each for each in tuple(self._busy) if each.unwanted and each.request.job == job]
        return [(each.request, sorted(each.unwanted)) for each in in_flight]

    def _start_thread(self) -> bool:
        """Start one more thread. Return whether that was possible."""
        name = f"wrenlite-lambda-{len(self._threads)}"
        thread = threading.Thread(target=self._run_invocations, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # The interpreter is ending, or this user has too many threads: the threads so far must suffice.
            if not self._threads:
                raise BackendError(f"cannot start a thread to invoke Lambda: {error}") from error
            return False
        self._threads.append(thread)
        if self._closed.is_set():  # meanwhile, by a signal handler
            self._invocations.put(None)
        return True

    def _run_invocations(self) -> None:
        while (invocation := self._invocations.get()) is not None:
            outcomes, ended = self._run(invocation)
            self._busy.discard(invocation)  # before the report: its receiver may start the next request
            invocation.emit(outcomes, ended)
            # These hold items and values, and the next request may come much later.
            del invocation, outcomes, ended

    def _run(self, invocation: _LambdaInvocation) -> Result:
        request, sent_at = invocation.request, invocation.sent_at
        if sent_at is None and not invocation.mark_sent():
            return (), Ended(None, Usage(), request.tasks)
        try:
            if sent_at is not None:
                return self._search_reply(request, sent_at, "the keeper that has sent it has ended")
            return self._invoke(request)
        except CredentialsExpired as error:
            return self._wait_for_credentials(request, error)
        except BackendError as error:
            return (), Ended(Refused(error), Usage(), request.tasks)
        except StoreError as error:  # the items of this request cannot be stored
            return (), Ended(Refused(error, whole_job=False), Usage(), request.tasks)
        except Exception as error:  # a defect in wrenlite itself: it must not leave the tasks waiting
            _log.exception("internal error while invocation %s ran", request.invocation)
            text = (
                f"an internal error of wrenlite lost the request of this task: {error!r}. Please report it, "
                "with the log of 'wrenlite'"
            )
            died = WorkerDied(text)
            return (), Ended(Died(died), Usage(), ())

    def _invoke(self, request: Request) -> Result:
        body, puts = self._encode(request)
        outcomes, ended = self._send(request, body)
        usage = ended.usage
        return outcomes, ended._replace(usage=usage._replace(store_puts=usage.store_puts + puts))

    def _send(self, request: Request, body: bytes) -> Result:
        started = self._clock()
        region = self._target.region
        try:
            response = self._transport.post(
                self._path, body, {"x-amz-log-type": "Tail"}, self._response_timeout_s
            )
        except UntrustedCertificate as error:
            raise BackendError(
                f"Lambda in {region} has no certificate that is trusted here: {error}. Behind a proxy, set "
                "AWS_CA_BUNDLE to the file with the proxy's own certificates"
            ) from error
        except RequestNotSent as error:
            cause = error.__cause__
            advice = descriptor_advice(cause) if isinstance(cause, OSError) else None
            text = f"cannot reach Lambda in {region}: {advice or f'{error}. Is this machine online?'}"
            return (), Ended(
                Throttled(ServiceUnavailable(text), waits_without_limit=False), Usage(), request.tasks
            )
        except ResponseLost as error:
            return self._search_reply(request, started, str(error))
        now = self._clock()
        outcomes, ended = responses.interpret_response(response, request, self._target, now - started)
        return outcomes, self._with_patience(response, ended, now)

    def _with_patience(self, response: Response, ended: Ended, now: float) -> Ended:
        """Let the first refusals after a success be waited out."""
        if response.status == 200:
            self._was_taken, self._refused_since = True, None
        elif self._was_taken and response.status in (403, 404) and isinstance(ended.cause, Refused):
            if self._refused_since is None:
                self._refused_since = now
            error = ended.cause.error
            if now - self._refused_since < self._timeouts.propagation_s and isinstance(error, BackendError):
                return ended._replace(cause=Throttled(error, waits_without_limit=False))
        return ended

    def _encode(self, request: Request) -> tuple[bytes, int]:
        """Encode a request. Return it, and the number of blobs that were put into the store for it."""
        if sum(map(size_of, request.items)) > payload.FRAME_BYTES:
            return self._encode_with_stored_items(request), 1
        body = payload.encode_request(request, self._location)
        if len(body) <= payload.PAYLOAD_BYTES:
            return body, 0
        return self._encode_with_stored_items(request), 1

    def _encode_with_stored_items(self, request: Request) -> bytes:
        """Put the items into the store, and encode a request that refers to them.

        Raises:
            StoreError: the items cannot be put into the store.
            BackendError: the request is too large even without its items.
        """
        blob = payload.encode_items(request)
        stored = place_of(blob, args_key(request.job, request.invocation))
        self._store.put(stored.key, blob)
        body = payload.encode_request(request._replace(items=(), args=stored), self._location)
        if len(body) > payload.PAYLOAD_BYTES:
            raise BackendError(
                f"a request is {len(body) / 2**20:,.1f} MB without its items, and Lambda takes "
                f"{payload.PAYLOAD_BYTES / 2**20:,.0f} MB: make env= smaller, or chunksize="
            )
        return body

    def _search_reply(self, request: Request, started: float, reason: str) -> Result:
        """Wait until the reply of a request whose response was lost is in the store; give up after a time.

        Args:
            request: the request.
            started: when it was sent. Times include those in which this machine slept: a laptop that slept
                has lost its connections, and the function ran on all the same.
            reason: why the response was lost.
        """
        _log.info(
            "the connection of invocation %s broke (%s): searching its reply in the store",
            request.invocation,
            reason,
        )
        limit_s, timeouts, seen, looks = self._target.limit_s, self._timeouts, Seen.UNKNOWN, 0
        lost_s = self._clock() - started
        limits = request.limits
        seen_after_s = 0.0 if limits.keeps_reply else limits.persist_after_s or 0.0
        wait_s: float | None = first_look_s(lost_s, seen_after_s, timeouts)
        while wait_s is not None and not self._closed.wait(wait_s):
            found, looks = self._look(request), looks + 1
            if not isinstance(found, Seen):
                outcomes, ended = found
                usage = ended.usage
                return outcomes, ended._replace(usage=usage._replace(store_gets=usage.store_gets + looks))
            seen = found
            wait_s = next_look_s(seen, self._clock() - started, lost_s, limit_s, timeouts)
        text = (
            f"the connection to Lambda broke each time that the task ran ({reason}); it may have run to its "
            "end each time. Check the network, and whether the task can run twice before you try again"
        )
        longest_s = longest_run_s(seen, limit_s, timeouts)
        gb_s = self._target.memory_mb / 1024 * longest_s
        usage = Usage(requests=1, unanswered=1, uncertain_gb_s=gb_s, store_gets=looks)
        return (), Ended(Lost(ConnectionLost(text)), usage, ())

    def _look(self, request: Request) -> Result | Seen:
        """Return a request's reply from the store, or what is there in its place."""
        try:
            blob = self._store.get(reply_key(request.job, request.invocation))
            body = payload.verify_mac(request, blob)
            if body == RUNS:
                return Seen.RUNS
            outcomes, ended = payload.decode_body(request, body)
            return outcomes, ended._replace(usage=ended.usage._replace(requests=1))
        except NotFound:
            return Seen.NOTHING
        except ValueError as error:
            return (), Ended(Refused(responses.malformed(self._target, error)), Usage(), ())
        except CredentialsExpired as error:
            if self._session.renew():
                _log.warning("%s", error)
        except AccessDenied as error:
            _log.warning("%s", error)
            return Seen.NOTHING
        except (StoreError, BackendError) as error:  # perhaps only for the moment: the network just failed
            _log.warning("%s", error)
        return Seen.UNKNOWN

    def _wait_for_credentials(self, request: Request, error: CredentialsExpired) -> Result:
        """Give the tasks back to the queue, and look for new credentials."""
        if self._session.renew():
            _log.warning("%s", error)
        return (), Ended(Throttled(error), Usage(), request.tasks)


class _LambdaInvocation:
    """A request that a thread sends, or that waits for a thread."""

    def __init__(self, request: Request, emit: Emit, canceller: Canceller) -> None:
        self.request = request
        self.unwanted: frozenset[int] = frozenset()
        """The tasks of the request that were cancelled although all of it is sent."""
        self._canceller = canceller
        self.emit: Callable[[Sequence[Outcome], Ended | None], None] = emit
        self.sent_at: float | None = None
        """When another process has sent it, by the clock of the invoker; None: this one sends it."""
        self._sent = False
        self._cancelled = False
        self._lock = threading.Lock()

    def cancel(self) -> bool:
        """Do not send the request, where that is still possible.

        A request that was sent cannot be stopped so, and its response is waited for.

        Returns:
            Whether the request will not be sent.
        """
        with self._lock:
            self._cancelled = self._cancelled or not self._sent
            return self._cancelled

    def abandon(self, tasks: frozenset[int]) -> None:
        """Have the sandbox stop, soon, when it runs one of these tasks."""
        unwanted = self.unwanted.union(tasks.intersection(self.request.tasks))
        if unwanted != self.unwanted:
            self.unwanted = unwanted
            self._canceller.cancel(self.request)

    def running(self) -> Sequence[int]:
        """Return the tasks of the request once it was sent: any of them may run now."""
        return self.request.tasks if self._sent else ()

    def output(self) -> tuple[int, str] | None:
        """Return None: what a task writes on Lambda comes with the reply."""
        return None

    def mark_sent(self) -> bool:
        """Record that the request is about to be sent. Return False where it was cancelled before."""
        with self._lock:
            self._sent = not self._cancelled
            return self._sent
