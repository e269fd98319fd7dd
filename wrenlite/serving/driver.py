"""The Lambda function of a published job: it begins a start for each event, and answers requests.

Lambda may deliver an event twice, and repeats it where this function fails. A start has the same id then: see
``starts``. The user's function runs in a process of its own, so that this one can end it before Lambda would.
Its maps are detached jobs, which go on meanwhile: the next driver calls the function again, and each of its
maps finds its job.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote_plus

from wrenlite import __version__
from wrenlite.backends.aws.deployed import PING
from wrenlite.backends.aws.driver import Driver
from wrenlite.backends.base import DriverAddress
from wrenlite.config import Config
from wrenlite.cost import Prices, prices
from wrenlite.durable.lease import Holder, Times
from wrenlite.errors import FunctionMissing
from wrenlite.serving import code, front, parameters
from wrenlite.serving.process import End, StartProcess
from wrenlite.serving.program import Order
from wrenlite.serving.publication import (
    VARIABLE,
    Every,
    Http,
    Objects,
    Publication,
    Trigger,
    function_of,
    name_in,
)
from wrenlite.serving.queue import Queue
from wrenlite.serving.starts import MOST_ATTEMPTS, OVER, Record, Starts, gets_further, summary
from wrenlite.storage.archives import FOLDER, ArchivesPlace, find_index

HANDLER = "wrenlite.serving.driver.handler"
"""What Lambda calls: the module and the function in it."""
TIMES_VARIABLE = "WRENLITE_TIMES"
"""Environment variable with other ``Times``, as JSON, for tests."""
_GO_ON = "go on"
_SHOWN = 500
"""Characters of an event that the log shows."""
_STUCK = (
    "two drivers in a row ran until their time limit, and none of its maps got further. What the function "
    "does beside its maps must take less time than a driver has, since the next one calls it from the "
    "beginning: move that work into tasks, Executor().map(…). Or other starts took the whole concurrency of "
    "the account"
)
_MOST_HAND_OVERS = 96
"""A day of drivers of 15 minutes each."""


class Context(Protocol):
    """Lambda's description of an invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda stops the function."""


def handler(event: Mapping[str, Any], context: Context) -> Any:
    """Begin starts, go on with one, or answer a request.

    Args:
        event: what S3, EventBridge or a function URL sends; what this function sends itself; or ``PING``.
        context: Lambda's description of the invocation.

    Raises:
        RuntimeError: a process ended before its start was over. Lambda invokes this function again.
    """
    begun = time.monotonic()
    if event == PING:
        return {"ok": True, "version": __version__}
    here = _here()
    published = here.starts.publication
    remaining_s = context.get_remaining_time_in_millis() / 1000
    until = begun + remaining_s - here.starts.times.margin(remaining_s)
    if "requestContext" in event and isinstance(published.on, Http):
        return here.answer(event)
    if event.get("wrenlite") == _GO_ON:
        here.go_on(event["start"], until, event["handed_over"], event["driver_s"])
        return {"ok": True}
    found = events_in(event, published.on)
    if not found:
        print(f"this is no event that starts {published.name}: {json.dumps(event)[:_SHOWN]}")
        return {"ok": False}
    for other in found[1:]:
        here.pass_on(other)
    here.begin(found[0], until)
    return {"ok": True}


class Arrival(NamedTuple):
    """An event that starts a published job."""

    event: dict[str, Any]
    """What the function is called with."""
    key: str | None
    """What identifies it, where the event itself does not."""
    sent: Mapping[str, Any]
    """As Lambda has sent it, and nothing else."""


def events_in(sent: Mapping[str, Any], on: Trigger) -> list[Arrival]:
    """Return the events in what Lambda sends; none where it is nothing that starts the job.

    Args:
        sent: what Lambda sends.
        on: what starts the job.
    """
    if isinstance(on, Every) and sent.get("detail-type") == "Scheduled Event":
        return [Arrival({"time": sent["time"]}, sent["id"], sent)]
    if not isinstance(on, Objects):
        return []
    records = [each for each in sent.get("Records", ()) if each.get("eventSource") == "aws:s3"]
    created = [each for each in records if each["eventName"].startswith("ObjectCreated:")]
    found = [Arrival(_object(each), None, {"Records": [each]}) for each in created]
    return [each for each in found if each.event["bucket"] == on.bucket and on.fits(each.event["key"])]


def _object(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event of one record of an S3 notification."""
    found = record["s3"]["object"]
    version = found.get("versionId")
    return {
        "bucket": record["s3"]["bucket"]["name"],
        "key": unquote_plus(found["key"]),
        "version": None if version == "null" else version,
        "etag": found.get("eTag", ""),
        "size": found.get("size", 0),
        "sequencer": found.get("sequencer", ""),
        "time": record.get("eventTime", ""),
    }


@cache
def _here() -> Here:
    """Return what this sandbox keeps from one event to the next."""
    return Here(os.environ)


class Here:
    """This function: what is published, and how it is reached."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read what is published from the environment.

        Args:
            environ: the environment variables of the function.
        """
        published = Publication.from_json(environ[VARIABLE])
        place = (environ[f"WRENLITE_{name}"] for name in ("BUCKET", "PREFIX", "BUCKET_OWNER"))
        address = DriverAddress(environ["AWS_LAMBDA_FUNCTION_NAME"], environ["AWS_REGION"], *place)
        self._driver = Driver(Config(backend="aws"), address)
        times = Times(*json.loads(environ.get(TIMES_VARIABLE, "[]")))
        self.starts = Starts(self._driver.store, published, times)
        self._queue = Queue(self._driver.store, published.at_once, self._runs)
        self._environ = environ
        index = find_index(sys.path)
        archives = (
            ArchivesPlace(self._driver.store, environ["WRENLITE_FUNCTION"], index, FOLDER) if index else None
        )
        self._archives = archives
        self._function: Callable[..., Any] | None = None

    # Events

    def pass_on(self, arrival: Arrival) -> None:
        """Have another invocation begin the start of an event."""
        self._driver.start(arrival.sent)

    def begin(self, arrival: Arrival, until: float) -> None:
        """Begin the start of an event, or go on with the one that it has begun before.

        Args:
            arrival: the event.
            until: when to hand over, by ``time.monotonic``.
        """
        begun = self.starts.begin(arrival.event, arrival.key)
        start = begun.record.id
        if begun.is_over:
            print(f"{start} was started by this event before, and is over")
            self._leave(begun.record)  # its driver may have ended before it did
            return
        if not begun.is_new:
            self.go_on(start, until)
        elif self._may_run(begun.record):
            holder = self.starts.holder(start)
            if holder.try_to_take():
                self._run(begun.record, {}, holder, until)
            else:
                self.go_on(start, until)

    def go_on(self, start: str, until: float, handed_over: int = 0, driver_s: float = 0.0) -> None:
        """Go on with a start, unless it is over, or another driver runs it.

        Args:
            start: its id.
            until: when to hand over, by ``time.monotonic``.
            handed_over: how often it was handed over, at least.
            driver_s: seconds for which earlier drivers ran.
        """
        record, status = self.starts.read(start)
        if status.get("status") not in OVER and not self._may_run(record):
            return
        holder = self.starts.holder(start)
        if not holder.take(until):
            print(f"another driver runs {start}")
            return
        record, status = self.starts.read(start)
        if status.get("status") in OVER:
            print(f"{start} is over")
            self._leave(record)
            return
        if handed_over > status.get("handed_over", 0):
            status |= {"handed_over": handed_over, "attempts": 0}
        self._run(record, status, holder, until, driver_s)

    def _run(
        self, record: Record, before: Mapping[str, Any], holder: Holder, until: float, driver_s: float = 0.0
    ) -> None:
        """Run the user's function for a start, until it is over or the time is up.

        Raises:
            RuntimeError: the process ended before, and Lambda is to send the event again.
        """
        begun = time.monotonic()
        attempts = before.get("attempts", 0) + 1
        order = Order(
            record,
            record.publication(self.starts.publication),
            self.starts.store,
            before,
            attempts=attempts,
            handed_over=before.get("handed_over", 0),
            is_repeated=attempts < MOST_ATTEMPTS,
            detaches=True,
            driver_s=driver_s,
            times=self.starts.times,
            archives=self._archives,
            prices=self._prices(),
        )
        folder = tempfile.mkdtemp(prefix="wrenlite-start-")
        try:
            process = StartProcess(order, holder, self._environment(), folder)
            end = process.wait(until)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if end is End.LATE:
            self._hand_over(order, driver_s + time.monotonic() - begun, holder.let_go)
        elif end is End.DIED:
            self._died(order, process.why_it_died(), holder.let_go)
        elif end is End.OVER:
            self._end(record)

    def _hand_over(self, order: Order, driver_s: float, let_go: Callable[[float], None]) -> None:
        """Have another driver go on with a start."""
        start, count = order.record.id, order.handed_over + 1
        if count > _MOST_HAND_OVERS:
            self._fail(order, f"it was handed over {_MOST_HAND_OVERS} times, which takes a day: it is ended")
            return
        if order.handed_over and not gets_further(order.before, self.starts.read(start)[1]):
            self._fail(order, _STUCK)
            return
        print(f"{start} goes on in another driver")
        let_go(self.starts.times.patience_s)
        self._go_on_elsewhere(start, count, driver_s)

    def _died(self, order: Order, why: str, let_go: Callable[[float], None]) -> None:
        """Have Lambda send the event again, unless it did so often enough.

        Raises:
            RuntimeError: for Lambda.
        """
        if not order.is_repeated:
            self._fail(order, f"{why}. This was attempt {order.attempts}, the last one")
            return
        let_go(self.starts.times.patience_s)
        raise RuntimeError(f"{order.record.id}: {why}. Lambda repeats it")

    def _fail(self, order: Order, why: str) -> None:
        """Write that a start has failed, since its process cannot."""
        self.starts.fail(order.record.id, why)
        self._end(order.record)

    def _end(self, record: Record) -> None:
        """Print how a start has ended, and have those begun that wait for that."""
        for line in summary(self.starts.read(record.id)[1]):
            print(line)
        self._leave(record)

    # How many starts run at once

    def _may_run(self, record: Record) -> bool:
        """Return whether a start may run. Otherwise it waits in the queue, and needs no driver for that."""
        if self._queue.enter(record):
            return True
        print(f"{record.id} waits: {self.starts.publication.at_once:,} starts run at once")
        self._wake()  # a driver that has ended too early woke nobody
        return False

    def _leave(self, record: Record) -> None:
        """Let a start that is over leave the queue, and have the next ones begun."""
        self._queue.leave(record)
        self._wake()

    def _runs(self, start: str) -> bool:
        """Return whether a driver runs a start."""
        lease = self.starts.lease(start)
        return lease is not None and time.time() < lease.lost

    def _wake(self) -> None:
        """Have each start begun, or taken up again, that may run and that no driver runs."""
        for waiting in self._queue.first():
            start = waiting.start
            if self._runs(start):
                continue
            try:
                self._go_on_elsewhere(start)
            except FunctionMissing:
                print(f"{start} is of a job that is not published any more")
                self._queue.drop(waiting)

    def _go_on_elsewhere(self, start: str, handed_over: int = 0, driver_s: float = 0.0) -> None:
        """Have another invocation begin a start, or go on with it."""
        event = {"wrenlite": _GO_ON, "start": start, "handed_over": handed_over, "driver_s": driver_s}
        self._driver.start(event, function_of(self._environ["WRENLITE_FUNCTION"], name_in(start)))

    def _environment(self) -> dict[str, str]:
        """Return the environment of a start, which is a client of the deployment and not this function."""
        own = {
            "WRENLITE_BACKEND": "aws",
            "WRENLITE_CONFIG": "",
            "WRENLITE_JOURNAL": "off",
            "HOME": "/tmp",  # noqa: S108  # Lambda's
            "PYTHONHASHSEED": "0",  # a function that is called again must pickle the same bytes
        }
        kept = {name: value for name, value in self._environ.items() if name != "AWS_LAMBDA_FUNCTION_NAME"}
        return {**kept, **own}

    def _prices(self) -> Prices:
        """Return the prices of this function."""
        architecture = "arm64" if platform.machine() == "aarch64" else "x86_64"
        memory_mb = int(self._environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
        return prices(self._environ["AWS_REGION"], architecture, memory_mb=memory_mb, limit_s=900.0)

    # Requests

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a request to the function URL.

        Args:
            event: the request, in the form 2.0 of payloads.
        """
        body = event.get("body") or ""
        request = front.Request(
            method=event["requestContext"]["http"]["method"],
            path=event["rawPath"],
            headers={name.lower(): value for name, value in event.get("headers", {}).items()},
            body=base64.b64decode(body) if event.get("isBase64Encoded") else body.encode(),
        )
        answer = front.answer(request, self.starts.publication, self._check, self)
        return {
            "statusCode": answer.status,
            "headers": dict(answer.headers),
            "body": json.dumps(answer.body),
            "isBase64Encoded": False,
        }

    def _check(self, fields: Mapping[str, Any]) -> None:
        if self._function is None:
            self._function = code.load(self.starts.store, self.starts.publication, self._archives)
        parameters.bind(self._function, fields)

    def start(self, event: Mapping[str, Any], key: str | None) -> str:
        """Begin a start in an invocation of its own, as ``front.Starts.start``."""
        begun = self.starts.begin(event, key)
        start = begun.record.id
        if not begun.is_over and (begun.is_new or self.starts.lease(start) is None):
            self._go_on_elsewhere(start)
        return start

    def status(self, start: str) -> Mapping[str, Any] | None:
        """Return the status of a start, as ``front.Starts.status``."""
        return self.starts.status(start)
