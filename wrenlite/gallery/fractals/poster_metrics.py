"""Measurements of a poster: time, memory and bytes, in this process and on each worker."""

from __future__ import annotations

import pickle
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from wrenlite.executor import Executor
from wrenlite.gallery.fractals.mandelbrot import total_iterations
from wrenlite.gallery.fractals.poster import Poster, Rendered, StepTime, render
from wrenlite.texts import sized
from wrenlite.worker.peak_memory import own_peak_bytes

_MAX_NAME = 12
"""Characters at the end of a worker's name that are shown: names on Lambda have 56, and differ at the end."""
_WARM_UP_TASKS = 4
"""Tasks per worker that warm up an executor."""


class WorkerTotals(NamedTuple):
    """The work that one worker, or all of them, did for a job."""

    worker: str
    tasks: int
    busy_s: float
    cpu_s: float
    computed: float
    """Iterations that were computed."""
    iterations: float
    """Iterations of the picture: also those of points in the main bulbs and in filled rectangles."""
    peak_bytes: int
    """The most memory that a worker has held; 0 if it is not known."""


def worker_totals(rendered: Rendered, iters: int) -> list[WorkerTotals]:
    """Return the work of each worker, sorted by the workers' names."""
    totals: dict[str, WorkerTotals] = {}
    for stats, piece, computed in zip(rendered.job.stats(), rendered.pieces, rendered.computed, strict=True):
        worker = stats.worker or "?"
        so_far = totals.get(worker, WorkerTotals(worker, 0, 0.0, 0.0, 0.0, 0.0, 0))
        done = sum(total_iterations(rendered.field[tile.rows, tile.columns], iters) for tile in piece)
        totals[worker] = WorkerTotals(
            worker,
            tasks=so_far.tasks + 1,
            busy_s=so_far.busy_s + (stats.seconds or 0.0),
            cpu_s=so_far.cpu_s + (stats.cpu_s or 0.0),
            computed=so_far.computed + computed,
            iterations=so_far.iterations + done,
            peak_bytes=max(so_far.peak_bytes, stats.peak_bytes or 0),
        )
    return [totals[worker] for worker in sorted(totals)]


def warm_up(executor: Executor, poster: Poster, workers: int) -> None:
    """Render a small picture, so that the workers are running and have imported numpy before a measurement.

    Args:
        executor: the executor to warm up.
        poster: the poster that will be measured.
        workers: number of workers to warm up.
    """
    small_view = replace(poster.view, width=64, height=48)
    render(executor, replace(poster, view=small_view), _WARM_UP_TASKS * workers)


def metrics(rendered: Rendered, poster: Poster, steps: Mapping[str, StepTime]) -> str:
    """Return tables of what the leader (this process) and each worker took.

    Args:
        rendered: the result of ``poster.render``.
        poster: the poster that was rendered.
        steps: the time of the other steps of this process, by their names.
    """
    times = rendered.times | dict(steps)
    leader = [(name, f"{step.wall_s:.3f}", f"{step.cpu_s:.3f}") for name, step in times.items()]
    workers = worker_totals(rendered, poster.view.iters)
    total = _sum_of(workers)
    seconds = [stats.seconds or 0.0 for stats in rendered.job.stats()]
    imbalance = max(seconds) / statistics.mean(seconds)
    utilisation = total.busy_s / (len(workers) * rendered.map_s)
    return "\n".join(
        (
            table(("leader", "s", "CPU s"), leader),
            "",
            table(
                ("worker", "tasks", "busy s", "CPU s", "computed Mit/s", "picture Mit/s", "peak"),
                [_row(each) for each in [*workers, total]],
            ),
            "",
            "Mit/s: millions of iterations per second of CPU; a picture also has those of points that are",
            "known to be inside without being computed",
            "peak: the most memory that a worker has held in these tasks; - where the system does not tell",
            f"leader: peak {sized(own_peak_bytes())}, sent tasks of {sized(_sent_bytes(rendered))}, got "
            f"counts of {sized(sum(rendered.value_bytes))}",
            f"slowest task over the mean {imbalance:.2f}; workers busy {utilisation:.0%} of the map",
        )
    )


def metrics_data(rendered: Rendered, poster: Poster, steps: Mapping[str, StepTime]) -> dict[str, Any]:
    """Return the same for programs: what this process took by step, and the work of each worker.

    Args:
        rendered: as for ``metrics``.
        poster: the same.
        steps: the same.
    """
    times = rendered.times | dict(steps)
    return {
        "client_s": {name: step.wall_s for name, step in times.items()},
        "client_cpu_s": {name: step.cpu_s for name, step in times.items()},
        "client_peak_bytes": own_peak_bytes(),
        "sent_bytes": _sent_bytes(rendered),
        "received_bytes": sum(rendered.value_bytes),
        "workers": [share._asdict() for share in worker_totals(rendered, poster.view.iters)],
    }


def _sum_of(workers: Sequence[WorkerTotals]) -> WorkerTotals:
    """Return the work of all workers, and the largest of their peaks."""
    return WorkerTotals(
        "all",
        tasks=sum(each.tasks for each in workers),
        busy_s=sum(each.busy_s for each in workers),
        cpu_s=sum(each.cpu_s for each in workers),
        computed=sum(each.computed for each in workers),
        iterations=sum(each.iterations for each in workers),
        peak_bytes=max(each.peak_bytes for each in workers),
    )


def _row(totals: WorkerTotals) -> tuple[str, ...]:
    """Return the cells of a worker."""
    return (
        totals.worker[-_MAX_NAME:],
        f"{totals.tasks}",
        f"{totals.busy_s:.2f}",
        f"{totals.cpu_s:.2f}",
        _rate(totals.computed, totals.cpu_s),
        _rate(totals.iterations, totals.cpu_s),
        sized(totals.peak_bytes) if totals.peak_bytes else "-",
    )


def _sent_bytes(rendered: Rendered) -> int:
    """Return the bytes of the tasks' arguments, pickled; the function and the envelope come on top."""
    return sum(len(pickle.dumps(piece, pickle.HIGHEST_PROTOCOL)) for piece in rendered.pieces)


def _rate(iterations: float, cpu_s: float) -> str:
    """Return the millions of iterations per second of processor time."""
    return f"{iterations / cpu_s / 1e6:,.0f}" if cpu_s else "-"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as columns of text: the first aligned to the left, the others to the right."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
