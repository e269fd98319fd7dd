"""The values and exceptions of one job's tasks: fetched and unpickled when somebody asks for them."""

from __future__ import annotations

import operator
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, InvalidStateError
from functools import partial
from typing import Any, Generic, cast

from wrenlite.backends.base import Backend
from wrenlite.dependencies import itself, value_at
from wrenlite.errors import ConfigError, DependencyFailed, RemoteError, ValueReleased, WrenliteError
from wrenlite.futures import Control, Future, T_co, show_as_one_line
from wrenlite.protocol import CANCELLED, NOTHING, PLAIN_TYPES, Outcome, Packed, Plain, Stored, Usage
from wrenlite.serialize.by_reference import References, Source
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.diagnosis import error_text
from wrenlite.serialize.exceptions import unpack_failure
from wrenlite.serialize.modules import note_missing_module
from wrenlite.serialize.pickling import Packer
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.traceback_stubs import raise_task_error, task_error
from wrenlite.serialize.unpickling_context import unpickling_with
from wrenlite.storage.refs import Ref
from wrenlite.storage.results import PREFETCH_VALUES, StoredValues
from wrenlite.task_table import TaskTable


class JobValues(Generic[T_co]):
    """What the tasks of a job have returned or raised.

    A value stays pickled, in the outcome of its task, until it is asked for: unpickling runs the user's code,
    and does that in the user's thread. A plain value needs none, and stays where it is.
    """

    def __init__(
        self,
        tasks: TaskTable,
        backend: Backend,
        class_table: Sequence[object],
        name: Callable[[int], str],
        control: Control,
    ) -> None:
        """Create the values of a new job.

        Args:
            tasks: the table of its tasks.
            backend: what it runs on.
            class_table: the classes and functions that its values refer to by number.
            name: returns the name of a task for messages.
            control: what runs the tasks.
        """
        self._tasks = tasks
        # No method of this object: values are freed with the job, and not only when Python looks for circles.
        on_get = partial(_charge_get, tasks, control)
        self.store = backend.store
        """Holds the values that did not fit into a reply."""
        self._stored = StoredValues(backend.store, tasks.outcomes, name, on_get)
        self.class_table = class_table
        """The classes and functions that values refer to by number."""
        self._package_hint = backend.hints.package
        self._packages = backend.packages
        self._name = name
        self._values: dict[int, Any] = {}
        self._exceptions: dict[int, BaseException] = {}
        self._failed_sources: dict[int, Future[Any]] = {}
        self._wanted: set[int] = set()
        self._definitions: tuple[object, ...] = ()
        self._tables: Mapping[int, Sequence[object]] = {}  # of values that an earlier job has left
        self.keeps_all = False
        """Whether all values stay pickled, or in the store, because other tasks may take them."""

    def get(self, index: int, end: float | None = None) -> T_co:
        """Return the value of a task that has ended, or raise its exception.

        Args:
            index: the task.
            end: the time, by ``deadline``, until which a stored value is waited for; None: without limit.

        Raises:
            InvalidStateError: the task has not ended.
            CancelledError: it was cancelled.
            ValueReleased: ``hand_out`` has handed the value out.
            TimeoutError: the value was not fetched from the store in time.
        """
        if index not in self._values:
            outcome = self._tasks.outcome(index)
            if outcome is not None and _is_plain(outcome) and not self._tasks.released[index]:
                return cast(T_co, outcome.packed)
            error = self.exception(index, end)
            if error is not None:
                raise_task_error(error)
        try:
            value: T_co = self._values[index]
        except KeyError:
            text = f"the value of {self._name(index)} was handed out by values(); results() keeps values"
            raise ValueReleased(text) from None
        return value

    def exception(self, index: int, end: float | None = None) -> BaseException | None:
        """Return the exception of a task that has ended; None where it has a value. Raises as ``get``."""
        outcome = self._tasks.outcome(index)
        if outcome is None:
            raise InvalidStateError(f"{self._name(index)} has not ended")
        if outcome is CANCELLED:
            cancelled = CancelledError(f"{self._name(index)} was cancelled")
            show_as_one_line(cancelled, str(cancelled))
            raise cancelled
        if index in self._tasks.same_error_as:  # a reduction that could not run
            return self.exception(self._tasks.same_error_as[index], end)
        if index in self._failed_sources and index not in self._exceptions:
            self._exceptions.setdefault(index, self._dependency_failed(index, end))
        known = index in self._values or index in self._exceptions or self._tasks.released[index]
        if not known and not _is_plain(outcome):
            if outcome.ok:
                self._unpack((index,), end)
            else:
                self._unpack_exception(index, end)
        return self._exceptions.get(index)

    def all(self, return_exceptions: bool, end: float | None) -> list[Any]:
        """Return the values of all tasks, each of which has ended, in their order.

        Args:
            return_exceptions: put the exception of a failed task into the list. Otherwise it is raised.
            end: as for ``get``.
        """
        if not self._tasks.failed and not any(self._tasks.released):
            plain = list(map(_PACKED, self._tasks.outcomes))
            if PLAIN_TYPES.issuperset(map(type, plain)):
                return plain
        self._unpack(range(self._tasks.total), end)
        values = self._values
        return [
            values[index] if index in values else self._get(index, return_exceptions, end)
            for index in range(self._tasks.total)
        ]

    def _get(self, index: int, return_exceptions: bool, end: float | None) -> Any:
        try:
            return self.get(index, end)
        except (Exception, CancelledError) as error:
            raise_if_interrupting(error)
            if not return_exceptions:
                raise
            return task_error(error)

    def ahead(
        self, order: Iterable[int], upcoming: Callable[[int], Sequence[int]], end: float | None
    ) -> Iterator[int]:
        """Yield tasks once their values are fetched: see ``StoredValues.ahead``."""
        return self._stored.ahead(order, upcoming, end)

    def hand_out(self, index: int, end: float | None) -> T_co:
        """As ``get``, and forget the value. A StopIteration becomes the cause of a RuntimeError."""
        try:
            value = self.get(index, end)
        except StopIteration as error:  # it would end the iteration, as if there were no more values
            raise RuntimeError(f"{self._name(index)} raised StopIteration") from error
        self._tasks.released[index] = 1
        self._values.pop(index, None)
        return value

    def forget(self, index: int) -> str | None:
        """Forget a value that nobody needs any more.

        Returns:
            The key under which the store still holds it; None where it does not.
        """
        outcome = self._tasks.outcomes[index]
        if outcome is None or self._tasks.released[index]:
            return None
        self._tasks.released[index] = 1
        self._tasks.outcomes[index] = outcome.without_value()
        self._values.pop(index, None)
        place = self._stored.places.pop(index, outcome.packed)
        return place.key if isinstance(place, Stored) else None

    def set_error(self, index: int, error: WrenliteError) -> None:
        """Record the error of a task for which no worker has reported an exception."""
        self._exceptions[index] = error

    def made_error(self, index: int) -> BaseException | None:
        """Return the exception of a task where nothing has to be unpickled for it."""
        return self._exceptions.get(index)

    def as_sent(self, index: int) -> Outcome:
        """Return the outcome of a task as its worker has sent it: with its value, even if that was read."""
        outcome = self._tasks.outcomes[index]
        assert outcome is not None
        if outcome.ok and (index in self._tables or index in self._stored.readers):
            self.get(index)  # no worker could read it
            outcome = self._tasks.outcomes[index] or outcome
        if outcome.ok and (outcome.packed is NOTHING or index in self._tables) and index in self._values:
            packer = Packer(ClassTable(self.class_table, grows=False), snapshot=False)
            return outcome._replace(packed=packer.pack(self._values[index]))
        return outcome

    def begin_with_values(
        self,
        tables: Mapping[int, Sequence[object]],
        readers: Mapping[int, Callable[[Callable[[], object]], Packed | Plain]],
    ) -> None:
        """Learn how values are read that an earlier job has left.

        Args:
            tables: the class tables of those that refer to another one than that of this job, by task.
            readers: see ``StoredValues.readers``.
        """
        self._tables, self._stored.readers = tables, readers

    def begin_with(self, before: JobValues[T_co]) -> None:
        """Take over the values of another job that were read, and the places of those that were fetched."""
        self._tables, self._stored.readers = before._tables, before._stored.readers
        self._values.update(before._values)
        self._stored.places.update(before._stored.places)

    def check_complete(self) -> None:
        """Check that the values of all tasks that are done are still there, since a reduction takes them.

        Raises:
            ValueReleased: ``hand_out`` has handed one out.
        """
        for index, outcome in enumerate(self._tasks.outcomes):
            if outcome is not None and self._tasks.released[index] and outcome.packed is NOTHING:
                self.get(index)

    def forget_errors(self, indexes: Iterable[int]) -> None:
        """Forget the errors of tasks that run again."""
        for index in indexes:
            self._exceptions.pop(index, None)
            self._failed_sources.pop(index, None)

    def set_failed_source(self, index: int, source: Future[Any]) -> None:
        """Record that a task did not run because another one, whose value it takes, has none."""
        self._failed_sources[index] = source

    def _dependency_failed(self, index: int, end: float | None) -> DependencyFailed:
        """Return the error of a task that did not run. Its cause is the exception of the first failure."""
        source = self._failed_sources[index]
        job, first = source.job, source.index
        while True:
            first = job._tasks.same_error_as.get(first, first)  # of a reduction
            earlier = job._outcomes._failed_sources.get(first)
            if earlier is None:
                break
            job, first = earlier.job, earlier.index
        text = f"{self._name(index)} did not run: it takes the value of {source.job._task(source.index)}"
        if (job, first) != (source.job, source.index):
            text += f", which did not run, because of {job._task(first)}"
        if job.state(first) != "failed":
            return DependencyFailed(f"{text}, which was cancelled")
        cause = job._outcomes.exception(first, end)
        assert cause is not None
        error = DependencyFailed(f"{text}, which failed: {error_text(cause)}")
        error.__cause__ = cause
        return error

    def refer_to(self, future: Future[T_co], references: References) -> Any:
        """Return how to pickle a future of this job inside an item, in the terms of ``reducer_override``.

        The value of a detached job is waited for, and is part of the item.

        Args:
            future: the future.
            references: takes what the item refers to.

        Raises:
            TypeError: no item is being pickled.
            DependencyFailed: the task is of a detached job, and has failed.
            ConfigError: the item is for another executor.
            ValueReleased: the value was handed out.
        """
        job, index = future.job, future.index
        if not references.in_item:
            future.__reduce__()
        if job._is_detached:  # its keeper is not the one of the item's job, and may need none of its values
            if (error := future.exception()) is not None:
                text = f"{self._name(index)}, whose value an item takes, has failed: {error_text(error)}"
                raise DependencyFailed(text) from error
            return itself, (future.result(),)
        if references.control is not job._control:
            text = "is of another executor, which may have another store. Pass its result()"
            raise ConfigError(f"{self._name(index)} {text}")
        if references.waits:
            future._wait(None)
        packed = self.referred_to(index)
        if future._is_read:
            return itself, (self.get(index),)  # as it is now: it was unpickled here
        references.on_source(job)
        references.sources.append(Source(future, packed))
        own = references.job is job and index not in self._tables
        definitions = None if own else self.definitions(index)
        return value_at, (len(references.sources) - 1, definitions, self._name(index))

    def refs(self, holder: object) -> list[Ref]:
        """Return a ``Ref`` of each value of a job whose tasks all have one.

        Args:
            holder: what the refs keep alive, so that the values stay.
        """
        values = enumerate(map(self.packed, range(self._tasks.total)))
        return [Ref(value, self.definitions(task), holder) for task, value in values if value is not None]

    def referred_to(self, index: int) -> Packed | Stored | Plain | None:
        """Keep a value as it came from its worker, because another task takes it, and return it.

        Returns:
            None where there is none: the task has not ended, or has failed, or its value was unpickled.
        """
        self._wanted.add(index)  # first: another thread may be about to unpickle it
        return self.packed(index)

    def packed(self, index: int) -> Packed | Stored | Plain | None:
        """Return a value as it came from its worker, or None: as ``referred_to``."""
        outcome = self._tasks.outcome(index)
        if outcome is None or not outcome.ok:
            return None
        if isinstance(outcome.packed, Stored) and index in self._stored.readers:
            return self._stored.get(index, None)
        return self._stored.places.get(index) or (None if outcome.packed is NOTHING else outcome.packed)

    def definitions(self, index: int) -> tuple[object, ...]:
        """Return the classes and functions that a value refers to by number: the same tuple while there are
        no further ones.
        """
        if index in self._tables:
            return tuple(self._tables[index])
        if len(self._definitions) != len(self.class_table):
            self._definitions = tuple(self.class_table)
        return self._definitions

    def _unpack_exception(self, index: int, end: float | None) -> None:
        packed = cast(Packed, self._stored.get(index, end))
        error, process = unpack_failure(packed, self.class_table)
        note_missing_module(error, self._package_hint)
        self._note_versions(error)
        run = self._tasks.describe_run(index, process)
        error.add_note(f"wrenlite: {self._name(index)}, {run}; its output: job.logs({index})")
        for note in self._tasks.notes(index):
            error.add_note(f"wrenlite: {note}")
        self._exceptions.setdefault(index, error)

    def _unpack(self, indexes: Sequence[int], end: float | None) -> None:
        """Unpickle the values of those of these tasks that have one that was not unpickled before."""
        outcomes = self._tasks.outcomes
        wanted = [
            index
            for index in indexes
            if (outcome := outcomes[index]) is not None
            and outcome.ok
            and not _is_plain(outcome)
            and index not in self._values
            and not self._tasks.released[index]
        ]

        def upcoming(place: int) -> Sequence[int]:
            return wanted[place + 1 : place + 1 + PREFETCH_VALUES]

        single = len(indexes) == 1
        ready = wanted if single else self._stored.ahead(wanted, upcoming, end)
        with unpickling_with(self.class_table):
            for index in ready:
                packed = self._stored.get(index, end) if single else self._stored.fetched(index)
                if packed is None or packed is NOTHING:  # not fetched; or another thread has unpickled it
                    continue
                if not isinstance(packed, Packed):  # one that was fetched
                    self._values.setdefault(index, packed)
                    continue
                try:
                    value = self._loads(index, packed)
                except BaseException as error:  # of the value's own code
                    raise_if_interrupting(error)
                    what = f"cannot be unpickled here: {error_text(error)}"
                    failure = RemoteError(f"the value of {self._name(index)} {what}")
                    failure.__cause__ = error
                    self._note_versions(failure)
                    self._exceptions.setdefault(index, failure)
                    continue
                self._values.setdefault(index, value)  # atomic: every thread gets the one that was first
                self._drop_pickle(index)

    def _loads(self, index: int, packed: Packed) -> Any:
        table = self._tables.get(index)
        if table is None:
            return pickle.loads(packed.data, buffers=packed.buffers)
        with unpickling_with(table):
            return pickle.loads(packed.data, buffers=packed.buffers)

    def _note_versions(self, error: BaseException) -> None:
        """Add the packages whose versions differ to an error that such a difference may explain."""
        reasons = (error, error.__cause__)
        if self._packages is None or not any(isinstance(each, RemoteError | ImportError) for each in reasons):
            return
        missing = [each.name or "" for each in reasons if isinstance(each, ImportError)]
        if differences := [*self._packages.differences(), *self._packages.only_here(missing)]:
            error.add_note(f"Packages differ between here and there: {'; '.join(differences)}.")

    def _drop_pickle(self, index: int) -> None:
        """Free the pickle of a value that was unpickled. It stays where other tasks may need it."""
        outcome = self._tasks.outcomes[index]
        if outcome is None:
            return
        if isinstance(outcome.packed, Stored):
            self._stored.note_place(index, outcome.packed)
        elif index not in self._stored.places and (self.keeps_all or index in self._wanted):
            return
        self._tasks.outcomes[index] = outcome.without_value()


_PACKED = operator.attrgetter("packed")


def _is_plain(outcome: Outcome) -> bool:
    """Return whether an outcome has a value that needs no unpickling."""
    return outcome.ok and type(outcome.packed) in PLAIN_TYPES


def _charge_get(tasks: TaskTable, control: Control) -> None:
    usage = Usage(store_gets=1)
    tasks.charge(usage)
    control.charge(usage)
