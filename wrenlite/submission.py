"""From a call of ``map`` or the like to a job: check, pickle, store, hand over."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from wrenlite import arguments, estimate, needed_packages
from wrenlite.arguments import MapOptions
from wrenlite.backends.base import Backend
from wrenlite.config import Config, Progress
from wrenlite.data_objects.parts import DataObject
from wrenlite.errors import ConfigError, ExecutorClosed, StoreError
from wrenlite.estimate import Estimate
from wrenlite.futures import Future, undrawn
from wrenlite.job import Job
from wrenlite.kept_values import KeptValues, RunAgain
from wrenlite.lazy_map import LazyValues, Reader, read_first
from wrenlite.map_reduce import MapThenReduce
from wrenlite.memo.found import NO_HITS
from wrenlite.notices import warn
from wrenlite.open_job import OpenJob, Prepared, SharedJobs
from wrenlite.protocol import Packed, Plain, Style
from wrenlite.retry import Retry
from wrenlite.scheduler.dispatcher import Dispatcher
from wrenlite.scheduler.failed_items import FailedTasks
from wrenlite.scheduler.options import JobOptions
from wrenlite.scheduler.pending import PendingJob
from wrenlite.scheduler.retry import rule_of
from wrenlite.seeding import seed_for, shared_generator_message
from wrenlite.serialize import modules
from wrenlite.serialize.by_reference import Dependent, References
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.package_data import left_out_message
from wrenlite.serialize.pickling import Call, PickledCall, function_name, pack_items, read_items
from wrenlite.start_context import JobIdentity, current_start
from wrenlite.storage import refs
from wrenlite.storage.refs import Kept, Ref
from wrenlite.storage.uploads import JobCode, Uploads
from wrenlite.task_logging import wanted_levels
from wrenlite.texts import is_terminal
from wrenlite.then import JobThere, Then, check_items, check_then

if TYPE_CHECKING:
    from wrenlite.durable.journal import JournalInvoker
    from wrenlite.executor import Executor

T = TypeVar("T")
"""What a task returns."""

_NAME_BYTES = 60
"""The most bytes of a function's name in the id of a job, which is part of file names, keys and messages."""
SHUT_DOWN = "this executor was shut down; make a new one"

_log = logging.getLogger("wrenlite")


class Submission:
    """What an executor has behind its methods: it makes jobs, and hands them to the dispatcher."""

    def __init__(self, backend: Backend, config: Config, log: bool | None) -> None:
        """Prepare for the first job.

        Args:
            backend: what to run on.
            config: the settings.
            log: ``logging`` of ``Executor``.
        """
        self.is_shut_down = False
        """Whether no more jobs are made."""
        self._journal = _journal_before(backend, config.journal)
        self._kept = KeptValues(backend, config, self._journal or backend.invoker)
        self.dispatcher = Dispatcher(replace(backend, invoker=self._kept.invoker))
        """Runs the jobs."""
        self._backend = backend
        self._progress = config.progress
        self._logging = log
        self._uploads = Uploads(backend.store, own=backend.own_store)
        self._shared = SharedJobs()
        self._owner = os.getpid()
        self._announced = False
        if config.progress is not False and is_terminal(sys.stderr):
            _follow_lines()
        self._module_names: frozenset[str] = frozenset()

    def close(self, because: str) -> None:
        """Let jobs end, and the backend be released. In a forked process, do nothing.

        Args:
            because: the message for who submits a job later.
        """
        if os.getpid() == self._owner:
            self.dispatcher.close(because)

    def _check_open(self) -> None:
        if self.is_shut_down:
            raise ExecutorClosed(SHUT_DOWN)
        if os.getpid() != self._owner:
            raise ExecutorClosed(
                f"this executor belongs to process {self._owner}, which forked this one; make a new one"
            )

    @contextlib.contextmanager
    def _open_store(self) -> Iterator[None]:
        """Raise ExecutorClosed where another thread, or a signal handler, has removed the store meanwhile."""
        self._check_open()
        try:
            yield
        except StoreError:
            self._check_open()
            raise

    # The ways to run tasks

    def run(
        self, function: Callable[..., Any], style: Style, data: Iterable[Any], options: MapOptions
    ) -> Job[Any]:
        """Run a function once for each item, and once more where it is a ``MapThenReduce``."""
        self._check_open()
        self._uploads.delete_unreachable_values()
        prepared = self._prepare(function, style, data, options)
        name, total = function_name(prepared.call.function), len(prepared.items) + prepared.options.reduces
        entries = prepared.class_table.entries
        identity = self._identity_in_start(prepared.items, options) if total else None
        if total and (options.detach or identity is not None):
            return self._detach(name, prepared, options.progress, identity)
        kept = Kept() if options.keep else None
        job: Job[Any] = Job(_job_id(name), name, self._backend, total, entries, self.dispatcher, kept=kept)
        items = self._kept.begin(job, prepared, self._run_kept)
        if total:
            self._start(job, items, prepared.options, options.progress)
        return job

    def _identity_in_start(self, items: Sequence[object], options: MapOptions) -> JobIdentity | None:
        """Return how a map of a start is found when that is run again; None: it ends with this process."""
        start = current_start()
        ends_here = options.keep or options.logging or options.then is not None
        ends_here = ends_here or any(isinstance(each, Dependent) for each in items)
        return None if start is None or ends_here else start._jobs.identity(self._backend)

    def _detach(
        self, name: str, prepared: Prepared, progress: Progress | None, identity: JobIdentity | None
    ) -> Job[Any]:
        """Have a keeper run a job, in a process of its own; with an identity, unless one does already."""
        from wrenlite.durable import attach, manifest  # upwards, see pyproject.toml

        backend, options = self._backend, prepared.options
        if any(isinstance(item, Dependent) for item in prepared.items):
            raise ConfigError(
                "detach=True: an item or argument holds a future or job, which ends with this program"
            )
        items = cast(list[Packed | Plain], prepared.items)
        job_id, key = (_job_id(name), os.urandom(32)) if identity is None else identity[:2]
        named, code = (job_id, name, time.time()), self._uploads.blobs(options.code)
        kept = manifest.of_job(backend, named, items, options, code, key)
        definitions = prepared.class_table.entries
        try:
            if identity is None:
                job = attach.detach(backend, kept, definitions)
            else:
                job = attach.detach_once(backend, kept, definitions, identity.times)
        finally:
            self._uploads.release(options.code.digests)
        _tell_start(job)
        wanted = self._progress if progress is None else progress
        if wanted is not False:
            job._draw(asked=wanted is True)
        return job

    def run_or_read(
        self,
        function: Callable[..., T],
        style: Style,
        data: Iterable[Any],
        options: MapOptions,
        buffersize: int | None,
    ) -> Job[T] | LazyValues[T]:
        """Run a function once for each item.

        Args:
            function: the function.
            style: how it is called.
            data: the items.
            options: how the tasks are run.
            buffersize: the most items that are read ahead of the values; None: all of them are read now.
        """
        if buffersize is None:
            return self.run(function, style, data, options)
        arguments.check_size("buffersize", buffersize)
        for name in ("keep", "detach"):
            if getattr(options, name):
                raise ConfigError(f"{name}=True: a map with buffersize= forgets values once they were read")
        self._check_open()
        items = read_items(arguments.items_of(data, style))
        first, items = read_first(items)  # its class is in the table then
        prepared = self._prepare(function, style, first, options, forgets=True)
        job = self._open(prepared, options.progress)

        pack = self._kept.pack_unless_kept(prepared, partial(job._pack, style=style))
        return LazyValues(Reader(job, itertools.chain(first, items), pack, buffersize))

    def open(self, function: Callable[..., T], options: MapOptions) -> OpenJob[T]:
        """Open a job whose tasks are submitted one by one."""
        self._check_open()
        self._uploads.delete_unreachable_values()
        return self._open(self._prepare(function, Style.CALL, (), options), options.progress)

    def submit(
        self, function: Callable[..., T], call: tuple[tuple[Any, ...], dict[str, Any]], options: MapOptions
    ) -> Future[T]:
        """Run one call as a task of a job that has other calls of the function, or of a new one.

        Args:
            function: the function.
            call: its positional and keyword arguments.
            options: how the task is run.
        """
        arguments.check_submitted(function, *call, seeded=options.seed is not None)
        self._check_open()
        if options.cache:
            cached: Job[T] = self.run(function, Style.CALL, [call], options)
            return cached[0]
        future: Future[T] | None = self._shared.submit(function, call, options, self._log_levels(options))
        return future if future is not None else self._submit_anew(function, call, options)

    def _submit_anew(
        self, function: Callable[..., T], call: tuple[Any, Any], options: MapOptions
    ) -> Future[T]:
        """Run one call as a task of a new job, or of one whose code turns out to be the same."""
        self._uploads.delete_unreachable_values()
        prepared = self._prepare(function, Style.CALL, [call], options, closes_itself=True)
        future: Future[T] | None = self._shared.submit_prepared(prepared)
        if future is not None:
            self._uploads.release(prepared.options.code.digests)
            return future
        job = self._make_open_job(prepared)
        future = job._add(prepared.items[0])
        assert future is not None  # nobody else has the job
        self._start(job, [], prepared.options, options.progress)
        if options.seed is None:  # the numbers of a task depend on its place in the job
            self._shared.remember(job, prepared, options)
        return future

    def estimate(
        self, function: Callable[..., Any], data: Iterable[Any], sample: int, options: MapOptions
    ) -> Estimate:
        """Run a function for some of the items, and estimate what all of them would take."""
        arguments.check_sample(sample)
        arguments.check_functions(function, Style.ITEM, data)
        self._check_open()
        items = list(read_items(arguments.iterate(data)))
        if not items:
            raise ConfigError("data is empty: there is nothing to estimate")
        if any(isinstance(item, Future) for item in items):
            raise ConfigError("data has futures in it: wait for them, and pass their results() to estimate")
        packed = pack_items(items, ClassTable(grows=True, base=self._backend.class_table))
        amounts = [
            item.amount if isinstance(item, DataObject) else estimate.amount_of(each)
            for item, each in zip(items, packed, strict=True)
        ]
        places = estimate.choose(amounts, sample)
        job = self.run(function, Style.ITEM, [items[place] for place in places], options)
        try:
            job.results()
        except Exception as error:
            for failed in job._tasks.failed[:1]:
                error.add_note(f"wrenlite: task {failed} of the sample is data[{places[failed]}] of estimate")
            raise
        seconds = [each.seconds or 0.0 for each in job.stats()]
        work = estimate.judge(amounts, places, seconds)
        return Estimate(len(items), job, places, work, self._backend, self.dispatcher.admission.slots)

    def delete_unreachable_values(self, *, wait: bool = True) -> None:
        """Delete the stored values of jobs that are no longer referenced.

        Args:
            wait: return when that is done. Otherwise a thread does it, where the store is no folder.
        """
        self._uploads.delete_unreachable_values(wait=wait)

    def forget_values(self, job: Job[Any], tasks: Iterable[int]) -> None:
        """Forget values that no task takes any more, and nobody will ask for."""
        if keys := list(filter(None, map(job._outcomes.forget, tasks))):
            self._uploads.delete_values(keys)

    def put(self, obj: object, *, temporary: bool = False) -> Ref:
        """Upload an object that tasks refer to.

        Args:
            obj: the object.
            temporary: delete it once nobody holds the ``Ref``, and no task that takes it is left.
        """
        self._check_open()
        job = _job_id("put") if temporary else None
        parcel = refs.pack(obj, job)
        with self._open_store():
            self._uploads.upload_object(parcel, job)
        self._module_names |= parcel.modules
        return parcel.ref

    # From a call to a job

    def _prepare(
        self,
        function: Callable[..., Any],
        style: Style,
        data: Iterable[Any],
        options: MapOptions,
        *,
        forgets: bool = False,
        closes_itself: bool = False,
    ) -> Prepared:
        """Check a call of ``map`` or the like, pickle items and function, and begin to store the function."""
        backend = self._backend
        arguments.check_functions(function, style, data)
        options.check(backend)
        self._check_then(then := options.then, options.timeout, detach=options.detach)
        data = arguments.items_of(data, style)
        args, kwargs = tuple(options.args), dict(options.kwargs or {})
        call = Call(function, args, kwargs, style, seed_for(function, options.seed, args, kwargs, style))
        arguments.check_parameters(call, data)
        if not forgets:
            call, data = arguments.fill_by_items(call, data)
        class_table = ClassTable(grows=True, base=backend.class_table)
        class_table.references = References(
            self.dispatcher, self._delete_values_after, waits=backend.runs_in_caller
        )
        class_table.modules |= options.module_names(backend)
        before = self._kept.remembered(call, options, then, self._module_names)
        data = data if before is None else before.watch(data)
        items = pack_items(data, class_table, call.style)
        reduces, is_open = isinstance(call.function, MapThenReduce), style is Style.CALL or forgets
        pickled, code, hits, local = None, JobCode(""), NO_HITS, None
        if items or reduces or is_open:
            pickled = PickledCall(call, class_table)
            arguments.check_code_size(call, len(pickled.blob), backend.code_bytes)
            if then is not None:
                arguments.check_code_size(call, len(pickled.blob), then.backend.code_bytes)
                check_items(backend, then, class_table.references, items)
            hits = self._kept.find(before, items, class_table.entries, one_by_one=forgets)
            runs = len(hits.values) < len(items) or reduces or is_open
            if runs or hits.readers:
                check = partial(self._check_packages, call, class_table, then)
                local = self._collect(class_table.modules, check, data=self._sends_data(then))
            code = self._acquire(pickled.blob, local) if runs else code
        if len(items) > 1 and (text := shared_generator_message(call, class_table)):
            warn(text)
        holders = pickled.holders if pickled else ()
        job_options = self._job_options(options, code)._replace(
            reduces=reduces, forgets=forgets, closes_itself=closes_itself, then=then, holders=holders
        )
        return Prepared(call, items, class_table, job_options, pickled, local, before, hits)

    def _job_options(self, options: MapOptions, code: JobCode) -> JobOptions:
        return JobOptions(
            code=code,
            env=dict(options.env or {}),
            chunksize=options.chunksize,
            retries=rule_of(options.retries),
            timeout_s=None if options.timeout is None else float(options.timeout),
            log_levels=self._log_levels(options),
            keeps=options.keep,
        )

    def _check_then(self, then: Executor | None, timeout: float | None, *, detach: bool = False) -> None:
        """Check that the executor of ``then=`` can run tasks of a job."""
        if then is None:
            return
        check_then(then, self._backend, is_same=then._submission is self, detach=detach)
        arguments.check_attempts(0, timeout, then.backend)
        if then._submission.is_shut_down:
            raise ExecutorClosed(f"then={then!r}: it was shut down; make a new one")

    def _delete_values_after(self, job: Job[Any]) -> None:
        """Have the stored values of a job deleted once nothing can need them any more."""
        if not job._stores_values:
            job._stores_values = True
            holder = job if job._kept is None else job._kept
            always = job._kept is not None and job._remembered is None  # later jobs may find them
            self._uploads.delete_values_after(holder, job.id, always=always)

    def _log_levels(self, options: MapOptions) -> Mapping[str, int] | None:
        if self._backend.runs_in_caller:  # there the loggers handle what tasks log as it is
            return None
        return wanted_levels(options.logging, self._logging, unless_set=self._backend.log_levels)

    def _check_packages(
        self, call: Call, class_table: ClassTable, then: Executor | None, local: frozenset[str]
    ) -> None:
        for backend in (self._backend, *([then.backend] if then is not None else [])):
            if backend.packages is not None:
                needed_packages.check(backend.packages, call.function, class_table, local)

    def _sends_data(self, then: Executor | None) -> bool:
        """Return whether some workers of a job do not see the data files of local modules here."""
        return not (self._backend.shares_files and (then is None or then.backend.shares_files))

    def _put_code(self, blob: bytes, names: set[str], *, data: bool) -> JobCode:
        """Begin to store a function and the user's local modules, and return how workers get them."""
        return self._acquire(blob, self._collect(names, data=data))

    def _acquire(self, function: bytes, local: bytes | None) -> JobCode:
        with self._open_store():
            return self._uploads.acquire(function, local)

    def _collect(
        self,
        names: set[str],
        check: Callable[[frozenset[str]], None] = lambda local: None,
        *,
        data: bool,
    ) -> bytes | None:
        """Return a zip of the user's local modules; None where there are none.

        Args:
            names: the modules.
            check: takes the names of the local modules before anything is stored; may refuse the job.
            data: whether their data files are sent, too.
        """
        # Modules of earlier jobs go along, so that jobs that take turns share one zip and its workers.
        bundle = modules.collect(names | self._module_names, data=data)
        check(bundle.names if bundle is not None else frozenset())
        if bundle is not None:
            self._module_names = bundle.names
            if bundle.left_out:
                warn(left_out_message(bundle.left_out))
        return bundle.blob if bundle is not None else None

    def _open(self, prepared: Prepared, progress: Progress | None) -> OpenJob[Any]:
        job = self._make_open_job(prepared)
        self._start(job, [], prepared.options, progress)
        return job

    def _make_open_job(self, prepared: Prepared) -> OpenJob[Any]:
        name = function_name(prepared.call.function)
        kept = Kept() if prepared.options.keeps else None
        put_code = partial(self._put_code, data=self._sends_data(prepared.options.then))
        return OpenJob(_job_id(name), name, self._backend, prepared, self.dispatcher, put_code, kept)

    def _run_again(
        self, failed: FailedTasks, before: Job[Any], retries: int | Retry | None, timeout: float | None
    ) -> Job[Any]:
        """Run the failed tasks of a job in a new job, which begins with the values of the others."""
        if self.is_shut_down or self.dispatcher.is_closed:
            raise ExecutorClosed(
                f"the executor of {before.id} was shut down, or nothing refers to it any more: run the "
                "failed tasks again before that, or map their items on another executor"
            )
        self._check_open()
        arguments.check_attempts(retries or 0, timeout, self._backend)
        options = failed.options.again(retries, timeout)
        self._check_then(options.then, options.timeout_s)
        if options.reduces:
            before._outcomes.check_complete()
        table, total = before._outcomes.class_table, len(before)
        job: Job[Any] = Job(
            _job_id(before.name), before.name, self._backend, total, table, self.dispatcher, kept=before._kept
        )
        job._before = before if before._stores_values else before._before
        job._tasks.begin_with(before._tasks)
        job._outcomes.begin_with(before._outcomes)
        job._remembered = before._remembered
        code = self._acquire(failed.function, failed.modules)
        items = [failed.items.get(task) for task in range(total - options.reduces)]
        progress = False if before._drawn is undrawn else None
        self._start(job, items, options._replace(code=code), progress)
        return job

    def _run_kept(self, again: RunAgain, tasks: Sequence[int]) -> Job[Any]:
        """Run those tasks of a job in a new one whose kept values turn out to be gone."""
        self._check_open()
        made = Job[Any](
            _job_id(again.name), again.name, self._backend, again.total, again.definitions, self.dispatcher
        )
        made._tasks.keep_only(*tasks)
        made._remembered = again.remembered
        code = self._acquire(again.function, again.modules)
        items = [again.items.get(task) for task in range(again.total)]
        self._start(made, items, again.options._replace(code=code), False)
        return made

    def _start(
        self,
        job: Job[Any],
        items: Sequence[Packed | Plain | Dependent | None],
        options: JobOptions,
        progress: Progress | None,
        *,
        is_served: bool = False,
    ) -> None:
        if options.reduces or options.keeps:
            self._delete_values_after(job)
        if not self._announced:
            self._announced = True
            _log.info("running on %s", self._backend.name)
        _tell_start(job)
        try:
            pending = self._queue_of(job, items, options)
            pending.is_served = is_served
            if job._tasks.over:  # earlier jobs have left all values
                pending.let_go()
            else:
                self.dispatcher.submit(pending)
            wanted = self._progress if progress is None else progress
            if wanted is not False:
                job._draw(asked=wanted is True)
        except BaseException:
            job.cancel()  # nobody else has it
            if options.then is not None:
                options.then._submission.dispatcher.serve(job, on=False)
            raise

    def _queue_of(
        self, job: Job[Any], items: Sequence[Packed | Plain | Dependent | None], options: JobOptions
    ) -> PendingJob:
        """Return the queue of a new job."""
        held = [*options.code.digests]  # an open job may add to them
        release, restore = partial(self._uploads.release, held), partial(self._uploads.upload_again, held)
        journal = None if isinstance(job, JobThere) else self._journal  # the first job's events tell of it
        if journal is not None:
            release = partial(_call_both, release, journal.add(job))
        if job._remembered is not None:
            release = partial(_call_both, release, self._kept.keep(job))
        there = None if options.then is None else options.then._submission
        if there is not None:
            release = partial(_call_both, release, partial(there.dispatcher.serve, job, on=False))
        if isinstance(job, OpenJob):
            pending = PendingJob(job, [], options, release, restore, job._arrivals)
            job._start(pending, held)
        else:
            blobs = partial(self._uploads.blobs, options.code)
            again = self._run_again
            pending = PendingJob(job, items, options, release, restore, blobs=blobs, run_again=again)
        if journal is not None:
            pending.tell = journal.tell_of(job)
        if there is not None:
            then = Then(there, job, pending, partial(_blobs_now, self._uploads, pending), self._backend.store)
            pending.then = then if journal is None else journal.before_then(then)
            pending.then = self._kept.before_then(job, pending.then)
            there.dispatcher.serve(job, on=True)
        return pending


def _job_id(name: str) -> str:
    word = re.sub(r"\W+", "-", name).encode()[:_NAME_BYTES].decode(errors="ignore").strip("-") or "job"
    return f"{word}-{os.urandom(3).hex()}"


def _tell_start(job: Job[Any]) -> None:
    if (start := current_start()) is not None:
        start._jobs.add(job)


def _blobs_now(uploads: Uploads, pending: PendingJob) -> tuple[bytes, bytes | None]:
    """Return the function and the modules that the next request of a job needs."""
    return uploads.blobs(pending.code.now)


def _call_both(first: Callable[[], object], second: Callable[[], object]) -> None:
    first()
    second()


def _journal_before(backend: Backend, setting: str | None) -> JournalInvoker | None:
    from wrenlite.durable.journal import journal_before  # upwards, see pyproject.toml

    return journal_before(backend, setting)


def _follow_lines() -> None:
    from wrenlite.display import panel, terminal  # upwards, see pyproject.toml

    if not panel.in_notebook():
        terminal.follow_lines()
