"""Stats of tasks as a pandas DataFrame, for those who have pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wrenlite.errors import PackageMissing
from wrenlite.protocol import TaskStats

if TYPE_CHECKING:
    from pandas import DataFrame

_TIMES = ("queued", "dispatched", "started", "finished")
_FLOATS = ("seconds", "cpu_s")
_TEXTS = ("state", "worker", "request_id")


def frame(stats: Sequence[TaskStats]) -> DataFrame:
    """One row a task, columns as in ``TaskStats``: times as ``datetime64[ns, UTC]``, durations in seconds."""
    try:
        import pandas
    except ImportError as error:
        raise PackageMissing(f"to_pandas() needs {error.name}: pip install pandas") from error
    table = pandas.DataFrame(stats, columns=list(TaskStats._fields))
    for name in _TIMES:
        # Also where there is nothing to tell the type by: an empty job, or a column of None.
        seconds = table[name].astype("float64")
        table[name] = pandas.to_datetime(seconds, unit="s", utc=True).astype("datetime64[ns, UTC]")
    types = {"task": "int64", "attempts": "int64", "cold": "bool"}
    types |= dict.fromkeys(_FLOATS, "float64") | dict.fromkeys(_TEXTS, "string")
    return table.astype(types)
