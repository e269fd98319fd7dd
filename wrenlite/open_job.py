"""Jobs whose tasks arrive over time: an open job, and the jobs that calls of ``submit`` share."""

from __future__ import annotations

import pickle
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from wrenlite.arguments import MapOptions, check_submitted
from wrenlite.backends.base import Backend
from wrenlite.errors import JobClosed
from wrenlite.futures import Future, T_co
from wrenlite.job import Job
from wrenlite.memo.found import NO_HITS, Hits
from wrenlite.protocol import Outcome, Packed, Plain, Style
from wrenlite.scheduler.arrivals import Arrivals
from wrenlite.scheduler.dispatcher import Dispatcher
from wrenlite.scheduler.options import JobOptions
from wrenlite.scheduler.pending import PendingJob
from wrenlite.serialize.by_reference import ByReference, Dependent, References
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.constant_parts import are_same, constant_parts
from wrenlite.serialize.pickling import Call, PickledCall, is_plain, pack_items
from wrenlite.serialize.traceback_stubs import public
from wrenlite.storage.uploads import JobCode

if TYPE_CHECKING:
    from wrenlite.memo.remembered import Remembered


class Prepared(NamedTuple):
    """What a call of ``map`` or the like has checked, pickled and stored."""

    call: Call
    items: list[Packed | Plain | Dependent]
    class_table: ClassTable
    options: JobOptions
    pickled: PickledCall | None
    """The pickled function."""
    modules: bytes | None = None
    """A zip of the user's local modules."""
    remembered: Remembered | None = None
    """What earlier jobs have left; None: that was not asked for, or is not known."""
    hits: Hits = NO_HITS
    """The values that they have left."""


@public
class OpenJob(Job[T_co]):
    """A job that takes more tasks until it is closed. ``Executor.stream`` makes it.

    ::

        with executor.stream(fn) as calls:
            for path in paths_as_they_come():
                calls.submit(path)
            # leaving the block closes the job and waits for it

    It is a job like any other: ``calls[0]`` is the future of the first task. What waits for the whole job,
    such as ``results()``, waits until it is closed and all tasks have ended. ``values()`` and
    ``as_completed()`` give what has ended so far, and go on until then. A slice of it, and iterating over it,
    has the tasks that were submitted before.
    """

    def __init__(
        self,
        job_id: str,
        name: str,
        backend: Backend,
        prepared: Prepared,
        dispatcher: Dispatcher,
        more_code: Callable[[bytes, set[str]], JobCode],
        kept: object = None,
    ) -> None:
        """Create an open job without tasks. Executors do this.

        Args:
            job_id: identifies it in messages and in the store.
            name: of its function.
            backend: what it runs on.
            prepared: its function and options.
            dispatcher: runs its tasks.
            more_code: stores a pickled function and modules.
            kept: as for ``Job``.
        """
        forgets, entries = prepared.options.forgets, prepared.class_table.entries
        super().__init__(job_id, name, backend, 0, entries, dispatcher, open=True, forgets=forgets, kept=kept)
        self._arrivals: Arrivals[Packed | Plain | Dependent | Outcome] = Arrivals()
        self._remembered = prepared.remembered
        self._class_table = prepared.class_table
        self._modules = frozenset(prepared.class_table.modules)
        """The modules that workers have."""
        self._more_code = more_code
        self._pickled = None if prepared.options.closes_itself else prepared.pickled  # it holds objects
        self._lacks_code = False
        self._lock = threading.RLock()
        self._is_extending = False
        self._uses_local_modules = prepared.options.code.modules is not None
        self._is_shared = prepared.options.closes_itself
        self._call = prepared.call
        self._held: list[str] = []
        self._dispatcher = dispatcher
        self._pending: Callable[[], PendingJob | None] = lambda: None

    def __len__(self) -> int:
        return len(self._arrivals)

    def submit(self, /, *args: Any, **kwargs: Any) -> Future[T_co]:
        """Run the function of this job once, with these arguments.

        Raises:
            ItemNotPicklable: an argument cannot be pickled.
            JobClosed: the job was closed, or its executor was shut down.
        """
        check_submitted(self._call.function, args, kwargs, seeded=self._call.seed is not None)
        future = None
        if not self._arrivals.closed:
            future = self._add(self._pack((args, kwargs), Style.CALL))
        if future is None:
            raise JobClosed(f"the job {self.id} was closed, and takes no more tasks; open another one")
        return future

    def _stand_in(self, stand_in: Callable[[Any], ByReference | None]) -> None:
        """Have some objects in the arguments of calls replaced: see ``References``."""
        references = self._class_table.references
        assert references is not None
        references.stand_in = stand_in

    def close(self) -> None:
        """Take no more tasks. Those that were submitted go on."""
        self._arrivals.close()
        self._announce()

    def cancel(self) -> int:
        """Take no more tasks, cancel every task that has not ended, and return the number of these tasks."""
        self._arrivals.close()
        cancelled = super().cancel()
        self._announce()
        return cancelled

    def __enter__(self) -> OpenJob[T_co]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.cancel()
        self.close()
        self.wait()

    def _has_entries(self, entries: list[object]) -> bool:
        """Return whether the items of this job may refer to these classes and functions by number."""
        return are_same(self._class_table.entries, entries)

    def _add_call(self, call: tuple[Any, Any]) -> Future[T_co] | None:
        """Pickle a call and add it.

        Returns:
            Its future. None if it needs a module that the job does not have, or a class or function that
            travels by value, and so may be another one than it was.
        """
        args, kwargs = call
        if all(map(is_plain, (*args, *kwargs.values()))):  # in a fraction of the time
            return self._add(Packed(pickle.dumps(call, 5), ()))
        table = ClassTable(grows=True)
        table.references = self._references()
        [item] = pack_items([call], table, Style.CALL)
        if table.entries or table.modules - self._modules:
            return None
        return self._add(item)

    def _pack(self, item: Any, style: Style, number: int = 0) -> Packed | Plain | Dependent:
        """Pickle an item. What workers need for it and do not have, classes or modules, is stored first.

        Args:
            item: the item.
            style: how it becomes the arguments of the function.
            number: its number, for messages.
        """
        table = self._class_table.copy(grows=True)
        table.references = self._references()
        [packed] = pack_items([item], table, style, number)
        if self._has(table) and not self._lacks_code:
            return packed
        with self._lock:
            # In a signal handler that has interrupted this, or after a failure, the item brings its classes.
            if self._is_extending or self._pickled is None:
                [packed] = pack_items([item], self._class_table.copy(grows=False), style, number)
                return packed
            self._is_extending = True
            try:
                return self._pack_extending(self._pickled, [item], style, number)[0]
            finally:
                self._is_extending = False

    def _references(self) -> References | None:
        references = self._class_table.references
        return None if references is None else references.of_job(self)

    def _has(self, table: ClassTable) -> bool:
        return len(table.entries) == len(self._class_table.entries) and not table.modules - self._modules

    def _add_all(self, calls: Iterable[tuple[Any, Any]]) -> None:
        """Add calls that are pickled together. Only for a job to which nobody else submits.

        Args:
            calls: the positional and keyword arguments of each. A call may take the values of those before
                it, whose futures ``_make_future`` makes before they are added.
        """
        assert self._pickled is not None
        for item in self._pack_extending(self._pickled, calls, Style.CALL, len(self)):
            self._arrivals.add(item)
        self._announce()

    def _pack_extending(
        self, pickled: PickledCall, items: Iterable[Any], style: Style, number: int
    ) -> list[Packed | Plain | Dependent]:
        """Pickle items, and store the function again with the classes and modules that they need."""
        table, known = self._class_table, len(self._class_table.entries)
        try:
            packed = pack_items(items, table, style, number)
            if len(table.entries) == known and not table.modules - self._modules:
                return packed
            blob = pickled.extended(table)
        except BaseException:  # the pickler has written a part, which later ones would refer to
            table.truncate(known)
            self._pickled = None
            raise
        self._lacks_code = True  # until it is stored: otherwise the next item tries again
        modules = self._modules | table.modules
        code = self._more_code(blob, set(modules))
        self._modules, self._lacks_code = modules, False
        self._held.extend(code.digests)
        pending = self._pending()
        if pending is not None:
            self._dispatcher.add_code(pending, code)
        return packed

    def _start(self, pending: PendingJob, held: list[str]) -> None:
        """Record that the dispatcher is about to take the job.

        Args:
            pending: the job.
            held: the digests of what it holds in the store.
        """
        self._held = held
        self._pending = weakref.ref(pending)  # which holds the job, and is held while the job is open

    def _add(self, item: Packed | Plain | Dependent) -> Future[T_co] | None:
        """Add a task, and return its future; None where the job was closed."""
        if self._arrivals.closed:
            return None
        try:
            index = self._arrivals.add(item)
        finally:  # an interrupt may have come after it was added
            self._announce()
        return None if index is None else self[index]

    def _announce(self) -> None:
        pending = self._pending()
        if pending is not None and not self._arrivals.ended:
            self._dispatcher.tasks_added(pending, self._arrivals)


class _Shared(NamedTuple):
    """A job that may take further calls of its function."""

    job: weakref.ref[OpenJob[Any]]
    options: object
    """How its tasks are run. Calls with other options go elsewhere."""
    function: Callable[..., Any] | None = None
    parts: list[object] | None = None
    """What the function was pickled from."""


class SharedJobs:
    """The jobs of ``submit``: calls of one function that come while others of it run are tasks of one job."""

    def __init__(self) -> None:
        """Create a record of no jobs."""
        self._shared: dict[object, _Shared] = {}

    def remember(self, job: OpenJob[Any], prepared: Prepared, options: MapOptions) -> None:
        """Let a job take further calls.

        Args:
            job: the job.
            prepared: its function.
            options: how its tasks are run, as the user gave it.
        """
        function = prepared.call.function
        self._keep(prepared.options.code.digests, job, _without_code(prepared.options))
        if (parts := constant_parts(function)) is not None and not options.modules:
            kept = options._replace(env=dict(options.env or {}))  # the caller may change his own
            self._keep(id(function), job, (kept, prepared.options.log_levels), function, parts)

    def _keep(self, key: object, job: OpenJob[Any], *record: Any) -> None:
        reference = weakref.ref(job, partial(self._forget, key))
        self._shared[key] = _Shared(reference, *record)

    def _forget(self, key: object, reference: weakref.ref[OpenJob[Any]]) -> None:
        if key in self._shared and self._shared[key].job is reference:
            self._shared.pop(key, None)

    def submit(
        self,
        function: Callable[..., Any],
        call: tuple[Any, Any],
        options: MapOptions,
        log_levels: Mapping[str, int] | None,
    ) -> Future[Any] | None:
        """Submit a call without pickling its function again.

        Args:
            function: the function.
            call: its positional and keyword arguments.
            options: how the task is run.
            log_levels: the levels of the caller's loggers, as in ``JobOptions``.

        Returns:
            The future. None where no job takes the call: the function, or what it refers to, is another one
            or may have changed, or the arguments bring in a class or module that the job does not have.
        """
        shared = self._shared.get(id(function))
        job = shared.job() if shared is not None else None
        wanted = options._replace(env=dict(options.env or {})), log_levels
        if shared is None or job is None or shared.function is not function or shared.options != wanted:
            return None
        if job._uses_local_modules:  # they may have been edited
            return None
        return job._add_call(call) if are_same(shared.parts, constant_parts(function)) else None

    def submit_prepared(self, prepared: Prepared) -> Future[Any] | None:
        """Submit a call that was prepared, whose function turns out to be that of a job. As ``submit``."""
        shared = self._shared.get(prepared.options.code.digests)
        job = shared.job() if shared is not None else None
        if shared is None or job is None or shared.options != _without_code(prepared.options):
            return None
        return job._add(prepared.items[0]) if job._has_entries(prepared.class_table.entries) else None


def _without_code(options: JobOptions) -> JobOptions:
    return options._replace(code=JobCode(""))
