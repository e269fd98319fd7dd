"""Many L-system fractals: one task draws each of them, and a reduction arranges them in a collage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.futures import Future
from wrenlite.gallery.fractals import collage
from wrenlite.gallery.fractals.curve_drawing import draw, peak_bytes, visible
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
    note: str = ""
    """How it differs from what was asked for; empty if it does not."""


class BatchResult(NamedTuple):
    """The value of the reduction. The pictures themselves are not sent back to the caller."""

    files: list[str]
    """File names of the pictures, in the order of the fractals."""
    collage: bytes
    """PNG with all pictures."""
    notes: list[str]
    """The notes of the pictures that differ from what was asked for."""


def draw_batch(executor: Executor, fractals: Sequence[Fractal], save: Store | None = None) -> Future[Any]:
    """Draw fractals on the workers, and arrange the pictures in a collage.

    A curve that would fill its picture is drawn with fewer iterations (see ``curve_drawing.visible``), and
    its label and a note say so.

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
    _check(executor, fractals)

    def draw_fractal(item: tuple[str, Fractal]) -> DrawnFractal:
        file, asked = item
        fractal = visible(asked)
        png = draw(fractal)
        if save is not None:
            save.put(file, png)
        return DrawnFractal(file, fractal.label, png, _difference(asked, fractal))

    def arrange(pictures: Sequence[DrawnFractal]) -> BatchResult:
        files, notes = [], []

        def labelled() -> Iterator[tuple[str, bytes]]:
            for picture in pictures:
                files.append(picture.file)
                notes.append(picture.note)
                yield picture.label, picture.png

        sheet = collage.collage(labelled())
        if save is not None:
            save.put(COLLAGE, sheet)
        return BatchResult(files, sheet, [note for note in notes if note])

    return executor.map_reduce(draw_fractal, list(zip(file_names(fractals), fractals, strict=True)), arrange)


def _check(executor: Executor, fractals: Sequence[Fractal]) -> None:
    """Refuse fractals that cannot be drawn. Raises ConfigError."""
    if not fractals:
        raise ConfigError("there are no fractals to draw")
    for fractal in fractals:
        what = f"{fractal.name} at {counted(fractal.iterations, 'iteration')} and {fractal.size} px"
        check_memory(executor.backend, peak_bytes(fractal), what)

    sides = [fractal.size for fractal in fractals]
    check_memory(executor.backend, collage.peak_bytes(sides), f"a collage of pictures up to {max(sides)} px")


def _difference(asked: Fractal, drawn: Fractal) -> str:
    """Return a sentence about the iterations that were left out; empty if there are none."""
    if drawn == asked:
        return ""
    return (
        f"{asked.name} at {asked.size} px is drawn with {counted(drawn.iterations, 'iteration')}, not "
        f"{asked.iterations}, whose lines would run together; with a given line width it is drawn as asked"
    )
