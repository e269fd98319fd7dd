"""The keeper: what runs one detached job, by the same dispatcher as any program.

On this machine it is a process in a session of its own, so that neither the end of the program that has
started it nor the closing of a terminal ends it. On Lambda the driver function starts it. It ends when the
job is over. Nothing of the user's is unpickled in it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn, Protocol

from wrenlite.backends.base import Backend
from wrenlite.backends.factory import connect
from wrenlite.config import Config
from wrenlite.durable import folder, journal
from wrenlite.durable.folder import Folder
from wrenlite.durable.journal import JournalInvoker
from wrenlite.durable.manifest import Manifest
from wrenlite.durable.place import Place, Writer
from wrenlite.durable.recorded import HandedOut, RecordedJob, calls_of, repeat
from wrenlite.durable.remote_journal import CALL
from wrenlite.errors import WorkerDied
from wrenlite.protocol import Outcome, Usage
from wrenlite.scheduler.batching import MAX_LOST_REPLIES
from wrenlite.scheduler.dispatcher import Dispatcher
from wrenlite.scheduler.events import Hold
from wrenlite.scheduler.pending import PendingJob, Sent
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.initializers import Initializer
from wrenlite.storage.local import LocalStore
from wrenlite.storage.uploads import Uploads

_POLL_S = 0.2
"""Seconds between two looks whether somebody has cancelled tasks."""


class KeptPlace(Place, Protocol):
    """A place as its keeper sees it."""

    def lost_because(self) -> str:
        """Return why this keeper must end at once; empty: it goes on. It is called five times a second."""

    def newly_cancelled(self, tasks: int) -> Sequence[int]:
        """Return the tasks that somebody has cancelled since the last time.

        Args:
            tasks: number of the tasks of the job.
        """

    def unrecorded(self, handed_out: HandedOut) -> Sequence[Sent]:
        """Return requests of earlier keepers that have a reply, and that no keeper has written down.

        Args:
            handed_out: what they have written down.
        """

    def usage(self, *, last: bool = False) -> Usage:
        """Return what the keeper itself has used since it was last counted: after a while, or at the end."""

    def new_lines(self) -> tuple[bytes, ...]:
        """Return what the journal of this keeper has got since the last time, where its user has no other."""

    def let_go(self) -> None:
        """Take note that the job is over."""

    def pass_on(self) -> None:
        """Have another keeper go on with the job.

        Raises:
            WrenliteError: none can be started.
        """


def main() -> None:
    """Run the job in the folder that the command line names, until it is over."""
    place, lock = Folder(Path(sys.argv[1])), int(sys.argv[2])
    os.set_inheritable(lock, False)  # workers must not hold it
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    job = place.read_manifest()
    with contextlib.suppress(OSError):  # somebody has deleted it
        os.chdir(job.folder)
    sys.path.extend(each for each in job.path if each not in sys.path)
    initializer = job.initializer and Initializer(*job.initializer, ClassTable(grows=False))
    store = LocalStore(place.path / folder.STORE, private=True)
    backend = connect(job.config, initializer, store)
    Keeper(place, job, backend, journal.journal_before(backend, Config.load().journal)).run()


class Keeper:
    """Runs one job, or the rest of it."""

    def __init__(
        self, place: KeptPlace, job: Manifest, backend: Backend, journal: JournalInvoker | None = None
    ) -> None:
        """Prepare to run a job, or the rest of it.

        Args:
            place: where it is kept.
            job: its manifest.
            backend: what it runs on.
            journal: stands before the invoker of the backend; None: no journal is kept here.
        """
        self._place = place
        self._manifest = job
        if backend.adopt is not None:  # the next keeper finds the replies of what runs on without this one
            backend = replace(backend, limits=backend.limits._replace(keeps_reply=True))
        self._backend = backend if journal is None else journal.before(backend)
        self._journal = journal
        self._interrupted: Counter[int] = Counter()

    def run(self, until: float = float("inf")) -> None:
        """Run what has not ended. Return when the job is over, or another keeper goes on with it.

        Args:
            until: when to have another keeper go on, by ``time.monotonic``.
        """
        kept, backend = self._manifest, self._backend
        dispatcher = Dispatcher(backend)
        job = RecordedJob(kept.id, kept.name, backend, kept.tasks, (), dispatcher)
        job._secret = kept.key
        job._tasks.queued_at = kept.submitted
        ended, sent, writer = self._take_over(job)
        if job._tasks.over:
            self._place.let_go()
            return
        dispatcher.admission.spent = job.cost  # the budget is that of all keepers of this job
        suspects = self._give_up(job)
        pending = self._queue_of(job, ended)
        pending.adopt(sent, suspects)
        dispatcher.submit(pending)
        self._look_after(job, dispatcher, writer, until)
        self._charge(job, dispatcher, last=True)
        is_over = job._tasks.over  # what ends from now on, the next keeper finds
        if is_over:
            dispatcher.close("the job of this keeper is over")
            dispatcher.join(cancel=False)
        else:
            dispatcher.hold(job, Hold.HOLD)  # what is in flight goes on, and leaves its replies
        if self._journal is not None:
            self._journal.flush()
        self._ship(writer)
        writer.close()
        if is_over:
            self._place.let_go()
        else:
            self._place.pass_on()

    def _queue_of(self, job: RecordedJob, ended: Sequence[Outcome]) -> PendingJob:
        """Return the queue of the tasks that have not ended, and write to the journal what happens to them.

        Args:
            job: the job.
            ended: the outcomes of its tasks, for the reduction.
        """
        kept, backend, log = self._manifest, self._backend, self._journal
        uploads = Uploads(backend.store, own=backend.own_store)
        code = uploads.acquire(kept.function, kept.modules)
        over = log.add(job) if log is not None else None

        def release() -> None:
            uploads.release(code.digests)
            if over is not None:
                over()

        options = kept.options._replace(code=code)
        restore = partial(uploads.upload_again, code.digests)
        pending = PendingJob(job, list(kept.items), options, release, restore)
        if log is not None:
            pending.tell = log.tell_of(job)
        if pending.reduction is not None:
            mapped = [each for each in ended if each.ok and each.task != pending.reduction.index]
            pending.reduction.observe(mapped)
        return pending

    def _give_up(self, job: RecordedJob) -> dict[int, int]:
        """Fail the tasks that were running each time that several keepers have ended.

        Returns:
            Other tasks that may have ended a keeper, and how many ended while each of them ran.
        """
        suspects = {task: ends for task, ends in self._interrupted.items() if not job._tasks.has_ended(task)}
        blamed = sorted(task for task, ends in suspects.items() if ends >= MAX_LOST_REPLIES)
        error = WorkerDied(
            f"{MAX_LOST_REPLIES} times the process that keeps the job ended while this task ran. The task "
            "may have ended it, for example because the machine had no memory left. retry_failed() of the "
            "job runs it again"
        )
        if blamed:
            job._end([Outcome.failed(task) for task in blamed], dict.fromkeys(blamed, error))
        return {task: ends for task, ends in suspects.items() if task not in blamed}

    def _take_over(self, job: RecordedJob) -> tuple[list[Outcome], list[Sent], Writer]:
        """Bring a job to where earlier keepers have left it, and write from there on.

        Returns:
            The outcomes of its tasks, the requests that go on without the earlier keepers, and what writes.
        """
        follower, handed_out = self._place.follower(), HandedOut()
        keeps = self._manifest.options.reduces
        ended: list[Outcome] = []
        for call in calls_of(follower):
            handed_out.observe(call)
            ended += repeat(job, call, keeps_values=False)[: None if keeps else 0]
        follower.close()
        sent: Sequence[Sent] = ()
        found: Sequence[Sent] = ()
        if self._backend.adopt is not None:
            sent, found = handed_out.sent, self._place.unrecorded(handed_out)
        handed_out.end_keeper([each.tasks for each in sent])
        self._interrupted = handed_out.interrupted
        if why := self._place.lost_because():
            end(why)
        writer = self._place.writer(end, after=follower.position)
        job.record(writer, sent, found)
        writer.flush()
        return ended, [*sent, *found], writer

    def _look_after(self, job: RecordedJob, dispatcher: Dispatcher, writer: Writer, until: float) -> None:
        """Return when the job is over, or it is time for another keeper."""
        while not job.wait(_POLL_S) and time.monotonic() < until:
            if why := self._place.lost_because():
                end(why)
            if dispatcher.is_over:
                end("the job cannot go on")
            if tasks := self._place.newly_cancelled(len(job)):
                dispatcher.cancel(job, tasks)
            self._charge(job, dispatcher)
            self._ship(writer)

    def _charge(self, job: RecordedJob, dispatcher: Dispatcher, *, last: bool = False) -> None:
        """Charge the job, and its budget, for what the keeper itself has used."""
        usage = self._place.usage(last=last)
        job.charge(usage)
        dispatcher.charge(usage)

    def _ship(self, writer: Writer) -> None:
        """Write what is new in the journal of this keeper behind what happened to the tasks."""
        if any(lines := self._place.new_lines()):
            writer.write(CALL, *lines)


def end(why: str) -> NoReturn:
    """End this process and its workers at once. The next keeper goes on from what was written."""
    with contextlib.suppress(OSError):  # the disk may be full
        print(why, file=sys.stderr, flush=True)
    os._exit(1)
