"""The colours of tasks: the same in the panel, the timeline and the report."""

from __future__ import annotations

STATE_COLOURS = {
    "queued": "#8a8f982f",
    "done": "#33806d",
    "dispatched": "#4cb9fe",
    "cancelled": "#eca228",
    "failed": "#c70008",
}
"""The colour of each state, in the order of ``task_table.STATES``.

They are told apart on light pages and on dark ones, also by people with each kind of colour-blindness: every
two differ by more than 20 (CIEDE2000).
"""
IN_TRANSIT = "#7818c0"
"""An outcome on its way back; it differs from the states as much as they do from each other."""
