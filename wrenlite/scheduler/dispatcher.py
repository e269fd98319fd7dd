"""Queue, dispatch and retries: turns jobs into requests and outcomes into settled tasks.

One thread owns all state; everything else puts events into its inbox. So there is no lock to hold
while futures are set, no order of locks, and a KeyboardInterrupt, which only ever hits the main
thread, cannot tear the state. For a backend that runs in the caller's thread there is no such thread:
``submit`` works the inbox off itself.

::

    map ──── JobSubmitted ──┐                  ┌── pacing: how many ──┐
    cancel ─ Cancel ───┼──▶ inbox ──▶ state ──────────────────── ▼
    close ── Close ────┤                  │            invoker.start(request, emit)
    emit ─── InvokerReport ─────┘                  └─▶ job.settle ─▶ futures      │
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
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from wrenlite.backends.base import Backend
from wrenlite.cost import Cost
from wrenlite.errors import ExecutorClosed, WrenliteError
from wrenlite.futures import HEARTBEAT_S
from wrenlite.job import Job
from wrenlite.protocol import Ended, Outcome
from wrenlite.scheduler.pending import PendingJob
from wrenlite.scheduler.state import Scheduler

_HINT_AFTER_S = 1.0
"""Seconds after which a program that does not end says why."""


class JobSubmitted(NamedTuple):
    """A job was submitted."""

    work: PendingJob


class InvokerReport(NamedTuple):
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


Event: TypeAlias = JobSubmitted | InvokerReport | Cancel | Close


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
        self._scheduler = Scheduler(backend, self._report)
        self._closing = False

    # For any thread

    def submit(self, work: PendingJob) -> None:
        """Run a job. In the caller's thread, where the backend says so, before this returns.

        Raises ExecutorClosed after ``close``.
        """
        with self._door:
            if not self._open:
                raise ExecutorClosed("this executor was shut down; make a new one")
            self._backend.invoker.open(work.unsettled)
            self._scheduler.works[work.job] = work
            self._inbox.put(JobSubmitted(work))
            if self._thread is None and not self._backend.in_caller:
                thread = threading.Thread(target=self._loop, name="wrenlite-dispatcher", daemon=True)
                thread.start()
                self._thread = thread
                _running.add(self)
        if self._backend.in_caller:
            self._work_off()

    @property
    def cost(self) -> Cost:
        """What all jobs cost so far."""
        return self._scheduler.cost

    @property
    def trouble(self) -> str:
        """Why nothing is sent at the moment; empty where all is well."""
        return self._scheduler.trouble

    def cancel(self, job: Job, indexes: Iterable[int], wait: bool = True) -> int:
        """Cancel those of these tasks that have not ended; returns how many there were.

        Without waiting it returns 0 at once, and they are cancelled soon.
        """
        event = Cancel(job, list(indexes), queue.SimpleQueue())
        with self._door:
            elsewhere = self._thread not in (None, threading.current_thread()) and not self._ended.is_set()
            if elsewhere:
                self._inbox.put(event)
        if not elsewhere:
            self._on_cancel(event)
        return event.reply.get() if wait else 0

    def close(self) -> None:
        """Take no more work, finish what there is, then release the backend. Does not wait."""
        with self._door:
            self._open = False
            self._inbox.put(Close())
            if self._thread is None:
                self._backend.invoker.close()

    def cancel_all(self) -> int:
        """Cancel every job that has not ended; returns how many tasks that were."""
        return sum(job.cancel() for job in list(self._scheduler.works))

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
        jobs = [repr(job) for job in list(self._scheduler.works)]
        if jobs and sys.stderr is not None and sys.stderr.isatty():
            print("wrenlite: waiting for", *jobs, "(Ctrl-C cancels)", file=sys.stderr)

    # For the thread that owns the state

    def _loop(self) -> None:
        try:
            while self._scheduler.works or not self._closing:
                with contextlib.suppress(queue.Empty):
                    self._handle(self._inbox.get(timeout=self._scheduler.wait_s))
                self._work_off()
        except BaseException as error:  # a defect: say it to whoever waits, rather than hang
            self._fail_all(error)
            raise
        finally:
            self._scheduler.give_up()
            self._backend.invoker.close()
            self._end()

    def _fail_all(self, error: BaseException) -> None:
        with self._door:
            self._open = False
        for work in list(self._scheduler.works.values()):
            self._scheduler.fail(work, WrenliteError(f"internal error: {error!r}"))

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
            if not self._scheduler.start_one():
                return

    def _handle(self, event: Event) -> None:
        if isinstance(event, InvokerReport):
            self._scheduler.on_report(*event)
        elif isinstance(event, JobSubmitted):
            self._scheduler.add(event.work)
        elif isinstance(event, Cancel):
            self._on_cancel(event)
        else:
            self._closing = True

    def _on_cancel(self, event: Cancel) -> None:
        event.reply.put(self._scheduler.cancel(event.job, event.indexes))

    def _report(self, invocation: str, outcomes: Sequence[Outcome], ended: Ended | None) -> None:
        self._inbox.put(InvokerReport(invocation, outcomes, ended))


_running: set[Dispatcher] = set()
"""Those with a thread, from its start to its end."""


def _finish_all() -> None:
    """At exit: wait for the jobs that are still open, as concurrent.futures does; Ctrl-C cancels them.

    It then says so itself: an exception from here would be printed with a traceback, and change nothing.
    """
    for dispatcher in [each for each in list(_running) if each.owner == os.getpid()]:
        dispatcher.close()
        try:
            if not dispatcher.join(_HINT_AFTER_S):
                dispatcher.say_that_it_waits()
                dispatcher.join()
        except KeyboardInterrupt:
            cancelled = dispatcher.cancel_all()
            if sys.stderr is not None:
                print(f"wrenlite: interrupted; {cancelled:,} tasks were cancelled", file=sys.stderr)
            dispatcher.join()


atexit.register(_finish_all)
