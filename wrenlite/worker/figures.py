"""The matplotlib backend of tasks: it draws as Agg does, and says that a task cannot show a figure."""

from __future__ import annotations

import sys
from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

_NOT_SHOWN = (
    "wrenlite: a task cannot show a figure. Return the figure from the function, or save it with savefig()"
)


class FigureManager(FigureManagerBase):
    """What ``show`` is called on: of pyplot, and of a figure."""

    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        """Say that nothing is shown, and close the figures, as notebooks do: the next task has its own."""
        if Gcf.get_all_fig_managers():
            print(_NOT_SHOWN, file=sys.stderr)
        Gcf.destroy_all()

    def show(self) -> None:
        """Say that nothing is shown."""
        print(_NOT_SHOWN, file=sys.stderr)


class FigureCanvas(FigureCanvasAgg):
    """Agg's canvas with that manager."""

    manager_class: Any = FigureManager
