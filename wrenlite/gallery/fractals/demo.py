"""The work of ``wrenlite demo``: map fractals and a poster on one worker, and then on an executor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from wrenlite.backends.factory import open_store
from wrenlite.cost import Cost
from wrenlite.executor import Executor
from wrenlite.gallery.fractals import mandelbrot, tiling
from wrenlite.gallery.fractals.collage import collage
from wrenlite.gallery.fractals.curve_drawing import draw
from wrenlite.gallery.fractals.lsystems import Fractal, file_names, random_fractals
from wrenlite.gallery.fractals.picture_files import options_of, save
from wrenlite.gallery.fractals.poster import Poster, picture
from wrenlite.gallery.fractals.view import View, tiles
from wrenlite.gallery.preflight import check_folder
from wrenlite.job import Job
from wrenlite.texts import counted

POSTER = Poster(View("-0.7465", "0.1079", "0.0082", 1600, 900, 800), palette="Wren")
"""A poster of Seahorse Valley, a part of the Mandelbrot set."""
POSTER_TASKS = 60
"""Tasks that render the poster: enough to keep any number of cores busy to the end."""

Task: TypeAlias = Fractal | tiling.Piece


@dataclass(frozen=True)
class Summary:
    """The figures that a run of the demo prints."""

    backend: str
    tasks: int
    files: int
    wall_s: float
    cpu_s: float
    """Processor time of all tasks."""
    one_worker_s: float
    """Wall time of the same job on one worker, measured in the same run."""
    slowest: str
    """Description of the slowest task."""
    slowest_s: float
    cost: Cost | None
    """None where nothing is charged."""

    @property
    def speed_up(self) -> float:
        """The wall time on one worker divided by the wall time on all."""
        return self.one_worker_s / self.wall_s


def render(task: Task) -> Any:
    """Run one task: return a fractal as PNG, or the counts of a part of the poster."""
    return draw(task) if isinstance(task, Fractal) else mandelbrot.render(task)


def run(
    executor: Executor,
    one_worker: Executor,
    count: int,
    seed: int,
    out: Path,
    report: Callable[[str], None] = print,
) -> Summary:
    """Write random fractals, a collage of them, and the poster to a folder.

    Args:
        executor: the executor that runs the tasks.
        one_worker: an executor with one worker, for comparison.
        count: number of random fractals.
        seed: the same seed gives the same fractals.
        out: the folder; it is created if it is missing.
        report: called with a line of text before each step.

    Raises:
        StoreError: the folder cannot be written to.
    """
    store = open_store(str(out))
    check_folder(out)
    pieces, fractals = tiling.plan(POSTER.sampled, POSTER_TASKS), random_fractals(count, seed)
    tasks: list[Task] = [*pieces, *fractals]
    report(f"rendering {counted(len(tasks), 'task')} on one core, for comparison")
    one_worker_s = _timed_map(one_worker, tasks)[1]
    report(f"rendering the same tasks on {executor.backend.name}")
    job, wall_s = _timed_map(executor, tasks)
    values = job.results()
    report(f"writing the pictures to {out}")
    field = tiling.assemble(POSTER.sampled, pieces, values[: len(pieces)])
    save(picture(field, POSTER), out / "mandelbrot-poster.png", options_of(POSTER, POSTER_TASKS))
    pictures = dict(zip(file_names(fractals), values[len(pieces) :], strict=True))
    if fractals:
        pictures["collage.png"] = collage(zip((f.label for f in fractals), pictures.values(), strict=True))
    for name, png in pictures.items():
        store.put(name, png)
    slowest = max(job.stats(), key=lambda task: task.seconds or 0.0)
    return Summary(
        backend=executor.backend.name,
        tasks=len(tasks),
        files=len(pictures) + 1,
        wall_s=wall_s,
        cpu_s=sum(task.cpu_s or 0.0 for task in job.stats()),
        one_worker_s=one_worker_s,
        slowest=_describe(tasks[slowest.task]),
        slowest_s=slowest.seconds or 0.0,
        cost=job.cost if executor.backend.prices else None,
    )


def _timed_map(executor: Executor, tasks: Sequence[Task]) -> tuple[Job[Any], float]:
    """Run the tasks on a warm executor, and return their job and its wall time in seconds."""
    one_tile = tiles(POSTER.view, 8)[:1]
    executor.map(render, [tuple(one_tile)]).results()  # starts a worker and imports numpy there
    start = time.perf_counter()
    job = executor.map(render, tasks)
    job.results()
    return job, time.perf_counter() - start


def _describe(task: Task) -> str:
    if isinstance(task, Fractal):
        return f"{task.name}, {counted(task.iterations, 'iteration')}, {task.size} px"
    return f"a part of the poster, {counted(len(task), 'tile')}"
