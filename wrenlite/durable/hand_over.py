"""Hand a job that runs here over to a keeper, and have one run the failed tasks of a detached job again."""

from __future__ import annotations

import time
from typing import Any

from wrenlite.arguments import check_attempts, check_detachable
from wrenlite.backends.base import Backend
from wrenlite.durable import attach, manifest
from wrenlite.durable.tokens import token_of
from wrenlite.errors import ConfigError, NotFound
from wrenlite.futures import undrawn
from wrenlite.job import Job
from wrenlite.protocol import reply_key
from wrenlite.retry import Retry
from wrenlite.scheduler.dispatcher import Dispatcher
from wrenlite.scheduler.events import Hold
from wrenlite.scheduler.pending import PendingJob

_LOOK_S = 0.05
"""Seconds between two looks whether the last batch that runs here has ended."""


def hand_over(job: Job[Any]) -> None:
    """Have a keeper run what has not ended of a job. See ``Job.detach``."""
    dispatcher = job._control
    if job._is_detached:
        return
    if not isinstance(dispatcher, Dispatcher) or job._tasks.open or job._is_shared:
        raise ConfigError(f"{job.id} takes more tasks, so only this program can run it: detach jobs of map")
    if job._kept is not None:
        raise ConfigError(f"{job.id} keeps values for other maps (keep=True), which end with this program")
    check_detachable(dispatcher.backend)
    pending = dispatcher.hold(job, Hold.HOLD)
    if pending is None:
        raise ConfigError(f"{job.id} is over: there is nothing to detach")
    try:
        if pending.then is not None:
            raise ConfigError(f"{job.id} has Retry(then=…), an executor that ends with this program")
        assert pending.blobs is not None  # all jobs of map have them
        items, code, table = pending.remaining_items(), pending.blobs(), job._tasks
        if pending.reduction is not None:
            job._outcomes.check_complete()
        found: set[str] = set()
        while table.running and not _goes_on(dispatcher.backend, pending, found):
            table.wait_until(lambda: not table.running, _LOOK_S, each=True)
            pending = dispatcher.hold(job, Hold.HOLD) or pending
        named = job.id, job.name, table.queued_at
        kept = manifest.of_job(dispatcher.backend, named, items, pending.options, code, job._secret)
        place, _ = attach.start(dispatcher.backend, kept, job, pending.going_on)
    except BaseException:
        dispatcher.hold(job, Hold.GO_ON)
        raise
    job._is_detached, job._token = True, token_of(place)
    if dispatcher.hold(job, Hold.FORGET) is not None:  # else its last task has ended here meanwhile
        pending.let_go()
    following = attach.Following(place)
    job._control, table.running = following, 0  # what goes on is repeated
    following.follow(job)


def _goes_on(backend: Backend, pending: PendingJob, found: set[str]) -> bool:
    """Return whether all that is in flight of a job will leave its reply where the next keeper finds it.

    On Lambda a batch that has run for a while does. Local workers end with this program.

    Args:
        backend: what the job runs on.
        pending: its queue.
        found: the invocations that have said in the store that they will. This adds to them.
    """
    persist_after_s = backend.limits.persist_after_s
    if backend.adopt is None or persist_after_s is None:
        return False
    if any(time.time() - sent.at < persist_after_s for sent in pending.going_on):
        return False
    try:
        for sent in pending.going_on:
            if sent.invocation not in found:
                backend.store.get(reply_key(pending.job.id, sent.invocation))
                found.add(sent.invocation)
    except NotFound:
        return False
    return True


def run_again(job: Job[Any], retries: int | Retry | None, timeout: float | None) -> Job[Any]:
    """Have a keeper run the failed tasks of a detached job that is over. See ``Job.retry_failed``."""
    check_attempts(retries or 0, timeout, None)
    assert isinstance(job._control, attach.Following)
    place, failed = job._control.place, list(job._tasks.failed)
    kept = place.read_manifest()
    if any(task < len(kept.items) and kept.items[task] is None for task in failed):
        raise ConfigError(
            f"the items of the failed tasks of {job.id} are not kept: they had more than 256 MB when it was "
            "detached. Map them again"
        )
    if not place.run_again(kept._replace(options=kept.options.again(retries, timeout)), failed):
        raise ConfigError(f"{job.id} runs again already: wrenlite.attach({job.id!r}) follows it")
    return attach.attach_at(place, progress=False if job._drawn is undrawn else None)
