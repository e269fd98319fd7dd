"""Detach a job from its program, and attach to one: in another process, or later."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from wrenlite.backends.aws.errors import is_refusal
from wrenlite.backends.base import Backend, BatchingPolicy
from wrenlite.config import Config, Progress
from wrenlite.durable import folder, remote_journal
from wrenlite.durable.folder import Folder
from wrenlite.durable.lease import Times
from wrenlite.durable.manifest import Manifest, difference
from wrenlite.durable.place import Follower, Place
from wrenlite.durable.recorded import calls_of, export, repeat
from wrenlite.durable.tokens import find_place, forget, new_place, token_of
from wrenlite.errors import (
    ArgumentError,
    BackendError,
    ConfigError,
    CredentialsError,
    IntegrityError,
    KeeperDied,
    StoreError,
    WrenliteError,
)
from wrenlite.futures import HasCallbacks
from wrenlite.job import Job
from wrenlite.protocol import Outcome, Usage, values_prefix
from wrenlite.scheduler.pending import Sent
from wrenlite.scheduler.settling import Settler
from wrenlite.serialize.pickling import unpack_call
from wrenlite.serialize.same_class import current
from wrenlite.serialize.traceback_stubs import without_own_frames
from wrenlite.storage.base import digest
from wrenlite.storage.local import LocalStore
from wrenlite.threads import Changes
from wrenlite.wrong_calls import check_switch

_log = logging.getLogger("wrenlite")
_added: set[str] = set()
"""Digests of the zips whose modules can be imported."""
_CANCEL_S = 30.0
"""Seconds that a cancel is waited for at most."""
REFUSED_S = 300.0
"""Seconds for which the place of a job may be refused, or missing, before it is not followed any more."""


class Definitions(Sequence[object]):
    """The classes and functions that values refer to by number, unpickled when a value needs them.

    A class of ``__main__`` that is defined there now as it was is that one: see ``same_class``.
    """

    def __init__(self, job: Manifest) -> None:
        """Unpickle nothing yet.

        Args:
            job: the manifest of the job.
        """
        self._function = job.function
        self._initializer = job.initializer[1] if job.initializer else None
        self._table: Sequence[object] | None = None

    def _loaded(self) -> Sequence[object]:
        if self._table is None:
            base = unpack_call(self._initializer).table if self._initializer else ()
            self._table = list(map(current, unpack_call(self._function, base).table))
        return self._table

    def __len__(self) -> int:
        return len(self._loaded())

    def __getitem__(self, index: Any) -> Any:
        return self._loaded()[index]


class Following:
    """Follows the keeper of a job, in a thread, and passes on what is cancelled: the job's ``Control``."""

    blocked_reason = ""

    def __init__(self, place: Place) -> None:
        """Begin when ``follow`` is called.

        Args:
            place: where the job is kept.
        """
        self.place = place
        """Where the job is kept."""
        self._settler: Settler | None = None
        self._wants_keeper = False
        """Whether a keeper is to be started, as soon as it is certain that none is on its way."""

    def follow(self, job: Job[Any], *, resume: bool = False) -> None:
        """Repeat on a job what happens to it. What has happened so far is repeated before this returns.

        Args:
            job: the job.
            resume: start a keeper where none runs the job and it is not over.
        """
        follower = self.place.follower()
        for call in calls_of(follower):
            repeat(job, call)
        if job._tasks.over:
            follower.close()
            return
        self._wants_keeper = resume and not self.place.start_keeper()
        arguments = weakref.ref(job), follower
        name = f"wrenlite-attached-{job.id}"
        threading.Thread(target=self._follow, args=arguments, name=name, daemon=True).start()

    def _follow(self, reference: weakref.ref[Job[Any]], follower: Follower) -> None:
        shortest_s, longest_s = self.place.poll_s
        pause_s, refused_at = shortest_s, math.inf
        while True:
            news, end = 0, None
            try:
                news, end = self._look(reference, follower)
                refused_at = math.inf
            except Exception as error:  # whoever waits for the job would never hear of it
                now = time.monotonic()
                refused_at = min(refused_at, now) if is_refusal(error) else math.inf
                end = end_of_following(error, now - refused_at)
                if end is None:
                    _log.warning("%s", error)
                if isinstance(error, CredentialsError):
                    follower.renew()
            job = reference()
            if job is not None and not job._tasks.over and end is not None:
                left = [task for task in range(len(job)) if not job._tasks.has_ended(task)]
                Job._end(job, [Outcome.failed(task) for task in left], dict.fromkeys(left, end))
            if job is None or job._tasks.over:
                follower.close()
                if self._settler is not None:
                    self._settler.close()
                return
            del job
            pause_s = shortest_s if news else min(longest_s, 1.5 * pause_s)
            time.sleep(pause_s)

    def _look(self, reference: weakref.ref[Job[Any]], follower: Follower) -> tuple[int, WrenliteError | None]:
        """Repeat what is new.

        Returns:
            How much that was, and why nothing more will come; None: something may.
        """
        if self._wants_keeper:
            self._wants_keeper = not self.place.start_keeper()
        kept, news = self.place.is_kept(), 0
        for call in calls_of(follower):
            if (job := reference()) is None:  # nobody is interested any more
                break
            repeat(job, call)
            news += 1
        job = reference()
        if kept or news or job is None or job._tasks.over:
            return news, None
        return news, KeeperDied(self.place.last_words(job.id))

    def cancel(self, job: Job[Any], indexes: Iterable[int], wait: bool = True) -> int:
        """Have the keeper cancel those of these tasks that have not ended.

        Returns:
            The number of tasks that were cancelled; 0 without waiting.
        """
        table = job._tasks
        left = [task for task in indexes if not table.has_ended(task)]
        if not left or not self.place.is_kept():
            return 0
        self.place.ask_to_cancel(left)
        if not wait:
            return 0
        table.wait_until(lambda: all(map(table.has_ended, left)), _CANCEL_S, each=True)
        return sum(table.state(task) == "cancelled" for task in left)

    def is_running(self, job: Job[Any], index: int) -> bool:
        """Return whether a task runs now, as far as that is known."""
        return job.state(index) == "dispatched"

    def read_output(self, job: Job[Any]) -> None:
        """Do nothing: what running tasks have written is not known here."""

    def charge(self, usage: Usage) -> None:
        """Do nothing: only the job itself counts what this process reads."""

    def settle(self, futures: Sequence[HasCallbacks]) -> None:
        """Settle futures whose tasks have ended, soon, and call their done-callbacks."""
        if self._settler is None:
            self._settler = Settler(Changes(), at_end=lambda: None)
            self._settler.start()
        self._settler.settle(futures)


def end_of_following(error: Exception, refused_s: float) -> WrenliteError | None:
    """Return the error with which the tasks fail of a job that cannot be followed; None: it is tried again.

    While this machine is offline, or has no valid credentials, the keeper goes on, and so does who waits.

    Args:
        error: why a look for news has failed.
        refused_s: seconds for which looks have been refused.
    """
    if isinstance(error, IntegrityError):
        return KeeperDied(str(error))
    if not isinstance(error, StoreError | BackendError):
        return BackendError(
            f"this program cannot follow the job any more: {type(error).__name__}: {error}. Its keeper may "
            "go on: wrenlite.attach() of the job follows it again"
        )
    if refused_s < REFUSED_S:
        return None
    return type(error)(
        f"this program does not follow the job any more, since this has lasted for {refused_s / 60:.0f} min: "
        f"{error}. Where that is mended, wrenlite.attach() of the job follows it again"
    )


def detach(backend: Backend, job: Manifest, definitions: Sequence[object]) -> Job[Any]:
    """Have a keeper run a job, and follow it. Raises as ``start``.

    Args:
        backend: what the job was prepared for.
        job: the job.
        definitions: the classes and functions that its values refer to by number.
    """
    return _attached(*start(backend, job), definitions)


def detach_once(
    backend: Backend, job: Manifest, definitions: Sequence[object], times: Sequence[float]
) -> Job[Any]:
    """Have a keeper run a job, unless one does already, and follow it. Raises as ``start``.

    Args:
        backend: what the job was prepared for, which has a driver.
        job: the job. Its id and key are those of earlier calls for the same job.
        definitions: the classes and functions that its values refer to by number.
        times: how often its keeper says that it is there.

    Raises:
        ConfigError: another function, or other items, were mapped before under this id.
    """
    from wrenlite.durable.bucket import Bucket  # with botocore

    place = new_place(backend, job)
    assert isinstance(place, Bucket)
    place.times = Times(*times)
    if not place.write_manifest(job, if_absent=True):
        found = place.read_manifest()
        if why := difference(found, job):
            raise ConfigError(
                f"{job.id} was begun by an earlier run of this start, and {why}. A function that takes longer"
                " than a driver may is called again from its beginning. Then it must map the same things in "
                "the same order: sort what it lists, and let times and seeds follow from the event"
            )
        job = found
    return _attached(place, job, definitions, resume=True)


def start(
    backend: Backend, job: Manifest, before: Job[Any] | None = None, going_on: Sequence[Sent] = ()
) -> tuple[Place, Manifest]:
    """Have a keeper run a job.

    Args:
        backend: what the job was prepared for.
        job: the job; its store is chosen here.
        before: the job as far as it ran here; None: it has not begun.
        going_on: its requests in flight, which leave their replies in the store.

    Returns:
        Where the job is kept, and its manifest with the store.

    Raises:
        ConfigError: no journal is kept, or a job cannot be detached there.
        StoreError: the disk is full.
        BackendError: the keeper cannot be started.
    """
    place = new_place(backend, job)
    try:
        if isinstance(place, Folder) and backend.own_store:
            store = LocalStore(place.path / folder.STORE, private=True)
            for prefix in ("refs/", *map(values_prefix, (job.id, *_earlier(before)))):
                for entry in backend.store.list(prefix):
                    store.put(entry.key, backend.store.get(entry.key))
            job = job._replace(store=store)
        place.write_manifest(job)
        lines = () if isinstance(place, Folder) else remote_journal.begin(job)
        if before is not None:
            writer = place.writer()
            export(before, writer, going_on)
            if lines:
                writer.write(remote_journal.CALL, *lines)
            writer.close()
        place.start_keeper()
    except BaseException:
        forget(job.id)
        place.remove()
        raise
    return place, job


def _earlier(job: Job[Any] | None) -> Iterator[str]:
    """Yield the ids of the jobs whose stored values a job has taken over: see ``Job.retry_failed``."""
    while job is not None and (job := job._before) is not None:
        yield job.id


@without_own_frames
def attach(job: str | Job[Any], *, resume: bool = False, progress: Progress | None = None) -> Job[Any]:
    """Return a job that was detached, in any process of this user on this machine, or anywhere by its token.

    Args:
        job: its id, or the beginning of it; or ``job.token``, on a machine with credentials of the account.
        resume: where nobody runs the job any more, since its keeper was killed or the machine was restarted:
            run the tasks that have not ended. Those that ran at that moment run again, with the environment
            variables of this process. Otherwise they have failed, with KeeperDied.
        progress: as for ``Executor``: whether a job that is not over is drawn.

    Raises:
        ConfigError: an argument cannot be used.
        JobNotFound: there is no such job, or there are several, or its values are deleted.
        StoreError: its files are damaged, or cannot be read.
        BackendError: the keeper cannot be started.
    """
    check_switch("resume", resume)
    Config.load(progress=progress)  # it is checked before anything is read
    job = job.id if isinstance(job, Job) else job
    if not isinstance(job, str):
        raise ArgumentError(
            f"attach({job!r:.80}): must be the id of a job, which wrenlite.jobs() shows, or its token"
        )
    return attach_at(find_place(job), resume=resume, progress=progress)


def attach_at(place: Place, *, resume: bool = False, progress: Progress | None = None) -> Job[Any]:
    """Return the job that is kept at a place. See ``attach``."""
    wanted = Config.load(progress=progress).progress
    found = place.read_manifest()
    if found.modules is not None:
        _add_modules(found.modules)
    made = _attached(place, found, Definitions(found), resume=resume)
    if wanted is not False and not made._tasks.over:
        made._draw(asked=wanted is True)
    return made


def _add_modules(blob: bytes) -> None:
    """Have local modules of a job imported from its zip where this process does not find them elsewhere."""
    from wrenlite.serialize.bundle_importer import BundleImporter

    name = digest(blob)
    if name not in _added:
        _added.add(name)
        sys.meta_path.append(BundleImporter(blob))


def _attached(
    place: Place, job: Manifest, definitions: Sequence[object], *, resume: bool = False
) -> Job[Any]:
    backend = Backend(
        name=job.backend,
        store=job.store,
        invoker=None,  # type: ignore[arg-type]  # the keeper has it
        batching=BatchingPolicy(target_s=1.0, least_s=1.0, batch_bytes=1),
        prices=job.prices,
        hints=job.hints,
    )
    following = Following(place)
    made: Job[Any] = Job(job.id, job.name, backend, job.tasks, definitions, following)
    made._is_detached, made._token = True, token_of(place)
    made._tasks.queued_at = job.submitted
    following.follow(made, resume=resume)
    return made
