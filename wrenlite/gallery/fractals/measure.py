"""What a picture took: here, on each worker, and on more and more of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from wrenlite.executor import Executor
from wrenlite.gallery.fractals.poster import Poster, Rendered, render, total_iterations

_NAME = 12
"""Characters of a worker's name that are shown: those of Lambda have 56, and differ at the end."""
_ROUNDS = 3
_WARM = 4
"""Tasks a worker."""


class Share(NamedTuple):
    """What one worker did of a job."""

    worker: str
    tasks: int
    busy_s: float
    cpu_s: float
    iterations: float


def shares(rendered: Rendered, iters: int) -> list[Share]:
    """What each worker did, by its name."""
    found: dict[str, Share] = {}
    for stats, piece in zip(rendered.job.stats(), rendered.pieces, strict=True):
        worker = stats.worker or "?"
        so_far = found.get(worker, Share(worker, 0, 0.0, 0.0, 0.0))
        done = sum(total_iterations(rendered.field[tile.rows, tile.columns], iters) for tile in piece)
        found[worker] = Share(
            worker,
            so_far.tasks + 1,
            so_far.busy_s + (stats.seconds or 0.0),
            so_far.cpu_s + (stats.cpu_s or 0.0),
            so_far.iterations + done,
        )
    return [found[worker] for worker in sorted(found)]


def warm_up(executor: Executor, poster: Poster, workers: int) -> None:
    """Have so many workers there, with numpy imported, before the time is taken: a picture of few points."""
    render(executor, replace(poster, view=replace(poster.view, width=64, height=48)), _WARM * workers)


def metrics(rendered: Rendered, poster: Poster, steps: Mapping[str, float]) -> str:
    """A table of what the leader, this process, and each worker took.

    Args:
        rendered: from ``poster.render``.
        poster: what it is of.
        steps: seconds of what this process did besides.
    """
    taken = {"plan": rendered.planned_s, "map": rendered.mapped_s, "join": rendered.joined_s, **steps}
    leader = [(name, f"{seconds:.3f}") for name, seconds in taken.items()]
    workers = shares(rendered, poster.view.iters)
    rows = [
        (each.worker[-_NAME:], f"{each.tasks}", f"{each.busy_s:.2f}", f"{each.cpu_s:.2f}", _rate(each))
        for each in workers
    ]
    busy = sum(each.busy_s for each in workers)
    total = Share("all", len(rendered.pieces), busy, sum(each.cpu_s for each in workers), _total(workers))
    rows.append((total.worker, f"{total.tasks}", f"{busy:.2f}", f"{total.cpu_s:.2f}", _rate(total)))
    seconds = [stats.seconds or 0.0 for stats in rendered.job.stats()]
    even = max(seconds) / statistics.mean(seconds)
    used = busy / (len(workers) * rendered.mapped_s)
    return "\n".join(
        (
            _table(("leader", "s"), leader),
            "",
            _table(("worker", "tasks", "busy s", "CPU s", "Mit/s of CPU"), rows),
            "",
            f"slowest task over the mean {even:.2f}; workers busy {used:.0%} of the map",
        )
    )


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
            times = [render(executor, poster, tasks).mapped_s for _ in range(_ROUNDS)]
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


def _total(workers: Iterable[Share]) -> float:
    return sum(each.iterations for each in workers)


def _rate(share: Share) -> str:
    return f"{share.iterations / share.cpu_s / 1e6:,.0f}" if share.cpu_s else "-"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns under their names: the first to the left, numbers to the right."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
