"""Queue, dispatch and retries: turns jobs into requests and outcomes into settled tasks.

One thread owns all state; everything else puts events into its inbox. So there is no lock to hold
while futures are set, no order of locks, and a KeyboardInterrupt, which only ever hits the main
thread, cannot tear the state. For a backend that runs in the caller's thread there is no such thread:
``submit`` works the inbox off itself.

::

    map ──── NewWork ──┐                  ┌── pacing: how many ──┐
    cancel ─ Cancel ───┼──▶ inbox ──▶ state ──────────────────── ▼
    close ── Close ────┤                  │            invoker.start(request, emit)
    emit ─── News ─────┘                  └─▶ job.settle ─▶ futures      │
              ▲──────────────────────────────────────────────────────────┘
"""

from __future__ import annotations

import atexit
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from wrenlite import pacing
from wrenlite.errors import ExecutorClosed, WrenliteError
from wrenlite.futures import HEARTBEAT_S
from wrenlite.invoker import Backend
from wrenlite.job import Job
from wrenlite.ledger import NOTHING
from wrenlite.protocol import Ended, Limits, Outcome, Refused, Request, Usage
from wrenlite.work import InFlight, Work

_HINT_AFTER_S = 1.0
"""Seconds after which a program that does not end says why."""


class NewWork(NamedTuple):
    """A job was submitted."""

    work: Work


class News(NamedTuple):
    """An invoker reports."""

    invocation: str
    outcomes: Sequence[Outcome]
    ended: Ended | None


class Cancel(NamedTuple):
    """Tasks are to be cancelled."""

    job: Job
    indexes: Sequence[int]
    reply: queue.SimpleQueue[int]
    """Takes how many of them had not ended."""


class Close(NamedTuple):
    """No more work comes."""


Event: TypeAlias = NewWork | News | Cancel | Close


class Dispatcher:
    """Runs work on a backend until it is closed and everything has ended."""

    def __init__(self, backend: Backend) -> None:
        self.owner = os.getpid()
        self._backend = backend
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._gate = threading.Lock()  # held to put what somebody waits for, and to close
        self._open = True
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._works: dict[Job, Work] = {}  # all that has not ended
        self._queue: deque[Work] = deque()  # what has queued tasks; jobs take turns
        self._in_flight: dict[str, InFlight] = {}
        self._closing = False

    # For any thread

    def submit(self, work: Work) -> None:
        """Run a job. In the caller's thread, where the backend says so, before this returns.

        Raises ExecutorClosed after ``close``.
        """
        with self._gate:
            if not self._open:
                raise ExecutorClosed("this executor was shut down; make a new one")
            self._backend.invoker.open()
            self._works[work.job] = work
            self._inbox.put(NewWork(work))
            if self._thread is None and not self._backend.in_caller:
                thread = threading.Thread(target=self._loop, name="wrenlite-dispatcher", daemon=True)
                thread.start()
                self._thread = thread
                _running.add(self)
        if self._backend.in_caller:
            self._work_off()

    def cancel(self, job: Job, indexes: Iterable[int]) -> int:
        """Cancel those of these tasks that have not ended; returns how many there were."""
        event = Cancel(job, list(indexes), queue.SimpleQueue())
        with self._gate:
            elsewhere = self._thread not in (None, threading.current_thread()) and not self._ended.is_set()
            if elsewhere:
                self._inbox.put(event)
        if not elsewhere:
            self._on_cancel(event)
        return event.reply.get()

    def close(self) -> None:
        """Take no more work, finish what there is, then release the backend. Does not wait."""
        with self._gate:
            self._open = False
            self._inbox.put(Close())
            if self._thread is None:
                self._backend.invoker.close()

    def cancel_all(self) -> None:
        """Cancel every job that has not ended."""
        for job in list(self._works):
            job.cancel()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until everything has ended and the backend is released; False after so many seconds.

        Not by joining the thread: an interrupted join makes Python take a running thread for a finished one.
        """
        if self._thread in (None, threading.current_thread()):
            return True
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while not self._ended.wait(max(0.0, min(HEARTBEAT_S, end - time.monotonic()))):
            if time.monotonic() >= end:
                return False
        return True

    def say_that_it_waits(self) -> None:
        """Tell a person at a terminal why the program does not end."""
        jobs = [repr(job) for job in list(self._works)]
        if jobs and sys.stderr is not None and sys.stderr.isatty():
            print("wrenlite: waiting for", *jobs, "(Ctrl-C cancels)", file=sys.stderr)

    # For the thread that owns the state

    def _loop(self) -> None:
        try:
            while self._works or not self._closing:
                self._handle(self._inbox.get())
                self._work_off()
        except BaseException as error:  # a defect: say it to whoever waits, rather than hang
            self._fail_all(error)
            raise
        finally:
            self._backend.invoker.close()
            self._end()

    def _fail_all(self, error: BaseException) -> None:
        with self._gate:
            self._open = False
        for work in list(self._works.values()):
            self._fail(work, WrenliteError(f"internal error: {error!r}"))

    def _end(self) -> None:
        """Answer what came in too late; from now on nothing more comes in."""
        with self._gate:
            self._ended.set()
            _running.discard(self)
        while not self._inbox.empty():
            event = self._inbox.get()
            if isinstance(event, Cancel):
                self._on_cancel(event)

    def _work_off(self) -> None:
        while True:
            try:
                while True:
                    self._handle(self._inbox.get_nowait())
            except queue.Empty:
                pass
            if not self._start_one():
                return

    def _handle(self, event: Event) -> None:
        if isinstance(event, News):
            self._on_news(*event)
        elif isinstance(event, NewWork):
            self._queue.append(event.work)
        elif isinstance(event, Cancel):
            self._on_cancel(event)
        else:
            self._closing = True

    def _start_one(self) -> bool:
        """Hand out one batch; False where no slot is free or nothing waits."""
        slots = self._backend.invoker.slots
        # In the caller's thread a request has a slot of its own: it may come from a task of another one.
        while self._queue and (self._backend.in_caller or len(self._in_flight) < slots):
            work = self._queue.popleft()
            pace = self._backend.pace
            count = pacing.batch_size(
                queued=work.queued,
                slots=slots,
                seconds_per_task=work.seconds_per_task,
                target_s=pace.target_s,
                chunksize=work.options.chunksize,
            )
            most = pacing.batch_bytes(seconds_per_task=work.seconds_per_task, most=pace.batch_bytes)
            indexes = work.take(count, most)
            if work.queued:
                self._take_turns(work)
            if indexes:
                self._start(work, indexes)
                return True
        return False

    def _take_turns(self, work: Work) -> None:
        """Queue a job behind the others; or before, where theirs would have its workers replaced."""
        if all(other.options.modules == work.options.modules for other in self._queue):
            self._queue.append(work)
        else:
            self._queue.appendleft(work)

    def _start(self, work: Work, indexes: Sequence[int]) -> None:
        options = work.options
        stop_after = pacing.stop_after_s(
            target_s=self._backend.pace.target_s,
            seconds_per_task=work.seconds_per_task,
            chunksize=options.chunksize,
        )
        request = Request(
            job=work.job.id,
            invocation=os.urandom(8).hex(),
            code=options.code,
            modules=options.modules,
            tasks=indexes,
            items=[item for index in indexes if (item := work.items[index]) is not None],
            env=options.env,
            limits=Limits(stop_after, options.timeout),
        )
        work.job.ledger.hand_out(indexes, time.time())
        in_flight = self._in_flight[request.invocation] = InFlight(work, indexes)
        try:
            in_flight.flight = self._backend.invoker.start(request, partial(self._emit, request.invocation))
        except BaseException:  # inline: the user's interrupt, on its way to whoever called map
            self._emit(request.invocation, (), Ended(None, Usage(), indexes))
            raise

    def _emit(self, invocation: str, outcomes: Sequence[Outcome], ended: Ended | None = None) -> None:
        self._inbox.put(News(invocation, outcomes, ended))

    def _on_news(self, invocation: str, outcomes: Sequence[Outcome], ended: Ended | None) -> None:
        in_flight = self._in_flight[invocation]
        work = in_flight.work
        in_flight.finished += len(outcomes)
        final = []
        for outcome in outcomes:
            attempts = work.job.ledger.lose_attempt(outcome.task)
            if outcome.ok or not pacing.runs_again(attempts=attempts, retries=work.options.retries):
                final.append(outcome)
            else:
                self._again(work, [outcome.task])
        self._settle(work, final)
        if ended is not None:
            del self._in_flight[invocation]
            self._on_ended(in_flight, ended)
        else:
            in_flight.cancel_if_pointless()

    def _on_ended(self, in_flight: InFlight, ended: Ended) -> None:
        work = in_flight.work
        work.job.ledger.used(in_flight.indexes, ended.usage)
        work.seconds_per_task = pacing.estimate(
            work.seconds_per_task, ended.usage.busy_s, in_flight.finished if ended.usage.busy_s else 0
        )
        rest = in_flight.indexes[in_flight.finished :]
        if ended.cause is None or in_flight.cancelled:  # a cancel kills, whatever the worker was at
            self._again(work, rest)
        elif isinstance(ended.cause, Refused):
            self._fail(work, ended.cause.error)
        else:
            free = set(ended.not_started)
            self._again(work, [index for index in rest if index in free])
            for index in rest:
                if index not in free:
                    self._lose_attempt(work, index, ended.cause.error)

    def _lose_attempt(self, work: Work, index: int, error: WrenliteError) -> None:
        attempts = work.job.ledger.lose_attempt(index)
        if pacing.runs_again(attempts=attempts, retries=work.options.retries):
            self._again(work, [index])
        else:
            self._settle(work, [_failed(index)], {index: error})

    def _fail(self, work: Work, error: WrenliteError) -> None:
        """Fail every task of a job that has not ended."""
        indexes = [index for index, item in enumerate(work.items) if item is not None]
        self._settle(work, [_failed(index) for index in indexes], dict.fromkeys(indexes, error))

    def _settle(
        self, work: Work, outcomes: Sequence[Outcome], errors: dict[int, WrenliteError] | None = None
    ) -> None:
        if not outcomes:
            return
        self._forget(work, [outcome.task for outcome in outcomes])
        work.job.settle(outcomes, errors)

    def _forget(self, work: Work, indexes: Sequence[int]) -> None:
        """These tasks have ended; with the last one the job has."""
        work.forget(indexes)
        if not work.unsettled:
            self._works.pop(work.job, None)

    def _again(self, work: Work, indexes: Sequence[int]) -> None:
        """Queue tasks again, except those that have been cancelled meanwhile."""
        wanted = [index for index in indexes if work.items[index] is not None]
        if wanted:
            if not work.queued:
                self._queue.append(work)
            work.put_back(wanted)

    def _on_cancel(self, event: Cancel) -> None:
        fresh = event.job.settle_cancelled(event.indexes)
        event.reply.put(len(fresh))
        work = self._works.get(event.job)
        if work is None:
            return
        self._forget(work, fresh)
        for in_flight in list(self._in_flight.values()):
            if in_flight.work is work:
                in_flight.cancel_if_pointless()


def _failed(index: int) -> Outcome:
    """The outcome of a task that no worker has one for; its error is the job's to know."""
    return Outcome(index, False, NOTHING, 0.0, 0.0, 0.0, "")


_running: set[Dispatcher] = set()
"""Those with a thread, from its start to its end."""


def _finish_all() -> None:
    """At exit: wait for the jobs that are still open, as concurrent.futures does; Ctrl-C cancels them."""
    interrupt = None
    for dispatcher in [each for each in list(_running) if each.owner == os.getpid()]:
        dispatcher.close()
        try:
            if not dispatcher.join(_HINT_AFTER_S):
                dispatcher.say_that_it_waits()
                dispatcher.join()
        except KeyboardInterrupt as error:
            interrupt = error
            dispatcher.cancel_all()
            dispatcher.join()
    if interrupt is not None:
        raise interrupt


atexit.register(_finish_all)
