"""``map`` with ``buffersize=``: the data is read while the values are."""

from __future__ import annotations

import inspect
import itertools
import math
import sys
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any, Generic

from wrenlite.errors import JobClosed
from wrenlite.futures import T_co, end_loop, next_in_loop
from wrenlite.open_job import OpenJob
from wrenlite.protocol import Outcome, Packed, Plain
from wrenlite.serialize.by_reference import Dependent
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.traceback_stubs import public
from wrenlite.storage.results import PREFETCH_VALUES
from wrenlite.texts import counted

_FIRST_READING_S = 0.1
"""Seconds after which ``map`` itself stops to read the data. An item that it waits for then is still read."""
_READING_S = 0.002
"""Seconds of reading before a value is handed out that is there already."""
_ANNOUNCE_S = 0.001
"""Seconds of reading after which tasks are sent, so that workers need not wait for the rest."""
_FORGET_ITEMS = 1024
"""Items that are forgotten together, once they were sent."""


@public
class LazyValues(Iterator[T_co], AsyncIterator[T_co], Generic[T_co]):
    """The values of a ``map`` with ``buffersize=``, in input order, by ``for`` or ``async for``.

    Items are read while values are: at most ``buffersize`` items have been read whose values were not handed
    out. What was handed out is forgotten. An exception of a task, or of the data, is raised in its turn,
    after all values that come before it.

    The data is read in the thread that reads the values; with ``async for``, in that of the event loop.

    ``close()``, which Python also calls when nobody holds this any more, cancels the tasks that have not
    ended and reads no further. So does an exception.
    """

    job: OpenJob[T_co]
    """The job: its progress, its cost, and the futures of the tasks that are not forgotten."""

    def __init__(self, reader: Reader[T_co]) -> None:
        """Begin to read the data of a job. Executors do this.

        Args:
            reader: reads it.
        """
        self.job = reader.job
        self._reader = reader
        self._tasks = reader.tasks()
        try:
            reader.read_on(0, _FIRST_READING_S, even_if_waited_for=True)
        except BaseException:  # an interrupt
            self.close()
            raise

    def __repr__(self) -> str:
        handed_out = self.job._tasks.handed_out
        given, read = counted(handed_out, "value"), counted(len(self.job), "item")
        return f"<LazyValues of {self.job.name}: {given} given, {read} read>"

    def _wait_until(self, end: float | None) -> None:
        """Set the time, by ``deadline``, until which values are waited for."""
        self._reader.end = end

    def _go_on_after_errors(self, *, ordered: bool) -> None:
        """Give further values behind the exception of a task. Call this before the first is given.

        Args:
            ordered: in input order; otherwise in the order in which the tasks end.
        """
        self._reader.stops_at_errors, self._reader.ordered = False, ordered

    def _wait_for_next(self, timeout: float) -> bool:
        """Wait until the next value, or the end of all, is there. Return whether it was in time."""
        return self.job._tasks.wait_until(lambda: self._ready() is not None, timeout, each=True)

    def _read_all(self) -> None:
        """Read the data to its end, and send it."""
        self._reader.read_all()

    def _ready(self) -> Sequence[Outcome | None] | None:
        return self._reader.ready() if inspect.getgeneratorstate(self._tasks) != inspect.GEN_CLOSED else ()

    def __next__(self) -> T_co:
        task = next(self._tasks)
        try:
            return self._reader.hand_out(task)
        except BaseException:
            if self._reader.stops_at_errors:
                self.close()
            raise

    async def __anext__(self) -> T_co:
        return await next_in_loop(self, self.job, self._ready)

    def close(self) -> None:
        """Cancel the tasks that have not ended, and read no further."""
        self._tasks.close()
        if not self.job._tasks.over:
            self.job.cancel()

    def __del__(self) -> None:
        self.close()


class Reader(Generic[T_co]):
    """Reads the data of a job while its values are read."""

    def __init__(
        self,
        job: OpenJob[T_co],
        data: Iterator[Any],
        pack: Callable[[Any, int], Packed | Plain | Dependent | Outcome],
        buffersize: int,
    ) -> None:
        """Create a reader that has read nothing.

        Args:
            job: the job. Nobody else submits to it.
            data: its items.
            pack: pickles an item, given its number; an outcome: its task need not run.
            buffersize: the most items that have been read and whose values were not handed out.
        """
        self.job = job
        self._data = data
        self._pack = pack
        self._size = buffersize
        self._read = 0
        self._given = 0
        self.ordered = True
        """Whether values are given in input order; otherwise in the order in which the tasks end."""
        self.stops_at_errors = True
        """Whether the exception of a task ends all."""
        self._read_on_at: int | None = None
        self._at_end = False
        self.end: float | None = None
        """The time, by ``deadline``, until which values are waited for; None: without limit."""
        self._error: Exception | None = None

    def tasks(self) -> Generator[int, None, None]:
        """Yield tasks whose values can be handed out. When this is closed, all others are cancelled."""
        table = self.job._tasks

        def upcoming(place: int) -> Sequence[int]:
            tasks: Sequence[int] = range(table.total) if self.ordered else table.finished
            return tasks[place + 1 : place + 1 + PREFETCH_VALUES]

        try:
            yield from self.job._outcomes.ahead(self._in_order(), upcoming, self.end)
            if self._error is not None:
                raise self._error
        finally:
            if not table.over:
                self.job.cancel()
            end_loop((self.job,))

    def hand_out(self, task: int) -> T_co:
        """Return the value of a task, or raise its exception, and forget it."""
        table = self.job._tasks
        try:
            return self.job._outcomes.hand_out(task, self.end)
        finally:
            table.released[task] = 1
            self._given += 1
            while table.handed_out < table.total and table.released[table.handed_out]:
                table.handed_out += 1

    def _in_order(self) -> Iterator[int]:
        """Yield each task once it has ended, and read on."""
        for place in itertools.count():
            if self._read_on_at != place:
                self._read_some(place, even_if_waited_for=False)
            if place == self._read:
                return
            self.job._wait_until(partial(self._has_ended, place), self.end)
            yield place if self.ordered else self.job._tasks.finished[place]

    def _has_ended(self, place: int) -> bool:
        """Return whether the task has ended whose value is handed out at this place."""
        table = self.job._tasks
        return table.has_ended(place) if self.ordered else len(table.finished) > place

    def ready(self) -> Sequence[Outcome | None] | None:
        """Read on for a short time, and return the outcome whose value comes next.

        Returns:
            None while it has to be waited for; no outcome behind the last one, or once it is late.
        """
        table, place = self.job._tasks, self._given
        self._read_some(place, even_if_waited_for=True)
        self._read_on_at = place  # ``_in_order``, which may be called in another thread, reads nothing
        if place < self._read and self._has_ended(place):
            return (table.outcomes[place if self.ordered else table.finished[place]],)
        return () if place == self._read or (self.end is not None and time.monotonic() >= self.end) else None

    def _read_some(self, place: int, *, even_if_waited_for: bool) -> None:
        if self._read - place <= self._size // 2:
            self.read_on(place, _READING_S, even_if_waited_for=even_if_waited_for)

    def read_on(self, place: int, reading_s: float, *, even_if_waited_for: bool = False) -> None:
        """Read items until the buffer is full, and send them.

        Args:
            place: how many values were handed out.
            reading_s: seconds after which it ends, if that value is there already.
            even_if_waited_for: also if it is not there.
        """
        start = announced = time.monotonic()
        try:
            while not self._at_end and self._read - place < self._size:
                self._read_item()
                now = time.monotonic()
                if now - start > reading_s and (even_if_waited_for or self._has_ended(place)):
                    return
                if now - announced > _ANNOUNCE_S:
                    announced = now
                    self.job._announce()
        finally:
            self.job._announce()

    def read_all(self) -> None:
        """Read the data to its end."""
        self._size = sys.maxsize
        self.read_on(self._given, math.inf)

    def _read_item(self) -> None:
        """Read an item and submit it. An error is raised later: once the values before it were handed out."""
        try:
            item = self._pack(next(self._data), self._read)
        except StopIteration:
            self._at_end = True
        except Exception as error:
            raise_if_interrupting(error)
            self._error, self._at_end = error, True
        else:
            if self.job._arrivals.add(item) is None:
                text = f"the job {self.job.id} was closed before its data was read to the end"
                self._error, self._at_end = JobClosed(text), True
                return
            self._read += 1
            if self._read % _FORGET_ITEMS == 0:
                self.job._arrivals.forget_taken()
        if self._at_end:
            self.job._arrivals.close()


def read_first(items: Iterator[Any]) -> tuple[list[Any], Iterator[Any]]:
    """Return a list of the first item, and the others. An exception comes in its turn."""
    try:
        return list(itertools.islice(items, 1)), items
    except Exception as error:
        raise_if_interrupting(error)
        return [], map(_raise, (error,))


def _raise(error: Exception) -> None:
    raise error
