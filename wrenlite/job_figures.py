"""``JobFigures``: when and where the tasks of a job ran, as records, a table, a figure and a page."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, cast

from wrenlite.cost import Prices
from wrenlite.errors import OutOfMemory
from wrenlite.memory import memory_bytes
from wrenlite.protocol import CANCELLED, Packed, TaskStats
from wrenlite.serialize.exceptions import failure_summary
from wrenlite.serialize.traceback_stubs import public
from wrenlite.task_table import TaskTable

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from pandas import DataFrame

    from wrenlite.advice.on_machine import Machine
    from wrenlite.advice.value import Advice
    from wrenlite.job import Job
    from wrenlite.job_values import JobValues


@public
class JobFigures:
    """What is known of the runs of a job's tasks."""

    name: str
    """Name of the function."""
    backend: str
    """Name of what it runs on."""
    _tasks: TaskTable
    _outcomes: JobValues[Any]
    _prices: Prices | None

    @property
    def cached(self) -> int:
        """How many tasks have the value of an earlier job, and so did not run: see ``cache`` of ``map``."""
        return self._tasks.cached

    def stats(self) -> list[TaskStats]:
        """Return when and where each task ran. A ``map`` with ``buffersize=`` forgets tasks after a while."""
        return [self._tasks.stats(index) for index in range(self._tasks.forgotten, self._tasks.total)]

    def to_pandas(self) -> DataFrame:
        """Return ``stats()`` as a DataFrame: one row per task, times in UTC.

        Raises:
            PackageMissing: pandas is not installed.
        """
        from wrenlite.display.data_frame import data_frame  # upwards, see pyproject.toml

        return data_frame(self.stats())

    def plot(self) -> Figure:
        """Draw when each task waited and ran, and how many ran at once.

        Raises:
            PackageMissing: matplotlib is not installed.
        """
        from wrenlite.display.timeline import timeline  # upwards, see pyproject.toml

        return timeline(self.stats(), self._title(), time.time())

    def advice(self) -> Advice:
        """Return which setting would have been cheapest for this job, which fastest, and what with each.

        On Lambda that is the function's memory, which decides its processors, and ``chunksize``; on this
        machine the number of workers. It follows from what the batches used that have ended.

        Raises:
            ConfigError: no batch has ended on a worker.
        """
        from wrenlite.advice.judging import Judged, advise  # only now, so that maps begin sooner

        table = self._tasks
        failed = [task for task in table.failed if table.outcomes[task] is not CANCELLED]
        judged = Judged(
            title=self._title(),
            seconds=table.snapshot(self.name, self.backend).seconds,
            prices=self._prices,
            dollars=table.cost.dollars,
            over=table.over,
            failed=len(failed),
            ran_out=any(map(self._ran_out, failed)),
            tasks=table.total,
            moved=len(table.moved),
        )
        return advise(judged, table.runs, this_machine())

    def _ran_out(self, task: int) -> bool:
        """Return whether a task that has failed needed more memory than there was."""
        error, outcome = self._outcomes.made_error(task), self._tasks.outcome(task)
        if error is not None or outcome is None or not isinstance(outcome.packed, Packed):
            return isinstance(error, OutOfMemory)
        return bool(outcome.packed.data) and failure_summary(outcome.packed).startswith(OutOfMemory.__name__)

    def _title(self) -> str:
        return f"map {self.name} × {self._tasks.total:,} on {self.backend}"

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write one HTML file about the job, which needs no network: a timeline, tables, cost, output.

        The timeline can be zoomed and asked about each task. Tables list the slowest and the failed tasks.

        Args:
            path: of the file, which is replaced.

        Returns:
            The path.

        Raises:
            PackageMissing: bokeh is not installed.
            OSError: the file cannot be written.
        """
        from wrenlite.display.report import write_report  # upwards, see pyproject.toml

        return write_report(cast("Job[Any]", self), path, time.time())


def this_machine() -> Machine:
    """Return what local workers share."""
    from wrenlite.advice.on_machine import Machine
    from wrenlite.backends.local import cpu_count

    return Machine(cpu_count(), memory_bytes())
