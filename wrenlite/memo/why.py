"""Why tasks of a job ran: what has changed since the last run of the same function."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from wrenlite.errors import JobNotFound
from wrenlite.memo.digest import Change, changed_parts
from wrenlite.memo.index import Run
from wrenlite.texts import counted, listed

_DIGEST = 64
"""Letters of a digest. Versions and numbers are shorter."""


class Why(NamedTuple):
    """What has changed between two runs of a function."""

    run: Run
    before: Run | None
    """The last run before it; None: none is known."""
    changes: Sequence[Change]
    """What has changed, by what the digests are made of."""

    def __str__(self) -> str:
        run, ran = self.run, self.run.tasks - self.run.cached
        if self.before is None:
            text = f"No earlier run of {run.function} is known"
        elif self.changes:
            text = f"Since {self.before.job}, the last run of {run.function}, this has changed"
        elif ran:
            text = f"Nothing has changed since {self.before.job}, the last run of {run.function}"
            text += f": {counted(ran, 'item')} of {run.tasks:,} are new, or their values were deleted"
        else:
            text = f"Nothing has changed since {self.before.job}, the last run of {run.function}"
        counts = f"{run.job}: {counted(run.tasks, 'task')}, {run.cached:,} cached, {ran:,} ran."
        return "\n".join([f"{text}{':' if self.changes else '.'}", *map(_line, self.changes), counts])


def _line(change: Change) -> str:
    kind, name, before, after = change
    what = f"  {kind} {name}".rstrip()
    if before is None or after is None:
        return f"{what} is {'new' if before is None else 'no longer part of it'}"
    return f"{what} changed" if len(after) == _DIGEST else f"{what}: {before} → {after}"


def why(runs: Sequence[Run], job: str) -> Why:
    """Return what has changed before a run.

    Args:
        runs: all runs, the newest first.
        job: the id of its job, or the beginning of it.

    Raises:
        JobNotFound: there is no such run, or several.
    """
    found = [run for run in runs if run.job == job] or [run for run in runs if run.job.startswith(job)]
    if not found:
        raise JobNotFound(
            f"no job with cache=True has an id that begins with {job!r}. `wrenlite jobs` lists all jobs; of "
            "those without cache=True it is not known what has changed"
        )
    if len(found) > 1:
        raise JobNotFound(f"{job!r} is the beginning of several jobs: {listed([run.job for run in found])}")
    [run] = found
    earlier = [each for each in runs if each.function == run.function and each.at < run.at]
    if not earlier:
        return Why(run, None, ())
    return Why(run, earlier[0], changed_parts(json.loads(earlier[0].parts), json.loads(run.parts)))
