"""The keeper: a process that runs one detached job, by the same dispatcher as any program.

It is a session of its own, so that neither the end of the program that has started it nor the closing of a
terminal ends it. It ends when the job is over. Nothing of the user's is unpickled in it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from wrenlite.backends.factory import connect
from wrenlite.config import Config
from wrenlite.durable import journal, manifest
from wrenlite.durable.manifest import Manifest
from wrenlite.durable.recorded import Follower, RecordedJob, Writer, repeat
from wrenlite.protocol import Outcome
from wrenlite.scheduler.dispatcher import Dispatcher
from wrenlite.scheduler.pending import PendingJob
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.initializers import Initializer
from wrenlite.storage.local import LocalStore
from wrenlite.storage.uploads import Uploads

_POLL_S = 0.2
"""Seconds between two looks whether somebody has cancelled tasks."""


def main() -> None:
    """Run the job in the folder that the command line names, until it is over."""
    folder, lock = Path(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(lock, False)  # workers must not hold it
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    job = manifest.read(folder)
    with contextlib.suppress(OSError):  # somebody has deleted it
        os.chdir(job.folder)
    sys.path.extend(folder for folder in job.path if folder not in sys.path)
    Keeper(folder, job).run()


class Keeper:
    """Runs one job, or the rest of it."""

    def __init__(self, folder: Path, job: Manifest) -> None:
        """Prepare to run a job, or the rest of it.

        Args:
            folder: of the job.
            job: its manifest.
        """
        self._folder = folder
        self._manifest = job
        initializer = job.initializer and Initializer(*job.initializer, ClassTable(grows=False))
        self._backend = connect(job.config, initializer, LocalStore(folder / manifest.STORE, private=True))
        self._journal = journal.journal_before(self._backend.invoker, Config.load().journal)
        self._cancelled = 0
        """Bytes of the file of cancels that were read."""

    def run(self) -> None:
        """Run what has not ended. Return when the job is over."""
        kept, backend = self._manifest, self._backend
        if self._journal is not None:
            backend = replace(backend, invoker=self._journal)
        dispatcher = Dispatcher(backend)
        job = RecordedJob(kept.id, kept.name, backend, kept.tasks, (), dispatcher)
        job._tasks.queued_at = kept.submitted
        ended = self._repeat(job)
        dispatcher.admission.spent = job.cost  # the budget is that of all keepers of this job
        uploads = Uploads(backend.store, own=backend.own_store)
        code = uploads.acquire(kept.function, kept.modules)
        over = self._journal.add(job) if self._journal is not None else None

        def release() -> None:
            uploads.release(code.digests)
            if over is not None:
                over()

        options = kept.options._replace(code=code)
        restore = partial(uploads.upload_again, code.digests)
        pending = PendingJob(job, list(kept.items), options, release, restore)
        if pending.reduction is not None:
            mapped = [each for each in ended if each.ok and each.task != pending.reduction.index]
            pending.reduction.observe(mapped)
        dispatcher.submit(pending)
        while not job.wait(_POLL_S):
            if not (self._folder / manifest.MANIFEST).exists():
                _end("the folder of this job was deleted")
            if dispatcher.is_over:
                _end("the job cannot go on")
            if tasks := self._newly_cancelled(kept.tasks):
                dispatcher.cancel(job, tasks)
        dispatcher.close("the job of this keeper is over")
        dispatcher.join(cancel=False)

    def _repeat(self, job: RecordedJob) -> list[Outcome]:
        """Bring a job to where an earlier keeper has left it, and return the outcomes of its tasks."""
        follower = Follower(self._folder)
        keeps = self._manifest.options.reduces
        ended: list[Outcome] = []
        for call in follower.calls():
            ended += repeat(job, call, keeps_values=False)[: None if keeps else 0]
        follower.close()
        job.record(Writer(self._folder, _end_at_once))
        return ended

    def _newly_cancelled(self, tasks: int) -> list[int]:
        try:
            with open(self._folder / manifest.CANCEL, "rb") as file:
                file.seek(self._cancelled)
                lines = file.readlines()
        except FileNotFoundError:
            return []
        found: set[int] = set()
        for line in lines:
            if line.endswith(b"\n"):  # otherwise it is still being written
                self._cancelled += len(line)
                with contextlib.suppress(ValueError):  # it is damaged
                    found.update(range(tasks)[task] for task in json.loads(line))
        return sorted(found)


def _end_at_once(error: OSError) -> None:
    """End this process and its workers, since nothing that tasks return can be written any more."""
    _end(f"cannot write what tasks return: {error.strerror}")


def _end(why: str) -> NoReturn:
    """End this process at once. The next keeper goes on from what was written."""
    with contextlib.suppress(OSError):  # the disk may be full
        print(why, file=sys.stderr, flush=True)
    os._exit(1)
