"""Queue, dispatch and retries: turns jobs into requests and outcomes into settled tasks.

One thread owns all state; everything else puts events into its inbox. So there is no lock to hold
while futures are set, no order of locks, and a KeyboardInterrupt, which only ever hits the main
thread, cannot tear the state. For a backend that runs in the caller's thread there is no such thread:
``submit`` works the inbox off itself.

::

    map ──── NewWork ──┐                  ┌── pacing: how many ──┐
    cancel ─ Gone ─────┼──▶ inbox ──▶ state ──────────────────── ▼
    close ── Close ────┤                  │            invoker.start(request, emit)
    emit ─── News ─────┘                  └─▶ job.settle ─▶ futures      │
              ▲──────────────────────────────────────────────────────────┘
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from wrenlite import pacing
from wrenlite.errors import WrenliteError
from wrenlite.invoker import Backend, Flight
from wrenlite.job import Job
from wrenlite.protocol import Ended, Limits, Outcome, Packed, Refused, Request, Usage


class Options(NamedTuple):
    """How a job is to be run."""

    code: str
    modules: str | None
    env: Mapping[str, str]
    chunksize: int | None
    retries: int
    timeout: float | None


class Work:
    """A job's tasks that have not ended, as the dispatcher sees them."""

    def __init__(self, job: Job, items: list[Packed], options: Options) -> None:
        self.job = job
        self.options = options
        self.items: list[Packed | None] = [*items]
        self.seconds_per_task: float | None = None
        self.unsettled = len(items)
        self._fresh = 0  # from here on, no task has been in a batch
        self._again: deque[int] = deque()

    @property
    def queued(self) -> int:
        """Tasks that wait, cancelled ones included."""
        return len(self.items) - self._fresh + len(self._again)

    def put_back(self, indexes: Sequence[int]) -> None:
        """Queue these tasks again, before the others."""
        self.job.ledger.hand_out(indexes, 0.0)
        self._again.extendleft(reversed(indexes))

    def take(self, count: int, most_bytes: int) -> list[int]:
        """The next tasks, at least one unless there is none."""
        taken: list[int] = []
        size = 0
        while len(taken) < count and self.queued:
            index = self._again[0] if self._again else self._fresh
            item = self.items[index]
            size += item.size if item else 0
            if taken and size > most_bytes:
                break
            if self._again:
                self._again.popleft()
            else:
                self._fresh += 1
            if item is not None:
                taken.append(index)
        return taken

    def forget(self, indexes: Sequence[int]) -> None:
        """These tasks have ended: let go of their items."""
        for index in indexes:
            if self.items[index] is not None:
                self.items[index] = None
                self.unsettled -= 1


class _InFlight:
    """A request on its way."""

    def __init__(self, work: Work, indexes: Sequence[int]) -> None:
        self.work = work
        self.indexes = indexes
        self.finished = 0
        self.flight: Flight | None = None
        self.cancelled = False

    def cancel_if_pointless(self) -> None:
        """Stop it when the task it is at has been cancelled; its other tasks run elsewhere."""
        if self.cancelled or self.flight is None or self.finished == len(self.indexes):
            return
        if self.work.items[self.indexes[self.finished]] is None:
            self.cancelled = True
            self.flight.cancel()


class NewWork(NamedTuple):
    """A job was submitted."""

    work: Work


class News(NamedTuple):
    """An invoker reports."""

    invocation: str
    outcomes: Sequence[Outcome]
    ended: Ended | None


class Gone(NamedTuple):
    """Tasks were cancelled."""

    job: Job
    indexes: Sequence[int]


class Close(NamedTuple):
    """No more work comes."""


Event: TypeAlias = NewWork | News | Gone | Close


class Dispatcher:
    """Runs work on a backend until it is closed and everything has ended."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._works: dict[Job, Work] = {}  # all that has not ended
        self._queue: deque[Work] = deque()  # what has queued tasks; jobs take turns
        self._in_flight: dict[str, _InFlight] = {}
        self._closing = False
        self._thread: threading.Thread | None = None

    # For any thread

    def submit(self, work: Work) -> None:
        """Run a job. In the caller's thread, where the backend says so, before this returns."""
        self._inbox.put(NewWork(work))
        if self._backend.in_caller:
            self._work_off()
        elif self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="wrenlite-dispatcher", daemon=True)
            _running.add(self)
            self._thread.start()

    def cancelled(self, job: Job, indexes: Sequence[int]) -> None:
        """The job says that these tasks have been cancelled."""
        self._inbox.put(Gone(job, indexes))

    def close(self) -> None:
        """Take no more work, finish what there is, then release the backend. Does not wait."""
        self._inbox.put(Close())
        if self._thread is None:
            self._backend.invoker.close()

    def cancel_all(self) -> None:
        """Cancel every job that has not ended."""
        for job in list(self._works):
            job.cancel()

    def join(self) -> None:
        """Wait until everything has ended and the backend is released."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    # For the thread that owns the state

    def _loop(self) -> None:
        try:
            while self._works or not self._closing:
                self._handle(self._inbox.get())
                self._work_off()
        except BaseException as error:  # a defect: say it to whoever waits, rather than hang
            for work in list(self._works.values()):
                self._fail(work, WrenliteError(f"internal error: {error!r}"))
            raise
        finally:
            self._backend.invoker.close()
            _running.discard(self)

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
            self._works[event.work.job] = event.work
            self._queue.append(event.work)
        elif isinstance(event, Gone):
            self._on_cancelled(event.job, event.indexes)
        else:
            self._closing = True

    def _start_one(self) -> bool:
        """Hand out one batch; False where no slot is free or nothing waits."""
        slots = self._backend.invoker.slots
        while self._queue and len(self._in_flight) < slots:
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
                self._queue.append(work)
            if indexes:
                self._start(work, indexes)
                return True
        return False

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
        in_flight = self._in_flight[request.invocation] = _InFlight(work, indexes)
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

    def _on_ended(self, in_flight: _InFlight, ended: Ended) -> None:
        work = in_flight.work
        work.job.ledger.used(in_flight.indexes, ended.usage)
        work.seconds_per_task = pacing.estimate(
            work.seconds_per_task, ended.usage.busy_s, in_flight.finished if ended.usage.busy_s else 0
        )
        rest = in_flight.indexes[in_flight.finished :]
        if isinstance(ended.cause, Refused):
            self._fail(work, ended.cause.error)
        elif ended.cause is None or in_flight.cancelled:
            self._again(work, rest)
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
        work.forget([outcome.task for outcome in outcomes])
        if not work.unsettled:
            self._works.pop(work.job, None)
        work.job.settle(outcomes, errors)

    def _again(self, work: Work, indexes: Sequence[int]) -> None:
        """Queue tasks again, except those that have been cancelled meanwhile."""
        wanted = [index for index in indexes if work.items[index] is not None]
        if wanted:
            if not work.queued:
                self._queue.append(work)
            work.put_back(wanted)

    def _on_cancelled(self, job: Job, indexes: Sequence[int]) -> None:
        work = self._works.get(job)
        if work is None:
            return
        work.forget(indexes)
        if not work.unsettled:
            del self._works[job]
        for in_flight in list(self._in_flight.values()):
            if in_flight.work is work:
                in_flight.cancel_if_pointless()


def _failed(index: int) -> Outcome:
    """The outcome of a task that no worker has one for; its error is the job's to know."""
    return Outcome(index, False, Packed(b""), 0.0, 0.0, 0.0, "")


_running: weakref.WeakSet[Dispatcher] = weakref.WeakSet()


def _finish_all(owner: int) -> None:
    """At exit: wait for the jobs that are still open, as concurrent.futures does; Ctrl-C cancels them."""
    if os.getpid() != owner:
        return
    for dispatcher in list(_running):
        dispatcher.close()
        try:
            dispatcher.join()
        except KeyboardInterrupt:
            dispatcher.cancel_all()
            dispatcher.join()
            raise


atexit.register(_finish_all, os.getpid())
