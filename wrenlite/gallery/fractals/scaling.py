"""Strong scaling of a poster: the same picture on 1, 2, 4 and more workers, as a table and as a figure."""

from __future__ import annotations

import io
import itertools
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from wrenlite.errors import PackageMissing

try:
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter
except ImportError as error:
    raise PackageMissing(f"--scaling draws a figure: pip install {error.name}, or wrenlite[lab]") from error

from wrenlite.display.notebook_figure import NotebookFigure
from wrenlite.executor import Executor
from wrenlite.gallery.fractals.poster import Poster, render
from wrenlite.gallery.fractals.poster_metrics import table, warm_up

_ROUNDS = 3
_MEASURED, _IDEAL, _GRID = "#2c7a3f", "#9fb3c8", "#e9ecf0"
"""Colours of the lines."""


class ScalingStep(NamedTuple):
    """The time of one map on some number of workers, compared with one worker."""

    workers: int
    """Local workers, or requests to Lambda that run at once."""
    wall_s: float
    speed_up: float
    efficiency: float
    """The speed-up divided by the number of workers."""


def worker_counts(most: int) -> list[int]:
    """Return the numbers of workers that are measured: 1, 2, 4 and so on, and ``most``."""
    doubled = itertools.takewhile(lambda count: count < most, (2**power for power in itertools.count()))
    return [*doubled, most]


def measure_scaling(
    poster: Poster, tasks: int, counts: Iterable[int], open_executor: Callable[[int], Executor]
) -> list[ScalingStep]:
    """Measure strong scaling: the same map on different numbers of workers, medians of three rounds.

    Args:
        poster: the poster to render.
        tasks: number of tasks that it is cut into.
        counts: the numbers of workers; the first must be 1.
        open_executor: returns an executor that runs a given number of tasks at once.
    """
    walls: dict[int, float] = {}
    for count in counts:
        with open_executor(count) as executor:
            warm_up(executor, poster, count)
            walls[count] = statistics.median(render(executor, poster, tasks).map_s for _ in range(_ROUNDS))
    alone = walls[1]
    return [ScalingStep(count, wall, alone / wall, alone / wall / count) for count, wall in walls.items()]


def scaling_table(steps: Iterable[ScalingStep]) -> str:
    """Return a table of strong scaling with one row per number of workers."""
    rows = [
        (f"{step.workers}", f"{step.wall_s:.2f}", f"{step.speed_up:.2f}", f"{step.efficiency:.0%}")
        for step in steps
    ]
    return table(("workers", "wall s", "speed-up", "efficiency"), rows)


def scaling_png(steps: Sequence[ScalingStep], title: str, unit: str) -> bytes:
    """Return ``scaling_figure`` as PNG."""
    file = io.BytesIO()
    scaling_figure(steps, title, unit).savefig(file, format="png", dpi=150)
    return file.getvalue()


def scaling_figure(steps: Sequence[ScalingStep], title: str, unit: str) -> NotebookFigure:
    """Draw the wall time and the speed-up over the number of workers, beside those of perfect scaling.

    Args:
        steps: the measurements.
        title: the title.
        unit: what is counted, for the axis.
    """
    figure = NotebookFigure(figsize=(9.0, 3.8), layout="constrained", facecolor="white")
    figure.suptitle(title, fontsize=13, fontweight="bold")
    counts = [step.workers for step in steps]
    curves = (
        ("wall time, s", [step.wall_s for step in steps], [steps[0].wall_s / count for count in counts]),
        ("speed-up", [step.speed_up for step in steps], [float(count) for count in counts]),
    )
    for axes, (label, measured, ideal) in zip(figure.subplots(1, 2), curves, strict=True):
        axes.plot(counts, ideal, "--", color=_IDEAL, label="perfect")
        axes.plot(counts, measured, "o-", color=_MEASURED, label="measured")
        axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_major_locator(FixedLocator(counts))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(unit, fontsize=12)
        axes.set_ylabel(label, fontsize=12)
        axes.grid(color=_GRID)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
