"""Many L-system fractals: one task draws each of them, and a reduction arranges them in a collage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.futures import Future
from wrenlite.gallery.fractals import collage
from wrenlite.gallery.fractals.curve_drawing import draw, peak_bytes
from wrenlite.gallery.fractals.lsystems import Fractal, file_names
from wrenlite.gallery.preflight import check_memory
from wrenlite.storage.base import Store
from wrenlite.texts import counted

COLLAGE = "fractals/collage.png"
"""File name of the collage in the store."""


class DrawnFractal(NamedTuple):
    """The value of a task that drew one fractal."""

    file: str
    """File name of the picture in the store."""
    label: str
    """Text for the collage."""
    png: bytes


class BatchResult(NamedTuple):
    """The value of the reduction. The pictures themselves are not sent back to the caller."""

    files: list[str]
    """File names of the pictures, in the order of the fractals."""
    collage: bytes
    """PNG with all pictures."""


def draw_batch(executor: Executor, fractals: Sequence[Fractal], save: Store | None = None) -> Future[Any]:
    """Draw fractals on the workers, and arrange the pictures in a collage.

    Args:
        executor: the executor that runs the tasks.
        fractals: the fractals to draw.
        save: the store to which the workers write each picture (``fractals/{name}_{size}.png``) and the
            collage. The workers must be able to write to it; workers on Lambda cannot write to a folder of
            this machine. None: nothing is written.

    Returns:
        The future of a ``BatchResult``. The other futures of its job each have a ``DrawnFractal``.

    Raises:
        ConfigError: there are no fractals, or one of the tasks needs more memory than a worker has.
    """
    if not fractals:
        raise ConfigError("there are no fractals to draw")
    for fractal in fractals:
        what = f"{fractal.name} at {counted(fractal.iterations, 'iteration')} and {fractal.size} px"
        check_memory(executor.backend, peak_bytes(fractal), what)

    sides = [fractal.size for fractal in fractals]
    check_memory(executor.backend, collage.peak_bytes(sides), f"a collage of pictures up to {max(sides)} px")

    def draw_fractal(item: tuple[str, Fractal]) -> DrawnFractal:
        file, fractal = item
        png = draw(fractal)
        if save is not None:
            save.put(file, png)
        return DrawnFractal(file, fractal.label, png)

    def arrange(pictures: Sequence[DrawnFractal]) -> BatchResult:
        files = []

        def labelled() -> Iterator[tuple[str, bytes]]:
            for picture in pictures:
                files.append(picture.file)
                yield picture.label, picture.png

        sheet = collage.collage(labelled())
        if save is not None:
            save.put(COLLAGE, sheet)
        return BatchResult(files, sheet)

    return executor.map_reduce(draw_fractal, list(zip(file_names(fractals), fractals, strict=True)), arrange)
