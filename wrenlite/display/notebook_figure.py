"""Matplotlib figures that a notebook shows when they are the last line of a cell.

They are made without pyplot, because pyplot keeps figures alive until they are closed and chooses a backend
for the whole program.
"""

from __future__ import annotations

import io

from wrenlite.errors import PackageMissing

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise PackageMissing(f"figures need {error.name}: pip install 'wrenlite[lab]'") from error

_DPI = 200
"""Pixels per inch of the PNG. The page shows it at half its size in pixels, which is sharp on any screen."""


class NotebookFigure(Figure):
    """A figure with a PNG for notebooks; a plain ``Figure`` is shown only after pyplot was set up."""

    notebook_dpi = _DPI
    few_colours = False
    """Whether the picture is reduced to 256 colours, which makes that of a map less than half as large."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        png = io.BytesIO()
        # The user's style for saved figures must not change the size, which is given to the page below.
        self.savefig(
            png,
            format="png",
            dpi=self.notebook_dpi,
            facecolor=self.get_facecolor(),
            bbox_inches=self.bbox_inches,
        )
        width, height = (round(inches * _DPI / 2) for inches in self.get_size_inches())
        content = _with_few_colours(png) if self.few_colours else png.getvalue()
        return content, {"width": width, "height": height}


def _with_few_colours(png: io.BytesIO) -> bytes:
    """Return a picture with the 256 colours that suit it best, without dithering, which would be noise."""
    from PIL import Image

    reduced = io.BytesIO()
    picture = Image.open(png).convert("RGB")
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        reduced, "PNG", optimize=True
    )
    return reduced.getvalue()
