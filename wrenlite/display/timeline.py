"""A job's tasks over time, with how many ran at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from wrenlite.errors import PackageMissing
from wrenlite.protocol import TaskStats

try:
    import numpy as np
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, StepPatch
    from matplotlib.ticker import FuncFormatter, MaxNLocator
except ImportError as error:
    raise PackageMissing(f"a timeline needs {error.name}: pip install 'wrenlite[lab]'") from error

from wrenlite.display.figure import Shown
from wrenlite.display.spans import (
    Flags,
    Floats,
    Rows,
    Spans,
    arrange,
    at_once,
    measure,
)

_PAPER, _INK, _FAINT, _GRID = "#ffffff", "#1f2933", "#5f6b7a", "#e9ecf0"
"""Every colour is named, and the paper solid: the figure reads as well on dark pages as on light ones, and in
whatever style the user has set for figures of their own."""
_WIDTH, _ROW, _LEAST, _MOST, _CURVE = 10.0, 0.17, 1.1, 5.2, 1.25
"""Inches: width of the figure; height of one row, of all rows at least and at most, and of the curve."""
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 0.85, 0.3, 1.0, 0.6, 0.22
"""Inches of margin, and between rows and curve."""
_VECTORS = 1_000
"""Tasks up to which an SVG or PDF holds each bar as a shape of its own."""
_SEAMS, _PARTED = 100, 60
"""Up to so many tasks on a worker's row they are drawn apart, and up to so many rows these."""
_NUMBERED = 40
"""Tasks up to which each row says whose it is."""
_STROKES = 600
"""Steps of the curve up to which it has an outline: with more, pauses between tasks would hide it."""


class _Look(NamedTuple):
    label: str
    fill: str
    edge: str


_WAITING = _Look("waiting", "#dde2e8", "#dde2e8")
_DISPATCHED = _Look("dispatched, not back yet", "#a6cbe8", "#a6cbe8")
_RUNNING = _Look("running", "#2f74b5", "#2f74b5")
_RETURNING = _Look("outcome on its way", "#f0b23c", "#f0b23c")
_FAILED = _Look("failed", "#c8342b", "#c8342b")
_CANCELLED = _Look("cancelled", "#ffffff", "#5f6b7a")
_CURVE_FILL = "#a9cbea"
_MARKS = {"failed": "X", "cancelled": "o", "cold start": "^"}
"""Told apart by their shape, not by colour alone."""


def timeline(tasks: Sequence[TaskStats], title: str, now: float) -> Shown:
    """The tasks of one job over time, and below how many ran at once.

    Args:
        tasks: in any state. Of a task that was tried again the last run is drawn; before it, it waits.
        title: such as ``map ndvi × 2,000 on 8 local workers``.
        now: seconds since the epoch: up to where tasks are drawn that have not ended.
    """
    spans = measure(tasks, now)
    rows = arrange(spans)
    tall = min(max(_ROW * rows.total, _LEAST), _MOST)
    height = _TOP + tall + _GAP + _CURVE + _BOTTOM
    figure = Shown(figsize=(_WIDTH, height), facecolor=_PAPER)
    upper, lower = figure.subplots(
        2,
        sharex=True,
        gridspec_kw={
            "left": _LEFT / _WIDTH,
            "right": 1 - _RIGHT / _WIDTH,
            "top": 1 - _TOP / height,
            "bottom": _BOTTOM / height,
            "hspace": 2 * _GAP / (tall + _CURVE),
            "height_ratios": (tall, _CURVE),
        },
    )
    for axes in (upper, lower):
        _dress(axes)
    legend = _draw_tasks(upper, spans, rows)
    _draw_curve(lower, spans)
    if spans.having("queued", "dispatched").any():
        for axes in (upper, lower):
            here = axes.axvline(spans.until, color=_FAINT, linewidth=1, linestyle=(0, (4, 3)), label="now")
        legend.append(here)
    upper.set_xlim(0.0, (spans.until or 1.0) * 1.015)
    _head(figure, title, _in_words(spans), legend)
    return figure


def _head(figure: Shown, title: str, words: str, legend: list[Artist]) -> None:
    x, height = _LEFT / _WIDTH, figure.get_figheight()
    figure.text(
        x, 1 - 0.3 / height, title, color=_INK, fontsize=13, fontweight="bold", va="center", parse_math=False
    )
    figure.text(x, 1 - 0.56 / height, words, color=_FAINT, fontsize=9.5, va="center")
    figure.legend(
        handles=legend,
        loc="center left",
        bbox_to_anchor=(x, 1 - 0.82 / height),
        ncols=max(1, len(legend)),
        frameon=False,
        fontsize=9,
        labelcolor=_INK,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.4,
        handletextpad=0.5,
        columnspacing=1.4,
    )


def _dress(axes: Axes) -> None:
    axes.set_facecolor(_PAPER)
    axes.set_axisbelow(True)
    axes.grid(False, axis="y")
    axes.grid(True, axis="x", color=_GRID, linewidth=0.8)
    axes.tick_params(colors=_FAINT, labelcolor=_INK, labelsize=9, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#c3cad3")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _draw_tasks(axes: Axes, spans: Spans, rows: Rows) -> list[Artist]:
    """One collection a look, however many tasks; returns what the legend has."""
    ran = np.isfinite(spans.begin)
    back = np.where(np.isnan(spans.back), spans.until, spans.back)
    sent = np.isfinite(spans.handed) & ~ran
    failed, cancelled = spans.having("failed"), spans.having("cancelled")
    well = ~failed & ~cancelled
    start = np.where(ran, spans.begin, np.where(sent, spans.handed, back))
    stop = np.where(ran, spans.end, back)
    # A seam between the tasks of a worker, where there is room.
    apart = rows.by_worker and rows.total <= _PARTED and len(spans.task) <= _SEAMS * rows.total
    running = _RUNNING._replace(edge=_PAPER) if apart else _RUNNING
    bars = {  # on a worker's row they lie over each other: what runs comes last
        _WAITING: _waiting(spans, rows, start),
        _RETURNING: (spans.end, back, ran),
        _DISPATCHED: (spans.handed, back, sent & well),
        _CANCELLED: (start, stop, cancelled),
        running: (start, stop, ran & well),
        _FAILED: (start, stop, failed),
    }
    drawn = {
        look for look, (left, right, which) in bars.items() if _add_bars(axes, look, left, right, rows, which)
    }
    key = (_WAITING, _DISPATCHED, running, _RETURNING)
    legend: list[Artist] = [
        Patch(facecolor=look.fill, edgecolor=look.edge, label=look.label) for look in key if look in drawn
    ]
    at_end = stop if rows.by_worker else back
    legend += _add_marks(axes, "failed", _FAILED.fill, at_end[failed], rows.row[failed])
    legend += _add_marks(axes, "cancelled", _CANCELLED.edge, at_end[cancelled], rows.row[cancelled])
    legend += _add_marks(axes, "cold start", _INK, spans.begin[spans.cold], rows.row[spans.cold])
    _number_rows(axes, spans, rows)
    return legend


def _number_rows(axes: Axes, spans: Spans, rows: Rows) -> None:
    axes.set_ylim(max(rows.total, 1) - 0.5, -0.5)
    axes.tick_params(labelbottom=False)
    label = "worker" if rows.by_worker else "tasks, in order of start"
    if not rows.by_worker and rows.total <= _NUMBERED:
        label = "task"
        axes.set_yticks(rows.row, labels=[str(task) for task in spans.task], fontsize=8)
        axes.tick_params(axis="y", length=0)
    axes.set_ylabel(label, color=_INK, fontsize=9.5)
    if not rows.total:
        _say(axes, "no tasks")


def _waiting(spans: Spans, rows: Rows, start: Floats) -> tuple[Floats, Floats, Flags]:
    """From when to when tasks wait, and which of them are drawn.

    On a worker's row those spans all begin at 0: the longest of them covers the others, and is what shows
    between its tasks.
    """
    which = np.isfinite(rows.row)
    if rows.by_worker:
        order = np.lexsort((-start, rows.row))
        _, longest = np.unique(rows.row[order], return_index=True)
        first = np.zeros_like(which)
        first[order[longest]] = True
        which &= first
    return np.zeros_like(start), start, which


def _add_bars(axes: Axes, look: _Look, left: Floats, right: Floats, rows: Rows, which: Flags) -> bool:
    """Draw these bars, as one collection; False where there are none."""
    which = which & (right > left) & np.isfinite(rows.row)
    if not which.any():
        return False
    crowded = rows.total > _PARTED
    half = 0.5 if crowded else 0.4
    x0, x1, y = left[which], right[which], rows.row[which]
    corners = np.stack([x0, y - half, x1, y - half, x1, y + half, x0, y + half], axis=1).reshape(-1, 4, 2)
    outlined = look.fill == _PAPER or not (crowded or rows.by_worker) or look.edge == _PAPER
    bars = PolyCollection(
        corners,  # type: ignore[arg-type]  # one array is what is fast
        facecolors=look.fill,
        edgecolors=look.edge if outlined else "none",
        linewidths=0.7,  # a task of no length to speak of is still seen
        label=look.label,
        rasterized=len(rows.row) > _VECTORS,
    )
    axes.add_collection(bars, autolim=False)
    return True


def _add_marks(axes: Axes, label: str, colour: str, x: Floats, y: Floats) -> Sequence[Artist]:
    """One mark a task. The legend counts them all, also those that have no row."""
    if not len(x):
        return ()
    hollow = label == "cancelled"
    look: dict[str, Any] = {
        "linestyle": "none",
        "marker": _MARKS[label],
        "markerfacecolor": _PAPER if hollow else colour,
        "markeredgecolor": colour if hollow else _PAPER,
    }
    size = 6.5 if len(x) <= 60 else 5.0 if len(x) <= 300 else 3.0
    axes.plot(
        x,
        y,
        **look,
        markersize=size,
        markeredgewidth=1.2 if hollow else 0.5,
        label=label,
        clip_on=False,
        zorder=3,
        rasterized=len(x) > _VECTORS,
    )
    return (Line2D([], [], **look, markersize=6.5, label=f"{label} ({len(x):,})"),)


def _draw_curve(axes: Axes, spans: Spans) -> None:
    times, counts = at_once(spans)
    peak = int(counts.max())
    axes.set_ylim(0, max(peak, 1) * 1.35)
    axes.set_ylabel("tasks at once", color=_INK, fontsize=9.5)
    axes.set_xlabel("seconds since map", color=_INK, fontsize=9.5)
    if not peak:
        _say(axes, "nothing has run yet" if spans.having("queued", "dispatched").any() else "nothing ran")
        return
    curve = StepPatch(
        counts[:-1],
        times,
        fill=True,
        facecolor=_CURVE_FILL,
        edgecolor=_RUNNING.fill,
        linewidth=1.2 if len(times) <= _STROKES else 0.0,
        label="tasks at once",
    )
    axes.add_artist(curve)  # stairs() would also look through every step for the limits, which are known
    axes.axhline(peak, color=_FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.text(
        0.008,
        peak,
        f"peak {peak:,} at once",
        color=_INK,
        fontsize=9,
        ha="left",
        va="bottom",
        transform=axes.get_yaxis_transform(),
    )


def _say(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, color=_FAINT, fontsize=10, ha="center", va="center", transform=axes.transAxes)


def _in_words(spans: Spans) -> str:
    states = ("queued", "dispatched", "done", "failed", "cancelled")
    counts = ((state, int(spans.having(state).sum())) for state in states)
    words = [f"{count:,} {state}" for state, count in counts if count] or ["no tasks"]
    if len(spans.state):
        words.append(f"{spans.until:,.3g} s" if spans.until < 100 else f"{spans.until:,.0f} s")
    return " · ".join(words)
