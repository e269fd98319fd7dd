"""Which task runs next, and what becomes of outcomes: the state of all jobs of one executor.

One thread at a time calls it (``dispatch``), so that there is no lock to hold while futures are set.
The decisions themselves are pure functions in ``pacing``.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from wrenlite.backends.base import Backend
from wrenlite.cost import Cost
from wrenlite.errors import NotFound, WrenliteError
from wrenlite.job import Job
from wrenlite.map_reduce import MappedValues
from wrenlite.protocol import Ended, Lost, Missing, Outcome, Refused, Request, Throttled, Usage
from wrenlite.scheduler import batching
from wrenlite.scheduler.admission import Admission
from wrenlite.scheduler.pending import InFlight, PendingJob

_LONGEST_WAIT_S = 60.0
_DEATHS = 20
"""Tasks in a row, each alone since they had taken a sandbox with them, that do it again: it is not they."""
_RESTORES = 3
"""How often a job's code is put into the store again before something must be wrong there."""

Report = Callable[[str, Sequence[Outcome], Ended | None], None]


class Scheduler:
    """Jobs that have not ended, their queue, and what is in flight of them."""

    def __init__(self, backend: Backend, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        backend: what requests run on.
        report: takes, from any thread, the invocation that something happened to, its outcomes, and how it
            ended.
        clock: seconds, only ever compared.
        """
        self.works: dict[Job, PendingJob] = {}
        """All that has not ended."""
        self.wait_s: float | None = None
        """Seconds until something may be sent, whatever comes in before; None: when there is news."""
        self._backend = backend
        self._report = report
        self._clock = clock
        self._queue: deque[PendingJob] = deque()  # what has queued tasks; jobs take turns
        self._in_flight: dict[str, InFlight] = {}
        self._admission = Admission(backend, clock)

    @property
    def cost(self) -> Cost:
        """What all jobs cost so far."""
        return self._admission.spent

    @property
    def trouble(self) -> str:
        """Why nothing is sent at the moment; empty where all is well."""
        return self._admission.trouble

    def add(self, work: PendingJob) -> None:
        """Queue a job."""
        if work.queued:
            self._queue.append(work)
        self._reduce(work)

    def give_up(self) -> None:
        """Charge what is still in flight, cancelled, and waited for by nobody."""
        for in_flight in self._in_flight.values():
            in_flight.work.job._tasks.used(in_flight.indexes, self._admission.at_worst())
            self._admission.charge(self._admission.at_worst())

    def start_one(self) -> bool:
        """Hand out one batch; False where nothing may be sent now, or nothing waits."""
        self.wait_s = None
        if self._queue and (shut := self._admission.shut_for()):
            self.wait_s = shut if shut < float("inf") else None
            return False
        for _ in range(len(self._queue)):
            work = self._queue.popleft()
            waits = self._first_wave_waits(work)
            if waits is not None:
                self._queue.append(work)
                self.wait_s = min(waits, self.wait_s or waits, _LONGEST_WAIT_S)
            elif self._start_next(work):
                return True
        return False

    def _first_wave_waits(self, work: PendingJob) -> float | None:
        capped = self._backend.budget is not None
        if work.known is not None or (work.options.chunksize is not None and not capped):
            return None
        return batching.first_wave_waits(
            self._admission.first_wave(),
            patience_s=self._backend.batching.patience_s,
            queued=work.queued,
            slots=self._admission.slots,
            sent=work.in_flight,
            sent_at=work.waved_at,
            now=self._clock(),
            capped=capped,
        )

    def _start_next(self, work: PendingJob) -> bool:
        """Hand out a job's next batch; False where nothing is left of it, or no dollar."""
        policy = self._backend.batching
        batch = batching.next_batch(
            policy,
            queued=work.queued,
            slots=self._admission.slots,
            known=work.known,
            first_wave_over=policy.first_wave is not None and work.in_flight >= policy.first_wave,
            chunksize=work.options.chunksize,
        )
        expected_s = work.known.mean_s * batch.tasks if work.known else 0.0
        if not self._admission.affords(expected_s, self._in_flight.values()):
            if self._in_flight:  # perhaps they cost less than expected
                self._queue.append(work)
            else:
                self.fail(work, self._admission.broke(expected_s))
            return False
        indexes = work.take(batch.tasks, batch.bytes)
        if work.queued:
            self._take_turns(work)
        if indexes:
            self._start(work, indexes, batch.stop_after_s)
        return bool(indexes)

    def _take_turns(self, work: PendingJob) -> None:
        """Queue a job behind the others; or before, where theirs would have its workers replaced."""
        if not self._backend.modules_stay or all(
            other.options.modules == work.options.modules for other in self._queue
        ):
            self._queue.append(work)
        else:
            self._queue.appendleft(work)

    def _start(self, work: PendingJob, indexes: Sequence[int], stop_after_s: float | None) -> None:
        options = work.options
        in_flight = InFlight(work, indexes, self._clock())
        limits = self._backend.limits._replace(
            stop_after_s=stop_after_s,
            task_timeout_s=options.timeout,
            store_values=work.reduction_waits,
        )
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
        work.job._tasks.hand_out(indexes, time.time())
        self._in_flight[request.invocation] = in_flight
        self._admission.passed(in_flight)
        work.in_flight += 1
        if work.in_flight == self._backend.batching.first_wave:
            work.waved_at = in_flight.sent
        try:
            in_flight.flight = self._backend.invoker.start(request, partial(self._emit, request.invocation))
        except BaseException:  # inline: the user's interrupt, on its way to whoever called map
            self._emit(request.invocation, (), Ended(None, Usage(), indexes))
            raise

    def _emit(self, invocation: str, outcomes: Sequence[Outcome], ended: Ended | None = None) -> None:
        self._report(invocation, outcomes, ended)

    def on_report(self, invocation: str, outcomes: Sequence[Outcome], ended: Ended | None) -> None:
        """Take what was reported of a request."""
        in_flight = self._in_flight[invocation]
        work = in_flight.work
        in_flight.seconds.extend(outcome.seconds for outcome in outcomes)
        if outcomes:
            work.deaths = 0
        if ended is not None:  # before its tasks are settled: whoever waits for them may ask where they ran
            work.job._tasks.used(in_flight.indexes, ended.usage)
        final = []
        for outcome in outcomes:
            attempts = work.job._tasks.lose_attempt(outcome.task)
            if outcome.ok or not batching.runs_again(attempts=attempts, retries=work.options.retries):
                final.append(outcome)
            else:
                self._again(work, [outcome.task])
        self._settle(work, final)
        if ended is not None:
            del self._in_flight[invocation]
            work.in_flight -= 1
            self._admission.returned(in_flight, ended)
            self._on_ended(in_flight, ended)
        else:
            in_flight.cancel_if_pointless()

    def _on_ended(self, in_flight: InFlight, ended: Ended) -> None:
        work, cause, left = in_flight.work, ended.cause, in_flight.left
        work.known = batching.estimate(work.known, ended.usage.busy_s, in_flight.seconds)
        if cause is None or in_flight.cancelled:  # a cancel kills, whatever the worker was at
            self._again(work, left)
        elif isinstance(cause, Refused):
            self.fail(work, cause.error)
        elif isinstance(cause, Throttled):
            self._again(work, left)
            if self._admission.hopeless:
                self._admission.start_anew()
                for each in list(self.works.values()):
                    self._fail_queued(each, cause.error)
        elif isinstance(cause, Missing):
            self._again(work, left)
            self._restore(work, cause.key)
        elif isinstance(cause, Lost):
            given_up = {index for index in left if work.lose(index) >= batching.LOST_RUNS}
            self._again(work, [index for index in left if index not in given_up])
            self._settle_failed(work, sorted(given_up), cause.error)
        else:
            self._on_death(work, left, ended.not_started, cause.error)

    def _on_death(
        self, work: PendingJob, left: Sequence[int], not_started: Sequence[int], error: WrenliteError
    ) -> None:
        innocent = set(not_started)
        self._again(work, [index for index in left if index in innocent])
        suspects = [index for index in left if index not in innocent]
        if len(suspects) > 1:
            self._again(work, suspects, alone=True)
        elif work.dies(suspects) >= _DEATHS:  # each took its whole sandbox along, and none ever returned
            self.fail(work, error)
        elif suspects:
            attempts = work.job._tasks.lose_attempt(suspects[0])
            if batching.runs_again(attempts=attempts, retries=work.options.retries):
                self._again(work, suspects)
            else:
                self._settle_failed(work, suspects, error)

    def _restore(self, work: PendingJob, key: str) -> None:
        """Put a job's code into the store again."""
        work.restored += 1
        try:
            if work.restored > _RESTORES:
                raise NotFound(f"{key} was put into the store {_RESTORES} times, and is not there")
            work.restore()
        except WrenliteError as error:
            self.fail(work, error)

    def fail(self, work: PendingJob, error: WrenliteError) -> None:
        """Fail every task of a job that has not ended."""
        self._settle_failed(work, [index for index, item in enumerate(work.items) if item is not None], error)

    def _fail_queued(self, work: PendingJob, error: WrenliteError) -> None:
        """Fail the tasks of a job that wait; those in flight go on."""
        flying = {index for each in self._in_flight.values() if each.work is work for index in each.indexes}
        waiting = [index for index, item in enumerate(work.items) if item is not None and index not in flying]
        self._settle_failed(work, waiting, error)

    def _settle_failed(self, work: PendingJob, indexes: Sequence[int], error: WrenliteError) -> None:
        self._settle(work, [Outcome.failed(index) for index in indexes], dict.fromkeys(indexes, error))

    def _settle(
        self, work: PendingJob, outcomes: Sequence[Outcome], errors: dict[int, WrenliteError] | None = None
    ) -> None:
        if not outcomes:
            return
        self._forget(work, [outcome.task for outcome in outcomes])
        if work.reduction_waits:
            work.note(outcomes)
        work.job.settle(outcomes, errors)
        self._reduce(work)

    def _reduce(self, work: PendingJob) -> None:
        """Let a reduction go once all values are there; or end it as the first task did that failed."""
        if not work.reduction_waits:
            return
        assert work.reduction is not None
        ledger = work.job._tasks
        if ledger.failed:
            self._forget(work, [work.reduction])
            work.job.settle_like(work.reduction, ledger.failed[0])
        elif work.unsettled == 1:
            work.reduce(MappedValues([work.values[task] for task in range(work.reduction)]).pack())
            self._queue.append(work)

    def _forget(self, work: PendingJob, indexes: Sequence[int]) -> None:
        """These tasks have ended; with the last one the job has."""
        work.forget(indexes)
        if not work.unsettled:
            self.works.pop(work.job, None)

    def _again(self, work: PendingJob, indexes: Sequence[int], *, alone: bool = False) -> None:
        """Queue tasks again, except those that have been cancelled meanwhile."""
        wanted = [index for index in indexes if work.items[index] is not None]
        if wanted:
            if not work.queued:
                self._queue.append(work)
            if alone:
                work.put_back_alone(wanted)
            else:
                work.put_back(wanted)

    def cancel(self, job: Job, indexes: Sequence[int]) -> int:
        """Cancel those of these tasks that have not ended; returns how many there were."""
        fresh = job.settle_cancelled(indexes)
        work = self.works.get(job)
        if work is not None:
            self._forget(work, fresh)
            self._reduce(work)
            for in_flight in list(self._in_flight.values()):
                if in_flight.work is work:
                    in_flight.cancel_if_pointless()
        return len(fresh)
