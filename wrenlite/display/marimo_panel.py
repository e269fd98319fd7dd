"""The job panel in marimo: in the output of the cell that starts the job, while that cell waits for it.

What a thread shows after the end of a cell would be in the place of the value of the cell.
"""

from __future__ import annotations

import sys
from typing import Any

from wrenlite.display.panel import Entry, Panel
from wrenlite.display.surfaces import Bundle


def in_marimo() -> bool:
    """Return whether this runs in a cell of a marimo notebook."""
    marimo = sys.modules.get("marimo")
    return marimo is not None and bool(marimo.running_in_notebook())


def _context() -> Any:
    from marimo._runtime.context import get_context  # nothing public tells which cell runs

    return get_context()


class MarimoOutput:
    """The output of the cell that has started this thread, which is a ``marimo.Thread`` or runs the cell."""

    takes_more = False

    def __init__(self) -> None:
        """Create a surface on which nothing is shown yet."""
        self._place = -1

    def reserve(self) -> None:
        """Keep no place: nothing is shown after the end of a cell."""

    def show(self, bundle: Bundle) -> None:
        """Show a panel."""
        import marimo

        if self._place < 0:
            self._place = len(_context().execution_context.output)
        marimo.output.replace_at_index(marimo.Html(bundle["text/html"]), self._place)

    def offer(self, cancel: object) -> None:
        """Show nothing: marimo's own button interrupts the cell, and so cancels the job."""

    def end(self, bundle: Bundle) -> None:
        """Show the last panel."""
        self.show(bundle)


class MarimoPanel(Panel):
    """The panel of jobs that one cell has started."""

    def __init__(self, cell: str) -> None:
        """Create a panel, of which nothing is shown yet.

        Args:
            cell: id of the cell.
        """
        import marimo

        super().__init__(MarimoOutput, in_cell=False, thread=marimo.Thread)
        self._cell = cell
        self._waits = 0

    def begin_wait(self) -> None:
        """Show the jobs from now on, if their own cell waits for one of them."""
        with self._painting:
            self._waits += running_cell() == self._cell

    def end_wait(self, entry: Entry) -> None:
        """Show the end of a job; nothing is shown when nobody waits."""
        with self._painting:
            super().end_wait(entry)
            self._waits -= running_cell() == self._cell

    def _update(self) -> None:
        if self._waits:
            super()._update()
        else:
            for entry in list(self._entries):
                entry.observe()


def running_cell() -> str:
    """Return the id of the cell that runs; empty where none does."""
    return str(_context().cell_id or "") if in_marimo() else ""
