"""``JobFigures``: when and where the tasks of a job ran, as records, a table, a figure and a page."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, cast

from wrenlite.protocol import TaskStats
from wrenlite.serialize.traceback_stubs import public
from wrenlite.task_table import TaskTable

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from pandas import DataFrame

    from wrenlite.job import Job


@public
class JobFigures:
    """What is known of the runs of a job's tasks."""

    name: str
    """Name of the function."""
    backend: str
    """Name of what it runs on."""
    _tasks: TaskTable

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
