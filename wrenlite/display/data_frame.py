"""The stats of a job as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wrenlite.errors import PackageMissing
from wrenlite.protocol import TaskStats

if TYPE_CHECKING:
    from pandas import DataFrame

_TIMES = ("queued", "dispatched", "started", "finished")
_COLUMN_TYPES = {
    "task": "int64",
    "attempts": "int64",
    "cold": "bool",
    **dict.fromkeys(("peak_bytes", "peak_tasks"), "Int64"),  # pandas' integer, which knows missing values
    **dict.fromkeys(("seconds", "cpu_s"), "float64"),
    **dict.fromkeys(("state", "worker", "request_id", "moved_to"), "string"),
}


def data_frame(stats: Sequence[TaskStats]) -> DataFrame:
    """Make a DataFrame of stats: times as ``datetime64[ns, UTC]``, durations in seconds.

    Raises:
        PackageMissing: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise PackageMissing(f"to_pandas() needs {error.name}: pip install pandas") from error
    table = pandas.DataFrame(stats, columns=list(TaskStats._fields))
    for name in _TIMES:
        # Made a float first, since the type cannot be told from an empty column, or from one that is all
        # None.
        seconds = table[name].astype("float64")
        table[name] = pandas.to_datetime(seconds, unit="s", utc=True).astype("datetime64[ns, UTC]")
    return table.astype(_COLUMN_TYPES)
