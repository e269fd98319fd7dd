"""The program that runs one start, in a process of its own: on Lambda and on this machine."""

from __future__ import annotations

import atexit
import contextlib
import inspect
import json
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from wrenlite import keys
from wrenlite.backends.base import Backend
from wrenlite.backends.factory import open_store
from wrenlite.cost import Prices
from wrenlite.durable.lease import TIMES, Times
from wrenlite.errors import IntegrityError, NotFound, ServiceUnavailable, StoreError
from wrenlite.job import Job
from wrenlite.open_job import OpenJob
from wrenlite.serving import code
from wrenlite.serving.events import ObjectEvent, Rejected, object_event
from wrenlite.serving.parameters import bind
from wrenlite.serving.publication import Http, Objects, Publication
from wrenlite.serving.starts import Record, Starts, as_iso
from wrenlite.start_context import JobIdentity, Start, set_current_start
from wrenlite.storage.archives import ArchivesPlace
from wrenlite.storage.base import Store
from wrenlite.worker.calling import await_coroutine

OVER = 86
"""Exit code of this program when the start is over, and its status is written."""
_AGAIN = 1
_STOPPED = 128 + signal.SIGTERM
_WRITE_S = 2.0
"""Seconds between two writes of the status, at least."""
_MOST_LISTED = 1_000
"""The most files, and rows that were left out, that a status names."""
_RESULT_BYTES = 64 << 10
_TEXT_CHARACTERS = 8_000
"""The most of a result, and of an error, that a status has."""
_ROOM = f"{__name__.rpartition('.')[0]}."
_EXIT_S = 5.0
"""Seconds that exit handlers may take."""


class Order(NamedTuple):
    """What this program is to do."""

    record: Record
    publication: Publication
    """As it was when the start began."""
    store: Store
    """Where the records of starts are, and the code."""
    before: Mapping[str, Any]
    """The status that an earlier process has left; empty: there was none."""
    attempts: int = 1
    """How often a process was begun since the last one that handed over."""
    handed_over: int = 0
    """How often one did."""
    is_repeated: bool = False
    """Whether another process is begun where this one ends before the start is over."""
    detaches: bool = False
    """Whether maps are detached, so that the next process finds them."""
    driver_s: float = 0.0
    """Seconds that earlier processes took, which are paid for."""
    times: Times = TIMES
    """How often keepers of its maps say that they are there."""
    archives: ArchivesPlace | None = None
    """Where packages are that the function may import; None: there are none but those that are installed."""
    prices: Prices | None = None
    """Of the function that this process runs in; None: it is free."""


def main(message: bytes) -> NoReturn:
    """Run a start, and end this process.

    Args:
        message: an ``Order``, pickled.
    """
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, args=(os.dup(0),), daemon=True).start()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    order: Order = pickle.loads(message)
    try:
        code = _run(order)
    except _Stopped:
        code = _STOPPED
    _exit(code)


def _run(order: Order) -> int:
    """Run a start. Return the exit code."""
    progress = Progress(order)
    try:
        progress.begin()
        function, event = code.load(order.store, order.publication, order.archives), _event(order)
        outputs = open_store(progress.outputs)
    except BaseException as error:  # of the store, or of the user's modules
        return _end(progress, None, error)
    set_current_start(Start(order.record.id, order.publication.name, outputs, event, progress))
    value, failure = None, None
    try:
        value = _call(function, order.publication, event)
    except BaseException as error:
        failure = error if not isinstance(error, SystemExit) or error.code else None
    if not _stopped.is_set():  # else its jobs go on, for the next process
        with contextlib.suppress(_Stopped):
            progress.wait_for_jobs(cancel=failure is not None)
    progress.reject(getattr(event, "rejected", ()))
    progress.list_outputs(outputs)
    return _end(progress, value, failure)


def _event(order: Order) -> Any:
    """Return the event as ``current_start()`` shows it."""
    event = dict(order.record.event)
    return object_event(event) if isinstance(order.publication.on, Objects) else event


def _call(function: Callable[..., Any], publication: Publication, event: Any) -> Any:
    """Call the user's function, and return its value."""
    if isinstance(publication.on, Http):
        bound = bind(function, event)
        value = function(*bound.args, **bound.kwargs)
    elif isinstance(event, ObjectEvent) or _takes_event(function):
        value = function(event)
    else:
        value = function()
    return await_coroutine(value) if inspect.iscoroutine(value) else value


def _takes_event(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # its parameters are not known
        return False
    return False


def _end(progress: Progress, value: Any, failure: BaseException | None) -> int:
    if _stopped.is_set():
        return _STOPPED
    if failure is not None:
        sys.stderr.write(_trace(failure))
        if progress.is_repeated and _may_pass(failure):
            return _AGAIN
    try:
        progress.end(value, failure)
    except StoreError as error:
        print(error, file=sys.stderr)
        return _AGAIN
    return OVER


def _may_pass(error: BaseException) -> bool:
    """Return whether an error is one of AWS that another attempt may not meet."""
    # Without a cause it says what is wrong with a key or a value, and nothing of an answer.
    lasts = isinstance(error, NotFound | IntegrityError) or error.__cause__ is None
    return isinstance(error, StoreError | ServiceUnavailable) and not lasts


class _Followed:
    """What is known of one job, which is kept alive until it is over."""

    def __init__(self, job: Job[Any]) -> None:
        self.id, self.total, self.done, self.failed, self.dollars = job.id, len(job), 0, 0, 0.0
        self.is_detached = job._is_detached
        self._job: Job[Any] | None = job
        job.add_done_callback(self._take_leave)

    def look(self) -> None:
        """Look how far it is."""
        if (job := self._job) is not None:
            self._look(job)

    def wait(self, *, cancel: bool) -> None:
        """Wait for its end.

        Args:
            cancel: cancel what has not ended.
        """
        if (job := self._job) is not None:
            if isinstance(job, OpenJob):
                job.close()
            if cancel:
                job.cancel()
            job.wait()
            self._look(job)

    def _take_leave(self, job: Job[Any]) -> None:
        self._look(job)
        self._job = None

    def _look(self, job: Job[Any]) -> None:
        now = job.snapshot()
        self.total, self.done, self.failed = now.total, now.done, now.failed + now.cancelled
        self.dollars = job.cost.dollars


class Progress:
    """How far a start is, which a thread writes into the store. Its jobs tell it, as ``Jobs`` says."""

    def __init__(self, order: Order) -> None:
        """Begin with what an earlier process has left.

        Args:
            order: what is to be done.
        """
        self._order = order
        self._starts = Starts(order.store, order.publication)
        self._begun = time.monotonic()
        self._jobs: list[_Followed] = []
        self._maps = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._status = {**self._starts.queued(order.record), **order.before}
        self._own_before = float(order.before.get("own_dollars", 0.0))
        self._written: dict[str, Any] = {}
        self.outputs: str = self._status["outputs"]
        self.is_repeated = order.is_repeated

    # What jobs tell

    def identity(self, backend: Backend) -> JobIdentity | None:
        """Return the identity of the next map, as ``Jobs.identity``."""
        if not self._order.detaches or backend.driver is None or backend.made_from is None:
            return None
        record = self._order.record
        with self._lock:
            self._maps += 1
            number = self._maps
        run = "" if record.run == 1 else f"-{record.run}"
        key = keys.derived(bytes.fromhex(record.key), str(number))
        return JobIdentity(f"{record.id}{run}-{number}", key, self._order.times)

    def add(self, job: Job[Any]) -> None:
        """Follow a job from now on."""
        with self._lock:
            self._jobs.append(_Followed(job))

    # What is written

    def begin(self) -> None:
        """Write that the start runs, and go on with that in a thread.

        Raises:
            StoreError: it cannot be written.
        """
        order = self._order
        self._status |= {
            "status": "running",
            "begun": self._status["begun"] or as_iso(time.time()),
            "attempts": order.attempts,
            "handed_over": order.handed_over,
            "error": None,
        }
        self._write(self._now())
        threading.Thread(target=self._loop, name="wrenlite-status", daemon=True).start()

    def wait_for_jobs(self, *, cancel: bool) -> None:
        """Wait for jobs that the function has begun, and not waited for.

        Args:
            cancel: cancel what has not ended: the function has failed, and nobody will use it.
        """
        with self._lock:
            jobs = list(self._jobs)
        for each in jobs:
            each.wait(cancel=cancel)

    def reject(self, rows: Sequence[Rejected]) -> None:
        """Take note of rows that were left out."""
        self._status["rejected"] = [each._asdict() for each in rows[:_MOST_LISTED]]
        self._status["rejected_rows"] = len(rows)

    def list_outputs(self, outputs: Store) -> None:
        """Take note of the files that the start has left behind."""
        with contextlib.suppress(StoreError):  # a function that writes elsewhere may have no right to list
            names = [entry.key for entry, _ in zip(outputs.list(""), range(_MOST_LISTED), strict=False)]
            self._status["files"] = names

    def end(self, value: Any, failure: BaseException | None) -> None:
        """Write that the start is over.

        Args:
            value: what the function has returned.
            failure: what it has raised; None: nothing.

        Raises:
            StoreError: it cannot be written.
        """
        now = time.time()
        self._over.set()
        self._status |= {
            "status": "done" if failure is None else "failed",
            "ended": as_iso(now),
            "seconds": round(now - self._order.record.at, 3),
            "result": _as_json(value),  # and where that is None, the log says why
            "error": None if failure is None else describe(failure),
        }
        self._write(self._now())

    def _now(self) -> dict[str, Any]:
        with self._lock:
            jobs = list(self._jobs)
        for each in jobs:
            each.look()
        kept = [each for each in jobs if each.is_detached]
        own = self._own_before + sum(each.dollars for each in jobs if not each.is_detached)
        tasks = {name: sum(getattr(each, name) for each in jobs) for name in ("total", "done", "failed")}
        return {
            **self._status,
            "jobs": [each.id for each in jobs],
            "tasks": tasks,
            "kept": (
                len(kept),
                sum(each.total for each in kept),
                sum(each.done + each.failed for each in kept),
            ),
            "dollars": own + sum(each.dollars for each in kept) + self._driver_dollars(),
            "own_dollars": own,
        }

    def _driver_dollars(self) -> float:
        order = self._order
        if order.prices is None:
            return 0.0
        seconds = order.driver_s + time.monotonic() - self._begun
        return order.prices.dollars(1 + order.handed_over, seconds * order.prices.memory_gb)

    def _write(self, status: dict[str, Any]) -> None:
        with self._writing:
            if self._written.get("ended"):  # the thread was late
                return
            self._starts.write(status)
            self._written = status

    def _loop(self) -> None:
        while not self._over.wait(_WRITE_S):
            status = self._now()
            if _without_time(status) == _without_time(self._written):
                continue
            try:
                self._write(status)
            except StoreError as error:  # the next time may be better
                print(error, file=sys.stderr)


def _without_time(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status without what changes while nothing happens."""
    return {name: value for name, value in status.items() if name != "dollars"}


def _as_json(value: Any) -> Any:
    """Return a value where it is JSON, and not large; None otherwise, of which the log takes note."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        print(f"the status has no result: what the function returned is not JSON: {error}", file=sys.stderr)
        return None
    if len(text) > _RESULT_BYTES:
        most = f"{_RESULT_BYTES:,}"
        print(
            f"the status has no result: it has {len(text):,} characters as JSON, and may have {most}",
            file=sys.stderr,
        )
        return None
    return json.loads(text)


def describe(error: BaseException) -> dict[str, Any]:
    """Return an error as a status has it: with its traceback, and field and line where it has them."""
    more = {name: found for name in ("field", "line") if (found := getattr(error, name, None)) is not None}
    simple = {name: found for name, found in more.items() if isinstance(found, str | int)}
    text = _text(error)[:_TEXT_CHARACTERS]
    return {
        "type": type(error).__name__,
        "message": text,
        "traceback": _trace(error)[-_TEXT_CHARACTERS:],
        **simple,
    }


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # anybody's class
        return "(no text)"


def _trace(error: BaseException) -> str:
    """Return the traceback of an error from the user's code on."""
    trace = error.__traceback__
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith(_ROOM):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


_stopped = threading.Event()


class _Stopped(SystemExit):
    """Ends the user's function, and cancels the job that it waits for."""


def _end_with_parent(pipe: int) -> None:
    """End this process when the one that has started it is gone, which holds the other end of a pipe."""
    while os.read(pipe, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_EXIT_S)
    os._exit(_STOPPED)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """End the user's function on SIGTERM, and then this process."""
    del number, frame
    _stopped.set()
    raise _Stopped(_STOPPED)


def _exit(code: int) -> NoReturn:
    """Call the exit handlers, and end this process, whatever threads are left in it."""
    timer = threading.Timer(_EXIT_S, os._exit, (code,))
    timer.daemon = True
    timer.start()
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
