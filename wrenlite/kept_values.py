"""``map(…, cache=True)``: how values that earlier jobs have left become those of a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from wrenlite.arguments import MapOptions
from wrenlite.backends.base import Backend, Invoker
from wrenlite.config import Config
from wrenlite.job import Job
from wrenlite.memo.found import NO_HITS, Hits
from wrenlite.memo.keeping import Keeper, KeepingInvoker, keep_and_report
from wrenlite.notices import warn
from wrenlite.open_job import OpenJob, Prepared
from wrenlite.protocol import Emit, Outcome, Packed, Plain, Request
from wrenlite.scheduler.elsewhere import Elsewhere, RunElsewhere
from wrenlite.scheduler.options import JobOptions
from wrenlite.serialize.by_reference import Dependent
from wrenlite.serialize.pickling import Call, function_name
from wrenlite.start_context import current_start
from wrenlite.storage.results import fetch_value

if TYPE_CHECKING:
    from wrenlite.executor import Executor
    from wrenlite.memo.remembered import Remembered


class RunAgain(NamedTuple):
    """What tasks are run again with whose kept values are gone."""

    name: str
    """Name of the function."""
    total: int
    """Number of tasks of the job, each of which keeps its number."""
    items: Mapping[int, Packed | Plain | Dependent]
    """Of those tasks whose values may be gone."""
    definitions: Sequence[object]
    """The class table of the job."""
    options: JobOptions
    function: bytes
    """The pickled function."""
    modules: bytes | None
    """A zip of the user's local modules."""
    remembered: Remembered


Pack = Callable[[Any, int], "Packed | Plain | Dependent | Outcome"]
"""Makes a task of an item and its number; an outcome: of a task that need not run."""
Run = Callable[[RunAgain, Sequence[int]], Job[Any]]
"""Runs some of the tasks in a new job."""


class KeptValues:
    """Joins the jobs of one executor with the values that are kept."""

    def __init__(self, backend: Backend, config: Config, invoker: Invoker) -> None:
        """Create it.

        Args:
            backend: what jobs run on.
            config: the settings.
            invoker: runs the requests.
        """
        self.invoker = KeepingInvoker(invoker)
        """Runs the requests, and keeps values that come back."""
        self._backend = backend
        self._config = config

    def remembered(
        self, call: Call, options: MapOptions, then: Executor | None, also_sent: frozenset[str]
    ) -> Remembered | None:
        """Return what earlier jobs have left for a job; None where that is not asked for, or not known.

        Args:
            call: the function.
            options: how the job is run.
            then: the executor that tasks of the job may move to.
            also_sent: the names of the modules that earlier jobs of this executor have sent.
        """
        if not options.cache or current_start() is not None:  # maps of a start are found again anyway
            return None
        from wrenlite.memo.cache import OFF  # other maps need none of these
        from wrenlite.memo.packages import versions_where_tasks_run
        from wrenlite.memo.remembered import remembered

        if self._config.cache == OFF:
            return None
        if self._backend.runs_in_caller:
            warn(
                f"cache=True: the values of {function_name(call.function)} are not kept, since tasks of "
                "Executor.inline() run in this program, and may depend on all that it has done before. "
                "Executor.local(1) keeps values"
            )
            return None
        versions = versions_where_tasks_run(self._backend)
        if then is not None and versions_where_tasks_run(then.backend) != versions:
            warn(
                f"cache=True: the values of {function_name(call.function)} are not kept, since the executor "
                "of then= may have other versions of packages"
            )
            return None
        env, names = dict(options.env or {}), options.module_names(self._backend)
        backends = (self._backend,) if then is None else (self._backend, then.backend)
        environments = tuple(each.environment for each in backends)
        return remembered(self._config, self._backend, call, env, names, also_sent, environments)

    def find(
        self,
        before: Remembered | None,
        items: Sequence[Packed | Plain | Dependent],
        table: Sequence[object],
        *,
        one_by_one: bool,
    ) -> Hits:
        """Return the values that there are for a job.

        Args:
            before: what earlier jobs have left.
            items: the items, as they are sent.
            table: the class table of the job.
            one_by_one: the values are looked for later, when the items are read.
        """
        if before is None:
            return NO_HITS
        return before.begin(table) if one_by_one else before.find(items, table)

    def keep(self, job: Job[Any]) -> Callable[[], object]:
        """Keep the values of a job, whose requests come next. Return what is called when it is over."""
        before: Remembered = job._remembered
        before.check_code()
        forget = self.invoker.keep(job.id, before.keeper)

        def end() -> None:
            forget()
            before.end()
            if isinstance(job, OpenJob):
                before.note_run(job.id, len(job), job.cached)

        return end

    def begin(
        self, job: Job[Any], prepared: Prepared, run: Run
    ) -> Sequence[Packed | Plain | Dependent | None]:
        """Let a job, which has not been handed out, begin with the values that were found.

        Args:
            job: the job.
            prepared: what was prepared for it.
            run: runs tasks in a new job.

        Returns:
            The items; None in place of those of tasks that have a value.
        """
        before, hits = prepared.remembered, prepared.hits
        if before is None:
            return prepared.items
        job._remembered = before
        job._tasks.begin_with_values(hits.values)
        job._outcomes.begin_with_values(hits.tables, hits.readers)
        before.note_run(job.id, len(prepared.items), len(hits.values))
        if hits.readers and prepared.pickled is not None:
            again = RunAgain(
                name=job.name,
                total=len(prepared.items),
                items={task: prepared.items[task] for task in hits.readers},
                definitions=prepared.class_table.entries,
                options=prepared.options._replace(reduces=False, keeps=False, chunksize=None),
                function=prepared.pickled.blob,
                modules=prepared.modules,
                remembered=before,
            )
            before.run_again_by(partial(_compute, again, run))
        return [None if task in hits.values else item for task, item in enumerate(prepared.items)]

    def pack_unless_kept(self, prepared: Prepared, pack: Callable[..., Any]) -> Pack:
        """Return what makes a task of an item that was read, or the outcome of one whose value is kept.

        Args:
            prepared: what was prepared for the job.
            pack: pickles an item, given its number.
        """
        before = prepared.remembered
        if before is None:
            return lambda item, number: pack(item, number=number)

        def pack_or_find(item: Any, number: int) -> Packed | Plain | Dependent | Outcome:
            value = before.value_of(item, number)
            if value is not None:
                return Outcome(number, True, value, 0.0, 0.0, 0.0, "")
            packed: Packed | Plain | Dependent = pack(item, number=number)
            before.sent()
            return packed

        return pack_or_find

    def before_then(self, job: Job[Any], then: Elsewhere) -> Elsewhere:
        """Return the executor that tasks of a job move to, whose values are kept too."""
        keeper = None if job._remembered is None else job._remembered.keeper
        return then if keeper is None else _KeepingThen(then, keeper)


class _KeepingThen:
    """Another executor to which tasks move. The values that come back are kept."""

    def __init__(self, then: Elsewhere, keeper: Keeper) -> None:
        self._then = then
        self._keeper = keeper
        self.name, self.takes = then.name, then.takes

    def start(self, request: Request, emit: Emit) -> RunElsewhere:
        return self._then.start(request, partial(keep_and_report, self._keeper, emit))


def _compute(again: RunAgain, run: Run, tasks: Sequence[int]) -> Callable[[int], Packed | Plain]:
    return partial(_value, run(again, tasks))


def _value(job: Job[Any], task: int) -> Packed | Plain:
    """Wait for a task, and return its pickled value, or raise its exception."""
    job[task]._wait(None)
    packed = job._outcomes.packed(task)
    if packed is None:
        job.value(task)
    assert packed is not None
    return fetch_value(job._outcomes.store, packed, job._task(task))
