"""The items of a job's failed tasks, kept so that ``Job.retry_failed`` can run these tasks again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from wrenlite.job import Job
from wrenlite.protocol import Packed, Plain, size_of
from wrenlite.retry import Retry
from wrenlite.scheduler.options import JobOptions
from wrenlite.serialize.by_reference import Dependent

_MOST_BYTES = 256 << 20
"""Bytes of items that are kept of one job, as long as somebody holds the job."""


class FailedTasks(NamedTuple):
    """What the failed and cancelled tasks of a job that is over are run again with."""

    items: Mapping[int, Packed | Plain | Dependent | None]
    options: JobOptions
    function: bytes
    """The pickled function."""
    modules: bytes | None
    """A zip of the user's local modules."""


RunAgain = Callable[[FailedTasks, Job[Any], int | Retry | None, float | None], Job[Any]]
"""Runs tasks again, with such retries and such a time limit: None: as before."""


class FailedItems:
    """The items of the failed tasks of one job."""

    def __init__(self, run_again: RunAgain | None) -> None:
        """Begin without any.

        Args:
            run_again: runs the tasks again; None: nobody can, so no items are kept.
        """
        self._run_again = run_again
        self._items: dict[int, Packed | Plain | Dependent | None] = {}
        self._bytes = 0

    def keep(self, items: Iterable[tuple[int, Packed | Plain | Dependent | None]]) -> None:
        """Keep the items of tasks that fail or are cancelled, unless they become too many bytes."""
        if self._run_again is None:
            return
        for index, item in items:
            self._items[index] = item
            packed = item.packed if isinstance(item, Dependent) else item
            self._bytes += 0 if packed is None else size_of(packed)
        if self._bytes > _MOST_BYTES:
            self._items.clear()
            self._run_again = None

    def get(self, index: int, item: Packed | Plain | Dependent | None) -> Packed | Plain | Dependent | None:
        """Return the item that is kept of a task; the one that is given where none is."""
        return self._items.get(index, item)

    def leave_to(
        self, job: Job[Any], options: JobOptions, blobs: Callable[[], tuple[bytes, bytes | None]] | None
    ) -> None:
        """Leave to a job, which is over, what its failed tasks are run again with.

        Args:
            job: the job.
            options: how its tasks were run.
            blobs: returns its pickled function and the zip of local modules.
        """
        if self._run_again is not None and self._items and blobs is not None:
            job._run_again = partial(self._run_again, FailedTasks(self._items, options, *blobs()))
