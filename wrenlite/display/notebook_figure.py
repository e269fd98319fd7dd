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
        return png.getvalue(), {"width": width, "height": height}
