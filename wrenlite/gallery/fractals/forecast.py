"""How long a poster will take, and what it will cost, judged by its preview."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from wrenlite.backends.base import Backend
from wrenlite.gallery.fractals import tiling
from wrenlite.gallery.fractals.encoding import Field
from wrenlite.gallery.fractals.poster import Poster, check_size, render_piece
from wrenlite.texts import counted, duration

_LONG_S = 10.0
"""A poster that takes longer than this is announced."""
_SHORT_S = 0.05
"""A preview that takes less is computed again: what happens only once was a large part of it."""


class Forecast(NamedTuple):
    """What a poster is expected to take; half or twice as much is possible."""

    cpu_s: float
    """Processor time of all tasks, where a core is as fast as one of this machine."""
    seconds: float
    at_once: int
    """Tasks that run at once."""
    unit: str
    """What runs a task: ``local worker`` or ``request``."""
    gb_s: float | None
    """None where tasks are free, as are the dollars."""
    dollars: float | None

    @property
    def long(self) -> bool:
        """Whether it takes so long that a user wants to know before."""
        return self.seconds > _LONG_S

    def __str__(self) -> str:
        where = "with {} at once" if self.dollars is not None else "on {}"
        text = f"about {duration(self.seconds)} {where.format(counted(self.at_once, self.unit))}"
        work = f"{text}: {duration(self.cpu_s)} of CPU time"
        if self.dollars is None:
            return work
        return f"{work}, {self.gb_s:,.1f} GB-s, ${self.dollars:.2g}"


def forecast(backend: Backend, poster: Poster, tasks: int) -> tuple[Forecast, Field]:
    """Return what a poster is expected to take, and its preview, which ``poster.render`` needs too.

    Args:
        backend: the backend whose workers will run the tasks.
        poster: the poster.
        tasks: number of tasks.

    Raises:
        ConfigError: as for ``poster.render``.
    """
    view = poster.sampled
    check_size(backend, poster, tasks)
    start = time.process_time()
    previewed = tiling.preview(view)
    preview_s = time.process_time() - start if poster.light is None else _preview_s(poster)
    if preview_s < _SHORT_S:
        preview_s = min(preview_s, *(_preview_s(poster) for _ in range(2)))
    cpu_s = preview_s * tiling.multiple_of_preview(view, previewed)
    at_once, prices = min(backend.invoker.slots, tasks), backend.prices
    if prices is None:
        seconds = cpu_s / min(at_once, os.cpu_count() or 1)
        return Forecast(cpu_s, seconds, at_once, "local worker", None, None), previewed
    gb_s = cpu_s * prices.memory_gb
    return (
        Forecast(cpu_s, cpu_s / at_once, at_once, "request", gb_s, prices.dollars(tasks, gb_s)),
        previewed,
    )


def _preview_s(poster: Poster) -> float:
    """Return the processor time of the preview, computed as tasks compute their parts: with light, if any."""
    start = time.process_time()
    render_piece((tiling.preview_tile(poster.sampled),), poster.light)
    return time.process_time() - start
