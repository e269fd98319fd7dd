"""A figure of a job's tasks over time, with the number of running tasks and their memory below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from wrenlite.errors import PackageMissing
from wrenlite.protocol import TaskStats
from wrenlite.texts import sized

try:
    import numpy as np
    from matplotlib import rcParams
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.colors import to_hex, to_rgb, to_rgba
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, StepPatch
    from matplotlib.ticker import FuncFormatter, MaxNLocator
    from matplotlib.typing import ColorType
except ImportError as error:
    raise PackageMissing(f"a timeline needs {error.name}: pip install 'wrenlite[lab]'") from error

from wrenlite.display.colours import IN_TRANSIT, STATE_COLOURS
from wrenlite.display.notebook_figure import NotebookFigure
from wrenlite.display.spans import (
    Flags,
    Floats,
    Rows,
    Spans,
    assign_rows,
    concurrency,
    mean_concurrency,
    measure_spans,
)

_WIDTH = 10.0
"""Width of the figure in inches."""
_ROW, _LEAST_ROWS, _MOST_ROWS, _CURVE = 0.17, 1.1, 5.2, 1.25
"""Heights in inches: of one row, of all rows at least and at most, and of the curve."""
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 0.85, 0.3, 1.0, 0.6, 0.22
"""Margins in inches, and the gap between the rows and the curve."""
_MOST_VECTORS = 1_000
"""The largest number of tasks whose bars are separate shapes in an SVG or PDF; more bars become a bitmap."""
_MOST_SEPARATED_TASKS, _MOST_SEPARATED_ROWS = 100, 60
"""The largest number of tasks per row that lines separate, and of rows that gaps separate."""
_MOST_NUMBERED = 40
"""The largest number of tasks whose rows have the task's number."""
_MOST_STEPS = 80
"""The largest number of steps of the curve; of more, it shows the mean of so many equal intervals."""
_DONE, _RUNNING, _FAILED = (STATE_COLOURS[state] for state in ("done", "dispatched", "failed"))


class _BarStyle(NamedTuple):
    label: str
    fill: str
    edge: str


class _Look(NamedTuple):
    """The colours of a figure: those that the user's matplotlib style gives figures, and mixtures of them."""

    paper: str
    """Always opaque, so that the text is readable on a page of any colour."""
    ink: str
    faint: str
    grid: str
    axis: str

    @classmethod
    def of_style(cls) -> _Look:
        """Return the look that the user's style has now."""
        ink = to_hex(rcParams["text.color"])
        page = "#ffffff" if sum(to_rgb(ink)) < 1.5 else "#000000"
        red, green, blue, alpha = to_rgba(rcParams["figure.facecolor"])
        paper = _mixed((red, green, blue), page, alpha)
        faint, axis, grid = (_mixed(ink, paper, share) for share in (0.7, 0.3, 0.12))
        return cls(paper, ink, faint, grid, axis)

    def bar(self, label: str, colour: str, share: float = 1.0) -> _BarStyle:
        """Return the style of bars in a colour that is mixed with that of the paper."""
        fill = _mixed(colour, self.paper, share)
        return _BarStyle(label, fill, fill)


def _mixed(colour: ColorType, other: ColorType, share: float) -> str:
    """Return a colour of which this share is the first one."""
    red, green, blue = share * np.array(to_rgb(colour)) + (1 - share) * np.array(to_rgb(other))
    return to_hex((red, green, blue))


_MARKERS = {"failed": "X", "cancelled": "o", "cold start": "^"}
"""Markers differ by shape, and not by colour alone."""


def timeline(tasks: Sequence[TaskStats], title: str, now: float) -> NotebookFigure:
    """Draw the tasks of one job over time, below the number of running tasks, and below that their memory.

    The memory is drawn where it is known of some task.

    Args:
        tasks: tasks in any state. Of a task with several attempts only the last one is drawn; until then it
            is shown as waiting.
        title: such as ``map ndvi × 2,000 on 8 local workers``.
        now: seconds since the epoch; tasks that have not ended are drawn up to this time.
    """
    spans = measure_spans(tasks, now)
    rows = assign_rows(spans)
    rows_height = min(max(_ROW * rows.total, _LEAST_ROWS), _MOST_ROWS)
    curves = 2 if np.isfinite(spans.peak_bytes).any() else 1
    height = _TOP + rows_height + curves * (_GAP + _CURVE) + _BOTTOM
    look = _Look.of_style()
    figure = NotebookFigure(figsize=(_WIDTH, height), facecolor=look.paper)
    upper, *lower = figure.subplots(
        1 + curves,
        sharex=True,
        gridspec_kw={
            "left": _LEFT / _WIDTH,
            "right": 1 - _RIGHT / _WIDTH,
            "top": 1 - _TOP / height,
            "bottom": _BOTTOM / height,
            "hspace": (1 + curves) * _GAP / (rows_height + curves * _CURVE),
            "height_ratios": (rows_height, *(_CURVE,) * curves),
        },
    )
    for axes in (upper, *lower):
        _style_axes(axes, look)
    legend = _draw_tasks(upper, spans, rows, look)
    _draw_concurrency(lower[0], spans, look)
    if curves > 1:
        _draw_memory(lower[1], spans, look)
    lower[-1].set_xlabel("seconds since map", color=look.ink, fontsize=9.5)
    if spans.in_state("queued", "dispatched").any():
        for axes in (upper, *lower):
            line = axes.axvline(
                spans.last_s, color=look.faint, linewidth=1, linestyle=(0, (4, 3)), label="now"
            )
        legend.append(line)
    upper.set_xlim(0.0, (spans.last_s or 1.0) * 1.015)
    _add_header(figure, title, _summary(spans), legend, look)
    return figure


def _add_header(figure: NotebookFigure, title: str, summary: str, legend: list[Artist], look: _Look) -> None:
    x, height = _LEFT / _WIDTH, figure.get_figheight()
    figure.text(
        x,
        1 - 0.3 / height,
        title,
        color=look.ink,
        fontsize=13,
        fontweight="bold",
        va="center",
        parse_math=False,
    )
    figure.text(x, 1 - 0.56 / height, summary, color=look.faint, fontsize=9.5, va="center")
    figure.legend(
        handles=legend,
        loc="center left",
        bbox_to_anchor=(x, 1 - 0.82 / height),
        ncols=max(1, len(legend)),
        frameon=False,
        fontsize=9,
        labelcolor=look.ink,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.4,
        handletextpad=0.5,
        columnspacing=1.4,
    )


def _style_axes(axes: Axes, look: _Look) -> None:
    axes.set_facecolor(look.paper)
    axes.set_axisbelow(True)
    axes.grid(False, axis="y")
    axes.grid(True, axis="x", color=look.grid, linewidth=0.8)
    axes.tick_params(colors=look.faint, labelcolor=look.ink, labelsize=9, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(look.axis)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _draw_tasks(axes: Axes, spans: Spans, rows: Rows, look: _Look) -> list[Artist]:
    """Draw all tasks, as one collection per style however many tasks there are, and return the legend."""
    ran = np.isfinite(spans.started)
    received = np.where(np.isnan(spans.received), spans.last_s, spans.received)
    dispatched = np.isfinite(spans.dispatched) & ~ran
    failed, cancelled = spans.in_state("failed"), spans.in_state("cancelled")
    others = ~failed & ~cancelled
    start = np.where(ran, spans.started, np.where(dispatched, spans.dispatched, received))
    stop = np.where(ran, spans.stopped, received)
    # Lines in the colour of the background separate the tasks of a worker, where there is space for them.
    few_rows = rows.total <= _MOST_SEPARATED_ROWS
    few_tasks = len(spans.task) <= _MOST_SEPARATED_TASKS * rows.total
    separated = rows.by_worker and few_rows and few_tasks
    waiting, dispatched_style = look.bar("waiting", look.ink, 0.15), look.bar("dispatched", _RUNNING)
    running, returning = look.bar("running", _DONE), look.bar("outcome in transit", IN_TRANSIT)
    if separated:
        running = running._replace(edge=look.paper)
    bars = {  # on a worker's row bars may cover each other, so those of running tasks are drawn last
        waiting: _waiting_bars(spans, rows, start),
        returning: (spans.stopped, received, ran),
        dispatched_style: (spans.dispatched, received, dispatched & others),
        _BarStyle("cancelled", look.paper, look.faint): (start, stop, cancelled),
        running: (start, stop, ran & others),
        look.bar("failed", _FAILED): (start, stop, failed),
    }
    drawn = {
        style
        for style, (left, right, chosen) in bars.items()
        if _add_bars(axes, style, left, right, rows, chosen, look)
    }
    in_legend = (waiting, dispatched_style, running, returning)
    legend: list[Artist] = [
        Patch(facecolor=style.fill, edgecolor=style.edge, label=style.label)
        for style in in_legend
        if style in drawn
    ]
    end = stop if rows.by_worker else received
    legend += _add_markers(axes, "failed", _FAILED, end[failed], rows.row[failed], look)
    legend += _add_markers(axes, "cancelled", look.faint, end[cancelled], rows.row[cancelled], look)
    legend += _add_markers(
        axes, "cold start", look.ink, spans.started[spans.cold], rows.row[spans.cold], look
    )
    _label_rows(axes, spans, rows, look)
    return legend


def _label_rows(axes: Axes, spans: Spans, rows: Rows, look: _Look) -> None:
    axes.set_ylim(max(rows.total, 1) - 0.5, -0.5)
    axes.tick_params(labelbottom=False)
    label = "worker" if rows.by_worker else "tasks, in order of start"
    if not rows.by_worker and rows.total <= _MOST_NUMBERED:
        label = "task"
        axes.set_yticks(rows.row, labels=[str(task) for task in spans.task], fontsize=8)
        axes.tick_params(axis="y", length=0)
    axes.set_ylabel(label, color=look.ink, fontsize=9.5)
    if not rows.total:
        _write_in_centre(axes, "no task ran" if spans.cached else "no tasks", look)


def _waiting_bars(spans: Spans, rows: Rows, start: Floats) -> tuple[Floats, Floats, Flags]:
    """Return from when until when tasks wait, and which of these bars are drawn.

    On a worker's row all waiting bars begin at 0. Only the longest one is drawn, because it covers the
    others; it is visible between the tasks of the worker.
    """
    chosen = np.isfinite(rows.row)
    if rows.by_worker:
        order = np.lexsort((-start, rows.row))
        _, longest = np.unique(rows.row[order], return_index=True)
        is_longest = np.zeros_like(chosen)
        is_longest[order[longest]] = True
        chosen &= is_longest
    return np.zeros_like(start), start, chosen


def _add_bars(
    axes: Axes, style: _BarStyle, left: Floats, right: Floats, rows: Rows, chosen: Flags, look: _Look
) -> bool:
    """Draw the chosen bars as one collection, and return whether there are any."""
    chosen = chosen & (right > left) & np.isfinite(rows.row)
    if not chosen.any():
        return False
    crowded = rows.total > _MOST_SEPARATED_ROWS
    half = 0.5 if crowded else 0.4
    x0, x1, y = left[chosen], right[chosen], rows.row[chosen]
    corners = np.stack([x0, y - half, x1, y - half, x1, y + half, x0, y + half], axis=1).reshape(-1, 4, 2)
    outlined = look.paper in (style.fill, style.edge) or not (crowded or rows.by_worker)
    bars = PolyCollection(
        corners,  # type: ignore[arg-type]  # one array is faster than a list of shapes
        facecolors=style.fill,
        edgecolors=style.edge if outlined else "none",
        linewidths=0.7,  # so that very short tasks are visible
        label=style.label,
        rasterized=len(rows.row) > _MOST_VECTORS,
    )
    axes.add_collection(bars, autolim=False)
    return True


def _add_markers(axes: Axes, label: str, colour: str, x: Floats, y: Floats, look: _Look) -> Sequence[Artist]:
    """Draw one marker per task. The legend counts all of them, including tasks without a row."""
    if not len(x):
        return ()
    hollow = label == "cancelled"
    style: dict[str, Any] = {
        "linestyle": "none",
        "marker": _MARKERS[label],
        "markerfacecolor": look.paper if hollow else colour,
        "markeredgecolor": colour if hollow else look.paper,
    }
    size = 6.5 if len(x) <= 60 else 5.0 if len(x) <= 300 else 3.0
    axes.plot(
        x,
        y,
        **style,
        markersize=size,
        markeredgewidth=1.2 if hollow else 0.5,
        label=label,
        clip_on=False,
        zorder=3,
        rasterized=len(x) > _MOST_VECTORS,
    )
    return (Line2D([], [], **style, markersize=6.5, label=f"{label} ({len(x):,})"),)


def _draw_concurrency(axes: Axes, spans: Spans, look: _Look) -> None:
    times, counts = concurrency(spans)
    peak = int(counts.max())
    is_mean = len(times) > _MOST_STEPS
    axes.set_ylim(0, max(peak, 1) * 1.35)
    axes.set_ylabel("running tasks,\nmean" if is_mean else "running tasks", color=look.ink, fontsize=9.5)
    if not peak:
        waits = spans.in_state("queued", "dispatched").any()
        _write_in_centre(axes, "no task has run yet" if waits else "no task ran", look)
        return
    heights: Floats = counts[:-1].astype(np.float64)
    if is_mean:
        times, heights = mean_concurrency(times, counts, spans.last_s, _MOST_STEPS)
    curve = StepPatch(
        heights,
        times,
        fill=True,
        facecolor=_mixed(_RUNNING, look.paper, 0.4),
        edgecolor=_RUNNING,
        linewidth=1.2,
        label="running tasks",
    )
    axes.add_artist(curve)  # stairs() would also search all steps for the limits, which are set above
    _mark_peak(axes, peak, f"peak concurrency {peak:,}", look)


def _draw_memory(axes: Axes, spans: Spans, look: _Look) -> None:
    """Draw a line for each task that has run, as high as what its worker held at most meanwhile."""
    known = np.isfinite(spans.peak_bytes) & np.isfinite(spans.started)
    peak = float(spans.peak_bytes[known].max(initial=0.0))
    unit, scale = ("GB", 2.0**30) if peak >= 2**30 else ("MB", 2.0**20)
    axes.set_ylim(0, max(peak, 1.0) / scale * 1.35)
    axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axes.set_ylabel(f"memory of\nworkers, {unit}", color=look.ink, fontsize=9.5)
    height = spans.peak_bytes[known] / scale
    ends = np.stack([spans.started[known], height, spans.stopped[known], height], axis=1).reshape(-1, 2, 2)
    lines = LineCollection(
        ends,  # type: ignore[arg-type]  # one array is faster than a list of lines
        colors=_DONE,
        linewidths=1.8,
        capstyle="projecting",  # so that very short tasks are visible
        label="memory",
        rasterized=len(ends) > _MOST_VECTORS,
    )
    axes.add_collection(lines, autolim=False)
    if peak:
        _mark_peak(axes, peak / scale, f"at most {sized(int(peak))}", look)


def _mark_peak(axes: Axes, peak: float, words: str, look: _Look) -> None:
    """Draw a line at the peak of a curve, with words on it."""
    axes.axhline(peak, color=look.faint, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.text(
        0.008,
        peak,
        words,
        color=look.ink,
        fontsize=9,
        ha="left",
        va="bottom",
        transform=axes.get_yaxis_transform(),
    )


def _write_in_centre(axes: Axes, text: str, look: _Look) -> None:
    axes.text(
        0.5, 0.5, text, color=look.faint, fontsize=10, ha="center", va="center", transform=axes.transAxes
    )


def _summary(spans: Spans) -> str:
    """Return the number of tasks in each state, and the duration of the job."""
    states = ("queued", "dispatched", "done", "failed", "cancelled")
    counts = ((state, int(spans.in_state(state).sum())) for state in states)
    counted = (*counts, ("cached", spans.cached))
    facts = [f"{count:,} {state}" for state, count in counted if count] or ["no tasks"]
    if len(spans.state):
        facts.append(f"{spans.last_s:,.3g} s" if spans.last_s < 100 else f"{spans.last_s:,.0f} s")
    return " · ".join(facts)
