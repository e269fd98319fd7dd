"""When each task of a job waited, ran and came back, as arrays: what a timeline draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from wrenlite.protocol import TaskStats

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

_ROUNDING_S = 0.001
"""Seconds by which a task may seem to end after its worker began the next one: its start is read off one
clock, how long it took off another."""
_MOST_ROWS = 400
"""Tasks that have a row each; more of them share the rows of their workers."""


class Spans(NamedTuple):
    """One entry a task. Times are seconds since ``map`` by the client's clock; NaN: it has not happened."""

    task: Ints
    state: npt.NDArray[np.str_]
    worker: Ints
    """The worker's number, in order of their first task; -1 where it is not known."""
    handed: Floats
    """Its batch was handed out."""
    begin: Floats
    end: Floats
    """It ran from ``begin`` to ``end``."""
    back: Floats
    """Its outcome had reached the client."""
    cold: Flags
    """The first task of a worker that was started for it."""
    until: float
    """When the last thing happened; now, while the job runs."""

    def having(self, *states: str) -> Flags:
        """Which tasks are in one of these states."""
        return np.isin(self.state, states)

    @property
    def workers(self) -> int:
        """How many workers are known to have run tasks."""
        return int(self.worker.max(initial=-1)) + 1


class Rows(NamedTuple):
    """Where tasks are drawn."""

    row: Floats
    """One entry a task; NaN: nowhere."""
    total: int
    by_worker: bool


def measure(tasks: Sequence[TaskStats], now: float) -> Spans:
    """The spans of these tasks; ``now`` in seconds since the epoch."""
    zero = min((task.queued for task in tasks), default=now)

    def since(times: list[float | None]) -> Floats:
        return np.array(times, np.float64) - zero  # None becomes NaN

    begin = since([task.started for task in tasks])
    end = begin + np.array([task.seconds for task in tasks], np.float64)
    back = since([task.finished for task in tasks])
    worker = _numbers([task.worker for task in tasks], begin)
    begin, end = _by_the_clients_clock(worker, begin, end, back)
    state = np.array([task.state for task in tasks], np.str_)
    running = bool(np.isin(state, ("queued", "dispatched")).any())
    last = max(np.nanmax(back, initial=0.0), np.nanmax(end, initial=0.0))
    return Spans(
        np.array([task.task for task in tasks], np.int64),
        state,
        worker,
        np.maximum(since([task.dispatched for task in tasks]), 0.0),
        begin,
        end,
        back,
        _first_of_each(worker, begin, np.array([task.cold for task in tasks], np.bool_)),
        float(max(last, now - zero) if running else last),
    )


def arrange(spans: Spans) -> Rows:
    """A row for each task, in order of start; with many tasks, a row for each worker that ran some.

    Many tasks on few workers would be a thin diagonal: on the rows of their workers, stragglers and pauses
    show. Where the workers are not much fewer than the tasks, as on Lambda, the tasks keep their rows.
    """
    total = len(spans.state)
    if total > _MOST_ROWS and 0 < 2 * spans.workers <= total:
        row = spans.worker.astype(np.float64)
        elsewhere = spans.worker < 0
        row[elsewhere] = np.nan
        unknown = elsewhere & (spans.handed >= 0) & ~spans.having("cancelled")
        row[unknown] = spans.workers  # one more row: whose they are is told when their batch has ended
        return Rows(row, spans.workers + bool(unknown.any()), True)
    known = np.where(np.isnan(spans.begin), spans.handed, spans.begin)
    row = np.empty(total)
    row[np.lexsort((spans.back, known))] = np.arange(total)
    return Rows(row, total, False)


def at_once(spans: Spans) -> tuple[Floats, Ints]:
    """From each of these times on, so many tasks ran at once, of those that have come back."""
    ran = spans.end > spans.begin
    times = np.concatenate([spans.begin[ran], spans.end[ran]])
    steps = np.repeat(np.array([1, -1], np.int64), int(ran.sum()))
    order = np.lexsort((steps, times))  # who ends makes room for who begins at the same time
    return np.concatenate([[0.0], times[order]]), np.concatenate([[0], steps[order].cumsum()])


def _numbers(names: list[str | None], begin: Floats) -> Ints:
    """The workers' numbers, in order of when each first began a task."""
    numbers: dict[str | None, int] = {None: -1}
    for task in np.argsort(begin, kind="stable"):
        numbers.setdefault(names[task], len(numbers) - 1)
    return np.array([numbers[name] for name in names], np.int64)


def _by_the_clients_clock(worker: Ints, begin: Floats, end: Floats, back: Floats) -> tuple[Floats, Floats]:
    """When tasks began and ended, where the workers' clocks said ``begin`` and ``end``.

    A worker on another machine has another clock. By the client's, no task begins before ``map`` and none
    ends after its outcome arrived, which bounds from both sides how far a worker's clock is ahead. Each clock
    is moved as little as the bounds of all its tasks ask for, so that what lies between the tasks of a worker
    stays as it was. When a batch was handed out would be a closer bound, but a wrong one where the answer to
    an earlier sending was the first to arrive.
    """
    alone = worker.max(initial=-1) + 1 + np.arange(len(worker))
    clock = np.where(worker < 0, alone, worker)  # who is not known is nobody else
    least = np.full(clock.max(initial=-1) + 1, -np.inf)
    most = -least
    np.fmax.at(least, clock, end - back)
    np.fmin.at(most, clock, begin)
    ahead = np.where(least <= most, np.clip(0.0, least, np.maximum(least, most)), least)
    # What a clock that was set meanwhile still leaves outside is cut off: no bar is ever negative.
    begin = np.clip(begin - ahead[clock], 0.0, np.fmax(back, 0.0))
    end = np.clip(end - ahead[clock], begin, np.fmax(back, begin))
    order = np.lexsort((begin, worker))
    this, following = order[:-1], order[1:]
    over = end[this] - begin[following]
    rounded = (worker[this] == worker[following]) & (worker[this] >= 0) & (over > 0) & (over < _ROUNDING_S)
    end[this[rounded]] = np.maximum(begin[following[rounded]], begin[this[rounded]])
    return begin, end


def _first_of_each(worker: Ints, begin: Floats, cold: Flags) -> Flags:
    """Of the tasks whose worker was started for their batch, the first one of each worker."""
    first = np.zeros(len(worker), np.bool_)
    candidates = np.flatnonzero(cold & (begin >= 0))
    candidates = candidates[np.argsort(begin[candidates], kind="stable")]
    first[candidates[np.unique(worker[candidates], return_index=True)[1]]] = True
    return first
