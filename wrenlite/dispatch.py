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
import contextlib
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
from wrenlite.errors import ExecutorClosed, NotFound, WrenliteError
from wrenlite.futures import HEARTBEAT_S
from wrenlite.gate import Gate
from wrenlite.invoker import Backend
from wrenlite.job import Job
from wrenlite.ledger import NOTHING
from wrenlite.protocol import Ended, Lost, Missing, Outcome, Refused, Request, Throttled, Usage
from wrenlite.work import InFlight, Work

_HINT_AFTER_S = 1.0
"""Seconds after which a program that does not end says why."""

_LONGEST_WAIT_S = 60.0
_RESTORES = 3
"""How often a job's code is put into the store again before something must be wrong there."""


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
        self._door = threading.Lock()  # held to put what somebody waits for, and to close
        self._open = True
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._works: dict[Job, Work] = {}  # all that has not ended
        self._queue: deque[Work] = deque()  # what has queued tasks; jobs take turns
        self._in_flight: dict[str, InFlight] = {}
        self._gate = Gate(backend)
        self._wait_s: float | None = None  # until something may be sent, whatever comes in; None: for news
        self._closing = False

    # For any thread

    def submit(self, work: Work) -> None:
        """Run a job. In the caller's thread, where the backend says so, before this returns.

        Raises ExecutorClosed after ``close``.
        """
        with self._door:
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

    @property
    def trouble(self) -> str:
        """Why nothing is sent at the moment; empty where all is well."""
        return self._gate.trouble

    def cancel(self, job: Job, indexes: Iterable[int]) -> int:
        """Cancel those of these tasks that have not ended; returns how many there were."""
        event = Cancel(job, list(indexes), queue.SimpleQueue())
        with self._door:
            elsewhere = self._thread not in (None, threading.current_thread()) and not self._ended.is_set()
            if elsewhere:
                self._inbox.put(event)
        if not elsewhere:
            self._on_cancel(event)
        return event.reply.get()

    def close(self) -> None:
        """Take no more work, finish what there is, then release the backend. Does not wait."""
        with self._door:
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
                with contextlib.suppress(queue.Empty):
                    self._handle(self._inbox.get(timeout=self._wait_s))
                self._work_off()
        except BaseException as error:  # a defect: say it to whoever waits, rather than hang
            self._fail_all(error)
            raise
        finally:
            for in_flight in self._in_flight.values():  # cancelled, and given up now
                in_flight.work.job.ledger.used(in_flight.indexes, self._gate.at_worst())
            self._backend.invoker.close()
            self._end()

    def _fail_all(self, error: BaseException) -> None:
        with self._door:
            self._open = False
        for work in list(self._works.values()):
            self._fail(work, WrenliteError(f"internal error: {error!r}"))

    def _end(self) -> None:
        """Answer what came in too late; from now on nothing more comes in."""
        with self._door:
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
        """Hand out one batch; False where nothing may be sent now, or nothing waits."""
        self._wait_s = None
        if self._queue and (shut := self._gate.shut_for()):
            self._wait_s = shut if shut < float("inf") else None
            return False
        for _ in range(len(self._queue)):
            work = self._queue.popleft()
            waits = self._first_wave_waits(work)
            if waits is not None:
                self._queue.append(work)
                self._wait_s = min(waits, self._wait_s or waits, _LONGEST_WAIT_S)
            elif self._start_next(work):
                return True
        return False

    def _first_wave_waits(self, work: Work) -> float | None:
        if work.known is not None or work.options.chunksize is not None:
            return None
        return pacing.first_wave_waits(
            self._backend.pace,
            sent=work.in_flight,
            sent_at=work.sent_at,
            now=time.monotonic(),
            capped=self._backend.budget is not None,
        )

    def _start_next(self, work: Work) -> bool:
        """Hand out a job's next batch; False where nothing is left of it, or no dollar."""
        pace = self._backend.pace
        batch = pacing.next_batch(
            pace,
            queued=work.queued,
            slots=self._gate.slots,
            known=work.known,
            first_wave_over=pace.first_wave is not None and work.in_flight >= pace.first_wave,
            chunksize=work.options.chunksize,
        )
        expected_s = work.known.mean_s * batch.tasks if work.known else 0.0
        if not self._gate.affords(expected_s, self._in_flight.values()):
            if self._in_flight:  # perhaps they cost less than expected
                self._queue.append(work)
            else:
                self._settle_failed(work, work.take(work.queued, sys.maxsize), self._gate.broke())
            return False
        indexes = work.take(batch.tasks, batch.bytes)
        if work.queued:
            self._take_turns(work)
        if indexes:
            self._start(work, indexes, batch.stop_after_s)
        return bool(indexes)

    def _take_turns(self, work: Work) -> None:
        """Queue a job behind the others; or before, where theirs would have its workers replaced."""
        if all(other.options.modules == work.options.modules for other in self._queue):
            self._queue.append(work)
        else:
            self._queue.appendleft(work)

    def _start(self, work: Work, indexes: Sequence[int], stop_after_s: float | None) -> None:
        options = work.options
        in_flight = InFlight(work, indexes, time.monotonic())
        limits = self._backend.limits._replace(stop_after_s=stop_after_s, task_timeout_s=options.timeout)
        request = Request(
            job=work.job.id,
            invocation=os.urandom(8).hex(),
            code=options.code,
            modules=options.modules,
            tasks=indexes,
            items=[item for index in indexes if (item := work.items[index]) is not None],
            env=options.env,
            limits=limits,
            secret=work.job.secret,
            expected_s=in_flight.expected_s or None,
        )
        work.job.ledger.hand_out(indexes, time.time())
        self._in_flight[request.invocation] = in_flight
        self._gate.passed(in_flight)
        work.in_flight += 1
        work.sent_at = in_flight.sent
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
        in_flight.seconds.extend(outcome.seconds for outcome in outcomes)
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
            work.in_flight -= 1
            self._gate.returned(in_flight, ended)
            work.job.ledger.used(in_flight.indexes, ended.usage)
            self._on_ended(in_flight, ended)
        else:
            in_flight.cancel_if_pointless()

    def _on_ended(self, in_flight: InFlight, ended: Ended) -> None:
        work, cause, left = in_flight.work, ended.cause, in_flight.left
        work.known = pacing.estimate(work.known, ended.usage.busy_s, in_flight.seconds)
        if cause is None or in_flight.cancelled:  # a cancel kills, whatever the worker was at
            self._again(work, left)
        elif isinstance(cause, Refused):
            self._fail(work, cause.error)
        elif isinstance(cause, Throttled):
            self._again(work, left)
            if self._gate.hopeless:
                for each in list(self._works.values()):
                    self._fail(each, cause.error)
        elif isinstance(cause, Missing):
            self._again(work, left)
            self._restore(work, cause.key)
        elif isinstance(cause, Lost):
            given_up = [index for index in left if work.lose(index) >= pacing.LOST_RUNS]
            self._again(work, [index for index in left if index not in given_up])
            self._settle_failed(work, given_up, cause.error)
        else:
            self._on_death(work, left, ended.not_started, cause.error)

    def _on_death(
        self, work: Work, left: Sequence[int], not_started: Sequence[int], error: WrenliteError
    ) -> None:
        innocent = set(not_started)
        self._again(work, [index for index in left if index in innocent])
        suspects = [index for index in left if index not in innocent]
        if len(suspects) > 1:
            self._again(work, suspects, alone=True)
        for index in suspects if len(suspects) == 1 else ():
            attempts = work.job.ledger.lose_attempt(index)
            if pacing.runs_again(attempts=attempts, retries=work.options.retries):
                self._again(work, [index])
            else:
                self._settle_failed(work, [index], error)

    def _restore(self, work: Work, key: str) -> None:
        """Put a job's code into the store again."""
        work.restored += 1
        try:
            if work.restored > _RESTORES:
                raise NotFound(f"{key} was put into the store {_RESTORES} times, and is not there")
            work.restore()
        except WrenliteError as error:
            self._fail(work, error)

    def _fail(self, work: Work, error: WrenliteError) -> None:
        """Fail every task of a job that has not ended."""
        self._settle_failed(work, [index for index, item in enumerate(work.items) if item is not None], error)

    def _settle_failed(self, work: Work, indexes: Sequence[int], error: WrenliteError) -> None:
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

    def _again(self, work: Work, indexes: Sequence[int], *, alone: bool = False) -> None:
        """Queue tasks again, except those that have been cancelled meanwhile."""
        wanted = [index for index in indexes if work.items[index] is not None]
        if wanted:
            if not work.queued:
                self._queue.append(work)
            if alone:
                work.put_back_alone(wanted)
            else:
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
