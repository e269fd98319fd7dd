"""The times at which each task of a job waited, ran and returned, as arrays for a timeline."""

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
"""Seconds by which a task may seem to overlap the next task of its worker: the start and the duration of a
task are measured by different clocks."""
_MOST_TASK_ROWS = 400
"""The largest number of tasks that have a row each; with more tasks, each worker has a row."""


class Spans(NamedTuple):
    """Arrays with one entry per task. Times are seconds since ``map`` by the client's clock; NaN: not yet."""

    task: Ints
    state: npt.NDArray[np.str_]
    worker: Ints
    """The number of the task's worker; -1 where the worker is not known."""
    dispatched: Floats
    """When the task's batch was sent to a worker."""
    started: Floats
    """When the task began to run."""
    stopped: Floats
    """When the task stopped running."""
    received: Floats
    """When the task's outcome reached the client."""
    cold: Flags
    """Whether the task is the first one of a worker that was started for it."""
    peak_bytes: Floats
    """The most memory that its worker held meanwhile; NaN: unknown."""
    last_s: float
    """The time of the last event; the present time while the job runs."""
    cached: int = 0
    """How many tasks have no entry, since they did not run: an earlier job has left their values."""

    def in_state(self, *states: str) -> Flags:
        """Return which tasks are in one of these states."""
        return np.isin(self.state, states)

    @property
    def workers(self) -> int:
        """The number of workers that are known to have run tasks."""
        return int(self.worker.max(initial=-1)) + 1


class Rows(NamedTuple):
    """The row of each task in a timeline."""

    row: Floats
    """One entry per task; NaN where the task is not drawn."""
    total: int
    """The number of rows."""
    by_worker: bool
    """Whether each row is a worker; otherwise each row is a task."""


def measure_spans(tasks: Sequence[TaskStats], now: float) -> Spans:
    """Return the spans of tasks that run, or will.

    Args:
        tasks: stats of all tasks of a job.
        now: seconds since the epoch.
    """
    cached = sum(task.cached for task in tasks)
    tasks = [task for task in tasks if not task.cached]
    zero = min((task.queued for task in tasks), default=now)

    def since_map(times: list[float | None]) -> Floats:
        return np.array(times, np.float64) - zero  # None becomes NaN

    started = since_map([task.started for task in tasks])
    stopped = started + np.array([task.seconds for task in tasks], np.float64)
    received = since_map([task.finished for task in tasks])
    worker = _number_workers([task.worker for task in tasks], started)
    started, stopped = _to_client_clock(worker, started, stopped, received)
    state = np.array([task.state for task in tasks], np.str_)
    job_runs = bool(np.isin(state, ("queued", "dispatched")).any())
    last_s = max(np.nanmax(received, initial=0.0), np.nanmax(stopped, initial=0.0))
    return Spans(
        task=np.array([task.task for task in tasks], np.int64),
        state=state,
        worker=worker,
        dispatched=np.maximum(since_map([task.dispatched for task in tasks]), 0.0),
        started=started,
        stopped=stopped,
        received=received,
        cold=_first_of_each_worker(worker, started, np.array([task.cold for task in tasks], np.bool_)),
        peak_bytes=np.array([task.peak_bytes for task in tasks], np.float64),
        last_s=float(max(last_s, now - zero) if job_runs else last_s),
        cached=cached,
    )


def assign_rows(spans: Spans) -> Rows:
    """Give each task a row, in order of start; with many tasks, give each worker a row.

    Many tasks on few workers would form a thin diagonal line, whereas the rows of their workers show
    stragglers and pauses. With more than half as many workers as tasks, as on Lambda, each task keeps its
    own row.
    """
    total = len(spans.state)
    if total > _MOST_TASK_ROWS and 0 < 2 * spans.workers <= total:
        row = spans.worker.astype(np.float64)
        no_worker = spans.worker < 0
        row[no_worker] = np.nan
        dispatched = no_worker & (spans.dispatched >= 0) & ~spans.in_state("cancelled")
        row[dispatched] = spans.workers  # their own row: the worker is known only when the batch has ended
        return Rows(row, spans.workers + bool(dispatched.any()), True)
    order = np.where(np.isnan(spans.started), spans.dispatched, spans.started)
    row = np.empty(total)
    row[np.lexsort((spans.received, order))] = np.arange(total)
    return Rows(row, total, False)


def concurrency(spans: Spans) -> tuple[Floats, Ints]:
    """Return times, and the number of tasks that ran from each of these times on.

    Only tasks whose outcome was received are counted.
    """
    ran = spans.stopped > spans.started
    times = np.concatenate([spans.started[ran], spans.stopped[ran]])
    steps = np.repeat(np.array([1, -1], np.int64), int(ran.sum()))
    order = np.lexsort((steps, times))  # at the same time, stops come before starts
    return np.concatenate([[0.0], times[order]]), np.concatenate([[0], steps[order].cumsum()])


def mean_concurrency(times: Floats, counts: Ints, last_s: float, intervals: int) -> tuple[Floats, Floats]:
    """Return the ends of equal intervals, and the mean number of running tasks in each of them.

    Args:
        times: as ``concurrency`` returns them.
        counts: as ``concurrency`` returns them.
        last_s: where the last interval ends.
        intervals: how many there are.
    """
    edges = np.linspace(0.0, max(last_s, float(times[-1])), intervals + 1)
    work = np.concatenate([[0.0], (np.diff(times) * counts[:-1]).cumsum()])
    return edges, np.diff(np.interp(edges, times, work)) / np.diff(edges)


def _number_workers(names: list[str | None], started: Floats) -> Ints:
    """Number the workers of the tasks, in the order in which each worker started its first task."""
    numbers: dict[str | None, int] = {None: -1}
    for task in np.argsort(started, kind="stable"):
        numbers.setdefault(names[task], len(numbers) - 1)
    return np.array([numbers[name] for name in names], np.int64)


def _to_client_clock(
    worker: Ints, started: Floats, stopped: Floats, received: Floats
) -> tuple[Floats, Floats]:
    """Convert the times at which tasks started and stopped from the workers' clocks to the client's clock.

    A worker on another machine has another clock. By the client's clock no task starts before ``map``, and
    none stops after its outcome was received. These two facts are bounds for how far a worker's clock is
    ahead. Each clock is shifted by the smallest amount that fits the bounds of all its tasks, so that the
    pauses between the tasks of a worker keep their length. The time at which a batch was dispatched would
    be a closer bound, but a wrong one where a batch was sent twice and the answer to the first request
    arrived first.
    """
    alone = worker.max(initial=-1) + 1 + np.arange(len(worker))
    clock = np.where(worker < 0, alone, worker)  # a task whose worker is not known has a clock of its own
    least = np.full(clock.max(initial=-1) + 1, -np.inf)
    most = -least
    np.fmax.at(least, clock, stopped - received)
    np.fmin.at(most, clock, started)
    ahead = np.where(least <= most, np.clip(0.0, least, np.maximum(least, most)), least)
    # A clock that was set during the job can break the bounds; cutting there keeps every bar non-negative.
    started = np.clip(started - ahead[clock], 0.0, np.fmax(received, 0.0))
    stopped = np.clip(stopped - ahead[clock], started, np.fmax(received, started))
    order = np.lexsort((started, worker))
    this, following = order[:-1], order[1:]
    overlap = stopped[this] - started[following]
    same_worker = (worker[this] == worker[following]) & (worker[this] >= 0)
    rounded = same_worker & (overlap > 0) & (overlap < _ROUNDING_S)
    stopped[this[rounded]] = np.maximum(started[following[rounded]], started[this[rounded]])
    return started, stopped


def _first_of_each_worker(worker: Ints, started: Floats, cold: Flags) -> Flags:
    """Return which tasks are the first ones of their workers, among the tasks of cold starts."""
    first = np.zeros(len(worker), np.bool_)
    candidates = np.flatnonzero(cold & (started >= 0))
    candidates = candidates[np.argsort(started[candidates], kind="stable")]
    first[candidates[np.unique(worker[candidates], return_index=True)[1]]] = True
    return first
