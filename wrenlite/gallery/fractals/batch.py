"""Many L-system fractals: a task draws each, and the reduction arranges them in a collage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wrenlite.errors import ConfigError
from wrenlite.executor import Executor
from wrenlite.futures import Future
from wrenlite.gallery.checks import check_memory
from wrenlite.gallery.fractals import collage
from wrenlite.gallery.fractals.drawing import draw, memory
from wrenlite.gallery.fractals.lsystems import Fractal, names
from wrenlite.storage.base import Store

COLLAGE = "fractals/collage.png"


class Drawn(NamedTuple):
    """One fractal, as its task gives it."""

    file: str
    label: str
    png: bytes


class Batch(NamedTuple):
    """What comes back of a batch: the pictures themselves stay where the workers put them."""

    files: list[str]
    """In the order of the fractals."""
    collage: bytes
    """PNG of all of them."""


def draw_batch(executor: Executor, fractals: Sequence[Fractal], save: Store | None = None) -> Future:
    """Draw fractals on the workers, and a collage of them.

    Args:
        executor: where to run.
        fractals: what to draw.
        save: where the workers leave each picture, ``fractals/{name}_{size}.png``, and the collage;
            they must be able to write there (on Lambda no folder of this machine).

    Returns:
        The future of a ``Batch``; its job's other futures have a ``Drawn`` each.

    Raises:
        ConfigError: there are none, or one of them takes more memory than a worker has.
    """
    if not fractals:
        raise ConfigError("there are no fractals to draw")
    for fractal in fractals:
        what = f"{fractal.name} at {fractal.iterations} iterations and {fractal.size} px"
        check_memory(executor.backend, memory(fractal), what)

    sides = [fractal.size for fractal in fractals]
    check_memory(executor.backend, collage.memory(sides), f"a collage of pictures up to {max(sides)} px")

    def draw_fractal(work: tuple[str, Fractal]) -> Drawn:
        file, fractal = work
        png = draw(fractal)
        if save is not None:
            save.put(file, png)
        return Drawn(file, fractal.label, png)

    def arrange(pictures: Iterator[Drawn]) -> Batch:
        files = []

        def labelled() -> Iterator[tuple[str, bytes]]:
            for picture in pictures:
                files.append(picture.file)
                yield picture.label, picture.png

        arranged = collage.collage(labelled())
        if save is not None:
            save.put(COLLAGE, arranged)
        return Batch(files, arranged)

    return executor.map_reduce(draw_fractal, list(zip(names(fractals), fractals, strict=True)), arrange)
