"""Two functions to publish, or to serve here: a poster for a request, and pictures for each CSV file.

::

    wrenlite serve wrenlite.gallery.fractals.deployed:poster --http 8000
    wrenlite serve wrenlite.gallery.fractals.deployed:collage_of_csv --watch inbox/*.csv
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wrenlite import Executor, current_start, open_store
from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals import poster_metrics, tiling
from wrenlite.gallery.fractals.collage import collage
from wrenlite.gallery.fractals.lsystems import distinct_files
from wrenlite.gallery.fractals.picture_files import check_picture_name, encoded, options_of
from wrenlite.gallery.fractals.poster import (
    TASKS,
    PosterOptions,
    StepTime,
    join,
    picture,
    render,
    render_piece,
)
from wrenlite.serving.events import ObjectEvent
from wrenlite.storage.base import Store

_MOST_POINTS = 1 << 24
"""Points of a picture of a list, which one task computes."""


@dataclass(frozen=True, kw_only=True)
class Row(PosterOptions):
    """A row of a CSV file: a picture with a name. All other columns may be left out.

    Raises:
        ConfigError: as for ``PosterOptions``; or no file can have the name, or the picture is too large.
    """

    name: str
    width: int = 640
    height: int = 480

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", check_picture_name(self.name))
        view = self.poster().sampled
        if view.width * view.height > _MOST_POINTS:
            raise ConfigError(
                f"width is {self.width:,}, height {self.height:,} and smoothness {self.smoothness}: a "
                f"picture of a list may have {_MOST_POINTS:,} points, width x height x smoothness squared"
            )


def collage_of_csv(event: ObjectEvent) -> dict[str, Any]:
    """Draw a picture for each row of a CSV file, and a collage of all of them.

    The tasks write the pictures into the outputs of the start. Rows that cannot be drawn are left out, and
    are in the status of the start.

    Args:
        event: the file. Its columns are the fields of ``Row``.

    Raises:
        BadInput: no row can be drawn.
    """
    rows = event.rows(of=Row)
    outputs = _outputs()

    def draw(item: tuple[str, Row]) -> tuple[str, bytes]:
        file, row = item
        png = drawn(row)
        outputs.put(file, png)
        return row.name, png

    files = distinct_files(f"pictures/{row.name}" for row in rows)
    with Executor() as executor:
        sheet = executor.map_reduce(draw, list(zip(files, rows, strict=True)), collage).result()
    outputs.put("collage.png", sheet)
    return {"pictures": len(files), "left_out": len(rows.rejected), "collage": "collage.png"}


def drawn(row: Row) -> bytes:
    """Return the picture of a row as PNG."""
    wanted = row.poster()
    pieces = tiling.plan(wanted.sampled, 1)
    field, surface = join(wanted, pieces, [render_piece(piece, wanted.light) for piece in pieces])
    return encoded(picture(field, wanted, surface=surface), ".png", options_of(wanted, 1))


def poster(options: PosterOptions) -> dict[str, Any]:
    """Draw a part of the Mandelbrot set, or a Julia set, as ``poster.png`` in the outputs of the start.

    Args:
        options: the fields of the request.

    Returns:
        Where the poster is, and the seconds that it took: of this process, and of each worker.
    """
    wanted = options.poster()
    outputs = _outputs()
    with Executor() as executor:
        rendered = render(executor, wanted, TASKS)
        start = StepTime.now()
        image = picture(rendered.field, wanted, surface=rendered.surface)
        coloured = StepTime.now()
        outputs.put("poster.png", encoded(image, ".png", options_of(wanted, TASKS)))
        steps = {"colour": coloured.since(start), "write": StepTime.now().since(coloured)}
        return {"poster": "poster.png", **poster_metrics.metrics_data(rendered, wanted, steps)}


def _outputs() -> Store:
    """Return the store for what is drawn: that of the start, or a folder where there is none."""
    start = current_start()
    return open_store("outputs") if start is None else start.outputs
