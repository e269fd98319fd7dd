"""``wrenlite demo``: fractals and the tiles of a poster as one map, on one core and then on all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from wrenlite.backends.factory import open_store
from wrenlite.cost import Cost
from wrenlite.executor import Executor
from wrenlite.gallery.checks import check_folder
from wrenlite.gallery.fractals import mandelbrot, tiling
from wrenlite.gallery.fractals.collage import collage
from wrenlite.gallery.fractals.drawing import draw
from wrenlite.gallery.fractals.lsystems import Fractal, names, random_fractals
from wrenlite.gallery.fractals.poster import Poster, picture, save
from wrenlite.gallery.fractals.view import View, tiles
from wrenlite.job import Job

POSTER = Poster(View("-0.7465", "0.1079", "0.0082", 1600, 900, 800), palette="Wren")
"""Seahorse valley."""
PARTS = 60
"""Of the poster: enough to keep any number of cores busy to the end."""

Task: TypeAlias = Fractal | tiling.Piece


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


def render(task: Task) -> Any:
    """One task: a fractal as PNG, or the counts of a part of the poster."""
    return draw(task) if isinstance(task, Fractal) else mandelbrot.render(task)


def run(
    executor: Executor, alone: Executor, count: int, seed: int, out: Path, say: Callable[[str], None] = print
) -> Summary:
    """Render ``count`` random fractals with a collage of them, and the poster, into ``out``.

    Args:
        executor: where to run.
        alone: one worker, to compare with.
        count: fractals beside the poster.
        seed: the same fractals for the same seed.
        out: a folder; made if missing.
        say: where a line goes before each step.

    Raises:
        StoreError: the folder cannot be written to.
    """
    store = open_store(str(out))
    check_folder(out)
    pieces, fractals = tiling.plan(POSTER.sampled, PARTS), random_fractals(count, seed)
    tasks: list[Task] = [*pieces, *fractals]
    say(f"{len(tasks)} tasks on one core, to compare with …")
    alone_s = _timed(alone, tasks)[1]
    say(f"… and on {executor.backend.name}")
    job, wall_s = _timed(executor, tasks)
    values = job.results()
    field = tiling.assemble(POSTER.sampled, pieces, values[: len(pieces)])
    save(picture(field, POSTER), out / "mandelbrot-poster.png")
    pictures = dict(zip(names(fractals), values[len(pieces) :], strict=True))
    if fractals:
        labels = [fractal.label for fractal in fractals]
        pictures["collage.png"] = collage(zip(labels, pictures.values(), strict=True))
    for name, png in pictures.items():
        store.put(name, png)
    stats = max(job.stats(), key=lambda task: task.seconds or 0.0)
    return Summary(
        backend=executor.backend.name,
        tasks=len(tasks),
        files=len(pictures) + 1,
        wall_s=wall_s,
        cpu_s=sum(task.cpu_s or 0.0 for task in job.stats()),
        alone_s=alone_s,
        slowest=_describe(tasks[stats.task]),
        slowest_s=stats.seconds or 0.0,
        cost=job.cost if executor.backend.prices else None,
    )


def _timed(executor: Executor, tasks: Sequence[Task]) -> tuple[Job, float]:
    few = tiles(POSTER.view, 8)[:1]
    executor.map(render, [tuple(few)]).results()  # start a worker and import numpy there
    start = time.perf_counter()
    job = executor.map(render, tasks)
    job.results()
    return job, time.perf_counter() - start


def _describe(task: Task) -> str:
    if isinstance(task, Fractal):
        return f"{task.name}, {task.iterations} iterations, {task.size} px"
    return f"a part of the poster, {len(task)} tiles"
