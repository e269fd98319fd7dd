"""Measurements of a poster: the time it took here and on each worker, and how it scales with the workers."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from wrenlite.executor import Executor
from wrenlite.gallery.fractals.mandelbrot import total_iterations
from wrenlite.gallery.fractals.poster import Poster, Rendered, render

_MAX_NAME = 12
"""Characters at the end of a worker's name that are shown: names on Lambda have 56, and differ at the end."""
_ROUNDS = 3
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


def worker_totals(rendered: Rendered, iters: int) -> list[WorkerTotals]:
    """Return the work of each worker, sorted by the workers' names."""
    totals: dict[str, WorkerTotals] = {}
    for stats, piece, computed in zip(rendered.job.stats(), rendered.pieces, rendered.computed, strict=True):
        worker = stats.worker or "?"
        so_far = totals.get(worker, WorkerTotals(worker, 0, 0.0, 0.0, 0.0, 0.0))
        done = sum(total_iterations(rendered.field[tile.rows, tile.columns], iters) for tile in piece)
        totals[worker] = WorkerTotals(
            worker,
            tasks=so_far.tasks + 1,
            busy_s=so_far.busy_s + (stats.seconds or 0.0),
            cpu_s=so_far.cpu_s + (stats.cpu_s or 0.0),
            computed=so_far.computed + computed,
            iterations=so_far.iterations + done,
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


def metrics(rendered: Rendered, poster: Poster, steps: Mapping[str, float]) -> str:
    """Return a table of the time that the leader (this process) and each worker took.

    Args:
        rendered: the result of ``poster.render``.
        poster: the poster that was rendered.
        steps: seconds of the other steps of this process, by their names.
    """
    step_s = {"plan": rendered.plan_s, "map": rendered.map_s, "join": rendered.join_s, **steps}
    leader = [(name, f"{seconds:.3f}") for name, seconds in step_s.items()]
    workers = worker_totals(rendered, poster.view.iters)
    total = WorkerTotals(
        "all",
        tasks=len(rendered.pieces),
        busy_s=sum(each.busy_s for each in workers),
        cpu_s=sum(each.cpu_s for each in workers),
        computed=sum(each.computed for each in workers),
        iterations=sum(each.iterations for each in workers),
    )
    rows = [
        (
            each.worker[-_MAX_NAME:],
            f"{each.tasks}",
            f"{each.busy_s:.2f}",
            f"{each.cpu_s:.2f}",
            _rate(each.computed, each.cpu_s),
            _rate(each.iterations, each.cpu_s),
        )
        for each in [*workers, total]
    ]
    seconds = [stats.seconds or 0.0 for stats in rendered.job.stats()]
    imbalance = max(seconds) / statistics.mean(seconds)
    utilisation = total.busy_s / (len(workers) * rendered.map_s)
    return "\n".join(
        (
            _table(("leader", "s"), leader),
            "",
            _table(("worker", "tasks", "busy s", "CPU s", "computed Mit/s", "picture Mit/s"), rows),
            "",
            "Mit/s: millions of iterations per second of CPU; a picture also has those of points that are",
            "known to be inside without being computed",
            f"slowest task over the mean {imbalance:.2f}; workers busy {utilisation:.0%} of the map",
        )
    )


def metrics_data(rendered: Rendered, poster: Poster, steps: Mapping[str, float]) -> dict[str, Any]:
    """Return the same for programs: seconds of this process by step, and the work of each worker.

    Args:
        rendered: as for ``metrics``.
        poster: the same.
        steps: the same.
    """
    map_steps = {"plan": rendered.plan_s, "map": rendered.map_s, "join": rendered.join_s}
    shares = worker_totals(rendered, poster.view.iters)
    return {"client_s": {**map_steps, **steps}, "workers": [share._asdict() for share in shares]}


class ScalingStep(NamedTuple):
    """The time of one map on some number of local workers, compared with one worker."""

    workers: int
    wall_s: float
    speed_up: float
    efficiency: float
    """The speed-up divided by the number of workers."""


def measure_scaling(poster: Poster, tasks: int, max_workers: int) -> list[ScalingStep]:
    """Measure strong scaling: the same map on 1, 2, … local workers, medians of three rounds.

    Args:
        poster: the poster to render.
        tasks: number of tasks that it is cut into.
        max_workers: largest number of workers.
    """
    walls: list[float] = []
    for count in range(1, max_workers + 1):
        with Executor.local(count, progress=False) as executor:
            warm_up(executor, poster, count)
            times = [render(executor, poster, tasks).map_s for _ in range(_ROUNDS)]
            walls.append(statistics.median(times))
    return [
        ScalingStep(count, wall, walls[0] / wall, walls[0] / wall / count)
        for count, wall in enumerate(walls, 1)
    ]


def scaling_table(steps: Iterable[ScalingStep]) -> str:
    """Return a table of strong scaling with one row per number of workers."""
    rows = [
        (f"{step.workers}", f"{step.wall_s:.2f}", f"{step.speed_up:.2f}", f"{step.efficiency:.0%}")
        for step in steps
    ]
    return _table(("workers", "wall s", "speed-up", "efficiency"), rows)


def _rate(iterations: float, cpu_s: float) -> str:
    """Return the millions of iterations per second of processor time."""
    return f"{iterations / cpu_s / 1e6:,.0f}" if cpu_s else "-"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
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
