"""Figures of matplotlib that show themselves as a cell's last line.

Without pyplot, which keeps figures alive until they are closed and chooses a backend for the whole program.
"""

from __future__ import annotations

import io

from wrenlite.errors import PackageMissing

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise PackageMissing(f"figures need {error.name}: pip install 'wrenlite[lab]'") from error

_DPI = 200
"""Pixels an inch of the picture in a notebook, which shows it at half that: sharp on any screen."""


class Shown(Figure):
    """A figure that a notebook shows as it is; matplotlib's own show only once pyplot is set up there."""

    dpi_shown = _DPI

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        picture = io.BytesIO()
        # What the user's style says about saving figures is left out: the page is told this size.
        self.savefig(
            picture,
            format="png",
            dpi=self.dpi_shown,
            facecolor=self.get_facecolor(),
            bbox_inches=self.bbox_inches,
        )
        width, height = (round(inches * _DPI / 2) for inches in self.get_size_inches())
        return picture.getvalue(), {"width": width, "height": height}
