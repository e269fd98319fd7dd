"""``wrenlite demo fractals``: one job of fractals and poster tiles, on one core and then on all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wrenlite.cost import Cost
from wrenlite.executor import Executor
from wrenlite.gallery.fractals import mandelbrot
from wrenlite.gallery.fractals.drawing import draw
from wrenlite.gallery.fractals.lsystems import Fractal, random_fractals
from wrenlite.gallery.fractals.mandelbrot import POSTER, Tile
from wrenlite.job import Job

_TILE = 320
"""Points of a tile's side: 60 tiles, enough to keep any number of cores busy to the end."""


@dataclass(frozen=True)
class Summary:
    """What a run of the demo took."""

    backend: str
    tasks: int
    files: int
    wall_s: float
    cpu_s: float
    """Processor time of the tasks."""
    alone_s: float
    """Wall time of the same job on one worker, measured in the same run."""
    slowest: str
    slowest_s: float
    cost: Cost | None
    """None where nothing is charged."""

    @property
    def speed_up(self) -> float:
        """Over one core."""
        return self.alone_s / self.wall_s


def render(task: Fractal | Tile) -> Any:
    """One task: a fractal as PNG, or the counts of one tile."""
    return draw(task) if isinstance(task, Fractal) else mandelbrot.counts(task)


def run(
    executor: Executor, alone: Executor, count: int, seed: int, out: Path, say: Callable[[str], None] = print
) -> Summary:
    """Render ``count`` random fractals and the poster into ``out``.

    Args:
        executor: where to run.
        alone: one worker, to compare with.
        count: fractals beside the poster.
        seed: the same fractals for the same seed.
        out: a folder; made if missing.
        say: where a line goes before each step.
    """
    tasks: list[Fractal | Tile] = [*mandelbrot.tiles(POSTER, _TILE), *random_fractals(count, seed)]
    out.mkdir(parents=True, exist_ok=True)
    say(f"{len(tasks)} tasks on one core, to compare with …")
    alone_s = _timed(alone, tasks)[1]
    say(f"… and on {executor.backend.name}")
    job, wall_s = _timed(executor, tasks)
    files = _write(tasks, job.results(), out)
    stats = max(job.stats(), key=lambda task: task.seconds or 0.0)
    return Summary(
        backend=executor.backend.name,
        tasks=len(tasks),
        files=files,
        wall_s=wall_s,
        cpu_s=sum(task.cpu_s or 0.0 for task in job.stats()),
        alone_s=alone_s,
        slowest=_describe(tasks[stats.task]),
        slowest_s=stats.seconds or 0.0,
        cost=job.cost if executor.backend.prices else None,
    )


def _timed(executor: Executor, tasks: Sequence[Fractal | Tile]) -> tuple[Job, float]:
    executor.map(render, [Tile(POSTER, 0, 0, 8, 8)]).results()  # start a worker and import numpy there
    start = time.perf_counter()
    job = executor.map(render, tasks)
    job.results()
    return job, time.perf_counter() - start


def _write(tasks: Sequence[Fractal | Tile], values: Sequence[Any], out: Path) -> int:
    poster = np.empty((POSTER.height, POSTER.width), np.uint16)
    files = 0
    for number, (task, value) in enumerate(zip(tasks, values, strict=True)):
        if isinstance(task, Fractal):
            (out / f"{number:03}-{task.name}-{task.iterations}.png").write_bytes(value)
            files += 1
        else:
            poster[task.top : task.top + task.height, task.left : task.left + task.width] = value
    picture = Image.fromarray(mandelbrot.colour(poster, POSTER.iters))
    picture.reduce(2).save(out / "mandelbrot-poster.png")
    return files + 1


def _describe(task: Fractal | Tile) -> str:
    if isinstance(task, Fractal):
        return f"{task.name}, {task.iterations} iterations, {task.size} px"
    return f"poster tile at ({task.left}, {task.top})"
