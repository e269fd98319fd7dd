"""The thread that schedules: it takes events from its inbox, and owns all state of the jobs.

Everything else puts events into the inbox, so there is no lock, and a KeyboardInterrupt, which only reaches
the main thread, cannot leave the state half changed. For the same reason a signal handler may do anything,
whatever it interrupts: map, cancel, wait for a task or shut down. A backend that runs tasks in the caller's
thread has no thread of its own: there ``submit`` itself handles the events of the job, in the thread that
calls ``map``.

::

    map ──── JobSubmitted ──────┐                  ┌── batching: how many ──┐
    cancel ─ CancelTasks ───────┼──▶ inbox ──▶ state ────────────────────── ▼
    close ── Close ─────────────┤                  │              invoker.start(request, emit)
    uploads ── CodeStored ──────┤                  │                         │
    emit ─── InvocationReport ──┘                  └─▶ job ─▶ futures        │
                  ▲──────────────────────────────────────────────────────────┘

Futures are settled, their callbacks called, and log records of tasks handled, in threads of their own (see
``settling`` and ``log_records``). Three things of ``admission`` are read from other threads without the
inbox: ``spent``, ``slots`` and ``blocked_reason``, each of which is, or comes from, one immutable value that
is replaced as a whole. What other threads spend is added to ``spent`` under a lock.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from types import FrameType
from typing import Any

from wrenlite.backends.base import Backend
from wrenlite.errors import ExecutorClosed, WrenliteError
from wrenlite.futures import HasCallbacks, waiting_for
from wrenlite.job import Job
from wrenlite.protocol import Ended, Missing, Outcome, Usage
from wrenlite.scheduler.admission import Admission
from wrenlite.scheduler.arrivals import Arrivals
from wrenlite.scheduler.events import (
    AskRunning,
    CancelTasks,
    Close,
    CodeAdded,
    CodeStored,
    Event,
    Hold,
    HoldJob,
    InvocationReport,
    JobSubmitted,
    ListJobs,
    Question,
    ReadOutput,
    Served,
    TasksAdded,
)
from wrenlite.scheduler.log_records import RecordHandling
from wrenlite.scheduler.pending import PendingJob
from wrenlite.scheduler.settling import Settler
from wrenlite.scheduler.state import Scheduler
from wrenlite.storage.uploads import JobCode, Upload
from wrenlite.texts import counted, is_terminal
from wrenlite.threads import Changes, OneThread, no_interrupts

_HINT_AFTER_S = 1.0
"""Seconds after which a program that does not end says why."""


class Dispatcher:
    """Runs jobs on a backend until it is closed and every job has ended."""

    def __init__(self, backend: Backend) -> None:
        """Create a dispatcher. Its thread starts with the first job.

        Args:
            backend: what to run on.
        """
        self.owner = os.getpid()
        self.backend = backend
        """What it runs on."""
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._closed_because = ""
        """Why no more jobs are taken; empty while they are."""
        self._one = OneThread("wrenlite-dispatcher")
        self._started = False  # whether the threads have, so that events may be left to them
        self._ended = False
        self._changes = Changes()
        self._settler = Settler(self._changes, at_end=lambda: _running.discard(self))
        self._records = RecordHandling()
        self._scheduler = Scheduler(backend, self._report, self._restore, handle_records=self._records.handle)
        self._closing = False
        self._served: set[Job[Any]] = set()
        """The jobs of other executors some of whose tasks may come: it stays open for them."""
        self._open_here: set[PendingJob] = set()
        """The open jobs that run in the threads of their callers."""
        self._runs: list[Dispatcher] = []
        """The dispatchers of the jobs that run in the threads of their callers."""

    # For any thread

    def submit(self, pending: PendingJob) -> None:
        """Run a job. Where the backend runs tasks in the caller's thread, they have run when this returns.

        Raises:
            ExecutorClosed: ``close`` was called before.
        """
        if not pending.is_served:
            self._check_open()
        self.backend.invoker.open(pending.tasks.unfinished)
        if not self._started and not self.backend.runs_in_caller:
            self._start()
        if self.backend.runs_in_caller:
            if pending.arrivals is not None:
                self._open_here.add(pending)
            self._run_here(pending)
            return
        self._inbox.put(JobSubmitted(pending))
        if self._ended or not pending.is_served:
            self._check_open()  # if it was closed meanwhile, this may have been before the job came

    def serve(self, job: Job[Any], *, on: bool) -> None:
        """Stay open for a job of another executor, some of whose tasks may come; or do so no longer.

        Args:
            job: the job.
            on: it begins; otherwise it has ended, or is about to.

        Raises:
            ExecutorClosed: ``close`` was called before the job began.
        """
        if on:
            self._check_open()
            self.backend.invoker.open()
            if not self._started:
                self._start()
        self._inbox.put(Served(job, on))
        if on:
            self._check_open()

    def add_code(self, pending: PendingJob, code: JobCode) -> None:
        """Change the code of an open job for the tasks that are submitted from now on."""
        if self.backend.runs_in_caller:
            self._scheduler.change_code(pending, code)
        else:
            self._inbox.put(CodeAdded(pending, code))

    def tasks_added(self, pending: PendingJob, arrivals: Arrivals[Any]) -> None:
        """Take the tasks that were submitted to an open job, soon, or note that it was closed.

        Where the backend runs tasks in the caller's thread, they have run when this returns.

        Args:
            pending: the job, which ``submit`` has taken before.
            arrivals: its arrivals.
        """
        if self.backend.runs_in_caller:
            arrivals.announced = True
            # One thread at a time runs the job, and takes what others add meanwhile.
            while arrivals.announced and arrivals.token.acquire(blocking=False):
                try:
                    self._run_here(pending)
                except ExecutorClosed:
                    self._scheduler.refuse(pending)
                finally:
                    arrivals.token.release()
        elif not arrivals.announced:
            event = TasksAdded(pending)
            try:
                arrivals.announced = True
                self._inbox.put(event)
            except BaseException:  # of a signal handler: a second announcement is harmless
                arrivals.announced = False
                raise
            if self._ended:
                self._answer_rest()

    def _run_here(self, pending: PendingJob) -> None:
        """Run a job in this thread, with a dispatcher of its own.

        What calls ``map`` may be a task, another thread, or a signal handler that has interrupted the
        scheduling of another job.
        """
        run = Dispatcher(self.backend)
        self._runs.append(run)
        try:
            self._check_open()  # from now on ``close`` leaves the invoker open
            run._handle(JobSubmitted(pending))
            run._drain_inbox()
            while run._scheduler.jobs and (wait_s := run._scheduler.wait_s) is not None:
                run._wait(wait_s)  # the store failed for a moment, or tasks wait until they are tried again
        except BaseException:  # an interrupt
            run._cancel(CancelTasks(None, (), queue.SimpleQueue()))
            raise
        finally:
            if pending.tasks.over:
                self._open_here.discard(pending)
            self._runs.remove(run)
            if self._closed_because and not self._runs:
                self.backend.invoker.close()

    def _check_open(self) -> None:
        if self._closed_because:
            raise ExecutorClosed(self._closed_because)

    def _start(self) -> None:
        _running.add(self)
        self._one.start(self._loop)
        self._settler.start()
        self._started = True

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more jobs."""
        return bool(self._closed_because)

    @property
    def is_over(self) -> bool:
        """Whether its thread has ended."""
        return self._ended

    @property
    def admission(self) -> Admission:
        """How many requests can run at once, as far as is known now, and what all jobs cost so far."""
        return self._scheduler.admission

    @property
    def blocked_reason(self) -> str:
        """Why nothing is sent at the moment; empty where requests are sent."""
        return self._scheduler.admission.blocked_reason

    def charge(self, usage: Usage) -> None:
        """Add requests of this process to the cost of all jobs, in any thread."""
        self._scheduler.admission.charge(usage)

    def cancel(self, job: Job[Any] | None, indexes: Iterable[int], wait: bool = True) -> int:
        """Cancel tasks that have not ended.

        Args:
            job: the job; None: every job that has not ended.
            indexes: its tasks.
            wait: return once they are cancelled. Otherwise they are cancelled soon.

        Returns:
            The number of tasks that had not ended; 0 without waiting.
        """
        if os.getpid() != self.owner:  # a forked process has no thread that could answer
            return 0
        event = CancelTasks(job, list(indexes), queue.SimpleQueue())
        self._ask(event)
        return event.reply.get() if wait else 0

    def hold(self, job: Job[Any], how: Hold) -> PendingJob | None:
        """Change whether tasks of a job are handed out. Return its queue; None: it has ended."""
        event = HoldJob(job, how, queue.SimpleQueue())
        self._ask(event)
        return event.reply.get()

    def cancel_all(self) -> int:
        """Cancel every job that has not ended; return the number of tasks that were cancelled."""
        return self.cancel(None, ())

    def unfinished_jobs(self) -> list[Job[Any]]:
        """Return the jobs that have not ended."""
        event = ListJobs(queue.SimpleQueue())
        self._ask(event)
        return event.reply.get()

    def is_running(self, job: Job[Any], index: int) -> bool:
        """Return whether a task runs now, as far as that is known."""
        if os.getpid() != self.owner:  # a forked process has no thread that could answer
            return False
        event = AskRunning(job, index, queue.SimpleQueue())
        self._ask(event)
        return event.reply.get()

    def read_output(self, job: Job[Any]) -> None:
        """Record in the job's task table what those of its tasks that run now have written so far."""
        if os.getpid() == self.owner:  # a forked process has no thread that could answer
            event = ReadOutput(job, queue.SimpleQueue())
            self._ask(event)
            event.reply.get()

    def settle(self, futures: Sequence[HasCallbacks]) -> None:
        """Settle futures whose tasks have ended, soon, and call their done-callbacks.

        Where the backend runs tasks in the caller's thread, that happens here.
        """
        if self._started:
            self._settler.settle(futures)
        else:
            self._settler.settle_here(futures)

    def close(self, because: str) -> None:
        """Take no more jobs, finish those that were submitted, then release the backend. Does not wait.

        Args:
            because: the message for who submits a job later.
        """
        self._closed_because = self._closed_because or because
        self._inbox.put(Close())
        for pending in list(self._open_here):
            if pending.arrivals is not None:
                self.tasks_added(pending, pending.arrivals)
        if not self._started and not self._runs:
            self.backend.invoker.close()

    def join(self, timeout: float | None = None, cancel: bool = False) -> bool:
        """Wait until every job has ended and is stored, and the backend and all done-callbacks are over.

        It does not join the threads: after an interrupted join Python takes a running thread for a finished
        one.

        Args:
            timeout: seconds to wait at most; None: without limit.
            cancel: whether an interrupt cancels the jobs.

        Returns:
            Whether that happened in time.
        """
        here = threading.current_thread()
        own = here in (self._one.thread, self._records.thread) or self._settler.calls_from(here)
        if not self._started or own:
            return True
        with waiting_for(self.unfinished_jobs(), cancel):
            return self._changes.wait_for(self._is_over, timeout)

    def _is_over(self) -> bool:
        return self._ended and self._settler.over and self._records.over

    def _ask(self, event: Question) -> None:
        """Have an event answered by the thread that owns the state, or here if there is no such thread."""
        if self._started and self._one.thread is not threading.current_thread():
            self._inbox.put(event)
            if self._ended:
                self._answer_rest()
            return
        self._handle(event)
        if isinstance(event, CancelTasks):
            # For jobs that were submitted and are still in the inbox, and for those that run here.
            for each in (self, *self._runs) if event.job is None else self._runs:
                each._inbox.put(event)

    def _report(self, invocation: str, outcomes: Sequence[Outcome], ended: Ended | None) -> None:
        self._inbox.put(InvocationReport(invocation, outcomes, ended))

    def _restore(self, pending: PendingJob, missing: Missing) -> None:
        """Put the code of a job into the store again, in a thread: it may take long, and other jobs go on."""
        upload = Upload(partial(pending.restore, missing))
        if self.backend.runs_in_caller:
            upload.run()
        else:
            upload.start()
        self._report_end(upload, pending)

    def _report_end(self, upload: Upload, pending: PendingJob) -> None:
        upload.then(lambda error: self._inbox.put(CodeStored(pending, error)))

    # For the thread that owns the state

    def _loop(self) -> None:
        try:
            while self._scheduler.jobs or self._scheduler.storing or self._served or not self._closing:
                self._wait(self._scheduler.wait_s)
        except BaseException as error:  # a defect of wrenlite: report it to whoever waits, do not hang
            self._fail_all(error)
            raise
        finally:
            self._scheduler.charge_abandoned()
            self.backend.invoker.close()
            self._ended = True
            self._answer_rest()
            self._settler.close()
            self._records.close()
            self._changes.notify()

    def _wait(self, seconds: float | None) -> None:
        """Wait for an event, handle all that there are, and send what may be sent."""
        with contextlib.suppress(queue.Empty):
            self._handle(self._inbox.get(timeout=seconds))
        self._drain_inbox()

    def _fail_all(self, error: BaseException) -> None:
        text = (
            f"an internal error of wrenlite ended the job: {error!r}. Please report it, with the traceback "
            "above"
        )
        self._closed_because = text.replace("the job", "this executor", 1)
        while not self._inbox.empty():
            if not isinstance(event := self._inbox.get(), InvocationReport):
                self._handle(event)
        self._scheduler.close_open_jobs()
        for pending in list(self._scheduler.jobs.values()):
            self._scheduler.fail(pending, WrenliteError(text))
        self._closing = True

    def _answer_rest(self) -> None:
        """Answer the events that arrive after the end, in whichever thread has put them or ends the loop."""
        with contextlib.suppress(queue.Empty):
            while True:
                if not isinstance(event := self._inbox.get_nowait(), InvocationReport):
                    self._handle(event)

    def _drain_inbox(self) -> None:
        """Handle all events, and hand out batches until none may be sent."""
        while True:
            try:
                while True:
                    self._handle(self._inbox.get_nowait())
            except queue.Empty:
                pass
            if not self._scheduler.start_one():
                return

    def _handle(self, event: Event) -> None:
        if isinstance(event, InvocationReport):
            self._scheduler.on_report(*event)
        elif isinstance(event, TasksAdded):
            self._scheduler.grow(event.pending)
        elif isinstance(event, CodeAdded):
            self._scheduler.change_code(*event)
            self._follow_uploads(event.pending, event.code)
        elif isinstance(event, JobSubmitted):
            self._add(event.pending)
        elif isinstance(event, CodeStored):
            self._scheduler.on_stored(*event)
        elif isinstance(event, Served):
            (self._served.add if event.begins else self._served.discard)(event.job)
        elif isinstance(event, Close):
            self._closing = True
            self._scheduler.close_open_jobs()
        else:
            self._answer(event)

    def _answer(self, event: Question) -> None:
        if isinstance(event, CancelTasks):
            event.reply.put(self._cancel(event))
        elif isinstance(event, ListJobs):
            event.reply.put(list(self._scheduler.jobs))
        elif isinstance(event, AskRunning):
            event.reply.put(self._scheduler.requests.is_running(event.job, event.task))
        elif isinstance(event, ReadOutput):
            self._scheduler.requests.read_output(event.job)
            event.reply.put(None)
        else:
            event.reply.put(self._scheduler.hold(event.job, event.how))

    def _add(self, pending: PendingJob) -> None:
        """Add a job, unless the inbox was closed before it came: then ``submit`` raises an error."""
        if self._closing and (self._ended or not pending.is_served):
            self._scheduler.refuse(pending)  # another thread may have added tasks to it already
            if pending.is_served:
                self._scheduler.cancel(pending.job, range(len(pending.job)))
            return
        self._scheduler.add(pending)
        self._follow_uploads(pending, pending.options.code)

    def _follow_uploads(self, pending: PendingJob, code: JobCode) -> None:
        for upload in code.uploads:
            self._report_end(upload, pending)

    def _cancel(self, event: CancelTasks) -> int:
        if event.job is not None:
            return self._scheduler.cancel(event.job, event.indexes)
        self._served.clear()
        return self._scheduler.cancel_all()


_running: set[Dispatcher] = set()
"""The dispatchers that have threads, from their start to their end."""
AT_EXIT = "the program is ending, and takes no more tasks; submit them before its end"


def _finish_all() -> None:
    """At exit, wait for the jobs that have not ended, as concurrent.futures does. An interrupt cancels them.

    The interrupt is reported here: an exception from here would be printed with a traceback and change
    nothing. So would one that the program's own handler of a signal raises.
    """
    try:
        if signal.getsignal(signal.SIGINT) is _cancel_at_interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if not _was_interrupted():
            _join_all()
            return
        with no_interrupts():
            _cancel_all()
    except (KeyboardInterrupt, SystemExit) as error:
        with no_interrupts():
            _cancel_all()
        if isinstance(error, KeyboardInterrupt):
            _end_by_interrupt()
    with contextlib.suppress(KeyboardInterrupt, SystemExit):  # one more: do not wait
        for dispatcher in _own_dispatchers():
            dispatcher.join()


def _was_interrupted() -> bool:
    """Return whether a KeyboardInterrupt that nobody caught has ended the program.

    A prompt goes on after it.
    """
    return not hasattr(sys, "ps1") and getattr(sys, "last_type", None) is KeyboardInterrupt


def _own_dispatchers() -> list[Dispatcher]:
    return [each for each in list(_running) if each.owner == os.getpid()]


def _join_all() -> None:
    for dispatcher in _own_dispatchers():
        dispatcher.close(AT_EXIT)
        if not dispatcher.join(_HINT_AFTER_S):
            _explain_waiting(dispatcher)
            dispatcher.join()


def _cancel_all() -> int:
    """Take no more jobs after an interrupt, cancel all, tell how many tasks that were, and return it."""
    dispatchers = _own_dispatchers()
    for dispatcher in dispatchers:
        dispatcher.close(AT_EXIT)
    cancelled = sum(dispatcher.cancel_all() for dispatcher in dispatchers)
    if cancelled and sys.stderr is not None:
        print(f"wrenlite: interrupted; cancelled {counted(cancelled, 'task')}", file=sys.stderr)
    return cancelled


def _cancel_before_threads_end() -> None:
    """Let Ctrl-C cancel all tasks while Python waits for the program's threads, at the end of the program.

    They may wait for tasks. A KeyboardInterrupt would be printed there, and would change nothing. If one that
    nobody caught has ended the program, or comes just now, the tasks are cancelled now.
    """
    try:
        if not _was_interrupted():
            usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
            if usual and threading.current_thread() is threading.main_thread() and _own_dispatchers():
                signal.signal(signal.SIGINT, _cancel_at_interrupt)
            return
    except KeyboardInterrupt:
        _end_by_interrupt()
    with no_interrupts():
        _cancel_all()


def _cancel_at_interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.default_int_handler)  # the next one has its usual effect
    with no_interrupts():
        cancelled = _cancel_all()
    if not cancelled:
        signal.default_int_handler(number, frame)
    _end_by_interrupt()


def _end_by_interrupt() -> None:
    sys.__dict__["_wrenlite_interrupted"] = _Interrupted()


class _Interrupted:
    """Lets the process die by SIGINT at its very end, as after a KeyboardInterrupt that nobody caught.

    So a shell stops its script too. ``sys`` holds it, whose contents Python deletes last: after all exit
    handlers, and after it has written what files and streams still hold. A second Ctrl-C ends at once.
    """

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        self._end = partial(os.kill, os.getpid(), signal.SIGINT)

    def __del__(self) -> None:
        self._end()


def _explain_waiting(dispatcher: Dispatcher) -> None:
    """Tell a person at a terminal why the program does not end, in a line that fits: the rows have names."""
    if is_terminal(sys.stderr):
        tasks = sum(job._tasks.unfinished for job in dispatcher.unfinished_jobs())
        if tasks:
            print(f"wrenlite: waiting for {counted(tasks, 'task')} (Ctrl-C cancels)", file=sys.stderr)


atexit.register(_finish_all)
if hasattr(threading, "_register_atexit"):  # what concurrent.futures uses; without it, only the text is worse
    threading._register_atexit(_cancel_before_threads_end)
