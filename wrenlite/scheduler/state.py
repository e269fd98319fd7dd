"""The state of all jobs of one executor: their queue, their requests in flight, and what outcomes mean.

One thread at a time uses it (see ``dispatcher``), so there is no lock to hold while futures are set. The
decisions themselves are pure functions in ``batching`` and ``admission``.
"""

from __future__ import annotations

import operator
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any

from wrenlite.backends.base import Backend
from wrenlite.errors import TaskError, WrenliteError
from wrenlite.futures import Future
from wrenlite.job import Job
from wrenlite.protocol import (
    NOTHING,
    Died,
    Ended,
    Limits,
    Lost,
    Missing,
    Outcome,
    Packed,
    Refused,
    Request,
    Throttled,
    Usage,
)
from wrenlite.scheduler import batching
from wrenlite.scheduler.admission import Admission
from wrenlite.scheduler.delayed import Delayed
from wrenlite.scheduler.dependents import Dependents
from wrenlite.scheduler.elsewhere import RunElsewhere
from wrenlite.scheduler.events import Hold
from wrenlite.scheduler.in_flight import MAX_RESTORES, InFlight, Requests, lost_again
from wrenlite.scheduler.pending import PendingJob, new_invocation
from wrenlite.storage.uploads import JobCode
from wrenlite.task_logging import handle_records

_LONGEST_WAIT_S = 60.0
_MAX_ISOLATED_DEATHS = 20
"""After this many worker deaths in a row, each while a worker ran one isolated task, the workers are at fault
and not the tasks: the job fails."""

_TASK = operator.attrgetter("task")

Report = Callable[[str, Sequence[Outcome], Ended | None], None]
Restore = Callable[[PendingJob, Missing], None]
HandleRecords = Callable[[Sequence[Outcome], str], Sequence[Outcome]]


class Scheduler:
    """The jobs that have not ended, their queue, and their requests in flight."""

    def __init__(
        self,
        backend: Backend,
        report: Report,
        restore: Restore,
        clock: Callable[[], float] = time.monotonic,
        handle_records: HandleRecords = handle_records,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Create a scheduler without jobs.

        Args:
            backend: what requests run on.
            report: takes, from any thread, the id of an invocation, outcomes of its tasks, and how it ended.
            restore: has the code of a job put into the store again, without waiting for it. ``on_stored`` is
                called when that is done.
            clock: seconds. They are only compared with each other.
            handle_records: takes outcomes and the id of their job, and returns the outcomes without the log
                records in them.
            jitter: gives a random number from 0 to 1.
        """
        self.jobs: dict[Job[Any], PendingJob] = {}
        """All jobs that have not ended, in the order in which they were submitted."""
        self.storing: set[PendingJob] = set()
        """The jobs, ended ones too, whose code is being put into the store."""
        self._backend = backend
        self._report = report
        self._restore = restore
        self._clock = clock
        self._handle_records = handle_records
        self._queue: deque[PendingJob] = deque()  # the jobs that have queued tasks; they take turns
        self.requests = Requests()
        """Its requests in flight."""
        self._dependents = Dependents(self.jobs, self._queue.append, self._end_without, clock)
        self._delayed = Delayed(clock, jitter)
        self._send_wait_s: float | None = None
        self.admission = Admission(backend, clock, jitter)
        """Decides whether another request may be sent, and knows what was spent."""

    def add(self, pending: PendingJob) -> None:
        """Queue the tasks of a new job. ``on_stored`` is called at the end of each upload of its code."""
        if pending.code.storing:
            self.storing.add(pending)
        if pending.tasks.over:  # cancelled before it came here
            pending.release((), pending.tasks.failed)
            return
        self.jobs[pending.job] = pending
        self._adopt(pending)
        pending.is_source = pending.is_source or self._dependents.any_of(pending.job)
        if pending.queued:
            self._queue.append(pending)
        self._dependents.wait_for_values(pending)
        self.grow(pending)
        self._reduce(pending)

    def grow(self, pending: PendingJob) -> None:
        """Queue the tasks that were submitted to an open job, and end it if it was closed after its last."""
        had_queued, arrivals = pending.queued, pending.arrivals
        if arrivals is not None and pending.take_arrivals():
            arrivals.last_at = self._clock()
            if not had_queued:
                arrivals.first_at = arrivals.last_at
                if pending.queued:
                    self._queue.append(pending)
            self._dependents.wait_for_values(pending)
            self._end(pending, pending.take_kept())
        elif pending.is_closed_empty and pending.job in self.jobs:
            del self.jobs[pending.job]
            pending.release(())
            pending.job._close()

    def change_code(self, pending: PendingJob, code: JobCode) -> None:
        """Change the code of an open job for its next requests. ``on_stored`` is called as for ``add``."""
        pending.code.change(code)
        if pending.code.storing:
            self.storing.add(pending)

    def close_open_jobs(self) -> None:
        """Take no more tasks for any job."""
        for pending in list(self.jobs.values()):
            if pending.arrivals is not None:
                pending.arrivals.close()
                self.grow(pending)

    def hold(self, job: Job[Any], how: Hold) -> PendingJob | None:
        """Change whether tasks of a job are handed out. Return its queue; None: it has ended.

        The queue then has its requests in flight as ``going_on``.
        """
        pending = self.jobs.pop(job, None) if how is Hold.FORGET else self.jobs.get(job)
        if pending is not None:
            pending.is_held, pending.is_forgotten = how is not Hold.GO_ON, how is Hold.FORGET
            pending.going_on = self.requests.as_sent(job, self._clock())
            if how is Hold.GO_ON and pending.queued:
                self._queue.append(pending)
            if pending.is_forgotten:
                self._delayed.discard(pending, range(pending.tasks.total))
        return pending

    def refuse(self, pending: PendingJob) -> None:
        """Close an open job that no thread runs, and cancel the tasks that wait in it."""
        if pending.arrivals is not None:
            pending.arrivals.announced = False
        if pending.arrivals is not None and pending.tasks.open:
            pending.arrivals.close()
            pending.take_arrivals()
            waiting = pending.unfinished()
            pending.release(waiting)
            pending.job._close()
            pending.job._end_cancelled(waiting)
            self._dependents.on_ended(pending.job, waiting)

    def cancel(self, job: Job[Any], indexes: Sequence[int]) -> int:
        """Cancel those of these tasks of a job that have not ended, and return their number."""
        if (open_job := self.jobs.get(job)) is not None:
            self.grow(open_job)
        table = job._tasks
        ending = [i for i in dict.fromkeys(indexes) if i < table.total and not table.has_ended(i)]
        pending = self.jobs.get(job)
        if pending is not None:
            self.requests.read_output(job)
            self._release(pending, ending, ending)
        job._end_cancelled(ending)
        self._dependents.on_ended(job, ending)
        if pending is not None:
            self._reduce(pending)
            unwanted = frozenset(ending)
            self._delayed.discard(pending, unwanted)
            for in_flight in self.requests.of(job):
                in_flight.on_cancel(unwanted)
        return len(ending)

    def cancel_all(self) -> int:
        """Cancel all tasks that have not ended, and return their number."""
        with self._dependents.held():  # what waits for one of them is cancelled too, and does not fail
            cancelled = sum(self.cancel(job, range(len(job))) for job in list(self.jobs))
        self._dependents.queue_ready()
        return cancelled

    def fail(self, pending: PendingJob, error: WrenliteError) -> None:
        """Fail every task of a job that has not ended."""
        self._end_failed(pending, pending.unfinished(), error)

    def charge_abandoned(self) -> None:
        """Charge for the requests in flight that were cancelled, and whose end is not waited for."""
        for in_flight in self.requests.here():
            usage = self.admission.worst_case_usage()
            if not in_flight.pending.is_forgotten:
                in_flight.pending.tasks.end_batch(in_flight.indexes, usage)
            self.admission.charge(usage)

    # Sending

    @property
    def wait_s(self) -> float | None:
        """Seconds after which a request may be sent even if no event arrives; None: wait for an event."""
        waits = (self._send_wait_s, self._delayed.wait_s(), self.admission.look_again_s)
        return min((each for each in waits if each is not None), default=None)

    def start_one(self) -> bool:
        """Hand out one batch. Return False where no request may be sent now, or no task is queued."""
        self._send_wait_s = None
        for pending, tasks in self._delayed.take_due().items():
            self._requeue(pending, tasks)
        if (closed_s := self.admission.closed_for_s()) and self._queue:
            self._send_wait_s = closed_s if closed_s < float("inf") else None
            return False
        for _ in range(len(self._queue)):
            pending = self._queue.popleft()
            if pending.is_held:
                continue
            storing = pending.code.storing and pending.code.needs_store(self._backend.carried_bytes)
            if storing or pending.waits_its_turn:
                self._queue.append(pending)
                continue
            policy, now = self._backend.batching, self._clock()
            wait_s = pending.gathering_wait_s(policy, now)
            wait_s = wait_s or pending.first_wave_wait_s(policy, self.admission.slots, now)
            if wait_s is not None:
                self._put_back(pending, wait_s)
            elif self._start_next(pending):
                return True
        if not (self._queue or self.requests):
            self._fail_unaffordable()
        return False

    def _put_back(self, pending: PendingJob, wait_s: float) -> None:
        self._queue.append(pending)
        self._send_wait_s = min(wait_s, self._send_wait_s or wait_s, _LONGEST_WAIT_S)

    def _fail_unaffordable(self) -> None:
        """Fail the jobs whose tasks only wait to be tried again, and that the budget will never allow."""
        for pending in self._delayed.jobs():
            expected_s = pending.estimate.mean_s if pending.estimate else 0.0
            if self.admission.budget_wait_s(expected_s, ()) is None:
                self._give_up(pending, pending.unfinished(), self.admission.budget_error(expected_s))

    def _start_next(self, pending: PendingJob) -> bool:
        """Hand out the next batch of a job.

        Returns:
            Whether it did. False where no task is left, or the budget does not allow a request.
        """
        policy, estimate = self._backend.batching, pending.estimate
        batch = batching.next_batch(
            policy,
            queued=pending.queued,
            slots=self.admission.slots,
            estimate=estimate,
            sent=pending.in_flight,
            chunksize=pending.options.chunksize,
        )
        expected_s = estimate.mean_s * batch.tasks if estimate else 0.0
        wait_s = self.admission.budget_wait_s(expected_s, self.requests.here())
        if wait_s:
            self._put_back(pending, wait_s)
        elif wait_s is None:
            self._give_up(pending, pending.unfinished(), self.admission.budget_error(expected_s))
        if wait_s != 0.0:
            return False
        indexes = pending.take(batch.tasks, batch.bytes)
        if pending.queued:
            self._take_turns(pending)
        if indexes:
            self._start(pending, indexes, batch.stop_after_s)
        return bool(indexes)

    def _take_turns(self, pending: PendingJob) -> None:
        """Queue a job again: behind the others, so that jobs take turns.

        It is queued ahead of them if they use other modules and a worker must be replaced for other modules,
        so that workers are replaced less often.
        """
        same_modules = all(each.code.now.modules == pending.code.now.modules for each in self._queue)
        if same_modules or not self._backend.worker_keeps_modules:
            self._queue.append(pending)
        else:
            self._queue.appendleft(pending)

    def _start(self, pending: PendingJob, indexes: Sequence[int], stop_after_s: float | None) -> None:
        indexes, items = pending.items_of(indexes)
        if not indexes:
            return
        now, sent = time.time(), self._clock()
        limits = self._backend.limits._replace(
            stop_after_s=stop_after_s,
            task_timeout_s=pending.options.timeout_s,
            value_bytes=pending.largest_value(self._backend.batching),
            retried=pending.options.retries.errors,
        )
        carried = pending.code.take(self._backend.carried_bytes)
        request = pending.request(new_invocation(now), indexes, items, limits)._replace(carried=carried)
        pending.tasks.mark_dispatched(indexes, now, request.invocation)
        in_flight = self._note_sent(pending, request, sent)
        if pending.in_flight == self._backend.batching.first_wave:
            pending.first_wave_sent_at = sent
        emit = partial(self._emit, request.invocation)
        try:
            in_flight.invocation = self._backend.invoker.start(request, emit)
        except BaseException:  # inline: the user's interrupt, on its way to the caller of map
            emit((), Ended(None, Usage(), indexes))
            raise

    def _start_elsewhere(self, pending: PendingJob, index: int) -> None:
        """Hand a task to the executor that has more memory or time. It takes no slot of this one."""
        indexes, items = pending.items_of([index])
        if pending.then is None or not indexes:
            return
        now, options = time.time(), pending.options
        limits = Limits(
            task_timeout_s=options.timeout_s, value_bytes=pending.largest_value(self._backend.batching)
        )
        request = pending.request(new_invocation(now), indexes, items, limits)
        pending.tasks.mark_dispatched(indexes, now, request.invocation)
        in_flight = self.requests[request.invocation] = InFlight(pending, indexes, self._clock())
        emit = partial(self._emit, request.invocation)
        in_flight.invocation = in_flight.elsewhere = pending.then.start(request, emit)

    def _note_sent(self, pending: PendingJob, request: Request, sent: float) -> InFlight:
        in_flight = self.requests[request.invocation] = InFlight(pending, request.tasks, sent)
        self.admission.on_sent(in_flight)
        pending.in_flight += 1
        return in_flight

    def _adopt(self, pending: PendingJob) -> None:
        """Wait for the requests of a job that an earlier keeper has handed out."""
        for sent in pending.take_sent():
            elapsed_s = max(0.0, time.time() - sent.at)
            request = pending.request(sent.invocation, sent.tasks, (), self._backend.limits)
            in_flight = self._note_sent(pending, request, self._clock() - elapsed_s)
            emit = partial(self._emit, sent.invocation)
            assert self._backend.adopt is not None
            in_flight.invocation = self._backend.adopt(request, emit, elapsed_s)

    def _emit(self, invocation: str, outcomes: Sequence[Outcome], ended: Ended | None = None) -> None:
        self._report(invocation, outcomes, ended)

    # Receiving

    def on_report(self, invocation: str, outcomes: Sequence[Outcome], ended: Ended | None) -> None:
        """Process the report of an invoker about a request.

        Args:
            invocation: id of the request.
            outcomes: of its tasks, in the order of the batch.
            ended: how the request ended; None while it goes on.
        """
        in_flight = self.requests[invocation]
        if ended is not None:
            del self.requests[invocation]
            if in_flight.elsewhere is None:
                self.admission.on_ended(in_flight, ended)
        if not in_flight.pending.is_forgotten:  # else another process runs the job, and finds the reply
            with in_flight.pending.tasks.together():
                if in_flight.elsewhere is None:
                    self._take_report(in_flight, outcomes, ended)
                elif ended is not None:
                    self._take_from_elsewhere(in_flight, in_flight.elsewhere, outcomes, ended)

    def _take_from_elsewhere(
        self, in_flight: InFlight, run: RunElsewhere, outcomes: Sequence[Outcome], ended: Ended
    ) -> None:
        """End a task that has run on another executor, whatever has come of it there."""
        pending, tasks = in_flight.pending, in_flight.indexes
        pending.tasks.end_elsewhere(tasks, ended.usage, run.attempts, run.cost)
        self._end(pending, outcomes)
        if isinstance(ended.cause, Died):
            self._end_failed(pending, tasks, ended.cause.error)

    def _take_report(self, in_flight: InFlight, outcomes: Sequence[Outcome], ended: Ended | None) -> None:
        pending = in_flight.pending
        ended_tasks = in_flight.unfinished[: len(outcomes)]
        in_flight.take(outcomes)
        if outcomes:
            pending.forget_isolated_deaths()
            outcomes = self._handle_records(outcomes, pending.job.id)  # before anybody can read the values
            if in_flight.restores == pending.code.restores:
                pending.code.forget_vain_restores()
        if ended is not None:  # before its tasks end: whoever waits for them may ask where they ran
            in_flight.end_batch(ended.usage)
        pending.tasks.count_attempts(ended_tasks)
        if failed := {each.task: each for each in outcomes if not each.ok}:
            again = self._try_again(pending, failed)
            outcomes = [outcome for outcome in outcomes if outcome.task not in again]
        self._end(pending, outcomes)
        if ended is not None:
            pending.in_flight -= 1
            self._on_ended(in_flight, ended)
        else:
            in_flight.cancel_if_task_ended()

    def _on_ended(self, in_flight: InFlight, ended: Ended) -> None:
        pending, cause, unfinished = in_flight.pending, ended.cause, in_flight.unfinished
        if unfinished and ended.output:
            pending.tasks.keep_output(unfinished[0], ended.output)
        if unfinished and ended.records:
            cut_short = Outcome.failed(unfinished[0])._replace(records=ended.records)
            self._handle_records([cut_short], pending.job.id)
        usage, seconds = ended.usage, in_flight.task_seconds
        is_first = usage.cold or usage.load_s > 0
        pending.estimate = batching.updated_estimate(
            pending.estimate, usage.busy_s, seconds, first_on_worker=is_first
        )
        if cause is None or in_flight.cancelled:  # a cancel kills the worker, whatever it runs
            self._requeue(pending, unfinished)
        elif isinstance(cause, Refused):
            failing = pending.unfinished() if cause.whole_job else unfinished
            self._end_failed(pending, failing, cause.error, cause.failure)
        elif isinstance(cause, Throttled):
            self._requeue(pending, unfinished)
            self._fail_all_if_down(cause)
        elif isinstance(cause, Missing):
            self._on_missing(in_flight, unfinished, cause)
        elif isinstance(cause, Lost):
            counts = {index: pending.count_loss("reply", index) for index in unfinished}
            self._run_again(pending, counts, batching.MAX_LOST_REPLIES, cause.error)
        else:
            self._on_death(pending, unfinished, ended.not_started, cause)

    def _on_death(
        self, pending: PendingJob, unfinished: Sequence[int], not_started: Sequence[int], death: Died
    ) -> None:
        """Charge an attempt to the task that was running when a worker died.

        If it may have been one of several, run each alone.
        """
        innocent = set(not_started)
        self._requeue(pending, [index for index in unfinished if index in innocent])
        suspects = [index for index in unfinished if index not in innocent]
        if len(suspects) > 1:
            self._requeue(pending, suspects, alone=True)
        elif pending.count_isolated_deaths(suspects) >= _MAX_ISOLATED_DEATHS and pending.then is None:
            self.fail(pending, death.error)
        elif suspects:
            pending.tasks.count_attempts(suspects)
            if not self._try_again(pending, {suspects[0]: death.error}):
                self._end_failed(pending, suspects, death.error)

    def _try_again(self, pending: PendingJob, failed: Mapping[int, Outcome | TaskError]) -> Set[int]:
        """Queue those of these tasks that run again, or have them wait for that.

        Args:
            pending: their job.
            failed: the tasks, and how each has failed.

        Returns:
            The tasks that run again.
        """
        again = self._delayed.take_failed(pending, failed)
        at_once = [task for task, decision in again.items() if not decision.delay_s]
        self._requeue(pending, sorted(task for task in at_once if not again[task].where))
        for task in at_once:
            if again[task].where:
                self._start_elsewhere(pending, task)
        return again.keys()

    def _run_again(
        self, pending: PendingJob, counts: Mapping[int, int], limit: int, error: WrenliteError
    ) -> None:
        """Queue tasks again, and fail those to which the same thing has happened too often.

        Args:
            pending: their job.
            counts: how often it has happened to each task.
            limit: how often is too often.
            error: the error of the tasks that fail.
        """
        self._requeue(pending, [index for index, count in counts.items() if count < limit])
        self._end_failed(pending, [index for index, count in counts.items() if count >= limit], error)

    def _on_missing(self, in_flight: InFlight, unfinished: Sequence[int], missing: Missing) -> None:
        """Queue the tasks of a request again, and have the code of its job put into the store again.

        Items are put there again with the next request. Many requests may report the same code: those that
        were sent before it was last put there say nothing new.
        """
        pending = in_flight.pending
        if missing.key not in pending.code.keys:
            counts = {index: pending.count_loss("items", index) for index in unfinished}
            self._run_again(pending, counts, MAX_RESTORES + 1, lost_again(missing))
            return
        self._requeue(pending, unfinished)
        if in_flight.restores < pending.code.restores or pending.tasks.over:
            return
        if pending.code.begin_restore() >= MAX_RESTORES:
            self.fail(pending, lost_again(missing))
        else:
            self.storing.add(pending)
            self._restore(pending, missing)

    def on_stored(self, pending: PendingJob, error: WrenliteError | None) -> None:
        """Go on with a job whose code was put into the store, or fail it where it cannot run without that."""
        pending.code.storing -= 1
        pending.tasks.charge(Usage(store_puts=1))
        self.admission.charge(Usage(store_puts=1))
        if not pending.code.storing:
            self.storing.discard(pending)
        if error is not None and pending.code.needs_store(self._backend.carried_bytes):
            self.fail(pending, error)

    def _fail_all_if_down(self, cause: Throttled) -> None:
        """Fail all tasks that wait, where the service has been down for too long; those in flight go on."""
        if not self.admission.outage_is_long:
            return
        self.admission.reset()
        in_flight = {(each.pending, index) for each in self.requests.values() for index in each.indexes}
        for pending in list(self.jobs.values()):
            waiting = [index for index in pending.unfinished() if (pending, index) not in in_flight]
            self._give_up(pending, waiting, cause.error)

    def _requeue(self, pending: PendingJob, indexes: Sequence[int], *, alone: bool = False) -> None:
        if pending.requeue(indexes, alone=alone):
            self._queue.append(pending)

    # Ending tasks

    def _give_up(self, pending: PendingJob, tasks: Sequence[int], error: WrenliteError) -> None:
        """Fail tasks that cannot run any more, those that have failed before with their own errors."""
        self._delayed.discard(pending, set(tasks))
        self._end(pending, *pending.give_up(tasks, error))

    def _end_failed(
        self,
        pending: PendingJob,
        indexes: Sequence[int],
        error: WrenliteError,
        failure: Packed | None = None,
    ) -> None:
        """Fail tasks with an error, or with the failure that a worker has reported."""
        self._delayed.discard(pending, set(indexes))
        outcomes = [Outcome.failed(index, failure or NOTHING) for index in indexes]
        self._end(pending, outcomes, {} if failure else dict.fromkeys(indexes, error))

    def _end(
        self,
        pending: PendingJob,
        outcomes: Sequence[Outcome],
        errors: Mapping[int, WrenliteError] | None = None,
    ) -> None:
        """Record final outcomes. Those of tasks that have ended already (cancelled meanwhile) are dropped."""
        if not (fresh := pending.tasks.fresh(outcomes)):
            return
        self._release(pending, list(map(_TASK, fresh)), [each.task for each in fresh if not each.ok])
        if pending.reduction is not None and pending.reduction.waits:
            pending.reduction.observe(fresh)
        pending.job._end(fresh, errors or {})
        self._dependents.on_ended(pending.job, map(_TASK, fresh))
        self._reduce(pending)

    def _reduce(self, pending: PendingJob) -> None:
        """Queue the reduction of a job once all values are there, or end it like the first failed task."""
        reduction = pending.reduction
        if reduction is None or not reduction.waits:
            return
        if pending.tasks.failed:
            self._release(pending, [reduction.index], [reduction.index])
            pending.job._end_like(reduction.index, pending.tasks.failed[0])
            self._dependents.on_ended(pending.job, [reduction.index])
        elif pending.tasks.unfinished == 1:
            pending.queue_reduction()
            self._queue.append(pending)

    def _end_without(self, pending: PendingJob, index: int, source: Future[Any]) -> None:
        """Fail a task that takes the value of another one, which has none."""
        self._release(pending, [index], [index])
        pending.job._end_without(index, source)
        self._dependents.on_ended(pending.job, [index])
        self._reduce(pending)

    def _release(self, pending: PendingJob, ending: Sequence[int], failed: Sequence[int]) -> None:
        """Release the items of tasks that are about to end and, with the last task, what the job holds."""
        if not ending:
            return
        if pending.arrivals is not None and pending.closes_after(ending):
            pending.arrivals.close()
            self.grow(pending)  # what came at the last moment
        if pending.release(ending, failed):
            self.jobs.pop(pending.job, None)
