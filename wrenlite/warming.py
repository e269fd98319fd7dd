"""``Executor.warm``: workers are started before the first map needs them."""

from __future__ import annotations

import time
from typing import NamedTuple

from wrenlite.arguments import MapOptions
from wrenlite.cost import Cost
from wrenlite.errors import ConfigError
from wrenlite.protocol import Style
from wrenlite.submission import Submission
from wrenlite.texts import counted
from wrenlite.wrong_calls import is_whole_number

_HOLD_REMOTE_S, _HOLD_HERE_S = 1.5, 0.2
"""Seconds for which ``warm`` keeps a worker busy, on Lambda and here: most starts take less."""
_SENT_PER_S = 400.0
"""Requests that a client sends per second, at least."""


class Warmed(NamedTuple):
    """What ``Executor.warm`` has done."""

    workers: int
    """Workers that run now: those that were started, and those that ran before."""
    started: int
    """Those that were started."""
    cost: Cost
    """What that has cost."""

    def __str__(self) -> str:
        text = f"{counted(self.workers, 'worker')} ready, {self.started:,} of them started now"
        return f"{text}; {self.cost}" if self.cost.requests else text


def warm(submission: Submission, count: int) -> Warmed:
    """Start so many workers, and return when they run."""
    backend, slots = submission.dispatcher.backend, submission.dispatcher.admission.slots
    if not is_whole_number(count, 1):
        raise ConfigError(f"warm({count!r:.60}): must be a whole number from 1")
    if count > slots:
        raise ConfigError(f"warm({count}): on {backend.name} at most {slots:,} tasks run at once")
    # Each task holds its worker until the last one has begun, or else one worker would run several.
    remote = backend.prices is not None
    hold_s = _HOLD_REMOTE_S + count / _SENT_PER_S if remote else _HOLD_HERE_S
    options = MapOptions(chunksize=1, progress=False)
    job = submission.run(time.sleep, Style.ITEM, [hold_s] * count, options)
    job.results()
    stats = job.stats()
    started = {each.worker for each in stats if each.cold}
    return Warmed(len({each.worker for each in stats}), len(started), job.cost)
